"""`python -m workbench.serving.container serve` answers with the model in /opt/ml/model on port 8080: what an image of an endpoint starts.

SageMaker calls an image with the word `serve`, puts the unpacked model there, asks /ping and posts to /invocations. Whoever may reach the
port is the platform's business, so any Host is taken; with DLWB_TOKEN set, only who sends it is answered.
"""

import asyncio
import os
import socket
import sys
from pathlib import Path

from workbench.encoding import model_folder
from workbench.problems import Problem
from workbench.serving import headers, server
from workbench.serving.router import Router
from workbench.serving.routing import Table
from workbench.serving.variant import Variant

MODEL, PORT = "/opt/ml/model", 8080


class AnyHost(frozenset[bytes]):
    """The names of this server: all of them."""

    def __contains__(self, name: object) -> bool:
        return True


async def serve(folder: Path, port: int, stop: asyncio.Event) -> None:
    """Listen at once, so that /ping can say that the model is still loading."""
    model = model_folder.read(folder)
    variant = Variant(model.label, model)
    router = Router(
        model.model.name, Table({variant.name: variant}, {variant.name: 1.0}), hosts=AnyHost(), token=headers.token_for("localhost")
    )
    with socket.create_server(("0.0.0.0", port), backlog=1024) as listening:
        running = asyncio.ensure_future(server.serve(router, listening, stop))
        try:
            await variant.start()
            await running
        finally:
            stop.set()
            await running
            await variant.close()


def main(words: list[str]) -> int:
    """The process. Exit code 1: the model cannot be served, with the reason on stderr; 2: wrong usage."""
    if words != ["serve"]:
        print("This image serves a model: start it with the word `serve`.", file=sys.stderr)
        return 2
    folder, port = Path(os.environ.get("DLWB_MODEL", MODEL)), int(os.environ.get("DLWB_PORT", PORT))
    try:
        server.run(lambda stop: serve(folder, port, stop))
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
