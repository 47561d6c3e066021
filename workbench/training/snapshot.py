"""What a checkpoint holds of a run, and how it is put back: both sides of the format in one place."""

from typing import Any, Protocol

import msgspec

from workbench.runs.checkpoint import Tree
from workbench.runs.history import History
from workbench.training.batches import fingerprint
from workbench.training.cadence import Place
from workbench.training.early_stopping import EarlyStopping
from workbench.training.live_settings import LiveSettings
from workbench.training.metric_window import MetricWindow
from workbench.training.project import Project


class Resumed(Protocol):
    """What of the loop a checkpoint is about."""

    project: Project
    past: History
    place: Place
    batch: Any
    live: LiveSettings
    stopping: EarlyStopping
    window: MetricWindow
    metrics: dict[str, float]


def take(loop: Resumed) -> Tree:
    """A copy of everything that an exact resume needs."""
    return {
        "version": 1,
        **msgspec.structs.asdict(loop.place),
        # Between two epochs there is no batch to compare.
        "batch": fingerprint(loop.batch) if loop.place.position and loop.batch is not None else None,
        "window": loop.window.floats(),
        "settings": dict(loop.live.settings),
        "best": loop.stopping.best,
        "stale": loop.stopping.stale,
        "metrics": dict(loop.metrics),
        "random": loop.project.random_state(),
        "state": loop.project.state(),
    }


def put_back(loop: Resumed, tree: Tree) -> None:
    """Go on from there; a change that was made at that very step and is not in it is made too."""
    loop.place = Place(*(tree[name] for name in Place.__struct_fields__))
    loop.stopping.best, loop.stopping.stale = tree["best"], tree["stale"]
    loop.metrics = dict(tree["metrics"])
    # Not told to the project: the state that is loaded next has these settings already.
    loop.live.change(tree["settings"])
    loop.project.load_state(tree["state"])
    loop.window.load(tree["window"])
    if loop.live.catch_up(loop.past, loop.place.step):
        loop.project.changed(loop.project.config)
    # Last: what came before may have drawn random numbers.
    loop.project.set_random_state(tree["random"])
