"""What a script may give to `Run`, and what becomes of it: numbers of every library, odd keys and steps, events, pictures, settings."""

import argparse
import dataclasses
import io
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_scripts import environment, folded, run_script, script, steps
from PIL import Image

from workbench import Run as Own
from workbench import paths
from workbench.elsewhere import values, writer
from workbench.events import Curve, Images, Matrix, Scalars, Table, Text
from workbench.runs.export.formats import to_csv
from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of


def newest() -> Run:
    return list_runs()[0]


def of(own: Own) -> Run:
    assert own.path
    return Run(own.path)


def values_of(run: Run, tag: str) -> list[float]:
    return list(folded(run).series[tag].values)


@pytest.fixture
def own() -> Iterator[Own]:
    with Own("a test", {"rate": 0.1}) as run:
        yield run


def test_numbers_of_every_library_are_numbers(own: Own) -> None:
    own.log(
        {
            "float": 0.5,
            "int": 3,
            "bool": True,
            "large": 10**400,
            "numpy32": np.float32(0.25),
            "numpy0": np.array(7),
            "numpy1": np.array([8.0]),
            "torch": torch.tensor(2.5, requires_grad=True),
            "half": torch.tensor(1.5, dtype=torch.bfloat16),
            "nan": float("nan"),
            "inf": -math.inf,
            "none": None,
        },
        1,
    )
    own.finish()
    history = folded(newest())
    read = {tag: history.last(tag) for tag in history.series if not tag.startswith("system/")}
    assert math.isnan(read.pop("nan") or 0)
    assert read == {
        "float": 0.5,
        "int": 3,
        "bool": 1,
        "large": math.inf,
        "numpy32": 0.25,
        "numpy0": 7,
        "numpy1": 8,
        "torch": 2.5,
        "half": 1.5,
        "inf": -math.inf,
    }


