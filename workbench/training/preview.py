"""A look at a data set before training: how much there is, the classes, samples, as events. `preview_data` prints them.

What needs a reader of its own is read by it; everything else, a person's own files too, is looked at by the kind of its files.
"""

import contextlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image, ImageOps

from workbench.datasets import cifar, csv_rows, faces, folder, images, own_file, photographs, photos, sentence_pairs, svhn
from workbench.datasets import table as tables
from workbench.datasets.class_folders import level
from workbench.datasets.labelled_images import ImageData
from workbench.datasets.number_notation import GAPS, plain, read_columns
from workbench.datasets.pictures import ENDINGS, Background, read_picture
from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.datasets.store.stored import named
from workbench.datasets.table import Columns, Fields, breast_cancer, parse
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


@dataclass(frozen=True)
class Own:
    """How a lesson reads a person's own folder or table: what a preview needs to know of its settings."""

    size: int = 32
    """Width and height in pixels."""
    background: Background = "white"
    labelled: bool | None = None
    """Whether a folder is a class; None: where there are folders."""
    columns: dict[str, Any] = field(default_factory=dict)
    """The settings that say what a table's columns are; {}: only its first rows are looked at."""


def look(reference: str, about: Own = Own()) -> Iterator[Event]:
    """`NAME`, `NAME:VARIANT`, or the path of a file or folder; what is not here is fetched. Problem where it cannot be used."""
    if is_path(reference):
        path = Path(reference)
        yield from own_folder(path, about) if path.is_dir() else files({path.name: path}, own=True)
        if about.columns:
            # Read as a run would read it: that makes the table of what was found, and refuses what a run would refuse.
            names = {entry.name for entry in fields(Columns)} & about.columns.keys()
            columns = msgspec.convert({name: about.columns[name] for name in names}, Columns)
            tables.read(str(path), columns, str(about.columns.get("positive", "")), Path())
        return
    name, variant = named(reference)
    if name in ("digits", "mnist", "fashion-mnist"):
        yield from labelled(images.read(name))
    elif name == "cifar10":
        yield from labelled(cifar.read(reference))
    elif name == "svhn":
        yield from labelled(svhn.read())
    elif name == "breast-cancer":
        yield from table(breast_cancer())
    elif name == "python-source":
        from workbench.datasets.text import python_source

        yield from text("Python", python_source())
    elif name in sentence_pairs.NAMES:
        yield from sentences(sentence_pairs.read(name))
    elif name == "photographs":
        yield from files(photographs.files())
    elif reference in photos.INSIDE:
        fetched = fetch(name, variant)
        below, _ = photos.INSIDE[reference]
        yield from class_folders(fetched["pictures"] / below, _names(fetched), photos.FEWEST)
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
    samples = data.train.images[chosen]
    yield pictures("samples", samples / 255 if samples.dtype == np.uint8 else samples, captions)


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


def _names(paths: Mapping[str, Path]) -> dict[str, str]:
    """The names of classes whose folders are called by numbers."""
    if "names" not in paths:
        return {}
    return {str(key): str(value) for key, value in json.loads(own_file.text(paths["names"], 1_000_000)).items()}


def files(paths: Mapping[str, Path], own: bool = False) -> Iterator[Event]:
    """Files by their names in the catalogue, or one of a person's `own`: each by its kind."""
    single = {key: path for key, path in paths.items() if path.is_file() and path.suffix.lower() in ENDINGS}
    if single:
        yield _squares("samples", [read_picture(path, SIDE) for path in single.values()], list(single))
    for key, path in paths.items():
        ending = path.suffix.lower()
        if path.is_dir():
            yield from unlabelled(path)
        elif ending == ".csv":
            yield from table(_fields(path, own), key)
        elif ending == ".txt":
            yield from text(key, own_file.text(path, TEXT_LIMIT))
        elif ending == ".pth":
            yield weights(path)
        elif key not in single:
            yield Table(tag=f"{key} file", columns=["file", "size"], rows=[[one_line(path.name), size(path.stat().st_size)]])


