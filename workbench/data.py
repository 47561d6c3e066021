"""What `dlwb data list`, `fetch`, `verify` and `remove` print."""

import sys
import time
from collections.abc import Sequence

from workbench.datasets.store import fetch as fetching
from workbench.datasets.store import stored
from workbench.datasets.store.catalog import home
from workbench.files import taken
from workbench.formatting import size
from workbench.listing import print_json, table
from workbench.problems import clean


def show(as_json: bool) -> None:
    """Print every data set and variant: its size, where it is, what it is."""
    found = stored.everything()
    if as_json:
        print_json([_described(each) for each in found])
        return
    rows = []
    for each in found:
        name = f"  :{each.variant}" if each.variant else each.name
        rows.append([name, size(each.bytes) if each.bytes else "", each.words, each.about.title])
    table(["SET", "SIZE", "STATE", "TITLE"], rows)


def _described(each: stored.Stored) -> dict[str, object]:
    return {
        "name": each.name,
        "variant": each.variant,
        "title": each.about.title,
        "licence": each.about.licence,
        "source": each.about.source,
        "stand_in_for": each.about.stand_in_for,
        "state": each.state,
        "bytes": each.bytes,
        "missing": each.missing,
        "on_disk": taken(home(each.name, each.variant)),
    }


def fetch(reference: str, variant: str) -> None:
    """Fetch a set; its files' names and paths on stdout."""
    name, variant = stored.named(reference, variant)
    shown = _Redrawn() if sys.stderr.isatty() else fetching.tell
    told = fetching.progress.set(shown)
    try:
        for key, path in fetching.fetch(name, variant).items():
            print(f"{key}  {clean(str(path))}")
    finally:
        fetching.progress.reset(told)


class _Redrawn:
    """Progress as one line of a terminal, drawn anew ten times a second at most."""

    def __init__(self) -> None:
        self.name = ""
        self.drawn = self.began = 0.0
        self.had = 0

    def __call__(self, name: str, done: int, total: int) -> None:
        now = time.monotonic()
        if name != self.name:
            self.name, self.began, self.had, self.drawn = name, now, done, 0.0
        if done < total and now - self.drawn < 0.1:
            return
        self.drawn = now
        rate = f", {size((done - self.had) / (now - self.began))}/s" if now - self.began > 1 else ""
        line = f"\r\x1b[K{name}: {done * 100 // total} % of {size(total)}{rate}"
        print(line, end="\n" if done >= total else "", file=sys.stderr, flush=True)


def verify(references: Sequence[str]) -> bool:
    """Read every file that is here (of all sets where none is named) and hash it; whether all are right."""
    chosen = [stored.stored(*stored.named(each)) for each in references] or stored.everything()
    right = True
    for each in chosen:
        seen = 0
        for key, wrong in stored.verify(each.name, each.variant):
            seen += 1
            if wrong:
                right = False
                print(clean(wrong), file=sys.stderr)
            else:
                print(f"{each.reference} {key}: right", flush=True)
        if references and not seen:
            print(f"{each.reference}: {each.words}", file=sys.stderr)
    return right


def remove(reference: str, variant: str) -> None:
    """Delete what was downloaded and unpacked of a set."""
    name, variant = stored.named(reference, variant)
    freed = stored.remove(name, variant)
    print(f"{reference}: {size(freed)} freed.", file=sys.stderr)
