"""Single steps of a paused run: what each of them did to every number that train_step returns and to every weight."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from workbench.events import Event, Table
from workbench.formatting import number
from workbench.problems import Problem
from workbench.training.metric_window import MetricWindow
from workbench.training.resumable import Resumable

MOST = 1_000_000
"""Steps that one command may ask for: a slip of the finger must not ask for years."""
NAMED = 4
"""Numbers in an answer: a line for people."""
ROWS = 400
"""Weight arrays that a table shows: more would not fit into a line of the log."""


def wanted(request: dict[str, Any]) -> int:
    """How many steps a command asks for. Problem where that is no such number."""
    steps = request.get("steps", 1)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MOST:
        raise Problem(f"steps must be a whole number from 1 to {MOST:,}.")
    return steps


@dataclass
class Stepping:
    """The steps that one command asked for. What they did is shown of the last one, which needs a look at what was before it."""

    command: str
    begun: int
    """The step at which the run stood."""
    steps: int
    numbers: dict[str, float] | None = None
    """What train_step returned before the last step; None as long as nothing was looked at."""
    weights: dict[str, Any] = field(default_factory=dict)
    """Copies of the weights before it."""

    @property
    def last(self) -> int:
        """The step after which the run waits again."""
        return self.begun + self.steps

    def stop(self, step: int) -> int:
        """The next step after which the loop has to come here."""
        return max(step + 1, self.last - 1)

    def before(self, step: int, project: Resumable, window: MetricWindow) -> None:
        """Look at what the last step will change, where it is the next one."""
        if step == self.last - 1:
            self.numbers = window.last()
            self.weights = {name: project.array_state(weight) for name, weight in project.trained_arrays().items()}

    def tables(self, project: Resumable, window: MetricWindow) -> Iterator[Event]:
        """What the last step did: the table `numbers` and the table `weights`."""
        if self.numbers is None:
            return
        now, before = window.last(), self.numbers
        rows: list[list[str | float]] = [
            [name, value, before[name], value - before[name]] if name in before else [name, value, "", ""] for name, value in now.items()
        ]
        if rows:
            yield Table(tag="numbers", columns=["number", "this step", "before", "difference"], rows=rows)
        arrays = project.trained_arrays()
        # Of a project with a single network its name says nothing, and the panel is narrow.
        owner = {name.partition(".")[0] for name in arrays}
        cut = len(f"{owner.pop()}.") if len(owner) == 1 and all("." in name for name in arrays) else 0
        rows = [_row(project, name[cut:], weight, self.weights.get(name)) for name, weight in arrays.items()]
        if len(rows) > ROWS:
            rows = [*rows[:ROWS], [f"and {len(rows) - ROWS:,} more", "", "", "", ""]]
        if rows:
            yield Table(tag="weights", columns=["weight", "shape", "norm", "change", "gradient"], rows=rows)

    def words(self, step: int, window: MetricWindow) -> str:
        """What to answer after the last step: where the run is, and the first numbers of that step."""
        return ", ".join([f"step {step:,}", *(f"{name} {number(value)}" for name, value in list(window.last().items())[:NAMED])])

    def cut(self, step: int, why: str) -> str:
        """What to answer where the run did not come to all of its steps."""
        return f"{why} after {step - self.begun:,} of {self.steps:,} steps"


def _row(project: Resumable, name: str, weight: Any, before: Any) -> list[str | float]:
    now, gradient = project.array_state(weight), getattr(weight, "grad", None)
    changed = before is not None and before.shape == now.shape
    return [
        name,
        "x".join(map(str, now.shape)) or "1",
        project.norm_of(now),
        project.norm_of(now - before) if changed else "",
        "" if gradient is None else project.norm_of(gradient),
    ]
