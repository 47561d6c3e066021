"""The key table: each screen's KEYS drives what a key does, the footer and the help, so none of the three can drift from the others."""

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import events
from textual.binding import Binding, BindingType
from textual.screen import Screen

from workbench import preferences
from workbench.tui.drawing import palette
from workbench.tui.panels.lines import Lines

if TYPE_CHECKING:
    from workbench.tui.app import DlwbApp


class Key(NamedTuple):
    """One row of a table."""

    keys: str
    """Textual's names, comma-separated: `enter`, `p`, `ctrl+q`."""
    name: str
    """What it does: the screen's method `do_<name>`, refused where `refusal(name)` says why."""
    label: str
    """A word or two for the footer; "" keeps it out of the footer."""
    help: str
    """A sentence for the help."""
    shown: str = ""
    """How the key is written, where not as in `keys`."""

    @property
    def cap(self) -> str:
        """The key as a person reads it on the keyboard."""
        return self.shown or self.keys.replace("ctrl+", "^").replace(",", " ").replace("escape", "esc")


def bindings(keys: tuple[Key, ...]) -> list[BindingType]:
    """The table as Textual wants it."""
    return [Binding(key.keys, f"press('{key.name}')", key.help, show=False) for key in keys]


ALWAYS = (
    Key("question_mark,f1", "help", "help", "Show every key that works here", "? F1"),
    Key("ctrl+p", "palette", "find", "Find a recipe, a run, or what a key does by its name", "^p"),
    Key("ctrl+t", "theme", "", "Other colours: dark, light, the terminal's sixteen", "^t"),
    Key("ctrl+l", "redraw", "", "Draw the whole screen anew", "^l"),
    Key("q,ctrl+q,ctrl+c", "quit", "quit", "Leave; runs go on without this program", "q"),
)


TALL = 32
"""Rows from which there is room for empty ones."""


class KeyScreen(Screen[None]):
    """A screen whose keys come from a table."""

    app: "DlwbApp"

    AUTO_FOCUS = ""
    PASSING: ClassVar[bool] = False
    """It has done its work once a run is opened from it."""
    KEYS: ClassVar[tuple[Key, ...]] = ALWAYS

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height >= TALL, "tall")

    def refusal(self, name: str) -> str:
        """Why a key cannot be used now; "" when it can."""
        return ""

    def action_press(self, name: str) -> None:
        """What every key and every click on the footer comes to."""
        reason = self.refusal(name)
        if reason:
            self.notify(reason, severity="warning", markup=False, timeout=4)
        else:
            getattr(self, f"do_{name}")()

    def do_help(self) -> None:
        from workbench.tui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(self.KEYS))

    def do_palette(self) -> None:
        from workbench.tui.screens.finder import open_finder

        open_finder(self)

    def do_theme(self) -> None:
        themes = list(palette.THEMES)
        self.app.wear(themes[(themes.index(palette.name) + 1) % len(themes)])
        preferences.put("theme", palette.name)
        self.notify(f"Colours: {palette.name}", timeout=2)

    def restyle(self) -> None:
        """Draw everything in the theme's colours."""
        from workbench.tui.charts.canvas import Canvas  # with NumPy: the first list is painted before

        for canvas in self.query(Canvas):
            canvas.restyle()
        for panel in self.query(Lines):
            panel.rebuild()

    def do_redraw(self) -> None:
        self.app.frame.forget()
        self.refresh()

    def do_quit(self) -> None:
        live = self.app.library.live()
        words = "1 run goes on" if live == 1 else f"{live} runs go on"
        self.app.exit(message=f"{words}; dlwb shows what they do." if live else None)
