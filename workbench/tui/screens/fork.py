"""The form of a fork: the settings that the run has at the checkpoint, which of them fit it in any case, and the start."""

from typing import Any

import msgspec
from textual.strip import Strip

from workbench.launch import forking
from workbench.problems import one_line
from workbench.recipes.load import Loaded
from workbench.runs import family
from workbench.runs.family import Branch
from workbench.runs.history import History
from workbench.runs.run import Run
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.models.recipe_form import RecipeForm
from workbench.tui.panels.rows import Row
from workbench.tui.screens.form import START, FormScreen

FITS, MAY, STAYS = "✓", "?", "–"
"""What stands beside a setting: it fits any checkpoint; only the start tells; it cannot change."""


class ForkForm(RecipeForm):
    """Every setting of a run, as it is at a checkpoint, with what a fork changes."""

    def __init__(self, loaded: Loaded, values: dict[str, Any]) -> None:
        """`values` are the live settings at the checkpoint."""
        self._live = loaded.schema.live if loaded.schema else []
        super().__init__(msgspec.structs.replace(loaded, recipe=_with(loaded, values)))
        self.before = "there"
        for field in self.fields.values():
            field.note, field.facts = (
                mark(field.name, self._live),
                ABOUT[mark(field.name, self._live)].format(why=forking.KEPT.get(field.name)),
            )

    def check(self) -> None:
        """As a recipe's; a setting that stays with its checkpoint may not change."""
        super().check()
        for field in self.fields.values():
            if field.changed and field.name in forking.KEPT:
                field.problem = f"cannot change at a checkpoint: {forking.KEPT[field.name]}"


ABOUT = {
    FITS: "It may change here: the checkpoint fits in any case.",
    MAY: "Whether the checkpoint fits another value, the start tells: one that does not is refused, and no run is made.",
    STAYS: "It cannot change here: {why}.",
}


def mark(name: str, live: list[str]) -> str:
    """Whether a setting may change at a checkpoint; `live` are the project's own live settings."""
    if name in forking.KEPT:
        return STAYS
    return FITS if forking.kind(name, live) == "live" or not name.startswith("config.") else MAY


def _with(loaded: Loaded, values: dict[str, Any]) -> Any:
    recipe = loaded.recipe
    own = {name.partition(".")[2]: value for name, value in values.items() if name.startswith("config.")}
    train = {name.partition(".")[2]: value for name, value in values.items() if name.startswith("train.")}
    return msgspec.structs.replace(recipe, config={**recipe.config, **own}, train=msgspec.structs.replace(recipe.train, **train))


LABELS = {"start": "fork", "reset": "as it was"}


class ForkScreen(FormScreen):
    """Opens from the choice of a checkpoint."""

    KEYS = tuple(key._replace(label=LABELS.get(key.name, key.label)) for key in FormScreen.KEYS)
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, run: Run, loaded: Loaded, history: History, branch: Branch, *, repeat: bool) -> None:
        super().__init__(loaded)
        self.run, self.branch, self.repeat = run, branch, repeat
        self.form = ForkForm(loaded, family.settings_at(history, branch.generation.step))

    @property
    def stem(self) -> str:
        return self.run.stem

    def _head(self, width: int) -> list[Strip]:
        changed = len(self.form.changes)
        text = f"{changed} change{'s' * (changed != 1)} " if changed else "nothing changed "
        title: list[strips.Part] = [(" Fork  ", palette.heading), (one_line(self.form.base.recipe.title), palette.bold)]
        lines = [strips.line(width, [*title, (f"  {self.run.id}", palette.faint)], [(text, palette.warn if changed else palette.dim)])]
        lines += strips.paragraph(f"from the {self.branch.words}", width, palette.plain, margin=1)
        legend = f"{FITS} fits   {MAY} the start tells whether it fits   {STAYS} cannot change here"
        lines += strips.paragraph(legend, width, palette.dim, margin=1)
        for warning, bad in self.outlook.warnings[:2]:
            lines += strips.paragraph(f"! {one_line(warning, 600)}", width, palette.bad if bad else palette.warn, "  ", margin=1)
        return [*lines, strips.line(width, [])]

    def _above(self, width: int, key: str) -> list[Row]:
        if count := len(self.form.problems):
            row = strips.line(width, [(f"  ✗ {count} setting{'s are' if count > 1 else ' is'} wrong", palette.bad)])
        else:
            row = strips.line(width, [("  ▶ Fork", palette.good), (" a new run goes on from there", palette.plain)])
        rest = strips.paragraph(one_line(self.form.fault, 600), width, palette.bad, margin=4) if self.form.fault else []
        return [Row(START, row), *(Row("", strip) for strip in rest)]

    def do_start(self) -> None:
        self.panel.close()
        if reason := self.refusal("start"):
            self.notify(reason, severity="warning", markup=False, timeout=6)
        else:
            changes = [f"{name}={text}" for name, text in self.form.changes.items()]
            self.services.fork(self.run, self.branch, changes, repeat=self.repeat)
