"""`python -m workbench.training.preview_data DATA [SETTINGS]` prints what a data set, or a person's own file or folder, holds.

The first line is `{"ok", "title"}`, and each line after it an event, or `{"ok", "doing"}` while it reads. SETTINGS is the JSON of
`preview.Own`. The list of data sets shows the lines, and `dlwb check --all` prints what was found.
"""

import json
import os
import sys
import time
import traceback
from typing import Any

import msgspec

from workbench import preparation
from workbench.events import Table, spelled
from workbench.problems import Problem, one_line

EVERY = 0.25
"""Seconds between two lines that say how far the reading is."""


def preview(reference: str, settings: str = "{}") -> int:
    """Print it line by line; what goes wrong is the last line."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a reader prints must not stand between the lines

    def put(reply: dict[str, Any]) -> None:
        print(json.dumps(reply), file=out)

    told_at = time.monotonic()

    def advance(what: str, done: int, total: int) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= EVERY:
            told_at = time.monotonic()
            put({"ok": True, "doing": f"{what}: {done * 100 // total} %"})

    with preparation.listening(advance) as told:
        try:
            from workbench.training.preview import Own, look, title

            put({"ok": True, "title": title(reference)})
            for event in look(reference, msgspec.json.decode(settings, type=Own)):
                print(msgspec.json.encode(spelled(msgspec.to_builtins(event))).decode(), file=out)
            problem = None
        except Exception as error:
            if not isinstance(error, Problem):
                traceback.print_exc()
            problem = error if isinstance(error, Problem) else Problem(f"{type(error).__name__}: {one_line(str(error))}.")
    if told.rows:
        # All rows, where a run's log keeps the first ones: no limit of the log's lines holds here.
        table = Table(tag=preparation.TAG, columns=preparation.COLUMNS, rows=told.rows)
        print(msgspec.json.encode(spelled(msgspec.to_builtins(table))).decode(), file=out)
    if problem:
        put({"ok": False, "message": problem.message, "hint": problem.hint})
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(preview(*sys.argv[1:]))
