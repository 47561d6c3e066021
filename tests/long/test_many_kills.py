"""A hundred kills at random moments, each resumed: every run is then, bit by bit, the run that was never killed. Prints what was hit."""

import random
import statistics
from collections import Counter
from pathlib import Path

import pytest
from killing import Victim, Whole
from lines import write

from workbench.launch import start

pytestmark = pytest.mark.usefixtures("nothing_is_left")

MOMENTS = ("any", "any", "any", "start-up", "saving", "saving", "evaluating", "evaluating")
LINE = "{steps: 1200, batch_size: 10, log_every: 7, checkpoint_every: 30, evaluate_every: 50, keep_best: valid/loss}"
DIGITS = ["train.epochs=100", "train.log_every=20", "train.checkpoint_every=150", "compute.threads=1", "compute.device=cpu"]


@pytest.mark.parametrize(("recipe", "kills"), [("line", 80), ("digits-mlp", 20)])
def test_after_many_kills_it_is_the_run_that_was_never_killed(
    tmp_path: Path, recipe: str, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    name, settings = recipe, DIGITS
    if recipe == "line":
        name, settings = str(write(tmp_path, config="{sleep: 0.002}", train=LINE)), []
    whole = Whole(start.start(name, settings))
    chance = random.Random(recipe)
    phases: Counter[str] = Counter()
    redone: list[int] = []
    victims = 0
    while sum(phases.values()) < kills:
        victim, left = Victim(start.start(name, settings), whole), kills - sum(phases.values())
        victims += 1
        while len(victim.phases) < left and victim.kill(chance.choice(MOMENTS), chance, supervisor=chance.random() < 0.2):
            victim.resume()
        assert victim.finish() == [], f"{victim.run.path} after {len(victim.phases)} kills"
        phases.update(victim.phases)
        redone += victim.redone
    with capsys.disabled():
        hit = ", ".join(f"{phase} {count}" for phase, count in phases.most_common())
        print(f" {recipe}: {sum(phases.values())} kills of {victims} runs, all bit by bit equal; {hit}", end="")
        print(f"; steps made again: median {statistics.median(redone or [0]):.0f}, most {max(redone, default=0)}", flush=True)
