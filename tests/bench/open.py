"""The same wandb log opened by `dlwb open` and by wandb's LEET, in turns: seconds until the first dots of a curve, and until all is drawn.

    python tests/bench/open.py [STEPS] [TURNS]

Both start from nothing: dlwb has to read the whole log into a run of its own first. Needs wandb: pip install wandb.
"""

import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

import made_logs
from made_logs import WandbLog, history
from pty_terminal import PtyTerminal

DOTS = re.compile(rb"\xe2[\xa0-\xa3][\x80-\xbf]")
"""A braille sign: dots of a curve."""
QUIET = 3.0
"""Seconds without a byte after which all is drawn."""


def picture(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds until the first dots, and until the last byte before it is quiet."""
    terminal = PtyTerminal(command, environment=environment)
    terminal.listen(60, until_quiet=QUIET)
    while not any(DOTS.search(data) for _, data in terminal.output) and time.monotonic() - terminal.started < 60:
        terminal.listen(5, until_quiet=QUIET)
    first = next((moment for moment, data in terminal.output if DOTS.search(data)), float("nan"))
    last = terminal.last
    terminal.type("q")
    terminal.listen(1)
    os.kill(terminal.pid, 9)
    os.waitpid(terminal.pid, 0)
    return first - terminal.started, last - terminal.started


def main(steps: int = 100_000, turns: int = 3) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wandb" / "offline-run-20260101_000000-abc" / "run-abc.wandb"
        log = WandbLog(path)
        log.append(made_logs.run("bench", {"lr": 0.1}))
        log.append(*(history(step, train__loss=1 / (1 + step / 1000), train__accuracy=step / steps) for step in range(steps)))
        log.append(made_logs.ended(0))
        times: dict[str, list[tuple[float, float]]] = {"dlwb": [], "leet": []}
        for turn in range(turns):
            home = f"{folder}/home{turn}"
            command = [sys.executable, "-m", "workbench.cli", "open", str(path)]
            times["dlwb"].append(picture(command, {"DLWB_HOME": home}))
            times["leet"].append(picture(["wandb", "leet", "run", str(path)], {"HOME": home, "WANDB_DIR": folder}))
    for name, pairs in times.items():
        first, last = (statistics.median(values) for values in zip(*pairs, strict=True))
        print(
            f"{name}: first dots after {first:.2f} s, all after {last:.2f} s  ({steps:,} steps, {path.name}, load {os.getloadavg()[0]:.1f})"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
