"""A person's own script ends in twelve ways: its run is over in each, and says how where the script could still speak."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_scripts import WAYS, environment, folded, little_memory, run_called, run_script, script, steps, wait_for

from workbench.launch import start
from workbench.runs import lock
from workbench.runs.run import Run, list_runs
from workbench.runs.state import State, state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")

UNSEEN = ("failed", "unseen", "Its process was killed, crashed in C code")
SAYS = {
    "ordinary": ("finished", "", ""),
    "exception": ("failed", "exception", "ValueError: the dog ate it [/] (mine.py:14)."),
    "sys.exit": ("failed", "exception", "exit code 3"),
    "os._exit": UNSEEN,
    "SIGTERM": ("stopped", "sigterm", "Ended by SIGTERM."),
    "SIGINT": ("stopped", "person", "Ctrl-C"),
    "SIGKILL": UNSEEN,
    "memory": UNSEEN,
    "segfault": UNSEEN,
    "abort": UNSEEN,
    "fork": ("finished", "", ""),
    "exec": UNSEEN,
}


class Ended:
    """What became of each way, in one home."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.states: dict[str, State] = {}
        self.codes: dict[str, int] = {}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """Every way at once, as each waits for most of its time."""
    folder, result = tmp_path_factory.mktemp("ended"), Ended()
    with pytest.MonkeyPatch.context() as patch, little_memory() as tasks:
        patch.setenv("DLWB_HOME", str(folder / "home"))
        file, processes = script(folder), {}
        for way in WAYS:
            if way != "memory" or tasks:
                words = [sys.executable, str(file), way, str(folder / way)]
                processes[way] = subprocess.Popen(
                    words, env=environment(TASKS=str(tasks)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
        for way in ("SIGTERM", "SIGINT", "SIGKILL"):
            wait_for(folder / way)
            processes[way].send_signal(getattr(signal, way))
        for way, process in processes.items():
            result.codes[way] = process.wait(100)
            result.runs[way] = run_called(way)
            result.states[way] = state_of(result.runs[way])
        yield result


@pytest.mark.parametrize("way", WAYS)
def test_an_end_is_recognised_and_named_where_the_script_can_speak(ended: Ended, way: str) -> None:
    if way not in ended.states:
        pytest.skip("needs the right to limit the memory of a process")
    state = ended.states[way]
    assert not state.alive and not lock.is_held(ended.runs[way].lock)
    assert (state.state, state.cause) == SAYS[way][:2]
    assert SAYS[way][2] in state.message and "\x1b" not in state.message
    assert steps(ended.runs[way]) == [0, 1, 2, 3, 4]
    assert "it printed this" in ended.runs[way].output.read_text()


def test_the_process_ends_as_it_would_without_a_run(ended: Ended) -> None:
    """The exit codes that a shell sees."""
    expected = {"ordinary": 0, "exception": 1, "sys.exit": 3, "os._exit": 7, "fork": 0, "exec": 0}
    assert {way: ended.codes[way] for way in expected} == expected
    numbers = {"SIGTERM": 15, "SIGINT": 2, "SIGKILL": 9, "segfault": 11, "abort": 6}
    assert {way: ended.codes[way] for way in numbers} == {way: -number for way, number in numbers.items()}


def test_a_traceback_is_in_the_output(ended: Ended) -> None:
    assert "Traceback" in ended.runs["exception"].output.read_text()


KILLED = """
import os, signal, sys, time
from workbench import Run
run = Run("killed")
began = time.monotonic()
while time.monotonic() - began < 2:
    run.log({"train/loss": 1.0, "when": time.monotonic()}, int((time.monotonic() - began) * 1e6))
    time.sleep(0.001)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_sigkill_loses_at_most_the_last_half_of_a_second(tmp_path: Path) -> None:
    run, _ = run_script(tmp_path, KILLED, check=False)
    # Steps are microseconds: it was killed at two million.
    assert 1.5e6 <= steps(run)[-1] <= 2.0e6


CAUGHT = """
import sys
from workbench import Run
run = Run("caught")
try:
    sys.exit(5)
except SystemExit:
    run.log({"train/loss": 1.0})
"""


def test_an_exit_that_was_caught_is_none(tmp_path: Path) -> None:
    run, _ = run_script(tmp_path, CAUGHT)
    assert state_of(run).state == "finished"


BLOCK = """
import sys
from workbench import Run
for number, error in enumerate([None, MemoryError("no room"), KeyboardInterrupt(), SystemExit(4), ImportError("nothing")]):
    try:
        with Run(f"block {number}"):
            if error:
                raise error
    except BaseException:
        pass
"""


def test_a_with_block_ends_its_run(tmp_path: Path) -> None:
    run_script(tmp_path, BLOCK)
    states = [state_of(run_called(f"block {number}")) for number in range(5)]
    assert [(state.state, state.cause) for state in states] == [
        ("finished", ""),
        ("failed", "memory"),
        ("stopped", "person"),
        ("failed", "exception"),
        ("failed", "import"),
    ]


WAITS = """
import sys, time
from workbench import Run
run = Run("waits")
while not (sys.argv[1] == "looks" and run.stopping):
    run.log({"train/loss": 1.0})
    time.sleep(0.02)
run.log({"train/saved": 1.0})
"""


@pytest.mark.parametrize("how", ["looks", "looks-not", "kill"])
def test_a_person_stops_and_kills_a_script(tmp_path: Path, how: str) -> None:
    """One that looks at `stopping` may save; one that does not gets SIGTERM."""
    process = subprocess.Popen([sys.executable, str(script(tmp_path, WAITS)), how], env=environment(), stderr=subprocess.DEVNULL)
    while not (list_runs() and "train/loss" in folded(list_runs()[0]).series):
        assert process.poll() is None
    run = list_runs()[0]
    if how == "kill":
        start.kill(run)
    else:
        start.stop(run)
    code = process.wait(60)
    state = state_of(run)
    assert (state.state, state.cause) == ("stopped", "killed" if how == "kill" else "person")
    assert code == {"looks": 0, "looks-not": -signal.SIGTERM, "kill": -signal.SIGKILL}[how]
    assert ("train/saved" in run.events.read_text()) == (how == "looks")


LOADERS = r"""
import multiprocessing, os, sys, time
from workbench import Run

def load(number, queue):
    run.log({"train/loss": 99.0}, 1000 + number)
    print(f"loader {number}\n", end="", flush=True)
    queue.put(number)
    time.sleep(30)

run = Run("loaders")
context = multiprocessing.get_context("fork")
queue = context.Queue()
for step in range(200):
    run.log({"train/loss": 1.0}, step)
loaders = [context.Process(target=load, args=(number, queue)) for number in range(2)]
for loader in loaders:
    loader.start()
for loader in loaders:
    queue.get()
began = time.monotonic()
for loader in loaders:
    loader.terminate()
    loader.join()
print("ended", [loader.exitcode for loader in loaders], time.monotonic() - began < 5)
run.log({"train/loss": 0.5}, 200)
"""


def test_forked_loaders_neither_log_nor_end_the_run(tmp_path: Path) -> None:
    run, done = run_script(tmp_path, LOADERS)
    assert state_of(run).state == "finished"
    assert steps(run) == list(range(201))
    assert "ended [-15, -15] True" in done.stdout and "loader 1" in run.output.read_text()
    assert done.stderr.count("a forked child does not log") == 2


SPAWNED = """
import multiprocessing
from workbench import Run

run = Run("spawned")

def work(number):
    run.log({"train/loss": 1.0})
    return number

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.map(work, range(2))
    run.log({"train/loss": 2.0}, 5)
"""


def test_a_spawned_child_that_imports_the_script_makes_no_run(tmp_path: Path) -> None:
    run, _ = run_script(tmp_path, SPAWNED)
    assert len(list_runs()) == 1 and steps(run) == [5] and state_of(run).state == "finished"


def test_later_ranks_record_nothing(tmp_path: Path) -> None:
    run_script(tmp_path, "from workbench import Run\nRun('one').log({'loss': 1.0})", env={"RANK": "0"})
    _, done = run_script(tmp_path, "from workbench import Run\nRun('one').log({'loss': 1.0})", env={"RANK": "1"})
    assert len(list_runs()) == 1 and done.stderr == ""


def test_a_signal_handler_of_the_script_stays(tmp_path: Path) -> None:
    text = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
from workbench import Run
run = Run("handled")
os.kill(os.getpid(), signal.SIGTERM)
run.log({"train/loss": 1.0})
"""
    run, done = run_script(tmp_path, text)
    assert done.stdout == "mine\n" and state_of(run).state == "finished"


def test_hooks_are_what_they_were_once_all_runs_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench import Run as Own

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    own = Own("here")
    assert signal.getsignal(signal.SIGTERM) != before[0]
    own.finish()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)) == before
    assert os.path.exists(own.path or "") and "write" not in vars(sys.stdout)  # noqa: PTH110


INTERRUPTED = """
import collections, sys
from workbench import Run
run = Run("interrupted")
before = sys.excepthook
def hook(*of):  # as a thread that imports something at this very moment
    collections.namedtuple("Some", "thing")
    before(*of)
sys.excepthook = hook
raise KeyboardInterrupt
"""


def test_an_interrupted_script_dies_of_sigint_whatever_is_imported_meanwhile(tmp_path: Path) -> None:
    run, done = run_script(tmp_path, INTERRUPTED, check=False)
    assert done.returncode == -signal.SIGINT and state_of(run).state == "stopped"
