"""What lessons that translate share: pairs and vocabularies, what a network writes for a sentence, BLEU, chrF and what they must beat."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench import preparation
from workbench.datasets import sentence_pairs
from workbench.datasets.sentence_pairs import Pair, tokens, vocabulary
from workbench.encoding.serving import Serving
from workbench.events import Event, Matrix, Scalars, Table, Text
from workbench.problems import Problem
from workbench.torchkit import language
from workbench.torchkit.optimization import Clipping, LearningRate
from workbench.torchkit.project import TorchProject
from workbench.torchkit.sequence_pairs import PAD, UNKNOWN, PairBatches, State, Written, beam, greedy, padded, scores
from workbench.training.project import Field
from workbench.training.request import request as checked

LONGEST = 50
"""Most words of a sentence that it learns from, on either side: few are longer, and one makes its whole batch slow."""
TOGETHER = 100
"""Sentences that are translated at once, of about one length."""
TESTED_BEAM = 5
"""Width of the beam that the test tries beside greedy decoding."""
SHOWN = 3
"""Sentences of the validation part that a sample shows."""


class ReadsAndSteps(Protocol):
    """A network that reads a whole sentence and writes another one, word by word."""

    def read(self, sources: Tensor) -> State:
        """Codes (n, t) → the state in which nothing is written yet."""

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """As `sequence_pairs.Step`."""


class Translator(TorchProject):
    """Translates English into French. A lesson gives `network`, `told`, and the training step."""

    takes = "text"
    network: ReadsAndSteps

    class Config(LearningRate, Clipping):
        data: Literal["multi30k", "tatoeba-fr"] = "multi30k"
        """Sentences to learn from: descriptions of photographs, or short sentences of all kinds by volunteers."""
        least: int = Field(sentence_pairs.LEAST, ge=1)
        """Uses in the training part that a word needs to be known; higher makes a smaller, faster network that knows fewer words."""
        label_smoothing: float = Field(0.1, ge=0, lt=1)
        """Share of each target that is spread evenly over all words; higher makes the network less confident."""

    class Request(TorchProject.Request):
        sentence: str = Field("A man in a blue shirt is standing on a ladder cleaning a window.", min_length=1, max_length=2000)
        """An English sentence to translate; words that it does not know are marked."""
        beam: int = Field(1, ge=1, le=8)
        """Sequences that are followed at once; 1 always takes the likeliest word, more find likelier sentences and take longer."""

    def build_data(self) -> None:
        data = sentence_pairs.read(self.config.data)
        self.variant = data.variant
        self.parts = data.parts
        train = [(pair.english, french) for pair in data.parts["train"] for french in pair.french]
        self.english = vocabulary((pair.english for pair in data.parts["train"]), self.config.least)
        self.french = vocabulary((french for _, french in train), self.config.least)
        coded = [(self.english.encode(english), self.french.encode(french)) for english, french in train]
        usable = [(source, target) for source, target in coded if source and target and max(len(source), len(target)) <= LONGEST]
        if not usable:
            raise Problem("No pair is short enough to learn from.", "", "data")
        self.sources, self.targets = [source for source, _ in usable], [target for _, target in usable]
        sizes = f"{len(self.english.words):,} English and {len(self.french.words):,} French words"
        left_out = f"{len(coded) - len(usable):,} pairs longer than {LONGEST} words"
        preparation.found("words", sizes, f"those with at least {self.config.least} uses", left_out)

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        return PairBatches(self.sources, self.targets, self.train.batch_size, rng, self.device)

    def told(self, sources: Tensor, targets: Tensor) -> Tensor:
        """Logits (n, p, vocabulary) of each target, (n, p) with END, where the decoder is told the right words before it."""
        raise NotImplementedError

    # -- how good it is -----------------------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        """The loss in nats per word, and BLEU and chrF of its own translations, written without seeing the right ones.

        They are scores of whole lines as people read them. The test has what else scores: copied English, the French of the nearest
        training sentence, the right answer with unknown words left out, and beam search.
        """
        pairs = self.parts[split]
        loss = self.loss(pairs)
        references = [pair.french for pair in pairs]
        lines = [self.french.line(codes) for codes in self.translated([pair.english for pair in pairs])]
        reached = scores(lines, references)
        yield Scalars(values={"loss": loss, "perplexity": language.perplexity(loss), "bleu": reached.bleu, "chrf": reached.chrf})
        yield Text(tag="signature", text=f"sacrebleu {reached.signature}, of {len(lines):,} lines, neither tokenised nor lower-cased")
        if split == "test":
            for name, others in self.others(pairs).items():
                compared = scores(others, references)
                yield Scalars(values={f"bleu/{name}": compared.bleu, f"chrf/{name}": compared.chrf})

    def loss(self, pairs: Sequence[Pair]) -> float:
        """The mean cross-entropy of every French word and end, in nats, the right words before it given. No label is smoothed."""
        sources = [self.english.encode(pair.english) for pair in pairs]
        targets = [self.french.encode(pair.french[0]) for pair in pairs]
        total = torch.zeros((), device=self.device)
        for asked, right in PairBatches(sources, targets, TOGETHER, np.random.default_rng(0), self.device):
            logits = self.told(asked, right)
            total += F.cross_entropy(logits.flatten(0, 1).float(), right.flatten(), ignore_index=PAD, reduction="sum")
        words = sum(len(target) + 1 for target in targets)
        return self.floats([total])[0] / words

    def translated(self, lines: Sequence[str]) -> list[list[int]]:
        """French codes of English lines, by greedy decoding."""
        coded = [self.english.encode(line) for line in lines]
        answers: list[list[int]] = [[] for _ in lines]
        order = sorted(range(len(lines)), key=lambda place: len(coded[place]))
        for start in range(0, len(order), TOGETHER):
            places = order[start : start + TOGETHER]
            written = self.written([coded[place] for place in places])
            for place, codes in zip(places, written.codes, strict=True):
                answers[place] = codes
        return answers

    def written(self, sources: Sequence[Sequence[int]], width: int = 0) -> Written:
        """What it writes for English codes: greedily, or of one sentence the candidates of a beam of this width, the best first."""
        codes = padded(sources).to(self.device)
        state = self.network.read(codes)
        # For each sentence by itself: the longest one beside it must not change its answer.
        most = [2 * len(source) + 10 for source in sources]
        return beam(self.step, state, most[0], width) if width else greedy(self.step, state, len(codes), most)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """The network's, which never writes that it does not know a word: the next likeliest one is better than a gap."""
        logits, state, weights = self.network.step(tokens, state)
        logits[:, UNKNOWN] = -torch.inf
        return logits, state, weights

    def others(self, pairs: Sequence[Pair]) -> dict[str, list[str]]:
        """What else could be written, by name: what a translator has to beat, and the most that this vocabulary could reach."""
        english = [pair.english for pair in pairs]
        known = [[code for code in self.french.encode(pair.french[0]) if code != UNKNOWN] for pair in pairs]
        followed = [self.written([self.english.encode(line)], TESTED_BEAM).codes[0] for line in english]
        return {
            "copied": english,
            "nearest": nearest(english, self.parts["train"]),
            "known_words": [self.french.line(codes) for codes in known],
            f"beam_{TESTED_BEAM}": [self.french.line(codes) for codes in followed],
        }

    # -- what it shows ------------------------------------------------------------------------------------------------------------------

    def sample(self, request: Any) -> Iterator[Event]:
        """A typed sentence in French, where it looked for each word, the beam's candidates, and sentences of the validation part."""
        marked, source = self.typed(request.sentence)
        written = self.written([source], request.beam)
        yield Text(tag="translation", prompt=" ".join(marked), text=self.french.line(written.codes[0]))
        words = [self.french.word(code) for code in written.codes[0]]
        yield Matrix(tag="alignment", values=written.weights[0].tolist(), rows=words, columns=marked)
        if request.beam > 1:
            candidates: list[list[str | float]] = [
                [round(score, 3), self.french.line(codes)] for score, codes in zip(written.scores, written.codes, strict=True)
            ]
            yield Table(tag="beam", columns=["log probability a word", "candidate"], rows=candidates)
        shown: list[list[str | float]] = []
        pairs = self.parts["valid"][:SHOWN]
        for pair, codes in zip(pairs, self.translated([pair.english for pair in pairs]), strict=True):
            line = self.french.line(codes)
            marked, _ = self.typed(pair.english)
            shown += [["source", " ".join(marked)], ["reference", pair.french[0]], ["written", line]]
            shown += [["BLEU", round(scores([line], [pair.french]).bleu, 1)]]
        yield Table(tag="examples", columns=["what", "sentence"], rows=shown)

    def typed(self, sentence: str) -> tuple[list[str], list[int]]:
        """A sentence's words, those that it does not know in ‹marks›, and their codes. Problem where there is none."""
        words, codes = tokens(sentence), self.english.encode(sentence)
        if not codes:
            raise Problem("sentence has no word.", "Type an English sentence.", "data")
        return [f"‹{word}›" if code == UNKNOWN else word for word, code in zip(words, codes, strict=True)], codes

    def predict(self, inputs: Any) -> Any:
        """`{"sentence": …, "beam": 4}` to `{"answer": …, "note": …}`; the note names the words that it does not know."""
        asked: Any = checked(self, inputs if isinstance(inputs, dict) else {"sentence": inputs})
        marked, source = self.typed(asked.sentence)
        unknown = [word for word, code in zip(marked, source, strict=True) if code == UNKNOWN]
        written = self.written([source], asked.beam)
        return {"answer": self.french.line(written.codes[0]), "note": f"unknown words: {', '.join(unknown)}" if unknown else ""}

    def serving(self) -> Serving:
        raise Problem("It reads a whole sentence before it writes a word: no coding of the served models does both.", "T explores it here.")


def nearest(lines: Sequence[str], train: Sequence[Pair]) -> list[str]:
    """The French of the training sentence that has the most similar words, by TF-IDF and the cosine: translation by looking up."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\w+", sublinear_tf=True)
    known = vectorizer.fit_transform([pair.english for pair in train])
    asked = vectorizer.transform(lines)
    # In pieces: all products of two thousand sentences with 100,000 would take a gigabyte.
    found = [np.asarray((asked[start : start + TOGETHER] @ known.T).todense()).argmax(1) for start in range(0, len(lines), TOGETHER)]
    return [train[place].french[0] for place in np.concatenate(found).tolist()]
