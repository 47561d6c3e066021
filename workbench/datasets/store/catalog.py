"""The catalogue of data sets, data/catalog.yaml, and the paths of its files; for `fetch` and for lists of data sets."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
import yaml
from msgspec import Meta

from workbench import paths
from workbench.problems import Problem


class Unpack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The most that an archive may hold."""

    members: int
    bytes: int


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file: its sources, its length and its SHA-256."""

    bytes: Annotated[int, Meta(gt=0)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{8,64}$")]
    """The whole hash, or the first characters that the publisher states (torchvision: 8, in the names of its weight files)."""
    url: str = ""
    """An https address; empty if only a mirror has the file."""
    mirror: str = ""
    """Its path below $DLWB_MIRROR. A file that ends in .xz is decompressed first; `bytes` and `sha256` are of the decompressed file."""
    unpack: Unpack | None = None
    """The limits of an archive: `fetch` then returns the folder that it was unpacked into."""


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One version of a data set; without files if it comes with a package, or cannot be fetched."""

    title: str
    licence: str
    source: str
    about: str = ""
    stand_in_for: str = ""
    """The data that this replaces; empty for the original."""
    package: str = ""
    """The package that contains it, if nothing has to be fetched: "scikit-learn"."""
    files: dict[str, File] = {}


class DataSet(Variant, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A data set, which is its own first variant."""

    variants: dict[str, Variant] = {}


@cache
def catalog() -> dict[str, DataSet]:
    """Every data set by name."""
    path = paths.shipped("data") / "catalog.yaml"
    # The C loader is several times faster than the Python one.
    return msgspec.convert(yaml.load(path.read_bytes(), yaml.CSafeLoader), dict[str, DataSet])


def uses(declared: Iterable[tuple[str, Mapping[str, str]]], config: Mapping[str, Any]) -> list[str]:
    """The data sets that a recipe reads, as `name` or `name:variant`: `config.data`, and what its project declares for such settings."""
    read = {reference for reference, settings in declared if config.items() >= settings.items()} | {config.get("data")}
    known = [reference for name, entry in catalog().items() for reference in (name, *(f"{name}:{variant}" for variant in entry.variants))]
    return [reference for reference in known if reference in read]


def find(name: str, variant: str = "") -> Variant:
    """A data set, or a variant of it; Problem where the catalogue has none of that name."""
    data_sets = catalog()
    if name not in data_sets:
        raise Problem(f"There is no data set {name!r}.", f"There are: {', '.join(data_sets)}.", "data")
    if not variant:
        return data_sets[name]
    variants = data_sets[name].variants
    if variant not in variants:
        raise Problem(f"The data set {name} has no variant {variant!r}.", f"It has: {', '.join(variants) or 'none'}.", "data")
    return variants[variant]


def home(name: str, variant: str = "") -> Path:
    """The folder for the downloaded and unpacked files of a data set."""
    return paths.data() / (f"{name}-{variant}" if variant else name)


def in_mirror(file: File) -> Path | None:
    """The path of the file in the mirror; None where the mirror does not have it."""
    mirror = paths.mirror()
    return mirror / file.mirror if mirror and file.mirror and (mirror / file.mirror).is_file() else None


def in_home(file: File, folder: Path) -> Path:
    """The path of the file in `folder` after it was downloaded or decompressed."""
    return folder / Path(file.mirror.removesuffix(".xz") or urlsplit(file.url).path).name
