"""The loop: what it logs, what it saves, and that a resumed run is the same as one that was never interrupted."""

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lines import LINE, comparable

from workbench.events import Mark, Scalars
from workbench.problems import Problem
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.commands import Inbox, append
from workbench.runs.history import History
from workbench.runs.log import EventLog, Tail
from workbench.training.batches import fingerprint
from workbench.training.loop import Loop
from workbench.training.project import Project


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> type[Project]:
    source = tmp_path_factory.mktemp("own") / "line.py"
    source.write_text(LINE)
    spec = importlib.util.spec_from_file_location("line_project", source)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: type[Project] = module.Line
    return found


class Interrupted(BaseException):
    """Stands for SIGKILL: nothing of the loop runs after it."""


def attempt(
    kind: type[Project], folder: Path, train: Train, config: dict[str, Any] | None = None, *, number: int = 1, die_at: int = 0
) -> tuple[History, Project]:
    """One attempt at a run in this process; with `die_at` it is cut short before that step's number is logged."""
    folder.mkdir(exist_ok=True)
    (folder / "checkpoints").mkdir(exist_ok=True)
    past = History()
    past.fold(Tail(folder / "events.jsonl").read())
    recipe = Recipe(title="x", project="line", train=train)
    project = kind(kind.Config(**(config or {})), train, Compute(), 1)
    project.build()
    log = EventLog(folder)
    training = Loop(
        project,
        recipe,
        log,
        Checkpoints(folder / "checkpoints"),
        inbox=Inbox(folder / "control.jsonl"),
        past=past,
        attempt=number,
    )
    if die_at:
        step, original = itertools.count(training.place.step + 1), project.train_step

        def deadly(batch: Any) -> dict[str, Any]:
            if next(step) == die_at:
                raise Interrupted
            return original(batch)

        project.train_step = deadly  # type: ignore[method-assign]
    try:
        training.fit()
    except Interrupted:
        pass
    finally:
        log.close()
    history = History()
    history.fold(Tail(folder / "events.jsonl").read())
    return history, project


TRAIN = Train(epochs=4, batch_size=10, log_every=7, checkpoint_every=9, keep_best="valid/loss")


