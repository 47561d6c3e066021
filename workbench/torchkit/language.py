"""What language models share: streams of tokens, typed prompts, the hidden state carried between windows, sampling, perplexity.

A token is whatever the text was cut into, a character or a word, as an index into the vocabulary. Used by char_rnn and tv_scripts.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

import torch
from torch import Tensor, nn

from workbench.events import Table
from workbench.problems import Problem, one_line

MOST_NAMED = 10
"""Unknown tokens that a message names."""
MOST_LIKELY = 12
"""Rows of the table of next tokens: those that fit into a panel of a terminal with 24 lines."""
OVERFLOW = 50.0
"""A loss above this, in nats, is shown as its perplexity: exp(710) would raise an OverflowError in a diverging run."""


# -- from a text to batches -----------------------------------------------------------------------------------------------------------


def check_length(train: Sized, valid: Sized, streams: int, sequence: int, unit: str, smaller: str) -> None:
    """Problem (cause "data") where not one batch can be cut from the training part, or not one sequence from the validation part.

    `unit` names the tokens ("characters"); `smaller` names the settings whose smaller value would help.
    """
    if len(train) <= streams * sequence or len(valid) <= sequence:
        number = len(train) + len(valid)
        raise Problem(f"{number:,} {unit} are too few for batches of {streams} x {sequence}.", f"Take a smaller {smaller}.", "data")


def streams(text: Tensor, number: int, sequence: int) -> tuple[Tensor, Tensor]:
    """(tokens,) → inputs and targets, (number, length) each: the text in so many parallel streams of whole sequences, and its next tokens.

    The end of the text that fills no sequence in every stream is left out.
    """
    # One token fewer: the last one has no next token.
    length = (len(text) - 1) // (number * sequence) * sequence
    return text[: number * length].view(number, length), text[1 : number * length + 1].view(number, length)


def windows(inputs: Tensor, targets: Tensor, sequence: int) -> list[tuple[Tensor, Tensor]]:
    """The streams' windows in the order of the text, (number, sequence) inputs and targets: a hidden state goes from each to the next."""
    return [(inputs[:, at : at + sequence], targets[:, at : at + sequence]) for at in range(0, inputs.shape[1], sequence)]


# -- the hidden state -----------------------------------------------------------------------------------------------------------------


def zero_state(recurrent: nn.RNNBase, number: int) -> Tensor:
    """The state before a text begins, zeros (states, layers, number of texts, hidden units): an LSTM has a hidden and a cell state."""
    states = 2 if isinstance(recurrent, nn.LSTM) else 1
    device = next(recurrent.parameters()).device
    return torch.zeros(states, recurrent.num_layers, number, recurrent.hidden_size, device=device)


def recur(recurrent: nn.RNNBase, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """(texts, sequence, features) and the state before them → outputs (texts, sequence, hidden units) and the state after them.

    The state is one tensor for every kind of layer, as `zero_state` makes it, so that a checkpoint can hold it.
    """
    if isinstance(recurrent, nn.LSTM):
        outputs, after = recurrent(inputs, (state[0], state[1]))  # hidden and cell state
        return outputs, torch.stack(after)  # (2, layers, texts, hidden units)
    outputs, hidden = recurrent(inputs, state[0])
    return outputs, hidden.unsqueeze(0)  # (1, layers, texts, hidden units)


# -- how good it is -------------------------------------------------------------------------------------------------------------------


def bits(loss: Any) -> Any:
    """Cross-entropy in nats, a number or a tensor, as bits per token."""
    return loss / math.log(2)


def perplexity(loss: float) -> float:
    """exp of the cross-entropy in nats: among how many equally likely tokens the model is as uncertain."""
    return math.exp(min(loss, OVERFLOW))


# -- what it writes -------------------------------------------------------------------------------------------------------------------


def encode(tokens: Iterable[str], index: Mapping[str, int], hint: str = "") -> list[int]:
    """A typed prompt's tokens as indices; Problem that names those which the vocabulary lacks."""
    tokens = list(tokens)
    unknown = sorted({token for token in tokens if token not in index})
    if unknown:
        names = ", ".join(one_line(repr(token), 40) for token in unknown[:MOST_NAMED])
        raise Problem(f"The text that it learns from never has {names}.", hint)
    return [index[token] for token in tokens]


def likeliest(probabilities: Tensor, name: Callable[[int], str]) -> dict[str, float]:
    """(tokens,) → the likeliest tokens by name with their probabilities, the likeliest first."""
    values, tokens = probabilities.topk(min(MOST_LIKELY, len(probabilities)))
    return dict(zip(map(name, tokens.tolist()), values.tolist(), strict=True))


def next_table(after: str, probabilities: Mapping[str, float]) -> Table:
    """The likeliest next tokens as an event; `after` is the end of the prompt, as its heading shows it."""
    rows: list[list[str | float]] = [[name, round(probability, 4)] for name, probability in probabilities.items()]
    return Table(tag="next", columns=[f"after {after}", "probability"], rows=rows)


def draw(logits: Tensor, temperature: float, top_k: int) -> Tensor:
    """(texts, tokens) logits or log probabilities → one token for each text, drawn from softmax(logits / temperature).

    Only the `top_k` likeliest can be drawn, or all where it is 0. At temperature 0 it is the likeliest (greedy decoding).
    """
    # The limit, as dividing by 0 would give NaN.
    if temperature == 0:
        return logits.argmax(1)
    if not top_k or top_k >= logits.shape[1]:
        return torch.multinomial((logits / temperature).softmax(1), 1)[:, 0]
    values, tokens = logits.topk(top_k)  # (texts, top_k) each
    return tokens.gather(1, torch.multinomial((values / temperature).softmax(1), 1))[:, 0]


Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""Tokens (texts, sequence) and what the step before returned (None at a text's beginning) → logits of the next token (texts, tokens),
and whatever the next step needs: a hidden state, or the last window of the text."""


def generate(step: Step, logits: Tensor, state: Any, request: Any) -> Iterator[Tensor]:
    """Yields the tokens of some texts one place after the other, (texts,) each, as they are drawn: `request.length` times.

    `logits` and `state` are what `step` returned for the prompts; `request` has `length`, `temperature` and `top_k`.
    """
    tokens = draw(logits, request.temperature, request.top_k)
    yield tokens
    for _ in range(request.length - 1):
        logits, state = step(tokens[:, None], state)  # (texts, 1) → (texts, tokens)
        tokens = draw(logits, request.temperature, request.top_k)
        yield tokens
