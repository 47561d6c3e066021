"""The board of a run's screen: the places of its panels at any size. `plan` is pure; Board is the widget that follows it."""

from collections.abc import Sequence
from typing import NamedTuple

from textual.geometry import NULL_OFFSET, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

# Two charts of 36 columns, the figures' 34 and the gaps.
WIDE = (110, 28)
"""With so many columns and rows, the figures are at the side and not among the tabs."""
CHART = (36, 7)
"""Least columns and rows of a readable chart."""
SLOT = 38
"""Columns for each panel below the charts."""
SLOT_ROWS = 11
"""Rows for such a panel; with room for twice as many there are two rows of panels."""
GAP = 2
TEXTS = ("console", "recipe", "source", "figures")
"""The tabs that are no samples."""


class Wanted(NamedTuple):
    """The panels to place."""

    charts: Sequence[str]
    tabs: Sequence[str]
    """The names of samples, console, recipe and source; `plan` adds `figures` where it has no room at the side."""
    focus: str
    full: bool = False
    """Whether the panel in focus fills the board."""
    wide: frozenset[str] = frozenset()
    """Tabs with pictures or long lines: they get one and a half times the columns of their neighbours."""


class Plan(NamedTuple):
    """The place of each panel; a panel that is not in `regions` is hidden."""

    regions: dict[str, Region]
    tabs: tuple[str, ...]
    """All tabs in their order, visible or not."""


def is_wide(size: Size) -> bool:
    """Whether the figures are at the side."""
    return size.width >= WIDE[0] and size.height >= WIDE[1]


def plan(size: Size, wanted: Wanted) -> Plan:
    """Charts above, tabs below, figures at the side of a wide board; where not all fit, the page with the focus is visible."""
    width, height = size
    wide = is_wide(size)
    tabs = tuple(wanted.tabs) if wide else (*wanted.tabs, "figures")
    regions: dict[str, Region] = {}
    if wanted.full:
        return Plan({wanted.focus: Region(0, 0, width, height)}, tabs)
    if wide:
        # 34 cells are the narrowest column in which a metric's name and two figures fit.
        side = max(34, min(46, width // 4))
        regions["figures"] = Region(width - side, 0, side, height)
        width -= side + 1
    samples = len([tab for tab in tabs if tab not in TEXTS])
    # Pictures and matrices deserve half; the console and the settings alone a third.
    share = 0.5 if samples else 0.34
    if height < 8:
        # Fewer rows than one chart needs: one panel alone.
        return Plan({wanted.focus or next(iter(wanted.charts), "notice"): Region(0, 0, width, height)}, tabs)
    # At least the line of tabs and five rows of a panel.
    below = max(min(6, height // 2), round(height * share))
    above = height - below
    charts = wanted.charts or ["notice"]
    regions.update(grid(charts, wanted.focus, width, above))
    regions["tabs"] = Region(0, above, width, 1)
    across = max(1, min(len(tabs), width // SLOT))
    rows = 2 if len(tabs) > across and below - 1 >= 2 * SLOT_ROWS else 1
    slots = min(len(tabs), across * rows)
    place = tabs.index(wanted.focus) if wanted.focus in tabs else 0
    # Whole pages, so that panels do not slide when the focus moves; the last page is filled from the left.
    first = max(0, min(place // slots * slots, len(tabs) - slots))
    page = list(tabs[first : first + slots])
    for y, size_y in _split(below - 1, [1] * rows, 0):
        # -(-a // b) rounds up: the upper row takes the odd panel.
        in_row, page = page[: -(-slots // rows)], page[-(-slots // rows) :]
        shares = [3 if tab in wanted.wide else 2 for tab in in_row]
        for tab, (x, size_x) in zip(in_row, _split(width, shares), strict=True):
            regions[tab] = Region(x, above + 1 + y, size_x, size_y)
    return Plan(regions, tabs)


def grid(names: Sequence[str], focus: str, width: int, height: int) -> dict[str, Region]:
    """Panels in rows as even as possible; where not all fit, the page with the focus."""
    # n charts have n - 1 gaps.
    most = max(1, (width + GAP) // (CHART[0] + GAP)), max(1, height // CHART[1])
    per_page = most[0] * most[1]
    page = names.index(focus) // per_page if focus in names else 0
    shown = names[page * per_page : (page + 1) * per_page]
    rows = min(most[1], -(-len(shown) // most[0]))
    regions = {}
    placed = 0
    for row, (y, size_y) in enumerate(_split(height, [1] * rows, 0)):
        # Rows as even as possible: five charts in two rows are three and two, and the two grow wider.
        across = -(-(len(shown) - placed) // (rows - row))
        for name, (x, size_x) in zip(shown[placed : placed + across], _split(width, [1] * across), strict=True):
            regions[name] = Region(x, y, size_x, size_y)
        placed += across
    return regions


def _split(length: int, shares: Sequence[int], gap: int = GAP) -> list[tuple[int, int]]:
    """(start, size) of the pieces of a length in these shares, with gaps between them."""
    free = length - gap * (len(shares) - 1)
    # Edges are rounded, not sizes: the pieces always fill the whole length.
    edges = [round(free * sum(shares[:part]) / max(1, sum(shares))) for part in range(len(shares) + 1)]
    return [(edges[part] + gap * part, edges[part + 1] - edges[part]) for part in range(len(shares))]


class _BoardLayout(Layout):
    name = "board"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        assert isinstance(parent, Board)
        regions = parent.place(size).regions
        return [
            WidgetPlacement(regions[child.name], NULL_OFFSET, Spacing(), child, order)
            for order, child in enumerate(children)
            if child.name in regions
        ]


class Board(Widget):
    """Places its children by their names; call `rearrange` with the panels to place."""

    DEFAULT_CSS = """
    Board { height: 1fr; width: 1fr; }
    Board > * { width: 1fr; height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        # Stylesheets know only Textual's own layouts by name; ours is the widget's default.
        self._default_layout = _BoardLayout()  # type: ignore[assignment]
        self.wanted = Wanted((), ("console",), "console")

    def place(self, size: Size) -> Plan:
        """The places of all panels at this size."""
        return plan(size, self.wanted)

    def rearrange(self, wanted: Wanted) -> bool:
        """Lay out again if any place changes; returns whether one does."""
        if wanted == self.wanted:
            return False
        before, self.wanted = self.place(self.size), wanted
        self._clear_arrangement_cache()  # Textual's cache knows sizes and children, not `wanted`
        if self.place(self.size) == before:
            return False
        self.refresh(layout=True)
        return True

    def shows(self, name: str) -> bool:
        """Whether a panel is visible now."""
        return name in self.place(self.size).regions
