"""Chooses the device for a run: the one asked for, else the best one of this machine; never a GPU that torch cannot use."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from workbench.launch import estimate, torch_probe
from workbench.launch.devices import Device, accelerators, driver
from workbench.problems import Problem
from workbench.recipes.recipe import Compute
from workbench.runs.run import Run
from workbench.runs.summary import summary_of

ANY = ("auto", "cuda")
"""Requests that any accelerator fulfils."""
BROKEN_DRIVER = "After a driver update, restart the machine; otherwise ask its administrator."


class Choice(NamedTuple):
    """The device for a run, and a warning that the person must see, or ""."""

    name: str
    warning: str = ""
    requested: str = ""
    """What was asked for: with `auto` and `cuda` another GPU would do as well."""


def best_device(kinds: Sequence[str] = ("cpu", "cuda"), requested: str = "auto", usable: Sequence[Device] | None = None) -> str:
    """The device that was asked for; else the accelerator without a run and with the most free memory; else the CPU.

    `cuda` asks for any accelerator, and never for the CPU. `usable` are the accelerators, if the caller knows them already. Raises Problem
    where the device asked for does not exist.
    """
    if requested == "cpu" or "cuda" not in kinds:
        if requested.startswith("cuda"):
            raise Problem(f"This project trains on the CPU only, but {requested} was asked for.", "Leave --device out.")
        return "cpu"
    usable = accelerators() if usable is None else usable
    if requested == "auto" and not usable:
        return "cpu"
    if requested in ANY and usable:
        return by_preference(usable)[0].name
    if requested not in [device.name for device in usable]:
        have = ", ".join(device.name for device in usable) or "none"
        raise Problem(f"There is no device {requested} here; accelerators: {have}.", "Use --device cpu; `dlwb doctor` lists the devices.")
    return requested


def by_preference(usable: Sequence[Device]) -> list[Device]:
    """Accelerators without a run first, of them those with the most free memory."""
    return sorted(usable, key=lambda device: (device.busy, -device.free))


def choose(kinds: Sequence[str] = ("cpu", "cuda"), requested: str = "auto") -> Choice:
    """Like `best_device`, but never a GPU that torch cannot use: then the CPU with a warning, or a Problem if the GPU was asked for.

    The first start on an accelerator after a boot asks torch in a separate process; later starts use the cached answer.
    """
    found = accelerators()
    name = best_device(kinds, requested, found)
    if requested == "cpu" or "cuda" not in kinds:
        return Choice(name, requested=requested)
    installed = driver()
    if name == "cpu":
        why = installed.error
        text = f"Training on the CPU: an NVIDIA driver is installed, but it does not answer ({why}). {BROKEN_DRIVER}"
        return Choice(name, text if why else "", requested)
    build = torch_probe.torch()
    if requested in ANY and build.works:
        passed_over = torch_probe.refusal(build, installed, name)
        name = best_device(kinds, requested, [device for device in found if device.name not in build.refused])
        return Choice(name, f"Training on {name}. {passed_over.message}" if passed_over else "", requested)
    problem = torch_probe.refusal(build, installed, name)
    if problem is None:
        return Choice(name, requested=requested)
    if requested != "auto":
        raise problem
    title = next((device.title for device in found if device.name == name), "a GPU")
    return Choice("cpu", f"Training on the CPU although {title} is here. {problem}", requested)


def usable() -> list[Device]:
    """The accelerators that torch can use."""
    found = accelerators()
    refused = torch_probe.torch().refused if len(found) > 1 else {}
    return [device for device in found if device.name not in refused]


def crowd(compute: Compute, name: str, requested: str, usable: Sequence[Device]) -> str:
    """A warning where the processes of a run on device `name` share too few cores, or "". Problem where they cannot be started here."""
    if compute.nodes > 1:
        raise Problem(
            f"compute.nodes is {compute.nodes}, and a run that is started here has this machine alone.",
            "`dlwb submit` asks a cluster for them; on one machine compute.processes is enough.",
        )
    count = compute.processes
    if count == 1:
        return ""
    if name == "cpu":
        cores = len(os.sched_getaffinity(0))
        few = f"{count} processes share {cores} core{'s' * (cores != 1)}, so this is slower than fewer processes."
        return few if count > cores else ""
    if requested not in ANY:
        raise Problem(f"{name} is one GPU, and each of {count} processes needs one of its own.", "Use --device cuda.")
    if len(usable) < count:
        raise Problem(
            f"compute.processes is {count}, each on a GPU of its own, and this machine has {len(usable)}.",
            "Use fewer processes, or --device cpu, where they share the cores.",
        )
    return ""


def allowed(run: Run) -> list[str]:
    """The devices that a run may take, the best one first; for the CPU, and where one GPU was asked for, the recipe's device alone.

    Of several GPUs those count that torch can use and that no other program fills; once it has trained, those of the same kind, as
    another kind rounds differently.
    """
    recipe = run.recipe()
    device = recipe.compute.device
    if not device.startswith("cuda") or (device != "cuda" and run.about().get("device") not in ANY):
        return [device]
    found = accelerators()
    if len(found) > 1:
        refused = torch_probe.torch().refused
        found = [candidate for candidate in found if candidate.name not in refused]
    trained_on = summary_of(run).device.partition(" ")[2] if run.events.exists() else ""
    alike = [candidate for candidate in found if candidate.title == trained_on]
    past = estimate.past_runs(run.stem) if len(found) > 1 else []
    choice = [
        candidate.name
        for candidate in by_preference(alike or found)
        if candidate.name == device or candidate.busy or not estimate.crowded(recipe, candidate, past)
    ]
    # What was chosen a moment ago comes first, though by now another may have more memory.
    return sorted(choice, key=lambda name: name != device) or [device]
