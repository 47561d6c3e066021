"""One network with and without batch norm: parameters, both modes, averages that no look moves, batch mates, learning, resume."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from stepping import measured, scalars, shuffled, train
from test_mnist_gan import scikit_digits
from torch import nn

from workbench.datasets.labelled_images import ImageData, LabelledImages
from workbench.events import Curve, Event, Table
from workbench.problems import Problem
from workbench.projects.gans import batch_norm
from workbench.projects.gans.batch_norm import BATCH, BatchNorm, kept_averages
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe, variants
from workbench.recipes.recipe import Compute, Train

Make = Callable[..., BatchNorm]
SMALL: dict[str, Any] = {"hidden": [32, 16], "optimizer": "sgd", "learning_rate": 0.1}


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """A built project on scikit-learn's digits, 900 to train, 100 to validate, 797 to test."""
    data = scikit_digits()
    monkeypatch.setattr(batch_norm.images, "read", lambda name: data)

    def made(seed: int = 1, **config: Any) -> BatchNorm:
        project = BatchNorm(BatchNorm.Config(**{**SMALL, **config}), Train(batch_size=64), Compute(device="cpu", threads=1), seed)
        project.build()
        return project

    return made


def table(events: list[Event], tag: str = "modes") -> dict[str, list[Any]]:
    found = next(event for event in events if isinstance(event, Table) and event.tag == tag)
    return {row[0]: row[1:] for row in found.rows}


def shown(project: BatchNorm, **fields: Any) -> list[Event]:
    with project.evaluating():
        return list(project.sample(project.Request(**fields)))


def buffers(project: BatchNorm) -> list[torch.Tensor]:
    return [buffer.clone() for buffer in project.network.buffers()]


def test_both_networks_are_the_course_s_and_differ_in_batch_norm_alone(make: Make) -> None:
    """The cheat would be a weaker network without."""
    recipe = load_recipe(find_recipe("batch-norm"))
    found = variants(recipe)
    assert list(found) == ["with", "without"]
    assert found["without"].recipe.config == {**found["with"].recipe.config, "batch_norm": False}
    assert found["without"].recipe.train == found["with"].recipe.train
    assert (recipe.recipe.train.epochs, recipe.recipe.train.batch_size) == (10, 64)
    counts = []
    for one in found.values():
        network = make(**one.recipe.config).network
        counts.append(sum(weight.numel() for weight in network.parameters()))
        kinds = [type(layer) for layer in network if not isinstance(layer, nn.Flatten)]
        norm = [nn.BatchNorm1d] * one.recipe.config["batch_norm"]
        assert kinds == [nn.Linear, *norm, nn.ReLU, nn.Linear, *norm, nn.ReLU, nn.Linear], "before the activation"
        biased = [layer.bias is not None for layer in network if isinstance(layer, nn.Linear)]
        assert biased == ([False, False, True] if norm else [True, True, True])
    assert counts == [536_586, 535_818]


