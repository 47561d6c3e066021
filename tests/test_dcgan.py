"""The dcgan project: the readers of both its data, its networks, what judges it, what it shows, and that it learns and resumes exactly."""

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import made_data
import numpy as np
import pytest
import torch
from PIL import Image
from stepping import Builds, measured, scalars, train
from test_mnist_gan import scikit_digits
from torch import nn

from workbench.datasets import digits_on_photos, svhn
from workbench.datasets.labelled_images import ImageData, LabelledImages
from workbench.datasets.store.fetch import fetch
from workbench.events import Scalars, Table, Text
from workbench.problems import Problem
from workbench.projects.gans import dcgan
from workbench.projects.gans.dcgan import Dcgan, discriminator, generator
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.adversarial import frechet_distance, moments
from workbench.training.preview import look

Make = Callable[..., Dcgan]
JUDGES: dict[str, np.ndarray] = {}
"""Those that were trained, by what they depend on: a home is another one in each test."""


def on_colours() -> ImageData:
    """Scikit-learn's digits in squares of colours: what the stand-in's reader makes, without a download."""
    digits, random = scikit_digits(), np.random.default_rng(0)
    colours = random.integers(0, 256, (100, 3, 2, 2), np.uint8).repeat(16, 2).repeat(16, 3)
    # The 100 held-out ones of that set are too few for a covariance of 64 features.
    halves = (digits.train, digits.test[:400], digits.test[400:])
    parts = (digits_on_photos.blended(part, colours, random) for part in halves)
    return ImageData(*parts, digits.classes)


@pytest.fixture(scope="module")
def builds() -> Builds:
    return Builds()


