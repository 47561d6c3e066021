"""Exports runs: an HTML page, numbers, tables, the visible picture or text, or a path and the command that copies it."""

from collections.abc import Sequence
from typing import ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widget import Widget

from workbench import files, terminal
from workbench.events import Images, Table, Text
from workbench.problems import Problem
from workbench.runs.comparisons import Comparison
from workbench.runs.export import formats, many
from workbench.runs.export.many import Many
from workbench.runs.run import Run
from workbench.runs.tunings import Tuning
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.samples import SamplePanel
from workbench.tui.screens.key_screen import OwnScreen
from workbench.tui.services import Services


def shown(source: Run | Comparison | Tuning | Many, panel: Widget | None) -> tuple[bytes, str]:
    """The picture and the text of a panel; either may be empty."""
    event = panel.event if isinstance(panel, SamplePanel) else None
    if isinstance(event, Images):
        try:
            return event.png or files.read_plain(source.path / event.file), "\n".join(filter(None, event.captions))
        except OSError:
            return b"", ""  # somebody deleted the picture's file
    if isinstance(event, Text):
        return b"", event.prompt + event.text
    if isinstance(event, Table):
        rows: list[Sequence[str | float]] = [event.columns, *event.rows]
        return b"", "\n".join("\t".join(cell if isinstance(cell, str) else f"{cell:g}" for cell in row) for row in rows)
    if isinstance(panel, Lines):
        # 200 columns: wide enough that nothing is wrapped or cut for the narrow panel on screen.
        return b"", "\n".join(strip.text.rstrip() for strip in panel.lines(200))
    return b"", ""


class ExportScreen(ModalScreen[None], OwnScreen[None]):
    """One key for each export; then it shows the path and the command that copies the file, and puts one of them on the clipboard."""

    DEFAULT_CSS = """
    ExportScreen { align: center middle; background: $ground 60%; }
    ExportScreen > Lines {
        width: 84; max-width: 96%; height: auto; max-height: 90%; padding: 1 2; background: $ground; border: round $accent-color;
    }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("h", "html", "", "Write one HTML page: curves, figures, samples, settings"),
        Key("c", "csv", "", "Write the numbers as CSV"),
        Key("l", "latex", "", "Write the table for LaTeX"),
        Key("m", "markdown", "", "Write the table as Markdown"),
        Key("p", "picture", "", "Write the visible picture as PNG"),
        Key("t", "text", "", "Copy the visible text to your clipboard"),
        Key("s", "path", "", "Copy its path to your clipboard"),
        Key("escape,q,x", "close", "close", "Close this window", "Esc"),
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, source: Run | Comparison | Tuning | Many, picture: bytes = b"", text: str = "") -> None:
        """`picture` is the visible PNG and `text` the visible text, if any."""
        super().__init__()
        self.source, self.picture, self.text = source, picture, text
        self._outcome: list[tuple[str, bool]] = []

    def compose(self) -> ComposeResult:
        yield Lines()

    def on_resize(self, event: events.Resize) -> None:
        self._show()

    def refusal(self, name: str) -> str:
        """Why this export is not possible now; "" when it is."""
        if (name == "picture" and not isinstance(self.source, Run)) or (
            isinstance(self.source, Tuning) and name in ("csv", "latex", "markdown")
        ):
            return "its runs are exported one by one"
        if name in ("latex", "markdown") and isinstance(self.source, Run):
            return "one run has no table: mark several and compare them"
        if name == "picture" and not self.picture:
            return "no picture is visible"
        return "no text is visible" if name == "text" and not self.text else ""

    def _show(self) -> None:
        panel = self.query_one(Lines)
        width = min(84, self.app.size.width * 96 // 100) - 6
        blank = strips.line(width, [])
        lines = [strips.line(width, [("Export", palette.heading), (f"   {self.source.id}", palette.faint)]), blank]
        for key in self.KEYS:
            why = self.refusal(key.name)
            cap = (strips.fit(key.cap.split(" ")[0], 5), palette.faint if why else palette.accent)
            lines.append(strips.line(width, [cap, (key.help, palette.faint if why else palette.plain)], [(why, palette.faint)]))
        for text, wrong in self._outcome:
            lines += [blank, *strips.paragraph(text, width, palette.bad if wrong else palette.good)]
        panel.styles.height = len(lines) + 4
        panel.show(lines)

    def press(self, name: str) -> None:
        """A key."""
        if name == "close":
            self.dismiss(None)
            return
        why = self.refusal(name)
        if why.endswith("visible"):
            why += ": open it first" if not isinstance(self.source, Run) else ": open the run and choose a panel with tab"
        try:
            self._outcome = [(f"{why[:1].upper()}{why[1:]}.", True)] if why else self._export(name)
        except Problem as problem:
            self._outcome = [(str(problem), True)]
        except OSError as error:
            self._outcome = [(str(files.problem("The export", "written", error)), True)]
        self._show()

    def _export(self, name: str) -> list[tuple[str, bool]]:
        if name == "text":
            cast(Services, self.app).copy(self.text)
            return [(f"{len(self.text):,} characters are on the clipboard, if your terminal supports OSC 52.", False)]
        if name == "path":
            file = self.source.path.absolute()
        elif name == "picture":
            file = formats.numbered(self.source.id, ".png")
            files.write(file, self.picture)
        elif not isinstance(self.source, Run | Tuning):
            form = "page" if name == "html" else name
            text = "".join(many.pieces(self.source, form))
            file = formats.written(text, formats.exports() / f"{self.source.id}{many.ENDINGS[form]}")
        else:
            file = formats.save(self.source, name, formats.exports() / f"{self.source.id}.{name}")
        fetch = terminal.scp_line(file)
        cast(Services, self.app).copy(fetch or str(file))
        what = "This line" if fetch else "The path"
        return [(str(file), False), (terminal.scp_line(file, always=True), False), (f"{what} is on the clipboard.", False)]
