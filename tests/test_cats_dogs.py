"""Cats and dogs by transfer and from scratch: the parameters of the heads, and that a head without hidden layers is what it always was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from workbench.datasets import photos
from workbench.projects.convolutional_networks.transfer import Transfer
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train


def built(monkeypatch: pytest.MonkeyPatch, **config: Any) -> Transfer:
    """A recipe's network with random weights on a few made pictures: two colours are the classes."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 12)
    pixels = random.integers(0, 120, (24, 32, 32, 3), np.uint8)
    pixels[labels == 1, ..., 0] += 120
    parts = [(pixels, labels.astype(np.int64))] * 3
    monkeypatch.setattr(photos, "read", lambda *_: photos.Photos(parts, ["cat", "dog"]))
    settings = Transfer.Config(**{"weights": "random", "picture_size": 32, **config})
    project = Transfer(settings, Train(batch_size=8), Compute(device="cpu", threads=1), 1)
    project.build()
    return project


def test_the_head_is_1280_256_2(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_recipe(find_recipe("cats-dogs")).recipe.config
    project = built(monkeypatch, network=config["network"], hidden=config["hidden"], dropout=config["dropout"])
    assert sum(weight.numel() for weight in project.head.parameters()) == 328_450
    assert [type(layer) for layer in project.head] == [nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]  # type: ignore[arg-type]
    # The pre-trained network is frozen: only the head reaches the optimizer.
    trained = [weight for group in project.optimizer.param_groups for weight in group["params"]]
    assert sum(weight.numel() for weight in trained) == 328_450


def test_a_head_without_hidden_layers_draws_what_it_always_drew(monkeypatch: pytest.MonkeyPatch) -> None:
    project = built(monkeypatch)
    torch.manual_seed(7)
    project.build_model()
    after = torch.rand(1)
    torch.manual_seed(7)
    last = nn.Linear(1280, 2)
    assert torch.equal(torch.rand(1), after)
    assert list(project.head.state_dict()) == ["1.weight", "1.bias"]
    assert torch.equal(project.head.state_dict()["1.weight"], last.weight)


def test_a_hidden_layer_learns_and_nothing_from_shuffled_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """On two colours; the measured run on photographs is the recipe's."""
    last = {}
    for shuffled in (False, True):
        project = built(monkeypatch, network="cnn", channels=[[4]], hidden=[16], dropout=0.0, learning_rate=0.01)
        inputs, labels = project.splits["train"]
        if shuffled:
            project.splits["train"] = (inputs, torch.arange(24) % 2)
        for epoch in range(10):
            for batch in project.batches(epoch, np.random.default_rng(epoch)):
                project.train_step(batch)
        with project.evaluating():
            answers = project.log_probabilities(inputs, pictures=False).argmax(1)
        last[shuffled] = (answers == labels).float().mean().item()
    assert last[False] == 1 and last[True] < 0.8


def test_the_small_set_is_named_as_a_stand_in(mirror: Path) -> None:
    data = photos.read("cats-dogs:small", 16)
    assert data.variant == "Cats and dogs, 3,000 of 112 px" and data.classes == ["cat", "dog"]
    assert [len(labels) for _, labels in data.parts] == [1800, 450, 750]
    assert all(abs(int(labels.sum()) * 2 - len(labels)) == 0 for _, labels in data.parts)
