"""Loading pictures: folders and labels, seeded augmentation of training pictures alone, and normalising there and back."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built
from PIL import Image

from workbench.events import Images
from workbench.problems import Problem

STEM = "image-loading"
PLAIN, AUGMENTED, TEST = "training, plain", "training, augmented", "test, never augmented"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The lesson with its pictures, unpacked once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLWB_HOME", str(tmp_path_factory.mktemp("home")))
        yield built(STEM)


def tiles(event: Images) -> np.ndarray:
    """(4, side, side, 3) bytes of a row of four pictures."""
    sheet = np.asarray(Image.open(io.BytesIO(event.png)))
    return sheet.reshape(len(sheet), 4, -1, 3).transpose(1, 0, 2, 3)


def test_augmentation_is_seeded(mirror: Path, project: Any) -> None:
    first, again, other = (asked(STEM, project, seed=seed) for seed in (1, 1, 2))
    assert first[AUGMENTED].png == again[AUGMENTED].png != other[AUGMENTED].png
    assert first[PLAIN].png == other[PLAIN].png != first[AUGMENTED].png


@pytest.mark.parametrize("fields", [{"rotation": 180}, {"zoom": 0.9}, {"flip": False}, {"seed": 9}])
def test_test_pictures_are_never_augmented(mirror: Path, project: Any, fields: dict[str, Any]) -> None:
    usual, changed = asked(STEM, project), asked(STEM, project, **fields)
    assert usual[AUGMENTED].png != changed[AUGMENTED].png
    assert usual[TEST].png == changed[TEST].png
    # And not merely the same each time: they are the pictures of the test folder as they are.
    exact = asked(STEM, project, resize=112, **fields)[TEST]
    root = project.files["test"]["cat"][0].parents[1]
    assert root.name == "test"
    files = sorted(root.glob("cat/*.jpg"), key=lambda path: (len(path.name), path.name))[:2]
    files += sorted(root.glob("dog/*.jpg"), key=lambda path: (len(path.name), path.name))[:2]
    assert np.array_equal(tiles(exact), [np.asarray(Image.open(file).convert("RGB")) for file in files])
    assert exact.captions == ["cat", "cat", "dog", "dog"]


def test_without_augmentation_both_rows_are_equal_and_a_flip_mirrors(mirror: Path, project: Any) -> None:
    off = asked(STEM, project, rotation=0, zoom=0, flip=False)
    assert off[PLAIN].png == off[AUGMENTED].png
    flipped = [tiles(asked(STEM, project, rotation=0, zoom=0, seed=seed)[AUGMENTED]) for seed in range(3)]
    plain = tiles(off[PLAIN])
    mirrored = []
    for picture, original in zip(np.concatenate(flipped), np.concatenate([plain] * 3), strict=True):
        # Interpolation may move a byte by one.
        straight, turned = (np.abs(picture.astype(int) - other).max() <= 1 for other in (original, original[:, ::-1]))
        assert straight != turned
        mirrored.append(turned)
    assert 0 < sum(mirrored) < len(mirrored)


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 0.5), (0.0, 0.05), (1.0, 1.0), (0.3, 0.05)])
def test_normalising_and_back_is_the_same_to_a_byte(mirror: Path, project: Any, mean: float, deviation: float) -> None:
    rows = {row[0]: row[1:] for row in asked(STEM, project, mean=mean, deviation=deviation)["a batch"].rows}
    least, most, middle = rows["resized, cropped"][1:]
    assert rows["normalised"][1:] == pytest.approx([(number - mean) / deviation for number in (least, most, middle)], abs=2e-3)
    assert rows["and back"] == pytest.approx(rows["resized, cropped"]) and rows["back is off by"][2] < 1e-6 < 1 / 255


def test_a_batch_has_four_axes_and_its_size_follows(mirror: Path, project: Any) -> None:
    shown = asked(STEM, project, resize=160, crop=96)
    assert [row[1] for row in shown["a batch"].rows[:2]] == ["4 x 3 x 112 x 112", "4 x 3 x 96 x 96"]
    assert tiles(shown[PLAIN]).shape == (4, 96, 96, 3)


def test_folders_are_classes_and_the_data_is_named_as_a_stand_in(mirror: Path, project: Any) -> None:
    assert asked(STEM, project)["folders"].rows == [
        ["train/cat", 1125, 0],
        ["train/dog", 1125, 1],
        ["test/cat", 375, 0],
        ["test/dog", 375, 1],
    ]
    assert project.variant == "Cats and dogs, 3,000 of 112 px"


def test_the_run_s_own_random_numbers_stay_as_they_are(mirror: Path, project: Any) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    asked(STEM, project)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"crop": 200}, "crop must be at most resize, 128"), ({"deviation": 0}, "deviation"), ({"rotation": 181}, "rotation")],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(mirror: Path, project: Any, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says):
        asked(STEM, project, **fields)
