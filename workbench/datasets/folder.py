"""A person's own pictures, one folder per class: read strictly and within limits, scaled to one size, split in three."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench import preparation
from workbench.datasets import picture_files
from workbench.datasets.class_folders import PARTS, Listing, counted, escaped, listing, look, named, some, unseen
from workbench.datasets.labelled_images import ImageData, LabelledImages
from workbench.datasets.pictures import Background, Decoding
from workbench.problems import Problem, one_line

MOST_CLASSES = 1000
MOST_PICTURES = 200_000
MOST_NUMBERS = 500_000_000
"""Most pixels times channels of all pictures together: 2 GB as float32."""
MOST_BYTES = 4 * MOST_NUMBERS
"""The same memory if each number is one byte."""
NAMED = 12
"""Most classes that the table names with their pictures."""
ROOM = 130
"""Characters for them: what fits into a field of the table, with how many more there are."""
PURPOSE = {"train": "to train", "valid": "for validation", "test": "for the test"}

Squares = tuple[np.ndarray, np.ndarray]
"""(number, size, size, 3) bytes, and (number,) indices into the classes."""


@dataclass(frozen=True)
class OwnPictures:
    """Train, valid and test, the names of the classes, and how the pictures were decoded."""

    parts: list[Squares]
    classes: list[str]
    decoding: Decoding


def read(root: Path, size: int, background: Background = "white") -> ImageData:
    """The middle square of each picture below `root`, (channels, size, size): one channel if all are grey, else three.

    `root` holds one folder per class, or train/ (and valid/, test/, by any of their names) with such folders. A missing part is held out
    from the training pictures: a fifth of each class, chosen by the hashes of the files, so that all copies of a file are in the same
    part. Links are not followed. Raises Problem (cause "data"), which names files that are not pictures.
    """
    data = squares(root, size, MOST_NUMBERS, background=background)
    grey = all((pixels == pixels[..., :1]).all() for pixels, _ in data.parts)
    split = [
        LabelledImages(pixels[..., : 1 if grey else 3].transpose(0, 3, 1, 2).astype(np.float32) / 255, labels)
        for pixels, labels in data.parts
    ]
    return ImageData(split[0], split[1], split[2], data.classes, data.decoding)


def squares(root: Path, size: int, most: int = MOST_BYTES, fewest: int = 0, background: Background = "white") -> OwnPictures:
    """Like `read`, but bytes. At most `most` of them; skips classes of fewer than `fewest` files."""
    listed, classes = listed_classes(root, fewest)
    shown = one_line(str(root))
    # Counted before the first picture is read, so that too many fail at once and not after minutes.
    paths = [path for part in listed.parts.values() for name in classes for path in part.get(name, [])]
    if len(paths) > MOST_PICTURES or len(paths) * 3 * size * size > most:
        raise Problem(f"{shown} has {len(paths):,} pictures: too many at {size}x{size}.", "Set a smaller image_size, or use fewer.", "data")
    pictures = picture_files.read(root, paths, size, Decoding(background), faults=listed.faults)
    picture_files.refuse_equal(root, pictures)
    numbers = iter(range(len(paths)))
    # Of each part, by class, the indices into `paths`.
    places = {part: [[next(numbers) for _ in by_class.get(name, [])] for name in classes] for part, by_class in listed.parts.items()}
    together = {name: [place for groups in places.values() for place in groups[index]] for index, name in enumerate(classes)}
    digests = [file.digest for file in pictures.files]
    _tell_twice(listed, places, classes, digests)
    missing = [part for part in PARTS if part not in places]
    split = [_set_aside(group, digests, missing, name, shown) for name, group in zip(classes, places["train"], strict=True)]
    for part in ("train", *missing):
        places[part] = [assigned[part] for assigned in split]
    _tell_parts(listed, places, missing, classes)
    pictures.tell()
    _tell_alike(pictures, together)
    parts = [_together(pictures.pixels, places[part], listed.folders.get(part, f"{part}/"), shown) for part in PARTS]
    return OwnPictures(parts, [one_line(name, 40) for name in classes], pictures.decoding)


def listed_classes(root: Path, fewest: int = 0) -> tuple[Listing, list[str]]:
    """The files of each class, and the classes, by name; Problem where they are no classes to learn."""
    listed = listing(root)
    shown = one_line(str(root))
    train = listed.parts["train"]
    classes = sorted(name for name, files in train.items() if len(files) >= fewest)
    if not 2 <= len(classes) <= MOST_CLASSES:
        picture_files.refuse(root, listed.faults if not classes else [])
        hint = "Make one for each class, and put its pictures there: cats/1.jpg, dogs/1.jpg."
        if len(train) == 1 and not any(train.values()):
            hint = f"Perhaps {one_line(str(root / next(iter(train))))} is meant."
        where = f"{shown}/{listed.folders['train']}" if listed.folders["train"] else shown
        number = counted(len(classes), "folder") if classes else "no folders"
        raise Problem(f"{where} has {number} of pictures, where 2 to {MOST_CLASSES:,} are expected.", hint, "data")
    left = sorted(set(train) - set(classes))
    if left:
        preparation.found(f"classes of fewer than {fewest} pictures", f"{len(left):,}", "", some(left))
    _refuse_untrained(listed, shown)
    _tell_names(classes, shown)
    return listed, classes


def _refuse_untrained(listed: Listing, shown: str) -> None:
    """Raise Problem for a class without training pictures: it would get an index that the network never learns."""
    train = {_spelled(name): name for name in listed.parts["train"]}
    for part, by_class in listed.parts.items():
        for name in sorted(set(by_class) - set(listed.parts["train"])):
            alike = train.get(_spelled(name))
            hint = "valid/ and test/ have train/'s classes."
            called = named
            if alike:
                called = escaped if look(alike) == look(name) else named
                hint = f"{listed.folders['train']} has {called(alike)}: call both the same."
            text = f"{shown} has no training pictures of the class {called(name)}, which is in {listed.folders[part]}."
            raise Problem(text, hint, "data")


def _spelled(name: str) -> str:
    """A class's name without what two spellings of the same word differ in."""
    return " ".join(unicodedata.normalize("NFKC", look(name)).replace("_", " ").replace("-", " ").split()).casefold()


