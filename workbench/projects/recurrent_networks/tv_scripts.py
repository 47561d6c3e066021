"""Learns TV scripts word by word with a recurrent network, and writes new scenes. Recipes: tv-scripts, -fast, -simpsons."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from workbench.datasets import scripts
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import NextToken, TextCodes
from workbench.encoding.serving import Serving
from workbench.events import Event, Scalars, Text
from workbench.problems import Problem, one_line
from workbench.projects.recurrent_networks._word_network import WordNetwork
from workbench.torchkit import language
from workbench.torchkit.asked import written_on
from workbench.torchkit.batches import InMemory
from workbench.torchkit.computed import Computed, Step
from workbench.torchkit.optimization import Clipping, LearningRate
from workbench.torchkit.project import TorchProject
from workbench.training.project import Field

PIECE = 2000
"""Words of the held-out text in each stream: the state is zero at a stream's beginning, so many short streams would raise the loss."""
COPIES = (16, 40)
"""Texts, and words in each, in which copied runs are counted."""


class TvScripts(TorchProject):
    """Writes a script on, word by word."""

    takes = "text"

    class Config(LearningRate, Clipping):
        rising: ClassVar[float] = 0.1
        data: str = Field("seinfeld", min_length=1, json_schema_extra={"own": True})
        """Text to learn from: seinfeld, simpsons (scenes in Moe's Tavern), or a text file of your own as ./my.txt."""
        block: int = Field(0, ge=0)
        """Words in a block, of which every tenth is held out for validation; longer blocks have fewer cuts, 0 holds out the last 10 %."""
        learns: Literal["last", "every"] = "every"
        """Targets: last is the word after each window, as in the course; every is each next word, with the hidden state carried on."""
        sequence: int = Field(32, ge=1)
        """Words in a training window; the gradient goes back no further, so higher learns longer dependencies at more memory."""
        cell: Literal["lstm", "gru"] = "lstm"
        """Kind of recurrent cell: an LSTM has a cell state beside its hidden state; a GRU has three quarters of its weights."""
        embedding: int = Field(256, ge=1)
        """Length of a word's learned embedding vector; higher can tell more words apart, and overfits sooner."""
        hidden: int = Field(512, ge=1)
        """Hidden units in each recurrent layer; more learn longer patterns, and cost time and overfit sooner."""
        layers: int = Field(1, ge=1)
        """Number of stacked recurrent layers; more are slower to train and may learn more abstract patterns."""
        dropout: float = Field(0.0, ge=0, lt=1)
        """Dropout probability between recurrent layers, so without effect on a single one; higher reduces overfitting."""
        dropout_ends: float = Field(0.0, ge=0, lt=1)
        """Dropout probability of features before and behind the recurrent layers, one mask per sequence; higher reduces overfitting."""
        dropout_words: float = Field(0.0, ge=0, lt=1)
        """Dropout probability of whole words of the vocabulary in each training step; higher reduces overfitting."""
        tied: bool = False
        """Use each word's embedding vector as its weights in the output layer, too; it saves weights and reduces overfitting."""
        clusters: list[int] = []
        """Frequency ranks at which parts of the clustered softmax end; more parts make rare words cheaper, none is the plain softmax."""
        begin_at_counts: bool = False
        """Start the output layer's biases from word frequencies, and reserve probability for words that only held-out text has."""
        prompt: str = Field("jerry:", max_length=1000)
        """Text that samples begin with; if the data lacks one of its words, the first speaker of the held-out text is used."""

    class Request(TorchProject.Request):
        prompt: str = Field("", max_length=1000)
        """Text to continue, as jerry: what is; empty takes the recipe's prompt."""
        temperature: float = Field(0.8, ge=0, le=10)
        """Divides the logits before the softmax: lower writes more predictably, higher more varied; 0 always takes the likeliest."""
        top_k: int = Field(0, ge=0)
        """Number of likeliest words to draw from (the course: 5); higher is more varied, 0 draws from all."""
        length: int = Field(150, ge=1, le=2000)
        """Number of words to write; punctuation and line ends count."""

    def build_data(self) -> None:
        self.script = scripts.read(self.config.data, self.folder)
        self.variant = self.script.variant
        train, valid = self.script.split(self.config.block)
        smaller = "train.batch_size, config.sequence or config.block"
        language.check_length(train, valid, self.train.batch_size, self.config.sequence, "words", smaller)
        self.source = np.unique(self.script.runs(train))
        self.held_out_copies = share_in(self.source, self.script.runs(valid))
        self.text, self.valid = (torch.from_numpy(part).to(self.device) for part in (train, valid))
        self.newline = self.script.index.get("\n")
        try:
            self.prompt = self.encoded(self.config.prompt)
        except Problem:
            self.prompt = []
        if not self.prompt:
            speakers = [code for code in valid.tolist() if self.script.words[code].endswith(":")]
            self.prompt = (speakers or valid.tolist())[:1]

    def build_model(self) -> None:
        config = self.config
        names = ("cell", "embedding", "hidden", "layers", "dropout", "dropout_ends", "dropout_words", "tied", "clusters")
        self.network = WordNetwork(len(self.script.words), **{name: getattr(config, name) for name in names}).to(self.device)
        if config.begin_at_counts:
            self.network.output.begin(torch.bincount(self.text, minlength=len(self.script.words)).float())
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate, fused=True)
        # The hidden state at the end of a batch, (states, layers, streams, hidden): the next batch goes on in the same streams.
        self.memory = self.zero_state(self.train.batch_size)

    def zero_state(self, texts: int) -> Tensor:
        return language.zero_state(self.network.recurrent, texts)

    # -- training -----------------------------------------------------------------------------------------------------------------------

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        sequence = self.config.sequence
        if self.config.learns == "last":
            return InMemory((self.text.unfold(0, sequence, 1)[:-1], self.text[sequence:]), self.train.batch_size, rng)
        # Each epoch begins at another place of the text, so that no sequence is cut where it was cut before.
        inputs, targets = language.streams(self.text.roll(-int(rng.integers(len(self.text)))), self.train.batch_size, sequence)
        # The first window says so: before it the hidden state is reset.
        return [(*window, place == 0) for place, window in enumerate(language.windows(inputs, targets, sequence))]

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        streams, sequence = self.train.batch_size, self.config.sequence
        return {"network": (self.text[: streams * sequence].view(streams, sequence), self.zero_state(streams))}

    def train_step(self, batch: Any) -> dict[str, Any]:
        inputs, targets, *begun = batch  # (streams, sequence); targets of learns "last": (windows,)
        streamed = self.config.learns == "every"
        if streamed and begun[0]:
            self.memory.zero_()
        self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        with self.autocast():
            # (streams, sequence, width)
            features, memory = self.network(inputs, self.memory if streamed else self.zero_state(len(inputs)))
            loss = self.losses(features, targets).mean()
        loss.backward()
        # Between backward and step; the norm before clipping is logged, as it shows exploding gradients.
        norm = self.config.clip_gradients(self.network.parameters())
        self.optimizer.step()
        if streamed:
            # Detached: backpropagation through time is truncated at the window's beginning.
            self.memory = memory.detach().float()
        return {"loss": loss, "gradient_norm": norm}

    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        """The loss of each target: after every word, or after the window's last word only."""
        if self.config.learns == "last":
            features = features[:, -1]  # (windows, width)
        losses: Tensor = self.network.output(features.reshape(targets.numel(), -1), targets.flatten())
        return losses

    # -- what it shows ------------------------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        """The held-out text's loss in nats per word, and its perplexity. There is no test part: the course has not even this one."""
        if split == "test":
            return
        (loss,) = self.floats([torch.cat(list(self.held_out())).mean()])
        yield Scalars(values={"loss": loss, "perplexity": language.perplexity(loss)})

    def held_out(self) -> Iterator[Tensor]:
        """Losses of the held-out words."""
        sequence = self.config.sequence
        if self.config.learns == "last":
            for windows, targets in InMemory((self.valid.unfold(0, sequence, 1)[:-1], self.valid[sequence:]), 1024, None):
                yield self.losses(self.network(windows, self.zero_state(len(windows)))[0], targets)
            return
        number = max(1, min(len(self.valid) // PIECE, (len(self.valid) - 1) // sequence))
        inputs, targets = language.streams(self.valid, number, sequence)
        memory = self.zero_state(len(inputs))
        for window, following in language.windows(inputs, targets, sequence):
            features, memory = self.network(window, memory)
            yield self.losses(features, following)

    def sample(self, request: Any) -> Iterator[Event]:
        """A script, the likeliest words after its prompt, and the share of runs of four words that it copies from the training text.

        That share is counted in 640 words of its own, drawn with the default request; beside it stands the held-out text's share.
        """
        prompt = self.encoded(request.prompt) or self.prompt
        text, following = self.write(prompt, request)
        yield Text(tag="script", text=text, prompt=self.shown(prompt))
        yield language.next_table(self.named(prompt[-1]), following)
        texts, length = COPIES
        logarithms, state = self.step(self.begun([self.prompt] * texts), None)
        tokens = language.generate(self.step, logarithms, state, self.Request.model_validate({"length": length}))
        copies = torch.stack(list(tokens), 1).cpu().numpy()  # (texts, words)
        runs = np.concatenate([self.script.runs(codes) for codes in copies])
        yield Scalars(values={"copied": share_in(self.source, runs), "copied/held_out": self.held_out_copies})

    def predict(self, inputs: Any) -> Any:
        """`{"prompt", "temperature", "top_k", "length"}`, each optional, to `{"text": …, "next": {word: probability}}`."""
        return written_on(self.serving(), inputs, " ".join(self.script.words[code] for code in self.prompt))

    def serving(self) -> Serving:
        config, recurrent, request = self.config, self.network.recurrent, self.Request.model_validate({})
        windowed = config.learns == "last"
        valid = self.valid[: len(self.valid) // 4 * 4].view(-1, 4)

        def logarithms(codes: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
            features, after = self.network(codes, memory)
            return self.network.output.logarithms(features[:, -1]), after

        def after_window(codes: Tensor) -> Tensor:
            shape = (len(codes), 1, recurrent.num_layers, recurrent.hidden_size)
            none = codes.new_zeros(shape, dtype=torch.float32).permute(1, 2, 0, 3)
            state = torch.cat([none, none]) if config.cell == "lstm" else none
            return logarithms(codes - 1, state)[0]

        def prompts(count: int) -> list[Any]:
            texts = [" ".join(self.script.words[code] for code in codes) for codes in valid[: 4 * count].tolist()]
            return [{"prompt": text, "temperature": 0, "length": 20} for text in texts if text.strip()][:count]

        shape = [2 if config.cell == "lstm" else 1, recurrent.num_layers, recurrent.hidden_size]
        decoder = NextToken(
            states={} if windowed else {"memory": shape},
            window=config.sequence if windowed else 0,
            before=[] if self.newline is None else [1 + self.newline] * 2,
            most=2000,
            temperature=request.temperature,
            top_k=request.top_k,
            length=request.length,
        )
        graph = Computed(after_window, network=self.network) if windowed else Step(logarithms, self.network)
        return Serving(
            Coding(TextCodes(tokens="script words"), decoder, vocabulary=["", *self.script.words]), graph=graph, examples=prompts
        )

    def write(self, prompt: list[int], request: Any) -> tuple[str, dict[str, float]]:
        """What it writes after a prompt, and the likeliest first words with their probabilities."""
        logarithms, state = self.step(self.begun([prompt]), None)
        following = language.likeliest(logarithms[0].exp(), self.named)
        codes = [int(code) for code in language.generate(self.step, logarithms, state, request)]
        # Together, since a word's spacing and a speaker's capitals depend on what stands before.
        return self.shown([*prompt, *codes])[len(self.shown(prompt)) :], following

    def step(self, codes: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """(texts, words) and the state before → ln of the probabilities of the next word, (texts, all words), and the state after.

        Where it learns the word after a window, it never saw more than one: then the state is the text's last window.
        """
        if self.config.learns == "last":
            state = codes if state is None else torch.cat((state, codes), 1)
            state = state[:, -self.config.sequence :]
            features, _ = self.network(state, self.zero_state(len(state)))
        else:
            features, state = self.network(codes, self.zero_state(len(codes)) if state is None else state)
        return self.network.output.logarithms(features[:, -1]), state

    def begun(self, prompts: list[list[int]]) -> Tensor:
        """Prompts of one length, (texts, words), after an empty line: so a speaker stands where speakers stand."""
        before = [] if self.newline is None else [self.newline, self.newline]
        return torch.tensor([[*before, *prompt] for prompt in prompts], device=self.device)

    def encoded(self, prompt: str) -> list[int]:
        """A typed prompt's words; Problem that names those which the text lacks."""
        speakers = ", ".join(self.script.speakers(8))
        return language.encode(self.script.tokens(prompt), self.script.index, f"It has {one_line(speakers, 300)}" if speakers else "")

    def shown(self, codes: list[int]) -> str:
        """Words as a script's lines."""
        return scripts.line_ends(self.script.words[code] for code in codes)

    def named(self, code: int) -> str:
        """A word, where it stands alone."""
        return "line end" if code == self.newline else one_line(self.script.words[code], 40)


def share_in(known: np.ndarray, runs: np.ndarray) -> float:
    """The share of runs that are known; 0 where there is none."""
    return float(np.isin(runs, known).mean()) if len(runs) else 0.0