def test_what_is_no_number_is_left_out_and_said_once(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    class Odd:
        def __float__(self) -> float:
            raise RuntimeError("no")

    for _ in range(3):
        own.log({"word": "3", "many": np.zeros(4), "odd": Odd(), "tensor": torch.zeros(2), "good": 1.0})
    own.finish()
    said = capsys.readouterr().err
    assert [said.count(f"{key} is left out") for key in ("word", "many", "odd", "tensor")] == [1, 1, 1, 1]
    assert values_of(newest(), "good") == [1, 1, 1] and "word" not in folded(newest()).series


def test_odd_keys_are_cleaned(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    own.log({"train/\x1b[31mloss\n": 1.0, "": 2.0, "long " * 100: 3.0, "fine": 4.0}, 1)
    own.log({"train/\x1b[31mloss\n": 1.5, "": 2.0}, 2)
    own.finish()
    series = {tag for tag in folded(newest()).series if not tag.startswith("system/")}
    assert series == {"train/loss", "fine", ("long " * 100)[: values.KEY_LIMIT - 1].rstrip() + "…"}
    assert values_of(newest(), "train/loss") == [1, 1.5]
    said = capsys.readouterr().err
    assert said.count("its key is empty") == 1 and said.count("written as train/loss") == 1 and "\x1b" not in said


def test_steps_only_grow_by_key(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    own.log({"train/loss": 1.0}, 10)
    own.log({"valid/loss": 2.0}, 9)
    own.log({"train/loss": 3.0}, 9)
    own.log({"train/loss": 4.0, "valid/loss": 5.0}, np.int64(10))
    own.log({"train/loss": 6.0})
    own.log({"train/loss": 7.0}, torch.tensor(12))
    own.log({"train/loss": 8.0}, -1)
    own.log({"train/loss": 8.0}, 2**60)
    own.finish()
    assert values_of(newest(), "train/loss") == [1, 4, 6, 7] and steps(newest()) == [10, 10, 11, 12]
    assert steps(newest(), "valid/loss") == [9, 10]
    said = capsys.readouterr().err
    assert said.count("it comes after step 10") == 1 and said.count("a step is between 0 and 2^53") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda run: run.log(3.0),
        lambda run: run.log({3: 1.0}),
        lambda run: run.log({"loss": 1.0}, "five"),
        lambda run: run.log({"loss": 1.0}, 0.5),
        lambda run: run.log(Matrix(tag="m", values=[["a word"]])),
        lambda run: run.log(Text(tag=3, text="x")),  # type: ignore[arg-type]
        lambda run: run.image("digits", object()),
        lambda run: run.image("digits", b"GIF89a"),
        lambda run: Own(7),  # type: ignore[arg-type]
        lambda run: Own("x", 5),
    ],
)
def test_a_wrong_type_is_a_type_error_with_a_sentence(own: Own, wrong: Any) -> None:
    with pytest.raises(TypeError) as error:
        wrong(own)
    assert str(error.value).endswith(".") and len(str(error.value)) > 20
    own.log({"loss": 1.0})  # and it goes on


def test_events_are_copies_of_what_was_given(own: Own) -> None:
    table = np.eye(2, dtype=np.float32)
    own.log(Matrix(tag="valid/confusion", values=table, rows=["a", "b\x1b[1m"], columns=["a", "b"]), 3)  # type: ignore[arg-type]
    table[:] = 9
    own.log({"valid/roc": Curve(tag="", x=torch.arange(3), y=[0.0, float("nan"), 1.0])}, 3)  # type: ignore[arg-type]
    own.log({"train/loss": 1.0, "samples/said": Text(tag="", text="hello", prompt="say")}, 3)
    own.matrix("valid/small", torch.ones(2, 2), rows=["x", "y"])
    own.text("samples/more", "again", 4)
    own.log(Table(tag="valid/worst", columns=["word", "score"], rows=[["x", 1.5]]))
    own.log(Scalars({"train/other": 2.0}), 5)
    own.finish()
    samples = folded(newest()).samples
    matrix, curve, text = (samples[tag].latest for tag in ("valid/confusion", "valid/roc", "samples/said"))
    assert isinstance(matrix, Matrix) and matrix.values == [[1, 0], [0, 1]] and matrix.rows == ["a", "b"] and matrix.step == 3
    assert isinstance(curve, Curve) and curve.x == [0, 1, 2] and math.isnan(curve.y[1])
    assert isinstance(text, Text) and (text.text, text.prompt) == ("hello", "say")
    assert samples["valid/small"].latest.step == 3 and samples["samples/more"].latest.step == 4
    assert samples["valid/worst"].latest.step == 5
    assert folded(newest()).step == 5


class Figure:
    """Like matplotlib's."""

    def savefig(self, file: Any, format: str) -> None:
        assert format == "png"
        Image.new("RGB", (30, 20), "red").save(file, "PNG")


def png(size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("L", size).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("picture", "size", "columns"),
    [
        (png((9, 7)), (9, 7), 1),
        (Image.new("CMYK", (9, 7)), (9, 7), 1),
        (Figure(), (30, 20), 1),
        (np.random.default_rng(0).random((7, 9)), (9, 7), 1),
        (np.zeros((7, 9, 3), np.uint8), (9, 7), 1),
        (torch.rand(3, 7, 9), (9, 7), 1),
        (torch.rand(5, 1, 7, 9), (36, 14), 4),
        (np.full((5, 7, 9, 4), np.nan), (36, 14), 4),
        (np.arange(5 * 7 * 9).reshape(5, 7, 9) % 256, (36, 14), 4),
    ],
)
def test_pictures_come_in_every_usual_form(own: Own, picture: Any, size: tuple[int, int], columns: int) -> None:
    own.image("samples/digits", picture, 2, captions=["one"], columns=4)
    own.finish()
    event = folded(newest()).samples["samples/digits"].latest
    assert isinstance(event, Images) and event.columns == columns and event.captions == ["one"]
    assert Image.open(newest().path / event.file).size == size


def test_bytes_of_a_picture_keep_their_values(own: Own) -> None:
    pixels = np.array([[0, 255], [128, 7]], np.uint8)
    for number, form in enumerate((pixels, torch.from_numpy(pixels), pixels.astype(np.int64), pixels / 255)):
        own.image(f"samples/{number}", form, 1)
    own.finish()
    for samples in folded(newest()).samples.values():
        assert isinstance(samples.latest, Images)
        assert np.array_equal(np.asarray(Image.open(newest().path / samples.latest.file)), pixels)


def test_a_picture_of_a_wrong_shape_is_left_out_and_said(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    own.image("samples/digits", np.zeros((2, 3, 4, 5, 6)), 1)
    own.log({"loss": 1.0})
    own.finish()
    assert "samples/digits is left out: an array of the shape (2, 3, 4, 5, 6)" in capsys.readouterr().err


@dataclasses.dataclass
class Nested:
    depth: int = 3
    name: str = "net"


def test_settings_come_from_what_scripts_have() -> None:
    given = {
        "rate": np.float32(0.5),
        "steps": np.int64(7),
        "net": Nested(),
        "sizes": (1, 2),
        "path": Path("/somewhere"),
        "deep": {"er": {"flag": True}},
        "odd\n": float("nan"),
        "array": np.zeros(500),
        "long": "x" * 1000,
        3: "three",
        "number like": "1e-3",
    }
    Own("settings", given).finish()
    config = newest().recipe().config
    assert config.pop("array").startswith("[0.") and len(config.pop("long")) == 300
    assert config == {
        "rate": 0.5,
        "steps": 7,
        "net.depth": 3,
        "net.name": "net",
        "sizes": [1, 2],
        "path": "/somewhere",
        "deep.er.flag": True,
        "odd": "nan",
        "3": "three",
        "number like": "1e-3",
    }
    for other in (argparse.Namespace(rate=1), Nested()):
        own = Own("again", other)
        own.finish()
        assert of(own).recipe().config == vars(other)


def test_too_many_settings_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    Own("many", {f"setting {number}": number for number in range(600)}).finish()
    assert "100 of its settings are not recorded" in capsys.readouterr().err and len(newest().recipe().config) == 500


def test_a_name_is_made_a_directory_s() -> None:
    """Never a recipe's, among whose runs it would count."""
    names = {
        "../../etc/pass wd\x1b[1m": "etc-pass-wd",
        "digits-mlp": "digits-mlp-script",
        "é~" * 100: ("é-" * 30).strip("-"),
        "": "__main__" if getattr(sys.modules["__main__"], "__file__", "") else "script",
    }
    for name, stem in names.items():
        own = Own(name)
        own.finish()
        assert of(own).stem == stem and of(own).path.parent == paths.runs()
        assert "\x1b" not in of(own).recipe().title


def test_a_run_is_alive_with_its_settings_meters_and_output(capfd: pytest.CaptureFixture[str]) -> None:
    own = Own("alive", steps=50)
    try:
        print("printed")
        own.log({"train/loss": 1.0}, 5)
        deadline = time.monotonic() + 60
        while "system/memory" not in folded(newest()).series or "train/loss" not in folded(newest()).series:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert state_of(newest()).state == "running" and folded(newest()).steps == 50
        assert newest().output.read_text() == "printed\n" and capfd.readouterr().out == "printed\n"
    finally:
        own.finish()
    print("after its end")
    assert state_of(newest()).state == "finished" and newest().output.read_text() == "printed\n"
    assert any("train/loss" in row for row in to_csv(newest()))


def test_two_runs_and_many_threads(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = Own("first"), Own("second")

    def work(number: int) -> None:
        for step in range(500):
            first.log({f"thread {number}": float(step)}, step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    [thread.start() for thread in threads]
    second.log({"train/loss": 2.0}, 1)
    [thread.join() for thread in threads]
    print("both")
    first.finish(), second.finish()
    assert all(steps(run, f"thread {number}") == list(range(500)) for run in list_runs()[1:] for number in range(4))
    assert [run.output.read_text() for run in list_runs()] == ["both\n", "both\n"] and steps(list_runs()[0]) == [1]


def test_after_its_end_nothing_is_recorded(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    own.finish()
    size = newest().events.stat().st_size
    for _ in range(3):
        own.log({"train/loss": 1.0})
        own.text("a", "b")
        own.image("a", np.zeros((2, 2)))
        own.plan(7)
    own.finish()
    assert newest().events.stat().st_size == size
    assert capsys.readouterr().err.count("nothing is recorded: it is over") == 1


def test_more_values_than_a_line_holds_are_several_lines(own: Own) -> None:
    own.log({f"value {number}": float(number) for number in range(3000)}, 1)
    own.finish()
    series = folded(newest()).series
    assert [series[f"value {number}"].values[0] for number in (0, 999, 2999)] == [0, 999, 2999]


def test_a_script_faster_than_its_disk_waits_and_loses_nothing(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.elsewhere.run.MOST", 50)
    monkeypatch.setattr(writer, "MOST", 50)
    for step in range(3000):
        own.log({"train/loss": 1.0}, step)
    own.finish()
    assert steps(newest()) == list(range(3000))


def test_a_script_that_logs_without_a_pause_is_heard_and_ends(own: Own) -> None:
    from workbench.launch import start

    start.stop(newest())
    deadline, step = time.monotonic() + 30, 0
    while not own.stopping:
        assert time.monotonic() < deadline
        own.log({"train/loss": 1.0}, step := step + 1)
    own.finish()
    assert steps(newest()) == list(range(1, step + 1))


# -- disks -------------------------------------------------------------------------------------------------------------------------------

LOGS = """
import sys, time
from workbench import Run
run = Run("disk")
for step in range(40):
    run.log({"train/loss": 1.0, "train/text": "x"}, step)
    run.image("samples/x", [[0.0, 1.0]] , step)
    time.sleep(0.01)
print("trained", run.id)
"""


@pytest.mark.parametrize("place", ["a file", "read only", "nowhere"])
def test_a_home_that_cannot_be_written_costs_one_sentence(tmp_path: Path, place: str) -> None:
    home = tmp_path / "closed"
    if place == "a file":
        home.write_text("")
    elif place == "read only":
        home = Path("/proc/dlwb")
    else:
        home = Path("/dev/null/x")
    words = [sys.executable, str(script(tmp_path, LOGS))]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(DLWB_HOME=str(home)), timeout=100)
    assert done.returncode == 0 and done.stdout == "trained \n"
    assert done.stderr.count("\n") == 2 and done.stderr.startswith("dlwb: this run is not recorded: ")
    assert "nothing is recorded: its directory cannot be written" in done.stderr


FULL = """
import os, sys, time
from pathlib import Path
from workbench import Run
run = Run("full")
run.log({"train/loss": 1.0}, 0)
time.sleep(0.6)
ballast = Path(os.environ["DLWB_HOME"]) / "ballast"
try:
    ballast.write_bytes(bytes(1 << 20))
except OSError:
    pass
for step in range(1, 2000):
    run.log({"train/loss": 1.0}, step)
time.sleep(0.6)
run.image("samples/x", __import__("random").randbytes(9000) and b"\\x89PNG\\r\\n\\x1a\\n" + __import__("random").randbytes(90000), 2000)
time.sleep(0.6)
if sys.argv[1] == "freed":
    ballast.unlink()
    time.sleep(1.5)
run.log({"train/loss": 2.0}, 2001)
print("trained")
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("freed", [True, False])
def test_on_a_full_disk_the_script_goes_on(tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, freed: bool) -> None:
    """Numbers wait in memory until there is room; what was never written is counted at the end."""
    monkeypatch.setenv("DLWB_HOME", str(small_disk))
    run, done = run_script(tmp_path, FULL, "freed" if freed else "full")
    assert "trained" in done.stdout and state_of(run).state == "finished"
    assert done.stderr.count("is full") == 1
    assert ("lines were lost" in done.stderr) == (not freed) or "1 lines" in done.stderr
    logged = steps(run)
    assert logged == ([*range(2000), 2001] if freed else sorted(set(logged)))


def test_its_directory_may_be_deleted(own: Own) -> None:
    import shutil

    own.log({"train/loss": 1.0})
    assert own.path
    shutil.rmtree(own.path)
    own.log({"train/loss": 1.0})
    own.image("samples/x", np.zeros((2, 2)))
    own.finish()
    assert not os.path.exists(own.path)  # noqa: PTH110


# -- what it costs ------------------------------------------------------------------------------------------------------------------------


def test_it_brings_nothing_heavy_into_a_script(tmp_path: Path) -> None:
    text = """
import sys
from workbench import Run
run = Run("light")
run.log({"train/loss": 1.0})
run.finish()
print(" ".join(sys.modules))
"""
    _, done = run_script(tmp_path, text)
    heavy = {"torch", "numpy", "PIL", "textual", "rich", "pydantic", "typer", "sklearn", "asyncio", "lightning", "transformers", "keras"}
    assert not heavy & set(done.stdout.split())


def test_it_starts_quickly(tmp_path: Path) -> None:
    """Within 100 ms of a processor where nothing else runs; ten times that here."""
    text = """
import time
began = time.process_time()
from workbench import Run
run = Run("quick")
print("took", time.process_time() - began)
"""
    _, done = run_script(tmp_path, text)
    assert float(done.stdout.split()[-1]) < 1.0


def test_a_call_costs_the_script_microseconds(own: Own) -> None:
    """5 µs where nothing else runs, see tests/bench/own_log.py; ten times that here."""
    took = []
    for step in range(3000):
        began = time.perf_counter()
        own.log({"train/loss": 0.5, "train/accuracy": 0.25}, step)
        took.append(time.perf_counter() - began)
    assert sorted(took)[len(took) // 2] < 50e-6


def test_importing_the_workbench_makes_no_run_and_knows_no_other_name() -> None:
    import workbench

    with pytest.raises(AttributeError, match="has no attribute 'Rum'"):
        workbench.Rum  # type: ignore[attr-defined]
    assert not list_runs()
