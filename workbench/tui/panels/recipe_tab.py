"""The resolved recipe of a run: every setting, its live changes, and its differences from the recipe's file."""

from typing import Any

from rich.cells import cell_len
from textual.strip import Strip

from workbench import formatting
from workbench.problems import Problem, one_line
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Recipe
from workbench.runs import own
from workbench.runs.history import History
from workbench.runs.run import Run
from workbench.tui.drawing import palette, strips
from workbench.tui.models import requests
from workbench.tui.models.recipe_form import written
from workbench.tui.panels.lines import Lines

SECTIONS = ("config", "train", "compute")


class RecipeTab(Lines):
    """`follow` gives it the run's history, for the live changes."""

    def __init__(self, run: Run, recipe: Recipe) -> None:
        super().__init__(name="recipe")
        self.run = run
        self.recipe = recipe
        self._history = History()
        self._file: dict[str, Any] | None = None
        self._helps: dict[str, str] = {}

    def on_mount(self) -> None:
        self._file = in_file(self.run)
        self._helps = helps(self.run, self.recipe)
        self.rebuild()

    def follow(self, history: History) -> None:
        """Draw it again with the changes of this history."""
        self._history = history
        self.rebuild()

    def lines(self, width: int) -> list[Strip]:
        return recipe_lines(self.recipe, self._history, self._file, self._helps, width - 1)


def in_file(run: Run) -> dict[str, Any] | None:
    """The settings in the run's recipe file now, with defaults; None where the file can no longer be read."""
    try:
        return requests.settings(load_recipe(str(run.about().get("recipe") or ""), describe=False).recipe)
    except (Problem, OSError, ValueError):
        return None


def helps(run: Run, recipe: Recipe) -> dict[str, str]:
    """The description of each setting, by its dotted name."""
    project = requests.project_schema(run, recipe)
    schema = requests.settings_schema(project.config if project else {})
    return {name: one_line(str(definition.get("description", "")), 200) for name, definition in schema["properties"].items()}


def recipe_lines(recipe: Recipe, history: History, file: dict[str, Any] | None, helps: dict[str, str], width: int) -> list[Strip]:
    """The whole panel for a width."""
    at_start = requests.settings(recipe)
    changed = {name: mark for mark in history.marks for name in mark.settings}
    now = history.settings()
    names = max(cell_len(name.partition(".")[2]) for name in at_start) + 2
    lines: list[Strip] = []
    head = [("project", recipe.project), ("seed", written(recipe.seed)), ("from", one_line(str(recipe.title), 80))]
    sections: tuple[str, ...] = SECTIONS
    if own.is_own(recipe):
        # It knows nothing of the rest, which only stands in the file because every recipe has it.
        head, sections = (
            [("project", recipe.project), ("command", one_line(recipe.about)), ("name", one_line(recipe.title, 80))],
            ("config",),
        )
    for name, text in head:
        differs = name == "seed" and file is not None and file["seed"] != recipe.seed
        note = [(f"  the file has {written(file['seed'])}", palette.warn)] if differs and file else []
        lines.append(strips.line(width, [(strips.fit(name, names), palette.dim), (text, palette.plain), *note]))
    for section in sections:
        lines += [strips.line(width, []), strips.line(width, [(section, palette.bold)])]
        for full, value in at_start.items():
            if full.partition(".")[0] != section:
                continue
            name = full.partition(".")[2]
            parts: list[strips.Part] = [(strips.fit(name, names), palette.dim)]
            mark = changed.get(full)
            look = palette.accent if mark and mark.command else palette.dim
            shown = written(now[full] if mark else value)
            parts.append((shown, look if mark and mark.command else palette.plain))
            if mark:
                parts.append((f"  was {written(value)} until step {formatting.count(mark.step)}", look))
            if file is not None and full in file and file[full] != value and not _resolved(full, file[full]):
                parts.append((f"  the file has {written(file[full])}", palette.warn))
            used = sum(cell_len(text) for text, _ in parts)
            text = helps.get(full, "")
            right = [(text, palette.faint)] if text and len(parts) == 2 and used + cell_len(text) + 3 <= width else []
            lines.append(strips.line(width, parts, right))
    return lines


def _resolved(name: str, value: Any) -> bool:
    """Whether the file leaves this setting to the start of each run: then another value is not a difference."""
    return (name == "compute.device" and value == "auto") or (name in ("train.log_every", "compute.threads") and value == 0)
