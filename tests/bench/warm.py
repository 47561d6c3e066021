"""From Enter on `digits-mlp` to its first point, and from `t` to what answers: with the Python that waits, and cold, by turns.

    python tests/bench/warm.py [TURNS]

Enter is pressed in the real program on a pseudo terminal; the first point is the first training loss in the run's log, by its own time.
A cold start is made by a variable in the environment that the one that waits does not have. Target: 1 s on a quiet machine, warm.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

from killing import wait
from pty_terminal import PtyTerminal

from workbench.events import Scalars
from workbench.launch import start, warm
from workbench.runs.log import read_all
from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of
from workbench.tui.models.answering import Answering

DLWB = [sys.executable, "-P", "-m", "workbench.cli"]
COLD = "DIFFERENT_FROM_WHAT_WAITS"


def first_point(run: Run) -> float:
    """When it was logged."""
    events = read_all(run.events)[0] if run.events.exists() else []
    return next((event.time for event in events if isinstance(event, Scalars) and "train/loss" in event.values), 0.0)


def enter(terminal: PtyTerminal) -> tuple[float, Run]:
    """Seconds from Enter on the first recipe to its first point."""
    before = {run.id for run in list_runs()}
    pressed = time.time()
    terminal.type("enter")
    terminal.listen(1.0)
    run = wait(lambda: next((run for run in list_runs() if run.id not in before), None))
    took = wait(lambda: first_point(run)) - pressed
    start.kill(run)
    wait(lambda: not state_of(run).alive)
    terminal.type("esc")
    terminal.listen(1.0)
    return took, run


async def ready(run: Run) -> float:
    """Seconds until its weights can be asked."""
    began = time.perf_counter()
    answering = Answering(run)
    await answering.start(lambda stage: None)
    took = time.perf_counter() - began
    await answering.close()
    return took


def report(name: str, cold: list[float], warmed: list[float]) -> None:
    ratio = median(each / other for each, other in zip(cold, warmed, strict=True))
    spans = [f"{median(times):.2f} s ({min(times):.2f} to {max(times):.2f})" for times in (warmed, cold)]
    print(f"{name}: {spans[0]} with the one that waits, {spans[1]} cold; {ratio:.1f} times")


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{turns} turns, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DLWB_HOME"] = os.environ["XDG_RUNTIME_DIR"] = folder
        warming, cold, warmed = [], [], []
        for _ in range(turns):
            for environment, times in (({COLD: "1"}, cold), ({}, warmed)):
                # Another terminal program has it wait all along, without that variable.
                keeper = PtyTerminal(DLWB)
                began = time.time()
                wait(warm.waits, pause=0.02)
                warming.append(time.time() - began)
                terminal = PtyTerminal(DLWB, environment=environment)
                terminal.listen(20, until_quiet=2)
                pid = warm.waits()
                took, run = enter(terminal)
                times.append(took)
                assert (pid != warm.waits()) == (not environment), "it was taken where it should be, and only there"
                terminal.close()
                keeper.close()
                wait(lambda pid=pid: not Path(f"/proc/{pid}").exists())
        print(f"from the program's start until one waits: {median(warming):.1f} s")
        report("Enter to the first point", cold, warmed)
        run = start.start("digits-mlp", ["train.epochs=3"])
        wait(lambda: not state_of(run).alive)
        cold, warmed = [], []
        keeper = PtyTerminal(DLWB)
        for _ in range(turns):
            pid = wait(warm.waits, pause=0.05)
            os.environ[COLD] = "1"
            cold.append(asyncio.run(ready(run)))
            assert warm.waits() == pid
            del os.environ[COLD]
            warmed.append(asyncio.run(ready(run)))
            assert warm.waits() != pid
        keeper.close()
        report("`t` until it can be asked", cold, warmed)


if __name__ == "__main__":
    main()
