"""The run's log: EventLog appends (one writer, the worker), Tail reads in slices with a time budget (the terminal program, the shell)."""

import contextlib
import errno
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec

from workbench import events, files
from workbench.events import AnyEvent, Curve, Event, Images, Matrix, Scatter, Unknown, decode_lines
from workbench.problems import Problem, one_line
from workbench.runs.rows import Row, RowDecoder

if TYPE_CHECKING:
    import numpy as np

NAMED = 3
"""Unknown types that are named."""
SLICE = 1 << 18
"""Bytes read at a time: a slice of them is decoded in a few milliseconds."""


class EventLog:
    """Appends events to `events.jsonl`; pictures and big arrays go to `artifacts/` first, then the line that names them.

    A record whose `write` has returned is in the kernel's hands: it survives the death of this process. A thread syncs to the disk once
    a second, so that it survives a power failure too, and the training never waits for the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._artifacts = folder / "artifacts"
        self._count = 0
        self._file = files.open_plain(folder / "events.jsonl", os.O_RDWR | os.O_APPEND | os.O_CREAT)
        size = os.fstat(self._file).st_size
        # A death in the middle of a write leaves half a line, which must not swallow the next one.
        self._torn = size > 0 and os.pread(self._file, 1, size - 1) != b"\n"
        # Empty, or torn within its first line.
        if size < len(events.version_line()) - 1:
            self._append(events.version_line())
        self._dirty = threading.Event()
        self._closed = threading.Event()
        self._syncer = threading.Thread(target=self._sync, name="log-sync", daemon=True)
        self._syncer.start()

    def write(self, event: Event) -> None:
        """Append one event, stamped with the time. Raises Problem (cause disk-full) when it cannot be kept whole."""
        event.time, event.clock = time.time(), time.monotonic()
        self.append(self.line(event))

    def line(self, event: Event) -> bytes:
        """An event that has its time as one line; what is too big for one goes to an artifact first. Raises as `write`."""
        with self._named():
            if isinstance(event, Images) and event.png:
                event = msgspec.structs.replace(event, png=b"", file=self._keep(event.png, ".png"))
            line = events.encode(event)
            if len(line) > events.LINE_LIMIT:
                line = events.encode(self._shortened(event))
                if len(line) > events.LINE_LIMIT:
                    raise _too_long(event)
            return line

    def append(self, lines: bytes) -> None:
        """Append one line or more, as `line` gives them; on an error none of them counts as written. Raises as `write`."""
        with self._named():
            self._append(lines)
        if not self._dirty.is_set():  # else the sync to come is still before its clear(), and syncs this too
            self._dirty.set()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # EFBIG: longer than the file system or `ulimit -f` allows.
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise disk_full(self.folder) from error
            raise

    def close(self) -> None:
        """Sync and close; the last record is on the disk afterwards."""
        self._closed.set()
        self._dirty.set()
        self._syncer.join()
        self._fsync()
        os.close(self._file)

    def _append(self, line: bytes) -> None:
        if self._torn:
            line = b"\n" + line
        # Until the write returns, whatever stops it may have left a part.
        self._torn = True
        _write_all(self._file, line)
        self._torn = False

    def _keep(self, data: bytes, suffix: str) -> str:
        """Write an artifact under a name of its own; a later attempt never overwrites an earlier one's."""
        self._artifacts.mkdir(exist_ok=True)
        while True:
            self._count += 1
            path = self._artifacts / f"{self._count:06d}{suffix}"
            try:
                file = files.open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                # One look at the folder, in place of a try for each name that an earlier attempt took.
                self._count = max(self._count, _highest(self._artifacts))
                continue
            try:
                _write_all(file, data)
            except OSError:
                # Half a picture that no line names would stay for ever.
                path.unlink()
                raise
            finally:
                os.close(file)
            return f"artifacts/{path.name}"

    def _shortened(self, event: Event) -> Event:
        """The event with what makes it too long for a line moved to an artifact, or, for text, cut."""
        replace = msgspec.structs.replace
        if isinstance(event, Matrix):
            return replace(event, values=[], file=self._keep(_npy(event.values), ".npy"))
        if isinstance(event, Curve):
            values = [event.x, event.y, event.at] if event.at else [event.x, event.y]
            return replace(event, x=[], y=[], at=[], file=self._keep(_npy(values), ".npy"))
        if isinstance(event, Scatter):
            # An artifact holds numbers alone: labels stay in the line, or are dropped where they would fill it.
            labels = event.labels if len(events.encode(replace(event, x=[], y=[]))) < events.LINE_LIMIT else []
            return replace(event, x=[], y=[], labels=labels, file=self._keep(_npy([event.x, event.y]), ".npy"))
        if isinstance(event, Images):
            captions = [caption[:40] for caption in event.captions]
            return replace(event, captions=captions if len(captions) <= 400 else [])
        if isinstance(event, events.Text):
            return replace(event, text=_cut(event.text), prompt=event.prompt[:1000])
        if isinstance(event, events.Table):
            rows = [[cell[:1000] if isinstance(cell, str) else cell for cell in row] for row in event.rows]
            # Halved until they fit, since only encoding tells how long they are.
            while len(rows) > 1 and len(events.encode(replace(event, rows=rows))) > events.LINE_LIMIT:
                rows = rows[: len(rows) // 2]
            return replace(event, rows=rows, cells=event.cells[: len(rows)])
        if isinstance(event, events.Status | events.Answer):
            return replace(event, message=_cut(event.message))
        if isinstance(event, events.Mark):
            return replace(event, text=_cut(event.text))
        return event

    def _sync(self) -> None:
        while not self._closed.is_set():
            self._dirty.wait()
            # Before the sync: what is written during it sets the flag again.
            self._dirty.clear()
            self._fsync()
            self._closed.wait(1)

    def _fsync(self) -> None:
        with contextlib.suppress(OSError):  # the next write meets the same trouble and names it
            os.fsync(self._file)


def _write_all(file: int, data: bytes) -> None:
    """A full disk may take a part of it, and say so only at the next write."""
    written = 0
    while written < len(data):
        written += os.write(file, data[written:])


def _cut(text: str) -> str:
    """Text that fits in a line, even where JSON needs six bytes for each character."""
    return text if len(text) <= events.LINE_LIMIT // 8 else text[: events.LINE_LIMIT // 8] + "\n… (cut)"


def _npy(rows: list[list[float]]) -> bytes:
    """Rows of doubles in NumPy's .npy format; NumPy is imported only here and where they are read, so that lists start without it."""
    import numpy as np

    file = BytesIO()
    try:
        # The order of bytes is named, as a log may be read on another kind of machine.
        np.save(file, np.array(rows, "<f8"), allow_pickle=False)
    except ValueError:
        raise Problem("An event has rows, or x and y, of different lengths.", "Give as many values to each.", cause="data") from None
    return file.getvalue()


def read_rows(path: Path) -> "np.ndarray":
    """The rows of doubles, (rows, columns), in an artifact of a log. OSError where it is no plain file, ValueError where it is damaged."""
    from tokenize import TokenError

    import numpy as np

    file = BytesIO(files.read_plain(path))
    try:
        np.lib.format.read_magic(file)
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
    except (SyntaxError, TokenError):  # its parser's, for some damaged headers
        shape, by_columns, kind = (), False, np.dtype("<f8")
    if len(shape) != 2 or by_columns or kind != np.dtype("<f8"):
        raise ValueError(f"{path.name} does not hold rows of numbers")
    # Not np.load: that allocates whatever size a header names.
    return np.frombuffer(file.read(), kind).reshape(shape)


def _too_long(event: Event) -> Problem:
    tag = one_line(getattr(event, "tag", ""), 100)
    return Problem(f"A {type(event).__name__} event {tag} is longer than a line of the log may be.", "Return less in it.", cause="data")


def disk_full(folder: Path) -> Problem:
    """The one sentence for a disk without room."""
    return Problem(
        f"The disk that holds {folder} is full.", "Free some space (old runs: `dlwb runs`), then `dlwb resume` this run.", cause="disk-full"
    )


def _highest(folder: Path) -> int:
    return max((int(path.stem) for path in folder.iterdir() if path.stem.isdigit()), default=0)


class Tail:
    """Reads a log from where it stopped last; an unfinished last line is "not yet".

    `damaged` counts the lines, or parts of lines, that no CRC vouches for; `unknown` the whole records of unknown type or of another
    shape than their type has. Every other record is read, whatever happened to its neighbours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        self.unknown = 0
        self._types: dict[str, None] = {}
        """Types of those."""
        self.caught_up = False
        """True when the last `read` reached the end of the file."""
        self._offset = 0
        self._rest = b""
        """The last line, as long as its newline has not come."""
        self._taken = 0
        """How many of its bytes have been read already."""
        self._decode_rows = RowDecoder()

    def read(self, budget: float | None = None) -> Iterator[AnyEvent]:
        """Yield the new events; stop at the end of the file, or between slices once `budget` seconds are over."""
        for events_ in self._slices(decode_lines, budget):
            yield from events_

    def rows(self, budget: float | None = None) -> Iterator[Iterable[AnyEvent | Row]]:
        """The same slice by slice, most scalars as rows: the quick way into a History, which folds a slice while it is in the cache."""
        return self._slices(self._decode_rows, budget)

    def _slices(self, decode: Callable[[bytes], list[Any]], budget: float | None) -> Iterator[Iterable[Any]]:
        deadline = None if budget is None else time.perf_counter() + budget
        self.caught_up = False
        try:
            file = files.open_plain(self.path)
        except (FileNotFoundError, NotADirectoryError):
            self.caught_up = True
            return
        except OSError as error:
            raise files.problem(f"The log {self.path}", "read", error, self.path) from error
        try:
            for end, data in files.pieces(file, self._offset, SLICE):
                self._offset = end
                first, *lines = (self._rest + data).split(b"\n")
                if lines:
                    self._rest = lines.pop()
                    # Records in its beginning may have been read while its newline had not come, see `_unfinished`.
                    yield list(self._line(first[self._taken :]))
                    self._taken = 0
                    try:
                        # The quick way does not clean, so a slice with an escaped character goes line by line. All lines or none:
                        # where one is damaged, each is read by itself.
                        together = _plain(lines, decode) if events.is_plain(data) else None
                    except (ValueError, RecursionError):
                        together = None
                    if together is not None:
                        yield together
                    else:
                        yield from (list(self._line(line)) for line in lines)
                else:
                    self._rest = first
                if len(self._rest) > SLICE:
                    yield list(self._overlong())
                if deadline is not None and time.perf_counter() > deadline:
                    return
            self.caught_up = True
            yield list(self._unfinished())
        except OSError as error:
            raise files.problem(f"The log {self.path}", "read", error, self.path) from error
        finally:
            os.close(file)

    @property
    def remark(self) -> str:
        """What was left out, in a sentence; "" where every record was read."""
        types = ", ".join(list(self._types)[:NAMED]) + " …" * (len(self._types) > NAMED)
        left_out = [
            f"{count:,} record{'s' * (count != 1)} {what}"
            for count, what in (
                (self.unknown, f"of a type or a shape that this dlwb does not know ({types})"),
                (self.damaged, "that cannot be read"),
            )
            if count
        ]
        return f"Left out of the log: {'; '.join(left_out)}." if left_out else ""

    def _unfinished(self) -> Iterator[AnyEvent]:
        """In a last line without its newline, read every record that its CRC says is whole."""
        end = events.last_end(self._rest)
        if end > self._taken:
            whole = [events.whole(piece) for piece in events.pieces(self._rest[self._taken : end])]
            yield from self._events([body for body in whole if body is not None])
            self._taken = end

    def _overlong(self) -> Iterator[AnyEvent]:
        """No line is that long: take what is whole in it, and keep only as much as a record may still need to end."""
        yield from self._unfinished()
        self._rest = self._rest[max(self._taken, len(self._rest) - events.LINE_LIMIT) :]
        self._taken = 0
        self.damaged += 1

    def _line(self, line: bytes) -> Iterator[AnyEvent]:
        if not line:
            return
        body = events.whole(line)
        if body is not None:
            yield from self._events([body])
            return
        bodies = [events.whole(piece) for piece in events.pieces(line)]
        # A line in which no record ends counts as one.
        self.damaged += bodies.count(None) or 1
        yield from self._events([body for body in bodies if body is not None])

    def _events(self, bodies: list[bytes]) -> Iterator[AnyEvent]:
        for body in bodies:
            event = events.decode(body)
            if isinstance(event, Unknown):
                self.unknown += 1
                if len(self._types) <= NAMED:
                    self._types[one_line(event.type, 20)] = None
            elif event is not None:
                yield event
            else:
                self._version(body)

    def _version(self, body: bytes) -> None:
        try:
            head = msgspec.json.decode(body + b"}")
        except (msgspec.DecodeError, RecursionError):
            head = None
        if not isinstance(head, dict) or head.get("format") != events.FORMAT:
            self.damaged += 1
        elif head.get("version") != events.VERSION:
            self._offset, self._rest = 0, b""  # so that it is refused again
            raise Problem(
                f"{self.path} is written in version {head.get('version')} of the log's format; this dlwb reads version {events.VERSION}.",
                "Upgrade dlwb to open it.",
            )


def _plain(lines: list[bytes], decode: Callable[[bytes], list[Any]]) -> list[Any]:
    """The events of whole plain lines, nearly all there are, at once; ValueError (msgspec's too) where one must be looked at closer."""
    if not lines:
        return []
    # The last 18 bytes are the CRC, see `events.whole`. All of them are spelled at once: one format for each takes three times as long.
    digits = struct.pack(f">{len(lines)}I", *[crc32(line[:-18]) for line in lines]).hex(" ", 4).replace(" ", '"},"crc":"')
    if b"".join([line[-18:] for line in lines]) != f',"crc":"{digits}"}}'.encode():
        raise ValueError
    return decode(b"\n".join(lines))


def read_all(path: Path) -> tuple[list[AnyEvent], Tail]:
    """All events of a log that can be read, and the Tail with its counts."""
    tail = Tail(path)
    return list(tail.read()), tail