def test_a_thousand_of_the_training_digits_are_held_out(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [LabelledImages(np.zeros((number, 1, 28, 28), np.float32), np.arange(number) % 10) for number in (1500, 1200, 30)]
    monkeypatch.setattr(batch_norm.images, "read", lambda name: ImageData(*parts, list("0123456789")))
    project = BatchNorm(BatchNorm.Config(**SMALL), Train(batch_size=64), Compute(device="cpu", threads=1), 1)
    project.build()
    assert {name: len(labels) for name, (_, labels) in project.splits.items()} == {"train": 1700, "valid": 1000, "test": 30}
    assert project.splits["train"][1].tolist() == [*parts[0].labels, *parts[1].labels[1000:]]
    # 59,000 digits of MNIST are 922 batches; a last one of a single digit is left out.
    assert len(project.batches(0, np.random.default_rng(0))) == 27
    project.train = Train(batch_size=1699)
    assert len(project.batches(0, np.random.default_rng(0))) == 1


def test_a_batch_is_normalised_by_itself_and_moves_the_averages_a_tenth(make: Make) -> None:
    project = make()
    pixels = project.splits["train"][0][:64]
    with torch.no_grad():
        sums = project.network[1](project.network[0](pixels))
        normalised = project.network[2](sums)
    assert normalised.mean(0).abs().max() < 1e-5
    norm = project.norms()[0]
    assert norm.running_mean is not None and norm.running_var is not None
    torch.testing.assert_close(norm.running_mean, 0.1 * sums.mean(0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * sums.var(0))


def test_in_evaluation_mode_an_answer_does_not_depend_on_batch_mates(make: Make) -> None:
    project = make()
    train(project, 20)
    pixels = project.splits["test"][0][:65]
    with project.evaluating():
        alone = torch.cat([project.logits(pixel[None]) for pixel in pixels])
        for size in (2, 64, 65):
            torch.testing.assert_close(project.logits(pixels, size), alone, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(project.logits(pixels.flip(0)).flip(0), alone, rtol=1e-6, atol=1e-6)
        with project.training_mode():
            together, flipped = project.logits(pixels[:64]), project.logits(pixels.flip(0)[:64]).flip(0)
    # All of them but one have other mates.
    assert (together[1:] - flipped[:-1]).abs().max() > 1e-3


@pytest.mark.parametrize("look", ["evaluate", "sample", "after a pass"])
def test_no_look_moves_the_running_averages(make: Make, look: str) -> None:
    """The trap: a test in training mode moves them, as in the course's notebook."""
    project = make()
    train(project, 10)
    before = buffers(project)
    measured(project, "test") if look == "evaluate" else shown(project, pass_first=look != "sample", batch=9)
    assert all(map(torch.equal, buffers(project), before))
    assert project.network.training
    # Without putting them back, they would be the test's.
    with torch.no_grad():
        project.logits(project.splits["test"][0], BATCH)
    assert not torch.allclose(buffers(project)[0], before[0], rtol=0.01)


def test_the_averages_come_back_from_an_error_as_well(make: Make) -> None:
    project = make()
    before = buffers(project)
    with pytest.raises(ZeroDivisionError), kept_averages(project.network):
        project.network(project.splits["test"][0][:9])
        raise ZeroDivisionError
    assert all(map(torch.equal, buffers(project), before))


def test_the_three_rows_are_both_modes_and_the_notebook_s_way(make: Make) -> None:
    project = make()
    train(project, 30)
    pixels, labels = project.splits["test"]
    twin = copy.deepcopy(project.network)

    def accuracy(logits: torch.Tensor) -> float:
        return float((logits.argmax(1) == labels).float().mean())

    with torch.no_grad():
        evaluation = accuracy(twin.eval()(pixels))
        training = accuracy(torch.cat([twin.train()(piece) for piece in pixels.split(BATCH)]))
        moved = accuracy(twin.eval()(pixels))
    rows, values = table(measured(project, "test")), scalars(project, "test")
    assert list(rows) == ["evaluation", "training, 64 at once", "evaluation, after that pass"]
    assert [row[0] for row in rows.values()] == pytest.approx([evaluation, training, moved], abs=1e-6)
    # 797 digits are 13 batches: so much is left of the training's averages; of MNIST's 157 batches it is 7e-8.
    assert [row[2] for row in rows.values()] == pytest.approx([1, 0, 0.9**13])
    wanted = {"accuracy": evaluation, "accuracy/training_mode": training, "accuracy/averages_moved": moved}
    assert {name: values[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)
    assert list(table(measured(make(batch_norm=False)))) == ["no batch norm"]
    assert scalars(make(batch_norm=False)).keys() == {"loss", "accuracy"}


def test_small_batches_cost_accuracy_in_training_mode_alone(make: Make) -> None:
    project = make()
    train(project, 120)
    curves = {event.tag: event for event in shown(project) if isinstance(event, Curve)}
    training, evaluation = (curves[f"accuracy by batch size/{mode} mode"] for mode in ("training", "evaluation"))
    # 100 validation digits: batches of 2 to 64.
    assert training.x == evaluation.x == [1, 2, 3, 4, 5, 6]
    assert training.y[0] < training.y[-1] - 0.3 and len(set(evaluation.y)) == 1
    assert {"sums of a unit/before batch norm", "sums of a unit/after"} < set(curves)
    plain = {event.tag for event in shown(make(batch_norm=False))}  # type: ignore[attr-defined]
    assert plain == {"accuracy by batch size/evaluation mode", "modes", "sums of a unit/sums"}


def test_a_pass_in_training_mode_first_is_the_notebook_s_evaluation(make: Make) -> None:
    project = make()
    train(project, 30)
    before, after = (table(shown(project, batch=8, pass_first=first)) for first in (False, True))
    assert list(before) == ["evaluation", "training, 8 at once", "evaluation, after that pass"]
    assert after["evaluation"][:2] == pytest.approx(before["evaluation, after that pass"][:2])
    assert after["evaluation"][1] != pytest.approx(before["evaluation"][1], rel=1e-3)
    assert after["training, 8 at once"] == pytest.approx(before["training, 8 at once"])


@pytest.mark.parametrize("size", [2, 3, 9, 11, 33, 99, 100, 1000])
def test_a_last_batch_of_one_digit_is_left_out(make: Make, size: int) -> None:
    project = make()
    assert len(table(shown(project, batch=size))) == 3


def test_torch_refuses_a_batch_of_one_and_so_does_the_request(make: Make) -> None:
    project = make()
    with pytest.raises(ValueError, match="more than 1 value"):
        project.network(project.splits["test"][0][:1])
    from workbench.training.request import request

    for fields in ({"batch": 1}, {"batch": 1001}, {"unit": 0}, {"pass_first": "yes"}):
        with pytest.raises(Problem, match=next(iter(fields))):
            request(project, fields)


def test_weights_begin_as_they_are_asked(make: Make) -> None:
    weights = make(deviation=5).network[1].weight
    assert float(weights.detach().std()) == pytest.approx(5, rel=0.05)
    # Batch norm divides the size out again; only ε differs.
    one, five = make(deviation=1), make(deviation=5)
    pixels = one.splits["train"][0][:64]
    with torch.no_grad():
        first, second = (project.network[:3](pixels) for project in (one, five))
    torch.testing.assert_close(first, second, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("norm", [True, False])
def test_it_learns_and_nothing_from_shuffled_labels(make: Make, norm: bool) -> None:
    project = make(batch_norm=norm)
    train(project, 150)
    assert scalars(project)["accuracy"] > (0.85 if norm else 0.5)
    other = shuffled(make(batch_norm=norm))
    train(other, 150)
    assert scalars(other)["accuracy"] < 0.3


def test_a_network_that_diverged_still_shows(make: Make) -> None:
    project = make(batch_norm=False)
    with torch.no_grad():
        project.network[1].weight.fill_(float("nan"))
    assert scalars(project)["accuracy"] < 0.3
    assert len(shown(project)) == 3


def test_it_answers_for_a_picture(make: Make) -> None:
    project = make()
    train(project, 30)
    pixels = project.splits["test"][0][0]
    with project.evaluating():
        answer = project.predict({"pixels": pixels[0].tolist()})
        expected = project.logits(pixels[None]).softmax(1)[0]
    assert answer["probabilities"][answer["answer"]] == pytest.approx(float(expected.max()), rel=1e-5)


@pytest.mark.parametrize("forgotten", ["", "averages"])
def test_it_resumes_exactly(make: Make, forgotten: str) -> None:
    # 900 digits are 15 batches: 20 steps cross the end of an epoch. In the middle it is looked at.
    whole = make(momentum=0.5)
    train(whole, 8)
    state, random = whole.state(), whole.random_state()
    expected = train(whole, 20, skip=8)

    resumed = make(momentum=0.5)
    train(resumed, 3)
    if forgotten == "averages":
        state["network"] = {name: value for name, value in state["network"].items() if "running" not in name}
        resumed.network.load_state_dict(state.pop("network"), strict=False)
    resumed.load_state(state)
    resumed.set_random_state(random)
    measured(resumed)
    # The training normalises by its batches: the averages do not change it, only what is measured.
    assert train(resumed, 20, skip=8) == expected
    assert all(map(torch.equal, buffers(whole), buffers(resumed))) == (forgotten != "averages")
    assert (scalars(resumed, "test") == scalars(whole, "test")) == (forgotten != "averages")
