"""Copies what a script prints to its run's output.log, and prints it as before. Only `write` of the two streams is replaced."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from workbench.runs.ending import Output

_outputs: list[Output] = []
"""Of the runs of this process that are not over."""
_replaced: list[tuple[Any, Callable[[str], Any]]] = []
"""The streams, and what stands in the place of their `write`."""


def copy_to(output: Output) -> None:
    """Copy what is printed from now on."""
    _outputs.append(output)
    if not _replaced:
        for stream in (sys.stdout, sys.stderr):
            # A stream that takes no attribute, or none at all as under pythonw, is left alone: its output is not copied.
            with contextlib.suppress(AttributeError, TypeError):
                write = _copying(stream.write)
                stream.write = write  # type: ignore[method-assign]
                _replaced.append((stream, write))


def end(output: Output) -> None:
    """Copy nothing more to it."""
    if output not in _outputs:
        return
    _outputs.remove(output)
    if not _outputs:
        for stream, write in _replaced:
            # Where another library has replaced it since, its function still calls ours, which then copies nothing.
            if vars(stream).get("write") is write:
                del stream.write
        _replaced.clear()
    output.close()


def _copying(write: Callable[[str], Any]) -> Callable[[str], Any]:
    def copy(text: str) -> Any:
        written = write(text)
        for output in list(_outputs):
            # At once: what was printed before a kill is what tells about it.
            with contextlib.suppress(Exception):
                output.write(text.encode("utf-8", "replace"))
        return written

    return copy
