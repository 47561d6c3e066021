"""Try a network that takes a text or a row of numbers: a field for each input, and the answer as text and bars."""

from typing import Any, ClassVar

from textual import events, on
from textual.containers import Container, Horizontal
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from workbench import formatting
from workbench.problems import one_line
from workbench.recipes.schema_check import Schema
from workbench.runs.run import Run
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
    """The fields of a text come from the project's Request; those of a row come from the process that answers."""

    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Leave the field; then go back to the run", "Esc"),
        Key("enter", "send", "ask", "Send the values in the fields to the network", "⏎"),
        *OPEN,
        Key("pagedown", "more", "", "Scroll the answer down", "PgDn"),
        Key("pageup", "less", "", "Scroll the answer up", "PgUp"),
        *TRYING,
    )
    BINDINGS = keys.bindings(KEYS)
    HINT = "Enter sends the values in the fields to the network."

    def __init__(self, run: Run, kind: str) -> None:
        super().__init__(run)
        self.kind = kind
        schema = requests.answer_schema(run, run.recipe()) if kind == "text" else {}
        self.form = Form(schema, {}, "it")
        self._panel = FormPanel(self.form, typing=True, id="form")
        self.outputs: dict[str, Any] = {}
        """The latest answer."""
        self.words: dict[str, float] = {}
        """The effect of each word of the text on the answer."""

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
            self.do_send()  # the fields may have changed since the question was asked

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._fit()

    @on(FormPanel.Changed)
    def _fit(self) -> None:
        """Make room for the fields of a text; the fields of a row have their own column."""
        if self.kind == "text":
            self.panel.styles.height = self.panel.tallest(self.size.width - 2)

    def _answer(self, width: int) -> list[Strip]:
        """The answer: its text, then the effect of each word, or its note."""
        width, outputs = max(8, width), self.outputs
        text, answer = (str(outputs.get(name) or "") for name in ("text", "answer"))
        lines = text_lines(text, width) if text else strips.paragraph(answer, width - 1, palette.bold) if answer else []
        if self.words:
            likely = list(outputs.get("probabilities") or ["the answer"])[-1]
            title = f"How much each word adds to the probability of “{one_line(likely, 40)}” (the text is asked again without it):"
            lines += [strips.line(width - 1, []), *strips.paragraph(title, width - 1, palette.dim)]
            lines += changes(self.words, min(width - 1, 60))
            if aside := outputs.get("aside"):
                lines += strips.paragraph(one_line(str(aside), 400), width - 1, palette.dim)
        elif outputs.get("note"):
            lines += [strips.line(width - 1, []), *strips.paragraph(one_line(str(outputs["note"]), 400), width - 1, palette.dim)]
        return lines

    def answered(self, outputs: dict[str, Any]) -> None:
        self.outputs = outputs
        words = outputs.get("words")
        self.words = {
            # The project gives the change when the word is missing; its negative is what the word adds.
            str(word["word"]): -word["difference"]
            for word in (words if isinstance(words, list) else [])
            if isinstance(word, dict) and "word" in word and isinstance(word.get("difference"), int | float)
        }
        self.note = "The bars show the most probable next characters or words after your text." if outputs.get("next") else ""
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
        return (
            "The network is not loaded: R starts it again." if self.trouble else "" if self.form.fields else "The network is still loading."
        )

    def do_send(self) -> None:
        if not self.panel.wrong():
            self.ask(predict={"row": self.form.values} if self.kind == "row" else self.form.values)
            self.trouble = ""
            self.note = "Waiting for the answer …" if self.ready else "The network gets these values as soon as it is loaded."
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
    """The schema of a row of numbers, from the description of its fields."""
    properties = {}
    for field in fields:
        about = f"{formatting.number(field['low'])} to {formatting.number(field['high'])} in the training rows"
        number = field.get("value", 0)
        # Six digits: a mean of the training rows has seventeen, and nobody edits those.
        properties[str(field["name"])] = {"type": "number", "default": float(f"{number:.6g}"), "description": about}
    return {"type": "object", "properties": properties}
