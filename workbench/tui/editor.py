"""A person's own editor, which takes the terminal for as long as it is open."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from workbench.problems import Problem, one_line
from workbench.tui.drawing.frame_diff import Frame

USUAL = ("nano", "vi")
"""Editors to try where neither variable is set: nano shows its keys, vi is everywhere."""


def command() -> list[str]:
    """The command of $VISUAL, else of $EDITOR, else a usual editor. Raises Problem where there is none."""
    for name in ("VISUAL", "EDITOR"):
        setting = os.environ.get(name, "")
        try:
            # A setting may have arguments: EDITOR="code --wait".
            words = shlex.split(setting)
        except ValueError:
            raise Problem(f"${name} cannot be read: {one_line(setting, 80)}.", "A quote in it is not closed.") from None
        if words:
            if not shutil.which(words[0]):
                raise Problem(f"${name} names {one_line(words[0], 80)}, which is not installed.", "Set it to an editor that is installed.")
            return words
    program = next(filter(None, map(shutil.which, USUAL)), None)
    if not program:
        raise Problem("No editor is set, and none is found.", "Set one before you start dlwb: export EDITOR=nano")
    return [program]


def edit(app: App[Any], frame: Frame, path: Path) -> None:
    """Open the file and wait until the editor is closed. Raises Problem where the editor cannot start, or fails."""
    words = command()
    try:
        with app.suspend():
            done = subprocess.run([*words, str(path)], check=False)
    except SuspendNotSupported:
        raise Problem("dlwb cannot open an editor in this terminal.", f"Edit {path} yourself; dlwb reads it again.") from None
    except OSError as error:
        raise Problem(f"{one_line(words[0], 80)} cannot be started: {error.strerror}.") from None
    finally:
        # The editor drew over everything: what the frame remembers is no longer on the terminal.
        frame.forget()
        app.screen.refresh()
    if done.returncode:
        raise Problem(f"{one_line(words[0], 80)} ended with exit code {done.returncode}.")
