"""`dlwb runs` beside `dlwb --version`: the ratio of both, measured in turn, so that other work on the machine slows both.

    python tests/bench/runs.py [RUNS [STEPS [REPEATS]]]

Makes so many ended runs (1,001) with a log of so many steps each (300), and a few longer by a hundred times. Prints the time of the first
list, which reads every log, and the median of the following ones, which find them in the index: with no change, and with one run changed
before each. `dlwb usage`, which sums up the device-hours of all runs, is timed beside them.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from made_runs import finish, make_run

from workbench import paths

LONG = 5


def made(runs: int, steps: int) -> None:
    """Two real runs, a short and a long one, and copies of them under names of their own."""
    finish(short := make_run(stamp="2026-01-01_000000"), steps)
    finish(long := make_run(stamp="2026-01-01_000001"), steps * 100)
    for number in range(2, runs):
        clock = time.strftime("%Y-%m-%d_%H%M%S", time.gmtime(1.77e9 + number))
        shutil.copytree(long.path if number < LONG else short.path, paths.runs() / f"{clock}_digits-mlp")


def seconds(*words: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "workbench.cli", *words], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    runs, steps, repeats = (int(word) for word in [*sys.argv[1:], *("1001", "300", "9")[len(sys.argv) - 1 :]])
    os.environ["DLWB_HOME"] = home = tempfile.mkdtemp(prefix="dlwb-runs-")
    try:
        made(runs, steps)
        time.sleep(2.5)  # a file that was written just now is not kept in the index
        seconds("--version")
        first = seconds("runs")
        base, same, changed, usage = [], [], [], []
        for _ in range(repeats):
            base.append(seconds("--version"))
            same.append(seconds("runs"))
            os.utime(next(paths.runs().iterdir()) / "events.jsonl")
            changed.append(seconds("runs"))
            usage.append(seconds("usage"))
        version = statistics.median(base)
        print(f"{runs} runs: --version {version:.2f} s; the first list {first:.2f} s, {first / version:.1f} times as long")
        for name, times in (("again", same), ("with one run changed", changed), ("usage", usage)):
            print(f"{name}: {statistics.median(times):.2f} s, {statistics.median(times) / version:.1f} times as long")
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
