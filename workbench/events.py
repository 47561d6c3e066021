"""The shapes of data a run consists of, and one line of its log: encode and decode. Both sides import it; knows neither torch nor textual.

A line is one JSON object whose last member is the CRC-32 of the bytes before it:
`{"type":"scalars","step":20,"epoch":0.4,"time":1.76e9,"clock":12.5,"values":{"train/loss":0.61},"crc":"8d3f09aa"}`.
Tags are `split/metric[/series]`: the same metric is the same chart, the rest names the series.
"""

import contextlib
import math
import re
import zlib
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from workbench.problems import cleaned

FORMAT = "dlwb-events"
VERSION = 1
LINE_LIMIT = 64 * 1024
"""Longest line in bytes; what is bigger goes to the run's artifacts/ first."""


Steps = Annotated[int, Meta(ge=-1, le=2**53)]
"""A count of steps: no more than a double holds exactly; -1, as `from_step`, means from the beginning."""


# gc=False: a history holds millions of events, none of them part of a cycle, and the collector would visit each.
class Event(msgspec.Struct, tag_field="type", tag=str.lower, kw_only=True, gc=False):
    """One thing that happened. A project makes them with their data alone; the loop fills in where and when."""

    step: Steps = 0
    epoch: float = 0.0
    time: float = 0.0
    """Seconds since the Unix epoch. For people: order is by line, never by the clock."""
    clock: float = 0.0
    """Monotonic seconds of the machine; differences inside one attempt are durations."""


# One flat folder and no dots: the log of somebody else must not lead to any other file.
_ARTIFACT = re.compile(r"artifacts/[A-Za-z0-9_-]+\.(png|npy)")


class Filed(Event, kw_only=True):
    """What may be too big for a line: an artifact then holds it, and its own lists, or its PNG, are empty."""

    file: str = ""
    """In a log, where it lies below the run directory: a PNG, or a .npy: a matrix's values, or x and y as its rows, and `at` as the third.

    A name that leads anywhere else is dropped.
    """

    def __post_init__(self) -> None:
        if self.file and not _ARTIFACT.fullmatch(self.file):
            self.file = ""


class Scalars(Event):
    """All scalars of one step, by tag."""

    values: dict[str, float]
    """A project may give None for a figure that is not defined at this step: it is left out of the log."""


class Text(Event):
    """A piece of text; a generated one with its prompt."""

    tag: str
    text: str
    prompt: str = ""


class Images(Filed):
    """One PNG that holds a grid of pictures, `columns` to a row, with a caption each (row by row; or none)."""

    tag: str
    png: bytes = b""
    captions: list[str] = []
    columns: int = 1
    cells: list[tuple[int, int]] = []
    """Of the examples of a matrix (its tag with the series `examples`): the (row, column) of the matrix that each picture belongs to."""


class Curve(Filed):
    """A whole curve at one moment (a ROC, a forecast): y over x, and the names of the two axes.

    A ROC is x = false positive rate, y = true positive rate, `at` = the threshold of each point, falling, and `totals` = how many
    negatives and positives there are: the 2x2 table of any threshold follows from them.
    """

    tag: str
    x: list[float] = []
    y: list[float] = []
    labels: tuple[str, str] = ("", "")
    at: list[float] = []
    """The parameter that runs along the curve, a value for each point; empty where there is none."""
    totals: tuple[float, float] = (0.0, 0.0)


class Matrix(Filed):
    """A table of numbers, `values[row][column]` (a confusion matrix: rows are the truth, columns the prediction; an attention map)."""

    tag: str
    values: list[list[float]] = []
    rows: list[str] = []
    columns: list[str] = []


class Scatter(Filed):
    """Points in the plane, with a label (its class, its word) for each, or none."""

    tag: str
    x: list[float] = []
    y: list[float] = []
    labels: list[str] = []


class Table(Event):
    """Rows of words and numbers under named columns (nearest neighbours, translations, the most wrong reviews)."""

    tag: str
    columns: list[str]
    rows: list[list[str | float]]
    cells: list[tuple[int, int]] = []
    """As `Images.cells`, for rows that are the examples of a matrix."""

    def __post_init__(self) -> None:
        # Unlike a number's place, a cell may hold a word: here the words for NaN and infinity always are the numbers.
        self.rows = [[_SPECIAL.get(cell, cell) if isinstance(cell, str) else cell for cell in row] for row in self.rows]


