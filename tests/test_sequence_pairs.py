"""Pairs of sequences: padding and masks, greedy and beam decoding against all sequences there are, scores against sacrebleu's own words."""

import gzip
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workbench.datasets import letter_pairs, sentence_pairs
from workbench.datasets.sentence_pairs import tokens, vocabulary
from workbench.problems import Problem
from workbench.torchkit import sequence_pairs
from workbench.torchkit.sequence_pairs import (
    END,
    PAD,
    START,
    UNKNOWN,
    PairBatches,
    beam,
    exact_match,
    greedy,
    mask,
    padded,
    scores,
    shifted,
)

WORDS = 7
"""Vocabulary of the made decoder: PAD, START, END, UNKNOWN and three words."""


def decoder(seed: int, places: int = 6) -> Any:
    """A decoder whose logits depend on all that it wrote: `step`, a state for n sequences, and the log probability of a sequence."""
    tables = torch.randn(5, WORDS, 3, WORDS, generator=torch.Generator().manual_seed(seed))

    def step(wrote: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        count, memory, source = state
        memory = (memory * 2 + wrote + source) % 3
        logits = tables[count.clamp(max=4), wrote, memory] * 2
        weights = torch.nn.functional.one_hot((wrote + source) % places, places).float()
        return logits, (count + 1, memory, source), weights

    def begun(sources: list[int]) -> tuple[Tensor, ...]:
        zeros = torch.zeros(len(sources), dtype=torch.int64)
        return zeros, zeros, torch.tensor(sources)

    return step, begun


def test_rows_are_padded_and_masked_and_shifted() -> None:
    codes = padded([[5, 6, 7], [8], []])
    assert codes.dtype == torch.int64 and codes.tolist() == [[5, 6, 7], [8, PAD, PAD], [PAD] * 3]
    assert mask(codes).tolist() == [[True] * 3, [True, False, False], [False] * 3]
    assert shifted(torch.tensor([[5, 6, END], [8, END, PAD]])).tolist() == [[START, 5, 6], [START, 8, END]]
    assert padded([]).shape == (0, 0) and padded([[], []]).shape == (2, 0)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy_and_a_wide_one_finds_the_likeliest_of_all(seed: int) -> None:
    step, begun = decoder(seed)
    most = 4
    alone, together = [greedy(step, begun([source]), 1, most) for source in range(3)], greedy(step, begun([0, 1, 2]), 3, most)
    for source in range(3):
        narrow = beam(step, begun([source]), most, 1)
        # Whatever stands beside it in the batch.
        assert narrow.codes == alone[source].codes == [together.codes[source]]
        assert torch.equal(narrow.weights[0], alone[source].weights[0]) and torch.equal(narrow.weights[0], together.weights[source])
        assert narrow.scores == pytest.approx(alone[source].scores) and narrow.scores == pytest.approx([together.scores[source]])
        assert narrow.weights[0].shape == (len(narrow.codes[0]), 6)
        # Wide enough for every sequence that there is: then the best of the beam is the best of all.
        everything = beam(step, begun([source]), most, 4 ** (most + 1))
        best = max(
            (logged(step, begun([source]), list(codes), most), list(codes))
            for length in range(most + 1)
            for codes in itertools.product([UNKNOWN, 4, 5, 6], repeat=length)
        )
        assert everything.scores[0] == pytest.approx(best[0]) and everything.codes[0] == best[1]
        assert everything.scores == sorted(everything.scores, reverse=True)
        assert everything.scores[0] >= narrow.scores[0]


def logged(step: Any, state: Any, codes: list[int], most: int) -> float:
    """The mean log probability of a sequence with its end, word by word."""
    wanted = codes if len(codes) == most else [*codes, END]
    total, before = 0.0, START
    for code in wanted:
        logits, state, _ = step(torch.tensor([before]), state)
        allowed = logits[0].clone()
        allowed[[PAD, START]] = -math.inf
        total += float(allowed.log_softmax(0)[code])
        before = code
    return total / len(wanted)


def test_padding_and_start_are_never_written_and_what_does_not_end_is_cut() -> None:
    def wishes(wrote: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        return torch.tensor([[9.0, 8, 0, 1, 2]]).expand(len(wrote), 5), state, torch.zeros(len(wrote), 2)

    state = (torch.zeros(2, 1),)
    assert greedy(wishes, state, 2, 3).codes == [[4, 4, 4]] * 2
    assert beam(wishes, (torch.zeros(1, 1),), 3, 2).codes[0] == [4, 4, 4]
    assert greedy(wishes, state, 2, 0).codes == [[], []]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(4, 9), max_size=6), min_size=1, max_size=80), st.integers(1, 7), st.integers(0, 9))
