"""What lessons with pairs of sequences share: padding, masks, greedy and beam decoding, exact match, BLEU and chrF.

A sequence is a row of codes; the first four codes of every vocabulary are PAD, START, END and UNKNOWN. A decoder is a function `step`:
one token of each sequence and the state before it in, the logits of the next token, the state after it and the attention weights out.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.problems import Problem, missing
from workbench.torchkit.batches import sent

PAD, START, END, UNKNOWN = 0, 1, 2, 3
"""What fills a row behind its end; the decoder's first input; its last output; a word that is not in the vocabulary."""
SPECIAL = 4
"""How many codes stand before the first letter or word of a vocabulary."""
POOL = 32
"""Batches whose examples are sorted by length together: more have less padding, and batches that are more alike."""

State = tuple[Tensor, ...]
"""What a decoder knows, tensors with the batch in their first axis: hidden states, the encoder's outputs, their mask."""
Step = Callable[[Tensor, State], tuple[Tensor, State, Tensor]]
"""Tokens (n,) and the state before → logits of the next token (n, vocabulary), the state after, attention weights (n, source length).

Without attention the weights are (n, 0)."""


@dataclass(frozen=True)
class Written:
    """What a decoder wrote, a list entry for each sequence; of a beam the best comes first."""

    codes: list[list[int]]
    """Without START and END."""
    weights: list[Tensor]
    """(codes, source length) each: where it looked when it wrote each code."""
    scores: list[float]
    """Mean log probability of the codes and of END, in nats: higher is likelier."""


# -- rows of codes --------------------------------------------------------------------------------------------------------------------


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of codes as (n, longest) int64, PAD behind the end of each."""
    codes = np.full((len(rows), max(map(len, rows), default=0)), PAD, np.int64)
    for line, row in zip(codes, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(codes)


def mask(codes: Tensor) -> Tensor:
    """(n, t) codes → (n, t) bool: True where a code is no padding."""
    return codes != PAD


def shifted(targets: Tensor) -> Tensor:
    """(n, t) targets that end with END → (n, t) inputs of a decoder that is told the right word before each target (teacher forcing)."""
    return F.pad(targets[:, :-1], (1, 0), value=START)


class PairBatches:
    """Batches of pairs of about the same length, (n, longest source) and (n, longest target with END), on the device.

    Pools of POOL batches are sorted by length, so that little is padding; the order of pools and of their batches is the generator's.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        batch_size: int,
        rng: np.random.Generator,
        device: torch.device,
    ) -> None:
        self.sources, self.targets, self.device = sources, targets, device
        lengths = np.array([(len(target), len(source)) for source, target in zip(sources, targets, strict=True)])
        order = rng.permutation(len(sources))
        chosen: list[np.ndarray] = []
        for start in range(0, len(order), batch_size * POOL):
            pool = order[start : start + batch_size * POOL]
            pool = pool[np.lexsort(lengths[pool].T)]
            chosen += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
        self.chosen = [chosen[place] for place in rng.permutation(len(chosen))]

    def __len__(self) -> int:
        return len(self.chosen)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for places in self.chosen:
            sources = padded([self.sources[place] for place in places])
            targets = padded([[*self.targets[place], END] for place in places])
            yield sent(sources, self.device), sent(targets, self.device)


# -- decoding -------------------------------------------------------------------------------------------------------------------------


def writable(logits: Tensor) -> Tensor:
    """(n, vocabulary) logits → log probabilities of what may be written: PAD and START never are."""
    never = logits.new_full((len(logits), START + 1), -math.inf)
    return torch.cat([never, logits[:, START + 1 :]], 1).float().log_softmax(1)


def greedy(step: Step, state: State, count: int, most: int | Sequence[int]) -> Written:
    """The likeliest token at each place, of `count` sequences at once, until END, or `most` tokens are written: of each, or one for all."""
    limits = [most] * count if isinstance(most, int) else list(most)
    tokens = torch.full((count,), START, device=state[0].device)
    limit = torch.tensor(limits, device=tokens.device)
    ended = limit <= 0
    codes, attended, gained = [], [], []
    for place in range(max(limits, default=0)):
        logits, state, weights = step(tokens, state)
        gain, tokens = writable(logits).max(1)
        codes.append(tokens)
        attended.append(weights)
        # What follows END is written by nobody.
        gained.append(gain.masked_fill(ended, 0))
        ended = ended | (tokens == END) | (limit <= place + 1)
        if bool(ended.all()):
            break
    rows = torch.stack(codes, 1).tolist() if codes else [[]] * count
    totals = torch.stack(gained, 1).sum(1).tolist() if codes else [0.0] * count
    all_weights = torch.stack(attended, 1).cpu() if codes else torch.zeros(count, 0, 0)
    lengths = [min(row.index(END) if END in row else len(row), limit) for row, limit in zip(rows, limits, strict=True)]
    return Written(
        [row[:length] for row, length in zip(rows, lengths, strict=True)],
        [weights[:length] for weights, length in zip(all_weights, lengths, strict=True)],
        [total / max(1, min(length + 1, limit)) for total, length, limit in zip(totals, lengths, limits, strict=True)],
    )


