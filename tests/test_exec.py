"""`dlwb exec`: any command as a run, with its output, its meters, and a name for each of the twelve ways in which it can end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_scripts import WAYS, environment, folded, little_memory, run_called, script, steps, wait_for

from workbench.elsewhere import executing
from workbench.launch import start
from workbench.problems import Problem
from workbench.runs import lock
from workbench.runs.run import Run, list_runs
from workbench.runs.state import State, state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")

SAYS = {
    "ordinary": ("finished", "", ""),
    "exception": ("failed", "exception", "ValueError: the dog ate it [/] (mine.py:14)."),
    "sys.exit": ("failed", "exception", "exit code 3"),
    "os._exit": ("failed", "exception", "The command ended with exit code 7"),
    "SIGTERM": ("stopped", "sigterm", "Ended by SIGTERM."),
    "SIGINT": ("stopped", "person", "Ctrl-C"),
    "SIGKILL": ("failed", "signal", "Killed from outside: SIGKILL"),
    "memory": ("failed", "memory", "Out of memory: the kernel killed it."),
    "segfault": ("failed", "signal", "The command crashed: SIGSEGV"),
    "abort": ("failed", "signal", "The command crashed: SIGABRT"),
    "fork": ("finished", "", ""),
    "exec": ("finished", "", ""),
}


def command(words: list[str]) -> Run:
    """Start it as the shell's `dlwb exec` does, from this process."""
    return executing.start([sys.executable, *words])


def over(run: Run, seconds: float = 100.0) -> State:
    """Its end."""
    deadline = time.monotonic() + seconds
    while (state := state_of(run)).alive or state.state == "created":
        assert time.monotonic() < deadline, "it never ended"
        time.sleep(0.05)
    return state


def process_of(run: Run) -> int:
    """The number of the command's process."""
    return int(lock.content(run.lock)["worker"]["pid"])


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Run, State]]]:
    """Every way at once."""
    folder = tmp_path_factory.mktemp("ended")
    with pytest.MonkeyPatch.context() as patch, little_memory() as tasks:
        patch.setenv("DLWB_HOME", str(folder / "home"))
        patch.setenv("TASKS", str(tasks))
        patch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
        runs, file = {}, str(script(folder))
        # The kernel's count of kills is the machine's: what else is killed meanwhile would be called out of memory too.
        for way in [way for way in WAYS if way not in ("memory", "SIGKILL")]:
            runs[way] = command([file, way, str(folder / way)])
        runs["SIGKILL"] = command([file, "SIGKILL", str(folder / "SIGKILL")])
        for way in ("SIGTERM", "SIGINT", "SIGKILL"):
            wait_for(folder / way)
            os.kill(process_of(runs[way]), getattr(signal, way))
        over(runs["SIGKILL"])
        if tasks:
            runs["memory"] = command([file, "memory", ""])
        yield {way: (run, over(run)) for way, run in runs.items()}


@pytest.mark.parametrize("way", WAYS)
def test_every_end_has_a_name(ended: dict[str, tuple[Run, State]], way: str) -> None:
    if way not in ended:
        pytest.skip("needs the right to limit the memory of a process")
    run, state = ended[way]
    assert (state.state, state.cause) == SAYS[way][:2], state
    assert SAYS[way][2] in state.message
    assert steps(run) == [0, 1, 2, 3, 4]
    assert run.output.read_text().count("it printed this") == 1
    assert run.recipe().config == {"way": way} and run.recipe().title == way
    # What the lists read of a run whose exit.json is gone.
    assert folded(run).status.state == state.state


BARE = "import sys, time; print('bare'); time.sleep(float(sys.argv[1])); sys.exit(int(sys.argv[2]))"


def test_a_command_without_a_run_has_output_and_meters(tmp_path: Path) -> None:
    run = command([str(script(tmp_path, BARE, "bare.py")), "2.5", "3"])
    while state_of(run).state != "running":
        assert state_of(run).alive
    state = over(run)
    assert (state.state, state.message) == ("failed", "The command ended with exit code 3: bare")
    assert run.output.read_text() == "bare\n"
    assert run.stem == "bare" and run.project_copy.read_text() == BARE
    history = folded(run)
    assert history.last("system/memory") > 0 and history.seconds > 2  # type: ignore[operator]


