"""The pane of the lists: a recipe's text, numbers, hints and past runs; a run's state, the reason of its end, and its results."""

from typing import TYPE_CHECKING

from textual.strip import Strip

from workbench import formatting
from workbench.launch import estimate, slurm
from workbench.launch.devices import Device
from workbench.problems import one_line
from workbench.recipes import hints
from workbench.recipes.load import Loaded
from workbench.runs import bars, standing
from workbench.runs.page import data_lines
from workbench.tui.drawing import palette, states, strips
from workbench.tui.models.library import Entry, Library, Shelved

if TYPE_CHECKING:
    from workbench.launch.queueing import Waiting

# "watch for" and a space.
LABEL = 10
BEHIND = 4
"""So many of the runs that a run waits for are named."""


def recipe_lines(shelved: Shelved, library: Library, width: int) -> list[Strip]:
    """The pane about a recipe."""
    blank = strips.line(width, [])
    if not shelved.loaded:
        lines = [strips.line(width, [(shelved.title, palette.bad)]), blank]
        for problem in shelved.problems:
            lines += strips.paragraph(problem, width, palette.plain, "  ")
        return [*lines, blank, *strips.paragraph(f"e edits {shelved.path}.", width, palette.dim)]
    loaded, recipe = shelved.loaded, shelved.loaded.recipe
    lines = strips.paragraph(recipe.title, width, palette.bold)
    lines.append(strips.line(width, [(shelved.path.stem, palette.accent), (f"  {recipe.lesson}", palette.dim)]))
    if recipe.about:
        lines += [blank, *strips.paragraph(" ".join(recipe.about.split()), width, palette.plain)]
    if loaded.unchecked:
        lines += [blank, *strips.paragraph(f"{loaded.unchecked[:1].upper()}{loaded.unchecked[1:]}.", width, palette.warn)]
    lines.append(blank)
    train = recipe.train
    length = f"{train.steps:,} steps" if train.steps else f"{train.epochs:,} epoch{'s' * (train.epochs != 1)}"
    facts = [
        ("project", recipe.project),
        *(("data", line) for line in data_lines(loaded)),
    ]
    past = library.of(shelved.path.stem)
    if loaded.trains:
        facts += [("training", f"{length}, batches of {train.batch_size:,}"), *_needs(loaded, past)]
    else:
        facts.append(("explore", "Enter opens it: change its values and see the answer at once"))
    if compare := recipe.compare:
        seeds = f"{compare.seeds} seed{'s' * (compare.seeds != 1)} each"
        facts.append(("compares", f"{', '.join(compare.variants)}; {seeds}, {len(compare.variants) * compare.seeds} runs in turn"))
    if tune := recipe.tune:
        names = ", ".join(name.partition(".")[2] for name in tune.space)
        at_once = f", {tune.parallel} at once" * (tune.parallel > 1)
        facts.append(("tunes", f"{names}: {tune.trials} trials{at_once}, and the best with {tune.seeds} new seeds"))
    if best := bars.best_of(recipe, [entry.summary for entry in standing.counted(recipe, past)]):
        facts.append(
            ("best here", f"{bars.short_name(best.metric)} {formatting.number(best.value)}" + f", with {best.variant}" * bool(best.variant))
        )
    for name, text in facts:
        if text:
            lines += labelled(name, one_line(text), width)
    for reference in recipe.reference:
        figure = f"{bars.short_name(reference.metric)} {formatting.number(reference.value)}"
        lines += labelled(reference.whose, f"{figure}  ({reference.source})", width)
    for bar in recipe.bar:
        lines += labelled("to pass", f"{bars.short_name(bar.metric)} {bars.wanted(bar)}", width)
    for place, note in enumerate(recipe.watch):
        lines += labelled("watch for" if not place else "", f"· {hints.written(note)}", width, "  ")
    if past:
        lines.append(blank)
        lines += [_past_run(entry, width) for entry in past[:8]]
    return lines


def used(loaded: Loaded) -> list[str]:
    """References of the data sets that a recipe reads."""
    from workbench.datasets.store.catalog import uses

    return uses(loaded.schema.datasets if loaded.schema else (), loaded.recipe.config)


def _needs(loaded: Loaded, past: list[Entry]) -> list[tuple[str, str]]:
    """Time and memory of a run, from past runs or from the measured results, for the device of the newest past run."""
    live = loaded.schema.live if loaded.schema else ()
    runs = [estimate.Past(entry.recipe, entry.summary) for entry in past if entry.recipe]
    newest = next((past_run.summary.device for past_run in runs if past_run.summary.device), "cpu")
    name, _, title = newest.partition(" ")
    time, memory = estimate.told(estimate.estimate(loaded.recipe, Device(name, title), runs, live), loaded.stem)
    on = f" on {title or name}" if runs and not time.startswith("not") else ""
    return [("time", time + on), ("memory", memory if not memory.startswith("not") else "")]


