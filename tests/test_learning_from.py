"""Warm start: what an earlier tuning's trials count for in another one, what is left out, and what is refused. Nothing runs."""

from pathlib import Path
from typing import Any

import pytest
from lines import LINE
from tuned import recipe

from workbench.launch import tuning
from workbench.launch.learning_from import value_at
from workbench.problems import Problem
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Recipe
from workbench.runs import tunings
from workbench.runs.tunings import Asked, Ended, Started, Tuning

RATE = "\n    config.learning_rate: {float: [0.01, 0.5], log: true}\n"


def earlier(folder: Path, name: str, values: list[tuple[float, float]], **more: Any) -> Tuning:
    """A tuning whose trials had these learning rates and values; an infinite value is a trial that failed."""
    file = recipe(folder, **{"space": RATE, **more})
    file = file.rename(file.with_name(f"{name}.yaml"))
    chosen, _ = tuning.create(load_recipe(file))
    from made_runs import make_run

    for number, (rate, value) in enumerate(values):
        tunings.append(chosen.events, Asked(trial=number, params={"config.learning_rate": rate}, seen=list(range(number))))
        tunings.append(chosen.events, Started(trial=number, run=make_run(name, stamp=f"2026-11-30_0300{number:02}").id))
        ended = Ended(trial=number, state="finished", value=value) if value < 9 else Ended(trial=number, state="failed")
        tunings.append(chosen.events, ended)
    return chosen


def created(folder: Path, **more: Any) -> tuple[Tuning, list[str]]:
    return tuning.create(load_recipe(recipe(folder, **{"space": RATE, **more})))


VALUES = [(0.02, 0.5), (0.3, 0.1), (0.1, 0.2), (0.05, 0.3), (0.4, 99.0)]


def test_trials_of_the_same_code_and_data_count_where_they_lie_in_the_space(tmp_path: Path) -> None:
    before = earlier(tmp_path, "before", VALUES)
    chosen, remarks = created(tmp_path, start_from="[before]")
    parents = chosen.standing().parents
    assert [(parent.tuning, parent.number, parent.params["config.learning_rate"], parent.value) for parent in parents] == [
        (before.id, 1, 0.3, 0.1),
        (before.id, 2, 0.1, 0.2),
        (before.id, 3, 0.05, 0.3),
        (before.id, 0, 0.02, 0.5),
    ]
    assert not remarks and chosen.standing().planned == 4, "they are no trials of this one"
    narrow, remarks = created(tmp_path, start_from=f"[{before.id}]", space="\n    config.learning_rate: {float: [0.04, 0.2]}\n")
    assert [parent.number for parent in narrow.standing().parents] == [2, 3]
    assert remarks == [f"2 of 4 trials of {before.id} lie outside this space, and are left out."]
    # A setting that was not tuned had the value of the recipe in every trial.
    more, _ = created(tmp_path, start_from="[before]", space=RATE + "    train.batch_size: {int: [5, 20]}\n")
    assert {parent.params["train.batch_size"] for parent in more.standing().parents} == {10}
    none, remarks = created(tmp_path, start_from="[before]", space="\n    train.batch_size: {int: [5, 20]}\n")
    assert [parent.number for parent in none.standing().parents] == [3] and remarks, "the learning rate that this recipe has"


def test_what_is_not_identical_is_refused_with_what_differs(tmp_path: Path) -> None:
    before = earlier(tmp_path, "before", VALUES)
    for more, reason in (
        ({"config": "{sleep: 0.5}"}, "has another config.sleep"),
        ({"train": "{epochs: 9, batch_size: 10}"}, "has another train.epochs"),
        ({"metric": "train/loss"}, r"judges its trials by another metric \(minimize valid/loss\)"),
        ({"source": LINE.replace("0.01, len", "0.02, len")}, "has trained with other code"),
    ):
        with pytest.raises(Problem, match=f"{before.id} {reason}, so its trials do not count here") as refused:
            created(tmp_path, start_from="[before]", **more)
        assert "transfer" in refused.value.hint
        taken, _ = created(tmp_path, start_from="[before]", kind="transfer", **more)
        assert len(taken.standing().parents) == 3
    with pytest.raises(Problem, match="start_from: there is no tuning nobody"):
        created(tmp_path, start_from="[nobody]")
    earlier(tmp_path, "empty", [(0.1, 99.0)])
    with pytest.raises(Problem, match=r"no trial of empty_.* has finished"):
        created(tmp_path, start_from="[empty]")


def test_a_transfer_tries_the_best_of_each_first_moved_into_the_ranges(tmp_path: Path) -> None:
    one, other = earlier(tmp_path, "one", VALUES), earlier(tmp_path, "other", [(0.011, 0.4), (0.49, 0.35)])
    chosen, _ = created(tmp_path, start_from="[one, other]", kind="transfer", space="\n    config.learning_rate: {float: [0.05, 0.25]}\n")
    parents = chosen.standing().parents
    assert [(parent.tuning, parent.number, parent.params["config.learning_rate"]) for parent in parents] == [
        (one.id, 1, 0.25),
        (other.id, 1, 0.25),
        (one.id, 2, 0.1),
    ]


def test_a_value_by_its_dotted_name() -> None:
    recipe = Recipe(title="x", project="y", config={"hidden": [64, 32]})
    assert value_at(recipe, "config.hidden.1") == 32 and value_at(recipe, "train.batch_size") == 64
    assert value_at(recipe, "config.hidden.2") is value_at(recipe, "config.x") is value_at(recipe, "config.hidden.0.x")
