"""What the router and a worker say to each other: frames of 4 bytes of length and msgpack over a Unix socket."""

from collections.abc import Iterator
from typing import Any

import msgspec

from workbench.problems import Problem

LARGEST_BODY = 6 << 20
"""Bytes, as SageMaker takes them."""
MOST_ROWS = 10_000
"""Inputs of one request."""
LONGEST_FRAME = 1 << 30
_HEAD = 4


class Refusal(Problem):
    """Why a request is not answered, with its HTTP code."""

    def __init__(self, code: int, message: str, hint: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(message, hint, "data")
        self.code, self.headers = code, headers


class Request(msgspec.Struct, array_like=True):
    """One body with the little that is needed to read it."""

    id: str
    body: bytes
    content: str = "application/json"
    """Media type of the body, one of `headers.READ`."""
    accept: str = ""
    """Media type of the answer, one of `headers.WRITTEN`; "" for the one that fits the body."""
    form: str = "invocations"
    """Or `infer`, the Open Inference Protocol."""
    model: str = ""
    """NAME:VERSION, for answers that name it."""


class Reply(msgspec.Struct, array_like=True):
    """The answer to one request; with a code from 400 `message` says why there is none."""

    code: int
    body: bytes = b""
    content: str = "application/json"
    message: str = ""
    answers: list[Any] = []
    """The bare answers of the first inputs, to compare with another variant's or with a label that comes later."""
    rows: int = 1
    batch: int = 0
    """Requests that were answered together with it."""
    model: float = 0.0
    """Seconds in the worker."""
    queue: float = 0.0
    """Seconds until the worker got it."""
    retry_after: int = 0


class Ask(msgspec.Struct, array_like=True, tag="ask"):
    """To a worker: answer these together."""

    requests: list[Request]


class Done(msgspec.Struct, array_like=True, tag="done"):
    """From a worker: the replies in the order of the requests."""

    replies: list[Reply]


class Stats(msgspec.Struct, array_like=True, tag="stats"):
    """To a worker: what have you seen?"""


class Label(msgspec.Struct, array_like=True, tag="label"):
    """To a worker: what was right, where it had answered `answer`."""

    answer: str
    truth: str


class Report(msgspec.Struct, array_like=True, tag="report"):
    """From a worker: what its inputs and outputs look like."""

    report: dict[str, Any]


class Ready(msgspec.Struct, array_like=True, tag="ready"):
    """From a worker: the model is loaded and warm."""


class Refused(msgspec.Struct, array_like=True, tag="refused"):
    """From a worker: the model cannot be served, and why."""

    message: str
    hint: str = ""


Frame = Ask | Done | Stats | Label | Report | Ready | Refused
_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Frame)


def packed(frame: Frame) -> bytes:
    """A frame as it goes over the line."""
    buffer = bytearray(_HEAD)
    _ENCODER.encode_into(frame, buffer, _HEAD)
    buffer[:_HEAD] = (len(buffer) - _HEAD).to_bytes(_HEAD)
    return bytes(buffer)


class Frames:
    """Bytes that come in pieces of any length, cut into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with these bytes. ValueError for what is no frame."""
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            end = _HEAD + int.from_bytes(self._buffer[:_HEAD])
            if end > LONGEST_FRAME:
                raise ValueError("a frame is too long")
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                frame = _DECODER.decode(view[_HEAD:end])
            del self._buffer[:end]
            yield frame
