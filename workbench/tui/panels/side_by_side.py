"""The samples and matrices of several runs beside each other, at the same step."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from textual.containers import Container

from workbench.runs.compare import Side
from workbench.tui.panels.samples import SamplePanel, group

WIDE, HIGH = 36, 11
"""Least columns and rows of a sample."""


class SideBySide(Container):
    """`follow` shows the runs; `turn` goes to the next kind of sample, `move` along the steps."""

    DEFAULT_CSS = """
    SideBySide { layout: grid; width: 1fr; height: 1fr; padding: 0 1; grid-gutter: 1 2; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.kind = ""
        """The panel's name: confusion, digits, …"""
        self.at: float | None = None
        """The step that is asked for; None: the last one that all of them have reached."""
        self._steps: list[int] = []
        self._panels: dict[str, SamplePanel] = {}
        """By the kind of sample and the run."""
        self.words = ""
        """What is shown, in words."""

    @staticmethod
    def kinds(sides: Sequence[Side]) -> list[str]:
        """What can be shown."""
        return list(dict.fromkeys(name for side in sides for name in group(side.history)))

    def follow(self, sides: Sequence[Side], order: Sequence[int], chosen: int | None) -> None:
        """Show as many runs as fit, in this order, from the page on that has the chosen one."""
        kinds = self.kinds(sides)
        if self.kind not in kinds:
            self.kind = kinds[0] if kinds else ""
        tags = {place: group(sides[place].history).get(self.kind, []) for place in order}
        having = [place for place in order if tags[place]]
        columns = max(1, min(len(having), self.size.width // WIDE))
        rows = max(1, min(-(-len(having) // columns), self.size.height // HIGH))
        first = having.index(chosen) // (columns * rows) * columns * rows if chosen in having else 0
        shown = having[first : first + columns * rows]
        steps = [[event.step for tag in tags[place] for event in sides[place].history.samples[tag].events] for place in shown]
        self._steps = sorted({step for own in steps for step in own})
        at = self.at if self.at is not None else min((max(own) for own in steps), default=0)
        self.styles.grid_size_columns = columns
        self.styles.grid_size_rows = rows
        wanted = {f"{self.kind} {sides[place].run.id}": place for place in shown}
        if list(self._panels) != list(wanted):
            # Mounted anew, so that they stand in this order.
            self.remove_children(SamplePanel)
            self._panels = {key: SamplePanel(f"sample {sides[place].name}", sides[place].run.path) for key, place in wanted.items()}
            self.mount_all(self._panels.values())
            # A panel draws once it is laid out.
            self.call_after_refresh(self._draw, sides, wanted, tags, at)
        else:
            self._draw(sides, wanted, tags, at)
        more = f", {len(having)} in all: n shows the next" if len(having) > len(shown) else ""
        lacking = f"; {len(order) - len(having)} have none" if len(having) < len(order) else ""
        self.words = f"{self.kind} at step {at:,.0f}, {len(shown)} runs{more}{lacking}" if shown else "no run has samples"

    def _draw(self, sides: Sequence[Side], shown: dict[str, int], tags: dict[int, list[str]], at: float) -> None:
        for key, panel in self._panels.items():
            if key in shown:
                panel.follow(sides[shown[key]].history, tags[shown[key]], at=at)

    def turn(self, sides: Sequence[Side]) -> None:
        """Show the next kind of sample."""
        kinds = self.kinds(sides)
        if kinds:
            self.kind = kinds[(kinds.index(self.kind) + 1) % len(kinds)] if self.kind in kinds else kinds[0]

    def move(self, by: int) -> None:
        """Go to the next step at which one of them has a sample."""
        if self._steps:
            at = self._steps[-1] if self.at is None else self.at
            place = bisect_right(self._steps, at) if by > 0 else bisect_left(self._steps, at) - 1
            self.at = self._steps[max(0, min(place, len(self._steps) - 1))]