def beam(step: Step, state: State, most: int, width: int) -> Written:
    """The `width` likeliest sequences for one source, the best first, by beam search; with a width of 1 it is greedy decoding.

    Each place keeps the likeliest continuations of all open sequences; one that ends leaves the beam narrower by one (Sutskever, Vinyals
    and Le 2014). Ended sequences of different lengths are compared by their mean log probability: the sum would prefer short ones.
    """
    device = state[0].device
    tokens, totals = torch.full((1,), START, device=device), torch.zeros(1, device=device)
    codes = tokens.new_zeros(1, 0)
    attended: Tensor | None = None
    ended: list[tuple[float, list[int], Tensor]] = []
    for place in range(most):
        logits, state, weights = step(tokens, state)
        everything = totals[:, None] + writable(logits)  # (open sequences, vocabulary)
        totals, chosen = everything.flatten().topk(min(width - len(ended), everything.numel()))
        parents, tokens = chosen // everything.shape[1], chosen % everything.shape[1]
        state = tuple(part[parents] for part in state)
        codes = torch.cat([codes[parents], tokens[:, None]], 1)
        row = weights[parents, None]
        attended = row if attended is None else torch.cat([attended[parents], row], 1)
        # At the last place the open ones count as they are.
        last = place == most - 1
        open_ones = []
        for index, (token, total) in enumerate(zip(tokens.tolist(), totals.tolist(), strict=True)):
            # Where there are fewer continuations than the beam is wide, topk takes impossible ones, too.
            if math.isinf(total):
                continue
            if token == END or last:
                length = place + (token != END)
                ended.append((total / (place + 1), codes[index, :length].tolist(), attended[index, :length].cpu()))
            else:
                open_ones.append(index)
        if not open_ones:
            break
        going = torch.tensor(open_ones, device=device)
        tokens, totals, codes, attended = tokens[going], totals[going], codes[going], attended[going]
        state = tuple(part[going] for part in state)
    ended.sort(key=lambda sequence: -sequence[0])
    return Written([codes for _, codes, _ in ended], [weights for *_, weights in ended], [score for score, *_ in ended])


# -- how good it is -------------------------------------------------------------------------------------------------------------------


def exact_match(written: Sequence[Sequence[Any]], right: Sequence[Sequence[Any]]) -> float:
    """The share of sequences, of codes or of letters, that are right in every place; 0 of none."""
    hits = [list(answer) == list(truth) for answer, truth in zip(written, right, strict=True)]
    return sum(hits) / max(1, len(hits))


@dataclass(frozen=True)
class Scores:
    """Corpus scores by sacrebleu, 0 to 100."""

    bleu: float
    chrf: float
    signature: str
    """How sacrebleu counted: its version, tokenisation and case, the number of references."""
    precisions: tuple[float, ...]
    """Of runs of 1, 2, 3 and 4 words: the percentage that stands in a reference, too."""
    brevity: float
    """The factor, at most 1, by which texts that are shorter than their references lose."""

    def bleus(self) -> list[float]:
        """BLEU-1 to BLEU-4: the geometric mean of the first n precisions, times the brevity factor (Papineni and others 2002)."""
        logs = [math.log(max(precision, 1e-12)) for precision in self.precisions]
        return [self.brevity * math.exp(sum(logs[:most]) / most) for most in range(1, len(logs) + 1)]


def scores(written: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
    """BLEU and chrF of lines of text as people read them: not tokenised, not lower-cased, whole.

    `references[n]` are the references of line n, at least one each; all lines have equally many, or the rest is left out for sacrebleu.
    Problem where sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError:
        raise missing("Scoring translations", "sacrebleu", "text") from None
    if not written or len(written) != len(references) or not all(references):
        raise Problem("BLEU needs at least one line, and a reference for each.", cause="data")
    # sacrebleu wants the first reference of every line, then the second ones; None where a line has fewer.
    most = max(map(len, references))
    streams: list[Any] = [[lines[place] if place < len(lines) else None for lines in references] for place in range(most)]
    bleu, chrf = BLEU(), CHRF()
    result = bleu.corpus_score(list(written), streams)
    similar = chrf.corpus_score(list(written), streams).score
    return Scores(result.score, similar, str(bleu.get_signature()), tuple(result.precisions), result.bp)
