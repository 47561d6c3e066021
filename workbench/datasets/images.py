"""Labelled pictures, split in three, by the data set's name; image classifiers and GANs train on them."""

from dataclasses import replace
from pathlib import Path

from workbench import preparation
from workbench.datasets.labelled_images import ImageData
from workbench.datasets.pictures import Background
from workbench.problems import Problem


def read(name: str, size: int = 32, background: Background = "white", per_class: int = 0) -> ImageData:
    """`digits`, `mnist`, `fashion-mnist`, or a path to a person's own folder, whose pictures are scaled to `size` pixels wide and high,
    their transparent parts laid over `background`. `per_class` leaves at most so many training pictures of each class; 0 all.

    Raises Problem where the name is unknown or the files cannot be used.
    """
    from workbench.datasets import digits, folder, mnist

    if "/" in name:
        data = folder.read(Path(name), size, background)
    elif name == "digits":
        data = digits.read()
    elif name in mnist.CLASSES:
        data = mnist.read(name)
    else:
        available = ", ".join(["digits", *mnist.CLASSES])
        raise Problem(f"There are no labelled pictures called {name!r}.", f"There are: {available}.", "data")
    if per_class:
        data = replace(data, train=data.train.first_of_each(per_class))
        preparation.found("per_class", f"at most {per_class:,}", f"{len(data.train):,} training pictures")
    if "/" in name:
        return data
    parts = {"to train": data.train, "for validation": data.valid, "for the test": data.test}
    number = sum(map(len, parts.values()))
    used = ", ".join(f"{len(part):,} {purpose}" for purpose, part in parts.items())
    preparation.found(name, f"{number:,} pictures of {len(data.classes)} classes", used)
    return data
