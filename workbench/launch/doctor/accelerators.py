"""Checks of Python, torch and GPUs: torch's build against the driver, hidden or full devices, login nodes."""

import os
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata

from workbench.formatting import gib
from workbench.launch import choose_device, devices, torch_probe
from workbench.launch.devices import Device, Driver
from workbench.launch.doctor.finding import Finding, output
from workbench.launch.torch_probe import Torch

NEARLY_FULL = 2.0**31
"""Bytes of free memory; with less, most recipes of the course do not fit."""


def look() -> list[Finding]:
    """Run these checks; torch is asked again, not read from the cache."""
    build, driver = torch_probe.torch(fresh=True), devices.driver()
    usable = devices.accelerators()
    findings: list[Finding | None] = [python(sys.version_info[:3]), torch(build)]
    vision = installed("torchvision")
    if not vision:
        text = "torchvision is not installed; recipes with its networks or data sets need it."
        findings.append(Finding("torchvision", "warn", text, "pip install torchvision, in the version that goes with torch."))
    findings += [gpu(build, driver, usable, os.environ), *[memory(device) for device in usable]]
    findings += [card(build, driver, device) for device in usable] + [order(driver, os.environ)]
    if usable and not os.environ.get("SLURM_JOB_ID") and shutil.which("sinfo"):
        text = "This machine has Slurm, and dlwb does not run inside a job: a login node's GPU is not meant for training."
        findings.append(Finding("slurm", "warn", text, ASK))
    return [finding for finding in findings if finding]


def installed(package: str) -> str:
    """The version of a package; "" where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def python(version: tuple[int, ...]) -> Finding:
    """Whether Python is new enough."""
    text = f"Python {'.'.join(map(str, version))}, {sys.executable}."
    if version < (3, 11):
        return Finding("python", "bad", text, "dlwb needs Python 3.11 or newer.")
    return Finding("python", "ok", text)


def torch(build: Torch) -> Finding:
    """Whether torch can be imported, and for which devices it was built."""
    if build.error:
        return Finding("torch", "bad", f"torch cannot be imported: {build.error}.", "Reinstall it: pytorch.org, Get Started.")
    built = f"CUDA {build.cuda}" if build.cuda else f"ROCm {build.hip}" if build.hip else "the CPU only"
    vision = installed("torchvision")
    return Finding("torch", "ok", f"torch {build.version}, built for {built}" + (f"; torchvision {vision}." if vision else "."))


ASK = "Ask for a GPU and start dlwb there: srun --gres=gpu:1 --cpus-per-task=4 --mem=16G --pty dlwb"


def gpu(build: Torch, driver: Driver, usable: list[Device], environment: Mapping[str, str]) -> Finding:
    """Whether a run would train on a GPU; if not, why not."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if driver.error:
        return Finding("gpu", "bad", f"An NVIDIA driver is installed, but it does not answer: {driver.error}.", choose_device.BROKEN_DRIVER)
    if driver.version and not driver.count:
        text = f"The driver {driver.version} is installed, but this process sees no GPU."
        return Finding("gpu", "warn", text, _elsewhere(environment) or "A container gets GPUs with --gpus all.")
    if driver.count and not usable:
        text = f"{driver.count} GPU{'s are' if driver.count > 1 else ' is'} here, and CUDA_VISIBLE_DEVICES={visible!r} hides "
        text += "all of them: runs train on the CPU." if not visible else "them: no such device, or one named twice."
        numbers = "0" if driver.count == 1 else f"0 … {driver.count - 1}"
        return Finding(
            "gpu",
            "bad" if visible else "warn",
            text,
            f"unset CUDA_VISIBLE_DEVICES, or give it numbers from {numbers}, or UUIDs of nvidia-smi -L.",
        )
    if not usable:
        text = "No NVIDIA driver is installed: runs train on the CPU."
        hint = _elsewhere(environment)
        return Finding("gpu", "warn" if hint else "ok", text, hint)
    if build.error:
        return Finding("gpu", "unknown", f"{usable[0].title} is here, but torch could not be asked.", "Fix torch first.")
    problem = torch_probe.refusal(build, driver)
    if problem:
        return Finding("gpu", "bad", f"{usable[0].title} is here, but runs will train on the CPU: {problem.message}", problem.hint)
    # Hidden devices are often the reason why a run is on a full GPU.
    hidden = driver.count - len(usable)
    text = f"{len(usable)} × {usable[0].title}, driver {driver.version}, CUDA up to {driver.cuda}"
    return Finding("gpu", "ok", text + (f"; CUDA_VISIBLE_DEVICES hides {hidden} more." if hidden > 0 else "."))


def card(build: Torch, driver: Driver, device: Device) -> Finding | None:
    """Whether torch can use this one of several GPUs; None where it can, or where it can use none."""
    problem = torch_probe.refusal(build, driver, device.name) if build.works else None
    if problem is None:
        return None
    hint = f"Runs pass it over. A build of torch with code for a {device.title} can use it: pytorch.org, Get Started."
    return Finding(device.name, "warn", f"{device.title}: {problem.message}", hint)


def order(driver: Driver, environment: Mapping[str, str]) -> Finding | None:
    """Whether a person numbers the GPUs in another order than this program, which counts as nvidia-smi does."""
    wish = environment.get("CUDA_DEVICE_ORDER", "")
    if driver.count < 2 or not wish or wish == devices.CUDA_ORDER["CUDA_DEVICE_ORDER"]:
        return None
    text = f"CUDA_DEVICE_ORDER={wish!r} is not used: cuda:N, and the numbers in CUDA_VISIBLE_DEVICES, count as nvidia-smi does."
    return Finding("order", "warn", text, "unset CUDA_DEVICE_ORDER, or export CUDA_DEVICE_ORDER=PCI_BUS_ID.")


def _elsewhere(environment: Mapping[str, str]) -> str:
    """How to get a GPU on a cluster; "" where this is not a cluster."""
    if environment.get("SLURM_JOB_ID"):
        return "This Slurm job has no GPU: ask for one with --gres=gpu:1."
    if not (shutil.which("sinfo") or shutil.which("srun")):
        return ""
    names = partitions(output(["sinfo", "-h", "-o", "%P %G"]))
    where = f" Partitions with GPUs: {', '.join(names)}." if names else ""
    return f"This is a login node. {ASK}{where}"


def partitions(text: str) -> list[str]:
    """The partitions that have GPUs, from the output of `sinfo -h -o "%P %G"`: name and generic resources. At most six."""
    lines = [line.split(None, 1) for line in text.splitlines()]
    return list(dict.fromkeys(line[0].rstrip("*") for line in lines if len(line) == 2 and "gpu" in line[1]))[:6]


def memory(device: Device) -> Finding:
    """How much memory of a GPU is free, and who uses the rest."""
    who = devices.held_by(device)
    text = f"{gib(device.free)} of {gib(device.total)} free" + (f"; on it: {who}" if who else "")
    text += f"; {device.run or 'a run of dlwb'} trains there" if device.busy else ""
    if device.free < NEARLY_FULL and not device.busy:
        return Finding(
            device.name, "warn", f"{text}.", "Choose another with --device cuda:N, or wait; a smaller train.batch_size needs less."
        )
    return Finding(device.name, "ok", f"{text}.")
