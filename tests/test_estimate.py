"""Time and memory before a start: from runs made here, from others like them, or not known; batches that fit."""

import msgspec
import pytest
from lines import ended, start

from workbench.events import Status
from workbench.launch import estimate
from workbench.launch.devices import Device, Holder
from workbench.launch.estimate import GIB, Past
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.summary import Summary, summary_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")

CPU = Device("cpu", "CPU, 2 cores")
GPU = Device("cuda:1", "NVIDIA H100", 6 * GIB, False, 80 * GIB, "", (Holder(812, "anna", 70 * GIB),))
RECIPE = Recipe(
    title="x",
    project="image_classifier",
    config={"data": "mnist", "hidden": [512], "learning_rate": 0.1},
    train=Train(epochs=10, batch_size=64),
)


def past(
    seconds: float = 100.0,
    device: str = "cpu",
    steps: int = 10_000,
    memory: float = 1.0,
    state: str = "finished",
    ready: tuple[float, str] = (0.0, "unknown"),
    **train: int,
) -> Past:
    recipe = msgspec.structs.replace(RECIPE, train=msgspec.structs.replace(RECIPE.train, **train))
    meters = {"system/memory": memory} if device == "cpu" else {"system/gpu_memory_peak": memory - 0.5, "system/memory": 3.0}
    per_epoch = 64_000 // recipe.train.batch_size
    status = Status(state=state)
    known = {"size": 1, "step": steps, "seconds": seconds, "device": device, "steps_per_epoch": per_epoch, "memory": meters}
    return Past(recipe, Summary(**known, status=status, ready=ready[0], cache=ready[1]))


def changed(**config: object) -> Recipe:
    return msgspec.structs.replace(RECIPE, config={**RECIPE.config, **config})


def batches(size: int, epochs: int = 10) -> Recipe:
    return msgspec.structs.replace(RECIPE, train=Train(epochs=epochs, batch_size=size))


def test_runs_of_the_same_recipe_say_what_it_takes() -> None:
    found = estimate.estimate(RECIPE, CPU, [past(90.0), past(100.0), past(400.0)])
    assert (found.seconds, found.time_source) == (100.0, "3 runs here")
    assert (found.memory, found.memory_source) == (GIB, "3 runs here")
    assert estimate.told(found) == ("1:40 (3 runs here)", "1.0 GiB (3 runs here)")
    other = changed(learning_rate=0.5)
    assert estimate.estimate(other, CPU, [past()], ["learning_rate"]).time_source == "1 run here"
    assert "estimate" in estimate.estimate(other, CPU, [past()]).time_source


def test_another_length_batch_or_model_is_an_estimate() -> None:
    for recipe, seconds in ((batches(64, epochs=20), 200.0), (batches(128), 100.0), (changed(hidden=[64]), 100.0)):
        found = estimate.estimate(recipe, CPU, [past()])
        assert found.seconds == pytest.approx(seconds) and "estimate" in found.time_source, recipe
        assert estimate.told(found)[0].startswith("about ")
    stopped = estimate.estimate(RECIPE, CPU, [past(50.0, steps=5000, state="stopped")])
    assert stopped.seconds == pytest.approx(100.0) and "estimate" in stopped.time_source


COLD, WARM = past(1500.0, ready=(1400.0, "cold")), past(120.0, ready=(20.0, "warm"))
PREPARED = {
    "nothing is kept": ([past(120.0, ready=(20.0, ""))], "2:00 (1 run here)"),
    "warm alone": ([WARM], "2:00 warm (1 run here)"),
    "cold alone": ([COLD], "25:00 cold (1 run here)"),
    "both": ([COLD, WARM, WARM], "2:00 warm, 25:00 cold (3 runs here)"),
    "an older run says nothing beside them": ([WARM, past(900.0, ready=(800.0, "unknown"))], "2:00 warm (2 runs here)"),
    "older runs alone": ([past(120.0, ready=(20.0, "unknown"))], "2:00 (1 run here)"),
    "a part of the cache": ([past(700.0, ready=(600.0, "partly")), WARM], "2:00 warm (2 runs here)"),
}


@pytest.mark.parametrize("kind", PREPARED)
def test_the_preparation_is_part_of_the_time_cold_and_warm_apart(kind: str) -> None:
    runs, said = PREPARED[kind]
    assert estimate.told(estimate.estimate(RECIPE, CPU, runs))[0] == said


