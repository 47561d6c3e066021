"""The page's own server: three files and no script of anybody else's. `python -m workbench.serving.web.page PORT GATEWAY_URL ABOUT`."""

import html
import sys

from workbench.problems import missing
from workbench.serving.web import STATIC, function
from workbench.serving.web.gateway import OWN_HOSTS, run

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError:
    raise missing("The page", "starlette", "serve") from None

TYPES = {"index.html": "text/html; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8"}


def application(gateway: str, about: str) -> Starlette:
    """The application; only `gateway` may be asked from the page, and only the page's own files are run."""
    policy = f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src {gateway}; base-uri 'none'; form-action 'none'"
    headers = {
        "content-security-policy": f"{policy}; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }

    async def file(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        text = (STATIC / name).read_text() if name in TYPES else ""
        if not text:
            return Response("There is no such file.", 404, headers)
        for key, value in {"GATEWAY": gateway, "ABOUT": about}.items():
            text = text.replace(f"{{{{{key}}}}}", html.escape(value))
        return Response(text, 200, {**headers, "content-type": TYPES[name]})

    return Starlette(routes=[Route("/", file), Route("/{name}", file)], middleware=[OWN_HOSTS])


def main(words: list[str]) -> int:
    """The process."""
    port, gateway, about = words
    function.end_with_parent()
    run(application(gateway, about), int(port))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
