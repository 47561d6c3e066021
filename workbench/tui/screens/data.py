"""The list of data sets: where each is, what it is, which recipes use it. Fetches, verifies, removes, and looks into them."""

from collections.abc import Sequence
from typing import ClassVar

from textual.strip import Strip

from workbench import files
from workbench.datasets.store import stored
from workbench.datasets.store.catalog import home
from workbench.datasets.store.stored import Stored
from workbench.formatting import size
from workbench.problems import Problem
from workbench.tui import keys
from workbench.tui.keys import Key
from workbench.tui.models.downloads import Job
from workbench.tui.panels import data_rows
from workbench.tui.panels.rows import Row
from workbench.tui.screens.list import MOVING, ListScreen

TICK = 0.25
"""Seconds between two drawings while something is fetched."""


class DataScreen(ListScreen):
    """What is fetched goes on while other screens are shown."""

    NAME = "data"
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "open", "look", "Look into the set: sizes, classes, samples", "⏎"),
        Key("f", "fetch", "fetch", "Fetch the set, or stop fetching it; what came is kept"),
        Key("x", "halt", "", "Stop fetching it"),
        Key("v", "verify", "verify", "Hash its files again"),
        Key("delete", "remove", "remove", "Delete what was downloaded, after asking", "Del"),
        *MOVING,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Job] = {}
        """The newest of each set."""
        self.data_sets: list[Stored] = []

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(TICK, self._tick)

    def _tick(self) -> None:
        if self.is_active and any(job.state == "running" for job in self.jobs.values()):
            self.fill()

    @property
    def chosen(self) -> Stored | None:
        """The set under the cursor."""
        key = self.rows.key
        return next((data_set for data_set in self.data_sets if data_set.reference == key), None)

    def make_rows(self, width: int) -> Sequence[Row]:
        self.data_sets = stored.everything()
        return data_rows.rows(self.data_sets, self.jobs, width, self.words)

    def pane_lines(self, width: int) -> Sequence[Strip]:
        chosen = self.chosen
        return data_rows.pane(chosen, self.jobs.get(chosen.reference), self.library, width) if chosen else []

    def running(self, what: str = "") -> Job | None:
        """What is done now with the set under the cursor."""
        job = self.jobs.get(self.rows.key)
        return job if job and job.state == "running" and what in ("", job.what) else None

    def refusal(self, name: str) -> str:
        chosen = self.chosen
        if name not in ("open", "fetch", "halt", "verify", "remove"):
            return ""
        if not chosen:
            return "There is no data set here."
        if name == "halt":
            return "" if self.running("fetch") else "It is not being fetched."
        if chosen.state == "nowhere":
            return (
                "Nobody has it to fetch: its variants can be had." if not chosen.about.files else "Only a mirror has it: set DLWB_MIRROR."
            )
        if name == "open":
            return "It is not here yet: f fetches it." if chosen.state == "fetch" else ""
        if name == "fetch":
            reasons = {
                "here": "It is here already.",
                "mirror": "It is in the mirror already.",
                "package": "It is here: it needs no download.",
            }
            return reasons.get(chosen.state, "")
        if self.running():
            return "Something is being done with it: wait, or stop it with x."
        if chosen.state == "package":
            return "It comes with a package: there is no file of its own."
        if name == "verify":
            return "It is not here yet: f fetches it." if chosen.state == "fetch" else ""
        if not stored.downloaded(chosen.name, chosen.variant):
            return "It is in the mirror, which is never changed." if chosen.state == "mirror" else "Nothing of it was downloaded."
        return ""

    def do_open(self) -> None:
        from workbench.tui.screens.look import LookScreen

        if self.chosen:
            self.app.push_screen(LookScreen(self.chosen.reference, self.chosen.about.title))

    def do_fetch(self) -> None:
        if self.running("fetch"):
            self.do_halt()
        else:
            self._begin("fetch")

    def do_halt(self) -> None:
        job = self.running("fetch")
        if job:
            job.stop()
            self.fill()

    def do_verify(self) -> None:
        self._begin("verify")

    def _begin(self, what: str) -> None:
        app = self.app  # a screen knows its app in the app's own thread only

        def ended(job: Job) -> None:
            if app.is_running:
                app.call_from_thread(self._tell, job)

        if self.chosen:
            self.jobs[self.chosen.reference] = Job(what, self.chosen, ended).start()
            self.fill()

    def _tell(self, job: Job) -> None:
        if self.is_active:
            self.fill()
        if not self.is_active or self.rows.key != job.data_set.reference:  # else its pane says it
            self.services.say(job.message, warning=job.state == "failed")

    def do_remove(self) -> None:
        from workbench.tui.screens.question import QuestionScreen

        chosen = self.chosen
        if chosen:
            freed = size(files.taken(home(chosen.name, chosen.variant)))
            text = f"What was downloaded or unpacked of it goes, {freed}. Runs keep what they have read; a new one fetches it again."
            question = QuestionScreen("Remove this data set?", [(chosen.about.title, True), (text, False)], "remove it")
            self.app.push_screen(question, lambda answer: self._remove(chosen) if answer else None)

    def _remove(self, chosen: Stored) -> None:
        try:
            self.services.say(f"{chosen.reference}: {size(stored.remove(chosen.name, chosen.variant))} freed.")
            self.jobs.pop(chosen.reference, None)
        except Problem as problem:
            self.services.say(str(problem), warning=True)
        except OSError as error:
            self.services.say(f"{chosen.reference} cannot be removed: {error.strerror}.", warning=True)
        self.fill()
