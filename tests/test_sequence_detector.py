"""The detector of udacity: codes, targets, streams, the automaton, rules that cheat, learning, a resume, typed letters."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked
from exploring import built as explored
from stepping import measured, scalars, train

from workbench.events import Curve, Table
from workbench.problems import Problem
from workbench.projects.recurrent_networks import sequence_detector as lesson
from workbench.projects.recurrent_networks.sequence_detector import ALPHABET, WORD, SequenceDetector, coded, ends_in
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.training.loop import Loop

NAME = "udacity-detector"
STEPS = 250


def built(seed: int = 1, **config: Any) -> SequenceDetector:
    recipe = load_recipe(find_recipe(NAME)).recipe
    settings = SequenceDetector.Config(**{**recipe.config, **config})
    project = SequenceDetector(settings, Train(steps=STEPS, batch_size=32), Compute(device="cpu", threads=1), seed)
    project.build()
    return project


def count(cell: str) -> tuple[int, int]:
    """Weights of the cell, and of the output."""
    network = lesson.Network(cell, 32)
    return tuple(sum(weight.numel() for weight in part.parameters()) for part in (network.recurrent, network.output))  # type: ignore[return-value]


def test_cells_have_their_weights() -> None:
    assert [count(cell) for cell in ("rnn", "gru", "lstm")] == [(1_312, 33), (3_936, 33), (5_248, 33)]
    recipe, compared = (load_recipe(find_recipe(stem)).recipe for stem in (NAME, f"{NAME}-cells"))
    assert recipe.config == compared.config and recipe.train == compared.train and compared.compare
    assert list(compared.compare.variants) == ["rnn", "gru", "lstm"]


def test_letters_are_one_hot_in_the_alphabet_s_order() -> None:
    assert ALPHABET == "acdituy"
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(coded("uy")), 7)
    assert one_hot.tolist() == [[0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1]]


def test_targets_are_one_at_the_last_y_alone() -> None:
    assert (np.flatnonzero(ends_in(coded("uudacityudacity"), WORD)) + 1).tolist() == [8, 15]
    for near in lesson.NEAR:
        assert not ends_in(coded(f"y{near}y"), WORD).any()
    assert ends_in(coded("udacitudacity"), WORD).tolist() == [False] * 12 + [True]
    assert not ends_in(coded("udacit"), WORD).any() and len(ends_in(coded("u"), WORD)) == 1


def test_streams_have_the_word_once_in_fifty_letters_and_near_misses_as_often() -> None:
    codes = lesson.streams(np.random.default_rng(0), 2000, 100)
    assert codes.shape == (2000, 100)
    words = ends_in(codes, WORD).sum() / 4000
    near = sum(ends_in(codes, word).sum() for word in lesson.NEAR[1:]) / 4000
    swapped, wrong = ends_in(codes, "udcaity").sum() / 4000, ends_in(codes, "udacita").sum() / 4000
    assert words == pytest.approx(1, abs=0.06) and near == pytest.approx(1, abs=0.06)
    assert swapped == pytest.approx(1 / 3, abs=0.04) and wrong == pytest.approx(1 / 3 + 1 / 18, abs=0.04)
    shares = np.bincount(lesson.streams(np.random.default_rng(1), 10, 16).ravel(), minlength=7)
    assert (shares > 0).all(), "streams shorter than a block"


def test_a_word_by_accident_is_labelled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(ALPHABET) ** len(WORD) == 823_543
    stream = {row[0]: row[1] for event in built().summary() if isinstance(event, Table) and event.tag == "stream" for row in event.rows}
    assert stream["accidental words in 10,000 letters"] == pytest.approx(0.0121, abs=5e-5)
    # A word that no single block has, as it lies across the end of the first one.
    monkeypatch.setattr(lesson, "streams", lambda rng, count, length: np.tile(coded("u" * 20 + WORD + "a" * 73), (count, 1)))
    _, targets = next(iter(built().batches(0, np.random.default_rng(0))))
    assert targets.shape == (32, 100) and targets.nonzero()[:, 1].tolist() == [26] * 32


def test_the_automaton_of_eight_states_makes_no_error() -> None:
    table = lesson.automaton()
    assert table.shape == (8, 7)
    codes = lesson.streams(np.random.default_rng(5), 500, 200)
    assert np.array_equal(lesson.accepted(codes), ends_in(codes, WORD))
    overlapping = coded("ududacitudacityudacityy")[None]
    assert np.array_equal(lesson.accepted(overlapping), ends_in(overlapping, WORD))


def test_rules_that_cheat_have_a_high_accuracy_or_recall_and_a_low_f1() -> None:
    events = measured(built())
    table = next(event for event in events if isinstance(event, Table))
    rows: dict[Any, Any] = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows) == ["network", "network, 10 times as long", "is y", "ends in ity", "never", "automaton"]
    assert rows["never"]["accuracy"] == pytest.approx(0.98, abs=0.002) and rows["never"]["F1"] == 0
    assert rows["is y"]["missed"] == rows["ends in ity"]["missed"] == "0"
    assert rows["is y"]["F1"] < 0.3 and rows["ends in ity"]["F1"] < 0.85
    assert rows["automaton"]["F1"] == rows["automaton"]["accuracy"] == 1
    curves = [event for event in events if isinstance(event, Curve)]
    assert [curve.tag for curve in curves] == ["precision/100 letters", "precision/1,000 letters"]


def test_held_out_streams_are_a_hundred_thousand_letters_of_both_lengths() -> None:
    project, other = built(), built(seed=2)
    for split in ("valid", "test"):
        assert [codes.shape for codes in project.held_out[split]] == [(1000, 100), (100, 1000)]
        assert all(np.array_equal(*pair) for pair in zip(project.held_out[split], other.held_out[split], strict=True))
    assert not np.array_equal(project.held_out["valid"][0], project.held_out["test"][0])
    first, second = (project.batches(epoch, np.random.default_rng([1, epoch])) for epoch in (0, 1))
    assert len(first) == 100 and not torch.equal(next(iter(first))[0], next(iter(second))[0])


def test_f1_counts_alarms_and_words_alone() -> None:
    truth, alarms = np.array([True, True, False, False, False]), np.array([True, False, True, False, False])
    judged = lesson.Judged(alarms, truth)
    assert (judged.hits, judged.missed, judged.false, judged.accuracy, judged.f1) == (1, 1, 1, 0.6, 0.5)
    assert lesson.Judged(~truth & False, ~truth & False).f1 is None


def test_it_learns_the_word_and_nothing_from_shuffled_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "HELD_OUT", 20_000)
    learnt, misled = (built(length=50, schedule="constant", learning_rate=0.01) for _ in range(2))
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    loss = misled.loss
    misled.loss = lambda logits, targets: loss(logits, targets[:, order])  # type: ignore[method-assign]
    for project in (learnt, misled):
        train(project, STEPS)
    assert scalars(learnt)["f1"] > 0.9 and scalars(learnt)["f1/long"] > 0.9, "more than ends in ity, 0.83"
    assert scalars(misled)["f1"] < 0.3


def test_both_losses_at_known_answers() -> None:
    logits, targets = torch.zeros(1, 4), torch.tensor([[0.0, 0, 0, 1]])
    assert float(built(loss="cross-entropy").loss(logits, targets)) == pytest.approx(np.log(2), rel=1e-6)
    assert float(built(loss="squared").loss(logits, targets)) == pytest.approx(0.25)


def attempt(folder: Path, number: int, stop: int = 130) -> SequenceDetector:
    """An attempt at a run of 130 steps in `folder`, asked to end after some; one after the first goes on from the checkpoint before."""
    project = built(seed=3, cell="gru", hidden=8, length=16)
    recipe = Recipe(title="x", project="sequence_detector", train=Train(steps=130, batch_size=4, log_every=7, evaluate_every=60))
    project.train = recipe.train
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = EventLog(folder)
    loop = Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), attempt=number)
    step = project.train_step

    def counted(batch: Any) -> dict[str, Any]:
        loop.terminate = loop.place.step + 1 >= stop
        return step(batch)

    project.train_step = counted  # type: ignore[method-assign]
    loop.fit()
    log.close()
    return project


def test_a_resumed_run_has_the_same_weights_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "HELD_OUT", 2000)
    straight = attempt(tmp_path / "straight", 1)
    attempt(tmp_path / "cut", 1, 41)
    attempt(tmp_path / "cut", 2, 117)
    resumed = attempt(tmp_path / "cut", 3)
    for mine, theirs in zip(resumed.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert scalars(resumed) == scalars(straight)


def test_typed_letters_are_followed_one_by_one() -> None:
    project = explored(NAME)
    events = asked(NAME, project, letters="UudacityUDACITY")
    assert events["output/udacity ends"].x == [8, 15] and len(events["output/strip"].y) == 15
    assert events["output/threshold"].y == [0.5, 0.5]
    assert np.array(events["states"].values).shape == (15, 24) and events["states"].rows[0] == "1 u"
    assert [np.array(events[f"W_{name}"].values).shape for name in "xsy"] == [(7, 32), (32, 32), (1, 32)]
    first = asked(NAME, project, letters="uudacityudacity", read=3)
    assert first["output/strip"].y == pytest.approx(events["output/strip"].y[:3]) and "output/udacity ends" not in first
    assert np.array(first["states"].values).shape == (3, 24) and first["states"].rows == ["1 u", "2 u", "3 d"]
    assert len(asked(NAME, project, letters="uy", read=9)["output/strip"].y) == 2


def test_what_is_found_has_its_verdict() -> None:
    letters, outputs = "uudacityy", np.array([0.1, 0.0, 0.9, 0.2, 0, 0, 0, 0.4, 0.3])
    truth = ends_in(coded(letters), WORD)
    assert lesson.found(letters, outputs, truth, 0.5).rows == [
        ["3", "uud", "0.9000", "false alarm"],
        ["8", "udacity", "0.4000", "miss"],
        ["9", "dacityy", "0.3000", "highest below"],
    ]
    assert lesson.found(letters, outputs, truth, 0.35).rows[1][-1] == "hit"


def test_a_text_is_answered_as_it_is_served() -> None:
    project = built()
    with project.evaluating():
        answer = project.predict({"letters": "Uudacity", "threshold": 0.5, "read": 0})
        graph = project.serving().graph
        codes = torch.tensor([[6, 6, 3, 1, 2, 4, 5, 7], [6, 7, 0, 0, 0, 0, 0, 0]])
        logits = graph(codes)
        alone = graph(codes[1:, :2])
    assert answer["probabilities"]["udacity"] == pytest.approx(float(logits[0].sigmoid()), abs=1e-6)
    assert float(logits[1]) == pytest.approx(float(alone[0]), abs=1e-6), "padding is not read"
    texts, truths = project.serving().examples(40), project.serving().truths(40)
    assert [text.endswith(WORD) for text in texts] == [truth == WORD for truth in truths] and 5 < truths.count(WORD) < 35
    for inputs in ("", {"letters": 3}, None, {"letters": "u" * 2001}):
        with pytest.raises(Problem, match="no text of 1 to 2,000 letters"):
            project.predict(inputs)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"letters": "udacixy"}, "letters: 'x' at position 6 is none of a c d i t u y."),
        ({"letters": "udacity udacity"}, "letters: ' ' at position 8 is none of a c d i t u y."),
        ({"letters": "uda\x1b[2J"}, "letters: '\\x1b' at position 4"),
        ({"letters": "İ"}, "letters: 'İ' at position 1"),
        ({"letters": ""}, "letters must not be empty"),
        ({"letters": "u" * 2001}, "letters must have 2000 characters or fewer"),
        ({"threshold": 1.5}, "threshold must be at most 0.99, not 1.5"),
        ({"threshold": float("nan")}, "threshold"),
        ({"read": -1}, "read must be at least 0, not -1"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"
