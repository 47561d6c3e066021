"""A line through 163 countries: the exact figures, descent without a look at least squares, both tricks, divergence, extrapolation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exploring import asked
from exploring import built as explored
from stepping import measured, scalars, train

from workbench.datasets import body_mass
from workbench.events import Curve, Scatter, Table
from workbench.problems import Problem
from workbench.projects.extra.regression import ASKED, Regression, curvatures
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs import bars
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.history import History
from workbench.runs.log import EventLog, Tail
from workbench.training.loop import Loop

SLOPE, INTERCEPT = 2.518479, 7.227838
"""Least squares."""


def built(batch_size: int = 163, **config: Any) -> Regression:
    project = Regression(Regression.Config(**config), Train(batch_size=batch_size), Compute(device="cpu"), 1)
    project.build()
    return project


def raw(batch_size: int = 163, rate: float = 0.001, **config: Any) -> Regression:
    return built(batch_size, standardise=False, learning_rate=rate, **config)


def recipe() -> Recipe:
    return load_recipe(find_recipe("regression")).recipe


def run(project: Regression, folder: Path, **changes: Any) -> dict[str, float]:
    """The recipe's run, or one with other numbers, through the real loop; the last value of each metric."""
    (folder / "checkpoints").mkdir(parents=True)
    plan = Recipe(title="x", project="regression", train=Train(batch_size=163, **{"epochs": recipe().train.epochs, **changes}))
    project.train = plan.train
    log = EventLog(folder)
    try:
        Loop(project, plan, log, Checkpoints(folder / "checkpoints")).fit()
    finally:
        log.close()
    history = History()
    history.fold(Tail(folder / "events.jsonl").read())
    return {tag: series.values[-1] for tag, series in history.series.items()}


def test_least_squares_gives_the_exact_figures(mirror: Any) -> None:
    project = built()
    assert project.least_squares == pytest.approx((SLOPE, INTERCEPT), abs=1e-6)
    table = next(event for event in measured(project) if isinstance(event, Table))
    row = dict(zip(table.columns, table.rows[1], strict=True))
    assert row["line"] == "least squares"
    assert row["MSE"] == pytest.approx(43.021031, abs=1e-6) and row["R²"] == pytest.approx(0.463445, abs=1e-6)
    assert row["prediction"] == pytest.approx(60.315647, abs=1e-6)
    bmi, years = project.countries.bmi, project.countries.years
    assert project.least_squares == pytest.approx(tuple(np.polyfit(bmi, years, 1)))


@pytest.mark.parametrize(("batch_size", "predicted"), [(163, 59.197199), (1, 52.742799)])
def test_the_course_s_thousand_epochs_do_not_reach_least_squares(mirror: Any, batch_size: int, predicted: float) -> None:
    project = raw(batch_size)
    assert project.line() == (1, 0)
    train(project, 1000 * len(project.batches(0, np.random.default_rng(0))))
    assert scalars(project)["prediction"] == pytest.approx(predicted, abs=1e-6)
    assert scalars(project)["loss"] > 21.6  # the bar


def test_training_never_sees_least_squares(mirror: Any) -> None:
    """The cheat would be to set the line to it: a run that cannot know it has to end at the same line."""
    project = built()
    del project.least_squares
    train(project, 1)
    ended = {1: project.line()}
    train(project, 150, skip=1)
    ended[150] = project.line()
    # Each step goes a tenth of the way, in each of the two directions: along the slope, and along the height at the mean BMI.
    mean = project.mean
    for step, (slope, intercept) in ended.items():
        left = 0.9**step
        assert slope == pytest.approx(SLOPE + (1 - SLOPE) * left, abs=1e-6)
        height = SLOPE * mean + INTERCEPT
        assert slope * mean + intercept == pytest.approx(height + (mean - height) * left, abs=1e-4)


@pytest.mark.parametrize("standardise", [False, True])
def test_a_step_goes_down_the_gradient_of_half_the_mean_squared_error(mirror: Any, standardise: bool) -> None:
    project = built(standardise=standardise, learning_rate=1e-4)
    bmi, years = project.countries.bmi[:7], project.countries.years[:7]

    def loss(weights: np.ndarray) -> float:
        return float(np.mean((weights[0] * (bmi - project.mean) / project.scale + weights[1] - years) ** 2)) / 2

    before = project.weights.copy()
    moves = 1e-5 * np.eye(2)
    slopes = [(loss(before + move) - loss(before - move)) / 2e-5 for move in moves]
    assert project.train_step((bmi, years))["loss"] == pytest.approx(loss(before))
    assert (before - project.weights) / 1e-4 == pytest.approx(slopes, rel=1e-6)


