"""Single steps of a paused run: the same log and weights as without a pause, and what each step did, in tables."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lines import comparable, ended, folded, send, start, until
from piloting import open_run, seen, settle
from test_loop import attempt, line  # noqa: F401
from torch import nn

from workbench.events import Answer, Event, Scalars, Table
from workbench.recipes.recipe import Compute, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.commands import append
from workbench.runs.history import History
from workbench.runs.log import Tail
from workbench.torchkit.project import TorchProject
from workbench.training.metric_window import MetricWindow
from workbench.training.project import Batches, Project
from workbench.training.stepping import ROWS, Stepping
from workbench.tui.app import DlwbApp
from workbench.tui.panels.source import SourcePanel

OFTEN = Train(epochs=3, batch_size=10, log_every=1, evaluate_every=1, sample_every=1, checkpoint_every=9, keep_best="valid/loss")


def dlwb(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "workbench.cli", *words], capture_output=True, text=True, check=False)


class Person:
    """Somebody who steers a run that trains in another thread, and waits for each answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def history(self) -> History:
        history = History()
        history.fold(Tail(self.folder / "events.jsonl").read())
        return history

    def asks(self, verb: str, **request: Any) -> Answer:
        command = append(self.folder / "control.jsonl", verb, request)
        return until(lambda: next((answer for answer in self.history().answers if answer.command == command), None))

    def checkpoints(self) -> list[int]:
        return [generation.step for generation in Checkpoints(self.folder / "checkpoints").generations()]


def steered(kind: type[Project], folder: Path, train: Train, steer: Callable[[Person], Any], **config: Any) -> tuple[History, Any, Any]:
    """A run that is paused after its first step, and then steered; its history, its project, and what `steer` returned."""
    folder.mkdir()
    append(folder / "control.jsonl", "pause")
    person, came = Person(folder), []

    def act() -> None:
        try:
            until(lambda: (folder / "events.jsonl").exists() and person.history().status.state == "paused")
            came.append(steer(person))
        finally:
            append(folder / "control.jsonl", "resume")

    thread = threading.Thread(target=act)
    thread.start()
    history, project = attempt(kind, folder, train, config)
    thread.join()
    return history, project, came[0]


def unasked(history: History) -> dict[str, Any]:
    """What an uninterrupted run logs, too: no tables of steps, and a sample that a person asked again is there once."""
    whole: dict[str, Any] = comparable(history)
    samples = {tag: events for tag, events in whole["samples"].items() if not tag.startswith("step/")}
    once = {tag: [event for place, event in enumerate(events) if event not in events[:place]] for tag, events in samples.items()}
    return {**whole, "samples": once}


def test_single_steps_are_the_steps_of_an_uninterrupted_run(line: type[Project], tmp_path: Path) -> None:  # noqa: F811
    whole, never = attempt(line, tmp_path / "whole", OFTEN)

    def steer(person: Person) -> tuple[list[Answer], list[int]]:
        return [person.asks("step", steps=steps) for steps in (*[1] * 10, 2, 21)], person.checkpoints()

    history, project, (answers, checkpoints) = steered(line, tmp_path / "cut", OFTEN, steer)
    assert [answer.step for answer in answers] == [*range(2, 12), 13, 34] and all(answer.ok for answer in answers)
    assert unasked(history) == unasked(whole)
    assert np.array_equal(project.weights, never.weights)
    # One at the pause, those on the cadence, and the best ones that wait for them: none for each step.
    assert checkpoints[-1] == 27 and len(checkpoints) <= 8
    assert [event.step for event in history.samples["step/numbers"].events] == [answer.step for answer in answers]
    assert [status.state for status in history.statuses] == ["running", "paused", "running", "finished"]


