"""The image classifier on its real data: it learns what is there to learn, and says what it does."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stepping import measured, scalars, shuffled, train

from workbench.events import Curve, Images, Matrix, Scalars, Table
from workbench.problems import Problem
from workbench.projects.convolutional_networks.image_classifier import ImageClassifier
from workbench.recipes.recipe import Compute, Train


def built(batch_size: int = 32, epochs: int = 1, **config: Any) -> ImageClassifier:
    settings = ImageClassifier.Config(**{"optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.9, **config})
    project = ImageClassifier(settings, Train(batch_size=batch_size, epochs=epochs), Compute(device="cpu", threads=1), seed=1)
    project.build()
    return project


def test_it_learns_digits_and_nothing_from_shuffled_labels() -> None:
    untrained = scalars(built())
    assert untrained["loss"] == pytest.approx(np.log(10), abs=0.05)
    learnt, misled = built(), shuffled(built())
    for project in (learnt, misled):
        train(project, 200)
    assert scalars(learnt)["loss"] < untrained["loss"] - 1.5
    assert scalars(learnt)["accuracy"] > 0.9
    assert scalars(misled)["loss"] > untrained["loss"] - 0.1
    assert scalars(misled)["accuracy"] < 0.3


def test_it_learns_mnist_and_nothing_from_shuffled_labels(mirror: Any) -> None:
    settings = {"data": "mnist", "hidden": [512, 512], "learning_rate": 0.01, "momentum": 0.0, "batch_size": 20}
    learnt = built(**settings)
    untrained = scalars(learnt)["loss"]
    misled = shuffled(built(**settings))
    for project in (learnt, misled):
        train(project, 400)
    assert scalars(learnt)["loss"] < untrained - 0.3
    assert scalars(misled)["loss"] > untrained - 0.1


CNN = {
    "model": "cnn",
    "channels": [[8], [16]],
    "hidden": [],
    "learning_rate": 0.05,
    "schedule": "one-cycle",
    "shift": 1.0,
    "rotation": 10.0,
}


def test_a_cnn_learns_digits_by_one_cycle_and_nothing_from_shuffled_labels() -> None:
    learnt, misled = built(epochs=5, **CNN), shuffled(built(epochs=5, **CNN))
    untrained = scalars(learnt)["loss"]
    for project in (learnt, misled):
        train(project, 170)
        assert project.optimizer.param_groups[0]["lr"] < 1e-4  # the cycle has ended
    assert scalars(learnt)["loss"] < untrained - 1.5
    assert scalars(learnt)["accuracy"] > 0.9
    assert scalars(misled)["loss"] > untrained - 0.3
    assert scalars(misled)["accuracy"] < 0.3


def test_one_cycle_and_the_moving_of_pictures_go_on_exactly_from_a_checkpoint() -> None:
    whole, first = built(epochs=2, **CNN), built(epochs=2, **CNN)
    whole.seed_all(3)
    wanted = train(whole, 68)
    rates = [numbers["learning_rate"] for numbers in wanted]
    assert max(rates) == pytest.approx(0.05, rel=0.02) and rates[0] < 0.01 and rates[-1] < 0.001
    first.seed_all(3)
    began = train(first, 25)
    saved = first.encode_state({"state": first.state(), "random": first.random_state()})
    second = built(epochs=2, **CNN)
    tree = second.decode_state(saved)
    second.load_state(tree["state"])
    second.set_random_state(tree["random"])
    assert began + train(second, 68, skip=25) == wanted
    for mine, theirs in zip(second.network.state_dict().values(), whole.network.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_all_events_tell_of_the_same_answers() -> None:
    project = built()
    train(project, 60)
    for split, number in (("valid", 359), ("test", 360)):
        events = measured(project, split)
        assert [type(event) for event in events] == [Scalars, Matrix, Table, Images]
        values, matrix, table, shown = events
        assert isinstance(values, Scalars) and isinstance(matrix, Matrix)
        assert isinstance(table, Table) and isinstance(shown, Images)
        assert sum(map(sum, matrix.values)) == number
        right = sum(row[index] for index, row in enumerate(matrix.values))
        assert values.values["accuracy"] == pytest.approx(right / number)
        assert sum(float(row[2]) for row in table.rows) == right
        for cell in ((row, column) for row in range(10) for column in range(10)):
            assert shown.cells.count(cell) == min(3, matrix.values[cell[0]][cell[1]])


def test_a_cell_of_the_matrix_shows_its_surest_mistakes_and_its_least_sure_right_answers() -> None:
    project = built()
    train(project, 60)
    event = measured(project, "valid")[-1]
    assert isinstance(event, Images) and event.tag == "confusion/examples"
    sheet = np.asarray(Image.open(io.BytesIO(event.png)))
    pixels, labels = project.splits["valid"]
    with project.evaluating():
        chances, answers = project.logits(pixels).softmax(1).max(1)
    sheets = (pixels * 255).round().to(torch.uint8)[:, 0]
    mistakes = 0
    for cell in set(event.cells):
        places = [place for place, each in enumerate(event.cells) if each == cell]
        inside = ((labels == cell[0]) & (answers == cell[1])).nonzero().flatten()
        ranked = inside[chances[inside].argsort(descending=cell[0] != cell[1])][: len(places)]
        for place, wanted in zip(places, ranked.tolist(), strict=True):
            row, column = divmod(place, event.columns)
            tile = torch.from_numpy(sheet[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8].copy())
            assert torch.equal(tile, sheets[wanted])
            assert event.captions[place].startswith(f"{cell[0]} " if cell[0] == cell[1] else f"{cell[0]}→{cell[1]} ")
            assert f"{chances[wanted]:.0%}" in event.captions[place]
            if cell[0] != cell[1]:
                mistakes += 1
                assert project_answer(project, pixels[wanted, 0]) == str(cell[1])
    assert mistakes > 10


def project_answer(project: ImageClassifier, pixels: torch.Tensor) -> str:
    with project.evaluating():
        reply = project.predict({"pixels": pixels.tolist()})
    assert sum(reply["probabilities"].values()) == pytest.approx(1)
    assert max(reply["probabilities"], key=reply["probabilities"].get) == reply["answer"]
    return str(reply["answer"])


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "no picture"),
        ([], "no picture"),
        ({"pixels": "seven"}, "no picture"),
        ({"pixels": [[0.0] * 8] * 7 + [[0.0]]}, "no picture"),
        ({"pixels": [[0.0] * 28] * 28}, r"is \[28, 28\], where \[8, 8\] is right"),
        ({"pixels": [[1.5] * 8] * 8}, "not from 0 to 1"),
        ({"pixels": [[float("nan")] * 8] * 8}, "not from 0 to 1"),
    ],
)
def test_what_is_no_picture_is_refused(inputs: Any, says: str) -> None:
    project = built()
    with project.evaluating(), pytest.raises(Problem, match=says):
        project.predict(inputs)


def test_looking_changes_nothing() -> None:
    looked, straight = built(dropout=0.5), built(dropout=0.5)
    for project in (looked, straight):
        project.seed_all(9)
        train(project, 5)
        if project is looked:
            state = project.random_state()
            measured(project, "valid")
            with project.evaluating():
                shown = list(project.sample(project.Request()))
            assert isinstance(shown[0], Images) and len(shown[0].captions) == 24
            torch.rand(1)
            project.set_random_state(state)
        train(project, 5)
    for mine, theirs in zip(looked.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_live_learning_rate_reaches_the_optimizer(optimizer: str) -> None:
    project = built(optimizer=optimizer, dropout=0.0)
    train(project, 3)
    project.config = project.config.model_copy(update={"learning_rate": 1e-30})
    before = [weight.detach().clone() for weight in project.network.parameters()]
    train(project, 3)
    assert all(torch.equal(old, new) for old, new in zip(before, project.network.parameters(), strict=True))


def test_a_number_of_pictures_per_class_is_the_first_of_each() -> None:
    whole, part = built().splits, built(per_class=20).splits
    pixels, labels = part["train"]
    assert labels.bincount().tolist() == [20] * 10
    for digit in range(10):
        assert torch.equal(pixels[labels == digit], whole["train"][0][whole["train"][1] == digit][:20])
    assert torch.equal(part["valid"][0], whole["valid"][0]) and torch.equal(part["test"][0], whole["test"][0])


def test_l1_leaves_exact_zeros_where_a_sub_gradient_leaves_none() -> None:
    plain, thresholded = built(), built(l1=0.01)
    for project in (plain, thresholded):
        train(project, 100)
    zeros = [{**events[0].values, **events[1].values}["zeros"] for events in map(weights_shown, (plain, thresholded))]
    assert zeros[0] == 0 and zeros[1] > 0.1


def weights_shown(project: ImageClassifier) -> list[Any]:
    project.config = project.config.model_copy(update={"panels": "weights"})
    return measured(project, "valid")


def test_the_weights_are_measured_without_their_biases() -> None:
    project = built(hidden=[], initialisation="zeros")
    with torch.no_grad():
        project.network[1].weight[0, :4] = torch.tensor([0.5, -2.0, 0.0009, -0.001])
        project.network[1].bias.fill_(7)
    _, numbers, histogram = weights_shown(project)
    assert numbers.values["near_zero"] == pytest.approx(637 / 640) and numbers.values["zeros"] == pytest.approx(636 / 640)
    assert numbers.values["abs_sum"] == pytest.approx(2.5019) and numbers.values["norm"] == pytest.approx(4.25**0.5, rel=1e-5)
    assert isinstance(histogram, Curve) and histogram.tag == "weights"
    counts = 10 ** np.array(histogram.y) - 1
    assert counts.sum() == pytest.approx(640) and counts.max() == pytest.approx(638)
    assert histogram.x[int(counts.argmax())] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("activation", "smallest", "largest"), [("sigmoid", 0, 1e-3), ("relu", 0.1, 10)])
def test_the_gradient_vanishes_through_eight_layers_of_sigmoids(activation: str, smallest: float, largest: float) -> None:
    project = built(hidden=[64] * 8, activation=activation, initialisation="he", dropout=0.0, panels="gradients")
    before = [weight.grad for weight in project.network.parameters()]
    _, numbers, curve = measured(project, "valid")
    assert before == [weight.grad for weight in project.network.parameters()] == [None] * 18
    assert isinstance(numbers, Scalars) and smallest <= numbers.values["gradient/first"] / numbers.values["gradient/last"] <= largest
    # The norm of what back-propagation leaves in `.grad`, on the first 1,000 training pictures.
    pixels, labels = (part[:1000] for part in project.splits["train"])
    torch.nn.functional.cross_entropy(project.network(pixels), labels).backward()
    norms = [layer.weight.grad.norm().log10().item() for layer in project.network if isinstance(layer, torch.nn.Linear)]
    assert isinstance(curve, Curve) and curve.y == pytest.approx(norms, abs=1e-4) and len(norms) == 9


@pytest.mark.parametrize("panels", ["weights", "gradients"])
def test_what_is_shown_changes_no_step(panels: str) -> None:
    plain, shown = built(dropout=0.5), built(dropout=0.5, panels=panels)
    for project in (plain, shown):
        project.seed_all(4)
        measured(project, "valid")
        train(project, 5)
    for mine, theirs in zip(plain.network.parameters(), shown.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
