"""Any error of a run as a Problem, with the cause by which the lists and the screen name it, and a hint that fits. The worker asks it."""

import errno
import os
import traceback
from pathlib import Path
from typing import NamedTuple

import msgspec

from workbench.launch import devices, estimate
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs.log import disk_full
from workbench.runs.run import Run

CAUSES_BY_TEXT = {
    # By class, as a project in NumPy does without torch. Before MemoryError, which is a part of this name.
    "OutOfMemoryError": "device-memory",
    "CUDA out of memory": "device-memory",
    "HIP out of memory": "device-memory",
    "CUDA error: out of memory": "device-memory",
    "HIP error: out of memory": "device-memory",
    "CUDA driver error: out of memory": "device-memory",
    "CUDA_ERROR_OUT_OF_MEMORY": "device-memory",
    "cudaErrorMemoryAllocation": "device-memory",
    # cuBLAS, cuSOLVER, cuSPARSE, cuRAND, cuFFT and cuDNN take workspace of their own, past torch's allocator.
    "STATUS_ALLOC_FAILED": "device-memory",
    "STATUS_ALLOCATION_FAILED": "device-memory",
    "CUFFT_ALLOC_FAILED": "device-memory",
    "DEVICE_ALLOCATION_FAILED": "device-memory",
    "HOST_ALLOCATION_FAILED": "memory",
    # NumPy's and Python's; torch's allocator on the CPU; C++; mmap(2) and fork(2); the shared memory of a loader's processes.
    "MemoryError": "memory",
    "DefaultCPUAllocator": "memory",
    "bad_alloc": "memory",
    "Cannot allocate memory": "memory",
    "out of shared memory": "memory",
    # Behind all that has to do with memory.
    "AcceleratorError": "device",
    "CUDA error": "device",
    "HIP error": "device",
    "CUDA driver error": "device",
    "cuDNN error": "device",
}
"""What an error says, its class first, and the cause of it; the first text that it contains counts."""
PERHAPS_FULL = ("STATUS_NOT_INITIALIZED", "CUDNN_STATUS_INTERNAL_ERROR")
"""Texts that mean many things, a full device among them: cuBLAS can make no handle, cuDNN load no kernel (pytorch issue 81620)."""


class Allocation(NamedTuple):
    """What memory was asked for."""

    when: str
    hint: str = ""
    """Empty where a smaller batch helps: that hint has a number. `larger` is a device or a machine."""


BATCH = Allocation("in a training step")
WEIGHTS = Allocation("while the model was built", "The batch size does not matter here: use a smaller model, or {larger}.")
STATE = Allocation("in the optimizer", "The batch size does not matter here, the optimizer's state does: use a smaller model, or {larger}.")
DATA = Allocation("while the data was read", "The batch size does not matter here: use less data, or {larger}.")
EVALUATION = Allocation("in an evaluation", "An evaluation has a batch size of its own: use a smaller model, less data, or {larger}.")
SAMPLE = Allocation("in a sample or an answer", "The batch size does not matter here: ask for less, or use {larger}.")
CHECKPOINT = Allocation("while a checkpoint was saved", "A checkpoint is a second copy of the model: use a smaller model, or {larger}.")
ALLOCATIONS = {
    "build_data": DATA,
    "build_model": WEIGHTS,
    "load_state": WEIGHTS,
    "train_step": BATCH,
    "stream": BATCH,
    "evaluate": EVALUATION,
    "sample": SAMPLE,
    "predict": SAMPLE,
    "save": CHECKPOINT,
}
"""What a function of the project, or of the loop, allocates; the outermost one counts."""


