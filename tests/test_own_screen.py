"""A run of a person's own script on the screen: named as such, drawn like any other, and what it cannot do is refused in a sentence."""

from collections.abc import Iterator

import numpy as np
import pytest
from piloting import DlwbApp, open_run, seen, settle

from workbench import Run as Own
from workbench.runs import own
from workbench.runs.state import state_of
from workbench.tui.screens.run import RunScreen


def told(app: DlwbApp) -> str:
    return " ".join(str(note.message) for note in app._notifications)


@pytest.fixture
def running() -> Iterator[Own]:
    """A live run, in this process."""
    with Own("my own net", {"learning_rate": 0.01, "model": {"width": 7}}, steps=100) as run:
        for step in range(50):
            run.log({"train/loss": 1 / (step + 1), "valid/loss": 1.2 / (step + 1)}, step)
        run.matrix("valid/confusion", np.eye(3), 40, rows=list("abc"), columns=list("abc"))
        print("what it printed")
        yield run


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_it_is_drawn_and_refuses_what_it_cannot_do(running: Own, size: tuple[int, int]) -> None:
    app = DlwbApp()
    async with app.run_test(size=size) as pilot:
        screen = await open_run(pilot, "my own net")
        await settle(pilot, lambda: "own script" in seen(app) and "49/100" in seen(app) and "running" in seen(app))
        assert isinstance(screen, RunScreen) and "loss" in seen(app)
        for name in own.ACTIONS.keys() & {key.name for key in RunScreen.KEYS}:
            assert "This is a run of your own script" in screen.refusal(name), name
        assert not screen.refusal("stop") and not screen.refusal("kill") and not screen.refusal("export")
        await pilot.press("p")
        await settle(pilot, lambda: "cannot be paused" in told(app))
        screen.board.focused, screen.board.full = "recipe", True
        screen.draw()
        await settle(pilot, lambda: "model.width" in seen(app))
        assert "learning_rate" in seen(app) and "batch_size" not in seen(app) and "seed" not in seen(app)
        await pilot.press("escape", "escape")
        await settle(pilot, lambda: "my own net (own script)" in seen(app))


async def test_s_stops_it_although_it_has_made_no_step() -> None:
    """A run of dlwb's is then canceled, and its directory removed; a script may have worked for hours without a number."""
    run = Own("not yet")
    assert not run.stopping  # it looks, so it gets no SIGTERM
    try:
        app = DlwbApp()
        async with app.run_test(size=(120, 40)) as pilot:
            await open_run(pilot, "not yet")
            await pilot.press("s")
            await settle(pilot, lambda: run.stopping)
            await settle(pilot, lambda: own.STOPPING in told(app))
    finally:
        run.finish()
    assert run.path and run.path.is_dir()
    from workbench.runs.run import Run

    assert (state_of(Run(run.path)).state, state_of(Run(run.path)).cause) == ("stopped", "person")
