"""A model that its own project answers, in a process of its own: for runs of this home, whose code this person trusts already."""

import json
import subprocess
import sys
from typing import Any

from workbench import paths
from workbench.encoding.kinds import SAFE
from workbench.encoding.model_folder import ModelFolder
from workbench.problems import Problem, cleaned, one_line


class OwnProject:
    """The answering process of a run."""

    def __init__(self, folder: ModelFolder) -> None:
        """Loads the run's best weights. Raises Problem where the run is not here, or cannot answer."""
        name = folder.model.run
        run = paths.runs() / name
        if not SAFE.fullmatch(name) or name.startswith(".") or not run.is_dir():
            text = f"{folder.label} is answered by the project of its run, and the run {one_line(name, 80)!r} is not here."
            raise Problem(text, "Serve it where it was trained.", "data")
        self._process = subprocess.Popen(
            # -P keeps the current folder out of sys.path. It ends with its standard input, also where this process is killed.
            [sys.executable, "-P", "-m", "workbench.training.answer", str(run)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=paths.working_folder(),
        )
        while "doing" in (line := self._line()):
            pass
        if not line.get("ok"):
            raise Problem(one_line(str(line.get("message", "The project cannot answer."))), "", "data")

    def answer(self, raw: Any) -> dict[str, Any]:
        """What the project's `predict` says. Raises Problem (cause "data") with its sentence where it says none."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"id": 1, "predict": raw}).encode() + b"\n")
        self._process.stdin.flush()
        while (line := self._line()).get("more"):
            pass
        outputs = line.get("outputs")
        if not line.get("ok") or not isinstance(outputs, dict) or "answer" not in outputs:
            raise Problem(one_line(str(line.get("message", "The project gave no answer."))), "", "data")
        return outputs

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            # The worker ends with it, and is started anew.
            raise SystemExit("the project's process ended")
        value = cleaned(json.loads(line))
        return value if isinstance(value, dict) else {}
