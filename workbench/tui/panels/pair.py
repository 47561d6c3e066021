"""Pair: a drawing, and beside or below it an explanation of one place in it. The base of the matrix with examples and the ROC curve."""

from textual.message import Message
from textual.widget import Widget


class Pair(Widget):
    """The first child is always visible; the second only while `explains` is true and there is room."""

    DEFAULT_CSS = """
    Pair { height: 1fr; width: 1fr; layout: horizontal; }
    Pair > .side { display: none; height: 1fr; width: 1fr; }
    Pair.-beside > .side { display: block; margin-left: 3; }
    Pair.-below { layout: vertical; }
    Pair.-below > .side { display: block; }
    """
    SIDE = (28, 8)
    """Least columns and rows of the second child."""

    class Changed(Message):
        """A person chose another place; the panel's first line shows it."""

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
        """The text at the right edge of the panel's first line."""
        return ""

    @property
    def opened(self) -> bool:
        """Whether the second child is visible."""
        return self.has_class("-beside") or self.has_class("-below")

    def move(self, across: int, down: int, *, page: bool = False) -> None:
        """Move the chosen place by so many steps."""

    def clear(self) -> bool:
        """Choose no place; returns whether one was chosen."""
        return False

    def settle(self) -> None:
        """Divide the room between both children."""
        if not self.children:
            return  # it is being taken down
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
