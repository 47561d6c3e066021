"""Translates English into French word by word with attention. Recipes: translation, translation-scores, translation-tatoeba."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.torchkit.attention import Attention, Kind
from workbench.torchkit.sequence_pairs import PAD, State, mask, shifted
from workbench.torchkit.translations import Translator
from workbench.training.project import Field


class Translation(Translator):
    """An encoder reads an English sentence both ways, and a decoder writes French ones, looking back at each word."""

    network: "Network"

    class Config(Translator.Config):
        attention: Kind = "additive"
        """How the decoder's state scores a place of the sentence; concat and additive are the same function."""
        embedding: int = Field(256, ge=1)
        """Length of a word's learned embedding vector; higher tells words apart better, and costs time."""
        hidden: int = Field(256, ge=1)
        """Units of the GRU of each direction, and of the decoder's; more translate better and cost time."""
        dropout: float = Field(0.3, ge=0, lt=1)
        """Dropout probability of word vectors, of the encoder's states and before the output layer; higher reduces overfitting."""

    def build_model(self) -> None:
        self.network = Network(len(self.english), len(self.french), self.config).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.config.learning_rate, fused=True)

    def train_step(self, batch: Any) -> dict[str, Any]:
        sources, targets = batch  # (sentences, English words), (sentences, French words and END)
        rate = self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        with self.autocast():
            logits = self.told(sources, targets)  # (sentences, French words and END, vocabulary)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=self.config.label_smoothing)
        loss.backward()
        # Between backward and step; the norm before clipping is logged, as it shows exploding gradients.
        norm = self.config.clip_gradients(self.network.parameters())
        self.optimizer.step()
        return {"loss": loss, "gradient_norm": norm, **rate}

    def told(self, sources: Tensor, targets: Tensor) -> Tensor:
        # Teacher forcing: the decoder is told the right word before each one, whatever it would have written itself.
        return self.network.write(shifted(targets), self.network.read(sources))


class Network(nn.Module):
    """A GRU in each direction that reads, and a GRU that writes and looks at what they read (Bahdanau, Cho and Bengio 2015)."""

    def __init__(self, english: int, french: int, config: Translation.Config) -> None:
        super().__init__()
        width, size = config.embedding, config.hidden
        self.english = nn.Embedding(english, width, padding_idx=PAD)
        self.forwards = nn.GRU(width, size, batch_first=True)
        self.backwards = nn.GRU(width, size, batch_first=True)
        # To the decoder's size, as the dot product needs; and a context of half the length is half the work at every word.
        self.joined = nn.Linear(2 * size, size)
        self.first = nn.Linear(size, size)
        self.french = nn.Embedding(french, width, padding_idx=PAD)
        self.attention = Attention(config.attention, size, size, size)
        self.cell = nn.GRUCell(width + size, size)
        self.readout = nn.Linear(width + 2 * size, size)
        self.output = nn.Linear(size, french)
        self.dropout = nn.Dropout(config.dropout)

    def read(self, sources: Tensor) -> State:
        """(sentences, words) codes → the decoder's first state (sentences, hidden), the states of all places, their mask, `prepared`."""
        real = mask(sources)
        inputs = self.dropout(self.english(sources))
        ahead, _ = self.forwards(inputs)
        # Each sentence turned round within its own length, so that its padding stays behind it; turned again, it is as it was.
        places = torch.arange(sources.shape[1], device=sources.device).expand_as(sources)
        turned = torch.where(real, real.sum(1, keepdim=True) - 1 - places, places)[:, :, None]
        back, _ = self.backwards(inputs.gather(1, turned.expand_as(inputs)))
        back = back.gather(1, turned.expand_as(back))
        states = self.dropout(self.joined(torch.cat([ahead, back], 2)))  # (sentences, words, hidden)
        # At the first word the GRU that reads backwards has read the whole sentence.
        return torch.tanh(self.first(back[:, 0])), states, real, self.attention.prepared(states)

    def next(self, words: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """The vectors of the last words (sentences, embedding) and the state → features (sentences, hidden), state, weights."""
        hidden, states, real, prepared = state
        # Asked by the state before the word, as Bahdanau does.
        context, weights = self.attention(hidden, states, real, prepared)
        hidden = self.cell(torch.cat([words, context], 1), hidden)
        features = torch.tanh(self.readout(torch.cat([hidden, context, words], 1)))
        return features, (hidden, states, real, prepared), weights

    def write(self, inputs: Tensor, state: State) -> Tensor:
        """(sentences, places) words before each place → logits (sentences, places, vocabulary)."""
        features = []
        for words in self.dropout(self.french(inputs)).unbind(1):
            feature, state, _ = self.next(words, state)
            features.append(feature)
        # One product for all places: the output layer is half of the arithmetic.
        logits: Tensor = self.output(self.dropout(torch.stack(features, 1)))
        return logits

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """One word, for decoding: (sentences,) words before → logits (sentences, vocabulary), state, weights (sentences, English words)."""
        features, state, weights = self.next(self.french(tokens), state)
        return self.output(features), state, weights