@pytest.mark.parametrize("log_every", [1, 7])
def test_the_tables_say_what_the_step_did(line: type[Project], tmp_path: Path, log_every: int) -> None:  # noqa: F811
    whole, _ = attempt(line, tmp_path / "whole", Train(epochs=2, batch_size=10, log_every=1))
    weights: dict[int, Any] = {}

    class Noting(line):  # type: ignore[misc, valid-type]
        def train_step(self, batch: Any) -> Any:
            numbers = super().train_step(batch)
            weights[self.steps_done] = self.weights.copy()
            return numbers

    train = Train(epochs=2, batch_size=10, log_every=log_every)
    history, _, _ = steered(Noting, tmp_path / "run", train, lambda person: [person.asks("step", steps=steps) for steps in (1, 1, 4, 1)])
    losses = list(whole.series["train/loss"].values)
    numbers, changes = (history.samples[f"step/{name}"].events for name in ("numbers", "weights"))
    assert [event.step for event in numbers] == [event.step for event in changes] == [2, 3, 7, 8]
    for event in numbers:
        now, before = losses[event.step - 1], losses[event.step - 2]
        assert isinstance(event, Table) and event.rows == [["loss", now, before, now - before]]
    for event in changes:
        assert isinstance(event, Table)
        now, before = weights[event.step], weights[event.step - 1]
        assert event.rows == [["weights", "2", pytest.approx(np.linalg.norm(now)), pytest.approx(np.linalg.norm(now - before)), ""]]
    text = history.samples["sample/line"].events
    assert [event.step for event in text if event.step in (2, 3, 7, 8)] == [2, 3, 7, 8]


def test_a_kill_among_the_steps_loses_no_more_than_in_a_running_run(line: type[Project], tmp_path: Path) -> None:  # noqa: F811
    train = Train(epochs=3, batch_size=10, log_every=7, checkpoint_every=9, keep_best="valid/loss")
    whole, never = attempt(line, tmp_path / "whole", train)
    control = tmp_path / "cut" / "control.jsonl"
    control.parent.mkdir()
    append(control, "pause")
    append(control, "step", {"steps": 50})
    killed, _ = attempt(line, tmp_path / "cut", train, die_at=32)
    assert [status.state for status in killed.statuses] == ["running", "paused"]
    control.write_bytes(b"")
    resumed, project = attempt(line, tmp_path / "cut", train, number=2)
    assert resumed.statuses[-2].from_step == 27 and unasked(resumed) == unasked(whole)
    assert np.array_equal(project.weights, never.weights)


@pytest.mark.parametrize("generator", [False, True])
def test_training_may_end_among_the_steps(line: type[Project], tmp_path: Path, generator: bool) -> None:  # noqa: F811
    train = Train(epochs=2, batch_size=10, log_every=7, keep_best="valid/loss")
    whole, never = attempt(line, tmp_path / "whole", train, {"generator": generator})
    history, project, answer = steered(line, tmp_path / "cut", train, lambda person: person.asks("step", steps=500), generator=generator)
    assert (answer.message, answer.step) == ("ended after 39 of 500 steps", 40)
    assert unasked(history) == unasked(whole)
    assert np.array_equal(project.weights, never.weights) and history.status.cause == "steps"


def test_the_last_step_of_all_has_its_tables(line: type[Project], tmp_path: Path) -> None:  # noqa: F811
    history, _, answer = steered(line, tmp_path / "cut", Train(steps=3, batch_size=10), lambda person: person.asks("step", steps=2))
    assert answer.ok and history.samples["step/weights"].latest.step == 3 and history.status.state == "finished"


def test_patience_ends_it_among_the_steps(line: type[Project], tmp_path: Path) -> None:  # noqa: F811
    train = Train(epochs=500, batch_size=10, log_every=5, keep_best="valid/loss", patience=4)
    whole, never = attempt(line, tmp_path / "whole", train)
    history, project, _ = steered(line, tmp_path / "cut", train, lambda person: person.asks("step", steps=10_000))
    assert unasked(history) == unasked(whole) and history.status.cause == "patience"
    assert np.array_equal(project.weights, never.weights)


