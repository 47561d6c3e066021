"""`python -m workbench.training.answer RUN` answers from a run's best weights, in JSON lines over stdin and stdout. "Try it" asks it.

`{"id", "predict": inputs}` or `{"id", "sample": request}` → `{"id", "ok", …}`; `{"id", "reload": true}` takes the best weights that
there are by now, and answers with their step. Before it is ready, lines `{"doing": "reading its data"}` say what it is at. Where a whole
answer takes long, a line with `"more": true` and what is known comes before it.
"""

import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from workbench.problems import Problem, first_fault
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.run import Run
from workbench.training.failures import named
from workbench.training.find_project import make_project
from workbench.training.project import Project


def answer(path: Path) -> int:
    """Load the run's project with its best weights, on the CPU, and answer until stdin ends."""
    run = Run(path)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the project prints must not stand between the answers

    def say(**line: Any) -> None:
        print(json.dumps(line), file=out)

    try:
        recipe = run.recipe()
        # Its GPU may be busy with this very run, or with another one.
        recipe = msgspec.structs.replace(recipe, compute=msgspec.structs.replace(recipe.compute, device="cpu"))
        project = make_project(run, recipe)
        project.build(lambda what: say(doing=what))
        say(doing="loading its weights")
        step = _load_best(project, run)
        about = {"demo": project.demo, "variant": project.variant, "takes": project.takes, "form": project.form()}
    # A project may call sys.exit, too, and whoever started this waits for a line.
    except BaseException as error:
        say(ok=False, message=str(named(error, run)))
        return 1
    say(ok=True, ready=True, step=step, **about)
    for line in sys.stdin:
        for reply in _answered(project, line, run):
            say(**reply)
    return 0


def _load_best(project: Project, run: Run) -> int:
    """Returns the step that the weights are of."""
    best = Checkpoints(run.path / "checkpoints").best(project.decode_state)
    if best is None:
        raise Problem(f"{run.id} has no checkpoint to answer from.", "Let it train until its first one.")
    project.load_state(best[1]["state"])
    return best[0].step


def _answered(project: Project, line: str, run: Run) -> Iterator[dict[str, Any]]:
    try:
        question = json.loads(line)
        identity = {"id": question.get("id")}
    # AttributeError: it is JSON, but no object.
    except (ValueError, AttributeError):
        yield {"ok": False, "message": "A request is one JSON object on one line."}
        return
    try:
        if question.get("reload"):
            yield {**identity, "ok": True, "step": _load_best(project, run)}
        elif "predict" in question:
            with project.evaluating():
                first = project.first_answer(question["predict"])
            if first is not None:
                yield {**identity, "ok": True, "more": True, "outputs": first}
            with project.evaluating():
                outputs = project.predict(question["predict"])
            yield {**identity, "ok": True, "outputs": outputs}
        else:
            with project.evaluating():
                request = project.Request.model_validate(question.get("sample") or {})
                samples = [msgspec.to_builtins(event) for event in project.sample(request)]
            yield {**identity, "ok": True, "events": samples}
    except ValidationError as error:
        yield {**identity, "ok": False, "message": first_fault(error)}
    except Exception as error:
        if not isinstance(error, Problem):
            traceback.print_exc()
        yield {**identity, "ok": False, "message": str(named(error, run))}


if __name__ == "__main__":
    sys.exit(answer(Path(sys.argv[1])))
