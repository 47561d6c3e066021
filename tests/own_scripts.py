"""Scripts of a person's own that end in every way there is; test_own_endings.py runs them alone, test_exec.py under `dlwb exec`."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from workbench import paths
from workbench.runs.history import History, history_of
from workbench.runs.run import Run, list_runs

SCRIPT = """
import ctypes, os, signal, sys, time

from workbench import Run

way, ready = sys.argv[1], sys.argv[2]
run = Run(way, {"way": way})
for step in range(5):
    run.log({"train/loss": 1 / (step + 1)}, step)
print("it printed this", flush=True)
time.sleep(0.6)  # what SIGKILL may lose is half a second

if way == "exception":
    raise ValueError("the dog ate it [/] \\x1b[31m")
if way == "sys.exit":
    sys.exit(3)
if way == "os._exit":
    os._exit(7)
if way == "segfault":
    ctypes.string_at(0)
if way == "abort":
    os.abort()
if way == "memory":
    with open(os.environ["TASKS"], "w") as tasks:
        tasks.write(str(os.getpid()))
    held = []
    while True:
        held.append(bytearray(b"x") * (8 << 20))
if way == "fork":
    if os.fork() == 0:
        run.log({"train/loss": 99.0}, 50)
        time.sleep(20)
        os._exit(1)
if way == "exec":
    os.execv(sys.executable, [sys.executable, "-c", "print('another program')"])
if way in ("SIGTERM", "SIGINT", "SIGKILL"):
    open(ready, "w").close()
    while True:
        time.sleep(0.01)
"""
WAYS = (
    "ordinary",
    "exception",
    "sys.exit",
    "os._exit",
    "SIGTERM",
    "SIGINT",
    "SIGKILL",
    "memory",
    "segfault",
    "abort",
    "fork",
    "exec",
)


@contextmanager
def little_memory() -> Iterator[Path | None]:
    """The file to which a process writes its number to have 120 MiB of memory from then on; None where no such group can be made."""
    name = f"dlwb-test-{uuid.uuid4().hex[:8]}"
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root, name)
        try:
            group.mkdir()
            (group / limit).write_text(str(120 << 20))
        except OSError:
            continue
        try:
            yield group / "cgroup.procs"
        finally:
            for _ in range(50):
                try:
                    group.rmdir()
                    break
                except OSError:
                    time.sleep(0.1)
        return
    yield None


def environment(**more: str) -> dict[str, str]:
    """Of a script that imports the workbench of this checkout."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **more}


def script(folder: Path, text: str = SCRIPT, name: str = "mine.py") -> Path:
    """Write it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def run_script(
    folder: Path, text: str, *words: str, check: bool = True, env: Mapping[str, str] = {}
) -> tuple[Run, "subprocess.CompletedProcess[str]"]:
    """Run a script to its end; its newest run, and what the process did."""
    done = subprocess.run(
        [sys.executable, str(script(folder, text)), *words], capture_output=True, text=True, env=environment(**env), timeout=100
    )
    assert not check or done.returncode == 0, done.stderr
    return list_runs()[0], done


def run_called(name: str) -> Run:
    """The run of that name."""
    return next(run for run in list_runs() if run.recipe().title == name)


def wait_for(path: Path, seconds: float = 60.0) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.02)


def steps(run: Run, tag: str = "train/loss") -> list[float]:
    """The logged steps of a tag."""
    return list(folded(run).series[tag].steps)


def folded(run: Run) -> History:
    """The run's log."""
    return history_of(run.events)


def home() -> Path:
    """The folder of the runs."""
    return paths.runs()
