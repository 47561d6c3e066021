"""A driver for tests where there is none: nvml.c as libnvidia-ml.so.1, for processes that the test starts."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def driver(folder: Path, gpus: str = "70000/80000", **more: str) -> dict[str, str]:
    """An environment in which NVML says what is asked of it; skips without a C compiler, and where a real driver would answer."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler or Path("/proc/driver/nvidia/version").exists():
        pytest.skip("needs a C compiler, and a machine without NVIDIA's driver")
    library = folder / "driver" / "libnvidia-ml.so.1"
    if not library.exists():
        library.parent.mkdir()
        subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", library, Path(__file__).with_name("nvml.c")], check=True)
    return {**os.environ, "LD_LIBRARY_PATH": str(library.parent), "FAKE_GPUS": gpus, **more}