def test_a_longer_run_prepares_no_longer() -> None:
    twice = estimate.estimate(batches(64, epochs=20), CPU, [COLD, WARM])
    assert twice.seconds == pytest.approx(220.0) and twice.cold == pytest.approx(1600.0)
    assert estimate.told(twice)[0] == "about 3:40 warm, 26:40 cold (an estimate, from its pace in 2 runs here)"


def test_what_says_nothing_about_it() -> None:
    unknown = ("not known: nothing like it ran here yet", "not known: nothing like it ran here yet")
    assert estimate.told(estimate.estimate(RECIPE, CPU, [])) == unknown
    assert estimate.told(estimate.estimate(RECIPE, CPU, [past(device="cuda:0 NVIDIA H100")])) == unknown
    assert estimate.estimate(RECIPE, GPU, [past(device="cuda:0 NVIDIA T4")]).seconds is None
    assert estimate.estimate(RECIPE, GPU, [past(device="cuda:0 NVIDIA H100")]).seconds == 100.0, "the same card under another number"
    assert estimate.estimate(changed(data="fashion-mnist"), CPU, [past()]).seconds is None
    assert estimate.estimate(RECIPE, CPU, [past(steps=3, state="failed")]).seconds is None


def test_the_batch_that_would_fit() -> None:
    on = "cuda:0 NVIDIA H100"
    one = [past(device=on, batch_size=256, memory=10.0)]
    assert estimate.fitting(batches(256), GPU, one) == 152, "6 of 10 GiB, in proportion: 153"
    two = [*one, past(device=on, batch_size=64, memory=4.0)]  # 2 GiB and 1/32 GiB for each example
    assert estimate.fitting(batches(256), GPU, two) == 128
    assert estimate.estimate(batches(512), GPU, two).memory == pytest.approx(18 * GIB)
    text = estimate.crowded(batches(256), GPU, two)
    assert "6.0 GiB free of 80 GiB (on it: anna 70 GiB)" in text and "needs about 10 GiB (1 run here)" in text
    assert "train.batch_size=128" in text
    assert estimate.crowded(batches(64), GPU, two) == "" and estimate.crowded(batches(256), CPU, two) == ""
    assert estimate.fitting(batches(256), GPU, []) == 0
    full = msgspec.structs.replace(GPU, free=0.2 * GIB)
    assert "a run needs more" in estimate.crowded(RECIPE, full, []) and estimate.crowded(RECIPE, GPU, []) == ""


TORCH_SAYS = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.19 GiB of which 1.00 GiB is free. "
    "Process 812 has 60.00 GiB memory in use. Including non-PyTorch memory, this process has 5.00 GiB memory in use. "
    "Of the allocated memory 4.50 GiB is allocated by PyTorch"
)


def test_after_the_memory_was_full() -> None:
    assert estimate.after_full(TORCH_SAYS, 256, {}) == 128, "6 GiB were there, at least 7 were needed"
    assert estimate.after_full(TORCH_SAYS.replace("this process has 5.00 GiB", "this process has 64.00 MiB"), 256, {}) == 128
    little = TORCH_SAYS.replace("2.00 GiB", "20.00 GiB")
    assert estimate.after_full(little, 256, {}) == 32, "6 of 25 GiB: less than a quarter"
    known = {16: 2 * GIB, 32: 2.5 * GIB}
    assert estimate.after_full(TORCH_SAYS, 256, known) == 144, "1.5 GiB and 1/32 GiB an example"
    assert estimate.after_full("no numbers", 3, {}) == 1 and estimate.after_full("", 1, {}) == 1


def test_a_real_run_leaves_what_the_next_estimate_needs(tmp_path) -> None:
    run = start(tmp_path)
    assert ended(run).state == "finished"
    found = estimate.past_runs(run.stem)
    assert len(found) == 1
    told = estimate.estimate(run.recipe(), CPU, found)
    summary = summary_of(run)
    assert told.seconds == summary.seconds > 0 and told.time_source == "1 run here"
    assert told.memory and 0.01 * GIB < told.memory < 4 * GIB
    other = msgspec.structs.replace(run.recipe(), compute=Compute(device="cpu", threads=7))
    assert "estimate" in estimate.estimate(other, CPU, found).time_source
