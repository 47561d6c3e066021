"""The process that answers: from a run's weights, or for a lesson that is explored; and whether a run can be asked. Screens ask it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench import paths
from workbench.files import read_plain
from workbench.problems import Problem, cleaned
from workbench.recipes.find import project_source
from workbench.recipes.load import Loaded

if TYPE_CHECKING:
    from workbench.recipes.recipe import Recipe
    from workbench.runs.run import Run
    from workbench.tui.models.warm_answers import WarmAnswers

# An answer may hold pictures in base64. asyncio's own limit for a line is 64 KiB.
LONGEST = 64 << 20
"""Largest answer, in bytes."""
AGAIN = "R starts it again."


def takes(run: Run, recipe: Recipe) -> str:
    """The kind of input that the run's project answers to: picture, text or row; "" for none, or where it is not known."""
    from workbench.tui.models.requests import project_schema

    schema = project_schema(run, recipe)
    return schema.takes if schema else ""


def refusal(run: Run, recipe: Recipe | None) -> str:
    """Why a person cannot try the run now; "" when they can."""
    from workbench.tui.models.requests import UNKNOWN, project_schema

    if recipe is None or not takes(run, recipe):
        if recipe and project_schema(run, recipe) is None:
            return UNKNOWN
        return "This project cannot be tried: it takes no pictures, texts or numbers. T explores what it has learnt."
    return no_weights(run)


def no_weights(run: Run) -> str:
    """Why there are no weights yet that could answer; "" when there are."""
    with contextlib.suppress(OSError):
        # The folder alone is enough here: the process that answers reads and checks the checkpoint itself.
        if any(run.path.glob("checkpoints/step-*")):
            return ""
    return "The run has no checkpoint yet to answer from."


class Answering:
    """One process that answers questions one after the other."""

    def __init__(self, source: Run | Loaded) -> None:
        self.source = source
        self._process: asyncio.subprocess.Process | WarmAnswers | None = None
        self._turn = asyncio.Lock()
        self._asked = 0

    async def start(self, doing: Callable[[str], None]) -> dict[str, Any]:
        """Load the weights; returns the description (`step`, `takes`, `form`). Calls `doing` with each stage. Raises Problem."""
        from workbench.tui.models import warm_answers

        environment, arguments = dict(os.environ), [str(self.source.path)]
        if isinstance(self.source, Loaded):
            arguments.append(json.dumps(self.source.overrides))
        # A project may read its data set again, for class names or a vocabulary: from where the training read it.
        elif isinstance(mirror := self.source.about().get("mirror"), str) and mirror:
            environment.setdefault("DLWB_MIRROR", mirror)
        warm = await warm_answers.start(arguments, environment, LONGEST) if self._needs_torch() else None
        self._process = warm or await asyncio.create_subprocess_exec(
            # -P keeps the current folder out of sys.path: a person's own `json.py` there must not be imported.
            *(sys.executable, "-P", "-m", "workbench.training.answer", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Warnings of libraries would draw over the screen; problems come as answers.
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            cwd=paths.working_folder(),
            limit=LONGEST,
        )
        while "doing" in (reply := await self._read()):
            doing(str(reply["doing"]))
        return reply

    def _needs_torch(self) -> bool:
        """Whether what waits with torch is worth taking: a lesson in NumPy opens as quickly without it."""
        if not isinstance(self.source, Loaded):
            return True
        with contextlib.suppress(OSError):
            source = read_plain(self.source.project_file or project_source(self.source.recipe.project), follow=True)
            return any(name in source for name in (b"torch", b"sklearn"))
        return False  # the process says what is wrong

    async def ask(self, first: Callable[[dict[str, Any]], None] = lambda answer: None, **question: Any) -> dict[str, Any]:
        """The answer to `predict=…`, `sample=…` or `reload=True`; `first` takes what is known before the whole answer: a sample's events.

        Raises Problem with its message, or with how the process ended.
        """
        async with self._turn:
            process = self._process
            assert process and process.stdin, "start() comes first"
            self._asked += 1
            with contextlib.suppress(OSError):  # a broken pipe: `_read` finds out how the process ended
                process.stdin.write(json.dumps({"id": self._asked, **question}).encode() + b"\n")
                await process.stdin.drain()
            while (answer := await self._read()).get("more"):
                first(answer)
            return answer

    def hurry(self) -> None:
        """Let the process leave a sample unfinished at its next event: a newer question waits."""
        if self._turn.locked() and self._process and self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.write(b"\n")

    async def _read(self) -> dict[str, Any]:
        process = self._process
        assert process and process.stdout
        try:
            line = await process.stdout.readline()
            # A project's answer is foreign text: escape sequences in it must not reach the terminal.
            answer = cleaned(json.loads(line)) if line else None
        except ValueError:
            raise Problem("The answer cannot be read.", AGAIN) from None
        if not isinstance(answer, dict):
            raise await self.ended()
        if not (answer.get("ok") or "doing" in answer):
            raise Problem(str(answer.get("message", "The network cannot answer this.")))
        return answer

    async def ended(self) -> Problem:
        """Wait until the process has ended; returns a Problem that says how."""
        assert self._process, "start() comes first"
        code = await self._process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Problem(f"The process that answers has ended: {how}.", AGAIN)

    async def close(self) -> None:
        """End the process at once; it has nothing to save."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
