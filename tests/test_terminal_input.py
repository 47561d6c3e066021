"""What the terminal sends becomes Textual's events: any bytes, in any pieces, a paste of any length, the newest keys of a flood."""

import random
import re

import pytest
from textual import events
from textual.message import Message

from workbench.tui.drawing import reader
from workbench.tui.drawing.reader import FLOOD, Reader


def read(data: bytes, *, pieces: int = 0, seed: int = 0, typing: bool = False) -> list[Message]:
    """The events of these bytes, fed whole or in pieces of at most so many bytes; what waits for its time is ended."""
    rng, taken, place, all_events = random.Random(seed), Reader(), 0, []
    while place < len(data):
        size = rng.randint(1, pieces) if pieces else len(data)
        all_events += taken.feed(data[place : place + size], typing=typing)
        place += size
    taken._parser._timeout_time = taken._parser._timeout_time and 0.0
    return [*all_events, *taken.tick()]


def keys(some: list[Message]) -> list[str]:
    return [event.key for event in some if isinstance(event, events.Key)]


def pastes(some: list[Message]) -> list[str]:
    return [event.text for event in some if isinstance(event, events.Paste)]


def test_keys_are_what_textual_reads() -> None:
    assert keys(read(b"a\x1b[B\r\x1b[5~\x1bOP\x10 \xc3\xa9")) == ["a", "down", "enter", "pageup", "f1", "ctrl+p", "space", "é"]
    assert keys(read(b"\x1b")) == ["escape"]


@pytest.mark.parametrize(
    "data", (b"\xe9", b"\xff\xfe", b"\x80\x81", b"caf\xe9!", b"\xed\xa0\x80", b"\xc3", b"\xf0\x9f\x92", b"\x1b[M \xb0\xb1")
)
@pytest.mark.parametrize("pieces", (0, 1))
def test_a_byte_that_is_not_utf8_becomes_a_replacement_character_or_nothing(data: bytes, pieces: int) -> None:
    some = read(data + b"ok", pieces=pieces)
    assert keys(some)[-2:] == ["o", "k"]
    typed = [event.character for event in some if isinstance(event, events.Key) and event.character]
    assert all(character == "\ufffd" or character.isascii() for character in typed)


@pytest.mark.parametrize("number", ("1114112", "55296", "99999999999999999999", "97:65", ":", "1;1;1114112", "1;99999999999"))
@pytest.mark.parametrize("end", "u~A")
def test_numbers_that_no_terminal_sends_end_nothing(number: str, end: str) -> None:
    taken = Reader()
    list(taken.feed(f"\x1b[{number}{end}".encode()))
    assert keys(list(taken.feed(b"\x1b[Bx"))) == ["down", "x"]


def test_random_bytes_end_nothing() -> None:
    rng = random.Random(5)
    parts = [
        b"\x1b",
        b"[",
        b"\x1b[",
        b"<",
        b";",
        b"M",
        b"200~",
        b"\x1b[200~",
        b"\x1b[201~",
        b"u",
        b"?",
        b"48;",
        b"t",
        b"0",
        b"99",
        b"\xff",
        b"a",
        b"\x1b[M",
    ]
    for seed in range(300):
        data = b"".join(rng.choice(parts) if rng.random() < 0.8 else rng.randbytes(3) for _ in range(40))
        taken = Reader()
        for place in range(0, len(data), 7):
            list(taken.feed(data[place : place + 7], typing=seed % 2 == 0))
        list(taken.feed(b"\x1b[201~\x1b[201~"))
        taken._parser._timeout_time = 0.0
        list(taken.tick())
        assert keys(list(taken.feed(b"ZZZZ")))[-1:] == ["Z"], data


@pytest.mark.parametrize("pieces", (0, 1, 3, 9, 1000))
@pytest.mark.parametrize("text", ("", "one", "two\nlines \x1b[31m", "x" * 5000, "\x1b[20", "\x1b[2\x1b[201", "é漢\ufffd"))
def test_a_paste_is_one_event_in_whatever_pieces_it_comes(pieces: int, text: str) -> None:
    for seed in range(5):
        some = read(b"a\x1b[200~" + text.encode() + b"\x1b[201~b\x1b[B", pieces=pieces, seed=seed)
        assert pastes(some) == [text] and keys(some) == ["a", "b", "down"], (pieces, seed)


def test_a_paste_without_an_end_does_not_swallow_the_keys_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Reader()
    assert not list(taken.feed(b"\x1b[200~text")) and not list(taken.tick())
    monkeypatch.setattr(reader, "OPEN", -1.0)
    assert pastes(list(taken.tick())) == ["text"]
    assert keys(list(taken.feed(b"k"))) == ["k"]


def test_more_than_a_million_characters_of_a_paste_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LARGEST", 100)
    some = read(b"\x1b[200~" + b"x" * 999 + b"\x1b[201~k", pieces=50)
    assert pastes(some) == ["x" * 100] and keys(some) == ["k"]


def test_of_a_flood_the_newest_keys_stay_and_nothing_that_the_terminal_says() -> None:
    some = read(b"j" * 3000 + b"\x1b[I" + b"\x1b[B" * 500 + b"?")
    assert keys(some) == ["down"] * (FLOOD - 1) + ["question_mark"]
    assert sum(isinstance(event, events.AppFocus) for event in some) == 1
    assert keys(read(b"ab" * (FLOOD // 2))) == ["a", "b"] * (FLOOD // 2), "so many keys at once are all used"


def test_a_sequence_in_two_pieces_of_a_flood_is_whole() -> None:
    taken = Reader()
    assert set(keys([*taken.feed(b"\x1b[B" * 400 + b"\x1b["), *taken.feed(b"B" + b"\x1b[B" * 400)])) == {"down"}


def test_letters_that_come_together_are_pasted_into_a_field() -> None:
    some = read(b"\x1b[B" + b"some words " * 30 + b"\r", typing=True)
    assert pastes(some) == ["some words " * 30] and keys(some) == ["down", "enter"]
    assert not pastes(read(b"some words " * 30)), "elsewhere letters are keys"
    assert re.fullmatch("[a-z]+", "".join(keys(read(b"typed quickly".replace(b" ", b""), typing=True))))
