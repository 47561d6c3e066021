"""The recipes and runs that the lists show: read in small pieces, so that even a long list never delays a key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from workbench import paths
from workbench.datasets.store import catalog
from workbench.problems import Problem, one_line
from workbench.recipes import course
from workbench.recipes.course import Course, ReadAbout
from workbench.recipes.find import COURSE, course_order, shipped_and_own, shown_path
from workbench.recipes.index import Index
from workbench.recipes.load import Loaded, RecipeProblem
from workbench.recipes.recipe import Recipe

# Modules that read runs are imported where they are used, so that the list of recipes is painted before they load.
if TYPE_CHECKING:
    from workbench.launch.estimate import Past
    from workbench.launch.queueing import Waiting
    from workbench.runs import tunings
    from workbench.runs.comparisons import Comparison, Plan, Standing
    from workbench.runs.family import Forked
    from workbench.runs.run import Run
    from workbench.runs.summary import Summary
    from workbench.runs.tunings import Tuning
    from workbench.tui.models.background import Serving
    from workbench.tui.models.endpoints import Listed
    from workbench.tui.models.run_feed import Feed

OWN = "Own recipes"
# A person goes back and forth between a few runs, and a feed holds a whole log in memory.
KEPT = 4
"""So many feeds of ended runs stay in memory after a person leaves their screens."""
# Close to a million lines. Reading more would keep a processor busy for a run that perhaps nobody opens.
AHEAD_BYTES = 64 << 20
"""Largest log of the newest run that is read before anybody opens it."""


class Shelved(NamedTuple):
    """A recipe of the list: loaded, or with its problems."""

    path: Path
    loaded: Loaded | None
    problems: tuple[str, ...] = ()
    course: str = ""
    """The title of the teacher's course whose part it stands in."""
    due: str = ""
    rank: int = 0
    """Its place in that course."""
    twice: bool = False
    """Whether it also stands in its own part: a recipe of dlwb that a course names."""

    @property
    def key(self) -> str:
        """What its row in the list goes by."""
        return f"{self.path}\n{self.course}" if self.twice else str(self.path)

    @property
    def title(self) -> str:
        return one_line(self.loaded.recipe.title) if self.loaded else one_line(self.path.name)

    @property
    def part(self) -> str:
        """Its heading in the list: its part of the course; for a broken recipe, the name of its folder."""
        if self.course:
            return one_line(self.course)
        if self.loaded:
            return one_line(self.loaded.recipe.part) or OWN
        # Shipped recipes lie in folders like `2-neural-networks`: a broken one then stands near its neighbours.
        number, _, words = self.path.parent.name.partition("-")
        return f"{number}. {words.replace('-', ' ').capitalize()}" if number.isdigit() and words else OWN

    @property
    def place(self) -> tuple[tuple[int, str], ...]:
        """Sort key of the list: a teacher's course first, then a person's own recipes, then by part, lesson and name."""
        if self.course:
            return (-1, self.course), (self.rank, "")
        lesson = self.loaded.recipe.lesson if self.loaded else ""
        part = course_order(self.part)
        return (0, "") if self.part == OWN else part, part, course_order(lesson), (0, self.path.stem)


class Entry:
    """A run of the list."""

    def __init__(self, run: Run) -> None:
        from workbench.runs.notes import Notes
        from workbench.runs.state import State
        from workbench.runs.summary import Summary

        self.run = run
        self.state = State(state="created")
        # No log has this size, so the first look always reads it.
        self.summary = Summary(size=-1)
        self.recipe: Recipe | None = None
        self.notes = Notes()
        self.quiet: tuple[float, float] | None = None
        self.forked: Forked | None = None
        """What it was forked from."""
        self.waiting: Waiting | None = None
        """Its place in the queue for devices."""

    @property
    def title(self) -> str:
        return one_line(self.recipe.title) if self.recipe else self.run.stem


class Compared(NamedTuple):
    """A comparison of the list of runs."""

    comparison: Comparison
    plan: Plan
    standing: Standing


class Tuned(NamedTuple):
    """A tuning of the list of runs."""

    tuning: Tuning
    plan: tunings.Plan
    standing: tunings.Standing


def shelve(path: Path, index: Index) -> Shelved:
    """Read a recipe for the list; a recipe with problems stays in the list, with them."""
    try:
        return Shelved(path, index.load(path))
    except RecipeProblem as problem:
        return Shelved(path, None, problem.problems)
    except Problem as problem:
        return Shelved(path, None, (str(problem),))
    except OSError as error:
        return Shelved(path, None, (f"{shown_path(path)} cannot be read: {error.strerror}.",))


