"""Every recipe does everything on a device that behaves like CUDA, on made data of its own set, and no training step waits for the device.

A new recipe is tried by itself: its data set has a generator in made_data.py, and device/small.py makes its networks small.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import made_data
import numpy as np
import pytest
import torch
from device.exercise import Exercise, Report, made, trains
from device.small import recipe_on
from pretend_cuda import pretend_cuda

from workbench.datasets.store.catalog import DataSet, catalog
from workbench.paths import shipped
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.training.find_project import find_project

RECIPES = {path.stem: path.read_text() for path in sorted(shipped("recipes").rglob("*.yaml"))}
PROJECTS = {recipe: text.partition("\nproject: ")[2].partition("\n")[0] for recipe, text in RECIPES.items()}
ALONE = {project: recipe for recipe, project in PROJECTS.items() if "\ncompare:" not in RECIPES[recipe]}
COMPARISONS = [recipe for recipe, text in RECIPES.items() if "\ncompare:" in text and PROJECTS[recipe] in ALONE]
"""tests/long tries these: they have the settings of a recipe beside them."""
WAITING: dict[str, dict[str, str]] = {}
"""By the recipe, what a training step waits for, as `kind op file:line`, and the reason why it has to."""

Mirror = tuple[Path, dict[str, DataSet]]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    """A mirror of made data and its catalogue."""
    folder = tmp_path_factory.mktemp("mirror")
    return folder, made_data.write(folder)


@pytest.fixture(scope="module")
def unpacking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all recipes: a set is unpacked, and a frozen network's features are computed, for the first one that needs them."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def data(sets: Mirror, unpacking: Path) -> Iterator[Path]:
    """The mirror, which all readers read."""
    with made_data.made_data(sets[0], unpacking, sets[1]):
        yield sets[0]


def exercised(recipe: str, mirror: Path) -> Report:
    file = find_recipe(recipe)
    # Not importorskip: an import that the lesson does not prepare takes TensorFlow for its backend.
    if load_recipe(file).recipe.project == "keras_classifier" and not find_spec("keras"):
        pytest.skip("needs Keras: pip install 'dlwb[keras]'")
    project = find_project(load_recipe(file).recipe.project)
    # What is only explored answers on the CPU.
    device = "cuda:0" if "cuda" in project.devices and trains(load_recipe(file).recipe) else "cpu"
    with pretend_cuda() as watch:
        return Exercise(file, recipe_on(file, mirror, device), watch.take).run()


def does_everything(recipe: str, mirror: Path) -> None:
    report = exercised(recipe, mirror)
    assert not report.errors
    trained = trains(load_recipe(find_recipe(recipe)).recipe)
    assert report.resumes or not trained, "a step behind a checkpoint gives the same numbers twice"
    waits = {cost: times for cost, times in report.step_costs.items() if not cost.startswith("async")}
    assert waits.keys() == WAITING.get(recipe, {}).keys(), f"between two log windows a training step waits for the device: {waits}"
    # Ten times the 2.5 seconds that a recipe may take in the median; `tests/device/all.py --pretend` prints what each takes.
    assert report.cpu_seconds < 25


@pytest.mark.parametrize("recipe", sorted(RECIPES.keys() - COMPARISONS))
def test_a_recipe_does_everything_on_a_gpu_and_its_steps_wait_for_nothing(recipe: str, data: Path) -> None:
    does_everything(recipe, data)


def test_every_set_of_the_catalogue_has_made_data(sets: Mirror) -> None:
    for name, entry in catalog().items():
        for variant, about in [("", entry), *entry.variants.items()]:
            reference = f"{name}:{variant}" if variant else name
            assert bool(about.files) == (reference in made_data.SETS), f"{reference} needs a generator in made_data.SETS"


def test_a_step_that_waits_is_counted_with_its_line(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.projects.neural_networks.bike_network.sent", lambda array, device: torch.from_numpy(array).to(device))
    assert [cost for cost in exercised("bike-sharing-torch", data).step_costs if cost.startswith("send to bike_network.py:")]


def test_a_tensor_left_on_the_cpu_is_told_with_its_place(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.projects.neural_networks.bike_network.sent", lambda array, device: torch.from_numpy(array).cpu())
    monkeypatch.setattr("torch.nn.Module.to", lambda module, *args, **kwargs: module)
    errors = exercised("student-admissions", data).errors
    assert errors and "Expected all tensors to be on the same device" in errors[0] and "table_classifier.py" in errors[0]


def test_bfloat16_is_used_where_a_recipe_says_so(data: Path) -> None:
    file = find_recipe("faces")
    kinds: set[Any] = set()
    with pretend_cuda():
        project = made(recipe_on(file, data, "cuda:0"), file.parent)
        project.generator[0].register_forward_hook(lambda layer, inputs, output: kinds.add(output.dtype))
        batch = next(iter(project.batches(0, np.random.default_rng(0))))
        project.train_step(batch)
        assert {weight.grad.dtype for weight in project.generator.parameters()} == {torch.float32}
    assert kinds == {torch.bfloat16}
