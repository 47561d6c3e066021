"""`dlwb data`: lists the data sets and where they are; fetches, verifies and removes them."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.arguments import AsJson
from workbench.cli.printing import print_json, put, table, tell
from workbench.formatting import size
from workbench.preparation import Console, Pace, listening
from workbench.problems import clean

if TYPE_CHECKING:
    from workbench.datasets.store.stored import Stored

DataSet = Annotated[str, typer.Argument(metavar="NAME[:VARIANT]", help="A data set, as in `dlwb data list`.")]
Variant = Annotated[str, typer.Option(help="One of its variants.")]


def list_(as_json: AsJson = False) -> None:
    """List the data sets and their variants, and where they are."""
    from workbench.datasets.store import stored

    sets = stored.everything()
    if as_json:
        print_json([_described(data_set) for data_set in sets])
        return
    rows = []
    for data_set in sets:
        name = f"  :{data_set.variant}" if data_set.variant else data_set.name
        rows.append([name, size(data_set.bytes) if data_set.bytes else "", data_set.words, data_set.about.title])
    table(["SET", "SIZE", "STATE", "TITLE"], rows)


def _described(data_set: "Stored") -> dict[str, object]:
    from workbench.datasets.store.catalog import home
    from workbench.files import taken

    return {
        "name": data_set.name,
        "variant": data_set.variant,
        "title": data_set.about.title,
        "licence": data_set.about.licence,
        "source": data_set.about.source,
        "stand_in_for": data_set.about.stand_in_for,
        "state": data_set.state,
        "bytes": data_set.bytes,
        "missing": data_set.missing,
        "on_disk": taken(home(data_set.name, data_set.variant)),
    }


def fetch(data_set: DataSet, variant: Variant = "") -> None:
    """Fetch a data set, or the rest of it; prints the paths of its files."""
    from workbench.datasets.store import fetch as fetching
    from workbench.datasets.store import stored

    name, variant = stored.named(data_set, variant)
    with listening(_Redrawn() if sys.stderr.isatty() else Console(patience=0.0)):
        for key, path in fetching.fetch(name, variant).items():
            print(f"{key}  {clean(str(path))}")


class _Redrawn:
    """Progress as one line of a terminal, drawn again at most ten times a second."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.name = ""
        self.drawn = 0.0
        self.had = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        stage = self.pace.stage(what, done, total, now)
        if what != self.name:
            self.name, self.had, self.drawn = what, done, 0.0
        # A fast connection brings hundreds of pieces a second, and each line costs a write over SSH.
        if done < total and now - self.drawn < 0.1:
            return
        # What took no time needs no line.
        if done >= total and now == self.pace.began:
            return
        self.drawn, took = now, now - self.pace.began
        rate = f", {size((done - self.had) / took)}/s" if took > 1 and what.startswith("fetching ") else ""
        # To the start of the line, and erase it.
        print(f"\r\x1b[K{stage.text}{rate}", end="\n" if done >= total else "", file=sys.stderr, flush=True)


def verify(
    data_sets: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="The data sets; none: all that are here.")] = None,
) -> None:
    """Check the hashes of the files. Exit code 1 where a file is damaged."""
    from workbench.datasets.store import stored

    chosen = [stored.stored(*stored.named(reference)) for reference in data_sets or []] or stored.everything()
    right = True
    for data_set in chosen:
        files = 0
        for key, wrong in stored.verify(data_set.name, data_set.variant):
            files += 1
            if wrong:
                right = False
                tell(clean(wrong))
            else:
                put(f"{data_set.reference} {key}: correct")
        if data_sets and not files:
            tell(f"{data_set.reference}: {data_set.words}")
    if not right:
        raise typer.Exit(1)


def remove(data_set: DataSet, variant: Variant = "") -> None:
    """Delete the downloaded files of a data set. A mirror is never changed."""
    from workbench.datasets.store import stored

    name, variant = stored.named(data_set, variant)
    freed = stored.remove(name, variant)
    tell(f"{data_set}: {size(freed)} freed.")
