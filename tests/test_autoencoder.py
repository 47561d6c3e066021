"""Four autoencoders: their sizes, the true error beside exact baselines, a clean target, and what one sees of a code."""

import io
from base64 import b64encode
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stepping import scalars, train
from torch import nn

from workbench.datasets import images
from workbench.datasets.labelled_images import ImageData
from workbench.events import Curve, Matrix, Table
from workbench.problems import Problem
from workbench.projects.convolutional_networks import autoencoder
from workbench.projects.convolutional_networks.autoencoder import Autoencoder, noised, table_of
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train
from workbench.training.request import request

KINDS = {"linear": 50_992, "transposed": 1_077, "nearest": 1_477, "denoising": 9_585}


@cache
def everything() -> ImageData:
    return images.read("mnist")


@pytest.fixture(autouse=True)
def digits(mirror: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the real digits: to read and to rebuild all costs seconds for each test."""
    data = everything()
    few = ImageData(data.train[:4000], data.valid[:500], data.test[:500], data.classes)
    monkeypatch.setattr("workbench.projects.convolutional_networks.autoencoder.images.read", lambda name: few)


def built(kind: str, **config: Any) -> Autoencoder:
    settings = {**load_recipe(find_recipe(f"autoencoder-{kind}")).recipe.config, **config}
    project = Autoencoder(Autoencoder.Config(**settings), Train(batch_size=20), Compute(device="cpu", threads=1), 1)
    project.build()
    return project


def asked(project: Autoencoder, **fields: Any) -> dict[str, Any]:
    with project.evaluating():
        return {event.tag: event for event in project.sample(request(project, fields))}  # type: ignore[attr-defined]


def tiles(event: Any, across: int) -> list[np.ndarray]:
    with Image.open(io.BytesIO(event.png)) as picture:
        return np.split(np.asarray(picture, float) / 255, across, axis=1)


@pytest.mark.parametrize(("kind", "parameters"), KINDS.items())
def test_sizes_and_settings_are_the_course_s(kind: str, parameters: int) -> None:
    recipe = load_recipe(find_recipe(f"autoencoder-{kind}")).recipe
    assert recipe.train.epochs == {"transposed": 30, "nearest": 30}.get(kind, 20)
    assert (recipe.train.batch_size, recipe.config["learning_rate"], Autoencoder.Config().optimizer) == (20, 0.001, "adam")
    project = built(kind)
    assert sum(weight.numel() for part in (project.encoder, project.decoder) for weight in part.parameters()) == parameters
    code = project.encoder(project.splits["train"][:3])
    assert code.shape[1:] == {"linear": (32,), "denoising": (8, 3, 3)}.get(kind, (4, 7, 7))
    assert project.decoder(code).shape == (3, 1, 28, 28)


def test_baselines_are_exact() -> None:
    data = everything()
    train_, test = (torch.from_numpy(part) for part in (np.concatenate([data.train.images, data.valid.images]), data.test.images))
    inputs = noised(test, 0.5, torch.Generator().manual_seed(0))
    errors = {str(name): error for name, error in autoencoder.baselines(train_, test, inputs).rows}
    assert list(errors.values())[:4] == pytest.approx([0.113958, 0.067470, 0.016828, 0.002310], abs=5e-7)
    assert errors["the noisy input"] == pytest.approx(0.1155, abs=5e-5)


def test_the_loss_is_the_true_mean_squared_error_of_a_pixel() -> None:
    """The course's is 20 times too large: a mean of batches, multiplied by the batch size and divided by the number of batches."""
    project = built("linear")
    for weight in project.decoder[0].parameters():
        nn.init.constant_(weight, -100)
    black = float(project.splits["test"].double().square().mean())
    assert scalars(project, "test")["loss"] == pytest.approx(black, rel=1e-5)
    batch = (project.splits["train"][:20],)
    assert project.train_step(batch)["loss"].item() == pytest.approx(float(batch[0].square().mean()), rel=1e-5)


def test_the_target_of_the_denoiser_is_the_clean_digit() -> None:
    """The cheat would be the noisy one as target: a network that passes its input on would then have no error."""
    project = built("denoising")
    project.encoder, project.decoder = nn.Sequential(nn.Identity()), nn.Sequential(nn.Identity())
    first = scalars(project, "test")["loss"]
    assert first == pytest.approx(0.1155, abs=0.002) and scalars(project, "test")["loss"] == first
    assert scalars(built("nearest"), "valid")["loss"] != first
    digits = project.splits["train"][:400]
    torch.manual_seed(0)
    noisy = project.noisy(digits)
    assert float((noisy - digits).square().mean()) == pytest.approx(0.1155, abs=0.003) and noisy.min() == 0 and noisy.max() == 1
    assert built("linear").noisy(digits) is digits


def test_it_learns_and_nothing_where_input_and_target_are_of_different_digits() -> None:
    project = built("linear", learning_rate=0.003, schedule="constant")
    train(project, 400)
    assert scalars(project)["loss"] < 0.045
    project = built("linear", learning_rate=0.003, schedule="constant")
    noisy = project.noisy
    project.noisy = lambda digits, generator=None: noisy(digits.roll(1, 0), generator)  # type: ignore[method-assign]
    train(project, 400)
    assert scalars(project)["loss"] > 0.06


def test_units_of_the_code_that_are_0_for_every_digit_are_counted() -> None:
    project = built("linear")
    assert scalars(project)["unused"] == 0
    with torch.no_grad():
        project.encoder[1].bias[:5] = -1000
    assert scalars(project)["unused"] == 5


def test_enlarging_repeats_pixels_or_makes_pairs_of_columns() -> None:
    upsample = built("nearest").decoder[0]
    four = upsample(torch.tensor([[[[1.0, 2], [3, 4]]]]))
    assert four[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    # The notes have 5x5 at padding 1.
    two = torch.ones(1, 1, 2, 2)
    assert nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)(two).shape[2:] == (3, 3)
    assert nn.ConvTranspose2d(1, 1, 3, stride=2, padding=0)(two).shape[2:] == (5, 5)


def test_checkerboard_shows_in_the_differences_of_columns() -> None:
    project = built("transposed")
    with torch.no_grad():
        layer = project.decoder[2]
        layer.weight.zero_()
        # Of each pair of columns the second one bright, whatever comes in.
        layer.bias.fill_(-4)
        layer.weight[:, :, :, 1] = 10
        project.decoder[0].bias.fill_(1)
    curve = asked(project)["columns/rebuilt"]
    assert isinstance(curve, Curve) and len(curve.y) == 27
    assert min(curve.y) > 0.5 and curve.x[0] == 1
    flat = built("transposed")
    with torch.no_grad():
        flat.decoder[2].weight.zero_()
    assert max(asked(flat)["columns/rebuilt"].y) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shown(kind: str) -> None:
    project = built(kind)
    answer = asked(project)
    assert list(answer) == ["digit", "code", "rebuilt", "columns/digits", "columns/rebuilt"]
    given, rebuilt, changed = tiles(answer["digit"], 3)
    assert given == pytest.approx(project.splits["test"][0, 0].numpy(), abs=0.003) and (rebuilt == changed).all()
    error = float(np.mean((project.rebuilt(project.splits["test"][:1]).detach()[0, 0].numpy() - project.splits["test"][0, 0].numpy()) ** 2))
    assert answer["digit"].captions[1] == f"rebuilt, MSE {error:.4f}"
    code = answer["code"]
    assert isinstance(code, Matrix)
    assert np.shape(code.values) == {"linear": (4, 8), "denoising": (12, 6)}.get(kind, (14, 14))
    rows = tiles(answer["rebuilt"], 8)[0].reshape(-1, 28, 28)
    assert len(rows) == (3 if kind == "denoising" else 2)
    assert rows[-1 if kind == "denoising" else 0] == pytest.approx(project.splits["test"][0, 0].numpy(), abs=0.003)


def test_the_code_can_be_changed_and_mixed() -> None:
    project = built("linear")
    train(project, 50)
    plain, changed = asked(project, number=9), asked(project, number=9, change=5)
    difference = np.subtract(changed["code"].values, plain["code"].values)
    assert difference[1, 1] == pytest.approx(5) and np.count_nonzero(difference) == 1
    assert not np.array_equal(*(tiles(answer["digit"], 3)[2] for answer in (plain, changed)))
    mixed, other = asked(project, digit=3, other=7, mix=1), asked(project, digit=7)
    assert mixed["code"].values == pytest.approx(np.array(other["code"].values), abs=1e-6)
    half = asked(project, digit=3, other=7, mix=0.5)["code"].values
    assert half == pytest.approx((np.array(asked(project, digit=3)["code"].values) + other["code"].values) / 2, abs=1e-5)


def test_a_code_of_any_length_is_a_table() -> None:
    assert table_of(torch.arange(10.0)).shape == (2, 8)
    assert table_of(torch.arange(18.0).reshape(2, 3, 3))[0].tolist() == [0, 1, 2, 9, 10, 11]


def test_a_drawing_is_rebuilt_like_a_digit() -> None:
    project = built("linear")
    ink = np.zeros((112, 112), np.uint8)
    ink[20:90, 50:60] = 255
    file = io.BytesIO()
    Image.fromarray(ink).save(file, "PNG")
    answer = asked(project, picture="drawing", drawing=b64encode(file.getvalue()).decode())
    drawn = tiles(answer["digit"], 3)[0]
    assert drawn.any(1).nonzero()[0].tolist() == list(range(4, 24)), "centred in 20 of 28 rows, as MNIST's are"
    noisy = asked(project, picture="drawing", drawing=b64encode(file.getvalue()).decode(), noise=0.5)
    assert tiles(noisy["digit"], 3)[0].mean() > drawn.mean()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"number": 32}, "number is 32, but this code has 32 numbers: 0 to 31"),
        ({"number": 196}, "number"),
        ({"digit": 1000}, "digit"),
        ({"change": float("nan")}, "change"),
        ({"mix": 1.1}, "mix"),
        ({"picture": "drawing"}, "Nothing is drawn yet"),
        ({"picture": "drawing", "drawing": "no"}, "picture"),
    ],
)
def test_what_cannot_be_is_one_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(built("linear"), **fields)
    assert says in str(raised.value) and raised.value.cause == "data"


def test_the_summary_has_the_baselines() -> None:
    with (project := built("linear")).evaluating():
        tables = [event for event in project.summary() if isinstance(event, Table)]
    assert [table.tag for table in tables][-1] == "baselines" and len(tables[-1].rows) == 4
