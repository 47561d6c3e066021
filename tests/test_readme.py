"""The README stays true: its commands are those of the shell, its recipes are those of the folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_every_command_that_it_names_is_there() -> None:
    named = {word for line in re.findall(r"^dlwb (\S+)", README, re.MULTILINE) for word in line.split("|")}
    assert len(named) > 10
    # In one process: each of its own would import the same again.
    code = """
import sys
from workbench.cli import main
for word in sys.argv[1:]:
    sys.argv = ["dlwb", word, "--help"]
    try:
        main()
    except SystemExit as end:
        print(word, end.code, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code, *sorted(named)], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines() == [f"{word} 0" for word in sorted(named)]
    assert all(f"dlwb {word} [OPTIONS]" in done.stdout for word in named)


def test_every_recipe_is_found_by_walking_and_stands_in_the_table() -> None:
    from workbench import paths
    from workbench.recipes.find import find_recipe, shipped_and_own
    from workbench.recipes.load import load_recipe

    stems = {path.stem for path in paths.shipped("recipes").rglob("*.yaml")}
    listed = {path.stem for path in shipped_and_own()}
    assert stems <= listed
    section = README.split("## Recipes")[1].split("##")[0]
    # What is only explored has no result: it is listed below the table.
    explored = next(line for line in section.splitlines() if line.startswith("Explored, with nothing to train"))
    assert {*re.findall(r"^\| `([^`]+)`", section, re.MULTILINE), *re.findall(r"`([^`]+)` \(", explored)} == stems
    for stem in stems:
        loaded = load_recipe(find_recipe(stem))
        assert loaded.recipe.about and loaded.recipe.watch and loaded.recipe.part and loaded.recipe.lesson


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
    from workbench.runs import bars
    from workbench.runs.run import find_run
    from workbench.runs.summary import summary_of

    run = find_run("wine")
    (judged,) = bars.judge(run.recipe(), summary_of(run))
    assert judged.passed, judged.value
