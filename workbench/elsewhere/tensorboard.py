"""Reads TensorBoard's event files as they grow: scalars, texts, pictures, histograms.

A file is a row of records: length, its checksum, an `Event` message, its checksum (tensorflow/core/lib/io/record_writer.h; event.proto).
"""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from workbench.elsewhere import found, wire
from workbench.elsewhere.growing import Growing
from workbench.elsewhere.values import KEY_LIMIT
from workbench.events import Curve, Event, Scalars, Status, Tagged, Text
from workbench.problems import clean, one_line

HEAD, TAIL = 12, 4
"""Bytes of a record before and behind its message."""
CHECKED = 1 << 16
"""Longest message whose checksum is computed: in Python that takes 0.1 µs a byte. Longer ones are pictures."""
START = 1
"""SessionLog: training starts (again) at this step, so what was logged from it on is void."""
FLOAT, DOUBLE, INTEGERS = 1, 2, (3, 4, 5, 6, 9)
"""Data types of a tensor (types.proto)."""


class EventFiles:
    """The event files of one folder, or of several that are the splits of one run: `train` and `validation`, as Keras writes them."""

    kind = "TensorBoard"

    def __init__(self, path: Path, splits: Mapping[str, Path]) -> None:
        """`splits` names the folders; "" is a folder whose tags stand as they are."""
        self.path, self.name = path, path.parent.name if path.is_file() else path.name
        self.left_out: Counter[str] = Counter()
        self.config: dict[str, Any] = {}
        self._splits = splits
        self._files: dict[Path, Growing] = {}
        self._damaged: set[Path] = set()
        self._attempt = 1

    @property
    def unfinished(self) -> bool:
        """See `found.Source`."""
        return any(growing.rest for growing in self._files.values())

    def printed(self) -> bytes:
        """A TensorBoard log holds nothing that was printed."""
        return b""

    def events(self) -> Iterator[Event]:
        """See `found.Source`."""
        for split, folder in self._splits.items():
            for file in event_files(folder):
                growing = self._files.setdefault(file, Growing(file))
                while file not in self._damaged and growing.more():
                    yield from _joined(self._of(growing, split))

    def _of(self, growing: Growing, split: str) -> Iterator[Event]:
        for message in self._records(growing):
            try:
                yield from self._event(message, split)
            except wire.Damaged:
                self.left_out["damaged records"] += 1

    def _records(self, growing: Growing) -> Iterator[bytes]:
        """The messages that are written to their end."""
        data, at = growing.rest, 0
        while len(data) - at >= HEAD:
            (length,) = struct.unpack_from("<Q", data, at)
            if _masked(data[at : at + 8]) != struct.unpack_from("<I", data, at + 8)[0]:
                # Without its length nobody knows where the next record begins.
                self.left_out[f"what follows byte {growing.place + at:,} of {growing.path.name}, which is damaged"] += 1
                self._damaged.add(growing.path)
                break
            end = at + HEAD + length + TAIL
            if end > len(data):
                break
            message = data[at + HEAD : at + HEAD + length]
            if length > CHECKED or _masked(message) == struct.unpack_from("<I", data, end - TAIL)[0]:
                yield message
            else:
                self.left_out["damaged records"] += 1
            at = end
        growing.rest = data[at:]

    def _event(self, message: bytes, split: str) -> Iterator[Event]:
        time, step, summaries, session = 0.0, 0, [], b""
        for number, value in wire.fields(message):
            if number == 1:
                time = wire.double(value)
            elif number == 2:
                step = wire.signed(value)
            elif number == 5:
                summaries.append(wire.raw(value))
            elif number == 7:
                session = wire.raw(value)
        if not 0 <= step <= 2**53:
            self.left_out["records with a step below 0"] += 1
            return
        if session and step and any(number == 1 and value == START for number, value in wire.fields(session)):
            self._attempt += 1
            yield Status(state="running", from_step=step - 1, attempt=self._attempt, step=step - 1, time=time)
        for summary in summaries:
            for number, value in wire.fields(summary):
                if number == 1:
                    for event in self._value(wire.raw(value), split):
                        event.step, event.time = step, time
                        yield event

    def _value(self, message: bytes, split: str) -> Iterator[Event]:
        parts = dict(wire.fields(message))
        tag = one_line(wire.text(parts.get(1, b"")).removesuffix("/text_summary"), KEY_LIMIT) or "value"
        tag = f"{split}/{tag}" if split else tag
        plugin = _plugin(wire.raw(parts.get(9, b"")))
        event: Tagged | None = None
        if 2 in parts:
            yield Scalars(values={tag: wire.single(parts[2])})
            return
        if 4 in parts:
            image = dict(wire.fields(wire.raw(parts[4])))
            event = found.picture(tag, wire.raw(image.get(4, b"")), [])
        elif 5 in parts:
            event = _histogram(tag, wire.raw(parts[5]))
        elif 8 in parts:
            tensor = Tensor(wire.raw(parts[8]))
            if plugin in ("scalars", "") and len(tensor.numbers) == 1:
                yield Scalars(values={tag: tensor.numbers[0]})
                return
            event = _of_plugin(tag, plugin, tensor)
        if event is None:
            self.left_out[f"the kind {plugin or 'without a name'}" if 8 in parts else "pictures that cannot be shown"] += 1
        else:
            yield event


