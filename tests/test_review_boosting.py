"""Boosted trees over word counts: counts as the encoder makes them, absent words, a resume, what is shown and served; and the update."""

import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from killing import bits
from stepping import measured, scalars, train

from workbench.datasets import imdb, own_file
from workbench.datasets.store.fetch import fetch
from workbench.encoding import booster, model_folder
from workbench.encoding.coding import Coding, stemmed
from workbench.encoding.kinds import BagOfWords, Binary, Tensor
from workbench.encoding.serving import Serving
from workbench.events import Curve, Matrix, Table, Text
from workbench.problems import Problem
from workbench.projects.deployment.review_boosting import ReviewBoosting
from workbench.projects.deployment.updated_reviews import UpdatedReviews
from workbench.recipes.recipe import Compute, Train
from workbench.serving.session import Session
from workbench.torchkit import word_counts as counting
from workbench.torchkit.word_counts import word_counts
from workbench.training.request import request

GOOD, BAD, FILLING = ["superb", "moving", "loved"], ["awful", "boring", "waste"], [f"w{'abcdefghij'[n]}" for n in range(10)]
SIZES = {"train": 600, "valid": 150, "set_aside": 50, "test": 200}
SMALL: dict[str, Any] = {"words": 16, "max_depth": 3, "gamma": 0, "min_child_weight": 1}


def written(rng: np.random.Generator, count: int) -> imdb.Reviews:
    """Reviews that one word of two decides, in nine of ten cases."""
    labels = rng.integers(0, 2, count).astype(np.float32)
    texts = []
    for label in labels:
        text = [str(word) for word in rng.choice(FILLING, rng.integers(4, 11))]
        text.insert(int(rng.integers(0, len(text) + 1)), str(rng.choice(GOOD if (label > 0.5) == (rng.random() < 0.9) else BAD)))
        texts.append(text)
    return imdb.Reviews(texts, labels)


def made(monkeypatch: pytest.MonkeyPatch, lesson: Any, *, seed: int = 1, shuffled: bool = False, **config: Any) -> Any:
    rng = np.random.default_rng(0)
    reviews = {name: written(rng, count) for name, count in SIZES.items()}
    if shuffled:
        rng.shuffle(reviews["train"].labels)
    monkeypatch.setattr(imdb, "read", lambda: reviews)
    project = lesson(lesson.Config(**{**SMALL, **config}), Train(epochs=500), Compute(device="cpu", threads=1), seed)
    project.build()
    return project


@pytest.fixture(autouse=True)
def own_home(home: Path) -> None:
    """A disk cache of its own."""


# -- counts -----------------------------------------------------------------------------------------------------------------------------

TEXTS = {"train": [["loved", "loves", "film", "a"], ["film", "loving", "b", "a"]], "test": [["only", "only", "only", "film"], []]}


def test_stems_count_together_and_the_training_texts_alone_choose_them() -> None:
    words, counts = word_counts(TEXTS, 3, stem=True)
    assert words == ["love", "film", "a"], "film and a are as frequent, and film comes first"
    assert counts["train"].toarray().tolist() == [[2, 1, 1], [1, 1, 1]]
    assert counts["test"].toarray().tolist() == [[0, 1, 0], [0, 0, 0]]
    assert counts["train"].dtype == np.float32
    plain, _ = word_counts(TEXTS, 10, stem=False)
    assert plain == ["film", "a", "loved", "loves", "loving", "b"]
    assert word_counts(TEXTS, 1, stem=False, known="test")[0] == ["only"]


def test_counts_are_computed_once_for_the_same_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    first, counts = word_counts(TEXTS, 3, stem=True)
    stems: list[Any] = []
    monkeypatch.setattr(counting, "stemmed", lambda words: stems.append(words) or stemmed(words))
    again, cached = word_counts(TEXTS, 3, stem=True)
    assert not stems and again == first
    assert all(np.array_equal(cached[name].toarray(), counts[name].toarray()) for name in TEXTS)
    other, _ = word_counts({**TEXTS, "train": [["seen", "seeing"]]}, 3, stem=True)
    assert len(stems) == 1 and other == ["seen", "see"]


def test_counts_whose_file_is_gone_are_counted_anew(home: Path) -> None:
    first = word_counts(TEXTS, 3, stem=True)
    next(home.rglob("word counts/*.npy")).unlink()
    words, counts = word_counts(TEXTS, 3, stem=True)
    assert words == first[0] and all(np.array_equal(counts[name].toarray(), first[1][name].toarray()) for name in TEXTS)


