"""The fast network for CIFAR-10: its size, its start, what the whitening and the averages are, and that no test picture enters them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_pictures import made_pictures
from stepping import measured, scalars, shuffled, train

from workbench.datasets import cifar
from workbench.datasets.labelled_images import LabelledImages
from workbench.events import Scalars
from workbench.projects.convolutional_networks.cifar_fast import (
    AVERAGED_EVERY,
    MEMORY,
    SETTLED,
    SOFTENING,
    CifarFast,
    network,
    reflected,
    triangle,
    whitening,
)
from workbench.recipes.recipe import Compute, Train


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars and spots in place of the pictures."""
    monkeypatch.setattr(cifar, "read", made_pictures)


def built(steps: int = 40, **config: Any) -> CifarFast:
    settings = CifarFast.Config(**{"channels": [8, 16, 16], **config})
    project = CifarFast(settings, Train(batch_size=40, steps=steps), Compute(device="cpu", threads=1), seed=1)
    project.build()
    return project


def test_the_published_network_has_its_published_size() -> None:
    layers = network([64, 256, 256], 10)
    assert sum(weight.numel() for weight in layers.parameters()) == 1_971_640
    assert layers[:-4](torch.zeros(2, 3, 32, 32)).shape == (2, 256, 3, 3)


def test_convolutions_begin_as_the_identity() -> None:
    layers = [layer for layer in network([8, 16, 16], 10) if isinstance(layer, torch.nn.Conv2d)][1:]
    for layer in layers:
        inputs = torch.randn(2, layer.in_channels, 9, 9)
        passed = min(layer.in_channels, layer.out_channels)
        assert torch.equal(layer(inputs)[:, :passed], inputs[:, :passed])


def test_whitened_patches_are_uncorrelated_and_of_variance_one() -> None:
    project = built()
    inputs = project.inputs(project.splits["train"][0])
    weights = whitening(inputs)
    answers = F.conv2d(inputs, weights).transpose(0, 1).flatten(1)
    assert torch.equal(weights[:12], -weights[12:])
    products = answers[:12] @ answers[:12].T / answers.shape[1]
    patches = F.unfold(inputs, 2).transpose(1, 2).reshape(-1, 12)
    variances = torch.linalg.eigvalsh(patches.T @ patches / len(patches))
    # Softened: a variance v becomes v / (v + ε).
    assert torch.allclose(products, torch.diag(variances / (variances + SOFTENING)), atol=2e-3)
    assert torch.equal(project.network[0].weight, weights) and not project.network[0].weight.requires_grad


def test_no_test_or_validation_picture_enters_the_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = built()

    def others(*arguments: Any) -> Any:
        data = made_pictures(*arguments)
        dark = LabelledImages(np.zeros_like(data.test.images), data.test.labels)
        return replace(data, test=dark, valid=dark)

    monkeypatch.setattr(cifar, "read", others)
    dark = built()
    assert torch.equal(plain.mean, dark.mean) and torch.equal(plain.deviation, dark.deviation)
    assert torch.equal(plain.network[0].weight, dark.network[0].weight)


def test_it_learns_and_nothing_from_shuffled_labels() -> None:
    learnt, misled = built(channels=[16, 32, 32]), built(channels=[16, 32, 32])
    shuffled(misled)
    for project in (learnt, misled):
        train(project, 40)
    # The chance of the likeliest of four classes is some 0.3.
    assert scalars(learnt, "test")["accuracy"] > 0.8
    assert scalars(misled, "test")["accuracy"] < 0.6


def test_an_epoch_mirrors_the_pictures_that_the_one_before_did_not() -> None:
    project = built()
    sides = []
    for epoch in (0, 1, 2):
        batches = project.batches(epoch, np.random.default_rng(4))
        sides.append(torch.cat([mirrored for _, _, mirrored in batches]))
    assert torch.equal(sides[0], ~sides[1]) and torch.equal(sides[0], sides[2])
    assert 40 < int(sides[0].sum()) < 120


