"""How the app opens its screens. Their modules are imported when they are first opened, so that the list of recipes is painted early."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import App

from workbench.problems import Problem
from workbench.recipes.load import Loaded
from workbench.tui.screens.key_screen import KeyScreen

if TYPE_CHECKING:
    from workbench.recipes.recipe import Recipe
    from workbench.runs.comparisons import Comparison
    from workbench.runs.run import Run
    from workbench.runs.tunings import Tuning
    from workbench.runs.views import View
    from workbench.tui.keys import Key
    from workbench.tui.models.library import Library


class Opening(App[None], inherit_bindings=False):
    """The part of the app that opens screens."""

    library: Library

    def open_form(self, loaded: Loaded, changes: dict[str, str] | None = None) -> None:
        """Show a recipe's settings, so that a person can change them before the start."""
        from workbench.tui.screens.form import FormScreen

        self.push_screen(FormScreen(loaded, changes))

    def explore(self, source: Run | Loaded) -> None:
        """Open the screen on which a person explores a lesson, or what a run has learnt."""
        from workbench.tui.models.requests import request_schema
        from workbench.tui.screens.explore import ExploreScreen

        if isinstance(source, Loaded):
            self.push_screen(ExploreScreen(source, source.recipe, source.schema.request if source.schema else {}))
        else:
            recipe = source.recipe()
            self.push_screen(ExploreScreen(source, recipe, request_schema(source, recipe)))

    def open_comparison(self, comparison: Comparison) -> None:
        """Show a comparison: its curves, and the table of its variants."""
        from workbench.tui.screens.comparison import ComparisonScreen

        if isinstance(self.screen, KeyScreen) and self.screen.PASSING:
            self.screen.dismiss()
        if not (isinstance(self.screen, ComparisonScreen) and self.screen.comparison == comparison):
            self.push_screen(ComparisonScreen(comparison))

    def open_tuning(self, tuning: Tuning) -> None:
        """Show a tuning: its trials, and what was learnt from them."""
        from workbench.tui.screens.tuning import TuningScreen

        if isinstance(self.screen, KeyScreen) and self.screen.PASSING:
            self.screen.dismiss()
        if not (isinstance(self.screen, TuningScreen) and self.screen.tuning == tuning):
            self.push_screen(TuningScreen(tuning))

    def open_view(self, view: View) -> None:
        """Show the runs of a saved view; says which of them are gone."""
        from workbench.runs.views import runs_of
        from workbench.tui.screens.compare import CompareScreen

        try:
            runs, remark = runs_of(view)
        except Problem as problem:
            self.notify(str(problem), severity="warning", timeout=8, markup=False)
            return
        if remark:
            self.notify(remark, severity="warning", timeout=8, markup=False)
        self.push_screen(CompareScreen([self.library.feed(run) for run in runs], view))

    def open_run(self, run: Run) -> None:
        """Show a run."""
        from workbench.tui.screens.run import RunScreen

        # A start form is done once its run opens: Esc on the run then leads back to the list.
        if isinstance(self.screen, KeyScreen) and self.screen.PASSING:
            self.screen.dismiss()
        if isinstance(self.screen, RunScreen) and self.screen.feed.run == run:
            return  # Enter pressed twice quickly, or a choice of the finder
        feed = self.library.feed(run)
        feed.ask()
        self.push_screen(RunScreen(feed))

    def open_help(self, keys: tuple[Key, ...]) -> None:
        """Show what every key of a screen does."""
        from workbench.tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(keys))

    def open_finder(self) -> None:
        """Show the finder over the screen that is open."""
        from workbench.tui.screens.finder import Finder

        if not isinstance(self.screen, Finder):
            self.push_screen(Finder())

    def try_run(self, run: Run, recipe: Recipe) -> None:
        """Open the screen on which a person tries a run's network."""
        from workbench.tui.models import answering

        kind = answering.takes(run, recipe)
        if kind == "picture":
            from workbench.tui.screens.try_picture import TryPictureScreen

            self.push_screen(TryPictureScreen(run))
        else:
            from workbench.tui.screens.try_form import TryFormScreen

            self.push_screen(TryFormScreen(run, kind))
