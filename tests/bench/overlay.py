"""Time to open and to redraw the compare screen with 20 runs of 100,000 steps, without and with the logs' indexes.

    python tests/bench/overlay.py [RUNS [STEPS]]

The logs are written by the real writer, two scalars a step and two more each hundred; the folder is kept between calls where DLWB_HOME
names it. The screen is driven as in a terminal of 120 x 40: *first curve* is the first drawing in which a whole run's curve stands,
*all* the first in which every run's does, both from the moment at which the screen is asked for. *first time* has no index, *again* has
one for each log, in a new program; *processor* is what *all* took of it, which a busy machine does not change so much. *redraw* draws
everything anew (a key that changes the look), with the lines of the screen, and *key c, g* is what these keys take: medians, of the
processor. *whole logs* is what reading all of them without an index takes of it, for a ratio.
"""

import asyncio
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZE = (120, 40)
REDRAWS = 15


def write(runs: int, steps: int) -> None:
    """Write the runs, if they are not there."""
    import msgspec

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from made_runs import RECIPE, ended, make_run

    from workbench.events import Scalars, Status
    from workbench.recipes.recipe import Train
    from workbench.runs.log import EventLog
    from workbench.runs.run import list_runs

    for number in range(len(list_runs()), runs):
        rate = 10.0 ** -(1 + number % 4)
        config = {"data": "digits", "learning_rate": rate}
        recipe = msgspec.structs.replace(RECIPE, seed=number, config=config, train=Train(keep_best="valid/loss"))
        run = make_run("digits-mlp", recipe, stamp=f"2026-11-23_10{number:02}07")
        log, rng = EventLog(run.path), random.Random(number)
        log.write(Status(state="running", steps=steps, steps_per_epoch=steps // 10, device="cpu", from_step=-1))
        for step in range(1, steps + 1):
            loss = 2 * math.exp(-5 * step / steps) + 0.2 * (number % 4) + rng.gauss(0, 0.05)
            values = {"train/loss": loss, "train/accuracy": max(0.0, 1 - loss / 3)}
            if step % 100 == 0:
                values |= {"valid/loss": loss + 0.1, "valid/accuracy": max(0.0, 1 - loss / 2.9)}
            log.write(Scalars(values, step=step, epoch=10 * step / steps))
        log.write(Status(state="finished", cause="steps", step=steps, epoch=10.0))
        log.close()
        ended(run, "finished", "steps")


async def opened() -> dict[str, float]:
    """Open the screen in this process; seconds."""
    from workbench.runs.run import list_runs
    from workbench.tui.app import DlwbApp
    from workbench.tui.charts.chart import Chart
    from workbench.tui.screens.compare import CompareScreen

    app = DlwbApp()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(1.5)
        runs = list_runs()
        began, worked = time.perf_counter(), time.process_time()
        screen = CompareScreen([app.library.feed(run) for run in runs])
        drawn: list[tuple[float, int]] = []
        draw = screen.draw

        def noted() -> None:
            draw()
            if screen.sides:
                drawn.append((time.perf_counter() - began, sum(feed.caught_up for feed in screen.feeds)))

        screen.draw = noted
        app.push_screen(screen)
        end = time.perf_counter() + 120
        while not (drawn and drawn[-1][1] == len(runs)) and time.perf_counter() < end:
            await asyncio.sleep(0.002)
        everything, work = time.perf_counter() - began, time.process_time() - worked
        times = []
        for key in ("c", "g") * (REDRAWS // 2):
            since = time.process_time()
            screen.press({"c": "color", "g": "group"}[key])
            times.append(time.process_time() - since)
        screen.overlay.look.groups = screen.overlay.look.color = ""
        plain = []
        for number in range(REDRAWS):
            screen.overlay.look.skip = 0.01 * (number % 2 + 1)
            since = time.process_time()
            screen.draw()
            for chart in screen.query(Chart):
                for y in range(chart.size.height):
                    chart.render_line(y)
            plain.append(time.process_time() - since)
        first = next(at for at, whole in drawn if whole)
        points = sum(len(line) for feed in screen.feeds for line in feed.history.series.values())
        return {
            "first": first,
            "all": everything,
            "work": work,
            "redraw": statistics.median(plain),
            "keys": statistics.median(times),
            "points": points,
        }


def whole() -> float:
    """Seconds of the processor to read all logs without an index."""
    from workbench.runs.history import history_of
    from workbench.runs.run import list_runs

    began = time.process_time()
    for run in list_runs():
        history_of(run.events)
    return time.process_time() - began


def main() -> None:
    runs, steps = (int(sys.argv[place]) if len(sys.argv) > place else default for place, default in ((1, 20), (2, 100_000)))
    home = os.environ.setdefault("DLWB_HOME", tempfile.mkdtemp(prefix="dlwb-overlay-"))
    write(runs, steps)
    from workbench.runs.run import list_runs

    size = sum(run.events.stat().st_size for run in list_runs())
    print(f"{runs} runs of {steps:,} steps, {size / 1e6:.0f} MB of logs; load {os.getloadavg()[0]:.1f}; one process each")
    print(f"{'':12}{'first curve':>13}{'all':>8}{'processor':>11}{'redraw':>9}{'key c, g':>10}")
    shutil.rmtree(Path(home) / "cache" / "folded", ignore_errors=True)
    for name in ("first time", "again", "again", "again"):
        done = subprocess.run([sys.executable, __file__, "--open"], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        seconds = f"{found['first']:>11.2f} s{found['all']:>6.2f} s{found['work']:>9.2f} s"
        print(f"{name:12}{seconds}{found['redraw'] * 1000:>6.1f} ms{found['keys'] * 1000:>7.1f} ms")
    print(f"whole logs, without the screen: {whole():.2f} s of the processor; load {os.getloadavg()[0]:.1f}")
    index = sum(file.stat().st_size for file in (Path(home) / "cache" / "folded").iterdir())
    print(f"indexes: {index / 1e6:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:] == ["--open"]:
        print(json.dumps(asyncio.run(opened())))
    else:
        main()
