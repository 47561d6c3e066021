"""A real small run with one of every file, and what somebody may put in place of each: pipes, devices, links, folders, sockets, holes."""

import atexit
import contextlib
import io
import json
import os
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from made_runs import RECIPE, alive, finish, make_run

from workbench import events, paths
from workbench.cli import follow
from workbench.events import Scalars, Text
from workbench.problems import Problem
from workbench.recipes.recipe import dump_recipe
from workbench.runs import compare, disk_use, index, notes, resuming, trash
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.export import formats
from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of
from workbench.training.numpy_state import decode_npz, encode_npz
from workbench.tui.models.library import Library
from workbench.tui.models.run_feed import Feed
from workbench.tui.panels.console import Console
from workbench.tui.screens.run import RunScreen

SECRET = "what is nobody's business"
PATIENCE = 20
"""Seconds that one look may take on a busy machine."""
PLAIN = ["recipe.yaml", "events.jsonl", "output.log", "lock", "control.jsonl", "exit.json", "run.json", "notes.json", "summary.json"]
PLAIN += ["project.py", "artifacts/000001.png", "checkpoints/step-00000020.npz", "checkpoints/step-00000020.json"]
FOLDERS = ["artifacts", "checkpoints"]


def a_run(stamp: str = "2026-11-23_015358") -> Run:
    """An ended run with every file that a run can have."""
    run = Run(paths.runs() / f"{stamp}_digits-mlp")
    if _template:
        shutil.copytree(_template[0], run.path)
        return run
    finish(make_run(stamp=stamp), 20)
    alive(run).release()
    (run.path / "exit.json").write_text(json.dumps({"state": "stopped", "cause": "person", "attempt": 1}))
    (run.path / "run.json").write_text(json.dumps({"recipe": "/somewhere/digits-mlp.yaml", "versions": {}}))
    (run.path / "project.py").write_text("a = 1\n")
    run.output.write_text("a first line\nand a second\n")
    notes.note(run, "a note")
    (run.path / "checkpoints").mkdir()
    checkpoints = Checkpoints(run.path / "checkpoints")
    for step in (10, 20):
        checkpoints.save(encode_npz({"step": step, "weights": np.full(3, float(step))}), ".npz", step=step, best=step == 10)
    index.look_at([run])
    place = tempfile.mkdtemp(prefix="dlwb-odd-")
    atexit.register(shutil.rmtree, place)
    _template.append(Path(shutil.copytree(run.path, Path(place) / "run")))
    return run


_template: list[Path] = []
"""The first such run, which the others are copies of: pictures take long to make."""


def outside(name: str) -> bytes:
    """What such a file would hold that leads a reader to show the secret."""
    if name == "events.jsonl":
        return events.version_line() + events.encode(Text(tag="sample/text", text=SECRET)) + events.encode(Scalars({"train/loss": 1.0}))
    if name == "recipe.yaml":
        return dump_recipe(RECIPE).replace("Handwritten digits", SECRET).encode()
    if name.endswith(".json"):
        return json.dumps({"note": SECRET, "tags": [SECRET], "message": SECRET, "cause": "error", "state": "failed", "attempt": 1}).encode()
    return SECRET.encode()


def _fifo(file: Path, elsewhere: Path) -> None:
    os.mkfifo(file)


def _device(file: Path, elsewhere: Path) -> None:
    # The one that never ends, as a node of its own; where that needs a right we lack, by a link.
    try:
        os.mknod(file, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        file.symlink_to("/dev/zero")


def _zero(file: Path, elsewhere: Path) -> None:
    file.symlink_to("/dev/zero")


def _link(file: Path, elsewhere: Path) -> None:
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / file.name).write_bytes(outside(file.name))
    file.symlink_to(elsewhere / file.name)


def _dangling(file: Path, elsewhere: Path) -> None:
    file.symlink_to(elsewhere / "nothing" / "there")


def _loop(file: Path, elsewhere: Path) -> None:
    file.symlink_to(file)


def _folder(file: Path, elsewhere: Path) -> None:
    file.mkdir()
    (file / "in it").touch()


