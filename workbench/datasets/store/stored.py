"""What of the catalogue is on this machine, for the shell and the list of data sets: where it is, whether it is right, and away with it.

What fetches and what measures the disk is imported where it is used: the first list is painted before.
"""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.datasets.store import catalog
from workbench.datasets.store.catalog import File, Variant, find, home, in_home, in_mirror
from workbench.formatting import size
from workbench.problems import Problem


@dataclass(frozen=True)
class Stored:
    """A data set, or a variant of it, and where its files are."""

    name: str
    variant: str
    about: Variant
    state: str
    """`here` (downloaded), `mirror`, `fetch` (from the network), `package` (nothing to fetch), or `nowhere`."""
    missing: int
    """Bytes to be fetched; of a file that was begun, the rest."""

    @property
    def reference(self) -> str:
        """As `find_reference` takes it: `dogs`, `dogs:21-breeds`."""
        return f"{self.name}:{self.variant}" if self.variant else self.name

    @property
    def bytes(self) -> int:
        """Of all its files, as they are fetched."""
        return sum(file.bytes for file in self.about.files.values())

    @property
    def words(self) -> str:
        """The state for people."""
        if self.state == "fetch":
            begun = self.missing < self.bytes
            return f"to fetch, {size(self.missing)}" + (f" of {size(self.bytes)}" if begun else "")
        if self.state == "nowhere":
            return "only in a mirror" if self.about.files else "only its variants"
        return {"here": "here", "mirror": "in the mirror", "package": f"comes with {self.about.package}"}[self.state]


def named(reference: str, variant: str = "") -> tuple[str, str]:
    """`dogs`, or `dogs:21-breeds`, as name and variant; Problem where the catalogue has no such thing."""
    name, _, behind = reference.partition(":")
    find(name, variant or behind)
    return name, variant or behind


def stored(name: str, variant: str = "") -> Stored:
    """How a data set stands. Only looks for its files: `verify` reads them."""
    about = find(name, variant)
    if not about.files:
        return Stored(name, variant, about, "package" if about.package else "nowhere", 0)
    places = {_place(file, name, variant) for file in about.files.values()}
    state = next(place for place in ("nowhere", "fetch", "mirror", "here") if place in places)
    missing = sum(file.bytes - _begun(file, name, variant) for file in about.files.values() if _place(file, name, variant) == "fetch")
    return Stored(name, variant, about, state, missing)


def everything() -> list[Stored]:
    """Every data set of the catalogue, each followed by its variants."""
    return [stored(name, variant) for name, entry in catalog.catalog().items() for variant in ("", *entry.variants)]


def verify(name: str, variant: str = "") -> Iterator[tuple[str, str]]:
    """Each file that is on this machine, by its key, with what is wrong with it, or "": the slow part is reading it."""
    from workbench.datasets.store.fetch import check

    for key, file in find(name, variant).files.items():
        packed = file.mirror.endswith(".xz")
        path = None if packed else in_mirror(file)
        path = path or in_home(file, home(name, variant))
        if path.exists():
            try:
                check(f"{name} {key}", path, file, "")
            except Problem as problem:
                yield key, problem.message
            else:
                yield key, ""


def downloaded(name: str, variant: str = "") -> bool:
    """Whether there is anything of a data set that `remove` would delete: a file, a part of one, or what was unpacked."""
    folder = home(name, variant)
    return folder.is_dir() and any(path.suffix != ".lock" for path in folder.iterdir())


def remove(name: str, variant: str = "") -> int:
    """Delete what was downloaded and unpacked of a data set, never the mirror's; the bytes that it took.

    Problem where there is nothing, or where it is being fetched.
    """
    from workbench.files import taken

    folder = home(name, variant)
    if not downloaded(name, variant):
        hint = "What is in the mirror stays." if stored(name, variant).state == "mirror" else ""
        raise Problem(f"Nothing of {name}{f' {variant}' if variant else ''} was downloaded.", hint, "data")
    freed = taken(folder)
    with contextlib.ExitStack() as stack:
        for path in folder.glob(".*.lock"):
            lock = stack.enter_context(path.open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Problem(f"{name} is being fetched now.", "Let it finish, or stop it first.", "data") from None
        shutil.rmtree(folder)
    return freed


def _place(file: File, name: str, variant: str) -> str:
    if in_mirror(file):
        return "mirror"
    if in_home(file, home(name, variant)).exists():
        return "here"
    return "fetch" if file.url else "nowhere"


def _begun(file: File, name: str, variant: str) -> int:
    path = in_home(file, home(name, variant))
    part = path.with_name(f".{path.name}.part")
    return min(part.stat().st_size, file.bytes) if part.is_file() else 0
