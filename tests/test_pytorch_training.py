"""The training loop in five calls: its steps against hand-made ones, what zero_grad does, the mean of an epoch, and what is learnt."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built
from stepping import scalars, shuffled

from workbench.datasets import mnist
from workbench.datasets.labelled_images import ImageData
from workbench.events import Images
from workbench.problems import Problem

STEM = "pytorch-training"

read_all = mnist.read


@cache
def few() -> ImageData:
    """The first pictures of each part, unpacked once: an epoch of 64 to a batch has 24 steps."""
    data = read_all()
    return ImageData(data.train[:1200], data.valid[:300], data.test[:1000], data.classes)


@pytest.fixture(autouse=True)
def digits(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "read", few)


def trained(project: Any, steps: int) -> list[dict[str, Any]]:
    """What each of so many steps returns."""
    numbers: list[dict[str, Any]] = []
    while len(numbers) < steps:
        for batch in project.batches(0, np.random.default_rng(len(numbers))):
            numbers.append(project.train_step(batch))
            if len(numbers) == steps:
                break
    return numbers


def test_it_learns_digits_and_nothing_from_shuffled_labels() -> None:
    learnt, misled = built(STEM, learning_rate=0.03), shuffled(built(STEM, learning_rate=0.03))
    untrained = scalars(learnt, "test")["loss"]
    assert untrained == pytest.approx(np.log(10), abs=0.1)
    for project in (learnt, misled):
        trained(project, 150)
    assert scalars(learnt, "test")["loss"] < 1.0 and scalars(learnt, "test")["accuracy"] > 0.7
    assert scalars(misled, "test")["loss"] > 2.25


def test_the_recipe_is_the_course_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "read", read_all)
    project: Any = built(STEM)
    assert sum(weight.numel() for weight in project.network.parameters()) == 109_386
    pixels, labels = project.splits["train"]
    assert len(labels) == 60_000 and (pixels.min().item(), pixels.max().item()) == (-1, 1)
    assert (project.per_epoch, project.train.epochs, project.config.learning_rate) == (938, 5, 0.003)


def test_a_step_is_the_rate_times_the_gradient() -> None:
    project = built(STEM)
    batch = next(iter(project.batches(0, np.random.default_rng(0))))
    before = [weight.detach().clone() for weight in project.network.parameters()]
    loss = -project.network(batch[0])[torch.arange(64), batch[1]].mean()
    gradients = torch.autograd.grad(loss, list(project.network.parameters()))
    assert project.train_step(batch)["loss"].item() == pytest.approx(loss.item())
    for old, gradient, new in zip(before, gradients, project.network.parameters(), strict=True):
        assert torch.allclose(new, old - 0.003 * gradient, atol=1e-8)


def test_without_zero_grad_gradients_add_up_and_the_numbers_are_others() -> None:
    right, wrong = built(STEM), built(STEM, zero_grad=False)
    wrong.network.load_state_dict(right.network.state_dict())
    losses = [[numbers["loss"].item() for numbers in trained(project, 20)] for project in (right, wrong)]
    assert losses[0][:2] == losses[1][:2]  # the first step has nothing to add to
    assert losses[0][2] != losses[1][2] and abs(losses[0][-1] - losses[1][-1]) > 0.05


def test_the_mean_of_an_epoch_is_the_mean_of_its_steps() -> None:
    numbers = trained(built(STEM), 48)
    means = [place for place, step in enumerate(numbers) if "epoch_loss" in step]
    assert means == [23, 47]
    for end in means:
        losses = [step["loss"].item() for step in numbers[end - 23 : end + 1]]
        assert numbers[end]["epoch_loss"].item() == pytest.approx(np.mean(losses), rel=1e-6)


@pytest.mark.parametrize("zero_grad", [True, False])
def test_steps_by_hand_show_weight_and_gradient_and_change_nothing(zero_grad: bool) -> None:
    project: Any = built(STEM)
    before = copy.deepcopy(project.network.state_dict())
    shown = asked(STEM, project, steps=3, learning_rate=0.5, zero_grad=zero_grad)
    rows = [row[1:] for row in shown["steps"].rows]
    for (_, weight, gradient, after), (_, following, *_) in zip(rows, [*rows[1:], rows[-1][:1] + rows[-1][3:]], strict=True):
        assert after == pytest.approx(weight - 0.5 * gradient, abs=1e-6) and following == after
    assert all(torch.equal(before[name], weight) for name, weight in project.network.state_dict().items())
    assert all(weight.grad is None for weight in project.network.parameters())
    # The second gradient: of the second batch alone, or the sum of both batches'.
    network, gradients = copy.deepcopy(project.network), []
    for step in range(2):
        pixels, labels = (part[step * 64 : step * 64 + 64] for part in project.splits["train"])
        found = torch.autograd.grad(torch.nn.functional.nll_loss(network(pixels), labels), list(network.parameters()))
        gradients.append(found[4][0, 0].item())
        with torch.no_grad():
            for weight, gradient in zip(network.parameters(), found, strict=True):
                weight -= 0.5 * gradient
    assert rows[1][2] == pytest.approx(gradients[1] if zero_grad else sum(gradients), abs=1e-6)
    assert isinstance(shown["digit"], Images) and sum(shown["probabilities"].y) == pytest.approx(1)


@pytest.mark.parametrize("fields", [{"steps": 6}, {"learning_rate": 0}, {"digit": -1}])
def test_what_is_no_request_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Problem, match=next(iter(fields))):
        asked(STEM, **fields)
