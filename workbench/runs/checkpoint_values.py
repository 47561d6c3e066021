"""The values of a checkpoint file, for comparison: read without torch and NumPy, and without creating any object that the file names."""

import hashlib
import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any


def values(data: bytes) -> dict[str, str]:
    """Of a .npz or .pt file: the path of each value in its tree (`state.network.0.weight`) → the value, or for an array its hash."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pickled = next((name for name in members if name.endswith("/data.pkl")), "")
    tree = _Reader(members, pickled).load() if pickled else _unpacked(json.loads(_npy_body(members["tree.npy"])), members)
    return dict(_leaves(tree, ""))


def _npy_body(member: bytes) -> bytes:
    """The numbers of a .npy file: all bytes after its header, which ends at the first newline."""
    return member.partition(b"\n")[2]


def _unpacked(value: Any, members: dict[str, bytes]) -> Any:
    """The tree that `npz.encode_npz` wrote, with each array as the bytes of its .npy member (type, shape and numbers)."""
    if isinstance(value, list):
        return [_unpacked(item, members) for item in value]
    if isinstance(value, dict):
        if "array" in value:
            return members[f"{value['array']}.npy"]
        return {key: _unpacked(item, members) for key, item in value["pairs"]}
    return value


class _Thing:
    """Replaces an object of any class that a pickle names; it only records the arguments and the state."""

    args: tuple[Any, ...]
    state: Any = None

    def __new__(cls, *args: Any) -> "_Thing":
        thing = super().__new__(cls)
        thing.args = args
        return thing

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    """Reads a .pt file without importing anything that it names, so a harmful file cannot run code."""

    def __init__(self, members: dict[str, bytes], name: str) -> None:
        super().__init__(io.BytesIO(members[name]))
        self.members = members
        self.folder = name.removesuffix("data.pkl")

    def find_class(self, module: str, name: str) -> Any:
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else type(f"{module}.{name}", (_Thing,), {})

    def persistent_load(self, pid: Any) -> Any:
        """A tensor's storage; its number in the file and its device are left out, because they do not affect the values."""
        _, kind, key, _, count = pid
        return [kind, self.members[f"{self.folder}data/{key}"], count]


def _leaves(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        yield place, f"{len(value)} values"
        for number, item in enumerate(value):
            yield from _leaves(item, f"{place}.{number}")
    elif isinstance(value, _Thing):
        yield from _leaves([type(value), *value.args, value.state], place)
    elif isinstance(value, type):
        # NumPy 2 renamed numpy.core to numpy._core.
        yield place, value.__name__.replace("numpy.core.", "numpy._core.")
    elif isinstance(value, bytes):
        yield place, hashlib.sha256(value).hexdigest()
    else:
        yield place, repr(value)
