"""The character network: the course's size, learning against shuffled text, its memory across batches and a resume, and how it writes."""

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench.datasets import text
from workbench.events import Scalars, Table, Text
from workbench.problems import Problem
from workbench.projects.recurrent_networks.char_rnn import CharRnn
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.torchkit import language
from workbench.training.loop import Loop

SMALL = {"embedding": 8, "hidden": 24, "layers": 1, "dropout": 0.0, "sequence": 16, "learning_rate": 0.01, "prompt": "the"}
VERSE = "the cat sat on the mat, and the rat ran at the cat. "


def made(folder: Path, words: str, batch_size: int = 8, **config: Any) -> CharRnn:
    (folder / "my.txt").write_text(words)
    settings = CharRnn.Config(**{"data": "./my.txt", **SMALL, **config})
    return CharRnn(settings, Train(batch_size=batch_size), Compute(device="cpu", threads=1), 1, folder)


def built(folder: Path, words: str, batch_size: int = 8, **config: Any) -> CharRnn:
    project = made(folder, words, batch_size, **config)
    project.build()
    return project


def varied(number: int = 3000) -> str:
    """Words of the verse in an order without a pattern: what follows inside a word can be learnt, the next word cannot."""
    known = VERSE.replace(",", "").replace(".", "").split()
    return " ".join(np.random.default_rng(0).choice(known, number).tolist())


def train(project: CharRnn, epochs: int) -> None:
    for epoch in range(epochs):
        for batch in project.batches(epoch, np.random.default_rng(0)):
            project.train_step(batch)


def bits(project: CharRnn) -> float:
    with project.evaluating():
        (event,) = project.evaluate("valid")
    assert isinstance(event, Scalars)
    assert event.values["bits"] == pytest.approx(event.values["loss"] / math.log(2))
    return event.values["bits"]


def test_the_course_s_network_has_3_366_483_parameters(mirror: Any) -> None:
    recipe = load_recipe(find_recipe("char-rnn")).recipe
    project = CharRnn(CharRnn.Config(**recipe.config), recipe.train, Compute(device="cpu", threads=1), 1)
    project.build()
    assert len(project.symbols) == 83
    assert sum(weights.numel() for weights in project.network.parameters()) == 3_366_483
    assert len(project.batches(0, np.random.default_rng(0))) == 139
    assert (
        recipe.train.epochs == 20
        and [tuple(part.shape) for part in project.batches(0, np.random.default_rng(0))[0][:2]] == [(128, 100)] * 2
    )
    assert project.valid[0].shape == (128, 1500)


def test_anna_is_the_course_s_text(mirror: Any) -> None:
    data = text.read("anna", Path())
    assert len(data.codes) == 1_985_223 and len(data.symbols) == 83 and data.variant == ""
    shares = np.bincount(data.codes) / len(data.codes)
    assert -(shares * np.log2(shares)).sum() == pytest.approx(4.479, abs=5e-4)
    train, valid = data.split()
    assert (len(train), len(valid)) == (1_786_700, 198_523)
    assert "".join(data.symbols[code] for code in train[:9]) == "Chapter 1"


def test_it_learns_and_nothing_from_shuffled_targets(tmp_path: Path) -> None:
    learnt, misled = (built(tmp_path, varied()) for _ in range(2))
    untrained = bits(learnt)
    assert untrained == pytest.approx(math.log2(len(learnt.symbols)), abs=0.2)
    order = torch.randperm(misled.targets.numel(), generator=torch.Generator().manual_seed(0))
    misled.targets = misled.targets.flatten()[order].view_as(misled.targets)
    for project in (learnt, misled):
        train(project, 4)
    assert bits(learnt) < 1.6
    assert bits(misled) > 2.8


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_two_batches_with_the_memory_between_them_are_one_long_one(tmp_path: Path, cell: str) -> None:
    project = built(tmp_path, varied(), cell=cell, layers=2)
    with project.evaluating():
        empty = language.zero_state(project.network.recurrent, 8)
        whole, last = project.network(project.inputs[:, :32], empty)
        first, between = project.network(project.inputs[:, :16], empty)
        second, after = project.network(project.inputs[:, 16:32], between)
        forgetful, _ = project.network(project.inputs[:, 16:32], empty)
    assert torch.allclose(torch.cat((first, second), 1), whole, atol=1e-6)
    assert torch.allclose(after, last, atol=1e-6)
    assert not torch.allclose(forgetful, second, atol=1e-3)


def test_the_memory_goes_on_from_batch_to_batch_and_begins_anew_with_the_epoch(tmp_path: Path) -> None:
    project = built(tmp_path, varied())
    seen: list[torch.Tensor] = []
    network = project.network.forward
    project.network.forward = lambda codes, memory: (seen.append(memory.clone()), network(codes, memory))[1]  # type: ignore[method-assign]
    left = []
    for epoch in (0, 1):
        for batch in project.batches(epoch, np.random.default_rng(0))[:3]:
            project.train_step(batch)
            left.append(project.memory.clone())
    assert not seen[0].any() and not seen[3].any() and seen[1].any()
    for before, after in ((0, 1), (1, 2), (3, 4), (4, 5)):
        assert torch.equal(left[before], seen[after])


def test_every_character_s_target_is_the_one_after_it(tmp_path: Path) -> None:
    project = built(tmp_path, varied())
    data = text.read("./my.txt", tmp_path)
    inputs, targets = (
        torch.cat([batch[part] for batch in project.batches(0, np.random.default_rng(0))], 1).flatten().numpy() for part in (0, 1)
    )
    assert np.array_equal(inputs, data.codes[: len(inputs)]) and np.array_equal(targets, data.codes[1 : len(targets) + 1])
    assert len(inputs) > len(data.split()[0]) - 8 * 16 - 1


