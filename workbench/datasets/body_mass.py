"""Body mass index and life expectancy of 163 countries, in their file's order."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench import preparation
from workbench.datasets import csv_rows, own_file
from workbench.datasets.number_notation import plain
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

COLUMNS = ["Country", "Life expectancy", "BMI"]


@dataclass(frozen=True)
class Countries:
    """A name, a mean body mass index in kg/m², and a life expectancy in years for each country; both arrays float64."""

    names: list[str]
    bmi: np.ndarray
    years: np.ndarray


def read() -> Countries:
    """The countries of the catalogue's file."""
    (path,) = fetch("bmi").values()
    return parse(path)


def parse(path: Path) -> Countries:
    """Reads a line for each country under a header; Problem (cause "data") with the number of a wrong line."""
    name = one_line(path.name)
    rows = csv_rows.read(own_file.text(path, 1_000_000), name, ",").rows
    header = rows[0].fields if rows else []
    if header != COLUMNS:
        raise Problem(f"{name}, line 1: {one_line(','.join(header), 60)!r} is not {','.join(COLUMNS)!r}.", "", "data")
    countries, numbers = list[str](), list[tuple[float, float]]()
    for line, row in rows[1:]:
        country = row[0]
        years, bmi = map(plain, row[1:]) if len(row) == 3 else (math.nan, math.nan)
        if not (country and 0 < years < math.inf and 0 < bmi < math.inf):
            raise Problem(f"{name}, line {line}: {one_line(','.join(row), 60)!r} is not a country and two positive numbers.", "", "data")
        countries.append(country)
        numbers.append((bmi, years))
    if len({bmi for bmi, _ in numbers}) < 2:
        raise Problem(f"{name} has fewer than two different BMI: no line is best for them.", "", "data")
    preparation.found(name, f"{len(rows) - 1:,} countries", f"{len(countries):,} countries")
    bmis, lives = np.array(numbers).T
    return Countries(countries, bmis.copy(), lives.copy())
