"""A disk cache of computed arrays, for the next run of the same data and for whoever asks a trained network."""

import hashlib
import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from workbench import files, paths, preparation
from workbench.problems import one_line

LIMIT = 20
"""Files of one kind that stay; of more, the least recently used are removed."""
_DIGEST = 32
"""Bytes of a SHA-256, which stand before each file's array: NumPy reads a damaged file without noticing."""


def cached(kind: str, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array that `compute` gives, from the cache where one was computed for this key, a digest of everything that it depends on.

    A damaged file is reported on stderr and computed anew.
    """
    path = _path(kind, key)
    array = _read(path, kind)
    preparation.cached(array is not None)
    if array is None:
        array = compute()
        if _kept(path, array, kind):
            _tidy(path.parent)
    return array


def cached_in_pieces(kind: str, key: str, count: int, compute: Callable[[int], np.ndarray]) -> np.ndarray:
    """Like `cached`, for an array that is computed in `count` pieces along its first axis: `compute` is given the number of a piece.

    Each piece is kept at once, so that a run that is stopped goes on with the next one.
    """
    path = _path(kind, key)
    array = _read(path, kind)
    if array is not None:
        preparation.cached(True)
        return array
    folder, pieces, keeps = path.with_suffix(".pieces"), [], True
    for number in range(count):
        place = folder / f"{number:06d}.npy"
        piece = _read(place, kind)
        preparation.cached(piece is not None)
        if piece is None:
            piece = compute(number)
            # Said once: on a full disk each piece would fail.
            keeps = keeps and _kept(place, piece, kind)
        pieces.append(piece)
    array = np.concatenate(pieces)
    if _kept(path, array, kind):
        shutil.rmtree(folder, ignore_errors=True)
        _tidy(path.parent)
    return array


def _path(kind: str, key: str) -> Path:
    return paths.cache_folder() / kind / f"{key[:32]}.npy"


def _read(path: Path, kind: str) -> np.ndarray | None:
    """The array of a file; None where there is no whole one."""
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
    return None


def _kept(path: Path, array: np.ndarray, kind: str) -> bool:
    """Write the array; False, and a line on stderr, where that fails."""
    file = io.BytesIO()
    np.save(file, array)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, hashlib.sha256(file.getbuffer()).digest() + file.getvalue())
    except OSError as error:
        print(f"The {kind} cannot be cached for the next run: {error.strerror}.", file=sys.stderr, flush=True)
        return False
    return True


def _tidy(folder: Path) -> None:
    """Remove the least recently used arrays, and pieces of arrays that nobody went on with."""
    entries = [entry for entry in folder.iterdir() if entry.suffix in (".npy", ".pieces")]
    # Another run may tidy at the same time.
    for old in sorted(entries, key=lambda entry: -files.stamp(entry).mtime)[LIMIT:]:
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)
