"""`dlwb new`: the copy trains as the recipe did, keeps what people wrote beside the settings, and never lands on anything."""

import subprocess
import sys
from pathlib import Path

import pytest
from lines import LINE, write

from workbench import paths
from workbench.launch import start
from workbench.problems import Problem
from workbench.recipes import copy_recipe, trust
from workbench.recipes.find import find_recipe, project_source
from workbench.recipes.load import load_recipe
from workbench.runs.run import find_run
from workbench.runs.summary import summary_of


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Reports name files from the working directory, whose recipes/ is looked in too."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def shell(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "workbench.cli", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("source", [path.stem for path in sorted(paths.shipped("recipes").rglob("*.yaml"))])
def test_a_copy_says_what_the_recipe_says_but_for_its_names(source: str) -> None:
    made = copy_recipe.copy("mine", source)
    assert made.recipe == paths.home() / "recipes" / "mine.yaml" and made.project is None
    old, copied = (load_recipe(find_recipe(name)).recipe for name in (source, "mine"))
    assert (copied.title, copied.part, copied.lesson) == ("mine", "Own recipes", f"from {source}")
    for field in ("about", "project", "config", "train", "compute", "seed", "watch", "reference", "bar"):
        assert getattr(copied, field) == getattr(old, field), field


def test_comments_stay_and_odd_places_are_mended() -> None:
    Path("odd.yaml").write_text(
        "# what this is\ntitle: >-\n  A long\n  title\npart:\nlesson:   # none yet\nproject: bike_sharing  # NumPy\n\n"
        "config: {learning_rate: 0.5}  # as taught: 1\n"
    )
    made = copy_recipe.copy("7", "odd.yaml", here=True)
    text = made.recipe.read_text()
    assert made.recipe == Path("recipes/7.yaml").absolute()
    for comment in ("# what this is", "# none yet", "# NumPy", "# as taught: 1"):
        assert comment in text
    copied = load_recipe(made.recipe).recipe
    assert (copied.title, copied.part, copied.lesson, copied.config["learning_rate"]) == ("7", "Own recipes", "from odd", 0.5)


def test_a_folder_recipes_is_where_own_ones_go() -> None:
    Path("recipes").mkdir()
    assert copy_recipe.copy("mine", "bike-sharing").recipe == Path("recipes/mine.yaml").absolute()


def test_nothing_is_written_over(elsewhere: Path) -> None:
    made = copy_recipe.copy("mine", "bike-sharing", project=True)
    with pytest.raises(Problem, match=r"There is a recipe mine already"):
        copy_recipe.copy("mine", "digits-mlp")
    with pytest.raises(Problem, match=r"There is a recipe bike-sharing already"):
        copy_recipe.copy("bike-sharing", "digits-mlp")
    made.recipe.unlink()
    with pytest.raises(Problem, match=r"mine\.py is there already"):
        copy_recipe.copy("mine", "digits-mlp", project=True)
    assert made.project and "BikeSharing" in made.project.read_text() and not made.recipe.exists()
    made.recipe.symlink_to(elsewhere / "nowhere.yaml")
    with pytest.raises(Problem, match=r"mine"):
        copy_recipe.copy("mine", "digits-mlp")
    assert not (elsewhere / "nowhere.yaml").exists()


@pytest.mark.parametrize("name", ["", "../mine", "a/b", ".hidden", "-x", "a b", "\x1b[31m", "x" * 100])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Problem, match=r"cannot be a recipe's name"):
        copy_recipe.copy(name, "digits-mlp")
    assert not (paths.home() / "recipes").exists()


def test_a_shipped_project_runs_as_a_copy_and_an_edit_asks_for_trust() -> None:
    done = shell("new", "mine-2", "--from", "digits-mlp", "--project")
    assert done.returncode == 0, done.stderr
    file = paths.home() / "recipes" / "mine_2.py"
    assert done.stdout.split() == [str(paths.home() / "recipes" / "mine-2.yaml"), str(file)]
    assert f"dlwb trust {file}" in done.stderr
    assert file.read_bytes() == project_source("image_classifier").read_bytes()
    assert load_recipe(find_recipe("mine-2")).recipe.project == "./mine_2.py"
    done = shell("run", "mine-2", "--set", "train.epochs=30", "--set", "train.evaluate_every=0", "--follow", "--json")
    assert done.returncode == 0, done.stderr
    assert summary_of(find_run("last")).best["valid/accuracy"] > 0.85
    file.write_text(file.read_text() + "\nraise SystemExit\n")
    loaded = load_recipe(find_recipe("mine-2"))
    assert loaded.schema is None and "unchecked until you trust" in loaded.unchecked
    assert shell("run", "mine-2").returncode == 1


def test_an_own_recipe_is_copied_with_its_file_only_where_that_is_trusted(tmp_path: Path) -> None:
    old = write(tmp_path / "far")
    made = copy_recipe.copy("near", str(old))
    assert made.project is None and load_recipe(made.recipe).project_file == tmp_path / "far" / "line.py"
    own = copy_recipe.copy("nearer", str(old), project=True)
    assert own.project and own.project.read_text() == LINE and trust.is_trusted(own.project)
    (tmp_path / "far" / "line.py").write_text(LINE + "# edited\n")
    with pytest.raises(Problem, match=r"line\.py is not trusted"):
        copy_recipe.copy("third", str(old), project=True)
    assert sorted(each.name for each in made.recipe.parent.iterdir()) == ["near.yaml", "nearer.py", "nearer.yaml"]


def test_paths_stay_those_of_the_same_files(tmp_path: Path, elsewhere: Path) -> None:
    """Beside the recipe; from the working directory where the shell was given them; absolute in the run, wherever it resumes from."""
    old = tmp_path / "far" / "old.yaml"
    old.parent.mkdir()
    (old.parent / "a pen").mkdir()
    old.write_text("title: Old\nproject: image_classifier\nconfig: {data: './a pen/', image_size: 8}\n")
    copied = load_recipe(copy_recipe.copy("near", str(old)).recipe)
    assert copied.recipe.config["data"] == str(old.parent / "a pen")
    assert start.create(load_recipe(old), "cpu").recipe().config["data"] == str(old.parent / "a pen")
    (elsewhere / "pens").mkdir()
    assert load_recipe(old, ["config.data=./pens"]).recipe.config["data"] == str(elsewhere / "pens")
    with pytest.raises(Problem, match=r"--set config\.data: there is no .*here/pen; did you mean pens\?"):
        load_recipe(old, ["config.data=./pen"])
    (old.parent / "a pen").rmdir()
    with pytest.raises(Problem, match=r"old\.yaml:3 config\.data: there is no .*far/a pen"):
        load_recipe(old)
    with pytest.raises(Problem, match=r"not 'pens'; a path of your own begins with \./"):
        load_recipe(old, ["config.data=pens"])


def test_other_data_is_not_judged_by_the_figures_of_the_recipes(elsewhere: Path) -> None:
    (elsewhere / "pens").mkdir()
    found = find_recipe("mnist-mlp")
    assert load_recipe(found, ["config.learning_rate=0.1"]).recipe.bar
    other = load_recipe(found, ["config.data=./pens"]).recipe
    assert other.bar == [] and other.reference == []
