"""The gateway: HTTP routes of a YAML file to functions, as API Gateway's proxy events (version 1). CORS lives here and nowhere else.

Routes: `{routes: [{path: /predict, method: POST, function: predict}], origins: ["http://127.0.0.1:8090"]}`. An origin is allowed by its
exact name, never by `*`.
"""

import argparse
import asyncio
import base64
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench.problems import Problem, missing, one_line
from workbench.recipes import yaml_reader
from workbench.serving.server import Connection
from workbench.serving.web import function

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.cors import CORSMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route as Path_
except ImportError:
    raise missing("The gateway", "starlette", "serve") from None

OWN_HOSTS = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
"""A page that another name was pointed at this address (DNS rebinding) is no caller of ours."""
LARGEST = 128 << 10
"""Bytes of a body."""
PATIENCE = 40.0
"""Seconds for a function with its start."""
LINE = 8 << 20


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One path and what answers it."""

    path: Annotated[str, Meta(pattern=r"^/[A-Za-z0-9/_-]{0,200}\Z")]
    method: Literal["GET", "POST", "PUT", "DELETE"] = "POST"
    function: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]


class Routes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The YAML file."""

    routes: Annotated[list[Route], Meta(min_length=1, max_length=100)]
    origins: list[Annotated[str, Meta(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+\Z")]] = []
    """Pages that may ask, by scheme, host and port; anything else is blocked by the browser."""


def read(path: Path) -> Routes:
    """The routes in a file. Raises Problem with what is wrong."""
    document = yaml_reader.read(path)
    if document.faults:
        raise Problem(f"{one_line(str(path))}: {document.faults[0].text}.", "", "data")
    try:
        return msgspec.convert(document.value, Routes)
    except msgspec.ValidationError as error:
        raise Problem(f"{one_line(str(path))}: {one_line(str(error))}.", "", "data") from None


class Gateway:
    """The application over the sockets of some functions."""

    def __init__(self, routes: Routes, sockets: dict[str, Path]) -> None:
        if lost := sorted({route.function for route in routes.routes} - sockets.keys()):
            raise Problem(f"A route names the function {lost[0]}, which is not there.", f"There is {', '.join(sockets)}.", "data")
        self.sockets = sockets
        exposed = ["x-request-id", "x-gateway-milliseconds", "x-function-milliseconds", "x-start-milliseconds"]
        methods = sorted({route.method for route in routes.routes})
        cors = Middleware(
            CORSMiddleware, allow_origins=routes.origins, allow_methods=methods, allow_headers=["content-type"], expose_headers=exposed
        )
        self.app = Starlette(
            routes=[Path_(route.path, self._route(route), methods=[route.method]) for route in routes.routes],
            middleware=[OWN_HOSTS, cors],
            exception_handlers={HTTPException: _http_error, Exception: _error},
        )

    def _route(self, route: Route) -> Any:
        async def answered(request: Request) -> Response:
            return await self._answer(route, request)

        return answered

    async def _answer(self, route: Route, request: Request) -> Response:
        begin, identity = time.monotonic(), os.urandom(8).hex()
        body = await _body(request)
        told = await self._asked(self.sockets[route.function], identity, _event(route, request, body, identity))
        headers = {"x-request-id": identity}
        if "milliseconds" in told:
            headers["x-function-milliseconds"] = f"{told['milliseconds']:.1f}"
            headers["x-start-milliseconds"] = f"{told.get('start', 0.0):.1f}"
        response = _response(told, headers)
        response.headers["x-gateway-milliseconds"] = f"{(time.monotonic() - begin) * 1000:.1f}"
        return response

    async def _asked(self, place: Path, identity: str, event: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(place, limit=LINE)
                try:
                    writer.write(json.dumps({"id": identity, "event": event}).encode() + b"\n")
                    await writer.drain()
                    told = json.loads(await reader.readline())
                finally:
                    writer.close()
            return told if isinstance(told, dict) else {}
        except (OSError, ValueError):  # TimeoutError is an OSError
            return {"ok": False, "type": "Host", "message": "The function does not answer."}


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    try:
        async with asyncio.timeout(10):
            async for part in request.stream():
                size += len(part)
                if size > LARGEST:
                    raise HTTPException(413, f"The body has more than {LARGEST >> 10} KiB.")
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, "The body was not here after 10 seconds.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The client went away.") from None
    return b"".join(parts)


def _event(route: Route, request: Request, body: bytes, identity: str) -> dict[str, Any]:
    """API Gateway's proxy event, version 1 (its developer guide, "Input format of a Lambda function for proxy integration")."""
    try:
        text, coded = body.decode(), False
    except UnicodeDecodeError:
        text, coded = base64.b64encode(body).decode(), True
    several: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        several.setdefault(name, []).append(value)
    query = request.query_params
    return {
        "resource": route.path,
        "path": request.url.path,
        "httpMethod": request.method,
        "headers": dict(request.headers),
        "multiValueHeaders": several,
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": {name: query.getlist(name) for name in query} or None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "requestId": identity,
            "stage": "prod",
            "httpMethod": request.method,
            "resourcePath": route.path,
            "identity": {"sourceIp": request.client.host if request.client else "", "userAgent": request.headers.get("user-agent")},
        },
        "body": text or None,
        "isBase64Encoded": coded,
    }


def _response(told: dict[str, Any], headers: dict[str, str]) -> Response:
    """What the function returned, as API Gateway reads it; anything else is the function's error, 502, or its time, 504."""
    result = told.get("result")
    if told.get("ok") and isinstance(result, dict) and isinstance(result.get("statusCode"), int) and 200 <= result["statusCode"] < 600:
        try:
            own = _own_headers(result.get("headers") or {})
            body = result.get("body") or ""
            data = base64.b64decode(body, validate=True) if result.get("isBase64Encoded") else str(body).encode()
            return Response(b"" if result["statusCode"] in (204, 304) else data, result["statusCode"], {**own, **headers})
        except (ValueError, TypeError, AttributeError):
            told = {"type": "Result"}
    late = told.get("type") in ("Timeout", "Host")
    text = str(told.get("message", "")) if told.get("type") in ("Timeout", "Exit", "Host") else "The function failed."
    return JSONResponse({"message": text or "The function failed.", "request_id": headers["x-request-id"]}, 504 if late else 502, headers)


def _own_headers(headers: dict[str, Any]) -> dict[str, str]:
    """A function's headers but for those that are not its business. ValueError for one that would break the response in two."""
    own = {str(name).lower(): str(value) for name, value in headers.items()}
    for name, value in own.items():
        # RFC 9110, sections 5.1 and 5.5.
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", name) or not re.fullmatch(r"[\t\x20-\x7e\xa0-\xff]*", value):
            raise ValueError(name)
    # The origin is the gateway's business: a function that says `*` is not heard. Length and connection are the server's.
    return {
        name: value
        for name, value in own.items()
        if not name.startswith("access-control-") and name not in ("content-length", "transfer-encoding", "connection", "upgrade")
    }


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = {404: f"There is no path {one_line(request.url.path, 80)!r} here.", 405: f"{request.method[:20]} is not for this path."}
    return JSONResponse({"message": text.get(error.status_code, error.detail)}, error.status_code, dict(error.headers or {}))


async def _error(request: Request, error: Exception) -> Response:
    return JSONResponse({"message": "Something failed here."}, 500)


def run(app: Starlette, port: int) -> None:
    """Serve at 127.0.0.1 until SIGTERM; connections and headers are bounded as those of an endpoint."""
    uvicorn.run(app, host="127.0.0.1", port=port, http=Connection, log_level="critical", access_log=False, server_header=False)


def main() -> int:
    """The process: ROUTES, a port, and NAME=SOCKET of each function."""
    parser = argparse.ArgumentParser()
    parser.add_argument("routes", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("functions", nargs="+")
    options = parser.parse_args()
    try:
        pairs = (pair.partition("=") for pair in options.functions)
        gateway = Gateway(read(options.routes), {name: Path(place) for name, _, place in pairs})
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    function.end_with_parent()
    run(gateway.app, options.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
