"""The course's network for CIFAR-10: its size, augmentation in training alone, and what moved and permuted pixels do."""

import math
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
import torch
from made_pictures import made_pictures
from stepping import measured, scalars, shuffled, train

from workbench.datasets import cifar
from workbench.events import Curve, Images, Matrix, Scalars, Table
from workbench.problems import Problem
from workbench.projects.convolutional_networks.cifar_cnn import CifarCnn
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.cifar import shifted, unit
from workbench.training.figures import grid_png


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripes and spots in place of the pictures."""
    monkeypatch.setattr(cifar, "read", made_pictures)


def built(batch_size: int = 20, **config: Any) -> CifarCnn:
    settings = CifarCnn.Config(**{"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, **config})
    project = CifarCnn(settings, Train(batch_size=batch_size), Compute(device="cpu", threads=1), seed=1)
    project.build()
    return project


SMALL = {"channels": [8, 8], "hidden": [16], "dropout": 0.0}


@pytest.mark.parametrize(
    ("config", "parameters", "operations"),
    [
        ({}, 541_094, 3_318_664),
        ({"model": "mlp", "hidden": [1000, 512], "dropout": 0.2}, 3_590_642, 3_589_120),
        ({"model": "mlp", "hidden": [175]}, 539_535, 539_350),
    ],
)
def test_the_networks_have_the_course_s_sizes(config: dict[str, Any], parameters: int, operations: int) -> None:
    project = built(**config)
    assert sum(weight.numel() for weight in project.network.parameters()) == parameters
    with project.evaluating():
        *_, cost = project.summary()
    assert isinstance(cost, Table) and [row[1] for row in cost.rows] == [parameters, operations]


def test_it_learns_and_nothing_from_shuffled_labels() -> None:
    learnt, misled = built(**SMALL), shuffled(built(**SMALL))
    untrained = scalars(learnt)["loss"]
    for project in (learnt, misled):
        train(project, 80)
    assert scalars(learnt)["loss"] < untrained - 1 and scalars(learnt)["accuracy"] > 0.8
    # Only four of the ten classes are there: to know that is ln 4.
    assert scalars(misled)["loss"] > math.log(4) - 0.1


def test_training_pictures_are_augmented_and_measured_ones_are_not() -> None:
    plain, changed = built(**SMALL), built(**SMALL, flip=True, rotation=10.0)
    for split in ("valid", "test"):
        assert scalars(plain, split) == scalars(changed, split)
    same, other = train(plain, 1), train(changed, 1)
    assert same != other, "the first step sees other pictures"
    pixels = unit(plain.splits["train"][0])
    assert plain.augmented(pixels) is pixels
    versions = changed.augmented(pixels)
    assert versions.shape == pixels.shape and versions.min() >= 0 and versions.max() <= 1
    # What a rotation brings in is black before the scaling, and -1 behind it: grey corners would be a hint.
    corners = versions[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].amin(2)
    assert (corners.amax(1) < 0.3).float().mean() > 0.5


def test_a_permutation_is_the_same_for_all_and_a_perceptron_does_not_feel_it() -> None:
    plain, permuted = built(model="mlp", hidden=[16], dropout=0.0), built(model="mlp", hidden=[16], dropout=0.0, permute_pixels=True)
    pixels = plain.splits["valid"][0]
    before, after = plain.inputs(pixels).flatten(2), permuted.inputs(pixels).flatten(2)
    assert not torch.equal(before, after) and torch.equal(after, built(permute_pixels=True).inputs(pixels).flatten(2))
    assert torch.equal(before[:, :, permuted.order], after), "a pixel keeps its three colours"
    # With its weights in the same order it says the same.
    with torch.no_grad():
        weight = plain.network[1].weight
        permuted.network.load_state_dict(plain.network.state_dict())
        permuted.network[1].weight.copy_(weight.view(16, 3, 1024)[:, :, permuted.order].flatten(1))
    train(plain, 30)
    train(permuted, 30)
    assert scalars(permuted)["loss"] == pytest.approx(scalars(plain)["loss"], rel=1e-3)


def test_moved_pictures_repeat_their_edge() -> None:
    picture = torch.arange(12).view(1, 3, 4)
    assert shifted(picture, 1, 0).tolist() == [[[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]]
    assert shifted(picture, 0, -2).tolist() == [[[2, 3, 3, 3], [6, 7, 7, 7], [10, 11, 11, 11]]]


def test_the_curve_of_moved_pictures_begins_with_the_accuracy_itself() -> None:
    project = built(**SMALL, moved=20)
    train(project, 60)
    events = measured(project, "test")
    values = {name: value for event in events if isinstance(event, Scalars) for name, value in event.values.items()}
    curve = events[-1]
    assert isinstance(curve, Curve) and curve.x == [0, 1, 2, 3, 4, 5, 6]
    assert curve.y[0] == pytest.approx(values["accuracy"]) and len(project.splits["test"][1]) == 20
    assert values["moved_drop"] == pytest.approx(curve.y[0] - curve.y[4])
    pixels, labels = project.splits["test"]
    with project.evaluating():
        one = [(project.logits(shifted(pixels, *way)).argmax(1) == labels).float().mean() for way in ((0, 4), (0, -4), (4, 0), (-4, 0))]
    assert curve.y[4] == pytest.approx(float(sum(one)) / 4)


def asked(project: CifarCnn, **fields: Any) -> dict[str, Any]:
    with project.evaluating():
        return {event.tag: event for event in project.sample(project.Request(**fields))}  # type: ignore[union-attr]


def test_a_picture_is_shown_with_its_values() -> None:
    project = built(**SMALL, flip=True)
    events = asked(project, picture=3, channel="blue", row=20, column=4)
    assert list(events) == ["colours", "values", "answer", "augmented", "first layer"]
    matrix, colours = events["values"], events["colours"]
    assert isinstance(matrix, Matrix) and isinstance(colours, Images)
    picture = project.splits["valid"][0][3]
    assert matrix.values == picture[2, 20:28, 4:12].tolist() and matrix.rows[0] == "y20" and matrix.columns[-1] == "x11"
    assert colours.captions[1] == f"red, mean {picture[0].float().mean():.0f}"
    assert "augmented" not in asked(built(**SMALL))
    with pytest.raises(Problem, match="There are 20 validation pictures: picture is 0 to 19"):
        asked(project, picture=20)


def test_it_answers_for_a_picture_and_refuses_what_is_none() -> None:
    project = built(**SMALL)
    train(project, 80)
    pixels, _ = project.splits["test"]
    with project.evaluating():
        answer = project.predict({"picture": b64encode(grid_png(unit(pixels[:1]), 1)).decode()})
        logits = project.logits(pixels[:1])
    assert answer["answer"] == project.classes[int(logits.argmax())]
    assert list(answer["probabilities"].values()) == pytest.approx(logits.softmax(1)[0].tolist(), abs=1e-5)
    with pytest.raises(Problem, match=r"\[32, 32\], where \[3, 32, 32\] is right"):
        project.predict({"pixels": np.zeros((32, 32)).tolist()})
