"""The terminal program: `run()` opens it. It starts runs and shows them; runs go on when it is closed."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import RenderableType
from textual import events
from textual._compositor import CompositorUpdate
from textual._styles_cache import StylesCache
from textual.filter import LineFilter
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.theme import Theme
from textual.widget import Widget

from workbench import preferences
from workbench.problems import Problem, clean
from workbench.recipes.load import Loaded
from workbench.tui.drawing import palette
from workbench.tui.drawing.driver import Terminal
from workbench.tui.drawing.frame_diff import Frame, Ready
from workbench.tui.drawing.strips import Shown, shown
from workbench.tui.ending import end_with_terminal, need_terminal, report
from workbench.tui.fork_services import ForkServices
from workbench.tui.models.library import Library
from workbench.tui.screens.key_screen import KeyScreen
from workbench.tui.screens.recipes import RecipesScreen

if TYPE_CHECKING:
    from workbench.runs.comparisons import Comparison
    from workbench.runs.export.many import Many
    from workbench.runs.run import Run
    from workbench.runs.tunings import Tuning
    from workbench.tui.models.ended_runs import Endings
    from workbench.tui.models.ringing import Ringing


# A person who watches another window wants to hear of an end soon; a look costs one lock test for each run.
ENDINGS = 2.0
"""Seconds between two checks for runs that have ended."""
# One full collection takes longer than a key press may wait, so it runs seldom and never by itself: see `run`.
TIDY = 30.0
"""Seconds between two full garbage collections."""
# Textual wraps this method in a cache that keeps every painted widget and its lines alive: memory grows with each screen that is
# opened. We take the wrapped method out of the cache. A later Textual without the cache works too.
StylesCache.get_inner_outer = getattr(StylesCache.get_inner_outer, "__wrapped__", StylesCache.get_inner_outer)  # type: ignore[method-assign]


class DlwbApp(ForkServices, inherit_bindings=False):
    """The app: its screens ask it to start, steer and open runs."""

    TITLE = "dlwb"
    CSS_PATH = "dlwb.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = []

    def __init__(self) -> None:
        super().__init__(driver_class=Terminal)
        self.library = Library()
        self._endings: Endings | None = None
        self._ringing: Ringing | None = None
        self.failure: Exception | None = None
        """The first exception that nobody caught."""
        self.frame = Frame()
        self._shown = Shown()
        self.opened: Sequence[Run] = ()
        """Runs that are shown first."""
        self.starting = False
        """True from Enter on a recipe until the screen of its run opens."""
        self._keeping = False
        """Whether this program has a Python with torch wait."""
        # Textual needs its own names for the colours: $foreground, $background, $success, …
        for name, colors in palette.THEMES.items():
            base_colors = {"foreground": colors.text, "background": colors.ground, "surface": colors.raised, "panel": colors.raised}
            meanings = {"success": colors.good, "warning": colors.warn, "error": colors.bad, "accent": colors.accent}
            self.register_theme(
                Theme(name, colors.accent, dark=colors.dark, variables=palette.variables(name), **base_colors, **meanings)  # type: ignore[arg-type]
            )
        # "auto" looks at the number of colours and at $COLORFGBG; a theme that the person chose wins.
        theme = preferences.get("theme")
        self.wear(palette.fitting(self.console.color_system) if theme == "auto" else theme)

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Write an update to the terminal: only the cells that differ from what the terminal shows."""
        # During a batch Textual draws nothing itself; without a terminal (tests) there is no frame to compare with.
        if isinstance(renderable, CompositorUpdate) and not self._batch_count and not self.is_headless:
            text = self.frame.output(renderable, self.size, self.console)
            cursor = self.screen.outer_size.clamp_offset(self.cursor_position)
            # Nothing to write, but the cursor moved: Textual must still move it.
            renderable = Ready(text) if text or cursor != self._previous_cursor_position else None
        super()._display(screen, renderable)

    def get_line_filters(self) -> list[LineFilter]:
        # Every line of every widget passes here, so no screen can forget to clean a name or a title.
        return [*super().get_line_filters(), self._shown]

    async def on_event(self, event: events.Event) -> None:
        """Clean what is pasted; give a letter that was typed while a field opened to that field: `/` and a word at once filter a list."""
        if isinstance(event, events.Paste):
            event.text = clean(event.text)
        # The key went to the screen before the focus moved, and bubbled up to here: without this it would be lost.
        if isinstance(event, events.Key) and event.is_forwarded and event.is_printable and self.focused is not None:
            from textual.widgets import Input  # costly to import: only after the first list is painted

            if isinstance(self.focused, Input):
                self.focused.post_message(events.Key(event.key, event.character))
                return
        await super().on_event(event)

    def on_mount(self) -> None:
        if len(self.opened) == 1:
            self.open_run(self.opened[0])
        elif self.opened:
            self.show_list("runs")
        self.set_timer(0.3, self._look_for_ends)  # after the list is painted: the first look imports what reads runs
        self.set_interval(ENDINGS, self._look_for_ends)
        self.set_interval(TIDY, lambda: gc.collect())

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return palette.variables("dark")

    def wear(self, theme: str) -> None:
        """Draw everything in the colours of a theme from now on."""
        palette.use(theme)
        self.theme = theme
        # Textual redraws its own styles; our lines of cells hold the old colours and are made anew.
        for screen in self.screen_stack if self._running else ():
            if isinstance(screen, KeyScreen):
                screen.restyle()

    def get_default_screen(self) -> RecipesScreen:
        return RecipesScreen()

    def show_list(self, name: str) -> None:
        """Show one of the lists. The recipes are the bottom screen of the stack; each list keeps its cursor and its filter."""
        if self.is_screen_installed(name) and self.screen is self.get_screen(name):
            return
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if name != "recipes":
            # An installed screen survives `pop_screen`: that is how a list keeps its cursor.
            if not self.is_screen_installed(name):
                module = importlib.import_module(f"workbench.tui.screens.{name}")
                self.install_screen(getattr(module, f"{name.capitalize()}Screen")(), name)
            self.push_screen(name)

    def show_recipe(self, path: str) -> None:
        """Show the list of recipes with the cursor on one of them."""
        self.show_list("recipes")
        assert isinstance(self.screen, RecipesScreen)
        self.screen.rows.select(path)

    def again(self, run: Run) -> None:
        """Show the form of a run's recipe, filled with the settings of the run."""
        from workbench.recipes.load import load_recipe
        from workbench.tui.models.recipe_form import differences

        try:
            loaded = load_recipe(str(run.about().get("recipe", "")), describe=False)
            self.open_form(loaded, differences(loaded, run.recipe()))
        except (Problem, OSError) as problem:
            self.say(f"The run's recipe can no longer be read: {problem}", warning=True)

    def start(self, loaded: Loaded) -> None:
        """Create a run of a recipe and open it. Before a person's own code runs for the first time, ask whether it is trusted."""
        file = loaded.project_file
        if file is not None:
            from workbench.recipes import trust

            if not trust.is_trusted(file):
                from workbench.tui.screens.question import trust_question

                self.push_screen(trust_question(file), partial(self._trusted, loaded))
                return
        self._begin(loaded)

    def _begin(self, loaded: Loaded) -> None:
        if not loaded.trains:
            self.explore(loaded)
            return
        if self.starting:
            return  # Enter pressed twice quickly starts one run
        self.starting = True
        self._in_thread(lambda: self._create(loaded))

    def _trusted(self, loaded: Loaded, answer: bool | None) -> None:
        if answer and loaded.project_file:
            from workbench.recipes import trust

            trust.trust(loaded.project_file)
            self._begin(loaded)

    def _create(self, loaded: Loaded) -> None:
        from workbench.launch import start as launch
        from workbench.launch.comparing import with_seeds as launch_seeds
        from workbench.recipes.course import with_bars
        from workbench.recipes.load import load_recipe
        from workbench.serving import usage

        try:
            # The list loads recipes without asking their projects, but a start needs checked settings. Asking may start a process.
            if loaded.schema is None:
                # With the bars that a teacher's course put in place of the recipe's own, and with the seeds of the form.
                compare = loaded.recipe.compare
                loaded = with_bars(load_recipe(loaded.path, loaded.overrides), loaded.recipe.bar)
                loaded = launch_seeds(loaded, compare.seeds) if compare and not loaded.recipe.compare else loaded
            if not loaded.trains:
                self.call_from_thread(self.explore, loaded)
                return
            if loaded.recipe.compare or loaded.recipe.tune:
                self._look_ahead(loaded)
                return
            run = launch.create(loaded, *launch.choose(loaded))
            feed = self.library.feed(run)
            # The screen opens before the process lives: without this the run would look like one that nobody started.
            feed.launching = True
            self.call_from_thread(self.open_run, run)
        finally:
            self.starting = False
        try:
            launch.launch(run)
        finally:
            feed.launching = False
        if spent := usage.warning():
            self.call_from_thread(self.say, spent, warning=True)

    def _look_ahead(self, loaded: Loaded) -> None:
        """Start a comparison or a tuning; ask first where it has many runs, or takes long."""
        from workbench.launch import comparing, tuning
        from workbench.tui.screens.question import compare_question, tune_question

        question = tune_question(tuning.outlook(loaded)) if loaded.recipe.tune else compare_question(comparing.outlook(loaded))
        if question:
            begin = partial(self._in_thread, partial(self._begin_group, loaded))
            self.call_from_thread(self.push_screen, question, lambda answer: begin() if answer else None)
        else:
            self._begin_group(loaded)

    def _begin_group(self, loaded: Loaded) -> None:
        from workbench.launch import comparing, tuning

        if not loaded.recipe.tune:
            self.call_from_thread(self.open_comparison, comparing.start(loaded))
            return
        started, remarks = tuning.start(loaded)
        self.call_from_thread(self.open_tuning, started)
        for remark in remarks:
            self.call_from_thread(self.say, remark, warning=True)

    def steer_tuning(self, tuning: Tuning, verb: str) -> None:
        """Stop a tuning, or resume it."""
        from workbench.tui.models import run_actions

        self._in_thread(lambda: self.call_from_thread(self.say, run_actions.ask_tuning(tuning, verb)))

    def steer_comparison(self, comparison: Comparison, verb: str) -> None:
        """Stop a comparison, or resume it."""
        from workbench.tui.models import run_actions

        self._in_thread(lambda: self.call_from_thread(self.say, run_actions.ask_comparison(comparison, verb)))

    def warm_up(self) -> None:
        """Import what a run's screen needs, save the index of recipes, have a worker wait, while the person reads the list."""
        index = self.library.index

        def work() -> None:
            if index:
                index.keep()
            importlib.import_module("workbench.tui.screens.run")
            # What is imported by now lives until the end. Frozen, it costs later collections nothing. `cli.main` disabled the collector.
            gc.freeze()
            gc.enable()
            if not self._keeping and not self.is_headless:
                from workbench.launch import warm

                self._keeping = True
                threading.Thread(target=warm.keep, daemon=True).start()

        self.run_worker(work, thread=True, exit_on_error=False)

    def steer(self, run: Run, verb: str, request: dict[str, Any] | None = None) -> None:
        """Send a command to a run; ask first before killing it."""
        if verb == "kill":
            from workbench.tui.screens.question import kill_question

            self.push_screen(kill_question(run), lambda answer: self._steer(run, verb, None) if answer else None)
        else:
            self._steer(run, verb, request)

    def _steer(self, run: Run, verb: str, request: dict[str, Any] | None) -> None:
        from workbench.tui.models import run_actions as steer

        feed = self.library.feed(run)
        feed.sending.append(verb)

        def ask() -> None:
            try:
                reply, command = steer.ask(run, verb, request)
                if command:
                    feed.asked[command] = verb
            finally:
                feed.sending.remove(verb)
            if reply:
                self.call_from_thread(self.say, reply)
            if not run.path.exists():
                self.call_from_thread(self._gone, run)

        self._in_thread(ask)

    def _gone(self, run: Run) -> None:
        """Leave the screen of a run whose start was taken back."""
        self.library.forget(run)
        for screen in self.screen_stack:
            if isinstance(screen, KeyScreen) and getattr(getattr(screen, "feed", None), "run", None) == run:
                screen.leave()

    def export(self, source: Run | Comparison | Tuning | Many, panel: Widget | None = None) -> None:
        """Offer to export a run, a comparison, a tuning or compared runs, or what this panel shows."""
        from workbench.tui.screens.export import ExportScreen, shown

        self.push_screen(ExportScreen(source, *shown(source, panel)))

    def copy(self, text: str) -> None:
        """Put text on the clipboard of the person's own terminal. Raises Problem when the text is too long."""
        from workbench import terminal

        self.send(terminal.clipboard(text))

    def send(self, sequence: str) -> None:
        """Send a control sequence to the terminal; only sequences that `workbench.terminal` makes."""
        if self._driver and sequence:
            # Past the frame diff on purpose: bells and clipboard sequences draw nothing.
            self._driver.write(sequence)
            self._driver.flush()

    def _look_for_ends(self) -> None:
        """Report runs that have ended, passed a bar, or make no steps, whoever started them."""
        from workbench.tui.models.ended_runs import Endings
        from workbench.tui.models.ringing import Ringing

        self._endings = self._endings or Endings()
        self._ringing = self._ringing or Ringing()
        for run, state in self._endings.look():
            if getattr(getattr(self.screen, "feed", None), "run", None) != run:  # its own screen says so already
                self.say(f"{run.id}: {state.words}", warning=state.state == "failed")
            self._ringing.add(f"{run.id} {state.words}")
        for signal in self._ringing.meanwhile():
            self.say(signal.text, warning=signal.what == "stall")
            self._ringing.add(signal.text)
        if sequence := self._ringing.due(preferences.get("notice")):
            self.send(sequence)

    def say(self, text: str, *, warning: bool = False) -> None:
        """Show a notice in the corner for a few seconds; text from outside is safe here."""
        # A warning needs more time to be read.
        self.notify(text, severity="warning" if warning else "information", timeout=8 if warning else 4)

    def notify(
        self, message: str, *, title: str = "", severity: SeverityLevel = "information", timeout: float | None = None, markup: bool = False
    ) -> None:
        """Textual's notice; its text is never read as markup: file names and messages of projects may hold square brackets."""
        super().notify(shown(message), title=shown(title), severity=severity, timeout=timeout, markup=False)

    def _handle_exception(self, error: Exception) -> None:
        """End the program after an exception that nobody caught: one sentence instead of Textual's traceback."""
        if self.is_headless:
            super()._handle_exception(error)  # a test sees the exception itself
        else:
            self.failure = self.failure or error
            self._close_messages_no_wait()

    def _in_thread(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Problem as problem:
                self.call_from_thread(self.say, str(problem), warning=True)

        # A Problem is said above; anything else is a mistake of ours and must not stay silent.
        self.run_worker(guarded, thread=True, exit_on_error=True)


def run(opened: Sequence[Run] = ()) -> None:
    """Open the terminal program and wait until it is closed. `opened`: runs to show at once, one on its screen, several in their list."""
    # Generations 0 and 1 stay automatic. Generation 2 practically never comes by itself: it takes longer than a key press may wait.
    gc.set_threshold(2000, 10, 1_000_000)
    need_terminal()
    threading.Thread(target=end_with_terminal, daemon=True).start()
    app = DlwbApp()
    app.opened = opened
    try:
        app.run()
        failure = app.failure
    except Exception as error:
        failure = error
    if failure:
        print(report(failure), file=sys.stderr)
        sys.exit(1)
