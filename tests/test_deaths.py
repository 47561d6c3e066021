"""Every way in which a real worker dies has its name in the run's state, and the run resumes where it can."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lines import LINE, LONG, at_step, ended, folded, start, write

from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.recipes import project_schemas, trust
from workbench.recipes.load import load_recipe

pytestmark = pytest.mark.usefixtures("nothing_is_left")

DEATHS = {
    "exception": ("failed", "exception", "ValueError: the dog ate it [/]"),
    "cuda": ("failed", "device-memory", "CUDA out of memory"),
    "memory": ("failed", "memory", "Unable to allocate 9 TiB"),
    "data": ("failed", "data", "points.csv:7"),
    "nan": ("failed", "not-finite", "train/loss became nan"),
    "segv": ("failed", "signal", "SIGSEGV"),
    "exit": ("failed", "exception", "exit code 7"),
}


@pytest.mark.parametrize("event", DEATHS)
def test_ways_to_die_have_names(tmp_path: Path, event: str) -> None:
    run = start(tmp_path, f"{{event: {event}}}", "{epochs: 5, batch_size: 10, log_every: 1}")
    state = ended(run)
    assert (state.state, state.cause) == DEATHS[event][:2]
    assert DEATHS[event][2] in state.message
    assert "\x1b" not in state.message
    if event == "exception":
        assert "Traceback" in run.output.read_text()
        assert "Traceback" not in state.message


def test_an_import_error_has_a_name(tmp_path: Path) -> None:
    run = start(tmp_path, source=LINE + "\n\ndef broken():\n    pass\n", train="{epochs: 1}")
    ended(run)
    source = LINE.replace("import random\n", "import a_module_that_is_not_there\n")
    path = write(tmp_path / "x")
    loaded = load_recipe(path)
    (tmp_path / "x" / "line.py").write_text(source)
    trust.trust(tmp_path / "x" / "line.py")
    with pytest.raises(Problem, match="a_module_that_is_not_there"):
        project_schemas.describe(tmp_path / "x" / "line.py")
    run = launch.create(loaded, "cpu")
    launch.launch(run)
    state = ended(run)
    assert (state.state, state.cause) == ("failed", "import")
    assert "No module named 'a_module_that_is_not_there'" in state.message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_has_a_name_and_the_run_resumes(tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLWB_HOME", str(small_disk))
    run = start(tmp_path, "{sleep: 0.002}", LONG)
    at_step(run, 20)
    try:
        (small_disk / "ballast").write_bytes(bytes(1 << 20))
    except OSError:
        pass
    state = ended(run)
    assert (state.state, state.cause) == ("failed", "disk-full")
    read = len(list(folded(run).series["train/loss"].steps))
    (small_disk / "ballast").unlink()
    launch.launch(run)
    at_step(run, folded(run).step + 20)
    launch.stop(run)
    assert ended(run).state == "stopped"
    assert len(folded(run).series["train/loss"]) >= min(read, 1)
