"""The words of the compare screen: what is compared, the settings that differ, by their effect, and the figures of each run."""

from collections.abc import Callable, Sequence

from rich.style import Style
from textual.strip import Strip

from workbench import formatting
from workbench.problems import one_line
from workbench.runs import bars, compare
from workbench.runs.state import State
from workbench.tui.drawing import palette, states, strips
from workbench.tui.models.overlay import Overlay, short
from workbench.tui.panels.figures import shortened

FEW = 5
"""So many runs stand side by side, each in a column; more stand below each other."""
BAR = 8
"""Cells of the bar that shows an effect."""

Paint = Callable[[int], Style]
"""From a slot to its colour."""


def names(overlay: Overlay, run_states: Sequence[State], width: int, paint: Paint) -> list[Strip]:
    """What is compared: a line for each of a few runs; of many how they are, and what their colours mean."""
    slots = overlay.slots()
    if len(overlay.sides) > FEW:
        return [_summary(overlay, run_states, width), _legend(overlay, width, paint)]
    lines = []
    titles = {side.recipe.title for side in overlay.sides}
    for place, (side, state) in enumerate(zip(overlay.sides, run_states, strict=False)):
        symbol, text, style = states.state_words(state)
        what = f"  {side.recipe.title}" if len(titles) > 1 or not place else ""
        done = f"{formatting.count(side.summary.step)} steps  {formatting.duration(side.summary.seconds)} "
        mark = "▸━ " if place == overlay.chosen else "━━ "
        parts = [(mark, paint(slots[place])), (side.name, palette.bold), (what, palette.dim)]
        lines.append(strips.line(width, parts, [(f"  {symbol} {text.partition(':')[0]}  ", style), (done, palette.faint)]))
    return [*lines, _legend(overlay, width, paint)] if overlay.key() else lines


def _summary(overlay: Overlay, run_states: Sequence[State], width: int) -> Strip:
    counts: dict[str, tuple[int, Style]] = {}
    for state in run_states:
        symbol, text, style = states.state_words(state)
        word = f"{symbol} {text.partition(':')[0]}"
        counts[word] = counts.get(word, (0, style))[0] + 1, style
    titles = list(dict.fromkeys(one_line(side.recipe.title) for side in overlay.sides))
    what = titles[0] if len(titles) == 1 else f"{len(titles)} recipes"
    right = [(f"  {count} {word}", style) for word, (count, style) in counts.items()]
    return strips.line(width, [(f"{len(overlay.sides)} runs  ", palette.bold), (what, palette.dim)], [*right, (" ", palette.plain)])


def _legend(overlay: Overlay, width: int, paint: Paint) -> Strip:
    key = overlay.key()
    if not key:
        return strips.line(width, [("each run its own colour; c colours them by a setting", palette.faint)])
    return strips.line(
        width, [("colour  ", palette.faint), *((text, palette.plain if slot is None else paint(slot)) for text, slot in key)]
    )


def chosen(overlay: Overlay, tag: str, x: float | None, width: int, paint: Paint) -> Strip:
    """The run under the line cursor: its settings that differ, and its value at the cursor."""
    if overlay.chosen is None:
        return strips.line(width, [])
    side = overlay.sides[overlay.chosen]
    parts: list[strips.Part] = [("▸ ", paint(overlay.slots()[overlay.chosen])), (side.name, palette.bold)]
    for setting in overlay.settings[:4]:
        parts.append((f"  {short(setting.name)} ", palette.faint))
        parts.append((one_line(setting.values[overlay.chosen], 24), palette.plain))
    at = overlay.value_at(overlay.chosen, tag, x)
    value = f"  {bars.short_name(tag)} {formatting.number(at[1])} at {overlay.look.axis} {formatting.number(at[0])}" if at else ""
    return strips.line(width, parts, [(value, palette.accent), ("  ⏎ opens it ", palette.faint)])


def table(overlay: Overlay, width: int, paint: Paint) -> list[Strip]:
    """The settings that differ, by effect, and the figures."""
    if not overlay.sides:
        return []
    width = max(20, width - 1)
    if len(overlay.sides) > FEW:
        return [*_ranked(overlay, width), strips.line(width, []), *_runs(overlay, width, paint)]
    return _columns(overlay, width, paint)