def _tell_names(classes: Sequence[str], shown: str) -> None:
    """Say which classes differ in spelling alone, or have a name of which some is not seen; Problem where two would be called the same."""
    looks: dict[str, list[str]] = {}
    spelled: dict[str, list[str]] = {}
    short: dict[str, list[str]] = {}
    for name in classes:
        looks.setdefault(look(name), []).append(name)
        spelled.setdefault(_spelled(name), []).append(name)
        short.setdefault(one_line(name, 40), []).append(name)
        if unseen(name):
            number = "its name has blanks at its ends, or characters that nobody sees"
            preparation.found(f"class {named(name)}", number, f"as {one_line(name, 40)}")
    for names in looks.values():
        if len(names) > 1:
            text = f"{shown} has {len(names)} classes whose names look the same: {' and '.join(map(escaped, names[:NAMED]))}."
            raise Problem(text, "Put their pictures into one folder, or rename one.", "data")
    for names in short.values():
        if len(names) > 1:
            text = f"{shown} has {len(names)} classes whose first 40 characters are {one_line(names[0], 40)!r}."
            raise Problem(text, "Give their folders shorter names.", "data")
    for names in spelled.values():
        if len(names) > 1:
            preparation.found(f"classes {some(names)}", "differ in spelling alone", f"as {len(names)} classes")


def _tell_alike(pictures: picture_files.Squares, places: dict[str, list[int]]) -> None:
    """Say which classes have pictures that are all equal, or mostly of one value."""
    for name, chosen in places.items():
        number = counted(len(chosen), "picture")
        flat = sum(pictures.files[place].flat for place in chosen)
        if len(chosen) > 1 and pictures.equal(chosen):
            preparation.found(f"class {name}", f"{number}, all equal", "all")
        elif 2 * flat >= max(1, len(chosen)):
            what = "all" if flat == len(chosen) else f"{flat:,}"
            preparation.found(f"class {name}", f"{number}, {what} nearly of one value", "all, though they show only a colour")


