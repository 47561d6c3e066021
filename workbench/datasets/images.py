"""Labelled pictures, split in three, by the data set's name; image classifiers and GANs train on them."""

from pathlib import Path

from workbench.datasets.labelled_images import ImageData
from workbench.problems import Problem


def read(name: str, size: int = 32) -> ImageData:
    """`digits`, `mnist`, `fashion-mnist`, or a path to a person's own folder, whose pictures are scaled to `size` pixels wide and high.

    Raises Problem where the name is unknown or the files cannot be used.
    """
    from workbench.datasets import digits, folder, mnist

    if "/" in name:
        return folder.read(Path(name), size)
    if name == "digits":
        return digits.read()
    if name in mnist.CLASSES:
        return mnist.read(name)
    available = ", ".join(["digits", *mnist.CLASSES])
    raise Problem(f"There are no labelled pictures called {name!r}.", f"There are: {available}.", "data")
