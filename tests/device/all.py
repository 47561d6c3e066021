"""Everything that only a GPU can tell, for every recipe, in one command and under ten minutes; no network is needed.

    python tests/device/all.py [--pretend] [--out device.json] [--seconds 540] [RECIPE …]

For each recipe, on made data of its own set (see ../made_data.py):
- it builds, trains, evaluates, samples, saves, resumes exactly, goes on on the CPU and back, answers; with small networks (exercise.py);
- the synchronisations of a training step, by torch.cuda.set_sync_debug_mode("warn") with their lines; with --pretend, as it counts;
- its losses after five steps beside those of the CPU from the same weights and draws, within TOLERANCE (compare.py);
- steps a second of the workbench's loop and of a bare one with the recipe's own network and batch, and peak memory (speed.py).

A line of each recipe is printed as it is done, at the end what differs from the CPU, and --out gets everything as JSON. The exit code is
1 where there was an error, a step that waits, or a difference. With --pretend it runs without a GPU, on the pretended CUDA: then its
speeds are those of the pretence and mean nothing, and networks are small in them, too.
"""

import argparse
import contextlib
import dataclasses
import json
import platform
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(1, str(Path(__file__).parents[2]))

import made_data
import torch
from device.compare import TOLERANCE, difference
from device.exercise import STEPS, Costs, Exercise, described, trains
from device.small import recipe_on
from device.speed import measured
from pretend_cuda import pretend_cuda
from pretend_cuda.watch import caller

from workbench.paths import shipped
from workbench.recipes.load import load_recipe
from workbench.training.find_project import find_project

WAITS = "called a synchronizing CUDA operation"


@contextlib.contextmanager
def counting() -> Iterator[Callable[[], Costs]]:
    """Yields what takes the synchronisations since the last call, by the line of the workbench that is running."""
    counts: Costs = Counter()

    def noted(message: Warning | str, *_: Any, **__: Any) -> None:
        # Shown at once, while the line is running. PyTorch warns of other things, too, which say nothing here.
        if WAITS in str(message):
            counts["wait", "synchronize", caller("workbench", __file__, warnings.__file__)] += 1

    def take() -> Costs:
        taken = counts.copy()
        counts.clear()
        return taken

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = noted
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield take
        finally:
            torch.cuda.set_sync_debug_mode("default")


def tried(told: dict[str, Any], name: str, call: Callable[[], Any]) -> None:
    """What a part gives, or its error."""
    try:
        told[name] = call()
    except Exception as error:
        told["errors"].append(f"{name}: {described(error)}")


def of_recipe(file: Path, mirror: Path, seconds: float, watch: Any) -> dict[str, Any]:
    """Everything about one recipe; `watch` is the pretended machine, None on a real GPU."""
    project = find_project(load_recipe(file).recipe.project)
    # What is only explored answers on the CPU.
    device = "cuda:0" if "cuda" in project.devices and trains(load_recipe(file).recipe) else "cpu"
    small, began = recipe_on(file, mirror, device), time.monotonic()
    with contextlib.nullcontext(watch.take) if watch else counting() as take:
        told = dataclasses.asdict(Exercise(file, small, take).run())
    if trains(small):
        tried(told, "difference", lambda: difference(small, STEPS, file.parent))
        real = recipe_on(file, mirror, device, small=bool(watch))
        tried(told, "speed", lambda: measured(real, seconds, file.parent))
    return {**told, "seconds": round(time.monotonic() - began, 1)}


def line(told: dict[str, Any]) -> str:
    """A recipe in one line."""
    waits = {cost: times for cost, times in told["step_costs"].items() if not cost.startswith("async")}
    speed = told.get("speed", {})
    return (
        f"{told['recipe']:28} {told['device']:7} errors {len(told['errors'])}  waits a step {sum(waits.values()):g}  "
        f"from the CPU {told.get('difference', float('nan')):.1e}  {speed.get('workbench', 0):8.1f} steps/s, "
        f"{speed.get('share', 0):4.0%} of bare  {speed.get('allocated_MiB', 0):7.0f} MiB  {told['seconds']:5.1f} s"
    )


def differs(told: dict[str, Any]) -> list[str]:
    """What is not as on the CPU, or not as it should be."""
    found = [f"{told['recipe']}: {error}" for error in told["errors"]]
    found += [
        f"{told['recipe']}: a step waits {times:g} times: {cost}" for cost, times in told["step_costs"].items() if "async" not in cost
    ]
    if told["resumes"] is False:
        found.append(f"{told['recipe']}: a step behind a checkpoint is not the same twice")
    if told.get("difference", 0.0) > TOLERANCE:
        found.append(f"{told['recipe']}: its numbers are {told['difference']:.1e} from the CPU's, above {TOLERANCE:.0e}")
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="names of recipes; all where none is given")
    parser.add_argument("--pretend", action="store_true", help="without a GPU")
    parser.add_argument("--out", type=Path, default=Path("device.json"), help="where the JSON goes")
    parser.add_argument("--seconds", type=float, default=540, help="begin no recipe after so many")
    asked = parser.parse_args(given)
    if not asked.pretend and not torch.cuda.is_available():
        print("torch finds no GPU here. --pretend runs it without one.")
        return 2
    files = sorted(file for file in shipped("recipes").rglob("*.yaml") if not asked.recipes or file.stem in asked.recipes)
    began, told, left_out = time.monotonic(), list[dict[str, Any]](), list[str]()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        mirror = Path(folder) / "mirror"
        stack.enter_context(made_data.made_data(mirror, Path(folder) / "home", made_data.write(mirror)))
        watch = None
        if asked.pretend:
            watch = stack.enter_context(pretend_cuda())
        about = {"torch": torch.__version__, "python": platform.python_version(), "gpu": torch.cuda.get_device_name(0)}
        print(about)
        # All speed measurements together take a quarter of the time.
        each = asked.seconds / 4 / max(1, len(files)) / 6 if not asked.pretend else 0.0
        for file in files:
            if time.monotonic() - began > asked.seconds:
                left_out.append(file.stem)
                continue
            told.append(of_recipe(file, mirror, each, watch))
            print(line(told[-1]), flush=True)
    found = [text for recipe in told for text in differs(recipe)]
    about |= {"seconds": round(time.monotonic() - began, 1), "tolerance": TOLERANCE, "left_out": left_out, "differs": found}
    asked.out.write_text(json.dumps({**about, "recipes": told}, indent=1))
    print(
        "\nWhat differs from the CPU:", *(found or ["nothing"]), *(f"{name}: not tried, the time was over" for name in left_out), sep="\n  "
    )
    return int(bool(found or left_out))


if __name__ == "__main__":
    sys.exit(main())
