"""Translates English into French word by word with attention. Recipes: translation, translation-scores, translation-tatoeba."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench import preparation
from workbench.datasets import sentence_pairs
from workbench.datasets.sentence_pairs import Pair, tokens, vocabulary
from workbench.encoding.serving import Serving
from workbench.events import Event, Matrix, Scalars, Table, Text
from workbench.problems import Problem
from workbench.torchkit import language
from workbench.torchkit.attention import Attention, Kind
from workbench.torchkit.optimization import Clipping, LearningRate
from workbench.torchkit.project import TorchProject
from workbench.torchkit.sequence_pairs import PAD, UNKNOWN, PairBatches, State, Written, beam, greedy, mask, padded, scores, shifted
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


class Translation(TorchProject):
    """An encoder reads an English sentence both ways, and a decoder writes French ones, looking back at each word."""

    takes = "text"

    class Config(LearningRate, Clipping):
        data: Literal["multi30k", "tatoeba-fr"] = "multi30k"
        """Sentences to learn from: descriptions of photographs, or short sentences of all kinds by volunteers."""
        least: int = Field(sentence_pairs.LEAST, ge=1)
        """Uses in the training part that a word needs to be known; higher makes a smaller, faster network that knows fewer words."""
        attention: Kind = "additive"
        """How the decoder's state scores a place of the sentence; concat and additive are the same function."""
        embedding: int = Field(256, ge=1)
        """Length of a word's learned embedding vector; higher tells words apart better, and costs time."""
        hidden: int = Field(256, ge=1)
        """Units of the GRU of each direction, and of the decoder's; more translate better and cost time."""
        dropout: float = Field(0.3, ge=0, lt=1)
        """Dropout probability of word vectors, of the encoder's states and before the output layer; higher reduces overfitting."""
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
        self.english = vocabulary((pair.english for pair in data.parts["train"]), "English", self.config.least)
        self.french = vocabulary((french for _, french in train), "French", self.config.least)
        coded = [(self.english.encode(english), self.french.encode(french)) for english, french in train]
        usable = [(source, target) for source, target in coded if source and target and max(len(source), len(target)) <= LONGEST]
        if not usable:
            raise Problem("No pair is short enough to learn from.", "", "data")
        self.sources, self.targets = [source for source, _ in usable], [target for _, target in usable]
        sizes = f"{len(self.english.words):,} English and {len(self.french.words):,} French words"
        left_out = f"{len(coded) - len(usable):,} pairs longer than {LONGEST} words"
        preparation.found("words", sizes, f"those with at least {self.config.least} uses", left_out)

    def build_model(self) -> None:
        self.network = Network(len(self.english), len(self.french), self.config).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.config.learning_rate, fused=True)

    # -- training -----------------------------------------------------------------------------------------------------------------------

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        return PairBatches(self.sources, self.targets, self.train.batch_size, rng, self.device)

    def train_step(self, batch: Any) -> dict[str, Any]:
        sources, targets = batch  # (sentences, English words), (sentences, French words and END)
        rate = self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        with self.autocast():
            # Teacher forcing: the decoder is told the right word before each one, whatever it would have written itself.
            logits = self.network.write(shifted(targets), self.network.read(sources))  # (sentences, French words and END, vocabulary)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=self.config.label_smoothing)
        loss.backward()
        # Between backward and step; the norm before clipping is logged, as it shows exploding gradients.
        norm = self.config.clip_gradients(self.network.parameters())
        self.optimizer.step()
        return {"loss": loss, "gradient_norm": norm, **rate}

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
            logits = self.network.write(shifted(right), self.network.read(asked))
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
        return beam(self.network.step, state, most[0], width) if width else greedy(self.network.step, state, len(codes), most)

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
        words, codes = tokens(sentence, "English"), self.english.encode(sentence)
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
        logits = self.output(features)
        # It never writes that it does not know a word: the next likeliest one is better than a gap.
        logits[:, UNKNOWN] = -torch.inf
        return logits, state, weights
