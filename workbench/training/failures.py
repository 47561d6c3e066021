"""Any error of a run as a Problem, with the cause by which the lists and the screen name it, and a hint that fits. The worker asks it."""

import errno
import os
import traceback
from pathlib import Path

import msgspec

from workbench.launch import devices, estimate
from workbench.problems import Problem, one_line
from workbench.runs.log import disk_full
from workbench.runs.run import Run


def named(error: BaseException, run: Run) -> Problem:
    """The error as a Problem; a Problem as it is."""
    if isinstance(error, Problem):
        return error
    kind, text = type(error).__name__, one_line(str(error))
    where = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(where[-1].filename).name}:{where[-1].lineno})" if where else ""
    # By name: a project in NumPy does without torch.
    if kind == "OutOfMemoryError":
        return Problem(f"The device's memory is full: {text}", _smaller(run, text), cause="device-memory")
    # torch's allocator on the CPU raises a RuntimeError with these words.
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return Problem(f"Out of memory{place}: {text}", _smaller(run), cause="memory")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(Path(error.filename or run.path))
    if kind == "AcceleratorError" or "CUDA error" in text:
        hint = "`dlwb doctor` looks at the device; the driver's log (dmesg) may say more."
        return Problem(f"The device failed{place}: {text}", hint, cause="device")
    if isinstance(error, ImportError):
        return Problem(f"{kind}: {text}{place}.", cause="import")
    return Problem(f"{kind}: {text}{place}.", "The traceback is in its output (`dlwb logs`).", cause="exception")


def _smaller(run: Run, text: str = "") -> str:
    """The batch size that would likely fit, from past runs and what torch said, and who else is on the device."""
    try:
        recipe = run.recipe()
    except Exception:
        return "Use a smaller batch."
    device, size = recipe.compute.device, recipe.train.batch_size
    # `text` is empty where the memory of the host was full: the estimates are of devices only.
    points = estimate.points_of(recipe, device, estimate.past_runs(run.stem)) if text else {}
    also = ""
    for accelerator in devices.accelerators() if text else []:
        others = tuple(holder for holder in accelerator.holders if holder.pid != os.getpid())
        if accelerator.name == device and (who := devices.held_by(msgspec.structs.replace(accelerator, holders=others))):
            also += f" Also on it: {who}."
    if size == 1:
        return f"Its batches have one example already: use a smaller model or another device.{also}"
    fits = estimate.after_full(text, size, points)
    return f"Batches of {fits} would likely fit: --set train.batch_size={fits}.{also}"
