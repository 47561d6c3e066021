"""Bundles and notebooks in full: trained again in a new environment that has nothing but a bundle's own list of packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from short_runs import DIGITS, short_run

from workbench.runs.export.bundle import to_bundle
from workbench.runs.export.notebook import to_notebook
from workbench.runs.run import Run

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def trained(stem: str) -> Run:
    return short_run(stem, *(DIGITS if stem == "digits-mlp" else ("train.epochs=5",)))


@pytest.mark.parametrize("stem", ["perceptron", "digits-mlp"])
def test_it_is_reproduced_in_a_fresh_environment(stem: str, tmp_path: Path, mirror: Path) -> None:
    bundle = to_bundle(trained(stem), tmp_path / "bundle")
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=300)
    # What environment.yml gives to pip is what requirements.txt has, so either of them makes this environment.
    by_pip = yaml.safe_load((bundle / "environment.yml").read_text())["dependencies"][-1]["pip"]
    assert by_pip == (bundle / "requirements.txt").read_text().splitlines()
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", bundle / "requirements.txt"], check=True, timeout=3000)
    nothing_of_ours = [python, "-c", "import importlib.util as u; print(u.find_spec('workbench'), u.find_spec('textual'))"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DLWB_HOME": str(tmp_path / "new"), "DLWB_MIRROR": str(mirror)}
    modules = subprocess.run(nothing_of_ours, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert modules.stdout.split() == ["None", "None"]
    words = {"capture_output": True, "text": True, "timeout": 900}
    done = subprocess.run([bundle / "reproduce"], env={**environment, "PYTHON": str(python)}, cwd="/", check=False, **words)
    assert done.returncode == 0 and done.stdout.startswith("Reproduced, bit for bit: "), done.stderr


@pytest.mark.parametrize("stem", ["perceptron", "digits-mlp"])
def test_its_notebook_has_equal_figures_in_a_clean_kernel(stem: str, mirror: Path) -> None:
    pytest.importorskip("nbclient")
    assert "every figure is the run's" in to_notebook(trained(stem), execute=True)[1]
