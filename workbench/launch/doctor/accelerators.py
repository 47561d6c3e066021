"""The doctor on Python, torch and GPUs: the build against the driver, devices that are hidden or full, login nodes."""

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
"""Bytes of free memory below which most recipes of a course do not fit."""


def look() -> list[Finding]:
    """All of it; asks torch anew."""
    said, here = torch_probe.torch(fresh=True), devices.driver()
    found = devices.accelerators()
    findings = [python(sys.version_info[:3]), torch(said)]
    vision = installed("torchvision")
    if not vision:
        text = "torchvision is not installed; recipes with its networks or data sets need it."
        findings.append(Finding("torchvision", "warn", text, "pip install torchvision, in the version that goes with torch."))
    findings += [gpu(said, here, found, os.environ), *[memory(each) for each in found]]
    if found and not os.environ.get("SLURM_JOB_ID") and shutil.which("sinfo"):
        text = "Slurm is here, and this is not inside a job of it: a login node's GPU is not meant for training."
        findings.append(Finding("slurm", "warn", text, ASK))
    return [each for each in findings if each]


def installed(package: str) -> str:
    """The version of a package; "" where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def python(version: tuple[int, ...]) -> Finding:
    """Python itself."""
    text = f"Python {'.'.join(map(str, version))}, {sys.executable}."
    if version < (3, 11):
        return Finding("python", "bad", text, "dlwb needs Python 3.11 or newer.")
    return Finding("python", "ok", text)


def torch(said: Torch) -> Finding:
    """Whether it can be imported, and what it was built for."""
    if said.error:
        return Finding("torch", "bad", f"torch cannot be imported: {said.error}.", "Install it anew: pytorch.org, Get Started.")
    built = f"CUDA {said.cuda}" if said.cuda else f"ROCm {said.hip}" if said.hip else "the CPU only"
    vision = installed("torchvision")
    return Finding("torch", "ok", f"torch {said.version}, built for {built}" + (f"; torchvision {vision}." if vision else "."))


ASK = "Ask for a GPU and start dlwb there: srun --gres=gpu:1 --cpus-per-task=4 --mem=16G --pty dlwb"


def gpu(said: Torch, here: Driver, found: list[Device], environment: Mapping[str, str]) -> Finding:
    """Whether a run would train on a GPU; if not, why."""
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if here.error:
        return Finding("gpu", "bad", f"An NVIDIA driver is here, but it does not answer: {here.error}.", choose_device.BROKEN_DRIVER)
    if here.version and not here.count:
        text = f"The driver {here.version} is here, but no GPU that this process may see."
        return Finding("gpu", "warn", text, _elsewhere(environment) or "A container gets them with --gpus all.")
    if here.count and not found:
        text = f"{here.count} GPU{'s are' if here.count > 1 else ' is'} here, and CUDA_VISIBLE_DEVICES={given!r} hides "
        text += "all of them: runs train on the CPU." if not given else "them: no such device, or one named twice."
        numbers = "0" if here.count == 1 else f"0 … {here.count - 1}"
        return Finding(
            "gpu",
            "bad" if given else "warn",
            text,
            f"unset CUDA_VISIBLE_DEVICES, or give it numbers from {numbers}, or UUIDs of nvidia-smi -L.",
        )
    if not found:
        text = "No NVIDIA driver here: runs train on the CPU."
        mend = _elsewhere(environment)
        return Finding("gpu", "warn" if mend else "ok", text, mend)
    if said.error:
        return Finding("gpu", "unknown", f"{found[0].title} is here; torch could not be asked.", "Mend torch first.")
    problem = torch_probe.refusal(said, here)
    if problem:
        return Finding("gpu", "bad", f"{found[0].title} is here, and runs will train on the CPU: {problem.message}", problem.hint)
    hidden = here.count - len(found)
    text = f"{len(found)} × {found[0].title}, driver {here.version}, CUDA up to {here.cuda}"
    return Finding("gpu", "ok", text + (f"; CUDA_VISIBLE_DEVICES hides {hidden} more." if hidden > 0 else "."))


def _elsewhere(environment: Mapping[str, str]) -> str:
    """How a GPU is had on a cluster; "" where this is none."""
    if environment.get("SLURM_JOB_ID"):
        return "This Slurm job has no GPU: ask for one with --gres=gpu:1."
    if not (shutil.which("sinfo") or shutil.which("srun")):
        return ""
    names = partitions(output(["sinfo", "-h", "-o", "%P %G"]))
    where = f" Partitions with GPUs: {', '.join(names)}." if names else ""
    return f"This is a login node. {ASK}{where}"


def partitions(text: str) -> list[str]:
    """The partitions that have GPUs, from `sinfo -h -o "%P %G"`: a name, and its generic resources."""
    lines = [line.split(None, 1) for line in text.splitlines()]
    return list(dict.fromkeys(line[0].rstrip("*") for line in lines if len(line) == 2 and "gpu" in line[1]))[:6]


def memory(device: Device) -> Finding:
    """How full a GPU is, and by whom."""
    who = devices.held_by(device)
    text = f"{gib(device.free)} of {gib(device.total)} free" + (f"; on it: {who}" if who else "")
    text += f"; {device.run or 'a run of dlwb'} trains there" if device.busy else ""
    if device.free < NEARLY_FULL and not device.busy:
        return Finding(
            device.name, "warn", f"{text}.", "Choose another with --device cuda:N, or wait; a smaller train.batch_size needs less."
        )
    return Finding(device.name, "ok", f"{text}.")
