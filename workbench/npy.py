"""Rows of doubles as NumPy's .npy format 1.0 (numpy.lib.format), without NumPy: the log writes them, exports read them."""

import re
import sys
from array import array

from workbench.problems import Problem

_MAGIC = b"\x93NUMPY\x01\x00"
_SHAPE = re.compile(rb"\{'descr': '<f8', 'fortran_order': False, 'shape': \((\d+), (\d+)\), \}\s*")


def encode(rows: list[list[float]]) -> bytes:
    """A two-dimensional array."""
    shape = (len(rows), len(rows[0]) if len(rows) else 0)
    if any(len(row) != shape[1] for row in rows):
        raise Problem("An event has rows, or x and y, of different lengths.", "Give as many values to each.", cause="data")
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    flat = array("d")
    for row in rows:
        flat.extend(row)
    return _MAGIC + len(header).to_bytes(2, "little") + header + flat.tobytes()


def decode(data: bytes) -> list[list[float]]:
    """The rows that `encode` was given; ValueError for any other array."""
    end = 10 + int.from_bytes(data[8:10], "little")
    shape = _SHAPE.fullmatch(data[10:end])
    if not data.startswith(_MAGIC) or not shape:
        raise ValueError("not rows of doubles in .npy format 1.0")
    rows, columns = int(shape[1]), int(shape[2])
    if len(data) - end != 8 * rows * columns:
        raise ValueError("not as many values as its header says")
    flat = array("d", data[end:])
    if sys.byteorder == "big":
        flat.byteswap()
    return [flat[row * columns : (row + 1) * columns].tolist() for row in range(rows)]