class Status(Event):
    """The run's life cycle. `running` with `from_step` rewinds: everything after that step is dropped from the folded history."""

    state: str
    """queued, starting, running, paused, finished, stopped or failed."""
    cause: str = ""
    """Why it ended; one of CAUSES."""
    message: str = ""
    hint: str = ""
    attempt: Steps = 1
    from_step: Steps = 0
    steps: Steps = 0
    """Planned training steps in all; 0 when not known."""
    steps_per_epoch: Steps = 0
    share: float | None = None
    """Of `starting`: how much of what the message names is done, from 0 to 1."""
    left: float | None = None
    """Of `starting`: seconds until that is done, at its present pace."""
    prepared: float = 0.0
    """Of the first `running` of an attempt: seconds since its process began."""
    cache: str = ""
    """And whether its preparation was `cold`, `warm` or `partly` so: see `workbench.preparation.Preparation`."""
    device: str = ""
    """What it trains on, as `cuda:0 NVIDIA H200`."""
    variant: str = ""
    """Which variant of the data, where it is not the course's own."""
    demo: str = ""
    """Why the result counts for nothing (`random weights`); bars are then not judged."""
    warning: str = ""
    """What is wrong with the machine, although it trains: a GPU that torch cannot use."""
    pending: list[dict[str, Any]] = []
    """Live changes made after `from_step` in an earlier attempt, `{"step", "settings"}` each, that will be applied again at their steps."""


class Mark(Event):
    """What a person (or the loop) changed at this step: a line for people, and the settings with their new values."""

    text: str
    settings: dict[str, Any] = {}
    command: str = ""


class Answer(Event):
    """What became of a command."""

    command: str
    ok: bool = True
    message: str = ""


AnyEvent = Scalars | Text | Images | Curve | Matrix | Scatter | Table | Status | Mark | Answer
Tagged = Text | Images | Curve | Matrix | Scatter | Table

CAUSES = {
    "steps": "all its steps done",
    "patience": "no improvement for as long as its patience",
    "person": "a person asked for it",
    "sigterm": "asked to end by SIGTERM",
    "killed": "killed by a person",
    "signal": "killed by a signal from outside",
    "memory": "out of memory",
    "device": "its device cannot be used",
    "device-memory": "the device's memory is full",
    "disk-full": "the disk is full",
    "not-finite": "a value became NaN or infinite",
    "data": "its data cannot be used",
    "fit": "its checkpoint does not fit its settings",
    "import": "its code cannot be imported",
    "exception": "an error in its code",
    "error": "something a person can mend",
    "ranks": "not all of its processes came together",
    "ranks-differ": "its processes do not compute the same",
    "restart": "the machine was restarted",
    "time-limit": "its time limit ended",
    "node": "its node failed",
    "preempted": "another job took its place",
    "cancelled": "its job was cancelled",
    "job": "its job ended before it could say why",
    "forgotten": "Slurm no longer knows its job",
    "vanished": "killed from outside, all its processes at once",
    "unseen": "nobody saw how it ended",
}

Split = tuple[str, str, str]


def split_tag(tag: str) -> Split:
    """`train/loss/generator` → ("train", "loss", "generator"); a missing part is ""."""
    split, _, rest = tag.partition("/")
    metric, _, series = rest.partition("/")
    return (split, metric, series) if metric else ("", split, "")


EventType = TypeVar("EventType", bound=Event)


def placed(event: EventType, step: int, epoch: float, split: str = "") -> EventType:
    """The same event at a step, its tags under `split/`."""
    event.step, event.epoch = step, epoch
    if split:
        if isinstance(event, Scalars):
            event.values = {f"{split}/{tag}": value for tag, value in event.values.items()}
        elif isinstance(event, Tagged):
            event.tag = f"{split}/{event.tag}"
    return event


def _listed(value: Any) -> Any:
    """Arrays and numbers of NumPy and torch, which a project may well put into an event, as plain lists and numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    # So msgspec asks it of a hook that does not know a type; its error names the type.
    raise NotImplementedError


_encoder = msgspec.json.Encoder(enc_hook=_listed)
CRC_MEMBER = b',"crc":"'
_END = re.compile(rb',"crc":"[0-9a-f]{8}"\}')
_decoder = msgspec.json.Decoder(AnyEvent)
decode_plain: Callable[[bytes], AnyEvent] = _decoder.decode
"""Decodes a whole line that `is_plain`; msgspec.DecodeError where `decode` must look closer."""
decode_lines: Callable[[bytes], list[AnyEvent]] = _decoder.decode_lines
"""The same for many lines at once."""
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def spelled(value: Any) -> Any:
    """NaN and infinity as words, as JSON has no numbers for them and msgspec would write null."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return _each(value, spelled)


