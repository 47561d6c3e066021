"""What goes wrong with files is said of the file that a person knows, with advice that helps; a closed home hides nothing but itself."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_runs import alive, ended, make_run

from workbench import files, paths, preferences
from workbench.launch import start
from workbench.problems import Problem
from workbench.recipes import copy_recipe, trust
from workbench.recipes.find import find_recipe, shipped_and_own
from workbench.recipes.index import Index
from workbench.recipes.load import load_recipe
from workbench.runs import notes, trash
from workbench.runs.run import Run, list_runs


def _copy() -> object:
    return copy_recipe.copy("mine", "digits-mlp")


def _copy_with_code() -> object:
    return copy_recipe.copy("mine", "digits-mlp", project=True)


def _prefer() -> object:
    return preferences.put("theme", "dark")


def _start() -> object:
    return start.create(load_recipe(find_recipe("digits-mlp")), "cpu")


def _note() -> object:
    return notes.note(make_run(), "a note")


def _trust() -> object:
    return trust.trust(paths.shipped("recipes").parent / "workbench" / "files.py")


WRITERS: list[tuple[Callable[[], object], str]] = [
    (_copy, "mine.yaml"),
    (_copy_with_code, "mine.py"),
    (_prefer, "preferences.json"),
    (_start, "The run directory"),
    (_note, "The notes of"),
    (_trust, "trusted.json"),
]


@pytest.mark.parametrize(("write", "names"), WRITERS)
@pytest.mark.parametrize(
    ("number", "says"), [(errno.ENOSPC, "Free some space"), (errno.EROFS, "can only be read: mount it for writing, or set DLWB_HOME")]
)
def test_the_file_is_named_and_the_advice_helps(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[], object], names: str, number: int, says: str
) -> None:
    """The error of a write names no file, as the system's own does not."""

    class Failing:
        """An opened file into which nothing can be written."""

        def __init__(self, file: int) -> None:
            self.file = file

        def __enter__(self) -> "Failing":
            return self

        def __exit__(self, *_: object) -> None:
            os.close(self.file)

        def fileno(self) -> int:
            return self.file

        def write(self, _: bytes) -> int:
            raise OSError(number, os.strerror(number))

    real = os.fdopen
    monkeypatch.setattr(files.os, "fdopen", lambda file, mode="r", *more: Failing(file) if "w" in mode else real(file, mode, *more))
    with pytest.raises(Problem) as caught:
        write()
    message = str(caught.value)
    assert names in caught.value.message and os.strerror(number) in message and says in caught.value.hint, message
    assert "None" not in message and ".part" not in message and "Errno" not in message
    assert ("Free" in message) == (number == errno.ENOSPC)


@pytest.fixture
def as_nobody(tmp_path: Path) -> Iterator[None]:
    """For root, to whom nothing is closed: another user meanwhile."""
    if os.geteuid():
        yield
        return
    for folder in [tmp_path, *list(tmp_path.parents)[:2]]:
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_closed_home_hides_no_shipped_recipe(home: Path, as_nobody: None) -> None:
    before = [path for path in shipped_and_own() if path.is_relative_to(paths.shipped("recipes"))]
    privileged = os.geteuid() != os.getuid()
    if privileged:
        os.seteuid(0)
    (home / "recipes").mkdir(parents=True)
    home.chmod(0)
    if privileged:
        os.seteuid(65534)
    assert shipped_and_own() == before and len(before) > 30
    index = Index()
    for path in before:
        assert load_recipe(path, describe=False).recipe == index.load(path).recipe
    index.keep()
    assert find_recipe("digits-mlp") in before
    assert preferences.get("theme") == "auto"
    for attempt in (_prefer, _copy, _start, list_runs):
        with pytest.raises(Problem, match="Permission denied") as caught:
            attempt()
        assert "set DLWB_HOME" in caught.value.hint and "Free" not in caught.value.hint, str(caught.value)


def _finished() -> Run:
    run = make_run()
    ended(run, "finished", "steps")
    return run


def _failed() -> Run:
    run = make_run()
    ended(run, "failed", "memory")
    return run


@pytest.mark.parametrize(
    ("made", "verb", "says"),
    [
        (_finished, "kill", "is not running (finished), so it cannot be killed."),
        (_finished, "stop", "is not running (finished), so it cannot be stopped."),
        (_finished, "pause", "is not running (finished), so it cannot be paused."),
        (_failed, "kill", "is not running (failed), so it cannot be killed."),
        (_failed, "sample", "is not running (failed), so it cannot show a sample. `dlwb resume"),
        (_failed, "set", "is not running (failed), so it cannot be changed. `dlwb resume"),
        (_failed, "checkpoint", "is not running (failed), so it cannot save a checkpoint. `dlwb resume"),
        (make_run, "kill", "was never started, so it cannot be killed."),
        (make_run, "pause", "was never started, so it cannot be paused. `dlwb resume"),
    ],
)
def test_what_an_ended_run_cannot_do_is_said_in_english_words(made: Callable[[], Run], verb: str, says: str) -> None:
    run = made()
    with pytest.raises(Problem) as caught:
        start.command(run, verb)
    assert str(caught.value).startswith(f"{run.id} {says}") and (str(caught.value).endswith(says) or "resume" in says)


def test_a_run_in_a_queue_says_what_it_waits_for() -> None:
    run = make_run()
    held = alive(run, "queued", message="waiting for cuda:0")
    with pytest.raises(Problem, match=r"is waiting for cuda:0, so it cannot be paused yet\. `dlwb wait"):
        start.command(run, "pause")
    held.release()


def test_a_run_that_is_about_to_start_takes_commands() -> None:
    """It holds its lock before its worker is there; the worker reads every command since the start."""
    run = make_run()
    held = alive(run, "queued", message="")
    command = start.command(run, "pause")
    assert command in run.control.read_text()
    held.release()


def test_a_folder_that_is_removed_while_a_list_looks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from workbench.cli import follow
    from workbench.runs import index
    from workbench.runs import run as runs

    one, other = _finished(), make_run(stamp="2026-11-22_000000")
    listed = runs.list_runs()
    shutil.rmtree(one.path)
    looks = index.look_at(listed)
    assert [look.run for look in looks] == [one, other] and looks[0].state.message == "Its directory is gone."
    follow.output(one, to_its_end=False)
    assert follow.follow(one, to_its_end=False) == 0
    with pytest.raises(Problem, match=r"recipe\.yaml"):
        one.recipe()
    with pytest.raises(Problem, match="cannot be deleted: No such file"):
        trash.delete(one)
