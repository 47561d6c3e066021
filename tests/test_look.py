"""A look at data before training: real sets and a person's own files, through the real process."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workbench.datasets import folder
from workbench.datasets.store.stored import everything
from workbench.events import Images, Table, Text
from workbench.preparation import listening
from workbench.problems import Problem
from workbench.training.preview import Own, look


def looked(reference: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and lines of the process."""
    done = subprocess.run([sys.executable, "-m", "workbench.training.preview_data", reference], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_digits_need_no_download() -> None:
    code, (first, sizes, classes, samples, found) = looked("digits")
    assert code == 0 and first == {"ok": True, "title": "Optical recognition of handwritten digits (UCI), the test part"}
    assert sizes["rows"] == [["train", 1078, 10], ["valid", 359, 10], ["test", 360, 10]]
    assert sum(row[1] for row in classes["rows"]) == 1078 and [row[0] for row in classes["rows"]] == list("0123456789")
    assert sorted(samples["captions"][:10]) == [str(digit) for digit in range(10)]
    used = "1,078 to train, 359 for validation, 360 for the test"
    assert found["tag"] == "data/found" and found["rows"] == [["digits", "1,797 pictures of 10 classes", used, ""]]


@pytest.mark.parametrize(
    ("reference", "says"), [("mnits", "no data set"), ("dogs:x", "no variant"), ("celeba", "cannot be fetched"), ("./no", "no file")]
)
def test_what_cannot_be_looked_at_says_why(reference: str, says: str) -> None:
    code, lines = looked(reference)
    assert code == 1 and lines[-1]["ok"] is False and says in lines[-1]["message"]


def test_a_look_at_pictures_in_folders_names_and_counts_their_classes(mirror: Path) -> None:
    sizes, classes, samples = look("flowers102:72px")
    assert isinstance(sizes, Table) and isinstance(classes, Table) and isinstance(samples, Images)
    assert sizes.rows == [["train", 6549, 102], ["valid", 817, 102], ["test", 819, 102]]
    assert classes.rows[0] == ["petunia", 206, 28, 24]
    assert len(set(samples.captions)) == 24
    with Image.open(io.BytesIO(samples.png)) as png:
        assert png.size == (8 * 72, 3 * 72)


def test_tables_and_texts_of_the_course(mirror: Path) -> None:
    columns, rows = look("student-admissions")
    assert isinstance(columns, Table) and columns.rows[0] == ["admit", "0", "0.3175", "1", "0: 273, 1: 127", "0, 1, 1"]
    assert isinstance(rows, Table) and rows.rows[0] == [0.0, 380.0, 3.61, 3.0]
    sizes, beginning, _, labels = look("imdb")
    assert isinstance(sizes, Table) and ["characters", 33_678_267] in sizes.rows
    assert isinstance(beginning, Text) and beginning.text.startswith("bromwell high is a cartoon comedy")
    assert isinstance(labels, Table) and sorted(labels.rows) == [["negative", 12_500], ["positive", 12_500]]
    (tensors,) = look("squeezenet-weights")
    assert isinstance(tensors, Table) and tensors.rows[0] == ["all", "", 1_248_424.0]


def test_every_set_in_the_mirror_can_be_looked_at(mirror: Path) -> None:
    """But for the one of 60,000 files: tests/long looks at it, and test_datasets_cifar at a small one of its kind."""
    sets = [each for each in everything() if each.state in ("mirror", "package") and each.reference != "cifar10:jpeg"]
    assert len(sets) > 20
    for each in sets:
        assert list(look(each.reference)), each.reference


def test_a_persons_own_files(tmp_path: Path) -> None:
    for kind, colour in (("red", "#f00"), ("blue", "#00f")):
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (30 + number, 40), colour).save(tmp_path / "pictures" / kind / f"{number}.png")
    sizes, classes, samples = look(str(tmp_path / "pictures"))
    assert isinstance(sizes, Table) and sizes.rows == [["all", 6, 2]]
    assert isinstance(classes, Table) and sorted(classes.rows) == [["blue", 3], ["red", 3]]
    assert isinstance(samples, Images) and samples.captions == ["blue", "red"] * 3
    table = tmp_path / "own.csv"
    table.write_text('name;"size";kind\n"a; b";1.5;x\n\x1b[31mc;2;y\n')
    _, rows = look(str(table))
    assert isinstance(rows, Table) and rows.rows[0] == ["a; b", 1.5, "x"] and rows.rows[1][0] == "c"
    table.write_text("name;size;ward\na;1.234,5;1_2\nb;2,5;1_3\n")
    columns, rows = look(str(table))
    assert isinstance(columns, Table) and columns.rows[1][4] == "decimal comma, thousands by .; 2 different"
    assert columns.rows[2][4] == "line 2 is '1_2': a code, or a number?; 2 different"
    assert isinstance(rows, Table) and rows.rows[0] == ["a", 1234.5, "1_2"]
    table.write_text("a,b\n1\n")
    with pytest.raises(Problem, match=r"own\.csv, line 2: 1 field, where the first line names 2"):
        list(look(str(table)))
    table.write_text("")
    with pytest.raises(Problem, match="is empty"):
        list(look(str(table)))
    (tmp_path / "none").mkdir()
    with pytest.raises(Problem, match="has no pictures"):
        list(look(str(tmp_path / "none")))
    (tmp_path / "pictures" / "extra").mkdir()
    with pytest.raises(Problem, match="no different pictures of the class extra"):
        list(look(str(tmp_path / "pictures")))
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    with pytest.raises(Problem, match="damaged"):
        list(look(str(tmp_path / "bad.pth")))


