"""Seeing: exact attacks on a line, and what holds of every attack and every ascent, on a real run and on a stand-in network."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built, events
from PIL import Image
from run_folders import trained_run
from torch import nn

from workbench.events import Curve, Images, Text
from workbench.problems import Problem
from workbench.projects.convolutional_networks import seeing
from workbench.projects.convolutional_networks.seeing import Seeing, changed, gradient_signs, random_signs
from workbench.recipes.recipe import Recipe, dump_recipe
from workbench.torchkit import backbone
from workbench.torchkit.inside import flat

CNN = {"data": "digits", "model": "cnn", "channels": [[8], [16]], "hidden": [], "dropout": 0.5}
RATES = {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of a small CNN that classifies some digits wrong."""
    folder = tmp_path_factory.mktemp("run")
    trained_run(folder, "image_classifier", {**CNN, **RATES}, 25)
    return folder


@pytest.fixture(scope="module")
def lesson(run: Path) -> Seeing:
    project = built("seeing", network=str(run))
    assert isinstance(project, Seeing)
    return project


def test_a_line_falls_by_epsilon_for_every_weight(lesson: Seeing) -> None:
    table = asked("seeing", lesson, epsilon=0.1)["2·x₁ + x₂ - 18, attacked"]
    assert [row[3] for row in table.rows] == [pytest.approx(2, abs=1e-9), pytest.approx(1.7), pytest.approx(-1, abs=1e-9)]
    assert table.rows[2][:3] == [1, 6, 5]


def test_epsilon_zero_changes_no_bit_and_no_change_is_larger_than_epsilon(lesson: Seeing) -> None:
    pixels, labels = lesson.pixels[:40], lesson.labels[:40]
    signs = gradient_signs(lesson.logits, pixels, labels, False)
    assert torch.equal(changed(pixels, signs, 0), pixels)
    for move in (signs, random_signs(pixels, 3)):
        attacked = changed(pixels, move, 0.3)
        assert float((attacked - pixels).abs().max()) <= 0.3 + 1e-7
        assert float(attacked.min()) >= 0 and float(attacked.max()) <= 1
        assert not torch.equal(attacked, pixels)
    rows = asked("seeing", lesson, epsilon=0)["top 5"].rows
    assert all(row[:2] == row[2:] for row in rows)


def test_the_signs_are_those_of_finite_differences(lesson: Seeing) -> None:
    network = lesson.network.double().eval()
    try:
        pixels, label = lesson.pixels[:1].double() * 0.8 + 0.1, lesson.labels[:1]
        signs = gradient_signs(network, pixels, label, False).flatten()
        losses = []
        for place in range(20, 44):
            move = torch.zeros(64, dtype=torch.float64)
            move[place] = 1e-6
            above, below = (torch.nn.functional.cross_entropy(network(pixels + sign * move.view(1, 1, 8, 8)), label) for sign in (1, -1))
            losses.append(float((above - below).detach()))
        assert np.sign(losses).tolist() == signs[20:44].tolist()
        assert torch.equal(gradient_signs(network, pixels, label, True).flatten(), -signs)
    finally:
        network.float()


def test_only_what_is_classified_correctly_is_attacked(lesson: Seeing) -> None:
    """The cheat would be to begin with mistakes: this network makes some, and the curves still begin at 1."""
    assert 100 < len(lesson.right) < len(lesson.pixels) - 5
    answer = asked("seeing", lesson)
    by_gradient, by_chance = (answer[f"accuracy over ε/{name} sign"] for name in ("gradient", "random"))
    assert by_gradient.x[0] == 0 and by_gradient.y[0] == by_chance.y[0] == 1
    assert by_gradient.y[-1] < 0.4 < by_chance.y[-1] - 0.2
    assert f"{len(lesson.right)} of {len(lesson.pixels)}" in answer["attacked pictures"].text
    for place in range(8):
        assert lesson.classes[int(lesson.labels[lesson.right[place]])] in asked("seeing", lesson, picture=place)["picture"].captions[0]


def test_an_attack_raises_the_class_that_it_is_to_reach(lesson: Seeing) -> None:
    label = lesson.classes[int(lesson.labels[lesson.right[0]])]
    target = next(name for name in lesson.classes if name != label)
    pixels, number = lesson.pixels[lesson.right[:1]], lesson.classes.index(target)
    signs = gradient_signs(lesson.logits, pixels, torch.tensor([number]), True)
    with lesson.evaluating():
        before, after = (float(lesson.logits(values).softmax(1)[0, number]) for values in (pixels, changed(pixels, signs, 0.1)))
    assert after > before
    assert asked("seeing", lesson, target=target)["top 5"].rows != asked("seeing", lesson)["top 5"].rows
    with pytest.raises(Problem, match="already"):
        asked("seeing", lesson, target=label)


