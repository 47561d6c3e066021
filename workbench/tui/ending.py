"""How the terminal program ends when nobody quits it: the report of a mistake, and a terminal that hangs up."""

import importlib.metadata
import os
import platform
import select
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TextIO

from workbench import paths
from workbench.problems import Problem, clean

GRACE = 2.0
"""Seconds for the main thread to give the terminal back after it hung up."""


def need_terminal() -> None:
    """Raises Problem where there is no terminal to draw on and to read keys from."""
    if not (_is_terminal(sys.__stdin__) and _is_terminal(sys.__stderr__)):
        raise Problem("dlwb alone opens the terminal program, and this is no terminal.", "`dlwb --help` lists the commands for scripts.")


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def report(error: BaseException) -> str:
    """Write down an exception that nobody caught; returns the sentence that a person sees."""
    error = getattr(error, "error", error)  # Textual wraps the exception of a worker
    versions = f"dlwb {importlib.metadata.version('dlwb')}, Textual {importlib.metadata.version('textual')}"
    machine = f"Python {platform.python_version()}, {platform.platform()}, {time.strftime('%Y-%m-%d %H:%M:%S')}"
    text = clean(f"{versions}, {machine}\n\n{''.join(traceback.format_exception(error))}")
    sentence = "dlwb ended by a mistake of its own, while runs go on"
    for folder in (paths.home() / "reports", Path(tempfile.gettempdir())):
        file = folder / f"dlwb-{time.strftime('%Y-%m-%d_%H%M%S')}-{os.getpid()}.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # "x": in a folder that everybody may write to, the name may be a link of somebody else.
            with file.open("x", encoding="utf-8") as opened:
                opened.write(text)
        except OSError:
            continue
        return f"{sentence}; the report is in {clean(str(file))}"
    return f"{sentence}, and no report can be written: {clean(f'{type(error).__name__}: {error}')}"


def end_with_terminal() -> None:
    """End the program when the terminal hangs up. Runs in a thread.

    Without a controlling terminal no SIGHUP comes, and Textual would read an empty answer in an endless loop.
    """
    hangup = select.poll()
    # No event mask: POLLHUP and POLLERR are always reported, input is not.
    hangup.register(0, 0)
    hangup.poll()
    os.kill(os.getpid(), signal.SIGHUP)  # the driver's handler ends the process, in the main thread
    time.sleep(GRACE)
    os._exit(128 + signal.SIGHUP)  # reached where SIGHUP is ignored, or the main thread waits for the terminal
