"""`python -m workbench.training.answer SOURCE [SETTINGS]` answers in JSON lines over stdin and stdout; try it and explore ask it.

SOURCE is a run, whose best weights answer, or the recipe of a lesson that is only explored, with SETTINGS (JSON) over it.
`{"id", "predict": inputs}` → `{"id", "ok", "outputs"}`; where a whole answer takes long, a line with `"more": true` and what is known
comes before it. `{"id", "sample": request}` → a line `{"id", "ok", "more": true, "event"}` for each event, then `{"id", "ok"}`;
with `"dropped": true` where an empty line came meanwhile: whoever asked has a newer question. `{"id", "reload": true}` takes the best
weights that there are by now. Before it is ready, lines `{"doing": "reading its data"}` say what it is at.
"""

import json
import os
import queue
import select
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.events import Tagged, placed, plain
from workbench.files import LONGEST
from workbench.problems import Problem, one_line
from workbench.recipes.load import load_recipe
from workbench.runs.run import Run
from workbench.training.failures import named
from workbench.training.find_project import explored_project
from workbench.training.project import Project
from workbench.training.request import request
from workbench.training.trained import load_best, of_run

MOST_TAGS = 100
"""Tags that an answer may have: each is a panel, or a line in one, and thousands would take minutes to draw."""


class Questions:
    """The lines of stdin, read ahead by a thread, so that a long answer sees that nobody wants it any more.

    Where whoever asked was killed, nobody reads `answers` either: the process then ends, whatever it computes.
    """

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.hurry = threading.Event()
        """Set by an empty line."""
        # A daemon: the process ends while it still reads.
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            if line.strip():
                self._lines.put(line)
            else:
                self.hurry.set()
        self._lines.put("")  # the end
        reader = select.poll()
        reader.register(self._answers, 0)  # POLLERR alone: the other end of the pipe is closed (poll(2))
        reader.poll()
        os._exit(1)

    def __iter__(self) -> Iterator[str]:
        while line := self._lines.get():
            self.hurry.clear()
            yield line


def answer(path: Path, settings: str = "[]") -> int:
    """Load the project of a run or a recipe, on the CPU, and answer until stdin ends."""
    run = None if path.is_file() else Run(path)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the project prints must not stand between the answers

    def say(**line: Any) -> bool:
        text = json.dumps(line)
        if fits := len(text) < LONGEST:
            print(text, file=out)
        else:
            message = f"The answer has {len(text) >> 20:,} MiB; {LONGEST >> 20} MiB can be shown."
            print(json.dumps({"id": line.get("id"), "ok": False, "message": message}), file=out)
        return fits

    def doing(what: str) -> None:
        say(doing=what)

    try:
        project = of_run(run) if run else explored_project(load_recipe(path, json.loads(settings)))
        project.build(doing)
        step = 0
        if run:
            say(doing="loading its weights")
            step = load_best(project, run)
        about = {"demo": project.demo, "variant": project.variant, "takes": project.takes, "form": project.form()}
    # A project may call sys.exit, too, and whoever started this waits for a line.
    except BaseException as error:
        say(ok=False, message=_told(error, run))
        return 1
    say(ok=True, ready=True, step=step, **about)
    questions = Questions(out.fileno())
    for line in questions:
        for reply in _answered(project, line, run, questions.hurry):
            if not say(**reply):
                break
    return 0


def _told(error: BaseException, run: Run | None) -> str:
    if run or isinstance(error, Problem):
        return str(named(error, run) if run else error)
    return f"{type(error).__name__}{': ' * bool(str(error))}{one_line(str(error))}."


def _answered(project: Project, line: str, run: Run | None, hurry: threading.Event) -> Iterator[dict[str, Any]]:
    try:
        question = json.loads(line)
        identity = {"id": question.get("id")}
    # AttributeError: it is JSON, but no object. RecursionError: a thousand brackets.
    except (ValueError, AttributeError, RecursionError):
        yield {"ok": False, "message": "A request is one JSON object on one line."}
        return
    try:
        if question.get("reload"):
            yield {**identity, "ok": True, "step": load_best(project, run) if run else 0}
        elif "predict" in question:
            with project.evaluating():
                first = project.first_answer(question["predict"])
            if first is not None:
                yield {**identity, "ok": True, "more": True, "outputs": first}
            with project.evaluating():
                outputs = project.predict(question["predict"])
            yield {**identity, "ok": True, "outputs": outputs}
        else:
            asked = request(project, question.get("sample") or {})
            # With the seed of the run: the same request has the same answer.
            with project.looking(project.seed):
                tags = set()
                for event in project.sample(asked):
                    tags.add(event.tag if isinstance(event, Tagged) else "")
                    if len(tags) > MOST_TAGS:
                        raise Problem(f"The answer has more than {MOST_TAGS} tags.")
                    yield {**identity, "ok": True, "more": True, "event": plain(placed(event, 0, 0.0, "sample"))}
                    if hurry.is_set():
                        yield {**identity, "ok": True, "dropped": True}
                        return
            yield {**identity, "ok": True}
    # A project may call sys.exit here, too.
    except (Exception, SystemExit) as error:
        if not isinstance(error, Problem):
            traceback.print_exc()
        yield {**identity, "ok": False, "message": _told(error, run)}


if __name__ == "__main__":
    sys.exit(answer(Path(sys.argv[1]), *sys.argv[2:]))
