"""What a start would mean on this machine: device, time, memory and warnings. Pure functions, except `look`."""

from collections.abc import Mapping, Sequence
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
from workbench.serving import usage


class Machine(NamedTuple):
    """This machine at the last look."""

    devices: tuple[Device, ...]
    driver: Driver = Driver()
    torch: Problem | None = None
    """Why torch cannot use the GPU."""
    refused: Mapping[str, str] = {}
    """The GPUs that it cannot use beside others that it can, with its reasons."""
    findings: tuple[Finding, ...] = ()
    """Other findings of the doctor that matter for a start."""
    whole: bool = False
    """Whether torch and the doctor were asked too."""


class Outlook(NamedTuple):
    """What a start would mean."""

    device: Device
    estimate: Estimate
    warnings: tuple[tuple[str, bool], ...]
    """Sentences, each with whether it is serious."""


def look(before: Machine | None = None) -> Machine:
    """Look at the devices; after a first look also ask torch, which may take seconds, and the doctor about disk and logout."""
    all_devices, driver = tuple(devices.devices()), devices.driver()
    # The first answer comes at once, so that the form stands; the second look asks torch; later ones only the devices.
    if before is None:
        return Machine(all_devices, driver)
    if before.whole:
        return before._replace(devices=all_devices, driver=driver)
    build = torch_probe.torch() if len(all_devices) > 1 else torch_probe.Torch(works=True)
    problem = torch_probe.refusal(build, driver)
    # Before the first run the home folder is not there; its disk is that of the nearest parent.
    folder = next(parent for parent in (paths.home(), *paths.home().parents) if parent.exists())
    findings = (disks.room(folder), session.logout(Path("/")))
    bad = tuple(finding for finding in findings if finding.level in ("warn", "bad"))
    if spent := usage.warning():
        bad += (Finding("budget", "warn", spent),)
    return Machine(all_devices, driver, problem, build.refused if build.works else {}, bad, True)


def outlook(loaded: Loaded, machine: Machine, past: Sequence[Past]) -> Outlook:
    """The outlook of a recipe with the changes of its form."""
    wanted = loaded.recipe.compute.device
    kinds = loaded.schema.devices if loaded.schema else ("cpu",)
    live = loaded.schema.live if loaded.schema else ()
    # `devices()` always ends with the CPU.
    cpu = machine.devices[-1]
    warnings: list[tuple[str, bool]] = []
    accelerators = [device for device in machine.devices[:-1] if device.name not in machine.refused or device.name == wanted]
    try:
        # The same function as the start itself uses, so that the form promises what happens.
        name = choose_device.best_device(kinds, wanted, accelerators)
        if crowded := choose_device.crowd(loaded.recipe.compute, name, wanted, accelerators):
            warnings.append((crowded, False))
    except Problem as problem:
        return Outlook(cpu, Estimate(), ((str(problem), True),))
    if name != "cpu" and machine.torch:
        if wanted == "auto":
            warnings.append((f"This run would train on the CPU although the machine has {accelerators[0].title}. {machine.torch}", True))
            name = "cpu"
        else:
            warnings.append((str(machine.torch), True))
    elif "cuda" in kinds and wanted == "auto" and machine.driver.error:
        text = f"This run would train on the CPU: an NVIDIA driver is installed, but it does not answer ({machine.driver.error})."
        warnings.append((f"{text} {choose_device.BROKEN_DRIVER}", True))
    if name in machine.refused:
        warnings.append((f"torch cannot use {name}: {machine.refused[name]}. Use another device.", True))
    device = next(machine_device for machine_device in machine.devices if machine_device.name == name)
    processes, free = loaded.recipe.compute.processes, [one for one in accelerators if not one.busy]
    if name != "cpu" and len(free) < processes and processes > 1:
        text = f"{len(free)} of {len(accelerators)} GPUs are free: this run would wait until {processes} are, and take them at once."
        warnings.append((text, False))
    elif device.busy:
        holder = f"{device.name} is in use by {device.run or 'another run'}: this run would wait until that one ends."
        every = f"All {len(accelerators)} GPUs are in use by runs: this run would wait for the first one that is free."
        warnings.append((every if wanted in choose_device.ANY and len(accelerators) > 1 else holder, False))
    elif full := estimate.crowded(loaded.recipe, device, past, live):
        warnings.append((full, True))
    warnings += [(f"{finding.text} {finding.mend}".strip(), finding.level == "bad") for finding in machine.findings]
    return Outlook(device, estimate.estimate(loaded.recipe, device, past, live), tuple(warnings))


def described(device: Device) -> str:
    """A device in one line: its memory, and which programs use it."""
    if device.name == "cpu":
        return device.title
    who = devices.held_by(device)
    run = f", in use by {device.run or 'a run'}" if device.busy else ""
    return f"{device.title}, {formatting.gib(device.free)} of {formatting.gib(device.total)} free{run}{f' (on it: {who})' if who else ''}"
