"""Try a network that takes a text or a row of numbers: a field for each, its answer as text and bars."""

from typing import Any, ClassVar

from textual import events, on
from textual.containers import Container, Horizontal, VerticalScroll
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from workbench import formatting
from workbench.problems import Problem, clean, one_line
from workbench.recipes import project_schemas
from workbench.recipes.schema_check import complete
from workbench.recipes.yaml_reader import flow_value
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.panels.bars import Bars, changes
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.sheet import text_lines
from workbench.tui.screens.try_it import TRYING, TryScreen


class Line(Input):
    """A field; what is pasted into it comes as one line."""

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        self.insert_text_at_cursor(" ".join(clean(event.text).split()))


class TryFormScreen(TryScreen):
    """A text's fields are those of the project's Request; a row's are what its form says."""

    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Out of the field; back to the run", "Esc"),
        Key("enter", "send", "ask", "Ask with what stands in the fields", "⏎"),
        Key("tab", "next", "next field", "The next field", "Tab"),
        Key("shift+tab", "previous", "", "The field before", "⇧Tab"),
        Key("pagedown", "more", "", "Scroll the answer down", "PgDn"),
        Key("pageup", "less", "", "Scroll it up", "PgUp"),
        *TRYING,
    )
    BINDINGS = keys.bindings(KEYS)
    AUTO_FOCUS = "Input"
    HINT = "Enter asks with what stands in the fields."

    def __init__(self, feed: Any, kind: str) -> None:
        super().__init__(feed)
        self.kind = kind
        recipe = feed.run.recipe()
        own = recipe.project.endswith(".py")
        self.schema = project_schemas.describe(feed.run.project_copy if own else recipe.project, may_run=False)
        self.outputs: dict[str, Any] = {}
        """The newest answer."""
        self.words: dict[str, float] = {}
        """What each of its words does."""

    def compose_form(self) -> list[Widget]:
        text = Lines(id="text")
        text.source = self._answer
        form = VerticalScroll(*self._rows(), id="form", can_focus=False)
        return [Container(form, Horizontal(text, Bars(id="bars"), id="said"), id="ask", classes=self.kind)]

    def begun(self) -> None:
        if not self.query("#form Input"):
            self.run_worker(self._fill())
        elif self._question:
            self.do_send()  # the fields may have been changed since

    async def _fill(self) -> None:
        await self.query_one("#form").mount(*self._rows())
        self.focus_next("#form Input")

    def _rows(self) -> list[Widget]:
        """A line for each field: those of a row are known once it has loaded."""
        return [
            Horizontal(
                Static(one_line(name, 40), markup=False), Line(value, placeholder=about, compact=True, name=name, select_on_focus=False)
            )
            for name, value, about in self.fields()
        ]

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

    def fields(self) -> list[tuple[str, str, str]]:
        """Name, first value and description of each field."""
        if self.kind == "row":
            found = []
            for each in self.ready.get("form", {}).get("fields", []):
                about = (
                    f"{each['name']}: {formatting.number(each.get('low'))} to {formatting.number(each.get('high'))} in the training rows"
                )
                found.append((str(each["name"]), f"{each.get('value', 0):g}", about))
            return found
        properties = self.schema.request.get("properties", {}) if self.schema else {}
        return [(name, str(each.get("default", "")), one_line(str(each.get("description", "")), 200)) for name, each in properties.items()]

    def question(self) -> Any:
        """What the fields say, as predict takes it. Raises Problem."""
        values: dict[str, Any] = {}
        properties = self.schema.request.get("properties", {}) if self.schema else {}
        for field in self.query("#form Input").results(Input):
            name, typed = str(field.name), field.value
            if properties.get(name, {}).get("type") == "string":
                values[name] = typed
                continue
            values[name], wrong = flow_value(typed)
            if wrong or (self.kind == "row" and not isinstance(values[name], int | float)):
                raise Problem(f"{name}: {wrong or 'must be a number'}.")
        if self.kind == "row":
            return {"row": values}
        faults = complete(values, self.schema.request, "it")[1] if self.schema else []
        if faults:
            raise Problem(f"{faults[0].where[0] if faults[0].where else ''}: {faults[0].text}.")
        return values

    def answered(self, outputs: dict[str, Any]) -> None:
        self.outputs = outputs
        found = outputs.get("words")
        self.words = {
            str(each["word"]): -each["difference"]
            for each in (found if isinstance(found, list) else [])
            if isinstance(each, dict) and "word" in each and isinstance(each.get("difference"), int | float)
        }
        self.note = "The bars are what is likeliest to come after what you typed." if outputs.get("next") else ""
        self.query_one("#text", Lines).rebuild()
        self.query_one("#bars", Bars).follow(outputs.get("next") or outputs.get("probabilities") or {})

    def reloaded(self) -> None:
        self.do_send()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """What the field is, in the line below."""
        if isinstance(event.widget, Input):
            self.note = event.widget.placeholder
            self.tell()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_press("send")

    def refusal(self, name: str) -> str:
        if name != "send" or self.ready:
            return ""
        return "Nothing answers: R starts it again." if self.trouble else "" if self.query("#form Input") else "It is still loading."

    def do_send(self) -> None:
        try:
            self.ask(predict=self.question())
        except Problem as problem:
            self.trouble = str(problem)
        else:
            self.trouble = ""
            self.note = "Asked …" if self.ready else "What stands in the fields is asked as soon as it has loaded."
        self.tell()

    def do_next(self) -> None:
        self.focus_next("#form Input")

    def do_previous(self) -> None:
        self.focus_previous("#form Input")

    def do_more(self) -> None:
        self.query_one("#text", Lines).scroll_by(5)

    def do_less(self) -> None:
        self.query_one("#text", Lines).scroll_by(-5)

    def do_back(self) -> None:
        if self.focused:
            self.set_focus(None)
        else:
            super().do_back()
