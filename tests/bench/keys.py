"""How soon a key is answered while much goes on: eight recorded runs replayed live, and a run of a million points open. p99 under 50 ms.

    python tests/bench/keys.py [--home HOME_WITH_RUNS] [--keys 200]

Without --home the eight recordings are made ones with everything that can be shown. Latency is from the byte typed to the first byte that
only that key can have caused: the cursor's mark in the list, an ended run's screen that otherwise is silent, the help over a live run's.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from made_runs import alive, ended, make_run, train  # noqa: E402
from pty_terminal import PtyTerminal  # noqa: E402

from workbench.events import Scalars, Status, version_line  # noqa: E402
from workbench.runs.log import EventLog  # noqa: E402
from workbench.runs.run import Run  # noqa: E402

DLWB = [sys.executable, "-c", "from workbench.cli import main; main()"]
LIVE = 8
POINTS = 1_000_000
LINES_PER_SECOND = 10
CURSOR = "▌".encode()


def recordings(home: str) -> list[tuple[list[bytes], Path]]:
    """(lines, artifacts) of up to eight runs of a home, repeated until there are eight; or of a made one."""
    found = sorted(Path(home, "runs").glob("*/events.jsonl"))[:LIVE] if home else []
    if not found:
        run = make_run("recorded", stamp="2026-11-22_000000")
        train(run, 20_000).close()
        found = [run.events]
    return [(path.read_bytes().splitlines(keepends=True), path.parent / "artifacts") for path in (found * LIVE)[:LIVE]]


def replay(run: Run, lines: list[bytes]) -> None:
    """Write a recording's lines into a run's log, as fast as a training that logs ten times a second."""
    began = time.monotonic()
    with run.events.open("ab", buffering=0) as log:
        for place, line in enumerate(lines):
            log.write(line)
            time.sleep(max(0.0, began + place / LINES_PER_SECOND - time.monotonic()))
    time.sleep(3600)


def million() -> None:
    """An ended run with a million points in each of four series."""
    run = make_run("million", stamp="2026-11-23_120000")
    log = EventLog(run.path)
    log.write(Status(state="running", steps=POINTS, device="cpu", from_step=-1))
    rng = random.Random(1)
    for step in range(1, POINTS + 1):
        loss = 2 / (1 + step / 1e5) + rng.gauss(0, 0.05)
        log.write(Scalars({"train/loss": loss, "train/accuracy": 1 - loss / 3, "valid/loss": loss + 0.1, "valid/recall": 0.5}, step=step))
    log.write(Status(state="finished", cause="steps", step=POINTS))
    log.close()
    ended(run, "finished", "steps")


def pressed(terminal: PtyTerminal, key: str, sign: bytes = b"") -> float:
    """Seconds from the key to the first output that has the sign."""
    begin = len(terminal.output)
    sent = terminal.type(key)
    terminal.listen(2.0, until=sign) if sign else terminal.listen(0.3, until_quiet=0.08)
    came = [at for at, data in terminal.output[begin:] if sign in data or not sign]
    return (came[0] if came else time.monotonic()) - sent


def told(name: str, times: list[float]) -> None:
    """Print the figures of one situation."""
    times = sorted(1000 * each for each in times)
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
    print(f"{name}: {len(times)} keys, median {times[len(times) // 2]:.0f} ms, p99 {p99:.0f} ms, longest {times[-1]:.0f} ms (p99 under 50)")


def main() -> None:
    """Measure the three situations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", default="")
    parser.add_argument("--keys", type=int, default=200)
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DLWB_HOME"] = str(Path(folder) / "home")
        recorded = recordings(options.home)
        million()
        holders, writers = [], []
        for place, (lines, artifacts) in enumerate(recorded):
            run = make_run(f"live-{place}", stamp=f"2026-11-24_{place:02}0000")
            if artifacts.is_dir():
                shutil.copytree(artifacts, run.path / "artifacts", dirs_exist_ok=True)
            run.events.write_bytes(b"" if lines and lines[0] == version_line() else version_line())
            holders.append(alive(run))
            writers.append(multiprocessing.Process(target=replay, args=(run, lines), daemon=True))
        for writer in writers:
            writer.start()
        terminal = PtyTerminal(DLWB)
        terminal.listen(4)
        terminal.type("2")
        terminal.listen(8)
        rng = random.Random(1)

        def often(keys: tuple[str, ...], sign: bytes = b"") -> list[float]:
            times = []
            for place in range(options.keys):
                times.append(pressed(terminal, keys[place % len(keys)], sign))
                terminal.listen(rng.uniform(0.02, 0.2))
            return times

        told("list of runs, eight of them live", often(("down", "down", "up", "up"), CURSOR))
        terminal.type("/", *"million", "enter", "enter")
        terminal.listen(30, until_quiet=4)
        told("a run of a million points, eight others live", often(("tab",)))
        terminal.type("esc", "esc")
        terminal.listen(2)
        terminal.type("/", *"live-3", "enter", "enter")
        terminal.listen(5)
        told("help over a live run", often(("?", "esc"), b"Keys")[::2])
        terminal.close()
        for writer in writers:
            writer.kill()
        for holder in holders:
            holder.release()


if __name__ == "__main__":
    main()
