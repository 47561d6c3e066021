"""The sentiment network's steps: sparse is dense and faster, the filter's counts, no test review in the words, learning, typed reviews."""

import math
import time
from typing import Any

import numpy as np
import pytest
from exploring import asked
from stepping import measured, train

from workbench.datasets import review_lines
from workbench.events import Scalars, Scatter, Table
from workbench.problems import Problem
from workbench.projects.neural_networks.sentiment_network import SentimentNetwork
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train

SPARSE = "sentiment-network-sparse"


def lines(count: int, different: int = 0, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Reviews that one word of two decides, with empty tokens and full stops; `different` rare words beside them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count).astype(float)
    texts = []
    for place, label in enumerate(labels):
        words = [
            *rng.choice(["film", "plot", "actor", "scene", "the", "", "."], 12),
            str(rng.choice([["bad", "dull"], ["good", "fine"]][int(label)])),
        ]
        words += [f"w{number}" for number in range(place * different // count, (place + 1) * different // count)]
        texts.append(" ".join(rng.permutation(words)))
    return texts, labels


def built(monkeypatch: pytest.MonkeyPatch, reviews: tuple[list[str], np.ndarray], test: int = 100, **config: Any) -> SentimentNetwork:
    monkeypatch.setattr(review_lines, "TEST", test)
    monkeypatch.setattr(review_lines, "read", lambda: reviews)
    project = SentimentNetwork(SentimentNetwork.Config(**config), Train(batch_size=1), Compute(device="cpu"), 1)
    project.build()
    return project


def accuracy(project: SentimentNetwork) -> float:
    return next(event.values["accuracy"] for event in measured(project, "test") if isinstance(event, Scalars))


@pytest.mark.parametrize("inputs", ["presence", "counts"])
def test_dense_and_sparse_end_with_the_same_bits(monkeypatch: pytest.MonkeyPatch, inputs: str) -> None:
    dense, sparse = (built(monkeypatch, lines(400), inputs=inputs, sparse=sparse, learning_rate=0.05) for sparse in (False, True))
    for project in (dense, sparse):
        train(project, 300)
    # 1e-10 would be enough here; over 24,000 reviews at a rate of 0.1 a difference in the last bit grows to 0.1.
    assert np.array_equal(dense.first, sparse.first) and np.array_equal(dense.second, sparse.second)
    assert np.abs(dense.first).max() > 0.1


def test_sparse_is_at_least_five_times_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    reviews = lines(200, different=40_000)
    took = {}
    for sparse in (False, True):
        project = built(monkeypatch, reviews, sparse=sparse)
        began = time.process_time()
        train(project, 60)
        took[sparse] = time.process_time() - began
    assert took[False] > 5 * took[True]


def test_a_step_goes_down_the_gradient_of_half_the_squared_error(monkeypatch: pytest.MonkeyPatch) -> None:
    project = built(monkeypatch, lines(200), inputs="counts", sparse=True, learning_rate=1e-4)
    train(project, 50)
    review, label = project.reviews[50], project.labels[50]
    before = project.state()
    places = review[0][:3]

    def loss() -> float:
        return (project.positive(review) - label) ** 2 / 2

    slopes = []
    for array, index in [*((project.first, (place, 2)) for place in places), (project.second, (2,))]:
        ends = []
        for move in (1e-5, -1e-5):
            array[index] += move
            ends.append(loss())
            array[index] -= move
        slopes.append((ends[0] - ends[1]) / 2e-5)
    expected = loss()
    assert project.train_step((np.array([50]), np.array([label])))["loss"] == pytest.approx(expected)
    steps = [*(before["first"][places, 2] - project.first[places, 2]), before["second"][2] - project.second[2]]
    assert np.array(steps) / 1e-4 == pytest.approx(slopes, rel=1e-6)


def test_all_weights_of_words_lie_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """From zeros and without an activation, ten hidden units are one: the map shows something else."""
    project = trained(monkeypatch, lines(700))
    sizes = np.linalg.svd(project.first, compute_uv=False)
    assert sizes[0] > 1 and sizes[1] < 1e-12 * sizes[0]
    dots = asked(SPARSE, project)["map of words"]
    effects = dict(zip(project.words, project.first @ project.second, strict=True))
    assert sorted(dots.x) == pytest.approx(sorted(effects.values())) and max(dots.y) == pytest.approx(np.log10(project.counts.sum(1).max()))


def one_sided(words: int = 60, reviews: int = 500) -> tuple[list[str], np.ndarray]:
    """Reviews of words each of which stands in so large a share of positive ones."""
    rng = np.random.default_rng(5)
    shares, labels = np.linspace(0.05, 0.95, words), rng.integers(0, 2, reviews).astype(float)
    texts = []
    for label in labels:
        odds = shares if label else 1 - shares
        texts.append(" ".join(f"w{place}" for place in rng.choice(words, 25, p=odds / odds.sum())))
    return texts, labels


def test_the_histogram_counts_every_weight_once(monkeypatch: pytest.MonkeyPatch) -> None:
    project = trained(monkeypatch, lines(700))
    curve = asked(SPARSE, project)["weights"]
    numbers = 10 ** np.array(curve.y) - 1
    assert numbers.sum() == pytest.approx(project.first.size)
    width = curve.x[1] - curve.x[0]
    for middle, number in zip(curve.x[1:-1], numbers[1:-1], strict=True):
        assert round(number) == ((project.first >= middle - width / 2) & (project.first < middle + width / 2)).sum()
    assert max(curve.x) + width / 2 == pytest.approx(np.abs(project.first).max())
    untrained = built(monkeypatch, lines(200))
    zeros = asked(SPARSE, untrained)["weights"]
    assert max(10 ** np.array(zeros.y) - 1) == pytest.approx(untrained.first.size), "before the first step all are 0"


def test_t_sne_puts_words_of_equal_weights_together_on_request_alone_and_moves_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    project = built(monkeypatch, one_sided(), sparse=True, learning_rate=0.02)
    train(project, 400)
    assert "t-SNE of words" not in asked(SPARSE, project)
    before, drawn = project.state(), np.random.get_state()[1].copy()
    points = asked(SPARSE, project, tsne=True)["t-SNE of words"]
    assert all(np.array_equal(before[name], value) for name, value in project.state().items())
    assert np.array_equal(np.random.get_state()[1], drawn)
    assert (points.x, points.y) == ((again := asked(SPARSE, project, tsne=True)["t-SNE of words"]).x, again.y)
    # All 60 words are rated, so they stand in the order of the vocabulary.
    effects = project.first @ project.second
    places = np.stack([points.x, points.y], 1)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(60, np.inf))
    gaps = np.abs(effects - effects[distances.argmin(1)])
    assert gaps.mean() < 0.2 * np.abs(effects[:, None] - effects[None]).mean()
    kinds = {"more in positive reviews": effects > 0, "more in negative reviews": effects <= 0}
    assert np.mean([kinds[label][place] for place, label in enumerate(points.labels)]) > 0.9
    with pytest.raises(Problem, match=r"tsne: 0 words of the network have 50 uses, where 10"):
        asked(SPARSE, built(monkeypatch, lines(120)), tsne=True)


def test_it_learns_what_tells_and_nothing_from_shuffled_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = lines(700)
    assert accuracy(trained(monkeypatch, (texts, labels))) > 0.97
    shuffled = np.concatenate([np.random.default_rng(3).permutation(labels[:600]), labels[600:]])
    assert 0.3 < accuracy(trained(monkeypatch, (texts, shuffled))) < 0.7


def trained(monkeypatch: pytest.MonkeyPatch, reviews: tuple[list[str], np.ndarray]) -> SentimentNetwork:
    project = built(monkeypatch, reviews, sparse=True, learning_rate=0.1)
    train(project, 600)
    return project


def test_the_test_reviews_choose_no_word_and_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = lines(300)
    texts[-1] += " unseen"
    project = built(monkeypatch, (texts, labels), sparse=True)
    assert "unseen" not in project.number
    other = built(monkeypatch, (texts, np.concatenate([labels[:-100], 1 - labels[-100:]])), sparse=True)
    assert np.array_equal(project.counts, other.counts)
    assert all(batch[0].max() < 200 for batch in project.batches(0, np.random.default_rng(0)))


def test_accuracy_so_far_is_counted_before_each_update(monkeypatch: pytest.MonkeyPatch) -> None:
    project = built(monkeypatch, lines(200), sparse=True)
    right = 0
    for number in range(1, 60):
        answer = project.positive(project.reviews[number - 1]) >= 0.5
        right += int(answer == project.labels[number - 1])
        values = project.train_step((np.array([number - 1]), project.labels[[number - 1]]))
        assert values["accuracy/so_far"] == right / number


def test_measuring_the_speed_leaves_the_weights_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    project = built(monkeypatch, lines(200), sparse=True)
    train(project, 30)
    before = project.state()
    scalars, result = measured(project, "test")
    assert isinstance(scalars, Scalars) and scalars.values["reviews_per_second"] > 0 and isinstance(result, Table)
    after = project.state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_the_first_step_begins_with_the_course_s_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    project = built(monkeypatch, lines(200))
    assert not project.first.any() and project.second[:2] == pytest.approx([1.62434536, -0.61175641])
    assert project.positive(project.reviews[0]) == 0.5


def test_a_typed_review_s_shares_add_up_and_unknown_words_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    project = trained(monkeypatch, lines(700))
    answer = asked(SPARSE, project, review="GOOD film, good plot; zzz!", word="good")
    rows = answer["review"].rows
    log_odds = sum(value for name, value in rows[1:] if value != "unknown")
    assert rows[0][1] == pytest.approx(1 / (1 + math.exp(-log_odds)), abs=1e-4) and rows[0][1] > 0.8
    assert rows[1][0] == "good" and rows[-1] == ["zzz", "unknown"]
    near = answer["neighbours"].rows
    assert {near[0][0], near[1][0]} == {"good", "fine"} and {near[0][2], near[1][2]} == {"bad", "dull"}
    assert isinstance(answer["map of words"], Scatter) and len(answer["map of words"].x) == len(project.words)
    assert asked(SPARSE, project, review="zzz yyy")["review"].rows[0] == ["positive, probability", 0.5]
    assert asked(SPARSE, project, word="zzz")["neighbours"].rows == [["zzz", "unknown", "", ""]]
    assert project.predict({"review": "zzz"})["probabilities"] == {"negative": 0.5, "positive": 0.5}
    assert project.predict({"review": "a dull, dull film"})["answer"] == "negative"
    for wrong in (None, {}, {"review": ""}, {"review": 3}):
        with pytest.raises(Problem, match="no review"):
            project.predict(wrong)


def test_a_filter_that_leaves_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Problem, match="leave no word"):
        built(monkeypatch, lines(200), min_count=100_000)


def test_files_that_do_not_belong_together_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    reviews, labels = tmp_path / "reviews", tmp_path / "labels"
    monkeypatch.setattr(review_lines, "fetch", lambda name: {"reviews": reviews, "labels": labels})
    reviews.write_text("good\n" * 1_001)
    for text, says in [("positive\n" * 1_000, "1,001 reviews and 1,000 labels"), ("positive\n" * 1_000 + "p\x1b[2J\n", "label is 'p'")]:
        labels.write_text(text)
        with pytest.raises(Problem, match=says):
            review_lines.read()


def test_the_recipes_are_the_course_s_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = {
        name: load_recipe(find_recipe(f"sentiment-network-{name}")).recipe for name in ("counts", "presence", "sparse", "filtered", "fast")
    }
    assert all((recipe.train.epochs, recipe.train.batch_size, recipe.seed) == (1, 1, 1) for recipe in recipes.values())
    presence, sparse = recipes["presence"].config, recipes["sparse"].config
    assert {**presence, "sparse": True} == sparse and recipes["counts"].config["inputs"] == "counts"
    assert [recipes[name].config["polarity"] for name in ("filtered", "fast")] == [0.05, 0.8]
