"""A person's own editor, in place of the terminal program for as long as it is open."""

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
"""Taken where neither variable is set."""


def command() -> list[str]:
    """What $VISUAL, else $EDITOR says, else a usual editor. Raises Problem where there is none."""
    for name in ("VISUAL", "EDITOR"):
        setting = os.environ.get(name, "")
        try:
            words = shlex.split(setting)
        except ValueError:
            raise Problem(f"${name} cannot be read: {one_line(setting, 80)}.", "It has a quote that is not closed.") from None
        if words:
            if not shutil.which(words[0]):
                raise Problem(f"${name} names {one_line(words[0], 80)}, which is not there.", "Set it to an editor that is installed.")
            return words
    program = next(filter(None, map(shutil.which, USUAL)), None)
    if not program:
        raise Problem("No editor is known.", "Set one before dlwb is started: export EDITOR=nano")
    return [program]


def edit(app: App[Any], frame: Frame, path: Path) -> None:
    """Open the file and wait until the editor is closed. Raises Problem where it cannot be opened, or ends in failure."""
    words = command()
    try:
        with app.suspend():
            done = subprocess.run([*words, str(path)], check=False)
    except SuspendNotSupported:
        raise Problem("This terminal cannot be lent to an editor.", f"Edit {path} yourself; dlwb reads it again.") from None
    except OSError as error:
        raise Problem(f"{one_line(words[0], 80)} cannot be started: {error.strerror}.") from None
    finally:
        frame.forget()
        app.screen.refresh()
    if done.returncode:
        raise Problem(f"{one_line(words[0], 80)} ended with {done.returncode}.")
