"""The finder (ctrl+p): recipes, runs and what keys do, by a few letters of their names. Textual's command palette with our commands."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.markup import escape

from workbench.tui.drawing import palette
from workbench.tui.panels.run_rows import run_title

if TYPE_CHECKING:
    from workbench.tui.keys import KeyScreen


class Found(NamedTuple):
    """One thing that can be done."""

    name: str
    help: str
    do: Callable[[], None]


def commands(screen: "KeyScreen") -> Iterator[Found]:
    """All that can be done from a screen: its keys, then themes, recipes and runs."""
    app = screen.app
    for key in screen.KEYS:
        if key.name not in ("palette", "up", "down"):
            yield Found(f"{key.help}  ({key.cap})", screen.refusal(key.name), partial(screen.action_press, key.name))
    for theme in palette.THEMES:
        yield Found(f"Colours: {theme}", "", partial(app.wear, theme))
    for shelved in app.library.shelf:
        yield Found(f"Recipe: {shelved.title}", shelved.path.stem, partial(app.show_recipe, str(shelved.path)))
    for entry in app.library.entries.values():
        yield Found(f"Run: {run_title(entry)}", entry.run.id, partial(app.open_run, entry.run))


class Commands(Provider):
    """What the palette asks."""

    async def discover(self) -> Hits:
        for found in self._all():
            yield DiscoveryHit(Text(found.name), found.do, found.name, escape(found.help) or None)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for found in self._all():
            score = max(matcher.match(found.name), matcher.match(found.help))
            if score > 0:
                yield Hit(score, Text(found.name), found.do, found.name, escape(found.help) or None)

    def _all(self) -> Iterator[Found]:
        from workbench.tui.keys import KeyScreen

        if isinstance(self.screen, KeyScreen):
            yield from commands(self.screen)


def open_finder(screen: "KeyScreen") -> None:
    """Show it over a screen."""
    screen.app.push_screen(CommandPalette(providers=[Commands], placeholder="recipe, run, or what to do"))
