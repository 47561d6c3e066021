"""The deployed sentiment model answers at its endpoint what it answers here, also to words that no training review has."""

from typing import Any

import numpy as np
import pytest
import torch

from workbench.datasets import imdb
from workbench.projects.deployment.sentiment_deployed import SentimentDeployed
from workbench.recipes.recipe import Compute, Train

SIZES = {"train": 200, "valid": 40, "set_aside": 40, "test": 40}


def reviews(count: int, seed: int) -> imdb.Reviews:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count).astype(np.float32)
    words = [["bad", "dull"], ["good", "fine"]]
    return imdb.Reviews([[*rng.choice(["film", "plot", "the"], 6), str(rng.choice(words[int(label)]))] for label in labels], labels)


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Any:
    parts = {name: reviews(count, place) for place, (name, count) in enumerate(SIZES.items())}
    monkeypatch.setattr(imdb, "read", lambda: parts)
    config = SentimentDeployed.Config(length=12, embedding=8, hidden=8, vocabulary=20)
    lesson = SentimentDeployed(config, Train(batch_size=50), Compute(device="cpu", threads=1), 1)
    lesson.build()
    return lesson


@pytest.mark.parametrize(
    "text", ["a fine film", "zebra a quagga okapi good film xylophone", "zebra", "the plot " * 20, "zebra fine " * 120]
)
def test_it_answers_here_what_its_endpoint_answers(project: Any, text: str) -> None:
    serving, raw = project.serving(), {"review": text}
    with project.evaluating(), torch.no_grad():
        item = serving.coding.encode(raw)
        output = serving.graph(torch.from_numpy(serving.coding.batch([item])))
        served = serving.coding.decode(output.numpy()[0])
        for asked in (project.predict(raw), project.first_answer(raw)):
            assert asked["answer"] == served["answer"]
            assert asked["probabilities"]["positive"] == pytest.approx(served["probabilities"]["positive"], abs=1e-6)


def test_what_leaving_out_a_word_does(project: Any) -> None:
    with project.evaluating():
        whole = project.predict({"review": "zebra the dull film"})
        without = {name: project.predict({"review": text}) for name, text in (("dull", "zebra the film"), ("film", "zebra the dull"))}
    changes = {row["word"]: row["difference"] for row in whole["words"]}
    assert set(changes) == {"the", "dull", "film"}, "a word that the network has no code of its own for is not left out"
    for word, answer in without.items():
        expected = answer["probabilities"]["positive"] - whole["probabilities"]["positive"]
        assert changes[word] == pytest.approx(expected, abs=1e-6)
