"""Tuning: the best of a search beside the best of random draws, at equal budget; and how busy two trials at once keep two cores.

    python tests/bench/tuning.py search [SEEDS]     boston-xgboost-tuned with its own budget, three trials at once
    python tests/bench/tuning.py cores [SECONDS]    trials of so many seconds, as real runs, on two cores of this machine

The first prints for each seed the best validation error of both samplers, and the paired difference with its 95 % interval. The second
prints which share of both cores the trials had from the first proposal to the last end, and the same of one trial at a time.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent.parent))

from workbench import paths
from workbench.launch import proposing
from workbench.launch.proposing import Past, Question
from workbench.recipes.load import load_recipe
from workbench.runs import lock
from workbench.runs.compare import interval


def search(seeds: int) -> None:
    """Each seed searches three times; a proposal sees what has ended when three trials train at once."""
    from workbench.projects.deployment.boosting import Boosting

    loaded = load_recipe(paths.shipped("recipes") / "6-deployment" / "boston-xgboost-tuned.yaml")
    recipe, tune = loaded.recipe, loaded.recipe.tune
    assert tune
    known: dict[str, float] = {}

    def reached(params: dict[str, object], seed: int) -> float:
        config = {**recipe.config, **{name.partition(".")[2]: value for name, value in params.items()}, "splits": 0}
        project = Boosting(Boosting.Config.model_validate(config), recipe.train, recipe.compute, seed)
        project.build()
        return project.stopped()[1]

    bests: dict[str, list[float]] = {"gp": [], "tpe": [], "random": []}
    for seed in range(1, seeds + 1):
        for sampler, best in bests.items():
            about, past = msgspec.structs.replace(tune, sampler=sampler), list[Past]()
            for number in range(tune.trials):
                seen = [*past[: max(0, number + 1 - tune.parallel)]]
                seen += [Past(params=one.params, state="running") for one in past[len(seen) :]]
                # In this process also the Gaussian process, whose own would import torch anew for each proposal.
                params = proposing._propose(Question(tune=about, seed=seed, number=number, past=seen))
                key = f"{seed} {sorted(params.items())}"
                known[key] = known.get(key) or reached(params, seed)
                past.append(Past(params=params, state="finished", value=known[key]))
            best.append(min(one.value for one in past if one.value is not None))
        print(f"seed {seed}: {', '.join(f'{sampler} {best[-1]:.4f}' for sampler, best in bests.items())}", flush=True)
    print(f"best of {tune.trials} trials, {tune.parallel} at once, {seeds} seeds:")
    for sampler, best in bests.items():
        differences = [one - other for one, other in zip(best, bests["random"], strict=True)]
        across = interval(differences)
        assert across
        around = f" ({across.low:.4f} to {across.high:.4f})" if across.low is not None and across.high is not None else ""
        lower = sum(difference < 0 for difference in differences)
        print(f"{sampler}: mean {statistics.fmean(best):.4f}; minus random {across.mean:.4f}{around}, lower for {lower} of {seeds}")


BUSY = '''
"""Computes for a given time."""

import time

from workbench.events import Scalars
from workbench.training.project import Batches, Field, Project, Settings


class Busy(Project):
    """Computes for a given time of the processor."""

    class Config(Settings):
        seconds: float = Field(10, gt=0)
        """Processor time of a trial."""
        x: float = 0.0
        """What its loss is the square of."""

    def build_data(self):
        pass

    def build_model(self):
        self.steps_done = 0

    def batches(self, epoch, rng):
        return [0] * 100

    def train_step(self, batch):
        end = time.process_time() + self.config.seconds / 100
        while time.process_time() < end:
            pass
        self.steps_done += 1
        return {"loss": self.config.x**2}

    def evaluate(self, split):
        yield Scalars({"loss": self.config.x**2})
'''


def cores(seconds: float) -> None:
    """Eight trials on two cores, two at once and one at a time."""
    from workbench.launch import tuning
    from workbench.recipes import trust

    cpus = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cpus)
    for parallel in (2, 1):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DLWB_HOME"] = f"{folder}/home"
            (Path(folder) / "busy.py").write_text(BUSY)
            trust.trust(Path(folder) / "busy.py")
            file = Path(folder) / "busy.yaml"
            file.write_text(
                f"title: Busy\nproject: ./busy.py\nconfig: {{seconds: {seconds}}}\ntrain: {{epochs: 1, log_every: 50}}\n"
                "compute: {device: cpu, threads: 1}\n"
                f"tune:\n  metric: valid/loss\n  goal: minimize\n  trials: 8\n  seeds: 1\n  parallel: {parallel}\n"
                "  space: {config.x: {float: [-1, 1]}}\n"
            )
            before, began = busy(cpus), time.monotonic()
            chosen, _ = tuning.start(load_recipe(file))
            while sum(trial.ended for trial in chosen.standing().trials) < 8:
                time.sleep(0.05)
            took, after = time.monotonic() - began, busy(cpus)
            trials = chosen.standing().trials
            lived = sum(trial.seconds for trial in trials)
            print(
                f"{parallel} at once: 8 trials of {seconds:g} s of a core in {took:.1f} s, load average {os.getloadavg()[0]:.1f};", end=" "
            )
            print(f"of both cores' time trials lived {lived / took / 2:.3f}, computed {8 * seconds / took / 2:.3f};", end=" ")
            print(f"with all other work the cores were busy {(after - before) / took / 2:.3f}", flush=True)
            while lock.is_held(chosen.lock):
                time.sleep(0.1)


def busy(cpus: list[int]) -> float:
    """Seconds that these cores have worked since the start of the machine (proc_stat(5))."""
    ticks = os.sysconf("SC_CLK_TCK")
    rows = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    return sum((sum(map(int, row[1:4])) + sum(map(int, row[6:8]))) / ticks for row in rows if row[0] in {f"cpu{cpu}" for cpu in cpus})


if __name__ == "__main__":
    what, *rest = [*sys.argv[1:], ""]
    if what == "search":
        search(int(rest[0] or 10))
    elif what == "cores":
        cores(float(rest[0] or 10))
    else:
        sys.exit(__doc__)
