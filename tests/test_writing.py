"""Texts that a served language model writes: the loop around its step; and reviews in pairs of words, as their lesson numbers them."""

from typing import Any

import numpy as np
import pytest
import torch

from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Binary, NextToken, TextCodes
from workbench.encoding.writing import draw, written
from workbench.problems import Problem
from workbench.torchkit.ngrams import Grams, Vocabulary
from workbench.torchkit.review_networks import MeanOfVectors, bag
from workbench.torchkit.review_serving import MeanOfCodes, named_grams

LETTERS = ["", *"abc"]
CODING = Coding(TextCodes(tokens="characters"), NextToken(states={"memory": [1]}, most=20, length=6), vocabulary=LETTERS)


def alphabet(codes: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """After a letter comes the next one, c before a; the state counts the letters."""
    logits = np.full((1, 3), -5.0, np.float32)
    logits[0, codes[0, -1] % 3] = 5.0
    return logits, [state[0] + codes.shape[1]]


def test_a_text_is_written_on_from_its_prompt() -> None:
    assert written(CODING, {"prompt": "ab", "temperature": 0}, alphabet)["answer"] == "abcabcab"
    assert written(CODING, "b", alphabet) == written(CODING, {"prompt": "b"}, alphabet)
    answer = written(CODING, {"prompt": "a", "length": 1, "temperature": 0}, alphabet)
    assert answer["answer"] == "ab" and next(iter(answer["next"])) == "b" and sum(answer["next"].values()) == pytest.approx(1)


def test_the_state_goes_from_step_to_step() -> None:
    counts: list[float] = []

    def counting(codes: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        counts.append(float(state[0][0, 0]))
        return alphabet(codes, state)

    written(CODING, {"prompt": "abc", "length": 4}, counting)
    # Three letters of the prompt, then all that are drawn but the last, which nothing follows.
    assert counts == [0, 1, 2, 3, 4, 5]


def test_without_a_state_the_last_tokens_are_given() -> None:
    coding = Coding(CODING.encoder, NextToken(window=2, before=[3], length=3, temperature=0), vocabulary=LETTERS)
    given: list[list[int]] = []

    def windowed(codes: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        given.append(codes[0].tolist())
        return alphabet(codes, [np.zeros(1)])[0], []

    assert written(coding, {"prompt": "a"}, windowed)["answer"] == "abca"
    assert given == [[3, 1], [1, 2], [2, 3]]


def test_one_seed_draws_one_text_and_shares_are_kept() -> None:
    def even(codes: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        return np.zeros((1, 3), np.float32), state

    texts = [written(CODING, {"prompt": "a", "length": 20, "seed": seed}, even)["answer"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    logits, random = np.log(np.array([0.5, 0.3, 0.2])), np.random.default_rng(0)
    counts = np.bincount([draw(logits, 1.0, 0, random) for _ in range(4000)], minlength=3)
    assert np.abs(counts / 4000 - [0.5, 0.3, 0.2]).max() < 0.03
    counts = np.bincount([draw(logits, 1.0, 2, random) for _ in range(4000)], minlength=3)
    assert np.abs(counts / 4000 - [0.625, 0.375, 0]).max() < 0.03
    assert {draw(logits, 0.0, 0, random) for _ in range(9)} == {0}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"prompt": ""}, "no prompt"),
        ({}, "no prompt"),
        ({"prompt": "abz"}, "never has 'z'"),
        ({"prompt": "a", "length": 21}, "length is a whole number from 1 to 20"),
        ({"prompt": "a", "length": 1.5}, "length is a whole number"),
        ({"prompt": "a", "temperature": float("nan")}, "temperature is a number from 0 to 10"),
        ({"prompt": "a", "top_k": True}, "top_k is a whole number"),
        ({"prompt": "a", "lenght": 3}, "no 'lenght'"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(request_: Any, says: str) -> None:
    with pytest.raises(Problem, match=says):
        written(CODING, request_, alphabet)


# -- reviews in pairs -------------------------------------------------------------------------------------------------------------------


def made() -> tuple[Vocabulary, Grams, Coding]:
    random = np.random.default_rng(0)
    words = [a + b for a in "bcdfghklm" for b in "aeiou"]
    texts = [[str(word) for word in random.choice(words, 30)] for _ in range(40)] + [["rare", *words[:5]]]
    vocabulary = Vocabulary(texts)
    grams = Grams([vocabulary.ids(text) for text in texts], len(vocabulary), longest=2)
    names = named_grams(grams, vocabulary.words)
    rare = [word for word in vocabulary.words if word not in set(names)]
    assert "rare" in rare
    encoder = TextCodes(tokens="review words and pairs", last=len(names))
    return vocabulary, grams, Coding(encoder, Binary(), ["negative", "positive"], ["", *names, *rare])


def test_pairs_have_the_numbers_of_their_lesson() -> None:
    vocabulary, grams, coding = made()
    random = np.random.default_rng(1)
    # "zzz" is unknown and parts nobody; "rare" is known, no feature, and parts its neighbours.
    words = [*vocabulary.words, "zzz", "rare", "zzz", "rare"]
    for _ in range(60):
        text = [str(word) for word in random.choice(words, 40)]
        expected = grams.of(vocabulary.ids(text))
        assert coding.encode({"review": " ".join(text)}).array.tolist() == (expected + 1).tolist() and len(expected) > 20


def test_the_mean_of_codes_is_that_of_the_bag() -> None:
    vocabulary, grams, coding = made()
    torch.manual_seed(0)
    network = MeanOfVectors(len(grams), 6, 0.3).eval()
    random = np.random.default_rng(2)
    texts = [[str(word) for word in random.choice(vocabulary.words, count)] for count in (1, 5, 60)]
    reviews = [grams.of(vocabulary.ids(text)) for text in texts]
    batch = coding.batch([coding.encode({"review": " ".join(text)}) for text in texts])
    with torch.no_grad():
        expected, got = network(*bag(reviews)), MeanOfCodes(network)(torch.from_numpy(batch))
    assert torch.allclose(expected, got, atol=1e-6) and len(set(expected.tolist())) == 3


def test_encoded_codes_are_looked_at() -> None:
    _, grams, coding = made()
    assert coding.encode([1, 5, 2]).array.tolist() == [1, 5, 2]
    for codes, says in {(len(grams) + 1,): "knows 0 to", (1.5,): "whole number", (-1,): "whole number", (): "is empty"}.items():
        with pytest.raises(Problem, match=says):
            coding.encode(list(codes))
