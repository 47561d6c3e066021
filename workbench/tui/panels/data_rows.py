"""The rows of the list of data sets, and the pane about one of them. Pure functions that make lines of cells."""

from collections.abc import Mapping, Sequence

from textual.strip import Strip

from workbench.datasets.store.stored import Stored
from workbench.formatting import size
from workbench.problems import one_line
from workbench.tui.drawing import palette, strips
from workbench.tui.models.downloads import Job
from workbench.tui.models.library import Library
from workbench.tui.panels.detail import labelled, used
from workbench.tui.panels.recipe_rows import matches
from workbench.tui.panels.rows import Row

NAME, SIZE, BAR = 24, 8, 8


def rows(data_sets: Sequence[Stored], jobs: Mapping[str, Job], width: int, filtered: str) -> list[Row]:
    """Data sets with their variants below them: name, size, and where the set is, or how far its download is."""
    shown = [
        data_set
        for data_set in data_sets
        if matches(f"{data_set.reference} {data_set.about.title} {data_set.about.stand_in_for}", filtered)
    ]
    if not shown:
        return [Row("", strips.line(width, [("  No data set matches these words.", palette.dim)]))]
    header = [("  " + strips.fit("Set", NAME), palette.faint), (strips.fit("Size", SIZE, "right"), palette.faint)]
    lines = [Row("", strips.line(width, [*header, ("  Where", palette.faint)]))]
    for data_set in shown:
        name = f"  {data_set.variant}" if data_set.variant else data_set.name
        parts = [("  " + strips.fit(name, NAME), palette.dim if data_set.variant else palette.plain)]
        parts.append((strips.fit(size(data_set.bytes) if data_set.bytes else "", SIZE, "right") + "  ", palette.dim))
        lines.append(Row(data_set.reference, strips.line(width, [*parts, *_where(data_set, jobs.get(data_set.reference))])))
    return lines


def _where(data_set: Stored, job: Job | None) -> list[strips.Part]:
    if job and job.state == "running":
        full = round(job.share * BAR)
        bar = [("█" * full, palette.accent), ("░" * (BAR - full), palette.faint), (f" {job.share:4.0%}", palette.plain)]
        note = "stopping" if job.stopping else "verifying" if job.what == "verify" else job.rate
        return [*bar, (f" {note}" if note else "", palette.dim)]
    if job and job.state == "failed":
        return [("✗ damaged" if job.what == "verify" else "✗ could not be fetched", palette.bad)]
    mark, style = {
        "here": ("✓", palette.good),
        "mirror": ("✓", palette.good),
        "package": ("✓", palette.good),
        "fetch": ("↓", palette.accent),
    }.get(data_set.state, ("·", palette.faint))
    return [(mark, style), (f" {data_set.words}", palette.faint if data_set.state == "nowhere" else palette.dim)]


def pane(data_set: Stored, job: Job | None, library: Library, width: int) -> list[Strip]:
    """The pane about a data set."""
    about, blank = data_set.about, strips.line(width, [])
    lines = strips.paragraph(about.title, width, palette.bold)
    lines += strips.paragraph(data_set.reference, width, palette.accent)
    if about.stand_in_for:
        lines += strips.paragraph(f"Stands in for {about.stand_in_for}: results on it are not compared with the bars.", width, palette.warn)
    if job and job.message:
        look = {"failed": palette.bad, "done": palette.good}.get(job.state, palette.warn)
        lines += [blank, *strips.paragraph(one_line(job.message, 1000), width, look)]
    if about.about:
        lines += [blank, *strips.paragraph(" ".join(about.about.split()), width, palette.plain)]
    lines.append(blank)
    for label, text in (("where", data_set.words), ("licence", about.licence), ("source", about.source)):
        lines += labelled(label, text, width)
    for place, (key, file) in enumerate(about.files.items()):
        lines += labelled("files" if not place else "", f"{key}  {size(file.bytes)}", width)
    users = [
        shelved.title for shelved in library.shelf if shelved.loaded and not shelved.twice and data_set.reference in used(shelved.loaded)
    ]
    for place, title in enumerate(users):
        lines += labelled("used by" if not place else "", title, width)
    return lines
