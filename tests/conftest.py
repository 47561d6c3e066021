"""Every test has a home of its own; the real data sets are used where $DLWB_MIRROR names them."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the many processes that tests start need not compile everything anew


def pytest_collection_finish() -> None:
    """What is imported by now lives until the end: frozen, it costs no collection in a test anything."""
    gc.freeze()


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped recipes as they were read last, as a person's second start finds them. To read them costs a screen half of its time."""
    from workbench import paths
    from workbench.recipes.index import Index

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLWB_HOME", str(tmp_path_factory.mktemp("shelf")))
        index = Index()
        for path in paths.shipped("recipes").rglob("*.yaml"):
            index.load(path)
        index.keep()
        return paths.cache_folder()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A fresh $DLWB_HOME; in tests of screens the recipes have been read before."""
    folder = tmp_path / "home"
    monkeypatch.setenv("DLWB_HOME", str(folder))
    if hasattr(request.module, "DlwbApp"):
        shutil.copytree(request.getfixturevalue("shelf"), folder / "cache")
    return folder


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of every test that takes `mirror`: an archive is unpacked once for all of them, not once for each."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "unpacked"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def mirror(home: Path, unpacked: Path) -> Path:
    """The folder with the real data sets, which are only read; skips where there is none."""
    given = os.environ.get("DLWB_MIRROR")
    if not given:
        pytest.skip("needs the real data sets: set DLWB_MIRROR")
    home.mkdir(exist_ok=True)
    (home / "data").symlink_to(unpacked)
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
