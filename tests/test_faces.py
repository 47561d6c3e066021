"""The faces project: its reader, its networks, what ranks them, what it shows, and that it learns and resumes exactly."""

import io
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stepping import Builds, scalars, train
from torch import nn

from workbench.datasets import faces as reader
from workbench.datasets.store.fetch import fetch
from workbench.paths import shipped
from workbench.problems import Problem
from workbench.projects.gans import faces
from workbench.projects.gans.faces import Faces, discriminator, generator
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.adversarial import frechet_distance, moments
from workbench.torchkit.running_average import RunningAverage

Make = Callable[..., Faces]


class Read:
    """LFW by size, read once for all tests; in more than 32 pixels an eighth of its people."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[int, reader.Faces] = {}

    def __call__(self, size: int) -> reader.Faces:
        if size not in self._read:
            self._read[size] = READ("celeba:lfw" if size == 32 else f"{self._eighth()}/", size)
        return self._read[size]

    def _eighth(self) -> Path:
        for person in sorted((fetch("celeba", "lfw")["pictures"] / "lfw_faces").iterdir())[::8]:
            shutil.copytree(person, self._folder / person.name, copy_function=os.link)
        return self._folder


@pytest.fixture(scope="module")
def lfw(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return Read(tmp_path_factory.mktemp("lfw"))


@pytest.fixture(scope="module")
def builds() -> Builds:
    return Builds()


@pytest.fixture
def make(mirror: Path, lfw: Read, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A built project with narrow networks on 800 of LFW's faces; with `again` none that was copied from one that is asked for without."""

    def read(data: str, size: int, background: str) -> reader.Faces:
        all_of_it = lfw(size)
        order = np.random.default_rng(0).permutation(len(all_of_it.train))[:800]
        return reader.Faces(all_of_it.train[order], all_of_it.valid[:400], all_of_it.test[:400], all_of_it.variant)

    monkeypatch.setattr(faces.faces, "read", read)
    monkeypatch.setattr(faces, "JUDGED", 400)
    monkeypatch.setattr("workbench.torchkit.adversarial.JUDGED", 400)

    def made(seed: int = 1, batch_size: int = 32, again: bool = False, **config: object) -> Faces:
        narrow = {"data": "celeba:lfw", "judge": "dequantised", "generator_width": 16, "discriminator_width": 16} | config

        def build() -> Faces:
            project = Faces(Faces.Config(**narrow), Train(batch_size=batch_size), Compute(device="cpu", threads=1), seed)
            project.build()
            return project

        return builds.fresh((again, seed, batch_size, *sorted(narrow.items())), build)

    return made


READ = reader.read


def write(folder: Path, number: int, of: Callable[[int], str]) -> None:
    """So many grey squares, each of another brightness, under the names that `of` gives."""
    for index in range(number):
        path = folder / of(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 64), (index, index, index)).save(path)


def test_the_networks_have_the_parameters_of_the_course_s_dcgan() -> None:
    counts = [sum(each.numel() for each in network.parameters()) for network in (discriminator(32, 32), generator(100, 32, 32))]
    assert counts == [167_809, 372_416]


@pytest.mark.parametrize("size", [32, 64])
def test_the_networks_fit_together(size: int) -> None:
    made = generator(10, 4, size)(torch.rand(2, 10))
    assert made.shape == (2, 3, size, size) and made.abs().max() <= 1
    assert discriminator(4, size)(made).shape == (2, 1)


def test_weights_begin_with_deviation_002() -> None:
    network = discriminator(32, 32).apply(faces.initialised)
    for layer in network:
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert abs(layer.weight.mean().item()) < 0.002
    assert network[-1].bias.abs().max() == 0


def test_the_recipes_have_the_course_s_settings() -> None:
    course, larger, here = (
        load_recipe(shipped("recipes") / "5-gans" / f"{name}.yaml").recipe for name in ("faces", "faces-64", "faces-lfw")
    )
    assert Faces.Config.model_validate(course.config) == Faces.Config()
    assert (course.train.epochs, course.train.batch_size) == (50, 128)
    assert (larger.config["size"], larger.config["data"]) == (64, "celeba")
    assert (here.config["size"], here.config["data"]) == (32, "celeba:lfw")


