"""The lines that call an endpoint from elsewhere, to copy: curl, boto3, a Dockerfile."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from workbench.problems import Problem, one_line
from workbench.serving import calls, image
from workbench.serving.endpoint import Endpoint, VariantPlan
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.models import asking_endpoint
from workbench.tui.panels.lines import Lines
from workbench.tui.screens.key_screen import OwnScreen

LONG = 280
"""Characters of a line that are shown; all of it is copied."""


def _curl(plan: VariantPlan, url: str) -> str:
    """The line that `dlwb serve` prints; why there is none where the model cannot be read."""
    try:
        return calls.curl(asking_endpoint.model_of(plan), url)
    except (Problem, OSError, ValueError, LookupError) as error:
        return one_line(str(error))


class EndpointTextsScreen(ModalScreen[None], OwnScreen[None]):
    """Shows the texts; one key copies each."""

    DEFAULT_CSS = """
    EndpointTextsScreen { align: center middle; background: $ground 60%; }
    EndpointTextsScreen > Lines {
        width: 110; max-width: 96%; height: auto; max-height: 94%; padding: 1 2; background: $ground; border: round $accent-color;
    }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("c", "curl", "", "Copy the line for curl"),
        Key("b", "boto3", "", "Copy the lines for boto3"),
        Key("d", "docker", "", "Copy the Dockerfile"),
        Key("up", "up", "", "Scroll up"),
        Key("down", "down", "", "Scroll down"),
        Key("escape,q,x", "close", "", "Close this window"),
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises Problem where its directory is damaged."""
        super().__init__()
        plan = asking_endpoint.first_variant(endpoint.config(endpoint.current.config))
        raw = (asking_endpoint.examples_of(plan) or [{}])[0]
        self.endpoint = endpoint
        self.texts = {
            "curl": _curl(plan, endpoint.url),
            "boto3": asking_endpoint.boto3(endpoint, raw),
            "docker": image.dockerfile(plan.label),
        }
        self._said = ""

    def compose(self) -> ComposeResult:
        yield Lines()

    def on_resize(self, event: events.Resize) -> None:
        self._show()

    def _show(self) -> None:
        panel = self.query_one(Lines)
        width = max(8, min(110, self.app.size.width * 96 // 100) - 7)
        lines = [strips.line(width, [("Call it from elsewhere", palette.heading), (f"   {self.endpoint.id}", palette.faint)])]
        heads = {
            "curl": ("c", "curl"),
            "boto3": ("b", "boto3, as for SageMaker"),
            "docker": ("d", f"Dockerfile; dlwb export {self.endpoint.id} --to docker writes its folder"),
        }
        for name, (key, head) in heads.items():
            lines += [strips.line(width, []), strips.line(width, [(f" {key} ", palette.badge), (f" {head}", palette.bold)])]
            shown = [line if len(line) <= LONG else f"{line[:LONG]} …" for line in self.texts[name].splitlines()]
            lines += strips.paragraph("\n".join(shown), width, palette.plain, "    ")
        said = self._said or "A key copies its lines to your clipboard; Esc closes."
        lines += [strips.line(width, []), *strips.paragraph(said, width, palette.good if self._said else palette.dim)]
        panel.styles.height = len(lines) + 4
        panel.show(lines)

    def press(self, name: str) -> None:
        """A key."""
        if name == "close":
            self.dismiss(None)
        elif name in ("up", "down"):
            self.query_one(Lines).scroll_by(1 if name == "down" else -1)
        else:
            try:
                self.app.copy(self.texts[name])  # type: ignore[attr-defined]
                self._said = "It is on your clipboard, where your terminal allows that."
            except Problem as problem:
                self._said = str(problem)
            self._show()
