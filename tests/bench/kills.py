"""The campaign: SIGKILLs at random moments over four recipes, each run resumed to its end and compared with one that was never killed.

    DLWB_MIRROR=<folder with the real data sets> python tests/bench/kills.py [KILLS [SEED]]

Half of the moments are drawn over the whole time of an attempt; the others aim: at the start-up, at a checkpoint that is being written
(its .part file is there), at an evaluation or sample (its first record is there). One kill in five takes the run's supervisor too.
What it was really doing is then told by what it left. Checked at each death and at the end (tests/killing.py):

- every record that a reader had seen is there, every byte of the log stays as it was, and between a resume and the next death no logged
  value is missing, so nothing is lost whose write had returned; what was logged before a checkpoint is there if the checkpoint is
- the next attempt begins at the newest whole checkpoint, which is no older than the last one due, so no more is done again than that
- at the end the folded history, the artifacts' bytes, and every bit of the newest and the best checkpoint (weights, optimizers, random
  states, windows) are those of the uninterrupted run, and nothing half-written is left among the checkpoints

As a control, a run with a learning rate a thousandth higher must differ in history and weights. Ends with 1 where anything is not so.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from killing import Victim, Whole, differences

from workbench.launch import start as launch
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.runs.run import Run
from workbench.runs.state import state_of

SETTINGS = {
    "digits-mlp": ["train.epochs=200", "train.log_every=20", "train.checkpoint_every=150"],
    "bike-sharing": ["train.steps=10000", "train.log_every=20", "train.checkpoint_every=300", 'train.keep_best="valid/loss"'],
    "mnist-gan": ["train.steps=500", "train.log_every=7", "train.checkpoint_every=30", "train.evaluate_every=50"],
    "style-transfer-squeezenet": [
        "train.steps=100",
        "train.log_every=2",
        "train.checkpoint_every=7",
        "train.sample_every=15",
        "config.size=96",
        "config.report_every=10",
    ],
}
MOMENTS = ("any", "any", "any", "any", "any", "start-up", "saving", "saving", "evaluating", "evaluating")


def start(recipe: str, *more: str) -> Run:
    return launch.start(recipe, [*SETTINGS[recipe], "compute.threads=1", "compute.device=cpu", *more])


def campaign(recipe: str, kills: int, chance: random.Random) -> tuple[list[Victim], list[str], float]:
    """Kill runs of a recipe so many times in all; the runs, what was wrong, and how long an uninterrupted one took."""
    whole = Whole(start(recipe))
    wrong = []
    rate = float(load_recipe(find_recipe(recipe)).recipe.config["learning_rate"]) * 1.001
    control = differences(Whole(start(recipe, f"config.learning_rate={rate}")).run, whole.run)
    if not {"folded series", "state in the newest checkpoint"} <= set(control):
        wrong.append(f"{recipe}: another learning rate was not noticed: {control}")
    victims: list[Victim] = []
    left = kills
    while left:
        victim = Victim(start(recipe), whole)
        victims.append(victim)
        try:
            while left and victim.kill(chance.choice(MOMENTS), chance, supervisor=chance.random() < 0.2):
                left -= 1
                victim.resume()
            wrong += [f"{victim.run.path}: {each}" for each in victim.finish()]
        except AssertionError as error:
            wrong.append(f"{victim.run.path}: {error}")
            left -= 1
            if victim.run and state_of(victim.run).alive:
                launch.kill(victim.run)
    return victims, wrong, whole.starting + whole.training


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    if not os.environ.get("DLWB_MIRROR"):
        sys.exit("Needs the real data sets: set DLWB_MIRROR.")
    os.environ["DLWB_HOME"] = home = tempfile.mkdtemp(prefix="dlwb-kills-")
    began = time.time()
    print(f"{kills} kills, seed {seed}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; runs in {home}", flush=True)
    print(f"{'recipe':<27}{'whole':>7}{'runs':>6}{'kills':>7}{'resumes':>9}{'identical':>11}  steps redone, median and most; killed while")
    everything: list[str] = []
    total: Counter[str] = Counter()
    for number, recipe in enumerate(SETTINGS):
        share = kills // len(SETTINGS) + (number < kills % len(SETTINGS))
        victims, wrong, seconds = campaign(recipe, share, random.Random(f"{seed}/{recipe}"))
        everything += wrong
        phases = Counter(phase for victim in victims for phase in victim.phases)
        redone = [steps for victim in victims for steps in victim.redone] or [0]
        bad = {each.partition(":")[0] for each in wrong}
        same = sum(str(victim.run.path) not in bad for victim in victims)
        died = sum(phases.values())
        total.update(kills=died, identical=same, runs=len(victims))
        said = ", ".join(f"{phase} {count}" for phase, count in phases.most_common())
        print(
            f"{recipe:<27}{seconds:>6.1f}s{len(victims):>6}{died:>7}{died:>9}{f'{same} of {len(victims)}':>11}"
            f"  {statistics.median(redone):.0f} {max(redone)}; {said}",
            flush=True,
        )
    print(f"{total['kills']} kills, {total['identical']} of {total['runs']} runs identical, in {time.time() - began:.0f} s")
    print("\n".join(everything))
    sys.exit(bool(everything))


if __name__ == "__main__":
    main()
