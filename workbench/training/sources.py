"""The digests of the data that a run is trained on: kept beside it, and compared before its weights are loaded again."""

import msgspec

from workbench import files
from workbench.problems import Problem, one_line
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.run import Run

NAMED = 4
"""How many changed sources a message names."""


class Sources:
    """What earlier attempts at a run read. A run of an older version has no digests, and goes on as it did."""

    def __init__(self, run: Run, *, anyway: bool) -> None:
        """`anyway` goes on with other data."""
        self._run, self._anyway = run, anyway
        self._file = run.path / "sources.json"
        kept = {name: digest for name, digest in files.read_object(self._file).items() if isinstance(digest, str)}
        # Without weights it begins anew, with the data as it is.
        self._before = kept if Checkpoints(run.path / "checkpoints").generations() else {}

    def met(self, name: str, digest: str) -> None:
        """Refuse a source with other content as soon as it is read: what is computed from it may take long."""
        if not self._anyway and self._before.get(name, digest) != digest:
            raise self._refused([f"{_named(name)} has other content"])

    def check(self, now: dict[str, str]) -> str:
        """Compare all that this attempt read with what was read before, and keep it for the next attempt.

        Returns what has changed, "" for nothing. Problem (cause "data") for a change where nobody said `anyway`.
        """
        changed = changes(self._before, now) if self._before else []
        if changed and not self._anyway:
            raise self._refused(changed)
        if now and now != self._before:
            files.write(self._file, msgspec.json.encode(now))
        return _listed(changed)

    def _refused(self, changed: list[str]) -> Problem:
        return Problem(
            f"The data of {self._run.id} has changed since it was trained: {_listed(changed)}.",
            f"Put it back; or `dlwb resume --anyway {self._run.id}` goes on with the data as it is now.",
            "data",
        )


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """A phrase for each source that is gone, new, or has other content; what has another name only is the same."""
    other = [f"{_named(name)} has other content" for name in before if name in now and now[name] != before[name]]
    gone = [f"{_named(name)} is gone" for name in before if name not in now and before[name] not in now.values()]
    new = [f"{_named(name)} is new" for name in now if name not in before and now[name] not in before.values()]
    return other + gone + new


def _listed(changed: list[str]) -> str:
    return "; ".join(changed[:NAMED]) + f"; and {len(changed) - NAMED:,} more" * (len(changed) > NAMED)


def _named(name: str) -> str:
    return one_line(name, 200)
