"""Finds the foreign logs that a path holds: TensorBoard's event files, wandb's offline runs, CSV files of metrics."""

import os
from collections.abc import Iterator
from pathlib import Path

from workbench.elsewhere.found import Source
from workbench.elsewhere.metric_file import MetricFile
from workbench.elsewhere.tensorboard import EventFiles, event_files
from workbench.elsewhere.wandb import OfflineRun
from workbench.problems import Problem, one_line

MOST = 200
"""Most logs that one path may hold, and most levels of folders are DEPTH."""
DEPTH = 6
SPLITS = {"train": "train", "validation": "valid", "val": "valid", "valid": "valid", "test": "test", "eval": "valid"}
"""Folders that hold the splits of one run, and what dlwb calls these."""
TABLES = ("metrics.csv", "log.csv", "progress.csv")
"""How the names of CSV files of metrics end: a folder may hold tables of other kinds."""
KNOWN = (
    "TensorBoard's event files, wandb's run-ID.wandb and CSV files with a header of metrics can be opened; "
    f"in a folder, CSV files named {', '.join(TABLES)}: give another one's own path."
)


def sources(path: Path) -> list[Source]:
    """Every log at or below a path, in the order of their paths. Problem where there is none, or too many."""
    if not path.exists():
        raise Problem(f"There is no {path}.", "Give a file or a folder of logs.")
    if path.is_file():
        return [source_of(path)]
    found = list(_below(path, 0))
    if not found:
        raise Problem(f"{path} holds no log that dlwb can read.", KNOWN)
    if len(found) > MOST:
        raise Problem(f"{path} holds more than {MOST} logs.", "Open one of its folders.")
    return found


def source_of(path: Path) -> Source:
    """The log in one file, or of one folder. Problem where it is none."""
    if path.is_dir():
        return EventFiles(path, _splits(path) or {"": path})
    if path.suffix == ".wandb":
        return OfflineRun(path)
    if ".tfevents." in path.name:
        return EventFiles(path, {"": path})
    if path.suffix in (".csv", ".tsv"):
        return MetricFile(path)
    raise Problem(f"{one_line(path.name)} is no log that dlwb can read.", KNOWN)


def _below(folder: Path, depth: int) -> Iterator[Source]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return  # a folder that may not be read hides nothing else
    if _splits(folder) or event_files(folder):
        yield source_of(folder)
    splits = [path.name for path in _splits(folder).values()]
    for entry in entries:
        # wandb's latest-run is a link to a run that is found by its own name.
        if entry.is_symlink():
            continue
        if entry.is_file() and (entry.name.endswith(".wandb") or entry.name.endswith(TABLES)):
            yield source_of(Path(entry.path))
        elif entry.is_dir() and entry.name not in splits and depth < DEPTH and not entry.name.startswith("."):
            yield from _below(Path(entry.path), depth + 1)


def _splits(folder: Path) -> dict[str, Path]:
    """Folders of event files that are the splits of one run: at least two of them, or one where the folder has event files itself."""
    paths = {split: folder / name for name, split in SPLITS.items() if (folder / name).is_dir() and event_files(folder / name)}
    own = event_files(folder)
    if len(paths) + bool(own) < 2:
        return {}
    return {"": folder, **paths} if own else paths