def _ranked(overlay: Overlay, width: int) -> list[Strip]:
    """The settings with a bar for the effect of each."""
    ranked, metric = overlay.effects.ranked, bars.short_name(overlay.metric)
    if not ranked:
        return [strips.line(width, [("no setting differs", palette.bold)])]
    lines = [strips.line(width, [("settings by effect", palette.bold), (f" on {metric}", palette.dim)])]
    room = min(max(len(short(effect.setting.name)) for effect in ranked) + 1, width // 3)
    for effect in ranked:
        name, values = short(effect.setting.name), list(dict.fromkeys(effect.setting.values))
        under = effect.setting.name == overlay.look.color
        parts: list[strips.Part] = [(strips.fit(name, room), palette.accent if under else palette.plain), (" ", palette.plain)]
        if effect.share is None:
            parts.append((strips.fit(effect.why, BAR + 5), palette.faint))
        else:
            filled = round(effect.share * BAR)
            parts += [("━" * filled, palette.accent), ("─" * (BAR - filled), palette.faint), (f" {effect.share:.2f}", palette.dim)]
        told = f"{len(values)} values" if len(values) > 3 else ", ".join(one_line(value, 16) for value in values)
        lines.append(strips.line(width, [*parts, (f"  {told}", palette.faint)]))
    return [*lines, *strips.paragraph(overlay.effects.remark, width, palette.faint)]


def _runs(overlay: Overlay, width: int, paint: Paint) -> list[Strip]:
    """A row for each run, the best first: its figure, and its values of the settings that matter most."""
    slots, values = overlay.slots(), overlay.effects.values
    metric = bars.short_name(overlay.metric)
    label = min(max(len(side.name) for side in overlay.sides) + 1, max(10, width // 3))
    figure = max(9, min(len(metric), 16)) + 1
    columns, left = [], width - 3 - label - figure
    for setting in overlay.settings:
        size = min(14, max(len(short(setting.name)), *(len(value) for value in setting.values))) + 2
        if size > left:
            break
        left -= size
        columns.append((setting, size))
    head: list[strips.Part] = [("   ", palette.plain), (strips.fit("run", label), palette.faint)]
    head += [(strips.fit(shortened(overlay.metric, figure), figure, "right"), palette.faint)]
    head += [(strips.fit(short(setting.name), size, "right"), palette.faint) for setting, size in columns]
    lines = [strips.line(width, [("runs", palette.bold), (f", the best {metric} first", palette.dim)]), strips.line(width, head)]
    for number, place in enumerate(overlay.order):
        side, under = overlay.sides[place], place == overlay.chosen
        value = values[place] if place < len(values) else None
        text = compare.NOT_SET if value is None else formatting.number(value)
        style = palette.good if not number and value is not None else palette.plain
        parts = [("▸━ " if under else "━━ ", paint(slots[place])), (strips.fit(side.name, label), palette.bold if under else palette.dim)]
        parts += [(strips.fit(text, figure, "right"), style)]
        parts += [(strips.fit(one_line(setting.values[place], size - 2), size, "right"), palette.plain) for setting, size in columns]
        # A blank to the edge, so that the cursor is as wide as the table.
        parts.append((" " * left, palette.plain))
        lines.append(strips.line(width, [(text, style + palette.chosen if under else style) for text, style in parts]))
    return lines


def _columns(overlay: Overlay, width: int, paint: Paint) -> list[Strip]:
    """A column for each of a few runs."""
    sides, slots, own = overlay.sides, overlay.slots(), [side.name for side in overlay.sides]
    settings, figures = overlay.settings, compare.figures(sides)
    named = [12, *(len(short(row.name)) for row in settings), *(len(bars.short_name(row.metric)) for row in figures)]
    label = min(max(named) + 1, max(width // 3, width - len(sides) * (max(map(len, own)) + 3)))
    cell_width = max(6, (width - label) // len(sides) - 1)
    blank = strips.line(width, [])

    def written(name: str, cells: Sequence[strips.Part]) -> Strip:
        parts: list[strips.Part] = [(strips.fit(name, label), palette.dim)]
        for text, style in cells:
            parts += [(" ", palette.plain), (strips.fit(text, cell_width, "right"), style)]
        return strips.line(width, parts)

    shared = overlay.effects.remark if len(sides) > 2 else ""
    lines = [strips.line(width, [("settings that differ" if settings else "no setting differs", palette.bold)])]
    lines.append(written("", [(name, paint(slots[place])) for place, name in enumerate(own)]))
    for row in settings:
        texts = [strips.wrap(value, cell_width) for value in row.values]
        for place in range(max(map(len, texts))):
            cells = [(text[place] if place < len(text) else "", palette.plain) for text in texts]
            lines.append(written(short(row.name) if not place else "", cells))
    lines += strips.paragraph(shared, width, palette.faint) if shared else []
    lines += [blank, strips.line(width, [("figures", palette.bold)])]
    for figure in figures:
        cells = []
        for place, value in enumerate(figure.values):
            best = place == figure.best
            text = compare.NOT_SET if value is None else formatting.number(value)
            cells.append((text + (" ✓" if best else "  "), palette.good if best else palette.faint if value is None else palette.plain))
        lines.append(written(shortened(figure.metric, label), cells))
    return lines