def pictures(root: Path) -> Path:
    """Two classes in train/ and val/, a file that is none of them, and transparent grounds."""
    for part, number in (("train", 10), ("val", 5)):
        for kind, colour in (("red", "#f00"), ("blue", "#00f")):
            (root / part / kind).mkdir(parents=True)
            for place in range(number):
                picture = Image.new("RGBA", (20, 20))
                picture.paste(colour, (place, 0, 20, 20))
                picture.save(root / part / kind / f"{place}.png")
    (root / "readme.txt").write_text("x")
    return root


def test_a_preview_says_of_a_folder_what_a_run_will_do_with_it(tmp_path: Path) -> None:
    root = pictures(tmp_path / "own")
    with listening() as told:
        folder.read(root, 32)
    code, lines = looked(str(root))
    (found,) = [line for line in lines if line.get("tag") == "data/found"]
    assert code == 0 and found["rows"] == told.rows and len(told.rows) >= 5
    assert [line["rows"] for line in lines if line.get("tag") == "sizes"] == [[["train", 20, 2], ["valid", 10, 2]]]


def test_a_preview_refuses_what_a_run_refuses(tmp_path: Path) -> None:
    root = pictures(tmp_path / "own")
    (root / "val").rename(root / "extra")
    code, lines = looked(str(root))
    assert code == 1 and "has pictures in extra/ beside train/" in lines[-1]["message"]
    (root / "extra").rename(root / "dev")
    (root / "train" / "red" / "0.png").write_bytes(b"none")
    code, lines = looked(str(root))
    assert code == 1 and "red/0.png is neither a PNG nor a JPEG picture" in lines[-1]["message"]
    assert ["cannot be used", "", "", "train/red/0.png is neither a PNG nor a JPEG picture"] in lines[-2]["rows"]


def test_pictures_without_classes_are_looked_at_as_the_gan_reads_them(tmp_path: Path) -> None:
    for place in range(100):
        Image.new("L", (8, 8), place).save(tmp_path / f"{place}.png")
    (sizes, samples) = look(str(tmp_path))
    assert isinstance(sizes, Table) and sizes.rows == [["all", 100, 1]] and isinstance(samples, Images)
    (tmp_path / "a").mkdir()
    assert len(list(look(str(tmp_path), Own(labelled=False)))) == 2
    with pytest.raises(Problem, match="has 1 folder of pictures"):
        list(look(str(tmp_path)))
