"""The course's 100 points of two classes in the plane, in their file's order."""

import csv
import math
from pathlib import Path

import numpy as np

from workbench.datasets import own_file
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line


def read() -> tuple[np.ndarray, np.ndarray]:
    """The points (100, 2) and their classes (100,), 0 or 1, both float64."""
    (path,) = fetch("gradient-descent").values()
    return parse(path)


def parse(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads lines of two numbers and a class, without a header; Problem (cause "data") with the number of a wrong line."""
    rows = []
    for number, row in enumerate(csv.reader(own_file.text(path, 1_000_000).splitlines()), 1):
        try:
            x, y, label = map(float, row)
        except ValueError:
            x = y = label = math.nan
        if not (math.isfinite(x) and math.isfinite(y) and label in (0, 1)):
            raise Problem(f"{path.name}, line {number}: {one_line(','.join(row), 40)!r} is not two numbers and a 0 or 1.", "", "data")
        rows.append((x, y, label))
    if not rows:
        raise Problem(f"{path.name} is empty.", "", "data")
    table = np.array(rows)
    return table[:, :2].copy(), table[:, 2].copy()
