"""Every lesson that is only explored answers its recipe's request, and whatever else somebody asks it: with events, or one sentence.

The data are made, as in test_recipes_on_cuda.py; tests/long/test_explore_fuzz.py asks each lesson a hundred times more.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_data
import pytest
from device.small import ASKED
from fuzzed_requests import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.datasets.store.catalog import DataSet
from workbench.events import encode
from workbench.paths import shipped
from workbench.problems import Problem
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.training.find_project import explored_project
from workbench.training.project import Project
from workbench.training.request import request

EXAMPLES = 12
EXPLORED = [path.stem for path in sorted(shipped("recipes").rglob("*.yaml")) if not load_recipe(path).trains]
"""The lessons without a training step."""
LONGEST = 20.0
"""Seconds of an answer: a hang is longer, a busy machine is not."""


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, DataSet]]:
    folder = tmp_path_factory.mktemp("mirror")
    return folder, made_data.write(folder)


@pytest.fixture(scope="module")
def unpacking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all lessons: what one has unpacked or computed, the next one finds."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def data(sets: tuple[Path, dict[str, DataSet]], unpacking: Path) -> Iterator[Path]:
    with made_data.made_data(sets[0], unpacking, sets[1]):
        yield sets[0]


def built(stem: str) -> Project:
    project = explored_project(load_recipe(find_recipe(stem)))
    project.build()
    return project


def asked(project: Project, values: dict[str, Any]) -> list[str]:
    """The tags of the answer; none where the request is refused with a sentence."""
    try:
        with project.looking(1):
            events = list(project.sample(request(project, values)))
    except Problem as problem:
        text = str(problem)
        assert text.strip() and "\n" not in text and "\x1b" not in text and len(text) < 600, text
        return []
    for event in events:
        encode(event)
    return [getattr(event, "tag", "numbers") for event in events]


@pytest.mark.parametrize("stem", EXPLORED)
def test_a_lesson_answers_its_recipe_s_request_and_any_other(stem: str, data: Path) -> None:
    project = built(stem)
    recipe = load_recipe(find_recipe(stem)).recipe
    assert len(asked(project, {**recipe.explore, **ASKED.get(stem, {})})) >= 2
    assert recipe.watch and recipe.about and recipe.part and recipe.lesson
    fuzz(project, EXAMPLES)


def fuzz(project: Project, examples: int) -> None:
    """Ask so many made requests."""

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def ask(draw: st.DataObject) -> None:
        values = draw.draw(requests(project.Request.model_json_schema()))
        began = time.monotonic()
        asked(project, values)
        assert time.monotonic() - began < LONGEST

    ask()
