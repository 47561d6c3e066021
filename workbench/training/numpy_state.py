"""A NumPy project's state as bytes: plain values and arrays in one .npz, without pickle. What a checkpoint's data file holds."""

import io
import json
from typing import Any

import numpy as np

from workbench.problems import Problem
from workbench.runs.checkpoint import Tree


def encode_npz(tree: Tree) -> bytes:
    """Plain values and NumPy arrays as .npz, without pickle; what no checkpoint can hold is a Problem."""
    arrays: dict[str, np.ndarray] = {}
    packed = json.dumps(_packed(tree, arrays)).encode()
    # An .npz holds arrays alone, so the JSON is one, too, of bytes.
    file = io.BytesIO()
    np.savez(file, tree=np.frombuffer(packed, np.uint8), **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def decode_npz(data: bytes) -> Tree:
    """The tree that `encode_npz` was given."""
    # Without pickle: a run directory may come from somebody else, and a pickle runs code.
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        tree = _unpacked(json.loads(arrays["tree"].tobytes()), arrays)
    assert isinstance(tree, dict)
    return tree


def _packed(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """JSON with `{"array": name}` for arrays and pairs for dictionaries, whose keys may be numbers."""
    if isinstance(value, np.ndarray):
        name = f"array{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, dict):
        return {"pairs": [[key, _packed(item, arrays)] for key, item in value.items()]}
    # JSON has no tuples; `Resumable.load_state` makes them again.
    if isinstance(value, list | tuple):
        return [_packed(item, arrays) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise Problem(f"A checkpoint cannot hold a {type(value).__name__}.", "Keep it in an array or in plain numbers.")


def _unpacked(value: Any, arrays: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        return {key: _unpacked(item, arrays) for key, item in value["pairs"]}
    return value
