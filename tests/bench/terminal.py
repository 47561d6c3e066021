"""What the terminal program costs and how fast it is, on a real pseudo terminal of 120x40 cells; beside wandb's LEET where that is given.

    python tests/bench/terminal.py [--leet WANDB] [paint] [open] [bytes]

paint: first paint of `dlwb` against an empty Textual program with the same table, in interleaved pairs (at most 1.3 times).
open: from Enter on a run of 100,000 steps x 4 metrics to the full picture (under 0.5 s), cold and after the cursor rested on it.
bytes: bytes a second to the terminal of a live run with four metrics at 10 Hz (at most 1.4 KiB/s), and of a finished run (under 100 B/s).
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from made_runs import alive, ended, make_run  # noqa: E402
from pty_terminal import PtyTerminal  # noqa: E402

from workbench.events import Scalars, Status  # noqa: E402
from workbench.runs.log import EventLog  # noqa: E402

DLWB = [sys.executable, "-c", "from workbench.cli import main; main()"]
STEPS = 100_000
HZ = 10.0

PLAIN = """
from textual.app import App
from textual.widgets import DataTable
import sys, json

class Plain(App):
    def compose(self):
        yield DataTable(cursor_type="row")
    def on_mount(self):
        table = self.query_one(DataTable)
        table.add_columns("recipe", "lesson", "runs", "best")
        for row in json.loads(sys.argv[1]):
            table.add_row(*row)

Plain().run()
"""
LEET_WRITER = """
import math, random, sys, time, wandb
folder, steps, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
run = wandb.init(mode="offline", dir=folder, project="bench", settings=wandb.Settings(silent=True))
rng = random.Random(1)
began = time.monotonic()
for step in range(1, steps + 1):
    loss = 2 * math.exp(-4 * step / steps) + rng.gauss(0, 0.05)
    run.log({"train/loss": loss, "train/accuracy": 1 - loss / 3, "valid/loss": loss + 0.1, "valid/accuracy": 1 - loss / 2.8}, step=step)
    if pause:
        time.sleep(max(0.0, began + step * pause - time.monotonic()))
