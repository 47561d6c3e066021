"""The table of a comparison: means, spreads and paired intervals over seeds, and the words about them."""

import json
import math
from pathlib import Path

import pytest
from made_runs import RECIPE, ended, make_run
from scipy import stats

from workbench import paths
from workbench.events import Scalars, Status
from workbench.problems import Problem
from workbench.recipes.recipe import Recipe, Train, dump_recipe
from workbench.runs import compare
from workbench.runs.comparisons import Comparison, Part
from workbench.runs.export import formats
from workbench.runs.log import EventLog


def made(values: dict[str, list[float | str]], recipes: dict[str, Recipe] | None = None, metric: str = "test/accuracy") -> Comparison:
    """A comparison whose runs ended with these figures; a word is the state of a run without one, and "" is no run."""
    path = paths.comparisons() / "digits-mlp_2026-11-23_015358"
    seeds = list(range(1, 1 + max(map(len, values.values()))))
    parts = []
    for place, (name, figures) in enumerate(values.items()):
        folder = path / "variants" / f"{place:02}"
        folder.mkdir(parents=True)
        recipe = (recipes or {}).get(name, RECIPE)
        (folder / "digits-mlp.yaml").write_text(dump_recipe(recipe))
        for seed, figure in zip(seeds, figures, strict=False):
            if figure == "":
                continue
            run = make_run(f"{name}-{seed}", recipe)
            log = EventLog(run.path)
            log.write(Status(state="running", attempt=1, steps=10))
            if not isinstance(figure, str):
                log.write(Scalars({metric: figure}, step=10))
            log.close()
            ended(run, "finished" if not isinstance(figure, str) else figure, "steps" if not isinstance(figure, str) else "memory")
            parts.append({"variant": name, "seed": seed, "run": run.id})
    plan = {"recipe": "x", "title": "Digits", "metric": metric, "variants": list(values), "seeds": seeds}
    (path / "recipe.yaml").write_text(dump_recipe(RECIPE))
    (path / "comparison.json").write_text(json.dumps(plan))
    (path / "runs.json").write_text(json.dumps({"parts": parts}))
    return Comparison(path)


def table(*args, **more) -> dict[str, compare.Arm]:
    return {arm.name: arm for arm in compare.arms(made(*args, **more)).rows}


def test_the_quantiles_are_students() -> None:
    for freedom, quantile in enumerate(compare.T_975, 1):
        assert quantile == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-6)
    assert len(compare.T_975) == 19, "a comparison has at most 20 seeds"


def test_an_interval_is_as_by_hand() -> None:
    # 2, 4, 9: mean 5, deviations -3, -1, 4, so the variance is 26 / 2 and the interval 5 ± 4.302653 * sqrt(13 / 3).
    found = compare.interval([2.0, 4.0, 9.0])
    assert found is not None
    assert found.mean == 5 and found.deviation == pytest.approx(math.sqrt(13), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((5 - 4.302653 * math.sqrt(13 / 3), 5 + 4.302653 * math.sqrt(13 / 3)), rel=1e-9)
    assert compare.interval([]) is None and compare.interval([3.0]) == compare.Interval(3.0)


@pytest.mark.parametrize("number", [2, 3, 10, 20])
def test_an_interval_is_scipys(number: int) -> None:
    values = [math.sin(7 * place) + 0.1 * place for place in range(number)]
    found = compare.interval(values)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, number - 1, loc=found.mean, scale=stats.sem(values)), rel=1e-6)


