"""Batch transform: every kind of file, bad rows by their line, the same bytes after kills, and what refuses to go on."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import served_models

from workbench.encoding.coding import png
from workbench.problems import Problem
from workbench.serving import batch
from workbench.serving.session import Session


@pytest.fixture
def reviews(tmp_path: Path) -> Session:
    return Session(served_models.reviews(tmp_path / "models" / "reviews" / "1"))


def texts(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(served_models.WORDS[1:], rng.integers(1, 30))) for _ in range(count)]


def test_each_row_gets_the_answer_that_it_gets_alone(reviews: Session, tmp_path: Path) -> None:
    lines = texts(1300)
    source = tmp_path / "in.txt"
    source.write_text("\n".join(lines) + "\n")
    done = batch.transform(reviews, source, tmp_path / "out.csv")
    assert done.rows == 1300 and not done.errors
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    different = 0
    for line, row in zip(lines, rows, strict=True):
        (alone,) = reviews.answers([line])
        assert isinstance(alone, dict) and row["answer"] == alone["answer"] and row["error"] == ""
        different += float(row["positive"]) != alone["probabilities"]["positive"]
        assert float(row["positive"]) == pytest.approx(alone["probabilities"]["positive"], rel=1e-5)
    assert different, "the file has 6 digits, not all"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "models", "out.csv"], "nothing is left beside it"


def test_tables_texts_json_lines_and_folders_of_pictures(tmp_path: Path) -> None:
    houses = Session(served_models.houses(tmp_path / "models" / "houses" / "1"))
    table, limit = tmp_path / "houses.csv", csv.field_size_limit()
    table.write_text("distance,rooms\n2,4\n2,6.5\n")
    batch.transform(houses, table, tmp_path / "named.jsonl")
    named = [json.loads(line)["answer"] for line in (tmp_path / "named.jsonl").read_text().splitlines()]
    table.write_text("4,2\n6.5,2\n")
    batch.transform(houses, table, tmp_path / "plain.jsonl")
    plain = [json.loads(line)["answer"] for line in (tmp_path / "plain.jsonl").read_text().splitlines()]

    assert csv.field_size_limit() == limit, "nobody else's files are read otherwise"
    assert named == plain == [9.0, 11.5], "(rooms - 6) / 2 · 2 - (distance - 3) + 10; without a header the columns are the model's"

    pictures = Session(served_models.mlp(tmp_path / "models" / "mlp" / "1"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b64decode(png(np.random.default_rng(number).random((1, 28, 28)))))
    (folder / "9.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture, and none is looked for")
    done = batch.transform(pictures, folder, tmp_path / "pictures.csv", "row")
    rows = list(csv.DictReader((tmp_path / "pictures.csv").open()))
    assert done.rows == 4 and done.errors == 1
    assert [bool(row["answer"]) for row in rows] == [True, True, True, False] and "PNG" in rows[3]["error"]
    assert [row["picture"] for row in rows] == ["0.png", "1.png", "2.png", "9.png"]
    batch.transform(pictures, folder, tmp_path / "pictures.jsonl", "row")
    assert [json.loads(line)["picture"] for line in (tmp_path / "pictures.jsonl").open()] == [row["picture"] for row in rows]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("in.jsonl", '"good film"\n{"review": \n', "line 2: It is not JSON."),
        ("in.jsonl", '"good film"\n[1, NaN]\n', "line 2: It is not JSON."),
        ("in.jsonl", '"good film"\n' + "[" * 100_000 + "\n", "line 2: It is not JSON."),
        ("in.txt", "good film\nzzz\n", "line 2: There is no word in it that the network knows."),
        ("in.txt", "good\n\nfilm\n", "line 2: The input is no review"),
    ],
)
def test_a_bad_row_is_named_by_its_line(reviews: Session, tmp_path: Path, name: str, text: str, sentence: str) -> None:
    source = tmp_path / name
    source.write_text(text)
    with pytest.raises(Problem) as caught:
        batch.transform(reviews, source, tmp_path / "out.jsonl")
    assert str(caught.value).startswith(sentence)
    done = batch.transform(reviews, source, tmp_path / "rows.jsonl", "row")
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert done.errors == 1 and "error" in lines[1] and "answer" in lines[0]


def test_another_input_or_model_does_not_go_on(reviews: Session, tmp_path: Path) -> None:
    source, out = tmp_path / "in.txt", tmp_path / "out.csv"
    source.write_text("\n".join(texts(600)) + "\nzzz\n")
    with pytest.raises(Problem, match="line 601"):
        batch.transform(reviews, source, out)
    other = Session(served_models.reviews(tmp_path / "models" / "others" / "2"))
    with pytest.raises(Problem, match="not the one that this transform began with"):
        batch.transform(other, source, out)
    source.write_text("\n".join(texts(600)) + "\ngood\n")
    with pytest.raises(Problem, match="input has changed"):
        batch.transform(reviews, source, out)
    (tmp_path / ".out.csv.done").unlink()
    assert batch.transform(reviews, source, out).rows == 601
    with pytest.raises(Problem, match="there already"):
        batch.transform(reviews, source, out)


def test_killed_again_and_again_it_makes_the_same_bytes(home: Path, tmp_path: Path) -> None:
    session = Session(served_models.mlp(home / "models" / "mlp" / "1"))
    source, out = tmp_path / "in.jsonl", tmp_path / "killed.csv"
    rng = np.random.default_rng(1)
    source.write_text("".join(json.dumps({"pixels": rng.random(784).round(3).tolist()}) + "\n" for _ in range(4000)))
    batch.transform(session, source, tmp_path / "whole.csv")
    kills, note = 0, tmp_path / ".killed.csv.done"
    command = [sys.executable, "-P", "-m", "workbench.cli", "predict", "mlp", "--batch", str(source), "--to", str(out)]
    while not out.exists():
        process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = note.read_bytes() if note.exists() else b""
        while kills < 3 and process.poll() is None and (not note.exists() or note.read_bytes() == before):
            time.sleep(0.002)
        if kills < 3 and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 3
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def dlwb(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-P", "-m", "workbench.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_shell_asks_a_model(home: Path) -> None:
    served_models.reviews(home / "models" / "reviews" / "1")
    served_models.houses(home / "models" / "houses" / "1")
    assert dlwb("predict", "reviews", "a", "great", "film").stdout.splitlines()[0] == "positive"
    assert json.loads(dlwb("predict", "houses", "rooms=4", "distance=2", "--json").stdout)["answer"] == 9.0
    unused = dlwb("predict", "reviews", "good", "--batch", "in.txt", "--to", "out.csv")
    assert unused.returncode == 2 and "would not be used" in unused.stderr
    bad = dlwb("predict", "houses", "rooms=four")
    assert bad.returncode == 1 and "'rooms=four' gives no number" in bad.stderr and "Traceback" not in bad.stderr
    # What is left out is said, and what a model takes.
    part = dlwb("predict", "houses", "rooms=4")
    assert part.returncode == 0 and "Left out, so they count as their means: distance." in part.stderr
    assert "houses:1 takes a row, NAME=NUMBER for each of: rooms, distance." in " ".join(dlwb("predict", "houses").stderr.split())
    (home / "in.txt").write_text("good film\nzzz\n")
    stopped = dlwb("predict", "reviews", "--batch", str(home / "in.txt"), "--to", str(home / "out.csv"))
    assert stopped.returncode == 1 and "line 2: " in stopped.stderr and "--on-error row answers the others." in stopped.stderr


@pytest.mark.parametrize(("field", "value"), [("rows", -1), ("size", -1), ("rows", 100)])
def test_a_note_that_somebody_changed_is_refused(reviews: Session, tmp_path: Path, field: str, value: int) -> None:
    source, target = tmp_path / "in.txt", tmp_path / "out.csv"
    source.write_text("good\n")
    note = {"input": batch._identity(source), "model": reviews.folder.digest, "rows": 0, "size": 0, field: value}
    (tmp_path / ".out.csv.done").write_text(json.dumps(note))
    (tmp_path / ".out.csv.part").write_bytes(b"")
    with pytest.raises(Problem, match="is damaged"):
        batch.transform(reviews, source, target)
    assert not target.exists()


def test_two_transforms_never_write_the_same_output(reviews: Session, tmp_path: Path) -> None:
    source, target = tmp_path / "in.txt", tmp_path / "out.csv"
    source.write_text("good\n" * 1000)
    refused: list[str] = []

    def meanwhile(rows: int) -> None:
        with pytest.raises(Problem) as caught:
            batch.transform(reviews, source, target)
        refused.append(caught.value.message)

    batch.transform(reviews, source, target, doing=meanwhile)
    assert len(refused) == 2 and all("Another transform is writing" in text for text in refused)
    assert target.read_text().count("positive") == 1001


def test_a_link_that_leads_nowhere_is_a_row_of_its_folder(tmp_path: Path) -> None:
    digits = Session(served_models.mlp(tmp_path / "models" / "digits" / "1"))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(served_models.photograph())
    (tmp_path / "pictures" / "b.png").symlink_to(tmp_path / "nowhere")
    done = batch.transform(digits, tmp_path / "pictures", tmp_path / "out.csv", "row")
    assert (done.rows, done.errors) == (2, 1)
