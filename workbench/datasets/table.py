"""Tables of measurements with one class per row: tumours, students, or a person's CSV file. Read strictly, standardised, split in three."""

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from workbench import preparation
from workbench.datasets import csv_rows, own_file
from workbench.datasets.csv_rows import SEPARATORS, Rows
from workbench.datasets.number_notation import GAPS, gaps_among, listed, plain, read_columns, same
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, nearest, one_line

LIMIT = 20_000_000
WORDS = 50
"""Most different words in a one-hot encoded column, and most classes."""
LABEL = 200
"""Most characters of a name that a file gives a column, a class or a word."""


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


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a table are, as a person tells it."""

    target: str = "target"
    leave_out: Sequence[str] = ()
    words: Sequence[str] = ()
    """Columns that are one-hot encoded although they are numbers."""
    numbers: Sequence[str] = ()
    """Columns that are numbers although they look like codes."""
    missing: Sequence[str] = ()
    """Words that stand for a missing field in every column. In columns of numbers those of `number_notation.GAPS` do, too."""
    decimal: Literal["auto", "point", "comma"] = "auto"
    spellings: Literal["ask", "together", "apart"] = "ask"
    """What words are that differ only in case or blanks."""

    def check(self, columns: Collection[str], name: str, advice: str) -> None:
        """Raises Problem for a column that is not there, with `advice`, or is named for two things."""
        roles = {"leave_out": self.leave_out, "words": self.words, "numbers": self.numbers, "target": [self.target]}
        seen: dict[str, str] = {}
        for role, named in roles.items():
            for column in named:
                if column not in columns:
                    near = nearest(column, columns) or f". It has: {one_line(', '.join(columns), 300)}."
                    raise Problem(f"{name} has no column {one_line(column)!r}{near}", f"Look at config.{role}. {advice}".strip(), "data")
                if seen.setdefault(column, role) != role:
                    raise Problem(
                        f"The column {one_line(column)!r} is named both in config.{seen[column]} and in config.{role}.",
                        "Choose one.",
                        "data",
                    )


@dataclass(frozen=True)
class Fields:
    """A table as text: the fields of each column by its name, and the line that each row begins in."""

    columns: dict[str, list[str]]
    lines: list[int]
    separator: str = ","
    advice: str = ""
    """What a person may do where a column is not among them."""
    unnamed: tuple[str, ...] = ()
    """Columns that have their place for a name."""


def read(name: str, columns: Columns, positive: str, folder: Path) -> ClassTable:
    """`breast-cancer`, `student-admissions`, or the path of a CSV file, from the recipe's `folder`.

    `positive` is the class that gets the last index ("": by name). What was found, used and left out is told to `preparation`.
    Raises Problem (cause "data") with line and column where the file cannot be used.
    """
    variant, shown = "", name
    if name == "breast-cancer":
        fields = breast_cancer()
        positive = positive or ("malignant" if columns.target == "target" else "")
    else:
        ours = name == "student-admissions"
        path = fetch(name)["students"] if ours else own_file.find(name, folder)
        shown = one_line(path.name)
        variant = "" if ours else path.name
        fields = parse(csv_rows.read(own_file.text(path, LIMIT), shown), shown)
    columns.check(fields.columns, shown, fields.advice)
    used = dict(fields.columns)
    for column in columns.leave_out:
        _tell(column, fields.lines, "", "named in leave_out")
        del used[column]
    for column in fields.unnamed:
        # pandas writes the index of its rows; a person who names it knows what it is.
        if column in used and column not in (columns.target, *columns.words, *columns.numbers) and _tells_rows_apart(used[column]):
            _tell(column, fields.lines, "", "has no name, and only tells rows apart")
            del used[column]
    _refuse_gaps(used, fields.lines, columns, shown)
    answers = _spelled_alike(used.pop(columns.target), columns.target, columns.spellings, fields.lines, shown)
    raw, names = numbers(replace(fields, columns=used), columns, shown)
    answers = _labels(answers, columns.target, fields.lines, shown)
    counts = Counter(answers)
    classes = ", ".join(f"{label} {number:,}" for label, number in sorted(counts.items())[: WORDS + 1])
    _tell(columns.target, fields.lines, f"target, {plural(len(counts), 'class')}: {classes}")
    return prepared(raw, names, answers, positive, variant)


def parse(table: Rows, name: str) -> Fields:
    """The columns by the names in the first row. One without a name is called by its place: column 1.

    Raises Problem with the line where a row has another number of fields.
    """
    if not table.rows:
        raise Problem(f"{name} is empty.", "", "data")
    # A spreadsheet's headings may have several lines, which nobody could type in config.leave_out.
    header, rows = [one_line(column, LABEL) for column in table.rows[0].fields], table.rows[1:]
    if not rows:
        raise Problem(f"{name} has no row under its first line.", "", "data")
    note = f"{table.empty:,} without any field" if table.empty else ""
    preparation.found(name, plural(len(rows) + table.empty, "row"), f"{plural(len(rows), 'row')}, separated by {table.separated}", note)
    # A separator too many at the end of the first line alone, or of every other one.
    if not header[-1] and all(len(fields) == len(header) - 1 for _, fields in rows):
        preparation.found(
            f"{name}, line {table.rows[0].line}", f"{len(header)} fields", plural(len(header) - 1, "field"), "a separator at its end"
        )
        header.pop()
    elif all(len(fields) == len(header) + 1 and not fields[-1] for _, fields in rows):
        preparation.found(f"{name}, each row", f"{len(header) + 1} fields", plural(len(header), "field"), "a separator at its end")
        rows = [row._replace(fields=row.fields[:-1]) for row in rows]
    # As R writes tables. Names of rows differ: else these may be numbers with a comma in them.
    elif all(len(fields) == len(header) + 1 for _, fields in rows) and _names_rows([row.fields[0] for row in rows]):
        what = f"{name}, each row", f"{len(header) + 1} fields", f"{len(header) + 1} columns, the first one without a name"
        preparation.found(*what, "")
        header.insert(0, "")
    if len(header) < 2:
        kinds = ", ".join(SEPARATORS.values())
        advice = f"Looked for: {kinds}. The target needs inputs. {table.advice}"
        raise Problem(f"{name} has one column: its first line has no separator.", advice, "data")
    wrong = next((row for row in rows if len(row.fields) != len(header)), None)
    if wrong:
        number = len(wrong.fields)
        raise Problem(
            f"{name}, line {wrong.line}: {plural(number, 'field')}, where the first line names {len(header)}.", table.advice, "data"
        )
    if again := next((row for row in rows if [one_line(field, LABEL) for field in row.fields] == header), None):
        raise Problem(f"{name}, line {again.line}: the names of the columns again.", "Are these two files in one? Remove the line.", "data")
    unnamed = []
    for place, column in enumerate(header):
        # pandas calls a column so that it found without a name.
        if not column or re.fullmatch(r"Unnamed: [0-9]+(\.[0-9]+)?", column):
            header[place] = column or f"column {place + 1}"
            unnamed.append(header[place])
    if twice := [column for column, number in Counter(header).items() if number > 1]:
        raise Problem(f"{name} has two columns {one_line(twice[0])!r}.", "Give each a name of its own.", "data")
    columns = dict(zip(header, map(list, zip(*(row.fields for row in rows), strict=True)), strict=True))
    for column in [column for column in unnamed if not any(columns[column])]:
        _tell(column, rows, "", "has no name and no field")
        del columns[column]
    return Fields(
        columns, [row.line for row in rows], table.separator, table.advice, tuple(column for column in unnamed if column in columns)
    )


def numbers(table: Fields, columns: Columns, name: str) -> tuple[np.ndarray, list[str]]:
    """All columns as numbers (rows, inputs), words one-hot encoded, and the inputs' names; Problem where a person must decide."""
    gaps = GAPS.union(columns.missing)
    readings = read_columns(
        table.columns, table.separator, words=columns.words, numbers=columns.numbers, gaps=gaps, decimal=columns.decimal
    )
    inputs, names = [], []
    for column, fields in table.columns.items():
        reading = readings[column]
        if reading.doubt:
            raise Problem(f"{name}, line {table.lines[reading.place]}: {one_line(column)} {reading.doubt}", reading.hint, "data")
        unnamed = "without a name: " if column in table.unnamed else ""
        if reading.values is not None:
            inputs.append(reading.values)
            names.append(column)
            index = "another whole number in each row: is it an id?" if _is_index(fields) else ""
            _tell(column, table.lines, unnamed + ", ".join(filter(None, ("numbers", reading.notation, index))))
            continue
        if (number := len({field.casefold() for field in fields})) > WORDS:
            digits = 2 * sum(any(map(str.isdecimal, field)) for field in fields) > len(fields)
            numbers_hint = " If these are numbers, write them plainly: 1234.5, or with a unit: 40 kg." if digits else ""
            raise Problem(
                f"{name}: {one_line(column)} has {number:,} different words, more than {WORDS}.",
                f"Leave it out: config.leave_out: {listed(column)}.{numbers_hint}",
                "data",
            )
        fields = _spelled_alike(fields, column, columns.spellings, table.lines, name)
        categories = sorted(set(fields))
        inputs += [np.array([float(field == word) for field in fields]) for word in categories]
        names += [f"{column} = {one_line(word, LABEL)}" for word in categories]
        _tell(column, table.lines, f"{unnamed}one-hot, {plural(len(categories), 'word')}: {', '.join(categories)}")
    if not inputs:
        raise Problem(f"{name} has no column except the target.", table.advice, "data")
    return np.stack(inputs, axis=1), names


