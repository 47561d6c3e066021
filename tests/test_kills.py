"""A recipe in NumPy and one in torch are killed and resumed, and are then, bit by bit, the runs that were never killed.

tests/long/test_recipe_kills.py does it with every recipe that bends the core.
"""

from pathlib import Path

import pytest
from killing import become_whole

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_killed_twice_it_becomes_the_run_that_was_never_killed(mirror: Path) -> None:
    settings = ["train.steps=3000", "train.log_every=20", "train.checkpoint_every=170", 'train.keep_best="valid/loss"']
    become_whole("bike-sharing", settings, ("saving", "evaluating"))


def test_killed_while_it_saves_or_trains_torch_goes_on_exactly() -> None:
    become_whole("digits-mlp", ["train.epochs=20", "train.log_every=20", "train.checkpoint_every=90"], ("saving",))
