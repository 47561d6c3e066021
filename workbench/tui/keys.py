"""The key table: each screen's KEYS gives what a key does, the footer and the help, so that the three always agree."""

from typing import NamedTuple, Protocol, runtime_checkable

from textual.binding import Binding, BindingType


class Key(NamedTuple):
    """One row of a table."""

    keys: str
    """Textual's names of the keys, separated by commas: `enter`, `p`, `ctrl+q`."""
    name: str
    """The action: the screen's method `do_<name>`. It is refused where `refusal(name)` gives a reason."""
    label: str
    """One or two words for the footer; "" leaves it out of the footer."""
    help: str
    """A sentence for the help screen."""
    shown: str = ""
    """How the key is written on screen, where this differs from `keys`."""

    @property
    def cap(self) -> str:
        """The key as a person reads it on the keyboard."""
        return self.shown or self.keys.replace("ctrl+", "^").replace(",", " ").replace("escape", "esc")


def bindings(keys: tuple[Key, ...]) -> list[BindingType]:
    """The table as Textual's bindings."""
    # show=False: our own footer, KeyBar, draws them, with the keys that are refused now in a faint colour.
    return [Binding(key.keys, f"press('{key.name}')", key.help, show=False) for key in keys]


ALWAYS = (
    Key("question_mark,f1", "help", "help", "Show every key that works here", "? F1"),
    Key("ctrl+p", "palette", "find", "Find a recipe, a run, an endpoint or an action by its name", "^p"),
    Key("ctrl+t", "theme", "", "Change the colours: dark, light, or the terminal's own sixteen", "^t"),
    Key("ctrl+l", "redraw", "", "Draw the whole screen again", "^l"),
    Key("q,ctrl+q,ctrl+c", "quit", "quit", "Quit dlwb; runs and endpoints go on without it", "q"),
)


@runtime_checkable
class Keyed(Protocol):
    """A screen whose keys come from a table, as the footer sees it."""

    KEYS: tuple[Key, ...]

    def refusal(self, name: str) -> str: ...
    def action_press(self, name: str) -> None: ...
