"""The real program once, on a real pseudo terminal; and that only changed cells travel, without the terminal ever showing anything else."""

import os
import random
import select
import signal
import termios
import time

import pyte
from made_runs import alive, finish, make_run
from pseudo_terminal import Screen
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.geometry import Region, Size
from textual.strip import Strip

from workbench.tui.drawing.frame_diff import Frame


def test_the_program_opens_helps_and_leaves_the_terminal_as_it_was() -> None:
    finish(make_run())
    held = alive(make_run("live-one", stamp="2026-11-22_000000"))
    terminal = Screen()
    try:
        terminal.wait("Recipes")
        terminal.type("2")
        terminal.wait("✓ finished")
        terminal.type("\r")
        terminal.wait("✓ test accuracy 0.9780")
        terminal.type("?")
        terminal.wait("Pause the run at its next step")
        terminal.type("\r")
        terminal.wait_gone("Pause the run at its next step")
        terminal.type("q")
        end = time.monotonic() + 20
        while terminal.program.poll() is None and time.monotonic() < end:
            terminal.read(0.1)
        assert terminal.program.poll() == 0, terminal.text()
        held.release()
        while select.select([terminal.file], [], [], 0.2)[0]:
            terminal.read(0)
        assert termios.tcgetattr(terminal.slave)[3] == terminal.before[3], "echo and line mode are back"
        assert b"1 run goes on" in terminal.bytes[terminal.bytes.rfind(b"\x1b[?1049l") :]
        assert terminal.bytes.rfind(b"\x1b[?1049l") > terminal.bytes.rfind(b"\x1b[?1049h") >= 0, "the alternate screen was left"
        assert terminal.bytes.rfind(b"\x1b[?25h") > terminal.bytes.rfind(b"\x1b[?25l"), "the cursor is seen"
        assert terminal.bytes.rfind(b"\x1b[?1000l") > terminal.bytes.rfind(b"\x1b[?1000h"), "the mouse is the terminal's"
    finally:
        terminal.program.kill()
        terminal.program.wait()
        os.close(terminal.file)
        os.close(terminal.slave)


LETTERS = ["a", "b", " ", " ", "│", "⣿", "漢", "é"]
STYLES = [
    Style(color="#112233", bgcolor="#000000"),
    Style(color="#eeeeee", bgcolor="#000000", bold=True),
    Style(color="#eeeeee", bgcolor="#202a36"),
    Style(color="#eeeeee", bgcolor="#202a36", reverse=True),
    Style(color="#7fcb8c", bgcolor="#000000", underline=True),
]


def test_the_program_ends_when_its_terminal_vanishes() -> None:
    terminal = Screen()
    terminal.wait("Handwritten digits")
    os.close(terminal.file)
    os.close(terminal.slave)
    assert terminal.program.wait(20) == -signal.SIGHUP


def _random_line(rng: random.Random, width: int) -> Strip:
    segments: list[Segment] = []
    while (room := width - sum(segment.cell_length for segment in segments)) > 0:
        text = "".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 6)))
        segment = Segment(text, rng.choice(STYLES))
        segments.append(segment if segment.cell_length <= room else Segment(" " * room, STYLES[0]))
    return Strip(segments, width)


def test_a_terminal_that_gets_only_what_differs_shows_what_one_shows_that_gets_all() -> None:
    rng = random.Random(3)
    console = Console(color_system="truecolor", force_terminal=True)
    width, height = 30, 8
    sparing, full = pyte.Screen(width, height), pyte.Screen(width, height)
    streams = pyte.Stream(sparing), pyte.Stream(full)
    frame = Frame()
    lines = [_random_line(rng, width) for _ in range(height)]
    sent = everything = 0
    for _ in range(300):
        for _ in range(rng.randint(0, 3)):
            y, start = rng.randrange(height), rng.randrange(width)
            end = rng.randint(start, width)
            patch = _random_line(rng, end - start) if end > start else Strip.blank(0)
            lines[y] = Strip.join([lines[y].crop(0, start), patch, lines[y].crop(end)])
        update = LayoutUpdate([[line] for line in lines], Region(0, 0, width, height))
        text, whole = frame.output(update, Size(width, height), console), update.render_segments(console)
        sent, everything = sent + len(text), everything + len(whole)
        streams[0].feed(text)
        streams[1].feed(whole.replace("\n", ""))
        assert sparing.display == full.display
        for y in range(height):
            for x in range(width):
                one, other = sparing.buffer[y][x], full.buffer[y][x]
                if one.data.strip():
                    assert (one.fg, one.bg, one.bold, one.reverse, one.underscore) == (
                        other.fg,
                        other.bg,
                        other.bold,
                        other.reverse,
                        other.underscore,
                    ), (x, y)
                else:
                    assert (one.bg, one.reverse, one.underscore) == (other.bg, other.reverse, other.underscore), (x, y)
    assert sent < everything / 3
    assert frame.output(update, Size(width, height), console) == "", "what stands there already is not sent again"
    assert frame.output(update, Size(width, height - 1), console), "after a change of size nothing is known"
