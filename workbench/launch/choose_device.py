"""Chooses the device for a run: the one asked for, else the best one of this machine; never a GPU that torch cannot use."""

from collections.abc import Sequence
from typing import NamedTuple

from workbench.launch import torch_probe
from workbench.launch.devices import Device, accelerators, driver
from workbench.problems import Problem

BROKEN_DRIVER = "After a driver update, restart the machine; otherwise ask its administrator."


class Choice(NamedTuple):
    """The device for a run, and a warning that the person must see, or ""."""

    name: str
    warning: str = ""


def best_device(kinds: Sequence[str] = ("cpu", "cuda"), requested: str = "auto", usable: Sequence[Device] | None = None) -> str:
    """The device that was asked for; else the accelerator without a run and with the most free memory; else the CPU.

    `usable` are the accelerators, if the caller knows them already. Raises Problem where the device asked for does not exist.
    """
    if requested == "cpu" or "cuda" not in kinds:
        if requested.startswith("cuda"):
            raise Problem(f"This project trains on the CPU only, but {requested} was asked for.", "Leave --device out.")
        return "cpu"
    usable = accelerators() if usable is None else usable
    if requested == "auto":
        return max(usable, key=lambda device: (not device.busy, device.free)).name if usable else "cpu"
    name = "cuda:0" if requested == "cuda" else requested
    if name not in [device.name for device in usable]:
        have = ", ".join(device.name for device in usable) or "none"
        raise Problem(f"There is no device {requested} here; accelerators: {have}.", "Use --device cpu; `dlwb doctor` lists the devices.")
    return name


def choose(kinds: Sequence[str] = ("cpu", "cuda"), requested: str = "auto") -> Choice:
    """Like `best_device`, but never a GPU that torch cannot use: then the CPU with a warning, or a Problem if the GPU was asked for.

    The first start on an accelerator after a boot asks torch in a separate process; later starts use the cached answer.
    """
    name = best_device(kinds, requested)
    if requested == "cpu" or "cuda" not in kinds:
        return Choice(name)
    installed = driver()
    if name == "cpu":
        why = installed.error
        return Choice(
            name, f"Training on the CPU: an NVIDIA driver is installed, but it does not answer ({why}). {BROKEN_DRIVER}" if why else ""
        )
    problem = torch_probe.refusal(torch_probe.torch(), installed)
    if problem is None:
        return Choice(name)
    if requested != "auto":
        raise problem
    title = next((device.title for device in accelerators() if device.name == name), "a GPU")
    return Choice("cpu", f"Training on the CPU although {title} is here. {problem}")
