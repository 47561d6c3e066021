"""Film reviews: raw text and the course's file give the same words; tiny networks learn; what is shown is what was measured."""

from typing import Any

import numpy as np
import pytest

from workbench.datasets import imdb
from workbench.events import Curve, Event, Matrix, Scalars, Table
from workbench.problems import Problem
from workbench.projects.recurrent_networks.sentiment_bigrams import SentimentBigrams
from workbench.projects.recurrent_networks.sentiment_ensemble import SentimentEnsemble
from workbench.projects.recurrent_networks.sentiment_gru import SentimentGru
from workbench.projects.recurrent_networks.sentiment_lstm import SentimentLstm
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.review_networks import FixedSum, MeanOfVectors, Parts, padded
from workbench.torchkit.reviews import Reading, ReviewProject, compared
from workbench.torchkit.word_vectors import word_vectors

GOOD, BAD, FILLING = ["superb", "moving", "loved"], ["awful", "boring", "waste"], [f"w{'abcdefghij'[n]}" for n in range(10)]
SMALL: dict[type[ReviewProject], dict[str, Any]] = {
    SentimentBigrams: {"embedding": 8, "learning_rate": 0.05},
    SentimentGru: {"embedding": 8, "hidden": 8, "learning_rate": 0.02, "length": 12, "both_ends": True},
    SentimentEnsemble: {"embedding": 8, "hidden": 8, "learning_rate": 0.03, "length": 12, "pretrained": 6, "shares": [0.5, 0.3, 0.2]},
    SentimentLstm: {"embedding": 8, "hidden": 8, "learning_rate": 0.02, "length": 12, "layers": 2},
}


def written(rng: np.random.Generator, count: int) -> imdb.Reviews:
    """Reviews that one word of two decides."""
    labels = rng.integers(0, 2, count).astype(np.float32)
    texts = []
    for label in labels:
        text = [str(word) for word in rng.choice(FILLING, rng.integers(4, 11))]
        text.insert(int(rng.integers(0, len(text) + 1)), str(rng.choice(GOOD if label else BAD)))
        texts.append(text)
    return imdb.Reviews(texts, labels)


def made(monkeypatch: pytest.MonkeyPatch, lesson: type[ReviewProject], *, shuffled: bool = False, **settings: Any) -> ReviewProject:
    """A lesson that was trained on some hundred made-up reviews."""
    rng = np.random.default_rng(0)
    reviews = {name: written(rng, count) for name, count in (("train", 400), ("valid", 100), ("set_aside", 50), ("test", 100))}
    if shuffled:
        rng.shuffle(reviews["train"].labels)
    monkeypatch.setattr(imdb, "read", lambda: reviews)
    config: Any = {"dropout": 0.0, **SMALL[lesson], **settings}
    project = lesson(lesson.Config(**config), Train(batch_size=20), Compute(device="cpu", threads=1), 1)
    project.build()
    for epoch in range(8):
        for batch in project.batches(epoch, np.random.default_rng(epoch)):
            project.train_step(batch)
    return project


def events(project: ReviewProject, split: str) -> list[Event]:
    with project.evaluating():
        return list(project.evaluate(split))


def test_raw_text_and_the_courses_file_give_the_same_words() -> None:
    raw = "I DON'T <b>like</b> it.<br /><br />Really &amp; truly: 10/10"
    in_the_file = "i don  t  like  it . br    br   really   truly            "
    assert imdb.words(raw) == imdb.words(in_the_file) == ["i", "don", "t", "like", "it", "really", "truly"]


def test_the_split_is_the_courses_and_no_review_is_in_two_parts(mirror: Any) -> None:
    reviews = imdb.read()
    assert {name: len(part.texts) for name, part in reviews.items()} == {"train": 19981, "valid": 1500, "set_aside": 1000, "test": 2500}
    train = {tuple(text) for text in reviews["train"].texts}
    assert not any(tuple(text) in train for name in ("valid", "set_aside", "test") for text in reviews[name].texts)
    assert reviews["test"].labels.mean() == 0.5


def test_files_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(Problem, match="25,000 of each"):
        imdb.split(["good"], ["positive"])
    with pytest.raises(Problem, match="'meh'"):
        imdb.split(["good"] * 25_000, ["meh"] * 25_000)


