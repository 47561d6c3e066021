"""Probabilities as bars, the largest one marked: the classes of a picture, or the next character."""

from collections.abc import Mapping

from rich.cells import cell_len
from textual.strip import Strip

from workbench.problems import one_line
from workbench.tui.drawing import palette, strips
from workbench.tui.panels.lines import Lines

SHORTEST = 8
"""Least cells of the longest bar; names are cut to leave it this room."""
EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, room: int) -> str:
    """A bar over a share, 0 to 1, of `room` cells, exact to an eighth of a cell."""
    eighths = round(max(0.0, min(1.0, share)) * room * 8)
    return "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")


def changes(amounts: Mapping[str, float], width: int) -> list[Strip]:
    """A line with a bar for each signed amount; the largest fills the width, and positive and negative amounts differ in colour."""
    names = {one_line(name, 40): amount for name, amount in amounts.items()}
    label = min(max(map(cell_len, names), default=0), max(4, width // 3))
    largest = max(map(abs, amounts.values()), default=0) or 1.0
    return [
        strips.line(
            width,
            [
                (strips.fit(name, label, "right"), palette.plain),
                (f" {amount:+.3f} ", palette.dim),
                (bar(abs(amount) / largest, width - label - 8), palette.good if amount > 0 else palette.bad),
            ],
        )
        for name, amount in names.items()
    ]


class Bars(Lines):
    """Shows the shares of the last `follow`: in the given order if all fit, else the largest first."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.shares: dict[str, float] = {}

    def follow(self, shares: Mapping[str, float]) -> None:
        """Show these shares: name → 0 … 1."""
        self.shares = {one_line(str(name), 40) or "·": float(share) for name, share in shares.items()}
        self.rebuild()

    def lines(self, width: int) -> list[Strip]:
        shares = list(self.shares.items())
        if len(shares) > max(1, self.size.height):
            shares.sort(key=lambda pair: -pair[1])
        best = max(self.shares, key=lambda name: self.shares[name], default="")
        label = min(max((cell_len(name) for name, _ in shares), default=0), max(4, width // 3, width - SHORTEST - 9))
        room = max(4, width - label - 9)
        rows = []
        for name, share in shares:
            style = palette.accent if name == best else palette.faint
            look = palette.bold if name == best else palette.dim
            rows.append(
                strips.line(
                    width,
                    [(strips.fit(name, label, "right") + " ", look), (strips.fit(bar(share, room), room), style), (f"{share:>7.1%}", look)],
                )
            )
        return rows
