"""The data sets on this machine, for the shell and the list of data sets: where they are, whether they are intact, and how to remove them.

Functions that fetch or measure the disk are imported where they are used, so that the first screen appears sooner.
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
    """`here` (downloaded), `mirror`, `fetch` (can be downloaded), `package` (nothing to fetch), or `nowhere`."""
    missing: int
    """Bytes still to fetch; of a partly downloaded file, only the rest."""

    @property
    def reference(self) -> str:
        """Name and variant in one word, as `named` takes it: `dogs`, `dogs:21-breeds`."""
        return f"{self.name}:{self.variant}" if self.variant else self.name

    @property
    def bytes(self) -> int:
        """Bytes of all its files, as they are downloaded."""
        return sum(file.bytes for file in self.about.files.values())

    @property
    def words(self) -> str:
        """The state in words."""
        if self.state == "fetch":
            begun = self.missing < self.bytes
            return f"to fetch, {size(self.missing)}" + (f" of {size(self.bytes)}" if begun else "")
        if self.state == "nowhere":
            return "only in a mirror" if self.about.files else "only its variants"
        return {"here": "here", "mirror": "in the mirror", "package": f"comes with {self.about.package}"}[self.state]


def named(reference: str, variant: str = "") -> tuple[str, str]:
    """`dogs` or `dogs:21-breeds` as name and variant; Problem where the catalogue does not have it."""
    name, _, behind = reference.partition(":")
    find(name, variant or behind)
    return name, variant or behind


def stored(name: str, variant: str = "") -> Stored:
    """The state of a data set. This only looks whether its files exist; `verify` reads them."""
    about = find(name, variant)
    if not about.files:
        return Stored(name, variant, about, "package" if about.package else "nowhere", 0)
    places = {_place(file, name, variant) for file in about.files.values()}
    # The worst state of its files decides: one missing file makes the set unusable.
    state = next(place for place in ("nowhere", "fetch", "mirror", "here") if place in places)
    missing = sum(file.bytes - _begun(file, name, variant) for file in about.files.values() if _place(file, name, variant) == "fetch")
    return Stored(name, variant, about, state, missing)


def everything() -> list[Stored]:
    """Every data set of the catalogue, each followed by its variants."""
    return [stored(name, variant) for name, entry in catalog.catalog().items() for variant in ("", *entry.variants)]


def verify(name: str, variant: str = "") -> Iterator[tuple[str, str]]:
    """Each file that is on this machine: its key, and its error or "". Slow, because it reads every file."""
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
    """Whether `remove` would delete anything of a data set: a file, a part of one, or an unpacked folder."""
    folder = home(name, variant)
    return folder.is_dir() and any(path.suffix != ".lock" for path in folder.iterdir())


def remove(name: str, variant: str = "") -> int:
    """Delete the downloaded and unpacked files of a data set, never the mirror's; returns the bytes freed.

    Raises Problem where there is nothing to delete, or a download is running.
    """
    from workbench.files import taken

    folder = home(name, variant)
    if not downloaded(name, variant):
        hint = "What is in the mirror stays." if stored(name, variant).state == "mirror" else ""
        raise Problem(f"Nothing of {name}{f' {variant}' if variant else ''} was downloaded.", hint, "data")
    freed = taken(folder)
    with contextlib.ExitStack() as stack:
        # A lock that is held belongs to a running download, whose files must not be deleted.
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
