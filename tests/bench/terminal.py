"""What the terminal program costs and how fast it is, on a real pseudo terminal of 120x40 cells; beside wandb's LEET where that is given.

    python tests/bench/terminal.py [--leet WANDB] [--before CHECKOUT] [--turns N] [paint] [open] [bytes] [endpoint]

paint: first paint of `dlwb` with 120 recipes, and with the shipped ones, against an empty Textual program with a table of as many rows,
interleaved (at most 1.15 times).
open: from Enter on a run of 100,000 steps x 4 metrics to the full picture (under 0.5 s): on the newest one and on another one at once, and
after the cursor rested on it.
`--before` measures another checkout beside this one, turn by turn: on a busy machine only the ratio says anything.
bytes: bytes a second to the terminal of a live run with four metrics at 10 Hz (at most 1.4 KiB/s), and of a finished run (under 100 B/s).
endpoint: the same of an endpoint with two variants under load (no more than a live run), its list's, and the time from a key that moves
traffic to the first answer of the variant that had none, as the load sees it (at most 1 s).
"""

import argparse
import json
import math
import os
import random
import shutil
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
RECIPES = 120
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


def side(before: str) -> dict[str, str]:
    """The environment of this checkout, or of another one with a home of its own; compiled, as what was installed is."""
    home = os.environ["DLWB_HOME"] + "-before" * bool(before)
    path = before or str(Path(__file__).parents[2])
    return {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "DLWB_HOME": home, "PYTHONDONTWRITEBYTECODE": ""}


def first_paint(rows: list[list[str]], marker: str, before: str, turns: int) -> None:
    """First paint of the list, against a Textual program that has nothing but a table of as many rows; each side's first start aside."""
    commands = {"dlwb": DLWB, "plain": [sys.executable, "-c", PLAIN, json.dumps(rows)], **({"before": DLWB} if before else {})}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(-1, turns):
        for name, command in commands.items():
            terminal = PtyTerminal(command, environment=side(before if name == "before" else ""))
            terminal.listen(30, until=(rows[0][0] if name == "plain" else marker).encode())
            taken = terminal.last - terminal.started, terminal.cpu
            if turn >= 0:
                times[name].append(taken)
            elif name != "plain":
                terminal.listen(30, until_quiet=5)  # until what it keeps for the next start is written
                print(f"  {name}, its first start: {taken[0]:.3f} s, {taken[1]:.2f} s of processor time")
            terminal.close()
    for name, taken_by in times.items():
        wall, cpu = (median(each[kind] for each in taken_by) for kind in (0, 1))
        ratios = sorted(one[0] / other[0] for one, other in zip(taken_by, times["plain"], strict=True))
        cpu_ratio = sum(one[1] for one in taken_by) / sum(other[1] for other in times["plain"])
        print(f"  {name:<7}{wall:.3f} s, ratio median {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); ", end="")
        print(f"{cpu:.2f} s of processor time, ratio {cpu_ratio:.2f}")


def paint(before: str, turns: int) -> None:
    """With all the recipes there will be, and with those of today."""
    from workbench import paths
    from workbench.recipes.find import shipped_and_own
    from workbench.recipes.load import load_recipe
    from workbench.tui.models.library import Library
    from workbench.tui.screens.recipes import FIRST

    shipped = [path for path in shipped_and_own() if path.is_relative_to(paths.shipped("recipes"))]
    marker = load_recipe(next(path for path in shipped if path.stem == FIRST)).recipe.title[:20]  # the cursor is there, so it is seen
    for count in (RECIPES, 0):
        for home in {os.environ["DLWB_HOME"], *([os.environ["DLWB_HOME"] + "-before"] if before else [])}:
            own = Path(home, "recipes")
            shutil.rmtree(own, ignore_errors=True)
            own.mkdir(parents=True)
            for place in range(count - len(shipped)):
                path = shipped[place % len(shipped)]
                text = path.read_text().replace("title: ", f"title: Copy {place} of ", 1)
                (own / f"{path.stem}-{place}.yaml").write_text(text)
        time.sleep(2.5)  # a file written just now is not kept in the index
        library = Library()
        library.load_recipes()
        rows = [[each.title, each.loaded.recipe.lesson if each.loaded else "", "", ""] for each in library.shelf]
        print(f"first paint with {len(rows)} recipes, against an empty Textual program with as many rows, {turns} turns; at most 1.15:")
        first_paint(rows, marker, before, turns)


