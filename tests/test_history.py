"""Histories: a run that was interrupted and resumed folds to what it would have been without."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from workbench.events import AnyEvent, Mark, Scalars, Status, Text, encode, split_tag
from workbench.runs.history import History, Series
from workbench.runs.rows import Row, RowDecoder

STEPS_PER_EPOCH = 7


def training(first: int, last: int) -> list[AnyEvent]:
    """What a deterministic run logs after step `first` up to `last`; with its untrained sample where it begins at the beginning."""
    found: list[AnyEvent] = [Text("sample/text", "untrained")] if first < 0 else []
    for step in range(max(first, 0) + 1, last + 1):
        place = {"step": step, "epoch": step / STEPS_PER_EPOCH}
        if step % 2 == 0:
            found.append(Scalars({"train/loss": 1 / step, "train/accuracy": step / 100}, **place))
        if step % 5 == 0:
            found += [Scalars({"valid/loss": 2 / step}, **place), Text("sample/text", f"at {step}", **place)]
        if step == 11:
            found.append(Mark("rate", {"learning_rate": 0.5}, **place))
    return found


def folded(events: list[AnyEvent]) -> History:
    history = History()
    for clock, event in enumerate(events):
        event.time, event.clock = 1000.0 + clock, float(clock)
    assert history.fold(events) == len(events)
    return history


def visible(history: History) -> dict[str, object]:
    """What a panel, an export or a comparison can see of the course of the training."""
    return {
        "series": {tag: (list(one.steps), list(one.values), list(one.epochs)) for tag, one in sorted(history.series.items())},
        "samples": {tag: [(event.step, event.text) for event in one.events] for tag, one in history.samples.items()},
        "marks": [(mark.step, mark.text) for mark in history.marks],
        "settings": history.settings(),
        "step": history.step,
        "epoch": history.epoch,
        "state": history.status.state,
    }


def running(step: int, attempt: int) -> Status:
    return Status(state="running", step=max(step, 0), epoch=max(step, 0) / STEPS_PER_EPOCH, from_step=step, attempt=attempt, steps=40)


def interrupted(deaths: list[tuple[int, int]], total: int) -> list[AnyEvent]:
    """A log with attempts that die after a step and resume from an earlier one, -1 being the very beginning."""
    log: list[AnyEvent] = []
    start = -1
    for attempt, (death, resume) in enumerate(deaths, 1):
        death = max(start, min(death, total))
        log += [running(start, attempt), *training(start, death)]
        start = min(resume, death)
    attempt = len(deaths) + 1
    end = Status(state="finished", step=total, epoch=total / STEPS_PER_EPOCH, attempt=attempt)
    return [*log, running(start, attempt), *training(start, total), end]


DEATHS = st.lists(st.tuples(st.integers(0, 40), st.integers(-1, 40)), max_size=5)


@given(deaths=DEATHS, total=st.integers(0, 40))
def test_an_interrupted_run_is_the_same_as_one_that_never_was(deaths: list[tuple[int, int]], total: int) -> None:
    assert visible(folded(interrupted(deaths, total))) == visible(folded(interrupted([], total)))


@given(deaths=DEATHS, cut=st.integers(0, 200))
def test_folding_in_slices_is_folding_at_once(deaths: list[tuple[int, int]], cut: int) -> None:
    log = interrupted(deaths, 40)
    whole, sliced = folded(log), History()
    for part in (log[:cut], log[cut:]):
        sliced.fold(iter(part))
    assert visible(sliced) == visible(whole)
    assert (sliced.seconds, sliced.version, sliced.started) == (whole.seconds, whole.version, whole.started)


@given(deaths=DEATHS, lost=st.sets(st.integers(0, 300), max_size=4))
def test_whatever_lines_are_lost_steps_grow(deaths: list[tuple[int, int]], lost: set[int]) -> None:
    history = folded([event for number, event in enumerate(interrupted(deaths, 40)) if number not in lost])
    for one in history.series.values():
        assert all(before < after for before, after in itertools.pairwise(one.steps))
        assert len(one.steps) == len(one.values) == len(one.epochs)


def test_the_line_that_rewinds_may_be_the_only_one_that_is_left() -> None:
    log = interrupted([(30, 12)], 40)
    first_running = [event for event in log if event is not log[0]]
    assert visible(folded(first_running)) == visible(folded(interrupted([], 40)))


def test_a_cache_can_tell_a_series_that_was_rewound() -> None:
    history = History()
    seen: dict[str, list[tuple[int, int]]] = {}
    for event in interrupted([(30, 12), (35, -1), (22, 20)], 40):
        history.fold([event])
        for tag, one in history.series.items():
            seen.setdefault(tag, []).append((one.version, len(one)))
    for points in seen.values():
        for (version, length), (later, longer) in itertools.pairwise(points):
            assert later > version or (later == version and longer >= length)
    assert len({version for version, _ in seen["train/loss"]}) == 4


def test_what_was_tested_goes_with_any_rewind() -> None:
    history = folded([running(-1, 1), Scalars({"test/loss": 1.0, "valid/loss": 1.0}, step=10), running(10, 2)])
    assert set(history.series) == {"valid/loss"}


def test_time_worked_leaves_out_pauses_and_the_time_between_attempts() -> None:
    history = History()
    for clock, event in [
        (100.0, running(-1, 1)),
        (110.0, Scalars({"a": 1.0}, step=1)),
        (112.0, Status(state="paused", step=1)),
        (500.0, Status(state="running", step=1, from_step=1)),
        (503.0, Scalars({"a": 1.0}, step=2)),
        (9000.0, running(1, 2)),
        (9004.0, Scalars({"a": 1.0}, step=2)),
        (5.0, Status(state="starting", attempt=3, step=2)),  # the machine was restarted
        (6.0, running(2, 3)),
    ]:
        event.clock = clock
        history.fold([event])
    assert history.seconds == 10 + 2 + 3 + 4 + 1


def test_best_and_last_with_numbers_that_are_none() -> None:
    values = [3.0, math.nan, 1.0, math.inf, 2.0]
    log = [Scalars({"valid/loss": value, "valid/accuracy": value}, step=step) for step, value in enumerate(values)]
    history = folded([*log, Scalars({"train/loss": math.nan}, step=5)])
    assert (history.best("valid/loss"), history.best("valid/accuracy"), history.last("valid/loss")) == (1.0, 3.0, 2.0)
    assert history.best("train/loss") is None
    assert history.last("unknown") is None


def test_tags_group_into_charts() -> None:
    assert split_tag("train/loss/generator") == ("train", "loss", "generator")
    assert split_tag("train/loss") == ("train", "loss", "")
    assert split_tag("loss") == ("", "loss", "")
    history = folded([Scalars({"train/loss": 1, "valid/loss": 1, "train/loss/generator": 1, "system/gpu": 1, "speed": 1})])
    assert history.charts() == {"loss": ["train/loss", "valid/loss", "train/loss/generator"], "speed": ["speed"]}


SHAPES = [{"train/loss"}, {"train/loss", "train/accuracy"}, {"valid/loss"}, {"system/cpu", "system/memory"}, set()]


@st.composite
def logged(draw: st.DrawFn) -> list[AnyEvent]:
    """Long stretches of scalars, mostly forward, some backward, with pauses and attempts between them."""
    log: list[AnyEvent] = []
    step = 0
    for attempt in range(1, draw(st.integers(1, 3)) + 1):
        state, start = draw(st.sampled_from(["running", "paused"])), draw(st.integers(0, step))
        log.append(Status(state=state, from_step=start, attempt=attempt))
        shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
        for place in range(draw(st.integers(0, 60))):
            step = max(0, step + draw(st.sampled_from([1, 1, 1, 0, 2])) - draw(st.sampled_from([0] * 60 + [9])))
            values = {tag: len(tag) + place / 7 for tag in sorted(shapes[place % len(shapes)])}
            log.append(Scalars(values, step=step, epoch=step / 7))
    times = draw(st.lists(st.sampled_from([0.0, 5.0, 7.5, 1e13]), min_size=2, max_size=9))
    for place, event in enumerate(log):
        event.time, event.clock = times[place % len(times)], times[(place + 1) % len(times)]
    return log


def rows(log: list[AnyEvent]) -> list[AnyEvent | Row]:
    """The log as a reader decodes it once it has learnt its tags."""
    decode = RowDecoder()
    lines = b"".join(map(encode, log))
    # In the order in which the lines have them: new series that come in one line stand in the order of the first lines.
    decode(encode(Scalars(dict.fromkeys(sorted(set().union(*SHAPES)), 0.0))) * 100)
    decoded = decode(lines)
    assert [type(event) for event in decoded if isinstance(event, Scalars)] == [], "all of them are rows"
    return decoded


@given(logged())
def test_rows_taken_together_amount_to_the_same_as_scalars_one_by_one(log: list[AnyEvent]) -> None:
    at_once, one_by_one = History(), History()
    assert at_once.fold(rows(log)) == len(log)
    assert sum(one_by_one.fold([event]) for event in log) == len(log)
    assert visible(at_once) == visible(one_by_one)
    assert list(at_once.series) == list(one_by_one.series)
    assert [series.version for series in at_once.series.values()] == [series.version for series in one_by_one.series.values()]
    for name in ("seconds", "started", "updated", "version", "rewinds", "_clock", "_worked"):
        assert getattr(at_once, name) == getattr(one_by_one, name), name


def test_a_step_that_falls_among_rows_rewinds_as_among_scalars() -> None:
    log: list[AnyEvent] = [Scalars({"train/loss": float(place)}, step=step) for place, step in enumerate([1, 2, 3, 2, 3])]
    history = History()
    history.fold(rows(log))
    assert (list(history.series["train/loss"].steps), list(history.series["train/loss"].values)) == ([1, 2, 3], [0.0, 3.0, 4.0])


def test_extremes_pass_over_what_is_not_finite_and_see_only_new_points() -> None:
    series = Series()
    for values, extremes in [
        ([math.nan, math.inf], None),
        ([3.0, -math.inf, 1.0], (1.0, 3.0)),
        ([1e308, 1e308], (1.0, 1e308)),  # their sum overflows
        ([2.0, -4.0], (-4.0, 1e308)),
    ]:
        series.values.extend(values)
        assert series.extremes() == extremes
