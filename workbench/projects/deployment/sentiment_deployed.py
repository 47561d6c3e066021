"""The course's deployment project: an LSTM on 500 codes with their number in front, trained here and served. Recipe: sentiment-deployed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Binary, TextCodes
from workbench.encoding.serving import Serving
from workbench.preparation import counted
from workbench.torchkit.batches import sent
from workbench.torchkit.review_networks import Features, Parts, padded
from workbench.torchkit.review_serving import served
from workbench.torchkit.reviews import ASKED, CLASSES, SHOWN, ReviewProject, ReviewSettings, answer, typed_review
from workbench.training.project import Field

RESERVED = 2
"""Codes that are no word: 0 is padding, 1 any word that is not in the vocabulary."""


class SentimentDeployed(ReviewProject):
    """Says whether a film review is positive, from the state of an LSTM after its last word."""

    class Config(ReviewSettings):
        vocabulary: int = Field(5000, ge=10)
        """Number of codes: the most frequent training words, padding, and one code for all other words; more adds rare words."""
        length: int = Field(500, ge=1)
        """Words read of a review, its first ones; more sees more of a long review and takes longer."""
        embedding: int = Field(32, ge=1)
        """Length of a word's learned embedding vector; higher can tell more words apart, and overfits sooner."""
        hidden: int = Field(100, ge=1)
        """Hidden units of the LSTM; more learn longer patterns, and cost time and overfit sooner."""
        dropout: float = Field(0.0, ge=0, lt=1)
        """Dropout probability before the output layer; higher reduces overfitting and slows learning."""

    def build_data(self) -> None:
        self.load_reviews()
        words = self.vocabulary.words[: self.config.vocabulary - RESERVED]
        encoder = TextCodes(length=self.config.length, padded=True, length_in_front=True, unknown=1)
        self.coding = Coding(encoder, Binary(), CLASSES, ["", "(another word)", *words])
        self.inputs = {
            name: [self.encoded(" ".join(text)) for text in counted(f"encoding reviews, {name}", part.texts)]
            for name, part in self.reviews.items()
        }

    def encoded(self, text: str) -> Features:
        """A text's codes without their padding, by the coding that the endpoint has."""
        count, *codes = self.coding.encode(text).array.tolist()
        return (np.array(codes[:count]),)

    def features(self, ids: np.ndarray) -> Features:
        """The same from the numbers of words that stand in the training reviews."""
        return self.encoded(" ".join(self.vocabulary.words[number - 1] for number in ids))

    def build_model(self) -> None:
        config = self.config
        self.network = Parts([Deployed(config.vocabulary, config)]).to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def train_step(self, batch: Any) -> dict[str, Any]:
        rows, labels = batch  # (batch,) places in the training part; (batch,) 0 or 1
        self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        targets = sent(labels, self.device)
        with self.autocast():
            (logits,) = self.network(self.thinned(rows), self.device)  # (reviews,)
            loss = F.binary_cross_entropy_with_logits(logits.float(), targets)
        loss.backward()
        self.config.clip_gradients(self.network.parameters())
        self.optimizer.step()
        return {"loss": loss, "accuracy": ((logits > 0) == (targets > 0.5)).float().mean()}

    def first_answer(self, inputs: Any) -> Any:
        """The answer to what the endpoint reads: a word that no training review has is there as the code of all other words."""
        (positive,) = self.positive([self.encoded(typed_review(inputs))]).tolist()
        return {**answer(positive), "note": "The network is asked again without each word …"}

    def predict(self, inputs: Any) -> Any:
        """`{"review": "…"}` to the answer, and what leaving out each of its first known words does to it, the largest change first."""
        words = self.coding.tokens(typed_review(inputs))
        known = [word for word in dict.fromkeys(words) if word in self.coding.number]
        different = known[: ASKED - 1] if len(set(words)) > 1 else []
        texts = [words, *([other for other in words if other != word] for word in different)]
        whole, *rest = self.positive([self.encoded(" ".join(part)) for part in texts]).tolist()
        changes = sorted(zip(different, rest, strict=True), key=lambda pair: -abs(pair[1] - whole))[:SHOWN]
        note = ", ".join(f"{word} {chance - whole:+.3f}" for word, chance in changes)
        return {
            **answer(whole),
            "words": [{"word": word, "difference": chance - whole} for word, chance in changes],
            "note": f"Positive would be, without: {note}" if note else "",
            "aside": f"The text is long: its other {more} words are not left out." if (more := len(known) - (ASKED - 1)) > 0 else "",
        }

    def serving(self) -> Serving:
        return served(self, self.coding.encoder, self.coding.vocabulary[1:], WithLength(self.network.parts[0]))


class Deployed(nn.Module):
    """Word vectors, an LSTM, and one linear layer on the state after the last word."""

    def __init__(self, size: int, config: SentimentDeployed.Config) -> None:
        super().__init__()
        self.vectors = nn.Embedding(size, config.embedding, padding_idx=0)
        self.recurrent = nn.LSTM(config.embedding, config.hidden, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.last = nn.Linear(config.hidden, 1)

    def packed(self, reviews: Sequence[np.ndarray]) -> tuple[Tensor, ...]:
        """Reviews as (reviews, words) codes, zeros on the right, and the number of words of each, (reviews,)."""
        # Not to the whole length: no state sees the padding behind it, so the numbers are the same and a batch takes less time.
        lengths = [max(1, len(review)) for review in reviews]
        return padded(reviews, max(lengths), left=False), torch.tensor(lengths)

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """(reviews, words), (reviews,) → (reviews,) log odds."""
        states, _ = self.recurrent(self.vectors(codes))  # (reviews, words, hidden)
        places = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[2])
        logits: Tensor = self.last(self.dropout(states.gather(1, places)[:, 0]))[:, 0]
        return logits


class WithLength(nn.Module):
    """The network as it is asked from elsewhere: one row has the number of words, then the codes."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, codes: Tensor) -> Tensor:
        """(reviews, 1 + length) → (reviews,) log odds."""
        logits: Tensor = self.part(codes[:, 1:], codes[:, 0])
        return logits
