"""Photographs by class for networks pre-trained on ImageNet: flowers, cats and dogs, dog breeds, skin lesions, or a person's own folder."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from workbench import paths
from workbench.datasets import folder, own_file
from workbench.datasets.pictures import PLAIN, Background, Decoding
from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

INSIDE = {
    "flowers102:72px": ("flower_data", 72),
    "cats-dogs:small": ("Cat_Dog_data", 112),
    "dogs:21-breeds": ("dogImages/test", 160),
    "dogs:120-breeds": ("dog_breeds", 128),
}
"""For each data set, the path of its class or part folders inside the archive, and the short side of its pictures in pixels."""


@dataclass(frozen=True)
class Unpacked:
    """Photographs of a project of the course's that cannot be fetched, because their publisher states no hash: a person unpacks them."""

    archives: str
    into: str
    """The folder below the mirror or the data, into which they are unpacked."""
    inside: str
    """What then holds the parts."""
    instead: str
    """What else config.data may be."""
    title: str
    whole: tuple[list[int], int]
    """Pictures in each part, and classes, of the course's data."""


UNPACKED = {
    "dogs": Unpacked("dogImages.zip", "dogs", "dogImages", "dogs:120-breeds", "Dog breeds", ([6680, 835, 836], 133)),
    "skin-lesions:pictures": Unpacked(
        "train.zip, valid.zip and test.zip", "skin-lesions-pictures", "", "a folder of your own", "Skin lesions", ([2000, 150, 600], 3)
    ),
}
FEWEST = 3
"""Fewest pictures of a class, so that each part has one; three of the 120 breeds have fewer and are left out."""


@dataclass(frozen=True)
class Photos:
    """Train, valid and test, each (number, side, side, 3) bytes and (number,) indices into `classes`."""

    parts: list[folder.Squares]
    classes: list[str]
    variant: str = ""
    """The name of the data in results, if it is a stand-in for other pictures."""
    decoding: Decoding = PLAIN
    """How they were decoded, and further ones are to be."""


def read(name: str, size: int, background: Background = "white") -> Photos:
    """The middle squares of a data set of `INSIDE` or `UNPACKED`, or of a folder as `folder.read` takes it. Their
    side is at most `size` and at most that of the pictures; the transparent parts of a person's own are laid over `background`.

    A number before a class's name (as in the course's folders) and underscores are removed. Raises Problem where there is no such data.
    """
    if "/" in name:
        own = folder.squares(Path(name), size, background=background)
        return Photos(own.parts, _titles(own.classes), decoding=own.decoding)
    if name in UNPACKED:
        return _unpacked(UNPACKED[name], size)
    if name not in INSIDE:
        known = ", ".join([*UNPACKED, *INSIDE])
        raise Problem(f"There are no photographs called {one_line(name, 40)!r}.", f"There are: {known}.", "data")
    reference, _, variant = name.partition(":")
    about, files = find(reference, variant), fetch(reference, variant)
    below, side = INSIDE[name]
    ours = folder.squares(files["pictures"] / below, min(size, side), fewest=FEWEST)
    if "names" in files:
        # No variant, because the recipes' bars were set on exactly these pictures.
        names = json.loads(own_file.text(files["names"], 1_000_000))
        return Photos(ours.parts, [one_line(str(names.get(number, number)), 40) for number in ours.classes])
    return Photos(ours.parts, _titles(ours.classes), about.title)


def _unpacked(about: Unpacked, size: int) -> Photos:
    """A project's photographs, if a person has unpacked them."""
    places = [root / about.into for root in (paths.mirror(), paths.data()) if root]
    unpacked = next((place / about.inside for place in places if (place / about.inside / "train").is_dir()), None)
    if not unpacked:
        hint = f"Unpack {about.archives} into {one_line(str(places[-1]))}, or set config.data to {about.instead}."
        text = f"The project's photographs ({about.title}) cannot be fetched, because their publisher states no hash."
        raise Problem(text, hint, "data")
    ours = folder.squares(unpacked, size)
    # Counts identify the complete course data; anything else gets a name of its own in results.
    numbers = [len(labels) for _, labels in ours.parts]
    title = f"{about.title}, {sum(numbers):,} photographs of {len(ours.classes)}"
    return Photos(ours.parts, _titles(ours.classes), "" if (numbers, len(ours.classes)) == about.whole else title)


def _titles(folders: list[str]) -> list[str]:
    titles = [re.sub(r"^\d+\.", "", name).replace("_", " ") for name in folders]
    return titles if len(set(titles)) == len(titles) else folders