def test_pictures_of_a_folder_in_one_place(tmp_path: Path) -> None:
    write(tmp_path, 250, lambda index: f"{index}.png")
    read = reader.read(f"{tmp_path}/", 32)
    assert len(read.train) + len(read.valid) + len(read.test) == 250
    assert all(10 <= len(part) <= 45 for part in (read.valid, read.test))
    assert sorted(np.concatenate((read.train, read.valid, read.test))[:, 0, 0, 0].tolist()) == list(range(250))
    assert read.train.shape[1:] == (3, 32, 32) and read.variant == tmp_path.name


def test_faces_of_a_person_stay_together(tmp_path: Path) -> None:
    write(tmp_path, 255, lambda index: f"{index // 2}/{index}.png")
    read = reader.read(f"{tmp_path}/", 32)
    persons = [set((part[:, 0, 0, 0] // 2).tolist()) for part in (read.train, read.valid, read.test)]
    assert all(persons) and sum(map(len, persons)) == 128 == len(set.union(*persons))


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no folder"):
        reader.read(f"{tmp_path}/none", 32)
    write(tmp_path, 99, lambda index: f"{index}.png")
    with pytest.raises(Problem, match="99 pictures, where 100 or more"):
        reader.read(f"{tmp_path}/", 32)
    (tmp_path / "x.jpg").write_text("no picture")
    with pytest.raises(Problem, match="neither a PNG nor a JPEG"):
        reader.read(f"{tmp_path}/", 32)
    with pytest.raises(Problem, match="CelebA faces cannot be fetched") as caught:
        reader.read("celeba", 32)
    assert "celeba:lfw" in caught.value.hint


def test_lfw_is_split_by_person_and_named(mirror: Path, lfw: Read) -> None:
    read = lfw(32)
    assert [len(part) for part in (read.train, read.valid, read.test)] == SIZES and sum(SIZES) == 13_231
    assert read.variant == "LFW faces in 64 px in place of CelebA"


SIZES = [10_386, 1_343, 1_502]


def test_the_losses_at_known_answers(make: Make) -> None:
    project = make(real_label=0.9)
    last = project.discriminator[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(2.0)
        # Before its step the discriminator says 2 to everything; kept from moving, it says so to the generator, too.
        project.discriminator_optimizer.param_groups[0]["share"] = 0.0
    [values] = train(project, 1)
    on_real, on_fake = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert values["loss/discriminator"] == pytest.approx(0.9 * on_real + 0.1 * on_fake + on_fake, rel=1e-5)
    assert values["loss/generator"] == pytest.approx(on_real, rel=1e-5)
    assert values["probability/real"] == values["probability/fake"] == pytest.approx(1 / (1 + math.exp(-2)), rel=1e-5)


@pytest.mark.parametrize(("still", "moves"), [("generator", "discriminator"), ("discriminator", "generator")])
def test_each_optimizer_moves_its_own_network(make: Make, still: str, moves: str) -> None:
    project = make()
    getattr(project, f"{still}_optimizer").param_groups[0]["share"] = 0.0
    before = {name: [each.detach().clone() for each in getattr(project, name).parameters()] for name in (still, moves)}
    train(project, 2)
    same = {name: [torch.equal(*pair) for pair in zip(before[name], getattr(project, name).parameters(), strict=True)] for name in before}
    assert all(same[still])
    assert not any(same[moves])


def test_the_distance_grows_with_what_is_done_to_real_faces(make: Make) -> None:
    project = make()
    held_out = moments(project.frechet.real["valid"])
    real = project.faces[project.frechet.places[:400]].float()

    def distance(pixels: torch.Tensor) -> float:
        with project.evaluating():
            return frechet_distance(moments(project.features(pixels.round().clamp(0, 255).to(torch.uint8))), held_out)

    random = torch.Generator().manual_seed(0)
    noise = torch.randn(real.shape, generator=random)
    noisy = [distance(real + strength * noise) for strength in (0, 10, 30, 90)]
    blurred = [distance(torch.nn.functional.avg_pool2d(real, by, 1, by // 2)) for by in (1, 3, 7)]
    one_face = distance(real[:1].expand(400, -1, -1, -1))
    assert noisy == sorted(noisy) and blurred == sorted(blurred)
    assert one_face > 5 * noisy[0]


def test_the_average_forgets_the_untrained_weights() -> None:
    def averaged(network: nn.Module, values: list[float]) -> float:
        average = RunningAverage(network, 0.9)
        for value in values:
            nn.init.constant_(network.weight, value)
            average.update_parameters(network)
        assert torch.equal(average.module.steps, network.steps), "what is counted is copied"
        return average.module.weight.item()

    network = nn.Linear(1, 1, bias=False)
    network.register_buffer("steps", torch.tensor(7))
    # Of an exponential average that keeps 0.9, the mean age is 9 steps.
    assert averaged(network, [100.0, *map(float, range(1, 200))]) == pytest.approx(199 - 9, abs=0.1)
    assert averaged(network, [100.0]) == 100
    assert averaged(network, [100.0, 0.0]) == pytest.approx(100 * 2 / 11)


def test_a_copied_face_is_found_at_no_distance(make: Make) -> None:
    project = make()
    known = project.frechet.places[[3, 700]]
    distance, places = project.frechet.nearest(project.features(project.faces[known]))
    assert places.tolist() == known.tolist()
    assert distance.max() < 0.05 < 0.2 * scalars(project)["nearest_distance/real"]


def shown(project: Faces, **request: object) -> dict[str, tuple[int, int, int, bytes]]:
    """Of each picture event: how many tiles, the sheet's width and height, the PNG."""
    with project.evaluating():
        events = list(project.sample(project.Request(**request)))
    return {each.tag: (len(each.captions), *Image.open(io.BytesIO(each.png)).size, each.png) for each in events}


def test_what_is_shown(make: Make) -> None:
    project = make()
    before = shown(project)
    assert {tag: each[:3] for tag, each in before.items()} == {"faces": (16, 256, 64), "nearest": (16, 256, 64), "walk": (8, 256, 32)}
    assert before == shown(project)
    noise = project.fixed_noise.clone()
    train(project, 5)
    assert all(after[3] != before[tag][3] for tag, after in shown(project).items())
    assert torch.equal(project.fixed_noise, noise)


def test_a_sample_of_another_seed_and_a_longer_walk(make: Make) -> None:
    project = make()
    own, other = shown(project), shown(project, seed=7, walk_steps=5)
    assert other["walk"][:3] == (5, 160, 32)
    assert own["faces"] != other["faces"] == shown(project, seed=7)["faces"] != shown(project, seed=8)["faces"]


def test_a_walk_begins_and_ends_at_its_faces(make: Make) -> None:
    project = make()
    train(project, 20)
    sheet, walk = (np.asarray(Image.open(io.BytesIO(shown(project)[tag][3]))).astype(int) for tag in ("faces", "walk"))
    for place, end in ((0, walk[:, :32]), (1, walk[:, -32:])):
        assert np.abs(sheet[:32, place * 32 : place * 32 + 32] - end).max() <= 1


def test_it_works_at_64_pixels_and_shows_the_average(make: Make) -> None:
    project = make(size=64, average=0.5, flip=True, generator_width=8, discriminator_width=8)
    before = scalars(project)
    train(project, 6)
    weights = zip(project.generator.parameters(), project.averaged.module.parameters(), strict=True)
    assert not any(torch.equal(*pair) for pair in weights)
    assert scalars(project)["frechet_distance"] != before["frechet_distance"]
    assert shown(project)["faces"][:3] == (16, 512, 128)


@pytest.mark.parametrize("forgotten", ["", "generator_optimizer", "discriminator_optimizer", "averaged", "random"])
def test_it_resumes_exactly(make: Make, forgotten: str) -> None:
    # Step 4 is the last of the first epoch.
    settings = {"batch_size": 200, "generator_width": 4, "discriminator_width": 4, "average": 0.9, "flip": True}
    whole = make(**settings)
    train(whole, 3)
    state, random = whole.state(), whole.random_state()
    expected = train(whole, 6, skip=3), shown(whole)

    resumed = make(again=True, **settings)
    train(resumed, 1)
    state.pop(forgotten, None)
    resumed.load_state(state)
    if forgotten != "random":
        resumed.set_random_state(random)
    assert ((train(resumed, 6, skip=3), shown(resumed)) == expected) == (not forgotten)
