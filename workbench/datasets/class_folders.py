"""What lies where in a person's folder of pictures: the parts of the split, the classes in them, and what is left out, which is said."""

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench import preparation
from workbench.datasets.pictures import ENDINGS
from workbench.problems import Problem, one_line

PARTS = ("train", "valid", "test")
NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev", "eval"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The part that a folder of this name holds, in small letters and without "set" behind it: the spellings that data sets on the web have."""
TAKEN = "valid/ (val, validation, dev, eval, val_set) and test/ (testing, test_set)"
"""The names of the other parts, for people."""
CLUTTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r", "@eadir", "$recycle.bin", "system volume information"}
CLUTTER |= {"#recycle", "lost+found", "picasa.ini"}
"""Names, in small letters, that other systems and programs leave in folders of pictures, in addition to hidden files."""
MARK = ":zone.identifier"
"""What Windows writes behind a downloaded file's name for its note where that came from; seen where its disk is opened elsewhere."""
OTHER_ENDINGS = {".gif", ".bmp", ".webp", ".tif", ".tiff", ".jpe", ".jfif", ".heic", ".avif"}
"""Pictures that are not read: a folder of them beside train/ was meant for something, too."""
SHOWN = 5
"""How many names a row or a message gives."""

Entry = os.DirEntry[str]


@dataclass
class Level:
    """The entries of one folder, by what they are, each by name."""

    folders: list[Entry] = field(default_factory=list)
    files: list[Entry] = field(default_factory=list)
    others: list[Entry] = field(default_factory=list)
    """Links, pipes and devices."""
    clutter: list[str] = field(default_factory=list)
    """The names of hidden entries, and of what other operating systems leave."""


@dataclass
class Listing:
    """The files of each class in each part that is there, by name; `faults` names what is neither a picture's file nor a class."""

    parts: dict[str, dict[str, list[Path]]]
    folders: dict[str, str]
    """What a part's folder is called in messages, `val/`; empty where the class folders lie in the root itself."""
    faults: list[str]


def is_clutter(name: str) -> bool:
    """Whether an entry of this name is nobody's data: hidden, or left by another system."""
    return name.startswith(".") or name.lower() in CLUTTER or name.lower().endswith(MARK)