def test_a_pause_ends_long_steps_and_saves(line: type[Project], tmp_path: Path) -> None:  # noqa: F811
    def steer(person: Person) -> tuple[Answer, Answer, int]:
        long = append(person.folder / "control.jsonl", "step", {"steps": 5000})
        until(lambda: person.history().step > 20)
        refused, paused = person.asks("step", steps=1), person.asks("pause")
        cut = next(answer for answer in person.history().answers if answer.command == long)
        until(lambda: person.checkpoints()[-1] == paused.step)
        return refused, cut, paused.step

    train = Train(epochs=10, batch_size=10, log_every=5, checkpoint_every=10_000)
    history, _, (refused, cut, step) = steered(line, tmp_path / "run", train, steer, sleep=0.01)
    assert not refused.ok and refused.message.startswith("It still makes the steps")
    assert cut.message == f"paused after {step - 1} of 5,000 steps"
    assert history.status.state == "finished" and history.step == 200


@pytest.mark.parametrize("steps", [0, -1, 1.5, "3", True, None, 10**7])
def test_what_is_no_number_of_steps_is_refused_in_one_sentence(line: type[Project], tmp_path: Path, steps: Any) -> None:  # noqa: F811
    history, _, answer = steered(line, tmp_path / "run", Train(steps=3, batch_size=10), lambda person: person.asks("step", steps=steps))
    assert not answer.ok and answer.message == "steps must be a whole number from 1 to 1,000,000."
    assert "step/numbers" not in history.samples


def test_a_run_that_is_not_paused_refuses(line: type[Project], tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "run").mkdir()
    append(tmp_path / "run" / "control.jsonl", "step", {"steps": 1})
    history, _ = attempt(line, tmp_path / "run", Train(epochs=1, batch_size=10))
    [answer] = history.answers
    assert not answer.ok and answer.message == "It is running, and only a paused run makes single steps. Pause it first."


def test_commands_that_come_together_are_all_answered(line: type[Project], tmp_path: Path) -> None:  # noqa: F811
    def steer(person: Person) -> list[str]:
        ids = [append(person.folder / "control.jsonl", verb) for verb in ("step", "resume", "sample")]
        until(lambda: set(ids) <= {answer.command for answer in person.history().answers})
        return ids

    history, _, _ = steered(line, tmp_path / "run", Train(epochs=2, batch_size=10, log_every=5), steer)
    assert history.status.state == "finished" and history.samples["step/numbers"].latest.step == 2


def test_a_sample_that_fails_ends_neither_the_step_nor_the_run(line: type[Project], tmp_path: Path) -> None:  # noqa: F811
    class Careless(line):  # type: ignore[misc, valid-type]
        def sample(self, request: Any) -> Any:
            if self.steps_done == 2:
                raise ValueError("no such word")
            return super().sample(request)

    history, _, answer = steered(Careless, tmp_path / "run", Train(epochs=2, batch_size=10), lambda person: person.asks("step", steps=1))
    assert not answer.ok and answer.message == "ValueError: no such word" and answer.step == 2
    assert history.status.state == "finished" and history.samples["step/numbers"].latest.step == 2


class Tensors(TorchProject):
    """Two layers, one of them frozen, dropout, momentum, and a tensor of its own."""

    def build_data(self) -> None:
        self.inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))

    def build_model(self) -> None:
        self.network = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 1))
        self.network[0].weight.requires_grad_(False)
        self.shift = torch.zeros((), requires_grad=True)
        self.optimizer = torch.optim.SGD([*(weight for weight in self.network.parameters() if weight.requires_grad), self.shift], 0.1, 0.9)

    def batches(self, epoch: int, rng: np.random.Generator) -> Any:
        return Batches([self.inputs], self.train.batch_size, rng, index=torch.from_numpy)

    def train_step(self, batch: Any) -> dict[str, Any]:
        self.optimizer.zero_grad()
        loss = ((self.network(batch[0]) + self.shift - 1) ** 2).mean()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, "accuracy": None}

    def evaluate(self, split: str) -> Any:
        yield Scalars({"loss": float(self.network(self.inputs).mean())})


