"""The readers of facades, in pairs and without, and of two folders; label maps that a person paints; the nearest label."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.datasets import facades, unpaired
from workbench.problems import Problem
from workbench.torchkit.picture_translation import HOUSE, in_label_colours, nearest_label


def test_the_pairs_are_those_of_pix2pix_and_their_colours_are_the_labels(mirror: Path) -> None:
    parts = facades.read(64)
    assert [len(parts[part].photos) for part in ("train", "valid", "test")] == [400, 100, 106]
    for pairs in parts.values():
        assert pairs.photos.shape == pairs.labels.shape == (len(pairs.photos), 3, 64, 64) and pairs.photos.dtype == np.uint8
    classes, distances = nearest_label(torch.from_numpy(parts["train"].labels))
    # A third of the pixels is blurred between two labels. Photographs are far from these colours.
    assert 0.6 < (distances < facades.TOLERANCE).float().mean() < 0.7
    assert len(classes.unique()) == 12
    assert (nearest_label(torch.from_numpy(parts["train"].photos))[1] < facades.TOLERANCE).float().mean() < 0.05


def test_within_the_tolerance_no_other_label_is_nearer() -> None:
    colours = torch.tensor(list(facades.COLOURS.values()), dtype=torch.float32)
    assert 2 * facades.TOLERANCE < torch.pdist(colours).min() < 2 * facades.TOLERANCE + 1


def test_photographs_and_maps_without_pairs_share_no_house(mirror: Path) -> None:
    parts, data = facades.read(64), unpaired.read("facades", 64)
    photos, labels = data.train
    assert len(photos) == len(labels) == 200 and data.paired
    shown = {picture.tobytes() for picture in parts["train"].labels[:200]}
    assert not shown & {picture.tobytes() for picture in labels}
    assert np.array_equal(photos, parts["train"].photos[:200]) and np.array_equal(labels, parts["train"].labels[200:])
    assert np.array_equal(data.test[1], parts["test"].labels) and data.variant == "facades without pairs in place of Yosemite"


def write(folder: Path, count: int, shade: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (80, 64), (shade, number, 0)).save(folder / f"{number:02d}.png")


@pytest.mark.parametrize("layout", unpaired.LAYOUTS)
def test_folders_of_two_sets(tmp_path: Path, layout: tuple[str, ...]) -> None:
    for shade, (folder, count) in enumerate(zip(layout, (20, 30, 10, 12), strict=True)):
        # The course's archive has one more folder inside each.
        write(tmp_path / folder / "pictures", count, shade)
    data = unpaired.read(f"{tmp_path}/", 64)
    assert [len(pictures) for part in (data.train, data.valid, data.test) for pictures in part] == [18, 27, 2, 3, 10, 12]
    assert [int(pictures[0, 0, 0, 0]) for part in (data.train, data.test) for pictures in part] == [0, 1, 2, 3]
    assert not set(data.train[0][:, 1, 0, 0].tolist()) & set(data.valid[0][:, 1, 0, 0].tolist())
    assert not data.paired and data.names == ("A", "B") and data.variant == tmp_path.name


def test_what_is_no_two_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no two sets") as raised:
        unpaired.read(f"{tmp_path}/", 64)
    assert "trainA" in raised.value.hint and raised.value.cause == "data"
    for folder in unpaired.LAYOUTS[0]:
        write(tmp_path / folder, 9, 0)
    with pytest.raises(Problem, match="has 9 pictures, where 10"):
        unpaired.read(f"{tmp_path}/", 64)


def test_what_is_no_pair_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facades, "fetch", lambda name: {"pictures": tmp_path})
    with pytest.raises(Problem, match="has no pairs"):
        facades.read(64)
    (tmp_path / "facades" / "train").mkdir(parents=True)
    Image.new("RGB", (128, 128)).save(tmp_path / "facades" / "train" / "1.jpg")
    with pytest.raises(Problem, match=r"1\.jpg is 128x128 pixels, where a pair"):
        facades.read(64)


def test_halves_are_photograph_left_and_labels_right_in_the_order_of_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facades, "fetch", lambda name: {"pictures": tmp_path})
    for folder in facades.FOLDERS.values():
        (tmp_path / "facades" / folder).mkdir(parents=True)
        for number in (2, 10):
            pair = Image.new("RGB", (256, 128), (number * 10, 0, 0))
            pair.paste(facades.COLOURS["window"], (128, 0, 256, 128))
            pair.save(tmp_path / "facades" / folder / f"{number}.jpg", quality=95)
    pairs = facades.read(64)["valid"]
    assert [round(photo[0].mean() / 10) for photo in pairs.photos] == [2, 10]
    assert (nearest_label(torch.from_numpy(pairs.labels))[0] == 2).all()


def test_a_map_of_rectangles() -> None:
    painted = facades.painted([[2, 0, 50, 100, 50], [3, 25, 50, 50, 25], [4, 0, 0, 0, 100]], 64)
    classes, distances = nearest_label(torch.from_numpy(painted)[None])
    expected = torch.zeros(64, 64, dtype=torch.int64)
    expected[32:], expected[32:48, 16:48] = 1, 2
    assert torch.equal(classes[0], expected) and distances.max() == 0
    assert torch.equal(in_label_colours(classes)[0], torch.from_numpy(painted))
    assert len(np.unique(facades.painted(HOUSE, 64).reshape(3, -1), axis=1).T) == 4


@pytest.mark.parametrize(
    ("rectangle", "says"),
    [([0, 0, 0, 9, 9], "row 1: 0 is no label"), ([13, 0, 0, 9, 9], "from 1 to 12"), ([2.5, 0, 0, 9, 9], "whole numbers"),
     ([2, 60, 0, 50, 9], "left [+] width is 110"), ([2, 0, 95, 5, 10], "top [+] height is 105")],
)  # fmt: skip
def test_what_is_no_rectangle_is_refused(rectangle: list[float], says: str) -> None:
    with pytest.raises(Problem, match=says):
        facades.painted([rectangle], 64)
