"""What a check of the doctor's found."""

import subprocess
from collections.abc import Sequence
from typing import Literal

import msgspec

from workbench.problems import clean

Level = Literal["ok", "warn", "bad", "unknown"]


class Finding(msgspec.Struct, frozen=True):
    """One check: how it stands, in a sentence, and what mends it."""

    name: str
    level: Level
    text: str
    mend: str = ""


def output(command: Sequence[str], patience: float = 3.0) -> str:
    """What a program of the system's prints, cleaned; "" where there is no such program, or it fails, or takes too long."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return clean(done.stdout.decode("utf-8", "replace"))
