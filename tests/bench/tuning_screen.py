"""From Enter on a tuning of 200 trials to its whole screen, in a real terminal of 120x40; then what it sends while nothing happens.

    python tests/bench/tuning_screen.py [TRIALS [REPEATS]]

The trials' runs are real logs of 31 evaluations. Prints for each repeat the seconds until the last byte of the screen, and the processor
time of dlwb until then, which other work on the machine does not lengthen; and the bytes of ten idle seconds.
"""

import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from made_tuning import MORE, made_tuning
from pty_terminal import PtyTerminal

from workbench import preferences

QUIET = 1.0


def opened(trials: int) -> tuple[float, float, int]:
    """Seconds and processor time from Enter to the whole screen, and the bytes of ten idle seconds after it."""
    terminal = PtyTerminal([sys.executable, "-m", "workbench.cli"])
    try:
        terminal.listen(60, until=b"Recipes")
        terminal.listen(60, until_quiet=QUIET)
        terminal.type("2")
        terminal.listen(120, until=f"{trials}/{trials} trials".encode())
        terminal.listen(60, until_quiet=3 * QUIET)
        terminal.type("\x1b[H")
        terminal.listen(10, until_quiet=QUIET)
        before, place = terminal.cpu, len(terminal.output)
        began = terminal.type("enter")
        terminal.listen(60, until_quiet=4 * QUIET)  # under load the logs take long to read, and the curves come last
        wall, computed = terminal.last - began, terminal.cpu - before
        assert b"importance of the settings" in b"".join(data for _, data in terminal.output[place:]), "the tuning did not open"
        return wall, computed, terminal.listen(10)
    finally:
        terminal.close()


def main() -> None:
    trials, repeats = (int(word) for word in [*sys.argv[1:], *("200", "5")[len(sys.argv) - 1 :]])
    os.environ["DLWB_HOME"] = home = tempfile.mkdtemp(prefix="dlwb-tuning-")
    try:
        made_tuning(trials, MORE)
        preferences.put("warm", "off")
        walls, computed, idles = zip(*(opened(trials) for _ in range(repeats)), strict=True)
        for name, times in (("until the last byte", walls), ("of processor time", computed)):
            print(f"{trials} trials: {statistics.median(times):.2f} s {name} ({', '.join(f'{one:.2f}' for one in times)})")
        print(f"{max(idles)} bytes in ten idle seconds; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
