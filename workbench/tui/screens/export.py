"""Ways to get a run out of here, to choose from: a page, its numbers, the picture shown, the text shown, its path and how to fetch it."""

from collections.abc import Sequence
from typing import ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widget import Widget

from workbench import files, paths, terminal
from workbench.events import Images, Table, Text
from workbench.problems import Problem
from workbench.runs.export import formats
from workbench.runs.run import Run
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.samples import SamplePanel
from workbench.tui.services import Services


def shown(run: Run, panel: Widget | None) -> tuple[bytes, str]:
    """The picture and the text that a panel shows; either may be empty."""
    event = panel.event if isinstance(panel, SamplePanel) else None
    if isinstance(event, Images):
        try:
            return event.png or files.read_plain(run.path / event.file), "\n".join(filter(None, event.captions))
        except OSError:
            return b"", ""  # the picture is gone
    if isinstance(event, Text):
        return b"", event.prompt + event.text
    if isinstance(event, Table):
        rows: list[Sequence[str | float]] = [event.columns, *event.rows]
        return b"", "\n".join("\t".join(cell if isinstance(cell, str) else f"{cell:g}" for cell in row) for row in rows)
    if isinstance(panel, Lines):
        return b"", "\n".join(strip.text.rstrip() for strip in panel.lines(200))
    return b"", ""


class ExportScreen(ModalScreen[None]):
    """A key each; what was written stands here with the way to fetch it, and its path is on the clipboard."""

    DEFAULT_CSS = """
    ExportScreen { align: center middle; background: $ground 60%; }
    ExportScreen > Lines {
        width: 84; max-width: 96%; height: auto; max-height: 90%; padding: 1 2; background: $ground; border: round $accent-color;
    }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("h", "html", "", "One HTML page: curves, figures, samples, settings"),
        Key("c", "csv", "", "Its numbers as CSV"),
        Key("p", "picture", "", "The picture shown, as PNG"),
        Key("t", "text", "", "The text shown, to your clipboard"),
        Key("s", "path", "", "The path of the run, to your clipboard"),
        Key("escape,q,x", "close", "close", "Close", "Esc"),
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, run: Run, picture: bytes = b"", text: str = "") -> None:
        """`picture` is the PNG and `text` the words that are shown, if any."""
        super().__init__()
        self.run, self.picture, self.text = run, picture, text
        self._outcome: list[tuple[str, bool]] = []

    def compose(self) -> ComposeResult:
        yield Lines()

    def on_resize(self, event: events.Resize) -> None:
        self._show()

    def refusal(self, name: str) -> str:
        """Why this cannot be had now; "" when it can."""
        if name == "picture" and not self.picture:
            return "no picture is shown"
        return "no text is shown" if name == "text" and not self.text else ""

    def _show(self) -> None:
        panel = self.query_one(Lines)
        width = min(84, self.app.size.width * 96 // 100) - 6
        blank = strips.line(width, [])
        lines = [strips.line(width, [("Get it out", palette.heading), (f"   {self.run.id}", palette.faint)]), blank]
        for key in self.KEYS:
            why = self.refusal(key.name)
            cap = (strips.fit(key.cap.split(" ")[0], 5), palette.faint if why else palette.accent)
            lines.append(strips.line(width, [cap, (key.help, palette.faint if why else palette.plain)], [(why, palette.faint)]))
        for text, wrong in self._outcome:
            lines += [blank, *strips.paragraph(text, width, palette.bad if wrong else palette.good)]
        panel.styles.height = len(lines) + 4
        panel.show(lines)

    def action_press(self, name: str) -> None:
        """A key."""
        if name == "close":
            self.dismiss(None)
            return
        why = self.refusal(name)
        try:
            self._outcome = (
                [(f"{why[:1].upper()}{why[1:]}: open the run, and choose its panel with tab.", True)] if why else self._export(name)
            )
        except (Problem, OSError) as problem:
            self._outcome = [(str(problem), True)]
        self._show()

    def _export(self, name: str) -> list[tuple[str, bool]]:
        if name == "text":
            cast(Services, self.app).copy(self.text)
            return [(f"{len(self.text):,} characters are on the clipboard, where your terminal takes OSC 52.", False)]
        if name == "path":
            file = self.run.path.absolute()
        else:
            folder = paths.home() / "exports"
            folder.mkdir(parents=True, exist_ok=True)
            if name == "picture":
                file = next(path for path in (folder / f"{self.run.id}-{number}.png" for number in range(1, 10**6)) if not path.exists())
                file.write_bytes(self.picture)
            else:
                file = formats.save(self.run, name, folder / f"{self.run.id}.{name}")
        fetch = terminal.scp_line(file)
        cast(Services, self.app).copy(fetch or str(file))
        what = "This line" if fetch else "The path"
        return [(str(file), False), (terminal.scp_line(file, always=True), False), (f"{what} is on the clipboard.", False)]
