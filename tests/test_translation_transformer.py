"""The transformer that translates: its size and data, a few dozen steps that learn, a resume, and what it answers to a typed sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built

from workbench.problems import Problem
from workbench.projects.recurrent_networks.translation_transformer import TranslationTransformer
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.torchkit.sequence_pairs import UNKNOWN
from workbench.training.loop import Loop

NAME = "translation-transformer"
SMALL = {"size": 32, "heads": 2, "layers": 1, "hidden": 48, "dropout": 0.0, "label_smoothing": 0.0, "learning_rate": 0.01}
PAIRS = 48


def small(**config: Any) -> TranslationTransformer:
    """A small network on a few pairs of the real ones."""
    settings = TranslationTransformer.Config(**{**SMALL, **config})
    project = TranslationTransformer(settings, Train(batch_size=16), Compute(device="cpu", threads=1), 1)
    project.build()
    del project.sources[PAIRS:], project.targets[PAIRS:]
    return project


def losses(project: TranslationTransformer, epochs: int, *, shuffled: bool = False) -> list[float]:
    """The mean loss of each epoch; `shuffled` gives each sentence another one's translation, anew in each epoch."""
    means = []
    for epoch in range(epochs):
        rng = np.random.default_rng(epoch)
        if shuffled:
            project.targets[:] = [project.targets[place] for place in rng.permutation(PAIRS)]
        means.append(np.mean([project.train_step(batch)["loss"].item() for batch in project.batches(epoch, rng)]))
    return list(map(float, means))


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


def test_it_learns_a_few_sentences_and_nothing_where_translations_change(mirror: Any) -> None:
    learnt, misled = small(), small()
    learnt_losses = losses(learnt, 20)
    assert learnt_losses[0] > 6 and learnt_losses[-1] < 0.7
    assert losses(misled, 20, shuffled=True)[-1] > 2 > learnt_losses[-1]
    source = learnt.sources[0]
    with learnt.evaluating():
        assert learnt.written([source]).codes == [learnt.targets[0]]
        line = asked(NAME, learnt, sentence=learnt.parts["train"][0].english)
    assert line["translation"].text.lower().split()[:2] == learnt.parts["train"][0].french[0].lower().split()[:2]


def test_a_typed_sentence_marks_what_it_does_not_know_and_never_answers_that(mirror: Any) -> None:
    project = small()
    events = asked(NAME, project, sentence="A zyxwvut man", beam=3)
    assert events["translation"].prompt == "A ‹zyxwvut› man"
    assert list(events) == ["translation", "alignment", "beam", "examples"] and events["alignment"].columns == ["A", "‹zyxwvut›", "man"]
    with project.evaluating():
        assert all(UNKNOWN not in codes for codes in project.written([[UNKNOWN, 5], [6]]).codes)
        assert project.predict({"sentence": "A zyxwvut man"})["note"] == "unknown words: ‹zyxwvut›"
        for fields, sentence in (
            ({"sentence": "   "}, "sentence has no word."),
            ({"sentence": ""}, "sentence must have 1 or more characters, not 0"),
            ({"sentence": "a" * 2001}, "sentence must have 2000 or fewer characters, not 2001"),
            ({"sentence": "a " * 252}, "sentence must have at most 251 words and marks, not 252."),
            ({"beam": 9}, "beam must be at most 8, not 9"),
        ):
            with pytest.raises(Problem) as raised:
                asked(NAME, project, **fields)
            assert raised.value.message.startswith(sentence) and raised.value.cause == "data"


def attempt(folder: Path, number: int, steps: int) -> TranslationTransformer:
    """An attempt at a run in `folder`, up to a number of steps; one after the first goes on from the checkpoint of the one before."""
    project = small(dropout=0.2)
    for pairs in project.parts.values():
        del pairs[8:]
    recipe = Recipe(title="x", project=NAME, train=Train(steps=steps, batch_size=16, evaluate_every=1000))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = EventLog(folder)
    Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), attempt=number).fit()
    log.close()
    return project


def test_a_run_resumed_inside_an_epoch_has_the_same_weights(mirror: Any, tmp_path: Path) -> None:
    straight = attempt(tmp_path / "straight", 1, 8)
    attempt(tmp_path / "cut", 1, 4)
    resumed = attempt(tmp_path / "cut", 2, 8)
    for mine, theirs in zip(resumed.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
