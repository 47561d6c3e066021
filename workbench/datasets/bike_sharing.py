"""Hourly bike rentals in Washington DC: reads hour.csv strictly and prepares it as the course does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from workbench import preparation
from workbench.datasets import csv_rows, own_file
from workbench.datasets.number_notation import plain
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

PLAIN = ["yr", "holiday"]
RAW = ["workingday", "atemp"]
"""Columns that the course does not use as features."""
SCALED = ["temp", "hum", "windspeed"]
ONE_HOT = {"season": range(1, 5), "weathersit": range(1, 5), "mnth": range(1, 13), "hr": range(24), "weekday": range(7)}
NEEDED = ["dteday", "cnt", *PLAIN, *SCALED, *ONE_HOT, *RAW]

LIMIT = 20_000_000
WINDOW = 21
TEST, VALID = WINDOW * 24, 60 * 24
"""Rows of the last 21 days, and of the 60 days before them. Where hours are missing, both start a little earlier."""


@dataclass(frozen=True)
class Hours:
    """Consecutive hours. `features` (hours, 56) and `target` (hours, 1) are float64, `target` scaled; `riders` (hours,) is not."""

    features: np.ndarray
    target: np.ndarray
    riders: np.ndarray
    days: np.ndarray
    """(hours,) the day of December 2012 with the hour as its fraction; values below 1 are before that month."""
    week_before: np.ndarray
    """(hours,) the riders 168 rows (one week) earlier; NaN where there is no such row."""
    columns: dict[str, np.ndarray]
    """The file's own numbers, (hours,) each, and `day`: days since 1 January 2011."""


@dataclass(frozen=True)
class BikeSharing:
    """The hours in order of time, split by time; riders = target * scale + mean."""

    train: Hours
    valid: Hours
    test: Hours
    mean: float
    scale: float


def read() -> BikeSharing:
    """The course's split: the last 504 rows are the test set, 1,440 before them validation, the first 15,435 training."""
    return prepare(parse(fetch("bike-sharing")["hour"]))


def read_windows(windows: Sequence[int]) -> list[BikeSharing]:
    """The split of each window, see `prepare`."""
    columns = parse(fetch("bike-sharing")["hour"])
    return [prepare(columns, window) for window in windows]


def prepare(columns: dict[str, np.ndarray], window: int = 0) -> BikeSharing:
    """The columns of `parse`, one-hot encoded or scaled to mean 0 and standard deviation 1.

    Window 0 is the course's split. Window n is the n-th block of 21 days counted back from the start of the course's test set: this block
    is the test set, all earlier hours are the training set, there is no validation set, and later hours are left out. Means and standard
    deviations (with n - 1) are of all rows except the test rows; as in the course, this includes the validation rows.
    """
    days = columns["dteday"]
    valid = VALID
    if window:
        first = days[-TEST - 1] + 1 - WINDOW * window
        end = int(np.searchsorted(days, first + WINDOW))
        columns = {name: values[:end] for name, values in columns.items()}
        test, valid = end - int(np.searchsorted(days, first)), 0
        # 168 hours are one week: the baseline needs the same hour of the week before.
        if end - test <= 168:
            raise Problem(f"There are too few hours before window {window}.", "Early windows have too few hours to train on.", "data")
    else:
        test = TEST
    number = len(columns["cnt"])
    observed = slice(None, number - test)

    def scaled(name: str) -> tuple[np.ndarray, float, float]:
        values = columns[name]
        mean, scale = float(values[observed].mean()), float(values[observed].std(ddof=1))
        return (values - mean) / scale, mean, scale

    feature_columns = [columns[name] for name in PLAIN] + [scaled(name)[0] for name in SCALED]
    feature_columns += [(columns[name] == value).astype(float) for name, values in ONE_HOT.items() for value in values]
    features = np.stack(feature_columns, axis=1)
    target, mean, scale = scaled("cnt")
    riders = columns["cnt"]
    # By rows, not by the calendar, as in the course: missing hours shift it a little.
    week_before = np.concatenate([np.full(168, math.nan), riders[:-168]])
    # The course plots its test set over the days of December 2012.
    days = columns["dteday"] - date(2012, 11, 30).toordinal() + columns["hr"] / 24
    raw = {**columns, "day": columns["dteday"] - date(2011, 1, 1).toordinal()}

    def hours(first: int, end: int) -> Hours:
        rows = slice(first, end)
        part = {name: values[rows] for name, values in raw.items()}
        return Hours(features[rows], target[rows, None], riders[rows], days[rows], week_before[rows], part)

    parts = hours(0, number - test - valid), hours(number - test - valid, number - test), hours(number - test, number)
    return BikeSharing(*parts, mean, scale)


def parse(path: Path) -> dict[str, np.ndarray]:
    """The needed columns as float64; `dteday` as the day's ordinal.

    Raises Problem with the line where a column, a field or a number is missing or wrong.
    """
    file = one_line(str(path))
    table = csv_rows.read(own_file.text(path, LIMIT), file, ",").rows
    header = table[0].fields if table else []
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise Problem(f"{file} has no column {missing[0]!r} in its first line.", "", "data")
    places = [header.index(name) for name in NEEDED]
    rows: list[list[float]] = []
    for line, row in table[1:]:
        where = f"{file}, line {line}"
        if len(row) != len(header):
            raise Problem(f"{where}: {len(row)} fields, where the first line names {len(header)}.", "", "data")
        rows.append([_number(name, row[place], where) for name, place in zip(NEEDED, places, strict=True)])
    unused = ", ".join(name for name in header if name not in NEEDED)
    preparation.found(path.name, f"{len(rows):,} hours, {len(header)} columns", f"{len(rows):,} hours, {len(NEEDED)} columns", unused)
    if len(rows) <= TEST + VALID + 168:
        raise Problem(f"{file} has {len(rows):,} hours, too few to train on.", "", "data")
    return dict(zip(NEEDED, np.array(rows).T, strict=True))


def _number(name: str, text: str, where: str) -> float:
    try:
        value = float(date.fromisoformat(text).toordinal()) if name == "dteday" else plain(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Problem(f"{where}: {name} is {one_line(text, 40)!r}, not a {'date' if name == 'dteday' else 'number'}.", "", "data")
    if name in ONE_HOT and value not in ONE_HOT[name]:
        allowed = ONE_HOT[name]
        raise Problem(f"{where}: {name} is {text}, where {allowed[0]} to {allowed[-1]} is expected.", "", "data")
    return value
