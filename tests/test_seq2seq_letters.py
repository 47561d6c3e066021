"""Letters to sort: exact counts, padding that is never looked at, answers that see no target, where it learns to look."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import events
from stepping import measured, scalars, train

from workbench.datasets.letter_pairs import LetterPairs, ordered
from workbench.events import Curve, Matrix, Table, Text
from workbench.problems import Problem
from workbench.projects.recurrent_networks.seq2seq_letters import Network, Seq2SeqLetters
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.torchkit.sequence_pairs import Written, padded
from workbench.torchkit.sorted_letters import LONGEST, encoded, ideal, looked_right, spelled
from workbench.training.loop import Loop

FAST = {"learning_rate": 0.01, "hidden": 24, "layers": 1, "embedding": 8}
KINDS = ["none", "dot", "general", "concat", "additive"]


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of one to five of six letters in the place of the course's: they are learnt in seconds."""
    random = np.random.default_rng(0)
    made = sorted({"".join(random.choice(list("abcdef"), random.integers(1, 6))) for _ in range(700)})
    order = random.permutation(len(made)).tolist()
    shuffled = [made[place] for place in order]
    data = LetterPairs({"train": shuffled[120:], "valid": shuffled[:60], "test": shuffled[60:120]})
    monkeypatch.setattr("workbench.datasets.letter_pairs.read", lambda: data)


def built(batch_size: int = 32, **config: Any) -> Seq2SeqLetters:
    settings = Seq2SeqLetters.Config(**{**FAST, **config})
    project = Seq2SeqLetters(settings, Train(batch_size=batch_size, epochs=1), Compute(device="cpu", threads=1), 1)
    project.build()
    return project


@pytest.mark.parametrize(
    ("kind", "parameters"), [("none", 70_030), ("dot", 75_030), ("general", 77_530), ("concat", 80_080), ("additive", 80_080)]
)
def test_the_recipes_networks_have_exactly_so_many_parameters(kind: str, parameters: int) -> None:
    config = Seq2SeqLetters.Config(**{**load_recipe(find_recipe("seq2seq-letters")).recipe.config, "attention": kind})
    with torch.device("meta"):
        assert sum(weights.numel() for weights in Network(config).parameters()) == parameters


def test_the_ideal_alignment_is_the_place_of_the_next_smallest_letter() -> None:
    assert ideal("cab") == [1, 2, 0] and ideal("baba") == [1, 3, 0, 2] and ideal("a") == [0]
    project = built(attention="dot")
    answers = {event.tag: event for event in events("seq2seq-letters-attention", project, letters="cab") if isinstance(event, Matrix)}
    assert answers["alignment/ideal"].values == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert answers["alignment/ideal"].columns == list("cab") and answers["alignment/ideal"].rows == ["1. a", "2. b", "3. c"]
    weights = torch.eye(3)[[1, 2, 0]]
    assert looked_right(["cab", "bab"], Written([[]] * 2, [weights, weights[[1, 0, 2]]], [0, 0])) == pytest.approx(4 / 6)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_never_attended_and_the_batch_changes_no_answer(kind: str) -> None:
    project = built(attention=kind)
    train(project, 30)
    rows = ["fedcb", "a", "ba", "cab", "dcba"]
    with project.evaluating():
        together = project.written(rows)
        alone = [project.written([row]) for row in rows]
        # Padding that nobody asked for changes nothing, either: the encoder's state stays as it is behind a row's end.
        sources = padded([encoded(row) for row in rows])
        wide = project.network.read(torch.nn.functional.pad(sources, (0, 4)))
        for one, other in zip(project.network.read(sources)[:2], wide[:2], strict=True):
            assert torch.equal(one, other)
    assert together.codes == [written.codes[0] for written in alone]
    for row, weights, one in zip(rows, together.weights, alone, strict=True):
        if kind != "none":
            assert weights.shape[1] == 5 and not weights[:, len(row) :].any()
            assert weights.sum(1).tolist() == pytest.approx([1] * len(weights), abs=1e-5)
            assert torch.allclose(weights[:, : len(row)], one.weights[0], atol=1e-6)


