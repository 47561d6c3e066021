"""The digests of the data that a run is trained on: kept beside it, and compared before its weights are loaded again."""

import msgspec

from workbench import files
from workbench.problems import Problem, one_line
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.run import Run

NAMED = 4
"""How many changed sources a message names."""


def check(run: Run, now: dict[str, str], *, anyway: bool) -> str:
    """Compare `now`, the digests of what this attempt read, with those of the attempts before it, and keep them for the next one.

    Returns what has changed, "" for nothing; Problem (cause "data") for a change where a run would go on from its weights and nobody said
    `anyway`. A run of an older version has no digests, and goes on as it did.
    """
    file = run.path / "sources.json"
    before = {name: digest for name, digest in files.read_object(file).items() if isinstance(digest, str)}
    changed = changes(before, now) if before else []
    # Without weights it begins anew, with the data as it is.
    if not Checkpoints(run.path / "checkpoints").generations():
        changed = []
    sentence = "; ".join(changed[:NAMED]) + f"; and {len(changed) - NAMED:,} more" * (len(changed) > NAMED)
    if changed and not anyway:
        raise Problem(
            f"The data of {run.id} has changed since it was trained: {sentence}.",
            f"Put it back; or `dlwb resume --anyway {run.id}` goes on with the data as it is now.",
            "data",
        )
    if now and now != before:
        files.write(file, msgspec.json.encode(now))
    return sentence


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """A phrase for each source that is gone, new, or has other content; what has another name only is the same."""
    other = [f"{_named(name)} has other content" for name in before if name in now and now[name] != before[name]]
    gone = [f"{_named(name)} is gone" for name in before if name not in now and before[name] not in now.values()]
    new = [f"{_named(name)} is new" for name in now if name not in before and now[name] not in before.values()]
    return other + gone + new


def _named(name: str) -> str:
    return one_line(name, 200)
