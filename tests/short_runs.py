"""Real runs of shipped recipes that need no data from outside, short enough for tests that export them."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from lines import ended

from workbench import events
from workbench.events import AnyEvent, Scalars
from workbench.launch import start
from workbench.runs.log import read_all
from workbench.runs.run import Run

XOR = ("train.steps=900", "train.log_every=0")
DIGITS = ("train.epochs=2", "train.evaluate_every=20", "train.sample_every=40")


@contextmanager
def in_home(folder: Path) -> Iterator[None]:
    """A home for fixtures that live longer than a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLWB_HOME", str(folder))
        yield


def short_run(stem: str, *settings: str) -> Run:
    run = start.start(stem, list(settings))
    assert ended(run).state == "finished", run.output.read_text()
    return run


def changed_run() -> Run:
    """XOR whose learning rate a person changes at step 121, and which chooses its own cadence of lines at step 50."""
    run = start.start("xor", list(XOR))
    for verb, request in (("pause", {}), ("step", {"steps": 120}), ("set", {"config.learning_rate": 0.5}), ("resume", {})):
        ok, message = start.answer(run, start.command(run, verb, request), steps=True)
        assert ok, message
    assert ended(run).state == "finished"
    return run


def copied(run: Run, folder: Path, change: Callable[[AnyEvent], AnyEvent] = lambda event: event, **about: object) -> Run:
    """The run in another folder, its events changed, and what run.json says of it."""
    copy = Run(folder / run.id)
    shutil.copytree(run.path, copy.path)
    lines = [events.encode(change(event)) for event in read_all(run.events)[0]]
    copy.events.write_bytes(events.version_line() + b"".join(lines))
    (copy.path / "run.json").write_text(json.dumps({**run.about(), **about}))
    return copy


def nudged(event: AnyEvent) -> AnyEvent:
    """One figure of step 100 with another last bit."""
    if isinstance(event, Scalars) and event.step == 100 and "valid/loss/all" in event.values:
        import math

        values = {**event.values, "valid/loss/all": math.nextafter(event.values["valid/loss/all"], 2)}
        return msgspec.structs.replace(event, values=values)
    return event


def paths_of_this_machine(*more: Path) -> list[str]:
    import sys

    import workbench

    return [str(path) for path in (*more, Path(sys.prefix), Path(workbench.__file__).parent.parent, Path.home())] + [
        os.environ["DLWB_HOME"]
    ]
