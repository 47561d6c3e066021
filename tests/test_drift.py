"""Drift: what is found, what must stay quiet, on real reviews and on numbers with a known shift; and what a model cannot see at all."""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.datasets import imdb
from workbench.encoding import baseline, model_folder
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import BagOfWords, Binary, Column, Number, RowOfNumbers
from workbench.serving import drift
from workbench.serving.observing import Observer

WINDOW = drift.WINDOW
read_once = cache(imdb.read)


def sealed(folder: Path, coding: Coding, before: baseline.Baseline) -> model_folder.ModelFolder:
    import msgspec

    def write(place: Path) -> None:
        (place / "recipe.yaml").write_text("title: made\n")
        (place / "baseline.json").write_bytes(msgspec.json.encode(before))
        (place / "labels.txt").write_bytes(model_folder.lines(list(coding.labels)))
        (place / "vocabulary.txt").write_bytes(model_folder.lines(list(coding.vocabulary)))

    about = {"name": "made", "version": 1, "kind": "project", "encoder": coding.encoder, "decoder": coding.decoder}
    return model_folder.seal(folder / "made" / "1", about, write)


def rows(values: np.ndarray) -> list[dict[str, Any]]:
    return [{"row": {"age": float(age), "height": float(height)}} for age, height in values]


def shown(observer: Observer, coding: Coding, raws: list[Any], answer: Any) -> list[str]:
    items = [coding.encode(raw) for raw in raws]
    observer.saw([(raw, item, answer(item.array)) for raw, item in zip(raws, items, strict=True)])
    return observer.report()["alarms"]


def test_one_standard_deviation_in_one_column_is_found_and_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = [Column(name="age", mean=40, scale=10), Column(name="height", mean=170, scale=8)]
    coding = Coding(RowOfNumbers(columns=columns), Number())
    draw = lambda count: rng.normal([40, 170], [10, 8], (count, 2))  # noqa: E731

    def answer(array: np.ndarray) -> dict[str, float]:
        return {"answer": float(array.sum())}

    before = rows(draw(2000))
    known = baseline.of(coding, before, [answer(coding.encode(raw).array) for raw in before])
    observer = Observer(sealed(tmp_path, coding, known), per_second=1e9)
    assert shown(observer, coding, rows(draw(WINDOW)), answer) == []
    (alarm, *others) = shown(observer, coding, rows(draw(WINDOW) + np.array([10, 0])), answer)
    assert alarm.startswith("age: mean 39.76") and "→ 50." in alarm and "PSI" in alarm
    assert all(text.startswith("score") for text in others)
    since = observer.report()["rows"][0][-1]
    assert since
    # A window that is as before clears it.
    assert shown(observer, coding, rows(draw(WINDOW)), answer) == []
    assert observer.since == {}


def test_numbers_and_classes_of_the_same_source_stay_quiet() -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(size=2000)
    numbers = [drift.number("x", before, rng.normal(size=WINDOW), 3) for _ in range(300)]
    counts = dict(enumerate(rng.multinomial(2000, [0.5, 0.3, 0.1995, 0.0005])))
    named = {str(key): int(value) for key, value in counts.items()}
    answers = [Counter(map(str, rng.choice(4, WINDOW, p=[0.5, 0.3, 0.1995, 0.0005]))) for _ in range(300)]
    classes = [drift.classes("answer", named, window, 3) for window in answers]
    assert sum(finding.level == "alarm" for finding in (*numbers, *classes)) <= 3
    # Both halves are needed: significance alone would raise alarms at differences that do not matter.
    large = drift.number("x", rng.normal(size=200_000), rng.normal(0.1, 1, 200_000), 3)
    assert large.p < 1e-9 and large.level == ""
    moved = drift.classes("answer", {"no": 1000, "yes": 1000}, {"no": 100, "yes": 400}, 3)
    assert moved.level == "alarm" and moved.before == pytest.approx(0.5) and moved.now in (pytest.approx(0.2), pytest.approx(0.8))


