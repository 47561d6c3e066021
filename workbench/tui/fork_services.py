"""What the app does with forks for its screens: offers the checkpoints of a run, starts a fork, rolls a run back, compares a family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.problems import Problem
from workbench.tui.endpoint_services import EndpointServices

if TYPE_CHECKING:
    from workbench.runs.family import Branch
    from workbench.runs.history import History
    from workbench.runs.run import Run


class ForkServices(EndpointServices, inherit_bindings=False):
    """The part of the app that goes on from checkpoints."""

    if TYPE_CHECKING:

        def _gone(self, run: Run) -> None: ...

    def branch(self, run: Run, step: int | None = None) -> None:
        """Offer to go on from the newest checkpoint of a run up to a step, by default the last one."""
        from workbench.runs.history import history_of

        feed = self.library.feed(run)
        feed.ask()
        if feed.caught_up:
            self._offer(run, feed.history, step)
        else:  # from the list: nobody has read its log yet
            self._in_thread(lambda: self.call_from_thread(self._offer, run, history_of(run.events), step))

    def _offer(self, run: Run, history: History, step: int | None) -> None:
        from workbench.tui.screens.branch import BranchScreen

        try:
            keep_every = run.recipe().train.keep_every
            self.push_screen(BranchScreen(run, history, self.library.feed(run).state, keep_every, self.library.relatives(run), step))
        except Problem as problem:
            self.say(str(problem), warning=True)

    def open_fork(self, run: Run, branch: Branch, history: History, *, repeat: bool) -> None:
        """Show the settings that a fork may change."""
        from workbench.launch import forking
        from workbench.tui.screens.fork import ForkScreen

        def show() -> None:
            loaded = forking.loaded_recipe(run)
            self.call_from_thread(self.push_screen, ForkScreen(run, loaded, history, branch, repeat=repeat))

        # A person's own project may have to be asked what its settings are.
        self._in_thread(show)

    def fork(self, run: Run, branch: Branch, changes: Sequence[str], *, repeat: bool) -> None:
        """Start a fork and open it; leave it again where its settings do not fit the checkpoint."""
        from workbench.launch import forking
        from workbench.launch import start as launch

        def work() -> None:
            fork, remark = forking.create(run, branch, changes, repeat=repeat)
            feed = self.library.feed(fork)
            feed.launching = True
            self.call_from_thread(self.open_run, fork)
            try:
                launch.launch(fork)
            finally:
                feed.launching = False
            if remark:
                self.call_from_thread(self.say, remark)
            try:
                forking.settle(fork)
            finally:
                if not fork.path.exists():
                    self.call_from_thread(self._gone, fork)

        self._in_thread(work)

    def roll_back(self, run: Run, branch: Branch, *, repeat: bool) -> None:
        """Roll a run back to a checkpoint, after a question."""
        from workbench.launch import forking
        from workbench.tui.screens.question import QuestionScreen

        def work() -> None:
            feed = self.library.feed(run)
            feed.launching = True
            try:
                remark = forking.roll_back(run, branch, repeat=repeat)
            finally:
                feed.launching = False
            self.call_from_thread(self.say, remark or f"It goes on from the {branch.name}.")

        question = QuestionScreen("Roll this run back?", [(forking.question(run, branch), False), (INSTEAD, False)], "roll it back")
        self.push_screen(question, lambda answer: self._in_thread(work) if answer else None)

    def compare(self, runs: Sequence[Run]) -> None:
        """Show runs side by side."""
        from workbench.tui.screens.compare import CompareScreen

        self.push_screen(CompareScreen([self.library.feed(run) for run in runs]))


INSTEAD = "A fork would leave it as it is."