def look(name: str) -> str:
    """A name as people see it: composed, without invisible characters and blanks at its ends. Names of one look cannot be told apart."""
    return " ".join("".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf").split())


def escaped(name: str) -> str:
    """A name with quotes, and all that is not ASCII as escapes: where two names look the same."""
    return one_line(ascii(name), 80)


def unseen(name: str) -> bool:
    """Whether a name has blanks at its ends, or characters that nobody sees."""
    return name != name.strip() or any(unicodedata.category(character) == "Cf" for character in name)


def named(name: str) -> str:
    """A name as messages and the table have it: escaped where some of it would not be seen."""
    return escaped(name) if unseen(name) else one_line(name, 80)


def shown(name: str) -> str:
    """A folder's name as messages and the table have it."""
    return f"{named(name)}/"


def folders_shown(names: Sequence[str]) -> str:
    """The first few of these folders: "ants/, bees/ and cats/"."""
    texts = [shown(name) for name in names[:SHOWN]] + [f"{len(names) - SHOWN:,} more"] * (len(names) > SHOWN)
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def part_of(name: str) -> str | None:
    """The part that a folder of this name holds: `train`, `Training_set`, `val-set`."""
    words = re.split(r"[\s_-]+", look(name).casefold())
    return NAMES.get(" ".join(words).removesuffix(" set"))


def some(names: Sequence[str]) -> str:
    """The first few of these names, and how many more there are."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(one_line(name, 60) for name in names[:SHOWN]) + more


def counted(number: int, what: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def level(folder: Path) -> Level:
    """What lies in a folder; links are not followed. Raises Problem where it cannot be read."""
    here = Level()
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if is_clutter(entry.name):
                    here.clutter.append(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    here.folders.append(entry)
                elif entry.is_file(follow_symlinks=False):
                    here.files.append(entry)
                else:
                    here.others.append(entry)
    except OSError as error:
        raise Problem(f"{one_line(str(error.filename or folder))} cannot be read: {error.strerror}.", "", "data") from None
    return here


def listing(root: Path) -> Listing:
    """The parts and classes below `root`: one folder for each class; or train/ with such folders, and valid/ and test/, by any of `NAMES`.

    A folder of one of these names is a part where it holds folders, and a class where it holds pictures. Raises Problem (cause "data")
    for pictures in folders that belong to neither, and for two folders of the same part.
    """
    name = one_line(str(root))
    if not root.is_dir():
        raise Problem(f"There is no folder {name}.", "It should hold a folder of pictures for each class.", "data")
    top = level(root)
    links = [_fault(entry, root) for entry in top.others if part_of(entry.name)]
    if links:
        raise Problem(f"{name}: {'; '.join(links)}.", "Put the folder itself there.", "data")
    folders = _part_folders(name, top)
    collected = _Collected()
    if folders:
        _refuse_doubled(root, folders)
        _refuse_others(root, [entry.name for entry in top.folders if entry.name not in folders.values()], folders["train"])
        collected.beside(top, root)
        listed = {part: collected.classes(level(root / folder), root) for part, folder in folders.items()}
        for part, folder in folders.items():
            if unseen(folder):
                preparation.found(shown(folder), "its name has blanks at its ends, or characters that nobody sees", f"as the {part} part")
    else:
        _refuse_deep(name, top)
        listed = {"train": collected.classes(top, root)}
        _tell_classes_like_parts(name, listed["train"])
    collected.tell()
    return Listing(listed, {part: shown(folders[part]) if folders else "" for part in listed}, collected.faults)


def _part_folders(name: str, top: Level) -> dict[str, str]:
    """The folder of each part; none where the folders are classes. Raises Problem for two of the same part, and for parts without train."""
    parts: dict[str, list[str]] = {}
    full: list[Entry] = []
    for entry in top.folders:
        part = part_of(entry.name)
        if part and any(_holds_anything(folder) for folder in level(Path(entry.path)).folders):
            parts.setdefault(part, []).append(entry.name)
            full.append(entry)
    classes = [entry.name for entry in top.folders if not part_of(entry.name) and any(map(_is_picture, level(Path(entry.path)).files))]
    _refuse_mixed(name, full, classes)
    for part, names in parts.items():
        if len(names) > 1:
            text = f"{name} has {folders_shown(names)}, and both would be the {part} part."
            raise Problem(text, "Keep one of them, or put their pictures together.", "data")
    folders = {part: parts[part][0] for part in PARTS if part in parts}
    if folders and "train" not in folders:
        text = f"{name} has {folders_shown(list(folders.values()))} with folders in it, but no train/."
        what = folders_shown(classes) if classes else "the class folders of the training pictures"
        raise Problem(text, f"Put {what} into a folder called train.", "data")
    return folders


def _refuse_mixed(name: str, parts: list[Entry], classes: list[str]) -> None:
    """Raise Problem for a folder that is a class by its pictures and a part by its folders, beside classes."""
    for entry in parts if classes else []:
        inside = level(Path(entry.path))
        if any(map(_is_picture, inside.files)):
            within = folders_shown([f"{entry.name}/{folder.name}" for folder in inside.folders if _holds_anything(folder)])
            text = f"{name}: {shown(entry.name)} has pictures like a class, but also {within} like a part of the split."
            hint = f"If it is a class, move {within} away. If it is a part, put {folders_shown(classes)} into train/."
            raise Problem(text, hint, "data")


def _refuse_doubled(root: Path, folders: dict[str, str]) -> None:
    """Raise Problem where a part has one folder, and the class folders lie in that one: `train/train/ants`."""
    trained = {folder.name for folder in level(root / folders["train"]).folders}
    for part, outer in folders.items():
        inside = level(root / outer).folders
        alone = len(inside) == 1 and (part == "train" or inside[0].name not in trained)
        if alone and not (inner := level(Path(inside[0].path))).files and inner.folders:
            within = shown(f"{outer}/{inside[0].name}")
            text = f"{one_line(str(root))}: {shown(outer)} has no class folders, only {within} with folders in it."
            hint = f"Put {folders_shown([folder.name for folder in inner.folders])} of {within} into {shown(outer)}."
            raise Problem(text, hint, "data")


def _refuse_deep(name: str, top: Level) -> None:
    """Raise Problem for several folders that all have folders in place of pictures: parts by names that are none."""
    inside = {entry.name: level(Path(entry.path)) for entry in top.folders}
    deep = [outer for outer, here in inside.items() if any(map(_holds_anything, here.folders))]
    if len(deep) > 1 and not any(map(_is_picture, (file for here in inside.values() for file in here.files))):
        within = folders_shown(sorted({folder.name for outer in deep for folder in inside[outer].folders}))
        text = f"{name}: {folders_shown(deep)} have folders where pictures are expected."
        raise Problem(text, f"Put {within} into train/. {TAKEN} are read, too, with the same folders.", "data")


def _tell_classes_like_parts(name: str, classes: dict[str, list[Path]]) -> None:
    """Say which classes are called as parts are; Problem where all are: nobody classifies pictures into train and test."""
    full = [class_name for class_name, files in classes.items() if files]
    alike = [class_name for class_name in full if part_of(class_name)]
    if alike and alike == full:
        text = f"{name}: {folders_shown(full)} hold{'s' * (len(full) == 1)} pictures, but no folder for each class."
        raise Problem(text, "Put the pictures of each class into a folder: train/cats/1.jpg, train/dogs/1.jpg.", "data")
    for class_name in alike:
        number = counted(len(classes[class_name]), "picture")
        preparation.found(shown(class_name), f"{number}, no folders", "as a class, not as a part of the split")


class _Collected:
    """What is not a class's picture, over all parts: said at the end in a row for each kind."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.clutter: list[str] = []
        self.pictures: list[str] = []
        self.files: list[str] = []

    def classes(self, here: Level, root: Path) -> dict[str, list[Path]]:
        """The files in each folder, by its name."""
        self.beside(here, root)
        files: dict[str, list[Path]] = {}
        for entry in here.folders:
            inside = level(Path(entry.path))
            files[entry.name] = [Path(file.path) for file in inside.files]
            self.clutter += inside.clutter
            self.faults += [_fault(other, root) for other in sorted([*inside.folders, *inside.others], key=lambda other: other.name)]
        return files

    def beside(self, here: Level, root: Path) -> None:
        """What lies beside folders of classes or of parts."""
        self.clutter += here.clutter
        self.faults += [_fault(other, root) for other in here.others]
        for file in here.files:
            (self.pictures if _is_picture(file) else self.files).append(str(Path(file.path).relative_to(root)))

    def tell(self) -> None:
        """Make the rows of the table."""
        for what, unit, names in (
            ("pictures beside the class folders", "picture", self.pictures),
            ("other files beside the class folders", "file", self.files),
            ("hidden files, and those of other systems", "file", self.clutter),
        ):
            if names:
                left = "in no class's folder: " if names is self.pictures else ""
                preparation.found(what, counted(len(names), unit), "", left + some(sorted(set(names))))


def _refuse_others(root: Path, others: list[str], train: str) -> None:
    """Raise Problem where folders beside train/ have pictures; say which others there are."""
    full = [other for other in others if has_pictures(root / other)]
    if full:
        text = f"{one_line(str(root))} has pictures in {folders_shown(full)} beside {shown(train)}, where they would not be used."
        hint = f"Only {TAKEN} are read, with a folder for each class: rename it, or move it away."
        raise Problem(text, hint, "data")
    for other in others:
        preparation.found(shown(other), "no picture", "", f"it is not {shown(train)}, valid/ or test/")


def has_pictures(folder: Path) -> bool:
    """Whether any visible file below it has the ending of a picture."""
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_clutter(name)]
        if any(not is_clutter(name) and Path(name).suffix.lower() in ENDINGS | OTHER_ENDINGS for name in files):
            return True
    return False


def _is_picture(entry: Entry) -> bool:
    return Path(entry.name).suffix.lower() in ENDINGS | OTHER_ENDINGS


def _holds_anything(entry: Entry) -> bool:
    inside = level(Path(entry.path))
    return bool(inside.folders or inside.files or inside.others)


def _fault(entry: Entry, root: Path) -> str:
    """What an entry is that cannot be used, in words."""
    kind = "pipe or a device"
    if entry.is_symlink():
        kind = "link, and links are not followed"
    elif entry.is_dir(follow_symlinks=False):
        kind = "folder in a class's folder"
    return f"{one_line(str(Path(entry.path).relative_to(root)), 80)} is a {kind}"
