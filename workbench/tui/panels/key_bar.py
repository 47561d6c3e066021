"""The footer: the keys of the screen, from its table; a click does the same as the key. Keys that are refused now are faint."""

from typing import NamedTuple

from rich.cells import cell_len
from textual import events
from textual.strip import Strip

from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key, Keyed
from workbench.tui.panels.lines import Lines


class _Place(NamedTuple):
    key: Key
    start: int
    cap: str

    @property
    def end(self) -> int:
        return self.start + cell_len(self.cap) + cell_len(self.key.label) + 1


def _room(key: Key) -> int:
    return cell_len(key.cap.split(" ")[0]) + cell_len(key.label) + 3


class KeyBar(Lines):
    """One line; help, find and quit are at the right and always visible."""

    DEFAULT_CSS = "KeyBar { height: 1; }"

    def _places(self, width: int) -> list[_Place]:
        screen = self.screen
        table = [key for key in screen.KEYS if key.label] if isinstance(screen, Keyed) else []
        right = [key for key in table if key in keys.ALWAYS]
        places: list[_Place] = []
        column = 0
        room = end = width - sum(_room(key) for key in right)
        fitting = []
        # Where not all keys fit, those that are refused now are left out first.
        for key in sorted(table, key=lambda key: bool(screen.refusal(key.name))) if isinstance(screen, Keyed) else ():
            if key not in right and _room(key) <= room:
                fitting.append(key)
                room -= _room(key)
        # Back into the order of the table, so that keys keep their places when their state changes.
        for key in sorted(fitting, key=table.index):
            places.append(_Place(key, column, f" {key.cap.split(' ')[0]} "))
            column = places[-1].end
        for key in right:
            places.append(_Place(key, end, f" {key.cap.split(' ')[0]} "))
            end = places[-1].end
        return places

    def lines(self, width: int) -> list[Strip]:
        screen = self.screen
        parts: list[strips.Part] = []
        column = 0
        for place in self._places(width):
            refused = isinstance(screen, Keyed) and bool(screen.refusal(place.key.name))
            parts.append((" " * (place.start - column), palette.plain))
            parts += [
                (place.cap, palette.faint if refused else palette.heading),
                (place.key.label, palette.faint if refused else palette.dim),
            ]
            # The blank after a label belongs to the place, and is drawn with the next one.
            column = place.end - 1
        return [strips.line(width, parts)]

    def on_click(self, event: events.Click) -> None:
        screen = self.screen
        for place in self._places(self.size.width):
            if place.start <= event.x < place.end and isinstance(screen, Keyed):
                screen.action_press(place.key.name)
                return
