"""Random keys, quick double keys, double clicks, sizes and pastes on all screens never end the terminal program."""

import random

import pytest
from hammering import hammer, harmless, some_runs

from workbench.tui.app import DlwbApp


@pytest.mark.parametrize("seed", range(2))
async def test_random_keys_end_nothing(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    harmless(monkeypatch)
    some_runs()
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        sent = await hammer(pilot, random.Random(seed), 150)
        assert pilot.app._exception is None, "\n".join(sent[-30:])
        assert pilot.app.is_running
