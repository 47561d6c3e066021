"""The import contract of pyproject.toml: it holds, and each of its parts fails when somebody breaks it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONTRACTS = [each["id"] for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]]
BREAKS = {
    "layers": ("datasets/points.py", "import workbench.runs.log"),
    "light": ("recipes/trust.py", "def late():\n    import torch"),
    "own-script": ("elsewhere/values.py", "def late():\n    import torch"),
    "screens": ("tui/keys.py", "def late():\n    import pydantic"),
    "no-screen": ("torchkit/layers.py", "def late():\n    import rich.text"),
    "projects": ("projects/{project}.py", "import workbench.runs.log"),
    "one-another": ("projects/{project}.py", "import workbench.projects.{other}"),
    "circles": ("problems.py", "def late():\n    import workbench.files"),
}
"""For each contract a file and a line that breaks it; most stand inside a function, where no import at start-up would show."""


def kept(tree: Path, contract: str) -> bool:
    """Whether the contract holds of a copy of the package."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(
        [*command, "--no-cache", "--contract", contract, "--config", str(tree / "pyproject.toml")],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Contracts: " in done.stdout, done.stdout + done.stderr
    return done.returncode == 0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package that may be broken."""
    shutil.copytree(ROOT / "workbench", tmp_path / "workbench", ignore=shutil.ignore_patterns("__pycache__", "_shipped"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_each_contract_has_something_that_breaks_it() -> None:
    assert sorted(CONTRACTS) == sorted(BREAKS)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_contract_holds_and_fails_when_it_is_broken(tree: Path, contract: str) -> None:
    assert kept(tree, contract)
    projects = sorted(path.relative_to(tree / "workbench/projects").with_suffix("") for path in (tree / "workbench/projects").rglob("*.py"))
    project, other = [path for path in projects if path.name != "__init__"][:2]
    file, line = BREAKS[contract]
    path = tree / "workbench" / file.format(project=project)
    path.write_text(path.read_text() + "\n\n" + line.format(other=".".join(other.parts)) + "\n")
    assert not kept(tree, contract)


def test_a_new_module_needs_a_room(tree: Path) -> None:
    (tree / "workbench" / "loose.py").write_text('"""Lies flat."""\n')
    assert not kept(tree, "layers")
