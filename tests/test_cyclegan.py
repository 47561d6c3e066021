"""CycleGAN: that a cycle error alone proves nothing, no pair is shared, the losses, what is shown, that it learns and resumes exactly."""

import io
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_facades
import numpy as np
import pytest
import torch
from PIL import Image
from stepping import Builds, measured, scalars, train
from test_pix2pix import pixels
from torch import nn

from workbench.datasets import facades
from workbench.events import Table
from workbench.paths import shipped
from workbench.problems import Problem
from workbench.projects.gans.cyclegan import NOISE, CycleGan, clear, squared, translator
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.picture_translation import receptive_field, scaled
from workbench.training.request import request

Make = Callable[..., CycleGan]


@pytest.fixture(scope="module")
def builds() -> Builds:
    return Builds()


@pytest.fixture
def make(mirror: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A built project with narrow networks on made facades, 24 photographs and 24 label maps of others."""
    monkeypatch.setattr(facades, "read", made_facades.read)

    def made(seed: int = 1, again: bool = False, **config: object) -> CycleGan:
        narrow = {"data": "facades", "judge": "dequantised", "generator_width": 4, "discriminator_width": 4, "residual_blocks": 1} | config

        def build() -> CycleGan:
            project = CycleGan(CycleGan.Config(**narrow), Train(batch_size=8), Compute(device="cpu", threads=1), seed)
            project.build()
            return project

        return builds.fresh((again, seed, *sorted(narrow.items())), build)

    return made


def compared(project: CycleGan) -> dict[str, list[Any]]:
    return {row[0]: row[1:] for row in next(event for event in measured(project) if isinstance(event, Table)).rows}


def test_generators_that_change_nothing_have_no_cycle_error_and_no_label_right(make: Make) -> None:
    project = make()
    project.generator.to_y, project.generator.to_x = nn.Identity(), nn.Identity()
    values = scalars(project)
    assert values["cycle/forward"] == values["cycle/backward"] == 0
    assert values["label_accuracy"] < values["label_accuracy/commonest"]
    # The noise in the middle is all that comes back: its mean absolute value.
    assert values["noisy_cycle/forward"] == pytest.approx(NOISE * (2 / torch.pi) ** 0.5, rel=0.02)
    rows = compared(project)
    assert rows["nothing changed"] == pytest.approx(rows["these generators"]) and rows["nothing changed"][-1] == 0


def test_training_losses_of_generators_that_change_nothing(make: Make) -> None:
    project = make()
    train(project, 1)
    for name in ("to_y", "to_x"):
        setattr(project.generator, name, nn.Identity())
    project.step_generator = lambda loss: None  # type: ignore[method-assign]
    [values] = train(project, 2, skip=1)
    assert values["cycle/forward"] == values["cycle/backward"] == 0


def test_a_discriminator_that_says_a_half_loses_a_quarter_on_each(make: Make) -> None:
    half = torch.full((4, 1, 3, 3), 0.5)
    assert squared(half, 1) == squared(half, 0) == 0.25
    project = make()
    with torch.no_grad():
        for network in (project.discriminator.x, project.discriminator.y):
            network.layers[-1].weight.zero_()
            network.layers[-1].bias.fill_(0.5)
    project.discriminator_optimizer.param_groups[0]["share"] = 0.0
    [values] = train(project, 1)
    assert values["discriminator/x"] == values["discriminator/y"] == pytest.approx(0.5, rel=1e-6)
    assert values["adversarial/to_x"] == values["adversarial/to_y"] == pytest.approx(0.25, rel=1e-6)


def test_no_pair_meets_in_training(make: Make) -> None:
    project = make()
    x, y = project.splits["train"]
    assert len(x) == len(y) == 24
    batches = [list(project.batches(epoch, np.random.default_rng([1, epoch]))) for epoch in (0, 1)]
    pairs = [pair for epoch in batches for batch in epoch for pair in zip(*batch, strict=True)]
    met = {(photo.numpy().tobytes(), labels.numpy().tobytes()) for photo, labels in pairs}
    assert len(met) > 40, "each epoch puts others together"
    assert {photo for photo, _ in met} == {photo.numpy().tobytes() for photo in x}


def test_the_networks_are_the_course_s(make: Make) -> None:
    network = translator(64, 6)
    shapes = [tuple(layer.weight.shape) for layer in network if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert [shape[0] for shape in shapes] == [64, 128, 256, 256, 128, 64] and len(network) == 3 * 3 + 6 + 2 * 3 + 2
    project = make()
    assert sum(isinstance(layer, nn.Conv2d) for layer in project.discriminator.x.layers) == 5
    assert receptive_field(project.discriminator.x) == 70
    recipe = load_recipe(shipped("recipes") / "5-gans" / "cyclegan-yosemite.yaml").recipe
    config = CycleGan.Config.model_validate(recipe.config)
    assert (config.size, config.generator_width, config.residual_blocks, recipe.train.batch_size) == (128, 64, 6, 16)


@pytest.mark.parametrize(("still", "moves"), [("generator", "discriminator"), ("discriminator", "generator")])
def test_each_optimizer_moves_its_own_networks(make: Make, still: str, moves: str) -> None:
    project = make()
    getattr(project, f"{still}_optimizer").param_groups[0]["share"] = 0.0
    before = {name: [weight.detach().clone() for weight in getattr(project, name).parameters()] for name in (still, moves)}
    train(project, 2)
    same = {name: [torch.equal(*pair) for pair in zip(before[name], getattr(project, name).parameters(), strict=True)] for name in before}
    assert all(same[still]) and not any(same[moves])


def learns(project: CycleGan) -> bool:
    """Whether 20 steps bring held-out pictures home, within 0.6 in both directions together."""
    train(project, 20)
    values = scalars(project)
    return values["cycle/forward"] + values["cycle/backward"] < 0.6


def test_it_learns_to_come_home_and_without_the_cycle_loss_not(make: Make) -> None:
    settings = {"learning_rate": 0.003, "generator_width": 8}
    assert learns(make(**settings))
    assert not learns(make(**settings, cycle_weight=0.0))


@pytest.mark.parametrize("forgotten", ["", "generator_optimizer", "discriminator_optimizer", "random"])
def test_it_resumes_exactly(make: Make, forgotten: str) -> None:
    # Step 3 is the last of the first epoch.
    whole = make()
    train(whole, 2)
    state, random = whole.state(), whole.random_state()
    expected = train(whole, 5, skip=2)
    resumed = make(again=True)
    train(resumed, 1)
    state.pop(forgotten, None)
    resumed.load_state(state)
    if forgotten != "random":
        resumed.set_random_state(random)
    assert (train(resumed, 5, skip=2) == expected) == (not forgotten)


# -- what is measured and shown ---------------------------------------------------------------------------------------------------


def test_pixels_that_are_blurred_between_two_labels_do_not_count(make: Make) -> None:
    project = make()
    _, y = project.splits["valid"]
    assert project.label_accuracy(y, y) == 1 and project.label_accuracy(255 - y, y) < 0.2
    rows = compared(project)
    assert 0.3 < rows["commonest, mean"][0] < 0.9 and rows["the true ones"][:2] == [1, clear(y)]
    blurred = y.clone()
    # A half of the pixels: between the wall's colour and the window's, which is nobody's.
    blurred[..., :32] = torch.tensor([0, 88, 255], dtype=torch.uint8).view(3, 1, 1)
    assert clear(blurred) == pytest.approx(0.5, abs=0.02)
    assert project.label_accuracy(torch.cat((255 - y[..., :32], y[..., 32:]), 3), blurred) == 1


def asked(project: CycleGan, **fields: Any) -> dict[str, Any]:
    with project.evaluating():
        return {event.tag: event for event in project.sample(request(project, fields))}


def test_what_is_shown(make: Make) -> None:
    project = make()
    x, y = project.splits["test"]
    events = asked(project)
    assert pixels(events["asked"]).shape == (64, 256, 3) and pixels(events["X → Y → X"]).shape == (128, 512, 3)
    assert np.array_equal(pixels(events["asked"])[:, :64], x[0].permute(1, 2, 0).numpy())
    assert np.array_equal(pixels(events["asked"])[:, 192:], y[0].permute(1, 2, 0).numpy())
    back = asked(project, direction="Y to X", number=2)["asked"]
    assert np.array_equal(pixels(back)[:, :64], y[1].permute(1, 2, 0).numpy()) and back.captions[0] == "label map"
    assert asked(project, noise=0.2)["asked"].png == asked(project, noise=0.2)["asked"].png != events["asked"].png
    own = asked(project, direction="Y to X", source="rectangles")["asked"]
    assert pixels(own).shape == (64, 192, 3) and tuple(pixels(own)[40, 2]) == facades.COLOURS["facade"]
    file = io.BytesIO()
    Image.new("RGB", (100, 80), (10, 120, 240)).save(file, "PNG")
    opened = asked(project, source="picture", picture=b64encode(file.getvalue()).decode())["asked"]
    assert tuple(pixels(opened)[0, 0]) == (10, 120, 240)


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"source": "rectangles"}, "no picture of the set"), ({"number": 9}, "8 test pictures"), ({"source": "picture"}, "picture is empty"),
     ({"noise": 0.6}, "noise"), ({"direction": "X"}, "direction"), ({"noise": float("inf")}, "noise")],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(make: Make, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says):
        asked(make(), **fields)


def test_an_answer_is_the_picture_as_one_of_y(make: Make) -> None:
    project = make()
    with project.evaluating():
        picture = project.splits["test"][0][:1]
        assert torch.allclose(project.serving().graph(picture.float() / 255), project.generator.to_y(scaled(picture)), atol=1e-5)
        assert project.predict(project.serving().examples(1)[0])["answer"]


def test_folders_of_one_s_own_have_no_true_translation(make: Make, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / folder).mkdir()
        for number in range(12):
            Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / folder / f"{number}.png")
    project = make(data=f"{tmp_path}/")
    assert scalars(project).keys() == {
        *(f"{name}/{way}" for name in ("cycle", "noisy_cycle") for way in ("forward", "backward")),
        *(f"frechet_{side}{floor}" for side in "xy" for floor in ("", "/real")),
    }
    assert pixels(asked(project)["asked"]).shape == (64, 192, 3)
    with pytest.raises(Problem, match="no picture of the set"):
        asked(project, source="rectangles", direction="Y to X")
