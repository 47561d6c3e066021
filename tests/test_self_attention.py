"""Self-attention explored: places, permutations, masks and the scaling, on the layers that the trained transformers have."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built
from torch import nn

from workbench.problems import Problem
from workbench.projects.recurrent_networks import self_attention

NAME = "self-attention"
LONG = " ".join(f"word{place}" for place in range(24))


def value(events: dict[str, Any], name: str) -> float:
    return {str(row[0]): float(row[1]) for row in events["checks"].rows}[name]


def maps(events: dict[str, Any]) -> np.ndarray:
    return np.array([event.values for tag, event in events.items() if tag.startswith("attention/")])


def outputs(**fields: Any) -> np.ndarray:
    request = built(NAME).Request(**fields)
    with torch.no_grad():
        return self_attention.attend(request.sentence.split(), request)[0].numpy()


def test_the_default_answer() -> None:
    events = asked(NAME)
    assert list(events)[:4] == ["attention/head 1", "attention/head 2", "checks", "positions"]
    assert list(events)[4:] == ["dimension/0", "products/with place 0", "products/with place 10"]
    assert maps(events).shape == (2, 6, 6) and maps(events).sum(-1) == pytest.approx(1, abs=1e-6)
    assert value(events, "weights of the attention") == 66_048 and value(events, "√d of a head") == 8
    assert value(events, "SD of a score") / value(events, "SD of what the softmax gets") == pytest.approx(8)
    assert events["attention/head 1"].rows[0] == "1 the" and events["attention/head 1"].columns[0] == "the"


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_the_number_of_weights_is_torch_s_whatever_the_heads(heads: int) -> None:
    events = asked(NAME, heads=heads)
    theirs = sum(part.numel() for part in nn.MultiheadAttention(128, heads).parameters())
    assert value(events, "weights of the attention") == theirs == 66_048 and len(maps(events)) == heads


def test_the_places_of_four_dimensions_to_six_digits() -> None:
    events = asked(NAME, size=4, heads=1)
    places = np.array(events["positions"].values)
    assert places[1] == pytest.approx([0.841471, 0.540302, 0.010000, 0.999950], abs=5e-7)
    assert places[2] == pytest.approx([0.909297, -0.416147, 0.019999, 0.999800], abs=5e-7)
    assert (places**2).sum(1) == pytest.approx(2, rel=1e-6)
    for start in (0, 10):
        products = events[f"products/with place {start}"].y
        assert products[:2] == pytest.approx([2, 1.540252], abs=1e-6)
    assert events["products/with place 0"].y == pytest.approx(events["products/with place 10"].y, abs=1e-5)
    wave = asked(NAME, size=4, heads=1, dimension=3)["dimension/3"].y
    assert wave == pytest.approx([math.cos(place / 100) for place in range(50)], abs=1e-6)


def test_without_places_the_order_makes_no_difference_and_with_them_it_does() -> None:
    words = ["a", "b", "c", "b", "d"]
    order = [3, 0, 4, 2, 1]
    moved = " ".join(words[place] for place in order)
    for layer in (1, 3):
        plain = {"sentence": " ".join(words), "positions": False, "layer": layer}
        assert outputs(**{**plain, "sentence": moved}) == pytest.approx(outputs(**plain)[order], abs=1e-5)
        assert value(asked(NAME, **plain), "words reversed: outputs differ by") < 1e-5
        placed = {**plain, "positions": True}
        assert np.abs(outputs(**{**placed, "sentence": moved}) - outputs(**placed)[order]).max() > 0.1
        assert value(asked(NAME, **placed), "words reversed: outputs differ by") > 0.1
    rows = maps(asked(NAME, positions=False))
    assert rows[:, 0] == pytest.approx(rows[:, 3], abs=1e-6) and rows[:, 1] == pytest.approx(rows[:, 5], abs=1e-6)
    assert np.abs(maps(asked(NAME))[:, 0] - maps(asked(NAME))[:, 3]).max() > 0.01


@pytest.mark.parametrize("layer", [1, 4])
def test_a_causal_layer_sees_nothing_that_comes_later(layer: int) -> None:
    causal = {"mask": "causal", "layer": layer}
    assert not np.triu(maps(asked(NAME, **causal)), 1).any()
    first, second = (outputs(sentence=f"one two three {last}", **causal) for last in ("four", "five"))
    assert np.array_equal(first[:3], second[:3]) and np.abs(first[3] - second[3]).max() > 0.1
    assert value(asked(NAME, **causal), "last word changed: those before, by") == 0
    assert value(asked(NAME, layer=layer), "last word changed: those before, by") > 0.01


def test_the_scaling_keeps_the_softmax_from_one_word() -> None:
    scaled, raw = (asked(NAME, sentence=LONG, scaled=scaled) for scaled in (True, False))
    assert value(raw, "SD of a score") == pytest.approx(8, rel=0.15)
    assert value(scaled, "SD of a score") == value(raw, "SD of a score") == value(raw, "SD of what the softmax gets")
    assert value(scaled, "largest weight, mean") < 0.35 < 0.75 < value(raw, "largest weight, mean")


def test_a_seed_draws_the_same_layers_and_leaves_the_other_random_numbers_alone() -> None:
    self_attention.stack.cache_clear()
    state = torch.get_rng_state()
    first = outputs(layer=2)
    assert torch.equal(torch.get_rng_state(), state)
    self_attention.stack.cache_clear()
    assert np.array_equal(outputs(layer=2), first) and not np.array_equal(outputs(layer=2, seed=2), first)
    assert np.array_equal(maps(asked(NAME, layer=1)), maps(asked(NAME, layer=1)))
    few, many = (self_attention.stack(16, 2, layers, True, 1) for layers in (1, 3))
    assert torch.equal(few[0].attention.in_proj_weight, many[0].attention.in_proj_weight)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"sentence": ""}, "sentence must not be empty"),
        ({"sentence": "  "}, "sentence has no words."),
        ({"sentence": "a " * 25}, "sentence has 25 words; at most 24 are shown."),
        ({"sentence": "a" * 2001}, "sentence must have 2000 characters or fewer"),
        ({"size": 4, "heads": 8}, "8 heads need vectors whose size is a multiple of 8, not 4."),
        ({"size": 100}, "size must be 4 or 16 or 64 or 128 or 256, not 100"),
        ({"heads": 3}, "heads must be 1 or 2 or 4 or 8, not 3"),
        ({"layer": 5}, "layer must be at most 4, not 5"),
        ({"size": 16, "dimension": 16}, "dimension must be at most 15 where size is 16."),
        ({"dimension": 256}, "dimension must be at most 255, not 256"),
        ({"layer": math.nan}, "layer"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"


def test_odd_sentences_answer() -> None:
    for sentence in ("?", "! ?", "a\x1b[31mb ‮x", "é " * 24):
        assert maps(asked(NAME, sentence=sentence)).shape[1] == len(sentence.split())
