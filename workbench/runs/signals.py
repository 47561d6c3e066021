"""Signals for people who are away: what happened to a run, a file for each, which stays for a day."""

import contextlib
import os
import time
from pathlib import Path

import msgspec

from workbench import files, paths, preferences
from workbench.events import spelled
from workbench.problems import one_line

KEPT = 86_400.0
"""Seconds that a signal's file stays."""
LONGEST = 600
"""Characters of a signal's text."""
_SENT = ".sent"


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One thing worth telling somebody who is away."""

    what: str
    """One of `preferences.SIGNALS`, or `test`."""
    run: str
    """The id of the run, the comparison or the tuning."""
    recipe: str
    text: str
    """A sentence or two, which name the run."""
    time: float = 0.0
    figures: dict[str, float | str] = {}
    """Of a run they are added when it is sent: see `launch.notifying`."""


def give(signal: Signal) -> bool:
    """Keep a signal for whoever sends it and for open terminal programs; False for one that this person does not want.

    Whoever gives one starts `launch.notifying` after that. OSError where it cannot be written.
    """
    if signal.what not in preferences.words(preferences.get("notify.on")):
        return False
    folder = paths.signals()
    folder.mkdir(parents=True, exist_ok=True)
    _forget_old(folder)
    figures = spelled(signal.figures)
    stamped = msgspec.structs.replace(signal, time=time.time(), text=one_line(signal.text, LONGEST), figures=figures)
    files.write(folder / f"{time.time_ns():020}-{os.getpid()}", msgspec.json.encode(stamped), sync=False)
    return True


def unsent() -> list[tuple[Path, Signal]]:
    """The signals that wait to be sent, in their order."""
    return [(file, signal) for file in _listed() if file.suffix != _SENT and (signal := _read(file))]


def sent(file: Path) -> None:
    """Note that a signal was sent."""
    with contextlib.suppress(FileNotFoundError):
        file.rename(file.with_name(file.name + _SENT))


def since(stamp: int) -> list[tuple[int, Signal]]:
    """The signals that were given after a stamp (nanoseconds, as `time.time_ns`), each with its own stamp."""
    newer = [(_stamp(file), file) for file in _listed() if _stamp(file) > stamp]
    return [(number, signal) for number, file in newer if (signal := _read(file))]


def _listed() -> list[Path]:
    try:
        names = os.listdir(paths.signals())
    except OSError:
        return []
    return [paths.signals() / name for name in sorted(names) if name[:20].isdigit()]


def _stamp(file: Path) -> int:
    return int(file.name[:20])


def _read(file: Path) -> Signal | None:
    try:
        return msgspec.convert(files.read_object(file), Signal)
    except msgspec.ValidationError:
        return None


def _forget_old(folder: Path) -> None:
    old = time.time_ns() - int(KEPT * 1e9)
    for file in _listed():
        if _stamp(file) < old:
            with contextlib.suppress(OSError):
                file.unlink()
