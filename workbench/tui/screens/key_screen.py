"""The base of every screen: its keys come from a table, and the app's services do all that reaches beyond the screen."""

from typing import ClassVar, TypeVar, cast

from textual import events
from textual.await_complete import AwaitComplete
from textual.screen import Screen

from workbench import preferences
from workbench.tui.drawing import palette
from workbench.tui.keys import ALWAYS, Key
from workbench.tui.panels.lines import Lines
from workbench.tui.services import Services

TALL = 32
"""A terminal with so many rows has room for empty ones between the parts of a screen."""


Answer = TypeVar("Answer")


class OwnScreen(Screen[Answer]):
    """A screen that acts and closes only while it is the top one.

    Two quick keys, or the two clicks of a double click, both reach the screen that the first of them closes or covers.
    """

    KEYS: ClassVar[tuple[Key, ...]] = ()
    _leaving = False

    def action_press(self, name: str) -> None:
        """Do the action of a key or of a click on the footer, once the screen is laid out; a covered or closed screen does nothing."""
        laid_out = self.size and all(child.is_mounted for child in self.query())
        if self.is_active and laid_out:
            self.press(name)
        elif self.is_active:
            self.call_after_refresh(lambda: self.press(name) if self.is_active else None)

    def press(self, name: str) -> None:
        """Do the action `do_<name>`."""
        getattr(self, f"do_{name}")()

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Close this screen, never the one above it or below it."""
        return super().dismiss(result) if self.is_active else AwaitComplete.nothing()  # type: ignore[no-untyped-call]

    def leave(self) -> None:
        """Close this screen now, or as soon as it is the top one."""
        self._leaving = True
        self.dismiss()

    def on_screen_resume(self) -> None:
        if self._leaving:
            self.dismiss()


class KeyScreen(OwnScreen[None]):
    """A screen whose keys come from a table."""

    AUTO_FOCUS = ""  # without focus the screen itself gets every key; Textual would focus the first widget
    PASSING: ClassVar[bool] = False
    """Whether the screen closes when it opens a run."""
    KEYS: ClassVar[tuple[Key, ...]] = ALWAYS

    @property
    def services(self) -> Services:
        """The app, as its screens see it."""
        return cast(Services, self.app)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height >= TALL, "tall")

    def refusal(self, name: str) -> str:
        """Why an action is not possible now; "" when it is."""
        return ""

    def press(self, name: str) -> None:
        """Do the action, or say why it is refused."""
        reason = self.refusal(name)
        if reason:
            self.services.say(reason, warning=True)
        else:
            super().press(name)

    def do_help(self) -> None:
        self.services.open_help(self.KEYS)

    def do_palette(self) -> None:
        self.services.open_finder()

    def do_theme(self) -> None:
        themes = list(palette.THEMES)
        self.services.wear(themes[(themes.index(palette.name) + 1) % len(themes)])
        preferences.put("theme", palette.name)
        self.services.say(f"Colours: {palette.name}")

    def restyle(self) -> None:
        """Draw everything in the colours of the theme."""
        from workbench.tui.charts.canvas import Canvas  # imports NumPy, which the first list does not wait for

        for canvas in self.query(Canvas):
            canvas.restyle()
        for panel in self.query(Lines):
            panel.rebuild()

    def do_redraw(self) -> None:
        # Another program may have written over the screen: only now are unchanged cells sent too.
        self.services.frame.forget()
        self.refresh()

    def do_quit(self) -> None:
        library = self.services.library
        counts = (("run", library.live()), ("endpoint", library.serving()))
        words = " and ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts if count)
        goes = "goes" if sum(count for _, count in counts) == 1 else "go"
        self.app.exit(message=f"{words} {goes} on; dlwb shows them again." if words else None)
