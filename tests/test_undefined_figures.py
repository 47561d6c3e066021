"""A figure that is not defined at a step is None: left out of means, lines and checkpoints; NaN still ends the run."""

from pathlib import Path
from typing import Any

import pytest
from test_loop import TRAIN, attempt, line

from workbench.events import Scalars, decode, encode, whole
from workbench.problems import Problem
from workbench.recipes.recipe import Train
from workbench.training.metric_window import MetricWindow, refuse_not_finite
from workbench.training.project import Project

__all__ = ["line"]


def sometimes(kind: type[Project], nothing: Any) -> type[Project]:
    """The line, with a figure that each second step and each second evaluation does not have."""

    class Sometimes(kind):  # type: ignore[valid-type, misc]
        def train_step(self, batch: Any) -> dict[str, Any]:
            return {**super().train_step(batch), "hits": float(self.steps_done) if self.steps_done % 2 else nothing}

        def evaluate(self, split: str) -> Any:
            yield from super().evaluate(split)
            yield Scalars({"auc": 0.5 if self.steps_done // 20 % 2 else nothing})

    return Sometimes


def test_none_is_left_out_and_never_ends_the_run(line: type[Project], tmp_path: Path) -> None:
    train = Train(epochs=6, batch_size=10, log_every=1)
    history, _ = attempt(sometimes(line, None), tmp_path / "run", train)
    assert history.status.state == "finished"
    assert list(history.series["train/hits"].steps) == list(range(1, 121, 2))
    assert list(history.series["train/hits"].values) == list(range(1, 121, 2))
    assert len(history.series["train/loss"]) == 120
    assert list(history.series["valid/auc"].steps) == [20, 60, 100]
    plain, _ = attempt(line, tmp_path / "plain", train)
    assert list(plain.series["train/loss"].values) == list(history.series["train/loss"].values)


def test_a_window_averages_the_steps_that_have_the_figure(line: type[Project]) -> None:
    window = MetricWindow(line(line.Config(), TRAIN, compute=None, seed=1))  # type: ignore[arg-type]
    for hits in (1.0, None, 3.0, None):
        window.add({"loss": 2.0, "hits": hits, "never": None})
    assert window.floats() == {"loss": [2.0] * 4, "hits": [1.0, 3.0]}
    assert window.close() == {"train/loss": 2.0, "train/hits": 2.0}
    assert window.close() == {}


def test_an_undefined_metric_is_never_the_best_and_counts_for_the_patience(line: type[Project], tmp_path: Path) -> None:
    train = Train(epochs=40, batch_size=10, log_every=5, keep_best="valid/auc", patience=3)
    history, _ = attempt(sometimes(line, None), tmp_path / "run", train)
    # 0.5 at step 20 is the best; none at 40, the same at 60, none at 80.
    assert (history.status.cause, history.step) == ("patience", 80)
    assert "step 20" in history.status.message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_on_purpose_still_ends_the_run_and_the_hint_names_none(line: type[Project], tmp_path: Path, value: float) -> None:
    with pytest.raises(Problem, match="train/hits became") as raised:
        attempt(sometimes(line, value), tmp_path / "run", Train(epochs=2, batch_size=10, log_every=1))
    assert "may return None" in raised.value.hint and raised.value.cause == "not-finite"
    with pytest.raises(Problem) as diverged:
        refuse_not_finite({"train/loss": value}, 3)
    assert "None" not in diverged.value.hint


def test_a_line_of_the_log_tells_none_from_nan() -> None:
    event = Scalars({"a": None, "b": float("nan"), "c": 1.0})  # type: ignore[dict-item]
    read = decode(whole(encode(event).rstrip(b"\n")) or b"")
    assert isinstance(read, Scalars)
    assert list(read.values) == ["b", "c"] and read.values["b"] != read.values["b"]
