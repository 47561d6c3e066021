"""Slurm's programs as small scripts that say what a test wants, where there is no Slurm: each notes how it was called."""

import os
from pathlib import Path
from typing import Any

import pytest

from workbench.launch import slurm
from workbench.runs import scheduled
from workbench.runs.run import Run
from workbench.runs.scheduled import Job, Seen

NOW = 1_800_000_000.0
"""A time at which Slurm says something."""


class Programs:
    """A folder in front of $PATH."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def says(self, name: str, out: str = "", err: str = "", code: int = 0, then: str = "") -> None:
        """Make a program of that name; `then` is shell that it runs at last."""
        for stream, text in (("out", out), ("err", err)):
            (self.folder / f"{name}.{stream}").write_text(text)
        file = self.folder / name
        lines = [
            "#!/bin/sh",
            f"here='{self.folder}'",
            f'printf "%s\\n" "$*" >>"$here/{name}.calls"',
            f'cat "$here/{name}.out"',
            f'cat "$here/{name}.err" >&2',
            then,
            f"exit {code}",
        ]
        file.write_text("\n".join(lines) + "\n")
        file.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        """The arguments of each call."""
        file = self.folder / f"{name}.calls"
        return file.read_text().splitlines() if file.exists() else []


def row(
    job: str,
    state: str,
    restarts: int = 0,
    node: str = "gpu07",
    start: str = "N/A",
    end: str = "N/A",
    why: str = "None",
    name: str = "line",
) -> str:
    """A line of squeue as `workbench.launch.slurm` asks for it."""
    return "|".join([job, state, str(restarts), node, start, end, why, name, ""]) + "\n"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setattr(slurm, "_looked", -slurm.EVERY)
    return Programs(tmp_path / "bin", monkeypatch)


def noted(run: Run, **seen_: Any) -> Job:
    job = Job(id="12", options=[("job-name", "line")], seen=Seen(**{"time": NOW, **seen_}))
    scheduled.write(run.path, job)
    return job
