"""The transformer written out: equal to torch's own layers, the same all at once and step by step, blind to padding and to what follows."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from workbench.torchkit.attention import causal
from workbench.torchkit.sequence_pairs import END, PAD, SPECIAL, START, beam, greedy, mask, padded, shifted
from workbench.torchkit.transformer import DecoderLayer, Encoded, EncoderLayer, Tokens, Transformer

SIZE, HEADS, LAYERS, HIDDEN, VOCABULARY = 16, 4, 2, 24, 12


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def network(dropout: float = 0.0) -> Transformer:
    return Transformer(VOCABULARY, VOCABULARY, SIZE, HEADS, LAYERS, HIDDEN, dropout).eval()


def sources() -> Tensor:
    return padded([[5, 6, 7, 8, 9], [10, 4], [11, 11, 5]])


def copied(mine: EncoderLayer | DecoderLayer, theirs: nn.Module, names: dict[str, str]) -> None:
    """torch's weights in my layer; each parameter of both belongs to one of the other."""
    nn.init.normal_(next(theirs.parameters()))
    state = {}
    for name, value in theirs.state_dict().items():
        part, _, rest = name.partition(".")
        state[f"{names[part]}.{rest}"] = value
    mine.load_state_dict(state)


def test_an_encoder_layer_equals_torch_s() -> None:
    theirs = nn.TransformerEncoderLayer(SIZE, HEADS, HIDDEN, 0.0, batch_first=True, norm_first=True).eval()
    mine = EncoderLayer(SIZE, HEADS, HIDDEN).eval()
    names = {"self_attn": "attention", "linear1": "feed_forward.0", "linear2": "feed_forward.3"}
    copied(mine, theirs, {**names, "norm1": "before_attention", "norm2": "before_forward"})
    vectors, real = torch.randn(3, 5, SIZE), mask(sources())
    expected = theirs(vectors, src_key_padding_mask=~real)
    assert torch.allclose(mine(vectors, real[:, None, None])[0][real], expected[real], atol=1e-5)


def test_a_decoder_layer_equals_torch_s() -> None:
    theirs = nn.TransformerDecoderLayer(SIZE, HEADS, HIDDEN, 0.0, batch_first=True, norm_first=True).eval()
    mine = DecoderLayer(SIZE, HEADS, HIDDEN, 0.0).eval()
    names = {"self_attn": "own", "multihead_attn": "cross", "linear1": "feed_forward.0", "linear2": "feed_forward.3"}
    copied(mine, theirs, {**names, "norm1": "before_own", "norm2": "before_cross", "norm3": "before_forward"})
    vectors, memory, real = torch.randn(3, 4, SIZE), torch.randn(3, 5, SIZE), mask(sources())
    expected = theirs(vectors, memory, tgt_mask=~causal(4), memory_key_padding_mask=~real)
    outputs, *_ = mine(vectors, vectors[:, :0], Encoded(memory, real, []), causal(4))
    assert torch.allclose(outputs, expected, atol=1e-5)


def test_it_is_written_out_and_has_as_many_weights_as_its_parts() -> None:
    transformer = network()
    theirs = (nn.Transformer, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.MultiheadAttention)
    assert not any(isinstance(part, theirs) for part in transformer.modules())
    attention, norm = 4 * SIZE**2 + 4 * SIZE, 2 * SIZE
    forward = 2 * SIZE * HIDDEN + HIDDEN + SIZE
    layers = LAYERS * (attention + forward + 2 * norm) + LAYERS * (2 * attention + forward + 3 * norm)
    # The output layer is the targets' vectors.
    assert sum(part.numel() for part in transformer.parameters()) == 2 * VOCABULARY * SIZE + layers + 2 * norm


def test_step_by_step_it_says_what_it_says_all_at_once() -> None:
    transformer, targets = network(), torch.randint(SPECIAL, VOCABULARY, (3, 6))
    at_once = transformer(sources(), targets)
    state = transformer.read(sources())
    for place in range(6):
        logits, state, weights = transformer.step(targets[:, place], state)
        assert torch.allclose(logits, at_once[:, place], atol=1e-5)
        assert torch.allclose(weights.sum(1), torch.ones(3), atol=1e-6) and not weights[~mask(sources())].any()
    # Some at once, and then the others.
    first, state, _ = transformer.write(targets[:, :4], transformer.read(sources()))
    assert torch.allclose(first, at_once[:, :4], atol=1e-5)
    assert torch.allclose(transformer.step(targets[:, 4], state)[0], at_once[:, 4], atol=1e-5)


def test_no_place_sees_what_comes_behind_it() -> None:
    transformer, targets = network(), torch.randint(SPECIAL, VOCABULARY, (3, 6))
    changed = targets.clone()
    changed[:, 4:] = (changed[:, 4:] + 1 - SPECIAL) % (VOCABULARY - SPECIAL) + SPECIAL
    before, after = transformer(sources(), targets), transformer(sources(), changed)
    assert torch.equal(before[:, :4], after[:, :4]) and not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-3)
    decoded = transformer.decode(targets, transformer.encode(sources()))
    assert all(not weights.triu(1).any() for weights in decoded.own)


def test_padding_and_the_others_of_a_batch_change_nothing() -> None:
    transformer, targets = network(), torch.randint(SPECIAL, VOCABULARY, (3, 4))
    together = transformer(sources(), targets)
    for row, (source, target) in enumerate(zip(sources(), targets, strict=True)):
        alone = transformer(source[source != PAD][None], target[None])
        assert torch.allclose(alone[0], together[row], atol=1e-5)
    encoded = transformer.encode(sources())
    for weights in (*encoded.weights, *transformer.decode(targets, encoded).cross):
        assert not weights[1, :, :, 2:].any() and torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)


def test_places_are_told_apart_and_go_on_where_the_last_call_ended() -> None:
    tokens = Tokens(VOCABULARY, SIZE, 0.0)
    codes = torch.tensor([[5, 5, 5]])
    vectors = tokens(codes)
    assert not torch.allclose(vectors[:, 0], vectors[:, 1], atol=1e-2)
    assert torch.equal(tokens(codes[:, 2:], 2), vectors[:, 2:])
    # A word is about as long as the encoding of a place.
    lengths = (Tokens(4000, SIZE, 0.0).vectors.weight * SIZE**0.5).norm(dim=1)
    assert lengths.mean().item() == pytest.approx(SIZE**0.5, rel=0.03)


def test_it_learns_to_turn_a_row_round_and_both_searches_find_it() -> None:
    rows = [list(row) for row in itertools.permutations(range(SPECIAL, SPECIAL + 4), 3)]
    codes, targets = padded(rows), padded([[*row[::-1], END] for row in rows])
    transformer = network()
    optimizer = torch.optim.Adam(transformer.parameters(), 0.01)
    for _ in range(100):
        loss = nn.functional.cross_entropy(transformer(codes, shifted(targets)).flatten(0, 1), targets.flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        answers = greedy(transformer.step, transformer.read(codes), len(rows), 8)
        assert answers.codes == [row[::-1] for row in rows]
        one = beam(transformer.step, transformer.read(codes[:1]), 8, 1)
        wide = beam(transformer.step, transformer.read(codes[:1]), 8, 3)
    assert one.codes == answers.codes[:1] == wide.codes[:1] and torch.allclose(one.weights[0], answers.weights[0], atol=1e-5)
    assert answers.weights[0].shape == (3, 3) and wide.scores[0] >= wide.scores[-1]


def test_start_is_the_first_input() -> None:
    assert shifted(torch.tensor([[5, 6, END]])).tolist() == [[START, 5, 6]]