def opening(leet: str, folder: Path, before: str, turns: int) -> None:
    """Enter to the picture that no longer changes."""
    run, older = make_run("big"), make_run("older", stamp="2025-01-01_000000")
    log = EventLog(run.path)
    write(log, STEPS, STEPS)
    log.write(Status(state="finished", cause="steps", step=STEPS))
    log.close()
    shutil.copy(run.events, older.events)
    ended(run, "finished", "steps")
    ended(older, "finished", "steps")
    sides = {"dlwb": "", **({"before": before} if before else {})}
    if before:
        shutil.copytree(os.environ["DLWB_HOME"], os.environ["DLWB_HOME"] + "-before", symlinks=True)
    for how, keys, rest in (
        ("the newest, at once", (), 0.0),
        ("another one, at once", ("down",), 0.0),
        ("after the cursor rested on it", (), 3.0),
    ):
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        sent = dict.fromkeys(sides, 0)
        for _ in range(turns):
            for which, path in sides.items():
                terminal = PtyTerminal(DLWB, environment=side(path))
                terminal.listen(20, until_quiet=3)
                for key in ("2", *keys):
                    terminal.type(key)
                terminal.listen(rest)
                begin = len(terminal.output)
                cpu = terminal.cpu
                enter = terminal.type("enter")
                terminal.listen(20, until_quiet=1.5)
                times[which].append((terminal.last - enter, terminal.cpu - cpu))
                sent[which] = sum(len(data) for _, data in terminal.output[begin:])
                terminal.close()
        print(f"Enter to the full picture of {STEPS:,} steps x 4, {how}:")
        for which, taken in times.items():
            wall, cpu = ([each[kind] for each in taken] for kind in (0, 1))
            print(f"  {which:<7}{median(wall):.2f} s ({min(wall):.2f} to {max(wall):.2f}), ", end="")
            print(f"{median(cpu):.2f} s of processor time, {sent[which]:,} bytes")
    if leet:
        writer = [str(Path(leet).parent / "python"), "-c", LEET_WRITER, str(folder), str(STEPS), "0"]
        subprocess.run(writer, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        whole, begun = [], []
        for _ in range(2):
            terminal = PtyTerminal([leet, "leet", str(next(folder.glob("wandb/offline-run-*")))])
            bytes_sent = terminal.listen(40, until_quiet=3)
            whole.append(terminal.last - terminal.started)
            begun.append(terminal.output[0][0] - terminal.started)
            terminal.close()
        print(f"LEET, from its start: {median(whole):.2f} s (first output after {median(begun):.2f} s), {bytes_sent:,} bytes")


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


def endpoint(folder: Path, seconds: float = 30.0, turns: int = 9) -> None:
    """Bytes of an endpoint under load, and how soon a key moves its traffic."""
    from endpoint_traffic import Traffic, linear

    from workbench.serving import operate

    for version in (1, 2):
        linear(version)
    served = operate.serve("line:1")
    try:
        operate.ask(served, "update", {"variants": [["2", 0.5]]})
        load = Traffic(served.about.port, folder / "seen", connections=4, pause=0.02)
        terminal = PtyTerminal(DLWB)
        terminal.listen(6)
        terminal.type("4")
        terminal.listen(4)
        of_list = terminal.listen(seconds / 3) / (seconds / 3)
        terminal.type("enter")
        terminal.listen(5)
        live = terminal.listen(seconds) / seconds
        terminal.type("down")
        waits = []
        for _ in range(turns):
            operate.ask(served, "weights", {"weights": {"1": 1.0, "2": 0.0}})
            terminal.listen(2)
            typed = terminal.type("]")
            pressed = time.time() - (time.monotonic() - typed)
            terminal.listen(3)
            waits.append(min(one.when + one.seconds for one in load.seen() if one.variant == "2" and one.when > pressed) - pressed)
        rate = sum(one.when > time.time() - 10 for one in load.stop()) / 10
        terminal.close()
    finally:
        operate.stop(served)
    print(f"endpoint, 2 variants, {rate:.0f} requests/s: {live / 1024:.2f} KiB/s (at most a live run's 1.4); its list {of_list:.0f} B/s")
    print(f"  key to the first answer of a variant with 5 %: median {median(waits):.2f} s, longest {max(waits):.2f} s (at most 1 s)")


def main() -> None:
    """Run what was asked for, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leet", default="", help="the wandb executable of an environment that has it")
    parser.add_argument("--turns", type=int, default=0, help="how often each is measured: 20 for paint, 7 for open")
    parser.add_argument("--before", default="", help="another checkout, to be measured beside this one")
    parser.add_argument("what", nargs="*", choices=["paint", "open", "bytes", "endpoint", []], default=[])
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name in options.what or ["paint", "open", "bytes", "endpoint"]:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DLWB_HOME"] = str(Path(folder) / "home")
            if name == "paint":
                paint(options.before, options.turns or 20)
            elif name == "open":
                opening(options.leet, Path(folder), options.before, options.turns or 7)
            elif name == "endpoint":
                endpoint(Path(folder))
            else:
                traffic(options.leet, Path(folder))


if __name__ == "__main__":
    main()
