"""Running text for word vectors: the film reviews and the part of Wikipedia have the counted words; the files of the two usual tests."""

from pathlib import Path

import numpy as np
import pytest

from workbench.datasets import running_words, word_tests
from workbench.problems import Problem
from workbench.projects.recurrent_networks.word2vec import keep_shares


def test_rare_words_are_left_out_and_texts_stay_apart() -> None:
    data = running_words.corpus([["b", "a", "x", "a"], [], ["a", "b", "c"], ["y"]], 2, "")
    assert data.words == ["a", "b"] and data.counts.tolist() == [3, 2] and data.found == 8
    assert data.codes.tolist() == [1, 0, 0, 0, 1] and data.lengths.tolist() == [3, 0, 2, 0]
    with pytest.raises(Problem, match="1 words with 3 uses and more, where 2 are needed"):
        running_words.corpus([["a", "a", "a", "b"]], 3, "")


def test_a_file_of_one_s_own_has_a_text_between_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text("The cat's\nmat, 2 mats.\n \nÉté été!\n")
    data = running_words.read("./my.txt", tmp_path, 1)
    assert data.words == ["été", "the", "cat", "s", "mat", "mats"]
    assert data.lengths.tolist() == [5, 2] and data.variant == "my.txt"


def test_the_film_reviews_have_these_words(mirror: Path) -> None:
    data = running_words.read("imdb", Path(), 6)
    # 6,020,196, 26,223 and 5,932,299 with the `br` that line breaks left 101,872 times, which is no word.
    line_breaks = 101_872
    assert (data.found + line_breaks, len(data.words) + 1, len(data.codes) + line_breaks) == (6_020_196, 26_223, 5_932_299)
    assert [int(data.counts[data.index[word]]) for word in ("nurse", "secretary", "engineer")] == [125, 138, 43]
    assert "homemaker" not in data.index and data.variant
    with_breaks = np.append(data.counts, line_breaks)
    for threshold, millions in ((1e-5, 1.26), (1e-4, 2.48), (1e-3, 3.96)):
        assert (keep_shares(with_breaks, threshold) * with_breaks).sum() == pytest.approx(millions * 1e6, abs=5e3)


def test_the_part_of_wikipedia_has_these_words(mirror: Path) -> None:
    data = running_words.read("wikitext2:part", Path(), 6)
    assert (data.found, len(data.words), len(data.codes)) == (455_097, 6_218, 433_738)


def test_the_files_of_the_tests_are_read() -> None:
    text = ": family\nFather mother Son daughter\n\n: gram1\nbad worse big bigger\nbad worse good better\n"
    assert word_tests.analogies(text) == {
        "family": [("father", "mother", "son", "daughter")],
        "gram1": [("bad", "worse", "big", "bigger"), ("bad", "worse", "good", "better")],
    }
    assert word_tests.pairs("# x\tq\nTiger\tcat\t7.35\n") == [("tiger", "cat", 7.35)]
    with pytest.raises(Problem, match="Line 2 of the analogies has 3 words, where 4 are right"):
        word_tests.analogies(": a\nb c d\n")
    with pytest.raises(Problem, match="Line 1 of the similarities is not two words and a number"):
        word_tests.pairs("tiger\tcat\tmuch\n")
