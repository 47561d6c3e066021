"""House prices: 506 districts of Boston, or 20,433 of California, read strictly and split in three by a fixed shuffle."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from workbench import preparation
from workbench.datasets import csv_rows, own_file
from workbench.datasets.number_notation import plain
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

BOSTON = ["CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE", "DIS", "RAD", "TAX", "PTRATIO", "B", "LSTAT"]
"""The columns of a file without a header; the price, in 1,000 dollars, comes last."""
CALIFORNIA = ["longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms", "population", "households", "median_income"]
"""Before the price, in dollars, and the distance to the ocean in words, which is not used."""
UNITS = {"boston": "1,000 dollars", "california": "10,000 dollars"}
"""Of the prices: with these, both have about the same spread, so that one learning rate does for both."""
PARTS = {"test": 0.2, "valid": 0.1}
"""Shares of the districts; the others are for training."""


@dataclass(frozen=True)
class Houses:
    """`features` (districts, columns) and `prices` (districts,), both float64."""

    names: list[str]
    features: np.ndarray
    prices: np.ndarray

    def split(self, number: int) -> dict[str, np.ndarray]:
        """The places of the districts of each part; another number shuffles them otherwise."""
        order = np.random.default_rng(number).permutation(len(self.prices))
        ends = [round(PARTS["test"] * len(order)), round(sum(PARTS.values()) * len(order))]
        return dict(zip(("test", "valid", "train"), np.split(order, ends), strict=True))


def read(name: Literal["boston", "california"]) -> Houses:
    """The districts of the catalogue's file."""
    (path,) = fetch(name).values()
    return parse(path, name)


def parse(path: Path, name: Literal["boston", "california"]) -> Houses:
    """Districts, one a line; Problem (cause "data") with the number of a line that is not one. California's with gaps are left out."""
    shown = one_line(path.name)
    rows = csv_rows.read(own_file.text(path, 5_000_000), shown, ",").rows
    columns, unit = (CALIFORNIA, 10_000.0) if name == "california" else (BOSTON, 1.0)
    if name == "california":
        header = rows[0].fields if rows else []
        if header != [*CALIFORNIA, "median_house_value", "ocean_proximity"]:
            raise Problem(f"{shown}, line 1: {one_line(','.join(header), 60)!r} is not California's header.", "", "data")
        rows = rows[1:]
    width = len(columns) + 1
    numbers, gaps = list[list[float]](), 0
    for line, fields in rows:
        if name == "california" and "" in fields[:width]:
            gaps += 1
            continue
        values = [plain(field) for field in fields[:width]]
        if len(fields) != width + (name == "california") or not all(map(math.isfinite, values)) or values[-1] <= 0:
            raise Problem(f"{shown}, line {line}: {one_line(','.join(fields), 60)!r} is not {width} numbers with a price.", "", "data")
        numbers.append(values)
    if len(numbers) < 20:
        raise Problem(f"{shown} has {len(numbers)} districts; at least 20 are needed to split them in three.", "", "data")
    preparation.found(shown, f"{len(rows):,} districts", f"{len(numbers):,} districts", f"{gaps:,} with a gap" if gaps else "")
    table = np.array(numbers)
    return Houses(columns, table[:, :-1].copy(), table[:, -1] / unit)