def test_batches_hold_every_pair_once_with_little_padding(rows: list[list[int]], size: int, seed: int) -> None:
    numbered = [[*row, 10 + place] for place, row in enumerate(rows)]
    batches = PairBatches(numbered, rows, size, np.random.default_rng(seed), torch.device("cpu"))
    seen = []
    for sources, targets in batches:
        assert len(sources) <= size and (sources[:, -1] != PAD).any() and ((targets == END).sum(1) == 1).all()
        for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
            seen.append([code for code in source if code != PAD])
            assert target[: len(seen[-1]) - 1] == seen[-1][:-1] and target[len(seen[-1]) - 1] == END
    assert sorted(seen) == sorted(numbered) and len(batches) == len(list(batches))
    again = PairBatches(numbered, rows, size, np.random.default_rng(seed), torch.device("cpu"))
    assert all(torch.equal(one, other) for pairs in zip(batches, again, strict=True) for one, other in zip(*pairs, strict=True))


def test_exact_match_is_of_whole_rows() -> None:
    assert exact_match([[4, 5], [4], []], [[4, 5], [4, 4], []]) == pytest.approx(2 / 3)
    assert exact_match([], []) == 0


def test_references_against_themselves_are_100_and_tokenised_or_lower_cased_text_scores_otherwise() -> None:
    pytest.importorskip("sacrebleu")
    lines = ["Un homme en t-shirt bleu se tient sur une échelle.", "L'enfant joue avec un ballon, seul."] * 3
    same = scores(lines, [[line] for line in lines])
    assert same.bleu == pytest.approx(100) and same.chrf == pytest.approx(100) and "case:mixed" in same.signature
    assert same.bleus() == pytest.approx([100] * 4)
    other = [line.replace("homme", "garçon").replace("ballon", "chien") for line in lines]
    honest = scores(other, [[line] for line in lines])
    # The cheat: what is cut into words and lower-cased, on both sides, scores higher or lower, but is no score of these lines.
    cheated = scores([" ".join(tokens(line.lower())) for line in other], [[" ".join(tokens(line.lower()))] for line in lines])
    assert honest.bleu < 100 and abs(cheated.bleu - honest.bleu) > 0.5
    # Two references: what only the second one has counts, too; five of them are used.
    both = scores(other, [[line, answer] for line, answer in zip(lines, other, strict=True)])
    assert both.bleu == pytest.approx(100) and "nrefs:2" in both.signature
    with pytest.raises(Problem, match="at least one line"):
        scores([], [])


def test_brevity_is_part_of_bleu_4() -> None:
    pytest.importorskip("sacrebleu")
    lines = ["Un homme en bleu se tient sur une échelle dans la rue ."]
    cut = scores(["Un homme en bleu se tient sur une"], [lines])
    assert cut.precisions == pytest.approx((100,) * 4) and 0 < cut.brevity < 1
    assert cut.bleu == pytest.approx(100 * cut.brevity) and cut.bleus()[3] == pytest.approx(cut.bleu)


def test_sacrebleu_is_named_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(Problem, match=r"needs sacrebleu.*dlwb\[text\]"):
        scores(["a"], [["a"]])


# -- readers --------------------------------------------------------------------------------------------------------------------------


def test_the_letters_are_the_course_s_and_no_row_is_in_two_parts(mirror: Any) -> None:
    parts = letter_pairs.read().parts
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 6107, "valid": 800, "test": 800}
    rows = [row for part in parts.values() for row in part]
    assert len(set(rows)) == len(rows) == 7707 and {len(row) for row in rows} == set(range(1, 8))
    long = [row for row in rows if len(row) >= 4]
    assert len(long) == 5792 and sum(row == letter_pairs.ordered(row) for row in long) / len(long) == pytest.approx(0.020, abs=5e-4)


