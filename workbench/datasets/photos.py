"""Photographs by class, as the networks of ImageNet are given them: flowers, dog breeds, or a folder of a person's own."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from workbench import paths
from workbench.datasets import folder, own_file
from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

INSIDE = {
    "flowers102:72px": ("flower_data", 72),
    "dogs:21-breeds": ("dogImages/test", 160),
    "dogs:120-breeds": ("dog_breeds", 128),
}
"""Where in its archive a data set has the folders of its classes or parts, and its pictures' short side."""
DOGS = ([6680, 835, 836], 133)
"""Pictures of the parts, and breeds, of the project's dogImages."""
FEWEST = 3
"""Pictures of a class for one to be in each part; of the 120 breeds three have fewer, and are left out."""


@dataclass(frozen=True)
class Photos:
    """Train, valid and test, each (number, side, side, 3) bytes and (number,) indices into `classes`."""

    parts: list[folder.Squares]
    classes: list[str]
    variant: str = ""
    """What figures on them are to be called, where they stand in for other pictures."""


def read(name: str, size: int) -> Photos:
    """A data set of `INSIDE`, dogs, which a person has to unpack, or a folder as `folder.read` takes it: the middle squares, no larger
    than `size` or than the pictures are.

    Numbers before a class's name, as the course's folders have them, and underscores are left out of it. Raises Problem.
    """
    if "/" in name:
        parts, classes = folder.squares(Path(name), size)
        return Photos(parts, _titles(classes))
    if name == "dogs":
        return _course_dogs(size)
    if name not in INSIDE:
        raise Problem(f"There are no photographs called {one_line(name, 40)!r}.", f"There are: dogs, {', '.join(INSIDE)}.", "data")
    reference, _, variant = name.partition(":")
    about, files = find(reference, variant), fetch(reference, variant)
    below, side = INSIDE[name]
    parts, classes = folder.squares(files["pictures"] / below, min(size, side), fewest=FEWEST)
    if "names" in files:
        # No variant: there is no course's figure for these flowers, and the recipes' bars are about this very set.
        names = json.loads(own_file.text(files["names"], 1_000_000))
        return Photos(parts, [one_line(str(names.get(each, each)), 40) for each in classes])
    return Photos(parts, _titles(classes), about.title)


def _course_dogs(size: int) -> Photos:
    """The project's dogImages, where a person has unpacked it: it cannot be fetched, as its publisher states no hash."""
    places = [root / "dogs" / "dogImages" for root in (paths.mirror(), paths.data()) if root]
    found = next((place for place in places if (place / "train").is_dir()), None)
    if not found:
        hint = f"Unpack dogImages.zip into {one_line(str(places[-1].parent))}, or take config.data: dogs:120-breeds."
        raise Problem("The project's photographs of dogs cannot be fetched, as their publisher states no hash.", hint, "data")
    parts, classes = folder.squares(found, size)
    numbers = [len(labels) for _, labels in parts]
    told = f"Dog breeds, {sum(numbers):,} photographs of {len(classes)}"
    return Photos(parts, _titles(classes), "" if (numbers, len(classes)) == DOGS else told)


def _titles(folders: list[str]) -> list[str]:
    titles = [re.sub(r"^\d+\.", "", each).replace("_", " ") for each in folders]
    return titles if len(set(titles)) == len(titles) else folders