def own_folder(root: Path, about: Own) -> Iterator[Event]:
    """A person's own folder of pictures: first what lies there, then everything is read as a run would read it, which makes the table."""
    if about.labelled is None:
        about = replace(about, labelled=bool(level(root).folders))
    if about.labelled:
        yield from class_folders(root)
        folder.squares(root, about.size, background=about.background)
    else:
        yield from unlabelled(root)
        faces.read(str(root), about.size, about.background)


def class_folders(root: Path, names: Mapping[str, str] = {}, fewest: int = 0) -> Iterator[Event]:
    """Pictures in a folder for each class, as `datasets.folder` reads them: counts by part, and samples.

    `names` are those of classes whose folders are called by numbers.
    """
    listed, order = folder.listed_classes(root, fewest)
    parts = {(part if listed.folders[part] else "all"): files for part, files in listed.parts.items()}
    yield from classes(
        {part: Counter({names.get(name, name): len(files.get(name, [])) for name in order}) for part, files in parts.items()}
    )
    groups = [(names.get(name, name), listed.parts["train"][name]) for name in order]
    # Of more classes than samples every n-th, not the first ones of the alphabet.
    spread = groups[:: max(1, len(groups) // SHOWN)]
    turns = zip_longest(*([(name, path) for path in paths[:SHOWN]] for name, paths in spread[:SHOWN]))
    yield from _samples([picture for turn in turns for picture in turn if picture][:SHOWN])


def unlabelled(root: Path) -> Iterator[Event]:
    """Pictures without classes, in folders or not, as `datasets.faces` reads them."""
    paths = faces.files(root)
    if not paths:
        raise Problem(f"{one_line(str(root))} has no pictures.", "JPEG and PNG pictures are looked for, in folders or not.", "data")
    folders = len({path.parent for path in paths})
    yield Table(tag="sizes", columns=["part", "examples", "folders"], rows=[["all", len(paths), folders]])
    yield from _samples([(path.parent.name, path) for path in paths[:: max(1, len(paths) // SHOWN)][:SHOWN]])


def _samples(chosen: Sequence[tuple[str, Path]]) -> Iterator[Event]:
    """Those that can be read, with the names of their classes; what is wrong with others is told when all are read."""
    opened = []
    for name, path in chosen:
        with contextlib.suppress(Problem):
            opened.append((one_line(name, 40), read_picture(path, SIDE)))
    if opened:
        yield _squares("samples", [picture for _, picture in opened], [name for name, _ in opened])


def _squares(tag: str, opened: Sequence[Image.Image], captions: Sequence[str]) -> Images:
    # Pictures that are all smaller are not enlarged: that would show nothing more.
    side = min(SIDE, max(min(picture.size) for picture in opened))
    squares = [np.asarray(ImageOps.fit(picture, (side, side), Image.Resampling.BILINEAR)) for picture in opened]
    return pictures(tag, np.stack(squares).transpose(0, 3, 1, 2).astype(np.float32) / 255, captions)


def _fields(path: Path, own: bool) -> Fields:
    """A table as training reads it. One of the catalogue whose first row has a number in it has no names for its columns."""
    name = one_line(path.name)
    read = csv_rows.read(own_file.text(path, TEXT_LIMIT), name)
    # A person may call a column 2019, as training takes it.
    if not own and read.rows and any(not math.isnan(plain(field)) for field in read.rows[0].fields):
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


def sentences(data: sentence_pairs.SentencePairs) -> Iterator[Event]:
    """English sentences and their translations: how many each part has, and the first ones."""
    counts = [(part, pairs, sum(len(pair.french) for pair in pairs)) for part, pairs in data.parts.items()]
    yield Table(tag="sizes", columns=["part", "English", "French"], rows=[[part, len(pairs), french] for part, pairs, french in counts])
    rows: list[list[str | float]] = [[one_line(pair.english, 200), one_line(pair.french[0], 200)] for pair in data.parts["train"][:ROWS]]
    yield Table(tag="samples", columns=["English", "French"], rows=rows)


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
        raise Problem(f"{one_line(path.name)} is damaged, or does not hold weights.", "", "data") from None
    return Table(tag="tensors", columns=["tensor", "shape", "numbers"], rows=[["all", "", sum(float(row[2]) for row in rows)], *rows])
