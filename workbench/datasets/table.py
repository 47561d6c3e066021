"""Tables of measurements with one class per row: tumours, students, or a person's CSV file. Read strictly, standardised, split in three."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.datasets import own_file
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, nearest, one_line

LIMIT = 20_000_000
WORDS = 50
"""Most different words in a one-hot encoded column, and most classes."""
MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}


@dataclass(frozen=True)
class Part:
    """`features` (rows, inputs), float32, standardised with the training part; `labels` (rows,), int64; `raw` (rows, inputs) unscaled."""

    features: np.ndarray
    labels: np.ndarray
    raw: np.ndarray


@dataclass(frozen=True)
class ClassTable:
    """A table in three parts with the same share of each class: half training, a quarter validation, a quarter test set."""

    train: Part
    valid: Part
    test: Part
    classes: list[str]
    names: list[str]
    """Names of the inputs; a column of words has one input for each word: `colour = red`."""
    mean: np.ndarray
    scale: np.ndarray
    variant: str


def read(name: str, target: str, positive: str, leave_out: list[str], words: list[str], folder: Path) -> ClassTable:
    """`breast-cancer`, `student-admissions`, or the path of a CSV file, from the recipe's `folder`, whose column `target` is the class.

    `positive` is the class that gets the last index ("": by name). Columns in `words` are one-hot encoded although they are numbers.
    Raises Problem (cause "data") with line and column where the file cannot be used.
    """
    if name == "breast-cancer":
        from sklearn.datasets import load_breast_cancer

        dataset = load_breast_cancer()
        names = [str(feature) for feature in dataset.feature_names]
        classes = [str(dataset.target_names[label]) for label in dataset.target]
        return prepared(np.asarray(dataset.data, float), names, classes, positive or "malignant", "")
    ours = name == "student-admissions"
    path = fetch(name)["students"] if ours else own_file.find(name, folder)
    columns, lines = parse(own_file.text(path, LIMIT), one_line(path.name))
    for column in (target, *leave_out, *words):
        if column not in columns:
            near = nearest(column, list(columns)) or f" It has: {one_line(', '.join(columns), 300)}."
            raise Problem(f"{path.name} has no column {one_line(column)!r}.{near}", "Look at config.target, leave_out and words.", "data")
    classes = columns.pop(target)
    for column in leave_out:
        columns.pop(column, None)
    raw, names = numbers(columns, lines, words, path.name)
    return prepared(raw, names, classes, positive, "" if ours else path.name)


def parse(text: str, name: str) -> tuple[dict[str, list[str]], list[int]]:
    """The columns of a CSV text by the names in its first line, and the line number of each row.

    The separator is a comma, semicolon or tab: the one that occurs most in the first line.
    Raises Problem with the line, and with the column where a field is missing.
    """
    first = text.partition("\n")[0]
    rows = csv.reader(text.split("\n"), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        header = [cell.strip() for cell in next(rows, [])]
        twice = [column for index, column in enumerate(header) if not column or column in header[:index]]
        if twice or len(header) < 2:
            what = f"has two columns {one_line(twice[0])!r}" if twice and twice[0] else "needs a first line that names each of its columns"
            raise Problem(f"{name} {what}.", "", "data")
        columns: dict[str, list[str]] = {column: [] for column in header}
        lines: list[int] = []
        for row in rows:
            if not row:
                continue  # an empty line
            where = f"{name}, line {rows.line_num}"
            lines.append(rows.line_num)
            if len(row) != len(header):
                raise Problem(f"{where}: {len(row)} fields, where the first line names {len(header)}.", "", "data")
            for column, field in zip(header, map(str.strip, row), strict=True):
                if field.lower() in MISSING:
                    raise Problem(f"{where}: {one_line(column)} is missing.", "Fill it in, or leave the row out.", "data")
                columns[column].append(field)
    except csv.Error as error:
        raise Problem(f"{name}, line {rows.line_num}: {one_line(str(error))}.", "", "data") from None
    return columns, lines


def numbers(columns: dict[str, list[str]], lines: list[int], words: list[str], name: str) -> tuple[np.ndarray, list[str]]:
    """All columns as numbers (rows, inputs), words one-hot encoded, and the inputs' names."""
    inputs, names = [], []
    for column, fields in columns.items():
        values = [_number(field) for field in fields]
        wrong = [index for index, value in enumerate(values) if not math.isfinite(value)]
        if not wrong and column not in words:
            inputs.append(np.array(values))
            names.append(column)
            continue
        # Mostly numbers: the rest is likely a typing error, not a column of words.
        if len(wrong) * 2 < len(values) and column not in words:
            where, value = f"{name}, line {lines[wrong[0]]}", one_line(fields[wrong[0]], 40)
            raise Problem(f"{where}: {one_line(column)} is {value!r}, not a number like most of the column.", "", "data")
        categories = sorted(set(fields))
        if len(categories) > WORDS:
            raise Problem(
                f"{name}: {one_line(column)} has {len(categories):,} different words, more than {WORDS}.",
                f"Leave it out: config.leave_out: [{one_line(column)}]",
                "data",
            )
        inputs += [np.array([float(field == word) for field in fields]) for word in categories]
        names += [f"{column} = {word}" for word in categories]
    if not inputs:
        raise Problem(f"{name} has no column except the target.", "", "data")
    return np.stack(inputs, axis=1), names


def prepared(raw: np.ndarray, names: list[str], answers: list[str], positive: str, variant: str) -> ClassTable:
    """Split by a fixed shuffle of each class, and scaled to mean 0 and standard deviation 1 of the training part."""
    classes = sorted(set(answers))
    counts = {label: answers.count(label) for label in classes[: WORDS + 1]}
    if len(classes) < 2 or len(classes) > WORDS:
        raise Problem(f"The target has {len(classes):,} different values; 2 to {WORDS} classes are expected.", "", "data")
    few = [label for label in classes if counts[label] < 5]
    if few:
        raise Problem(
            f"The class {one_line(few[0])!r} has {counts[few[0]]} rows; at least 5 are needed to split them in three.", "", "data"
        )
    if positive and positive not in classes:
        raise Problem(f"There is no class {one_line(positive)!r}.", f"There are: {one_line(', '.join(classes), 300)}.", "data")
    classes.sort(key=lambda label: label == positive)  # the positive class comes last, the others stay sorted by name
    labels = np.array([classes.index(answer) for answer in answers], np.int64)
    # A fixed seed: all runs must be tested on the same rows.
    rng = np.random.default_rng(0)
    chosen: list[list[np.ndarray]] = []
    for label in range(len(classes)):
        rows = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(np.split(rows, [round(len(rows) * 0.5), round(len(rows) * 0.75)]))
    train, valid, test = (np.sort(np.concatenate(rows)) for rows in zip(*chosen, strict=True))
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = raw[train].mean(0), raw[train].std(0)
        # A constant column would divide by zero.
        scale[scale == 0] = 1.0
        features = ((raw - mean) / scale).astype(np.float32)
    finite = np.isfinite(features).all(0) & np.isfinite(scale)
    if not finite.all():
        raise Problem(f"{one_line(names[int(finite.argmin())])} has numbers too large to be scaled.", "", "data")
    first, second, third = (Part(features[rows], labels[rows], raw[rows]) for rows in (train, valid, test))
    return ClassTable(first, second, third, classes, names, mean, scale, variant)


def _number(field: str) -> float:
    try:
        return float(field)
    except ValueError:
        return math.nan