def test_a_look_changes_no_weight_and_no_mode(lesson: Seeing) -> None:
    before = {name: value.clone() for name, value in lesson.network.state_dict().items()}
    lesson.network.train()
    for show in ("attack", "layer", "maximise", "dream"):
        assert events("seeing", lesson, show=show, steps=5, target="3", picture=1)
    after = lesson.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(part.training for part in lesson.network.modules())
    assert all(weight.grad is None for weight in lesson.network.parameters())
    assert not any(part._forward_hooks for part in lesson.network.modules())


def test_an_ascent_excites_its_unit_and_can_be_interrupted(lesson: Seeing) -> None:
    shown = events("seeing", lesson, show="maximise", unit=5, steps=40, depth=1, rate=0.02)
    curves = [event for event in shown if isinstance(event, Curve)]
    assert [len(curve.y) for curve in curves] == list(range(5, 41, 5))
    assert curves[-1].y[-1] > 2 * curves[-1].y[0] > 0
    # The last value is what the network answers to the picture before that step: measured anew from noise.
    with lesson.evaluating():
        outputs = lesson.outputs(lesson.layers[1][1], torch.full_like(lesson.pixels[:1], 0.5))
    assert curves[-1].y[-1] > float(outputs[0, 4].mean())
    assert [type(event) for event in shown[:2]] == [Images, Images]


def test_a_dream_excites_its_layer_in_every_octave(lesson: Seeing) -> None:
    answer = asked("seeing", lesson, show="dream", steps=10, octaves=2, depth=0)
    y = answer["activation"].y
    dense = asked("seeing", lesson, show="dream", steps=5, depth=1)["activation"].y
    assert len(dense) == 15 and dense[14] > dense[0]
    assert len(y) == 20 and y[9] > y[0] and y[19] > y[10]
    assert answer["ascent"].captions == ["octave 2 of 2, step 20"]


def test_the_maps_are_the_outputs_of_the_layer(lesson: Seeing) -> None:
    answer = asked("seeing", lesson, show="layer", depth=0)
    table = {row[0]: row[1] for row in answer["layer"].rows}
    first = lesson.network[:3].eval()
    with torch.no_grad():
        outputs = first(lesson.pixels[lesson.right[:1]])
    assert table["units"] == 8 and table["numbers of each"] == "8 x 8"
    assert table["largest activation"] == pytest.approx(float(outputs.max()), rel=1e-5)
    strongest = outputs[0].mean((1, 2)).argsort(descending=True)
    assert answer["strongest maps, unit: mean"].captions[0].startswith(f"{int(strongest[0]) + 1}: ")