@pytest.mark.parametrize(("trick", "rate", "line"), [("absolute", 0.1, (-0.1, 3.9)), ("square", 0.01, (-0.4, 3.96))])
def test_the_tricks_of_the_notes(mirror: Any, trick: str, rate: float, line: tuple[float, float]) -> None:
    project = raw(1, rate, trick=trick)
    project.weights[:] = -0.6, 4
    assert project.train_step((np.array([-5.0]), np.array([3.0])))["loss"] == 8
    assert project.line() == pytest.approx(line, abs=1e-12)


def test_curvatures_and_where_it_diverges(mirror: Any) -> None:
    small, large = curvatures(built().countries.bmi)
    assert (small, large) == (pytest.approx(0.0094, abs=5e-5), pytest.approx(621.5, abs=0.05))
    standardised = built()
    inputs = (standardised.countries.bmi - standardised.mean) / standardised.scale
    assert curvatures(inputs) == pytest.approx((1, 1))
    falls, grows = (train(raw(rate=rate), 400)[-1]["loss"] for rate in (1.99 / large, 2.01 / large))
    assert falls < 100 and grows > 10_000
    table = next(iter(standardised.summary()))
    assert isinstance(table, Table) and [row[-1] for row in table.rows] == [pytest.approx(0.0032, abs=5e-5), 2]


def test_a_run_that_diverges_fails_by_name(mirror: Any, tmp_path: Path) -> None:
    with pytest.raises(Problem, match="became inf") as raised:
        run(raw(rate=0.01), tmp_path / "run", epochs=1000, log_every=1)
    assert raised.value.cause == "not-finite"


def test_the_recipe_s_run_reaches_least_squares(mirror: Any, tmp_path: Path) -> None:
    values = run(built(**recipe().config), tmp_path / "run")
    for reference in recipe().reference:
        assert values[reference.metric] == pytest.approx(reference.value, rel=1e-4)
    assert all(bar.passed(values[bar.metric]) for bar in recipe().bar)
    assert values["train/loss"] == pytest.approx(values["valid/loss"])
    assert recipe().train.batch_size == 163 and bars.wanted(recipe().bar[0]) == "≤ 21.6"


def test_nothing_is_learnt_from_shuffled_targets(mirror: Any, tmp_path: Path) -> None:
    project = built(**recipe().config)
    np.random.default_rng(0).shuffle(project.countries.years)
    values = run(project, tmp_path / "run")
    assert values["valid/loss"] > 35 and values["valid/r2"] < 0.1
    assert not recipe().bar[0].passed(values["valid/loss"])


def test_the_gap_is_what_the_loss_lies_above_its_minimum(mirror: Any) -> None:
    project = built()
    train(project, 20)
    values = scalars(project)
    assert values["gap"] == pytest.approx(values["loss"] - project.mse(project.least_squares) / 2, abs=1e-9)


def test_the_countries_are_shown_with_both_lines(mirror: Any) -> None:
    project = built()
    train(project, 10)
    dots, best, line, *_, farthest = project.sample(project.Request())
    assert isinstance(dots, Scatter) and len(dots.x) == 163
    assert isinstance(best, Curve) and isinstance(line, Curve) and isinstance(farthest, Table)
    assert [event.tag for event in (dots, best, line)] == ["regression/countries", "regression/least_squares", "regression/trained"]
    assert best.x == line.x == [pytest.approx(19.87, abs=0.01), pytest.approx(31.00, abs=0.01)]
    slope, intercept = project.line()
    assert line.y == pytest.approx([slope * x + intercept for x in line.x]) and best.y != line.y
    errors = [abs(float(years) - float(predicted)) for _, _, years, predicted in farthest.rows]
    assert errors == sorted(errors, reverse=True)


def test_exploring_begins_with_the_course_s_question_and_both_tricks(mirror: Any) -> None:
    answer = asked("regression")
    assert answer["asked"].rows[0] == ["least squares", pytest.approx(60.315647, abs=1e-6), ""]
    assert answer["regression/asked"].labels == ["asked"]
    assert answer["tricks"].rows == [
        ["before", -0.6, 4, 4],
        ["absolute trick", pytest.approx(-0.1), pytest.approx(3.9), pytest.approx(1.4)],
        ["square trick", pytest.approx(-0.4), pytest.approx(3.96), pytest.approx(2.96)],
    ]
    project = explored("regression")
    assert asked("regression", project, point=[[-5, 9]])["tricks"].rows[0][3] == 2
    assert asked("regression", project, point=[[-5, 7]])["tricks"].rows[1][1:3] == [-0.6, 4], "a point on the line moves nothing"


