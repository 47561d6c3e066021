"""The semi_supervised project: its losses at known answers, which labels it sees, that it learns from more than them, and resumes."""

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stepping import measured, scalars, train
from test_mnist_gan import scikit_digits

from workbench.datasets.labelled_images import ImageData
from workbench.events import Curve, Images, Matrix, Table
from workbench.problems import Problem
from workbench.projects.gans import semi_supervised
from workbench.projects.gans.semi_supervised import (
    NormedLinear,
    SemiSupervised,
    classifier,
    drawn_loss,
    feature_matching,
    generator,
    labelled_places,
    real_logit,
    unlabelled_loss,
)
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe, variants
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.adversarial import generator_loss

Make = Callable[..., SemiSupervised]
SMALL: dict[str, Any] = {"discriminator": [64, 32], "generator": [32]}


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return scikit_digits()


@pytest.fixture
def make(digits: ImageData, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A built project with small networks on scikit-learn's digits, 900 of them to train on."""
    monkeypatch.setattr(semi_supervised.images, "read", lambda name: digits)
    monkeypatch.setattr(semi_supervised, "ALONE", 60)

    def made(seed: int = 1, batch_size: int = 50, **config: Any) -> SemiSupervised:
        settings = SemiSupervised.Config(**{**SMALL, **config})
        project = SemiSupervised(settings, Train(batch_size=batch_size, epochs=20), Compute(device="cpu", threads=1), seed)
        project.build()
        return project

    return made


def test_the_losses_where_all_logits_are_zero() -> None:
    zero = torch.zeros(7, 10)
    assert float(real_logit(zero).sigmoid().mean()) == pytest.approx(0.909091, abs=5e-7)
    assert float(unlabelled_loss(zero)) == pytest.approx(0.095310, abs=5e-7) and math.log(11 / 10) == pytest.approx(0.095310, abs=5e-7)
    assert float(drawn_loss(zero)) == pytest.approx(2.397895, abs=1e-6) and math.log(11) == pytest.approx(2.397895, abs=1e-6)


def test_the_losses_are_those_of_a_softmax_with_an_eleventh_logit_of_zero() -> None:
    logits = 3 * torch.randn(50, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eleven = torch.cat((logits, torch.zeros(50, 1, dtype=torch.float64)), 1).log_softmax(1)
    drawn = eleven[:, 10]
    assert float(drawn_loss(logits)) == pytest.approx(-float(drawn.mean()), rel=1e-6)
    assert float(unlabelled_loss(logits)) == pytest.approx(-float((1 - drawn.exp()).log().mean()), rel=1e-5)
    # Large logits stay finite: log(1 - D) of D = 1 would not.
    assert float(drawn_loss(torch.full((1, 10), 500.0))) == pytest.approx(500 + math.log(10))
    assert float(unlabelled_loss(torch.full((1, 10), -500.0))) == pytest.approx(500 - math.log(10))


def test_equal_features_cost_the_generator_nothing() -> None:
    random = torch.Generator().manual_seed(0)
    one = torch.rand(40, 8, generator=random)
    assert float(feature_matching(one, one)) == 0
    # The means count, in whatever order, and the distance is not squared.
    assert float(feature_matching(one, one.flip(0))) == pytest.approx(0, abs=1e-6)
    assert float(feature_matching(one, one + 0.25)) == pytest.approx(0.25, rel=1e-5)


def test_the_networks_of_the_recipe() -> None:
    recipe = load_recipe(find_recipe("semi-supervised-gan")).recipe
    config = SemiSupervised.Config.model_validate(recipe.config)
    networks = classifier(config.discriminator, 0.3, 0.5, torch.rand(50, 1, 28, 28)), generator(config.noise_size, config.generator)
    assert [sum(weight.numel() for weight in network.parameters()) for network in networks] == [1_538_770, 694_784]
    drawn = networks[1](torch.rand(3, 100))
    assert drawn.shape == (3, 1, 28, 28) and drawn.min() >= 0 and drawn.max() <= 1
    assert networks[0](drawn).shape == (3, 10)
    assert not recipe.train.keep_best and not recipe.train.patience, "nothing is chosen by labels that count as none"


def test_a_new_units_sums_have_mean_0_and_deviation_1_and_its_weights_length_is_without_effect(digits: ImageData) -> None:
    torch.manual_seed(0)
    inputs = torch.from_numpy(digits.train.images[:500])
    network = classifier([1000, 500, 250, 250, 250], 0.0, 0.0, inputs).eval()
    with torch.no_grad():
        answer = network(inputs)
        for layer in network:
            inputs = layer(inputs)
            if isinstance(layer, NormedLinear):
                assert inputs.mean(0).abs().max() < 1e-3 and (inputs.std(0) - 1).abs().quantile(0.9) < 1e-3
                layer.direction *= 7
        again = network(torch.from_numpy(digits.train.images[:500]))
    assert torch.allclose(again, answer, atol=1e-3)
    # What the optimizer moves are directions, not lengths; the last layer alone learns how sure it is.
    assert [name for name, _ in network.named_parameters() if name.endswith("scale")] == ["17.scale"]


@pytest.mark.parametrize("average", [0.9, 0.0])
def test_the_average_of_the_weights_classifies(make: Make, average: float) -> None:
    project = make(average=average)
    train(project, 5)
    project.discriminator.eval()
    network = project.averaged.module.eval() if average else project.discriminator
    digits = project.splits["test"][0]
    with torch.no_grad():
        assert torch.equal(project.logits(digits), network(digits)) and project.serving().graph is network
        assert not average or not torch.equal(project.logits(digits), project.discriminator(digits))


def test_the_comparison_changes_the_method_alone() -> None:
    alone = load_recipe(find_recipe("semi-supervised-gan")).recipe
    compared = variants(load_recipe(find_recipe("semi-supervised-compare")))
    assert {name: one.recipe.config["method"] for name, one in compared.items()} == {
        "gan": "features",
        "labels-alone": "labels",
        "no-feature-matching": "fooling",
    }
    for one in compared.values():
        assert {**one.recipe.config, "method": "features"} == alone.config and one.recipe.train == alone.train


@pytest.mark.parametrize("method", ["features", "fooling", "labels"])
def test_exactly_these_labels_reach_the_loss(make: Make, digits: ImageData, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    project = make(method=method, labels_per_class=3)
    truth = {picture.tobytes(): int(label) for picture, label in zip(digits.train.images, digits.train.labels, strict=True)}
    pairs: set[tuple[bytes, int]] = set()
    network, seen = project.discriminator, []
    network.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    real = semi_supervised.cross_entropy

    def spying(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        pairs.update((picture.numpy().tobytes(), int(label)) for picture, label in zip(seen[-1][: len(labels)], labels, strict=True))
        return real(logits, labels)

    monkeypatch.setattr(semi_supervised, "cross_entropy", spying)
    train(project, 12)
    assert len(pairs) == 30 and all(truth[picture] == label for picture, label in pairs)
    assert np.bincount([label for _, label in pairs]).tolist() == [3] * 10
    # A batch of the others has no labels that anything could read.
    assert [part.shape for part in next(iter(project.batches(0, np.random.default_rng(0))))] == [(50, 1, 28, 28)]


def test_the_labels_are_drawn_by_the_seed(make: Make, digits: ImageData) -> None:
    one, same, other = (set(labelled_places(digits.train.labels, 10, seed).tolist()) for seed in (1, 1, 2))
    assert one == same and len(one) == 100 and len(one & other) < 30
    assert np.bincount(digits.train.labels[sorted(one)]).tolist() == [10] * 10
    assert not torch.equal(make(seed=1).labelled, make(seed=2).labelled)


def test_no_test_picture_is_trained_on(make: Make) -> None:
    project = make()
    held_out = {digit.numpy().tobytes() for pictures, _ in project.splits.values() for digit in pictures}
    assert len(held_out) > 800
    assert not held_out & {digit.numpy().tobytes() for part in (project.unlabelled, project.labelled) for digit in part}


def test_more_labels_than_there_are_get_one_sentence(make: Make) -> None:
    with pytest.raises(Problem, match=r"labels_per_class is 200, and one class has only \d+ training pictures") as caught:
        make(labels_per_class=200)
    assert caught.value.cause == "data"


def test_the_three_losses_and_the_generator_s_at_known_answers(make: Make) -> None:
    project = make(input_noise=0.0, hidden_noise=0.0, method="fooling")
    last = project.discriminator[-1]
    with torch.no_grad():
        last.scale.zero_()
        last.bias.copy_(torch.arange(10) / 10)
    project.discriminator_optimizer.param_groups[0]["share"] = 0.0  # so that the generator meets the same answers
    [values] = train(project, 1)
    log_z = math.log(sum(math.exp(label / 10) for label in range(10)))
    assert values["loss/unlabelled"] == pytest.approx(math.log1p(math.exp(-log_z)), rel=1e-5)
    assert values["loss/generator"] == pytest.approx(values["loss/unlabelled"], rel=1e-5), "it wants what a real digit gets"
    assert values["loss/drawn"] == pytest.approx(math.log1p(math.exp(log_z)), rel=1e-5)
    assert values["probability/real"] == values["probability/fake"] == pytest.approx(1 / (1 + math.exp(-log_z)), rel=1e-5)
    assert 0.9 < log_z - values["loss/labelled"] + 0.9 < 1.8, "the mean of the labels' logits lies between 0 and 0.9"


@pytest.mark.parametrize("method", ["features", "fooling"])
@pytest.mark.parametrize(("still", "moves"), [("generator", "discriminator"), ("discriminator", "generator")])
def test_each_optimizer_moves_its_own_network(make: Make, method: str, still: str, moves: str) -> None:
    project = make(method=method)
    getattr(project, f"{still}_optimizer").param_groups[0]["share"] = 0.0
    before = {name: [weight.detach().clone() for weight in getattr(project, name).parameters()] for name in (still, moves)}
    train(project, 3)
    same = {name: [torch.equal(*pair) for pair in zip(before[name], getattr(project, name).parameters(), strict=True)] for name in before}
    assert all(same[still]) and not any(same[moves])


def test_labels_alone_leave_the_generator_as_it_was(make: Make) -> None:
    project = make(method="labels")
    before = [weight.detach().clone() for weight in project.generator.parameters()]
    assert set(train(project, 3)[0]) == {"loss/labelled", "accuracy"}
    assert all(torch.equal(*pair) for pair in zip(before, project.generator.parameters(), strict=True))
    assert {event.tag for event in shown(project)} == {"mistakes"}


def shown(project: SemiSupervised, **request: Any) -> list[Any]:
    with project.evaluating():
        return list(project.sample(project.Request(**request)))


@pytest.mark.parametrize("method", ["features", "fooling", "labels"])
def test_it_learns_from_the_labels_and_nothing_from_shuffled_ones(make: Make, method: str) -> None:
    project, wrong = make(method=method), make(method=method)
    wrong.labels = wrong.labels[torch.randperm(len(wrong.labels), generator=torch.Generator().manual_seed(0))]
    for one in (project, wrong):
        train(one, 60)
    assert scalars(project)["accuracy"] > 0.6 and scalars(wrong)["accuracy"] < 0.35
    assert project.alone["valid"] > 0.6


def test_what_is_measured_and_shown(make: Make) -> None:
    project = make()
    train(project, 3)
    _, confusion = measured(project, "test")
    assert isinstance(confusion, Matrix) and sum(map(sum, confusion.values)) == len(project.splits["test"][1])
    assert scalars(project, "test")["accuracy/labels_alone"] == project.alone["test"] != project.alone["valid"]
    first, real, drawn, mistakes = shown(project)
    assert isinstance(first, Images) and Image.open(io.BytesIO(first.png)).size == (8 * 28, 2 * 28)
    assert isinstance(real, Curve) and isinstance(drawn, Curve) and len(real.y) == 32 and real.y == sorted(real.y, reverse=True)
    # The generator's loss, but over other digits.
    with project.evaluating():
        digits = project.splits["valid"][0]
        noise = project.seeded_noise(len(digits), torch.Generator().manual_seed(0))
        distance = float(feature_matching(project.features(digits), project.features(project.generator(noise))))
    assert np.mean(np.abs(np.subtract(real.y, drawn.y))) == pytest.approx(distance, rel=1e-4)
    assert isinstance(mistakes, Images) and all("→" in caption for caption in mistakes.captions)
    assert shown(project)[0].png == first.png != shown(project, seed=5)[0].png == shown(project, seed=5)[0].png
    *_, table, labelled = project.summary()
    assert isinstance(table, Table) and isinstance(labelled, Images) and labelled.captions == [str(place // 10) for place in range(100)]


def test_noise_is_for_training_alone(make: Make) -> None:
    project = make()
    digits = project.splits["valid"][0][:20]
    assert not torch.equal(project.discriminator(digits), project.discriminator(digits))
    with project.evaluating():
        assert torch.equal(project.logits(digits), project.logits(digits))


def test_a_digit_is_asked_as_a_picture(make: Make) -> None:
    project = make()
    train(project, 2)
    with project.evaluating():
        examples, truths = project.serving().examples(3), project.serving().truths(3)
        answers = [project.predict(example) for example in examples]
        logits = project.logits(project.splits["test"][0][:3])
    assert [answer["answer"] for answer in answers[::2]] == [str(int(label)) for label in logits.argmax(1)[::2]]
    assert truths == [str(int(label)) for label in project.splits["test"][1][:3]] and len(answers[0]["probabilities"]) == 10


@pytest.mark.parametrize("method", ["features", "labels"])
@pytest.mark.parametrize("forgotten", ["", "discriminator", "discriminator_optimizer", "generator_optimizer", "random"])
def test_it_resumes_exactly(make: Make, method: str, forgotten: str) -> None:
    # Step 18 is the last of the first epoch.
    whole = make(method=method)
    train(whole, 14)
    state, random = whole.state(), whole.random_state()
    expected = train(whole, 21, skip=14)

    resumed = make(method=method)
    train(resumed, 3)
    state.pop(forgotten, None)
    resumed.load_state(state)
    if forgotten != "random":
        resumed.set_random_state(random)
    same = train(resumed, 21, skip=14) == expected
    assert same == (not forgotten or (method == "labels" and forgotten == "generator_optimizer"))


def test_fooling_is_the_kit_s_loss_on_log_z() -> None:
    logits = torch.randn(9, 10, generator=torch.Generator().manual_seed(0))
    assert float(generator_loss(real_logit(logits))) == pytest.approx(float(unlabelled_loss(logits)), rel=1e-6)