def attempt(folder: Path, work: Path, number: int, steps: int) -> CharRnn:
    """An attempt at a run in `folder`, up to a number of steps; one after the first goes on from the checkpoint of the one before."""
    project = built(work, varied(), dropout=0.3, layers=2, decay=0.5)
    recipe = Recipe(title="x", project="char_rnn", train=Train(steps=steps, batch_size=8, log_every=7, evaluate_every=25))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = EventLog(folder)
    Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), attempt=number).fit()
    log.close()
    return project


def test_a_run_resumed_inside_an_epoch_has_the_same_weights_and_memory(tmp_path: Path) -> None:
    straight = attempt(tmp_path / "straight", tmp_path, 1, 140)
    assert straight.epoch == 1 and straight.memory.any()
    attempt(tmp_path / "cut", tmp_path, 1, 61)
    attempt(tmp_path / "cut", tmp_path, 2, 133)
    resumed = attempt(tmp_path / "cut", tmp_path, 3, 140)
    assert torch.equal(resumed.memory, straight.memory)
    for mine, theirs in zip(resumed.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert resumed.optimizer.param_groups[0]["lr"] == straight.optimizer.param_groups[0]["lr"] == SMALL["learning_rate"] * 0.5


def test_it_writes_on_from_a_prompt(tmp_path: Path) -> None:
    project = built(tmp_path, VERSE * 60)
    train(project, 12)
    with project.evaluating():
        words, following = project.sample(project.Request(prompt="the cat s", temperature=0, length=43))
        answer = project.predict({"prompt": "the cat s", "temperature": 0, "length": 43})
    assert isinstance(words, Text) and (words.tag, words.prompt) == ("text", "the cat s")
    assert "the cat s" + words.text == answer["text"] == VERSE
    assert isinstance(following, Table) and following.rows[0][0] == "a" and float(following.rows[0][1]) > 0.9
    assert next(iter(answer["next"])) == "a" and sum(answer["next"].values()) == pytest.approx(1, abs=1e-3)
    with project.evaluating():
        assert next(iter(project.predict({"prompt": "the cat"})["next"])) in ("space", ".")


def test_the_prompt_primes_the_memory(tmp_path: Path) -> None:
    project = built(tmp_path, VERSE * 60)
    train(project, 12)
    with project.evaluating():
        at = [
            project.predict({"prompt": prompt, "length": 1})["next"] for prompt in ("the cat sat on the", "the mat, and the rat ran at the")
        ]
        assert at[0]["space"] > 0.9 and at[1]["space"] > 0.9
        after = [
            project.predict({"prompt": prompt, "length": 1})["next"]
            for prompt in ("the cat sat on the ", "the mat, and the rat ran at the ")
        ]
    assert next(iter(after[0])) == "m" and next(iter(after[1])) == "c"


def test_unknown_characters_are_named(tmp_path: Path) -> None:
    project = built(tmp_path, varied())
    with project.evaluating(), pytest.raises(Problem, match="never has 'ß', '€'"):
        list(project.sample(project.Request(prompt="thßee €")))


def test_samples_begin_with_the_recipe_s_prompt_or_with_what_it_validates_on(tmp_path: Path) -> None:
    assert built(tmp_path, varied(), prompt="the cat").prompt == "the cat"
    for prompt in ("", "Anna"):
        assert built(tmp_path, varied(), prompt=prompt).prompt == varied()[int(len(varied()) * 0.9) :][:20]


def test_an_own_text_is_found_beside_the_recipe_and_names_the_figures(tmp_path: Path) -> None:
    project = built(tmp_path, varied())
    assert project.variant == "my.txt"
    (tmp_path / "my.txt").write_bytes("\ufeffone\r\ntwo\rthree é\n".encode())
    data = text.read("./my.txt", tmp_path)
    assert "".join(data.symbols[code] for code in data.codes) == "one\ntwo\nthree é\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"one\ntwo \xe9t\xe9\n", "my.txt, line 2: byte 0xe9 is not UTF-8"),
        ("zwei".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
        (b"one\0two", "not text: it holds zero bytes"),
        (b"", "0 characters are too few for batches of 8 x 16"),
        (b"short", "5 characters are too few"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    project = made(tmp_path, "")
    (tmp_path / "my.txt").write_bytes(data)
    with pytest.raises(Problem, match=says):
        project.build()


def test_a_file_that_is_not_there_or_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Problem, match=r"no file \./none\.txt"):
        text.read("./none.txt", tmp_path)
    with pytest.raises(Problem, match="not a file"):
        text.read("./", tmp_path)
    monkeypatch.setattr(text, "LIMIT", 3)
    (tmp_path / "my.txt").write_text("four")
    with pytest.raises(Problem, match=r"my\.txt has more than"):
        text.read("./my.txt", tmp_path)


def test_python_s_source_is_the_same_each_time() -> None:
    first, second = text.python_source(), text.python_source()
    assert zlib.crc32(first.encode()) == zlib.crc32(second.encode())
    assert 1_000_000 < len(first) <= text.PYTHON_LIMIT + 1000 and first.isascii() and "\r" not in first
    assert "class OrderedDict(dict)" in first or "def abstractmethod" in first
    assert text.read("python", Path()).variant.startswith("Python 3.")
