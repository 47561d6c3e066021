"""Try a network that takes a text or a row of numbers: a field for each, its answer as text and bars."""

from typing import Any, ClassVar

from textual import events, on
from textual.containers import Container, Horizontal
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from workbench import formatting
from workbench.problems import one_line
from workbench.recipes.schema_check import Schema
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.models import requests
from workbench.tui.models.recipe_form import Form
from workbench.tui.panels.bars import Bars, changes
from workbench.tui.panels.form import OPEN, FormKeys, FormPanel
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.sheet import text_lines
from workbench.tui.screens.try_it import TRYING, TryScreen


class TryFormScreen(FormKeys, TryScreen):
    """A text's fields are those of the project's Request; a row's are what its form says."""

    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Out of the field; back to the run", "Esc"),
        Key("enter", "send", "ask", "Ask with what stands in the fields", "⏎"),
        *OPEN,
        Key("pagedown", "more", "", "Scroll the answer down", "PgDn"),
        Key("pageup", "less", "", "Scroll it up", "PgUp"),
        *TRYING,
    )
    BINDINGS = keys.bindings(KEYS)
    HINT = "Enter asks with what stands in the fields."

    def __init__(self, feed: Any, kind: str) -> None:
        super().__init__(feed)
        self.kind = kind
        schema = requests.request_schema(feed.run, feed.run.recipe()) if kind == "text" else {}
        self.form = Form(schema, {}, "it")
        self._panel = FormPanel(self.form, typing=True, id="form")
        self.outputs: dict[str, Any] = {}
        """The newest answer."""
        self.words: dict[str, float] = {}
        """What each of its words does."""

    def compose_form(self) -> list[Widget]:
        text = Lines(id="text")
        text.source = self._answer
        return [Container(self._panel, Horizontal(text, Bars(id="bars"), id="reply"), id="ask", classes=self.kind)]

    def begun(self) -> None:
        if not self.form.fields:
            self.form = self.panel.form = Form(row_schema(self.ready.get("form", {}).get("fields", [])), {}, "it")
            self.panel.rebuild()
            self.panel.edit()
        elif self._question:
            self.do_send()  # the fields may have been changed since

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._fit()

    @on(FormPanel.Changed)
    def _fit(self) -> None:
        """Room for the fields of a text; those of a row have a column of their own."""
        if self.kind == "text":
            self.panel.styles.height = self.panel.tallest(self.size.width - 2)

    def _answer(self, width: int) -> list[Strip]:
        """What it answered: its text, then the words that decided it, or its note."""
        width, outputs = max(8, width), self.outputs
        text, answer = (str(outputs.get(name) or "") for name in ("text", "answer"))
        lines = text_lines(text, width) if text else strips.paragraph(answer, width - 1, palette.bold) if answer else []
        if self.words:
            likely = list(outputs.get("probabilities") or ["the answer"])[-1]
            title = f"What each word adds to “{one_line(likely, 40)}”, as asked again without it:"
            lines += [strips.line(width - 1, []), *strips.paragraph(title, width - 1, palette.dim)]
            lines += changes(self.words, min(width - 1, 60))
        elif outputs.get("note"):
            lines += [strips.line(width - 1, []), *strips.paragraph(one_line(str(outputs["note"]), 400), width - 1, palette.dim)]
        return lines

    def answered(self, outputs: dict[str, Any]) -> None:
        self.outputs = outputs
        words = outputs.get("words")
        self.words = {
            str(word["word"]): -word["difference"]
            for word in (words if isinstance(words, list) else [])
            if isinstance(word, dict) and "word" in word and isinstance(word.get("difference"), int | float)
        }
        self.note = "The bars are what is likeliest to come after what you typed." if outputs.get("next") else ""
        self.query_one("#text", Lines).rebuild()
        self.query_one("#bars", Bars).follow(outputs.get("next") or outputs.get("probabilities") or {})

    def reloaded(self) -> None:
        self.do_send()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_press("send")

    def refusal(self, name: str) -> str:
        if name != "send" or self.ready:
            return ""
        return "Nothing answers: R starts it again." if self.trouble else "" if self.form.fields else "It is still loading."

    def do_send(self) -> None:
        if not self.panel.wrong():
            self.ask(predict={"row": self.form.values} if self.kind == "row" else self.form.values)
            self.trouble = ""
            self.note = "Asked …" if self.ready else "What stands in the fields is asked as soon as it has loaded."
        self.tell()

    def do_next(self) -> None:
        super().do_next() if self.focused else self.panel.edit()

    def do_more(self) -> None:
        self.query_one("#text", Lines).scroll_by(5)

    def do_less(self) -> None:
        self.query_one("#text", Lines).scroll_by(-5)

    def do_back(self) -> None:
        if self.focused:
            self.panel.close()
        else:
            super().do_back()


def row_schema(fields: list[dict[str, Any]]) -> Schema:
    """The schema of a row of numbers, from what its form says of each."""
    properties = {}
    for field in fields:
        about = f"{formatting.number(field['low'])} to {formatting.number(field['high'])} in the training rows"
        number = field.get("value", 0)
        properties[str(field["name"])] = {"type": "number", "default": float(f"{number:.6g}"), "description": about}
    return {"type": "object", "properties": properties}
