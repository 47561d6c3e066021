"""The lesson's own Python file beside what it does: coloured, with line numbers, and the method that runs or was asked is marked."""

import ast
from pathlib import Path
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from workbench import files
from workbench.problems import clean, one_line
from workbench.runs.history import History
from workbench.runs.state import State
from workbench.tui.drawing import palette, strips
from workbench.tui.panels.lines import Lines

LONGEST = 128 * 1024
"""Bytes that are read: four times the longest lesson."""
WIDEST = 400
"""Most characters of a line; the rest is not shown."""
VERBS = ("build_data", "build_model", "batches", "train_step", "evaluate", "sample", "predict")
"""What a lesson's class defines: by them it is told from the other classes of its file."""


class Place(NamedTuple):
    """The lines of a method, counted from 0; `end` is the one behind it."""

    start: int
    end: int


class Source(NamedTuple):
    """A file as it is shown."""

    lines: list[list[tuple[str, str]]]
    """Each line in pieces: the text and the name of its style in the palette."""
    methods: dict[str, Place]


def method_of(state: State, history: History) -> str:
    """The method that runs now; of a run that waits or has ended, the one that gave its newest events."""
    if state.state in ("created", "queued", "starting"):
        return "build_data"
    if state.state in ("running", "stopping"):
        return "train_step"
    if any(tag.startswith("step/") and samples.latest.step == history.step for tag, samples in history.samples.items()):
        return "train_step"
    newest = max((samples.latest for samples in history.samples.values()), key=lambda event: (event.step, event.clock), default=None)
    if newest and newest.step == history.step and newest.tag.startswith("sample/"):
        return "sample"
    measured = [series.steps[-1] for tag, series in history.series.items() if tag.startswith(("valid/", "test/"))]
    return "evaluate" if max(measured, default=-1) >= history.step else "train_step"


class SourcePanel(Lines):
    """Shows the file at `path`; `follow` moves the mark to another method, and the view with it unless a person has scrolled away."""

    def __init__(self, path: Path, method: str = "", *, name: str | None = "source") -> None:
        super().__init__(name=name)
        self.path = path
        self.method = method
        self._stamp: files.Stamp | None = None
        self._source = Source([], {})
        self._note = ""

    @property
    def place(self) -> Place | None:
        """Where the method stands in the file; None where another file defines it."""
        return self._source.methods.get(self.method)

    def follow(self, method: str) -> None:
        """Mark this method, and read the file again where it is another one now."""
        if not self.size:
            self.method = method
            return
        is_new, away = self._read(), self._away
        if method != self.method or is_new:
            self.method = method
            if is_new or not away:
                self._go()
            self.rebuild()

    @property
    def _away(self) -> bool:
        """Whether a person has scrolled to where the marked method does not begin."""
        place = self.place
        return place is not None and not self.top <= place.start < self.top + self.size.height

    def _go(self) -> None:
        """Bring the method into view."""
        if self.place:
            # Two lines above it: the end of the method before tells that one begins here.
            self.top = max(0, self.place.start - 2)

    def _read(self) -> bool:
        """Read the file where it is new; returns whether it was."""
        stamp = files.stamp(self.path)
        if stamp == self._stamp:
            return False
        self._stamp, self._note = stamp, ""
        try:
            text = text_of(self.path)
        except OSError as error:
            self._source, self._note = Source([], {}), f"{self.path.name} cannot be read: {one_line(error.strerror or str(error))}."
            return True
        self._source = Source([[(line, "plain")] for line in text.split("\n")], methods(text))

        def work() -> None:
            lines = coloured(text)
            if self.is_attached:
                self.app.call_from_thread(self._color, stamp, lines)

        # To import the lexer and to colour takes a quarter of a second, and keys must not wait so long.
        self.run_worker(work, thread=True, exclusive=True, exit_on_error=False)
        return True

    def _color(self, stamp: files.Stamp, lines: list[list[tuple[str, str]]]) -> None:
        if stamp == self._stamp:
            self._source = self._source._replace(lines=lines)
            self.rebuild()

    def lines(self, width: int) -> list[Strip]:
        if not width:
            return []
        if self._stamp is None:
            self._read()
        if self._note:
            return strips.paragraph(self._note, max(1, width - 1), palette.dim)
        place, digits = self.place or Place(-1, -1), len(str(len(self._source.lines)))
        shown = []
        for number, pieces in enumerate(self._source.lines):
            inside = place.start <= number < place.end
            gutter = [(f"{number + 1:>{digits}} ", palette.dim if inside else palette.faint), ("▎" if inside else " ", palette.accent)]
            parts = [*gutter, *((text, style(name)) for text, name in pieces)]
            size = sum(cell_len(text) for text, _ in parts)
            strip = strips.line(max(size, width - 1), parts)
            # Pieces end anywhere: every line that goes on says so.
            shown.append(strip if size < width else Strip([*strip.crop(0, width - 2), Segment("…", palette.faint)]))
        return shown

    def settle(self) -> None:
        """Begin with the method in view."""
        if not self._painted:
            self._go()
        super().settle()


def text_of(path: Path) -> str:
    """The beginning of a file as text that is safe to show; OSError where it cannot be read."""
    data = files.read_plain(path, LONGEST + 1)
    cut = "\n… the rest is not shown" if len(data) > LONGEST else ""
    text = clean(data[:LONGEST].decode("utf-8", "replace")).expandtabs(4) + cut
    return "\n".join(line[:WIDEST] for line in text.rstrip("\n").split("\n"))


def methods(text: str) -> dict[str, Place]:
    """Where the methods of a lesson's class stand, and those of the file's other classes that it does not define itself."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    classes = [
        {
            part.name: Place(min([part.lineno, *(wrapper.lineno for wrapper in part.decorator_list)]) - 1, part.end_lineno or part.lineno)
            for part in node.body
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    ]
    places: dict[str, Place] = {}
    # Last the class that defines most of them, whose places win.
    for defined in sorted(classes, key=lambda defined: sum(verb in defined for verb in VERBS)):
        places.update(defined)
    return places


def style(name: str) -> Style:
    """The style of this name in the palette, which is another one in each theme."""
    found: Style = getattr(palette, name)
    return found


def coloured(text: str) -> list[list[tuple[str, str]]]:
    """A Python file's lines in pieces of one colour each."""
    # Here, since it is imported only where somebody looks at a source.
    from pygments.lexers.python import PythonLexer
    from pygments.token import Comment, Keyword, Name, Number, Operator, String, Token

    kinds = {
        Comment: "dim",
        Keyword: "accent",
        Operator.Word: "accent",
        Name.Function: "bold",
        Name.Class: "bold",
        Name.Decorator: "warn",
        Number: "violet",
        String: "good",
        Token: "plain",
    }
    lines: list[list[tuple[str, str]]] = [[]]
    for token, value in PythonLexer(stripnl=False, ensurenl=False).get_tokens(text):
        # The parents of a kind stand behind one another: the nearest with a colour of its own counts.
        name = next(kinds[parent] for parent in reversed(token.split()) if parent in kinds)
        for place, piece in enumerate(value.split("\n")):
            if place:
                lines.append([])
            if piece:
                lines[-1].append((piece, name))
    return lines
