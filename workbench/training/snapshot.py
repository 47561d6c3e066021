"""What a checkpoint holds of a run, and how it is put back: both sides of the format in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from workbench.runs.checkpoint import Tree
from workbench.training.batches import fingerprint
from workbench.training.cadence import Place

if TYPE_CHECKING:
    from workbench.training.loop import Loop


def take(loop: Loop) -> Tree:
    """A copy of everything that an exact resume needs."""
    return {
        "version": 1,
        **msgspec.structs.asdict(loop.place),
        "batch": fingerprint(loop.batch) if loop.place.position and loop.batch is not None else None,
        "window": loop.window.floats(),
        "settings": dict(loop.live.settings),
        "best": loop.stopping.best,
        "stale": loop.stopping.stale,
        "metrics": dict(loop.metrics),
        "random": loop.project.random_state(),
        "state": loop.project.state(),
    }


def put_back(loop: Loop, tree: Tree) -> None:
    """Go on from there; a change that was made at that very step and is not in it is made too."""
    loop.place = Place(*(tree[name] for name in Place.__struct_fields__))
    loop.stopping.best, loop.stopping.stale = tree["best"], tree["stale"]
    loop.metrics = dict(tree["metrics"])
    loop.live.change(tree["settings"])
    loop.project.load_state(tree["state"])
    loop.window.load(tree["window"])
    if loop.live.catch_up(loop.past, loop.place.step):
        loop.project.changed(loop.project.config)
    loop.project.set_random_state(tree["random"])