def plain(event: Event) -> dict[str, Any]:
    """The event as plain data for JSON; `as_event` takes it back."""
    data: dict[str, Any] = spelled(msgspec.to_builtins(event, enc_hook=_listed))
    if isinstance(event, Scalars):
        # None, unlike NaN, says that there is no such figure at this step.
        data["values"] = {tag: value for tag, value in data["values"].items() if value is not None}
    return data


def _unspelled(value: Any) -> Any:
    return _SPECIAL.get(value, value) if isinstance(value, str) else _each(value, _unspelled)


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same value with every item of it changed."""
    if isinstance(value, dict):
        return {key: change(item) for key, item in value.items()}
    return [change(item) for item in value] if isinstance(value, list | tuple) else value


def seal(body: bytes) -> bytes:
    """One JSON object as a line of the log: with its CRC as last member, and the newline."""
    # Without the closing brace, which comes back behind the CRC.
    body = body[:-1]
    return b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def encode(event: Event) -> bytes:
    """The event as one line of the log, newline included."""
    try:
        body = _encoder.encode(event)
        # msgspec writes NaN and infinity as null. A text with this word takes the slow way in vain.
        if b"null" in body:
            body = _encoder.encode(plain(event))
    except UnicodeEncodeError:  # half a surrogate pair, as in a file name that is not UTF-8
        body = _encoder.encode(spelled(cleaned(msgspec.to_builtins(event, enc_hook=_listed))))
    return seal(body)


def version_line() -> bytes:
    """The first line of every log."""
    return seal(_encoder.encode({"format": FORMAT, "version": VERSION}))


def whole(line: bytes) -> bytes | None:
    """The line's body without its CRC, or None where the CRC does not agree with it."""
    # The last 18 bytes: `,"crc":"`, eight hexadecimal digits, `"}`.
    if line[-18:-10] != CRC_MEMBER or line[-2:] != b'"}':
        return None
    body = line[:-18]
    return body if b"%08x" % zlib.crc32(body) == line[-10:-2] else None


def pieces(line: bytes) -> list[bytes]:
    """A damaged line cut again after each CRC, for where the newline was damaged: then one foreign byte stands between two records."""
    ends = [end.end() for end in _END.finditer(line)]
    cuts = [line[start:end] for start, end in zip([0, *ends], [*ends, len(line)], strict=True)]
    return [cut if cut.startswith(b"{") else cut[1:] for cut in cuts if cut]


def last_end(data: bytes) -> int:
    """Where the last thing that looks like a record's end ends; 0 where there is none."""
    start = data.rfind(CRC_MEMBER)
    while start >= 0:
        end = _END.match(data, start)
        if end:
            return end.end()
        start = data.rfind(CRC_MEMBER, 0, start)
    return 0


def is_plain(data: bytes) -> bool:
    """Whether nothing in it can need cleaning."""
    # JSON spells control characters with a backslash, but DEL (0x7f) as it is (RFC 8259, section 7).
    return b"\\" not in data and data.isascii() and b"\x7f" not in data


class Unknown(msgspec.Struct, frozen=True):
    """A record of a type that this version does not know: whole, counted, and skipped."""

    type: str


def decode(body: bytes) -> AnyEvent | Unknown | None:
    """The event of a whole line's body (what `whole` returned), with foreign text cleaned; None where it is no event at all."""
    line = body + b"}"
    # Nearly every line: nothing in it to clean, and no word in the place of a number, which fails here.
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        if is_plain(line):
            return decode_plain(line)
    try:
        return as_event(msgspec.json.decode(line))
    except (msgspec.DecodeError, RecursionError):
        return None


def as_event(data: Any) -> AnyEvent | Unknown | None:
    """The event of plain data (what `plain` returned), with foreign text cleaned; None where it is no event at all."""
    value = cleaned(data)
    name: Any = value.get("type") if isinstance(value, dict) else None
    if not isinstance(name, str):
        return None
    try:
        # Only where numbers belong: a text that says NaN stays a text.
        numbers = {member: _unspelled(value[member]) for member in ("values", "x", "y", "at") if member in value}
        return msgspec.convert({**value, **numbers}, AnyEvent)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        # Valid JSON with a type or members that are not ours: a newer version may have written it.
        return Unknown(name)
