"""A resume after any damage of checkpoints/: from an earlier generation, and said; or refused before it starts; never silently from 0."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from lines import ended, start
from test_cli import dlwb

from workbench import events, files
from workbench.events import Answer, Scalars, Status
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.recipes.recipe import Train
from workbench.runs import resuming
from workbench.runs.checkpoint import Checkpoints, Generation
from workbench.runs.history import History
from workbench.runs.log import Tail
from workbench.runs.run import Run
from workbench.training.numpy_state import decode_npz, encode_npz

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 60 steps with several checkpoints, as it is after a stop; the tests damage copies of it."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DLWB_HOME", str(folder / "home"))
        run = start(folder, train="{steps: 60, batch_size: 20, log_every: 5, evaluate_every: 10, checkpoint_every: 20}")
        ended(run)
        (run.path / "exit.json").unlink()  # as if the machine went down: whatever was done before, it can be resumed
        # Its last lines too: a finished run is not resumed.
        lines = run.events.read_bytes().splitlines(keepends=True)
        run.events.write_bytes(b"".join(line for line in lines if b'"finished"' not in line))
        trust = folder / "home" / "trusted.json"
        shutil.copy(trust, folder / "trusted.json")
        return run.path


@pytest.fixture
def run(trained: Path, home: Path) -> Run:
    path = home / "runs" / trained.name
    shutil.copytree(trained, path)
    shutil.copy(trained.parents[2] / "trusted.json", home / "trusted.json")
    return Run(path)


def data(run: Run) -> list[Path]:
    return sorted(path for path in (run.path / "checkpoints").iterdir() if path.suffix != ".json")


def every(change: Callable[[Path], object], suffix: str = "") -> Callable[[Run], None]:
    """Do it with every file of checkpoints/ that has this suffix."""

    def damage(run: Run) -> None:
        for path in sorted((run.path / "checkpoints").iterdir()):
            if path.suffix == suffix or not suffix:
                change(path)

    return damage


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


def holed(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


def linked(path: Path) -> None:
    away = path.parents[1] / f"away-{path.name}"
    path.rename(away)
    path.symlink_to(away)


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def forged(run: Run) -> None:
    """Whole notes and right hashes, of something that is no checkpoint."""
    for path in data(run):
        path.write_bytes(b"no checkpoint")
        note = Generation(file=path.name, step=int(path.stem[5:13]), sha256=files_sha(path), time=0.0)
        path.with_suffix(".json").write_bytes(events.seal(msgspec.json.encode(note)))


def files_sha(path: Path) -> str:
    import hashlib

    return hashlib.sha256(files.read_plain(path)).hexdigest()


def folder_gone(run: Run) -> None:
    shutil.rmtree(run.path / "checkpoints")


def folder_is_a_file(run: Run) -> None:
    folder_gone(run)
    (run.path / "checkpoints").touch()


def folder_is_a_pipe(run: Run) -> None:
    folder_gone(run)
    os.mkfifo(run.path / "checkpoints")


def folder_is_a_link(run: Run) -> None:
    (run.path / "checkpoints").rename(run.path / "elsewhere")
    (run.path / "checkpoints").symlink_to("elsewhere")


def exchanged(run: Run) -> None:
    """Each data file has the content of another generation."""
    contents = [path.read_bytes() for path in data(run)]
    for path, content in zip(data(run), [*contents[1:], contents[0]], strict=True):
        path.write_bytes(content)


LOSSES: dict[str, tuple[Callable[[Run], None], str]] = {
    "all files gone": (every(Path.unlink), "Its checkpoints are gone"),
    "all notes gone": (every(Path.unlink, ".json"), "The notes of its checkpoints are gone: step-"),
    "all data gone": (every(Path.unlink, ".npz"), "All its checkpoints are damaged: step-"),
    "all files empty": (every(emptied), "are damaged: step-"),
    "all notes empty": (every(emptied, ".json"), "are damaged: step-"),
    "all data cut": (every(halved, ".npz"), "are damaged: step-"),
    "all notes cut": (every(halved, ".json"), "are damaged: step-"),
    "a bit in each note": (every(flipped, ".json"), "are damaged: step-"),
    "a bit in each data file": (every(flipped, ".npz"), "are damaged: step-"),
    "all data a hole of terabytes": (every(holed, ".npz"), "are damaged: step-"),
    "all notes a hole of terabytes": (every(holed, ".json"), "are damaged: step-"),
    "all data links": (every(linked, ".npz"), "are damaged: step-"),
    "all files pipes": (every(piped), "are damaged: step-"),
    "data exchanged": (exchanged, "are damaged: step-"),
    "the folder gone": (folder_gone, "checkpoints cannot be read: No such file"),
    "the folder a file": (folder_is_a_file, r"checkpoints of \S+ is not a folder"),
    "the folder a pipe": (folder_is_a_pipe, r"checkpoints of \S+ is not a folder"),
    "the folder a link": (folder_is_a_link, r"checkpoints of \S+ is not a folder"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_where_all_are_lost_it_is_refused_before_it_starts_and_nothing_is_deleted(run: Run, loss: str) -> None:
    damage, says = LOSSES[loss]
    damage(run)
    before = sorted(path.name for path in (run.path / "checkpoints").glob("*")), run.events.read_bytes()
    with pytest.raises(Problem, match=says) as caught:
        launch.launch(run)
    assert run.id in str(caught.value) and ("dlwb run line" in caught.value.hint or "folder" in caught.value.hint)
    assert before == (sorted(path.name for path in (run.path / "checkpoints").glob("*")), run.events.read_bytes())


@pytest.mark.parametrize("change", [emptied, halved, flipped, holed, piped, linked, Path.unlink])
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_from_the_generation_before_and_said_by_name(run: Run, change: Callable[[Path], object], suffix: str) -> None:
    *_, before, newest = Checkpoints(run.path / "checkpoints").generations()
    damaged = (run.path / "checkpoints" / newest.file).with_suffix(suffix)
    change(damaged)
    remark = resuming.look(run)
    if change is Path.unlink and suffix == ".json":
        assert remark == ""  # data without a note is what a death leaves between both
    else:
        assert damaged.name in remark and f"from the checkpoint of step {before.step}" in remark
    found = Checkpoints(run.path / "checkpoints").newest(decode_npz)
    assert found and found[0] == before


def test_a_resume_goes_on_from_the_earlier_one_and_its_log_and_the_shell_say_so(run: Run) -> None:
    *_, before, newest = Checkpoints(run.path / "checkpoints").generations()
    flipped(run.path / "checkpoints" / newest.file)
    done = dlwb("resume", run.id)
    assert done.returncode == 0 and f"{newest.file}; it goes on from the checkpoint of step {before.step}" in done.stderr, done.stderr
    ended(run)
    history = History()
    history.fold(Tail(run.events).read())
    assert history.status.state == "finished" and newest.file in history.warning
    assert [status.from_step for status in history.statuses if status.state == "running"][-1] == before.step


def test_what_has_the_right_hash_and_cannot_be_decoded_is_damaged_too(run: Run) -> None:
    forged(run)
    launch.launch(run)
    state = ended(run)
    assert state.state == "failed" and "All its checkpoints are damaged" in state.message, state
    history = History()
    history.fold(Tail(run.events).read())
    assert history.step >= 40, "nothing of its log is dropped"


def test_before_its_first_checkpoint_it_begins_again_and_says_so(run: Run) -> None:
    every(Path.unlink)(run)
    lines = run.events.read_bytes().splitlines(keepends=True)
    run.events.write_bytes(
        b"".join(line for line in lines if events.decode(events.whole(line.rstrip()) or b"x") is None or _step(line) < 20)
    )
    assert resuming.look(run) == f"{run.id} has no checkpoint yet, so it begins again at step 0."
    done = dlwb("resume", run.id)
    assert done.returncode == 0 and "begins again at step 0" in done.stderr, done.stderr
    assert ended(run).state == "finished"


def _step(line: bytes) -> int:
    event = events.decode(events.whole(line.rstrip()) or b"")
    return event.step if isinstance(event, events.Event) else 0


def lines(*clocks: float) -> list[events.AnyEvent]:
    return [Status(state="running"), *(Scalars({"train/loss": 1.0}, step=step, clock=clock) for step, clock in enumerate(clocks, 1))]


@pytest.mark.parametrize(
    ("log", "train", "saved"),
    [
        ([], Train(steps=9), False),
        (lines(1, 2, 3), Train(steps=9), False),
        (lines(1, 2, 7), Train(steps=9), False),  # it may have died while it saved
        (lines(1, 2, 7, 8), Train(steps=9), True),
        (lines(1, 2, 3), Train(steps=9, checkpoint_every=3), False),
        (lines(1, 2, 3, 4), Train(steps=9, checkpoint_every=3), True),
        ([*lines(1), Status(state="paused", step=1)], Train(steps=9), True),
        ([*lines(1), Status(state="stopped", cause="person", step=1)], Train(steps=9), True),
        ([*lines(1), Status(state="stopped", cause="killed", step=1)], Train(steps=9), False),
        ([*lines(1), Status(state="stopped", cause="sigterm")], Train(steps=9), False),
        ([*lines(1), Status(state="running", attempt=2, from_step=-1)], Train(steps=9), False),
        ([*lines(1), Status(state="running", attempt=2, from_step=4)], Train(steps=9), True),
        ([*lines(1), Answer(command="c", message="kept: step 1")], Train(steps=9), True),
    ],
)
def test_a_log_tells_whether_there_was_a_checkpoint(log: list[events.AnyEvent], train: Train, saved: bool) -> None:
    assert resuming.has_saved(log, train) is saved


def test_a_note_without_a_length_is_one_of_version_0_1(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    made = checkpoints.save(encode_npz({"step": 7, "weights": np.zeros(3)}), ".npz", step=7)
    old = msgspec.structs.replace(made, bytes=0)
    (tmp_path / "step-00000007.json").write_bytes(events.seal(msgspec.json.encode(old)))
    assert Checkpoints(tmp_path).newest(decode_npz)
    with (tmp_path / made.file).open("ab") as file:
        file.truncate(1 << 33)
    with pytest.raises(Problem, match="All its checkpoints are damaged"):
        Checkpoints(tmp_path).newest(decode_npz)


def test_a_folder_that_was_moved_away_while_it_trains_is_made_again(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(b"data", ".npz", step=1)
    shutil.rmtree(tmp_path / "checkpoints")
    checkpoints.save(b"data", ".npz", step=2)
    assert [generation.step for generation in checkpoints.generations()] == [2]


def test_a_cleaning_keeps_what_a_resume_needs_where_the_newest_is_damaged(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    made = [checkpoints.save(encode_npz({"step": step}), ".npz", step=step, best=step in (1, 2)) for step in (1, 2, 3, 4)]
    assert checkpoints.spare() == [made[2]]
    flipped(tmp_path / made[3].file)
    for generation in checkpoints.spare():
        checkpoints.drop(generation)
    assert Checkpoints(tmp_path).generations() == [made[1], made[2]]
    for generation in (made[1], made[2]):
        halved(tmp_path / generation.file)
    assert Checkpoints(tmp_path).spare() == [], "where all are damaged, nothing is removed"
