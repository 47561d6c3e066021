"""What a model may take of this machine: a graph that somebody sent may ask for any memory, and may never come to its end."""

import atexit
import contextlib
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from workbench.encoding.model_folder import ModelFolder
from workbench.problems import Problem

T = TypeVar("T")
ROOM = 4 << 30
"""Bytes of memory for the libraries and a batch, beside the model itself."""
COPIES = 4
"""Of a model's files in memory at most, while it is loaded."""
SECONDS = 120.0
"""Until a model that a person waits for is open, or has answered."""


@contextlib.contextmanager
def memory(folder: ModelFolder) -> Iterator[None]:
    """Bound this process's memory meanwhile. A model that its own project answers has no bound: it is this person's own run."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = ROOM + COPIES * sum(sealed.size for sealed in folder.model.files.values())
    if folder.model.kind != "project" and (before[0] == resource.RLIM_INFINITY or limit < before[0]):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def interruptible(work: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """What `work` returns or raises; Ctrl-C ends the wait, as Python hears no signal while a library's own code runs.

    Raises Problem after so many seconds. The thread goes on until the process ends.
    """
    done: list[Any] = []

    def tried() -> None:
        try:
            done.append((work(), None))
        except BaseException as error:
            done.append((None, error))

    thread = threading.Thread(target=tried, daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    except KeyboardInterrupt:
        atexit.register(_end, 130)
        raise
    if not done:
        atexit.register(_end, 1)
        raise Problem(f"{what} was not done after {seconds:.0f} seconds.", "The model may never come to an end.", "data")
    [(result, error)] = done
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _end(code: int) -> None:
    # A thread that is in a library's code when the interpreter ends would abort the process, with a word of C++ for the person.
    sys.stdout.flush()
    os._exit(code)
