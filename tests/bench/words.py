"""Word vectors against gensim: words a second as a ratio, and what both reach, on the same film reviews with one thread.

    DLWB_MIRROR=<folder with the real data sets> python tests/bench/words.py [--reviews 4000] [--epochs 1] [--turns 5] [--cbow]
    … python tests/bench/words.py --judge SEEDS [--epochs 5] [--gensim-only | --ours-only]

The first times both in turns, in a new order each time; a ratio is made within a turn. Counted are the words of the text with 6 uses and
more, before subsampling, for each epoch. Ours is what the loop does, drawing the epochs and the training steps; gensim's is `train` with
one worker, its vocabulary built before. Both have 100 numbers, windows of 1 to 5, 5 negatives, exponent 0.75, subsampling at 1e-4, and a
learning rate that falls from 0.025. Ours shares noise words among 32 neighbouring centre words (--shared), each counted so that a pair has
5; gensim draws 5 for each pair, and keeps slightly more uses of frequent words, by its own formula. --judge trains both on all reviews and
prints analogies (questions-words) and similarity (WordSim-353), both files from gensim's wheel, scored by the lesson's code.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from gensim import __version__ as gensim_version
from gensim.models import Word2Vec as Gensim
from gensim.test.utils import datapath

from workbench.datasets import running_words, word_tests
from workbench.projects.recurrent_networks.word2vec import Word2vec
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.word_relations import WordVectors, scored


def texts_of(corpus: running_words.RunningWords, most: int) -> list[list[str]]:
    """The first texts as words."""
    parts = np.split(corpus.codes, corpus.lengths.cumsum()[:-1])[: most or None]
    return [[corpus.words[code] for code in part] for part in parts]


def ours(folder: Path, asked: argparse.Namespace, seed: int, objective: str) -> tuple[Word2vec, Any]:
    """The lesson's project on a text file, built; and what trains it."""
    rate = 0.1 if objective == "cbow" else 0.025
    config = Word2vec.Config(data="./words.txt", objective=objective, learning_rate=rate, shared=asked.shared)
    project = Word2vec(config, Train(batch_size=asked.batch, epochs=asked.epochs), Compute(device="cpu", threads=1), seed, folder)
    project.build()

    def train() -> None:
        for epoch in range(asked.epochs):
            batches = project.batches(epoch, np.random.default_rng([seed, epoch]))
            for step, stretch in enumerate(batches):
                project.progress = (epoch + step / len(batches)) / asked.epochs
                # As the loop keeps each step's numbers.
                project.keep(project.train_step(stretch))

    return project, train


def theirs(source: dict[str, Any], epochs: int, seed: int, objective: str) -> tuple[Gensim, Any]:
    """gensim's model with its vocabulary, and what trains it; `source` is its argument, texts in memory or a file of lines."""
    model = Gensim(
        vector_size=100, window=5, min_count=6, sg=int(objective == "skip-gram"), negative=5, ns_exponent=0.75, sample=1e-4, alpha=0.025,
        min_alpha=0.0001, workers=1, seed=seed, epochs=epochs,
    )  # fmt: skip
    model.build_vocab(**source)
    counts = {"total_examples": model.corpus_count, "total_words": model.corpus_total_words}
    return model, lambda: model.train(**source, **counts, epochs=epochs)


def timed(train: Any) -> tuple[float, float]:
    """Wall and processor seconds."""
    began, worked = time.perf_counter(), time.process_time()
    train()
    return time.perf_counter() - began, time.process_time() - worked


def speed(asked: argparse.Namespace, texts: list[list[str]], folder: Path) -> None:
    objective = "cbow" if asked.cbow else "skip-gram"
    taken: dict[str, list[tuple[float, float]]] = {}
    sources = {"gensim": {"corpus_iterable": texts}, "gensim from a file": {"corpus_file": str(folder / "lines.txt")}}
    for turn in range(-1, asked.turns):  # the first warms everything up and is not counted
        project, run_ours = ours(folder, asked, 1, objective)
        sides = {"ours": run_ours, **{name: theirs(source, asked.epochs, 1, objective)[1] for name, source in sources.items()}}
        seconds = {side: timed(sides[side]) for side in sorted(sides, reverse=bool(turn % 2))}
        if turn >= 0:
            for side, both in seconds.items():
                taken.setdefault(side, []).append(both)
    words = len(project.corpus.codes) * asked.epochs
    print(f"{objective}, {words:,} words; median words a second of the processor:")
    for side, times in taken.items():
        print(f"  {side}: {words / statistics.median(worked for _, worked in times):,.0f}")
    for side in sources:
        for place, clock in enumerate(("wall", "processor")):
            ratios = [other[place] / mine[place] for other, mine in zip(taken[side], taken["ours"], strict=True)]
            middle = statistics.median(ratios)
            print(f"  ours / {side}, {clock:<9} median {middle:.2f}, {min(ratios):.2f} to {max(ratios):.2f}", flush=True)


def judge(asked: argparse.Namespace, texts: list[list[str]], folder: Path) -> None:
    objective = "cbow" if asked.cbow else "skip-gram"
    questions = word_tests.analogies(Path(datapath("questions-words.txt")).read_text())
    tests = word_tests.WordTests(questions, word_tests.pairs(Path(datapath("wordsim353.tsv")).read_text()))
    for seed in range(1, asked.judge + 1):
        if not asked.gensim_only:
            project, train = ours(folder, asked, seed, objective)
            say(f"ours, {objective}, seed {seed}", timed(train), project.vectors(), tests)
        if not asked.ours_only:
            model, train = theirs({"corpus_iterable": texts}, asked.epochs, seed, objective)
            say(f"gensim, {objective}, seed {seed}", timed(train), WordVectors(model.wv.index_to_key, model.wv.vectors), tests)


def say(name: str, seconds: tuple[float, float], vectors: WordVectors, tests: word_tests.WordTests) -> None:
    values, rows = scored(vectors, tests)
    figures = ", ".join(f"{key} {value:.4f}" for key, value in values.items() if value is not None)
    print(f"{name}: {figures}; {rows[-2][2]} questions, {rows[-1][2]} pairs; {seconds[0]:.0f} s, {seconds[1]:.0f} s of the processor")
    print("   ", "; ".join(f"{section} {share}" for section, _, _, share in rows[:-2]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reviews", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--shared", type=int, default=32)
    parser.add_argument("--cbow", action="store_true")
    parser.add_argument("--judge", type=int, default=0)
    parser.add_argument("--gensim-only", action="store_true")
    parser.add_argument("--ours-only", action="store_true")
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; torch {torch.__version__}, gensim {gensim_version}; one thread")
    texts = texts_of(running_words.read("imdb", Path(), 6), 0 if asked.judge else asked.reviews)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "words.txt").write_text("\n\n".join(" ".join(text) for text in texts))
        (folder / "lines.txt").write_text("\n".join(" ".join(text) for text in texts))
        (judge if asked.judge else speed)(asked, texts, folder)


if __name__ == "__main__":
    main()
