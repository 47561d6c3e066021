"""Every place on disk, in one file: home, runs, data, caches, recipes (checkout or wheel, and a person's own)."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


def home() -> Path:
    """Where dlwb keeps everything of this person's: `$DLWB_HOME`, or the platform's data folder."""
    given = os.environ.get("DLWB_HOME")
    return Path(given).expanduser().absolute() if given else Path(platformdirs.user_data_dir("dlwb", appauthor=False))


def runs() -> Path:
    """One folder a run."""
    return home() / "runs"


def data() -> Path:
    """Downloaded data sets."""
    return home() / "data"


def cache_folder() -> Path:
    """What can be made again: schemas of projects, by the hash of their source."""
    return home() / "cache"


def trusted() -> Path:
    """Hashes of the Python files that this person trusts."""
    return home() / "trusted.json"


def preferences() -> Path:
    """What this person prefers: the theme, a bell when a run ends."""
    return home() / "preferences.json"


def device_locks() -> Path:
    """One lock per accelerator: the queue."""
    return home() / "devices"


def mirror() -> Path | None:
    """A folder that is looked in before anything is downloaded: `$DLWB_MIRROR`, made absolute."""
    given = os.environ.get("DLWB_MIRROR")
    return Path(given).expanduser().absolute() if given else None


@cache
def shipped(name: str) -> Path:
    """A top-level folder of the project (`recipes`, `data`): inside the wheel, or beside the package in a checkout."""
    inside = _PACKAGE / "_shipped" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def recipe_folders() -> list[Path]:
    """Where recipes are looked for: shipped, the home's, and the working directory's."""
    folders = [shipped("recipes"), home() / "recipes"]
    if Path("recipes").is_dir():  # the working directory itself may have been deleted
        folders.append(Path.cwd() / "recipes")
    found: list[Path] = []
    for folder in folders:
        if folder.is_dir() and folder.resolve() not in [each.resolve() for each in found]:
            found.append(folder)
    return found


def projects() -> Path:
    """The shipped projects' source files."""
    return _PACKAGE / "projects"


def rooted(value: Any, folder: Path) -> Any:
    """Plain data in which each text that is a path of a person's own (`./…`, `../…`, `~/…`) is that path from `folder`, absolute."""
    if isinstance(value, str) and value.startswith(("./", "../", "~/")):
        return os.path.normpath(folder.absolute() / Path(value).expanduser())
    if isinstance(value, dict):
        return {key: rooted(item, folder) for key, item in value.items()}
    return [rooted(item, folder) for item in value] if isinstance(value, list) else value