def test_seeds_are_paired_so_that_what_all_variants_share_does_not_hide_the_difference() -> None:
    rows = table({"none": [0.70, 0.80, 0.90], "other": [0.71, 0.812, 0.911]})
    other = rows["other"]
    assert rows["none"].own and other.own and other.difference
    # The intervals of the two means overlap widely; that of the differences 0.01, 0.012, 0.011 is 0.011 ± 4.302653 * 0.001 / sqrt(3).
    assert rows["none"].own.high > other.own.low and other.own.high > rows["none"].own.low
    assert (other.difference.low, other.difference.high) == pytest.approx((0.011 - 0.00248414, 0.011 + 0.00248414), abs=1e-8)
    assert other.verdict == "better" and rows["none"].verdict == "" and rows["none"].difference is None
    theirs = stats.ttest_rel([0.71, 0.812, 0.911], [0.70, 0.80, 0.90]).confidence_interval()
    assert (other.difference.low, other.difference.high) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "values", "verdict"),
    [
        ("test/accuracy", [0.61, 0.712, 0.811], "worse"),
        ("test/loss", [0.61, 0.712, 0.811], "better"),
        ("test/slope", [0.61, 0.712, 0.811], "differs"),
        ("test/accuracy", [0.70, 0.80, 0.90], "no difference"),
        ("test/accuracy", [0.80, 0.75, 0.90], "no difference"),
        ("test/accuracy", [0.9], "no difference, 1 of 3 seeds"),
        ("test/accuracy", [], "no difference, 0 of 3 seeds"),
        ("test/accuracy", [0.80, 0.901], "better, 2 of 3 seeds"),
        ("test/accuracy", [0.80, "failed", 1.001], "better, 2 of 3 seeds"),
    ],
)
def test_the_words(metric: str, values: list[float | str], verdict: str) -> None:
    recipe = Recipe(title="x", project="image_classifier")
    found = table({"none": [0.70, 0.80, 0.90], "other": values}, {"none": recipe, "other": recipe}, metric=metric)["other"]
    assert found.verdict == verdict


def test_equal_variants_do_not_differ_and_have_an_interval_of_nothing() -> None:
    same = table({"none": [0.7, 0.8, 0.9], "same": [0.7, 0.8, 0.9]})["same"]
    assert same.difference == compare.Interval(0.0, 0.0, 0.0, 0.0) and same.verdict == "no difference"


def test_what_failed_and_what_is_not_finite_is_said_and_not_counted() -> None:
    comparison = made({"none": [0.7, 0.8, float("nan")], "other": [0.8, "failed", 0.95], "third": [0.8, 0.8]})
    last = [part.place for part in comparison.parts() if part.variant == "other"][-1]
    assert last
    ended(last, "stopped", "person")  # its log has a figure, of a training that is not over
    arms = compare.arms(comparison)
    assert arms.rows[0].values == {1: 0.7, 2: 0.8} and arms.rows[1].values == {1: 0.8}
    assert any(remark.startswith("other, seed 2 failed") for remark in arms.remarks)
    assert "none, seed 3 has no finite test/accuracy." in arms.remarks
    assert [row[1] for row in compare.cells(arms)] == ["2/3", "1/3", "2/3"]


def test_what_makes_it_unfair_is_said() -> None:
    longer = Recipe(title="x", project="image_classifier", config={"data": "mnist"}, train=Train(epochs=4, batch_size=32))
    remarks = compare.arms(made({"none": [0.7, 0.8], "longer": [0.8, 0.9]}, {"longer": longer})).remarks
    assert remarks == [
        "longer is trained otherwise than none: train.epochs 4, not 1; train.batch_size 32, not 64; config.data mnist, not digits."
    ]
    assert not compare.unfair({"none": RECIPE, "same": RECIPE})


@pytest.mark.parametrize("text", ["", "[]", '{"parts": 3}', '{"parts": [{"variant": 3}]}', "\0"])
def test_a_damaged_list_of_runs_hides_no_comparison(text: str, home: Path) -> None:
    comparison = made({"none": [0.7], "other": [0.8]})
    (comparison.path / "runs.json").write_text(text)
    assert comparison.parts() == [Part(variant="none", seed=1), Part(variant="other", seed=1)]


def test_it_gets_out_as_one_page_in_which_foreign_text_is_text(tmp_path: Path) -> None:
    comparison = made({"none": [0.70, 0.80, 0.90], "other": [0.71, 0.812, 0.911]})
    plan = json.loads((comparison.path / "comparison.json").read_text())
    (comparison.path / "comparison.json").write_text(json.dumps({**plan, "title": "<script>\x1b[31mred"}))
    formats.export(comparison, "html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "&lt;script&gt;red" in page and "<script" not in page and "\x1b" not in page
    assert '<td class="n">0.8000' in page and "<td>better" in page and "config.data" in page
    with pytest.raises(Problem, match="is exported as html, not as csv"):
        formats.export(comparison, "csv")
