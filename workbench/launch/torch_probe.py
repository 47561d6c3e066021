"""What torch can do on this machine: asked in a separate process, because importing it takes seconds, and cached until the next boot."""

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
"""Seconds: the first import of torch from a network disk takes a minute."""

FOREVER = "no kernel image"
"""A part of CUDA's message for a card that a build has no code for (cudaErrorNoKernelImageForDevice)."""

_ASK = """
import json, sys, warnings
report = {}
try:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        import torch
        report.update(version=torch.__version__, cuda=torch.version.cuda or "", hip=torch.version.hip or "")
        try:
            torch.cuda.init()
            report["count"] = torch.cuda.device_count()
            report["works"], report["refused"] = False, {}
            for number in range(report["count"]):
                try:
                    (torch.ones(8, device=f"cuda:{number}") * 2).sum().item()
                    report["works"] = True
                except Exception as error:
                    if "out of memory" in str(error):
                        report["works"] = True
                    else:
                        report["refused"][f"cuda:{number}"] = str(error)
                        report.setdefault("reason", str(error))
        except Exception as error:
            report.update(works=False, reason=str(error))
    report.setdefault("reason", " ".join(str(warning.message) for warning in heard if "CUDA" in str(warning.message)))
except Exception as error:
    report["error"] = f"{type(error).__name__}: {error}"
print()
print(json.dumps(report))
"""


class Torch(msgspec.Struct, frozen=True):
    """What torch reported about itself."""

    version: str = ""
    cuda: str = ""
    """The CUDA version that it was built with, `12.8`; empty for none."""
    hip: str = ""
    works: bool = False
    """Whether a computation on a CUDA device succeeded."""
    count: int = 0
    refused: dict[str, str] = {}
    """The devices on which it did not, `cuda:1`, with torch's own message: a card that this build has no code for."""
    reason: str = ""
    """Why not: torch's own message."""
    error: str = ""
    """Why it cannot be imported."""


class _Cached(msgspec.Struct):
    key: str
    torch: Torch


def torch(*, fresh: bool = False) -> Torch:
    """What torch can do; from the cache, unless `fresh`, or the machine, torch, the driver or CUDA_VISIBLE_DEVICES have changed."""
    key = _key()
    file = paths.cache_folder() / "torch.json"
    if not fresh:
        try:
            cached = msgspec.json.decode(file.read_bytes(), type=_Cached)
            if cached.key == key:
                return cached.torch
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            pass
    build = ask()
    driver = devices.driver()
    # Success, a card without code in this build, and a build that cannot match the driver stay true until the next boot.
    lasts = build.works and all(FOREVER in reason for reason in build.refused.values())
    lasts = lasts or not build.cuda or newer(build.cuda, driver.cuda)
    if lasts and not build.error:  # any other failure may be temporary, so it is not cached
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            files.write(file, msgspec.json.encode(_Cached(key, build)), sync=False)
        except OSError:
            pass  # it is only a cache
    return build


def _key() -> str:
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        version = ""
    # They change which libraries and devices torch finds.
    surroundings = [os.environ.get(name, "") for name in ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")]
    words = [lock.host(), lock.boot_id(), sys.executable, version, devices.driver().version, *surroundings]
    return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()


def ask() -> Torch:
    """Ask torch now."""
    command = [sys.executable, "-P", "-c", _ASK]
    environment = {**os.environ, **devices.CUDA_ORDER}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=environment,
            cwd=paths.working_folder(),
        )
    except subprocess.TimeoutExpired:
        return Torch(error=f"the import took longer than {PATIENCE:.0f} s")
    try:
        parsed = msgspec.json.decode(done.stdout.rstrip().rpartition(b"\n")[2], type=Torch)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return Torch(error=one_line(last, 300) or f"its process ended with exit code {done.returncode}")
    refused = {name: one_line(reason, 300) for name, reason in parsed.refused.items()}
    return msgspec.structs.replace(parsed, refused=refused, reason=one_line(parsed.reason, 300), error=one_line(parsed.error, 300))


def refusal(build: Torch, driver: Driver, device: str = "") -> Problem | None:
    """Why torch cannot use any GPU of the driver, or this one, and how to fix it; None where it can, or where this is not known."""
    if build.works and device in build.refused:
        message = f"torch {build.version} cannot use {device}: {build.refused[device]}."
        return Problem(message, "Use another device: `dlwb doctor` lists them.", cause="device")
    if build.works or build.error:
        return None
    if not build.cuda:
        kind = "for AMD's ROCm" if build.hip else "without CUDA"
        built, hint = f"torch {build.version} was built {kind}", "Install a build of torch with CUDA: pytorch.org, Get Started."
        return Problem(f"{built}, so it cannot use the GPU.", hint, cause="device")
    if newer(build.cuda, driver.cuda):
        return Problem(
            f"torch {build.version} was built for CUDA {build.cuda}, and the driver {driver.version} runs CUDA up to {driver.cuda}.",
            f"Update the driver, or install torch built for CUDA {driver.cuda} or older.",
            cause="device",
        )
    return Problem(f"torch cannot use the GPU: {build.reason or 'it gives no reason'}.", "`dlwb doctor` says more.", cause="device")


def newer(built: str, runs: str) -> bool:
    """Whether the CUDA of a build is too new for the driver. Only the major version counts (CUDA minor version compatibility)."""
    return bool(runs) and _numbers(built)[:1] > _numbers(runs)[:1]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
