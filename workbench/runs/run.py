"""Run directories: what lies where in one, a list of them, and how one is found. The shell and the terminal program begin here."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

from workbench import files, paths
from workbench.problems import Problem, one_line
from workbench.recipes import renamed_projects
from workbench.recipes.find import project_source
from workbench.recipes.recipe import Recipe
from workbench.runs.directory import Directory, read_recipe


class Run(Directory):
    """One run directory."""

    @property
    def stem(self) -> str:
        """The recipe's file name without its ending."""
        # 2026-11-29_120000_name, or 2026-11-29_120000_name~2 for a second one in the same second.
        return self.id.split("_", 2)[-1].partition("~")[0]

    @property
    def events(self) -> Path:
        """The log: the only truth about the run."""
        return self.path / "events.jsonl"

    @property
    def output(self) -> Path:
        """What it printed."""
        return self.path / "output.log"

    @property
    def control(self) -> Path:
        """What people asked of it, a command a line."""
        return self.path / "control.jsonl"

    @property
    def project_copy(self) -> Path:
        """The source that trained it."""
        return self.path / "project.py"

    def refuse_odd_files(self) -> None:
        """Problem where one of its files is a link, a pipe, a device or a folder: a start would write into it, or wait for ever."""
        named = (self.path / "recipe.yaml", self.project_copy, self.events, self.output, self.lock, self.control, self.path / "exit.json")
        for file in named:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISREG(os.lstat(file).st_mode):
                    raise Problem(
                        f"{file.name} of {self.id} is not a plain file, so it was not started.", "Remove it: a start makes a new one."
                    )
        for folder in (self.path / "artifacts", self.path / "checkpoints"):
            if os.path.lexists(folder) and not stat.S_ISDIR(os.lstat(folder).st_mode):
                raise Problem(
                    f"{folder.name} of {self.id} is not a folder, so it was not started.", "Put the folder itself there, not a link."
                )

    def recipe(self) -> Recipe:
        """Its recipe, every default filled in; live changes are in the log."""
        # A run keeps the names that its project and its settings had when it was started.
        return read_recipe(self.path / "recipe.yaml", renamed_projects.current)

    def about(self) -> dict[str, Any]:
        """Where it came from: recipe file, its folder, mirror, versions."""
        return files.read_object(self.path / "run.json")

    def changed_code(self) -> list[str]:
        """The files that its numbers depend on whose code is not what trained it; a person's own project is the run's copy.

        Runs of version 0.1 noted no more than the project's own file.
        """
        from workbench.recipes import closure  # a list of runs does not need it

        name = "project.py"
        try:
            name = self.recipe().project
            own = name.endswith(".py")
            file = self.project_copy if own else project_source(name)
            about = self.about()
            if "code" not in about:
                return [] if own or closure.same_alone(file, self.project_copy) else [f"projects/{name}.py"]
            now = closure.closure(file)
            if now.hash == about["code"]:
                return []
            before = about.get("files")
            return closure.changed(before if isinstance(before, dict) else {}, now.files) or [file.name]
        except Problem:
            return [name]


def list_runs() -> list[Run]:
    """All runs, newest first."""
    try:
        names = os.listdir(paths.runs())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise files.problem(str(paths.runs()), "read", error, paths.runs()) from error
    # What was not named by `create` might do anything to a terminal.
    runs = [Run(paths.runs() / name) for name in sorted(names, reverse=True) if name.isprintable() and not name.startswith(".")]
    return [run for run in runs if os.path.exists(run.path / "recipe.yaml")]  # noqa: PTH110 - Path.exists raises for a folder that may not be read


LEAST = 4
"""Characters of a run's id that are enough for a verb that ends something."""


def find_run(
    reference: str,
    among: list[Run] | None = None,
    none: str = "There is no run",
    hint: str = "`dlwb runs` lists them.",
    *,
    ends: str = "",
) -> Run:
    """The run of that id, of a part of one that is unique, `last`, or a recipe's newest run; of all runs, or `among` these.

    `ends`: the verb that removes something or ends it. A slip of the finger must not name a run for it, so a part of an id is then at
    least `LEAST` characters long.
    """
    runs = list_runs() if among is None else among
    if reference == "last" and runs:
        return runs[0]
    exact = [run for run in runs if run.id == reference or str(run.path) == reference.rstrip("/")]
    if exact:
        return exact[0]
    # Before the parts of an id: a name such as digits-mlp is also a part of what digits-mlp-small is called.
    same_recipe = [run for run in runs if run.stem == reference]
    if same_recipe:
        return same_recipe[0]
    matches = [run for run in runs if reference and reference in run.id]
    if len(matches) == 1:
        if ends and len(reference) < LEAST:
            raise Problem(
                f"{one_line(reference)} is too little of a name to {ends} {matches[0].id} by.",
                f"Give at least {LEAST} characters of its id, all of it, its recipe's name, or `last`.",
            )
        return matches[0]
    if matches:
        raise Problem(
            f"{one_line(reference)} may be any of {len(matches)} runs: {', '.join(run.id for run in matches[:4])} …",
            "Give more of its name.",
        )
    raise Problem(f"{none} {one_line(reference)}.", hint)
