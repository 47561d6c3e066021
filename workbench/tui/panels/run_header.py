"""The top of a run's screen: title, state and progress; after the end, its reason and the results."""

import time
from collections.abc import Sequence

from rich.cells import cell_len
from textual.strip import Strip

from workbench import formatting
from workbench.events import CAUSES
from workbench.problems import one_line
from workbench.recipes.processes import on
from workbench.recipes.recipe import Recipe
from workbench.runs import bars, family, own, slowdowns
from workbench.runs.family import Forked
from workbench.runs.history import History
from workbench.runs.summary import Summary
from workbench.tui.drawing import palette, states, strips
from workbench.tui.models.run_feed import Feed
from workbench.tui.panels.lines import Lines

SPACE = "   "


class RunHeader(Lines):
    """The panel; its height follows its content."""

    DEFAULT_CSS = "RunHeader { height: 2; }"

    def __init__(self, feed: Feed, recipe: Recipe) -> None:
        super().__init__()
        self.feed = feed
        self.recipe = recipe
        self.summary = Summary(size=0)
        self.forked = family.forked(feed.run)

    def follow(self, summary: Summary) -> None:
        """Draw it again."""
        self.summary = summary
        height = len(self.lines(self.size.width))
        if height != self.size.height:
            self.styles.height = height
        self.rebuild()

    def lines(self, width: int) -> list[Strip]:
        lines = [title_line(self.feed, self.recipe, width, self.forked), progress_line(self.feed, self.recipe, width, time.time())]
        if self.feed.history.warning and self.feed.state.alive:
            lines += strips.paragraph(f"! {one_line(self.feed.history.warning, 600)}", width, palette.bad, margin=1)
        if remark := self.feed.tail.remark:
            lines += strips.paragraph(f"! {remark}", width, palette.warn, margin=1)
        return lines + (ending_lines(self.feed, self.recipe, self.summary, width) if self.feed.caught_up else [])


def title_line(feed: Feed, recipe: Recipe, width: int, forked: Forked | None = None) -> Strip:
    """The first line: title, badges, device, state."""
    symbol, text, style = states.state_words(feed.state)
    history = feed.history
    left: list[strips.Part] = [(f" {one_line(recipe.title)}", palette.bold), ("  ", palette.plain)]
    if history.demo:
        left += [(f" DEMO: {one_line(history.demo)} ", palette.badge), ("  ", palette.plain)]
    if history.variant:
        left += [(f" {one_line(history.variant)} ", palette.badge), ("  ", palette.plain)]
    if own.is_own(recipe):
        left += [(own.PROJECT, palette.dim), ("  ", palette.plain)]
    if width >= 100:
        # A run's id begins with its start: 2026-01-31_174205.
        day, _, clock = feed.run.id[:17].partition("_")
        left.append((f"{day} {clock[:2]}:{clock[2:4]}", palette.faint))
    if forked:
        left.append((f"  fork at step {formatting.count(forked.step)}", palette.violet))
    quiet = feed.quiet()
    if quiet:
        symbol, text, style = "●", f"no step for {formatting.short(quiet[0])}, usually {formatting.short(quiet[1])}", palette.warn
    # What it prepares stands beside its bar, in the second line.
    elif feed.state.state in ("starting", "queued", "created") and feed.state.message and feed.state.share is None:
        text = f"{text}: {feed.state.reason or one_line(feed.state.message, 60)}"
    elif not feed.state.alive and feed.state.state != "away":
        text = feed.state.state
    device = on(one_line(history.device or recipe.compute.device, 40), recipe)
    right: list[strips.Part] = [(f" {device}", palette.dim), ("  ", palette.plain), (f"{symbol} {text} ", style)]
    if feed.state.state == "running":
        used = sum(cell_len(part) for part, _ in [*left, *right])
        right[1:1] = gpu_parts(history, width - used)
    return strips.line(width, left, right)


def gpu_parts(history: History, room: int) -> list[strips.Part]:
    """What the GPU does now, as far as there is room; first of all, what slows it down and should not."""
    parts: list[strips.Part] = []
    harm = slowdowns.named(history.last("system/gpu_slowed"), slowdowns.HARMFUL)
    groups: list[strips.Part] = [(f"! {harm[0]}", palette.bad)] if harm else []
    for tag, unit in (("gpu", "%"), ("gpu_power", "W"), ("gpu_temperature", "°C")):
        if (reading := history.last(f"system/{tag}")) is not None:
            groups.append((f"{reading:.0f} {unit}", palette.dim))
    for text, style in groups:
        room -= cell_len(text) + 2
        if room < 0:
            break
        parts += [("  ", palette.plain), (text, style)]
    return parts


