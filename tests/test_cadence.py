"""What is due after a step, against a definition that looks at every step; no project, no file, no clock."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.recipes.recipe import Train
from workbench.training.cadence import MEASURED_STEPS, POLL, SAVE_EVERY, Cadence, Place

often = st.integers(0, 12)
trains = st.builds(
    Train,
    epochs=st.integers(1, 4),
    steps=st.one_of(st.just(0), st.integers(1, 60)),
    log_every=st.integers(1, 12),
    evaluate_every=often,
    sample_every=often,
    checkpoint_every=often,
)


def defined(train: Train, step: int, last: bool, reached: bool) -> set[str]:
    """What the recipe's words say of one step."""
    due = set()
    if reached or step % train.log_every == 0:
        due.add("log")
    if reached or (train.evaluate_every and step % train.evaluate_every == 0) or (not train.evaluate_every and last):
        due.add("evaluate")
    if (train.sample_every and step % train.sample_every == 0) or (not train.sample_every and "evaluate" in due):
        due.add("sample")
    if reached or (train.checkpoint_every and step % train.checkpoint_every == 0):
        due.add("save")
    return due


@given(trains, st.integers(1, 20), st.integers(0, 70), st.booleans())
def test_nothing_is_missed_and_nothing_is_done_too_often(train: Train, per_epoch: int, change_at: int, sized: bool) -> None:
    place, cadence = Place(), Cadence()
    cadence.looked(1e9)
    place.per_epoch = per_epoch if sized else 0
    stops = []
    while not place.reached(train):
        last = place.position == per_epoch - 1
        place.advance(last)
        reached = place.reached(train)
        expected = defined(train, place.step, last, reached)
        done = set()
        if cadence.stops(place.step, last, 0.0):
            stops.append(place.step)
            due = cadence.due(train, place.step, last=last, reached=reached)
            done = {name for name in due._fields if getattr(due, name)}
            if reached or cadence.saves(train, place.step, 0.0):
                done.add("save")
            cadence.plan(train, place.step, place.total(train), change_at if change_at > place.step else 0, 0.0)
        elif place.step >= cadence.log_at:
            done.add("log")
            cadence.log_at = place.step + train.log_every
        assert done == expected, (place.step, done, expected)
        assert change_at != place.step or stops[-1] == change_at, "a pending change is made at its own step"
    assert place.step == (train.steps or train.epochs * per_epoch)


@given(st.integers(1, 9))
def test_a_place_counts_as_its_epochs_go(per_epoch: int) -> None:
    place = Place()
    for step in range(1, 30):
        place.advance(step % per_epoch == 0)
        assert (place.step, place.epoch, place.position) == (step, step // per_epoch, step % per_epoch)
        assert place.per_epoch == (per_epoch if step >= per_epoch else 0)
        if step >= per_epoch:
            assert math.isclose(place.epochs(), step / per_epoch)


def test_commands_are_looked_for_by_the_clock_and_at_once_after_the_first_step() -> None:
    cadence, train = Cadence(100.0), Train(steps=1000, log_every=500, evaluate_every=500, sample_every=500)
    assert cadence.stops(1, False, 100.0) and cadence.looks(100.0)
    cadence.looked(100.0)
    cadence.plan(train, 1, 1000, 0, 100.0)
    assert not cadence.stops(2, False, 100.0 + POLL / 2)
    assert cadence.stops(3, False, 100.0 + POLL) and cadence.looks(100.0 + POLL)


@pytest.mark.parametrize(("seconds", "pause"), [(0.001, SAVE_EVERY), (0.5, 25.0)])
def test_a_checkpoint_by_the_clock_costs_under_two_percent(seconds: float, pause: float) -> None:
    cadence, train = Cadence(0.0), Train()
    assert not cadence.saves(train, 7, SAVE_EVERY - 0.01) and cadence.saves(train, 8, SAVE_EVERY)
    cadence.saved(10.0, 10.0 + seconds)
    assert not cadence.saves(train, 9, 10.0 + seconds + pause - 0.01)
    assert cadence.saves(train, 10, 10.0 + seconds + pause)
    assert seconds / (seconds + pause) < 0.02


@pytest.mark.parametrize(
    ("seconds", "total", "chosen"), [(0.003, 100_000, 20), (0.0001, 1000, 20), (0.3, 5000, 1), (0.01, 60, 1), (0.003, 4000, 5)]
)
def test_log_every_is_chosen_by_how_long_a_step_takes(seconds: float, total: int, chosen: int) -> None:
    cadence, train, now = Cadence(0.0), Train(log_every=0), 0.0
    for step in range(1, MEASURED_STEPS + 1):
        now += seconds
        assert cadence.stops(step, False, now), "each step is looked at while it is measured"
        assert cadence.measure(step, now) == (step == MEASURED_STEPS)
        now += 5.0  # what is done between two steps is no part of them
        cadence.plan(train, step, total, 0, now)
    assert cadence.chosen_log_every(total) == chosen


def test_a_pause_brings_no_checkpoint_of_what_is_saved_already() -> None:
    cadence, by_clock = Cadence(), Train(epochs=1)
    cadence.saved(10.0, 10.01)
    cadence.waited(11.0, 500.0)
    assert not cadence.saves(by_clock, 1, 500.0 + SAVE_EVERY - 1.5) and cadence.saves(by_clock, 1, 500.0 + SAVE_EVERY)
