"""The finder (ctrl+p): recipes, runs and what keys do, by a few letters of their names. Textual's command palette with our commands."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from rich.text import Text
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.markup import escape

from workbench.tui.drawing import palette
from workbench.tui.panels.run_rows import run_title
from workbench.tui.screens.key_screen import KeyScreen


class Action(NamedTuple):
    """One thing that can be done."""

    name: str
    help: str
    do: Callable[[], None]


def commands(screen: KeyScreen) -> Iterator[Action]:
    """All that can be done from a screen: its keys, then themes, recipes and runs."""
    services = screen.services
    for key in screen.KEYS:
        if key.name not in ("palette", "up", "down"):
            yield Action(f"{key.help}  ({key.cap})", screen.refusal(key.name), partial(screen.action_press, key.name))
    for theme in palette.THEMES:
        yield Action(f"Colours: {theme}", "", partial(services.wear, theme))
    for shelved in services.library.shelf:
        yield Action(f"Recipe: {shelved.title}", shelved.path.stem, partial(services.show_recipe, str(shelved.path)))
    for entry in services.library.entries.values():
        yield Action(f"Run: {run_title(entry)}", entry.run.id, partial(services.open_run, entry.run))


class Commands(Provider):
    """What the palette asks."""

    async def discover(self) -> Hits:
        for action in self._all():
            yield DiscoveryHit(Text(action.name), action.do, action.name, escape(action.help) or None)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action in self._all():
            score = max(matcher.match(action.name), matcher.match(action.help))
            if score > 0:
                yield Hit(score, Text(action.name), action.do, action.name, escape(action.help) or None)

    def _all(self) -> Iterator[Action]:
        if isinstance(self.screen, KeyScreen):
            yield from commands(self.screen)


def finder() -> CommandPalette:
    """The screen of the finder."""
    return CommandPalette(providers=[Commands], placeholder="recipe, run, or what to do")
