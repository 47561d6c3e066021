"""`python -m workbench.torchkit.export RUN TARGET`: seals a run as a model at TARGET, NAME/VERSION, and says how it went in JSON lines.

`{"doing": "exporting the graph"}` while it works; at the end `{"ok": true, "difference", "inputs"}` or `{"ok": false, "message", "hint"}`.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from workbench.problems import Problem
from workbench.runs.run import Run
from workbench.training.failures import named


def main(run: Run, target: Path) -> int:
    """Export, and say so on what was stdout."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the project and the exporters print must not stand between the lines

    def say(**line: Any) -> None:
        print(json.dumps(line), file=out)

    try:
        from workbench.torchkit.export.model import export

        exported = export(run, target, lambda what: say(doing=what))
    # A project may call sys.exit, too, and whoever started this waits for a line.
    except BaseException as error:
        problem = error if isinstance(error, Problem) else named(error, run)
        say(ok=False, message=problem.message, hint=problem.hint)
        return 1
    say(ok=True, difference=exported.parity.difference, inputs=exported.parity.inputs, lengths=exported.parity.lengths)
    return 0


if __name__ == "__main__":
    sys.exit(main(Run(Path(sys.argv[1])), Path(sys.argv[2])))
