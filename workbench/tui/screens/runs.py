"""The list of live and ended runs: sort, tag, note, delete, restore and compare them; below it a few lines about one run."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Container
from textual.strip import Strip
from textual.timer import Timer

from workbench.problems import Problem
from workbench.runs import notes, own, trash
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.models import answering, run_actions
from workbench.tui.panels import run_rows
from workbench.tui.panels.detail import run_lines
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.rows import Row, Rows
from workbench.tui.screens.list import MOVING, ListScreen

if TYPE_CHECKING:
    from textual.widgets import Input

    from workbench.runs.comparisons import Comparison
    from workbench.runs.run import Run
    from workbench.runs.tunings import Tuning
    from workbench.tui.models.library import Entry

# Longer than the repeat of a held arrow key: a run that the cursor only passes is not read.
REST = 0.1
"""The cursor rests so many seconds on a run before its log is read ahead."""

MOST = 20
"""Most runs in one chart: of more nobody tells one from another."""


class RunsScreen(ListScreen):
    """The list; Enter opens a run."""

    NAME = "runs"
    BELOW = True
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "open", "open", "Open the run", "⏎"),
        Key("space", "mark", "mark", "Mark the run, to compare or delete the marked runs", "Space"),
        Key("c", "compare", "compare", "Compare the marked runs, or a run with its forks: curves, settings that differ, figures"),
        Key("o", "sort", "sort", "Sort by the next column; a click on a column's name sorts too"),
        Key("O", "reverse", "", "Sort in the other direction"),
        Key("g", "tag", "tag", "Give the run tags: words that the list shows and the filter finds"),
        Key("m", "note", "note", "Write a note about the run"),
        Key("x", "export", "export", "Export: one HTML page, CSV, the path"),
        Key(
            "delete,d",
            "delete",
            "delete",
            "Move the run, the marked runs, or all runs of the comparison or the tuning to the trash",
            "d Del",
        ),
        Key("u", "undo", "", "Restore the runs that were deleted last"),
        Key("s", "stop", "stop", "Stop the run under the cursor: it finishes its step and saves a checkpoint"),
        Key("k", "kill", "kill", "Kill the run under the cursor, after a question"),
        Key("r", "resume", "resume", "Resume the run under the cursor"),
        Key("b", "branch", "branch", "Go on from its last checkpoint, or an earlier one: fork a new run from it, or roll it back"),
        Key("h", "hold", "", "Hold the run under the cursor in the queue for GPUs, or release it"),
        Key("F", "front", "", "Move the run under the cursor to the front of the queue for GPUs"),
        Key("U", "usage", "", "Show the device-hours by day, recipe and device, and what is left of the budget"),
        Key("f", "again", "again", "Start a new run: first change these settings in a form"),
        Key("t", "try", "try it", "Try the network of the run under the cursor: draw a digit, give a picture, type a text"),
        Key("v", "serve", "serve", "Make an endpoint of the run: export its best weights and serve them"),
        *MOVING,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self) -> None:
        super().__init__()
        self.order = run_rows.Order()
        self.marked: dict[str, None] = {}
        """Ids in the order of marking: a dict, because a set has no order."""
        self.unfolded: set[str] = set()
        """What all rows below it stand in the list of, however many they are."""
        self._deleted: list[list[Run]] = []
        self._restored = ""
        """The id of a restored run until its row gets the cursor."""
        self._take: Callable[[str], object] | None = None
        self._ahead: Iterator[None] = iter(())
        self._ahead_timer: Timer | None = None

    def on_mount(self) -> None:
        super().on_mount()
        self.rows.reveal = self._reveal

    @property
    def chosen(self) -> "Entry | None":
        """The run under the cursor."""
        return self.library.entries.get(self.rows.key)

    @property
    def compared(self) -> "Comparison | None":
        """The comparison under the cursor."""
        compared = self.library.comparisons.get(self.rows.key)
        return compared.comparison if compared else None

    @property
    def tuned(self) -> "Tuning | None":
        """The tuning under the cursor."""
        tuned = self.library.tunings.get(self.rows.key)
        return tuned.tuning if tuned else None

    @property
    def group(self) -> "Comparison | Tuning | None":
        """What is under the cursor and has runs of its own."""
        return self.compared or self.tuned

    @property
    def chosen_or_marked(self) -> "list[Run]":
        """The marked runs; without marks, the run under the cursor."""
        marked = [self.library.entries[key].run for key in self.marked if key in self.library.entries]
        return marked or ([self.chosen.run] if self.chosen else [])

    def make_rows(self, width: int) -> Sequence[Row]:
        return run_rows.run_rows(self.library, width, self.words, self.order, self.marked, self.unfolded)

    def pane_lines(self, width: int) -> Sequence[Strip]:
        chosen = self.chosen
        if compared := self.library.comparisons.get(self.rows.key):
            return run_rows.comparison_lines(compared, width)
        if tuned := self.library.tunings.get(self.rows.key):
            return run_rows.tuning_lines(tuned, width)
        if key := run_rows.folded_below(self.rows.key):
            return run_rows.fold_lines(self.library, key, width)
        return run_lines(chosen, width) if chosen else run_rows.no_runs(width, bool(self.library.entries))

    def rested(self) -> None:
        """Read the log of the run under the cursor ahead, so that Enter opens it at once."""
        if self._ahead_timer:
            self._ahead_timer.stop()
        self._ahead = self.library.ahead(self.rows.key)
        self._ahead_timer = self.set_timer(REST, self._read_ahead)

    def _read_ahead(self) -> None:
        if self.is_active and next(self._ahead, self) is None:
            # 2 ms between two slices leave the event loop free for keys.
            self._ahead_timer = self.set_timer(0.002, self._read_ahead)

    # -- keys ------------------------------------------------------------------------------------------------------------------

    def refusal(self, name: str) -> str:
        chosen = self.chosen
        if self.group and name in ("try", "serve", "kill", "again", "branch", "mark", "tag", "note", "hold", "front", "stop", "resume"):
            if name not in ("stop", "resume"):
                return f"This is a {'comparison' if self.compared else 'tuning'}: its runs stand below it."
            if self.tuned:
                return run_actions.tuning_refusal(self.library.tunings[self.rows.key].standing.state, name)
            return run_actions.comparison_refusal(self.library.comparisons[self.rows.key].standing.state, name)
        if chosen and (reason := own.refusal(chosen.recipe, name)):
            return reason
        if name == "try":
            return answering.refusal(chosen.run, chosen.recipe) if chosen else "There is no run here to try."
        if name == "serve":
            return run_actions.no_endpoint(chosen.run, chosen.state) if chosen else "There is no run here to serve."
        if name in ("hold", "front"):
            verb = {"hold": "hold", "front": "first"}[name]
            return run_actions.no_place(chosen.waiting, verb) if chosen else "There is no run here."
        if name in run_actions.VERBS:
            return run_actions.refusal(chosen.state, name) if chosen else f"There is no run here to {name}."
        if name == "undo":
            return "" if self._deleted else "No run was deleted since you opened dlwb; `dlwb restore RUN` restores older ones."
        if name == "compare" and len(self.chosen_or_marked) < 2 and len(self._relatives) < 2:
            return "First mark two or more runs with space; a run with forks is compared with its family."
        if name == "compare" and len(self.chosen_or_marked) > MOST:
            return f"At most {MOST} runs fit into one chart, and {len(self.chosen_or_marked)} are marked: space takes a mark away."
        if (name in ("open", "export", "delete") and self.group) or (name == "open" and run_rows.folded_below(self.rows.key)):
            return ""
        if name == "branch" and not chosen:
            return "There is no run here to go on from."
        if name in ("open", "mark", "tag", "note", "export", "delete") and not chosen:
            return f"There is no run here to {name}."
        return ""

    def do_open(self) -> None:
        if key := run_rows.folded_below(self.rows.key):
            self.unfolded ^= {key}
            self.fill()
        elif self.compared:
            self.services.open_comparison(self.compared)
        elif self.tuned:
            self.services.open_tuning(self.tuned)
        elif self.chosen:
            self.services.open_run(self.chosen.run)

    def do_try(self) -> None:
        if self.chosen and self.chosen.recipe:
            self.services.try_run(self.chosen.run, self.chosen.recipe)

    def do_serve(self) -> None:
        if self.chosen:
            self.services.serve(self.chosen.run)

    def do_stop(self) -> None:
        self._steer("stop")

    def do_again(self) -> None:
        if self.chosen:
            self.services.again(self.chosen.run)

    def do_branch(self) -> None:
        if self.chosen:
            self.services.branch(self.chosen.run)

    def do_resume(self) -> None:
        self._steer("resume")

    def do_kill(self) -> None:
        self._steer("kill")

    def do_hold(self) -> None:
        if self.chosen and self.chosen.waiting:
            self._steer("release" if self.chosen.waiting.held else "hold")

    def do_front(self) -> None:
        self._steer("first")

    def do_usage(self) -> None:
        from workbench.tui.screens.usage import UsageScreen

        self.app.push_screen(UsageScreen())

    def _steer(self, verb: str) -> None:
        if self.compared:
            self.services.steer_comparison(self.compared, verb)
        elif self.tuned:
            self.services.steer_tuning(self.tuned, verb)
        elif self.chosen:
            self.services.steer(self.chosen.run, verb)

    def do_mark(self) -> None:
        key = self.rows.key
        if key in self.marked:
            del self.marked[key]
        else:
            self.marked[key] = None
        self.rows.move(1)
        self.fill()

    def do_compare(self) -> None:
        self.services.compare(self.chosen_or_marked if self.marked else self._relatives)

    @property
    def _relatives(self) -> "list[Run]":
        return self.library.relatives(self.chosen.run) if self.chosen and not self.marked else []

    def _reveal(self, key: str) -> None:
        """Unfold what a run stands below."""
        if key in self.library.entries:
            self.unfolded |= run_rows.hides(self.library, key)
            self.fill()

    def do_export(self) -> None:
        if source := self.group or (self.chosen and self.chosen.run):
            self.services.export(source)

    # -- sorting ---------------------------------------------------------------------------------------------------------------

    def do_sort(self) -> None:
        self.order = self.order.next([name for name, *_ in self._columns()])
        self.fill()

    def do_reverse(self) -> None:
        self.order = self.order.by(self.order.column)
        self.fill()

    def _columns(self) -> list[run_rows.Column]:
        return run_rows.columns(self.library, self.rows.content_size.width, self.words, self.order)

    @on(Rows.Headed)
    def _headed(self, event: Rows.Headed) -> None:
        column = run_rows.column_at(self._columns(), event.x)
        if column:
            self.order = self.order.by(column)
            self.fill()

    # -- tags, notes, trash ----------------------------------------------------------------------------------------------------

    def do_tag(self) -> None:
        if self.chosen:
            run, old_tags = self.chosen.run, self.chosen.notes.tags
            self._ask("tags", " ".join(old_tags), lambda text: self._tag(run, old_tags, text.split()))

    def _tag(self, run: "Run", old_tags: Sequence[str], words: list[str]) -> None:
        notes.tag(run, [*(f"-{tag}" for tag in old_tags if tag not in words), *words])

    def do_note(self) -> None:
        if self.chosen:
            run = self.chosen.run
            self._ask("note", self.chosen.notes.note, lambda text: notes.note(run, text))

    def _ask(self, label: str, value: str, take: Callable[[str], object]) -> None:
        """Open a line below the list: Enter takes the typed text, Esc drops it."""
        from workbench.tui.panels.form import Entry

        self._close_line()
        self._take = take
        name = Lines()
        name.source = lambda width: [strips.line(width, [(f" {label}".ljust(width), palette.heading + palette.chosen)])]
        field = Entry(value)
        self.mount(Container(name, field, id="line"), before=self.query_one(KeyBar))
        self.set_focus(field)

    def _close_line(self) -> None:
        for line in self.query("#line"):
            line.remove()
        self.set_focus(None)

    def on_input_submitted(self, event: "Input.Submitted") -> None:
        super().on_input_submitted(event)
        if event.input.id == "filter" or not self._take:
            return
        try:
            self._take(event.value)
        except Problem as problem:
            self.services.say(str(problem), warning=True)
            event.input.focus()
            return
        self._close_line()
        self._look_again()

    def do_back(self) -> None:
        if self.query("#line"):
            self._close_line()
        elif self.words or self.query("#filter.open"):
            super().do_back()
        else:
            self.marked.clear()
            self.fill()

    def do_delete(self) -> None:
        deleted: list[Run] = []
        try:
            if (group := self.group) and not self.chosen_or_marked:
                deleted += trash.delete_group(group)
                self.library.comparisons.pop(group.id, None)
                self.library.tunings.pop(group.id, None)
            for run in self.chosen_or_marked:
                deleted.append(trash.delete(run))
                self.marked.pop(run.id, None)
                self.library.forget(run)
        except Problem as problem:
            self.services.say(str(problem), warning=True)
        if deleted:
            self._deleted.append(deleted)
            what = deleted[0].id if len(deleted) == 1 else f"{len(deleted)} runs"
            self.services.say(f"{what} moved to the trash; u restores {'it' if len(deleted) == 1 else 'them'}.")
        self._look_again()

    def do_undo(self) -> None:
        restored: list[Run] = []
        try:
            for run in self._deleted.pop():
                restored.append(trash.restore(run.id))
        except Problem as problem:
            self.services.say(str(problem), warning=True)
        if restored:
            self.services.say(f"{restored[0].id if len(restored) == 1 else f'{len(restored)} runs'} restored.")
            self._restored = restored[-1].id
        self._look_again()

    def fill(self) -> None:
        super().fill()
        # Only now: a look at all runs may take many turns of the event loop, and before it the row is not there.
        if self._restored in self.library.entries:
            self.rows.select(self._restored)
            self._restored = ""

    def _look_again(self) -> None:
        """Look at all runs again from the start: the run that is being read may be deleted."""
        if self._timer:
            self._timer.stop()
        self._ahead = iter(())
        self.fill()
        self._look()
