"""The transformer that translates: its size and data, sentences that it learns, a resume, and what it answers to a typed sentence."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built
from stepping import measured, train

from workbench.datasets import sentence_pairs
from workbench.datasets.sentence_pairs import Pair, SentencePairs
from workbench.events import Scalars
from workbench.problems import Problem
from workbench.projects.recurrent_networks.translation_transformer import TranslationTransformer
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.torchkit.sequence_pairs import UNKNOWN
from workbench.training.loop import Loop

pytest.importorskip("sacrebleu")
NAME = "translation-transformer"
SMALL = {"size": 32, "heads": 2, "layers": 1, "hidden": 64, "dropout": 0.0, "label_smoothing": 0.0, "learning_rate": 0.005, "clip": 1.0}
ADJECTIVES = {"big": "grand", "red": "rouge", "old": "vieux"}
NOUNS = {"dog": "chien", "man": "homme", "girl": "fille", "cat": "chat"}


@pytest.fixture
def sentences(monkeypatch: pytest.MonkeyPatch) -> SentencePairs:
    """Sentences of five words; in the made French an adjective comes behind its noun."""
    pairs = [
        Pair(
            f"{one} {noun} sees {other} {thing}.".capitalize(),
            (f"{NOUNS[noun]} {ADJECTIVES[one]} voit {NOUNS[thing]} {ADJECTIVES[other]}.".capitalize(),),
        )
        for one, noun, other, thing in product(ADJECTIVES, NOUNS, ADJECTIVES, NOUNS)
    ]
    pairs = [pairs[place] for place in np.random.default_rng(0).permutation(len(pairs)).tolist()]
    data = SentencePairs({"train": pairs[:112], "valid": pairs[112:128], "test": pairs[128:]}, "made")
    monkeypatch.setattr(sentence_pairs, "read", lambda name: data)
    return data


def small(**config: Any) -> TranslationTransformer:
    settings = TranslationTransformer.Config(**{**SMALL, **config})
    project = TranslationTransformer(settings, Train(batch_size=16), Compute(device="cpu", threads=1), 1)
    project.build()
    return project


def figures(project: TranslationTransformer, split: str = "valid") -> dict[str, float]:
    return {name: value for event in measured(project, split) if isinstance(event, Scalars) for name, value in event.values.items()}


def test_the_recipe_s_network_and_its_data(mirror: Any) -> None:
    project: Any = built(NAME)
    words = len(project.english) + len(project.french)
    size, hidden = 256, 1024
    attention, forward, norm = 4 * size**2 + 4 * size, 2 * size * hidden + hidden + size, 2 * size
    layers = 4 * (attention + forward + 2 * norm) + 4 * (2 * attention + forward + 3 * norm)
    assert sum(part.numel() for part in project.network.parameters()) == words * size + layers + 2 * norm
    assert {part: len(pairs) for part, pairs in project.parts.items()} == {"train": 29_000, "valid": 1_014, "test": 1_000}
    assert "in place of the course's small vocabulary" in project.variant
    assert load_recipe(find_recipe(NAME)).recipe.compute.precision == "bfloat16"


def test_it_learns_to_translate_and_nothing_from_shuffled_targets(sentences: SentencePairs) -> None:
    learnt, misled = small(), small()
    misled.targets = [misled.targets[place] for place in np.random.default_rng(0).permutation(len(misled.targets)).tolist()]
    assert figures(learnt)["loss"] > np.log(len(learnt.french))
    for project in (learnt, misled):
        train(project, 90)
    right, wrong = figures(learnt, "test"), figures(misled)
    assert right["bleu"] > 80 and right["loss"] < 0.2 and right["bleu/beam_5"] > 80
    assert right["bleu/copied"] < 10 and right["bleu/nearest"] < right["bleu"]
    assert wrong["bleu"] < 40 and wrong["loss"] > 0.5
    with learnt.evaluating():
        answer = learnt.predict({"sentence": "Big dog sees red girl.", "beam": 3})
    assert answer == {"answer": "Chien grand voit fille rouge.", "note": ""}


def test_a_typed_sentence_marks_what_it_does_not_know_and_never_answers_that(sentences: SentencePairs) -> None:
    project = small()
    events = asked(NAME, project, sentence="Big zebra", beam=3)
    assert list(events) == ["translation", "alignment", "beam", "examples"]
    assert events["translation"].prompt == "Big ‹zebra›" and events["alignment"].columns == ["Big", "‹zebra›"]
    with project.evaluating():
        assert all(UNKNOWN not in codes for codes in project.written([[UNKNOWN, 5], [6]]).codes)
        assert project.predict({"sentence": "zebra dog"})["note"] == "unknown words: ‹zebra›"
    for fields, sentence in (
        ({"sentence": "   "}, "sentence has no word."),
        ({"sentence": ""}, "sentence must not be empty"),
        ({"sentence": "a" * 2001}, "sentence must have 2000 characters or fewer"),
        ({"sentence": "a " * 252}, "sentence must have at most 251 words and marks, not 252."),
        ({"beam": 9}, "beam must be at most 8, not 9"),
    ):
        with pytest.raises(Problem) as raised:
            asked(NAME, project, **fields)
        assert raised.value.message.startswith(sentence) and raised.value.cause == "data"


def attempt(folder: Path, number: int, steps: int) -> TranslationTransformer:
    """An attempt at a run in `folder`, up to a number of steps; one after the first goes on from the checkpoint of the one before."""
    project = small(dropout=0.2)
    for part in ("valid", "test"):
        del project.parts[part][2:]
    recipe = Recipe(title="x", project="translation_transformer", train=Train(steps=steps, batch_size=16, log_every=3, evaluate_every=9))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = EventLog(folder)
    Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), attempt=number).fit()
    log.close()
    return project


def test_a_run_resumed_inside_an_epoch_has_the_same_weights(sentences: SentencePairs, tmp_path: Path) -> None:
    straight = attempt(tmp_path / "straight", 1, 12)
    attempt(tmp_path / "cut", 1, 5)
    resumed = attempt(tmp_path / "cut", 2, 12)
    for mine, theirs in zip(resumed.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
