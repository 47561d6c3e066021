"""Names in a folder of pictures: parts by every spelling, clutter, names that look the same, folders too deep, files given twice."""

from pathlib import Path

import pytest
from test_class_folders import draw, refused, row, sizes

from workbench.datasets.class_folders import NAMES, part_of

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *NAMES.items(),
        *((f"{word}{between}set", part) for word, part in NAMES.items() for between in "_- "),
        ("Training_Set", "train"),
        ("EVAL", "valid"),
        ("val ", "valid"),
        ("te\u200bst", "test"),
        ("trainers", None),
        ("set", None),
        ("test_2", None),
    ],
)
def test_a_part_is_known_by_its_name(name: str, part: str | None) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize(("train", "valid", "test"), [("training_set", "val_set", "test_set"), ("Train-Set", "eval", "test set")])
def test_parts_called_sets_are_used(tmp_path: Path, train: str, valid: str, test: str) -> None:
    assert sizes(draw(tmp_path, *(f"{part}/{name}" for part in (train, valid, test) for name in "ab")))[0] == [12, 12, 12]


@pytest.mark.parametrize("name", ["val ", " val", "v\u200bal"])
def test_a_part_whose_name_has_what_nobody_sees_is_used_and_said(tmp_path: Path, name: str) -> None:
    counted, rows = sizes(draw(tmp_path, "train/a", "train/b", f"{name}/a", f"{name}/b"))
    said = "its name has blanks at its ends, or characters that nobody sees"
    assert counted[1] == 12 and row(rows, f"{name!a}/")[0] == [f"{name!a}/", said, "as the valid part", ""]
    text = refused(draw(tmp_path, "val/a"))
    assert f"{name!a}/" in text and " val/" in text and "both would be the valid part" in text


def test_a_class_whose_name_has_a_blank_at_its_end_is_used_and_said(tmp_path: Path) -> None:
    rows = sizes(draw(tmp_path, "ants ", "bees"))[1]
    assert row(rows, "class 'ants '")[0][2] == "as ants"


@pytest.mark.parametrize(
    "other", [DECOMPOSED, f"{COMPOSED} ", f" {COMPOSED}", f"caf\u200b{COMPOSED[3]}", f"{COMPOSED}\u2060", f"\ufeff{COMPOSED}"]
)
def test_classes_that_look_the_same_are_refused_with_escapes(tmp_path: Path, other: str) -> None:
    text = refused(draw(tmp_path / "a", COMPOSED, other, "bees"))
    assert "has 2 classes whose names look the same: " in text and ascii(COMPOSED) in text and ascii(other) in text
    text = refused(draw(tmp_path / "b", f"train/{COMPOSED}", "train/bees", f"val/{other}", "val/bees"))
    assert f"class {other!a}, which is in val/. train/ has {COMPOSED!a}: call both the same" in text


def test_classes_that_look_nearly_the_same_are_said(tmp_path: Path) -> None:
    rows = sizes(draw(tmp_path, "\ufb01sh", "fish", "m2", "m\u00b2"))[1]
    assert [cells[1] for cells in row(rows, "classes ") if "spelling" in str(cells[1])] == ["differ in spelling alone"] * 2


@pytest.mark.parametrize("name", ["#recycle", "#Recycle", "lost+found", "LOST+FOUND", "Picasa.ini", "1.png:Zone.Identifier"])
def test_what_other_systems_leave_is_no_class_and_no_picture(tmp_path: Path, name: str) -> None:
    root = draw(tmp_path, "a", "b")
    if "." in name:
        (root / "a" / name).write_text("[ZoneTransfer]")
    else:
        draw(root, name)
    counted, rows = sizes(root)
    assert sum(counted) == 12 and row(rows, "hidden files")[0][3] == name


def test_the_classes_are_named_with_their_pictures(tmp_path: Path) -> None:
    assert row(sizes(draw(tmp_path / "a", "ants", "unsorted"))[1], "classes")[0] == ["classes", "2", "ants 6, unsorted 6", ""]
    many = draw(tmp_path / "b", *(f"train/{index:02}" for index in range(15)), *(f"val/{index:02}" for index in range(14)), number=3)
    names = ", ".join(f"{index:02} 3" for index in range(12))
    rows = row(sizes(many)[1], "classes in")
    assert [cells[:3] for cells in rows] == [
        ["classes in train/", "15", f"{names} and 3 more"],
        ["classes in val/", "14", f"{names} and 3 more"],
    ]
    long = draw(tmp_path / "c", *(f"{index:02}" + "x" * 30 for index in range(5)), number=3)
    assert str(row(sizes(long)[1], "classes")[0][2]).endswith("x 3 and 2 more")


def test_a_file_in_two_classes_or_parts_is_said(tmp_path: Path) -> None:
    root = draw(tmp_path, "train/a", "train/b", "train/c", "val/a", "val/b")
    for index in range(2):
        (root / "train" / "b" / f"x{index}.png").write_bytes((root / "train" / "a" / f"{index}.png").read_bytes())
    (root / "val" / "a" / "x.png").write_bytes((root / "train" / "a" / "5.png").read_bytes())
    rows = row(sizes(root)[1], "the same file")
    assert [cells[:2] for cells in rows] == [
        ["the same file in several classes", "2 pictures are in two classes: a and b"],
        ["the same file in several parts", "1 picture is in two parts: train/ and val/"],
    ]
    (tmp_path / "d").mkdir()
    assert not row(sizes(draw(tmp_path / "d", "a", "b"))[1], "the same file")


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (
            ["train/train/ants", "train/train/bees", "val/ants"],
            "train/ has no class folders, only train/train/ with folders in it. Put ants/ and bees/ of",
        ),
        (["train/ants", "train/bees", "val/val/ants"], "val/ has no class folders, only val/val/ with folders in it. Put ants/ of"),
        (["train/ants", "train/bees", "val/ants/more"], "val/ants/more is a folder in a class's folder"),
        (["train/images/ants", "train/images/bees"], "Put ants/ and bees/ of train/images/ into train/"),
        (
            ["fold1/ants", "fold1/bees", "fold2/ants"],
            "fold1/ and fold2/ have folders where pictures are expected. Put ants/ and bees/ into train/",
        ),
        (["ants", "bees", "val/ants"], "but no train/. Put ants/ and bees/ into a folder called train"),
        (
            ["train", "train/old", "ants", "bees"],
            "train/ has pictures like a class, but also train/old/ like a part of the split. If it is a class, move",
        ),
        (["test", "test/old", "ants"], "test/ has pictures like a class, but also test/old/ like"),
    ],
)
def test_folders_at_the_wrong_depth_are_told_where_they_belong(tmp_path: Path, paths: list[str], says: str) -> None:
    assert says in refused(draw(tmp_path, *paths))
