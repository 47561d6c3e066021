"""The process that answers from a run's weights, and whether there can be one. The try-it screens ask through this."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.problems import Problem, cleaned

if TYPE_CHECKING:
    from workbench.recipes.recipe import Recipe
    from workbench.runs.run import Run

LONGEST = 64 << 20
"""Bytes of one answer."""
AGAIN = "R starts it again."


def takes(run: Run, recipe: Recipe) -> str:
    """What the run's project can be tried with: picture, text, row; "" where it cannot, or is not known."""
    from workbench.tui.models.requests import project_schema

    schema = project_schema(run, recipe)
    return schema.takes if schema else ""


def refusal(run: Run, recipe: Recipe | None) -> str:
    """Why the run cannot be tried now; "" when it can."""
    from workbench.tui.models.requests import UNKNOWN, project_schema

    if recipe is None or not takes(run, recipe):
        if recipe and project_schema(run, recipe) is None:
            return UNKNOWN
        return "Its project takes no pictures, texts or numbers to answer."
    with contextlib.suppress(OSError):
        if any(run.path.glob("checkpoints/step-*")):
            return ""
    return "It has no checkpoint yet to answer from."


class Answering:
    """One process; questions are answered one after the other."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._asked = 0

    async def start(self, doing: Callable[[str], None]) -> dict[str, Any]:
        """Load the weights; returns what it says of itself (`step`, `takes`, `form`). Raises Problem. `doing` is told what it is at."""
        environment = dict(os.environ)
        mirror = self.run.about().get("mirror")
        if mirror and isinstance(mirror, str):
            environment.setdefault("DLWB_MIRROR", mirror)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "workbench.training.answer", str(self.run.path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            limit=LONGEST,
        )
        while "doing" in (reply := await self._read()):
            doing(str(reply["doing"]))
        return reply

    async def ask(self, **question: Any) -> dict[str, Any]:
        """Its answer to `predict=…`, `sample=…` or `reload=True`. Raises Problem with what it said, or how it ended."""
        async with self._turn:
            process = self._process
            assert process and process.stdin, "start() comes first"
            self._asked += 1
            with contextlib.suppress(OSError):  # how it ended is read below
                process.stdin.write(json.dumps({"id": self._asked, **question}).encode() + b"\n")
                await process.stdin.drain()
            return await self._read()

    async def _read(self) -> dict[str, Any]:
        process = self._process
        assert process and process.stdout
        try:
            line = await process.stdout.readline()
            answer = cleaned(json.loads(line)) if line else None
        except ValueError:
            raise Problem("Its answer cannot be read.", AGAIN) from None
        if not isinstance(answer, dict):
            raise await self.ended()
        if not (answer.get("ok") or "doing" in answer):
            raise Problem(str(answer.get("message", "It cannot answer.")))
        return answer

    async def ended(self) -> Problem:
        """Wait until the process is no more; how it ended."""
        assert self._process, "start() comes first"
        code = await self._process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Problem(f"What answers has ended: {how}.", AGAIN)

    async def close(self) -> None:
        """End the process at once: there is nothing to save."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
