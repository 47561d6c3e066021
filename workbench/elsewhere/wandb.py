"""Reads wandb's offline runs as they grow: the transaction log `run-ID.wandb`, with its pictures and tables beside it.

The log is LevelDB's: blocks of 32 KiB with chunks in them (checksum, length, kind), after a head of seven bytes; each record is a `Record`
message (wandb/proto/wandb_internal.proto).
"""

import contextlib
import json
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from workbench import files
from workbench.elsewhere import found, wire
from workbench.elsewhere.growing import Growing
from workbench.elsewhere.values import KEY_LIMIT, number, settings
from workbench.events import Curve, Event, Scalars, Table, Tagged, Text
from workbench.problems import Problem, clean, one_line

MAGIC = b":W&B\xe1\xbe\x00"
BLOCK, HEAD = 1 << 15, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
HISTORY, CONFIG, STATS, OUTPUT, RUN, EXIT = 2, 5, 7, 13, 17, 18
"""Fields of a Record that are read."""
METERS = {
    "cpu": ("system/cpu", 1.0),
    "proc.memory.rssMB": ("system/memory", 1024.0),
    "proc.memory.availableMB": ("system/memory_free", 1024.0),
    "gpu.0.gpu": ("system/gpu", 1.0),
    "gpu.0.memoryAllocatedBytes": ("system/gpu_memory", 2.0**30),
    "gpu.0.temp": ("system/gpu_temperature", 1.0),
    "gpu.0.powerWatts": ("system/gpu_power", 1.0),
}
"""wandb's meters that dlwb's screens know, under dlwb's names, and what their numbers are divided by: MB and bytes become GiB."""
ROWS = 500
"""Most rows of a table that are shown."""


