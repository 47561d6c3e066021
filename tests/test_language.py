"""What language models share: windows cover the text, the state is carried, drawing follows the settings, prompts are checked."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from workbench.problems import Problem
from workbench.torchkit import language


def test_streams_and_windows_cover_the_text_once_each_token_with_the_next() -> None:
    text = torch.arange(100)
    inputs, targets = language.streams(text, 3, 4)
    assert inputs.shape == (3, 32) and torch.equal(inputs.flatten(), text[:96]) and torch.equal(targets, inputs + 1)
    windows = language.windows(inputs, targets, 4)
    assert len(windows) == 8 and all(part.shape == (3, 4) for window in windows for part in window)
    assert torch.equal(torch.cat([window for window, _ in windows], 1), inputs)
    assert torch.equal(torch.cat([following for _, following in windows], 1), targets)
    # 97 tokens are just enough, as the last one is only a target; with 96 a whole sequence of each stream is lost.
    assert language.streams(text[:97], 3, 4)[0].shape == (3, 32) and language.streams(text[:96], 3, 4)[0].shape == (3, 28)


def test_a_text_is_long_enough_or_refused() -> None:
    language.check_length(range(13), range(5), 3, 4, "words", "x")
    for train, valid in ((12, 5), (13, 4)):
        with pytest.raises(Problem, match=rf"{train + valid} words are too few for batches of 3 x 4. Take a smaller x."):
            language.check_length(range(train), range(valid), 3, 4, "words", "x")


@pytest.mark.parametrize(("kind", "states"), [(nn.LSTM, 2), (nn.GRU, 1)])
def test_the_state_is_one_tensor_and_is_carried(kind: Any, states: int) -> None:
    recurrent = kind(3, 5, 2, batch_first=True)
    start, inputs = language.zero_state(recurrent, 4), torch.randn(4, 6, 3)
    assert start.shape == (states, 2, 4, 5) and not start.any()
    whole, last = language.recur(recurrent, inputs, start)
    _, between = language.recur(recurrent, inputs[:, :2], start)
    rest, after = language.recur(recurrent, inputs[:, 2:], between)
    assert torch.allclose(rest, whole[:, 2:], atol=1e-6) and torch.allclose(after, last, atol=1e-6)
    assert torch.equal(whole, recurrent(inputs)[0])


def test_bits_and_perplexity() -> None:
    # 8 equally likely tokens.
    assert language.bits(math.log(8)) == pytest.approx(3) and language.perplexity(math.log(8)) == pytest.approx(8)
    assert math.isfinite(language.perplexity(1e4))


def test_unknown_tokens_are_named_once_and_cleaned() -> None:
    index = {"a": 0, "b": 1}
    assert language.encode("abba", index) == [0, 1, 1, 0]
    with pytest.raises(Problem, match=r"never has '\\x1b\[2J', 'z'\.") as caught:
        language.encode(["z", "a", "\x1b[2J", "z"], index, "It has a, b")
    assert caught.value.hint == "It has a, b"
    with pytest.raises(Problem) as caught:
        language.encode([f"w{number}" * 100 for number in range(30)], index)
    assert len(caught.value.message) < 500


def test_the_likeliest_tokens_come_first_and_fit_a_table() -> None:
    likeliest = language.likeliest(torch.arange(30).float(), str)
    assert list(likeliest) == [str(token) for token in range(29, 17, -1)]
    assert list(language.likeliest(torch.tensor([0.25, 0.75]), "ab".__getitem__).items()) == [("b", 0.75), ("a", 0.25)]
    table = language.next_table("x", {"b": 0.123456})
    assert (table.tag, table.columns, table.rows) == ("next", ["after x", "probability"], [["b", 0.1235]])


def test_drawing_follows_temperature_and_top_k() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05])).expand(4000, 4)
    torch.manual_seed(1)

    def shares(temperature: float, top_k: int) -> np.ndarray:
        return np.bincount(language.draw(logits, temperature, top_k).numpy(), minlength=4) / 4000

    assert shares(1, 0) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)
    assert shares(1, 2) == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    assert shares(0.5, 0) == pytest.approx(np.array([0.25, 0.09, 0.0225, 0.0025]) / 0.365, abs=0.03)
    assert shares(0, 0).tolist() == [1, 0, 0, 0]
    assert shares(1, 99) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_generating_reads_each_token_before_the_next_is_drawn() -> None:
    """A model that counts: after n comes n + 1, and its state is all that it read."""

    def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        state = [*(state or []), *tokens[0].tolist()]
        return nn.functional.one_hot(tokens[:, -1] + 1, 20).float(), state

    prompts = torch.tensor([[3, 4], [7, 8]])
    request = SimpleNamespace(length=4, temperature=0, top_k=0)
    tokens = language.generate(step, *step(prompts, None), request)
    assert next(tokens).tolist() == [5, 9], "the first can be shown before the others are drawn"
    assert torch.stack(list(tokens), 1).tolist() == [[6, 7, 8], [10, 11, 12]]
