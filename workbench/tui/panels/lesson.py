"""The page of a lesson in lines of cells, and the pane about a lesson's heading."""

from collections.abc import Mapping, Sequence

from textual.strip import Strip

from workbench.problems import one_line
from workbench.runs import standing
from workbench.runs.page import Section
from workbench.runs.standing import Standing
from workbench.tui.drawing import palette, strips
from workbench.tui.models.outline import Lesson

WIDEST = 110
"""Cells of a line: longer ones are hard to read."""
LONGEST_LABEL = 24


def page_lines(sections: Sequence[Section], width: int) -> list[Strip]:
    """A page; the heading of its first section is the title."""
    lines: list[Strip] = []
    width = min(width, WIDEST)
    for place, (heading, entries) in enumerate(sections):
        lines += [strips.line(width, [])] if place else []
        lines += strips.paragraph(heading, width, palette.heading if place else palette.bold)
        label_width = min(max((len(label) for label, _ in entries), default=0), LONGEST_LABEL)
        margin = label_width + 2 if label_width else 0
        for label, text in entries:
            for number, words in enumerate(strips.wrap(text, max(8, width - margin))):
                style = palette.dim if label == "·" or number else palette.accent
                head = strips.fit(label if not number else "", label_width) + "  " if margin else ""
                lines.append(strips.line(width, [(head, style), (words, palette.plain if place else palette.dim)]))
    return lines


def lesson_lines(lesson: Lesson, states: Mapping[str, Standing], width: int) -> list[Strip]:
    """The pane about a lesson: its recipes and what became of each."""
    lines = strips.paragraph(lesson.name, width, palette.bold)
    lines.append(strips.line(width, []))
    for item in lesson.items:
        lines += strips.paragraph(item.title, width, palette.plain)
        known = states.get(item.key)
        lines += strips.paragraph(one_line(standing.words(known) if known else "read about"), width, palette.dim, margin=2)
    return lines
