"""Pix2pix: what a patch sees, that the discriminator sees both, what is shown and measured, that it learns and resumes exactly."""

import io
import math
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
from torch import nn

from workbench.datasets import facades
from workbench.events import Table
from workbench.paths import shipped
from workbench.problems import Problem
from workbench.projects.gans.pix2pix import Pix2Pix, UNet, most_alike
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.picture_translation import PatchDiscriminator, absolute, jittered, map_side, nearest_label, receptive_field, scaled
from workbench.training.request import request

Make = Callable[..., Pix2Pix]
READ = facades.read


@pytest.fixture(scope="module")
def builds() -> Builds:
    return Builds()


@pytest.fixture
def make(mirror: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A built project with narrow networks on 48 made pairs; with `again` none that was copied from one that is asked for without."""
    monkeypatch.setattr(facades, "read", made_facades.read)

    def made(seed: int = 1, again: bool = False, **config: object) -> Pix2Pix:
        narrow = {"judge": "dequantised", "generator_width": 4, "discriminator_width": 4, "halvings": 2} | config

        def build() -> Pix2Pix:
            project = Pix2Pix(Pix2Pix.Config(**narrow), Train(batch_size=8), Compute(device="cpu", threads=1), seed)
            project.build()
            return project

        return builds.fresh((again, seed, *sorted(narrow.items())), build)

    return made


# -- what a patch sees ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("halvings", "sees", "maps"), [(3, 70, {256: 30, 128: 14, 64: 6}), (2, 34, {128: 30, 64: 14})])
def test_what_one_answer_sees_and_how_many_there_are(halvings: int, sees: int, maps: dict[int, int]) -> None:
    network = PatchDiscriminator(6, 2, halvings)
    assert receptive_field(network) == sees
    assert {size: map_side(network, size) for size in maps} == maps
    # Instance norm looks at whole maps; without it the gradient of one answer reaches its patch alone.
    plain = nn.Sequential(*(nn.Identity() if isinstance(layer, nn.InstanceNorm2d) else layer for layer in network.layers))
    picture = torch.rand(1, 6, 128, 128, requires_grad=True)
    answers = plain(picture)
    assert answers.shape == (1, 1, maps[128], maps[128])
    answers[0, 0, maps[128] // 2, maps[128] // 2].backward()
    assert picture.grad is not None
    places = picture.grad.abs().sum((0, 1)).nonzero()
    assert (places.amax(0) - places.amin(0) + 1).tolist() == [sees, sees]


def test_the_table_of_patches(make: Make) -> None:
    table = next(event for event in make().summary() if isinstance(event, Table) and event.tag == "patches")
    assert [row[1:] for row in table.rows] == [[2, 64, 34, "14x14"], [3, 256, 70, "30x30"], [3, 128, 70, "14x14"], [2, 128, 34, "30x30"]]


def test_another_label_map_changes_the_answer(make: Make) -> None:
    project = make()
    labels, photos = (scaled(part) for part in project.splits["test"])
    with project.evaluating():
        right, swapped = project.discriminator(labels, photos), project.discriminator(labels.roll(1, 0), photos)
    assert (right - swapped).abs().amax((1, 2, 3)).min() > 0


def test_both_halves_are_shifted_and_mirrored_alike() -> None:
    torch.manual_seed(0)
    half = torch.rand(64, 3, 16, 16)
    first, second = jittered(torch.cat((half, half), 1), 3).split(3, 1)
    assert torch.equal(first, second)
    changed = jittered(half, 3)
    assert not torch.equal(changed, first), "other draws"
    # With nothing to shift, half of them are mirrored, and nothing else happens.
    mirrored = [torch.equal(*both) for both in zip(jittered(half, 0), half.flip(3), strict=True)]
    same = [torch.equal(*both) for both in zip(jittered(half, 0), half, strict=True)]
    assert 16 < sum(mirrored) < 48 and 16 < sum(same) < 48


@pytest.mark.parametrize("size", [64, 128])
def test_the_generator_s_places_need_not_pass_through_the_middle(size: int) -> None:
    network = UNet(2, size, 0.0).eval()
    picture = torch.rand(1, 3, size, size) * 2 - 1
    assert network(picture).shape == picture.shape and network(picture).abs().max() <= 1
    with torch.no_grad():
        # The innermost halving says nothing any more.
        network.halvings[-1][0].weight.zero_()
    changed = picture.clone()
    changed[..., size // 2, size // 2] += 0.5
    assert (network(changed) - network(picture)).abs().max() > 0


# -- the training step ------------------------------------------------------------------------------------------------------------


def test_the_losses_at_known_answers(make: Make) -> None:
    project = make()
    last = project.discriminator.layers[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(2.0)
        # Before its step the discriminator says 2 to everything; kept from moving, it says so to the generator, too.
        project.discriminator_optimizer.param_groups[0]["share"] = 0.0
        # A generator that draws mid-grey.
        project.generator.last[0].weight.zero_()
    photos = project.splits["train"][1]
    project.splits["train"] = (project.splits["train"][0], torch.full_like(photos, 255))
    [values] = train(project, 1)
    on_real, on_drawn = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert values["loss/discriminator"] == pytest.approx((on_real + on_drawn) / 2, rel=1e-5)
    assert values["loss/generator"] == pytest.approx(on_real, rel=1e-5)
    assert values["l1"] == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize(("still", "moves"), [("generator", "discriminator"), ("discriminator", "generator")])
def test_each_optimizer_moves_its_own_network(make: Make, still: str, moves: str) -> None:
    project = make()
    getattr(project, f"{still}_optimizer").param_groups[0]["share"] = 0.0
    before = {name: [weight.detach().clone() for weight in getattr(project, name).parameters()] for name in (still, moves)}
    train(project, 2)
    same = {name: [torch.equal(*pair) for pair in zip(before[name], getattr(project, name).parameters(), strict=True)] for name in before}
    assert all(same[still]) and not any(same[moves])


def test_the_pixel_loss_alone_asks_no_discriminator(make: Make) -> None:
    project = make(adversarial=False)
    before = [weight.detach().clone() for weight in project.discriminator.parameters()]
    [values] = train(project, 1)
    assert values.keys() == {"l1"}
    assert all(torch.equal(*pair) for pair in zip(before, project.discriminator.parameters(), strict=True))
    with pytest.raises(Problem, match="nothing to learn"):
        make(adversarial=False, l1=0)


def learns(project: Pix2Pix) -> bool:
    """Whether 40 steps bring held-out drawings nearer to the true photographs than the mean photograph is."""
    train(project, 40)
    [mean] = [row[1] for row in next(event for event in measured(project) if isinstance(event, Table)).rows if row[0] == "mean photograph"]
    return scalars(project)["l1"] < 0.95 * float(mean)


def test_it_learns_and_shuffled_pairs_are_told(make: Make) -> None:
    settings = {"learning_rate": 0.006, "dropout": 0.0}
    assert learns(make(**settings))
    shuffled = make(**settings)
    labels, photos = shuffled.splits["train"]
    shuffled.splits["train"] = (labels, photos.roll(7, 0))
    assert not learns(shuffled)


@pytest.mark.parametrize("forgotten", ["", "generator_optimizer", "discriminator_optimizer", "random"])
def test_it_resumes_exactly(make: Make, forgotten: str) -> None:
    # Step 6 is the last of the first epoch.
    whole = make()
    train(whole, 5)
    state, random = whole.state(), whole.random_state()
    expected = train(whole, 8, skip=5)
    resumed = make(again=True)
    train(resumed, 1)
    state.pop(forgotten, None)
    resumed.load_state(state)
    if forgotten != "random":
        resumed.set_random_state(random)
    assert (train(resumed, 8, skip=5) == expected) == (not forgotten)


# -- what is measured and shown ---------------------------------------------------------------------------------------------------


def test_true_photographs_are_the_floor_and_a_known_map_finds_its_own(make: Make) -> None:
    project = make()
    labels, photos = project.splits["test"]
    real, floor, _ = project.yardstick("test")
    assert project.judge.distance(photos, real) == pytest.approx(0, abs=1e-6)
    blurred = nn.functional.avg_pool2d(photos.float(), 9, 1, 4).to(torch.uint8)
    assert project.judge.distance(blurred, real) > 2 * floor
    assert most_alike(labels, torch.cat((labels.roll(1, 0), labels))).tolist() in ([1, 2, 3, 4, 5, 6, 7, 0], list(range(8, 16)))
    assert absolute(photos, photos) == 0 and absolute(photos * 0, photos * 0 + 255) == 2
    names = [row[0] for row in next(event for event in measured(project) if isinstance(event, Table)).rows]
    assert names == ["this network", "mean photograph", "of the nearest map", "true ones, others"]


def asked(project: Pix2Pix, **fields: Any) -> dict[str, Any]:
    with project.evaluating():
        return {event.tag: event for event in project.sample(request(project, fields))}


def pixels(images: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(images.png)))


def test_what_is_shown(make: Make) -> None:
    project = make()
    before = torch.get_rng_state()
    events = asked(project)
    assert torch.equal(before, torch.get_rng_state()), "the noise has draws of its own"
    assert pixels(events["asked"]).shape == (64, 192, 3) and pixels(events["labels, drawn, true"]).shape == (128, 384, 3)
    labels, photos = project.splits["test"]
    assert np.array_equal(pixels(events["asked"])[:, 128:], photos[0].permute(1, 2, 0).numpy())
    assert np.array_equal(pixels(asked(project, number=3)["asked"])[:, :64], labels[2].permute(1, 2, 0).numpy())
    assert events["asked"].png == asked(project)["asked"].png != asked(project, noise=5)["asked"].png
    assert sum(row[2] for row in events["labels"].rows) == pytest.approx(100, abs=0.5)


def test_a_map_of_one_s_own(make: Make) -> None:
    project = make()
    events = asked(project, source="rectangles", rectangles=[[2, 0, 0, 100, 100], [3, 0, 0, 50, 50]])
    assert pixels(events["asked"]).shape == (64, 128, 3)
    assert {row[1]: row[2] for row in events["labels"].rows if row[2]} == {"facade": 75.0, "window": 25.0}
    file = io.BytesIO()
    Image.new("RGB", (100, 80), (10, 120, 240)).save(file, "PNG")
    opened = asked(project, source="picture", picture=b64encode(file.getvalue()).decode())
    # Snapped to the window's colour, which is the nearest one.
    assert {tuple(pixel) for pixel in pixels(opened["asked"])[:, :64].reshape(-1, 3).tolist()} == {facades.COLOURS["window"]}


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"source": "rectangles", "rectangles": [[13, 0, 0, 9, 9]]}, "no label"), ({"number": 9}, "there are 8 test pictures"),
     ({"source": "picture"}, "picture is empty"), ({"source": "picture", "picture": "%"}, "base64"), ({"noise": -1}, "noise"),
     ({"source": "rectangles", "rectangles": [[2, 0, 0, 9]]}, "rectangles"), ({"number": 0}, "number"),
     ({"source": "rectangles", "rectangles": [[2, 0, 0, float("nan"), 9]]}, "rectangles")],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(make: Make, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says):
        asked(make(), **fields)


def test_an_answer_has_no_noise(make: Make) -> None:
    project = make()
    picture = project.serving().examples(2)[1]
    with project.evaluating():
        assert project.predict(picture)["answer"] == project.predict(picture)["answer"]
        labels = project.splits["test"][0][1:2]
        expected = project.generator(scaled(labels))
        assert torch.allclose(project.serving().graph(labels.float() / 255), expected, atol=1e-5)
    with pytest.raises(Problem, match="no picture"):
        project.predict({"text": "a house"})


# -- the real pairs ---------------------------------------------------------------------------------------------------------------


def test_the_recipes() -> None:
    names = ("pix2pix-facades-small", "pix2pix-facades", "pix2pix-or-l1")
    small, large, compared = (load_recipe(shipped("recipes") / "5-gans" / f"{name}.yaml").recipe for name in names)
    assert (small.config["size"], large.config["size"], large.config["halvings"]) == (64, 128, 3)
    assert (large.config["l1"], large.config["beta1"], large.train.batch_size) == (100, 0.5, 1)
    assert compared.config == small.config and compared.compare and compared.compare.variants["l1-alone"] == {"config.adversarial": False}


def test_the_judge_and_the_labels_on_real_facades(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(size: int) -> dict[str, facades.Pairs]:
        return {part: facades.Pairs(pairs.photos[:48], pairs.labels[:48]) for part, pairs in READ(size).items()}

    monkeypatch.setattr(facades, "read", first)
    project = Pix2Pix(Pix2Pix.Config(judge="dequantised"), Train(batch_size=4), Compute(device="cpu", threads=1), 1)
    project.build_data()
    _, floor, ((_, mean, far), (_, nearest, near)) = project.yardstick("test")
    # The nearest map's photograph is a true one of another house: farther in pixels than the mean, and nearer for the judge.
    assert mean < nearest and far > 3 * near > 3 * 0.5 * floor
    assert nearest_label(project.splits["train"][0])[0].float().mean() > 0
