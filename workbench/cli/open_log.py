"""`dlwb open`: the logs of other programs as runs of dlwb."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.arguments import AsJson
from workbench.cli.printing import print_json, put, tell


def open_(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders with logs.", metavar="PATH")],
    as_json: AsJson = False,
) -> None:
    """Open TensorBoard, wandb and CSV logs as runs, read only.

    Event files of TensorBoard, offline runs of wandb and CSV files of metrics are followed as they grow; nothing is written to them. They
    stand in the list beside your own runs. In a terminal the screen opens: of the run, or the list where there are several.
    """
    from workbench.elsewhere import following, sources

    found = [source for path in paths for source in sources.sources(path)]
    runs = following.open_sources(found)
    watched = sys.stdin.isatty() and sys.stdout.isatty() and not as_json
    with ThreadPoolExecutor(1) as background:
        begun = background.submit(following.begin, runs)
        if watched:
            # Both take some tenths of a second.
            from workbench.tui import app
        begun.result()
    if as_json:
        print_json([{"run": run.id, "kind": source.kind, "path": str(source.path)} for run, source in zip(runs, found, strict=True)])
    elif watched:
        app.run(runs)
    else:
        for run, source in zip(runs, found, strict=True):
            tell(f"{source.kind}: {source.path}")
            put(run.id)
