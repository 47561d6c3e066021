"""What a start would come to, as lines above the form: which recipe, how long, how much memory, what speaks against it. Pure."""

from textual.strip import Strip

from workbench import estimate
from workbench.problems import one_line
from workbench.tui import palette, strips
from workbench.tui.outlook import Machine, Outlook
from workbench.tui.recipe_form import RecipeForm

WARNINGS = 4
"""Warnings that are shown at once."""


def head(form: RecipeForm, outlook: Outlook, machine: Machine, width: int) -> list[Strip]:
    """Which recipe, how long and how much memory, and what speaks against a start."""
    changed = len(form.changes)
    count = f"{changed} change{'s' * (changed != 1)} " if changed else "as in the recipe "
    title: list[strips.Part] = [(" Start  ", palette.heading), (one_line(form.base.recipe.title), palette.bold)]
    lines = [
        strips.line(width, [*title, (f"  {form.base.stem}", palette.accent)], [(f"  {count}", palette.warn if changed else palette.dim)])
    ]
    time, memory = estimate.told(outlook.estimate, "" if changed else form.base.stem)
    for label, text in (("time", time), ("memory", memory)):
        lines.append(strips.line(width, [(strips.fit(f" {label}", 9), palette.faint), (text, palette.plain)]))
    if not machine.whole and len(machine.devices) > 1:
        lines.append(strips.line(width, [(" asking torch whether it can use the GPU …", palette.dim)]))
    for text, bad in outlook.warnings[:WARNINGS]:
        lines += strips.paragraph(f"! {one_line(text, 600)}", width, palette.bad if bad else palette.warn, "  ", margin=1)
    if form.base.unchecked:
        lines += strips.paragraph(f"! {form.base.unchecked[:1].upper()}{form.base.unchecked[1:]}.", width, palette.warn, "  ", margin=1)
    return [*lines, strips.line(width, [])]


def start(form: RecipeForm, outlook: Outlook, here: bool, width: int) -> list[Strip]:
    """The first row: start, on which device; or how much is wrong. Under it what is wrong with no setting, or what Enter does."""
    if form.problems:
        count = len(form.problems)
        row = strips.line(width, [(f"  ✗ {count} setting{'s are' if count > 1 else ' is'} wrong", palette.bad)])
    else:
        name = outlook.device.name if outlook.device.name != "cpu" else "the CPU"
        row = strips.line(width, [("  ▶ Start", palette.good), (f" on {name}", palette.plain)])
    if form.fault:
        return [row, *strips.paragraph(one_line(form.fault, 600), width, palette.bad, margin=4)]
    hint = "Enter starts it with the settings below. Esc leaves; nothing has been started."
    return [row, *(strips.paragraph(hint, width, palette.dim, margin=4) if here else [])]