def labelled(label: str, text: str, width: int, indent: str = "") -> list[Strip]:
    """A label, and a text wrapped beside it."""
    body = strips.wrap(text, max(8, width - LABEL), indent)
    return [
        strips.line(width, [(strips.fit(label if not place else "", LABEL), palette.faint), (words, palette.plain)])
        for place, words in enumerate(body)
    ]


def _past_run(entry: Entry, width: int) -> Strip:
    symbol, text, style = states.state_words(entry.state)
    recipe, summary = entry.recipe, entry.summary
    metric = bars.headline(recipe, summary) if recipe else ""
    value = bars.figure(recipe, summary, metric) if recipe and metric else None
    right: list[strips.Part] = []
    if value is not None:
        right = [(f"  {bars.short_name(metric)} ", palette.faint), (formatting.number(value), palette.plain), (_mark(entry), palette.good)]
    return strips.line(width, [(f"{symbol} {text}", style), (f"  {formatting.when(summary.started)}", palette.faint)], right)


def _mark(entry: Entry) -> str:
    judged = bars.judge(entry.recipe, entry.summary) if entry.recipe else []
    return " ✓" if judged and all(verdict.passed for verdict in judged) else "  "


def run_lines(entry: Entry, width: int) -> list[Strip]:
    """A run in a few lines: its state, the reason of its end, its results."""
    symbol, text, style = states.state_words(entry.state)
    summary, recipe = entry.summary, entry.recipe
    tags = " ".join(entry.notes.tags)
    lines = [strips.line(width, [(f"{symbol} {text}", style), (f"   {entry.run.id}", palette.faint)], [(tags, palette.violet)])]
    if entry.notes.note:
        lines += strips.paragraph(entry.notes.note, width, palette.plain)
    if entry.forked:
        lines += strips.paragraph(f"A {entry.forked.words}.", width, palette.dim)
    if entry.quiet:
        silence, usual = entry.quiet
        lines += strips.paragraph(
            f"No step for {formatting.short(silence)}, usually {formatting.short(usual)}. The process lives; it may be waiting.",
            width,
            palette.warn,
        )
    if entry.state.job and entry.state.alive and slurm.trouble:
        lines += strips.paragraph(f"{slurm.trouble} This is as Slurm told it last.", width, palette.warn)
    for sentence, look in ((entry.state.message, palette.plain), (entry.state.hint, palette.dim)):
        if sentence and sentence != text:
            lines += strips.paragraph(one_line(sentence, 1000), width, look)
    if entry.waiting and entry.state.state == "queued":
        lines += waiting_lines(entry.waiting, width)
    if summary.demo or summary.variant:
        why = f"DEMO: {summary.demo}" if summary.demo else f"Data: {summary.variant}"
        lines += strips.paragraph(f"{why}. Results are not compared with the bars.", width, palette.warn)
    groups: list[list[strips.Part]] = []
    for verdict in bars.judge(recipe, summary) if recipe else []:
        look = palette.dim if verdict.passed is None else palette.good if verdict.passed else palette.bad
        mark = "" if verdict.passed is None else " ✓" if verdict.passed else " ✗"
        value = "not measured yet" if verdict.value is None else formatting.number(verdict.value)
        groups.append(
            [
                (f"{bars.short_name(verdict.bar.metric)} ", palette.dim),
                (value + mark, look),
                (f" {bars.wanted(verdict.bar)}", palette.faint),
            ]
        )
    if groups:
        lines.append(strips.line(width, strips.joined(groups, ("   ", palette.plain))))
    return lines


def waiting_lines(waiting: "Waiting", width: int) -> list[Strip]:
    """The place of a run in the queue for devices: what it waits for, and about when it starts."""
    if waiting.held:
        text, keys_ = "A person holds it: it takes no device, and nobody waits for it.", "h releases it"
    else:
        place = "It is next" if waiting.place == 1 else f"Before it in the queue: {waiting.place - 1}"
        when = "when it starts is not known" if waiting.begins is None else f"it likely starts {waiting.start()}"
        text, keys_ = f"{place}; {when}.", "h holds it"
    lines = strips.paragraph(text, width, palette.plain)
    if waiting.behind:
        more = " …" if len(waiting.behind) > BEHIND else ""
        lines += strips.paragraph(f"It waits for {', '.join(waiting.behind[:BEHIND])}{more}", width, palette.dim)
    return [*lines, strips.line(width, [(f"{keys_}, F moves it to the front", palette.faint)])]
