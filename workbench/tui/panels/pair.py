"""Pair: a drawing, and beside or below it what one of its places means. The base of the matrix with its examples and of the ROC."""

from textual.message import Message
from textual.widget import Widget


class Pair(Widget):
    """The first child is always seen; the second where `explains`, and where there is room."""

    DEFAULT_CSS = """
    Pair { height: 1fr; width: 1fr; layout: horizontal; }
    Pair > .side { display: none; height: 1fr; width: 1fr; }
    Pair.-beside > .side { display: block; margin-left: 3; }
    Pair.-below { layout: vertical; }
    Pair.-below > .side { display: block; }
    """
    SIDE = (28, 8)
    """Columns and rows that the second child needs."""

    class Changed(Message):
        """Another place was chosen: the panel's first line says which."""

    @property
    def explains(self) -> bool:
        """Whether a place is chosen."""
        return False

    @property
    def natural(self) -> tuple[int, int]:
        """Columns and rows that the first child can use."""
        return self.size.width, self.size.height

    @property
    def words(self) -> str:
        """What the panel's first line says at its right edge."""
        return ""

    @property
    def opened(self) -> bool:
        """Whether the second child is seen."""
        return self.has_class("-beside") or self.has_class("-below")

    def move(self, across: int, down: int, *, page: bool = False) -> None:
        """Choose the place so many steps further."""

    def clear(self) -> bool:
        """Choose none; returns whether one was chosen."""
        return False

    def settle(self) -> None:
        """Give both children their room."""
        first = self.children[0]
        (width, height), (wide, tall) = self.size, self.natural
        beside = self.explains and width >= self.SIDE[0] + max(24, min(wide, width // 2)) + 3
        below = self.explains and not beside and height >= self.SIDE[1] + min(tall, height // 2 + 2)
        self.set_class(beside, "-beside")
        self.set_class(below, "-below")
        first.styles.width = min(wide, width - self.SIDE[0] - 3) if beside else "1fr"
        first.styles.height = min(tall, height - self.SIDE[1]) if below else "1fr"

    def on_resize(self) -> None:
        self.settle()
