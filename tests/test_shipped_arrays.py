"""The shipped tables and texts as arrays, bit for bit as before tables could be written in any notation: runs resume exactly.

What is computed of them (means, scaled features) is left out: it may differ by a bit between versions of NumPy.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.datasets import bike_sharing, body_mass, imdb, points, scripts, skin_lesions, table, text
from workbench.datasets.table import Columns


def digest(*parts: Any) -> str:
    """Of arrays with their type and shape, and of lists."""
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            whole.update(part.tobytes())
            whole.update(str((part.dtype, part.shape)).encode())
        else:
            whole.update(repr(part).encode())
    return whole.hexdigest()[:24]


def of_table(data: table.ClassTable) -> str:
    arrays = [array for part in (data.train, data.valid, data.test) for array in (part.labels, part.raw)]
    return digest(*arrays, data.names, data.classes, data.variant)


def of_bikes() -> str:
    data = bike_sharing.read()
    return digest(*[values for part in (data.train, data.valid, data.test) for values in part.columns.values()])


def of_countries() -> str:
    countries = body_mass.read()
    return digest(countries.names, countries.bmi, countries.years)


def of_novel() -> str:
    data = text.read("anna", Path())
    return digest(data.codes, data.symbols)


def of_script() -> str:
    data = scripts.read("simpsons", Path())
    return digest(data.codes, data.words)


def of_reviews() -> str:
    return digest(*[part for reviews in imdb.read().values() for part in (reviews.texts, reviews.labels)])


@pytest.mark.parametrize(
    ("read", "known"),
    [
        (lambda: of_table(table.read("breast-cancer", Columns(), "", Path())), "74b3aa02908565ef2ef3bebe"),
        (
            lambda: of_table(table.read("student-admissions", Columns(target="admit", words=["rank"]), "", Path())),
            "6ca1784ab80909b1df555b68",
        ),
        (of_bikes, "884f98e4c4479c403836664a"),
        (of_countries, "0169ce81e1eccd48699fb2e7"),
        (lambda: digest(*points.read()), "35eb28661b4cb4305d7c4ffa"),
        (lambda: digest(*skin_lesions.read()), "6224a17b58bae7d1cf7006a1"),
        (of_novel, "58e4c80e3a74ebc9660a0fb0"),
        (of_script, "5386cee9b46af4d75c276493"),
        (of_reviews, "e334085c2e44d70655a29bb7"),
    ],
    ids=["tumours", "students", "bikes", "countries", "points", "lesions", "novel", "script", "reviews"],
)
def test_the_arrays_have_the_same_bits(mirror: Path, read: Callable[[], str], known: str) -> None:
    assert read() == known
