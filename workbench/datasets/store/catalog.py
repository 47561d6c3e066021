"""The catalogue of data sets, data/catalog.yaml, for `fetch` and for whoever lists what there is; and where its files lie."""

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
    """One file: where from, how long, and its SHA-256."""

    bytes: Annotated[int, Meta(gt=0)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{8,64}$")]
    """Whole, or as many of its first characters as the publisher states (torchvision: 8, in the name of its weights)."""
    url: str = ""
    """https; empty: only a mirror has it."""
    mirror: str = ""
    """Its place below $DLWB_MIRROR; where that ends in .xz, it is unpacked first, and `bytes` and `sha256` are of what was in it."""
    unpack: Unpack | None = None
    """Given for an archive: `fetch` then returns the folder that it was unpacked into."""


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Files of one kind of a data set; none where it comes with a package, or where it cannot be had."""

    title: str
    licence: str
    source: str
    about: str = ""
    stand_in_for: str = ""
    """What this is used in place of; empty where it is the real thing."""
    package: str = ""
    """What it comes with, where nothing has to be fetched: "scikit-learn"."""
    used_by: list[dict[str, str]] = []
    """Recipes that use it without naming it in `config.data`: their project, and what their config says (`network: vgg19`)."""
    files: dict[str, File] = {}


class DataSet(Variant, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A data set, which is its own first variant."""

    variants: dict[str, Variant] = {}


@cache
def catalog() -> dict[str, DataSet]:
    """Every data set by name."""
    path = paths.shipped("data") / "catalog.yaml"
    return msgspec.convert(yaml.load(path.read_bytes(), yaml.CSafeLoader), dict[str, DataSet])


def uses(project: str, config: dict[str, Any]) -> list[str]:
    """What a recipe reads: the names of data sets, as `name` or `name:variant`."""
    found = []
    for name, entry in catalog().items():
        for reference, each in [(name, entry), *((f"{name}:{variant}", each) for variant, each in entry.variants.items())]:
            told = [{"project": project, **config}.items() >= wanted.items() for wanted in each.used_by]
            if config.get("data") == reference or any(told):
                found.append(reference)
    return found


def find(name: str, variant: str = "") -> Variant:
    """One data set, or a variant of it; Problem where the catalogue has none of that name."""
    known = catalog()
    if name not in known:
        raise Problem(f"There is no data set {name!r}.", f"There are: {', '.join(known)}.", "data")
    if not variant:
        return known[name]
    variants = known[name].variants
    if variant not in variants:
        raise Problem(f"The data set {name} has no variant {variant!r}.", f"It has: {', '.join(variants) or 'none'}.", "data")
    return variants[variant]


def home(name: str, variant: str = "") -> Path:
    """The folder for what of a data set is downloaded or unpacked."""
    return paths.data() / (f"{name}-{variant}" if variant else name)


def in_mirror(file: File) -> Path | None:
    """Where the mirror has the file, if it does."""
    mirror = paths.mirror()
    return mirror / file.mirror if mirror and file.mirror and (mirror / file.mirror).is_file() else None


def in_home(file: File, folder: Path) -> Path:
    """Where the file is once it was downloaded or unpacked."""
    return folder / Path(file.mirror.removesuffix(".xz") or urlsplit(file.url).path).name