def test_the_sentences_are_the_whole_sets_and_no_english_sentence_is_in_two_parts(mirror: Any) -> None:
    multi30k = sentence_pairs.read("multi30k")
    assert {part: len(pairs) for part, pairs in multi30k.parts.items()} == {"train": 29_000, "valid": 1014, "test": 1000}
    assert multi30k.variant == "Multi30k, English and French in place of the course's small vocabulary of 227 English words"
    train = multi30k.parts["train"]
    english, french = vocabulary(p.english for p in train), vocabulary(p.french[0] for p in train)
    assert (len(english.words), len(french.words)) == (5894, 6430)
    # What a reference becomes on its way through words and back is nearly always itself.
    lines = [pair.french[0] for pair in train[:2000]]
    full = vocabulary(lines, least=1)
    assert sum(full.line(full.encode(line)) == line for line in lines) > 0.95 * len(lines)
    tatoeba = sentence_pairs.read("tatoeba-fr").parts
    sentences = [pair.english for pairs in tatoeba.values() for pair in pairs]
    assert len(set(sentences)) == len(sentences) == 98_659 and [len(tatoeba[part]) for part in ("valid", "test")] == [1000, 1000]


def test_words_and_lines() -> None:
    assert tokens('L\'homme gris-bleu dit : "Où ?"') == ["L", "'", "homme", "gris", "-", "bleu", "dit", ":", '"', "Où", "?", '"']
    lines = ['Il dit : "Noël, c\'est à la TV".', "L'homme (seul) crie !", "À Noël, il dort devant la TV."]
    known = vocabulary(lines, least=1)
    assert [known.line(known.encode(line)) for line in lines] == lines
    assert known.encode("Le chien dort.")[:2] == [sentence_pairs.RESERVED - 1] * 2 and known.line([]) == ""
    assert vocabulary(lines).encode("seul") == [UNKNOWN] and len(vocabulary(lines)) < len(known)
    assert sentence_pairs.RESERVED == sequence_pairs.SPECIAL and sentence_pairs.RESERVED - 1 == UNKNOWN


@pytest.mark.parametrize(
    ("sources", "targets", "says"),
    [
        (b"ab\nca\n", b"ab\nca\n", "Line 2 has 'ca' and 'ca'"),
        (b"ab\nA\n", b"ab\nA\n", "Line 2 has 'A'"),
        (b"ab\nabcdefgh\n", b"ab\nabcdefgh\n", "Line 2"),
        (b"ab\nb\n", b"ab\n", "Line 2 has 'b' and ''"),
        (b"ab\n", b"ab\n", "more than 1,600 are right"),
        (b"a\xff\n", b"a\n", "is not UTF-8"),
    ],
)
def test_letters_that_are_no_pair_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: bytes, targets: bytes, says: str
) -> None:
    files = {"sources": tmp_path / "sources.txt", "targets": tmp_path / "targets.txt"}
    files["sources"].write_bytes(sources)
    files["targets"].write_bytes(targets)
    monkeypatch.setattr(letter_pairs, "fetch", lambda name: files)
    with pytest.raises(Problem, match=says):
        letter_pairs.read()


@pytest.mark.parametrize(
    ("french", "says"),
    [
        (b"\x1f\x8b\x08", "valid.gz is damaged"),
        (b"plain", "valid.gz is damaged"),
        (gzip.compress(b"\xff\n", mtime=0), "valid.gz is damaged"),
        (gzip.compress(b"Un.\nDeux.\n", mtime=0), "valid has 1 English and 2 French lines"),
        (gzip.compress(b"", mtime=0), "valid has 1 English and 0 French lines"),
    ],
)
def test_sentences_that_are_no_pair_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, french: bytes, says: str) -> None:
    good, bad = tmp_path / "good.gz", tmp_path / "valid.gz"
    good.write_bytes(gzip.compress(b"One.\n"))
    bad.write_bytes(french)
    files = {f"{part}-{language}": good for part in ("train", "valid", "test") for language in ("english", "french")}
    monkeypatch.setattr(sentence_pairs, "fetch", lambda name: {**files, "valid-french": bad})
    with pytest.raises(Problem, match=says):
        sentence_pairs.read("multi30k")


def test_tatoeba_needs_a_tab_between_the_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fra.txt").write_text("Go.\tVa !\nRun! Cours !\n")
    monkeypatch.setattr(sentence_pairs, "fetch", lambda name: {"pairs": tmp_path})
    with pytest.raises(Problem, match="line 2"):
        sentence_pairs.read("tatoeba-fr")
    (tmp_path / "fra.txt").write_text(
        "Go.\tVa !\nGo.\tMarche.\nGo.\tVa !\n" + "".join(f"{place}\tNuméro {place}\n" for place in range(2000))
    )
    parts = sentence_pairs.read("tatoeba-fr").parts
    (both,) = [pair for pairs in parts.values() for pair in pairs if pair.english == "Go."]
    assert both.french == ("Va !", "Marche.")
