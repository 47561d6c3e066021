"""Reads messages in the wire format of protocol buffers, field by field, without their definitions.

TensorBoard's event files and wandb's offline runs hold such messages; of each only some fields are of use here.
"""

import struct
from collections.abc import Iterator


class Damaged(ValueError):
    """These bytes are no such message."""


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field in turn. Raises Damaged where the bytes end in one, or name a kind that does not exist.

    Fixed fields come as their 4 or 8 bytes: `double` and `float_` read them.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        kind = key & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(message, at)
        else:
            if kind == 2:
                size, at = _varint(message, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise Damaged(f"a field of kind {kind}")
            value = message[at : at + size]
            if len(value) < size:
                raise Damaged("a field that is cut")
            at += size
        yield key >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number in groups of seven bits, the lowest first, and the place behind it."""
    number = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise Damaged("a number that is cut")
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def signed(value: int | bytes) -> int:
    """An int32 or int64: negative numbers are written as their 64-bit complement."""
    if not isinstance(value, int):
        raise Damaged("bytes in place of a number")
    return value - (1 << 64) if value >= 1 << 63 else value


def double(value: int | bytes) -> float:
    """A 64-bit floating-point number."""
    return _unpacked("<d", value)


def single(value: int | bytes) -> float:
    """A 32-bit floating-point number."""
    return _unpacked("<f", value)


def _unpacked(form: str, value: int | bytes) -> float:
    if not isinstance(value, bytes) or len(value) != struct.calcsize(form):
        raise Damaged("a number of another size")
    (number,) = struct.unpack(form, value)
    return float(number)


def doubles(value: int | bytes) -> list[float]:
    """Packed 64-bit floating-point numbers, or one."""
    return _packed("d", 8, value)


def singles(value: int | bytes) -> list[float]:
    """Packed 32-bit floating-point numbers, or one."""
    return _packed("f", 4, value)


def _packed(form: str, size: int, value: int | bytes) -> list[float]:
    if not isinstance(value, bytes) or len(value) % size:
        raise Damaged("numbers of another size")
    return list(struct.unpack(f"<{len(value) // size}{form}", value))


def raw(value: int | bytes) -> bytes:
    """The bytes of a field, or a message in it."""
    if not isinstance(value, bytes):
        raise Damaged("a number in place of bytes")
    return value


def text(value: int | bytes) -> str:
    """A field's text; what is no UTF-8 is replaced. Not yet cleaned."""
    return raw(value).decode(errors="replace")
