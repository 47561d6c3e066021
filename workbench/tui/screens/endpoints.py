"""The list of endpoints: state, address, variants, traffic of the last minute, errors, drift. Makes, starts, stops and deletes them."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from textual.strip import Strip

from workbench.tui import keys
from workbench.tui.keys import Key
from workbench.tui.panels import endpoint_rows
from workbench.tui.panels.rows import Row
from workbench.tui.screens.list import MOVING, ListScreen

if TYPE_CHECKING:
    from workbench.tui.models.background import Serving
    from workbench.tui.models.endpoints import Listed

TICK = 0.5
"""Seconds between two drawings while an endpoint is being made."""


class EndpointsScreen(ListScreen):
    """The list; Enter opens an endpoint."""

    NAME = "endpoints"
    BELOW = True
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "open", "open", "Open the endpoint: traffic, latency, variants, drift", "⏎"),
        Key("n", "new", "new", "Serve a model of the store at a new endpoint"),
        Key("t", "try", "try it", "Send the endpoint a request, and see every part of it and of the answer"),
        Key("r", "start", "start", "Start the endpoint again, as it was"),
        Key("s", "stop", "stop", "Stop the endpoint, after a question; what is in flight is answered"),
        Key("x", "texts", "commands", "Show the lines that call it: curl, boto3, a Dockerfile"),
        Key("delete,d", "delete", "delete", "Delete an endpoint that is stopped, after a question; its models stay", "d Del"),
        *MOVING,
    )
    BINDINGS = keys.bindings(KEYS)

    def on_mount(self) -> None:
        # Textual calls the base's on_mount by itself.
        self.set_interval(TICK, self._tick)

    def _tick(self) -> None:
        if self.is_active and self.library.starting:
            self.fill()

    def _look(self) -> None:
        if self.is_active:
            self._work = chain(self.library.look_at_endpoints(), self.library.refresh())
            self._go_on()

    @property
    def chosen(self) -> "Listed | None":
        """The endpoint under the cursor."""
        return self.library.endpoints.get(self.rows.key)

    @property
    def job(self) -> "Serving | None":
        """What is being made, under the cursor."""
        return self.library.starting.get(self.rows.key.removeprefix(endpoint_rows.JOB))

    def make_rows(self, width: int) -> Sequence[Row]:
        return endpoint_rows.endpoint_rows(self.library.endpoints, self.library.starting, width, self.words)

    def pane_lines(self, width: int) -> Sequence[Strip]:
        if self.chosen:
            return endpoint_rows.pane(self.chosen, width)
        return endpoint_rows.job_pane(self.job, width) if self.job else endpoint_rows.none(width, bool(self.library.endpoints))

    # -- keys ------------------------------------------------------------------------------------------------------------------

    def refusal(self, name: str) -> str:
        chosen = self.chosen
        if name == "delete" and self.job:
            return "It is being made: wait a moment." if self.job.running else ""
        if name not in ("open", "try", "start", "stop", "texts", "delete"):
            return ""
        if not chosen:
            return "There is no endpoint here."
        if name == "delete":
            return "It is running: s stops it." if chosen.state.alive else ""
        if chosen.problem and name != "open":
            return chosen.problem
        if name == "start":
            return "It is running already." if chosen.state.alive else ""
        if name in ("stop", "try") and not chosen.state.alive:
            return f"It is not running ({chosen.state.state}): r starts it."
        return ""

    def do_open(self) -> None:
        if self.chosen:
            self.services.open_endpoint(self.chosen.endpoint)

    def do_new(self) -> None:
        from workbench.tui.screens.choose_model import new_endpoint

        new_endpoint(self)

    def do_try(self) -> None:
        if self.chosen:
            self.services.try_endpoint(self.chosen.endpoint)

    def do_start(self) -> None:
        self._steer("start")

    def do_stop(self) -> None:
        self._steer("stop")

    def do_texts(self) -> None:
        if self.chosen:
            self.services.endpoint_texts(self.chosen.endpoint)

    def do_delete(self) -> None:
        if self.job:
            # What could not be made has left nothing but this row.
            self.library.starting.pop(self.job.name)
            self.fill()
        else:
            self._steer("delete")

    def _steer(self, verb: str) -> None:
        if self.chosen:
            self.services.steer_endpoint(self.chosen.endpoint, verb)