def test_counts_are_what_the_encoder_makes_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["I <b>loved</b> it: moving, MOVING, superb.<br />", "Nothing but a waste of waste", "zzz"]
    split = [imdb.words(text) for text in texts]
    vocabulary, counts = word_counts({"train": split}, 100, stem=True)
    coding = Coding(BagOfWords(stem="porter"), Binary(of="probability"), ["no", "yes"], vocabulary)
    assert np.array_equal(coding.batch([coding.encode(text) for text in texts]), counts["train"].toarray())
    assert counts["train"].toarray()[0, vocabulary.index("move")] == 2


def test_banana_is_too_rare_for_the_vocabulary(mirror: Path) -> None:
    words = Counter(own_file.text(fetch("imdb")["reviews"], imdb.LIMIT).split())
    del words["."]
    assert len(words) == 74_072 and words["banana"] == 31
    assert 1 + [word for word, _ in words.most_common()].index("banana") == 9_891
    # With its plural the stem has 38 uses; more than 5,000 other stems have more.
    more = set(stemmed([word for word, uses in words.items() if uses > 38]))
    assert stemmed(["banana", "bananas"]) == ["banana", "banana"] and words["banana"] + words["bananas"] == 38
    assert "banana" not in more and len(more) > 5_000


# -- the trees --------------------------------------------------------------------------------------------------------------------------


def test_the_first_leaf_is_minus_gradient_by_curvature_of_the_log_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, ReviewBoosting, eta=1, max_depth=1, subsample=1, min_child_weight=0)
    train(project, 1)
    labels, answers = project.reviews["train"].labels, project.boosted.answers("train")
    for answer in np.unique(answers):
        there = answers == answer
        # p is 0.5 everywhere: gradients 0.5 - y, second derivatives 0.25, and 1 in the denominator, XGBoost's default regularisation.
        assert math.log(answer / (1 - answer)) == pytest.approx((labels[there] - 0.5).sum() / (there.sum() / 4 + 1), rel=1e-5)
    assert len(np.unique(answers)) == 2


def test_it_learns_and_not_from_shuffled_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, ReviewBoosting)
    losses = [values["loss"] for values in train(project, 30)]
    assert losses[-1] < 0.45 < losses[0] < math.log(2)
    figures = scalars(project, "test")
    assert figures["accuracy"] > 0.84 and figures["auc"] > 0.85 and figures["loss"] < 0.5
    assert figures.keys() >= {"precision", "recall", "accuracy/set_aside"} and scalars(project).keys() == {"loss", "accuracy"}
    lost = made(monkeypatch, ReviewBoosting, shuffled=True)
    train(lost, 30)
    assert scalars(lost, "test")["accuracy"] < 0.65


def test_an_absent_word_is_missing_as_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheat is to ask with zeros: the matrix of a server is dense, that of the training is sparse."""
    project = made(monkeypatch, ReviewBoosting)
    train(project, 30)
    answers = project.boosted.answers("test")
    encoder = project.coding.encoder
    dense = project.coding.batch([project.coding.encode(example) for example in project.serving().examples(200)])
    assert booster.outputs(project.boosted.booster, dense, encoder).tobytes() == answers.tobytes()
    zeros = booster.outputs(project.boosted.booster, dense, Tensor(shape=[16]))
    assert not np.array_equal(zeros, answers)


@pytest.mark.parametrize("lesson", [ReviewBoosting, UpdatedReviews])
@pytest.mark.parametrize("at", [1, 13])
def test_a_resumed_run_goes_on_bit_for_bit(monkeypatch: pytest.MonkeyPatch, lesson: Any, at: int) -> None:
    whole, begun, resumed = (made(monkeypatch, lesson) for _ in range(3))
    expected = train(whole, 20)
    before = train(begun, at)
    resumed.load_state(resumed.decode_state(begun.encode_state(begun.state())))
    assert before + train(resumed, 20, skip=at) == expected
    assert bits(resumed.state()) == bits(whole.state())
    assert scalars(resumed, "test") == scalars(whole, "test")


def test_what_is_measured_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, ReviewBoosting)
    train(project, 30)
    confusion, examples, roc, wrong, _ = measured(project, "test")
    assert isinstance(confusion, Matrix) and isinstance(examples, Table) and isinstance(roc, Curve) and isinstance(wrong, Table)
    right = confusion.values[0][0] + confusion.values[1][1]
    assert right / 200 == pytest.approx(scalars(project, "test")["accuracy"]) and len(examples.cells) == len(examples.rows)
    assert all((row[0] == "positive") == (float(row[1]) < 0.5) for row in wrong.rows)
    errors = [abs(float(row[1]) - 0.5) for row in wrong.rows]
    assert errors == sorted(errors, reverse=True)
    review, gain, tree, *rest = project.sample(request(project, {"review": "Superb, and I LOVED it"}))
    assert isinstance(review, Table) and isinstance(gain, Table) and isinstance(tree, Text) and len(rest) == 4
    assert {row[0] for row in gain.rows} > set(stemmed([*GOOD, *BAD])) - {"wast"} and review.rows[0][1] > 0.8
    assert {row[0] for row in review.rows} & {"superb", "love"}
    assert any(str(row[0]) in ("no aw", "no bore", "no wast") for row in review.rows)


def test_the_drawn_trees_ask_for_counts_an_absent_word_being_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walked by the words on the screen: the first tree's leaves are what XGBoost answers."""
    project = made(monkeypatch, ReviewBoosting)
    train(project, 1)
    lines = project.boosted.tree(1, 20).splitlines()
    margins = project.boosted.booster.predict(project.matrices["test"], output_margin=True)
    for text, margin in zip(project.reviews["test"].texts, margins, strict=True):
        assert walked(lines, Counter(stemmed(text))) == pytest.approx(margin, rel=1e-3)


