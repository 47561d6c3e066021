"""A look at a data set before training: how much there is, the classes, samples, as events. `preview_data` prints them.

What needs a reader of its own is read by it; everything else, a person's own files too, is looked at by the kind of its files.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from workbench.datasets import csv_rows, images, own_file
from workbench.datasets.labelled_images import ImageData
from workbench.datasets.number_notation import GAPS, plain, read_columns
from workbench.datasets.pictures import read_picture
from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.datasets.store.stored import named
from workbench.datasets.table import Fields, breast_cancer, parse
from workbench.events import Event, Images, Table, Text
from workbench.formatting import number, size
from workbench.problems import Problem, one_line
from workbench.training.figures import pictures

SHOWN = 24
"""Samples."""
SIDE = 96
"""Pixels of a sample, where pictures have different sizes."""
ROWS = 20
"""First rows of a table that are shown."""
WIDE = 8
"""Most columns of a table whose rows are shown, too."""
FEW = 30
"""Most different lines of a text that are classes."""
COUNTED = 6
"""Most different values of a column that are counted one by one."""
BEGINNING = 3000
"""Characters of a text that are shown."""
TEXT_LIMIT = 60_000_000
"""Most bytes of a text or a table."""
PICTURES = {".jpg", ".jpeg", ".png"}


def title(reference: str) -> str:
    """What a data set of the catalogue, or a person's own path, is called; Problem where there is none."""
    if is_path(reference):
        if not Path(reference).exists():
            raise Problem(f"There is no file or folder {one_line(reference)}.", "", "data")
        return one_line(Path(reference).name)
    return find(*named(reference)).title


def is_path(reference: str) -> bool:
    """A person's own file or folder, as recipes tell it: it has a slash."""
    return "/" in reference


def look(reference: str) -> Iterator[Event]:
    """`NAME`, `NAME:VARIANT`, or the path of a file or folder; what is not here is fetched. Problem where it cannot be used."""
    if is_path(reference):
        path = Path(reference)
        yield from files({path.name: path})
        return
    name, variant = named(reference)
    if name in ("digits", "mnist", "fashion-mnist"):
        yield from labelled(images.read(name))
    elif name == "breast-cancer":
        yield from table(breast_cancer())
    elif name == "python-source":
        from workbench.datasets.text import python_source

        yield from text("Python", python_source())
    else:
        yield from files(fetch(name, variant))