def test_stop_and_kill_end_a_command(tmp_path: Path) -> None:
    sleeps = str(script(tmp_path, "import time; time.sleep(60)", "sleeps.py"))
    stopped, killed = command([sleeps]), command([sleeps])
    for run in (stopped, killed):
        while state_of(run).state != "running":
            time.sleep(0.02)
    start.stop(stopped)
    start.kill(killed)
    assert (over(stopped).state, over(stopped).cause) == ("stopped", "person")
    assert (over(killed).state, over(killed).cause) == ("stopped", "killed")


SHELL = """
{python} {file} "$@"
echo "the script ended with $?"
sleep 2
{python} -c "import os; os.kill(os.getpid(), 11)"
"""
CHILD = """
import time
from workbench import Run
run = Run("in a shell")
for step in range(10**7):
    run.log({"train/loss": 1.0}, step)
    time.sleep(0.01)
"""


@pytest.mark.parametrize("how", ["stop", "stop politely", "kill"])
def test_what_a_shell_script_has_started_ends_with_it(tmp_path: Path, how: str) -> None:
    child_text = CHILD.replace("time.sleep(0.01)", "if run.stopping: break") if "politely" in how else CHILD
    text = SHELL.format(python=sys.executable, file=script(tmp_path, child_text))
    run = executing.start(["bash", str(script(tmp_path, text, "all.sh"))])
    while "train/loss" not in folded(run).series:
        assert state_of(run).alive or state_of(run).state == "created"
    mine = f"{tmp_path}/mine.py"
    (child,) = [int(part) for part in os.listdir("/proc") if part.isdigit() and mine in words(int(part))]
    (start.kill if how == "kill" else start.stop)(run)
    state = over(run)
    assert (state.state, state.cause) == ("stopped", "killed" if how == "kill" else "person")
    assert mine not in words(child)
    assert how == "kill" or folded(run).status.state == "stopped"


def words(pid: int) -> str:
    """The command line of a process; "" where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_signal_that_a_shell_tells_of_has_its_name(tmp_path: Path) -> None:
    text = SHELL.format(python="true", file="").replace("true -c", f"{sys.executable} -c")
    state = over(executing.start(["bash", str(script(tmp_path, text, "all.sh"))]))
    assert (state.state, state.cause) == ("failed", "signal") and "SIGSEGV" in state.message


TWO = """
import os, subprocess, sys
from workbench import Run
first = Run("first", {"a": 1})
second = Run("second", {"a": 2})
first.log({"train/loss": 1.0}, 1)
second.log({"train/loss": 2.0}, 2)
if len(sys.argv) == 1:
    subprocess.run([sys.executable, __file__, "again"], check=True)
"""


def test_only_the_first_run_of_a_command_is_its_run(tmp_path: Path) -> None:
    """Others get directories of their own, so that no two processes write one log as theirs."""
    run = command([str(script(tmp_path, TWO))])
    assert over(run).state == "finished"
    titles = sorted(each.recipe().title for each in list_runs())
    assert titles == ["first", "first", "second", "second"] and run.recipe().title == "first"
    assert all(len(steps(each)) == 1 for each in list_runs())
    assert all(state_of(each).state == "finished" for each in list_runs())


def test_the_shell_starts_follows_and_refuses(tmp_path: Path) -> None:
    def shell(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "workbench.cli", "exec", *words], capture_output=True, text=True, env=environment(), cwd=tmp_path
        )

    script(tmp_path, BARE, "bare.py")
    followed = shell("--name", "my test", "-f", sys.executable, "bare.py", "0.1", "0")
    assert followed.returncode == 0 and "bare" in followed.stdout, followed
    assert run_called("my test").recipe().about.endswith("bare.py 0.1 0")
    failed = shell("--json", "--", sys.executable, "bare.py", "0", "4")
    run = next(each for each in list_runs() if each.id == json.loads(failed.stdout)["run"])
    assert over(run).state == "failed" and Path(run.about()["folder"]) == tmp_path
    for words, sentence in ((["nothing-like-it"], "is no command here"), ([sys.executable, "gone.py"], "gone.py does not exist")):
        refused = shell(*words)
        assert refused.returncode == 1 and sentence in refused.stderr and "Traceback" not in refused.stderr
    assert len(list_runs()) == 2


def test_a_command_that_cannot_begin_is_a_failed_run(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/nothing/like/it\n")
    broken.chmod(0o755)
    state = over(executing.start([str(broken)]))
    assert state.state == "failed" and "could not be started: No such file or directory" in state.message


def test_there_must_be_a_command() -> None:
    with pytest.raises(Problem, match="There is no command"):
        executing.start([])