run.finish()
"""


def values(step: int, steps: int, rng: random.Random) -> dict[str, float]:
    """Four metrics of a step."""
    loss = 2 * math.exp(-4 * step / steps) + rng.gauss(0, 0.05)
    return {"train/loss": loss, "train/accuracy": 1 - loss / 3, "valid/loss": loss + 0.1, "valid/accuracy": 1 - loss / 2.8}


def write(log: EventLog, steps: int, upto: int, pause: float = 0.0) -> None:
    """A run's log; `pause` seconds between two steps."""
    rng = random.Random(1)
    log.write(Status(state="running", steps=steps, steps_per_epoch=max(1, steps // 10), device="cpu", from_step=-1))
    began = time.monotonic()
    for step in range(1, upto + 1):
        log.write(Scalars(values(step, steps, rng), step=step, epoch=10 * step / steps))
        if pause:
            time.sleep(max(0.0, began + step * pause - time.monotonic()))


def paint(pairs: int = 10) -> None:
    """First paint, against a Textual program that has nothing but the same table."""
    from workbench.tui.models.library import Library

    library = Library()
    library.load_recipes()
    rows = [[each.title, each.loaded.recipe.lesson if each.loaded else "", "", ""] for each in library.shelf]
    first = rows[0][0].encode()  # the last may lie below the screen's edge
    times: dict[str, list[float]] = {"dlwb": [], "plain": []}
    for _ in range(pairs):
        for name, command in (("dlwb", DLWB), ("plain", [sys.executable, "-c", PLAIN, json.dumps(rows)])):
            terminal = PtyTerminal(command, environment={"PYTHONDONTWRITEBYTECODE": ""})  # compiled, as what was installed is
            terminal.listen(30, until=first)
            times[name].append(terminal.last - terminal.started)
            terminal.close()
    ours, plain = median(times["dlwb"]), median(times["plain"])
    ratios = sorted(one / other for one, other in zip(times["dlwb"], times["plain"], strict=True))
    print(f"first paint: dlwb {ours:.3f} s, an empty Textual program with the same table {plain:.3f} s")
    print(f"  ratio of {pairs} interleaved pairs: median {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); at most 1.3")


def opening(leet: str, folder: Path, repeats: int = 5) -> None:
    """Enter to the picture that no longer changes."""
    run = make_run("big")
    log = EventLog(run.path)
    write(log, STEPS, STEPS)
    log.write(Status(state="finished", cause="steps", step=STEPS))
    log.close()
    ended(run, "finished", "steps")
    for name, rest in (("after the cursor rested on it", 3.0), ("at once", 0.0)):
        times, sent = [], 0
        for _ in range(repeats):
            terminal = PtyTerminal(DLWB)
            terminal.listen(20, until_quiet=3)
            terminal.type("2")
            terminal.listen(rest)
            begin = len(terminal.output)
            enter = terminal.type("enter")
            terminal.listen(20, until_quiet=2)
            times.append(terminal.last - enter)
            sent = sum(len(data) for _, data in terminal.output[begin:])
            terminal.close()
        spread = f"{median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"
        print(f"Enter to the full picture of {STEPS:,} steps x 4, {name}: {spread}, {sent:,} bytes")
    if leet:
        writer = [str(Path(leet).parent / "python"), "-c", LEET_WRITER, str(folder), str(STEPS), "0"]
        subprocess.run(writer, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times, first = [], []
        for _ in range(2):
            terminal = PtyTerminal([leet, "leet", str(next(folder.glob("wandb/offline-run-*")))])
            sent = terminal.listen(40, until_quiet=3)
            times.append(terminal.last - terminal.started)
            first.append(terminal.output[0][0] - terminal.started)
            terminal.close()
        print(f"LEET, from its start: {median(times):.2f} s (first output after {median(first):.2f} s), {sent:,} bytes")


def traffic(leet: str, folder: Path, seconds: float = 30.0) -> None:
    """Bytes a second of a live run, and of a finished one."""
    steps = int((seconds + 20) * HZ)
    run = make_run("live")
    held = alive(run)
    writer = os.fork()
    if writer == 0:
        log = EventLog(run.path)
        write(log, steps, steps, 1 / HZ)
        log.write(Status(state="finished", cause="steps", step=steps))
        log.close()
        os._exit(0)
    terminal = PtyTerminal(DLWB)
    terminal.listen(3)
    terminal.type("2", "/", "l", "i", "v", "e", "enter", "enter")
    terminal.listen(5)
    live = terminal.listen(seconds) / seconds
    os.waitpid(writer, 0)
    held.release()
    ended(run, "finished", "steps")
    terminal.listen(5)
    finished = terminal.listen(10) / 10
    terminal.close()
    print(f"bytes to the terminal: live run, 4 metrics at {HZ:g} Hz: {live / 1024:.2f} KiB/s (at most 1.4)")
    print(f"  finished run: {finished:.0f} B/s (under 100)")
    if leet:
        live_folder = folder / "live"
        live_folder.mkdir()
        command = [str(Path(leet).parent / "python"), "-c", LEET_WRITER, str(live_folder), str(steps), str(1 / HZ)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not list(live_folder.glob("wandb/offline-run-*/*.wandb")):
            time.sleep(0.2)
        terminal = PtyTerminal([leet, "leet", str(next(live_folder.glob("wandb/offline-run-*")))])
        terminal.listen(8)
        live = terminal.listen(seconds) / seconds
        process.wait()
        terminal.listen(8)
        finished = terminal.listen(10) / 10
        terminal.close()
        print(f"LEET: live {live / 1024:.2f} KiB/s; finished {finished:.0f} B/s")


def main() -> None:
    """Run what was asked for, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leet", default="", help="the wandb executable of an environment that has it")
    parser.add_argument("what", nargs="*", choices=["paint", "open", "bytes", []], default=[])
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name in options.what or ["paint", "open", "bytes"]:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DLWB_HOME"] = str(Path(folder) / "home")
            if name == "paint":
                paint()
            elif name == "open":
                opening(options.leet, Path(folder))
            else:
                traffic(options.leet, Path(folder))


if __name__ == "__main__":
    main()
