"""A router over model folders in a process: `serving_process.py FD [--inside] [--rate N] [--together N] [--shadow] FOLDER ...`."""

import argparse
import asyncio
import socket
import sys
from pathlib import Path

from workbench.encoding import model_folder
from workbench.serving import server, variant
from workbench.serving.headers import token_for
from workbench.serving.recording import Shadow
from workbench.serving.router import Router
from workbench.serving.routing import Table
from workbench.serving.variant import Variant


async def serve(options: argparse.Namespace, stop: asyncio.Event) -> None:
    """Listen at once, so that /ping can say that nothing is ready."""
    folders = [model_folder.read(path) for path in options.folders]
    variants = {name: Variant(name, folder, isolate=not options.inside) for name, folder in zip("abcdefgh", folders, strict=False)}
    variant.MOST_TOGETHER = options.together or variant.MOST_TOGETHER
    table = Table(variants, {"a": 1.0} if options.shadow else dict.fromkeys(variants, 1.0))
    router = Router("shop", table, token=token_for("127.0.0.1"), rate=options.rate)
    with socket.socket(fileno=options.fd) as listening:
        running = asyncio.ensure_future(server.serve(router, listening, stop))
        await asyncio.gather(*(one.start() for one in variants.values()))
        if options.shadow:
            shadow = Shadow(variants["b"], lambda: router.in_flight > 0)
            router.on_answer.append(lambda answered: answered.request and shadow.saw(answered.request, answered.reply, answered.variant))
        await running
        if options.shadow:
            print(f"{shadow.compared:,} compared, {shadow.skipped:,} skipped, {shadow.disagreed} differ", file=sys.stderr)
    for one in variants.values():
        await one.close()


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("fd", type=int)
    parser.add_argument("--inside", action="store_true")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--together", type=int, default=0)
    parser.add_argument("--shadow", action="store_true")
    parser.add_argument("folders", nargs="+", type=Path)
    options = parser.parse_args()
    server.run(lambda stop: serve(options, stop))


if __name__ == "__main__":
    main()
