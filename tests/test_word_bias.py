"""Hard debiasing: the direction, what neutralising and equalising promise, and that a classifier still finds the sides."""

import numpy as np
import pytest

from workbench.torchkit import word_bias
from workbench.torchkit.word_relations import WordVectors

SIZE, EACH = 20, 60


def made() -> tuple[WordVectors, np.ndarray]:
    """Pairs that differ along the first number most, and words of two sides, which also stand in two groups away from it."""
    random = np.random.default_rng(0)
    words, rows = [], []
    for first, second in word_bias.PAIRS:
        middle, half = random.normal(size=SIZE) * 0.5, random.normal(size=SIZE) * 0.05
        half[0] = 0.6
        words += [first, second]
        rows += [middle + half, middle - half]
    for side in (1, -1):
        # The same words are used of one side: that is the second number.
        for number in range(EACH):
            words.append(f"{'left' if side < 0 else 'right'}{number}")
            rows.append(np.concatenate([[side * 0.8, side * 0.8], random.normal(size=SIZE - 2) * 0.5]))
    return WordVectors(words, np.array(rows)), np.full(len(words), 50)


def test_the_direction_is_the_first_component_of_the_pairs() -> None:
    from sklearn.decomposition import PCA

    vectors, _ = made()
    along = word_bias.direction(vectors)
    assert along is not None and np.linalg.norm(along) == pytest.approx(1)
    centred = []
    for pair in word_bias.PAIRS:
        both = vectors.unit[[vectors.index[word] for word in pair]]
        centred += list(both - both.mean(0))
    component = PCA(1).fit(np.array(centred)).components_[0]
    assert abs(component @ along) == pytest.approx(1, abs=1e-9)
    she, he = (vectors.unit[vectors.index[word]] @ along for word in ("she", "he"))
    assert she > he
    # One pair's difference alone is another direction.
    assert abs((vectors.unit[0] - vectors.unit[1]) @ along) / np.linalg.norm(vectors.unit[0] - vectors.unit[1]) < 0.9999
    assert word_bias.direction(WordVectors(["tree", "stone"], np.eye(2))) is None


def test_neutral_words_stand_across_and_pairs_equally_far_from_each_of_them() -> None:
    vectors, _ = made()
    along = word_bias.direction(vectors)
    assert along is not None
    fair = word_bias.debiased(vectors, along)
    neutral = np.array([word not in word_bias.SPECIFIC for word in vectors.words])
    assert neutral.sum() == 2 * EACH
    assert np.abs(vectors.unit[neutral] @ along).min() > 1e-6, "before, all of them lean"
    assert np.abs(fair.unit[neutral] @ along).max() <= 1e-6
    assert np.linalg.norm(fair.unit, axis=1) == pytest.approx(1)
    for first, second in word_bias.PAIRS:
        one, other = (fair.unit[neutral] @ fair.unit[fair.index[word]] for word in (first, second))
        assert one == pytest.approx(other, abs=1e-9)
        before = [vectors.unit[neutral] @ vectors.unit[vectors.index[word]] for word in (first, second)]
        assert np.abs(before[0] - before[1]).max() > 0.1
        assert fair.unit[fair.index[first]] @ along > 0 > fair.unit[fair.index[second]] @ along


def test_neutralising_alone_leaves_pairs_unequal_and_another_direction_leaves_words_leaning() -> None:
    vectors, _ = made()
    along = word_bias.direction(vectors)
    assert along is not None
    neutral = np.array([word not in word_bias.SPECIFIC for word in vectors.words])
    across = word_bias.neutralised(vectors.unit[neutral], along)
    she, he = (across @ vectors.unit[vectors.index[word]] for word in ("she", "he"))
    assert np.abs(she - he).max() > 1e-3
    other = np.roll(along, 1)
    assert np.abs(word_bias.debiased(vectors, other).unit[neutral] @ along).max() > 0.1


def test_analogies_lose_the_side_after_debiasing() -> None:
    vectors, _ = made()
    along = word_bias.direction(vectors)
    assert along is not None
    fair = word_bias.debiased(vectors, along)

    def lists(known: WordVectors, word: str) -> list[list[str]]:
        """Neutral words by their nearness to word - he + she, and to the word itself."""
        code, he, she = (known.index[name] for name in (word, "he", "she"))
        both = known.analogy(code, he, she, 200), known.neighbours(code, 200)
        return [[name for name, _ in near if name not in word_bias.SPECIFIC] for near in both]

    for number in range(8):
        moved, near = lists(vectors, f"left{number}")
        assert moved != near and len(near) == 2 * EACH - 1
        moved, near = lists(fair, f"left{number}")
        assert moved == near, "the way from he to she leads nowhere any more"


def test_a_classifier_still_recovers_the_sides_but_not_mixed_ones() -> None:
    vectors, counts = made()
    along = word_bias.direction(vectors)
    assert along is not None
    chosen, leans = word_bias.sides(vectors, along, counts)
    assert len(chosen) == 2 * EACH and all(
        vectors.words[code].startswith("right" if lean else "left") for code, lean in zip(chosen, leans, strict=True)
    )
    fair = word_bias.debiased(vectors, along)
    assert word_bias.recovered(vectors.unit[chosen], leans) == 1.0
    left = word_bias.recovered(fair.unit[chosen], leans)
    assert left is not None and left > 0.9
    mixed = word_bias.recovered(fair.unit[chosen], np.random.default_rng(0).permutation(leans))
    assert mixed is not None and mixed < 0.7
    # Where a side is nothing but the lean, nothing is left: then debiasing is enough.
    random = np.random.default_rng(1)
    alone = word_bias.neutralised(random.normal(size=(120, SIZE)), along)
    gone = word_bias.recovered(alone, np.arange(120) >= 60)
    assert gone is not None and gone < 0.7
    assert word_bias.recovered(vectors.unit[:4], leans[:4]) is None


def test_rare_words_and_words_about_a_sex_have_no_side() -> None:
    vectors, counts = made()
    along = word_bias.direction(vectors)
    assert along is not None
    counts[vectors.index["left0"]] = 19
    chosen, _ = word_bias.sides(vectors, along, counts)
    names = {vectors.words[code] for code in chosen}
    assert "left0" not in names and not names & word_bias.SPECIFIC
    assert word_bias.leans(vectors, along, ["she", "homemaker"])[1] is None
