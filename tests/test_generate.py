"""What is made from the source is as the source says now; what is stale is found, and written."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from workbench import paths
from workbench.cli import generate
from workbench.problems import Problem
from workbench.recipes import project_schemas
from workbench.runs import measured

PACKAGE = paths.projects().parent


def test_nothing_that_is_committed_is_stale() -> None:
    done = subprocess.run([sys.executable, "-m", "workbench.cli", "generate", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


TREE = cache(generate.tree)
"""The package stays as it is while these tests run."""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own: README and results; projects describe themselves at once, as they are."""
    readme = PACKAGE.parent / "README.md"
    (tmp_path / "README.md").write_text(readme.read_text())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "results.json").write_bytes(measured.file().read_bytes())
    committed = project_schemas.shipped_file().read_bytes()
    (tmp_path / "schemas.json").write_bytes(committed)
    shipped = paths.shipped
    monkeypatch.setattr(paths, "shipped", lambda name: tmp_path / name if name == "data" else shipped(name))
    monkeypatch.setattr(project_schemas, "shipped_file", lambda: tmp_path / "schemas.json")
    monkeypatch.setattr(project_schemas, "described_anew", lambda: committed)
    monkeypatch.setattr(generate, "tree", TREE)
    return tmp_path


def spoil(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("README.md", "checkpoint.py ", "chekpoint.py ", "tree of files"),
        ("README.md", "test loss 0.0614", "test loss 0.0714", "table of results"),
        ("data/results.json", '"test/accuracy":0.98', '"test/accuracy":0.97', "table of results"),
        ("schemas.json", '"sha256": "', '"sha256": "0', "schemas.json"),
    ],
)
def test_what_is_stale_is_named_and_written(checkout: Path, file: str, old: str, new: str, named: str) -> None:
    generate.generate(check=True)
    before = (checkout / "README.md").read_bytes(), (checkout / "schemas.json").read_bytes()
    spoil(checkout / file, old, new)
    with pytest.raises(Problem, match=f"^Stale: [^,]*{named}[^,]*$"):
        generate.generate(check=True)
    generate.generate(check=False)
    generate.generate(check=True)
    if not file.startswith("data"):
        assert ((checkout / "README.md").read_bytes(), (checkout / "schemas.json").read_bytes()) == before


def test_a_readme_without_a_place_is_refused(checkout: Path) -> None:
    spoil(checkout / "README.md", "generate`: tree of files -->", "-->")
    with pytest.raises(Problem, match="no place for the tree of files"):
        generate.generate(check=False)


def test_the_tree_has_every_file_with_its_sentence(tmp_path: Path) -> None:
    room = tmp_path / "house" / "room"
    room.mkdir(parents=True)
    (tmp_path / "house" / "__init__.py").write_text('"""The house. It is old."""')
    (tmp_path / "house" / "door.py").write_text('"""A door, after Smith et al. 1999."""')
    (tmp_path / "house" / "door.tcss").write_text("/* Its colours. */")
    (room / "__init__.py").write_text('"""A room: `bed`."""\n')
    (room / "bed.py").write_text('"""Where one sleeps.\n\nAt night.\n"""')
    assert generate.tree(tmp_path / "house").splitlines() == [
        "house/       The house",
        "  door.py    A door, after Smith et al. 1999",
        "  door.tcss  Its colours",
        "  room/      A room: `bed`",
        "    bed.py   Where one sleeps",
    ]
    (room / "lamp.py").write_text("x = 1")
    with pytest.raises(Problem, match=r"lamp.py has no docstring"):
        generate.tree(tmp_path / "house")
    files = {path.name for path in PACKAGE.rglob("*.py") if "_shipped" not in path.parts and path.name != "__init__.py"}
    assert files == {line.split()[0] for line in generate.tree(PACKAGE).splitlines() if line.split()[0].endswith(".py")}
