"""The finder (ctrl+p): finds recipes, runs, endpoints, actions by letters of their names. Textual's command palette with our commands."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from rich.text import Text
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.markup import escape

from workbench.problems import one_line
from workbench.runs.views import list_views
from workbench.tui.drawing import palette
from workbench.tui.panels.run_rows import run_title
from workbench.tui.screens.key_screen import KeyScreen, OwnScreen


class Action(NamedTuple):
    """One action that a person can choose."""

    name: str
    help: str
    do: Callable[[], None]


def commands(screen: KeyScreen) -> Iterator[Action]:
    """All actions on a screen: its keys, themes, recipes, runs, endpoints. File names are cleaned: the palette measures what it shows."""
    services = screen.services
    for key in screen.KEYS:
        if key.name not in ("palette", "up", "down"):  # the finder is open, and moves are no use from here
            yield Action(f"{key.help}  ({key.cap})", screen.refusal(key.name), partial(screen.action_press, key.name))
    for theme in palette.THEMES:
        yield Action(f"Colours: {theme}", "", partial(services.wear, theme))
    for shelved in services.library.shelf:
        if shelved.twice:
            continue
        yield Action(f"Recipe: {shelved.title}", one_line(shelved.path.stem), partial(services.show_recipe, str(shelved.path)))
    for topic in services.library.read_about:
        yield Action(f"Read about: {topic.title}", topic.key, partial(services.show_recipe, topic.key))
    for compared in services.library.comparisons.values():
        comparison = compared.comparison
        yield Action(f"Comparison: {one_line(compared.plan.title)}", one_line(comparison.id), partial(services.open_comparison, comparison))
    for tuned in services.library.tunings.values():
        yield Action(f"Tuning: {one_line(tuned.plan.title)}", one_line(tuned.tuning.id), partial(services.open_tuning, tuned.tuning))
    for view in list_views():
        about = f"view of {len(view.runs)} runs"
        yield Action(f"View: {one_line(view.name)}", about, partial(services.open_view, view))
    for entry in services.library.entries.values():
        yield Action(f"Run: {run_title(entry)}", one_line(entry.run.id), partial(services.open_run, entry.run))
    for listed in services.library.endpoints.values():
        yield Action(f"Endpoint: {listed.endpoint.id}", one_line(listed.url), partial(services.open_endpoint, listed.endpoint))


class Commands(Provider):
    """The source of the palette's entries."""

    async def discover(self) -> Hits:
        for action in self._all():
            # Text and `escape`: titles of recipes are foreign text, and the palette reads plain strings as markup.
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


class Finder(CommandPalette, OwnScreen[Any]):
    """Textual's command palette, which both clicks of a double click beside it close only once."""

    def __init__(self) -> None:
        super().__init__(providers=[Commands], placeholder="recipe, run, endpoint or action")

    def _action_command_list(self, action: str) -> None:
        # PageDown before the list is laid out: Textual's list does not know its lines yet.
        with contextlib.suppress(LookupError):
            super()._action_command_list(action)