def labelled(data: ImageData) -> Iterator[Event]:
    """Pictures with a label each, split in three: counts, and samples of each class in turn."""
    parts = {"train": data.train, "valid": data.valid, "test": data.test}
    counts = {part: Counter(data.classes[label] for label in split.labels.tolist()) for part, split in parts.items()}
    yield from classes(counts, data.classes)
    by_class = [np.flatnonzero(data.train.labels == label)[: SHOWN // len(data.classes) + 1] for label in range(len(data.classes))]
    # A picture of each class in turn: the first row shows as many classes as it can.
    chosen = [int(index) for turn in zip_longest(*by_class) for index in turn if index is not None][:SHOWN]
    captions = [data.classes[data.train.labels[index]] for index in chosen]
    yield pictures("samples", data.train.images[chosen], captions)


def classes(counts: Mapping[str, Counter[str]], order: Sequence[str] = ()) -> Iterator[Event]:
    """How many examples of each class each part has: `counts` by part. In this order, or the most frequent class first."""
    parts = list(counts)
    yield Table(
        tag="sizes", columns=["part", "examples", "classes"], rows=[[part, counts[part].total(), len(counts[part])] for part in parts]
    )
    together = sum(counts.values(), Counter[str]())
    names = order or [name for name, _ in together.most_common()]
    rows: list[list[str | float]] = [[one_line(name, 40), *(counts[part][name] for part in parts)] for name in names]
    yield Table(tag="classes", columns=["class", *parts], rows=rows)


def files(paths: Mapping[str, Path]) -> Iterator[Event]:
    """Files by their names in the catalogue, or one of a person's own: each by its kind."""
    single = {key: path for key, path in paths.items() if path.is_file() and path.suffix.lower() in PICTURES}
    if single:
        yield _squares("samples", list(single.values()), list(single))
    names = {}
    if "names" in paths:  # of folders that are called by numbers
        names = {str(key): str(value) for key, value in json.loads(own_file.text(paths["names"], 1_000_000)).items()}
    for key, path in paths.items():
        ending = path.suffix.lower()
        if path.is_dir():
            yield from folder(path, names)
        elif ending == ".csv":
            yield from table(_fields(path), key)
        elif ending == ".txt":
            yield from text(key, own_file.text(path, TEXT_LIMIT))
        elif ending == ".pth":
            yield weights(path)
        elif key not in single and key != "names":
            yield Table(tag=f"{key} file", columns=["file", "size"], rows=[[one_line(path.name), size(path.stat().st_size)]])


def folder(root: Path, names: Mapping[str, str] = {}) -> Iterator[Event]:
    """A folder of pictures: the innermost folder is the class; train, valid and test above it, where they are, the part."""
    pictures_of: dict[str, dict[str, list[Path]]] = {}
    """By part and class."""
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in PICTURES and path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            *above, kind = path.relative_to(root).parts[:-1] or (root.name,)
            part = next((name for name in above if name in ("train", "valid", "test")), "all")
            pictures_of.setdefault(part, {}).setdefault(names.get(kind, kind), []).append(path)
    if not pictures_of:
        raise Problem(f"{one_line(str(root))} has no pictures.", "JPEG and PNG pictures are looked for, a folder for each class.", "data")
    order = [part for part in ("train", "valid", "test", "all") if part in pictures_of]
    yield from classes({part: Counter({name: len(paths) for name, paths in pictures_of[part].items()}) for part in order})
    groups = list(pictures_of[order[0]].items())
    # Of more classes than samples every n-th, not the first ones of the alphabet.
    spread = groups[:: max(1, len(groups) // SHOWN)]
    turns = zip_longest(*([(name, path) for path in paths[:SHOWN]] for name, paths in spread[:SHOWN]))
    chosen = [picture for turn in turns for picture in turn if picture][:SHOWN]
    yield _squares("samples", [path for _, path in chosen], [one_line(name, 40) for name, _ in chosen])


def _squares(tag: str, paths: Sequence[Path], captions: Sequence[str]) -> Images:
    opened = [read_picture(path, SIDE) for path in paths]
    # Pictures that are all smaller are not enlarged: that would show nothing more.
    side = min(SIDE, max(min(picture.size) for picture in opened))
    squares = [np.asarray(ImageOps.fit(picture, (side, side), Image.Resampling.BILINEAR)) for picture in opened]
    return pictures(tag, np.stack(squares).transpose(0, 3, 1, 2).astype(np.float32) / 255, captions)


def _fields(path: Path) -> Fields:
    """A table as training reads it; one whose first row has a number in it has no names for its columns."""
    name = one_line(path.name)
    read = csv_rows.read(own_file.text(path, TEXT_LIMIT), name)
    if read.rows and any(not math.isnan(plain(field)) for field in read.rows[0].fields):
        places = [str(place) for place in range(1, len(read.rows[0].fields) + 1)]
        read = replace(read, rows=[csv_rows.Row(0, places), *read.rows])
    return parse(read, name)


def table(fields: Fields, name: str = "rows") -> Iterator[Event]:
    """What each column of a table holds and how it reads, and the first rows."""
    readings = read_columns(fields.columns, fields.separator, gaps={"", *GAPS})
    about: list[list[str | float]] = []
    for column, cells in fields.columns.items():
        different, reading = Counter(cells), readings[column]
        first = ", ".join(one_line(cell, 20) for cell in cells[:3])
        counted = f"{len(different):,} different"
        # Few values, each several times on average, are categories; few values of a short column are not.
        if len(different) <= COUNTED and len(different) * 4 < len(cells):
            counted = ", ".join(f"{one_line(value, 20)}: {times:,}" for value, times in sorted(different.items(), key=_by_value))
        summary = ["", "", ""]
        if reading.values is not None:
            summary = [number(float(value)) for value in (reading.values.min(), reading.values.mean(), reading.values.max())]
        doubt = f"line {fields.lines[reading.place]} {reading.doubt}" if reading.doubt else ""
        about.append([one_line(column, 40), *summary, "; ".join(filter(None, (reading.notation, doubt, counted))), first])
    rows = len(fields.lines)
    yield Table(tag=f"{name} columns", columns=["column", "least", "mean", "most", f"values of {rows:,}", "first"], rows=about)
    if len(fields.columns) <= WIDE:
        columns: list[list[str | float]] = [
            [one_line(cell, 40) for cell in cells[:ROWS]] if (values := readings[column].values) is None else values[:ROWS].tolist()
            for column, cells in fields.columns.items()
        ]
        shown = [list(row) for row in zip(*columns, strict=True)]
        yield Table(tag=f"{name} rows", columns=[one_line(column, 40) for column in fields.columns], rows=shown)


def _by_value(counted: tuple[str, int]) -> tuple[float, str]:
    value = plain(counted[0])
    return (0.0 if math.isnan(value) else value, counted[0])


def text(name: str, content: str) -> Iterator[Event]:
    """A text: its counts and its beginning; one with a class in each line: their counts."""
    lines = content.split("\n")
    different = Counter(line for line in lines if line)
    if len(different) <= FEW < len(lines):
        yield from classes({name: different})
        return
    words = content.split()
    rows: list[list[str | float]] = [
        ["characters", len(content)],
        ["different characters", len(set(content))],
        ["lines", len(lines)],
        ["words", len(words)],
        ["different words", len(set(words))],
    ]
    yield Table(tag=f"{name} sizes", columns=["what", "how many"], rows=rows)
    yield Text(tag=f"{name} beginning", text=content[:BEGINNING] + ("…" if len(content) > BEGINNING else ""))


def weights(path: Path) -> Table:
    """The tensors of a state_dict, and how many numbers they hold."""
    import torch

    try:
        # Mapped, not read: only the shapes are wanted, and the largest of such files have gigabytes.
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        rows: list[list[str | float]] = [
            [one_line(key), " x ".join(map(str, tensor.shape)), tensor.numel()] for key, tensor in saved.items()
        ]
    except Exception:  # as many kinds of error as there are ways to be damaged
        raise Problem(f"{one_line(path.name)} is damaged, or holds something else than weights.", "", "data") from None
    return Table(tag="tensors", columns=["tensor", "shape", "numbers"], rows=[["all", "", sum(float(row[2]) for row in rows)], *rows])
