"""Many pictures are read in order on several cores, can be stopped, tell their digest, and name every file that cannot be used."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench import preparation
from workbench.datasets import faces, folder, picture_files
from workbench.datasets.pictures import Decoding
from workbench.problems import Problem


def draw(root: Path, number: int, side: int = 12) -> list[Path]:
    """Noise in one folder; file n is the n-th by name."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = [root / f"{index:03}.png" for index in range(number)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
    return paths


def read(root: Path, paths: list[Path]) -> picture_files.Squares:
    return picture_files.read(root, paths, 12, Decoding())


@pytest.mark.parametrize("threads", [1, 5])
def test_the_order_is_that_of_the_files_however_many_threads_read(tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_files, "cores", lambda: threads)
    paths = draw(tmp_path, 200)
    pixels = read(tmp_path, paths).pixels
    assert all((pixels[place] == np.asarray(Image.open(path))).all() for place, path in enumerate(paths))


def test_it_uses_the_cores_that_the_run_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)))
    for threads, expected in (("4", 4), ("64", 6), ("", 6), ("0", 6), ("two", 6)):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        assert picture_files.cores() == expected


def test_a_stop_ends_the_reading_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_files, "cores", lambda: 2)
    paths, told, begun = draw(tmp_path, 300), [], []
    decoded = picture_files.decoded

    def slowly(path: Path, *rest: object) -> object:
        begun.append(path)
        time.sleep(0.02)
        return decoded(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(picture_files, "decoded", slowly)

    def stop(what: str, done: int, total: int) -> None:
        told.append((what, done, total))
        if done == 10:
            raise KeyboardInterrupt

    with preparation.listening(stop), pytest.raises(KeyboardInterrupt):
        read(tmp_path, paths)
    assert told == [("reading pictures", done, 300) for done in range(11)]
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(10)
            assert not thread.is_alive()
    assert len(begun) < 10 + picture_files.AHEAD, "what had not begun is dropped"


def test_progress_reaches_the_end_and_the_digest_follows_names_and_contents(tmp_path: Path) -> None:
    paths, told = draw(tmp_path / "a", 7), []

    def digest() -> str:
        with preparation.listening(lambda what, done, total: told.append(done)) as listener:
            read(tmp_path / "a", sorted((tmp_path / "a").iterdir()))
        return listener.sources[str(tmp_path / "a")]

    first = digest()
    assert told == list(range(8)) and digest() == first
    paths[3].rename(tmp_path / "a" / "x.png")
    renamed = digest()
    paths[4].write_bytes(paths[4].read_bytes() + b"1")
    assert len({first, renamed, digest()}) == 3


@pytest.mark.parametrize("reader", ["folder", "faces"])
def test_every_file_that_cannot_be_used_stands_in_the_table(tmp_path: Path, reader: str) -> None:
    draw(tmp_path / "a", 120), draw(tmp_path / "b", 120)
    wrong = [tmp_path / "a" / f"{index:03}.png" for index in range(0, 24, 2)]
    for path in wrong:
        path.write_bytes(b"\x1b[31m")
    with preparation.listening() as told, pytest.raises(Problem) as caught:
        folder.read(tmp_path, 12) if reader == "folder" else faces.read(str(tmp_path), 12)
    rows = [row for row in told.rows if row[0] == preparation.UNUSABLE]
    assert [row[3] for row in rows] == [f"a/{path.name} is neither a PNG nor a JPEG picture" for path in wrong]
    assert "; and 7 more. Fix or remove them. `dlwb check RECIPE --all" in str(caught.value)


def test_faces_pass_over_what_is_none_and_say_it(tmp_path: Path) -> None:
    draw(tmp_path / "a", 110)
    (tmp_path / "a" / "._000.png").write_bytes(b"\0\5\26\7")
    draw(tmp_path / "__MACOSX", 2)
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "a" / "000.png")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with preparation.listening() as told:
        data = faces.read(str(tmp_path), 12)
    assert len(data.train) + len(data.valid) + len(data.test) == 110
    assert told.rows[:3] == [
        ["links, which are not followed", "2 files", "", "a/link.png, b"],
        ["files that are neither PNG nor JPEG by their names", "1 file", "", "a/notes.txt"],
        ["hidden files, and those of other systems", "2 files", "", "._000.png, __MACOSX"],
    ]
    assert told.rows[3][1] == "110" and "held out for validation" in str(told.rows[3][2])


def test_an_animation_gives_its_first_frame_and_small_pictures_are_enlarged(tmp_path: Path) -> None:
    paths = draw(tmp_path, 3, side=6)
    frames = [Image.new("RGB", (30, 20), (shade, 0, 0)) for shade in (250, 0)]
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    with preparation.listening() as told:
        squares = read(tmp_path, [*paths, tmp_path / "moving.png"])
        squares.tell()
    assert squares.pixels[3, 0, 0].tolist() == [250, 0, 0]
    assert told.rows == [
        ["size of the pictures", "6x6 to 30x20 pixels", "the middle square, 12x12; 3 smaller ones are enlarged", ""],
        ["animated pictures", "1 of 4", "the first frame of each", "their other frames"],
    ]
