"""Translation: the encoder against torch's own, scores of whole lines, baselines, beam search, typed sentences, and that it learns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import events
from stepping import measured, train
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from workbench.datasets import sentence_pairs
from workbench.datasets.sentence_pairs import Pair, SentencePairs
from workbench.events import Matrix, Scalars, Table, Text
from workbench.problems import Problem
from workbench.projects.recurrent_networks.translation import Network, Translation
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.torchkit.sequence_pairs import PAD, UNKNOWN, padded
from workbench.torchkit.translations import nearest
from workbench.training.loop import Loop

pytest.importorskip("sacrebleu")
SMALL = {"embedding": 16, "hidden": 24, "dropout": 0.0, "label_smoothing": 0.0, "learning_rate": 0.01, "clip": 5.0}
WORDS = {"big": "grand", "red": "rouge", "dog": "chien", "man": "homme", "girl": "fille", "sees": "voit", "likes": "aime", "old": "vieux"}


def translated(sentence: str) -> str:
    """The made French of a made English sentence: an adjective comes behind its noun."""
    words = sentence.rstrip(".").lower().split()
    first = [words[1], words[0], words[2], words[4], words[3]]
    return " ".join(WORDS[word] for word in first).capitalize() + "."


@pytest.fixture(autouse=True)
def sentences(monkeypatch: pytest.MonkeyPatch) -> SentencePairs:
    """Sentences of five words: adjective, noun, verb, adjective, noun."""
    adjectives, nouns, verbs = ("big", "red", "old"), ("dog", "man", "girl"), ("sees", "likes")
    english = [
        f"{one} {noun} {verb} {other} {thing}.".capitalize()
        for one in adjectives
        for noun in nouns
        for verb in verbs
        for other in adjectives
        for thing in nouns
    ]
    pairs = [Pair(english[place], (translated(english[place]),)) for place in np.random.default_rng(0).permutation(len(english)).tolist()]
    data = SentencePairs({"train": pairs[:122], "valid": pairs[122:142], "test": pairs[142:]}, "made")
    monkeypatch.setattr(sentence_pairs, "read", lambda name: data)
    return data


def built(**config: Any) -> Translation:
    settings = Translation.Config(**{**SMALL, **config})
    project = Translation(settings, Train(batch_size=16, epochs=1), Compute(device="cpu", threads=1), 1)
    project.build()
    return project


def figures(project: Translation, split: str = "valid") -> dict[str, float]:
    return {name: value for event in measured(project, split) if isinstance(event, Scalars) for name, value in event.values.items()}


def test_the_recipe_s_network_has_exactly_so_many_parameters() -> None:
    config = Translation.Config(**load_recipe(find_recipe("translation")).recipe.config)
    with torch.device("meta"):
        assert sum(weights.numel() for weights in Network(5898, 6434, config).parameters()) == 6_716_706


def test_the_encoder_is_torch_s_two_way_gru_on_packed_sentences() -> None:
    network = built().network
    both = nn.GRU(16, 24, batch_first=True, bidirectional=True)
    for suffix, gru in (("", network.forwards), ("_reverse", network.backwards)):
        for name, weight in gru.named_parameters():
            getattr(both, name + suffix).data.copy_(weight)
    sources = padded([[4, 5, 6, 7, 8], [9, 4], [6, 5, 4]])
    packed = pack_padded_sequence(network.english(sources), torch.tensor([5, 2, 3]), batch_first=True, enforce_sorted=False)
    outputs, _ = pad_packed_sequence(both(packed)[0], batch_first=True)
    first, states, real, _ = network.eval().read(sources)
    expected = network.joined(outputs)
    for row, length in enumerate((5, 2, 3)):
        assert torch.allclose(states[row, :length], expected[row, :length], atol=1e-6)
    assert torch.allclose(first, torch.tanh(network.first(outputs[:, 0, 24:])), atol=1e-6)
    assert torch.equal(real, sources != PAD)


@pytest.mark.parametrize("kind", ["additive", "dot", "general", "concat"])
def test_the_batch_changes_no_answer_and_padding_is_never_attended(kind: Any) -> None:
    project = built(attention=kind)
    train(project, 8)
    sources = [[4, 5, 6, 7, 8], [9], [6, 5, 4]]
    with project.evaluating():
        together = project.written(sources)
        for place, source in enumerate(sources):
            alone, followed = project.written([source]), project.written([source], 1)
            assert together.codes[place] == alone.codes[0] == followed.codes[0]
            assert torch.equal(alone.weights[0], followed.weights[0])
            assert not together.weights[place][:, len(source) :].any()
            assert torch.allclose(together.weights[place][:, : len(source)], alone.weights[0], atol=1e-5)
            wider = project.written([source], 4)
            assert len(wider.codes) == 4 and wider.scores == sorted(wider.scores, reverse=True)
    assert all(UNKNOWN not in codes for codes in together.codes)


def test_concat_begins_as_the_same_function_as_additive() -> None:
    one, other = built(attention="additive").network, built(attention="concat").network
    other.load_state_dict(one.state_dict(), strict=False)
    other.attention.score.weight.data.copy_(one.attention.score.weight)
    other.attention.joint.weight.data.copy_(torch.cat([one.attention.of_query.weight, one.attention.of_keys.weight], 1))
    sources = padded([[4, 5, 6], [7, 8]])
    logits = [network.eval().write(sources, network.read(sources)) for network in (one, other)]
    assert torch.allclose(*logits, atol=1e-6)


def test_it_learns_to_translate_and_nothing_from_shuffled_targets() -> None:
    learnt, misled = built(), built()
    order = np.random.default_rng(0).permutation(len(misled.targets)).tolist()
    misled.targets = [misled.targets[place] for place in order]
    assert figures(learnt)["loss"] == pytest.approx(np.log(len(learnt.french)), abs=0.3)
    train(learnt, 120)
    train(misled, 60)
    right, wrong = figures(learnt), figures(misled)
    assert right["bleu"] > 90 and right["loss"] < 0.1 and right["perplexity"] == pytest.approx(np.exp(right["loss"]))
    assert wrong["bleu"] < 40 and wrong["loss"] > 0.5
    with learnt.evaluating():
        assert learnt.predict({"sentence": "Big dog sees red girl.", "beam": 3}) == {"answer": "Chien grand voit fille rouge.", "note": ""}


def test_scores_are_sacrebleu_s_of_whole_lines_as_people_read_them(sentences: SentencePairs) -> None:
    """The cheat: BLEU of lower-cased, tokenised or cut lines is another number."""
    from sacrebleu import corpus_bleu

    project = built()
    references = [pair.french[0] for pair in sentences.parts["valid"]]
    project.translated = lambda lines: [project.french.encode(translated(line)) for line in lines]  # type: ignore[method-assign]
    assert figures(project)["bleu"] == pytest.approx(100) and figures(project)["chrf"] == pytest.approx(100)
    # In other capitals, and every line with a word too few: lower-cased, or cut to the same length, both would be 100.
    shouted = [line.replace("rouge", "ROUGE") for line in references]
    project.parts["valid"] = [Pair(pair.english, (line,)) for pair, line in zip(sentences.parts["valid"], shouted, strict=True)]
    lines = [project.french.line(project.french.encode(line)) for line in references]
    capitals = figures(project)["bleu"]
    assert capitals == pytest.approx(corpus_bleu(lines, [shouted]).score) and capitals < 90
    assert corpus_bleu([line.lower() for line in lines], [[line.lower() for line in shouted]]).score == pytest.approx(100)
    project.translated = lambda lines: [project.french.encode(translated(line))[:4] for line in lines]  # type: ignore[method-assign]
    lines = [project.french.line(project.french.encode(line)[:4]) for line in references]
    assert figures(project)["bleu"] == pytest.approx(corpus_bleu(lines, [shouted]).score) and all(line[0].isupper() for line in lines)
    assert figures(project)["bleu"] < capitals
    (signature,) = [event.text for event in measured(project) if isinstance(event, Text)]
    assert "case:mixed" in signature and "version" in signature and "20 lines" in signature


def test_the_test_has_what_a_translator_has_to_beat(sentences: SentencePairs) -> None:
    project = built()
    train(project, 120)
    values = figures(project, "test")
    assert values["bleu/copied"] < 10 and values["bleu/nearest"] < values["bleu"] and values["bleu/known_words"] == pytest.approx(100)
    assert values["bleu/beam_5"] > 80 and set(figures(project)) == {"loss", "perplexity", "bleu", "chrf"}
    known = sentences.parts["train"][:5]
    assert nearest([pair.english for pair in known], sentences.parts["train"])[0] in {pair.french[0] for pair in sentences.parts["train"]}
    assert nearest(["A purple zebra.", known[2].english], [*known, Pair("Purple zebra", ("Zèbre violet",))])[0] == "Zèbre violet"


def test_a_typed_sentence_is_answered_with_its_unknown_words_marked() -> None:
    project = built()
    answers: dict[str, Any] = {
        getattr(event, "tag", ""): event for event in events("translation", project, sentence="Big zebra sees", beam=3)
    }
    assert answers["translation"].prompt == "Big ‹zebra› sees" and isinstance(answers["alignment"], Matrix)
    assert answers["alignment"].columns == ["Big", "‹zebra›", "sees"] and len(answers["alignment"].rows) == len(answers["alignment"].values)
    assert isinstance(answers["beam"], Table) and len(answers["beam"].rows) == 3
    assert [row[0] for row in answers["examples"].rows[:4]] == ["source", "reference", "written", "BLEU"]
    assert "beam" not in {getattr(event, "tag", "") for event in events("translation", project, beam=1)}
    for fields, says in (
        ({"sentence": ""}, "sentence"),
        ({"sentence": "  "}, "no word"),
        ({"sentence": "a" * 2001}, "sentence"),
        ({"beam": 9}, "beam"),
    ):
        with pytest.raises(Problem, match=says):
            events("translation", project, **fields)
    with project.evaluating():
        assert project.predict({"sentence": "zebra dog"})["note"] == "unknown words: ‹zebra›"
        for inputs in (None, {"sentence": 3}, {"no": 1}):
            with pytest.raises(Problem):
                project.predict(inputs)
    with pytest.raises(Problem, match="whole sentence"):
        project.serving()


def attempt(folder: Path, number: int, steps: int) -> Translation:
    """An attempt at a run in `folder`, up to a number of steps; one after the first goes on from the checkpoint of the one before."""
    project = built(dropout=0.3)
    recipe = Recipe(title="x", project="translation", train=Train(steps=steps, batch_size=16, log_every=3, evaluate_every=9))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = EventLog(folder)
    Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), attempt=number).fit()
    log.close()
    return project


def test_a_run_resumed_inside_an_epoch_has_the_same_weights(tmp_path: Path) -> None:
    straight = attempt(tmp_path / "straight", 1, 12)
    attempt(tmp_path / "cut", 1, 5)
    resumed = attempt(tmp_path / "cut", 2, 12)
    for mine, theirs in zip(resumed.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
