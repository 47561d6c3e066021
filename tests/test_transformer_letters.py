"""The transformer that sorts letters: its size, learning against shuffled targets, a resume, figures from its own letters, its maps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built
from stepping import scalars, train

from workbench.datasets.letter_pairs import LetterPairs
from workbench.problems import Problem
from workbench.projects.recurrent_networks.transformer_letters import TransformerLetters
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.training.loop import Loop

NAME = "transformer-letters"
SMALL = {"size": 32, "heads": 2, "layers": 1, "hidden": 64, "dropout": 0.0, "learning_rate": 0.005, "clip": 1.0}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of one to five of six letters in the place of the course's: they are learnt in seconds."""
    random = np.random.default_rng(0)
    made = sorted({"".join(random.choice(list("abcdef"), random.integers(1, 6))) for _ in range(700)})
    shuffled = [made[place] for place in random.permutation(len(made)).tolist()]
    data = LetterPairs({"train": shuffled[120:], "valid": shuffled[:60], "test": shuffled[60:120]})
    monkeypatch.setattr("workbench.datasets.letter_pairs.read", lambda: data)


def small(**config: Any) -> TransformerLetters:
    settings = TransformerLetters.Config(**{**SMALL, **config})
    project = TransformerLetters(settings, Train(batch_size=32), Compute(device="cpu", threads=1), 1)
    project.build()
    return project


@pytest.fixture
def trained(rows: None) -> TransformerLetters:
    """A little: it writes rows of about the right length."""
    project = small()
    train(project, 30)
    return project


def test_the_recipe_s_network_has_237_568_parameters_and_learns_from_6_107_rows(mirror: Any) -> None:
    project: Any = built(NAME)
    assert sum(weights.numel() for weights in project.network.parameters()) == 237_568
    assert {part: len(rows) for part, rows in project.parts.items()} == {"train": 6_107, "valid": 800, "test": 800}
    recipe = load_recipe(find_recipe(NAME)).recipe
    assert len(list(project.batches(0, np.random.default_rng(0)))) == 48 and recipe.train.batch_size == 128


def test_it_learns_and_nothing_from_shuffled_targets(rows: None) -> None:
    learnt, misled = small(), small()
    # Above ln 30: what a place was given is still in its vector, whose likeliest letter is that one.
    assert np.log(30) < scalars(misled)["loss"] < 6
    sources, targets = misled.coded["train"]
    misled.coded["train"] = sources, targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))]
    for project in (learnt, misled):
        train(project, 150)
    right, wrong = scalars(learnt), scalars(misled)
    assert right["exact_match"] > 0.5 and right["letters_right"] > 0.8
    assert wrong["exact_match"] < 0.1 and wrong["letters_right"] < 0.6


def test_figures_come_from_its_own_letters_and_not_from_the_right_ones(trained: TransformerLetters) -> None:
    """The cheat: teacher forcing at evaluation."""
    before = scalars(trained)
    assert before["letters_right/told"] != before["letters_right"]
    sources, targets = trained.coded["valid"]
    trained.coded["valid"] = sources, targets.flip(0)
    after = scalars(trained)
    # Only the loss and what it is told depend on the targets that are fed.
    assert after["loss"] > before["loss"] and after["letters_right/told"] < before["letters_right/told"]
    for name in ("exact_match", "letters_right", "looked_right"):
        assert after[name] == before[name]


def test_a_row_s_answer_does_not_depend_on_its_batch_and_padding_has_no_weight(trained: TransformerLetters) -> None:
    rows = ["ab", "gfedcba", "q", "zxy", "hello"]
    with trained.evaluating():
        together = trained.written(rows)
        alone = [trained.written([row]) for row in rows]
    assert together.codes == [written.codes[0] for written in alone]
    for row, weights in zip(rows, together.weights, strict=True):
        assert weights.shape == (len(weights), 7) and not weights[:, len(row) :].any()


def test_the_maps_of_every_kind_layer_and_head(trained: TransformerLetters) -> None:
    events = asked(NAME, trained, letters="dcba")
    written = len(events["alignment/learned"].values)
    assert list(events) == ["answer", "alignment/learned", "alignment/ideal", "examples", "weights/row"]
    assert events["alignment/ideal"].values == [[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    # The network has one layer here, and what wrote is the mean of its heads.
    shown = np.array(events["weights/row"].values)
    assert shown.shape == (written + 1, 4) and shown[:written] == pytest.approx(np.array(events["alignment/learned"].values), abs=1e-5)
    heads = [np.array(asked(NAME, trained, letters="dcba", head=head)["weights/row"].values) for head in (1, 2)]
    assert np.mean(heads, 0) == pytest.approx(shown, abs=1e-6) and np.abs(heads[0] - heads[1]).max() > 1e-3
    own = np.array(asked(NAME, trained, letters="dcba", weights="written")["weights/written"].values)
    assert own.shape == (written + 1, written + 1) and not np.triu(own, 1).any()
    among = np.array(asked(NAME, trained, letters="dcba", weights="row by row")["weights/row by row"].values)
    assert among.shape == (4, 4) and among.sum(1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"letters": "ab1é"}, "letters may have the letters a to z only, not '1', 'é'."),
        ({"letters": " "}, "letters is empty."),
        ({"letters": ""}, "letters must not be empty"),
        ({"letters": "a" * 31}, "letters must have 30 characters or fewer"),
        ({"layer": 3}, "layer must be at most 2 in this network, not 3."),
        ({"head": 5}, "head must be at most 4 in this network, not 5."),
        ({"head": -1}, "head must be at least 0, not -1"),
    ],
)
def test_bad_input_is_one_sentence(rows: None, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"


def test_more_letters_than_trained_are_answered_and_marked(trained: TransformerLetters) -> None:
    assert asked(NAME, trained, letters="ABCDEFGH")["answer"].text.endswith("8 letters are longer than trained (7)")
    with trained.evaluating():
        assert set(trained.predict({"letters": "cab"})) == {"answer", "note"}
    with pytest.raises(Problem, match="no coding of the served models does both"):
        trained.serving()


def test_heads_that_do_not_divide_the_size_are_refused(rows: None) -> None:
    with pytest.raises(Problem, match="5 heads need vectors whose size is a multiple of 5, not 32"):
        small(heads=5)


def attempt(folder: Path, number: int, steps: int) -> TransformerLetters:
    """An attempt at a run in `folder`, up to a number of steps; one after the first goes on from the checkpoint of the one before."""
    project = small(dropout=0.2)
    recipe = Recipe(title="x", project="transformer_letters", train=Train(steps=steps, batch_size=32, log_every=7, evaluate_every=100))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = EventLog(folder)
    Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), attempt=number).fit()
    log.close()
    return project


def test_a_run_resumed_inside_an_epoch_has_the_same_weights(rows: None, tmp_path: Path) -> None:
    straight = attempt(tmp_path / "straight", 1, 30)
    attempt(tmp_path / "cut", 1, 13)
    resumed = attempt(tmp_path / "cut", 2, 30)
    for mine, theirs in zip(resumed.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
