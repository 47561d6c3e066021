"""The directory of a run that dlwb's worker does not train: the same files as any run's, with a recipe in name only."""

import contextlib
import json
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench import __version__, files, paths
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe, Train, dump_recipe
from workbench.runs import directory, lock
from workbench.runs.ending import process
from workbench.runs.own import PROJECT
from workbench.runs.run import Run

SOURCE_LIMIT = 1 << 20
"""Most bytes of a script of which the run keeps a copy."""


def make(
    name: str,
    config: dict[str, Any],
    steps: int,
    script: Path | None,
    command: Sequence[str],
    project: str = PROJECT,
    more: Mapping[str, Any] = {},
) -> Run:
    """A new run directory; nothing runs in it yet. `more` is noted in run.json. Problem where it cannot be made."""
    began = time.time()
    with directory.new(paths.runs(), f"{time.strftime('%Y-%m-%d_%H%M%S')}_{_stem(name)}", "The run directory") as path:
        (path / "artifacts").mkdir()
        about = {
            "command": list(command),
            "folder": _working_folder(),
            "created": began,
            "script": str(script.absolute()) if script else "",
            "versions": {"python": platform.python_version(), "dlwb": __version__},
            **more,
        }
        (path / "run.json").write_text(json.dumps(about, ensure_ascii=True))
        (path / "control.jsonl").touch()
        if script:
            with contextlib.suppress(OSError):  # it may be gone, or be closed to us: the run lives without it
                (path / "project.py").write_bytes(files.read_plain(script, SOURCE_LIMIT, follow=True))
        run = Run(path)
        # Written last: a directory counts as a run once it has a recipe.
        write_recipe(run, name, config, steps, project)
    return run


def write_recipe(run: Run, name: str, config: dict[str, Any], steps: int, project: str = PROJECT) -> None:
    """Say in its recipe what it is called and with which settings it runs."""
    words = shlex.join(map(str, run.about().get("command") or []))
    recipe = Recipe(title=one_line(name, 200), about=one_line(words), project=project, config=config, train=Train(steps=steps))
    files.write(run.path / "recipe.yaml", dump_recipe(recipe).encode("utf-8", "replace"), sync=False)


def settings_of(run: Run) -> Recipe:
    """Its recipe, or an empty one where it is damaged."""
    try:
        return run.recipe()
    except Problem:
        return Recipe(title=run.stem, project=PROJECT)


def holder(attempt: int = 1, **more: Any) -> dict[str, Any]:
    """What the lock says about the process that holds it; `own` tells those who name its end that it is a script's."""
    me = process(os.getpid())
    return {"host": lock.host(), "boot": lock.boot_id(), "attempt": attempt, "parent": me, "own": True, **more}


def script_of(words: Sequence[str]) -> Path | None:
    """The Python file in a command; None where it has none."""
    return next((Path(word) for word in words if word.endswith(".py") and os.path.isfile(word)), None)  # noqa: PTH113


def this_script() -> Path | None:
    """The file that this process runs; None in a notebook or an interactive session."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file) if file and file.endswith(".py") else None


def _stem(name: str) -> str:
    """The name as a part of a directory's name; never that of a recipe, whose results this run's would count among."""
    stem = re.sub(r"[^\w.-]+", "-", one_line(name, 200))[:60].strip("-.") or "run"
    # A name has 255 bytes, and a letter up to four.
    taken = any(next(folder.rglob(f"{stem}.yaml"), None) for folder in paths.recipe_folders())
    return f"{stem}-script" if taken else stem


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return ""