@pytest.mark.parametrize("lesson", SMALL)
def test_it_learns_and_nothing_from_shuffled_labels(monkeypatch: pytest.MonkeyPatch, lesson: type[ReviewProject]) -> None:
    accuracies = []
    for shuffled in (False, True):
        shown = events(made(monkeypatch, lesson, shuffled=shuffled), "valid")
        accuracies.append(next(event.values["accuracy"] for event in shown if isinstance(event, Scalars)))
    assert accuracies[0] > 0.9 and accuracies[1] < 0.75


@pytest.mark.parametrize("lesson", SMALL)
def test_an_answer_does_not_depend_on_what_is_asked_beside_it(monkeypatch: pytest.MonkeyPatch, lesson: type[ReviewProject]) -> None:
    project = made(monkeypatch, lesson)
    with project.evaluating():
        together = project.positive(project.inputs["test"])
        alone = [project.positive([review])[0] for review in project.inputs["test"][:20]]
    assert np.allclose(together[:20], alone, atol=1e-6)


def test_words_that_stand_among_the_same_words_get_near_vectors() -> None:
    rng = np.random.default_rng(0)
    kinds, frames = [[1, 2, 3], [4, 5, 6]], [[7, 8], [9, 10]]
    texts = []
    for _ in range(600):
        kind = int(rng.integers(2))
        texts.append(np.array([rng.choice(frames[kind]), rng.choice(kinds[kind]), rng.choice(frames[kind])]))

    def apart(some: list[np.ndarray]) -> float:
        """How much nearer words of one kind are than words of two, as cosines."""
        vectors = word_vectors(some, 11, 4)
        assert vectors.shape == (11, 4) and not vectors[0].any()
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)
        near = vectors @ vectors.T
        return float(near[1, 2] + near[4, 5] - near[1, 4] - near[2, 5])

    assert apart(texts) > 1.5
    words = rng.permutation(np.concatenate(texts))
    assert apart(np.split(words, 600)) < 1.5


def test_word_vectors_are_made_once_for_the_same_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [np.array([1, 2, 3, 1]), np.array([2, 3])]
    first = word_vectors(texts, 4, 2)
    monkeypatch.setattr("workbench.torchkit.word_vectors._computed", lambda *_: np.zeros(1))
    assert np.array_equal(word_vectors(texts, 4, 2), first)
    for others, size, width in ((texts, 4, 1), (texts, 5, 2), ([np.array([1, 2, 3, 1, 2]), np.array([3])], 4, 2)):
        assert word_vectors(others, size, width).shape == (1,), "taken from the cache of other texts"


def test_the_ensemble_adds_what_its_parts_say_by_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, SentimentEnsemble)
    asked = project.inputs["test"][:5]
    with project.evaluating():
        gru, mean, nb_svm = project.network(asked, project.device)
        assert gru.shape == mean.shape == nb_svm.shape == (5,)
        assert np.allclose(project.logits(asked), 0.5 * gru + 0.3 * mean + 0.2 * nb_svm, atol=1e-6)
    # Its words' vectors and NB-SVM's weights are as they were made.
    again = made(monkeypatch, SentimentEnsemble)
    again.build_model()
    for part, fresh in ((0, "vectors.weight"), (2, "weights")):
        assert np.array_equal(project.network.parts[part].state_dict()[fresh], again.network.parts[part].state_dict()[fresh])


def test_the_difference_shown_is_the_difference_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, SentimentGru)
    with project.evaluating():
        answer = project.predict({"review": "<i>SUPERB</i> wa wb<br />wc superb"})
        without = project.predict({"review": "wa wb wc"})
    first = answer["words"][0]
    assert SentimentGru.takes == "text" and answer["note"].startswith(f"Positive would be, without: superb {first['difference']:+.3f}")
    assert answer["answer"] == "positive" and first["word"] == "superb"
    assert first["difference"] == pytest.approx(without["probabilities"]["positive"] - answer["probabilities"]["positive"], abs=1e-6)
    with project.evaluating():
        (typed,) = project.sample(project.Request(review="SUPERB wa wb wc superb"))
        assert isinstance(typed, Table) and typed.tag == "review/typed" and typed.rows[1][0] == "superb"
        for wrong, says in (({}, "no review"), ({"review": "zzz 12"}, "no word"), ({"review": 3}, "no review")):
            with pytest.raises(Problem, match=says):
                project.predict(wrong)