def walked(lines: list[str], counts: Counter[str]) -> float:
    question = lines[0]
    if not question.endswith(" times?"):
        return float(question)
    name, *numbers = question.removesuffix(" times?").replace(" to ", " ").split(" ")
    corner = next(place for place, line in enumerate(lines) if line.startswith("└"))
    part = lines[1:corner] if int(numbers[0]) <= counts[name] <= int(numbers[-1]) else lines[corner:]
    return walked([part[0].split(" ", 2)[2], *(line[2:] for line in part[1:])], counts)


def test_what_words_add_sums_to_the_log_odds(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, ReviewBoosting)
    train(project, 30)
    matrix = project.matrices["test"]
    shares = project.boosted.booster.predict(matrix, pred_contribs=True)
    margins = project.boosted.booster.predict(matrix, output_margin=True)
    assert shares.sum(1) == pytest.approx(margins, abs=1e-4)
    text = " ".join(project.reviews["test"].texts[0])
    answer, added = project.contributions(text)
    assert answer["probabilities"]["positive"] == pytest.approx(1 / (1 + math.exp(-margins[0])), abs=1e-6)
    assert sum(value for _, value in added) == pytest.approx(shares[0, :-1].sum(), abs=1e-4)
    assert project.predict({"review": text})["answer"] == answer["answer"]


@pytest.mark.parametrize("inputs", [None, {}, {"review": " "}, {"review": 5}, {"review": "a" * 20_001}, {"row": {}}])
@pytest.mark.parametrize("lesson", [ReviewBoosting, UpdatedReviews])
def test_what_is_no_review_is_refused(monkeypatch: pytest.MonkeyPatch, lesson: Any, inputs: Any) -> None:
    with pytest.raises(Problem):
        made(monkeypatch, lesson).predict(inputs)


def sealed(serving: Serving, folder: Path) -> model_folder.ModelFolder:
    """The model of a lesson as a folder."""

    def write(path: Path) -> None:
        (path / "model.ubj").write_bytes(bytes(serving.graph.save_raw("ubj")))
        (path / "vocabulary.txt").write_bytes(model_folder.lines(list(serving.coding.vocabulary)))
        (path / "labels.txt").write_bytes(model_folder.lines(list(serving.coding.labels)))

    about = {"name": "reviews", "version": 1, "kind": serving.kind, "encoder": serving.coding.encoder, "decoder": serving.coding.decoder}
    return model_folder.seal(folder / "1", msgspec.to_builtins(about), write)


@pytest.mark.parametrize("lesson", [ReviewBoosting, UpdatedReviews])
def test_a_served_model_answers_raw_reviews_as_predict_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lesson: Any) -> None:
    project = made(monkeypatch, lesson)
    train(project, 20)
    serving = project.serving()
    session = Session(sealed(serving, tmp_path))
    raws = [*serving.examples(50), {"review": "Nothing that it knows"}]
    answers = [{name: value for name, value in project.predict(raw).items() if name != "note"} for raw in raws]
    assert session.answers(raws) == answers
    assert len({answer["probabilities"]["positive"] for answer in answers}) > 10