@pytest.fixture
def make(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A built project with narrow networks on 900 small digits; with `again` none that was copied from one that is asked for without."""
    monkeypatch.setattr(dcgan.digits_on_photos, "read", lambda photos, cache: on_colours())
    monkeypatch.setattr("workbench.torchkit.adversarial.JUDGED", 300)
    monkeypatch.setattr(dcgan, "JUDGE_EPOCHS", 20)
    monkeypatch.setattr(dcgan, "cached", lambda kind, key, compute: JUDGES[key] if key in JUDGES else JUDGES.setdefault(key, compute()))

    def made(seed: int = 1, batch_size: int = 50, again: bool = False, **config: Any) -> Dcgan:
        narrow = {"data": "digits-photos", "generator_width": 8, "discriminator_width": 8} | config

        def build() -> Dcgan:
            project = Dcgan(Dcgan.Config(**narrow), Train(batch_size=batch_size), Compute(device="cpu", threads=1), seed)
            project.build()
            return project

        return builds.fresh((again, seed, batch_size, *sorted(narrow.items())), build)

    return made


# -- data ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A mirror of made data with the sets that are read here alone."""
    monkeypatch.setattr(made_data, "SETS", {name: made_data.SETS[name] for name in ("svhn", "mnist", "cifar10", "cifar10:jpeg")})
    monkeypatch.setattr(made_data, "UNPACKED", {})
    with made_data.made_data(tmp_path / "mirror", home, made_data.write(tmp_path / "mirror")):
        yield


@pytest.mark.usefixtures("made")
def test_house_numbers_are_read_from_matlab_s_files() -> None:
    from scipy.io import loadmat

    data = svhn.read()
    assert [len(part) for part in (data.train, data.valid, data.test)] == [120, 30, 30] and data.classes == list("0123456789")
    raw = loadmat(fetch("svhn")["test"])
    assert raw["y"].max() == 10
    for part, first in ((data.valid, 0), (data.test, 1)):
        assert part.images.dtype == np.uint8 and part.images.shape[1:] == (3, 32, 32) and part.labels.dtype == np.int64
        # Green, row 5, column 7 of its second picture; and a label 10 is the digit 0.
        assert part.images[1, 1, 5, 7] == raw["X"][5, 7, 1, first + 2]
        assert part.labels.tolist() == [label % 10 for label in raw["y"][first::2, 0].tolist()]
    assert [event.tag for event in look("svhn")] == ["sizes", "classes", "samples"]  # type: ignore[union-attr]


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no matrix" * 20, "cannot be read as a MATLAB file"),
        (None, "cannot be read as a MATLAB file"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8)}, "not one label from 1 to 10 for each of its 2 pictures"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1], [11]])}, "not one label from 1 to 10"),
        ({"X": np.zeros((32, 32, 3)), "y": np.ones((2, 1))}, "holds no 32x32 pictures in colour as X"),
        ({"y": np.ones((2, 1))}, "holds no 32x32 pictures in colour as X"),
    ],
)
def test_a_damaged_file_gets_one_sentence(content: Any, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from scipy.io import savemat

    file = tmp_path / "test_32x32.mat"
    if isinstance(content, dict):
        savemat(file, content)
    else:
        file.write_bytes(content if content is not None else fetch("svhn")["test"].read_bytes()[:3000])
    good = fetch("svhn")["train"]
    monkeypatch.setattr(svhn, "fetch", lambda name: {"train": good, "test": file})
    with pytest.raises(Problem, match=says) as caught:
        svhn.read()
    assert caught.value.cause == "data" and "\n" not in str(caught.value)


def test_a_digit_inverts_its_photograph() -> None:
    digit = np.zeros((1, 1, 28, 28), np.float32)
    digit[0, 0, 3, 4] = 1
    digit[0, 0, 5, 6] = 100 / 255
    photo = np.random.default_rng(1).integers(0, 256, (1, 3, 32, 32), np.uint8)
    [picture] = digits_on_photos.blended(LabelledImages(digit, np.array([7])), photo, np.random.default_rng(0)).images
    difference = np.abs(photo[0].astype(int) - np.pad(np.rint(digit[0] * 255).astype(int), ((0, 0), (2, 2), (2, 2))))
    assert picture.dtype == np.uint8 and np.array_equal(picture, difference)
    assert picture[:, 5, 6].tolist() == (255 - photo[0, :, 5, 6]).tolist() and picture[0, 0, 0] == photo[0, 0, 0, 0]


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("photos", ["cifar10:jpeg", "cifar10"])
def test_the_stand_in_keeps_test_digits_and_test_photographs_apart(photos: str) -> None:
    from workbench.datasets import cifar, mnist

    data, digits, pictures = digits_on_photos.read(photos), mnist.read(), cifar.read(photos, 0.0)
    assert [len(part) for part in (data.train, data.valid, data.test)] == [240, 60, 60]
    assert data.train.labels.tolist() == [*digits.train.labels.tolist(), *digits.valid.labels.tolist()]
    assert (data.valid.labels == digits.test.labels[0::2]).all() and (data.test.labels == digits.test.labels[1::2]).all()
    # In the border there is no ink: there the photographs can be told.
    borders = {
        name: {picture[:, 0].tobytes() for picture in part.images} for name, part in (("train", pictures.train), ("test", pictures.test))
    }
    for name, parts in (("train", (data.train,)), ("test", (data.valid, data.test))):
        assert {picture[:, 0].tobytes() for part in parts for picture in part.images} <= borders[name]
    assert not borders["train"] & borders["test"]
    again = digits_on_photos.read(photos)
    assert np.array_equal(again.train.images, data.train.images) and np.array_equal(again.test.images, data.test.images)


def test_the_stand_in_is_named_and_svhn_is_not(make: Make) -> None:
    assert make().variant == "MNIST digits in photographs of CIFAR-10 as JPEG in place of SVHN"


# -- networks and steps --------------------------------------------------------------------------------------------------------


def test_the_networks_are_the_course_s() -> None:
    networks = discriminator(32), generator(100, 32)
    assert [sum(weight.numel() for weight in network.parameters()) for network in networks] == [167_809, 372_416]
    drawn = networks[1](torch.rand(6, 100) * 2 - 1)
    assert drawn.shape == (6, 3, 32, 32) and drawn.abs().max() <= 1 and drawn.min() < 0 < drawn.max()
    assert networks[0](drawn).shape == (6, 1)
    layers = [layer for network in networks for layer in network]
    assert not any("Pool" in type(layer).__name__ for layer in layers) and isinstance(layers[-1], nn.Tanh)
    assert {layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)} == {0.2}
    assert all(before.bias is None for before, after in pairwise(layers) if isinstance(after, nn.BatchNorm2d))


def test_the_recipes_have_the_course_s_settings() -> None:
    course, here = (load_recipe(find_recipe(stem)).recipe for stem in ("dcgan-svhn", "dcgan-digits-photos"))
    assert Dcgan.Config.model_validate(course.config) == Dcgan.Config()
    assert (course.train.epochs, course.train.batch_size) == (50, 128)
    config = Dcgan.Config()
    assert (config.learning_rate, config.beta1, config.noise_size, config.real_label) == (2e-4, 0.5, 100, 1.0)
    assert here.config == {**course.config, "data": "digits-photos", "photos": "cifar10:jpeg"}


