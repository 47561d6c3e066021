"""The faces' generator comes nearer to real faces the longer it learns, and a dead one does not."""

from pathlib import Path

from stepping import scalars, train
from test_faces import Make, builds, lfw, make

from workbench.projects.gans.faces import Faces

__all__ = ["builds", "lfw", "make"]


def ranked(project: Faces, folder: Path, early: int, late: int) -> list[float]:
    """The distances of checkpoints stored before step 0, at an early and a late step, read back into one project; then real faces'."""
    files = []
    for before, after in ((0, 0), (0, early), (early, late)):
        train(project, after, skip=before)
        files.append(folder / f"{after}.pt")
        files[-1].write_bytes(project.encode_state(project.state()))
    values = []
    for file in files:
        project.load_state(project.decode_state(file.read_bytes()))
        values.append(scalars(project))
    return [value["frechet_distance"] for value in values] + [values[-1]["frechet_distance/real"]]


def learns(ranks: list[float]) -> bool:
    """Whether step 0 is worse than early, early than late, by far, and real faces are best."""
    untrained, early, late, real = ranks
    return untrained > early > 1.3 * late > 1.3 * real


def test_checkpoints_rank_as_they_were_made_and_a_dead_generator_is_told(make: Make, tmp_path: Path) -> None:
    assert learns(ranked(make(learning_rate=0.0005), tmp_path, 60, 400))
    dead = make()
    dead.generator_optimizer.param_groups[0]["share"] = 0.0
    # Its batch norm learns what to expect, which alone brings it nearer, but only in the first steps.
    assert not learns(ranked(dead, tmp_path, 60, 120))
