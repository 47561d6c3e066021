"""Bike rentals in Washington DC by the hour: reads hour.csv strictly and prepares it as the course does."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.datasets.fetch import fetch
from workbench.problems import Problem, one_line

PLAIN = ["yr", "holiday"]
SCALED = ["temp", "hum", "windspeed"]
ONE_HOT = {"season": range(1, 5), "weathersit": range(1, 5), "mnth": range(1, 13), "hr": range(24), "weekday": range(7)}
NEEDED = ["dteday", "cnt", *PLAIN, *SCALED, *ONE_HOT]

TEST, VALID = 21 * 24, 60 * 24
"""Rows of the last 21 days, and of the 60 before them; a day with a missing hour makes both begin a little earlier."""


@dataclass(frozen=True)
class Hours:
    """Consecutive hours. `features` (hours, 56) and `target` (hours, 1) are float64, `target` scaled; `riders` (hours,) is not."""

    features: np.ndarray
    target: np.ndarray
    riders: np.ndarray
    days: np.ndarray
    """(hours,) the day of the month, and the hour as its fraction."""
    week_before: np.ndarray
    """(hours,) the riders 168 rows earlier; NaN where there is no such row."""


@dataclass(frozen=True)
class BikeSharing:
    """The hours in order of time, split by it; riders = target * scale + mean."""

    train: Hours
    valid: Hours
    test: Hours
    mean: float
    scale: float


def read() -> BikeSharing:
    """The course's split: the last 504 rows to test, the 1,440 before to validate, the rest to train on (15,435)."""
    return prepare(parse(fetch("bike-sharing")["hour"]))


def prepare(columns: dict[str, np.ndarray]) -> BikeSharing:
    """Columns as `parse` gives them, one-hot and scaled to mean 0 and deviation 1.

    Means and deviations (with n - 1) are of all rows but the test's, as in the course: the validation rows have a part in them.
    """
    known = slice(None, -TEST)

    def scaled(name: str) -> tuple[np.ndarray, float, float]:
        values = columns[name]
        mean, scale = float(values[known].mean()), float(values[known].std(ddof=1))
        return (values - mean) / scale, mean, scale

    wide = [columns[name] for name in PLAIN] + [scaled(name)[0] for name in SCALED]
    wide += [(columns[name] == value).astype(float) for name, values in ONE_HOT.items() for value in values]
    features = np.stack(wide, axis=1)
    target, mean, scale = scaled("cnt")
    riders = columns["cnt"]
    week_before = np.concatenate([np.full(168, math.nan), riders[:-168]])
    days = columns["dteday"] + columns["hr"] / 24

    def hours(rows: slice) -> Hours:
        return Hours(features[rows], target[rows, None], riders[rows], days[rows], week_before[rows])

    return BikeSharing(hours(slice(None, -TEST - VALID)), hours(slice(-TEST - VALID, -TEST)), hours(slice(-TEST, None)), mean, scale)


def parse(path: Path) -> dict[str, np.ndarray]:
    """The columns that are needed, as float64; of `dteday` the day of the month.

    Raises Problem that names the line where a column, a field or a number is missing or wrong.
    """
    rows: list[list[float]] = []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            missing = [name for name in NEEDED if name not in header]
            if missing:
                raise Problem(f"{path} has no column {missing[0]!r} in its first line.", "", "data")
            places = [header.index(name) for name in NEEDED]
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if len(row) != len(header):
                    raise Problem(f"{where}: {len(row)} fields, where the first line names {len(header)}.", "", "data")
                rows.append([_number(name, row[place], where) for name, place in zip(NEEDED, places, strict=True)])
    except UnicodeDecodeError:
        raise Problem(f"{path} is no text.", "", "data") from None
    except csv.Error as error:
        raise Problem(f"{path}, line {reader.line_num}: {error}.", "", "data") from None
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}.", "", "data") from None
    if len(rows) <= TEST + VALID + 168:
        raise Problem(f"{path} has {len(rows):,} hours, too few to train on.", "", "data")
    return dict(zip(NEEDED, np.array(rows).T, strict=True))


def _number(name: str, text: str, where: str) -> float:
    try:
        value = float(text[-2:] if name == "dteday" else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Problem(f"{where}: {name} is {one_line(text, 40)!r}, not a number.", "", "data")
    if name in ONE_HOT and value not in ONE_HOT[name]:
        allowed = ONE_HOT[name]
        raise Problem(f"{where}: {name} is {text}, where {allowed[0]} to {allowed[-1]} is right.", "", "data")
    return value
