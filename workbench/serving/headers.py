"""What a request's headers may say: host, token, media types. Texts only; a refusal has its code and one sentence."""

import hmac
import os
import re
import stat
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

from workbench.encoding.kinds import BagOfWords, Encoder, Picture, TextCodes
from workbench.problems import Problem, one_line
from workbench.serving.messages import Refusal

JSON, LINES, CSV, TEXT = "application/json", "application/jsonlines", "text/csv", "text/plain"
WRITTEN = (JSON, LINES, CSV)
"""Media types of answers, the first one where the client takes any."""
LONGEST = 1000
"""Characters of a header that is read; what was read is remembered."""
_ALSO = {"application/x-jsonlines": LINES, "application/x-ndjson": LINES, "application/jsonl": LINES, "image/jpg": "image/jpeg"}
_ID = re.compile(rb"[A-Za-z0-9._:/=+-]{1,64}")
OWN_HOSTS = frozenset({b"127.0.0.1", b"localhost", b"[::1]"})
"""A page that another name was pointed at this address (DNS rebinding) is no caller of ours."""


def read_types(encoder: Encoder) -> frozenset[str]:
    """The media types that a model with this encoder reads."""
    types = {JSON, LINES, CSV}
    if isinstance(encoder, TextCodes | BagOfWords):
        types.add(TEXT)
    if isinstance(encoder, Picture):
        types |= {"image/png", "image/jpeg"}
    return frozenset(types)


@lru_cache(256)
def content_type(header: bytes | None) -> str:
    """The media type of a body; JSON where none is said. Raises Refusal (415) for a charset that is not UTF-8."""
    if not header:
        return JSON
    if len(header) > LONGEST:
        raise Refusal(415, f"The Content-Type has more than {LONGEST} characters.")
    kind, *parameters = header.decode("latin-1").lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip("\"' ") not in ("utf-8", "utf8", "us-ascii"):
            raise Refusal(415, f"The charset {one_line(value, 40)!r} is not read here.", "Send UTF-8.")
    kind = kind.strip()
    return _ALSO.get(kind, kind)


def check_type(kind: str, taken: frozenset[str]) -> None:
    """Raises Refusal (415) for a body of a kind that a model does not read."""
    if kind not in taken:
        # NumPy's files may hold pickles, which run code when they are read.
        reason = " It may carry code." if kind.endswith(("npy", "npz", "pickle")) else ""
        raise Refusal(415, f"A body of type {one_line(kind, 80)!r} is not read by this model.{reason}", f"Send {', '.join(sorted(taken))}.")


@lru_cache(256)
def accepted(header: bytes | None) -> str:
    """The media type of the answer, "" where the client takes any. Raises Refusal (406) where it takes none of ours."""
    if not header:
        return ""
    if len(header) > LONGEST:
        raise Refusal(406, f"The Accept header has more than {LONGEST} characters.")
    wanted: list[tuple[float, str]] = []
    for part in header.decode("latin-1").lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if quality > 0:
            wanted.append((-quality, _ALSO.get(kind, kind)))
    for _, kind in sorted(wanted, key=lambda pair: pair[0]):
        if kind in ("*/*", "*"):
            return ""
        if kind in WRITTEN:
            return kind
        if kind == "application/*":
            return JSON
        if kind == "text/*":
            return CSV
    raise Refusal(406, f"No answer of type {one_line(header.decode('latin-1'), 80)!r} is written here.", f"Accept {', '.join(WRITTEN)}.")


@lru_cache(256)
def check_host(header: bytes | None, hosts: frozenset[bytes]) -> None:
    """Raises Refusal: 400 where there is no Host, 421 where it is not ours. The port may be any: it may be forwarded."""
    if header is None:
        raise Refusal(400, "The request has no Host header.")
    name, colon, port = header.lower().rpartition(b":")
    if (name if colon and port.isdigit() else header.lower()) not in hosts:
        raise Refusal(421, f"The host {one_line(header.decode('latin-1'), 80)!r} is not served here.", "Ask 127.0.0.1 or localhost.")


def check_token(header: bytes | None, token: str) -> None:
    """Raises Refusal (401) unless the header is `Bearer TOKEN`. Takes the same time wherever the difference lies."""
    if not hmac.compare_digest(header or b"", f"Bearer {token}".encode()):
        raise Refusal(401, "The token is missing or wrong.", "Send Authorization: Bearer TOKEN.", ((b"www-authenticate", b"Bearer"),))


def request_id(header: bytes | None) -> str:
    """The client's own id of a request; "" where there is none that can be repeated safely."""
    return header.decode() if header and _ID.fullmatch(header) else ""


def token_for(address: str, environment: Mapping[str, str] = os.environ) -> str:
    """The token that clients must send: of $DLWB_TOKEN, or the file $DLWB_TOKEN_FILE; "" where this address needs none.

    Raises Problem where the address can be reached from elsewhere and there is no token, or others can read its file.
    """
    token = environment.get("DLWB_TOKEN", "")
    if file := environment.get("DLWB_TOKEN_FILE", ""):
        path = Path(file).expanduser()
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise Problem(f"{one_line(file)} can be read by others.", f"Close it: chmod 600 {one_line(file)}", "data")
            token = path.read_text().strip()
        except OSError as error:
            raise Problem(f"The token in {one_line(file)} cannot be read: {error.strerror}.", "", "data") from None
    if token and (len(token) < 16 or not token.isascii() or not token.isprintable()):
        raise Problem("The token is shorter than 16 characters, or has others than ASCII's.", "Make one: openssl rand -hex 32", "data")
    try:
        local = address == "localhost" or ip_address(address).is_loopback
    except ValueError:
        local = False
    if not local and not token:
        raise Problem(
            f"{one_line(address, 80)} can be reached from other machines, and there is no token.",
            "Set DLWB_TOKEN_FILE to a file with one: (umask 077; openssl rand -hex 32 > token)",
            "data",
        )
    return token