def progress_line(feed: Feed, recipe: Recipe, width: int, now: float) -> Strip:
    """The second line: a bar, step, epoch, rate, time and time left; before the first step the same of the preparation."""
    if feed.state.state == "starting" and feed.state.share is not None:
        return preparing_line(feed, feed.state.share, width, now)
    history = feed.history
    rate = feed.rate()
    groups: list[list[strips.Part]] = []
    steps = formatting.count(history.step) + (f"/{formatting.count(history.steps)}" if history.steps else "")
    groups.append([("step ", palette.faint), (steps, palette.plain)])
    if history.steps_per_epoch:
        epochs = f"{history.epoch:.1f}" if history.epoch < 100 else f"{history.epoch:.0f}"
        groups.append([("epoch ", palette.faint), (epochs + f"/{recipe.train.epochs}" * (not recipe.train.steps), palette.plain)])
    if rate:
        groups.append([(formatting.rate(rate), palette.plain)])
        # Batches of 1 make it the same figure as the rate, and runs without epochs do not count examples.
        if width >= 110 and recipe.train.batch_size > 1 and rate * recipe.train.batch_size >= 1 and history.steps_per_epoch:
            groups.append([(f"{formatting.count(rate * recipe.train.batch_size)} examples/s", palette.dim)])
    groups.append([(formatting.duration(feed.elapsed(now)), palette.plain)])
    left = feed.left()
    if left is not None:
        groups.append([(formatting.duration(left), palette.accent), (" left", palette.faint)])
    parts = strips.joined(groups, (SPACE if width >= 100 else "  ", palette.plain))
    room = width - 4 - sum(len(text) for text, _ in parts)
    share = min(1.0, history.step / history.steps) if history.steps else 0.0
    # A shorter bar says less than the numbers.
    bar = _bar(share, room, states.state_style(feed.state.state)) if room >= 6 and history.steps else []
    return strips.line(width, [(" ", palette.plain), *bar, ("  " if bar else "", palette.plain), *parts])


def preparing_line(feed: Feed, share: float, width: int, now: float) -> Strip:
    """What is being prepared, with a bar, its share and the time left, and the time since the start."""
    elapsed = f"{SPACE}{formatting.duration(feed.elapsed(now))}"
    message = one_line(feed.state.message, max(1, width - len(elapsed) - 2))
    room = width - 4 - cell_len(message) - len(elapsed)
    bar = _bar(share, room, states.state_style("starting")) if room >= 6 else []
    return strips.line(width, [(" ", palette.plain), *bar, ("  " if bar else "", palette.plain), (message + elapsed, palette.plain)])


def _bar(share: float, width: int, style: object) -> list[strips.Part]:
    full = int(share * width)
    return [("━" * full, style), ("─" * (width - full), palette.faint)]  # type: ignore[list-item]


def ending_lines(feed: Feed, recipe: Recipe, summary: Summary, width: int) -> list[Strip]:
    """The lines of an ended run: the reason of its end, advice, and its results against the bars and the course's."""
    state = feed.state
    if feed.problem:
        return strips.paragraph(feed.problem, width, palette.bad, margin=1)
    if state.alive or feed.launching or state.state in ("created", "away"):
        return []
    _, _, style = states.state_words(state)
    cause = CAUSES.get(state.cause, state.cause)
    sentence = f"{state.state.capitalize()}: {cause}." if cause else f"{state.state.capitalize()}."
    message = one_line(state.message, 600)
    # Messages often repeat the cause: say it once.
    if message and message.rstrip(".").casefold() not in sentence.casefold():
        sentence += f" {message}"
    reached = _reached(recipe, summary)
    if not state.hint and cell_len(sentence) + sum(_width(group) + 3 for group in reached) + 2 <= width:
        return [strips.line(width, [(f" {sentence}", style), *(part for group in reached for part in ((SPACE, palette.plain), *group))])]
    lines = strips.paragraph(sentence, width, style, margin=1)
    if state.hint:
        lines += strips.paragraph(one_line(state.hint, 300), width, palette.dim, margin=1)
    row: list[strips.Part] = []
    for group in reached:
        if row and _width(row) + 3 + _width(group) + 1 > width:
            lines.append(strips.line(width, row))
            row = []
        row += [(SPACE if row else " ", palette.plain), *group]
    # Six lines at most: the charts below are what a person came for.
    return [*lines, strips.line(width, row)][:6] if row else lines[:6]


def _width(parts: Sequence[strips.Part]) -> int:
    return sum(cell_len(text) for text, _ in parts)


def _reached(recipe: Recipe, summary: Summary) -> list[list[strips.Part]]:
    if not bars.is_judged(summary):
        why = "a DEMO" if summary.demo else "on stand-in data"
        return [[(f"Not compared with the bars: this run is {why}.", palette.warn)]] if recipe.bar else []
    groups: list[list[strips.Part]] = []
    for verdict in bars.judge(recipe, summary):
        mark, style = ("", palette.dim) if verdict.passed is None else ("✓ ", palette.good) if verdict.passed else ("✗ ", palette.bad)
        value = "not measured" if verdict.value is None else formatting.number(verdict.value)
        references = [f"{other.whose} {formatting.number(other.value)}" for other in recipe.reference if other.metric == verdict.bar.metric]
        groups.append(
            [
                (f"{mark}{bars.short_name(verdict.bar.metric)} {value}", style),
                (f"  to pass {bars.wanted(verdict.bar)}" + (f", {references[0]}" if references else ""), palette.dim),
            ]
        )
    return groups
