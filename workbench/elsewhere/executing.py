"""Starts any command as a run: `dlwb exec -- python train.py`. The command needs to know nothing of dlwb."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.elsewhere import folder
from workbench.launch import logind
from workbench.problems import Problem, one_line
from workbench.runs.run import Run

HINT = "Give what you would type in the shell: dlwb exec -- python train.py"


def start(command: Sequence[str], name: str = "") -> Run:
    """Start a command in the background, from this folder and with this environment. Problem where it cannot be started."""
    if not command or not command[0]:
        raise Problem("There is no command.", HINT)
    if shutil.which(command[0]) is None:
        why = "is a file that cannot be executed" if os.path.isfile(command[0]) else "is no command here"  # noqa: PTH113
        raise Problem(f"{one_line(command[0], 200)} {why}.", HINT)
    missing = next((word for word in command[1:2] if word.endswith(".py") and not os.path.exists(word)), "")  # noqa: PTH110
    if missing:
        raise Problem(f"{one_line(missing, 200)} does not exist.", HINT)
    script = folder.script_of(command)
    run = folder.make(name or (script or Path(command[0])).stem, {}, 0, script, command)
    words = [sys.executable, "-P", "-m", "workbench.elsewhere.keeper", str(run.path.absolute())]
    done = logind.call(words, dict(os.environ))
    if done.returncode:
        raise Problem(f"{run.id} could not be started: {one_line(done.stderr.strip().rpartition(chr(10))[2]) or done.returncode}.")
    return run
