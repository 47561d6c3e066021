"""Word vectors: the text and its counts, the three objectives against sums pair by pair, learning, resuming, and what a person asks."""

import hashlib
import itertools
import math
from pathlib import Path
from typing import Any

import made_data
import msgspec
import numpy as np
import pytest
import torch
from stepping import measured, scalars, train

from workbench.datasets import running_words, word_tests
from workbench.datasets.store import catalog as catalogue
from workbench.events import Scalars, Scatter, Table, Text
from workbench.problems import Problem
from workbench.projects.recurrent_networks import word2vec
from workbench.projects.recurrent_networks.word2vec import Word2vec
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.torchkit.word_relations import WordVectors, scored
from workbench.training.loop import Loop
from workbench.training.request import request

SMALL = {"data": "./my.txt", "size": 12, "window": 3, "subsample": 0.0, "fewest": 1}
TOPICS = [line.split() for line in ("sea boat wave sail fish port", "oven bread flour salt dough cake", "wire volt lamp fuse switch plug")]
RATES = {"skip-gram": 0.03, "cbow": 0.1, "softmax": 0.01}
OBJECTIVES = list(RATES)


@pytest.fixture(autouse=True)
def tests_of_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with made questions and ratings, and nothing else: no test asks the net for the real ones."""
    folder = tmp_path / "mirror"
    about, files = catalogue.find("word-tests"), made_data.word_tests(np.random.default_rng(0))
    changed = {}
    for key, file in about.files.items():
        path = folder / f"{key}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(files[key])
        digest = hashlib.sha256(files[key]).hexdigest()
        changed[key] = msgspec.structs.replace(file, bytes=len(files[key]), sha256=digest, mirror=path.name, url="")
    sets = {**catalogue.catalog(), "word-tests": msgspec.structs.replace(about, files=changed)}
    monkeypatch.setattr(catalogue, "catalog", lambda: sets)
    monkeypatch.setenv("DLWB_MIRROR", str(folder))
    return folder


def built(folder: Path, text: str, batch_size: int = 64, epochs: int = 4, **config: Any) -> Word2vec:
    (folder / "my.txt").write_text(text)
    settings = Word2vec.Config.model_validate({**SMALL, **config})
    project = Word2vec(settings, Train(batch_size=batch_size, epochs=epochs), Compute(device="cpu", threads=1), 1, folder)
    project.build()
    return project


def topics(texts: int = 300, words: int = 12) -> str:
    """Texts of words of one topic each, in an order without a pattern."""
    rng = np.random.default_rng(0)
    return "\n\n".join(" ".join(rng.choice(TOPICS[place % 3], words)) for place in range(texts))


def cut(text: str) -> str:
    """The same words in another order, in texts of the same length: nothing to learn."""
    words = np.random.default_rng(1).permutation(text.split())
    return "\n\n".join(" ".join(part) for part in words.reshape(-1, 12))


# -- the text -------------------------------------------------------------------------------------------------------------------------


def test_keep_and_noise_shares_are_the_authors_formulas() -> None:
    assert word2vec.noise_shares(np.array([100, 10, 1]), 0.75) == pytest.approx([0.826822, 0.147032, 0.026146], abs=5e-7)
    assert word2vec.noise_shares(np.array([100, 10, 1]), 0) == pytest.approx([1 / 3] * 3)
    kept = word2vec.keep_shares(np.array([1, 99]), 1e-5)
    # gensim's formula, (√(f/t) + 1) · t/f, would keep 0.0326.
    assert kept == pytest.approx([0.0316228, math.sqrt(1e-5 / 0.99)], rel=1e-5)
    assert word2vec.keep_shares(np.array([1, 99]), 0.02).tolist()[0] == 1.0
    assert word2vec.keep_shares(np.array([1, 99]), 0).tolist() == [1, 1]


def test_noise_words_are_drawn_as_often_as_their_shares(tmp_path: Path) -> None:
    project = built(tmp_path, " ".join(["a"] * 100 + ["b"] * 10 + ["c"]), shared=300)
    drawn = torch.cat([batch[3].flatten() for epoch in range(60) for batch in project.batches(epoch, np.random.default_rng(epoch))])
    shares = drawn.bincount(minlength=3) / len(drawn)
    assert len(drawn) == 18_000
    assert shares.tolist() == pytest.approx([0.826822, 0.147032, 0.026146], abs=0.009)


def test_each_epoch_has_every_text_whole_in_a_new_order(tmp_path: Path) -> None:
    data = running_words.corpus([list("abc"), list("de"), list("fghij")], 1, "")
    kept = np.ones(10)
    orders = set()
    for seed in range(30):
        codes, texts = word2vec.subsampled(data, kept, np.random.default_rng(seed))
        parts = ["".join(data.words[code] for code in codes[texts == number]) for number in dict.fromkeys(texts.tolist())]
        assert sorted(parts) == ["abc", "de", "fghij"]
        orders.add(tuple(parts))
    assert len(orders) == 6
    codes, _ = word2vec.subsampled(data, np.array([0.0] * 5 + [1.0] * 5), np.random.default_rng(0))
    assert sorted(codes.tolist()) == [5, 6, 7, 8, 9]


def test_windows_do_not_reach_into_another_text() -> None:
    rng = np.random.default_rng(0)
    texts = np.repeat([-1, 0, 1, 2, -1], [4, 5, 1, 10, 4])
    reach = rng.integers(1, 5, (2, 8)).astype(np.int32)
    pairs = word2vec.near(torch.from_numpy(texts), torch.from_numpy(reach), 4).numpy()
    for group, place, other in itertools.product(range(2), range(8), range(16)):
        centre, around = 4 + group * 8 + place, group * 8 + other
        wanted = 0 < abs(centre - around) <= reach[group, place] and texts[centre] == texts[around]
        assert pairs[group, place, other] == wanted
    assert pairs.any()
    # The mistake that this is about: of one long text there are more pairs.
    assert word2vec.near(torch.zeros(24, dtype=torch.int32), torch.from_numpy(reach), 4).sum() > pairs.sum()


# -- a step ---------------------------------------------------------------------------------------------------------------------------


def test_a_look_up_is_a_one_hot_product_bit_for_bit() -> None:
    table = torch.randn(40, 12, generator=torch.Generator().manual_seed(0))
    codes = torch.tensor([[3, 39], [0, 3]])
    one_hot = torch.nn.functional.one_hot(codes, 40).float()
    assert torch.equal(word2vec.look_up(table, codes), one_hot @ table)


@pytest.mark.parametrize("shared", [1, 4, 32, 100])
@pytest.mark.parametrize("objective", ["skip-gram", "cbow"])
def test_with_output_vectors_of_zeros_the_loss_is_six_times_ln_2(tmp_path: Path, objective: str, shared: int) -> None:
    # However many centre words share them, each pair has five noise words.
    project = built(tmp_path, topics(), objective=objective, shared=shared, learning_rate=1e-12)
    assert train(project, 1)[0]["loss"] == pytest.approx(6 * math.log(2), rel=1e-6) == pytest.approx(4.158883, abs=5e-7)


def test_the_other_starts(tmp_path: Path) -> None:
    assert train(built(tmp_path, topics(), objective="softmax"), 1)[0]["loss"] == pytest.approx(math.log(18), rel=1e-6)
    course = built(tmp_path, topics(), start="course", size=300)
    assert course.inputs.abs().max() <= 1 and 0.5 < course.outputs.abs().mean() * 2 < 1.5
    assert train(course, 1)[0]["loss"] > 5
    small = built(tmp_path, topics(), size=50)
    assert small.inputs.abs().max() <= 0.01 and small.inputs.std() > 0.005 and not small.outputs.any()


def pair_by_pair(project: Word2vec, batch: Any, inputs: torch.Tensor, outputs: torch.Tensor) -> tuple[float, int]:
    """The sum of the losses of one batch as the formulas have it, one pair after the other, and how many terms it has."""
    words, texts, reach, noise = (part.tolist() for part in batch)
    config, sigmoid = project.config, lambda score: 1 / (1 + math.exp(-score))
    total, number, shared = 0.0, 0, len(reach[0])
    for place, far in enumerate(itertools.chain.from_iterable(reach)):
        centre, group = place + config.window, place // shared
        around = [other for other in range(centre - far, centre + far + 1) if other != centre and texts[other] == texts[centre]]
        if not around:
            continue
        near = [words[other] for other in around]
        if config.objective == "softmax":
            logits = outputs @ inputs[words[centre]]
            total += sum(float(logits.logsumexp(0) - logits[word]) for word in near)
            number += len(near)
            continue
        context = inputs[near].mean(0) if config.objective == "cbow" else inputs[words[centre]]
        right = [words[centre]] if config.objective == "cbow" else near
        total -= sum(math.log(sigmoid(float(context @ outputs[word]))) for word in right)
        against = sum(math.log(sigmoid(-float(context @ outputs[word]))) for word in noise[group])
        total -= against * config.negatives * len(right) / len(noise[group])
        number += len(right)
    return total, number


@pytest.mark.parametrize("shared", [1, 8])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_step_goes_down_the_finite_differences_of_the_sum_over_pairs(tmp_path: Path, objective: str, shared: int) -> None:
    project = built(tmp_path, topics(6), batch_size=24, objective=objective, shared=shared, size=5, learning_rate=1.0)
    generator = torch.Generator().manual_seed(0)
    project.inputs, project.outputs = (torch.randn(18, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    before = {name: getattr(project, name).clone() for name in ("inputs", "outputs")}
    softmax = objective == "softmax"
    if softmax:
        # Adam scales the gradient away; plain descent shows it.
        project.optimizer = torch.optim.SGD([project.inputs, project.outputs], 1.0)
    batch = next(iter(project.batches(0, np.random.default_rng(3))))
    loss, number = pair_by_pair(project, batch, before["inputs"], before["outputs"])
    assert number > 20
    assert float(project.train_step(batch)["loss"]) == pytest.approx(loss / number, rel=1e-9)
    for name in before:
        slopes = (before[name] - getattr(project, name)) * (number if softmax else 1)
        assert slopes.abs().max() > 0.1
        for row, column in [(0, 0), (3, 1), (7, 2), (11, 3), (17, 4), (5, 0)]:
            ends = []
            for step in (1e-5, -1e-5):
                moved = {key: table.clone() for key, table in before.items()}
                moved[name][row, column] += step
                ends.append(pair_by_pair(project, batch, **moved)[0])
            assert float(slopes[row, column]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-7)


def test_only_rows_that_were_used_change(tmp_path: Path) -> None:
    words = [f"w{chr(97 + place // 26)}{chr(97 + place % 26)}" for place in range(600)]
    project = built(tmp_path, " ".join(words), batch_size=32)
    project.outputs.uniform_(-1, 1)
    before = project.inputs.clone(), project.outputs.clone()
    batch = next(iter(project.batches(0, np.random.default_rng(0))))
    project.train_step(batch)
    centres, used = batch[0][3:-3], torch.cat((batch[0], batch[3].flatten()))
    for table, old, rows in ((project.inputs, before[0], centres), (project.outputs, before[1], used)):
        changed = (table != old).any(1).nonzero().flatten().tolist()
        assert 0 < len(changed) <= len(set(rows.tolist())) < 200 and set(changed) <= set(rows.tolist())


def test_the_learning_rate_falls_in_a_line_to_a_250th(tmp_path: Path) -> None:
    project = built(tmp_path, topics(), learning_rate=0.05)
    values = train(project, 4 * len(project.batches(0, np.random.default_rng(0))))
    rates = [numbers["learning_rate"] for numbers in values]
    assert rates[0] == 0.05 and rates[len(rates) // 2] == pytest.approx(0.025) and min(rates) == rates[-1] >= 0.05 * 0.004
    project.progress = 0.9999
    assert project.train_step(project.batches(0, np.random.default_rng(0))[0])["learning_rate"] == pytest.approx(0.0002)


# -- learning -------------------------------------------------------------------------------------------------------------------------


def together(project: Word2vec) -> float:
    """The share of nearest words that are of the same topic; 5 of 17 by chance."""
    vectors = project.vectors()
    home = {word: number for number, words in enumerate(TOPICS) for word in words}
    near = [home[other] == home[word] for word in home for other, _ in vectors.neighbours(vectors.index[word], 3)]
    return sum(near) / len(near)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_words_that_are_used_alike_end_up_near_and_nothing_is_learnt_from_a_cut_up_text(tmp_path: Path, objective: str) -> None:
    shares = []
    for text in (topics(), cut(topics())):
        project = built(tmp_path, text, objective=objective, learning_rate=RATES[objective], epochs=12)
        losses = [numbers["loss"] for numbers in train(project, 12 * 57)]
        shares.append(together(project))
        assert losses[-1] < losses[0] or text != topics()
    assert shares[0] == 1.0 and shares[1] < 0.6


def attempt(folder: Path, work: Path, number: int, until: int, **config: Any) -> Word2vec:
    """An attempt at a run of 130 steps in `folder`, up to a step; one after the first goes on from the checkpoint of the one before."""
    project = built(work, topics(), **config, subsample=0.05)
    recipe = Recipe(title="x", project="word2vec", train=Train(steps=130, batch_size=64, log_every=7, evaluate_every=25))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = EventLog(folder)
    training = Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), attempt=number)

    def step(batch: Any) -> dict[str, Any]:
        training.terminate = training.place.step + 1 == until
        return Word2vec.train_step(project, batch)

    project.train_step = step  # type: ignore[method-assign]
    training.fit()
    log.close()
    return project


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_run_resumed_inside_an_epoch_has_the_same_vectors(tmp_path: Path, objective: str) -> None:
    straight = attempt(tmp_path / "straight", tmp_path, 1, 130, objective=objective)
    per_epoch = len(straight.batches(0, np.random.default_rng([1, 0])))
    assert 61 % per_epoch and 117 % per_epoch and per_epoch < 61
    for number, until in enumerate((61, 117, 130), 1):
        resumed = attempt(tmp_path / "cut", tmp_path, number, until, objective=objective)
    assert torch.equal(resumed.inputs, straight.inputs) and torch.equal(resumed.outputs, straight.outputs)


# -- what it is judged by -------------------------------------------------------------------------------------------------------------


def test_an_analogy_s_three_words_are_no_answer() -> None:
    # queen is nearest to woman - man + king but for king itself.
    vectors = WordVectors(
        ["man", "woman", "king", "queen", "pear"],
        np.array([[1.0, 0.2, 0.0], [1.0, -0.2, 0.0], [0.4, 0.2, 1.0], [0.4, -0.9, 0.6], [-1.0, 0.0, 0.1]]),
    )
    target = vectors.unit[1] - vectors.unit[0] + vectors.unit[2]
    assert vectors.nearest(target, 1)[0][0] == "king", "what is excluded matters here"
    assert vectors.answered([("man", "woman", "king", "queen"), ("man", "woman", "king", "pear"), ("man", "woman", "king", "lion")]) == (
        1,
        2,
    )
    assert [word for word, _ in vectors.analogy(2, 0, 1, 5)] == ["queen", "pear"]
    values, rows = scored(vectors, word_tests.WordTests({"family": [("man", "woman", "king", "queen")], "none": []}, []))
    assert values == {"analogies": 1.0, "similarity": None}
    assert rows == [["family", 1, 1, 1.0], ["all analogies", 1, 1, 1.0], ["similarity", "–", 0, "–"]]


def test_similarity_is_the_correlation_of_ranks() -> None:
    angles = np.radians([0, 10, 30, 70, 90])
    vectors = WordVectors(list("abcde"), np.stack([np.cos(angles), np.sin(angles)], 1) * [[1], [2], [3], [4], [5]])
    pairs = [("a", "b", 9.0), ("a", "c", 8.0), ("a", "d", 3.0), ("a", "e", 4.0), ("a", "zebra", 1.0)]
    # Ranks 4 3 2 1 against 4 3 1 2: 1 - 6 · 2 / (4 · 15).
    assert vectors.similarity(pairs) == (pytest.approx(0.8), 4)
    assert vectors.similarity(pairs[:2]) == (None, 2)


def test_it_is_measured_at_each_evaluation_and_its_speed_at_the_end(tmp_path: Path) -> None:
    text = "\n\n".join(" ".join(line) for line in made_data.sentences(np.random.default_rng(0), 200, 60))
    project = built(tmp_path, text)
    train(project, 20)
    weights = project.inputs.clone()
    values = scalars(project)
    assert values.keys() == {"analogies", "similarity"} and 0 <= values["analogies"] <= 1
    events = measured(project, "test")
    assert torch.equal(project.inputs, weights)
    speed = next(event.values for event in events if isinstance(event, Scalars) and "words_per_second" in event.values)
    assert speed["words_per_second"] > 1000
    (drawn,) = [event for event in events if isinstance(event, Scatter)]
    assert len(drawn.x) == len(project.corpus.words) and set(drawn.labels) == {"words"}


def test_without_the_files_a_line_says_so_and_it_trains(tmp_path: Path, tests_of_words: Path) -> None:
    (tests_of_words / "questions.txt").unlink()
    project = built(tmp_path, topics())
    (event,) = measured(project)
    assert isinstance(event, Text) and event.tag == "analogies"
    assert event.text.startswith("Not measured: word-tests questions cannot be downloaded") and "\n" not in event.text
    assert train(project, 2)


# -- what a person asks ---------------------------------------------------------------------------------------------------------------


HIS, HERS = "he him his man boy father son king engineer", "she her woman girl mother daughter queen nurse"
FAMILY = f"{HIS} {HERS} house tree stone"


def related(folder: Path) -> Word2vec:
    project = built(folder, "\n\n".join([FAMILY] * 30))
    # Vectors by hand: the first number is the side, the rest is chance.
    random = torch.Generator().manual_seed(0)
    project.inputs = torch.randn(project.inputs.shape, generator=random) * 0.3
    side = {**dict.fromkeys(HIS.split(), -1.0), **dict.fromkeys(HERS.split(), 1.0)}
    for word, value in side.items():
        project.inputs[project.corpus.index[word], 0] = value
    return project


def answers(project: Word2vec, **fields: Any) -> dict[str, Any]:
    with project.evaluating():
        return {event.tag: event for event in project.sample(request(project, fields))}


def test_the_default_request_shows_probes_examples_and_bias(tmp_path: Path) -> None:
    shown = answers(related(tmp_path))
    assert list(shown) == ["neighbours", "analogy", "bias", "he to she", "side recovered"]
    probes = shown["neighbours"]
    assert len(probes.rows) == 8 and all(len(row[1].split()) == 5 for row in probes.rows)
    rows = {row[0]: row[1:] for row in shown["bias"].rows}
    assert rows["nurse"][0] == 30 and rows["nurse"][1] > 0.3 and rows["engineer"][1] < -0.3
    assert rows["nurse"][2] == rows["engineer"][2] == 0 and rows["homemaker"] == ["too rare", "", ""]


def test_neighbours_of_a_word_and_a_minus_b_plus_c(tmp_path: Path) -> None:
    project = related(tmp_path)
    shown = answers(project, word=" Nurse ", a="king", b="man", c="woman", count=3)
    near = shown["neighbours"]
    assert near.columns == ["near nurse", "cosine", "uses"] and len(near.rows) == 3
    unit = project.vectors().unit
    cosines = unit @ unit[project.corpus.index["nurse"]]
    assert near.rows[0][1] == pytest.approx(np.sort(cosines)[-2], abs=6e-5) and near.rows[0][2] == 30
    analogy = shown["analogy"]
    assert analogy.columns[0] == "king - man + woman" and not {"king", "man", "woman"} & {row[0] for row in analogy.rows}


def test_debiasing_changes_what_is_near(tmp_path: Path) -> None:
    project = related(tmp_path)
    plain, fair = (answers(project, word="nurse", debias=value)["neighbours"].rows for value in (False, True))
    assert plain != fair
    along = answers(project, lean="nurse stone")["bias"].rows
    assert [row[0] for row in along] == ["nurse", "stone"] and [row[3] for row in along] == [0, 0]


def test_the_map_is_drawn_when_asked_and_words_are_found_on_it(tmp_path: Path) -> None:
    project = related(tmp_path)
    drawn = answers(project, map=True, search="nurse Stone", mapped=50)["map"]
    assert isinstance(drawn, Scatter) and len(drawn.x) == 20
    assert sorted(set(drawn.labels)) == ["nurse", "stone", "words"] and drawn.labels.count("nurse") == 1
    again = answers(project, map=True, search="", mapped=50)["map"]
    assert again.x == drawn.x and set(again.labels) == {"words"}
    assert answers(project, map=True, mapped=50, seed=1)["map"].x != drawn.x


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"word": "nurze"}, "word: 'nurze' is no word of this text, or too rare; near spellings: nurse."),
        ({"word": "xqqx"}, "word: 'xqqx' is no word of this text, or too rare."),
        ({"a": "king", "c": "woman"}, "b is empty, where a word is right."),
        ({"map": True, "search": "womann"}, "search: 'womann' is no word of this text, or too rare; near spellings: woman."),
        ({"word": "x" * 2001}, "word "),
        ({"count": 0}, "count "),
        ({"count": math.nan}, "count "),
    ],
)
def test_bad_input_is_one_sentence_with_its_field(tmp_path: Path, fields: dict[str, Any], sentence: str) -> None:
    project = related(tmp_path)
    with pytest.raises(Problem) as raised:
        answers(project, **fields)
    assert str(raised.value).startswith(sentence) and "\n" not in str(raised.value)


def test_a_text_without_pairs_says_that_there_is_no_direction(tmp_path: Path) -> None:
    project = built(tmp_path, topics())
    shown = answers(project)
    assert list(shown) == ["neighbours", "analogy", "bias"] and isinstance(shown["bias"], Text)
    assert isinstance(shown["analogy"], Table) and not shown["analogy"].rows
    assert isinstance(answers(project, debias=True)["neighbours"], Table)


def test_it_is_no_model_to_serve(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="Word vectors are a table"):
        built(tmp_path, topics()).serving()
