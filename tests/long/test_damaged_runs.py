"""Each file of a run is damaged in many ways: whatever reads a run says at most one sentence. Prints how many damaged runs there were."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from odd_files import PLAIN, a_run, look_at_all

ESCAPE = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m\u202e"


def flipped(data: bytes, chance: random.Random) -> bytes:
    content = bytearray(data)
    for _ in range(max(1, len(content) // 200)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def numbers_changed(data: bytes, chance: random.Random) -> bytes:
    """Every digit becomes a nine, so that sizes, steps and times are beyond all measure."""
    return bytes(ord("9") if byte in b"12345678" else byte for byte in data)


def words_changed(data: bytes, chance: random.Random) -> bytes:
    return data.replace(b"e", ESCAPE.encode()[:3])


def shuffled(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    chance.shuffle(lines)
    return b"".join(lines)


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut at a third": lambda data, chance: data[: len(data) // 3],
    "cut by a byte": lambda data, chance: data[:-1],
    "without its first byte": lambda data, chance: data[1:],
    "bits flipped": flipped,
    "zeros in the middle": lambda data, chance: data[: len(data) // 3] + bytes(len(data) // 3) + data[2 * len(data) // 3 :],
    "noise": lambda data, chance: chance.randbytes(max(100, len(data))),
    "twice": lambda data, chance: data + data,
    "lines in another order": shuffled,
    "without line breaks": lambda data, chance: data.replace(b"\n", b""),
    "numbers beyond all measure": numbers_changed,
    "escape sequences": words_changed,
    "UTF-16": lambda data, chance: b"\xff\xfe" + data.decode("latin-1").encode("utf-16-le"),
    "a list": lambda data, chance: b"[1, 2, 3]\n",
    "other types": lambda data, chance: json.dumps(
        {"attempt": "x", "state": 5, "cause": [], "note": {}, "tags": 7, "size": "y", "host": [ESCAPE], "versions": 3, "created": "z"}
    ).encode(),
    "far too deep": lambda data, chance: b'{"a":' * 100_000,
    "one endless line": lambda data, chance: b"x" * (3 << 20),
    "infinite": lambda data, chance: b'{"attempt": 1e999, "time": -1e308, "size": 99999999999999999999999, "step": NaN}',
}


@pytest.mark.parametrize("name", PLAIN)
def test_each_file_of_a_run_is_damaged_in_many_ways(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    other = a_run("2026-11-22_000000")
    chance = random.Random(name)
    refused = 0
    for number, (damage, change) in enumerate(DAMAGES.items()):
        run = a_run(f"2026-11-23_{number:06d}")
        file = run.path / name
        file.write_bytes(change(file.read_bytes() or b" ", chance))
        try:
            refused += bool(look_at_all(run, other, tmp_path / "out"))
        except AssertionError as error:
            raise AssertionError(f"{name}, {damage}: {error}") from error
        shutil.rmtree(run.path)
    with capsys.disabled():
        print(f" {name}: {len(DAMAGES)} damages, {refused} of them named in a sentence", flush=True)
