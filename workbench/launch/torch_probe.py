"""What torch can do on this machine: asked in a process of its own (importing it takes seconds), remembered until the next boot."""

import hashlib
import os
import subprocess
import sys
from importlib import metadata

import msgspec

from workbench import files, paths
from workbench.launch import devices
from workbench.launch.devices import Driver
from workbench.problems import Problem, one_line
from workbench.runs import lock

PATIENCE = 120.0
"""Seconds: torch on a network disk that was never read takes a minute."""

_ASK = """
import json, sys, warnings
said = {}
try:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        import torch
        said.update(version=torch.__version__, cuda=torch.version.cuda or "", hip=torch.version.hip or "")
        try:
            torch.cuda.init()
            said["count"] = torch.cuda.device_count()
            said["works"] = torch.cuda.is_available()
            if said["works"]:
                (torch.ones(8, device="cuda") * 2).sum().item()
        except Exception as error:
            said.update(works="out of memory" in str(error), reason=str(error))
    said.setdefault("reason", " ".join(str(each.message) for each in heard if "CUDA" in str(each.message)))
except Exception as error:
    said["error"] = f"{type(error).__name__}: {error}"
print()
print(json.dumps(said))
"""


class Torch(msgspec.Struct, frozen=True):
    """What torch said."""

    version: str = ""
    cuda: str = ""
    """The CUDA that it was built with, as 12.8; empty: none."""
    hip: str = ""
    works: bool = False
    """Whether a number could be computed on the first CUDA device."""
    count: int = 0
    reason: str = ""
    """Why not, in its own words."""
    error: str = ""
    """Why it cannot be imported."""


class _Kept(msgspec.Struct):
    of: str
    said: Torch


def torch(*, fresh: bool = False) -> Torch:
    """What torch can do; from the cache, unless the machine, torch, the driver or CUDA_VISIBLE_DEVICES changed since, or `fresh`."""
    key = _key()
    file = paths.cache_folder() / "torch.json"
    if not fresh:
        try:
            kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
            if kept.of == key:
                return kept.said
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            pass
    said = ask()
    here = devices.driver()
    lasts = said.works or not said.cuda or newer(said.cuda, here.cuda)
    if lasts and not said.error:  # any other trouble may be over in a moment
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            files.write(file, msgspec.json.encode(_Kept(key, said)), sync=False)
        except OSError:
            pass  # it is only a cache
    return said


def _key() -> str:
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        version = ""
    surroundings = [os.environ.get(name, "") for name in ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")]
    words = [lock.host(), lock.boot_id(), sys.executable, version, devices.driver().version, *surroundings]
    return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()


def ask() -> Torch:
    """Ask it now."""
    command = [sys.executable, "-P", "-c", _ASK]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return Torch(error=f"it was not imported within {PATIENCE:.0f} s")
    try:
        said = msgspec.json.decode(done.stdout.rstrip().rpartition(b"\n")[2], type=Torch)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return Torch(error=one_line(last, 300) or f"it ended with {done.returncode}")
    return msgspec.structs.replace(said, reason=one_line(said.reason, 300), error=one_line(said.error, 300))


def refusal(said: Torch, driver: Driver) -> Problem | None:
    """Why torch cannot use the GPU that the driver offers, and what mends it; None where it can, or did not say."""
    if said.works or said.error:
        return None
    if not said.cuda:
        kind = "for AMD's ROCm" if said.hip else "without CUDA"
        built, hint = f"torch {said.version} was built {kind}", "Install a build of torch with CUDA: pytorch.org, Get Started."
        return Problem(f"{built}, so it cannot use the GPU.", hint, cause="device")
    if newer(said.cuda, driver.cuda):
        return Problem(
            f"torch {said.version} was built for CUDA {said.cuda}, and the driver {driver.version} runs CUDA up to {driver.cuda}.",
            f"Update the driver, or install torch built for CUDA {driver.cuda} or older.",
            cause="device",
        )
    return Problem(f"torch cannot use the GPU: {said.reason or 'it gives no reason'}.", "`dlwb doctor` looks closer.", cause="device")


def newer(built: str, runs: str) -> bool:
    """Whether a build for one CUDA is too new for a driver of another: by the major version (CUDA minor version compatibility)."""
    return bool(runs) and _numbers(built)[:1] > _numbers(runs)[:1]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