def test_labels_that_come_later_are_judged_by_the_tested_accuracy() -> None:
    rng = np.random.default_rng(2)
    false = 0
    for _ in range(100):
        labels = drift.Labels(860, 1000)
        for right in rng.random(WINDOW) < 0.86:
            labels.add(bool(right))
        judged = labels.judged()
        assert judged
        false += judged.level == "alarm"
    assert false <= 1
    labels = drift.Labels(860, 1000)
    for right in rng.random(200) < 0.86 * 0.8 + 0.14 * 0.2:
        labels.add(bool(right))
    judged = labels.judged()
    assert judged and judged.level == "alarm"
    low, high = labels.interval()
    assert low < judged.now < high and high - low < 0.15
    assert drift.Labels(0, 0, [True]).judged() is None


@pytest.fixture
def reviews(mirror: Path) -> dict[str, imdb.Reviews]:
    return read_once()


def test_the_word_of_the_course_is_seen_before_the_vocabulary_and_nowhere_else(
    reviews: dict[str, imdb.Reviews], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = [text for part in reviews.values() for text in part.texts]
    counts = Counter(word for text in every for word in text)
    assert 25 <= counts["banana"] <= 31, "the training part lost copies of other reviews"
    vocabulary = ["", *(word for word, _ in Counter(word for text in reviews["train"].texts for word in text).most_common(5000))]
    assert "banana" not in vocabulary
    coding = Coding(BagOfWords(), Binary(of="probability"), ["negative", "positive"], vocabulary)
    positive = ("great", "wonderful", "excellent", "love")

    def answer(array: np.ndarray) -> dict[str, Any]:
        chance = 1 / (1 + np.exp(-sum(array[coding.number[word]] for word in positive) + 0.5))
        return {"answer": coding.labels[int(chance > 0.5)], "probabilities": {"negative": 1 - chance, "positive": chance}}

    test = [" ".join(text) for text in reviews["test"].texts]
    known = baseline.of(coding, test, [answer(coding.encode(text).array) for text in test])
    observer = Observer(sealed(tmp_path, coding, known), per_second=1e9)
    rng = np.random.default_rng(3)
    chosen = rng.choice(20_000 - 100, 2 * WINDOW, replace=False)
    texts = [" ".join(reviews["train"].texts[place]) for place in chosen]
    assert shown(observer, coding, texts[:WINDOW], answer) == []

    with_word = [text + " banana" if rng.random() < 0.2 else text for text in texts[WINDOW:]]
    same = [
        np.array_equal(coding.encode(text).array, coding.encode(other).array) for text, other in zip(texts[WINDOW:], with_word, strict=True)
    ]
    assert all(same), "an alarm on the arrays would be a fake: they do not change by one bit"
    alarms = shown(observer, coding, with_word[:100], answer)
    assert [alarm.split(":")[0] for alarm in alarms] == ["banana"]
    alarms = shown(observer, coding, with_word[100:], answer)
    assert [alarm.split(":")[0] for alarm in alarms] == ["banana"], "inputs, outputs and class shares stay quiet"

    # The cheat: words after the vocabulary would see nothing.
    monkeypatch.setattr(baseline, "words_of", lambda coding, raw: set(imdb.words(raw)) & set(vocabulary))
    blind = Observer(sealed(tmp_path / "blind", coding, known), per_second=1e9)
    assert shown(blind, coding, with_word, answer) == []


def test_windows_of_held_out_reviews_raise_no_alarm(reviews: dict[str, imdb.Reviews]) -> None:
    test, train = ([set(text) for text in reviews[name].texts] for name in ("test", "train"))
    before = Counter(word for words in test for word in words)
    rng, alarms = np.random.default_rng(4), 0
    for _ in range(6):
        window = drift.Words(before, len(test))
        alarmed = False
        for place in rng.choice(len(train), WINDOW, replace=False):
            window.add(train[place])
            alarmed |= window.texts in drift.LOOKS and bool(window.more())
        alarms += alarmed
    assert alarms == 0


def test_what_is_counted_is_bounded() -> None:
    words = drift.Words({}, 1)
    for start in range(0, 3 * drift.MOST_WORDS, 10_000):
        words.add({f"w{number}" for number in range(start, start + 10_000)})
    assert len(words.counts) <= drift.MOST_WORDS + 10_000
