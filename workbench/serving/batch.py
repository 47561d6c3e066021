"""Batch transform: a file of inputs to a file of answers, in the order of the input; killed and run again it makes the same bytes.

Beside the output lie its unfinished part and a note of what is done, both synced after each piece. Pieces begin at fixed rows, so that a
resumed transform sends the model the same batches: other batches would add up in another order.
"""

import csv
import hashlib
import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench import files
from workbench.encoding.kinds import Number, Picture, RowOfNumbers
from workbench.problems import Problem, one_line
from workbench.runs import lock
from workbench.serving.session import Session

PIECE = 512
"""Rows between two notes of what is done."""
BATCH = 64
"""Rows that go through the model at once."""
DIGITS = 6
"""Significant digits of a number in the output: the last ones depend on how rows are batched."""
LONGEST_LINE = 6 << 20
"""Bytes of an input line, as of a request."""
PICTURES = {".png", ".jpg", ".jpeg"}
Natural = Annotated[int, Meta(ge=0, le=2**62)]
OnError = Literal["stop", "row"]


class BadRow(Problem):
    """A row that the model does not take."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What the side file notes."""

    input: str
    """Hash of the input."""
    model: str
    rows: Natural
    size: Natural
    """Bytes of the part that these rows fill."""
    errors: Natural = 0


def transform(session: Session, source: Path, target: Path, on_error: OnError = "stop", doing: Callable[[int], None] | None = None) -> Done:
    """Answer every row of `source` in `target`, .csv or .jsonl; goes on where an earlier, unfinished call ended.

    Raises Problem for an input or a model that has changed since then, and with "stop" at the first row that the model does not take:
    what was done before it stays.
    """
    if target.suffix not in (".csv", ".jsonl"):
        raise Problem(f"The output {one_line(target.name, 80)} ends neither in .csv nor in .jsonl.", "Name it answers.csv.")
    if target.exists():
        raise Problem(f"{one_line(str(target))} is there already.", "Remove it, or name another file.")
    part, note = target.with_name(f".{target.name}.part"), target.with_name(f".{target.name}.done")
    rows, identity, columns = _rows(session, source), _identity(source), _columns(session)
    # In a folder nothing but its name tells a picture from the others.
    named = source.is_dir()
    try:
        held = lock.Lock.take(part)
        # Who waited for the end of another transform has locked what is its output now.
        if held is None or not os.path.samestat(os.fstat(held.file), os.lstat(part)):
            raise Problem(f"Another transform is writing {one_line(str(target))}.", "Wait for its end, or name another file.")
    except OSError as error:
        raise files.problem(f"The output {one_line(str(part))}", "written", error, part) from error
    with os.fdopen(held.file, "r+b") as out:
        done = _begun(note, part, identity, session.folder.digest)
        out.truncate(done.size)
        out.seek(done.size)
        if target.suffix == ".csv" and not done.size:
            out.write(_csv([*["picture"][:named], *columns, "error"]))
        rest = iter(rows)
        if sum(1 for _ in islice(rest, done.rows)) < done.rows:
            raise Problem(f"{one_line(str(note))} is damaged.", "Remove it to begin again.", "data")
        while piece := list(islice(rest, PIECE)):
            lines, errors, bad = [], 0, None
            for start in range(0, len(piece), BATCH):
                batch = piece[start : start + BATCH]
                good = [raw for _, raw in batch if not isinstance(raw, Problem)]
                answers = iter(session.answers(good))
                for where, raw in batch:
                    answer = raw if isinstance(raw, Problem) else next(answers)
                    if isinstance(answer, Problem):
                        bad = bad or BadRow(f"{where}: {answer.message}", answer.hint, "data")
                        if on_error == "stop":
                            break
                        errors += 1
                    lines.append(_line(target.suffix, columns, answer, where if named else ""))
                if bad and on_error == "stop":
                    break
            out.write(b"".join(lines))
            out.flush()
            os.fsync(out.fileno())
            # A piece that was cut by a bad row is done again as a whole, so that its batches stay the same.
            if bad and on_error == "stop":
                raise bad
            done = msgspec.structs.replace(done, rows=done.rows + len(piece), size=out.tell(), errors=done.errors + errors)
            files.write(note, msgspec.json.encode(done))
            if doing:
                doing(done.rows)
    part.replace(target)
    note.unlink(missing_ok=True)
    return done


def _begun(note: Path, part: Path, identity: str, digest: str) -> Done:
    """What an earlier call has done; nothing where there was none."""
    fresh = Done(input=identity, model=digest, rows=0, size=0)
    try:
        done = msgspec.json.decode(files.read_plain(note), type=Done)
        size = part.stat().st_size
    except FileNotFoundError:
        return fresh
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        raise Problem(
            f"{one_line(str(note))} is damaged.", f"Remove it and {one_line(part.name)}: the transform then begins again."
        ) from None
    advice = f"Remove {one_line(str(note))} to begin again."
    if done.input != identity:
        raise Problem("The input has changed since this transform began.", advice, "data")
    if done.model != digest:
        raise Problem("The model is not the one that this transform began with.", advice, "data")
    if size < done.size:
        raise Problem(f"{one_line(str(part))} is shorter than what was done.", advice, "data")
    return done