def test_its_answers_see_no_target() -> None:
    """The cheat would be to tell it the right letters when it is measured: scrambled ones would then change its answers."""
    project = built(attention="dot")
    train(project, 60)
    honest = scalars(project)
    assert honest["letters_right/told"] != honest["letters_right"]
    sources, targets = project.coded["valid"]
    project.coded["valid"] = sources, targets.flip(0)
    scrambled = scalars(project)
    for name in ("exact_match", "letters_right", "looked_right", "exact_match/copied"):
        assert scrambled[name] == honest[name]
    assert scrambled["letters_right/told"] < honest["letters_right/told"] and scrambled["loss"] > honest["loss"]


def test_it_learns_to_sort_and_where_to_look_and_nothing_from_shuffled_targets() -> None:
    learnt, misled = built(attention="general"), built(attention="general")
    sources, targets = misled.coded["train"]
    misled.coded["train"] = sources, targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))]
    assert scalars(learnt)["loss"] == pytest.approx(np.log(30), abs=0.2)
    train(learnt, 350)
    train(misled, 100)
    right, wrong = scalars(learnt), scalars(misled)
    assert right["exact_match"] > 0.6 and right["looked_right"] > 0.5 and right["letters_right"] > 0.85
    assert wrong["exact_match"] < 0.1 and wrong["letters_right"] < 0.6
    assert right["exact_match/copied"] < 0.15


def test_the_figures_are_those_of_the_rows() -> None:
    project = built()
    project.written = lambda rows: Written([encoded(ordered(row)) for row in rows], [torch.zeros(0, 0)] * len(rows), [0.0] * len(rows))  # type: ignore[method-assign]
    values, *curves = measured(project)
    assert values.values["exact_match"] == values.values["letters_right"] == 1  # type: ignore[union-attr]
    lengths = sorted({len(row) for row in project.parts["valid"]})
    assert all(isinstance(curve, Curve) and curve.x == lengths for curve in curves)
    # Few long rows are sorted already.
    assert curves[0].y == [1.0] * len(lengths) and curves[1].y[-1] < 0.3  # type: ignore[union-attr]
    project.written = lambda rows: Written([encoded(row) for row in rows], [torch.zeros(0, 0)] * len(rows), [0.0] * len(rows))  # type: ignore[method-assign]
    copied = scalars(project)
    assert copied["exact_match"] == copied["exact_match/copied"] < 0.15


@pytest.mark.parametrize("kind", ["none", "general"])
def test_a_typed_row_is_answered_and_what_is_no_row_is_refused(kind: str) -> None:
    project = built(attention=kind)
    answers = {getattr(event, "tag", ""): event for event in events("seq2seq-letters", project, letters=" CAB ")}
    assert isinstance(answers["answer"], Text) and answers["answer"].prompt == "cab" and "right" in answers["answer"].text
    assert ("alignment/learned" in answers) == (kind != "none") and isinstance(answers["examples"], Table)
    (text, *_) = events("seq2seq-letters", project, letters="abcdefgh")
    assert isinstance(text, Text) and "8 letters are longer than trained (7)" in text.text
    for letters, says in (
        ("c4b", "'4'"),
        ("é", "'é'"),
        ("a b", "' '"),
        ("  ", "empty"),
        ("", "letters"),
        ("a" * 31, "letters"),
        (3, "letters"),
    ):
        with pytest.raises(Problem, match=says):
            events("seq2seq-letters", project, letters=letters)
    with project.evaluating():
        assert set(project.predict({"letters": "ba"})) == {"answer", "note"}
        for inputs in ({"letters": 3}, None, {"no": 1}):
            with pytest.raises(Problem):
                project.predict(inputs)
    with pytest.raises(Problem, match="whole row"):
        project.serving()
    assert spelled([4, 5, 29]) == "abz" and encoded("abz") == [4, 5, 29]


def attempt(folder: Path, number: int, steps: int) -> Seq2SeqLetters:
    """An attempt at a run in `folder`, up to a number of steps; one after the first goes on from the checkpoint of the one before."""
    project = built(attention="additive")
    recipe = Recipe(title="x", project="seq2seq_letters", train=Train(steps=steps, batch_size=32, log_every=7, evaluate_every=20))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = EventLog(folder)
    Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), attempt=number).fit()
    log.close()
    return project


def test_a_run_resumed_inside_an_epoch_has_the_same_weights(tmp_path: Path) -> None:
    straight = attempt(tmp_path / "straight", 1, 30)
    attempt(tmp_path / "cut", 1, 13)
    resumed = attempt(tmp_path / "cut", 2, 30)
    for mine, theirs in zip(resumed.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_trained_length_is_the_data_s() -> None:
    assert LONGEST == 7
