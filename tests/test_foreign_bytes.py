"""No byte of a person, a file name, a label, a log or a request reaches the terminal as more than a character, on any screen."""

import pytest
from hostile import PAYLOADS, check, dangerous, walk
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.events import Paste
from textual.widgets import Input, OptionList, Static

from workbench import terminal
from workbench.tui.app import DlwbApp
from workbench.tui.charts.cells import Cells
from workbench.tui.drawing import palette, strips


@pytest.mark.parametrize("payload", PAYLOADS, ids=ascii)
def test_every_way_from_a_text_to_a_line_of_cells_leaves_only_characters(payload: str) -> None:
    text = f"ab{payload}cd"
    for width in (3, 7, 40):
        lines = [strips.fit(text, width), strips.fit(text, width, "right"), *strips.wrap(text, width)]
        lines += [strips.line(width, [(text, palette.plain)], [(text, palette.dim)]).text]
        lines += [strip.text for strip in strips.paragraph(text, width, palette.plain)]
        cells = Cells(width, 1)
        cells.write(0, 0, text)
        lines.append(cells.text())
        assert not dangerous("".join(lines)), lines
        assert cell_len(strips.fit(text, width)) == width == strips.line(width, [(text, palette.plain)]).cell_length
    assert strips.line(9, [("a\x1b[31mb", palette.plain), ("c", palette.plain)]).text == "abc      ", "nor does it take room"
    assert strips.shown(text).startswith("ab")
    assert strips.shown("word wörd 漢字 ✓") == "word wörd 漢字 ✓", "what people read stays"


@pytest.mark.parametrize("payload", PAYLOADS, ids=ascii)
def test_the_last_look_keeps_the_width_of_every_piece(payload: str) -> None:
    pieces = [Segment(text, Style(bold=True)) for text in ("a", payload, payload[:1], payload[1:], "z", f"x{payload}")]
    seen_by_terminal = strips.Shown().apply(pieces, Color(0, 0, 0))
    assert not dangerous("".join(piece.text for piece in seen_by_terminal))
    assert [piece.cell_length for piece in seen_by_terminal] == [piece.cell_length for piece in pieces]


async def test_widgets_of_textual_itself_are_cleaned_too() -> None:
    async with DlwbApp().run_test(size=(120, 60)) as pilot:
        app = pilot.app
        widgets = [Static(f"s{payload}", markup=False) for payload in PAYLOADS]
        widgets[0].border_title = PAYLOADS[0]
        widgets[0].styles.border = ("round", "white")
        fields = [Input(f"i{payload}", placeholder=payload) for payload in PAYLOADS[:5]]
        await app.screen.mount(*fields, *widgets, OptionList(*PAYLOADS[5:12], markup=False))
        for payload in PAYLOADS[::4]:
            app.notify(f"n{payload}", title=payload)
            app.screen.notify(payload, markup=True)
        await pilot.pause()
        check(app)
        fields[0].focus()
        for payload in PAYLOADS:
            app.post_message(Paste(payload))
        await pilot.pause()
        pasted = fields[0].value.removeprefix(f"i{PAYLOADS[0]}")
        assert pasted and not {character for character in pasted if character < " " or "\x7f" <= character < "\xa0"}
        check(app)


def test_what_goes_to_the_clipboard_cannot_end_a_paste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    assert terminal.clipboard("a\x1b[201~b\x9d0;x\x9c") == terminal.clipboard("ab")
    assert terminal.clipboard("one\ntwo\tthree") != terminal.clipboard("one two three"), "lines and tabs stay"


@pytest.mark.parametrize("first", (7,))
async def test_hostile_text_in_every_field_is_only_text_on_every_screen(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    await walk(monkeypatch, first)
