"""A person's own pictures: learnt from, split without copies on both sides, and whatever cannot be used is named."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stepping
from PIL import Image

from workbench.datasets import folder
from workbench.problems import Problem
from workbench.projects.convolutional_networks.image_classifier import ImageClassifier
from workbench.recipes.recipe import Compute, Train

SGD: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9}


def draw(root: Path, classes: str = "ab", number: int = 40, grey: bool = False, suffix: str = "png", seed: int = 0) -> Path:
    """Noise, brighter on the left (a), on the right (b), or above (c)."""
    rng = np.random.default_rng(seed)
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(number):
            pixels = rng.integers(0, 120, (40, 60, 1 if grey else 3))
            half = {"a": np.s_[:, :30], "b": np.s_[:, 30:], "c": np.s_[:20]}[name]
            pixels[half] += 100
            picture = Image.fromarray(pixels.astype(np.uint8)[..., 0] if grey else pixels.astype(np.uint8))
            picture.save(root / name / f"{index}.{suffix}")
    return root


def trained(root: Path, shuffled: bool = False, **config: Any) -> tuple[ImageClassifier, float]:
    settings = ImageClassifier.Config(data=str(root), image_size=12, hidden=[16], dropout=0, **SGD, **config)
    project = ImageClassifier(settings, Train(batch_size=8), Compute(device="cpu", threads=1), seed=1)
    project.build()
    if shuffled:
        stepping.shuffled(project)
    stepping.train(project, 12 * math.ceil(len(project.splits["train"][1]) / 8))
    pixels, labels = project.splits["test"]
    with project.evaluating():
        return project, float((project.logits(pixels).argmax(1) == labels).float().mean())


def test_a_network_learns_them_and_nothing_from_shuffled_classes(tmp_path: Path) -> None:
    root = draw(tmp_path / "pictures", "abc")
    project, accuracy = trained(root)
    assert accuracy > 0.9 and project.shape == (3, 12, 12) and project.classes == ["a", "b", "c"]
    assert trained(root, shuffled=True)[1] < 0.7


def test_a_fifth_of_each_class_for_each_part_and_no_copy_on_both_sides(tmp_path: Path) -> None:
    root = draw(tmp_path / "p")
    for index in range(40):  # each picture twice
        (root / "a" / f"copy{index}.png").write_bytes((root / "a" / f"{index}.png").read_bytes())
    data = folder.read(root, 12)
    assert [np.bincount(part.labels).tolist() for part in (data.train, data.valid, data.test)] == [[48, 24], [16, 8], [16, 8]]
    kept = [{each.tobytes() for each in part.images} for part in (data.train, data.valid, data.test)]
    assert not (kept[0] & kept[1] or kept[0] & kept[2] or kept[1] & kept[2])
    again = folder.read(root, 12)
    assert (again.train.images == data.train.images).all() and (again.test.labels == data.test.labels).all()


def test_parts_that_are_there_are_taken_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "p"
    draw(root / "train"), draw(root / "test", number=7, seed=1)
    data = folder.read(root, 12)
    assert [len(part) for part in (data.train, data.valid, data.test)] == [64, 16, 14]
    draw(root / "valid", "a", number=5, seed=2)
    data = folder.read(root, 12)
    assert [len(part) for part in (data.train, data.valid, data.test)] == [80, 5, 14]
    draw(root / "valid", "c", number=1)
    with pytest.raises(Problem, match=r"no training pictures of the class c"):
        folder.read(root, 12)


def test_the_middle_square_in_grey_where_all_are_grey(tmp_path: Path) -> None:
    root = draw(tmp_path / "p", grey=True, suffix="jpg")
    assert folder.read(root, 12).train.images.shape == (48, 1, 12, 12)
    Image.new("RGB", (4000, 3000), (255, 0, 0)).save(root / "a" / "red.jpg")
    assert folder.read(root, 12).train.images.shape[1] == 3
    only = tmp_path / "q"
    for name, color in (("x", (255, 0, 0)), ("y", (0, 0, 255))):
        (only / name).mkdir(parents=True)
        for width in (20, 30, 40, 50):
            picture = Image.new("RGB", (width, 20), (0, 255, 0))  # green, but for the square in its middle
            picture.paste(color, ((width - 20) // 2, 0, (width + 20) // 2, 20))
            picture.save(only / name / f"{width}.png")
    data = folder.read(only, 8)
    assert data.train.images[:, 1, 2:6, 2:6].max() == 0 and data.train.images[:, 0].max() == data.train.images[:, 2].max() == 1


def test_all_that_cannot_be_used_is_named_at_once(tmp_path: Path) -> None:
    root = draw(tmp_path / "p")
    (root / "a" / "notes.txt").write_text("hello")
    whole = (root / "a" / "0.png").read_bytes()
    (root / "a" / "0.png").write_bytes(whole[: len(whole) // 2])
    (root / "b" / "link.png").symlink_to(root / "a" / "1.png")
    os.mkfifo(root / "b" / "pipe.png")
    (root / "b" / "deeper").mkdir()
    (root / ".cache").mkdir()
    (root / "b" / ".DS_Store").write_bytes(b"x")
    (root / "b" / "Thumbs.db").write_bytes(b"x")
    with pytest.raises(Problem) as caught:
        folder.read(root, 12)
    text = str(caught.value)
    for part in (
        "a/notes.txt is neither",
        "a/0.png",
        "link.png is a link, and links are not followed",
        "pipe.png is a pipe",
        "deeper is a folder",
    ):
        assert part in text
    assert "DS_Store" not in text and "Thumbs" not in text and "cache" not in text
    (root / "c").symlink_to(root / "a")
    for index in range(4):
        (root / "a" / f"bad{index}.png").write_bytes(b"\x1b[31m")
    with pytest.raises(Problem, match="and 5 more"):
        folder.read(root, 12)


def test_too_few_too_many_and_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Problem, match="There is no folder"):
        folder.read(tmp_path / "none", 12)
    root = draw(tmp_path / "p", "a")
    with pytest.raises(Problem, match=r"has 1 folder of pictures, where 2 to 1,000 are expected\. Make one for each class"):
        folder.read(root, 12)
    draw(root, "b", number=2)
    with pytest.raises(Problem, match=r"has 2 different pictures of the class b, where 3 or more are needed"):
        folder.read(root, 12)
    draw(root, "b", number=3)
    assert np.bincount(folder.read(root, 12).test.labels).tolist() == [8, 1]
    monkeypatch.setattr(folder, "MOST_NUMBERS", 43 * 3 * 12 * 12 - 1)
    with pytest.raises(Problem, match=r"has 43 pictures: too many at 12x12\. Set a smaller image_size"):
        folder.read(root, 12)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    root = draw(tmp_path / "p")
    Image.new("1", (30_000, 30_000)).save(root / "a" / "bomb.png")
    with pytest.raises(Problem, match=r"a/bomb\.png has more than 80,000,000 pixels"):
        folder.read(root, 12)
