"""What of a processor decides the last bits of a figure: libraries choose their kernels by its family and its flags."""

import os
import platform
from pathlib import Path
from typing import Any

FLAGS = ("sse", "avx", "fma", "f16c", "amx", "neon", "asimd", "sve", "bf16")
"""Beginnings of the flags that name instructions for vectors of numbers; the many others do not change what is computed."""
SWITCHES = (
    "OPENBLAS_CORETYPE",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ATEN_CPU_CAPABILITY",
    "NPY_DISABLE_CPU_FEATURES",
    "ONEDNN_MAX_CPU_ISA",
)
"""Variables of the environment by which libraries choose other kernels than the processor's best."""


def described(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """The processor: name, architecture, family, and its flags for vectors."""
    facts: dict[str, str] = {}
    try:
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    # ARM has other names for the same: implementer and part.
    family = [facts.get(key, "") for key in ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part")]
    flags = sorted(flag for flag in (facts.get("flags") or facts.get("Features") or "").split() if flag.startswith(FLAGS))
    return {
        "name": facts.get("model name") or platform.machine(),
        "architecture": platform.machine(),
        "family": " ".join(filter(None, family)),
        "flags": flags,
    }


def switches() -> dict[str, str]:
    """The variables of `SWITCHES` that are set."""
    return {name: os.environ[name] for name in SWITCHES if name in os.environ}


def other(before: dict[str, Any], now: dict[str, Any]) -> str:
    """How another processor differs, as a phrase; "" where it computes with the same instructions."""
    if (before.get("architecture"), before.get("family")) != (now["architecture"], now["family"]):
        return f"{before.get('name')} ({before.get('family') or before.get('architecture')}) there, {now['name']} ({now['family']}) here"
    flags = set(before.get("flags") or []) ^ set(now["flags"])
    return f"not the same instructions ({', '.join(sorted(flags)[:4])})" if flags else ""
