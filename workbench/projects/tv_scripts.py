"""Learns TV scripts word by word with a recurrent network, and writes new scenes. Recipes: tv-scripts, -fast, -simpsons."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from workbench.datasets import scripts
from workbench.events import Event, Scalars, Table, Text
from workbench.problems import Problem, one_line
from workbench.project import Field, Settings, live
from workbench.torchkit.batches import InMemory
from workbench.torchkit.optimization import set_rate
from workbench.torchkit.project import TorchProject
from workbench.torchkit.word_network import WordNetwork, drawn

LIKELIEST = 12
"""Next words in the table."""
PIECE = 2000
"""Words of the held-out text that are read in one go, the memory empty at the first."""
COPIES = (16, 40)
"""Texts, and words of each, in which copied runs are counted."""


class TvScripts(TorchProject):
    """Writes a script on, word by word."""

    can_answer = True
    takes = "text"

    class Config(Settings):
        data: str = Field("seinfeld", min_length=1, json_schema_extra={"own": True})
        """seinfeld, simpsons (scenes in Moe's Tavern), or a text file of your own: ./my.txt"""
        block: int = Field(0, ge=0)
        """of the text every tenth block of so many words is held out; 0: the last 10 %"""
        learns: Literal["last", "every"] = "every"
        """last: the word after a window of the text, as in the course; every: each next word, the memory carried through the text"""
        sequence: int = Field(32, ge=1)
        """words of a window, or that the gradient goes back"""
        cell: Literal["lstm", "gru"] = "lstm"
        """kind of recurrent unit"""
        embedding: int = Field(256, ge=1)
        """numbers in a word's vector"""
        hidden: int = Field(512, ge=1)
        """units in a recurrent layer"""
        layers: int = Field(1, ge=1)
        """recurrent layers"""
        dropout: float = Field(0.0, ge=0, lt=1)
        """share left out between recurrent layers"""
        dropout_ends: float = Field(0.0, ge=0, lt=1)
        """share of the features left out before and behind them, the same for a whole sequence"""
        dropout_words: float = Field(0.0, ge=0, lt=1)
        """share of the dictionary's words that a training step does not see"""
        tied: bool = False
        """a word's vector is also what the last layer knows it by"""
        clusters: list[int] = []
        """words, from the most frequent on, at which the parts of the softmax end; none: one softmax over all"""
        begin_at_counts: bool = False
        """the last layer starts from how frequent each word is, and keeps a share for those that the training text never has"""
        learning_rate: float = live(0.001, gt=0)
        """length of Adam's step, the highest of the schedule"""
        schedule: Literal["constant", "one-cycle"] = "constant"
        """learning rate: the same all along, or up and then down to nothing"""
        clip: float = live(5.0, gt=0)
        """longest gradient; a longer one is scaled down to it"""
        prompt: str = Field("jerry:", max_length=1000)
        """what samples begin with; where the text lacks one of its words: the held-out text's first speaker"""

    class Request(TorchProject.Request):
        prompt: str = Field("", max_length=1000)
        """what the script begins with, as jerry: what is; empty: the recipe's"""
        temperature: float = Field(0.8, ge=0, le=10)
        """below 1 surer, above 1 bolder; 0: always the likeliest word"""
        top_k: int = Field(0, ge=0)
        """how many of the likeliest words it draws from (the course: 5); 0: all"""
        length: int = Field(150, ge=1, le=2000)
        """words to write, punctuation and line ends counted"""

    def build_data(self) -> None:
        self.script = scripts.read(self.config.data, self.folder)
        self.variant = self.script.variant
        train, valid = self.script.split(self.config.block)
        sequence, streams = self.config.sequence, self.train.batch_size
        if len(train) <= streams * sequence or len(valid) <= sequence:
            raise Problem(
                f"{len(self.script.codes):,} words are too few for batches of {streams} x {sequence}.",
                "Take a smaller train.batch_size, config.sequence or config.block.",
                "data",
            )
        known = np.unique(self.script.runs(train))
        self.source = known
        self.held_out_copies = share_in(known, self.script.runs(valid))
        self.text, self.valid = (torch.from_numpy(part).to(self.device) for part in (train, valid))
        self.newline = self.script.words.index("\n") if "\n" in self.script.words else None
        try:
            self.prompt = self.script.find(self.config.prompt)
        except Problem:
            self.prompt = []
        if not self.prompt:
            named = [code for code in valid.tolist() if self.script.words[code].endswith(":")]
            self.prompt = (named or valid.tolist())[:1]

    def build_model(self) -> None:
        config = self.config
        names = ("cell", "embedding", "hidden", "layers", "dropout", "dropout_ends", "dropout_words", "tied", "clusters")
        self.network = WordNetwork(len(self.script.words), **{name: getattr(config, name) for name in names}).to(self.device)
        if config.begin_at_counts:
            self.network.output.begin(torch.bincount(self.text, minlength=len(self.script.words)).float())
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate, fused=True)
        # What the network remembers at the end of a batch: the next one goes on in the same streams.
        self.memory = self.network.no_memory(self.train.batch_size)

    # -- training -----------------------------------------------------------------------------------------------------------------------

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        sequence = self.config.sequence
        if self.config.learns == "last":
            return InMemory((self.text.unfold(0, sequence, 1)[:-1], self.text[sequence:]), self.train.batch_size, rng)
        # The text begins at another place in each epoch, so that no sequence is cut where it was cut before.
        inputs, targets = self.streams(self.text.roll(-int(rng.integers(len(self.text)))), self.train.batch_size)
        cuts = range(0, inputs.shape[1], sequence)
        return [(inputs[:, at : at + sequence], targets[:, at : at + sequence], at == 0) for at in cuts]

    def streams(self, text: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """A text cut into so many pieces of whole sequences, (number, length) each: the words, and the one after each."""
        length = (len(text) - 1) // (number * self.config.sequence) * self.config.sequence
        return text[: number * length].view(number, length), text[1 : number * length + 1].view(number, length)

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        streams, sequence = self.train.batch_size, self.config.sequence
        return {"network": (self.text[: streams * sequence].view(streams, sequence), self.network.no_memory(streams))}

    def train_step(self, batch: Any) -> dict[str, Any]:
        inputs, targets, *begun = batch
        streamed = self.config.learns == "every"
        if streamed and begun[0]:
            self.memory.zero_()
        set_rate(self.optimizer, self.config.learning_rate, self.config.schedule, self.progress, rising=0.1)
        self.optimizer.zero_grad()
        with self.autocast():
            states, memory = self.network(inputs, self.memory if streamed else self.network.no_memory(len(inputs)))
            loss = self.losses(states, targets).mean()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        if streamed:
            # Cut off from its graph: the gradient goes back through this batch only.
            self.memory = memory.detach().float()
        return {"loss": loss, "gradient_norm": norm}

    def losses(self, states: Tensor, targets: Tensor) -> Tensor:
        """The loss of each word that is learnt: those after every word, or after the window's last only."""
        if self.config.learns == "last":
            states = states[:, -1]
        losses: Tensor = self.network.output(states.reshape(targets.numel(), -1), targets.flatten())
        return losses

    # -- what it shows ------------------------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        """The held-out text in nats a word, and its perplexity. There is no test part: the course has not even this one."""
        if split == "test":
            return
        losses = torch.cat(list(self.held_out()))
        (loss,) = self.floats([losses.mean()])
        yield Scalars(values={"loss": loss, "perplexity": math.exp(min(loss, 50.0))})

    def held_out(self) -> Iterator[Tensor]:
        """Losses of the held-out words."""
        sequence = self.config.sequence
        if self.config.learns == "last":
            for windows, targets in InMemory((self.valid.unfold(0, sequence, 1)[:-1], self.valid[sequence:]), 1024, None):
                yield self.losses(self.network(windows, self.network.no_memory(len(windows)))[0], targets)
            return
        inputs, targets = self.streams(self.valid, max(1, min(len(self.valid) // PIECE, (len(self.valid) - 1) // sequence)))
        memory = self.network.no_memory(len(inputs))
        for at in range(0, inputs.shape[1], sequence):
            states, memory = self.network(inputs[:, at : at + sequence], memory)
            yield self.losses(states, targets[:, at : at + sequence])

    def sample(self, request: Any) -> Iterator[Event]:
        """A script, the likeliest words after its prompt, and the share of runs of four words that it has from the training text.

        The share is counted in 640 words of its own, drawn as samples are by default; beside it that of the held-out text.
        """
        prompt = self.script.find(request.prompt) or self.prompt
        text, following = self.answer(prompt, request)
        yield Text(tag="script", text=text, prompt=self.shown(prompt))
        rows: list[list[str | float]] = [[name, round(chance, 4)] for name, chance in following.items()]
        yield Table(tag="next", columns=[f"after {self.named(prompt[-1])}", "probability"], rows=rows)
        texts = self.written([self.prompt] * COPIES[0], self.Request.model_validate({"length": COPIES[1]}))
        runs = np.concatenate([self.script.runs(np.array(each)) for each in texts])
        yield Scalars(values={"copied": share_in(self.source, runs), "copied/held_out": self.held_out_copies})

    def predict(self, inputs: Any) -> Any:
        """`{"prompt", "temperature", "top_k", "length"}`, each optional, to `{"text": …, "next": {word: probability}}`."""
        request = self.Request.model_validate(inputs)
        prompt = self.script.find(request.prompt) or self.prompt
        text, following = self.answer(prompt, request)
        return {"text": self.shown(prompt) + text, "next": following}

    def answer(self, prompt: list[int], request: Any) -> tuple[str, dict[str, float]]:
        """What it writes after a prompt, and the likeliest words that come first."""
        chances, codes = self.read(self.begun([prompt]), None)[0][0].exp().topk(min(LIKELIEST, len(self.script.words)))
        names = [self.named(code) for code in codes.tolist()]
        (text,) = self.written([prompt], request)
        return self.shown([*prompt, *text])[len(self.shown(prompt)) :], dict(zip(names, chances.tolist(), strict=True))

    def shown(self, codes: list[int]) -> str:
        """Words as a script's lines."""
        return scripts.line_ends(self.script.words[code] for code in codes)

    def named(self, code: int) -> str:
        """A word, where it stands alone."""
        return "line end" if code == self.newline else one_line(self.script.words[code], 40)

    def begun(self, prompts: list[list[int]]) -> Tensor:
        """Prompts of one length, (texts, words), behind a line's end: so a speaker stands where speakers stand."""
        before = [] if self.newline is None else [self.newline, self.newline]
        return torch.tensor([[*before, *prompt] for prompt in prompts], device=self.device)

    def read(self, codes: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """ln of the probabilities of the word after (texts, words), and what the network then remembers."""
        states, memory = self.network(codes, self.network.no_memory(len(codes)) if memory is None else memory)
        return self.network.output.logarithms(states[:, -1]), memory

    def written(self, prompts: list[list[int]], request: Any) -> list[list[int]]:
        """Words drawn one after the other behind prompts of one length, each read in before the next is drawn."""
        codes, begun, memory = self.begun(prompts), 0, None
        for _ in range(request.length):
            if self.config.learns == "last":  # it never saw more than a window
                logarithms, _ = self.read(codes[:, -self.config.sequence :], None)
            else:
                logarithms, memory = self.read(codes[:, begun:], memory)
                begun = codes.shape[1]
            codes = torch.cat((codes, drawn(logarithms, request.temperature, request.top_k)[:, None]), 1)
        return codes[:, -request.length :].tolist()


def share_in(known: np.ndarray, runs: np.ndarray) -> float:
    """The share of runs that are known; 0 where there is none."""
    return float(np.isin(runs, known).mean()) if len(runs) else 0.0
