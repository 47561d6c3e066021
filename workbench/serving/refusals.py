"""A refusal as an HTTP answer: one sentence with its code, the request's id, and the header by which boto3 raises its own errors."""

import re

import msgspec

from workbench.problems import one_line
from workbench.serving.messages import Refusal

_TYPES = {
    400: b"ValidationError",
    401: b"AccessDeniedException",
    404: b"ValidationError",
    429: b"ThrottlingException",
    500: b"ModelError",
    503: b"ServiceUnavailable",
    504: b"ModelError",
}
"""What boto3 raises."""
_ENDPOINT = re.compile(r"/endpoints/([^/]+)/invocations")
SOON = ((b"retry-after", b"1"),)
CLOSE = ((b"connection", b"close"),)


def answer(refusal: Refusal, identity: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body."""
    text = str(refusal)
    if refusal.code >= 500:
        text += f" Request {identity}."
    # `error` is the inference protocol's word, `message` is boto3's.
    body = msgspec.json.encode({"error": text, "message": text, "request_id": identity})
    shown = identity.encode()
    lines = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", shown),
        (b"x-amzn-requestid", shown),
        (b"x-amzn-errortype", _TYPES.get(refusal.code, b"ValidationError")),
        *refusal.headers,
    ]
    return lines, body


def no_path(path: str) -> Refusal:
    """That nothing is served there."""
    if named := _ENDPOINT.fullmatch(path):
        return Refusal(
            404, f"There is no endpoint {one_line(named[1], 64)!r} at this address.", "`dlwb endpoint list` shows which is where."
        )
    return Refusal(404, f"There is no path {one_line(path, 80)!r} here.", "POST to /invocations.")
