"""What was computed once from the same things, kept on disk for the next run and for whoever asks a trained network."""

import hashlib
import io
import sys
from collections.abc import Callable

import numpy as np

from workbench import files, paths
from workbench.problems import one_line

KEPT = 20
"""Files of one kind that stay; of more, those not used for the longest go."""
_DIGEST = 32
"""Bytes of a SHA-256, which stand before each file's numbers."""


def kept(kind: str, key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array that `make` made for this key (a digest of everything that decides it), from the cache where it is there.

    A file that is damaged is told of on stderr, and made anew.
    """
    path = paths.cache_folder() / kind / f"{key[:32]}.npy"
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[_DIGEST:]).digest() == data[:_DIGEST]:
            path.touch()
            found: np.ndarray = np.load(io.BytesIO(data[_DIGEST:]), allow_pickle=False)
            return found
        print(f"{one_line(str(path))} is damaged: its {kind} are computed anew.", file=sys.stderr, flush=True)
    except FileNotFoundError:
        pass
    except OSError as error:
        print(f"{one_line(str(path))} cannot be read ({error.strerror}): its {kind} are computed anew.", file=sys.stderr, flush=True)
    made = make()
    out = io.BytesIO()
    np.save(out, made)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, hashlib.sha256(out.getbuffer()).digest() + out.getvalue())
        for old in sorted(path.parent.glob("*.npy"), key=lambda each: -each.stat().st_mtime)[KEPT:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        print(f"The {kind} are not kept for the next run: {error.strerror}.", file=sys.stderr, flush=True)
    return made
