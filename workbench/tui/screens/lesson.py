"""A lesson's page: what it teaches, what to try, watch and read next, figures, data and past runs. Enter starts, Esc goes back."""

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult

from workbench.recipes.course import ReadAbout
from workbench.runs.page import Section, page, page_about
from workbench.tui import keys
from workbench.tui.keys import Key
from workbench.tui.models.library import Library, Shelved
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lesson import page_lines
from workbench.tui.panels.lines import Lines
from workbench.tui.screens.key_screen import KeyScreen


def sections_of(item: Shelved | ReadAbout, library: Library) -> list[Section]:
    """The page of a row of the list; none for a recipe with mistakes."""
    if isinstance(item, ReadAbout):
        return page_about(item, library.title_of)
    return page(item.loaded, library.of(item.path.stem), library.explored, library.title_of) if item.loaded else []


class LessonScreen(KeyScreen):
    """The page; it is read again each time it comes to the top, so that a run of a moment ago stands in it."""

    DEFAULT_CSS = "LessonScreen #page { padding: 1 2 0 2; }"
    PASSING = True
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "open", "start", "Start the recipe on the best device", "⏎"),
        Key("escape,i", "back", "back", "Go back to the list", "Esc"),
        Key("up", "up", "", "Scroll up", "↑"),
        Key("down", "down", "scroll", "Scroll down", "↓"),
        Key("pageup", "page_up", "", "Scroll one page up", "PgUp"),
        Key("pagedown,space", "page_down", "", "Scroll one page down", "PgDn"),
        Key("home", "first", "", "Go to the top", "Home"),
        Key("end", "last", "", "Go to the end", "End"),
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, item: Shelved | ReadAbout, start: Callable[[], None]) -> None:
        super().__init__()
        self.item = item
        self._start = start
        """What Enter does in the list."""

    def compose(self) -> ComposeResult:
        yield Lines(id="page")
        yield KeyBar()

    @property
    def page(self) -> Lines:
        """The scrolling text."""
        return self.query_one("#page", Lines)

    def on_mount(self) -> None:
        library = self.services.library
        self.page.source = lambda width: page_lines(sections_of(self.item, library), max(8, width - 1))
        self.page.rebuild()

    def on_screen_resume(self) -> None:
        # Textual calls the base's on_screen_resume by itself.
        for lines in self.query("#page").results(Lines):
            lines.rebuild()

    def refusal(self, name: str) -> str:
        return "There is nothing to start: this is only read about." if name == "open" and isinstance(self.item, ReadAbout) else ""

    def do_open(self) -> None:
        self._start()

    def do_back(self) -> None:
        self.dismiss()

    def _page(self) -> int:
        return max(1, self.page.size.height - 2)

    def do_up(self) -> None:
        self.page.scroll_by(-1)

    def do_down(self) -> None:
        self.page.scroll_by(1)

    def do_page_up(self) -> None:
        self.page.scroll_by(-self._page())

    def do_page_down(self) -> None:
        self.page.scroll_by(self._page())

    def do_first(self) -> None:
        self.page.scroll_by(-self.page.top)

    def do_last(self) -> None:
        self.page.scroll_by(self.page.bottom)
