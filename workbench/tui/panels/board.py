"""The board of a run's screen: where its panels stand at any size. `plan` is pure; Board is the widget that follows it."""

from collections.abc import Sequence
from typing import NamedTuple

from textual.geometry import NULL_OFFSET, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

WIDE = (110, 28)
"""Columns and rows of the board from which figures stand at the side, not among the tabs."""
CHART = (36, 7)
"""What a chart needs to be read."""
SLOT = 38
"""Columns that a panel below the charts wants."""
SLOT_ROWS = 11
"""Rows that it wants; with twice as many there are two rows of panels."""
GAP = 2


class Wanted(NamedTuple):
    """What there is to place."""

    charts: Sequence[str]
    tabs: Sequence[str]
    """Samples and the console, by name; `figures` is added where there is no room for it at the side."""
    focus: str
    full: bool = False
    """The panel in focus fills the board."""
    pictures: frozenset[str] = frozenset()
    """Tabs that get twice the columns of the others beside them: pictures need them."""


class Plan(NamedTuple):
    """Where everything stands; what is not in `regions` is not shown."""

    regions: dict[str, Region]
    tabs: tuple[str, ...]
    """All tabs in their order, shown or not."""


def is_wide(size: Size) -> bool:
    """Whether figures stand at the side."""
    return size.width >= WIDE[0] and size.height >= WIDE[1]


def plan(size: Size, wanted: Wanted) -> Plan:
    """Charts above, tabs below, figures at the side where it is wide; of what does not fit, the page with the focus is shown."""
    width, height = size
    wide = is_wide(size)
    tabs = tuple(wanted.tabs) if wide else (*wanted.tabs, "figures")
    regions: dict[str, Region] = {}
    if wanted.full:
        return Plan({wanted.focus: Region(0, 0, width, height)}, tabs)
    if wide:
        side = max(34, min(46, width // 4))
        regions["figures"] = Region(width - side, 0, side, height)
        width -= side + 1
    samples = len([tab for tab in tabs if tab not in ("console", "recipe", "figures")])
    share = 0.5 if samples else 0.34
    if height < 8:
        # Room for one panel alone.
        return Plan({wanted.focus or next(iter(wanted.charts), "notice"): Region(0, 0, width, height)}, tabs)
    below = max(min(6, height // 2), round(height * share))
    above = height - below
    charts = wanted.charts or ["notice"]
    regions.update(_grid(charts, wanted.focus, width, above))
    regions["tabs"] = Region(0, above, width, 1)
    across = max(1, min(len(tabs), width // SLOT))
    rows = 2 if len(tabs) > across and below - 1 >= 2 * SLOT_ROWS else 1
    slots = min(len(tabs), across * rows)
    place = tabs.index(wanted.focus) if wanted.focus in tabs else 0
    first = max(0, min(place // slots * slots, len(tabs) - slots))
    page = list(tabs[first : first + slots])
    for y, size_y in _split(below - 1, [1] * rows, 0):
        in_row, page = page[: -(-slots // rows)], page[-(-slots // rows) :]
        shares = [3 if tab in wanted.pictures else 2 for tab in in_row]
        for tab, (x, size_x) in zip(in_row, _split(width, shares), strict=True):
            regions[tab] = Region(x, above + 1 + y, size_x, size_y)
    return Plan(regions, tabs)


def _grid(names: Sequence[str], focus: str, width: int, height: int) -> dict[str, Region]:
    most = max(1, (width + GAP) // (CHART[0] + GAP)), max(1, height // CHART[1])
    per_page = most[0] * most[1]
    page = names.index(focus) // per_page if focus in names else 0
    shown = names[page * per_page : (page + 1) * per_page]
    rows = min(most[1], -(-len(shown) // most[0]))
    regions = {}
    placed = 0
    for row, (y, size_y) in enumerate(_split(height, [1] * rows, 0)):
        across = -(-(len(shown) - placed) // (rows - row))
        for name, (x, size_x) in zip(shown[placed : placed + across], _split(width, [1] * across), strict=True):
            regions[name] = Region(x, y, size_x, size_y)
        placed += across
    return regions


def _split(length: int, shares: Sequence[int], gap: int = GAP) -> list[tuple[int, int]]:
    """(start, size) of the pieces of a length, by their shares, with gaps between them."""
    free = length - gap * (len(shares) - 1)
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
    """Places its children by their names; `rearrange` with what there is."""

    DEFAULT_CSS = """
    Board { height: 1fr; width: 1fr; }
    Board > * { width: 1fr; height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._default_layout = _BoardLayout()  # type: ignore[assignment]
        self.wanted = Wanted((), ("console",), "console")

    def place(self, size: Size) -> Plan:
        """Where everything stands at this size."""
        return plan(size, self.wanted)

    def rearrange(self, wanted: Wanted) -> bool:
        """Lay out anew where something then stands elsewhere; returns whether it does."""
        if wanted == self.wanted:
            return False
        before, self.wanted = self.place(self.size), wanted
        self._clear_arrangement_cache()  # its key knows sizes and children, not what is wanted
        if self.place(self.size) == before:
            return False
        self.refresh(layout=True)
        return True

    def shows(self, name: str) -> bool:
        """Whether a panel is on the screen now."""
        return name in self.place(self.size).regions
