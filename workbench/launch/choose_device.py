"""The device for a run: what was asked for, or the best there is, and never a GPU that torch cannot use."""

from collections.abc import Sequence
from typing import NamedTuple

from workbench.launch import torch_probe
from workbench.launch.devices import Device, accelerators, driver
from workbench.problems import Problem

BROKEN_DRIVER = "After an update of the driver, restart the machine; else ask who looks after it."


class Choice(NamedTuple):
    """The device for a run, and what is wrong with that: a sentence that must be seen, or ""."""

    name: str
    warning: str = ""


def best_device(kinds: Sequence[str] = ("cpu", "cuda"), wanted: str = "auto", found: Sequence[Device] | None = None) -> str:
    """The device for a run: what was asked for, or the free accelerator with the most free memory, or the CPU.

    `found` are the accelerators, where they are known already.
    """
    if wanted == "cpu" or "cuda" not in kinds:
        if wanted.startswith("cuda"):
            raise Problem(f"This project trains on the CPU only, and {wanted} was asked for.", "Leave --device out.")
        return "cpu"
    found = accelerators() if found is None else found
    if wanted == "auto":
        return max(found, key=lambda device: (not device.busy, device.free)).name if found else "cpu"
    name = "cuda:0" if wanted == "cuda" else wanted
    if name not in [device.name for device in found]:
        have = ", ".join(device.name for device in found) or "none"
        raise Problem(f"There is no device {wanted} here; accelerators: {have}.", "Use --device cpu; `dlwb doctor` says what there is.")
    return name


def choose(kinds: Sequence[str] = ("cpu", "cuda"), wanted: str = "auto") -> Choice:
    """As `best_device`, but never a GPU that torch cannot use: then the CPU, with a warning, or a Problem where the GPU was asked for.

    Asks torch, in a process of its own, at the first start on an accelerator since the machine's; later from memory.
    """
    name = best_device(kinds, wanted)
    if wanted == "cpu" or "cuda" not in kinds:
        return Choice(name)
    here = driver()
    if name == "cpu":
        why = here.error
        return Choice(
            name, f"Training on the CPU: an NVIDIA driver is there, but it does not answer ({why}). {BROKEN_DRIVER}" if why else ""
        )
    problem = torch_probe.refusal(torch_probe.torch(), here)
    if problem is None:
        return Choice(name)
    if wanted != "auto":
        raise problem
    title = next((device.title for device in accelerators() if device.name == name), "a GPU")
    return Choice("cpu", f"Training on the CPU although {title} is here. {problem}")
