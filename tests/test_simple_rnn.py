"""The sine lesson: counts, targets across half-periods, two forecasts without a network, what a copied or forgetful one cannot do."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked
from exploring import built as explored
from stepping import scalars, train

from workbench.events import Tagged
from workbench.problems import Problem
from workbench.projects.recurrent_networks.simple_rnn import POINTS, SimpleRnn, sine
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.training.loop import Loop

NAME = "simple-rnn"
PERSISTENCE = 0.012312
"""2 sin²(π/40)."""
BAR = 1e-3


def built(seed: int = 1, **config: Any) -> SimpleRnn:
    recipe = load_recipe(find_recipe(NAME)).recipe
    project = SimpleRnn(
        SimpleRnn.Config(**{**recipe.config, **config}), Train(steps=75, batch_size=1), Compute(device="cpu", threads=1), seed
    )
    project.build()
    return project


@pytest.fixture(scope="module")
def trained() -> SimpleRnn:
    """After the recipe's steps."""
    project = built()
    train(project, 75)
    return project


def parameters(project: SimpleRnn) -> int:
    return sum(weight.numel() for weight in project.network.parameters())


def test_the_network_has_the_course_s_parameters() -> None:
    recipe = load_recipe(find_recipe(NAME)).recipe
    assert SimpleRnn.Config.model_validate(recipe.config) == SimpleRnn.Config.model_validate({})
    assert (recipe.train.steps, recipe.train.sample_every) == (75, 15)
    assert parameters(built()) == 1_153 and parameters(built(layers=2)) == 3_265


def test_targets_are_the_inputs_one_point_later_across_half_periods_and_epochs() -> None:
    batches = [batch for epoch in (0, 1) for batch in built().batches(epoch, np.random.default_rng(0))]
    inputs, targets = (torch.cat([batch[part] for batch in batches], 1)[0, :, 0] for part in (0, 1))
    assert len(batches) == 150 and batches[0][0].shape == batches[-1][1].shape == (1, 20, 1)
    assert torch.equal(targets[:-1], inputs[1:])
    assert inputs.numpy() == pytest.approx(np.sin(np.pi / 20 * np.arange(3000)), abs=1e-6)


def test_persistence_and_the_recurrence_have_their_exact_errors() -> None:
    rows = dict(asked(NAME)["compared"].rows)
    assert rows["the last value"] == pytest.approx(PERSISTENCE, abs=5e-7) == pytest.approx(2 * math.sin(math.pi / 40) ** 2, abs=5e-7)
    assert rows["2 cos(π/20) x − x before"] < 1e-30
    assert dict(asked(NAME, amplitude=2)["compared"].rows)["the last value"] == pytest.approx(4 * rows["the last value"])
    assert dict(asked(NAME, frequency=2)["compared"].rows)["2 cos(π/20) x − x before"] > 1e-3, "it is of this frequency alone"


def test_it_learns_the_sine_and_a_copy_of_its_input_does_not(trained: SimpleRnn) -> None:
    untrained, values = scalars(built()), scalars(trained)
    assert untrained["loss"] > 0.1
    assert values["loss"] < BAR and scalars(trained, "test")["loss"] < BAR
    # The cheat: a target that is the input. The training loss goes to 0, and the forecast is the last value.
    copied = built()
    copied.batches = lambda epoch, rng: [(inputs, inputs) for inputs, _ in SimpleRnn.batches(copied, epoch, rng)]  # type: ignore[method-assign]
    assert train(copied, 75)[-1]["loss"] < BAR
    assert scalars(copied)["loss"] > 0.8 * PERSISTENCE


def test_nothing_is_learnt_from_shuffled_targets() -> None:
    project, order = built(), torch.from_numpy(np.random.default_rng(0).permutation(POINTS))
    project.batches = lambda epoch, rng: [  # type: ignore[method-assign]
        (inputs, targets[:, order]) for inputs, targets in SimpleRnn.batches(project, epoch, rng)
    ]
    train(project, 75)
    assert scalars(project)["loss"] > PERSISTENCE


def test_without_its_state_it_cannot_know_whether_the_sine_rises(trained: SimpleRnn) -> None:
    """The first input of every half-period is 0, its target is ± sin(π/20): without a state one value is forecast for both."""
    floor = math.sin(math.pi / 20) ** 2 / 20
    assert floor == pytest.approx(0.001224, abs=5e-7)
    forgetful = built(carry=False)
    train(forgetful, 75)
    assert scalars(forgetful)["loss"] > floor > BAR > scalars(trained)["loss"]


