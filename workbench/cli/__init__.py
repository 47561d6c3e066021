"""The shell: `dlwb` alone opens the terminal program; its commands do the same work from scripts."""

import gc
import io
import os
import sys

from workbench.problems import Problem, clean

COMPLETE = "_DLWB_COMPLETE"
"""The completion script of a shell sets it: `complete_bash`, `complete_zsh` or `complete_fish`."""


def main() -> None:
    """Entry point of `dlwb`. A Problem prints its sentence on stderr and exits with code 1; a person never sees a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a character that the terminal's encoding lacks must not end the program
    try:
        if instruction := os.environ.get(COMPLETE):
            # Each branch imports only what it needs: completion must answer at once, and `--version` must not load Textual.
            from workbench.cli import complete

            complete.answer(instruction)
        elif len(sys.argv) == 1:
            gc.disable()  # imports make no garbage, and collections would delay the first paint; `warm_up` enables the collector again
            from workbench.tui.app import run

            run()
            return
        else:
            from workbench.cli import commands

            commands.shell()()
        if sys.stdout is not None:
            # A full disk or a closed pipe is caught here; at the interpreter's exit it would print a traceback. None: closed by `>&-`.
            sys.stdout.flush()
    except Problem as problem:
        _fail(problem.message, problem.hint)
    except BrokenPipeError:
        # The reader of our results has ended (`dlwb runs | head`). Without stdout Python does not try to flush it again at exit.
        sys.stdout = None
        sys.exit(0)
    except KeyboardInterrupt:
        # 128 + SIGINT, as shells report it.
        sys.exit(130)
    except OSError as error:
        # A full or read-only disk, a file without permission: a traceback would not help.
        from workbench import files

        described = files.problem(str(error.filename or "A file"), "used", error)
        _fail(described.message, described.hint)


def _fail(*sentences: str) -> None:
    for sentence in filter(None, sentences):
        print(clean(sentence), file=sys.stderr)
    sys.exit(1)
