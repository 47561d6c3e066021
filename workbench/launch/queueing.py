"""The queue for devices as a person sees it: what waits for what and about when it starts; holds, releases and moves runs forward."""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from workbench import paths
from workbench.launch import estimate, start
from workbench.launch.device_queue import Ticket, tickets
from workbench.launch.devices import Device
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs import lock
from workbench.runs.run import Run
from workbench.runs.state import state_of
from workbench.runs.summary import Summary, summary_of

PATIENCE = 5.0
"""Seconds that a run in the queue may take to obey: its supervisor looks five times a second."""
DONE = {
    "hold": "is held: it keeps its place, and takes no device until it is released",
    "release": "is released: it takes the next device in its turn",
    "first": "is moved to the front of the queue",
}


class Waiting(NamedTuple):
    """A run in the queue, and what is known about its start."""

    run: str
    """Its id."""
    place: int
    """1 for the next one; 0 for one that is held."""
    devices: tuple[str, ...]
    """Names of the devices that it may take: `cuda:0`."""
    needs: int
    """How many of them."""
    behind: tuple[str, ...]
    """The ids of the runs that it waits for: those before it in the queue, then those on its devices."""
    begins: float | None = None
    """Seconds until it starts, at a guess; None where that is not known."""

    @property
    def held(self) -> bool:
        """Whether a person holds it."""
        return not self.place

    def words(self, now: float | None = None) -> str:
        """Its place and when it likely starts: `next, about 14:20`, `3rd, start unknown`, `held`."""
        if self.held:
            return "held"
        return f"{'next' if self.place == 1 else self.ordinal}, {self.start(now)}"

    @property
    def ordinal(self) -> str:
        """Its place: 1st, 2nd, 11th."""
        ending = "th" if self.place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(self.place % 10, "th")
        return f"{self.place}{ending}"

    def start(self, now: float | None = None) -> str:
        """When it likely starts: `about 14:20`, with the date from tomorrow on; `start unknown`."""
        if self.begins is None:
            return "start unknown"
        now = time.time() if now is None else now
        at = time.localtime(now + self.begins)
        today = at[:3] == time.localtime(now)[:3]
        return f"about {time.strftime('%H:%M', at)}" + ("" if today else f" on {at.tm_mday} {time.strftime('%b', at)}")


def outlook(
    past: Callable[[str], Sequence[estimate.Past]] = estimate.past_runs, summary: Callable[[Run], Summary] = summary_of
) -> list[Waiting]:
    """The runs that wait on this machine, in the order of the queue, with a guess of when each one starts.

    The guess lets the queue run by what is known of the time that is left to the runs on the devices, and of the time that those take
    which wait. `past` gives the past runs of a recipe by its name, and `summary` a run's log in numbers.
    """
    queue = tickets()
    free: dict[str, float] = {}
    """Seconds until each device is free, by its lock; infinite where nobody knows."""
    on: dict[str, str] = {}
    """The run on each device."""
    for name in {name for ticket in queue for name in ticket.locks}:
        path = paths.device_locks() / name
        on[name] = one_line(str(lock.content(path).get("run", "")), 200) if lock.is_held(path) else ""
        free[name] = _left(on[name], past, summary) if lock.is_held(path) else 0.0
    waiting: list[Waiting] = []
    before: list[Ticket] = []
    for ticket in queue:
        names = tuple(device.partition(" ")[0] for device in ticket.devices)
        rivals = [other.run for other in before if set(other.locks) & set(ticket.locks)]
        behind = tuple(dict.fromkeys([*rivals, *filter(None, (on[name] for name in ticket.locks))]))
        if ticket.held or len(ticket.locks) < ticket.needs:
            waiting.append(Waiting(ticket.run, 0, names, ticket.needs, behind))
            continue
        # It takes the devices that are free first; until then nobody who comes later takes any of those, and the others are free later.
        taken = sorted(ticket.locks, key=free.__getitem__)[: ticket.needs]
        begins = free[taken[-1]]
        device = dict(zip(ticket.locks, ticket.devices, strict=False)).get(taken[0], "")
        for name in taken:
            free[name] = begins + _needed(ticket.run, device, past, summary)
        before.append(ticket)
        known = begins if math.isfinite(begins) else None
        waiting.append(Waiting(ticket.run, len(before), names, ticket.needs, behind, known))
    return waiting


def _left(identity: str, past: Callable[[str], Sequence[estimate.Past]], summary: Callable[[Run], Summary]) -> float:
    """Seconds until the run on a device ends; infinite where nobody knows."""
    run = _run(identity)
    try:
        state = state_of(run)
        if not identity or not state.alive or state.state == "paused":
            return math.inf
        done = summary(run)
        if done.step >= estimate.ENOUGH and done.steps and done.seconds > done.ready:
            return (done.seconds - done.ready) / done.step * max(0, done.steps - done.step)
        return max(0.0, _estimated(run.recipe(), done.device, past(run.stem)) - done.seconds)
    except (Problem, OSError):
        return math.inf


def _needed(identity: str, device: str, past: Callable[[str], Sequence[estimate.Past]], summary: Callable[[Run], Summary]) -> float:
    """Seconds that a run takes once it has its device; infinite where nobody knows."""
    run = _run(identity)
    try:
        done = summary(run)
        left = 1 - min(1.0, done.step / done.steps) if done.steps else 1.0
        return _estimated(run.recipe(), device, past(run.stem)) * left
    except (Problem, OSError):
        return math.inf


def _run(identity: str) -> Run:
    # What a file says is no path.
    return Run(paths.runs() / identity.replace("/", "-"))


def _estimated(recipe: Recipe, device: str, past: Sequence[estimate.Past]) -> float:
    name, _, title = device.partition(" ")
    seconds = estimate.estimate(recipe, Device(name, title), past).seconds
    return math.inf if seconds is None else seconds


def ask(run: Run, verb: str) -> str:
    """Hold a run of the queue, release it, or move it to the front; returns a sentence once its supervisor has obeyed. Raises Problem."""
    now = [ticket for ticket in tickets() if ticket.run == run.id]
    if verb in ("hold", "release") and now and now[0].held == (verb == "hold"):
        return f"{run.id} is {'held already' if verb == 'hold' else 'not held'}."
    # Ahead of all that were moved before, also where the clock was set back.
    first = max(time.time_ns(), *(1 - ticket.first for ticket in tickets()), 0)
    start.command(run, verb, {"first": first} if verb == "first" else None)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        state = state_of(run)  # asked first: a run that has left the queue since has no ticket
        ticket = next((ticket for ticket in tickets() if ticket.run == run.id), None)
        if ticket and (-ticket.first >= first if verb == "first" else ticket.held == (verb == "hold")):
            held = ", but a person holds it" if verb == "first" and ticket.held else ""
            return f"{run.id} {DONE[verb]}{held}."
        if not ticket and state.state != "queued":
            left = f"{run.id} has just left the queue: it is {state.words}."
            if verb == "hold" or not state.alive:
                raise Problem(left)
            return left
        time.sleep(0.05)
    raise Problem(f"{run.id} has not obeyed for {PATIENCE:.0f} s.", f"`dlwb stop {run.id}` takes it out of the queue.")
