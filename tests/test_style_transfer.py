"""The style-transfer project: its losses by hand, that the picture learns, own pictures, and that it resumes exactly."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.events import Images, Table
from workbench.paths import shipped
from workbench.problems import Problem
from workbench.projects.convolutional_networks.style_transfer import StyleTransfer, gram
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train

Make = Callable[..., StyleTransfer]
SQUEEZENET = {"network": "squeezenet1_0", "content_layer": "fire6", "style_layers": {"conv1": 1.0, "fire2": 0.05, "fire6": 1.0}, "size": 64}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A built project on two made pictures, with random weights unless told otherwise."""
    y, x = np.mgrid[0:80, 0:120]
    disc = np.hypot(y - 40, x - 60) < 25
    Image.fromarray(np.stack([disc * 200 + 30, x * 2, 200 - y * 2], -1).astype(np.uint8)).save(tmp_path / "disc.png")
    Image.fromarray((np.stack([np.sin(x), np.sin(y / 2), np.sin(x + y)], -1) * 120 + 128).astype(np.uint8)).save(tmp_path / "waves.png")

    def made(**config: object) -> StyleTransfer:
        given = {**SQUEEZENET, "weights": "random", "content": "disc.png", "style": "waves.png", "report_every": 5, "learning_rate": 0.02}
        settings = StyleTransfer.Config.model_validate({**given, **config})
        project = StyleTransfer(settings, Train(steps=20), Compute(device="cpu", threads=1), 1, tmp_path)
        project.build()
        return project

    return made


def run(project: StyleTransfer, steps: int) -> list[dict[str, float]]:
    values = []
    for step in range(steps):
        returned = project.train_step(step)
        values.append(dict(zip(returned, project.floats(list(returned.values())), strict=True)))
    return values


def test_gram_matrix_by_hand() -> None:
    # Two channels of two places each: (1, 2) and (3, 4).
    assert gram(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])).tolist() == [[5, 11], [11, 25]]


def test_the_recipes_are_the_course_s_and_its_stand_in() -> None:
    folder = shipped("recipes") / "3-convolutional-networks"
    given = load_recipe(folder / "style-transfer.yaml").recipe
    assert StyleTransfer.Config.model_validate(given.config) == StyleTransfer.Config()
    assert given.train.steps == 2000
    config = StyleTransfer.Config()
    assert (config.content_layer, config.content_weight, config.style_weight, config.learning_rate) == ("conv4_2", 1, 1e6, 0.003)
    assert config.style_layers == {"conv1_1": 1.0, "conv2_1": 0.75, "conv3_1": 0.2, "conv4_1": 0.2, "conv5_1": 0.2}
    stand_in = load_recipe(folder / "style-transfer-squeezenet.yaml").recipe
    assert (stand_in.config["network"], stand_in.bar, stand_in.reference) == ("squeezenet1_0", [], [])


def test_the_losses_are_the_course_s_formula(make: Make) -> None:
    project = make(
        network="vgg19", content_layer="conv1_2", style_layers={"conv1_1": 0.5, "conv2_1": 2.0}, content_weight=3, style_weight=7
    )
    run(project, 3)
    features, content, style = (
        {name: found[0].detach().double().numpy() for name, found in project.features(each).items()}
        for each in (project.picture, project.content, project.style)
    )
    expected_style = 0.0
    for name, weight in (("conv1_1", 0.5), ("conv2_1", 2.0)):
        channels, height, width = features[name].shape
        now, wanted = (each[name].reshape(channels, -1) @ each[name].reshape(channels, -1).T for each in (features, style))
        expected_style += 7 * weight * np.mean((now - wanted) ** 2) / (channels * height * width)
    expected_content = 3 * np.mean((features["conv1_2"] - content["conv1_2"]) ** 2)
    [values] = run(project, 1)
    assert expected_content > 0
    assert values["loss/style"] == pytest.approx(expected_style, rel=1e-4)
    assert values["loss/content"] == pytest.approx(expected_content, rel=1e-4)
    assert values["loss/total"] == pytest.approx(expected_content + expected_style, rel=1e-4)


def test_it_begins_as_the_content_and_only_the_picture_changes(make: Make) -> None:
    project = make()
    before = [each.clone() for each in project.network.parameters()]
    content, style = project.content.clone(), project.style.clone()
    assert torch.equal(project.picture, content)
    first = run(project, 3)[0]
    assert first["loss/content"] == 0
    assert first["loss/style"] > 0
    assert torch.equal(project.content, content) and torch.equal(project.style, style)
    assert all(torch.equal(*pair) for pair in zip(before, project.network.parameters(), strict=True))
    assert all(each.grad is None for each in project.network.parameters())


def learns(project: StyleTransfer, steps: int) -> bool:
    """Whether the style loss falls to under a third."""
    values = run(project, steps)
    return values[-1]["loss/style"] < values[0]["loss/style"] / 3


