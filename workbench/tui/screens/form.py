"""The form before a start: every setting of a recipe with its allowed values and changes, the device, and what the start would mean."""

from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.strip import Strip

from workbench.launch import estimate
from workbench.launch.devices import Device
from workbench.launch.estimate import Past
from workbench.problems import Problem, one_line
from workbench.recipes.load import Loaded
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.models.preflight import Machine, Outlook, described, look, outlook
from workbench.tui.models.recipe_form import DEVICE, RecipeForm
from workbench.tui.panels.form import TURN, Entry, FormKeys, FormPanel
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.rows import WALK, Row, Rows
from workbench.tui.screens.key_screen import KeyScreen

if TYPE_CHECKING:
    from textual.widgets import Input

# A look runs NVIDIA's library and reads the processes on each GPU.
EVERY = 3.0
"""Seconds between two looks at the devices: other people's jobs come and go."""
WARNINGS = 4
"""Most warnings that are visible at once."""
START = "start"
"""The key of the first row, which starts the run."""


class FormScreen(FormKeys, KeyScreen):
    """Opens from the list of recipes, and from a run that a person starts again."""

    PASSING = True
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key(
            "enter",
            "edit",
            "change",
            "Type a value, or take the next choice; on the first row: start. A digit begins a value, . or ~ begins a path",
            "⏎",
        ),
        Key("s,ctrl+s", "start", "start", "Start a run with these settings", "s ^s"),
        Key("S", "seeds", "seeds", "Start it with several seeds, one run after the other: a comparison that shows their mean and a band"),
        Key("backspace,delete", "reset", "as in the recipe", "Set the setting back to its value in the recipe", "⌫ Del"),
        Key("slash", "filter", "find", "Show only settings with these words", "/"),
        *TURN,
        *WALK,
        Key("escape", "back", "back", "Leave the typing, then the filter, then the form, without a start", "Esc"),
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, loaded: Loaded, changes: dict[str, str] | None = None) -> None:
        super().__init__()
        self.form = RecipeForm(loaded, changes)
        # The form paints at once with what is always there; `_look` brings the GPUs.
        self.machine = Machine((Device("cpu", "CPU"),))
        self._past: list[Past] = []

    def compose(self) -> ComposeResult:
        yield Lines(id="outlook")
        yield FormPanel(self.form, self._above)
        yield Entry(placeholder="words", id="filter")
        yield KeyBar()

    @property
    def stem(self) -> str:
        """The recipe whose past runs tell what a start would mean."""
        return self.form.base.stem

    @property
    def filter(self) -> Entry:
        return self.query_one("#filter", Entry)

    def on_mount(self) -> None:
        entries = self.services.library.of(self.stem)
        self._past = [Past(entry.recipe, entry.summary) for entry in entries if entry.recipe]
        self.query_one("#outlook", Lines).source = self._head
        self.fill()
        self._look(None)

    @property
    def outlook(self) -> Outlook:
        return outlook(self.form.loaded, self.machine, self._past)

    def _head(self, width: int) -> list[Strip]:
        return head(self.form, self.outlook, self.machine, width)

    def _above(self, width: int, key: str) -> list[Row]:
        first, *rest = start(self.form, self.outlook, key == START, width)
        return [Row(START, first), *(Row("", strip) for strip in rest)]

    # -- the machine, looked at in a thread ----------------------------------------------------------------------------------------

    def _look(self, before: Machine | None) -> None:
        def work() -> None:
            self.app.call_from_thread(self._looked, look(before))

        self.run_worker(work, thread=True, exit_on_error=False)

    def _looked(self, machine: Machine) -> None:
        if not self.is_attached:
            return
        self.machine = machine
        self.fill()
        if machine.whole:
            self.set_timer(EVERY, lambda: self._look(machine))
        else:
            self._look(machine)

    # -- what stands where -----------------------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.call_after_refresh(self.fill)

    @on(FormPanel.Changed)
    def fill(self) -> None:
        """Draw everything again; only the changed rows are painted."""
        self._describe_device()
        head = self.query_one("#outlook", Lines)
        # Never more than half of the screen: the fields are what a person came for.
        head.styles.height = min(len(self._head(max(8, (self.size.width or 80) - 2))), self.size.height // 2 or 5)
        head.rebuild()
        self.panel.rebuild()
        self.query_one(KeyBar).rebuild()

    def _describe_device(self) -> None:
        """Describe in the device's field the devices that the project can use, with the programs on them."""
        field, schema = self.form.fields[DEVICE], self.form.base.schema
        kinds, devices = schema.devices if schema else ("cpu",), self.machine.devices
        # The recipe may name a device of another machine: it stays as it is, and the preflight says what is wrong.
        field.choices = ["auto", "cpu", *[device.name for device in devices if device.name != "cpu" and "cuda" in kinds]]
        device = self.outlook.device
        field.note = f"→ {device.name}: {described(device)}" if field.text == "auto" else described(device)
        field.facts = ""
        field.help = "\n".join(f"{'▸' if other.name == field.text else ' '} {other.name:8} {described(other)}" for other in devices)

    @on(Rows.Moved)
    def _moved(self) -> None:
        self.query_one(KeyBar).rebuild()

    @on(Rows.Chosen)
    def _clicked(self) -> None:
        self.action_press("edit")

    # -- keys ------------------------------------------------------------------------------------------------------------------------

    def refusal(self, name: str) -> str:
        field = self.panel.field
        problems = self.form.problems
        if problems and (name in ("start", "seeds") or (name == "edit" and field is None)):
            where = next(iter(problems))
            return f"{where or 'The recipe'}: {problems[where]}"
        if name in ("left", "right") and not (field and field.choices):
            return "This row has no choices: Enter lets you type a value." if field else "Enter starts the run."
        if name == "reset" and not (field and field.changed):
            return "This setting already has the recipe's value."
        return ""

    def do_start(self) -> None:
        self.panel.close()
        if reason := self.refusal("start"):
            self.notify(reason, severity="warning", markup=False, timeout=6)
        else:
            self.services.start(self.form.loaded)

    def do_seeds(self) -> None:
        from workbench.tui.screens.ask import AskScreen

        number = {"type": "integer", "minimum": 2, "maximum": 20, "default": 5, "description": "How many seeds, from the recipe's on"}
        schema = {"type": "object", "properties": {"seeds": number}, "required": ["seeds"]}
        self.panel.close()
        ask = AskScreen("Several seeds", "start", schema, {"seeds": 5}, "this form")
        self.app.push_screen(ask, lambda values: self._with_seeds(values["seeds"]) if values else None)

    def _with_seeds(self, seeds: int) -> None:
        from workbench.launch.comparing import with_seeds

        try:
            self.services.start(with_seeds(self.form.loaded, seeds))
        except Problem as problem:
            self.services.say(str(problem), warning=True)

    def do_edit(self) -> None:
        field = self.panel.field
        if field is None:
            self.do_start()
        elif len(field.choices) > 1:
            self.panel.turn(1)
        else:
            self.panel.edit(chosen=True)

    def do_reset(self) -> None:
        self.form.take_back(self.panel.key)
        self.fill()

    def do_filter(self) -> None:
        self.panel.close()
        self.filter.add_class("open")
        self.set_focus(self.filter)

    def do_back(self) -> None:
        if self.panel.editing:
            self.panel.close()
        elif self.panel.words or self.filter.has_class("open"):
            self.filter.value = ""
            self._close_filter()
        else:
            self.dismiss()

    # -- typing ----------------------------------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """A digit, a sign or a bracket begins a value, and a dot or a tilde begins a path."""
        field, text = self.panel.field, event.character
        # Letters are keys of this screen; of a field with choices only paths are typed (a checkpoint of one's own).
        if text and field and not isinstance(self.focused, Entry) and text in (".~" if field.choices else "0123456789.-[") and field.typed:
            event.stop()
            self.panel.edit(text)

    def _close_filter(self) -> None:
        self.filter.remove_class("open")
        self.set_focus(None)
        self.fill()

    def on_input_changed(self, event: "Input.Changed") -> None:
        self.panel.words = event.value.casefold()
        self.fill()

    def on_input_submitted(self) -> None:
        if self.panel.editing:
            self.panel.close()
        else:
            self._close_filter()
            if self.panel.words and self.panel.key == START:
                self.panel.move(1)  # a second Enter changes the setting that was found, and does not start


def head(form: RecipeForm, preflight: Outlook, machine: Machine, width: int) -> list[Strip]:
    """The lines above the fields: recipe, time, memory, warnings."""
    changed = len(form.changes)
    count = f"{changed} change{'s' * (changed != 1)} " if changed else "as in the recipe "
    title: list[strips.Part] = [(" Start  ", palette.heading), (one_line(form.base.recipe.title), palette.bold)]
    lines = [
        strips.line(width, [*title, (f"  {form.base.stem}", palette.accent)], [(f"  {count}", palette.warn if changed else palette.dim)])
    ]
    time, memory = estimate.told(preflight.estimate, "" if changed else form.base.stem)
    for label, text in (("time", time), ("memory", memory)):
        lines.append(strips.line(width, [(strips.fit(f" {label}", 9), palette.faint), (text, palette.plain)]))
    if not machine.whole and len(machine.devices) > 1:
        lines.append(strips.line(width, [(" checking whether torch can use the GPU …", palette.dim)]))
    for text, bad in preflight.warnings[:WARNINGS]:
        lines += strips.paragraph(f"! {one_line(text, 600)}", width, palette.bad if bad else palette.warn, "  ", margin=1)
    if form.base.unchecked:
        lines += strips.paragraph(f"! {form.base.unchecked[:1].upper()}{form.base.unchecked[1:]}.", width, palette.warn, "  ", margin=1)
    return [*lines, strips.line(width, [])]


def start(form: RecipeForm, preflight: Outlook, under_cursor: bool, width: int) -> list[Strip]:
    """The first row: start with the device, or the number of wrong settings; below it a problem of no single setting, or a hint."""
    if form.problems:
        count = len(form.problems)
        row = strips.line(width, [(f"  ✗ {count} setting{'s are' if count > 1 else ' is'} wrong", palette.bad)])
    else:
        name = preflight.device.name if preflight.device.name != "cpu" else "the CPU"
        row = strips.line(width, [("  ▶ Start", palette.good), (f" on {name}", palette.plain)])
    if form.fault:
        return [row, *strips.paragraph(one_line(form.fault, 600), width, palette.bad, margin=4)]
    hint = "Enter starts a run with the settings below. Esc leaves without a start."
    return [row, *(strips.paragraph(hint, width, palette.dim, margin=4) if under_cursor else [])]
