"""The set with the most files is looked at: 60,000 pictures, which are unpacked and decoded first."""

from pathlib import Path

from workbench.events import Images, Table
from workbench.training.preview import look


def test_sixty_thousand_files_are_looked_at(mirror: Path) -> None:
    sizes, classes, samples = look("cifar10:jpeg")
    assert isinstance(sizes, Table) and sizes.rows == [["train", 40_000, 10], ["valid", 10_000, 10], ["test", 10_000, 10]]
    assert isinstance(classes, Table) and len(classes.rows) == 10 and isinstance(samples, Images)