def _identity(source: Path) -> str:
    """The hash of a file's content, or of a folder's list of pictures with their sizes and times."""
    if source.is_dir():
        # Of a link itself: it is no picture, and may lead nowhere.
        stats = [(path.name, path.lstat()) for path in _pictures(source)]
        return hashlib.sha256(repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]).encode()).hexdigest()
    try:
        with os.fdopen(files.open_plain(source, follow=True), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise files.problem(f"The input {one_line(str(source))}", "read", error, source, "data") from error


def _pictures(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not found:
        raise Problem(f"There is no PNG or JPEG picture in {one_line(str(folder))}.", "", "data")
    return found


# -- reading ------------------------------------------------------------------------------------------------------------------------


def _rows(session: Session, source: Path) -> Iterator[tuple[str, Any]]:
    """Each row's place in words, and its raw input or why it is none."""
    readers: dict[str, Callable[[Session, Path], Iterator[tuple[str, Any]]]] = {".csv": _of_csv, ".jsonl": _of_json_lines, ".txt": _of_text}
    if source.is_dir():
        if not isinstance(session.coding.encoder, Picture):
            raise Problem(f"{session.folder.label} takes no pictures, and {one_line(str(source))} is a folder.", "", "data")
        return ((path.name, _picture(path)) for path in _pictures(source))
    if source.suffix not in readers:
        raise Problem(f"{one_line(source.name, 80)} is none of .csv, .jsonl and .txt, and no folder of pictures.", "", "data")
    return readers[source.suffix](session, source)


def _picture(path: Path) -> Any:
    try:
        return {"picture": b64encode(files.read_plain(path)).decode()}
    except OSError as error:
        return Problem(f"It cannot be read: {error.strerror}.", "", "data")


def _lines(source: Path) -> Iterator[tuple[int, str | Problem]]:
    with os.fdopen(files.open_plain(source, follow=True), "rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                while not line.endswith(b"\n") and line:
                    line = file.readline(LONGEST_LINE)
                yield number, Problem(f"The line is longer than {LONGEST_LINE >> 20} MiB.", "", "data")
                continue
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                yield number, Problem("The line is not UTF-8.", "", "data")


def _of_text(session: Session, source: Path) -> Iterator[tuple[str, Any]]:
    yield from ((f"line {number}", line) for number, line in _lines(source))


def _of_json_lines(session: Session, source: Path) -> Iterator[tuple[str, Any]]:
    for number, line in _lines(source):
        try:
            raw = line if isinstance(line, Problem) else msgspec.json.decode(line)
        except (ValueError, RecursionError):
            raw = Problem("It is not JSON.", "Write one JSON value in each line.", "data")
        yield f"line {number}", raw


def _of_csv(session: Session, source: Path) -> Iterator[tuple[str, Any]]:
    """A table whose first row names columns of the model, or else rows of numbers, or one text a row."""
    encoder = session.coding.encoder
    names = [column.name for column in encoder.columns] if isinstance(encoder, RowOfNumbers) else []
    with os.fdopen(files.open_plain(source, follow=True), "r", encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        header: list[str] | None = None
        while True:
            before = csv.field_size_limit(LONGEST_LINE)
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield f"line {reader.line_num}", Problem(f"It is not CSV: {one_line(str(error), 80)}.", "", "data")
                continue
            finally:
                # It is the whole process's limit.
                csv.field_size_limit(before)
            if header is None:
                header = row if names and set(row) & set(names) else ["review"] if row == ["review"] else []
                if header:
                    continue
            if row:
                yield f"line {reader.line_num}", _of_fields(row, header, names)


def _of_fields(row: Sequence[str], header: Sequence[str], names: Sequence[str]) -> Any:
    if not names and len(row) == 1:
        return row[0]
    if header and len(row) != len(header):
        return Problem(f"It has {len(row)} fields, where the first row has {len(header)}.", "", "data")
    try:
        numbers = [float(field) for field in row]
    except ValueError:
        wrong = next(field for field in row if not _is_number(field))
        return Problem(f"{one_line(wrong, 40)!r} is no number.", "", "data")
    if not names:
        return numbers
    if len(numbers) != len(header or names):
        return Problem(f"{len(numbers)} numbers; this model takes {len(names)}.", "", "data")
    return {"row": dict(zip(header or names, numbers, strict=True))}


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


# -- writing ------------------------------------------------------------------------------------------------------------------------


def _columns(session: Session) -> list[str]:
    coding = session.coding
    return ["answer"] if isinstance(coding.decoder, Number) else ["answer", *coding.labels]


def _line(suffix: str, columns: Sequence[str], answer: Any, picture: str) -> bytes:
    which = [one_line(picture)] if picture else []
    if suffix == ".jsonl":
        line = {"error": answer.message} if isinstance(answer, Problem) else _rounded(answer)
        return json.dumps({"picture": which[0], **line} if which else line, ensure_ascii=False).encode() + b"\n"
    if isinstance(answer, Problem):
        return _csv([*which, *("" for _ in columns), answer.message])
    shares = answer.get("probabilities", {})
    first = answer["answer"]
    return _csv([*which, _short(first), *(_short(shares.get(name, "")) for name in columns[1:]), ""])


def _rounded(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {key: _rounded(value) for key, value in answer.items()}
    return float(_short(answer)) if isinstance(answer, float) else answer


def _short(value: Any) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def _csv(fields: Sequence[str]) -> bytes:
    import io

    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(fields)
    return line.getvalue().encode()
