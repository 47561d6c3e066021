"""Learns word vectors from running text: skip-gram and CBOW with negative sampling, skip-gram with the full softmax. Recipes: word2vec-…"""

import time
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.datasets import running_words, word_tests
from workbench.encoding.serving import Serving
from workbench.events import Event, Scalars, Scatter, Table, Text
from workbench.problems import Problem, one_line
from workbench.torchkit import word_bias
from workbench.torchkit.batches import sent
from workbench.torchkit.optimization import step_size
from workbench.torchkit.project import TorchProject
from workbench.torchkit.schedules import set_rate
from workbench.torchkit.word_relations import WordVectors, plane, scored
from workbench.training.project import Field, Settings, only

LAST = 0.004
"""Share of the learning rate that is left at the end: from 0.025 to 0.0001, as in the authors' program."""
SAMPLED = ["skip-gram", "cbow"]
"""Objectives that learn from noise words."""
FREQUENT, PROBED = range(100), range(1000, 1100)
"""Ranks that the course draws its probes from: eight frequent words, eight less frequent ones."""
PROBES, NEAREST = 8, 5
"""Probes of either kind, and words in a line of neighbours."""
MAPPED = 500
"""Words on the map at the end of a run, the most frequent ones, as in the course."""
TIMED = 20
"""Training steps by which the speed is measured."""
ANALOGIES = [
    ("actor", "man", "woman"),
    ("king", "man", "woman"),
    ("better", "good", "bad"),
    ("films", "film", "movie"),
    ("he", "his", "her"),
]
"""What a - b + c is asked where a person asks nothing."""
OCCUPATIONS = "nurse secretary teacher doctor engineer scientist director homemaker"
"""Words whose lean is shown where a person names none."""