def test_the_losses_at_known_answers_and_the_marks_of_spikes(make: Make) -> None:
    project = make(real_label=0.9)
    last = project.discriminator[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(2.0)
        # Before its step the discriminator says 2 to everything; kept from moving, it says so to the generator, too.
        project.discriminator_optimizer.param_groups[0]["share"] = 0.0
    first, second = train(project, 2)
    on_real, on_fake = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert first["loss/discriminator"] == pytest.approx(0.9 * on_real + 0.1 * on_fake + on_fake, rel=1e-5)
    assert first["loss/generator"] == pytest.approx(on_real, rel=1e-5)
    assert first["probability/real"] == first["probability/fake"] == pytest.approx(1 / (1 + math.exp(-2)), rel=1e-5)
    assert second["spikes/generator"] == pytest.approx(on_real, rel=1e-5)
    # A spike stays, and sinks by a hundredth of its height above the loss of now.
    project.spikes = torch.tensor([0.0, 8.0])
    [third] = train(project, 3, skip=2)
    assert third["spikes/discriminator"] == pytest.approx(third["loss/discriminator"], rel=1e-5)
    assert third["spikes/generator"] == pytest.approx(8 - 0.01 * (8 - on_real), rel=1e-5)


def test_real_and_drawn_batches_go_through_the_discriminator_apart(make: Make) -> None:
    project, batches = make(), []
    hook = project.discriminator.register_forward_pre_hook(lambda network, inputs: batches.append(inputs[0].detach().clone()))
    real = next(iter(project.batches(0, np.random.default_rng(0))))
    values = project.train_step(real)
    hook.remove()
    assert [len(batch) for batch in batches] == [50, 50, 50]
    assert torch.equal(batches[0], dcgan.scaled(real[0]))
    # What the trap does: in one pass, the means of batch norm are of both kinds, and real pictures are told by other numbers.
    fresh = make()
    apart = fresh.discriminator(batches[0]).detach()
    together = make().discriminator(torch.cat(batches[:2])).detach()[:50]
    assert not torch.allclose(apart, together, atol=1e-3)
    assert float(values["probability/real"]) == pytest.approx(float(apart.sigmoid().mean()), rel=1e-5)


@pytest.mark.parametrize(("still", "moves"), [("generator", "discriminator"), ("discriminator", "generator")])
def test_each_optimizer_moves_its_own_network(make: Make, still: str, moves: str) -> None:
    project = make()
    getattr(project, f"{still}_optimizer").param_groups[0]["share"] = 0.0
    before = {name: [weight.detach().clone() for weight in getattr(project, name).parameters()] for name in (still, moves)}
    train(project, 2)
    same = {name: [torch.equal(*pair) for pair in zip(before[name], getattr(project, name).parameters(), strict=True)] for name in before}
    assert all(same[still]) and not any(same[moves])


# -- what judges it ------------------------------------------------------------------------------------------------------------


def test_the_judge_is_trained_once_for_its_data_and_leaves_the_random_state(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []
    monkeypatch.setattr(dcgan, "counted", lambda what, items: trained.append(what) or items)
    monkeypatch.setattr(dcgan, "JUDGE_EPOCHS", 1)
    data, random = on_colours(), torch.get_rng_state()
    first, second = (dcgan.judge(data, torch.device("cpu")) for _ in range(2))
    assert trained == ["training the judge"] and all(
        torch.equal(*pair) for pair in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert torch.equal(torch.get_rng_state(), random)
    dcgan.judge(replace(data, train=replace(data.train, labels=data.train.labels[::-1].copy())), torch.device("cpu"))
    assert len(trained) == 2


def test_all_runs_are_judged_alike(make: Make) -> None:
    first, second = make(seed=1), make(seed=2)
    assert torch.equal(first.frechet.real["valid"], second.frechet.real["valid"]) and not torch.equal(first.fixed_noise, second.fixed_noise)
    *_, text = first.summary()
    assert isinstance(text, Text) and first.judged_right > 0.7 and f"{first.judged_right:.1%}" in text.text


def test_the_distance_grows_with_what_is_done_to_real_pictures(make: Make) -> None:
    project = make()
    held_out = moments(project.frechet.real["valid"])
    real, random = project.pictures[:400].float(), torch.Generator().manual_seed(0)
    noise = torch.randn(real.shape, generator=random)

    def distance(pixels: torch.Tensor) -> float:
        return frechet_distance(moments(project.features(pixels.round().clamp(0, 255).to(torch.uint8))), held_out)

    noisy = [distance(real + strength * noise) for strength in (0, 100, 200)]
    assert noisy == sorted(noisy)
    assert distance(real[:1].expand(400, -1, -1, -1)) > 5 * noisy[0]


def test_a_generator_of_one_digit_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make()
    labels = on_colours().train.labels
    everything = scalars(project)["frechet_distance/real"]

    def drawing(places: np.ndarray) -> tuple[dict[str, float], Table]:
        chosen = torch.from_numpy(places[np.arange(300) % len(places)])
        monkeypatch.setattr(project, "generated", lambda noise: project.pictures[chosen])
        values, table = measured(project)
        assert isinstance(values, Scalars) and isinstance(table, Table)
        return values.values, table

    ones, table = drawing(np.flatnonzero(labels == 1))
    assert ones["digits_drawn"] <= 3 and float(table.rows[1][1]) > 0.9
    all_ten, table = drawing(np.arange(900))
    assert all_ten["digits_drawn"] == 10 and sum(float(row[1]) for row in table.rows) == pytest.approx(1, abs=1e-3)
    assert ones["frechet_distance"] > 5 * all_ten["frechet_distance"] and all_ten["frechet_distance"] < 3 * everything
    # Training pictures are at no distance from themselves: memorised.
    assert all_ten["nearest_distance"] < 0.1 * all_ten["nearest_distance/real"]


def test_it_learns_and_a_dead_generator_is_told(make: Make) -> None:
    def ratio(project: Dcgan) -> float:
        untrained = scalars(project)["frechet_distance"]
        train(project, 40)
        return untrained / scalars(project)["frechet_distance"]

    dead = make()
    dead.generator_optimizer.param_groups[0]["share"] = 0.0
    assert ratio(make(learning_rate=0.002)) > 1.6 > 1.45 > ratio(dead)


# -- what it shows -------------------------------------------------------------------------------------------------------------


def shown(project: Dcgan, **request: Any) -> dict[str, tuple[int, int, int, bytes]]:
    """Of each picture event: how many tiles, the sheet's width and height, the PNG."""
    with project.evaluating():
        events: Any = list(project.sample(project.Request(**request)))
    return {event.tag: (len(event.captions), *Image.open(io.BytesIO(event.png)).size, event.png) for event in events}


def test_what_is_shown_comes_from_the_same_noise_in_evaluation_mode(make: Make) -> None:
    project = make()
    before = shown(project)
    assert {tag: parts[:3] for tag, parts in before.items()} == {"drawn": (16, 256, 64), "nearest": (16, 256, 64), "walk": (8, 256, 32)}
    noise, averages = project.fixed_noise.clone(), project.generator[3].running_mean.clone()
    assert before == shown(project) and torch.equal(project.generator[3].running_mean, averages), "looking moves no average"
    train(project, 5)
    assert all(after[3] != before[tag][3] for tag, after in shown(project).items())
    assert torch.equal(project.fixed_noise, noise)
    with project.evaluating(), torch.no_grad():
        alone, among = project.generator(noise[:1]), project.generator(noise)[:1]
    torch.testing.assert_close(alone, among, rtol=0, atol=1e-5)
    with torch.no_grad():
        assert not torch.allclose(project.generator(noise[:2])[:1], among, atol=1e-2), "in training mode its neighbours would change it"


def test_a_sample_of_another_seed_and_a_longer_walk_between_its_ends(make: Make) -> None:
    project = make()
    train(project, 10)
    own, other = shown(project), shown(project, seed=7, walk_steps=5)
    assert other["walk"][:3] == (5, 160, 32) and own["drawn"] != other["drawn"] == shown(project, seed=7)["drawn"]
    sheet, walk = (np.asarray(Image.open(io.BytesIO(other[tag][3]))).astype(int) for tag in ("drawn", "walk"))
    for place, end in ((0, walk[:, :32]), (1, walk[:, -32:])):
        assert np.abs(sheet[:32, place * 32 : place * 32 + 32] - end).max() <= 1


def test_a_copied_picture_is_found_at_no_distance(make: Make) -> None:
    project = make()
    images = project.pictures[project.frechet.places[[3, 70]]]
    event = project.pairs(images)
    sheet = np.asarray(Image.open(io.BytesIO(event.png)))
    assert event.captions == ["drawn", "at 0.00"] * 2
    for place in (0, 2):
        assert np.array_equal(sheet[:, place * 32 : place * 32 + 32], sheet[:, place * 32 + 32 : place * 32 + 64])


def test_noise_is_asked_for_a_picture(make: Make) -> None:
    project = make()
    [example] = project.serving().examples(1)
    with project.evaluating():
        answer = project.predict(example)
    assert set(answer) == {"answer"}
    with pytest.raises(Problem):
        project.predict({"numbers": [0.0] * 99})


@pytest.mark.parametrize("forgotten", ["", "generator", "generator_optimizer", "discriminator_optimizer", "spikes", "random"])
def test_it_resumes_exactly(make: Make, forgotten: str) -> None:
    # Step 4 is the last of the first epoch.
    settings = {"batch_size": 200, "generator_width": 4, "discriminator_width": 4}
    whole = make(**settings)
    train(whole, 3)
    whole.spikes = torch.tensor([9.0, 9.0])
    state, random = whole.state(), whole.random_state()
    expected = train(whole, 6, skip=3), shown(whole)

    resumed = make(again=True, **settings)
    train(resumed, 1)
    state.pop(forgotten, None)
    resumed.load_state(state)
    if forgotten != "random":
        resumed.set_random_state(random)
    assert ((train(resumed, 6, skip=3), shown(resumed)) == expected) == (not forgotten)
