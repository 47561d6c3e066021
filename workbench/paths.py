"""All paths in one file: home, runs, data, caches, recipes (of the checkout or wheel, and a person's own)."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


def home() -> Path:
    """The folder of all files of this person: `$DLWB_HOME`, or the platform's data folder."""
    setting = os.environ.get("DLWB_HOME")
    return Path(setting).expanduser().absolute() if setting else Path(platformdirs.user_data_dir("dlwb", appauthor=False))


def runs() -> Path:
    """The folder of runs, with one folder per run."""
    return home() / "runs"


def comparisons() -> Path:
    """The folder of comparisons, with one folder for each; their runs are among all runs."""
    return home() / "comparisons"


def tunings() -> Path:
    """The folder of tunings, with one folder for each; their trials are among all runs."""
    return home() / "tunings"


def models() -> Path:
    """The folder of exported models: NAME/VERSION, and NAME/aliases.json."""
    return home() / "models"


def endpoints() -> Path:
    """The folder of endpoints, with one folder for each."""
    return home() / "endpoints"


def signals() -> Path:
    """The folder of signals for people who are away, one file for each, and the lock of what sends them."""
    return home() / "signals"


def data() -> Path:
    """Downloaded data sets."""
    return home() / "data"


def cache_folder() -> Path:
    """The folder of caches, which can be deleted at any time."""
    return home() / "cache"


def trusted() -> Path:
    """The file with the hashes of the Python files that this person trusts."""
    return home() / "trusted.json"


def preferences() -> Path:
    """The file of this person's preferences: the theme, a bell when a run ends, where signals are sent."""
    return home() / "preferences.json"


def used() -> Path:
    """The file with the device-hours of runs and endpoints that were removed for good."""
    return home() / "used.jsonl"


def explored(stem: str) -> Path:
    """The file with what this person changed when they explored a lesson last; that it is there means that they have explored it."""
    return home() / "explore" / f"{stem}.json"


def list_of_recipes() -> Path:
    """The file that remembers where the cursor of the list of recipes was, and what is folded."""
    return home() / "list.json"


def device_locks() -> Path:
    """The folder of device locks, one per accelerator; runs that wait for a lock form the queue."""
    return home() / "devices"


def sockets() -> Path:
    """The folder of sockets, which only this person enters: on this machine, as a home may be another machine's too."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "dlwb" if runtime else Path(os.environ.get("TMPDIR") or "/tmp") / f"dlwb-{os.getuid()}"


def mirror() -> Path | None:
    """The folder that is searched before anything is downloaded: `$DLWB_MIRROR`, made absolute; None where it is not set."""
    setting = os.environ.get("DLWB_MIRROR")
    return Path(setting).expanduser().absolute() if setting else None


def working_folder() -> Path | None:
    """Where a process that this one starts should stand: None for here, else the person's home or `/`.

    A folder that was deleted while a shell or the terminal program stands in it takes torch its libraries: they are not found.
    """
    try:
        Path.cwd()
        return None
    except OSError:
        home_folder = Path("~").expanduser()
        return home_folder if home_folder.is_dir() else Path("/")


@cache
def shipped(name: str) -> Path:
    """A top-level folder of the repository (`recipes`, `data`): inside the package in a wheel, beside it in a checkout."""
    inside = _PACKAGE / "_shipped" / name
    # A wheel carries copies in _shipped; a checkout uses the originals.
    return inside if inside.is_dir() else _PACKAGE.parent / name


def recipe_folders() -> list[Path]:
    """The folders of recipes: shipped, the home's, and the working directory's."""
    folders = [shipped("recipes"), home() / "recipes"]
    # os.path, as Path.is_dir raises for what lies in a folder that is closed to us: that must not hide all other recipes.
    if os.path.isdir("recipes"):  # noqa: PTH112 - the working directory itself may have been deleted
        folders.append(Path.cwd() / "recipes")
    unique: dict[str, Path] = {}
    for folder in folders:
        if os.path.isdir(folder):  # noqa: PTH112
            unique.setdefault(os.path.realpath(folder), folder)
    return list(unique.values())


def projects() -> Path:
    """The folder of the shipped projects' source files."""
    return _PACKAGE / "projects"


def rooted(value: Any, folder: Path) -> Any:
    """Plain data in which each text that is a relative path (`./…`, `../…`, `~/…`) is made absolute, starting from `folder`."""
    if isinstance(value, str) and value.startswith(("./", "../", "~/")):
        return os.path.normpath(folder.absolute() / Path(value).expanduser())
    if isinstance(value, dict):
        return {key: rooted(item, folder) for key, item in value.items()}
    return [rooted(item, folder) for item in value] if isinstance(value, list) else value
