"""What the app does with endpoints for its screens: makes, opens, starts, stops, deletes them; watches what runs in the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.timer import Timer

from workbench.problems import Problem
from workbench.tui.opening import Opening

if TYPE_CHECKING:
    from workbench.runs.run import Run
    from workbench.serving.endpoint import Endpoint
    from workbench.tui.models.background import Command, Serving

LOOK = 0.5
"""Seconds between two looks at what runs in the background."""


class EndpointServices(Opening, inherit_bindings=False):
    """The part of the app that has to do with endpoints."""

    _commands: list[tuple[Command, Callable[[Command], None]]]
    _watch: Timer | None = None

    if TYPE_CHECKING:

        def say(self, text: str, *, warning: bool = False) -> None: ...
        def show_list(self, name: str) -> None: ...
        def _in_thread(self, work: Callable[[], None]) -> None: ...

    def open_endpoint(self, endpoint: Endpoint) -> None:
        """Show an endpoint."""
        from workbench.tui.screens.endpoint import EndpointScreen

        if not (isinstance(self.screen, EndpointScreen) and self.screen.endpoint == endpoint):
            self.push_screen(EndpointScreen(endpoint))

    def serve(self, source: Run | str) -> None:
        """Make an endpoint of a run, which is exported first, or of a model; open the one that there is already."""
        from workbench.tui.models import background

        def begin() -> None:
            if not isinstance(source, str) and (endpoint := background.serving(source)):
                self.call_from_thread(self.open_endpoint, endpoint)
                return
            reference, name = (source, source.partition(":")[0]) if isinstance(source, str) else (source.id, source.stem)
            self.call_from_thread(self._serve, reference, background.free_name(name))

        self._in_thread(begin)

    def _serve(self, reference: str, name: str) -> None:
        from workbench.tui.models.background import Serving

        starting = self.library.starting
        # Pressed twice: the first press is at work, and has this name.
        if not (name in starting and starting[name].running):
            starting[name] = job = Serving(reference, name)
            self.in_background(job, self._served)
        self.show_list("endpoints")

    def _served(self, job: Command) -> None:
        from workbench import paths
        from workbench.serving.endpoint import Endpoint
        from workbench.tui.screens.endpoints import EndpointsScreen

        if TYPE_CHECKING:
            assert isinstance(job, Serving)
        if job.failed:
            self.say(job.outcome, warning=True)
            return
        self.library.starting.pop(job.name, None)
        if isinstance(self.screen, EndpointsScreen):
            self.open_endpoint(Endpoint(paths.endpoints() / job.name))
        else:
            self.say(f"{job.name} serves at {job.outcome}; 4 shows it.")

    def in_background(self, command: Command, ended: Callable[[Command], None] | None = None) -> None:
        """Watch a command; at its end, `ended`, or a notice with what came of it."""
        self._commands = [*getattr(self, "_commands", ()), (command, ended or self._told)]
        if self._watch is None:
            self._watch = self.set_interval(LOOK, self._look_at_commands)

    def _told(self, command: Command) -> None:
        self.say(f"{command.title}: {command.outcome}", warning=command.failed)

    def _look_at_commands(self) -> None:
        done = [pair for pair in self._commands if not pair[0].running]
        self._commands = [pair for pair in self._commands if pair not in done]
        if not self._commands and self._watch:
            self._watch.stop()
            self._watch = None
        for command, ended in done:
            ended(command)

    def steer_endpoint(self, endpoint: Endpoint, verb: str) -> None:
        """Start an endpoint, or stop or delete it after a question."""
        from workbench.tui.screens.question import QuestionScreen

        if verb == "start":
            self.say(f"{endpoint.id} starts.")
            self._in_thread(lambda: self._steer_endpoint(endpoint, verb))
            return
        text = {
            "stop": "It answers what is in flight, and then nobody is answered until it is started again (r). Its log stays.",
            "delete": "Its log, configurations and captured requests are deleted. Its models stay in the store.",
        }[verb]
        question = QuestionScreen(f"{verb.capitalize()} this endpoint?", [(endpoint.id, True), (text, False)], f"{verb} it")
        self.push_screen(question, lambda yes: self._in_thread(lambda: self._steer_endpoint(endpoint, verb)) if yes else None)

    def _steer_endpoint(self, endpoint: Endpoint, verb: str) -> None:
        from workbench.serving import operate

        {"start": operate.start, "stop": operate.stop, "delete": operate.delete}[verb](endpoint)
        done = {"start": "serves", "stop": "has stopped", "delete": "is deleted"}[verb]
        self.call_from_thread(self.say, f"{endpoint.id} {done}.")

    def try_endpoint(self, endpoint: Endpoint, variant: str = "") -> None:
        """Open the screen that sends it a request."""
        from workbench.tui.screens.try_endpoint import TryEndpointScreen

        try:
            self.push_screen(TryEndpointScreen(endpoint, variant))
        except Problem as problem:
            self.say(str(problem), warning=True)

    def endpoint_texts(self, endpoint: Endpoint) -> None:
        """Show the lines that call it."""
        from workbench.tui.screens.endpoint_texts import EndpointTextsScreen

        try:
            self.push_screen(EndpointTextsScreen(endpoint))
        except Problem as problem:
            self.say(str(problem), warning=True)
