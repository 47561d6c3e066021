"""Letters drawn from fonts: families never shared between parts, 7,850 parameters that learn, drawn letters, systems without fonts."""

import io
from base64 import b64encode
from pathlib import Path
from typing import Any

import made_data
import numpy as np
import pytest
from exploring import asked
from PIL import Image, ImageDraw, ImageFont
from stepping import measured, scalars, train

from workbench.datasets import letters
from workbench.events import Images, Matrix
from workbench.problems import Problem
from workbench.projects.extra.letters import Letters
from workbench.recipes.recipe import Compute, Train


@pytest.fixture
def fonts(tmp_path: Path) -> Path:
    """Five made families, one of them in two files."""
    folder, random = tmp_path / "fonts", np.random.default_rng(0)
    (folder / "below").mkdir(parents=True)
    for family in "ABCDE":
        (folder / "below" / f"{family}.bdf").write_bytes(made_data.font(f"Made {family}", random))
    (folder / "other.bdf").write_bytes(made_data.font("Made A", random))
    return folder


def built(fonts: Path | str, **config: Any) -> Letters:
    settings = Letters.Config(**{"fonts": str(fonts), "copies": 10, **config})
    project = Letters(settings, Train(batch_size=128, epochs=5), Compute(device="cpu"), 1)
    project.build()
    return project


def test_a_family_is_in_one_part_alone(fonts: Path) -> None:
    read = letters.read(str(fonts), 3)
    assert sorted(family for part in read.families.values() for family in part) == [f"Made {family}" for family in "ABCDE"]
    assert read.fonts == 6 and {name: len(part) for name, part in read.families.items()} == {"test": 1, "valid": 1, "train": 3}
    both = next(name for name, families in read.families.items() if "Made A" in families)
    for name, part in read.parts.items():
        files = len(read.families[name]) + (name == both)
        assert part.images.shape == (files * 30, 1, 28, 28) and np.bincount(part.labels).tolist() == [files * 3] * 10
    again = letters.read(str(fonts), 3)
    assert all(np.array_equal(part.images, again.parts[name].images) for name, part in read.parts.items())


def test_copies_are_varied_and_stay_inside(fonts: Path) -> None:
    images = letters.read(str(fonts), 4).parts["test"].images[:4, 0]
    assert len({image.tobytes() for image in images}) == 4
    rows, columns = (np.flatnonzero(images[0].any(axis)) for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (3, 24, 3, 24), "22 pixels in the middle of 28"


def test_it_has_7850_parameters_and_a_step_goes_down_the_gradient(fonts: Path) -> None:
    project = built(fonts, learning_rate=1e-3)
    assert project.weights.size + project.bias.size == 7_850
    assert project.splits["train"][0].min() == pytest.approx(0.1) and project.splits["train"][0].max() == pytest.approx(0.9)
    train(project, 5)
    batch = tuple(part[:20] for part in project.splits["train"])

    def loss() -> float:
        return float(-np.log(project.chances(batch[0])[np.arange(20), batch[1]]).mean())

    slopes, before = [], (project.weights.copy(), project.bias.copy())
    for array, place in ((project.weights, (300, 4)), (project.weights, (411, 0)), (project.bias, (2,))):
        array[place] += 1e-5
        above = loss()
        array[place] -= 2e-5
        slopes.append((above - loss()) / 2e-5)
        array[place] += 1e-5
    expected = loss()
    assert project.train_step(batch)["loss"] == pytest.approx(expected)
    moved = before[0][300, 4] - project.weights[300, 4], before[0][411, 0] - project.weights[411, 0], before[1][2] - project.bias[2]
    assert np.array(moved) / 1e-3 == pytest.approx(slopes, rel=1e-5)


def test_it_knows_unseen_families_and_learns_nothing_from_shuffled_labels(fonts: Path) -> None:
    project = built(fonts)
    assert scalars(project)["loss"] == pytest.approx(np.log(10))
    train(project, 200)
    assert scalars(project, "test")["accuracy"] > 0.7
    shuffled = built(fonts)
    np.random.default_rng(0).shuffle(shuffled.splits["train"][1])
    train(shuffled, 200)
    assert scalars(shuffled, "test")["accuracy"] < 0.35


def test_what_is_shown_and_asked(fonts: Path) -> None:
    project = built(fonts)
    train(project, 60)
    assert any(isinstance(event, Matrix) for event in measured(project))
    plain, turned = (asked("letters", project, angle=angle) for angle in (0, 90))
    assert isinstance(plain["weights"], Images) and len(plain["weights"].captions) == 10
    right = [answer["turned and moved"].rows[1][1] for answer in (plain, turned)]
    assert right[0] == pytest.approx(scalars(project)["accuracy"], abs=1e-4) and right[1] < right[0] - 0.3
    assert asked("letters", project, shift=8)["turned and moved"].rows[1][1] < right[0] - 0.2
    font = ImageFont.truetype(str(fonts / "other.bdf"), 64)
    for paper, ink in ((255, 0), (20, 230)):
        picture = Image.new("L", (200, 160), paper)
        ImageDraw.Draw(picture).text((90, 40), "C", fill=ink, font=font)
        file = io.BytesIO()
        picture.save(file, "PNG")
        sent = b64encode(file.getvalue()).decode()
        assert project.predict({"picture": sent})["answer"] == "C"
        assert asked("letters", project, picture=sent)["your letter's chances"].rows[0][0] == "C"


@pytest.mark.parametrize("inputs", [None, {}, {"picture": 3}, {"picture": "x"}])
def test_what_is_no_picture_is_refused(fonts: Path, inputs: Any) -> None:
    with pytest.raises(Problem):
        built(fonts).predict(inputs)


def test_an_empty_picture_has_no_ink() -> None:
    with pytest.raises(Problem, match="no ink"):
        letters.of_picture(Image.new("RGB", (30, 30), (250, 250, 250)))


def test_a_system_without_fonts_names_the_packages(monkeypatch: pytest.MonkeyPatch, fonts: Path) -> None:
    # Made families are not known to be free.
    monkeypatch.setattr(letters, "FOLDERS", (str(fonts), str(fonts / "missing")))
    with pytest.raises(Problem, match="There is no font family that") as raised:
        letters.read("system", 1)
    assert "apt install fonts-dejavu fonts-liberation" in str(raised.value) and raised.value.cause == "data"
    monkeypatch.setattr(letters, "FREE", {"fonts-made": ("Made",)})
    assert letters.read("system", 1).fonts == 6


def test_too_few_families_and_damaged_fonts(fonts: Path) -> None:
    for family in "CDE":
        (fonts / "below" / f"{family}.bdf").write_bytes(b"STARTFONT 2.1\n\x1b[2J")
    (fonts / "empty.ttf").write_bytes(b"")
    with pytest.raises(Problem, match="There are 2 font families with the letters A to J in "):
        letters.read(str(fonts), 1)


def test_the_system_s_own_fonts() -> None:
    try:
        read = letters.read("system", 1)
    except Problem as problem:
        pytest.skip(problem.message)
    flat = {name: {image.tobytes() for image in part.images} for name, part in read.parts.items()}
    assert not flat["train"] & flat["test"] and not flat["train"] & flat["valid"]
    known = tuple(beginning for names in letters.FREE.values() for beginning in names)
    assert all(family.startswith(known) for families in read.families.values() for family in families)