def test_weights_of_torch_are_found_with_their_gradients(tmp_path: Path) -> None:
    train = Train(epochs=3, batch_size=10, log_every=1, evaluate_every=1)
    whole, never = attempt(Tensors, tmp_path / "whole", train)
    gradients: dict[int, Any] = {}

    class Noting(Tensors):
        def train_step(self, batch: Any) -> Any:
            numbers = super().train_step(batch)
            gradients[len(gradients) + 1] = {
                "network.2.weight": self.network[2].weight.grad.norm().item(),
                "shift": self.shift.grad.norm().item(),
            }
            return numbers

    history, project, _ = steered(Noting, tmp_path / "cut", train, lambda person: [person.asks("step", steps=1) for _ in range(9)])
    assert unasked(history) == unasked(whole)
    for one, other in zip([*project.network.parameters(), project.shift], [*never.network.parameters(), never.shift], strict=True):
        assert torch.equal(one, other)
    last = history.samples["step/weights"].latest
    assert isinstance(last, Table)
    rows = {row[0]: row for row in last.rows}
    # The frozen weight is no weight that training changes.
    assert {name: row[1] for name, row in rows.items()} == {
        "network.0.bias": "3",
        "network.2.weight": "1x3",
        "network.2.bias": "1",
        "shift": "1",
    }
    for name, norm in gradients[last.step].items():
        assert rows[name][4] == pytest.approx(norm, rel=1e-6)
    assert all(0 < float(row[3]) < 1 for row in rows.values())
    assert [row[0] for row in history.samples["step/numbers"].latest.rows] == ["loss"]  # type: ignore[union-attr]


def test_a_network_of_very_many_arrays_still_fits_into_the_log(tmp_path: Path) -> None:
    class Many(Tensors):
        def build_model(self) -> None:
            super().build_model()
            self.more = nn.ParameterList(torch.zeros(1) for _ in range(ROWS))

    project = Many(Many.Config(), Train(), Compute(), 1)
    project.build()
    window, stepping = MetricWindow(project), Stepping("x", 0, 1)
    stepping.before(0, project, window)
    events: list[Event] = list(stepping.tables(project, window))
    [table] = events
    assert isinstance(table, Table) and len(table.rows) == ROWS + 1 and table.rows[-1][0] == "and 4 more"


async def test_a_held_key_makes_one_step_after_the_other_and_nothing_piles_up(tmp_path: Path) -> None:
    run = start(tmp_path, train="{epochs: 500, batch_size: 10, log_every: 1000}", config="{sleep: 0.01}")
    try:
        async with DlwbApp().run_test(size=(120, 40)) as pilot:
            screen = await open_run(pilot, "A line")
            await settle(pilot, lambda: screen.feed.state.state == "running")
            await pilot.press("greater_than_sign")
            await settle(pilot, lambda: any("p pauses it first" in note.message for note in pilot.app._notifications), 10)
            await pilot.press("p")
            await settle(pilot, lambda: screen.feed.state.state == "paused")
            paused = folded(run).step
            await pilot.press(*["greater_than_sign"] * 30)
            await settle(pilot, lambda: not screen.feed.awaits("step"))
            await settle(pilot, lambda: "difference" in seen(pilot.app) and "gradi" in seen(pilot.app))
            after = folded(run).step
            assert paused < after < paused + 30
            # Nothing waits in a queue: the run stands.
            await pilot.pause(0.4)
            assert folded(run).step == after == screen.feed.history.samples["step/numbers"].latest.step
            [source] = screen.board.query(SourcePanel)
            assert screen.board.asked == ("train_step", after) and f"step {after:,}" in seen(pilot.app)
            await pilot.press("n")
            await settle(pilot, lambda: screen.board.asked == ("sample", after))
            assert source.path == run.project_copy
            await pilot.press("greater_than_sign")
            await settle(pilot, lambda: folded(run).step == after + 1)
            done = dlwb("step", run.id, "5")
            assert done.returncode == 0 and done.stderr.startswith(f"{run.id}: step {after + 6:,}, loss 0.")
            nothing = dlwb("step", run.id, "")
            assert nothing.returncode == 2 and "Invalid value for 'N'" in nothing.stderr and folded(run).step == after + 6
    finally:
        send(run, "worker", signal.SIGKILL)
        ended(run)
    refused = dlwb("step", run.id)
    assert refused.returncode == 1 and "so it cannot make a single step" in refused.stderr
