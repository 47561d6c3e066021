"""The terminal program in long use: thousands of keys, signals on every screen, no leak, two at once, a clock set back, lost folders."""

import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from hammering import hammer, harmless, some_runs
from hostile import PAYLOADS, walk
from made_runs import alive, finish, make_run, train
from piloting import open_run, seen, settle
from pseudo_terminal import Screen

from workbench import paths
from workbench.runs.log import EventLog
from workbench.tui.app import DlwbApp

KEYS = {
    "recipes": "",
    "runs": "2",
    "data": "3",
    "run": "2\r",
    "full screen": "2\r\t\r",
    "help": "?",
    "finder": "\x10",
    "form": "f",
    "field": "f\x1b[B5",
    "compare": "2  c",
    "export": "2x",
    "filter": "/",
    "preview": "3\r",
    "note": "2m",
    "name": "c",
    "question": "2k",
}
LEAK = float(os.environ.get("DLWB_LEAK_SECONDS", "600"))
"""Seconds that the leak check takes."""


@pytest.mark.parametrize("seed", range(10))
async def test_thousands_of_random_keys_end_nothing(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    harmless(monkeypatch)
    some_runs()
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        sent = await hammer(pilot, random.Random(1000 + seed), 600)
        assert pilot.app._exception is None, "\n".join(sent[-30:])


@pytest.mark.parametrize("first", range(len(PAYLOADS)))
async def test_every_payload_in_every_field(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    await walk(monkeypatch, first)


@pytest.mark.parametrize("how", ("HUP", "TERM", "gone"))
@pytest.mark.parametrize("where", KEYS)
def test_a_signal_on_every_screen_ends_it_and_nothing_spins(where: str, how: str) -> None:
    finish(make_run())
    finish(make_run("second", stamp="2026-11-24_000000"))
    screen = Screen()
    try:
        screen.wait("Handwritten digits")
        for key in KEYS[where].replace("\x1b[B", "\0"):
            screen.type(key.replace("\0", "\x1b[B"))
            for _ in range(8):
                screen.read(0.1)
        if how == "gone":
            os.close(screen.file)
            os.close(screen.slave)
            assert screen.program.wait(20) == -signal.SIGHUP
        else:
            ending = signal.Signals[f"SIG{how}"]
            screen.program.send_signal(ending)
            assert screen.end() == -ending and screen.is_restored()
    finally:
        if how != "gone":
            screen.close()


def held(pid: int) -> tuple[int, int]:
    """Resident memory in KiB and open descriptors of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    return memory, len(os.listdir(f"/proc/{pid}/fd"))


def test_memory_and_descriptors_stay_flat_on_a_live_run() -> None:
    run = make_run()
    lock = alive(run)
    over = threading.Event()

    def go_on() -> None:
        log = train(run, 10**7, upto=2000, every=10)
        while not over.is_set():
            log.write(next_scalars(log))
            time.sleep(0.1)
        log.close()

    writer = threading.Thread(target=go_on)
    writer.start()
    screen = Screen()
    try:
        screen.wait("Recipes")
        screen.type("2")
        screen.wait("running")
        seconds, steps = [], []
        begin = time.monotonic()
        keys = ["\r", "\t", "\t", "\x1b[C", "\r", "\r", "?", "\x1b", "\x1b", "\x10", "\x1b", "x", "\x1b", "m", "\x1b"]
        while time.monotonic() - begin < LEAK:
            for key in keys:
                screen.type(key)
                until = time.monotonic() + 0.4
                while time.monotonic() < until:
                    screen.read(0.1)
            seconds.append(time.monotonic() - begin)
            steps.append(held(screen.program.pid))
        # The first third warms up: imports, caches, the log's own points.
        later = steps[len(steps) // 3 :]
        memory, descriptors = [memory for memory, _ in later], [files for _, files in later]
        grown = sum(memory[-3:]) / 3 - sum(memory[:3]) / 3
        minutes = (seconds[-1] - seconds[len(steps) // 3]) / 60
        print(f"{minutes:.1f} min: {memory[0]} to {memory[-1]} KiB, {min(descriptors)} to {max(descriptors)} descriptors")
        # A leak of one screen a round would be tens of MiB. Measured: 8 MiB in 6.6 minutes, the log's own points among them.
        assert grown < 12 * 1024, steps
        assert max(descriptors) - min(descriptors) <= 3, steps
        screen.type("\x1b")
        screen.type("q")
    finally:
        over.set()
        writer.join()
        lock.release()
        screen.close()


def next_scalars(log: EventLog) -> "object":
    """One more line of a training."""
    from workbench.events import Scalars

    next_scalars.step = getattr(next_scalars, "step", 2000) + 1  # type: ignore[attr-defined]
    return Scalars({"train/loss": random.random(), "train/accuracy": random.random()}, step=next_scalars.step, epoch=1.0)  # type: ignore[attr-defined]


def test_two_programs_on_one_home_see_the_same() -> None:
    finish(make_run())
    finish(make_run("second", stamp="2026-11-24_000000"))
    one, other = Screen(), Screen()
    try:
        for screen in (one, other):
            screen.wait("Recipes")
            screen.type("2")
            screen.wait("2 Runs 2")
            screen.wait("second")
        one.type("d")
        one.wait("moved to the trash")
        other.wait("2 Runs 1")
        other.type("\r")
        other.wait("to pass")
        one.type("u")
        one.wait("restored")
        for screen in (one, other):
            screen.type("q")
            assert screen.end() == 0 and screen.is_restored()
    finally:
        one.close()
        other.close()


@pytest.mark.parametrize("back", (3600.0, 86400.0 * 400, 1e9))
async def test_a_clock_that_was_set_back_gives_no_negative_time(monkeypatch: pytest.MonkeyPatch, back: float) -> None:
    harmless(monkeypatch)
    run = make_run()
    lock = alive(run)
    log = train(run, 1000, upto=300)
    finish(make_run("second", stamp="2026-11-24_000000"))
    clock = time.time
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        app = pilot.app
        await open_run(pilot, "running")
        monkeypatch.setattr(time, "time", lambda: clock() - back)
        train(run, 1000, upto=10, log=log, rich=False)
        for keys in (("ctrl+l",), ("escape",), ("up",), ("down",), ("1",), ("f",), ("escape", "2", "enter")):
            await pilot.press(*keys)
            await pilot.pause(1.2)
            assert app._exception is None
            assert not [word for word in seen(app).split() if word[:1] == "-" and word[1:2].isdigit()], seen(app)
    log.close()
    lock.release()


@pytest.mark.parametrize("lost", ("run", "home"))
@pytest.mark.parametrize("live", (False, True))
@pytest.mark.parametrize("where", ("list", "run"))
async def test_a_folder_may_vanish_under_an_open_screen(monkeypatch: pytest.MonkeyPatch, lost: str, live: bool, where: str) -> None:
    harmless(monkeypatch)
    run = make_run()
    lock = alive(run) if live else None
    if live:
        train(run, 1000, upto=300).close()
    else:
        finish(run)
    finish(make_run("second", stamp="2026-11-22_000000"))
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        app = pilot.app
        if where == "run":
            await open_run(pilot, "running" if live else "digits")
        else:
            await pilot.press("2")
            await settle(pilot, lambda: len(app.library.entries) == 2)
        shutil.rmtree(run.path if lost == "run" else paths.home())
        for key in (*"xhcs", "escape", *"rnN", "escape", "t", "escape", "g", "a", "enter", "o", "down", "tab", "space"):
            await pilot.press(key)
            await pilot.pause(0.05)
            assert app._exception is None, key
        await pilot.pause(2.5)
        assert app.is_running and app._exception is None
    if lock:
        lock.release()