def test_what_comes_in_is_the_mirror_image() -> None:
    picture = torch.arange(12).view(1, 1, 3, 4)
    assert reflected(picture, torch.tensor([1]), torch.tensor([0]))[0, 0].tolist() == [[4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert reflected(picture, torch.tensor([0]), torch.tensor([-2]))[0, 0].tolist() == [[2, 3, 2, 1], [6, 7, 6, 5], [10, 11, 10, 9]]
    versions = built().augmented(torch.rand(1, 3, 32, 32).expand(60, 3, 32, 32))
    assert 20 < len(torch.unique(versions.flatten(1), dim=0)) <= 50, "25 places, each mirrored or not"


def test_the_learning_rate_is_a_triangle() -> None:
    assert [round(triangle(done), 6) for done in (0, 0.115, 0.23, 0.615, 1)] == [0.2, 0.6, 1.0, 0.535, 0.07]
    rates = [numbers["learning_rate"] for numbers in train(built(), 40)]
    assert max(rates) == pytest.approx(11.5, rel=0.05) and rates[0] == pytest.approx(2.3) and rates[-1] < 1.5


def test_the_whitening_s_bias_is_trained_at_first_and_its_weights_never() -> None:
    project = built()
    first = project.network[0]
    weight, bias = first.weight.clone(), first.bias.clone()
    train(project, int(40 * SETTLED))
    settled = first.bias.clone()
    assert not torch.equal(settled, bias)
    project.averaged.look_ahead = lambda *arguments: None  # type: ignore[method-assign]
    train(project, 40, skip=int(40 * SETTLED))
    assert torch.equal(first.bias, settled) and torch.equal(first.weight, weight)


def test_training_goes_on_from_the_average() -> None:
    project = built()
    train(project, 14)
    assert not project.averaged.n_averaged and project.measured_network() is project.network
    train(project, 15, skip=14)
    last, before = project.network[-2].weight, project.averaged.module[-2].weight.clone()
    assert torch.equal(last, before), "the first average is the weights of now"
    train(project, 19, skip=15)
    assert not torch.equal(last, before) and project.measured_network() is project.averaged.module
    # The step alone, without the averaging behind it.
    alone, kept = built(), project.state()
    alone.load_state(kept)
    alone.averaged.look_ahead = lambda *arguments: None  # type: ignore[method-assign]
    random = project.random_state()
    train(project, 20, skip=19)
    alone.set_random_state(random)
    train(alone, 20, skip=19)
    share = 1 - MEMORY**AVERAGED_EVERY * (19 / 40) ** 3
    assert torch.allclose(last, before.lerp(alone.network[-2].weight, share), atol=1e-6)
    assert torch.equal(last, project.averaged.module[-2].weight)


def test_six_copies_of_a_test_picture_answer_together() -> None:
    project = built()
    train(project, 20)
    pixels, labels = project.splits["test"]
    padded = F.pad(pixels.float() / 255, (1, 1, 1, 1), mode="reflect")
    copies = [pixels.float() / 255, padded[:, :, :32, :32], padded[:, :, 2:, 2:]]
    with project.evaluating():
        each = [(project.logits(copy) + project.logits(copy.flip(3))) / 2 for copy in copies]
        together = project.logits_of_copies(pixels)
    assert torch.allclose(together, each[0] / 2 + (each[1] + each[2]) / 4, atol=1e-4)
    values = {name: value for event in measured(project, "test") if isinstance(event, Scalars) for name, value in event.values.items()}
    assert values["accuracy/copies"] == pytest.approx(float((together.argmax(1) == labels).float().mean()))
    assert "accuracy/copies" not in {name for event in measured(project, "valid") if isinstance(event, Scalars) for name in event.values}


def test_it_goes_on_exactly_from_a_checkpoint() -> None:
    whole, first, second = built(), built(), built()
    whole.seed_all(3)
    wanted = train(whole, 24)
    first.seed_all(3)
    began = train(first, 17)
    tree = second.decode_state(first.encode_state({"state": first.state(), "random": first.random_state()}))
    second.load_state(tree["state"])
    second.set_random_state(tree["random"])
    assert began + train(second, 24, skip=17) == wanted
    for mine, theirs in zip(second.network.state_dict().values(), whole.network.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
