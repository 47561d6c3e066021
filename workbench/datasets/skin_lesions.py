"""The two files of the skin lesion project, without its pictures: the true classes of 600 lesions, and predictions to score."""

import math
from pathlib import Path

import numpy as np

from workbench import preparation
from workbench.datasets import csv_rows, own_file
from workbench.datasets.number_notation import plain
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

TASKS = ("melanoma", "seborrheic keratosis")


def read() -> tuple[np.ndarray, np.ndarray]:
    """The truth (600, 2), bool, and the sample's predictions (600, 2); column i is about the class TASKS[i]."""
    files = fetch("skin-lesions")
    truth, predictions = parse(files["truth"]), parse(files["predictions"])
    return pair(truth, predictions, files["predictions"].name)


def pair(
    truth: dict[str, list[float]], predictions: dict[str, list[float]], name: str = "the predictions"
) -> tuple[np.ndarray, np.ndarray]:
    """Both in the truth's order; Problem where a lesion has no prediction."""
    missing = [lesion for lesion in truth if lesion not in predictions]
    if missing:
        raise Problem(f"{name} has no line for {one_line(missing[0])}.", "", "data")
    return np.array(list(truth.values())) > 0.5, np.array([predictions[lesion] for lesion in truth])


def parse(path: Path) -> dict[str, list[float]]:
    """Both numbers of each lesion, by its id; Problem (cause "data") with the number of a wrong line."""
    lesions: dict[str, list[float]] = {}
    rows = csv_rows.read(own_file.text(path, 10_000_000), one_line(path.name), ",").rows
    if not rows or rows[0].fields != ["Id", "task_1", "task_2"]:
        raise Problem(f"{path.name}: the first line is not Id,task_1,task_2.", "", "data")
    for number, row in rows[1:]:
        lesion, *numbers = row[0], *map(plain, row[1:])
        if len(numbers) != 2 or not all(map(math.isfinite, numbers)) or lesion in lesions:
            raise Problem(f"{path.name}, line {number}: {one_line(','.join(row), 80)!r} is not a unique id and two numbers.", "", "data")
        lesions[lesion] = numbers
    if not lesions:
        raise Problem(f"{path.name} has no lesion.", "", "data")
    preparation.found(path.name, f"{len(lesions):,} lesions", f"{len(lesions):,} lesions")
    return lesions