def prepared(raw: np.ndarray, names: list[str], answers: list[str], positive: str, variant: str) -> ClassTable:
    """Split by a fixed shuffle of each class, and scaled to mean 0 and standard deviation 1 of the training part."""
    classes = sorted(set(answers))
    counts = {label: answers.count(label) for label in classes[: WORDS + 1]}
    if len(classes) < 2 or len(classes) > WORDS:
        raise Problem(f"The target has {plural(len(classes), 'different value')}; 2 to {WORDS} classes are expected.", "", "data")
    few = [label for label in classes if counts[label] < 5]
    if few:
        raise Problem(
            f"The class {one_line(few[0])!r} has {plural(counts[few[0]], 'row')}; at least 5 are needed to split them in three.", "", "data"
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


def breast_cancer() -> Fields:
    """scikit-learn's table as text."""
    from sklearn.datasets import load_breast_cancer

    dataset = load_breast_cancer()
    # A float's shortest text reads back as the same bits.
    columns = {
        str(name): [repr(value) for value in values.tolist()] for name, values in zip(dataset.feature_names, dataset.data.T, strict=True)
    }
    columns["target"] = [str(dataset.target_names[label]) for label in dataset.target]
    return Fields(columns, list(range(1, len(dataset.target) + 1)))


def plural(number: int, what: str) -> str:
    """1 class, 2 classes."""
    return f"{number:,} {what}{'' if number == 1 else 'es' if what.endswith('s') else 's'}"


def _tell(column: str, fields: Sequence[object], used: str, left_out: str = "") -> None:
    name = column if column.startswith("column ") else f"column {column}"
    preparation.found(name, plural(len(fields), "field"), used, left_out)


def _labels(answers: list[str], column: str, lines: list[int], name: str) -> list[str]:
    """The answers as they are shown; Problem where two different ones would be shown alike, and be one class."""
    labels: dict[str, str] = {}
    for place, answer in enumerate(answers):
        first = labels.setdefault(one_line(answer, LABEL), answer)
        if first != answer:
            start = max(0, next((at for at, (one, two) in enumerate(zip(first, answer, strict=False)) if one != two), len(first)) - 20)
            one, two = (f"{'…' if start else ''}{text[start : start + 40]!a}" for text in (answer, first))
            raise Problem(
                f"{name}, line {lines[place]}: {one_line(column)} is {one}, in line {lines[answers.index(first)]} {two}: "
                "two classes whose names are shown alike.",
                f"Names must differ in their first {LABEL - 1} characters, and not only in what cannot be seen.",
                "data",
            )
    return [one_line(answer, LABEL) for answer in answers]


_WHOLE = re.compile(r"[0-9]+(\.0*)?")


def _is_index(fields: list[str]) -> bool:
    """Whether each row has another whole number; 0.0 is one as pandas writes it."""
    return all(map(_WHOLE.fullmatch, fields)) and len({float(field) for field in fields}) == len(fields)


def _names_rows(fields: list[str]) -> bool:
    """Whether these count the rows from 1, or are another word in each."""
    return fields == [str(place) for place in range(1, len(fields) + 1)] or (
        len(set(fields)) == len(fields) and all(math.isnan(plain(field)) for field in fields)
    )


def _tells_rows_apart(fields: list[str]) -> bool:
    """Whether a column without a name is an index, one of each of several files (each counts anew), or another word in each row."""
    if all(map(_WHOLE.fullmatch, fields)):
        places = [float(field) for field in fields]
        starts = [place for place, value in enumerate(places) if place == 0 or value != places[place - 1] + 1]
        # Few rows are no file: hours and weekdays count anew as well.
        counts = len(places) / len(starts) > 24 and all(places[start] == places[0] for start in starts)
        return counts or _is_index(fields)
    return _names_rows(fields)


def _refuse_gaps(used: dict[str, list[str]], lines: list[int], columns: Columns, name: str) -> None:
    gaps = {"", *columns.missing}
    for column, fields in used.items():
        # 0, 1 and NA are two classes and a gap; NA among words is one of them.
        others = set(fields) - gaps_among(set(fields), {"", *GAPS}) if column == columns.target else set()
        missing = gaps_among(set(fields), gaps | GAPS if others and not any(math.isnan(plain(field)) for field in others) else gaps)
        places = [place for place, field in enumerate(fields) if field in missing]
        if places:
            what = f" ({one_line(fields[places[0]], 40)!r})" if fields[places[0]] else ""
            more = f", and {len(places) - 1:,} more" if len(places) > 1 else ""
            raise Problem(
                f"{name}, line {lines[places[0]]}: {one_line(column)} is missing{what}{more}.",
                "Fill it in, or leave the row out."
                if column == columns.target
                else f"Fill it in, leave the row out, or the column: config.leave_out: {listed(column)}.",
                "data",
            )


def _spelled_alike(fields: list[str], column: str, spellings: str, lines: list[int], name: str) -> list[str]:
    """Words that differ only as `same` says, in the spelling that most have; Problem unless a person said so."""
    groups: dict[object, Counter[str]] = {}
    for field, number in Counter(fields).items():
        groups.setdefault(same(field), Counter())[field] = number
    several = [group for group in groups.values() if len(group) > 1] if spellings != "apart" else []
    if several and spellings == "ask":
        (first, _), (second, _), *_ = several[0].most_common()
        raise Problem(
            f"{name}, line {lines[fields.index(second)]}: {one_line(column)} is {second[:60]!a}, elsewhere {first[:60]!a}: the same?",
            "The same: config.spellings: together. Two different words: config.spellings: apart.",
            "data",
        )
    spelled = {field: group.most_common(1)[0][0] for group in several for field in group}
    for group in several:
        most, *others = [field for field, _ in group.most_common()]
        _tell(column, [*group.elements()], f"as {most!a}", f"spelled {', '.join(map(ascii, others))}")
    return [spelled.get(field, field) for field in fields]
