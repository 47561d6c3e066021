"""Pictures with a label each, split in three: what an image classifier or a GAN trains on, by the data set's name."""

from pathlib import Path

from workbench.datasets.labelled_images import ImageData
from workbench.problems import Problem


def read(name: str, size: int = 32) -> ImageData:
    """`digits`, `mnist`, `fashion-mnist`, or a path to a folder of a person's own, whose pictures become `size` pixels wide and high.

    Raises Problem where there is none of that name or its files can't be used.
    """
    from workbench.datasets import digits, folder, mnist

    if "/" in name:
        return folder.read(Path(name), size)
    if name == "digits":
        return digits.read()
    if name in mnist.CLASSES:
        return mnist.read(name)
    known = ", ".join(["digits", *mnist.CLASSES])
    raise Problem(f"There are no labelled pictures called {name!r}.", f"There are: {known}.", "data")
