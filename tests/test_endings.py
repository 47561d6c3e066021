"""However the terminal program ends, it gives the terminal back; and it takes any size, any bytes and any number of keys."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_runs import finish, make_run
from pseudo_terminal import Screen

from workbench import paths

BROKEN = """
from workbench.tui.screens.key_screen import KeyScreen

def broken(self):
    {how}

KeyScreen.do_theme = broken
from workbench.tui.app import run
run()
"""
WAYS = {
    "a key": "raise KeyError('one \\x1b[31m[/] two')",
    "a timer": "self.set_timer(0.01, lambda: 1 / 0)",
    "a worker": "self.run_worker(lambda: 1 / 0, thread=True)",
    "drawing": "from textual.widget import Widget; Widget.render_lines = lambda self, crop: 1 / 0; self.query().refresh()",
    "the keys": "from workbench.tui.drawing.reader import Reader; Reader.tick = lambda self: 1 / 0",
}


@pytest.fixture
def screen(request: pytest.FixtureRequest) -> Screen:
    screen = Screen(*getattr(request, "param", ()))
    request.addfinalizer(screen.close)
    return screen


@pytest.mark.parametrize("ending", (signal.SIGHUP, signal.SIGTERM))
@pytest.mark.parametrize("keys", ("", "/dig", "2\r"), ids=("list", "typing", "run"))
def test_a_signal_ends_it_and_the_terminal_is_as_before(ending: signal.Signals, keys: str) -> None:
    finish(make_run())
    screen = Screen()
    try:
        screen.wait("Handwritten digits")
        screen.type(keys)
        screen.wait({"/dig": "dig", "2\r": "to pass"}.get(keys, "Recipes"))
        screen.program.send_signal(ending)
        assert screen.end() == -ending
        assert screen.is_restored()
    finally:
        screen.close()


@pytest.mark.parametrize("how", WAYS)
def test_a_mistake_becomes_one_sentence_with_the_path_of_its_report(how: str) -> None:
    screen = Screen([sys.executable, "-c", BROKEN.format(how=WAYS[how])])
    try:
        screen.wait("Handwritten digits")
        screen.type("\x14")
        assert screen.end() == 1
        assert screen.is_restored()
        said = screen.bytes[screen.bytes.rfind(b"\x1b[?1049l") :].decode()
        assert "Traceback" not in said and said.count("dlwb ended by a mistake of its own") == 1
        (report,) = (paths.home() / "reports").iterdir()
        assert str(report) in said.replace("\r\n", "")
        text = report.read_text()
        assert "Error" in text.splitlines()[-1] and "Traceback" in text and "\x1b" not in text and "Textual" in text
    finally:
        screen.close()


def test_bytes_that_are_no_text_are_shown_or_dropped(screen: Screen) -> None:
    screen.wait("Handwritten digits")
    screen.type("/")
    screen.type(b"\xe9\xff x\x1b[M\x20\xb0\xb1\x1b[1114112u\x1b[97:65;2u\x1b[<0;1")
    screen.type(b"\xed\xa0\x80 \x1b[200~ab\xe9cd\x1b[201~\x1b[99999999999999999999;5u")
    screen.wait("ab\ufffdcd")
    screen.type(b"\x1b")
    screen.wait_gone("ab\ufffdcd")
    screen.type(b"q")
    assert screen.end() == 0 and screen.is_restored()


def test_it_is_as_large_as_its_terminal_whatever_the_environment_says() -> None:
    screen = Screen(COLUMNS="40", LINES="12")
    try:
        screen.wait("q quit")
        assert screen.screen.display[29].rstrip().endswith("q quit") and len(screen.screen.display[29].rstrip()) > 90
        screen.resize(120, 40)
        end = time.monotonic() + 20
        while not screen.screen.display[39].rstrip().endswith("q quit"):
            assert time.monotonic() < end, screen.text()
            screen.read(0.1)
        assert len(screen.screen.display[39].rstrip()) > 110
    finally:
        screen.close()


FLOODS = {
    "letters": ("", b"j" * 1_000_000),
    "arrows": ("", b"\x1b[B" * 300_000),
    "a paste": ("", b"\x1b[200~" + b"word " * 200_000 + b"\x1b[201~"),
    "letters into a field": ("/", b"word " * 200_000),
    "a paste into a field": ("/", b"\x1b[200~" + b"word\n" * 200_000 + b"\x1b[201~"),
}


@pytest.mark.parametrize("what", FLOODS)
def test_after_a_million_keys_the_next_one_is_answered_at_once(screen: Screen, what: str) -> None:
    before, flood = FLOODS[what]
    screen.wait("Handwritten digits")
    screen.type(before)
    screen.wait("words" if before else "Recipes")
    os.set_blocking(screen.file, False)
    while flood:
        try:
            flood = flood[os.write(screen.file, flood[:4096]) :]
        except BlockingIOError:
            screen.read(0.01)
    os.set_blocking(screen.file, True)
    began = time.monotonic()
    if before:
        screen.wait("word word")
        screen.type(b"\x1b")
        screen.wait_gone("word word")
    screen.type("?")
    screen.wait("a click on a key in the footer")
    # A second on a quiet machine; tests run beside others.
    assert time.monotonic() - began < 5
    screen.type("\x1b")
    screen.wait_gone("a click on a key in the footer")
    screen.type("q")
    assert screen.end() == 0


@pytest.mark.parametrize("closed", (False, True))
def test_without_a_terminal_one_sentence_says_so(tmp_path: Path, closed: bool) -> None:
    line = f"exec {sys.executable} -m workbench.cli " + ("<&-" if closed else "</dev/null")
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("dlwb alone opens the terminal program, and this is no terminal.\n")
    assert "Traceback" not in done.stderr
