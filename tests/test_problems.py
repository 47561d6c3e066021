"""Cleaning of foreign text: nothing that a terminal obeys comes through, and everything that people read does."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.problems import Problem, clean, one_line

OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain, with é, 語 and 🙂", "plain, with é, 語 and 🙂"),
        ("a\n\tb", "a\n\tb"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mcolour\x1b[?1049h", "colour"),
        ("a\x1b[2", "a"),
        ("a\x1b[", "a"),
        ("a\x1b", "a"),
        ("\x9b31mred", "red"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
        ("a\x1b]8;;http://x\x9cb", "ab"),
        ("a\x9d0;title\x9cb", "ab"),
        ("a\x1b]52;c;never ends", "a"),
        ("a\x1b]52;c;never ends\nnext line", "a\nnext line"),
        ("a\x1bPq#0;2;0\x1b\\b", "ab"),
        ("a\x90q#0;2;0\x9cb", "ab"),
        ("a\x1bXsos\x1b\\\x1b^pm\x1b\\\x1b_apc\x1b\\b", "ab"),
        ("a\x1bcb\x1b7c\x1b(Bd\x1b#8e", "abcde"),
        ("a\x1b\x1b[31mb", "ab"),
        ("a\x1b\x1b]0;x\x07b", "ab"),
        ("a\x1bé", "aé"),
        ("bell\x07back\x08del\x7fnul\x00", "bellbackdelnul"),
        ("\x85\x8d\x84next", "next"),
        ("abc\u202edef\u2066g\u061c", "abc<U+202E>def<U+2066>g<U+061C>"),
        ("half \ud800 pair", "half ? pair"),
        ("[/ markup [bold]stays", "[/ markup [bold]stays"),
    ],
)
def test_known_attacks(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


HOSTILE = st.text(
    st.sampled_from("ab01;?[]()PX^_\\cmhz~ \n\t\r\x07\x1b\x1b\x1b\x00\x18\x7f\x84\x90\x9b\x9c\x9d\u202e\ud800é語"), max_size=40
)


@given(HOSTILE | st.text())
def test_nothing_that_a_terminal_obeys_comes_through(text: str) -> None:
    cleaned = clean(text)
    assert not OBEYED.search(cleaned)
    assert clean(cleaned) == cleaned


@given(HOSTILE)
def test_a_sequence_reaches_no_further_than_its_line(text: str) -> None:
    """So text may be cleaned line by line, as a console that is read in pieces is."""
    text = text.replace("\r", "")
    assert clean(text) == "\n".join(clean(line) for line in text.split("\n"))


@given(HOSTILE, st.integers(1, 20))
def test_one_line_is_one_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert "\n" not in line and "\t" not in line


def test_much_of_it_is_no_more_work_than_its_length() -> None:
    """A quadratic pattern would take hours here."""
    for text in ("\x1b]" * 1_000_000, "\x1b[" + "0" * 2_000_000, "\x1b]" + "x" * 2_000_000, "\x1b" + " " * 2_000_000):
        assert len(clean(text)) <= 0


def test_a_problem_says_what_and_how_to_mend_it() -> None:
    assert str(Problem("It broke.", "Mend it.")) == "It broke. Mend it."
    assert str(Problem("It broke.")) == "It broke."
