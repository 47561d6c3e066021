"""The file of a bundle that says what training it again has to give, and with what."""

import os
from typing import Any

import msgspec

from workbench.recipes.recipe import Recipe
from workbench.runs import metric_stream

EXPECTED = "expected.json"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What was changed while a run trained, after this step."""

    step: int
    settings: dict[str, Any]
    text: str = ""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a run gave, and all that decides it."""

    format: str = "dlwb-bundle 1"
    run: str
    forked: str = ""
    """Of a fork: from which run and at which step; what it changed there is among the changes."""
    dlwb: str
    """Version of the package that trained it."""
    python: str
    packages: dict[str, str]
    code: str
    """Hash of the code that decides the figures, comments left out: see `workbench.recipes.closure`."""
    code_files: dict[str, str]
    """The same of each file."""
    files: dict[str, str]
    """SHA-256 of every other file of the bundle, by its path in it."""
    recipe: Recipe
    changes: list[Change]
    threads: int
    processor: dict[str, Any]
    switches: dict[str, str]
    """Variables of the environment by which libraries chose their kernels."""
    data: dict[str, str]
    """SHA-256 of each source of data, by its name; a bundle never holds data."""
    parameters: str
    """SHA-256 of all that the training changed, at its last step."""
    metrics: str
    """SHA-256 of the stream of figures."""
    steps: int
    stream: dict[str, list[tuple[int, str]]]
    """The figures themselves by tag, with their steps: their bits as hexadecimal floats."""


def stream_of(expected: Expected) -> metric_stream.Stream:
    """The figures. ValueError where they are not those that its hash is of."""
    stream = {tag: [(step, float.fromhex(value)) for step, value in points] for tag, points in expected.stream.items()}
    if metric_stream.digest(stream) != expected.metrics:
        raise ValueError("the figures are not those of their hash")
    return stream


def names_alone(sources: dict[str, str]) -> dict[str, str]:
    """Sources of data without the folders they lay in, which are this machine's."""
    return {os.path.basename(name.rstrip("/")) or name: digest for name, digest in sources.items()}  # noqa: PTH119
