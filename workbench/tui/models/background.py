"""Commands of the shell in processes of their own, which go on when the terminal program is closed: a run is served, a file is answered."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench import paths
from workbench.problems import Problem, one_line

if TYPE_CHECKING:
    from workbench.runs.run import Run
    from workbench.serving.endpoint import Endpoint

PRINTED = 8192
"""Bytes at the end of what a process printed that are looked at."""


class Command:
    """`dlwb WORDS`. What it prints goes into a file without a name, so that it does not end with whoever reads it."""

    def __init__(self, title: str, words: Sequence[str]) -> None:
        self.title = title
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            cwd=paths.working_folder(),
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        """Whether it is still at work."""
        return self._process.poll() is None

    @property
    def failed(self) -> bool:
        """Whether it has ended without having done its work."""
        return self._process.poll() not in (None, 0)

    @property
    def doing(self) -> str:
        """The last line that it printed for people."""
        return one_line((_lines(self._err.fileno()) or ["starts"])[-1].removesuffix(" …"), 200)

    @property
    def outcome(self) -> str:
        """What it printed at its end: its result, or the sentence that says why there is none."""
        return one_line(
            " ".join(
                [line for line in _lines(self._err.fileno()) if not line.endswith(" …")][-3:]
                if self.failed
                else _lines(self._out.fileno())[-1:]
            ),
            600,
        )


def _lines(file: int) -> list[str]:
    size = os.fstat(file).st_size
    data = os.pread(file, PRINTED, max(0, size - PRINTED))
    return [line.strip() for line in data.decode(errors="replace").splitlines() if line.strip()]


class Serving(Command):
    """A run or a model becomes an endpoint."""

    def __init__(self, source: str, name: str) -> None:
        super().__init__(name, ["serve", source, "--name", name])
        self.name = name


def free_name(name: str) -> str:
    """The name, or the first of name-2, name-3 … that no running endpoint has."""
    from workbench.serving.endpoint import NAME, Endpoint, state_of

    name = name if NAME.fullmatch(name) else "endpoint"
    for number in range(1, 1000):
        tried = name if number == 1 else f"{name[:58]}-{number}"
        if not state_of(Endpoint(paths.endpoints() / tried)).alive:
            return tried
    raise Problem(f"Too many endpoints are called {one_line(name, 64)}.", "Stop some of them.")


def serving(run: "Run") -> "Endpoint | None":
    """A running endpoint that serves what this run has learnt; None where there is none."""
    import msgspec

    from workbench import files
    from workbench.serving.endpoint import list_endpoints, state_of

    for endpoint in list_endpoints():
        if not state_of(endpoint).alive:
            continue
        # A damaged configuration or model is not this run's.
        with contextlib.suppress(Problem, OSError, ValueError):
            for plan in endpoint.config(endpoint.current.config).variants:
                about = msgspec.json.decode(files.read_plain(plan.folder / "model.json", files.READ_LIMIT))
                if isinstance(about, dict) and about.get("run") == run.id:
                    return endpoint
    return None
