"""A folder of pictures is used as its names say, and what is not used is refused by name or stands in the table."""

import random
from pathlib import Path

import pytest
from PIL import Image

from workbench.datasets import folder
from workbench.preparation import listening
from workbench.problems import Problem

Rows = list[list[str | float]]


def draw(root: Path, *paths: str, number: int = 6) -> Path:
    """Noise, so many pictures in each folder, or one in the file of that name."""
    for path in paths:
        rng = random.Random(path)
        for file in [root / path] if path.endswith((".png", ".jpg", ".gif")) else [root / path / f"{index}.png" for index in range(number)]:
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.frombytes("RGB", (8, 8), rng.randbytes(192)).save(file)
    return root


def sizes(root: Path) -> tuple[list[int], Rows]:
    """How many pictures each part has, and the rows of the table."""
    with listening() as told:
        data = folder.read(root, 8)
    return [len(part) for part in (data.train, data.valid, data.test)], told.rows


def refused(root: Path) -> str:
    with listening(), pytest.raises(Problem) as caught:
        folder.read(root, 8)
    assert caught.value.cause == "data" and "\n" not in str(caught.value)
    return str(caught.value)


def row(rows: Rows, start: str) -> Rows:
    return [row for row in rows if str(row[0]).startswith(start)]


@pytest.mark.parametrize("train", ["train", "Train", "TRAIN", "training"])
@pytest.mark.parametrize(("part", "expected"), [("val", [8, 12, 4]), ("testing", [8, 4, 12])])
def test_a_part_goes_by_any_of_its_names(tmp_path: Path, train: str, part: str, expected: list[int]) -> None:
    root = draw(tmp_path, f"{train}/ants", f"{train}/bees", f"{part}/ants", f"{part}/bees")
    # Of six pictures of a class one is held out for the missing part.
    (counted, rows), given = sizes(root), 12
    assert counted == ([10, given, 2] if part == "val" else [10, 2, given])
    assert row(rows, f"{train}/")[0][1] == "12 pictures of 2 classes" and row(rows, f"{part}/")[0][2].startswith("12 for")
    assert "2 held out for" in str(row(rows, f"{train}/")[0][2])


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Val", "VALIDATION"])
def test_validation_pictures_are_used_by_every_name(tmp_path: Path, name: str) -> None:
    assert sizes(draw(tmp_path, "train/a", "train/b", f"{name}/a", f"{name}/b"))[0] == [10, 12, 2]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["val/a", "val/b", "valid/a", "valid/b"], "has val/ and valid/, and both would be the valid part. Keep one of them"),
        (["Train/a", "Train/b"], "has Train/ and train/, and both would be the train part"),
        (["extra/a"], "has pictures in extra/ beside train/, where they would not be used. Only valid/ (val, validation, dev, eval"),
        (["holdout/deep/er/a", "eval"], "has pictures in eval/ and holdout/ beside train/"),
        (["raw/scan.gif"], "has pictures in raw/ beside train/"),
        (["test"], "has pictures in test/ beside train/"),
        (["val/Ants"], "has no training pictures of the class Ants, which is in val/. train/ has ants: call both the same"),
        (["val/ants ", "val/bees"], "of the class 'ants ', which is in val/. train/ has 'ants': call both the same"),
        (["val/a\u200bnts"], "of the class 'a\\u200bnts', which is in val/. train/ has 'ants': call both the same"),
        (["test/wasps"], "has no training pictures of the class wasps, which is in test/. valid/ and test/ have train/'s classes"),
    ],
)
def test_what_would_not_be_used_is_refused_by_name(tmp_path: Path, more: list[str], says: str) -> None:
    assert says in refused(draw(tmp_path, "train/ants", "train/bees", *more))


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["test/a", "test/b"], "has test/ with folders in it, but no train/. Put the class folders"),
        (["a", "b", "val/a", "val/b"], "has val/ with folders in it, but no train/"),
        (["train", "test"], "test/ and train/ hold pictures, but no folder for each class. Put the pictures of each class into a folder"),
        (["train"], "train/ holds pictures, but no folder for each class"),
        (["cats/a", "cats/b"], "Perhaps {root}/cats is meant."),
        (["set/train/a", "set/train/b", "__MACOSX/set/x.png"], "Perhaps {root}/set is meant."),
        (["train/cats/a", "train/dogs/b"], "cats/a is a folder in a class's folder"),
        (["a/" + "x" * 3, "b"], "a/xxx is a folder in a class's folder"),
        (["c" * 45 + "1", "c" * 45 + "2"], "has 2 classes whose first 40 characters are"),
    ],
)
def test_a_folder_that_is_laid_out_otherwise_is_refused(tmp_path: Path, paths: list[str], says: str) -> None:
    assert says.format(root=tmp_path) in refused(draw(tmp_path, *paths))


