"""Bodies to raw inputs, answers to bodies: JSON, JSON lines, CSV, text, pictures; SageMaker's and MLflow's forms. In the worker alone."""

import csv
import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from workbench.encoding.coding import Coding
from workbench.encoding.kinds import BagOfWords, Picture, RowOfNumbers, Tensor, TextCodes
from workbench.problems import Problem, one_line
from workbench.serving import headers, inference
from workbench.serving.inference import Asked
from workbench.serving.messages import MOST_ROWS, Refusal, Reply, Request

MLFLOW = ("instances", "inputs", "dataframe_split", "dataframe_records")
_JSON, _VALUES = msgspec.json.Encoder(), msgspec.json.Decoder()
MOST_ANSWERS = 16
"""Bare answers that go back beside the body."""


def read(coding: Coding, request: Request) -> Asked:
    """The inputs of a body. Raises Refusal: 400 for a body that cannot be read, 413 for too many inputs."""
    asked = _READERS.get(request.content, _picture)(coding, request)
    if not asked.raws:
        raise Refusal(400, "The body has no input.")
    if len(asked.raws) > MOST_ROWS:
        raise Refusal(413, f"The body has {len(asked.raws):,} inputs; {MOST_ROWS:,} are answered at once.", "Send it in parts.")
    return asked


def reply(asked: Asked, answers: Sequence[dict[str, Any] | Problem]) -> Reply:
    """The reply to a body: all of its answers, or what is wrong with the first input that has none."""
    good: list[dict[str, Any]] = []
    for place, answer in enumerate(answers):
        if isinstance(answer, Problem):
            message = str(answer) if len(answers) == 1 else f"{asked.place} {place + 1}: {answer}"
            return Reply(answer.code if isinstance(answer, Refusal) else 400, message=one_line(message), rows=len(answers))
        good.append(answer)
    content, body = asked.write(good)
    return Reply(200, body, content, "", [answer["answer"] for answer in good[:MOST_ANSWERS]], len(good))


def decoded(body: bytes | str) -> Any:
    """A JSON value. Raises Refusal (400) for what is none: also for NaN, a repeated key, and nesting that is too deep."""
    try:
        value = _VALUES.decode(body)
        # Each pair has a colon, so that as many keys as colons leave none that was repeated. Texts with colons are read once more.
        if _keys(value) != body.count(b":" if isinstance(body, bytes) else ":"):  # type: ignore[arg-type]
            json.loads(body, object_pairs_hook=_unique)
        return value
    except RecursionError:
        raise Refusal(400, "The JSON is nested too deeply.") from None
    except msgspec.DecodeError as error:
        raise Refusal(400, f"The body is not JSON: {one_line(str(error), 200)}.") from None
    except ValueError as error:
        # Python's reader has limits of its own, as on the digits of a number.
        raise Refusal(400, f"The body is not JSON: {one_line(str(error), 200)}.") from None


def _keys(value: Any) -> int:
    """How many keys the objects in it have; too few where they lie in places where one does not look for them."""
    if isinstance(value, dict):
        return len(value) + sum(_keys(item) for item in value.values())
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sum(_keys(item) for item in value)
    return 0


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        name = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Refusal(400, f"The key {one_line(name, 80)!r} stands twice in one object.")
    return found


# -- in -----------------------------------------------------------------------------------------------------------------------------


def _json(coding: Coding, request: Request) -> Asked:
    value = decoded(request.body)
    if request.form == "infer":
        return inference.read(coding, value, request.model)
    if isinstance(value, dict) and any(key in value for key in MLFLOW):
        return _mlflow(coding, value, request)
    raws, one = split(coding, value)
    return Asked(raws, _writer(request.accept, one=one))


def _lines(coding: Coding, request: Request) -> Asked:
    raws = []
    for number, line in enumerate(request.body.split(b"\n"), 1):
        if line.strip():
            try:
                raws.append(decoded(line))
            except Refusal as refusal:
                raise Refusal(400, f"Line {number}: {refusal.message}", refusal.hint) from None
    return Asked(raws, _writer(request.accept or headers.LINES), "Line")


def _csv(coding: Coding, request: Request) -> Asked:
    """Rows without a header and without a label: measurements in the order of the model's columns, codes or counts; or one text a row."""
    text = _text(request.body)
    encoder = coding.encoder
    raws: list[Any] = []
    try:
        for number, row in enumerate(csv.reader(text.splitlines(), strict=True), 1):
            if not row:
                continue
            if isinstance(encoder, TextCodes | BagOfWords) and len(row) == 1 and not _is_number(row[0]):
                raws.append(row[0])
                continue
            # float() takes "1_000", which no other program means.
            values = [float(cell) if "_" not in cell else _no_number(cell) for cell in row]
            if isinstance(encoder, RowOfNumbers):
                if len(values) != len(encoder.columns):
                    raise Refusal(400, f"Row {number} has {len(values)} numbers; this model takes {len(encoder.columns)}.")
                raws.append({"row": {column.name: value for column, value in zip(encoder.columns, values, strict=True)}})
            else:
                raws.append(values)
    except csv.Error as error:
        raise Refusal(400, f"The body is not CSV: {one_line(str(error), 200)}.") from None
    except ValueError:
        cell = next(cell for cell in row if not _is_number(cell))
        message = f"Row {number} has {one_line(cell, 40)!r} where a number is right."
        raise Refusal(400, message, "Send no header and no label.") from None
    return Asked(raws, _writer(request.accept), "Row")


