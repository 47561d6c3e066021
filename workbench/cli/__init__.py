"""The shell: `dlwb` alone opens the terminal program; its commands do the same from scripts."""

import gc
import io
import os
import sys

from workbench.problems import Problem, clean

COMPLETE = "_DLWB_COMPLETE"
"""Set by the script that a shell completes with: `complete_bash`, `complete_zsh` or `complete_fish`."""


def main() -> None:
    """Entry point of `dlwb`. A Problem ends it with exit code 1 and its sentence on stderr; no traceback reaches a person."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a sign is no reason to fail
    try:
        if instruction := os.environ.get(COMPLETE):
            from workbench.cli import complete

            complete.answer(instruction)
        elif len(sys.argv) == 1:
            gc.disable()  # nothing that is being imported is garbage; the program turns it on again once its list is painted
            from workbench.tui.app import run

            run()
            return
        else:
            from workbench.cli import commands

            commands.shell()()
        if sys.stdout is not None:
            sys.stdout.flush()
    except Problem as problem:
        _fail(problem.message, problem.hint)
    except BrokenPipeError:
        # Whoever read our results has gone (`dlwb runs | head`); nothing is left to say.
        sys.stdout = None
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        # Full or read-only disks, files that may not be read: nothing that a traceback would help with.
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")


def _fail(*sentences: str) -> None:
    for sentence in filter(None, sentences):
        print(clean(sentence), file=sys.stderr)
    sys.exit(1)
