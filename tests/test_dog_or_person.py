"""The detectors of dogs and of people on the mirror's pictures: what they are measured on is right, and no picture was learnt from."""

import base64
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.datasets import photos
from workbench.datasets.store.fetch import fetch
from workbench.events import Table
from workbench.problems import Problem
from workbench.projects.convolutional_networks import _dog_or_person as dog_or_person
from workbench.projects.convolutional_networks._dog_or_person import DogOrPerson, small
from workbench.projects.convolutional_networks.transfer import Transfer
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit import backbone


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The features of the same pictures, which the first test computes for all."""
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, home: Path, features: Path) -> None:
    """Fewer pictures, so that a test takes seconds."""
    monkeypatch.setattr(dog_or_person, "TRAINED", 60)
    monkeypatch.setattr(dog_or_person, "HELD_OUT", 40)
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "features").symlink_to(features)


def built(weights: str = "stand-in", **config: object) -> Transfer:
    given = {"data": "dogs:21-breeds", "network": "squeezenet1_0", "weights": weights, "picture_size": 96, "detect": True, **config}
    project = Transfer(Transfer.Config.model_validate(given), Train(batch_size=16), Compute(device="cpu", threads=1), 1)
    project.build()
    return project


@pytest.mark.usefixtures("few")
def test_people_are_told_from_dogs_and_flowers_and_dogs_from_both(mirror: Path) -> None:
    project = built()
    with project.evaluating():
        [table] = [event for event in project.evaluate("test") if isinstance(event, Table) and event.tag == "detectors"]
        assert not [event for event in project.evaluate("valid") if isinstance(event, Table) and event.tag == "detectors"]
    found = {str(name): [float(each) for each in row] for name, *row in table.rows}
    assert list(found) == ["dogs", "people's faces", "flowers"]
    dogs, people, flowers = found.values()
    assert dogs[0] == len(project.photos["test"]) and people[0] == flowers[0] == 40
    assert dogs[1] > 0.6 * dogs[0] and people[1] < 0.2 * people[0] and flowers[1] < 0.2 * flowers[0]
    assert people[2] > 0.85 * people[0] and dogs[2] < 0.25 * dogs[0] and flowers[2] < 0.15 * flowers[0]
    # The same rows by their single pictures, as "try it" asks.
    detectors = project.detectors
    assert detectors
    with project.evaluating():
        one_by_one = [bool(detectors.person(each[None])[0]) for each in detectors.unseen["people's faces"]]
    assert sum(one_by_one) == people[2]


@pytest.mark.usefixtures("few")
def test_a_person_detector_taught_by_shuffled_pictures_tells_nothing(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = dog_or_person._regression

    def misled(inputs: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return real(inputs, truth[torch.randperm(len(truth), generator=torch.Generator().manual_seed(0))])

    monkeypatch.setattr(dog_or_person, "_regression", misled)
    project = built()
    detectors = project.detectors
    assert detectors
    with project.evaluating():
        share = {name: float(detectors.person(pictures).float().mean()) for name, pictures in detectors.unseen.items()}
    assert abs(share["people's faces"] - share["flowers"]) < 0.4


def test_nobody_is_on_both_sides(mirror: Path) -> None:
    root = fetch("celeba", "lfw")["pictures"] / "lfw_faces"
    learnt, held_out = dog_or_person._people()
    assert learnt.shape == (600, 3, 64, 64) and held_out.shape == (300, 3, 64, 64)
    known = {each.numpy().tobytes() for each in learnt}
    assert len(known) == 600 and not known & {each.numpy().tobytes() for each in held_out}
    assert len(list(root.iterdir())) > 5000


@pytest.mark.usefixtures("few")
def test_a_picture_is_a_dog_a_person_or_neither(mirror: Path) -> None:
    project = built()
    root = fetch("dogs", "21-breeds")["pictures"] / "dogImages" / "test"
    dog = sorted((root / "016.Beagle").iterdir())[0]
    person = sorted((fetch("celeba", "lfw")["pictures"] / "lfw_faces" / "Tony_Blair").iterdir())[0]
    flower = sorted((fetch("flowers102", "72px")["pictures"] / "flower_data" / "test" / "54").iterdir())[0]

    def note(path: Path) -> str:
        with project.evaluating():
            return str(project.predict({"picture": base64.b64encode(path.read_bytes()).decode()})["note"])

    assert note(dog).startswith("its middle, 96x96; a dog, most like: ")
    assert note(person).startswith("its middle, 96x96; a person, who looks most like: ")
    assert note(flower) == "its middle, 96x96; neither a dog nor a person"


def test_without_faces_people_are_not_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DLWB_MIRROR", raising=False)
    pictures = torch.randint(0, 255, (6, 3, 40, 40), dtype=torch.uint8)
    detectors = DogOrPerson(backbone.build("squeezenet1_1", "random"), 32, pictures, pictures[:2], torch.device("cpu"))
    with torch.no_grad():
        table = detectors.table()
    assert [row[0] for row in table.rows] == ["dogs"] and table.rows[0][3] == 0
    for config in ({"network": "cnn"}, {"weights": "random"}):
        with pytest.raises(Problem, match="Only a network trained on ImageNet tells dogs from people"):
            built(**config)  # type: ignore[arg-type]


def test_all_pictures_are_brought_to_the_faces_size() -> None:
    pictures = torch.randint(0, 255, (2, 3, 200, 200), dtype=torch.uint8)
    assert small(pictures).shape == (2, 3, 64, 64)
    assert torch.equal(small(small(pictures)), small(pictures))


# -- the project's own pictures, which a person unpacks ---------------------------------------------------------------------------------


def dog_images(root: Path, breeds: int = 3) -> Path:
    rng = np.random.default_rng(0)
    for part, number in (("train", 3), ("valid", 1), ("test", 1)):
        for place in range(1, breeds + 1):
            folder = root / "dogs" / "dogImages" / part / f"{place:03}.Made_up_{place}"
            folder.mkdir(parents=True)
            for index in range(number):
                Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(folder / f"{index}.jpg")
    return root


def test_the_project_s_dogs_are_taken_where_somebody_has_unpacked_them(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DLWB_MIRROR", raising=False)
    with pytest.raises(
        Problem, match=r"cannot be fetched.* Unpack dogImages\.zip into .*data/dogs, or set config\.data to dogs:120-breeds"
    ):
        photos.read("dogs", 16)
    dog_images(home / "data")
    data = photos.read("dogs", 16)
    assert data.classes == ["Made up 1", "Made up 2", "Made up 3"]
    assert [pixels.shape for pixels, _ in data.parts] == [(9, 16, 16, 3), (3, 16, 16, 3), (3, 16, 16, 3)]
    assert data.variant == "Dog breeds, 15 photographs of 3"
    monkeypatch.setitem(photos.UNPACKED, "dogs", dataclasses.replace(photos.UNPACKED["dogs"], whole=([9, 3, 3], 3)))
    assert photos.read("dogs", 16).variant == ""
    monkeypatch.setenv("DLWB_MIRROR", str(dog_images(tmp_path / "mirror", breeds=4)))
    assert len(photos.read("dogs", 16).classes) == 4


def test_breeds_with_too_few_pictures_for_three_parts_are_left_out(mirror: Path) -> None:
    data = photos.read("dogs:120-breeds", 16)
    assert len(data.classes) == 117
    assert "golden retriever" in data.classes
    assert all(set(labels.tolist()) == set(range(117)) for _, labels in data.parts)
    with pytest.raises(Problem, match=r"no photographs called 'cats'\. There are: dogs, skin-lesions:pictures, flowers102:72px"):
        photos.read("cats", 16)
