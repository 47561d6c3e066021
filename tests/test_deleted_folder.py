"""A shell, or the terminal program, may stand in a folder that was deleted: processes start in one that exists, and the doctor says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lines import LINE, ended, until, write

from workbench import paths
from workbench.launch import start, torch_probe
from workbench.recipes import project_schemas
from workbench.runs.run import find_run

pytestmark = pytest.mark.usefixtures("nothing_is_left")

WHERE = LINE.replace("self.steps_done = 0", "self.steps_done = 0\n        import os\n        print('stands in', os.getcwd())", 1)


@pytest.fixture
def deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder that is not there any more."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    return folder


def test_a_folder_that_exists_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.working_folder() is None
    run = start.start(str(write(tmp_path / "project", source=WHERE)))
    assert ended(run).state == "finished" and f"stands in {tmp_path}\n" in run.output.read_text()


@pytest.mark.parametrize("own_folder", ["", "/a/home/that/is/not/there"])
def test_workers_start_in_a_folder_that_exists(tmp_path: Path, deleted: Path, monkeypatch: pytest.MonkeyPatch, own_folder: str) -> None:
    if own_folder:
        monkeypatch.setenv("HOME", own_folder)
    run = start.start(str(write(tmp_path / "project", source=WHERE)))
    assert ended(run).state == "finished", ended(run)
    assert f"stands in {'/' if own_folder else Path('~').expanduser()}\n" in run.output.read_text()


def test_a_folder_deleted_while_a_run_waits_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    from workbench.launch import devices
    from workbench.recipes.load import load_recipe
    from workbench.runs import lock
    from workbench.runs.state import state_of

    place = devices.device_lock("cuda:0")
    place.parent.mkdir(parents=True, exist_ok=True)
    held = lock.Lock.take(place)
    folder = tmp_path / "soon gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    run = start.create(load_recipe(write(tmp_path / "project", source=WHERE)), "cuda:0")
    start.launch(run)
    until(lambda: state_of(run).state == "queued" and state_of(run).message)
    folder.rmdir()
    assert held
    held.release()
    assert ended(run).state == "finished" and "stands in" in run.output.read_text()


def test_whatever_imports_torch_starts_there_too(tmp_path: Path, deleted: Path) -> None:
    said = torch_probe.ask()
    assert said.version and not said.error
    source = write(tmp_path / "project", source=WHERE).with_name("line.py")
    assert project_schemas.run_describe(source).config["title"]


def test_the_doctor_names_the_folder_and_not_torch(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f"mkdir {gone} && cd {gone} && rmdir {gone} && {sys.executable} -m workbench.cli doctor --json"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, env=dict(os.environ))
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert findings["torch"]["level"] == "ok", findings["torch"]
    assert findings["folder"]["level"] == "warn" and "was deleted" in findings["folder"]["text"] and "cd" in findings["folder"]["mend"]


def test_a_recipe_in_torch_trains_from_a_deleted_folder(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    words = "run digits-mlp --set train.steps=5 --follow"
    script = f"mkdir {gone} && cd {gone} && rmdir {gone} && {sys.executable} -m workbench.cli {words}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ended(find_run("last")).state == "finished"
