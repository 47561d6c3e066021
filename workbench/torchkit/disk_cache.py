"""A disk cache of computed arrays, for the next run of the same data and for whoever asks a trained network."""

import hashlib
import io
import sys
from collections.abc import Callable

import numpy as np

from workbench import files, paths
from workbench.problems import one_line

LIMIT = 20
"""Files of one kind that stay; of more, the least recently used are removed."""
_DIGEST = 32
"""Bytes of a SHA-256, which stand before each file's array: NumPy reads a damaged file without noticing."""


def cached(kind: str, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array that `compute` gives, from the cache where one was computed for this key, a digest of everything that it depends on.

    A damaged file is reported on stderr and computed anew.
    """
    path = paths.cache_folder() / kind / f"{key[:32]}.npy"
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[_DIGEST:]).digest() == data[:_DIGEST]:
            path.touch()  # its time says when it was last used
            stored: np.ndarray = np.load(io.BytesIO(data[_DIGEST:]), allow_pickle=False)
            return stored
        print(f"{one_line(str(path))} is damaged: its {kind} are computed anew.", file=sys.stderr, flush=True)
    except FileNotFoundError:
        pass
    except OSError as error:
        print(f"{one_line(str(path))} cannot be read ({error.strerror}): its {kind} are computed anew.", file=sys.stderr, flush=True)
    array = compute()
    file = io.BytesIO()
    np.save(file, array)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, hashlib.sha256(file.getbuffer()).digest() + file.getvalue())
        for old in sorted(path.parent.glob("*.npy"), key=lambda entry: -entry.stat().st_mtime)[LIMIT:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        print(f"The {kind} are not kept for the next run: {error.strerror}.", file=sys.stderr, flush=True)
    return array
