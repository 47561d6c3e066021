"""Data that changed between stop and resume is named before weights are loaded; --anyway goes on; old runs resume as before."""

import hashlib
import signal
from pathlib import Path

import pytest
from lines import LINE, LONG, SLOW, at_step, ended, folded, send, start

from workbench import preparation
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.run import Run
from workbench.training.sources import Sources, changes

pytestmark = pytest.mark.usefixtures("nothing_is_left")

READS = """
    def build_data(self):
        from pathlib import Path
        from workbench.preparation import source_file
        for path in sorted(Path({folder!r}).iterdir()):
            source_file(path)
        self.build_rest()

    def build_rest(self):
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a.csv", "b.csv"):
        (data / name).write_text(f"1,2,{name}\n")
    return data


def stopped(tmp_path: Path, folder: Path) -> Run:
    """A run of a project that reads the folder, stopped after some steps."""
    source = LINE.replace("    def build_data(self):\n", READS.format(folder=str(folder)).lstrip("\n"), 1)
    run = start(tmp_path / "own", SLOW, LONG, source=source)
    at_step(run, 20)
    launch.stop(run)
    assert ended(run).cause == "person"
    return run


CHANGES = {
    "content": (lambda data: (data / "a.csv").write_text("1,3\n"), "{data}/a.csv has other content"),
    "one byte more": (lambda data: (data / "a.csv").write_text("1,2,a.csv\n\n"), "{data}/a.csv has other content"),
    "gone": (lambda data: (data / "b.csv").unlink(), "{data}/b.csv is gone"),
    "new": (lambda data: (data / "c.csv").write_text("9"), "{data}/c.csv is new"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_is_named_before_a_step_is_trained(tmp_path: Path, folder: Path, kind: str) -> None:
    run = stopped(tmp_path, folder)
    step = folded(run).step
    change, words = CHANGES[kind]
    change(folder)
    launch.launch(run)
    state = ended(run)
    assert (state.state, state.cause) == ("failed", "data")
    assert state.message == f"The data of {run.id} has changed since it was trained: {words.format(data=folder)}."
    assert f"dlwb resume --anyway {run.id}" in state.hint
    assert folded(run).step == step
    assert not [status for status in folded(run).statuses if (status.state, status.attempt) == ("running", 2)]
    # With a person's leave it goes on, says so in its log, and takes the data as it is now for its own.
    launch.launch(run, anyway=True)
    at_step(run, step + 10)
    assert [mark.text for mark in folded(run).marks if "data" in mark.text] == [f"goes on with other data: {words.format(data=folder)}"]
    launch.stop(run)
    ended(run)
    step = folded(run).step
    launch.launch(run)
    at_step(run, step + 5)
    assert folded(run).step >= step + 5


def test_the_same_data_and_a_file_that_was_only_touched_or_renamed_resume(tmp_path: Path, folder: Path) -> None:
    run = stopped(tmp_path, folder)
    (folder / "b.csv").rename(folder / "z.csv")
    (folder / "a.csv").write_text((folder / "a.csv").read_text())
    step = folded(run).step
    launch.launch(run)
    at_step(run, step + 5)
    send(run, "worker", signal.SIGKILL)
    assert ended(run).cause == "signal" and folded(run).step >= step + 5


def test_a_run_of_an_older_version_resumes_as_before_and_has_digests_from_then_on(tmp_path: Path, folder: Path) -> None:
    run = stopped(tmp_path, folder)
    kept = (run.path / "sources.json").read_bytes()
    (run.path / "sources.json").unlink()
    (folder / "a.csv").write_text("other\n")
    step = folded(run).step
    launch.launch(run)
    at_step(run, step + 5)
    launch.stop(run)
    assert ended(run).cause == "person"
    assert (run.path / "sources.json").read_bytes() != kept


def test_without_weights_it_begins_anew_with_the_data_as_it_is(home: Path) -> None:
    run = Run(home / "runs" / "2026-01-01_000000_x")
    (run.path / "checkpoints").mkdir(parents=True)
    assert Sources(run, anyway=False).check({"a": "1"}) == ""
    assert Sources(run, anyway=False).check({"a": "2"}) == ""
    assert b'"2"' in (run.path / "sources.json").read_bytes()


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"a": 3}', b"\xff\xfe", b'{"a": "1"'])
def test_digests_that_cannot_be_read_count_as_those_of_an_older_version(home: Path, damage: bytes) -> None:
    run = Run(home / "runs" / "2026-01-01_000000_x")
    (run.path / "checkpoints").mkdir(parents=True)
    (run.path / "sources.json").write_bytes(damage)
    Checkpoints(run.path / "checkpoints").save(b"weights", ".npz", step=1)
    assert Sources(run, anyway=False).check({"a": "2"}) == ""


def test_what_a_sentence_says_of_many_and_of_foreign_names() -> None:
    before = {f"{number}.csv": str(number) for number in range(9)}
    now = {name: f"other {digest}" for name, digest in before.items()}
    assert len(changes(before, now)) == 9
    assert changes({"x": "1"}, {"y": "1"}) == [] == changes(before, before)
    [said] = changes({"\x1b]52;c;AA\x07evil\u202e": "1"}, {})
    assert said == "evil<U+202E> is gone"


def test_a_file_of_ones_own_and_a_file_of_the_catalogue_are_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.csv"
    file.write_bytes(b"1,2\n")
    with preparation.listening() as told:
        preparation.source_file(file)
    assert told.sources == {str(file): hashlib.sha256(b"1,2\n").hexdigest()}


def test_other_content_is_refused_as_soon_as_it_is_read_and_not_after_its_features_are_computed(home: Path) -> None:
    run = Run(home / "runs" / "2026-01-01_000000_x")
    (run.path / "checkpoints").mkdir(parents=True)
    Checkpoints(run.path / "checkpoints").save(b"weights", ".npz", step=1)
    Sources(run, anyway=False).check({"a": "1", "b": "1"})
    reached = []
    with pytest.raises(Problem, match="a has other content"), preparation.listening(met=Sources(run, anyway=False).met):
        preparation.source("c", "3")
        preparation.source("b", "1")
        preparation.source("a", "2")
        reached.append("features")
    assert not reached
    with preparation.listening(met=Sources(run, anyway=True).met) as told:
        preparation.source("a", "2")
    assert Sources(run, anyway=True).check(told.sources) == "a has other content; b is gone"
