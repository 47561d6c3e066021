"""Before a start: every setting of a recipe, what it may be, what differs from the recipe; the device; what the start would come to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult

from workbench.launch.devices import Device
from workbench.launch.estimate import Past
from workbench.recipes.load import Loaded
from workbench.tui import keys
from workbench.tui.keys import Key
from workbench.tui.models.draft import DEVICE, Draft
from workbench.tui.models.preflight import Machine, Outlook, look, outlook
from workbench.tui.panels import form_lines
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.rows import Row, Rows
from workbench.tui.screens.key_screen import KeyScreen

if TYPE_CHECKING:
    from textual.widgets import Input

EVERY = 3.0
"""Seconds between two looks at the devices."""
START = "start"
"""The key of the first row."""


class FormScreen(KeyScreen):
    """Opened from the list of recipes, and from a run that is to be started again."""

    PASSING = True
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key(
            "enter", "edit", "change", "Type a value, or take the next choice; on the first row: start. A digit begins a value at once", "⏎"
        ),
        Key("s,ctrl+s", "start", "start", "Start with these settings", "s ^s"),
        Key("backspace,delete", "reset", "as in the recipe", "Give the setting its value in the recipe again", "⌫ Del"),
        Key("left", "previous", "", "The previous choice", "←"),
        Key("right", "next", "", "The next choice", "→"),
        Key("slash", "filter", "find", "Show only settings with these words", "/"),
        Key("up", "up", "", "One row up", "↑"),
        Key("down", "down", "", "One row down", "↓"),
        Key("pageup", "page_up", "", "A page up", "PgUp"),
        Key("pagedown", "page_down", "", "A page down", "PgDn"),
        Key("home", "first", "", "The first row", "Home"),
        Key("end", "last", "", "The last row", "End"),
        Key("escape", "back", "back", "Leave what is being typed; then the filter; then the form: nothing was started", "Esc"),
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, loaded: Loaded, changes: dict[str, str] | None = None) -> None:
        super().__init__()
        self.draft = Draft(loaded, changes)
        self.machine = Machine((Device("cpu", "CPU"),))
        self.words = ""
        self._editing = ""
        """The setting that is being typed."""
        self._past: list[Past] = []

    def compose(self) -> ComposeResult:
        yield Lines(id="outlook")
        yield Rows()
        yield Lines(id="about")
        yield KeyBar()

    @property
    def rows(self) -> Rows:
        return self.query_one(Rows)

    def on_mount(self) -> None:
        entries = self.services.library.of(self.draft.base.stem)
        self._past = [Past(entry.recipe, entry.summary) for entry in entries if entry.recipe]
        self.rows.make = self._make_rows
        self.query_one("#outlook", Lines).source = lambda width: form_lines.head(self.draft, self.outlook, self.machine, width)
        self.query_one("#about", Lines).source = lambda width: form_lines.about(self.draft, self.rows.key, self.machine, width)
        self.fill()
        self._look(None)

    @property
    def outlook(self) -> Outlook:
        return outlook(self.draft.loaded, self.machine, self._past)

    # -- the machine, looked at beside ---------------------------------------------------------------------------------------------

    def _look(self, before: Machine | None) -> None:
        def work() -> None:
            found = look(before)
            self.app.call_from_thread(self._seen, found)

        self.run_worker(work, thread=True, exit_on_error=False)

    def _seen(self, machine: Machine) -> None:
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

    def fill(self) -> None:
        """Write everything anew; only what changed is painted."""
        head = self.query_one("#outlook", Lines)
        width = self.size.width or 80
        head.styles.height = min(
            len(form_lines.head(self.draft, self.outlook, self.machine, max(8, width - 2))), self.size.height // 2 or 5
        )
        head.rebuild()
        self.rows.rebuild()
        self.query_one("#about", Lines).rebuild()
        self.query_one(KeyBar).rebuild()

    def _make_rows(self, width: int) -> Sequence[Row]:
        rows = [Row(START, form_lines.start(self.draft, self.outlook, width))]
        for title, found in self.draft.sections:
            found = [field for field in found if all(word in f"{field.name} {field.about}".casefold() for word in self.words.split())]
            if found:
                rows += [Row("", strip) for strip in form_lines.section(title, width)]
            rows += [Row(field.name, form_lines.setting(self.draft, field, self.outlook, width)) for field in found]
        return rows

    @on(Rows.Moved)
    def _moved(self) -> None:
        about = self.query_one("#about", Lines)
        about.top = 0
        about.rebuild()
        self.query_one(KeyBar).rebuild()

    @on(Rows.Chosen)
    def _clicked(self) -> None:
        self.action_press("edit")

    # -- keys ------------------------------------------------------------------------------------------------------------------------

    def choices(self, name: str) -> list[str]:
        """What a setting may be, where that can be counted; the devices of this machine, where the project can use them."""
        if name != DEVICE:
            return self.draft.fields[name].choices if name in self.draft.fields else []
        schema = self.draft.base.schema
        kinds = schema.devices if schema else ("cpu",)
        return ["auto", "cpu", *[each.name for each in self.machine.devices if each.name != "cpu" and "cuda" in kinds]]

    def refusal(self, name: str) -> str:
        key = self.rows.key
        faults = self.draft.faults
        if faults and (name == "start" or (name == "edit" and key == START)):
            where = next(iter(faults))
            return f"{where or 'The recipe'}: {faults[where]}"
        if name in ("previous", "next") and not self.choices(key):
            return "Enter types a value here." if key != START else "Enter starts it."
        if name == "reset" and key not in self.draft.changes:
            return "This is as in the recipe already."
        return ""

    def do_start(self) -> None:
        self._commit()
        if reason := self.refusal("start"):
            self.notify(reason, severity="warning", markup=False, timeout=6)
        else:
            self.services.start(self.draft.loaded)

    def do_edit(self) -> None:
        key = self.rows.key
        if key == START:
            self.do_start()
        elif key and (key == DEVICE or len(self.choices(key)) > 1):
            self.do_next()
        elif key:
            self._open(key, self.draft.text(key), chosen=True)

    def do_next(self) -> None:
        self._turn(1)

    def do_previous(self) -> None:
        self._turn(-1)

    def _turn(self, by: int) -> None:
        self.draft.turn(self.rows.key, by, self.choices(self.rows.key))
        self.fill()

    def do_reset(self) -> None:
        self.draft.take_back(self.rows.key)
        self.fill()

    def do_up(self) -> None:
        self._commit()
        self.rows.move(-1)

    def do_down(self) -> None:
        self._commit()
        self.rows.move(1)

    def do_page_up(self) -> None:
        self.rows.move(-max(1, self.rows.size.height - 2))

    def do_page_down(self) -> None:
        self.rows.move(max(1, self.rows.size.height - 2))

    def do_first(self) -> None:
        self.rows.move(-(10**9))

    def do_last(self) -> None:
        self.rows.move(10**9)

    def do_filter(self) -> None:
        self._open("", self.words, chosen=False)

    def do_back(self) -> None:
        typing = bool(self.query("#typed.open"))
        if typing and self._editing:
            self._close()
        elif typing or self.words:
            self.words = ""
            self._close()
        else:
            self.app.pop_screen()

    # -- typing -----------------------------------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """A digit, a sign or a bracket begins a value."""
        key = self.rows.key
        begins = bool(event.character) and str(event.character) in "0123456789.-["
        if begins and key in self.draft.fields and not self.choices(key) and not self.query("#typed.open"):
            event.stop()
            self._open(key, str(event.character), chosen=False)

    def _open(self, name: str, text: str, *, chosen: bool) -> None:
        from textual.widgets import Input

        self._editing = name
        if not self.query("#typed"):
            self.mount(Input(id="typed", select_on_focus=False, compact=True), before=self.query_one("#about"))
        field = self.query_one("#typed", Input)
        field.placeholder = f"{name}: {self.draft.fields[name].expected}" if name else "words"
        with self.prevent(Input.Changed):
            field.value = text
        field.add_class("open")
        self.set_focus(field)
        if chosen:
            field.action_select_all()
        else:
            field.cursor_position = len(text)

    def _close(self) -> None:
        for field in self.query("#typed"):
            field.remove_class("open")
        self._editing = ""
        self.set_focus(None)
        self.fill()

    def _commit(self) -> None:
        """Take what is being typed."""
        if self._editing and self.query("#typed.open"):
            from textual.widgets import Input

            self.draft.put(self._editing, self.query_one("#typed", Input).value)
            self._close()

    def on_input_changed(self, event: "Input.Changed") -> None:
        if self._editing:
            self.draft.put(self._editing, event.value)
        else:
            self.words = event.value.casefold()
        self.fill()

    def on_input_submitted(self) -> None:
        found = self.words and not self._editing
        self._commit()
        self._close()
        if found and self.rows.key == START:
            self.rows.move(1)  # Enter again changes what was found, and starts nothing
