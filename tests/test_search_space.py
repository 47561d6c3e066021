"""`tune:` of a recipe: what is refused, with its line; and the points of a space."""

from pathlib import Path

import pytest
from lines import write

from workbench.problems import Problem
from workbench.recipes import search_space
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Dimension

GOOD = """tune:
  metric: valid/loss
  goal: minimize
  trials: 4
  space:
    config.learning_rate: {float: [0.01, 0.5], log: true}
    train.batch_size: {int: [5, 20], step: 5}
"""


def load(folder: Path, tune: str, overrides: tuple[str, ...] = ()) -> str:
    """What is wrong with the recipe, without the file's name; "" where it is valid."""
    file = write(folder)
    file.write_text(file.read_text().replace("bar: [", "# ") + tune)
    try:
        load_recipe(file, overrides)
    except Problem as problem:
        return str(problem).replace(f"{file}:", "").replace("line.yaml:", "")
    return ""


def test_a_good_one_is_read_and_its_numbers_can_be_set(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD) == ""
    loaded = load_recipe(tmp_path / "line.yaml", ["tune.trials=7", "tune.sampler=random"])
    assert loaded.recipe.tune and (loaded.recipe.tune.trials, loaded.recipe.tune.sampler, loaded.recipe.tune.seeds) == (7, "random", 5)
    assert loaded.recipe.tune.space["config.learning_rate"] == Dimension(real=[0.01, 0.5], log=True)
    assert load_recipe(tmp_path / "line.yaml", compares=False).recipe.tune is None
    assert "tune.trials: must be at least 1" in load(tmp_path, GOOD, ("tune.trials=0",))
    assert "can be set" in load(tmp_path, GOOD, ("tune.space=1",))


def space(line: str, more: str = "") -> str:
    return GOOD.partition("  space:")[0] + more + "  space:\n    " + line.replace("\n", "\n    ") + "\n"