def test_a_saturated_relu6_says_why_there_is_no_gradient(lesson: Seeing) -> None:
    ceiling = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU6())
    nn.init.zeros_(ceiling[0].weight)
    with torch.no_grad():
        ceiling[0].bias.copy_(torch.tensor([9.0, -1.0]))
    network, lesson.network = lesson.network, ceiling
    try:
        for unit, says in ((0, "ReLU6 does not grow above 6"), (1, "does not grow below 0")):
            shown = list(lesson.ascent(ceiling, unit, lesson.pixels[:1], 5, 0.1, ""))
            assert len(shown) == 1 and isinstance(shown[0], Text) and says in shown[0].text
    finally:
        lesson.network = network
    assert "any pixel" in flat(nn.ReLU(), 1.0)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"epsilon": 1.5}, "epsilon"),
        ({"target": "walrus"}, "target"),
        ({"show": "layer", "depth": 1.1}, "depth"),
        ({"show": "dream", "unit": 17, "depth": 1}, "units 1 to 16"),
        ({"drawing": "no picture"}, "base64"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(lesson: Seeing, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says):
        asked("seeing", lesson, **fields)


def test_what_is_no_run_of_a_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no run directory"):
        built("seeing", network=str(tmp_path))
    (tmp_path / "recipe.yaml").write_text(dump_recipe(Recipe(title="x", project="char_rnn")))
    with pytest.raises(Problem, match="a run of char_rnn"):
        built("seeing", network=str(tmp_path))
    (tmp_path / "recipe.yaml").write_text(dump_recipe(Recipe(title="x", project="image_classifier", config={"data": "digits"})))
    with pytest.raises(Problem, match="no checkpoint"):
        built("seeing", network=str(tmp_path))


# -- runs of transfer -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs that lie across or stand, of 40x48 pixels."""
    root, rng = tmp_path_factory.mktemp("stripes"), np.random.default_rng(0)
    y, x = np.mgrid[0:40, 0:48]
    for part, number in (("train", 16), ("valid", 8), ("test", 2)):
        for name, along in (("lying", y), ("standing", x)):
            (root / part / name).mkdir(parents=True)
            for place in range(number):
                wave = np.sin(along * rng.uniform(0.7, 0.9) + rng.uniform(0, 6))[..., None] * rng.uniform(40, 90, 3)
                Image.fromarray((120 + wave + rng.normal(0, 10, (40, 48, 3))).clip(0, 255).astype(np.uint8)).save(
                    root / part / name / f"{place}.png"
                )
    return root


@pytest.mark.parametrize(
    "config",
    [
        {"network": "squeezenet1_0", "weights": "random", "learning_rate": 0.05, "dropout": 0.0, "cut": "features.4"},
        {"network": "cnn", "channels": [[8], [16]], "learning_rate": 0.01},
    ],
    ids=["frozen and cut", "cnn"],
)
def test_a_run_of_transfer_is_looked_into_with_its_own_head(stripes: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    """The cheat would be to look into the network of ImageNet: its thousand classes, or another size of the pictures."""
    torch.manual_seed(1)
    if config.get("weights") == "random":
        # The same random weights when the run is opened again.
        network = backbone.build("squeezenet1_0", "random")
        weights = dict(network.network.state_dict()) | {f"classifier.1.{name}": value for name, value in network.last.state_dict().items()}
        torch.save(weights, tmp_path / "random.pth")
        config = config | {"weights": str(tmp_path / "random.pth")}
    run = trained_run(tmp_path / "run", "transfer", {"data": str(stripes), "picture_size": 36, **config}, 60, 8)
    lesson = built("seeing", network=str(tmp_path / "run"))
    assert isinstance(lesson, Seeing) and lesson.classes == ["lying", "standing"]
    assert lesson.pixels.shape == (16, 3, 36, 36) and lesson.pixels.max() <= 1
    with lesson.evaluating(), run.evaluating():
        expected = run.log_probabilities(run.splits["valid"][0], pictures=False).exp()
        assert torch.allclose(lesson.logits(lesson.pixels).softmax(1), expected, atol=1e-5)
    assert len(lesson.right) == int((expected.argmax(1) == run.splits["valid"][1]).sum()) > 8
    # A picture of a file is seen as "try it" sees it.
    png = base64.b64encode((stripes / "test" / "standing" / "0.png").read_bytes()).decode()
    with run.evaluating():
        answer = run.predict({"picture": png})
    ((name, share),) = [row[:2] for row in asked("seeing", lesson, drawing=png)["top 5"].rows[:1]]
    assert name == answer["answer"] and share == pytest.approx(max(answer["probabilities"].values()), abs=1e-5)
    y = asked("seeing", lesson, epsilon=0.01)["accuracy over ε/gradient sign"].y
    assert y[0] == 1 and y[-1] <= 1
    names = [name for name, _ in lesson.layers]
    assert len(names) > 1 and not any("features.5" in name for name in names if config.get("cut"))
    for show in ("layer", "maximise", "dream"):
        assert len(events("seeing", lesson, show=show, depth=1, steps=5, octaves=1)) >= 2


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(seeing.MOST, "photographs", 8)
    yield


def test_a_dog_becomes_another_animal(mirror: Any, few: None) -> None:
    project = built("seeing")
    assert isinstance(project, Seeing) and "SqueezeNet" in project.variant and "Dog breeds" in project.variant
    answer = asked("seeing", project)
    by_gradient, by_chance = (answer[f"accuracy over ε/{name} sign"].y for name in ("gradient", "random"))
    assert by_gradient[0] == by_chance[0] == 1 and by_gradient[-1] < 0.5 < by_chance[-1]
    breeds = [project.classes[int(project.labels[place])] for place in project.right[:8]]
    assert "affenpinscher" in breeds
    assert answer["top 5"].rows[0][0] == breeds[0] and answer["top 5"].rows[0][2] != breeds[0]