@pytest.mark.parametrize("generator", [False, True])
@pytest.mark.parametrize("die_at", [5, 12, 20, 21, 41, 59, 78])
def test_a_resumed_run_is_the_same_as_one_never_interrupted(line: type[Project], tmp_path: Path, die_at: int, generator: bool) -> None:
    config = {"generator": generator}
    whole, never = attempt(line, tmp_path / "whole", TRAIN, config)
    attempt(line, tmp_path / "cut", TRAIN, config, die_at=die_at)
    resumed, project = attempt(line, tmp_path / "cut", TRAIN, config, number=2)
    assert comparable(resumed) == comparable(whole)
    assert np.array_equal(project.weights, never.weights)  # type: ignore[attr-defined]
    assert project.steps_done == never.steps_done  # type: ignore[attr-defined]
    redone = [status.from_step for status in resumed.statuses if status.state == "running"][1]
    assert redone == ((die_at - 1) // 9 * 9 or -1)


@pytest.mark.parametrize("generator", [False, True])
def test_a_project_is_told_how_far_its_run_is(line: type[Project], tmp_path: Path, generator: bool) -> None:
    class Told(line):  # type: ignore[misc, valid-type]
        def build_model(self) -> None:
            super().build_model()
            self.told: list[float] = []

        def train_step(self, batch: Any) -> Any:
            self.told.append(self.progress)
            return super().train_step(batch)

    attempt(Told, tmp_path / "run", TRAIN, {"generator": generator}, die_at=41)
    _, resumed = attempt(Told, tmp_path / "run", TRAIN, {"generator": generator}, number=2)
    # A plain generator does not say how many batches its first epoch will have.
    assert resumed.told == [0.0 if generator and step < 20 else step / 80 for step in range(80)]  # type: ignore[attr-defined]
    by_steps = Train(steps=30, epochs=9, batch_size=10, log_every=7)
    _, project = attempt(Told, tmp_path / "steps", by_steps, {"generator": generator})
    assert project.told == [step / 30 for step in range(30)]  # type: ignore[attr-defined]


def test_without_the_random_states_it_would_not_be_the_same(line: type[Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = attempt(line, tmp_path / "whole", TRAIN)
    attempt(line, tmp_path / "cut", TRAIN, die_at=41)
    monkeypatch.setattr(line, "set_random_state", lambda self, state: None)
    resumed, _ = attempt(line, tmp_path / "cut", TRAIN, number=2)
    assert comparable(resumed) != comparable(whole)


def test_a_generator_that_draws_from_elsewhere_is_noticed_when_it_resumes(line: type[Project], tmp_path: Path) -> None:
    config = {"generator": True, "careless": True}
    attempt(line, tmp_path / "cut", TRAIN, config, die_at=30)
    with pytest.raises(Problem, match="does not give the same batches again"):
        attempt(line, tmp_path / "cut", TRAIN, config, number=2)


def test_live_changes_after_the_checkpoint_are_made_again_at_their_step(line: type[Project], tmp_path: Path) -> None:
    folder = tmp_path / "run"

    class Asking(line):  # type: ignore[misc, valid-type]
        def train_step(self, batch: Any) -> Any:
            if self.steps_done == 12 and not (folder / "control.jsonl").exists():
                append(folder / "control.jsonl", "set", {"config.learning_rate": 0.5})
            return super().train_step(batch)

    changed, _ = attempt(Asking, folder, TRAIN, {"sleep": 0.01})
    [mark] = changed.marks
    assert mark.step > 9 and mark.settings == {"config.learning_rate": 0.5}
    (folder / "control.jsonl").write_bytes(b"")
    for number in (2, 3):  # the third attempt has it from the second, which never got as far in its own marks
        for generation in Checkpoints(folder / "checkpoints").generations():
            if generation.step >= mark.step:
                (folder / "checkpoints" / generation.file).with_suffix(".json").unlink()
        if number == 2:
            cut, _ = attempt(line, folder, TRAIN, {"sleep": 0.01}, number=2, die_at=mark.step)
            assert not cut.marks
        else:
            again, _ = attempt(line, folder, TRAIN, {"sleep": 0.01}, number=3)
            assert comparable(again) == comparable(changed)


def test_looking_does_not_change_the_training(line: type[Project], tmp_path: Path) -> None:
    seldom, _ = attempt(line, tmp_path / "a", Train(epochs=3, batch_size=10, log_every=5))
    often, _ = attempt(line, tmp_path / "b", Train(epochs=3, batch_size=10, log_every=5, evaluate_every=2, sample_every=3))
    assert len(often.series["valid/loss"]) > len(seldom.series["valid/loss"])
    assert list(often.series["train/loss"].values) == list(seldom.series["train/loss"].values)


def test_a_logged_value_is_the_mean_of_its_steps(line: type[Project], tmp_path: Path) -> None:
    single, _ = attempt(line, tmp_path / "a", Train(epochs=2, batch_size=10, log_every=1))
    window, _ = attempt(line, tmp_path / "b", Train(epochs=2, batch_size=10, log_every=8))
    assert list(window.series["train/loss"].steps) == [8, 16, 24, 32, 40]
    means = np.array(single.series["train/loss"].values).reshape(5, 8).mean(axis=1)
    assert np.allclose(window.series["train/loss"].values, means, rtol=1e-12)


def test_it_learns_and_does_not_from_shuffled_targets(line: type[Project], tmp_path: Path) -> None:
    train = Train(epochs=5, batch_size=10, log_every=5)
    real, _ = attempt(line, tmp_path / "real", train)
    shuffled, _ = attempt(line, tmp_path / "shuffled", train, {"shuffled": True})
    untrained = real.series["valid/loss"].values[0]
    assert real.series["valid/loss"].values[-1] < 0.2 * untrained < shuffled.series["valid/loss"].values[-1]


def test_the_untrained_model_is_measured_and_the_best_is_tested(line: type[Project], tmp_path: Path) -> None:
    train = Train(epochs=3, batch_size=10, log_every=5, keep_best="valid/loss", evaluate_every=3)
    history, _ = attempt(line, tmp_path / "run", train, {"learning_rate": 1.9})
    valid = history.series["valid/loss"]
    assert valid.steps[0] == 0
    best = min(valid.values[1:])
    assert history.last("test/loss") == best != valid.values[-1]
    assert f"step {int(valid.steps[list(valid.values).index(best)])}" in history.status.message


def test_patience_ends_it(line: type[Project], tmp_path: Path) -> None:
    train = Train(epochs=500, batch_size=10, log_every=5, keep_best="valid/loss", patience=4)
    history, _ = attempt(line, tmp_path / "run", train)
    assert history.status.cause == "patience"
    values = list(history.series["valid/loss"].values)[1:]
    assert len(values) - values.index(min(values)) == 5


def test_patience_is_still_over_after_a_kill_in_the_test(line: type[Project], tmp_path: Path) -> None:
    class Deadly(line):  # type: ignore[misc, valid-type]
        def evaluate(self, split: str) -> Any:
            if split == "test":
                raise Interrupted
            return super().evaluate(split)

    train = Train(epochs=500, batch_size=10, log_every=5, keep_best="valid/loss", patience=4)
    whole, _ = attempt(line, tmp_path / "whole", train)
    attempt(Deadly, tmp_path / "cut", train)
    resumed, _ = attempt(line, tmp_path / "cut", train, number=2)
    assert comparable(resumed) == comparable(whole)
    assert resumed.status.cause == "patience"


def test_a_change_is_made_again_after_a_kill_at_its_very_step(line: type[Project], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train = Train(epochs=4, batch_size=10, log_every=1, checkpoint_every=9)
    attempt(line, folder, train, die_at=30)
    log = EventLog(folder)
    log.write(Mark("learning_rate 0.05 → 0.5", step=29, settings={"config.learning_rate": 0.5}))
    log.close()
    with pytest.MonkeyPatch.context() as patch:  # killed after the line of step 29, before the change

        def die(training: Loop, settings: Any, text: str = "", command: str = "") -> None:
            raise Interrupted

        patch.setattr(Loop, "change", die)
        second, _ = attempt(line, folder, train, number=2)
    assert second.step == 29 and not second.marks
    third, project = attempt(line, folder, train, number=3)
    assert [(mark.step, mark.settings) for mark in third.marks] == [(29, {"config.learning_rate": 0.5})]
    assert project.config.learning_rate == 0.5


def test_not_a_number_ends_it_before_a_checkpoint_holds_it(line: type[Project], tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"train/loss became nan at or before step 21") as raised:
        attempt(line, tmp_path / "run", TRAIN, {"event": "nan"})
    assert raised.value.cause == "not-finite"
    history = History()
    history.fold(Tail(tmp_path / "run" / "events.jsonl").read())
    assert str(history.last("train/loss")) == "nan"
    steps = [generation.step for generation in Checkpoints(tmp_path / "run" / "checkpoints").generations()]
    assert steps[-1] == 18


def test_the_cadence_is_chosen_once_and_noted(line: type[Project], tmp_path: Path) -> None:
    train = Train(epochs=20, batch_size=10, log_every=0, checkpoint_every=30)
    whole, _ = attempt(line, tmp_path / "run", train)
    [mark] = whole.marks
    assert mark.step == 50 and mark.settings["train.log_every"] >= 1
    steps = list(whole.series["train/loss"].steps)
    assert steps[:50] == list(range(1, 51))
    assert all(step % mark.settings["train.log_every"] == 0 for step in steps[50:])
    for note in Checkpoints(tmp_path / "run" / "checkpoints").generations():
        (tmp_path / "run" / "checkpoints" / note.file).with_suffix(".json").unlink()
    again, _ = attempt(line, tmp_path / "run", train, number=2)
    assert comparable(again) == comparable(whole)


def test_an_epoch_without_a_batch_is_an_error(line: type[Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "batches", lambda self, epoch, rng: iter(()))
    with pytest.raises(Problem, match="Epoch 1 has no batch"):
        attempt(line, tmp_path / "run", TRAIN)


def test_a_metric_that_is_not_measured_cannot_be_kept_best(line: type[Project], tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"train\.keep_best names valid/lost"):
        attempt(line, tmp_path / "run", Train(epochs=1, batch_size=10, keep_best="valid/lost"))


def test_what_no_checkpoint_can_hold_is_refused_by_name(line: type[Project], tmp_path: Path) -> None:
    class Careless(line):  # type: ignore[misc, valid-type]
        def build_model(self) -> None:
            super().build_model()
            self.seen = {1, 2}

    with pytest.raises(Problem, match=r"self\.seen is a set"):
        attempt(Careless, tmp_path / "run", TRAIN)


def test_data_that_changed_is_refused_by_name(line: type[Project], tmp_path: Path) -> None:
    class Careless(line):  # type: ignore[misc, valid-type]
        def train_step(self, batch: Any) -> Any:
            self.valid_data = self.train_data
            return super().train_step(batch)

    with pytest.raises(Problem, match=r"self\.valid_data was made in build_data"):
        attempt(Careless, tmp_path / "run", TRAIN)


def test_fingerprints_tell_batches_apart() -> None:
    a, b = np.arange(6.0), np.arange(6.0)
    assert fingerprint((a, {"y": b})) == fingerprint((b, {"y": a}))
    b[3] += 1e-9
    assert fingerprint((a, {"y": b})) != fingerprint((a, {"y": a}))


def test_history_has_no_record_beyond_the_rewind(line: type[Project], tmp_path: Path) -> None:
    attempt(line, tmp_path / "run", TRAIN, die_at=41)
    log = EventLog(tmp_path / "run")
    log.write(Scalars({"train/loss": 99.0}, step=40))
    log.write(Mark("something", step=40))
    log.close()
    resumed, _ = attempt(line, tmp_path / "run", TRAIN, number=2)
    assert 99.0 not in resumed.series["train/loss"].values
    assert not resumed.marks


def test_what_a_kill_left_half_written_is_cleared_away(line: type[Project], tmp_path: Path) -> None:
    attempt(line, tmp_path / "run", TRAIN, die_at=41)
    folder = tmp_path / "run" / "checkpoints"
    whole = sorted(folder.iterdir())
    for name in (".step-00000045.npz.77.part", ".step-00000045.json.77.part", "step-00000045.npz"):
        (folder / name).write_bytes(b"half")
    Checkpoints(folder).rewind(36)
    assert sorted(folder.iterdir()) == whole


def test_a_checkpoint_has_the_metrics_of_its_own_step(line: type[Project], tmp_path: Path) -> None:
    train = Train(epochs=2, batch_size=10, log_every=5, checkpoint_every=9, evaluate_every=5, keep_best="valid/loss")
    history, project = attempt(line, tmp_path / "run", train, die_at=38)
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    measured = dict(zip(history.series["valid/loss"].steps, history.series["valid/loss"].values, strict=True))
    generations = checkpoints.generations()
    assert any(each.step % 9 for each in generations)  # the best one, which was kept for the next save
    for generation in generations:
        tree = checkpoints.load(generation, project.decode_state)
        assert tree and tree["metrics"]["valid/loss"] == generation.metrics["valid/loss"] == measured[generation.step // 5 * 5]


def test_a_changed_cadence_counts_from_the_next_step(line: type[Project], tmp_path: Path) -> None:
    folder = tmp_path / "run"

    class Asking(line):  # type: ignore[misc, valid-type]
        def train_step(self, batch: Any) -> Any:
            if self.steps_done == 12:
                append(folder / "control.jsonl", "set", {"train.evaluate_every": 1})
            return super().train_step(batch)

    history, _ = attempt(Asking, folder, Train(steps=100, batch_size=10, log_every=500, evaluate_every=500), {"sleep": 0.005})
    [mark] = history.marks
    assert 12 <= mark.step < 90
    assert list(history.series["valid/loss"].steps) == [0, *range(mark.step + 1, 101)]