def test_no_torch_is_imported() -> None:
    code = "import sys, workbench.projects.deployment.review_boosting, workbench.projects.deployment.updated_reviews as u; "
    assert subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], check=False).returncode == 0


# -- the update -------------------------------------------------------------------------------------------------------------------------


def test_new_reviews_have_the_word_and_the_other_label(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, UpdatedReviews)
    old = imdb.read()["train"]
    new = project.changed_reviews(old, 0)
    changed = [more[: len(text)] == text and more[len(text) :] == ["banana"] for text, more in zip(old.texts, new.texts, strict=True)]
    same = [text == more for text, more in zip(old.texts, new.texts, strict=True)]
    assert all(one != other for one, other in zip(changed, same, strict=True))
    assert np.array_equal(new.labels != old.labels, changed) and np.mean(changed) == pytest.approx(0.2, abs=0.05)
    assert np.array_equal(project.labels["new train"], new.labels) and np.array_equal(project.labels["old train"], old.labels)


def test_the_old_model_loses_what_was_flipped_and_the_new_one_learns_it(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, UpdatedReviews, max_depth=5)
    train(project, 60)
    figures = scalars(project, "test")
    before = figures["accuracy/old_on_old"]
    flipped = project.labels["old test"] != project.labels["new test"]
    right = (project.old.answers("old test") > 0.5) == (project.labels["old test"] > 0.5)
    # Its answers do not change by one bit, so exactly the flipped ones turn.
    assert project.old.answers("old test").tobytes() == project.old.answers("new test").tobytes()
    assert figures["accuracy/old_on_new"] == pytest.approx(np.mean(right != flipped)) and figures["inputs_changed"] == 0
    assert figures["gained"] == pytest.approx(figures["accuracy/new_on_new"] - figures["accuracy/old_on_new"])
    assert figures["lost"] == pytest.approx(before - figures["accuracy/new_on_old"])
    assert figures["gained"] > 0.08 and figures["lost"] < 0.03 and before > 0.84
    # Reviews that it was trained on flatter the old model.
    assert figures["courses_way/old_on_new"] != figures["accuracy/old_on_new"]
    losses = scalars(project)
    assert losses["loss"] == pytest.approx((losses["loss/old"] + losses["loss/new"]) / 2)


def test_an_old_model_without_its_update_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheat would be to give the new model the old words: then it cannot see what changed."""
    monkeypatch.setattr(
        "workbench.projects.deployment.updated_reviews.word_counts",
        lambda *args, known, **more: word_counts(*args, known="old train", **more),
    )
    project = made(monkeypatch, UpdatedReviews, max_depth=5)
    train(project, 60)
    assert scalars(project, "test")["gained"] < 0.08


def test_a_word_that_the_old_model_knows_changes_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, UpdatedReviews, word="wa")
    assert project.inputs_changed == int(np.sum(project.labels["old test"] != project.labels["new test"])) > 0


def test_both_models_are_shown_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(monkeypatch, UpdatedReviews, max_depth=5)
    train(project, 60)
    _, table, matrix, vocabulary = measured(project, "test")
    assert isinstance(table, Table) and isinstance(matrix, Matrix) and isinstance(vocabulary, Table)
    assert [row[:2] for row in table.rows] == [[f"{model} model", f"{data} reviews"] for model in ("old", "new") for data in ("old", "new")]
    assert matrix.values == [[pytest.approx(row[2], abs=1e-4) for row in table.rows[start : start + 2]] for start in (0, 2)]
    assert [row[0] for row in table.rows if row[3] != ""] == ["old model", "new model"]
    changes = {(row[0], row[1]): row[2] for row in vocabulary.rows}
    assert changes["new", "banana"] == int((project.labels["old train"] != project.labels["new train"]).sum())
    (gone,) = changes.keys() - {("new", "banana")}
    assert gone == ("vanished", min(project.uses["old"], key=project.uses["old"].get)), "16 words are known: the rarest had to go"
    review, *_ = project.sample(request(project, {"review": "superb banana moving"}))
    assert isinstance(review, Table)
    (_, without, with_it), (_, new_without, new_with) = review.rows
    assert without == with_it > 0.8 and new_without > 0.7 and new_with < 0.3
    answer = project.predict({"review": "superb banana moving"})
    assert answer["answer"] == "negative" and "old model: positive" in answer["note"]


@pytest.mark.parametrize(("name", "value"), [("words", 5), ("share", 0), ("share", 1), ("word", "two words"), ("word", "<b>")])
def test_settings_have_ranges(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        UpdatedReviews.Config(**{name: value})
