"""The attention kit: the masked softmax, positional encoding, four ways to score, and several heads beside torch's own."""

import math
from typing import Any, get_args

import pytest
import torch
from torch import nn

from workbench.problems import Problem
from workbench.torchkit.attention import Attention, Kind, MultiHead, causal, masked_softmax, positions


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


# -- the softmax ----------------------------------------------------------------------------------------------------------------------


def test_masked_places_have_exactly_no_weight_and_the_others_share_1() -> None:
    scores, mask = torch.randn(5, 7), torch.rand(5, 7) > 0.4
    weights = masked_softmax(scores, mask)
    assert not weights[~mask].any() and torch.allclose(weights.sum(1), torch.ones(5))
    for row, attended, expected in zip(scores, mask, weights, strict=True):
        assert torch.allclose(row[attended].softmax(0), expected[attended], atol=1e-7)
    assert torch.equal(masked_softmax(scores, torch.ones_like(mask)), scores.softmax(1)) and torch.equal(
        masked_softmax(scores), scores.softmax(1)
    )


def test_scores_whose_exponential_overflows_have_the_same_weights_in_float32() -> None:
    weights = masked_softmax(torch.tensor([927.0, 397, 148, 929]), torch.tensor([True, True, True, True]))
    assert weights.tolist() == pytest.approx([0.119203, 0, 0, 0.880797], abs=1e-6)
    assert masked_softmax(torch.tensor([927.0, 397, 148, 929]), torch.tensor([True, True, True, False])).tolist() == [1, 0, 0, 0]


def test_a_row_with_no_place_to_attend_to_is_zero_and_spoils_no_gradient() -> None:
    scores = torch.randn(2, 3, requires_grad=True)
    weights = masked_softmax(scores, torch.tensor([[False] * 3, [True, False, True]]))
    assert weights[0].tolist() == [0, 0, 0]
    (weights * torch.arange(3)).sum().backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None and scores.grad.isfinite().all() and not scores.grad[0].any() and scores.grad[1].any()


def test_what_a_masked_place_holds_makes_no_difference() -> None:
    scores = torch.tensor([[1.0, math.nan, 2.0, math.inf]])
    assert masked_softmax(scores, torch.tensor([[True, False, True, False]])).tolist() == [
        pytest.approx([1 / (1 + math.e), 0, math.e / (1 + math.e), 0])
    ]


# -- places ---------------------------------------------------------------------------------------------------------------------------


def test_the_positional_encoding_of_four_dimensions() -> None:
    encoded = positions(3, 4)
    assert encoded[0].tolist() == [0, 1, 0, 1]
    assert encoded[1].tolist() == pytest.approx([0.841471, 0.540302, 0.010000, 0.999950], abs=5e-7)
    assert encoded[2].tolist() == pytest.approx([0.909297, -0.416147, 0.019999, 0.999800], abs=5e-7)


@pytest.mark.parametrize("size", [4, 64])
def test_the_norm_of_a_place_and_its_product_with_the_next_one_are_the_same_everywhere(size: int) -> None:
    encoded = positions(500, size).double()
    assert torch.allclose((encoded**2).sum(1), torch.full((500,), size / 2, dtype=torch.float64), atol=1e-5)
    products = (encoded[1:] * encoded[:-1]).sum(1)
    assert torch.allclose(products, products[0].expand(499), atol=1e-5)
    if size == 4:
        assert products[0].item() == pytest.approx(1.540252, abs=1e-6)


def test_causal_lets_a_place_see_itself_and_what_came_before() -> None:
    assert causal(3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]


# -- one query ------------------------------------------------------------------------------------------------------------------------


def scored(attention: Attention, query: Any, keys: Any) -> list[float]:
    context, weights = attention(torch.tensor([query], dtype=torch.float32), torch.tensor([keys], dtype=torch.float32))
    assert torch.allclose(context, weights @ torch.tensor(keys, dtype=torch.float32))
    return weights[0].tolist()


def weighted(module: nn.Linear, weight: Any) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.tensor(weight))


def test_the_three_formulas_on_one_state() -> None:
    query, keys = [1.0, 0], [[1.0, 0], [0, 1], [-1, 0]]
    assert scored(Attention("dot", 2, 2, 1), query, keys) == pytest.approx([0.665241, 0.244728, 0.090031], abs=1e-6)
    general = Attention("general", 2, 2, 1)
    weighted(general.between, [[0.0, 1], [1, 0]])
    assert scored(general, query, keys) == pytest.approx([0.211942, 0.576117, 0.211942], abs=1e-6)
    for kind in ("additive", "concat"):
        attention = Attention(kind, 2, 2, 2)  # type: ignore[arg-type]
        weighted(attention.score, [[1.0, 1]])
        if kind == "additive":
            weighted(attention.of_query, [[1.0, 0], [0, 1]])
            weighted(attention.of_keys, [[1.0, 0], [0, 1]])
        else:
            weighted(attention.joint, [[1.0, 0, 1, 0], [0, 1, 0, 1]])
        assert scored(attention, query, keys) == pytest.approx([0.319432, 0.558752, 0.121817], abs=1e-6)