def test_the_picture_learns_and_a_dead_one_is_told(make: Make) -> None:
    # Random weights tell textures apart as well: enough to see whether pixels are moved the right way.
    assert learns(make(content_weight=0.1), 40)
    dead = make(content_weight=0.1)
    dead.optimizer.param_groups[0]["share"] = 0.0
    assert not learns(dead, 40)
    astray = make(content_weight=0.1, style_weight=0)
    assert not learns(astray, 40)


def test_it_learns_the_course_s_pictures(mirror: Path, make: Make) -> None:
    pictures = {"weights": "published", "content": "octopus", "style": "hockney"}
    published = {**pictures, "content_weight": 5, "style_weight": 1e-3, "learning_rate": 0.05}
    project = make(**published)
    assert (project.variant, project.demo) == ("SqueezeNet 1.0 (Deep Compression) in place of VGG-19", "")
    assert project.picture.shape == (1, 3, 64, 94)
    assert learns(project, 40)
    dead = make(**published)
    dead.optimizer.param_groups[0]["share"] = 0.0
    assert not learns(dead, 40)


def test_the_octopus_has_the_course_s_size(mirror: Path, make: Make) -> None:
    config = {"network": "vgg19", "content_layer": "conv1_1", "style_layers": {"conv1_1": 1.0}}
    # 800 x 540 pixels; the notebook's own picture is 592 x 400.
    assert make(content="octopus", style="hockney", size=400, **config).picture.shape == (1, 3, 400, 592)
    # 192 x 263 pixels: no bigger than 263 on its short side, as in the notebook.
    assert make(content="hockney", style="octopus", size=400, **config).picture.shape == (1, 3, 360, 263)


def test_what_figures_are_called(make: Make, tmp_path: Path) -> None:
    project = make()
    assert project.demo == "random weights"
    assert project.variant == "squeezenet1_0 with random weights, content disc.png, style waves.png"
    torch.save({f"features.{name}": value for name, value in project.network.state_dict().items()}, tmp_path / "mine.pth")
    own = make(weights="mine.pth")
    assert own.demo == ""
    assert own.variant.startswith("squeezenet1_0 with own weights")
    assert torch.equal(own.content_features, project.content_features)


def test_what_is_shown(make: Make) -> None:
    project = make()
    values = run(project, 12)
    with project.evaluating():
        shown, table = project.sample(project.Request())
    assert isinstance(shown, Images) and isinstance(table, Table)
    assert (shown.captions, shown.columns) == (["content", "picture", "style"], 3)
    assert [row[0] for row in table.rows] == [5, 10]
    assert table.rows[1][1:] == [values[9][f"loss/{name}"] for name in ("content", "style", "total")]
    pixels = np.asarray(Image.open(io.BytesIO(shown.png)))
    content, picture, _ = np.split(pixels, 3, axis=1)
    given = np.asarray(Image.open(project.folder / "disc.png").resize((96, 64), Image.Resampling.BILINEAR))
    assert np.abs(content.astype(int) - given).max() <= 1
    assert 0 < np.abs(picture.astype(int) - given).mean() < 60


def test_live_settings(make: Make) -> None:
    project = make()
    project.config = project.config.model_copy(update={"learning_rate": 0.5, "style_weight": 0.0})
    assert run(project, 1)[0]["loss/style"] == 0
    assert project.optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"content": "none.png"}, "There is no picture none.png"),
        ({"content": "cut.png"}, "cut short or damaged"),
        ({"style": "sliver.png"}, "too narrow: 10 x 200"),
        ({"content_layer": "fire66"}, "no layer 'fire66'.*It has: conv1, fire2"),
        ({"style_layers": {"conv9_1": 1.0}}, "no layer 'conv9_1'"),
        ({"weights": "none.pth"}, "none.pth cannot be read: No such file"),
    ],
)
def test_what_cannot_be_used_gets_one_sentence(make: Make, tmp_path: Path, config: dict[str, object], says: str) -> None:
    Image.new("RGB", (10, 200)).save(tmp_path / "sliver.png")
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:9000])
    with pytest.raises(Problem, match=says) as caught:
        make(**config)
    assert "\n" not in str(caught.value)


def test_own_files_are_found_beside_the_recipe_first(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    Image.new("RGB", (90, 90)).save(elsewhere / "disc.png")
    Image.new("RGB", (70, 90)).save(elsewhere / "here.png")
    assert make(content="disc.png").picture.shape == (1, 3, 64, 96)
    assert make(content="here.png").picture.shape == (1, 3, 82, 64)
    assert make(content=str(elsewhere / "disc.png")).picture.shape == (1, 3, 64, 64)


@pytest.mark.parametrize("forgotten", ["", "optimizer", "picture", "losses"])
def test_it_resumes_exactly(make: Make, forgotten: str) -> None:
    whole = make()
    run(whole, 5)
    state = whole.state()
    expected = run(whole, 5)

    resumed = make()
    run(resumed, 2)
    state.pop(forgotten, None)
    resumed.load_state(state)
    same = run(resumed, 5) == expected and torch.equal(resumed.picture, whole.picture)
    assert (same and resumed.losses == whole.losses) == (not forgotten)
    assert same == (forgotten in ("", "losses"))