class Word2vec(TorchProject):
    """Two tables of vectors: of a word as the centre of a window, and of a word near it."""

    datasets = ("word-tests",)

    class Config(Settings):
        data: str = Field("imdb", min_length=1, json_schema_extra={"own": True})
        """Text to learn from: imdb, wikitext2:part, or a text file of your own as ./my.txt, in which an empty line ends a text."""
        objective: Literal["skip-gram", "cbow", "softmax"] = "skip-gram"
        """What is predicted: each near word from the centre word; the centre word from the mean of the near words (cbow); or each near word
        among all words (softmax), which costs as much as all words have weights."""
        size: int = Field(100, ge=1)
        """Numbers in a word's vector; more tell more words apart, and need more text."""
        window: int = Field(5, ge=1, le=50)
        """Most words on either side that count as near; each centre word draws its own reach from 1 to this, so close words count more."""
        negatives: int = only(5, when={"objective": SAMPLED}, ge=1)
        """Noise words for each pair of words; more make a step dearer, and help where there is little text."""
        shared: int = only(32, when={"objective": SAMPLED}, ge=1)
        """Neighbouring centre words that share their noise words, in one product of matrices; each noise word then counts so much that
        every pair has its negatives, so the expected gradient is the same. 1 shares them among the pairs of one centre word alone."""
        power: float = only(0.75, when={"objective": SAMPLED}, ge=0, le=1)
        """Exponent of the word frequencies that noise words are drawn by; 0 draws all words equally often, 1 as often as they are used."""
        subsample: float = Field(1e-4, ge=0)
        """Frequency above which uses of a word are left out at random, more the more frequent it is; lower leaves out more, 0 nothing."""
        fewest: int = Field(6, ge=1)
        """Least uses of a word that gets a vector; higher leaves more rare words out, as if they were not in the text."""
        start: Literal["small", "course"] = "small"
        """First vectors: evenly within half a number divided by the size, and zeros, as in the authors' program; or all within ±1."""
        learning_rate: float = step_size(0.025, "Step size of each pair (softmax: of Adam) at the beginning; it falls in a line to 0.4 %.")

    class Request(TorchProject.Request):
        word: str = Field("", max_length=60)
        """Word whose nearest words are listed; empty lists those of sixteen probes."""
        a: str = Field("", max_length=60)
        """First word of a - b + c, as king - man + woman; all three empty answer some examples."""
        b: str = Field("", max_length=60)
        """Word that is taken away from a."""
        c: str = Field("", max_length=60)
        """Word that is added to a - b."""
        count: int = Field(10, ge=1, le=30, json_schema_extra={"step": 1})
        """Number of nearest words that are listed of a typed word; more are less alike."""
        debias: bool = False
        """Take the direction from he to she out of all words that are not about a sex, before neighbours and a - b + c are looked up."""
        lean: str = Field("", max_length=500)
        """Words whose lean towards he or she is shown, with spaces between them; empty takes some occupations."""
        map: bool = False
        """Draw a map of frequent words by t-SNE, which takes some seconds."""
        search: str = only("", when={"map": True}, max_length=500)
        """Words to find on the map, with spaces between them; words that are not among the frequent ones are added."""
        mapped: int = only(MAPPED, when={"map": True}, ge=50, le=2000, step=50)
        """Number of frequent words on the map; more take longer: some seconds for 500, half a minute for 2,000."""
        seed: int = only(0, when={"map": True}, ge=0, le=100)
        """Random start of the map: what two maps agree on is in the vectors, the rest is chance."""

    def build_data(self) -> None:
        config = self.config
        self.corpus = running_words.read(config.data, self.folder, config.fewest)
        self.variant = self.corpus.variant
        self.tests = word_tests.read()
        self.kept = keep_shares(self.corpus.counts, config.subsample)
        self.noise_ends = noise_shares(self.corpus.counts, config.power).cumsum()
        self.noise_ends[-1] = 1.0  # rounding may leave it below, and a number drawn above it would have no word
        draw, most = np.random.default_rng(0), len(self.corpus.words)
        ranks = [np.arange(min(part.start, most), min(part.stop, most)) for part in (FREQUENT, PROBED)]
        self.probes = [int(rank) for part in ranks for rank in sorted(draw.permutation(part)[:PROBES])]

    def build_model(self) -> None:
        shape = (len(self.corpus.words), self.config.size)
        small = self.config.start == "small"
        reach = 0.5 / self.config.size if small else 1.0
        self.inputs = torch.empty(shape, device=self.device).uniform_(-reach, reach)
        self.outputs = torch.zeros(shape, device=self.device) if small else torch.empty(shape, device=self.device).uniform_(-1, 1)
        # Every step of the softmax changes all output vectors: there plain steps diverge before they learn, so the course takes Adam.
        softmax = self.config.objective == "softmax"
        self.optimizer: Any = torch.optim.Adam([self.inputs, self.outputs]) if softmax else None

    # -- training -----------------------------------------------------------------------------------------------------------------------

    def batches(self, epoch: int, rng: np.random.Generator) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Stretches of the subsampled text, its texts in another order each epoch, in groups of `shared` centre words.

        words and texts (groups · shared + 2 · window,): each word's code and the number of its text; reach (groups, shared): how far the
        window of each centre word reaches; noise (groups, noise words).
        """
        config = self.config
        window, shared = config.window, config.shared
        codes, texts = subsampled(self.corpus, self.kept, rng)
        groups = -(-len(codes) // shared)
        filling = groups * shared - len(codes)
        reach = rng.integers(1, window + 1, len(codes), np.int32)
        # At least so many that a centre word alone has its negatives.
        number = max(shared, config.negatives) if config.objective in SAMPLED else 0
        noise = np.searchsorted(self.noise_ends, rng.random((groups, number)), "right")
        # What fills up the last group reaches nowhere and is of no text, so it is in no pair.
        arrays = (
            np.pad(codes.astype(np.int64), (window, filling + window)),
            np.pad(texts, (window, filling + window), constant_values=-1),
            np.pad(reach, (0, filling)).reshape(groups, shared),
            noise,
        )
        words, texts_of, reaches, noises = (sent(array, self.device) for array in arrays)
        at_once = max(1, self.train.batch_size // shared)
        stretches = []
        for first in range(0, groups, at_once):
            last = min(first + at_once, groups)
            place = slice(first * shared, last * shared + 2 * window)
            stretches.append((words[place], texts_of[place], reaches[first:last], noises[first:last]))
        return stretches

    @torch.no_grad()
    def train_step(self, batch: Any) -> dict[str, Any]:
        words, texts, reach, noise = batch
        rate = self.config.learning_rate * max(1 - self.progress, LAST)
        pairs = near(texts, reach, self.config.window).to(self.inputs.dtype)  # (groups, shared, shared + 2 · window)
        step = {"skip-gram": self.skip_gram, "cbow": self.cbow, "softmax": self.softmax}[self.config.objective]
        loss, count = step(words, pairs, noise, rate)
        return {"loss": loss / count.clamp(min=1), "learning_rate": rate}

    def skip_gram(self, words: Tensor, pairs: Tensor, noise: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """One step down the gradient of -ln σ(centre · near) - Σ ln σ(-centre · noise) of every pair; returns its sum and the pairs."""
        centres, around = self.stretch(words, pairs)
        # A noise word stands for all pairs of its centre word: over all noise words, each pair has its negatives.
        weight = pairs.sum(2, keepdim=True) * (self.config.negatives / noise.shape[1])
        others = torch.cat((around, noise), 1)  # (groups, shared + 2 · window + noise words)
        weights = torch.cat((pairs, weight.expand(-1, -1, noise.shape[1])), 2)
        loss, to_centres, to_others = contrast(look_up(self.inputs, centres), look_up(self.outputs, others), weights, around.shape[1])
        # Only the rows that were used have a gradient: of 26,000 a step touches a few hundred.
        descend(self.inputs, centres, to_centres, rate)
        descend(self.outputs, others, to_others, rate)
        return loss, pairs.sum()

    def cbow(self, words: Tensor, pairs: Tensor, noise: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """The same with the mean of the near words in the place of the centre word, and the centre word in the place of a near one."""
        centres, around = self.stretch(words, pairs)
        number = pairs.sum(2, keepdim=True)
        shares = pairs / number.clamp(min=1)
        known = (number > 0).to(pairs.dtype)  # a text of one word predicts nothing
        others = torch.cat((centres, noise), 1)
        # Each mean has one right answer among its group's centre words: its own.
        own = torch.eye(centres.shape[1], device=pairs.device) * known
        weights = torch.cat((own, (known * (self.config.negatives / noise.shape[1])).expand(-1, -1, noise.shape[1])), 2)
        contexts = shares @ look_up(self.inputs, around)
        loss, to_contexts, to_others = contrast(contexts, look_up(self.outputs, others), weights, centres.shape[1])
        descend(self.inputs, around, shares.mT @ to_contexts, rate)
        descend(self.outputs, others, to_others, rate)
        return loss, known.sum()

    def softmax(self, words: Tensor, pairs: Tensor, noise: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """One step of Adam on the mean cross-entropy of each near word among all words: the course's first version."""
        centres, around = self.stretch(words, pairs)
        right = around[:, None].expand(pairs.shape).flatten(0, 1)  # (centre words, words around)
        counts = pairs.flatten(0, 1)
        rows = look_up(self.inputs, centres).flatten(0, 1)
        logits = rows @ self.outputs.T  # (centre words, words)
        logarithms = logits.log_softmax(1)
        loss = -(counts * logarithms.gather(1, right)).sum()
        # All pairs of a centre word have the same softmax: one row of slopes for them all.
        slopes = logarithms.exp_().mul_(counts.sum(1, keepdim=True)).scatter_add_(1, right, -counts)
        slopes /= counts.sum().clamp(min=1)
        self.inputs.grad = torch.zeros_like(self.inputs).index_add_(0, centres.flatten(), slopes @ self.outputs)
        self.outputs.grad = slopes.T @ rows
        set_rate(self.optimizer, rate)
        self.optimizer.step()
        return loss, counts.sum()

    def stretch(self, words: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """The codes of the centre words (groups, shared), and of all words within their reach (groups, shared + 2 · window)."""
        window, (_, shared, wide) = self.config.window, pairs.shape
        return words[window : len(words) - window].view(-1, shared), words.unfold(0, wide, shared)

    # -- what it shows ------------------------------------------------------------------------------------------------------------------

    def vectors(self) -> WordVectors:
        """The vectors of words as centres: those that are used, as everywhere."""
        return WordVectors(self.corpus.words, self.inputs.cpu().numpy())

    def evaluate(self, split: str) -> Iterator[Event]:
        """Share of Mikolov's analogies that are right, and the rank correlation with rated pairs; no text is held out, as in the course.

        At the end also the speed, in words of the text a second of the processor's time, rare and left out uses included, and a map.
        """
        vectors = self.vectors()
        if isinstance(self.tests, str):
            yield Text(tag="analogies", text=self.tests)
        else:
            values, rows = scored(vectors, self.tests)
            yield Scalars(values=values)
            yield Table(tag="by section", columns=["section", "right", "asked", "share"], rows=rows)
        if split == "test":
            yield Scalars(values={"words_per_second": self.speed()})
            yield self.map(vectors, MAPPED, 0, "")

    def speed(self) -> float:
        """Words of the text a second of the processor's time, the drawing of an epoch included; the weights are put back."""
        state = self.state()
        began = time.process_time()
        stretches = self.batches(0, np.random.default_rng(0))
        drawn = time.process_time()
        for batch in stretches[:TIMED]:
            self.train_step(batch)
        step = (time.process_time() - drawn) / max(1, len(stretches[:TIMED]))
        self.load_state(state)
        return len(self.corpus.codes) / max(drawn - began + step * len(stretches), 1e-9)

    def sample(self, request: Any) -> Iterator[Event]:
        """Nearest words, a - b + c, a map where it is asked for, and how words lean towards he or she before and after debiasing."""
        plain = self.vectors()
        along = word_bias.direction(plain)
        fair = None if along is None else word_bias.debiased(plain, along)
        vectors = fair if request.debias and fair else plain
        yield self.neighbours(vectors, request.word, request.count)
        yield self.analogy(vectors, request)
        if request.map:
            yield self.map(vectors, request.mapped, request.seed, request.search)
        if along is None or fair is None:
            yield Text(tag="bias", text="The text has no pair of words such as she and he, so there is no direction to look along.")
        else:
            yield from self.bias(plain, fair, along, request.lean)

    def neighbours(self, vectors: WordVectors, word: str, count: int) -> Table:
        """The nearest words of one word with their cosines, or a line for each probe."""
        if word.strip():
            code = vectors.code(word, "word")
            nearest, uses = vectors.neighbours(code, count), self.corpus.counts
            rows: list[list[str | float]] = [[name, round(cosine, 4), int(uses[vectors.index[name]])] for name, cosine in nearest]
            return Table(tag="neighbours", columns=[f"near {vectors.words[code]}", "cosine", "uses"], rows=rows)
        lines: list[list[str | float]] = [
            [vectors.words[code], " ".join(name for name, _ in vectors.neighbours(code, NEAREST))] for code in self.probes
        ]
        return Table(tag="neighbours", columns=["word", "nearest words"], rows=lines)

    def analogy(self, vectors: WordVectors, request: Any) -> Table:
        """The words nearest to a - b + c, or the nearest one of some examples."""
        asked = (request.a, request.b, request.c)
        if any(word.strip() for word in asked):
            a, b, c = (vectors.code(word, field) for field, word in zip("abc", asked, strict=True))
            heading = f"{vectors.words[a]} - {vectors.words[b]} + {vectors.words[c]}"
            rows: list[list[str | float]] = [[name, round(cosine, 4)] for name, cosine in vectors.analogy(a, b, c, request.count)]
            return Table(tag="analogy", columns=[heading, "cosine"], rows=rows)
        rows = []
        for words in ANALOGIES:
            codes = [vectors.index[word] for word in words if word in vectors.index]
            for name, cosine in vectors.analogy(codes[0], codes[1], codes[2], 1) if len(codes) == 3 else ():
                rows.append(["{} - {} + {}".format(*words), name, round(cosine, 4)])
        return Table(tag="analogy", columns=["a - b + c", "nearest word", "cosine"], rows=rows)

    def bias(self, plain: WordVectors, fair: WordVectors, along: np.ndarray, named: str) -> Iterator[Event]:
        """How words lean, what he is to them as she is to …, and what of the lean a classifier still finds; each before and after."""
        words = named.lower().split() or OCCUPATIONS.split()
        both = zip(words, word_bias.leans(plain, along, words), word_bias.leans(fair, along, words), strict=True)
        rows: list[list[str | float]] = []
        for word, before, after in both:
            if before is None or after is None:
                rows.append([one_line(word, 40), "too rare", "", ""])
            else:
                rows.append([word, int(self.corpus.counts[plain.index[word]]), round(before, 4), round(after, 4) + 0.0])  # no -0
        yield Table(tag="bias", columns=["word", "uses", "to she (+)", "debiased"], rows=rows)

        if {"he", "she"} <= plain.index.keys():
            # Words about a sex keep their side, so they would be nearest to all that is moved along it.
            about, rows = [plain.index[word] for word in word_bias.SPECIFIC if word in plain.index], []
            for word in words:
                if word in plain.index:
                    codes = (plain.index[word], plain.index["he"], plain.index["she"])
                    nearest = (vectors.analogy(*codes, 1, about) for vectors in (plain, fair))
                    rows.append([word, *(answer[0][0] if answer else "–" for answer in nearest)])
            yield Table(tag="he to she", columns=["word - he + she", "nearest", "debiased"], rows=rows)

        chosen, leans = word_bias.sides(plain, along, self.corpus.counts)
        rows = [
            [name, len(leans), "–" if share is None else round(share, 4)]
            for name, unit in (("before", plain.unit), ("debiased", fair.unit))
            for share in [word_bias.recovered(unit[chosen], leans)]
        ]
        # The side is that before: the words still stand beside those that they stood beside.
        mixed = word_bias.recovered(fair.unit[chosen], np.random.default_rng(0).permutation(leans))
        rows.append(["sides mixed", len(leans), "–" if mixed is None else round(mixed, 4)])
        yield Table(tag="side recovered", columns=["vectors", "words", "accuracy"], rows=rows)

    def map(self, vectors: WordVectors, count: int, seed: int, search: str) -> Scatter:
        """Frequent words in a plane by t-SNE; words that are searched have a colour and a name of their own."""
        sought = [vectors.code(word, "search") for word in search.split()]
        shown = list(dict.fromkeys([*range(min(count, len(vectors.words))), *sought]))
        if len(shown) < 4:
            raise Problem(f"The map needs 4 words, and the text has {len(shown)}.", "", "data")
        places = plane(vectors.unit[shown], seed)
        labels = [vectors.words[code] if code in sought else "words" for code in shown]
        return Scatter(tag="map", x=places[:, 0].tolist(), y=places[:, 1].tolist(), labels=labels)

    def serving(self) -> Serving:
        raise Problem("Word vectors are a table, and no network that answers.", "`dlwb explore RUN`, or T on its screen, looks words up.")


def keep_shares(counts: np.ndarray, threshold: float) -> np.ndarray:
    """(words,): the share √(threshold / frequency) of each word's uses that stays, at most 1 (Mikolov et al. 2013); 0 keeps all."""
    frequencies = counts / counts.sum()
    return np.minimum(1.0, np.sqrt(threshold / frequencies)) if threshold else np.ones(len(counts))


def noise_shares(counts: np.ndarray, power: float) -> np.ndarray:
    """(words,): the probability of each word as noise, its frequency to the power of `power`."""
    weights = counts.astype(float) ** power
    shares: np.ndarray = weights / weights.sum()
    return shares


def subsampled(corpus: running_words.RunningWords, keep: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The codes that stay of the texts in a new order, and the number of each one's text: (tokens,) each."""
    order = rng.permutation(len(corpus.lengths))
    lengths = corpus.lengths[order]
    ends, new_ends = corpus.lengths.cumsum(), lengths.cumsum()
    # Where each text begins in the corpus, less where it begins in the new order.
    places = np.arange(len(corpus.codes)) + np.repeat((ends[order] - lengths) - (new_ends - lengths), lengths)
    codes, texts = corpus.codes[places], np.repeat(np.arange(len(order), dtype=np.int32), lengths)
    kept = rng.random(len(codes)) < keep[codes]
    return codes[kept], texts[kept]


def near(texts: Tensor, reach: Tensor, window: int) -> Tensor:
    """(groups, shared, shared + 2 · window) bool: whether a word is within the reach of a centre word, in the same text, and not itself."""
    shared = reach.shape[1]
    wide = shared + 2 * window
    steps = torch.arange(wide, device=texts.device)
    distance = (steps - window - steps[:shared, None]).abs()  # (shared, wide)
    inside = (distance <= reach[:, :, None]) & (distance > 0)
    around, centres = texts.unfold(0, wide, shared), texts[window : len(texts) - window].view(-1, shared)
    return inside & (around[:, None] == centres[:, :, None])


def contrast(contexts: Tensor, others: Tensor, weights: Tensor, right: int) -> tuple[Tensor, Tensor, Tensor]:
    """The weighted sum of -ln σ(score) of the first `right` words and of -ln σ(-score) of the rest, and its two gradients.

    contexts (groups, shared, size), others (groups, words, size), weights (groups, shared, words); a score is a dot product.
    """
    scores = contexts @ others.mT
    # The slope along a score is σ(score) - 1 where it is right, σ(score) where it is noise.
    slopes = scores.sigmoid()
    slopes[..., :right] -= 1
    slopes *= weights
    scores[..., right:].neg_()
    loss = -(weights * F.logsigmoid(scores)).sum()
    return loss, slopes @ others, slopes.mT @ contexts


def look_up(table: Tensor, codes: Tensor) -> Tensor:
    """Rows of a table, (…, size): what one-hot vectors times the table would be, without multiplying by all the zeros."""
    return F.embedding(codes, table)


def descend(table: Tensor, codes: Tensor, gradients: Tensor, rate: float) -> None:
    """Take a step down the gradients (…, size) of the rows `codes` (…) of a table; a row that stands more than once has their sum."""
    table.index_add_(0, codes.flatten(), gradients.flatten(0, -2), alpha=-rate)
