"""The terminal program: `run()` opens it. It starts runs and shows them; closing it changes nothing about any run."""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import RenderableType
from textual import events
from textual._compositor import CompositorUpdate
from textual._styles_cache import StylesCache
from textual.app import App
from textual.screen import Screen
from textual.theme import Theme
from textual.widget import Widget

from workbench import preferences
from workbench.problems import Problem
from workbench.recipes.load import Loaded
from workbench.recipes.recipe import Recipe
from workbench.tui.drawing import palette
from workbench.tui.drawing.frame_diff import Frame, Ready
from workbench.tui.keys import Key
from workbench.tui.models.library import Library
from workbench.tui.screens.key_screen import KeyScreen
from workbench.tui.screens.recipes import RecipesScreen

if TYPE_CHECKING:
    from workbench.runs.run import Run
    from workbench.tui.models.ended_runs import Endings


ENDINGS = 2.0
"""Seconds between two looks for runs that have ended."""
TIDY = 30.0
"""Seconds between two collections of the garbage that lived long."""
# As Textual has it, its cache keeps every widget that ever was painted, with its lines. A Textual without that cache is as well.
StylesCache.get_inner_outer = getattr(StylesCache.get_inner_outer, "__wrapped__", StylesCache.get_inner_outer)  # type: ignore[method-assign]