def test_general_is_not_its_transpose_and_joins_vectors_of_two_sizes() -> None:
    general = Attention("general", 2, 3, 1)
    weighted(general.between, [[0.0, 1, 0], [0, 0, 0]])
    # q·(W k) with q = (1, 0) is the second number of each place.
    assert scored(general, [1.0, 0], [[9.0, 0, 9], [9, 1, 9]]) == pytest.approx([0.268941, 0.731059], abs=1e-6)


def test_concat_with_both_matrices_side_by_side_is_additive() -> None:
    additive, concat = Attention("additive", 3, 5, 4), Attention("concat", 3, 5, 4)
    weighted(concat.joint, torch.cat((additive.of_query.weight, additive.of_keys.weight), 1).tolist())
    weighted(concat.score, additive.score.weight.tolist())
    query, keys, mask = torch.randn(6, 3), torch.randn(6, 7, 5), torch.rand(6, 7) > 0.3
    for first, second in zip(additive(query, keys, mask), concat(query, keys, mask), strict=True):
        assert torch.allclose(first, second, atol=1e-6)
    # As Luong writes it, with the query beside each place.
    joined = torch.cat((query[:, None].expand(-1, 7, -1), keys), 2)
    assert torch.allclose(
        masked_softmax(concat.score(torch.tanh(concat.joint(joined)))[:, :, 0], mask), concat(query, keys, mask)[1], atol=1e-6
    )


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_way_to_score_learns_ignores_padding_and_asks_a_prepared_sequence(kind: Kind) -> None:
    attention = Attention(kind, 4, 4, 6)
    query, keys = torch.randn(2, 4), torch.randn(2, 5, 4, requires_grad=True)
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    context, weights = attention(query, keys, mask)
    assert context.shape == (2, 4) and weights.shape == (2, 5) and not weights[0, 3:].any()
    short, fewer = attention(query[:1], keys[:1, :3])
    assert torch.allclose(short, context[:1], atol=1e-6) and torch.allclose(fewer, weights[:1, :3], atol=1e-6)
    prepared = attention(query, keys, mask, attention.prepared(keys))
    assert torch.equal(prepared[0], context) and torch.equal(prepared[1], weights)
    context.sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in attention.parameters())


def test_dot_of_two_sizes_says_what_to_take() -> None:
    with pytest.raises(Problem, match=r"dot needs vectors of one size, but the query has 3 numbers and the sequence's 4.*Take general"):
        Attention("dot", 3, 4, 1)


# -- several heads --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 4, 8])
def test_heads_equal_torch_s_own_with_copied_weights(heads: int) -> None:
    theirs, mine = nn.MultiheadAttention(128, heads, batch_first=True), MultiHead(128, heads)
    # Its biases begin at 0, where a mistake would not show.
    nn.init.normal_(theirs.in_proj_bias)
    nn.init.normal_(theirs.out_proj.bias)
    mine.load_state_dict(theirs.state_dict())
    assert sum(weights.numel() for weights in mine.parameters()) == 66_048
    queries, keys = torch.randn(3, 6, 128), torch.randn(3, 9, 128)
    padding = torch.arange(9) < torch.tensor([9, 4, 7])[:, None]  # True where a place may be attended to; torch's says the opposite
    for first, second in zip(
        mine(queries, keys, padding[:, None, None]),
        theirs(queries, keys, keys, key_padding_mask=~padding, average_attn_weights=False),
        strict=True,
    ):
        assert torch.allclose(first, second, atol=1e-6)
    outputs, _ = mine(queries, queries, causal(6))
    assert torch.allclose(outputs, theirs(queries, queries, queries, attn_mask=~causal(6))[0], atol=1e-6)


def test_a_raw_score_has_the_root_of_its_dimensions_as_standard_deviation() -> None:
    asked, places = torch.randn(300, 64), torch.randn(300, 64)
    assert (asked @ places.T).std().item() == pytest.approx(8, rel=0.02)
    assert MultiHead(64, 1).scale == 8 and MultiHead(64, 4).scale == 4 and MultiHead(64, 4, scaled=False).scale == 1


def test_a_size_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(Problem, match="3 heads need vectors whose size is a multiple of 3, not 64"):
        MultiHead(64, 3)