def named(error: BaseException, run: Run) -> Problem:
    """The error as a Problem; a Problem as it is."""
    if isinstance(error, Problem):
        return error
    kind, text = type(error).__name__, one_line(str(error))
    where, place = traceback.extract_tb(error.__traceback__), place_of(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(Path(error.filename or run.path))
    cause = _cause(error)
    if cause in ("memory", "device-memory"):
        allocation = _allocation(where)
        what = "The device's memory is full" if cause == "device-memory" else "Out of memory"
        moment = f" {allocation.when}" if allocation else ""
        return Problem(f"{what}{moment}{place}: {text}", _hint(run, cause, allocation, str(error)), cause=cause)
    if cause == "device":
        hint = "`dlwb doctor` looks at the device; the driver's log (dmesg) may say more."
        if any(words in text for words in PERHAPS_FULL):
            hint = f"Its memory may be full: try a smaller train.batch_size. {hint}"
        return Problem(f"The device failed{place}: {text}", hint, cause=cause)
    if isinstance(error, ImportError):
        return Problem(f"{kind}: {text}{place}.", cause="import")
    return Problem(f"{kind}: {text}{place}.", "The traceback is in its output (`dlwb logs`).", cause="exception")


def _cause(error: BaseException) -> str:
    """The cause in the table; "" for an error of another kind, whatever it says."""
    if not isinstance(error, RuntimeError | MemoryError | OSError):
        return ""
    # All classes: NumPy raises one of its own below MemoryError.
    words = " ".join([*(kind.__name__ for kind in type(error).__mro__), str(error)])
    return next((cause for text, cause in CAUSES_BY_TEXT.items() if text in words), "")


def place_of(error: BaseException) -> str:
    """Where it was raised, in brackets: ` (train.py:12)`; "" where that is not known."""
    where = traceback.extract_tb(error.__traceback__)
    return f" ({Path(where[-1].filename).name}:{where[-1].lineno})" if where else ""


def cause_of(error: BaseException) -> str:
    """The cause of an error in code that is not dlwb's, one of `events.CAUSES`."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk-full"
    return _cause(error) or ("import" if isinstance(error, ImportError) else "exception")


def _allocation(where: traceback.StackSummary) -> Allocation | None:
    """What was being allocated, by the functions that were being called; None where they do not tell."""
    # Inside of a training step, but as large as the model whatever the batch.
    if any("/torch/optim/" in frame.filename for frame in where):
        return STATE
    return next((ALLOCATIONS[frame.name] for frame in where if frame.name in ALLOCATIONS), None)


def _hint(run: Run, cause: str, allocation: Allocation | None, text: str) -> str:
    """What would help, and who else uses the device."""
    try:
        recipe = run.recipe()
    except Problem:
        recipe = None
    on_device = cause == "device-memory"
    larger = f"a {'device' if on_device else 'machine'} with more memory"
    if allocation and allocation.hint:
        advice = allocation.hint.format(larger=larger)
    elif allocation is None or recipe is None:
        advice = f"Use smaller batches (train.batch_size), a smaller model, less data, or {larger}."
    else:
        advice = _smaller(run, recipe, text if on_device else "", larger)
    who = _others(recipe.compute.device) if on_device and recipe else ""
    return f"{advice} Also on it: {who}." if who else advice


def _smaller(run: Run, recipe: Recipe, text: str, larger: str) -> str:
    """The batch size that would likely fit, from past runs and what torch said of the device; `text` is empty for the host."""
    size = recipe.train.batch_size
    if size == 1:
        return f"Its batches have one example already: use a smaller model, or {larger}."
    # The estimates are of devices only.
    points = estimate.points_of(recipe, recipe.compute.device, estimate.past_runs(run.stem)) if text else {}
    fits = estimate.after_full(text, size, points)
    # Without the sizes that torch's allocator names, half is only a guess.
    if "Tried to allocate" in text or points:
        return f"Batches of {fits} would likely fit: --set train.batch_size={fits}."
    return f"Try batches of {fits} (--set train.batch_size={fits}), or {larger}."


def _others(device: str) -> str:
    """Who else uses memory of the device."""
    for accelerator in devices.accelerators():
        if accelerator.name == device:
            others = tuple(holder for holder in accelerator.holders if holder.pid != os.getpid())
            return devices.held_by(msgspec.structs.replace(accelerator, holders=others))
    return ""