class DlwbApp(App[None], inherit_bindings=False):
    """Screens ask it for everything that starts, steers or opens a run."""

    TITLE = "dlwb"
    CSS_PATH = "dlwb.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = []

    def __init__(self) -> None:
        super().__init__()
        self.library = Library()
        self._endings: Endings | None = None
        self.frame = Frame()
        self.starting = False
        """Set from Enter on a recipe until its run's screen is there."""
        for name, colors in palette.THEMES.items():
            base_colors = {"foreground": colors.text, "background": colors.ground, "surface": colors.raised, "panel": colors.raised}
            meanings = {"success": colors.good, "warning": colors.warn, "error": colors.bad, "accent": colors.accent}
            self.register_theme(
                Theme(name, colors.accent, dark=colors.dark, variables=palette.variables(name), **base_colors, **meanings)  # type: ignore[arg-type]
            )
        theme = preferences.get("theme")
        self.wear(palette.fitting(self.console.color_system) if theme == "auto" else theme)

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Textual's way to the terminal, narrowed to the cells that differ from what stands there."""
        if isinstance(renderable, CompositorUpdate) and not self._batch_count and not self.is_headless:
            text = self.frame.output(renderable, self.size, self.console)
            cursor = self.screen.outer_size.clamp_offset(self.cursor_position)
            renderable = Ready(text) if text or cursor != self._previous_cursor_position else None
        super()._display(screen, renderable)

    async def on_event(self, event: events.Event) -> None:
        """A letter that was on its way when a field opened is the field's: `/` and a word in one go filter."""
        if isinstance(event, events.Key) and event.is_forwarded and event.is_printable and self.focused is not None:
            from textual.widgets import Input  # later than the first list

            if isinstance(self.focused, Input):
                self.focused.post_message(events.Key(event.key, event.character))
                return
        await super().on_event(event)

    def on_mount(self) -> None:
        self.set_timer(0.3, self._look_for_ends)  # once the list is painted
        self.set_interval(ENDINGS, self._look_for_ends)
        self.set_interval(TIDY, lambda: gc.collect())

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return palette.variables("dark")

    def wear(self, theme: str) -> None:
        """Show everything in the colours of a theme, from now on."""
        palette.use(theme)
        self.theme = theme
        for screen in self.screen_stack if self._running else ():
            if isinstance(screen, KeyScreen):
                screen.restyle()

    def get_default_screen(self) -> RecipesScreen:
        return RecipesScreen()

    def show_list(self, name: str) -> None:
        """Show one of the lists: the recipes are the screen below all others; each list keeps its cursor and its filter."""
        if self.is_screen_installed(name) and self.screen is self.get_screen(name):
            return
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if name != "recipes":
            if not self.is_screen_installed(name):
                module = importlib.import_module(f"workbench.tui.screens.{name}")
                self.install_screen(getattr(module, f"{name.capitalize()}Screen")(), name)
            self.push_screen(name)

    def show_recipe(self, path: str) -> None:
        """Show the list of recipes with the cursor on one of them."""
        self.show_list("recipes")
        assert isinstance(self.screen, RecipesScreen)
        self.screen.rows.select(path)

    def open_form(self, loaded: Loaded, changes: dict[str, str] | None = None) -> None:
        """Show a recipe's settings, to be changed before it starts."""
        from workbench.tui.screens.form import FormScreen

        self.push_screen(FormScreen(loaded, changes))

    def again(self, run: Run) -> None:
        """Show the form of a run's recipe, with the settings that the run had."""
        from workbench.recipes.load import load_recipe
        from workbench.tui.models.recipe_form import differences

        try:
            loaded = load_recipe(str(run.about().get("recipe", "")), describe=False)
            self.open_form(loaded, differences(loaded, run.recipe()))
        except (Problem, OSError) as problem:
            self.say(f"Its recipe cannot be read any more: {problem}", warning=True)

    def start(self, loaded: Loaded) -> None:
        """Make a run of a recipe and open it; a person's own code is asked about first."""
        file = loaded.project_file
        if file is not None:
            from workbench.recipes import trust

            if not trust.is_trusted(file):
                from workbench.tui.screens.question import trust_question

                self.push_screen(trust_question(file), partial(self._trusted, loaded))
                return
        self._begin(loaded)

    def _begin(self, loaded: Loaded) -> None:
        if self.starting:
            return  # Enter twice in a hurry is one run
        self.starting = True
        self._in_thread(lambda: self._create(loaded))

    def _trusted(self, loaded: Loaded, answer: bool | None) -> None:
        if answer and loaded.project_file:
            from workbench.recipes import trust

            trust.trust(loaded.project_file)
            self._begin(loaded)

    def _create(self, loaded: Loaded) -> None:
        from workbench.launch import start as launch
        from workbench.recipes.load import load_recipe

        try:
            if loaded.schema is None:
                loaded = load_recipe(loaded.path, loaded.overrides)
            run = launch.create(loaded, *launch.choose(loaded))
            feed = self.library.feed(run)
            feed.launching = True
            self.call_from_thread(self.open_run, run)
        finally:
            self.starting = False
        try:
            launch.launch(run)
        finally:
            feed.launching = False

    def warm_up(self) -> None:
        """Import what a run's screen needs, and write down what was read, while the person reads the list."""
        index = self.library.index

        def work() -> None:
            if index:
                index.keep()
            importlib.import_module("workbench.tui.screens.run")
            gc.freeze()
            gc.enable()

        self.run_worker(work, thread=True, exit_on_error=False)

    def open_run(self, run: Run) -> None:
        """Show a run."""
        from workbench.tui.screens.run import RunScreen

        if isinstance(self.screen, KeyScreen) and self.screen.PASSING:
            self.pop_screen()
        feed = self.library.feed(run)
        feed.ask()
        self.push_screen(RunScreen(feed))

    def open_help(self, keys: tuple[Key, ...]) -> None:
        """Show what every key of a screen does."""
        from workbench.tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(keys))

    def open_finder(self) -> None:
        """Show the finder over the screen that is open."""
        from workbench.tui.screens.finder import finder

        self.push_screen(finder())

    def try_run(self, run: Run, recipe: Recipe) -> None:
        """Open the screen on which a run's network is asked."""
        from workbench.tui.models import answering

        feed, kind = self.library.feed(run), answering.takes(run, recipe)
        if kind == "picture":
            from workbench.tui.screens.try_picture import TryPictureScreen

            self.push_screen(TryPictureScreen(feed))
        else:
            from workbench.tui.screens.try_form import TryFormScreen

            self.push_screen(TryFormScreen(feed, kind))

    def steer(self, run: Run, verb: str, request: dict[str, Any] | None = None) -> None:
        """Tell a run something; killing it is asked about first."""
        if verb == "kill":
            from workbench.tui.screens.question import kill_question

            self.push_screen(kill_question(run), lambda answer: self._steer(run, verb, None) if answer else None)
        else:
            self._steer(run, verb, request)

    def _steer(self, run: Run, verb: str, request: dict[str, Any] | None) -> None:
        from workbench.tui.models import run_actions as steer

        def ask() -> None:
            reply, command = steer.ask(run, verb, request)
            if command:
                self.library.feed(run).asked[command] = verb
            self.call_from_thread(self.say, reply)
            if not run.path.exists():
                self.call_from_thread(self._gone, run)

        self._in_thread(ask)

    def _gone(self, run: Run) -> None:
        """A start was taken back."""
        self.library.forget(run)
        if getattr(getattr(self.screen, "feed", None), "run", None) == run:
            self.pop_screen()

    def export(self, run: Run, panel: Widget | None = None) -> None:
        """Offer the ways to get a run out of here, and what this panel shows."""
        from workbench.tui.screens.export import ExportScreen, shown

        self.push_screen(ExportScreen(run, *shown(run, panel)))

    def copy(self, text: str) -> None:
        """Put text on the clipboard of the person's own terminal. Raises Problem for too much of it."""
        from workbench import terminal

        self.send(terminal.clipboard(text))

    def send(self, sequence: str) -> None:
        """Say something to the terminal itself; only what `workbench.terminal` makes."""
        if self._driver and sequence:
            self._driver.write(sequence)
            self._driver.flush()

    def _look_for_ends(self) -> None:
        """Tell of runs that have ended, whoever started them."""
        from workbench import terminal
        from workbench.tui.models.ended_runs import Endings

        self._endings = self._endings or Endings()
        for run, state in self._endings.look():
            self.say(f"{run.id}: {state.words}", warning=state.state == "failed")
            if (how := preferences.get("notice")) != "off":
                self.send(terminal.BELL + (terminal.notice(f"{run.id} {state.words}") if how == "notice" else ""))

    def say(self, text: str, *, warning: bool = False) -> None:
        """A line in the corner for a few seconds; foreign text is fine."""
        self.notify(text, severity="warning" if warning else "information", markup=False, timeout=8 if warning else 4)

    def _in_thread(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Problem as problem:
                self.call_from_thread(self.say, str(problem), warning=True)

        self.run_worker(guarded, thread=True, exit_on_error=True)


def run() -> None:
    """Open the terminal program and wait until it is closed."""
    gc.set_threshold(2000, 10, 1_000_000)  # the oldest only at set times: it takes longer than a key may wait
    if os.isatty(0):
        threading.Thread(target=_end_with_terminal, daemon=True).start()
    DlwbApp().run()


def _end_with_terminal() -> None:
    """Where it is nobody's controlling terminal no SIGHUP tells of its end, and Textual would read nothing from it, at once, for ever."""
    hangup = select.poll()
    hangup.register(0, 0)
    hangup.poll()
    signal.raise_signal(signal.SIGHUP)  # to this thread: it ends before the next line
    os._exit(128 + signal.SIGHUP)  # where SIGHUP is ignored
