"""Hyperparameters: exact descents on w², PyTorch's own optimizers, decay, and the gradients of batches of the 100 points."""

from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built

from workbench.problems import Problem
from workbench.projects.recurrent_networks import learning_rates
from workbench.projects.recurrent_networks.learning_rates import BATCHES, path, rates_of, spread

NAME = "hyperparameters"
pytestmark = pytest.mark.usefixtures("mirror")


@pytest.mark.parametrize(("rate", "end"), [(0.1, 0.107374), (0.5, 0.0), (1.0, 1.0), (1.1, 6.191736)])
def test_the_exact_ends_on_w_squared(rate: float, end: float) -> None:
    events = asked(NAME, rate=rate)
    weights = events["w over steps/gradient descent"].y
    assert weights[10] == pytest.approx(end, abs=5e-7) and len(weights) == 11
    if rate == 0.5:
        assert weights[1] == 0
    if rate == 1.0:
        assert weights == [1, -1] * 5 + [1]
    row = next(row for row in events["rates"].rows if row[0] == f"{rate:g}")
    assert row[2] == weights[-1]
    assert row[3] == {0.1: "converges", 0.5: "there in one step", 1.0: "jumps for ever", 1.1: "diverges"}[rate]


def test_the_table_follows_start_and_steps() -> None:
    """A stored table would not."""
    rows = {row[0]: row[2] for row in asked(NAME, start=-2, steps=3)["rates"].rows}
    assert rows["0.1"] == pytest.approx(-2 * 0.8**3) and rows["1.1"] == pytest.approx(-2 * (-1.2) ** 3)


@pytest.mark.parametrize(
    ("name", "kind"), [("AdaGrad", torch.optim.Adagrad), ("Adam", torch.optim.Adam), ("gradient descent", torch.optim.SGD)]
)
def test_optimizers_are_torchs(name: str, kind: Any) -> None:
    weight = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    optimizer, theirs = kind([weight], lr=0.3), [0.7]
    for _ in range(15):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()
        theirs.append(weight.item())
    assert path(0.7, [0.3] * 15, name) == pytest.approx(theirs, abs=1e-9)
    assert asked(NAME, rate=0.3, start=0.7, steps=15)[f"w over steps/{name}"].y == pytest.approx(theirs, abs=1e-9)


def test_the_first_step_of_adam_and_adagrad_is_the_rate() -> None:
    for start in (2.0, 0.5):
        events = asked(NAME, rate=0.25, start=start)
        assert [events[f"w over steps/{name}"].y[1] for name in ("AdaGrad", "Adam")] == pytest.approx([start - 0.25] * 2, abs=1e-6)


def test_the_chosen_path_stands_on_the_curve() -> None:
    for name in ("gradient descent", "AdaGrad", "Adam"):
        events = asked(NAME, optimizer=name, rate=0.2)
        shown = events["error/path"]
        assert shown.x == events[f"w over steps/{name}"].y and shown.y == [w**2 for w in shown.x] and shown.labels[-1] == "end"
    far = asked(NAME, rate=1.5, steps=100)["error/path"]
    assert max(map(abs, far.x)) <= learning_rates.FAR and "end" not in far.labels


def test_decay() -> None:
    assert rates_of(2.0, "linear", 0.5, 4).tolist() == [2.0, 1.75, 1.5, 1.25]
    assert rates_of(1.0, "exponential", 0.01, 2) == pytest.approx([1.0, 0.1])
    events = asked(NAME, rate=1.1, decay="linear", last_share=0.001, steps=50)
    assert abs(events["w over steps/gradient descent"].y[-1]) < 1e-3
    assert events["learning rate/none"].y == [1.1] * 50 and events["learning rate/exponential"].y[25] == pytest.approx(1.1 * 0.001**0.5)


def test_gradients_of_single_points_are_all_that_there_are_and_of_all_the_mean() -> None:
    """The cheat: noise drawn from a normal distribution is no gradient of any point."""
    project = built(NAME)
    points = asked(NAME, project)["gradients of batches"]
    by_size = {
        name: np.array([(x, y) for x, y, label in zip(points.x, points.y, points.labels, strict=True) if label.startswith(f"{name},")])
        for name in BATCHES
    }
    single = (0.5 - project.labels)[:, None] * project.points
    assert by_size["1"] == pytest.approx(single, abs=1e-12) and by_size["all"] == pytest.approx(
        single.mean(axis=0, keepdims=True), abs=1e-12
    )
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    scores = torch.tensor(project.inputs) @ weights
    torch.nn.functional.binary_cross_entropy_with_logits(scores, torch.tensor(project.labels)).backward()
    assert by_size["all"][0] == pytest.approx(weights.grad[:2].numpy(), abs=1e-12)
    # 100 batches estimate a standard deviation to about 7 %.
    drawn = np.sqrt(((by_size["32"] - single.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert drawn == pytest.approx(spread(single, 32), rel=0.25)
    assert spread(single, None) == 0 and spread(single, 1) == pytest.approx(np.sqrt(single.var(axis=0).sum()))
    assert spread(single, 1) / spread(single, 32) == pytest.approx(np.sqrt(32 * 99 / 68))


def test_the_loss_is_that_of_all_points_whatever_the_batch() -> None:
    events = asked(NAME)
    curves = {name: events[f"loss by batch size/{name}"] for name in BATCHES}
    for curve in curves.values():
        assert curve.y[0] == pytest.approx(np.log(2)) and curve.x[-1] == 2000
    assert curves["all"].x[:3] == [0, 100, 200] and curves["32"].x[:5] == [0, 32, 64, 96, 100]
    assert curves["1"].y[-1] < curves["32"].y[-1] < curves["all"].y[-1]
    project, weights = built(NAME), np.zeros(3)
    for _ in range(2):
        weights = weights - project.error(weights) @ project.inputs / 100
    scores = project.inputs @ weights
    assert curves["all"].y[2] == pytest.approx(np.mean(np.log1p(np.exp(np.where(project.labels == 1, -scores, scores)))))
    noisy = asked(NAME, points_rate=4)
    rises = {name: float(np.diff(noisy[f"loss by batch size/{name}"].y[-20:]).max()) for name in ("1", "all")}
    assert rises["1"] > rises["all"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"rate": 0}, "rate must be at least 0.01, not 0"),
        ({"rate": 2}, "rate must be at most 1.5, not 2"),
        ({"decay": "step"}, "decay must be none or linear or exponential, not 'step'"),
        ({"steps": 101}, "steps must be at most 100, not 101"),
        ({"start": float("nan")}, "start"),
        ({"points_rate": float("inf")}, "points_rate must be at most 20, not inf"),
        ({"last_share": 0}, "last_share must be at least 0.001, not 0"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"
