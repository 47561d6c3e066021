"""The result of one check of `dlwb doctor`."""

import subprocess
from collections.abc import Sequence
from typing import Literal

import msgspec

from workbench.problems import clean

Level = Literal["ok", "warn", "bad", "unknown"]


class Finding(msgspec.Struct, frozen=True):
    """One result: a level, a sentence, and how to fix it."""

    name: str
    level: Level
    text: str
    mend: str = ""


def output(command: Sequence[str], patience: float = 3.0) -> str:
    """The cleaned output of a system program; "" where it does not exist, fails, or takes longer than `patience` seconds."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return clean(done.stdout.decode("utf-8", "replace"))
