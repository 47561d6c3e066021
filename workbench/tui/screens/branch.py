"""Going on from a checkpoint of a run, over its screen: choose one, then fork a new run from it, or roll the run back to it."""

from typing import ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.strip import Strip

from workbench.formatting import count, shown
from workbench.runs import family
from workbench.runs.family import Branch
from workbench.runs.history import History
from workbench.runs.run import Run
from workbench.runs.state import State
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.panels.lines import Lines
from workbench.tui.screens.key_screen import OwnScreen
from workbench.tui.services import Services

WIDTH = 84
CAP = 5
"""Cells of a key and the blanks after it."""
NAMED = 3
"""How many later changes are named."""


class BranchScreen(ModalScreen[None], OwnScreen[None]):
    """Opens from a run's screen, at the step under the cursor of its charts, and from the list of runs, at the last checkpoint."""

    DEFAULT_CSS = """
    BranchScreen { align: center middle; background: $ground 60%; }
    BranchScreen > Lines {
        width: 84; max-width: 96%; height: auto; max-height: 94%; padding: 1 2; background: $ground; border: round $accent-color;
    }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("left", "earlier", "", "The checkpoint before", "←"),
        Key("right", "later", "", "The next checkpoint", "→"),
        Key("f", "fork", "", "Fork: a new run goes on from there, with other settings. This one stays as it is."),
        Key("r", "roll_back", "", "Roll back: this run itself goes on from there."),
        Key("d", "drop", "", "Make later changes again, or leave them out"),
        Key("c", "compare", "", "Compare the family: one overlay, with a mark where each fork left."),
        Key("escape,q,b", "close", "close", "Close this window", "Esc"),
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, run: Run, history: History, state: State, keep_every: int, relatives: list[Run], step: int | None) -> None:
        """`relatives` are all runs of its family, itself too; `step` is where a person looks. Problem where there is no checkpoint."""
        super().__init__()
        self.run = run
        self.history, self.state, self.keep_every, self.relatives = history, state, keep_every, relatives
        self.generations = family.kept(run)
        self.branch = family.nearest(run, step)
        self.repeat = True
        """Whether what people changed after the checkpoint is changed again."""

    def compose(self) -> ComposeResult:
        yield Lines()

    def on_resize(self, event: events.Resize) -> None:
        self._show()

    @property
    def later(self) -> list[str]:
        """What people changed after the checkpoint, a phrase each."""
        step = self.branch.generation.step
        changes = [change for change in family.later(self.history, step) if set(change["settings"]) != {"train.log_every"}]
        return [
            f"{name.partition('.')[2]} {shown(value)} at step {count(change['step'])}"
            for change in changes
            for name, value in change["settings"].items()
        ]

    def refusal(self, name: str) -> str:
        """Why this is not possible now; "" when it is."""
        if name == "compare" and len(self.relatives) < 2:
            return "it has no family yet"
        if name == "roll_back" and (self.state.state == "away" or (self.state.alive and self.state.host)):
            return f"it is on {self.state.host}: roll it back there"
        return ""

    def _show(self) -> None:
        panel = self.query_one(Lines)
        lines = self.lines(min(WIDTH, self.app.size.width * 96 // 100) - 6)
        panel.styles.height = len(lines) + 4
        panel.show(lines)

    def lines(self, width: int) -> list[Strip]:
        """The window's content for a width."""
        blank, step = strips.line(width, []), self.branch.generation.step
        head = strips.line(width, [("Go on from a checkpoint", palette.heading), (f"   {self.run.id}", palette.faint)])
        lines = [head, blank, *self._choice(width), blank]
        behind = max(0, self.history.step - step)
        leave = f" Steps {count(step + 1)} to {count(self.history.step)} leave its curves; its log keeps them." if behind else ""
        more = {"roll_back": " It is stopped first." * self.state.alive + leave}
        for key in self.KEYS[2:4]:
            lines += self._row(key, key.help + more.get(key.name, ""), width)
        if later := self.later:
            named = "; ".join(later[:NAMED]) + f"; and {len(later) - NAMED} more" * (len(later) > NAMED)
            how = "Later changes are made again at their steps" if self.repeat else "Later changes are left out"
            lines += self._row(self.KEYS[4], f"{how}: {named}.", width)
        lines += self._row(self.KEYS[5], self.KEYS[5].help, width)
        if not self.keep_every:
            text = (
                "Kept are the last two checkpoints, the best, and those that a person keeps. The setting train.keep_every keeps one of each"
                " so many steps; `dlwb checkpoint` keeps one of now."
            )
            lines += [blank, *strips.paragraph(text, width, palette.dim)]
        foot = [("← →", palette.accent), (" another checkpoint   ", palette.dim), ("Esc", palette.accent), (" close", palette.dim)]
        return [*lines, blank, strips.line(width, foot)]

    def _choice(self, width: int) -> list[Strip]:
        """The checkpoint, how far it is from where a person looks, and all that are kept."""
        generation = self.branch.generation
        kinds = ["the best"] * generation.best + ["kept for good"] * generation.pinned
        parts: list[strips.Part] = [(f"◂ {self.branch.name} ▸", palette.accent), (f"  {self.branch.behind}", palette.plain)]
        lines = [strips.line(width, parts, [(", ".join(kinds), palette.good)])]
        marks = [f"{count(one.step)}{'*' * one.best}" for one in self.generations]
        place = [one.step for one in self.generations].index(generation.step)
        first, last = _around(place, [len(word) + 2 for word in marks], width - 20)
        row: list[strips.Part] = [("kept ", palette.faint), ("… " if first else "", palette.faint)]
        for index in range(first, last + 1):
            row += [(marks[index], palette.accent + palette.chosen if index == place else palette.dim), ("  ", palette.plain)]
        row.append(("…" if last < len(marks) - 1 else "", palette.faint))
        best = [("* the best", palette.faint)] if any(one.best for one in self.generations) else []
        return [*lines, strips.line(width, row, best)]

    def _row(self, key: Key, text: str, width: int) -> list[Strip]:
        why = self.refusal(key.name)
        words = strips.wrap(text + f" Not now: {why}." * bool(why), width - CAP)
        return [
            strips.line(
                width,
                [
                    (strips.fit(key.cap.split(" ")[0] if not place else "", CAP), palette.faint if why else palette.accent),
                    (line, palette.faint if why else palette.plain),
                ],
            )
            for place, line in enumerate(words)
        ]

    # -- keys ------------------------------------------------------------------------------------------------------------------

    @property
    def services(self) -> Services:
        """The app."""
        return cast(Services, self.app)

    def press(self, name: str) -> None:
        """A key."""
        if why := self.refusal(name):
            self.services.say(f"{why[:1].upper()}{why[1:]}.", warning=True)
        else:
            super().press(name)

    def do_close(self) -> None:
        self.dismiss(None)

    def do_earlier(self) -> None:
        self._turn(-1)

    def do_later(self) -> None:
        self._turn(1)

    def _turn(self, by: int) -> None:
        steps = [one.step for one in self.generations]
        place = steps.index(self.branch.generation.step) + by
        if 0 <= place < len(steps):
            # A checkpoint that a person goes to is what they look at.
            self.branch = Branch(self.generations[place], max(steps[place], self.branch.asked) if by < 0 else steps[place])
            self._show()

    def do_drop(self) -> None:
        self.repeat = not self.repeat
        self._show()

    def do_fork(self) -> None:
        self.dismiss(None)
        self.services.open_fork(self.run, self.branch, self.history, repeat=self.repeat)

    def do_roll_back(self) -> None:
        self.dismiss(None)
        self.services.roll_back(self.run, self.branch, repeat=self.repeat)

    def do_compare(self) -> None:
        self.dismiss(None)
        self.services.compare(self.relatives)


def _around(place: int, widths: list[int], room: int) -> tuple[int, int]:
    """The first and the last of what fits into `room` cells around a place."""
    first = last = place
    room -= widths[place]
    while True:
        sides = [side for side in (first - 1, last + 1) if 0 <= side < len(widths) and widths[side] <= room]
        if not sides:
            return first, last
        room -= widths[sides[0]]
        first, last = min(first, sides[0]), max(last, sides[0])