def _tell_twice(listed: Listing, places: Mapping[str, list[list[int]]], classes: Sequence[str], digests: Sequence[str]) -> None:
    """Say which files are in several classes, or in several of the parts that the folder has."""
    in_classes: dict[str, set[str]] = {}
    in_parts: dict[str, set[str]] = {}
    for part, groups in places.items():
        for name, group in zip(classes, groups, strict=True):
            for place in group:
                in_classes.setdefault(digests[place], set()).add(named(name))
                in_parts.setdefault(digests[place], set()).add(listed.folders[part])
    for what, where, used in (
        ("classes", in_classes, "as a picture of each of them"),
        ("parts", in_parts, "in each of them, so that what is measured there is too good"),
    ):
        several = Counter(tuple(sorted(names)) for names in where.values() if len(names) > 1)
        for names, number in several.most_common(picture_files.NAMED):
            how_many = {2: "two", 3: "three"}.get(len(names), str(len(names)))
            text = f"{counted(number, 'picture')} {'is' if number == 1 else 'are'} in {how_many} {what}: {' and '.join(names)}"
            preparation.found(f"the same file in several {what}", text, used)
        if len(several) > picture_files.NAMED:
            number = sum(several.values()) - sum(number for _, number in several.most_common(picture_files.NAMED))
            preparation.found(f"the same file in several {what}", f"and {counted(number, 'picture')} more", used)


def _with_counts(by_class: Mapping[str, Sequence[Path]], classes: Sequence[str]) -> str:
    """`ants 12, bees 9 and 3 more`."""
    texts = [f"{one_line(name, 40)} {len(by_class.get(name, [])):,}" for name in classes]
    fitting = texts[:NAMED]
    while len(", ".join(fitting)) > ROOM:
        fitting.pop()
    return ", ".join(fitting) + (f" and {len(texts) - len(fitting):,} more" if len(texts) > len(fitting) else "")


def _tell_parts(listed: Listing, places: dict[str, list[list[int]]], missing: Sequence[str], classes: Sequence[str]) -> None:
    """The rows about the parts: how many pictures of how many classes, and what is held out."""
    for part, by_class in listed.parts.items():
        number = sum(len(by_class.get(name, [])) for name in classes)
        used = [f"{sum(map(len, places[part])):,} {PURPOSE[part]}"]
        if part == "train":
            used += [f"{sum(map(len, places[other])):,} held out {PURPOSE[other]}" for other in missing]
        empty = [name for name in classes if not by_class.get(name)]
        without = f"no picture of {some(empty)}" if empty else ""
        what = listed.folders[part] or "class folders"
        preparation.found(what, f"{counted(number, 'picture')} of {len(classes) - len(empty):,} classes", ", ".join(used), without)
        where = f"classes in {listed.folders[part]}" if listed.folders[part] else "classes"
        preparation.found(where, f"{len(classes) - len(empty):,}", _with_counts(by_class, classes))


def _set_aside(group: Sequence[int], digests: Sequence[str], parts: Sequence[str], name: str, shown: str) -> dict[str, list[int]]:
    """Split the indices of a class's training pictures: a fifth for each of `parts`, the rest for train."""
    # Ordered by hash, so the split depends neither on file names nor on the order of the disk.
    order = sorted({digests[place] for place in group})
    if len(order) <= len(parts):
        text = f"{shown} has {len(order) or 'no'} different picture{'s' * (len(order) != 1)} of the class {one_line(name, 80)}"
        raise Problem(f"{text}, where {len(parts) + 1} or more are needed.", "", "data")
    fifth = max(1, len(order) // 5)
    part_of = {digest: [*parts, "train"][min(rank // fifth, len(parts))] for rank, digest in enumerate(order)}
    return {part: [place for place in group if part_of[digests[place]] == part] for part in ("train", *parts)}


def _together(pixels: np.ndarray, places: Sequence[Sequence[int]], folder: str, shown: str) -> Squares:
    """The pictures of all classes of a part as arrays."""
    chosen = [place for group in places for place in group]
    if not chosen:
        raise Problem(f"{shown} has no pictures in {folder}.", "", "data")
    return pixels[chosen], np.repeat(np.arange(len(places), dtype=np.int64), [len(group) for group in places])
