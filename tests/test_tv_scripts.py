"""The script network: the course's words, learning against shuffled text, its softmax, its memory and a resume, and what it writes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench.datasets import scripts
from workbench.events import Scalars, Table, Text
from workbench.problems import Problem
from workbench.projects.recurrent_networks._word_network import Softmax
from workbench.projects.recurrent_networks.tv_scripts import TvScripts
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.torchkit import language
from workbench.training.loop import Loop
from workbench.tui.drawing import palette
from workbench.tui.panels.sheet import text_lines

SMALL = {"embedding": 12, "hidden": 24, "sequence": 8, "learning_rate": 0.01, "clusters": [8, 12], "tied": True, "prompt": "cat:"}
SCENE = "cat: the mat, is (mine)!\n\nrat: and who sat - on it?\n\n"


def made(folder: Path, text: str, batch_size: int = 4, **config: Any) -> TvScripts:
    (folder / "my.txt").write_text(text)
    settings = TvScripts.Config(**{"data": "./my.txt", **SMALL, **config})
    return TvScripts(settings, Train(batch_size=batch_size, epochs=4), Compute(device="cpu", threads=1), 1, folder)


def built(folder: Path, text: str, batch_size: int = 4, **config: Any) -> TvScripts:
    project = made(folder, text, batch_size, **config)
    project.build()
    return project


def varied(number: int = 800) -> str:
    """Lines whose pattern can be learnt, with speakers and words in an order without one."""
    rng = np.random.default_rng(0)
    lines = (f"{rng.choice(['cat', 'rat', 'owl'])}: the {rng.choice(['mat', 'hat', 'bat'])} is here." for _ in range(number))
    return "\n".join(lines)


def train(project: TvScripts, epochs: int) -> None:
    for epoch in range(epochs):
        for batch in project.batches(epoch, np.random.default_rng(epoch)):
            project.train_step(batch)


def held_out(project: TvScripts) -> float:
    with project.evaluating():
        (event,) = project.evaluate("valid")
    assert isinstance(event, Scalars)
    assert event.values["perplexity"] == pytest.approx(math.exp(event.values["loss"]))
    return event.values["loss"]


# -- the text -------------------------------------------------------------------------------------------------------------------------


def test_seinfeld_has_the_course_s_892_110_words_21_387_different_ones(mirror: Any) -> None:
    script = scripts.read("seinfeld", Path())
    assert len(script.codes) == 892_110 and len(script.words) == 21_387 and script.variant == ""
    shares = np.bincount(script.codes) / len(script.codes)
    assert -(shares * np.log(shares)).sum() == pytest.approx(5.649, abs=5e-4)
    assert (np.diff(shares) <= 0).all() and script.words[0] == "\n"


def test_the_simpsons_begin_behind_their_notice(mirror: Any) -> None:
    script = scripts.read("simpsons", Path())
    assert [script.words[code] for code in script.codes[:5]] == ["moe_szyslak:", "(", "into", "phone", ")"]
    assert scripts.line_ends(script.words[code] for code in script.codes[:10]) == "MOE SZYSLAK: (into phone) moe's tavern. where the"


def test_words_and_lines() -> None:
    found = scripts.words(SCENE)
    assert found[:10] == ["cat:", "the", "mat", ",", "is", "(", "mine", ")", "!", "\n"]
    assert scripts.line_ends(found) == "CAT: the mat, is (mine)!\n\nRAT: and who sat-on it?\n\n"
    assert scripts.line_ends(scripts.words('Man on TV: he said "no way", then... "yes"\nso: "one')) == (
        'MAN ON TV: he said "no way", then... "yes"\nSO: "one'
    )
    assert scripts.line_ends(scripts.words("well, jerry: it's late")) == "well, jerry: it's late"
    assert scripts.words("\n") == ["\n"] and scripts.words("") == []


def test_held_out_are_the_last_words_or_whole_blocks() -> None:
    script = scripts.script(" ".join(map(str, range(105))), "")
    train, valid = script.split(0)
    assert [script.words[code] for code in valid] == [str(each) for each in range(95, 105)] and len(train) == 95
    train, valid = script.split(5)
    assert [int(script.words[code]) for code in valid] == [*range(45, 50), *range(95, 100)]
    assert not set(train) & set(valid) and len(train) + len(valid) == 105


def test_runs_of_four_words_stand_in_one_line_without_punctuation() -> None:
    script = scripts.script("a b, c d e.\nf g\nb c d e! a b c d", "")
    number = script.runs(script.codes)
    # abcd bcde | fg | bcde cdea deab eabc abcd
    assert len(number) == 7 and number[0] == number[6] and number[1] == number[2] and len(set(number.tolist())) == 5
    assert len(script.runs(script.codes[:3])) == 0


def test_a_typed_prompt_loses_apostrophes_that_the_text_lacks() -> None:
    script = scripts.script("jerry: whats that?\nkramer: it's mine", "")
    assert script.tokens("Jerry: What's  that? it's") == ["jerry:", "whats", "that", "?", "it's"]
    assert script.tokens("who's newman") == ["whos", "newman"] and script.speakers(1) == ["jerry:"]


# -- the softmax ----------------------------------------------------------------------------------------------------------------------


def softmax(clusters: list[int]) -> Softmax:
    torch.manual_seed(1)
    made = Softmax(torch.nn.Parameter(torch.randn(20, 6)), clusters)
    with torch.no_grad():
        for each in made.parameters():
            each.normal_()
    return made


@pytest.mark.parametrize("clusters", [[], [5], [5, 11]])
def test_the_softmax_s_losses_are_those_of_its_probabilities(clusters: list[int]) -> None:
    made, states = softmax(clusters), torch.randn(20, 6, requires_grad=True)
    logarithms = made.logarithms(states)
    assert torch.allclose(logarithms.exp().sum(1), torch.ones(20))
    losses = made(states, torch.arange(20))
    assert torch.allclose(losses, -logarithms.diagonal(), atol=1e-5)
    mine = torch.autograd.grad(losses.sum(), [states, made.weight], retain_graph=True)
    theirs = torch.autograd.grad(-logarithms.diagonal().sum(), [states, made.weight])
    for one, other in zip(mine, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_without_clusters_it_is_the_plain_softmax() -> None:
    made, states, targets = softmax([]), torch.randn(9, 6), torch.arange(9)
    plain = torch.nn.functional.cross_entropy(states @ made.weight.T + made.bias, targets, reduction="none")
    assert torch.allclose(made(states, targets), plain, atol=1e-5)


def test_it_begins_at_how_frequent_words_are() -> None:
    made, counts = Softmax(torch.nn.Parameter(torch.randn(20, 6)), [5, 11]), torch.arange(20, 0, -1).float()
    made.begin(counts)
    chances = made.logarithms(torch.zeros(1, 6)).exp()[0]
    assert torch.allclose(chances, counts / counts.sum()) and made.reserved == 0


@pytest.mark.parametrize("clusters", [[5], [5, 11], [5, 11, 17]])
def test_words_that_the_training_text_lacks_share_what_good_and_turing_give_them(clusters: list[int]) -> None:
    made, counts = Softmax(torch.nn.Parameter(torch.randn(20, 6)), clusters), torch.arange(20, 0, -1).float()
    counts[10:12], counts[14], counts[17:] = 0, 0, 0
    counts[16] = 1
    made.begin(counts)
    states = torch.randn(3, 6)
    losses = torch.stack([made(state.expand(20, 6), torch.arange(20)) for state in states])
    assert torch.allclose((-losses).exp().sum(1), torch.ones(3), atol=1e-5)
    assert torch.allclose((-losses).exp()[:, counts == 0], 1 / counts.sum() / 6)
    assert torch.allclose(made.logarithms(states).exp()[:, counts > 0].sum(1), torch.ones(3), atol=1e-5)
    made(states, torch.tensor([0, 13, 15])).sum().backward()
    assert made.weight.grad is not None
    assert made.weight.grad[counts == 0].abs().max() < 1e-12 and made.weight.grad[0].abs().max() > 1e-3


def test_what_reserves_most_still_leaves_half() -> None:
    made = Softmax(torch.nn.Parameter(torch.randn(20, 6)), [5])
    made.begin((torch.arange(20) < 10).float())
    losses = made(torch.zeros(20, 6), torch.arange(20)).detach()
    assert torch.isfinite(losses).all() and (-losses).exp()[10:].sum() == pytest.approx(0.5)


# -- learning -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learns", ["every", "last"])
def test_it_learns_and_nothing_from_shuffled_text(tmp_path: Path, learns: str) -> None:
    learnt, misled = (built(tmp_path, varied(), learns=learns) for _ in range(2))
    assert held_out(learnt) == pytest.approx(math.log(len(learnt.script.words)), abs=0.5)
    order = torch.randperm(len(misled.text), generator=torch.Generator().manual_seed(0))
    misled.text = misled.text[order]
    for project in (learnt, misled):
        train(project, 4 if learns == "every" else 1)
    # Of seven words two are one of three: 0.31 nats a word is the least.
    assert held_out(learnt) < 0.45
    assert held_out(misled) > 1.5


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_two_sequences_with_the_memory_between_them_are_one_long_one(tmp_path: Path, cell: str) -> None:
    project = built(tmp_path, varied(), cell=cell, layers=2)
    inputs = language.streams(project.text, 4, 8)[0]
    with project.evaluating():
        empty = project.zero_state(4)
        whole, last = project.network(inputs[:, :32], empty)
        first, between = project.network(inputs[:, :16], empty)
        second, after = project.network(inputs[:, 16:32], between)
    assert torch.allclose(torch.cat((first, second), 1), whole, atol=1e-6)
    assert torch.allclose(after, last, atol=1e-6)


def test_the_memory_goes_on_from_batch_to_batch_and_begins_anew_with_the_epoch(tmp_path: Path) -> None:
    project = built(tmp_path, varied())
    seen: list[torch.Tensor] = []
    project.network.register_forward_pre_hook(lambda module, given: seen.append(given[1].clone()))
    left = []
    for epoch in (0, 1):
        for batch in project.batches(epoch, np.random.default_rng(0))[:3]:  # type: ignore[index]
            project.train_step(batch)
            left.append(project.memory.clone())
    assert not seen[0].any() and not seen[3].any() and seen[1].any()
    for before, after in ((0, 1), (1, 2), (3, 4), (4, 5)):
        assert torch.equal(left[before], seen[after])


def test_an_epoch_of_streams_is_the_text_from_some_place_on(tmp_path: Path) -> None:
    project = built(tmp_path, varied())
    batches: Any = list(project.batches(0, np.random.default_rng(5)))
    inputs, targets = (torch.cat([batch[part] for batch in batches], 1).flatten() for part in (0, 1))
    text = project.text.roll(-int(np.random.default_rng(5).integers(len(project.text))))
    assert torch.equal(inputs, text[: len(inputs)]) and torch.equal(targets, text[1 : len(targets) + 1])
    assert len(inputs) > len(text) - 4 * 8 - 1


def test_windows_have_the_word_after_them(tmp_path: Path) -> None:
    project = built(tmp_path, varied(), learns="last")
    windows, after = (torch.cat([batch[part] for batch in project.batches(0, np.random.default_rng(0))]) for part in (0, 1))
    assert len(windows) == len(project.text) - 8
    wanted = {tuple(project.text[place : place + 9].tolist()) for place in range(len(project.text) - 8)}
    assert {(*window.tolist(), int(word)) for window, word in zip(windows, after, strict=True)} == wanted


def test_dropout_is_one_mask_for_a_sequence_and_off_when_it_is_asked(tmp_path: Path) -> None:
    project = built(tmp_path, varied(), dropout_ends=0.5)
    values = project.network.thinned(torch.ones(3, 5, 40))
    assert torch.equal(values, values[:, :1].expand(3, 5, 40)) and set(values.unique().tolist()) == {0.0, 2.0}
    with project.evaluating():
        assert torch.equal(project.network.thinned(values), values)


def attempt(folder: Path, work: Path, number: int, until: int, **config: Any) -> TvScripts:
    """An attempt at a run of 130 steps in `folder`, up to a step; one after the first goes on from the checkpoint of the one before."""
    project = built(work, varied(400), layers=2, dropout=0.2, dropout_ends=0.2, dropout_words=0.1, **config)
    recipe = Recipe(title="x", project="tv_scripts", train=Train(steps=130, batch_size=4, log_every=7, evaluate_every=25))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = EventLog(folder)
    training = Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), attempt=number)

    def step(batch: Any) -> dict[str, Any]:
        training.terminate = training.place.step + 1 == until
        return TvScripts.train_step(project, batch)

    project.train_step = step  # type: ignore[method-assign]
    training.fit()
    log.close()
    return project


@pytest.mark.parametrize("learns", ["every", "last"])
def test_a_run_resumed_inside_an_epoch_has_the_same_weights_and_memory(tmp_path: Path, learns: str) -> None:
    config = {"learns": learns, "schedule": "one-cycle"}
    straight = attempt(tmp_path / "straight", tmp_path, 1, 130, **config)
    assert straight.memory.any() == (learns == "every")
    attempt(tmp_path / "cut", tmp_path, 1, 61, **config)
    attempt(tmp_path / "cut", tmp_path, 2, 117, **config)
    resumed = attempt(tmp_path / "cut", tmp_path, 3, 130, **config)
    assert 0 < resumed.optimizer.param_groups[0]["lr"] < SMALL["learning_rate"]
    assert torch.equal(resumed.memory, straight.memory)
    for mine, theirs in zip(resumed.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


# -- what it writes -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learns", ["every", "last"])
def test_it_writes_on_from_a_prompt(tmp_path: Path, learns: str) -> None:
    project = built(tmp_path, SCENE * 60, learns=learns)
    train(project, 12 if learns == "every" else 3)
    request = {"prompt": "Cat: the mat, is (", "temperature": 0, "length": 7}
    with project.evaluating():
        script, following, copied = project.sample(project.Request(**request))
        answer = project.predict(request)
    assert isinstance(script, Text) and (script.tag, script.prompt) == ("script", "CAT: the mat, is (")
    assert script.prompt + script.text == answer["text"] == "CAT: the mat, is (mine)!\n\nRAT: and"
    assert isinstance(following, Table) and following.rows[0][0] == "mine" and float(following.rows[0][1]) > 0.9
    assert sum(answer["next"].values()) == pytest.approx(1, abs=0.05)
    # It knows one scene by heart, and so does what was held out.
    assert isinstance(copied, Scalars) and copied.values["copied"] > 0.9 and copied.values["copied/held_out"] == 1


def test_an_untrained_network_copies_nothing(tmp_path: Path) -> None:
    project = built(tmp_path, varied())
    with project.evaluating():
        *_, copied = project.sample(project.Request())
    assert isinstance(copied, Scalars) and copied.values["copied"] < 0.1 < copied.values["copied/held_out"]


def test_samples_begin_with_the_recipe_s_prompt_or_a_held_out_speaker(tmp_path: Path) -> None:
    assert built(tmp_path, varied(), prompt="rat: the").shown(built(tmp_path, varied(), prompt="rat: the").prompt) == "RAT: the"
    project = built(tmp_path, varied(), prompt="jerry:")
    assert project.shown(project.prompt) in ("CAT:", "RAT:", "OWL:")


def test_the_names_of_those_who_speak_are_set_off() -> None:
    text = "who: is it\nOLD MAN: Only: me, and a long way from home\nYES. No: 1\n\nJERRY:"
    lines = text_lines(text, 24)
    named = [segment.text.rstrip() for line in lines for segment in line if segment.style == palette.heading and segment.text.strip()]
    assert named == ["OLD MAN:", "JERRY:"]
    assert [line.text.rstrip() for line in lines][:3] == ["who: is it", "OLD MAN: Only: me, and", "a long way from home"]
    assert all(line.cell_length == 23 for line in lines)


def test_unknown_words_and_short_texts_are_refused(tmp_path: Path) -> None:
    project = built(tmp_path, varied())
    with project.evaluating(), pytest.raises(Problem, match="never has 'dog', 'one'") as caught:
        list(project.sample(project.Request(prompt="one dog")))
    assert set(caught.value.hint.removeprefix("It has ").split(", ")) == {"cat:", "rat:", "owl:"}
    with pytest.raises(Problem, match=r"21 words are too few for batches of 4 x 8"):
        built(tmp_path, SCENE)
    with pytest.raises(Problem, match="0 words are too few"):
        built(tmp_path, "")


# -- the recipes ----------------------------------------------------------------------------------------------------------------------


def test_the_course_s_settings(mirror: Any) -> None:
    recipe = load_recipe(find_recipe("tv-scripts")).recipe
    project = TvScripts(TvScripts.Config(**recipe.config), recipe.train, Compute(device="cpu", threads=1), 1)
    project.build()
    embedding, recurrent, last = 21_387 * 300, 4 * 256 * (300 + 3 * 256 + 4), 21_387 * 257
    assert sum(weights.numel() for weights in project.network.parameters()) == embedding + recurrent + last
    windows, targets = next(iter(project.batches(0, np.random.default_rng(0))))
    assert windows.shape == (128, 10) and targets.shape == (128,)
    assert project.optimizer.param_groups[0]["lr"] == 0.001
