"""AlexNet, VGG and ResNet: their sizes to the parameter, the block that is the identity, and the gradients of deep ones."""

from typing import Any

import pytest
import torch
from made_pictures import made_pictures
from stepping import measured, scalars, shuffled, train

from workbench.datasets import cifar
from workbench.events import Curve, Table
from workbench.problems import Problem
from workbench.projects.convolutional_networks.breakthroughs import (
    IMAGENET,
    SMALL,
    Block,
    Breakthroughs,
    alexnet,
    full_sizes,
    kernels,
    residual,
    vgg,
)
from workbench.recipes.recipe import Compute, Train


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars and spots in place of the pictures."""
    monkeypatch.setattr(cifar, "read", made_pictures)


def built(**config: Any) -> Breakthroughs:
    settings = Breakthroughs.Config(**{"channels": 4, "depth": 8, "learning_rate": 0.01, **config})
    project = Breakthroughs(settings, Train(batch_size=40), Compute(device="cpu", threads=1), seed=1)
    project.build()
    return project


def test_for_imagenet_they_have_their_published_sizes() -> None:
    assert [row[1] for row in full_sizes().rows] == [61_100_840, 138_357_544, 60_192_808]
    with torch.device("meta"):
        pictures = torch.zeros(2, 3, IMAGENET, IMAGENET)
        assert alexnet(IMAGENET, 1000, 64, 0.5)(pictures).shape == vgg(IMAGENET, 1000, 64)(pictures).shape == (2, 1000)


def test_at_32_pixels_a_plain_network_has_a_resnet_s_weights() -> None:
    # 0.27 million for ResNet-20, as in He et al. 2016, table 6: shortcuts have no weights.
    counts = [sum(weight.numel() for weight in residual(20, 10, 16, adds=adds).parameters()) for adds in (True, False)]
    assert counts == [269_722, 269_722]
    with torch.device("meta"):
        for depth in (8, 20, 32):
            layers = [weight for weight in residual(depth, 10, 16, adds=True).parameters() if weight.dim() > 1]
            assert len(layers) == depth
        for network in (alexnet(SMALL, 10, 8, 0.5), vgg(SMALL, 10, 8)):
            assert network(torch.zeros(2, 3, SMALL, SMALL)).shape == (2, 10)


@pytest.mark.parametrize("training", [True, False])
def test_a_residual_block_of_zero_weights_is_the_identity(training: bool) -> None:
    maps = torch.rand(3, 6, 8, 8)
    block, plain = Block(6, 6, True).train(training), Block(6, 6, False).train(training)
    for either in (block, plain):
        for layer in (either.first, either.second):
            torch.nn.init.zeros_(layer.weight)
    assert torch.equal(block(maps), maps)
    assert not plain(maps).any(), "without the addition nothing gets through"
    # Where a group halves the pictures, every second pixel goes past, and new channels are 0.
    wider = Block(6, 12, True).train(training)
    torch.nn.init.zeros_(wider.second.weight)
    assert torch.equal(wider(maps)[:, :6], maps[:, :, ::2, ::2]) and not wider(maps)[:, 6:].any()


def test_past_the_blocks_the_gradient_is_even_and_through_plain_ones_it_is_not() -> None:
    decades = {}
    for network in ("resnet", "plain"):
        project = built(network=network, depth=56)
        before = project.network.state_dict()["1.running_mean"].clone()
        curve = next(event for event in measured(project, "valid") if isinstance(event, Curve))
        assert len(curve.y) == 56 and torch.equal(project.network.state_dict()["1.running_mean"], before)
        decades[network] = curve.y[0] - curve.y[-1]
    # Batch norm keeps it from vanishing: in a plain network it grows from layer to layer on its way back.
    assert abs(decades["resnet"]) < 1 < 2 < decades["plain"]


@pytest.mark.parametrize("config", [{"network": "resnet"}, {"network": "alexnet", "dropout": 0.0, "learning_rate": 0.003}])
def test_they_learn_and_nothing_from_shuffled_labels(config: dict[str, Any]) -> None:
    learnt, misled = built(**config), shuffled(built(**config))
    for project in (learnt, misled):
        train(project, 60 if config["network"] == "alexnet" else 40)
    assert scalars(learnt, "train")["loss"] < 1 and scalars(learnt)["accuracy"] > 0.7
    assert scalars(misled)["accuracy"] < 0.6


def test_three_small_kernels_have_fewer_weights_than_a_large_one() -> None:
    assert [row[2] for row in kernels(64, 7).rows] == [200_704, 110_592]
    assert [row[1] for row in kernels(64, 11).rows] == [11, 11]
    project = built()
    with project.evaluating():
        table = next(iter(project.sample(project.Request(maps=2, kernel=5))))
    assert isinstance(table, Table) and [row[2] for row in table.rows] == [100, 72]


def test_a_depth_that_is_none_gets_one_sentence() -> None:
    with pytest.raises(Problem, match=r"config.depth is 21, which is not 8, 14, 20 or another 6n \+ 2") as caught:
        built(depth=21)
    assert caught.value.hint == "Take 20."
