"""Writes wandb's transaction log as its program does: `Record` messages in LevelDB's blocks. tests/long reads the real program's."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

BLOCK = 1 << 15


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    data = b""
    while number > 0x7F:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])


def field(place: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(place << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(place << 3 | 2) + varint(len(data)) + data


def item(key: str, value: Any) -> bytes:
    """A HistoryItem or a ConfigItem; a key with dots becomes a nested one."""
    keys = key.split(".")
    names = field(1, key) if len(keys) == 1 else b"".join(field(2, name) for name in keys)
    return names + field(16, json.dumps(value))


def run(name: str, config: dict[str, Any]) -> bytes:
    settings = b"".join(field(1, item(key, value)) for key, value in config.items())
    return field(17, field(1, "abc") + field(4, settings) + field(8, name))


def history(step: int, **values: Any) -> bytes:
    items = {"_step": step, "_timestamp": 1.7e9 + step, **{key.replace("__", "/"): value for key, value in values.items()}}
    return field(2, b"".join(field(1, item(key, value)) for key, value in items.items()))


def output(line: str) -> bytes:
    return field(13, field(3, line))


def ended(code: int) -> bytes:
    return field(18, field(1, code))


class WandbLog:
    """A log that grows by whole records."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b":W&B\xe1\xbe\x00")

    def append(self, *records: bytes) -> None:
        with self.path.open("ab") as file:
            for number, record in enumerate(records):
                data = field(1, number) + record
                kind = 1
                while True:
                    left = BLOCK - file.tell() % BLOCK
                    if left < 7:
                        file.write(b"\0" * left)
                        left = BLOCK
                    piece, data = data[: left - 7], data[left - 7 :]
                    # 1 whole, 2 first, 3 in the middle, 4 last
                    chunk = (1 if kind == 1 else 4) if not data else (2 if kind == 1 else 3)
                    file.write(struct.pack("<IHB", zlib.crc32(piece, zlib.crc32(bytes([chunk]))), len(piece), chunk) + piece)
                    kind = 2
                    if not data:
                        break