class Tensor:
    """A TensorProto: its shape, and its numbers or its texts."""

    def __init__(self, message: bytes) -> None:
        kind, content = 0, b""
        self.shape: list[int] = []
        self.numbers: list[float] = []
        self.texts: list[bytes] = []
        for number, value in wire.fields(message):
            if number == 1:
                kind = wire.signed(value)
            elif number == 2:
                for part, dimension in wire.fields(wire.raw(value)):
                    if part == 2:
                        self.shape.append(wire.signed(dict(wire.fields(wire.raw(dimension))).get(1, 0)))
            elif number == 4:
                content = wire.raw(value)
            elif number == 5:
                self.numbers += wire.singles(value)
            elif number == 6:
                self.numbers += wire.doubles(value)
            elif number in (7, 10) and isinstance(value, int):
                self.numbers.append(float(wire.signed(value)))
            elif number == 8:
                self.texts.append(wire.raw(value))
        if content and kind in (FLOAT, DOUBLE):
            self.numbers = wire.singles(content) if kind == FLOAT else wire.doubles(content)


def _of_plugin(tag: str, plugin: str, tensor: Tensor) -> Tagged | None:
    if plugin == "text" or (not plugin and tensor.texts):
        return Text(tag=tag, text="\n".join(clean(text.decode(errors="replace")) for text in tensor.texts))
    if plugin == "images" and len(tensor.texts) > 2:
        # Width and height, then a picture each; they stand one after the other in the log.
        return found.picture(tag, tensor.texts[2], [])
    if plugin == "histograms" and len(tensor.shape) == 2 and tensor.shape[1] == 3 and len(tensor.numbers) % 3 == 0:
        rows = [tensor.numbers[at : at + 3] for at in range(0, len(tensor.numbers), 3)]
        return Curve(tag=tag, x=[(low + high) / 2 for low, high, _ in rows], y=[count for *_, count in rows], labels=("value", "count"))
    return None


def _histogram(tag: str, message: bytes) -> Curve:
    """A HistogramProto: counts by the upper limit of their bucket."""
    limits: list[float] = []
    counts: list[float] = []
    for number, value in wire.fields(message):
        if number in (6, 7):
            (limits if number == 6 else counts).extend(wire.doubles(value))
    if len(limits) != len(counts):
        raise wire.Damaged("a histogram with more limits than counts")
    # The outermost limit may be the largest double: no axis reaches it.
    pairs = [(limit, count) for limit, count in zip(limits, counts, strict=True) if abs(limit) < 1e300]
    return Curve(tag=tag, x=[limit for limit, _ in pairs], y=[count for _, count in pairs], labels=("value up to", "count"))


def _plugin(metadata: bytes) -> str:
    """The name of the plugin that a value is for."""
    for number, value in wire.fields(metadata):
        if number == 1:
            return one_line(wire.text(dict(wire.fields(wire.raw(value))).get(1, b"")), 40)
    return ""


def _joined(events: Iterator[Event]) -> Iterator[Event]:
    """Scalars of one step that follow one another as one event: writers give each tag a record of its own."""
    last: Scalars | None = None
    for event in events:
        if isinstance(event, Scalars) and last and last.step == event.step and not last.values.keys() & event.values.keys():
            last.values.update(event.values)
            continue
        if last:
            yield last
        last = event if isinstance(event, Scalars) else None
        if last is None:
            yield event
    if last:
        yield last


def event_files(folder: Path) -> list[Path]:
    """The event files of a folder in the order in which they were begun, which their names tell; a file is its own."""
    if folder.is_file():
        return [folder]
    return sorted(path for path in folder.iterdir() if ".tfevents." in path.name and path.is_file())


@cache
def _table() -> list[int]:
    """The remainder of each byte for CRC-32C (RFC 3720, appendix B.4)."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def _masked(data: bytes) -> int:
    """The checksum of a record: CRC-32C, turned by 15 bits and moved, so that the checksum of a checksum is no constant."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
