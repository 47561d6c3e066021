"""A machine with GPUs for tests, where there is none: a driver, a torch that can only be asked, a project that only claims to use them.

Processes that a test starts get it as their environment. FAKE_REFUSED=cuda:1 is a card that torch has no code for, FAKE_HOST another name.
"""

import os
import subprocess
import sys
from pathlib import Path

from lines import LINE
from nvml import driver

from workbench.runs.run import Run

TWO = "70000/80000,60000/80000"
CUDA_LINE = LINE.replace(
    'class Line(Project):\n    """A line through noisy points."""\n', 'class Line(Project):\n    devices = ("cpu", "cuda")\n'
)
assert "devices" in CUDA_LINE

TORCH = """
import os
__version__ = "2.12.0+cu124"
class version:
    cuda, hip = "12.4", None
class cuda:
    init = staticmethod(lambda: None)
    device_count = staticmethod(lambda: os.environ["FAKE_GPUS"].count(",") + 1)
    is_available = staticmethod(lambda: True)
    get_device_name = staticmethod(lambda device: "a card")
class ones:
    def __init__(self, size, device):
        # The card is meant by its place on the bus: asked in another order, another card would answer.
        number = int(device[5:]) if os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" else cuda.device_count() - 1 - int(device[5:])
        if f"cuda:{number}" in os.environ.get("FAKE_REFUSED", "").split(","):
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device")
    __mul__ = sum = lambda self, *other: self
    item = lambda self: 16.0
"""
SITE = """
import os, platform
if os.environ.get("FAKE_HOST"):
    platform.node = lambda: os.environ["FAKE_HOST"]
"""


def machine(folder: Path, gpus: str = TWO, **more: str) -> dict[str, str]:
    """The environment of a machine with these GPUs; skips where a driver cannot be made."""
    environment = driver(folder, gpus, **more)
    stubs = folder / "stubs"
    stubs.mkdir(exist_ok=True)
    (stubs / "torch.py").write_text(TORCH)
    (stubs / "sitecustomize.py").write_text(SITE)
    here = [str(stubs), str(Path(__file__).parent), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, here))}


def python(code: str, environment: dict[str, str], *words: str, cwd: Path | None = None) -> str:
    """What a new Python on that machine prints."""
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def dlwb(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """The command on that machine."""
    command = [sys.executable, "-m", "workbench.cli", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


LAUNCH = """
import sys
from pathlib import Path
from workbench.launch import start
from workbench.recipes.load import load_recipe
_, recipe, device, requested, count = sys.argv
runs = [start.create(load_recipe(Path(recipe)), device, requested=requested) for _ in range(int(count))]
for run in runs:
    start.launch(run)
    print(run.path)
"""


def launched(recipe: Path, environment: dict[str, str], device: str = "cuda:0", requested: str = "auto", count: int = 1) -> list[Run]:
    """Runs for which the same device was chosen, as it is by starts in the same moment."""
    return [Run(Path(line)) for line in python(LAUNCH, environment, str(recipe), device, requested, str(count)).splitlines()]