def test_the_state_goes_from_step_to_step_without_its_gradient() -> None:
    project = built()
    seen: list[torch.Tensor] = []
    project.network.register_forward_pre_hook(lambda network, arguments: seen.append(arguments[1].clone()))
    after = []
    for batch in project.batches(0, np.random.default_rng(0))[:3]:
        project.train_step(batch)
        after.append(project.memory.clone())
        assert not project.memory.requires_grad
    assert not seen[0].any() and torch.equal(seen[1], after[0]) and torch.equal(seen[2], after[1])
    assert project.half_periods == 3


def attempt(folder: Path, number: int, steps: int) -> SimpleRnn:
    """An attempt at a run in `folder`, up to a number of steps; one after the first goes on from the checkpoint of the one before."""
    project = built(seed=3, hidden=8)
    recipe = Recipe(title="x", project="simple_rnn", train=Train(steps=steps, batch_size=1, log_every=7, evaluate_every=25))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = EventLog(folder)
    Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), attempt=number).fit()
    log.close()
    return project


def test_a_resumed_run_has_the_same_weights_and_state_to_the_bit(tmp_path: Path) -> None:
    straight = attempt(tmp_path / "straight", 1, 90)
    attempt(tmp_path / "cut", 1, 31)
    attempt(tmp_path / "cut", 2, 77)
    resumed = attempt(tmp_path / "cut", 3, 90)
    assert resumed.half_periods == straight.half_periods == 90
    assert torch.equal(resumed.memory, straight.memory)
    for mine, theirs in zip(resumed.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert scalars(resumed) == scalars(straight)


def test_the_forecast_goes_on_where_training_stands(trained: SimpleRnn) -> None:
    with trained.evaluating():
        events: dict[str, Any] = {
            event.tag: event for event in trained.sample(trained.Request.model_validate({})) if isinstance(event, Tagged)
        }
    expected = sine(75 * POINTS, POINTS + 1)
    assert events["forecast/input"].y == pytest.approx(expected[:-1].tolist(), abs=1e-9)
    assert events["forecast/target"].y == pytest.approx(expected[1:].tolist(), abs=1e-9)
    assert events["forecast/prediction"].y == pytest.approx(expected[1:].tolist(), abs=0.15)
    assert events["free run/sine"].y == pytest.approx(sine(76 * POINTS, 40).tolist(), abs=1e-9)
    assert events["free run/network"].y[0] == pytest.approx(events["forecast/prediction"].y[-1], abs=1e-6)
    assert list(events) == [
        *(f"forecast/{name}" for name in ("input", "target", "prediction")),
        "free run/sine",
        "free run/network",
        "compared",
    ]


def test_another_sine_is_heard_for_a_period_first() -> None:
    project = explored(NAME)
    answer = asked(NAME, project, amplitude=0.5, frequency=0.5, free_steps=7)
    assert answer["forecast/input"].y == pytest.approx(sine(0, POINTS, 0.5, 0.5).tolist())
    assert len(answer["free run/network"].y) == len(answer["free run/sine"].y) == 7
    noisy, same = (asked(NAME, project, noise=0.2)["forecast/input"].y for _ in range(2))
    assert noisy == same != asked(NAME, project)["forecast/input"].y
    assert asked(NAME, project, noise=0.2)["forecast/target"].y == asked(NAME, project)["forecast/target"].y
    assert not project.memory.any(), "asking changes no state"  # type: ignore[attr-defined]


def test_a_row_of_twenty_values_is_answered_as_it_is_served(trained: SimpleRnn) -> None:
    [example] = trained.serving().examples(1)
    with trained.evaluating():
        answer = trained.predict(example)["answer"]
        graph = trained.serving().graph(torch.tensor([list(example["row"].values())], dtype=torch.float32))
    assert answer == pytest.approx(float(graph[0]), abs=1e-6)
    assert len(trained.form()["fields"]) == len(example["row"]) == 20
    with pytest.raises(Problem, match="x3 is not a number"):
        trained.predict({"row": {"x3": float("nan")}})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"amplitude": 0}, "amplitude must be at least 0.1, not 0"),
        ({"frequency": 5}, "frequency must be at most 4, not 5"),
        ({"noise": float("nan")}, "noise"),
        ({"free_steps": 201}, "free_steps must be at most 200, not 201"),
        ({"phase": 1}, "phase"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"