class Library:
    """The recipes, runs and feeds that all screens share."""

    def __init__(self) -> None:
        self.shelf: list[Shelved] = []
        self.read_about: list[ReadAbout] = []
        self.explored: set[str] = set()
        """Names of the recipes that were explored."""
        self.looked = False
        """Whether the runs were read: before, nothing can be said of what became of a recipe."""
        self.index: Index | None = None
        self.entries: dict[str, Entry] = {}
        self.comparisons: dict[str, Compared] = {}
        self.tunings: dict[str, Tuned] = {}
        self._tuning_stamps: dict[str, object] = {}
        self.endpoints: dict[str, Listed] = {}
        self.starting: dict[str, Serving] = {}
        """Endpoints that are being made from here, and those that could not be."""
        self._feeds: dict[str, Feed] = {}
        self._opened: list[str] = []

    def load_recipes(self) -> None:
        """Read all recipes and sort them by part and lesson."""
        self.index = index = Index()
        found = shipped_and_own()
        shelved = {path: shelve(path, index) for path in found}
        for folder, ordered in course.courses():
            if isinstance(ordered, RecipeProblem):
                shelved[folder / COURSE] = Shelved(folder / COURSE, None, ordered.problems)
            else:
                shelved |= self._course(folder, ordered, shelved)
        self.shelf = sorted(shelved.values(), key=lambda shelved: shelved.place)
        self.read_about = course.read_about()

    def _course(self, folder: Path, ordered: Course, shelved: dict[Path, Shelved]) -> dict[Path, Shelved]:
        """What stands in the part of a teacher's course, by path; a recipe of dlwb keeps its place in its own part, too."""
        part = {}
        for rank, (name, path) in enumerate(course.recipes_of(folder, ordered, shelved).items()):
            if path is None:
                path = folder / f"{name}.yaml"
                item = Shelved(path, None, (course.missing(name, folder, [known.stem for known in shelved]),))
            else:
                item = shelved.get(path) or Shelved(path, None, (f"{shown_path(path)} is not read.",))
            if item.loaded:
                item = item._replace(loaded=course.with_bars(item.loaded, ordered.bars.get(name)))
            twice = path in shelved and not path.is_relative_to(folder)
            key = folder / COURSE / name if twice else path
            part[key] = item._replace(course=ordered.title, due=ordered.due, rank=rank, twice=twice)
        return part

    def feed(self, run: Run) -> Feed:
        """The run's feed, for a screen that opens; it stays in memory for a while after the screen closes."""
        from workbench.tui.models.run_feed import Feed

        if run.id in self._opened:
            self._opened.remove(run.id)
        self._opened.append(run.id)
        for old in self._opened[:-KEPT]:
            self._opened.remove(old)
            feed = self._feeds.get(old)
            # The list itself follows living runs through their feeds.
            if feed and not feed.state.alive:
                del self._feeds[old]
        return self._feeds.setdefault(run.id, Feed(run))

    def forget(self, run: Run) -> None:
        """Drop all about a run that was deleted."""
        self.entries.pop(run.id, None)
        self._feeds.pop(run.id, None)
        if run.id in self._opened:
            self._opened.remove(run.id)

    def ahead(self, key: str) -> Iterator[None]:
        """Read the log of the run under the cursor in small pieces, so that the run opens at once."""
        entry = self.entries.get(key)
        if entry:
            feed = self.feed(entry.run)
            while feed.read() or not feed.caught_up:
                yield

    def newest_ahead(self) -> Iterator[None]:
        """The same for the newest run, unless its log is so long that reading it would waste a processor."""
        from workbench.runs.summary import log_size

        # A run's id begins with its time, so the largest id is the newest.
        newest = max(self.entries.values(), key=lambda entry: entry.run.id, default=None)
        return self.ahead(newest.run.id) if newest and log_size(newest.run) <= AHEAD_BYTES else iter(())

    def of(self, stem: str) -> list[Entry]:
        """The past runs of a recipe, newest first."""
        return [entry for entry in self.entries.values() if entry.run.stem == stem]

    def relatives(self, run: Run) -> list[Run]:
        """The family of a run: all that share a beginning with it, itself too, the root first."""
        from workbench.runs import family

        names = family.family(run.id, {name: entry.forked for name, entry in self.entries.items()})
        return [self.entries[name].run for name in names if name in self.entries] or [run]

    def by_stem(self) -> dict[str, list[Entry]]:
        """All runs by the names of their recipes, newest first."""
        past: dict[str, list[Entry]] = {}
        for entry in self.entries.values():
            past.setdefault(entry.run.stem, []).append(entry)
        return past

    def title_of(self, name: str) -> str:
        """The title of a recipe, or of what is only read about; "" where there is neither."""
        titles = {entry.key: entry.title for entry in self.read_about} | {shelved.path.stem: shelved.title for shelved in self.shelf}
        return titles.get(name, "")

    def count(self, name: str) -> int:
        """Number of rows of the list of that name."""
        if name == "recipes":
            return sum(not shelved.twice for shelved in self.shelf)
        if name == "endpoints":
            return len(self.endpoints)
        return len(self.entries) if name == "runs" else len(catalog.catalog())

    def live(self) -> int:
        """Number of living runs."""
        return sum(entry.state.alive for entry in self.entries.values())

    def serving(self) -> int:
        """Number of living endpoints."""
        return sum(listed.state.alive for listed in self.endpoints.values())

    def refresh(self) -> Iterator[None]:
        """Look at every run again. A generator that yields after each small piece of work, so that keys are answered between."""
        from workbench.runs import standing
        from workbench.runs.run import list_runs

        runs = list_runs()
        self.explored = standing.explored()
        self.entries = {run.id: self.entries.get(run.id) or Entry(run) for run in runs}
        yield
        # A copy: between two pieces a run may be deleted.
        for entry in list(self.entries.values()):
            yield from self._look(entry)
            yield
        self._look_at_queue()
        if scheduled := [entry.run for entry in self.entries.values() if entry.state.job]:
            from workbench.launch import slurm

            slurm.look_again(scheduled)
        self.looked = True
        yield from self._look_at_comparisons()
        yield from self._look_at_tunings()
        yield from self.look_at_endpoints()

    def _look_at_queue(self) -> None:
        """Find out what the runs that are queued wait for, and about when they start."""
        waiting: dict[str, Waiting] = {}
        if any(entry.state.state == "queued" for entry in self.entries.values()):
            from workbench.launch import estimate, queueing
            from workbench.runs.summary import summary_of

            def past(stem: str) -> list[Past]:
                return [estimate.Past(entry.recipe, entry.summary) for entry in self.of(stem) if entry.recipe][: estimate.LOOKED_AT]

            def summary(run: Run) -> Summary:
                return self.entries[run.id].summary if run.id in self.entries else summary_of(run)

            waiting = {place.run: place for place in queueing.outlook(past, summary)}
        for entry in self.entries.values():
            entry.waiting = waiting.get(entry.run.id)

    def look_at_endpoints(self) -> Iterator[None]:
        """Look at every endpoint again, in small pieces."""
        if self.endpoints or paths.endpoints().is_dir():
            from workbench.tui.models.endpoints import refreshed

            with contextlib.suppress(Problem):  # their folder cannot be read
                for listed in refreshed(self.endpoints):
                    self.endpoints = listed
                    yield

    def _look_at_comparisons(self) -> Iterator[None]:
        from workbench.runs.comparisons import list_comparisons

        compared = {}
        for comparison in list_comparisons():
            with contextlib.suppress(Problem):  # its plan is damaged; its runs are in the list
                compared[comparison.id] = Compared(comparison, comparison.plan(), comparison.standing())
            yield
        self.comparisons = compared

    def _look_at_tunings(self) -> Iterator[None]:
        if not (self.tunings or paths.tunings().is_dir()):
            return
        from workbench.files import stamp
        from workbench.runs import lock
        from workbench.runs.tunings import list_tunings

        tuned = {}
        for tuning in list_tunings():
            # One that rests says the same as before; 200 trials are not read again every second.
            rests = (stamp(tuning.events), stamp(tuning.lock)) if not lock.is_held(tuning.lock) else None
            if rests and self._tuning_stamps.get(tuning.id) == rests and tuning.id in self.tunings:
                tuned[tuning.id] = self.tunings[tuning.id]
            else:
                with contextlib.suppress(Problem):  # its plan is damaged; its runs are in the list
                    tuned[tuning.id] = Tuned(tuning, tuning.plan(), tuning.standing())
                self._tuning_stamps[tuning.id] = rests
            yield
        self.tunings = tuned

    def _look(self, entry: Entry) -> Iterator[None]:
        from workbench.runs import family, notes
        from workbench.runs.state import state_of
        from workbench.runs.summary import keep_summary, kept_summary, log_size, summarize
        from workbench.tui.models.run_feed import Feed

        run = entry.run
        entry.notes = notes.read(run)
        if entry.recipe is None:
            entry.forked = family.forked(run)
            try:
                entry.recipe = run.recipe()
            except Problem:
                entry.recipe = Recipe(title=run.stem, project="?")
        entry.state = state_of(run)
        feed = self._feeds.get(run.id)
        if feed is None and not entry.state.alive:
            # An ended run's log is read once in its life: afterwards its summary comes from the run's folder, unless the log has grown.
            summary = entry.summary if entry.summary.size == log_size(run) else kept_summary(run)
            if summary is not None:
                entry.summary, entry.quiet = summary, None
                return
        feed = feed or self._feeds.setdefault(run.id, Feed(run))
        feed.state = entry.state
        size = log_size(run)
        if size == entry.summary.size and feed.caught_up:
            entry.quiet = feed.quiet()
            return
        while feed.read() or not feed.caught_up:
            yield
        entry.summary = summarize(feed.history, size)
        entry.quiet = feed.quiet()
        if not entry.state.alive:
            keep_summary(run, entry.summary)
            if run.id not in self._opened:
                self._feeds.pop(run.id, None)  # it may be gone already: runs that are read ahead push older feeds out
