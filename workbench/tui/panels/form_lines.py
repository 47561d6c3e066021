"""What stands on the form: the outlook above, a line for each setting, a few lines about the one under the cursor. Pure."""

from textual.strip import Strip

from workbench.launch import estimate
from workbench.problems import one_line
from workbench.tui.drawing import palette, strips
from workbench.tui.models.draft import DEVICE, Draft, Field
from workbench.tui.models.preflight import Machine, Outlook, described

NAME = 24
WARNINGS = 4
"""Warnings that are shown at once."""


def head(draft: Draft, found: Outlook, machine: Machine, width: int) -> list[Strip]:
    """Which recipe, how long and how much memory, and what speaks against a start."""
    changed = len(draft.changes)
    count = f"{changed} change{'s' * (changed != 1)} " if changed else "as in the recipe "
    title: list[strips.Part] = [(" Start  ", palette.heading), (one_line(draft.base.recipe.title), palette.bold)]
    lines = [
        strips.line(width, [*title, (f"  {draft.base.stem}", palette.accent)], [(f"  {count}", palette.warn if changed else palette.dim)])
    ]
    time, memory = estimate.told(found.estimate, draft.base.stem if not draft.changes else "")
    for label, text in (("time", time), ("memory", memory)):
        lines.append(strips.line(width, [(strips.fit(f" {label}", 9), palette.faint), (text, palette.plain)]))
    if not machine.whole and len(machine.devices) > 1:
        lines.append(strips.line(width, [(" asking torch whether it can use the GPU …", palette.dim)]))
    for text, bad in found.warnings[:WARNINGS]:
        lines += strips.paragraph(f"! {one_line(text, 600)}", width, palette.bad if bad else palette.warn, "  ", margin=1)
    if draft.base.unchecked:
        lines += strips.paragraph(f"! {draft.base.unchecked[:1].upper()}{draft.base.unchecked[1:]}.", width, palette.warn, "  ", margin=1)
    return [*lines, strips.line(width, [])]


def start(draft: Draft, found: Outlook, width: int) -> Strip:
    """The first row: start, on which device; or how much is wrong."""
    if draft.faults:
        count = len(draft.faults)
        return strips.line(width, [(f"  ✗ {count} setting{'s are' if count > 1 else ' is'} wrong", palette.bad)])
    name = found.device.name if found.device.name != "cpu" else "the CPU"
    return strips.line(width, [("  ▶ Start", palette.good), (f" on {name}", palette.plain)])


def section(title: str, width: int) -> list[Strip]:
    """A heading with room above."""
    return [strips.line(width, []), strips.line(width, [(f" {title}", palette.heading)])]


def setting(draft: Draft, field: Field, found: Outlook, width: int) -> Strip:
    """A setting: its name, its value, what is wrong with it, or what the recipe has where that is another."""
    text = one_line(draft.text(field.name), 200)
    changed, fault = field.name in draft.changes, draft.faults.get(field.name, "")
    right: list[strips.Part] = []
    if fault:
        right = [(strips.fit(f"✗ {one_line(fault)}", min(len(fault) + 2, max(8, width - NAME - 14))), palette.bad), (" ", palette.plain)]
    elif changed:
        right = [(f"  recipe: {one_line(field.text, max(8, width // 3))} ", palette.dim)]
    parts: list[strips.Part] = [(f"  {strips.fit(field.label, NAME - 2)}", palette.plain if changed else palette.dim)]
    parts.append((text or " ", palette.bad if fault else palette.warn if changed else palette.plain))
    if field.name == DEVICE and draft.loaded.recipe.compute.device == "auto" and not changed:
        parts.append((f"  → {found.device.name}: {described(found.device)}", palette.faint))
    elif field.name == DEVICE:
        parts.append((f"  {described(found.device)}", palette.faint))
    return strips.line(width, parts, right)


def about(draft: Draft, key: str, machine: Machine, width: int) -> list[Strip]:
    """The setting under the cursor: what it is, what it may be, the recipe's value and the default; the devices and who is on them."""
    field = draft.fields.get(key)
    if field is None:
        text = "Enter starts it with the settings below. Esc leaves; nothing has been started."
        fault = draft.faults.get("", "")
        return strips.paragraph(one_line(fault, 600) or text, width, palette.bad if fault else palette.dim, margin=1)
    lines = [strips.line(width, [(f" {field.name}", palette.accent), (f"  {field.expected if key != DEVICE else ''}", palette.dim)])]
    if key in draft.faults:
        lines += strips.paragraph(one_line(draft.faults[key], 400), width, palette.bad, margin=1)
    if key == DEVICE:
        wanted = draft.text(DEVICE)
        for each in machine.devices:
            mark, style = ("▸", palette.plain) if each.name == wanted else (" ", palette.dim)
            lines.append(strips.line(width, [(f" {mark} {strips.fit(each.name, 8)} {described(each)}", style)]))
        return lines
    if field.about:
        lines += strips.paragraph(f"{field.about[:1].upper()}{field.about[1:]}.", width, palette.plain, margin=1)
    notes = [f"The recipe has {one_line(field.text, 80)}" + (f", the default is {field.default}." if field.default else ".")]
    if field.choices:
        notes.append("← → choose.")
    if field.live:
        notes.append("It may be changed while the run goes on, too.")
    return [*lines, *strips.paragraph(" ".join(notes), width, palette.dim, margin=1)]