def test_what_is_shown_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, SentimentBigrams)
    shown = events(project, "test")
    values = next(event.values for event in shown if isinstance(event, Scalars))
    assert {"accuracy/set_aside", "accuracy/bag_of_words", "accuracy/nb_svm"} <= set(values)
    assert values["accuracy/bag_of_words"] > 0.9 and values["accuracy/nb_svm"] > 0.9
    matrix = next(event for event in shown if isinstance(event, Matrix))
    assert np.trace(matrix.values) / 100 == pytest.approx(values["accuracy"])
    curve = next(event for event in shown if isinstance(event, Curve))
    assert sum(curve.totals) == 100 and np.trapezoid(curve.y, curve.x) == pytest.approx(values["auc"])
    examples = next(event for event in shown if isinstance(event, Table) and event.tag == "confusion/examples")
    assert len(examples.cells) == len(examples.rows) and all(0 <= cell <= 1 for pair in examples.cells for cell in pair)


def test_the_interval_is_of_paired_differences() -> None:
    right, other = np.array([True] * 60 + [False] * 40), np.array([True] * 50 + [False] * 50)
    table = compared(right, {"nb_svm": other})
    assert table.rows[1][:3] == ["nb svm", 0.5, 0.1]
    # Ten of 100 differ: 0.1 ± 1.96 sqrt(0.1 * 0.9 / 99).
    assert table.rows[1][3] == "+0.0409 to +0.1591"


def test_words_that_are_read_of_a_review() -> None:
    ids = np.array([5, 1, 9, 2, 8, 3, 7, 4])
    assert Reading().excerpt(ids).tolist() == ids.tolist()
    assert Reading(vocabulary=5).excerpt(ids).tolist() == [5, 1, 2, 3, 4]
    assert Reading(length=3).excerpt(ids).tolist() == [5, 1, 9]
    assert Reading(length=3, both_ends=True).excerpt(ids).tolist() == [5, 1, 4], "from the beginning comes the odd one"
    assert Reading(length=9, both_ends=True).excerpt(ids).tolist() == ids.tolist()


def test_padding_stands_where_each_network_wants_it() -> None:
    reviews = [np.array([3, 4]), np.array([], np.int64), np.array([5, 6, 7])]
    assert padded(reviews, 3, left=True).tolist() == [[0, 3, 4], [0, 0, 0], [5, 6, 7]]
    assert padded(reviews, 3, left=False).tolist() == [[3, 4, 0], [0, 0, 0], [5, 6, 7]]


def test_only_parts_with_weights_are_trained() -> None:
    parts = Parts([MeanOfVectors(5, 2, 0.0), FixedSum(np.array([0.5, 1.0, 2.0, 0.0, 0.0]), 0.25)])
    asked = [(np.array([0]), np.array([0, 2])), (np.array([1]), np.array([1]))]
    cpu = parts.parts[1].weights.device
    assert parts(asked, cpu).shape == (1, 2)
    assert parts.eval()(asked, cpu)[1].tolist() == [2.75, 1.25]


def test_words_are_dropped_with_the_probability_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, SentimentBigrams, word_dropout=0.25)
    rows = np.arange(400)
    before = sum(len(ids) for row in rows for ids in project.inputs["train"][row])
    after = sum(len(ids) for review in project.thinned(rows) for ids in review)
    assert after / before == pytest.approx(0.75, abs=0.03)


def test_the_answer_comes_first_and_its_words_in_one_bounded_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, SentimentGru)
    batches: list[int] = []
    logits = project.logits
    monkeypatch.setattr(project, "logits", lambda reviews: (batches.append(len(reviews)), logits(reviews))[1])
    text = " ".join(project.vocabulary.number) + " superb" * 500
    with project.evaluating():
        first = project.first_answer({"review": text})
        assert batches == [1] and not first.get("words") and first["note"]
        whole = project.predict({"review": text})
    assert len(batches) == 2 and batches[1] <= 100
    assert first["answer"] == whole["answer"] and first["probabilities"]["positive"] == pytest.approx(whole["probabilities"]["positive"])
    left = len(project.vocabulary.number) - 99
    assert left <= 0 or str(left) in whole["aside"], "what was not left out is said"
    with pytest.raises(Problem, match="no review"):
        project.first_answer({})
