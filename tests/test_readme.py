"""The README stays true: its tree has every file, its commands are those of the shell, its recipes are those of the folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_tree_has_every_file_and_no_other() -> None:
    tree = README.split("## The house")[1].split("```")[1]
    folder: list[str] = []
    named = set()
    for line in tree.splitlines():
        found = re.match(r"^( *)(\S+)(?: {2,}(.+))?$", line)
        if not found:
            continue
        depth = len(found[1]) // 2
        folder[depth:] = [found[2].rstrip("/")]
        if not found[2].endswith("/") and folder[0] == "workbench":
            named.add("/".join(folder))
            assert found[3], f"{found[2]} is not described"
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "workbench").rglob("*")
        if path.suffix in (".py", ".tcss") and "_shipped" not in path.parts and (path.name != "__init__.py" or path.stat().st_size > 500)
    }
    assert named == files


def test_every_command_that_it_names_is_there() -> None:
    named = {word for line in re.findall(r"^dlwb (\S+)", README, re.MULTILINE) for word in line.split("|")}
    assert len(named) > 10
    for word in sorted(named):
        done = subprocess.run([sys.executable, "-m", "workbench.cli", word, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, word


def test_every_recipe_is_found_by_walking_and_stands_in_the_table() -> None:
    from workbench import paths
    from workbench.recipes import recipe as recipes

    stems = {path.stem for path in paths.shipped("recipes").rglob("*.yaml")}
    listed = {path.stem for path in recipes.shipped_and_own()}
    assert stems <= listed
    assert set(re.findall(r"^\| `([^`]+)`", README.split("## Recipes")[1].split("##")[0], re.MULTILINE)) == stems
    for stem in stems:
        loaded = recipes.load(recipes.find(stem))
        assert loaded.recipe.about and loaded.recipe.watch and loaded.recipe.part and loaded.recipe.lesson


def test_its_figures_are_those_of_the_committed_results() -> None:
    from workbench.runs import measured

    assert measured.rendered(README, measured.read()) == README, "`dlwb results render` writes the table"


def test_the_own_project_that_it_shows_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a person would: the two files written as they stand there, and the commands typed as they stand there."""
    text = README.split("## Your own project")[1].split("\n## ")[0]
    blocks = dict(re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert len([line for line in blocks["python"].splitlines() if line and not line.startswith(("import", "from"))]) <= 30
    (tmp_path / "wine.py").write_text(blocks["python"])
    (tmp_path / "wine.yaml").write_text(blocks["yaml"])
    monkeypatch.chdir(tmp_path)
    commands = blocks[""].splitlines()
    assert len(commands) == 2
    for command in commands:
        words = command.removeprefix("dlwb ").split()
        done = subprocess.run([sys.executable, "-m", "workbench.cli", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    from workbench.runs import bars, runs

    run = runs.find("wine")
    (judged,) = bars.judge(run.recipe(), runs.summary(run))
    assert judged.passed, judged.value
