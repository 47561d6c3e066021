"""Logs written by hand for tests: each event at a wall time and a clock that the test chooses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from made_runs import make_run

from workbench import events
from workbench.events import Event, Scalars, Status
from workbench.runs.run import Run


def log(folder: Path, lines: Sequence[tuple[float, float, Event]]) -> None:
    """Append events, each with its wall time and its clock."""
    data = b"" if (folder / "events.jsonl").exists() else events.version_line()
    for time, clock, event in lines:
        event.time, event.clock = time, clock
        data += events.encode(event)
    with (folder / "events.jsonl").open("ab") as file:
        file.write(data)


def state(name: str, attempt: int = 1, **more: Any) -> Status:
    return Status(state=name, attempt=attempt, **more)


def step(number: int) -> Scalars:
    return Scalars({"train/loss": 1.0}, step=number, epoch=0.1)


def trained(
    hours: float, device: str = "cuda:0 NVIDIA H200", *, began: float, stem: str = "mnist-mlp", stamp: str = "2026-11-20_100000"
) -> Run:
    """A run that trained for so long, and finished."""
    run = make_run(stem, stamp=stamp)
    seconds = hours * 3600
    lines = [
        (began, 50.0, state("running", from_step=-1, device=device, steps=100)),
        (began + seconds, 50.0 + seconds, step(100)),
        (began + seconds, 50.0 + seconds, state("finished", cause="steps")),
    ]
    log(run.path, lines)
    return run
