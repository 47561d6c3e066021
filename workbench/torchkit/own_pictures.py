"""The setting of every lesson that takes a person's own pictures."""

from workbench.datasets.pictures import Background
from workbench.training.project import Settings


class OwnPictures(Settings):
    """Base of a Config: how pictures of a person's own are read."""

    background: Background = "white"
    """Colour that is laid under the transparent parts of your own pictures."""
