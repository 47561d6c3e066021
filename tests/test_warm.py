"""The Python that waits with torch imported: a run taken from it has every bit of a cold one. Its deaths and refusals: tests/long/."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from killing import differences, wait
from lines import LINE, LONG, SLOW, ended, folded, send, until, write

from workbench import paths
from workbench.launch import start as launch
from workbench.launch import surroundings, warm
from workbench.runs import lock
from workbench.runs.run import Run

pytestmark = pytest.mark.usefixtures("nothing_is_left")

# As the terminal program does in a thread; what follows a run's start need not wait here.
KEEPER = "from workbench.launch import warm; warm.REST = 0.0; warm.keep()"
ONE = "compute.threads=1"
Program = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of this test's own for the socket: with a short name, since sockets' names are."""
    folder = tempfile.mkdtemp()
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    yield
    shutil.rmtree(folder)


@pytest.fixture
def program() -> Iterator[Program]:
    """Starts a process that keeps one waiting, in place of a terminal program."""
    programs: list[subprocess.Popen[bytes]] = []

    def begin(environment: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
        programs.append(subprocess.Popen([sys.executable, "-c", KEEPER], env=environment))
        return programs[-1]

    yield begin
    for started in programs:
        started.kill()
        started.wait()
    until(lambda: not lock.is_held(warm.place().with_suffix(".lock")))


def waiting(*, other_than: int = 0) -> int:
    """Its id, once it is ready."""
    return int(wait(lambda: warm.waits() if warm.waits() != other_than else 0, pause=0.05))


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def worker(run: Run) -> int:
    return int(until(lambda: lock.content(run.lock).get("worker"))["pid"])


def start_line(folder: Path, source: str = LINE) -> Run:
    """A run of a person's own project, which goes on for long."""
    return launch.start(str(write(folder, SLOW, LONG, source)), [ONE])


def test_a_run_taken_from_it_has_every_bit_of_a_cold_one_and_outlives_the_program(program: Program) -> None:
    settings = [ONE, "train.epochs=3", "train.log_every=5", "train.sample_every=50", "train.checkpoint_every=40"]
    cold = launch.start("digits-mlp", settings)
    assert ended(cold).state == "finished"
    keeper = program()
    taken = waiting()
    run = launch.start("digits-mlp", settings)
    assert worker(run) == taken
    keeper.kill()
    send(run, "parent", signal.SIGKILL)
    assert lock.is_held(run.lock), "it was handed down"
    assert ended(run).state == "finished"
    assert differences(run, cold) == []
    assert len(folded(run).series["train/loss"]) > 20
    other = launch.start("digits-mlp", [*settings, "config.learning_rate=0.0051"])
    assert worker(other) != taken and ended(other).state == "finished"
    assert "state in the newest checkpoint" in differences(other, cold), "else the comparison would hold of any two runs"


def test_what_it_imports_draws_no_random_number() -> None:
    """Else a run in which a function imports it would go on differently from there."""
    code = (
        "import random, numpy, torch, importlib, rich.style; from workbench.training import warm\n"
        "def state(): return random.getstate(), numpy.random.get_state(legacy=False), torch.get_rng_state().tolist()\n"
        "before = repr(state()); [importlib.import_module(name) for name in warm.MODULES]; assert repr(state()) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_stamp_of_the_code_changes_with_any_file_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "projects").mkdir()
    file = tmp_path / "projects" / "lesson.py"
    file.write_text("one = 1\n")
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path)
    before = surroundings.code()
    assert surroundings.code() == before
    status = file.stat()
    file.write_text("one = 2\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert surroundings.code() != before
    now = surroundings.code()
    (tmp_path / "another.py").touch()
    assert surroundings.code() != now