WRONG = {
    "outside": (space("config.learning_rate: {float: [0, 1]}"), "tune.space.config.learning_rate: must be more than 0, not 0"),
    "unknown": (space("config.learning_rat: {float: [0.1, 1]}"), "not a setting of line.py; did you mean learning_rate?"),
    "kind": (space("train.batch_size: {float: [5, 20]}"), "must be a whole number"),
    "text": (space("config.generator: {choose: [true, often]}"), "config.generator: must be true or false, not 'often'"),
    "section": (space("seed: {int: [1, 3]}"), "a space has settings, as config.dropout"),
    "compute": (space("compute.threads: {int: [1, 3]}"), "a space has settings, as config.dropout"),
    "nothing": (space("config.learning_rate: {log: true}"), "needs one of int: [least, greatest]"),
    "two": (space("config.learning_rate: {int: [1, 2], float: [1, 2]}"), "needs one of int: [least, greatest]"),
    "log": (space("config.sleep: {float: [0, 1], log: true}"), "its least value must be more than 0, not 0"),
    "log below": (space("config.sleep: {float: [-1, 1], log: true}"), "its least value must be more than 0, not -1"),
    "empty": (space("config.sleep: {float: [1, 1]}"), "float: is empty: its second number, the greatest value, must be more than 1"),
    "turned": (space("train.batch_size: {int: [9, 3]}"), "int: is empty: its second number"),
    "three": (space("train.batch_size: {int: [1, 2, 3]}"), "must have 2 items, not 3"),
    "fraction": (space("train.batch_size: {int: [1.5, 2]}"), "must be a whole number, not 1.5"),
    "grid": (space("train.batch_size: {int: [3, 9]}", "  sampler: grid\n"), "has no step, which a grid needs"),
    "grid log": (space("config.sleep: {float: [0.1, 1], log: true}", "  sampler: grid\n"), "or choose: [one, other]"),
    "large grid": (space("config.sleep: {float: [0, 1], step: 0.000001}", "  sampler: grid\n"), "has 1,000,001 points, and a grid at most"),
    "log and step": (space("config.sleep: {float: [0.1, 1], log: true, step: 0.1}"), "cannot be had with log"),
    "step": (space("train.batch_size: {int: [2, 9], step: 2}"), "does not lead from 2 to 9: the last value would be 8"),
    "step 0": (space("train.batch_size: {int: [2, 9], step: 0}"), "step: must be a whole number, more than 0, not 0"),
    "step and choose": (space("train.batch_size: {choose: [2, 9], step: 1}"), "belongs to int and float, not to choose"),
    "twice": (space("train.batch_size: {choose: [2, 2]}"), "names 2 twice"),
    "one": (space("train.batch_size: {choose: [2]}"), "must have 2 or more items"),
    "when": (space("config.sleep: {float: [0, 1], when: {config.event: nan}}"), "config.event: is not in the space, so it never changes"),
    "never": (
        space("config.event: {choose: [nan, ham]}\nconfig.sleep: {float: [0, 1], when: {config.event: spam}}"),
        "is never 'spam', so this setting would never be tried",
    ),
    "circle": (
        space(
            "config.event: {choose: [a, b], when: {config.generator: true}}\n"
            "config.generator: {choose: [true, false], when: {config.event: a}}"
        ),
        "depends on this setting itself",
    ),
    "when a fraction": (
        space("config.learning_rate: {float: [0.1, 1]}\nconfig.sleep: {float: [0, 1], when: {config.learning_rate: 1}}"),
        "never a certain",
    ),
    "test metric": (GOOD.replace("valid/loss", "test/loss"), "metric: is of the test data, which must not choose"),
    "meter": (GOOD.replace("valid/loss", "system/cpu"), "metric: is a meter of the machine"),
    "no split": (GOOD.replace("valid/loss", "loss"), "metric: cannot be 'loss'"),
    "goal": (GOOD.replace("minimize", "minimise"), "goal: must be maximize or minimize, not 'minimise'; did you mean minimize?"),
    "sampler": (space("config.sleep: {float: [0, 1]}", "  sampler: tpa\n"), "sampler: must be gp or grid or random or tpe"),
    "gp trials": (GOOD.replace("trials: 4", "trials: 101\n  sampler: gp"), "gp takes at most 100 trials"),
    "gp when": (
        space("config.event: {choose: [a, b]}\nconfig.sleep: {float: [0, 1], when: {config.event: a}}", "  sampler: gp\n"),
        "gp cannot learn about a setting with `when`",
    ),
    "grid parents": (space("train.batch_size: {int: [3, 9], step: 3}", "  sampler: grid\n  start_from: [a]\n"), "a grid tries every point"),
    "parents": (GOOD + "  start_from: [a, b, c, d, e, f]\n", "start_from: must have 5 or fewer items"),
    "compare": (GOOD + "compare: {variants: {a: {}, b: {}}}\n", "a recipe is compared or tuned, not both"),
    "key": (GOOD + "  prune: median\n", "not a setting of tune; did you mean pruner?"),
    "item": (space("config.learning_rate.0: {float: [0.1, 1]}"), "the recipe writes no list learning_rate"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_in_one_sentence_with_its_line(tmp_path: Path, name: str) -> None:
    tune, expected = WRONG[name]
    said = load(tmp_path, tune)
    assert expected in said and len(said.splitlines()) == 1 + (name == "circle"), said
    # The line of the setting that is wrong, not of the block.
    if "tune.space." in said:
        words = said.partition(" ")[0]
        assert int(words) >= (tmp_path / "line.yaml").read_text().splitlines().index("  space:") + 2


def test_a_gp_of_more_than_ten_settings_is_refused(tmp_path: Path) -> None:
    lines = "\n".join(f"config.hidden.{number}: {{int: [1, 9]}}" for number in range(11))
    assert "gp takes at most 10 settings, not 11" in load(tmp_path, space(lines, "  sampler: gp\n"))


def test_points_of_a_grid() -> None:
    space = {
        "config.cell": Dimension(choose=["gru", "none"]),
        "config.units": Dimension(whole=[8, 24], step=8, when={"config.cell": "gru"}),
        "config.rate": Dimension(real=[0.1, 0.3], step=0.1),
    }
    assert search_space.values(space["config.rate"]) == [0.1, 0.2, 0.3], "no 0.30000000000000004"
    points = search_space.grid(space, 1)
    assert len(points) == 3 * 3 + 3 and len({str(sorted(point.items())) for point in points}) == 12
    assert all(("config.units" in point) == (point["config.cell"] == "gru") for point in points)
    assert search_space.grid(space, 1) == points != search_space.grid(space, 2)


def test_an_item_of_a_list_is_set_by_its_place(tmp_path: Path) -> None:
    assert load_recipe(Path("recipes/3-convolutional-networks/digits-mlp.yaml"), ["config.hidden.1=32"]).recipe.config["hidden"] == [
        128,
        32,
    ]
    with pytest.raises(Problem, match="hidden is a list of 2: 0 is its first item"):
        load_recipe(Path("recipes/3-convolutional-networks/digits-mlp.yaml"), ["config.hidden.2=32"])
    with pytest.raises(Problem, match="must be at least 1"):
        load_recipe(Path("recipes/3-convolutional-networks/digits-mlp.yaml"), ["config.hidden.0=0"])