def test_a_degree_that_bends_too_far_fits_the_training_and_fails_the_others(mirror: Any) -> None:
    project = explored("regression")
    answer = asked("regression", project, degree=9, bmi=40)
    training, validation = (answer[f"error by degree/{name}"].y for name in ("training", "validation"))
    assert training == sorted(training, reverse=True) and len(training) == 9
    assert min(validation) < validation[-1]
    first, _, third = answer["asked"].rows
    assert "extrapolation: the countries have BMI 19.87 to 31.00" in first[2] and third[0] == "degree 9"
    assert abs(third[1] - first[1]) > 1_000, "no life lasts so long"
    assert answer["regression/asked"].labels == ["extrapolation"] and answer["regression/polynomial"].x[-1] == 40
    assert project.least_squares == pytest.approx((SLOPE, INTERCEPT), abs=1e-6)  # type: ignore[attr-defined]
    train, valid = np.split(project.shuffled, [54])[::-1]  # type: ignore[attr-defined]
    bmi, years = project.countries.bmi, project.countries.years  # type: ignore[attr-defined]
    line = np.polyfit(bmi[train], years[train], 1)
    assert training[0] == pytest.approx(np.mean((np.polyval(line, bmi[train]) - years[train]) ** 2))
    assert validation[0] == pytest.approx(np.mean((np.polyval(line, bmi[valid]) - years[valid]) ** 2))


def test_l1_leaves_zeros_and_l2_shrinks(mirror: Any) -> None:
    project = explored("regression")

    def weights(**fields: Any) -> np.ndarray:
        return np.array([row[1] for row in asked("regression", project, degree=9, **fields)["weights"].rows])

    free, first, second = weights(), weights(penalty="L1", strength=0.5), weights(penalty="L2", strength=0.5)
    assert (first == 0).sum() >= 4 and (free != 0).all() and (second != 0).all()
    assert np.abs(second).sum() < np.abs(free).sum()
    assert not weights(penalty="L1", strength=10).any()
    # One standardised input: soft-thresholding, and division by 1 + strength.
    line = asked("regression", project)["weights"].rows[0][1]
    assert asked("regression", project, penalty="L1", strength=0.5)["weights"].rows[0][1] == pytest.approx(line - 0.5, rel=1e-5)
    assert asked("regression", project, penalty="L2", strength=0.5)["weights"].rows[0][1] == pytest.approx(line / 1.5, rel=1e-5)


@pytest.mark.parametrize(("fields", "says"), [({"bmi": 61}, "bmi"), ({"degree": 10}, "degree"), ({"point": [[1, 2, 3]]}, "point")])
def test_what_cannot_be_explored_is_refused(mirror: Any, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says):
        asked("regression", **fields)


@pytest.mark.parametrize(("bmi", "outside"), [(19.86, True), (19.87, False), (ASKED, False), (30.99, False), (31.0, True), (45, True)])
def test_a_prediction_outside_the_countries_is_marked(mirror: Any, bmi: float, outside: bool) -> None:
    project = built()
    train(project, 200)
    answer = project.predict({"row": {"BMI": bmi}})
    assert answer["answer"].startswith(f"{SLOPE * bmi + INTERCEPT:.2f} years")
    assert ("extrapolation: the countries have BMI 19.87 to 31.00" in answer["answer"]) == outside
    (field,) = project.form()["fields"]
    assert field == {"name": "BMI", "low": 19.86692, "high": 30.99563, "value": ASKED}


@pytest.mark.parametrize("inputs", [None, {}, {"row": {}}, {"row": {"BMI": True}}, {"row": {"BMI": np.nan}}, {"row": {"BMI": 20, "x": 1}}])
def test_what_is_no_bmi_is_refused(mirror: Any, inputs: Any) -> None:
    with pytest.raises(Problem, match="not one BMI"):
        built().predict(inputs)


@pytest.mark.parametrize(
    "line", ["Chad,nan,21", "Chad,50", "Chad,50,21,1", "Chad,fifty,21", ",50,21", "Chad,50,-1", "Chad,5_0,21", "Chad,50,inf", "\x1b[2J,1,x"]
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "bmi.csv"
    file.write_text(f"Country,Life expectancy,BMI\nPeru,77.3,24.77\n{line}\nCuba,78.5,25.5\n")
    with pytest.raises(Problem, match="line 3") as raised:
        body_mass.parse(file)
    assert raised.value.cause == "data" and "\x1b" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1"),
        ("Country,BMI,Life expectancy\n", "line 1"),
        ("Country,Life expectancy,BMI\nPeru,77,25\nCuba,78,25\n", "two different"),
    ],
)
def test_a_file_without_a_line_to_fit_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "bmi.csv"
    file.write_text(text)
    with pytest.raises(Problem, match=says) as raised:
        body_mass.parse(file)
    assert raised.value.cause == "data"


def test_the_countries_are_the_file_s(mirror: Path) -> None:
    found = body_mass.read()
    lines = (mirror / "regression/bmi_and_life_expectancy.csv").read_text().splitlines()[1:]
    assert len(found.names) == len(lines) == 163
    assert lines[0] == f"{found.names[0]},{found.years[0]},{found.bmi[0]}"
    assert "Congo, Dem. Rep." in found.names
