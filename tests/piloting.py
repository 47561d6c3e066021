"""The terminal program in a test: what stands on it, waiting until something does, opening a run."""

import time
from collections.abc import Callable
from typing import Any

from workbench.tui.app import DlwbApp
from workbench.tui.screens.run import RunScreen

SIZES = [(80, 24), (120, 40), (200, 60)]


def seen(app: DlwbApp) -> str:
    """The screen's characters, row by row."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def settle(pilot, condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until it holds; fails where it never does."""
    end, pause = time.monotonic() + seconds, 0.02
    while not condition():
        assert time.monotonic() < end, seen(pilot.app)
        await pilot.pause(pause)
        pause = min(1.2 * pause, 0.2)  # what takes long, another process does: looking would only keep it from its work


async def walk_to(pilot: Any, row: str, key: str) -> None:
    """Press the key until the cursor of the list is on the row whose file has that name."""
    for _ in range(60):
        if pilot.app.screen.rows.key.endswith(row):
            return
        await pilot.press(key)
    raise AssertionError(seen(pilot.app))


async def open_run(pilot: Any, words: str) -> RunScreen:
    """Press Enter on the first run in the list that has these words, and wait until it is drawn."""
    await pilot.press("2")
    await settle(pilot, lambda: words in seen(pilot.app))
    await pilot.press("slash", *[key if key != "-" else "minus" for key in words], "enter")
    await pilot.press("enter")
    await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen) and pilot.app.screen._whole)
    await pilot.pause(0.1)
    return pilot.app.screen
