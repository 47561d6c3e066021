"""House prices by MiniFlow's nodes: the exact baselines, 151 parameters that learn, below least squares over ten splits, strict files."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from exploring import asked
from stepping import measured, scalars, train

from workbench.datasets import housing
from workbench.events import Scatter, Table
from workbench.problems import Problem
from workbench.projects.extra.miniflow_boston import MiniFlowBoston
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute


def built(seed: int = 1, **config: Any) -> MiniFlowBoston:
    recipe = load_recipe(find_recipe("miniflow-boston")).recipe
    project = MiniFlowBoston(MiniFlowBoston.Config(**{**recipe.config, **config}), recipe.train, Compute(device="cpu"), seed)
    project.build()
    return project


def test_the_exact_figures_of_all_districts(mirror: Any) -> None:
    houses = housing.read("boston")
    assert houses.features.shape == (506, 13)
    assert houses.prices.var() == pytest.approx(84.42, abs=0.005)
    with_one = np.column_stack([houses.features, np.ones(506)])
    residual = houses.prices - with_one @ np.linalg.lstsq(with_one, houses.prices, rcond=None)[0]
    assert np.mean(residual**2) == pytest.approx(21.895, abs=0.0005)


def test_the_network_has_151_parameters_and_46_steps(mirror: Any) -> None:
    project = built()
    assert sum(weights.size for weights in project.weights().values()) == 151
    batches = project.batches(0, np.random.default_rng(0))
    assert len(batches) == 46 and batches[0][0].shape == (11, 13)
    assert {name: len(rows) for name, rows in project.parts.items()} == {"test": 101, "valid": 51, "train": 354}


def test_the_test_districts_are_in_no_batch_and_in_no_scale(mirror: Any) -> None:
    project = built()
    held_out = {tuple(row) for part in ("valid", "test") for row in project.inputs[project.parts[part]]}
    assert not any(tuple(row) in held_out for inputs, _ in project.batches(0, np.random.default_rng(0)) for row in inputs)
    assert project.inputs[project.parts["train"]].mean(0) == pytest.approx(np.zeros(13), abs=1e-9)


def test_ten_splits_end_below_least_squares_and_not_on_shuffled_prices(mirror: Any) -> None:
    below, shuffled = [], []
    for split in range(10):
        project = built(seed=50 + split, split=split)
        train(project, 460)
        below.append(scalars(project, "test")["below_least_squares"])
        assert scalars(project, "test")["loss"] < 0.5 * scalars(project, "test")["loss/mean"]
    for split in range(2):
        project = built(split=split)
        np.random.default_rng(0).shuffle(project.houses.prices)
        train(project, 460)
        figures = scalars(project, "test")
        shuffled.append(figures["loss"] / figures["loss/mean"])
    assert np.mean(below) > 3, "21.6 for least squares, about 16 for the network"
    assert min(shuffled) > 0.95


def test_what_is_measured_and_shown(mirror: Any) -> None:
    project = built()
    _, compared, prices = measured(project)
    assert isinstance(compared, Table) and [row[0] for row in compared.rows] == ["network", "least squares", "the mean"]
    assert isinstance(prices, Scatter) and len(prices.x) == 51
    shown = asked("miniflow-boston", project, column=13)
    assert shown["price/network"].labels[0] == "LSTAT" and "cost = mse" in shown["graph"].text
    assert {row[0]: row[1] for row in shown["nodes"].rows}["W1"] == "13 x 10"
    row = {field["name"]: field["value"] for field in project.form()["fields"]}
    assert "1,000 dollars" in project.predict({"row": row})["answer"]


@pytest.mark.parametrize("inputs", [None, {"row": {}}, {"row": {"RM": 6}}, {"row": dict.fromkeys(housing.BOSTON, True)}])
def test_what_is_no_district_is_refused(mirror: Any, inputs: Any) -> None:
    with pytest.raises(Problem, match="not a number for each"):
        built().predict(inputs)


def test_california_leaves_its_gaps_out(mirror: Any) -> None:
    project = built(data="california")
    assert project.houses.features.shape == (20_433, 8)
    assert train(project, 200)[-1]["loss"] < 400
    with pytest.raises(Problem, match="column: 9 is no column; california has 1 to 8"):
        asked("miniflow-boston", project, column=9)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("boston", "1,2,3\n", "line 1"),
        ("boston", (",".join("1" * 14) + "\n") * 3 + ",".join(["1"] * 13) + ",nan\n", "line 4"),
        ("boston", (",".join("1" * 14) + "\n") * 3, "3 districts"),
        ("california", "a,b\n", "California's header"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, name: Literal["boston", "california"], text: str, says: str) -> None:
    file = tmp_path / "housing.csv"
    file.write_text(text)
    with pytest.raises(Problem, match=says):
        housing.parse(file, name)
