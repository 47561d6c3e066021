"""Every test has a home of its own; the real data sets are used where $DLWB_MIRROR names them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the many processes that tests start need not compile everything anew


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh $DLWB_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("DLWB_HOME", str(folder))
    return folder


@pytest.fixture
def mirror() -> Path:
    """The folder with the real data sets; skips where there is none."""
    given = os.environ.get("DLWB_MIRROR")
    if not given:
        pytest.skip("needs the real data sets: set DLWB_MIRROR")
    return Path(given).absolute()


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """End whatever a failed test left running."""
    yield
    import signal

    from workbench.launch import start
    from workbench.runs.comparisons import list_comparisons
    from workbench.runs.run import list_runs
    from workbench.runs.state import state_of

    for comparison in list_comparisons():
        comparison.signal(signal.SIGKILL)  # first: it would start its next run
    for run in list_runs():
        if state_of(run).alive:
            start.kill(run)
