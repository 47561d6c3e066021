"""The course's 100 points of two classes in the plane, in their file's order."""

import math
from pathlib import Path

import numpy as np

from workbench import preparation
from workbench.datasets import csv_rows, own_file
from workbench.datasets.number_notation import plain
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line


def read() -> tuple[np.ndarray, np.ndarray]:
    """The points (100, 2) and their classes (100,), 0 or 1, both float64."""
    (path,) = fetch("gradient-descent").values()
    return parse(path)


def parse(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads lines of two numbers and a class, without a header; Problem (cause "data") with the number of a wrong line."""
    rows = []
    for number, row in csv_rows.read(own_file.text(path, 1_000_000), one_line(path.name), ",").rows:
        x, y, label = map(plain, row) if len(row) == 3 else (math.nan, math.nan, math.nan)
        if not (math.isfinite(x) and math.isfinite(y) and label in (0, 1)):
            raise Problem(f"{path.name}, line {number}: {one_line(','.join(row), 40)!r} is not two numbers and a 0 or 1.", "", "data")
        rows.append((x, y, label))
    if not rows:
        raise Problem(f"{path.name} is empty.", "", "data")
    preparation.found(path.name, f"{len(rows):,} points", f"{len(rows):,} points")
    table = np.array(rows)
    return table[:, :2].copy(), table[:, 2].copy()
