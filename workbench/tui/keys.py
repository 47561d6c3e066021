"""The key table: each screen's KEYS drives what a key does, the footer and the help, so none of the three can drift from the others."""

from typing import NamedTuple, Protocol, runtime_checkable

from textual.binding import Binding, BindingType


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


@runtime_checkable
class Keyed(Protocol):
    """A screen whose keys come from a table, as the footer sees it."""

    KEYS: tuple[Key, ...]

    def refusal(self, name: str) -> str: ...
    def action_press(self, name: str) -> None: ...
