"""What a start would come to on this machine: which device, how long, how much memory, and what speaks against it. Pure but for `look`."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from workbench import formatting, paths
from workbench.launch import choose_device, devices, estimate, torch_probe
from workbench.launch.devices import Device, Driver
from workbench.launch.doctor import disks, session
from workbench.launch.doctor.finding import Finding
from workbench.launch.estimate import Estimate, Past
from workbench.problems import Problem
from workbench.recipes.load import Loaded


class Machine(NamedTuple):
    """This machine as it was last looked at."""

    devices: tuple[Device, ...]
    driver: Driver = Driver()
    torch: Problem | None = None
    """Why torch cannot use the GPU."""
    findings: tuple[Finding, ...] = ()
    """What else the doctor would say."""
    whole: bool = False
    """Whether torch was asked, and the doctor."""


class Outlook(NamedTuple):
    """What a start would come to."""

    device: Device
    estimate: Estimate
    warnings: tuple[tuple[str, bool], ...]
    """Sentences, each with whether it is bad."""


def look(before: Machine | None = None) -> Machine:
    """Look at the devices; at first also ask torch, which may take seconds, and the doctor about disk and logout."""
    all_devices, driver = tuple(devices.devices()), devices.driver()
    if before is None:
        return Machine(all_devices, driver)
    if before.whole:
        return before._replace(devices=all_devices, driver=driver)
    problem = torch_probe.refusal(torch_probe.torch(), driver) if len(all_devices) > 1 else None
    folder = next(parent for parent in (paths.home(), *paths.home().parents) if parent.exists())
    findings = (disks.room(folder), session.logout(Path("/")))
    return Machine(all_devices, driver, problem, tuple(finding for finding in findings if finding.level in ("warn", "bad")), True)


def outlook(loaded: Loaded, machine: Machine, past: Sequence[Past]) -> Outlook:
    """Of a recipe with its changes."""
    wanted = loaded.recipe.compute.device
    kinds = loaded.schema.devices if loaded.schema else ("cpu",)
    live = loaded.schema.live if loaded.schema else ()
    cpu = machine.devices[-1]
    warnings: list[tuple[str, bool]] = []
    accelerators = machine.devices[:-1]
    try:
        name = choose_device.best_device(kinds, wanted, accelerators)
    except Problem as problem:
        return Outlook(cpu, Estimate(), ((str(problem), True),))
    if name != "cpu" and machine.torch:
        if wanted == "auto":
            warnings.append((f"It would train on the CPU although {accelerators[0].title} is here. {machine.torch}", True))
            name = "cpu"
        else:
            warnings.append((str(machine.torch), True))
    elif "cuda" in kinds and wanted == "auto" and machine.driver.error:
        text = f"It would train on the CPU: an NVIDIA driver is there, but it does not answer ({machine.driver.error})."
        warnings.append((f"{text} {choose_device.BROKEN_DRIVER}", True))
    device = next(machine_device for machine_device in machine.devices if machine_device.name == name)
    if device.busy:
        warnings.append((f"{device.name} is in use by {device.run or 'another run'}: this one would wait until that has ended.", False))
    elif full := estimate.crowded(loaded.recipe, device, past, live):
        warnings.append((full, True))
    warnings += [(f"{finding.text} {finding.mend}".strip(), finding.level == "bad") for finding in machine.findings]
    return Outlook(device, estimate.estimate(loaded.recipe, device, past, live), tuple(warnings))


def described(device: Device) -> str:
    """A device in a line: its memory, who is on it."""
    if device.name == "cpu":
        return device.title
    who = devices.held_by(device)
    run = f", in use by {device.run or 'a run'}" if device.busy else ""
    return f"{device.title}, {formatting.gib(device.free)} of {formatting.gib(device.total)} free{run}{f' (on it: {who})' if who else ''}"