def _socket(file: Path, elsewhere: Path) -> None:
    # By a short name: the path of a socket has at most 107 bytes.
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(file.parent):
        one.bind(file.name)


def _sparse(file: Path, elsewhere: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(1 << 40)


def _sparse_after(file: Path, elsewhere: Path) -> None:
    """A hole of a terabyte behind what there was."""
    with file.open("wb") as opened:
        opened.write(outside("output.log").replace(SECRET.encode(), b"line\n"))
        opened.truncate(1 << 40)


def _empty(file: Path, elsewhere: Path) -> None:
    file.touch()


def _gone(file: Path, elsewhere: Path) -> None:
    pass


KINDS: dict[str, Callable[[Path, Path], None]] = {
    "fifo": _fifo,
    "device": _device,
    "link to /dev/zero": _zero,
    "link to a file outside": _link,
    "dangling link": _dangling,
    "link to itself": _loop,
    "folder": _folder,
    "socket": _socket,
    "sparse": _sparse,
    "sparse after a line": _sparse_after,
    "empty": _empty,
    "gone": _gone,
}


def put(kind: str, file: Path, elsewhere: Path) -> None:
    """Put a thing of that kind in place of the file, or of the folder."""
    shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink(missing_ok=True)
    KINDS[kind](file, elsewhere)


@contextlib.contextmanager
def in_time(what: str) -> Iterator[None]:
    """AssertionError where it hangs."""

    def over(*_: object) -> None:
        raise AssertionError(f"{what} takes longer than {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def looks(run: Run, other: Run, out: Path) -> dict[str, Callable[[], object]]:
    """Everything that reads a run: the shell's commands, what a resume looks at, and the terminal program's models."""

    def library() -> object:
        shown = Library()
        list(shown.refresh())
        return [(entry.title, entry.state, entry.summary, entry.notes) for entry in shown.entries.values()]

    def feed() -> object:
        one = Feed(run)
        while one.read() or not one.caught_up:
            pass
        RunScreen(one)
        return one.history.samples, one.problem

    def console() -> object:
        one = Console(run.output)
        one.read()
        return one.lines(80)

    def exported(form: str) -> Callable[[], object]:
        return lambda: formats.save(run, form, out / f"a.{form}").read_text()

    def spare() -> object:
        with disk_use.spare_checkpoints([run]) as checkpoints:
            return [checkpoint.generation for checkpoint in checkpoints]

    def resume() -> object:
        run.refuse_odd_files()
        return resuming.look(run), run.changed_code(), Checkpoints(run.path / "checkpoints").best(decode_npz)

    return {
        "runs": lambda: index.look_at(list_runs()),
        "runs again": lambda: index.look_at(list_runs()),
        "logs": lambda: follow.output(run, False),
        "events": lambda: follow.follow(run, True, to_its_end=False),
        **{form: exported(form) for form in ("html", "csv", "json")},
        "tensorboard": lambda: formats.to_tensorboard(run, out / "board"),
        "compare": lambda: compare.figures(sides := compare.sides([run, other])) and compare.differing(sides),
        "state": lambda: (state_of(run), state_of(run).words),
        "notes": lambda: notes.read(run),
        "tag": lambda: notes.tag(run, ["good"]),
        "resume": resume,
        "spare": spare,
        "use": lambda: disk_use.use(run),
        "library": library,
        "feed": feed,
        "console": console,
        "delete and restore": lambda: (trash.delete(run), trash.restore()),
    }


def look_at_all(run: Run, other: Run, out: Path) -> list[str]:
    """Do it all; what was refused. Anything but a Problem, a hang and the secret in what was read is an AssertionError."""
    refused = []
    out.mkdir(exist_ok=True)
    for name, look in looks(run, other, out).items():
        said = io.StringIO()
        try:
            with in_time(name), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                said.write(repr(look()))
        except Problem as problem:
            said.write(str(problem))
            refused.append(f"{name}: {problem}")
        except AssertionError:
            raise
        except BaseException as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
        assert SECRET not in said.getvalue(), f"{name} shows what lies outside"
    return refused
