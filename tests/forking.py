"""Forks and roll-backs in tests: a run to fork, and what has to be equal between two runs."""

import hashlib
from pathlib import Path

from killing import bits, decode
from lines import comparable, folded

from workbench.runs.checkpoint import Checkpoints
from workbench.runs.run import Run


def bytes_of(run: Run) -> dict[str, str]:
    """The hash of every file of a run, by its path in it."""
    return {
        file.relative_to(run.path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(run.path.rglob("*"))
        if file.is_file()
    }


def weights(run: Run, step: int | None = None) -> object:
    """The bits of a run's newest checkpoint, or of that of a step."""
    checkpoints = Checkpoints(run.path / "checkpoints")
    if step is None:
        newest = checkpoints.newest(decode)
        assert newest
        return bits(newest[1])
    chosen = [one for one in checkpoints.generations() if one.step == step][-1]
    return bits(checkpoints.load(chosen, decode))


def curves(run: Run, until: float = float("inf")) -> dict[str, list[tuple[float, str]]]:
    """The points of every series but the machine's, up to a step, by their bits."""
    series = comparable(folded(run))["series"]
    assert isinstance(series, dict)
    return {
        tag: [(step, value) for step, value in zip(steps, values, strict=True) if step <= until]
        for tag, (steps, values, _) in series.items()
    }


def steps_kept(run: Run) -> list[int]:
    """The steps of its checkpoints."""
    return [generation.step for generation in Checkpoints(Path(run.path) / "checkpoints").generations()]
