"""The list of data sets: state, description, recipes that use it. Fetches, verifies, removes and previews data sets."""

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
"""Seconds between two drawings during a download."""


class DataScreen(ListScreen):
    """The list; downloads go on while other screens are open."""

    NAME = "data"
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "open", "look", "Preview the data set: sizes, classes, samples", "⏎"),
        Key("f", "fetch", "fetch", "Fetch the data set, or stop fetching; the downloaded part is kept"),
        Key("x", "halt", "", "Stop fetching the data set"),
        Key("v", "verify", "verify", "Compute the hashes of the files again and check them"),
        Key("delete", "remove", "remove", "Delete the downloaded files, after a question", "Del"),
        *MOVING,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Job] = {}
        """The newest job of each data set, by its reference."""
        self.data_sets: list[Stored] = []

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(TICK, self._tick)

    def _tick(self) -> None:
        if self.is_active and any(job.state == "running" for job in self.jobs.values()):
            self.fill()

    @property
    def chosen(self) -> Stored | None:
        """The data set under the cursor."""
        key = self.rows.key
        return next((data_set for data_set in self.data_sets if data_set.reference == key), None)

    def make_rows(self, width: int) -> Sequence[Row]:
        self.data_sets = stored.everything()
        return data_rows.rows(self.data_sets, self.jobs, width, self.words)

    def pane_lines(self, width: int) -> Sequence[Strip]:
        chosen = self.chosen
        return data_rows.pane(chosen, self.jobs.get(chosen.reference), self.library, width) if chosen else []

    def running(self, what: str = "") -> Job | None:
        """The job that runs now on the data set under the cursor."""
        job = self.jobs.get(self.rows.key)
        return job if job and job.state == "running" and what in ("", job.what) else None

    def refusal(self, name: str) -> str:
        chosen = self.chosen
        if name not in ("open", "fetch", "halt", "verify", "remove"):
            return ""
        if not chosen:
            return "There is no data set here."
        if name == "halt":
            return "" if self.running("fetch") else "This data set is not being fetched."
        if chosen.state == "nowhere":
            return (
                "This name has no files of its own: choose one of its variants."
                if not chosen.about.files
                else "Only a mirror has this data set: set DLWB_MIRROR."
            )
        if name == "open":
            return "It is not here yet: f fetches it." if chosen.state == "fetch" else ""
        if name == "fetch":
            reasons = {
                "here": "This data set is already here.",
                "mirror": "This data set is already in the mirror.",
                "package": "This data set is here: it needs no download.",
            }
            return reasons.get(chosen.state, "")
        if self.running():
            return "A job on this data set is running: wait, or stop it with x."
        if chosen.state == "package":
            return "This data set is part of a package: it has no files of its own."
        if name == "verify":
            return "It is not here yet: f fetches it." if chosen.state == "fetch" else ""
        if not stored.downloaded(chosen.name, chosen.variant):
            return (
                "The mirror has this data set, and dlwb never changes a mirror."
                if chosen.state == "mirror"
                else "No file of it is downloaded."
            )
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
        app = self.app  # `ended` runs in the job's thread, and there a screen does not know its app

        def ended(job: Job) -> None:
            # A download may end while the program closes: then nobody listens.
            if app.is_running:
                app.call_from_thread(self._tell, job)

        if self.chosen:
            self.jobs[self.chosen.reference] = Job(what, self.chosen, ended).start()
            self.fill()

    def _tell(self, job: Job) -> None:
        if self.is_active:
            self.fill()
        if not self.is_active or self.rows.key != job.data_set.reference:  # else the pane shows the message
            self.services.say(job.message, warning=job.state == "failed")

    def do_remove(self) -> None:
        from workbench.tui.screens.question import QuestionScreen

        chosen = self.chosen
        if chosen:
            freed = size(files.taken(home(chosen.name, chosen.variant)))
            text = f"This deletes its downloaded and unpacked files, {freed}. Running runs go on; a new run fetches the files again."
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
