"""Capsules: exact counts and losses, that the decoder never sees the label, and that digits are learnt."""

from typing import Any

import numpy as np
import pytest
import torch
from stepping import measured, scalars, train

from workbench.datasets.labelled_images import ImageData, LabelledImages
from workbench.events import Curve, Images, Matrix
from workbench.problems import Problem
from workbench.projects.convolutional_networks import capsules
from workbench.projects.convolutional_networks.capsules import CapsuleNetwork, Capsules, count, equal_cnn, margin_loss, moved_digits, squash
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train

SMALL = {"maps": 16, "types": 2, "learning_rate": 0.005}


@pytest.fixture(autouse=True)
def digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scikit-learn's digits, enlarged to 28x28, in the place of MNIST: less to read."""
    from workbench.datasets import digits

    data = digits.read()

    def large(part: LabelledImages) -> LabelledImages:
        return LabelledImages(np.pad(part.images.repeat(3, 2).repeat(3, 3), ((0, 0), (0, 0), (2, 2), (2, 2))), part.labels)

    enlarged = ImageData(large(data.train), large(data.valid), large(data.test), data.classes)
    monkeypatch.setattr("workbench.datasets.mnist.read", lambda: enlarged)


def built(**config: Any) -> Capsules:
    project = Capsules(Capsules.Config(**{**SMALL, **config}), Train(batch_size=20, epochs=1), Compute(device="cpu", threads=1), 1)
    project.build()
    return project


@pytest.mark.parametrize(("stem", "parameters", "children"), [("capsules", 8_215_568, 1152), ("capsules-fast", 2_117_072, 288)])
def test_the_recipes_networks_have_exactly_so_many_parameters(stem: str, parameters: int, children: int) -> None:
    config = load_recipe(find_recipe(stem)).recipe.config
    with torch.device("meta"):
        network = CapsuleNetwork(config["maps"], config["types"], 3, "parents")
        assert count(network) == parameters and network.votes.shape == (10, children, 8, 16)
        other = count(equal_cnn(config["maps"], config["types"], parameters))
    assert 0.99 * parameters < other <= parameters


def test_squash_and_margin_loss_are_exact() -> None:
    vectors = torch.tensor([[1.0, 0], [0, 3], [0.06, 0.08], [0, 0]], dtype=torch.float64, requires_grad=True)
    lengths = squash(vectors).norm(dim=1)
    assert lengths.tolist() == pytest.approx([0.5, 0.9, 0.00990099, 0], abs=1e-8)
    squash(vectors).sum().backward()
    assert vectors.grad is not None and bool(vectors.grad.isfinite().all())
    halves = torch.full((3, 10), 0.5, dtype=torch.float64)
    assert float(margin_loss(halves, torch.tensor([0, 4, 9]))) == pytest.approx(0.88, abs=1e-9)


@pytest.mark.parametrize(("over", "first"), [("parents", 1 / 10), ("children", 1 / 72)])
def test_the_first_couplings_are_equal_and_sum_to_one(over: Any, first: float) -> None:
    project = built(softmax=over)
    with project.evaluating():
        parents, couplings, children = project.network.routed(project.splits["valid"][0][:3])
    assert parents.shape == (3, 10, 16) and children.shape == (3, 72, 8)
    assert torch.allclose(couplings[0], torch.tensor(first))
    for coupling in couplings:
        assert torch.allclose(coupling.sum(1 if over == "parents" else 2), torch.tensor(1.0), atol=1e-5)
    assert not torch.allclose(couplings[2], couplings[0])


def test_the_decoder_draws_the_answer_whatever_the_label_says() -> None:
    """The cheat would be to mask with the true class: other labels would then give other drawings."""
    project = built()
    train(project, 10)
    error = scalars(project)["reconstruction"]
    pixels, labels = project.splits["valid"]
    _, drawn = project.scores(pixels)
    project.splits["valid"] = pixels, (labels + 1) % 10
    assert scalars(project)["reconstruction"] == error
    project.splits["valid"] = pixels, labels
    parents = project.network(pixels[:20])
    answers = torch.linalg.vector_norm(parents, dim=-1).argmax(1)
    assert bool((answers != labels[:20]).any())
    assert torch.allclose(drawn[:20], project.network.reconstruct(parents, answers))
    wrong = answers != labels[:20]
    assert not torch.allclose(drawn[:20][wrong], project.network.reconstruct(parents, labels[:20])[wrong])
    # In training, too: the reconstruction of a step is the same for any label.
    steps = [built().train_step((pixels[:20], labels[:20] * keep))["reconstruction"] for keep in (1, 0)]
    assert torch.equal(*steps)


def test_it_learns_digits_and_nothing_from_shuffled_labels() -> None:
    learnt, misled = built(), built()
    inputs, labels = misled.splits["train"]
    misled.splits["train"] = inputs, labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    losses = train(learnt, 60)
    train(misled, 60)
    assert losses[0]["loss"] == pytest.approx(0.81 + capsules.RECONSTRUCTION * 784 * losses[0]["reconstruction"], abs=0.2)
    assert scalars(learnt)["accuracy"] > 0.85 and scalars(misled)["accuracy"] < 0.3
    assert scalars(learnt)["affine_accuracy"] < scalars(learnt)["accuracy"]


def test_the_affine_digits_are_the_same_in_every_run_and_move_no_random_number() -> None:
    pixels = built().splits["valid"][0][:16]
    state = torch.get_rng_state()
    first = moved_digits(pixels)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(moved_digits(pixels), first) and not torch.equal(first, pixels)


def test_a_cnn_of_equal_size_stands_beside_it() -> None:
    project = built(model="cnn")
    values = train(project, 5)
    assert set(values[-1]) == {"loss"} and 0 <= scalars(project)["affine_accuracy"] <= 1
    (answers,) = project.sample(project.Request())
    assert isinstance(answers, Images) and len(answers.captions) == 24
    assert 0.9 * count(built().network) < count(project.network) <= count(built().network)


def test_the_panels_and_the_sixteen_numbers() -> None:
    project = built()
    with project.evaluating():
        one, lengths, couplings, numbers, reconstructions = project.sample(project.Request())
        changed = next(iter(project.sample(project.Request(change=[[0.5] * 8] * 2))))
    assert isinstance(one, Images) and isinstance(changed, Images) and one.png != changed.png
    assert isinstance(lengths, Curve) and len(lengths.y) == 10 and all(0 <= length < 1 for length in lengths.y)
    assert isinstance(couplings, Matrix) and len(couplings.values) == 3
    assert couplings.values[0] == pytest.approx([0.1] * 10, rel=1e-5) and sum(couplings.values[2]) == pytest.approx(1, rel=1e-5)
    assert isinstance(numbers, Images) and len(numbers.captions) == 16 * 7 and numbers.captions[0] == "1: -0.25"
    assert isinstance(reconstructions, Images) and len(reconstructions.captions) == 16
    assert [type(event).__name__ for event in measured(project)] == ["Scalars", "Matrix"]


def test_a_picture_is_answered_with_lengths_and_anything_else_is_refused() -> None:
    from fuzzed_requests import png

    project = built()
    with project.evaluating():
        answer = project.predict({"picture": png(1)})
    assert answer["answer"] == max(answer["probabilities"], key=answer["probabilities"].get) and "need not sum" in answer["note"]
    for inputs in (None, {}, {"picture": 3}, {"picture": "x"}):
        with pytest.raises(Problem):
            project.predict(inputs)