class OfflineRun:
    """One `.wandb` file."""

    kind = "wandb"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.parent.name if path.parent.name.startswith(("offline-run-", "run-")) else path.stem
        self.left_out: Counter[str] = Counter()
        self.config: dict[str, Any] = {}
        self._growing = Growing(path)
        self._begun = 0
        """Where the rest begins in the file, as blocks are counted from there."""
        self._pieces: list[bytes] = []
        self._output: list[bytes] = []
        self._started = 0.0
        self._step = 0

    @property
    def unfinished(self) -> bool:
        """See `found.Source`."""
        return bool(self._growing.rest)

    def printed(self) -> bytes:
        """See `found.Source`."""
        printed, self._output = b"".join(self._output), []
        return printed

    def events(self) -> Iterator[Event]:
        """See `found.Source`."""
        while self._growing.more():
            for record in self._records():
                try:
                    yield from self._record(record)
                except (wire.Damaged, RecursionError):
                    self.left_out["damaged records"] += 1

    def _records(self) -> Iterator[bytes]:
        data, at = self._growing.rest, 0
        if self._begun == 0:
            if len(data) < len(MAGIC):
                return
            if data[: len(MAGIC)] != MAGIC:
                raise Problem(f"{self.path} is not a wandb log.", "wandb writes it as run-ID.wandb in wandb/offline-run-….")
            at = len(MAGIC)
        while True:
            left = BLOCK - (self._begun + at) % BLOCK
            if left < HEAD:
                if len(data) - at < left:
                    break
                at += left
                continue
            if len(data) - at < HEAD:
                break
            checksum, length, kind = struct.unpack_from("<IHB", data, at)
            end = at + HEAD + length
            if end > len(data) and length + HEAD <= left:
                break  # not yet written to its end
            body = data[at + HEAD : end]
            if kind not in (FULL, FIRST, MIDDLE, LAST) or length + HEAD > left or zlib.crc32(body, zlib.crc32(bytes([kind]))) != checksum:
                # The next block begins with a chunk again.
                if len(data) - at < left:
                    break
                self.left_out["damaged blocks"] += 1
                self._pieces = []
                at += left
                continue
            at = end
            if kind in (FULL, FIRST):
                self._pieces = []
            self._pieces.append(body)
            if kind in (FULL, LAST):
                yield b"".join(self._pieces)
                self._pieces = []
        self._begun += at
        self._growing.rest = data[at:]

    def _record(self, message: bytes) -> Iterator[Event]:
        for kind, value in wire.fields(message):
            if kind == HISTORY:
                yield from self._history(wire.raw(value))
            elif kind == OUTPUT:
                self._output += [wire.raw(part).rstrip(b"\n") + b"\n" for place, part in wire.fields(wire.raw(value)) if place == 3]
            elif kind == CONFIG:
                self._configure(wire.raw(value))
            elif kind == RUN:
                self._describe(wire.raw(value))
            elif kind == STATS:
                yield from self._stats(wire.raw(value))
            elif kind == EXIT:
                codes = [wire.signed(code) for place, code in wire.fields(wire.raw(value)) if place == 1]
                raise found.Ending(codes[-1] if codes else 0)

    def _describe(self, message: bytes) -> None:
        for place, value in wire.fields(message):
            if place == 4:
                self._configure(wire.raw(value))
            elif place == 8 and (name := one_line(wire.text(value), 80)):
                self.name = name
            elif place == 17:
                self._started = float(wire.signed(dict(wire.fields(wire.raw(value))).get(1, 0)))

    def _configure(self, message: bytes) -> None:
        """What `wandb.config` holds; names that begin with _ are wandb's own."""
        given: dict[str, Any] = {}
        for place, item in wire.fields(message):
            if place == 1:
                _put(given, wire.raw(item))
        self.config.update(settings({key: value for key, value in given.items() if not key.startswith("_")})[0])

    def _stats(self, message: bytes) -> Iterator[Event]:
        values: dict[str, Any] = {}
        time = 0.0
        for place, value in wire.fields(message):
            if place == 2:
                time = float(wire.signed(dict(wire.fields(wire.raw(value))).get(1, 0)))
            elif place == 3:
                item = dict(wire.fields(wire.raw(value)))
                values[wire.text(item.get(1, b""))] = item.get(16, b"")
        shown = {}
        for name, (tag, divisor) in METERS.items():
            with contextlib.suppress(ValueError):
                shown[tag] = float(wire.text(values.pop(name, b""))) / divisor
        if values:
            self.left_out["meters of the machine"] += len(values)
        if shown:
            yield Scalars(values=shown, step=self._step, time=time)

    def _history(self, message: bytes) -> Iterator[Event]:
        values: dict[str, Any] = {}
        step = None
        for place, value in wire.fields(message):
            if place == 1:
                _put(values, wire.raw(value))
            elif place == 2:
                step = wire.signed(dict(wire.fields(wire.raw(value))).get(1, 0))
        step = values.pop("_step", step) if step is None else step
        if type(step) is not int or not 0 <= step <= 2**53:
            self.left_out["rows without a step"] += 1
            return
        self._step = step
        time = number(values.get("_timestamp")) or self._started
        scalars: dict[str, float] = {}
        for key, value in values.items():
            if key.startswith("_"):
                continue
            event = self._value(key, value, scalars)
            if event:
                event.step, event.time = step, time
                yield event
        if scalars:
            yield Scalars(values=scalars, step=step, time=time)

    def _value(self, key: str, value: Any, scalars: dict[str, float]) -> Tagged | None:
        """A value as an event; numbers go to the row's scalars. What is neither is counted."""
        tag = one_line(key, KEY_LIMIT) or "value"
        if isinstance(value, dict) and "_type" in value:
            event = self._media(tag, str(value["_type"]), value)
            if event is None:
                self.left_out[f"the kind {one_line(str(value['_type']), 40)}"] += 1
            return event
        if isinstance(value, dict):
            scalars |= {name: plain for name, part in settings({tag: value})[0].items() if (plain := _plain(part)) is not None}
            return None
        if (plain := _plain(value)) is not None:
            scalars[tag] = plain
        elif isinstance(value, str):
            return Text(tag=tag, text=clean(value))
        elif value is not None:
            self.left_out["lists"] += 1
        return None

    def _media(self, tag: str, kind: str, value: dict[str, Any]) -> Tagged | None:
        """Pictures, tables and histograms, whose files lie below `files/`."""
        if kind == "histogram" and isinstance(bins := value.get("bins"), list) and isinstance(counts := value.get("values"), list):
            edges = [number(edge) or 0.0 for edge in bins]
            middles = [(low + high) / 2 for low, high in pairwise(edges)]
            return Curve(tag=tag, x=middles, y=[number(count) or 0.0 for count in counts[: len(middles)]], labels=("value", "count"))
        name = value.get("path")
        if kind == "images/separated" and isinstance(names := value.get("filenames"), list) and names:
            name = names[0]
        if kind not in ("image-file", "images/separated", "table-file") or not isinstance(name, str):
            return None
        data = self._file(name)
        if data is None:
            return None
        if kind == "table-file":
            return _table(tag, data)
        captions = value.get("captions") or value.get("caption") or []
        captions = [captions] if isinstance(captions, str) else captions if isinstance(captions, list) else []
        return found.picture(tag, data, [one_line(str(caption), 200) for caption in captions[:1]])

    def _file(self, name: str) -> bytes | None:
        """A file of the run below `files/`; None for a name that leads anywhere else, for a link, and where it is not there."""
        folder = (self.path.parent / "files").resolve()
        path = folder / name
        if not path.resolve().is_relative_to(folder):
            return None
        try:
            return files.read_plain(path) if path.stat().st_size <= found.PICTURE_LIMIT else None
        except OSError:
            return None


def _put(values: dict[str, Any], message: bytes) -> None:
    """Put a HistoryItem's or a ConfigItem's value where its key, or its nested key, names it."""
    keys: list[str] = []
    content: Any = None
    for place, value in wire.fields(message):
        if place in (1, 2):
            if name := wire.text(value):
                keys.append(name)
        elif place == 4:
            content = bool(value)
        elif place == 5:
            # sint64: the sign is the lowest bit.
            content = wire.signed(value) >> 1 ^ -(wire.signed(value) & 1)
        elif place == 6:
            content = wire.double(value)
        elif place == 7:
            content = wire.text(value)
        elif place in (8, 16):
            try:
                content = json.loads(wire.raw(value))
            except ValueError:
                raise wire.Damaged("a value that is no JSON") from None
    for key in keys[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            raise wire.Damaged("a key within a number")
        values = inner
    if keys:
        values[keys[-1]] = content


def _plain(value: Any) -> float | None:
    """A number, also one that JSON can only name; None for anything else."""
    if isinstance(value, str):
        return {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.get(value)
    return number(value) if isinstance(value, int | float) else None


def _table(tag: str, data: bytes) -> Table | None:
    try:
        table = json.loads(data)
        columns = [one_line(str(column), 80) for column in table["columns"]]
        rows = [[_cell(cell) for cell in row[: len(columns)]] for row in table["data"][:ROWS]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return Table(tag=tag, columns=columns, rows=rows)


def _cell(value: Any) -> str | float:
    plain = _plain(value)
    return one_line(str(value), 200) if plain is None else plain
