"""A checkpoint: what it holds, that it comes back bit for bit and from the file alone, and which layers of another network do not fit."""

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from exploring import asked, built

from workbench.events import Images
from workbench.problems import Problem
from workbench.projects.neural_networks import save_load

STEM = "save-load"


def test_the_checkpoint_has_eight_tensors_of_567434_numbers(mirror: Path) -> None:
    table = asked(STEM)["checkpoint"]
    assert [row[0] for row in table.rows[:-1]] == [
        *(f"hidden_layers.{place}.{kind}" for place in range(3) for kind in ("weight", "bias")), "output.weight", "output.bias",
    ]  # fmt: skip
    assert [row[1] for row in table.rows[:3]] == ["512 x 784", "512", "256 x 512"]
    assert table.rows[-1][1] == table.rows[-1][2] == "567,434"
    assert sum(math.prod(map(int, row[1].split(" x "))) for row in table.rows[:-1]) == 567_434


def test_a_reloaded_network_is_equal_bit_for_bit(mirror: Path) -> None:
    shown = asked(STEM)
    assert shown["loaded"].text == "8 of 8 parameters are equal; the scores of 8 garments are bit for bit equal."
    assert shown["probabilities/saved"].y == shown["probabilities/loaded"].y
    assert all(row[3] == "yes" for row in shown["checkpoint"].rows[:-1])
    assert isinstance(shown["garment"], Images) and shown["garment"].captions == ["boot"]


def test_what_is_loaded_comes_from_the_file(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheat would be to hand over the saved network: a file with other weights has to give other answers."""
    project: Any = built(STEM)
    other = project.built(save_load.SAVED, 50).state_dict()
    honest = save_load.written
    monkeypatch.setattr(save_load, "written", lambda state: honest(other))
    shown = asked(STEM, project)
    assert shown["loaded"].text.startswith("0 of 8 parameters are equal") and "not equal" in shown["loaded"].text
    assert shown["probabilities/saved"].y != shown["probabilities/loaded"].y


def test_one_changed_bit_changes_one_hash(mirror: Path) -> None:
    project = built(STEM)
    plain, nudged = asked(STEM, project), asked(STEM, project, nudge=True)
    hashes = [[row[4] for row in shown["checkpoint"].rows] for shown in (plain, nudged)]
    assert [before == after for before, after in zip(*hashes, strict=True)] == [True] * 6 + [False] + [True] * 2
    assert nudged["loaded"].text.startswith("7 of 8 parameters are equal")


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ("400, 200, 100", [f"hidden_layers.{place}.{kind}" for place in range(3) for kind in ("weight", "bias")] + ["output.weight"]),
        ("512, 256", ["hidden_layers.2.weight", "hidden_layers.2.bias", "output.weight"]),
        ("512 256 128 64", ["output.weight", "hidden_layers.3.weight", "hidden_layers.3.bias"]),
    ],
)
def test_each_layer_of_another_size_is_named_as_pytorch_names_it(mirror: Path, typed: str, wrong: list[str]) -> None:
    shown = asked(STEM, sizes=typed)
    assert [row[0] for row in shown["checkpoint"].rows if row[3] == "no"] == wrong
    assert f"as {len(wrong)} parameters do not fit: {', '.join(wrong)}." in shown["loaded"].text
    assert "[512, 256, 128]" in shown["loaded"].text and "probabilities/loaded" not in shown
    state = save_load.Network(save_load.SAVED).state_dict()
    with pytest.raises(RuntimeError) as refused:
        save_load.Network(save_load.sizes(typed)).load_state_dict(state)
    assert all(name in str(refused.value) for name in wrong)
    assert "output.bias" not in str(refused.value)


def test_the_file_is_read_as_plain_data(mirror: Path) -> None:
    state = save_load.Network([3]).state_dict()
    checkpoint = torch.load(io.BytesIO(save_load.written(state)), weights_only=True)
    assert (checkpoint["input_size"], checkpoint["output_size"], checkpoint["hidden_layers"]) == (784, 10, [512, 256, 128])
    assert all(torch.equal(checkpoint["state_dict"][name], weight) for name, weight in state.items())


@pytest.mark.parametrize("typed", ["", "0", "2000", "5, x", "1 2 3 4 5 6 7", "-3", "٣", "12.5", "99999"])
def test_what_are_no_sizes_is_refused_in_a_sentence(mirror: Path, typed: str) -> None:
    with pytest.raises(Problem, match="sizes"):
        asked(STEM, sizes=typed)