@pytest.mark.parametrize("name", ["train", "test", "val", "Dev"])
def test_a_class_may_be_called_as_a_part_is(tmp_path: Path, name: str) -> None:
    root = draw(tmp_path, "car", "plane", name)
    counted, rows = sizes(root)
    assert counted == [12, 3, 3] and row(rows, f"{name}/") == [
        [f"{name}/", "6 pictures, no folders", "as a class, not as a part of the split", ""]
    ]
    assert name in folder.read(root, 8).classes
    (tmp_path / "inside").mkdir()
    parts = draw(tmp_path / "inside", "train/car", f"train/{name}", "test/car", f"test/{name}")
    assert sizes(parts)[0] == [10, 2, 12]


def test_clutter_is_passed_over_and_counted(tmp_path: Path) -> None:
    root = draw(tmp_path, "cat", "dog", "__MACOSX/cat/._1.png", ".ipynb_checkpoints/cat", "cat/.ipynb_checkpoints/1.png")
    for name in ("cat/._1.png", "dog/Thumbs.db", "dog/.DS_Store", "Desktop.ini", "cat/ehthumbs.db"):
        (root / name).write_bytes(b"\0\5\26\7")
    counted, rows = sizes(root)
    assert counted == [8, 2, 2]
    assert row(rows, "hidden files")[0][1:] == ["8 files", "", ".DS_Store, ._1.png, .ipynb_checkpoints, Desktop.ini, Thumbs.db and 2 more"]


def test_pictures_and_files_beside_the_class_folders_are_counted(tmp_path: Path) -> None:
    root = draw(tmp_path, "train/cat", "train/dog", "0.png", "train/1.png", "train/2.gif", "notes/empty/1.txt.png")
    (root / "notes" / "empty" / "1.txt.png").rename(root / "notes" / "empty" / "1.txt")
    (root / "labels.csv").write_text("a,b\n")
    rows = sizes(root)[1]
    assert row(rows, "pictures beside") == [
        ["pictures beside the class folders", "3 pictures", "", "in no class's folder: 0.png, train/1.png, train/2.gif"]
    ]
    assert row(rows, "other files")[0][3] == "labels.csv" and row(rows, "notes/") == [
        ["notes/", "no picture", "", "it is not train/, valid/ or test/"]
    ]


def test_classes_that_are_odd_are_named(tmp_path: Path) -> None:
    root = draw(tmp_path, "train/Cat", "train/cat", "train/dog", "train/elk", "train/flat", "test/Cat", "test/dog")
    same = (root / "train" / "dog" / "0.png").read_bytes()
    for file in (root / "train" / "elk").iterdir():
        file.write_bytes(same + bytes(random.Random(file.name).randbytes(3)))  # other bytes behind the picture, so other files
    for place, file in enumerate(sorted((root / "train" / "flat").iterdir())):
        Image.new("RGB", (8, 8), (place, 9, 9)).save(file)
    (root / "test" / "cat").mkdir()
    rows = sizes(root)[1]
    assert row(rows, "classes Cat, cat") == [["classes Cat, cat", "differ in spelling alone", "as 2 classes", ""]]
    assert row(rows, "class elk")[0][1] == "6 pictures, all equal"
    assert row(rows, "class flat")[0][1] == "6 pictures, all nearly of one value" and not row(rows, "class dog")
    assert row(rows, "test/")[0][1:] == ["12 pictures of 2 classes", "12 for the test", "no picture of cat, elk, flat"]


def test_an_empty_class_and_a_linked_part_are_refused(tmp_path: Path) -> None:
    root = draw(tmp_path / "a", "car", "plane")
    (root / "ship").mkdir()
    assert "has no different pictures of the class ship, where 3 or more are needed" in refused(root)
    other = draw(tmp_path / "b", "train/car", "train/plane")
    (other / "val").symlink_to(root)
    assert "val is a link, and links are not followed. Put the folder itself there." in refused(other)


def test_names_from_elsewhere_are_cleaned(tmp_path: Path) -> None:
    evil = "\x1b]52;c;AAAA\x07\x9b2Jevil"
    for root in (draw(tmp_path / "a", "train/a", "train/b", f"{evil}/a"), draw(tmp_path / "b", "a", "b", f"b/{evil}/c")):
        text = refused(root)
        assert text.isprintable() and "evil" in text
    rows = sizes(draw(tmp_path / "c", "a", f"{evil}.png", evil))[1]
    assert all(str(cell).isprintable() for cells in rows for cell in cells)
