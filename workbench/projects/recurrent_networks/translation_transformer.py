"""Translates English into French with a transformer, for a GPU. Recipe: translation-transformer."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.problems import Problem
from workbench.torchkit.optimization import step_size
from workbench.torchkit.sequence_pairs import PAD, shifted
from workbench.torchkit.transformer import LONGEST, Transformer
from workbench.torchkit.translations import Translator
from workbench.training.project import Field


class TranslationTransformer(Translator):
    """Every word of the sentence looks at every other one; the French words look back at them."""

    network: Transformer

    class Config(Translator.Config):
        rising: ClassVar[float] = 0.1

        size: int = Field(256, ge=2, le=1024)
        """Numbers of a word's vector, a multiple of heads; more translate better where there are many sentences, and cost time."""
        heads: int = Field(4, ge=1, le=16)
        """Heads of each attention: each looks in its own part of the vectors; more look at more words at once."""
        layers: int = Field(4, ge=1, le=12)
        """Layers of the encoder, and of the decoder; more take more steps of thought, and are slower."""
        hidden: int = Field(1024, ge=1)
        """Hidden units of the feed-forward part of each layer, four times size in the first paper; more cost time."""
        dropout: float = Field(0.3, ge=0, lt=1)
        """Dropout probability behind each part; 29,000 sentences are few for a transformer, so higher than elsewhere."""
        learning_rate: float = step_size(0.001, "Highest step size of Adam, behind the warm-up; higher learns faster and may diverge.")

    def build_model(self) -> None:
        config = self.config
        sizes = config.size, config.heads, config.layers, config.hidden, config.dropout
        self.network = Transformer(len(self.english), len(self.french), *sizes).to(self.device)
        # The second moment forgets faster than Adam's default, as in the first paper: rates change much at the start.
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate, betas=(0.9, 0.98), fused=True)

    def train_step(self, batch: Any) -> dict[str, Any]:
        sources, targets = batch  # (sentences, English words), (sentences, French words and END)
        # The rate rises during the first tenth of the run and then falls: the warm-up.
        rate = self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        with self.autocast():
            logits = self.told(sources, targets)  # (sentences, French words and END, vocabulary)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=self.config.label_smoothing)
        loss.backward()
        norm = self.config.clip_gradients(self.network.parameters())
        self.optimizer.step()
        return {"loss": loss, "gradient_norm": norm, **rate}

    def told(self, sources: Tensor, targets: Tensor) -> Tensor:
        # All places at once: the causal mask hides from each place what comes behind it.
        logits: Tensor = self.network(sources, shifted(targets))
        return logits

    def typed(self, sentence: str) -> tuple[list[str], list[int]]:
        """As every translator's; but its places have an end, and a French sentence may be longer than the English one."""
        marked, codes = super().typed(sentence)
        most = (LONGEST - 10) // 2
        if len(codes) > most:
            raise Problem(f"sentence must have at most {most} words and marks, not {len(codes)}.", cause="data")
        return marked, codes
