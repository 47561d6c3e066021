"""How soon a key changes a panel of an explored lesson, what opening one takes, and how many bytes a held slider sends.

    python tests/bench/explore.py [LESSON ...] [--keys 100] [--hold 10]

On a 120x40 pseudo terminal. A key's first byte is what the control itself redraws; the answer has come with the last byte before
QUIET seconds of silence, and that moment counts as the changed panel. A slider is held as a keyboard repeats: 30 times a second.
Targets: the panel within 100 ms of the key, open within 1 s, at most 20 KiB/s while held.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from pty_terminal import PtyTerminal  # noqa: E402

DLWB = [sys.executable, "-c", "from workbench.cli import main; main()"]
QUIET = 0.25
"""Seconds without a byte after which an answer counts as drawn: less than any pause inside one was seen to be."""
REPEAT = 1 / 30
SLIDERS = {"filters": ("down down down down down down", "right"), "backprop-by-hand": ("end", "right"), "descent-landscape": ("", "left")}
"""For each lesson the keys to a slider, and the key that moves it."""


def opened(terminal: PtyTerminal, lesson: str) -> float:
    """Seconds from Enter in the list to the last byte of the panels."""
    terminal.type("/", *lesson, "enter")
    terminal.listen(3, until_quiet=0.5)
    # Below the headings of its part and of its lesson.
    terminal.type("end")
    terminal.listen(3, until_quiet=0.5)
    sent = terminal.type("enter")
    terminal.listen(20, until=b"Explore")
    # While it loads the first line counts the seconds.
    terminal.listen(20, until_quiet=1.5)
    return terminal.last - sent


def pressed(terminal: PtyTerminal, key: str) -> tuple[float, float]:
    """Seconds from a key to its first byte and to its last."""
    begin = len(terminal.output)
    sent = terminal.type(key)
    terminal.listen(2.0, until_quiet=QUIET)
    came = [at - sent for at, _ in terminal.output[begin:]]
    return (came[0], came[-1]) if came else (2.0, 2.0)


def told(name: str, times: Sequence[float]) -> str:
    """Median and p99 in milliseconds."""
    times = sorted(1000 * seconds for seconds in times)
    return f"{name} median {times[len(times) // 2]:.0f} ms, p99 {times[min(len(times) - 1, int(0.99 * len(times)))]:.0f} ms"


def held(terminal: PtyTerminal, key: str, seconds: float) -> float:
    """Bytes a second while a key repeats, back and forth so that it never stands at an end."""
    back = {"left": "right", "right": "left"}[key]
    begin, started = len(terminal.output), time.monotonic()
    presses = 0
    while (now := time.monotonic()) < started + seconds:
        terminal.type(key if presses // 30 % 2 == 0 else back)
        presses += 1
        terminal.listen(max(0.001, now + REPEAT - time.monotonic()))
    took = time.monotonic() - started
    return sum(len(data) for _, data in terminal.output[begin:]) / took


def measure(lesson: str, keys: int, hold: float) -> None:
    """One lesson, in a program and a home of its own."""
    way, key = SLIDERS[lesson]
    with tempfile.TemporaryDirectory() as home:
        terminal = PtyTerminal(DLWB, environment={"DLWB_HOME": home})
        terminal.listen(30, until=b"Recipes")
        terminal.listen(20, until_quiet=2)
        # The worker that waits warm is there by now; the first lesson opened is the one that a person waits for.
        terminal.listen(8)
        took = opened(terminal, lesson)
        terminal.type(*way.split())
        terminal.listen(2, until_quiet=0.5)
        back = {"left": "right", "right": "left"}[key]
        times = [pressed(terminal, key if press // 10 % 2 == 0 else back) for press in range(keys)]
        rate = held(terminal, key, hold)
        terminal.close()
    firsts, lasts = zip(*times, strict=True)
    shown = f"{told('first byte', firsts)}; {told('panel', lasts)}"
    print(f"{lesson}: open {took:.2f} s; {keys} keys: {shown}; held {rate / 1024:.1f} KiB/s")


def main() -> None:
    """Measure each lesson."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", default=list(SLIDERS))
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--hold", type=float, default=10.0)
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for lesson in options.lessons:
        measure(lesson, options.keys, options.hold)


if __name__ == "__main__":
    main()