def _plain(coding: Coding, request: Request) -> Asked:
    return Asked([_text(request.body)], _writer(request.accept, one=True))


def _picture(coding: Coding, request: Request) -> Asked:
    return Asked([{"picture": b64encode(request.body).decode()}], _writer(request.accept, one=True))


_READERS = {headers.JSON: _json, headers.LINES: _lines, headers.CSV: _csv, headers.TEXT: _plain}


def split(coding: Coding, value: Any) -> tuple[list[Any], bool]:
    """The inputs in a JSON value, and whether it is a single one, not a list of them."""
    if not isinstance(value, list):
        return [value], True
    if not value or isinstance(value[0], dict | str):
        return value, False
    depth, inner, shape = 0, cast(Any, value), []
    while isinstance(inner, list):
        shape.append(len(inner))
        depth, inner = depth + 1, inner[0] if inner else None
    encoder = coding.encoder
    if isinstance(encoder, Picture):
        sizes = tuple(shape)
        one = depth == 1 or sizes == encoder.shape or (encoder.shape[0] == 1 and sizes == encoder.shape[1:])
    else:
        one = depth <= (len(encoder.shape) if isinstance(encoder, Tensor) else 1)
    return ([value], True) if one else (value, False)


def _mlflow(coding: Coding, value: dict[str, Any], request: Request) -> Asked:
    """The forms of MLflow's scoring server; its answer is {"predictions": […]}."""
    named = [key for key in MLFLOW if key in value]
    if len(named) > 1:
        raise Refusal(400, f"The body has {' and '.join(named)}; exactly one of {', '.join(MLFLOW)} is right.")
    key, content = named[0], value[named[0]]
    if extra := sorted(value.keys() - {key, "params", "signature_name"}):
        raise Refusal(400, f"The body has {one_line(str(extra[0]), 80)!r} beside {key}.")
    if key in ("instances", "inputs"):
        raws = _columns(coding, content) if isinstance(content, dict) else split(coding, content)[0]
    elif key == "dataframe_records":
        if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
            raise Refusal(400, "dataframe_records is no list of objects.")
        raws = [_record(coding, record) for record in content]
    else:
        columns, data = (content.get("columns"), content.get("data")) if isinstance(content, dict) else (None, None)
        if not isinstance(columns, list) or not isinstance(data, list) or not all(isinstance(name, str) for name in columns):
            raise Refusal(400, 'dataframe_split is no {"columns": […], "data": [[…], …]}.')
        if len(set(columns)) < len(columns):
            raise Refusal(400, "dataframe_split names a column twice.")
        for number, row in enumerate(data, 1):
            if not isinstance(row, list) or len(row) != len(columns):
                raise Refusal(400, f"Row {number} of dataframe_split has not the {len(columns)} values of its columns.")
        raws = [_record(coding, dict(zip(columns, row, strict=True))) for row in data]
    if request.accept in ("", headers.JSON):
        return Asked(raws, lambda answers: (headers.JSON, _JSON.encode({"predictions": answers})))
    return Asked(raws, _writer(request.accept))


def _columns(coding: Coding, content: dict[str, Any]) -> list[Any]:
    """`inputs` by name: lists of the same length, or one input as `predict` takes it."""
    if content and all(isinstance(values, list) for values in content.values()):
        if len(content) == 1:
            return split(coding, next(iter(content.values())))[0]
        if len({len(values) for values in content.values()}) > 1:
            raise Refusal(400, "The columns of inputs have different lengths.")
        names = list(content)
        return [_record(coding, dict(zip(names, row, strict=True))) for row in zip(*content.values(), strict=True)]
    return [content]


def _record(coding: Coding, record: dict[str, Any]) -> Any:
    """A row with names as `Coding.encode` takes it: measurements, or the one column of a text or a picture."""
    if isinstance(coding.encoder, RowOfNumbers):
        return {"row": record}
    if len(record) == 1:
        value = next(iter(record.values()))
        return {"picture": value} if isinstance(coding.encoder, Picture) and isinstance(value, str) else value
    return list(record.values())


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Refusal(400, f"Byte {error.start + 1} of the body is not UTF-8.") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _no_number(cell: str) -> float:
    raise ValueError(cell)


# -- out ----------------------------------------------------------------------------------------------------------------------------


def _writer(accept: str, one: bool = False) -> Callable[[list[dict[str, Any]]], tuple[str, bytes]]:
    """What writes answers as this media type; a single input gets its answer, not a list of one."""
    if accept == headers.LINES:
        return lambda answers: (headers.LINES, b"".join(_JSON.encode(answer) + b"\n" for answer in answers))
    if accept == headers.CSV:
        return lambda answers: (headers.CSV, _as_csv(answers))
    return lambda answers: (headers.JSON, _JSON.encode(answers[0] if one else answers))


def _as_csv(answers: list[dict[str, Any]]) -> bytes:
    """A row for each: the answer, then its probabilities in their order."""
    import io

    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for answer in answers:
        writer.writerow([answer["answer"], *answer.get("probabilities", {}).values()])
    return file.getvalue().encode()
