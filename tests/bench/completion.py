"""How long a shell's tab key waits, against `dlwb --version`, side by side. Each answer under twice as long.

    python tests/bench/completion.py [--runs 1000] [--rounds 20] [--other CHECKOUT]

The home has so many runs. The commands take turns, and the shortest time of each counts, so that other work on the machine does not.
--other measures `--version` and `list` of another checkout too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ANSWERS = {
    "a command": "dlwb st",
    "an option": "dlwb run digits-mlp --fol",
    "a recipe": "dlwb run digits-",
    "a run": "dlwb logs 2026-11-23_0000",
    "a data set": "dlwb data fetch mni",
    "a setting": "dlwb run digits-mlp --set config.learning",
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--other", default="")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as home:
        for number in range(chosen.runs):
            Path(home, "runs", f"2026-11-23_{number:06}_digits-mlp").mkdir(parents=True)
        here = {**os.environ, "DLWB_HOME": home, "PYTHONPATH": str(Path(__file__).parents[2])}
        tasks: dict[str, tuple[list[str], dict[str, str]]] = {"--version": (["--version"], here), "list": (["list"], here)}
        if chosen.other:
            there = {**here, "PYTHONPATH": str(Path(chosen.other).absolute())}
            tasks |= {"--help": (["--help"], here), "--help, other": (["--help"], there), "list, other": (["list"], there)}
        for name, line in ANSWERS.items():
            tasks[name] = ([], {**here, "_DLWB_COMPLETE": "complete_fish", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))})
        best = dict.fromkeys(tasks, float("inf"))
        for _ in range(chosen.rounds):
            for name, (words, environment) in tasks.items():
                began = time.perf_counter()
                # As the installed script calls it; -P, so that the working directory is not where it looks first.
                command = [sys.executable, "-P", "-c", "from workbench.cli import main; main()", *words]
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
                best[name] = min(best[name], time.perf_counter() - began)
                assert done.stdout, name
    for name, seconds in best.items():
        share = f"  {seconds / best['--version']:.2f} of --version" if name in ANSWERS else ""
        print(f"{name:<16} {seconds * 1000:6.0f} ms{share}")
    sys.exit(max(best[name] for name in ANSWERS) > 2 * best["--version"])


if __name__ == "__main__":
    main()
