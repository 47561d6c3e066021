"""`python -m workbench.training.preview_data DATA` prints what a data set of the catalogue, or a person's own file or folder, holds.

The first line is `{"ok", "title"}`, and each line after it an event. The list of data sets shows them.
"""

import json
import os
import sys
import traceback

import msgspec

from workbench.events import spelled
from workbench.problems import Problem, one_line


def preview(reference: str) -> int:
    """Print it line by line; what goes wrong is the last line."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a reader prints must not stand between the lines
    try:
        from workbench.training.preview import look, title

        print(json.dumps({"ok": True, "title": title(reference)}), file=out)
        for event in look(reference):
            print(msgspec.json.encode(spelled(msgspec.to_builtins(event))).decode(), file=out)
    except Exception as error:
        if not isinstance(error, Problem):
            traceback.print_exc()
        problem = error if isinstance(error, Problem) else Problem(f"{type(error).__name__}: {one_line(str(error))}.")
        print(json.dumps({"ok": False, "message": problem.message, "hint": problem.hint}), file=out)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(preview(sys.argv[1]))
