"""Captions: the reader, the grids, attention and its gate, five references, what has to be beaten, own pictures, and that it learns."""

import base64
import io
from pathlib import Path
from typing import Any

import made_data
import numpy as np
import pytest
import torch
from exploring import events
from PIL import Image
from stepping import measured, train

from workbench.datasets import captions
from workbench.datasets.captions import Captioned, Captions, plain, tokens
from workbench.events import Images, Scalars, Table
from workbench.problems import Problem
from workbench.projects.recurrent_networks.captioning import Captioning, Network, looked_at, nothing, others, uneven
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.torchkit.backbone import build
from workbench.torchkit.features import resized
from workbench.torchkit.picture_grids import Grids
from workbench.torchkit.sequence_pairs import END, PAD, UNKNOWN
from workbench.training.loop import Loop

pytest.importorskip("sacrebleu")
SMALL = {
    "weights": "random",
    "grid": "fine",
    "size": 64,
    "least": 1,
    "embedding": 16,
    "hidden": 24,
    "dropout": 0.0,
    "learning_rate": 0.01,
    "clip": 5.0,
}
COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0), "white": (255, 255, 255)}


def part(count: int, seed: int) -> Captioned:
    """Photographs of one coloured box at the left or the right, described in five ways."""
    random = np.random.default_rng(seed)
    pixels: list[np.ndarray] = []
    lines: list[tuple[str, ...]] = []
    for place in range(count):
        name, side = list(COLOURS)[place % 4], ("left", "right")[place // 4 % 2]
        picture = random.integers(90, 110, (3, captions.SIDE, captions.SIDE), np.uint8)
        start = 10 if side == "left" else 90
        picture[:, 50:110, start : start + 60] = np.array(COLOURS[name], np.uint8)[:, None, None]
        pixels.append(picture)
        box = f"{name} box stands on the {side}"
        lines.append((f"A {box} .", f"One {box} here", f"The {box} .", f"A big {box} .", f"Some {box} of it all ."))
    return Captioned(np.stack(pixels), lines)


@pytest.fixture(autouse=True)
def boxes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "reader" not in request.node.name:
        data = Captions({"train": part(24, 0), "valid": part(8, 1), "test": part(8, 2)}, "made")
        monkeypatch.setattr(captions, "read", lambda: data)


def built(**config: Any) -> Captioning:
    settings = Captioning.Config(**{**SMALL, **config})
    project = Captioning(settings, Train(batch_size=24, epochs=1), Compute(device="cpu", threads=1), 1)
    project.build()
    return project


def figures(project: Captioning, split: str = "valid") -> dict[str, float]:
    return {name: value for event in measured(project, split) if isinstance(event, Scalars) for name, value in event.values.items()}


def files(folder: Path, **changed: bytes) -> dict[str, Path]:
    """The made set as `fetch` unpacks it, with some files of its own changed."""
    contents = {**made_data.captioned(np.random.default_rng(0)), **changed}
    (folder / "Images").mkdir(parents=True)
    for place in range(41):
        (folder / "Images" / f"{place:03d}.jpg").write_bytes(made_data.picture(np.random.default_rng(place), 80, 60))
    for name in ("captions", "train", "valid", "test"):
        (folder / name).write_bytes(contents[name])
    return {"pictures": folder, **{name: folder / name for name in ("captions", "train", "valid", "test")}}


def test_the_reader_has_the_official_split_and_its_words(mirror: Path) -> None:
    data = captions.read()
    assert {name: len(rows.captions) for name, rows in data.parts.items()} == {"train": 753, "valid": 113, "test": 125}
    assert {name: sum(map(len, rows.captions)) for name, rows in data.parts.items()} == {"train": 3765, "valid": 565, "test": 625}
    words = captions.vocabulary(caption for five in data.parts["train"].captions for caption in five)
    assert len(words.words) == 1134 and len(words) == 1138 and words.words[0] == "a"
    assert data.parts["train"].pictures.shape == (753, 3, 160, 160)
    assert data.parts["train"].captions[0][0] == "A child in a pink dress is climbing up a set of stairs in an entry way ."
    assert "in place of all 8,092 photographs" in data.variant


def test_the_reader_refuses_what_does_not_belong_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made_data.captioned(np.random.default_rng(0))
    cases: dict[str, tuple[dict[str, bytes], str]] = {
        "fine": ({}, ""),
        "four": ({"captions": whole["captions"].replace(b"000.jpg#4", b"999.jpg#4")}, "000.jpg has 4 captions"),
        "line": ({"captions": b"nonsense\n" + whole["captions"]}, "line 1"),
        "none": ({"test": b"another.jpg\n"}, "None of the photographs is in the test part"),
        "twice": ({"valid": whole["train"]}, "is in two parts"),
    }
    for name, (changed, says) in cases.items():
        monkeypatch.setattr(captions, "fetch", lambda *_, name=name, changed=changed: files(tmp_path / name, **changed))
        if says:
            with pytest.raises(Problem, match=says):
                captions.read()
        else:
            assert [len(rows.captions) for rows in captions.read().parts.values()] == [24, 8, 8]


def test_a_grid_is_what_a_backbone_averages(mirror: Path) -> None:
    pictures = torch.from_numpy(part(2, 0).pictures)
    backbone = build("mobilenet_v2", "stand-in", "features.18")
    grids = Grids("stand-in", "deep", 64, torch.device("cpu"))
    grid = grids.look(pictures)
    with torch.no_grad():
        mean = backbone(resized(pictures, 64))
    assert grid.shape == (2, 4, 1280) and mean.std() > 0.1
    assert torch.allclose(grid.float().mean(1), mean, rtol=2e-3, atol=2e-3)
    assert torch.equal(grids.of(pictures, "two"), grid) and torch.equal(grids.of(pictures, "two"), grid)


def test_the_recipe_s_network_has_exactly_so_many_parameters() -> None:
    config = Captioning.Config(**load_recipe(find_recipe("captioning")).recipe.config)
    with torch.device("meta"):
        assert sum(weights.numel() for weights in Network(1138, config).parameters()) == 1_623_027


def test_weights_sum_to_1_and_a_closed_gate_hides_the_picture() -> None:
    network = built().network
    one, other = torch.randn(2, 16, 96), torch.randn(2, 16, 96)
    _, weights = network.write(torch.tensor([[1, 5, 6], [1, 7, 4]]), network.read(one))
    assert weights.shape == (2, 3, 16) and torch.allclose(weights.sum(2), torch.ones(2, 3), atol=1e-6)
    hidden, cell, *_ = network.read(one)
    tokens = torch.tensor([5, 6])

    def logits(grid: torch.Tensor) -> torch.Tensor:
        return network.step(tokens, (hidden, cell, *network.read(grid)[2:]))[0]

    assert not torch.allclose(logits(one), logits(other), atol=1e-4)
    torch.nn.init.constant_(network.gate.bias, -1000.0)
    assert torch.equal(logits(one), logits(other))


def test_the_doubly_stochastic_term_pulls_as_the_paper_s_and_leaves_padding_out() -> None:
    targets = torch.tensor([[5, 6, 7, END, PAD, PAD]])
    even = torch.full((1, 6, 9), 1 / 9)
    assert float(uneven(even, targets)) == pytest.approx(0, abs=1e-12)
    scores = torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (ours,) = torch.autograd.grad(uneven(scores.softmax(2), targets), scores)
    paper = ((1 - scores.softmax(2)[:, :4].sum(1)) ** 2).sum()
    (theirs,) = torch.autograd.grad(paper, scores)
    # 9 places and 4 words: the mean of 9 squares of 9/4 of the attention.
    assert torch.allclose(ours, theirs * 9 / 4**2, atol=1e-6) and not ours[:, 4:].any() and ours[:, :4].any()
    peaked = torch.zeros(1, 6, 9)
    peaked[:, :, 0] = 1
    assert float(uneven(peaked, targets)) == pytest.approx((8**2 + 8) / 9)


def test_it_learns_from_pictures_what_none_of_the_baselines_can(mirror: Path) -> None:
    project = built(weights="stand-in")
    assert figures(project)["loss"] == pytest.approx(np.log(len(project.words)), abs=0.4)
    numbers = train(project, 90)
    assert numbers[-1]["loss"] < 0.8 * numbers[-1]["loss/blind"]
    values = figures(project, "test")
    # The cheats: the same decoder without a picture, and captions that do not come from their own picture.
    assert values["bleu_4"] > 80 and values["bleu_4/without_picture"] < 70 and values["bleu_4/another_picture"] < 70
    assert values["bleu_1"] >= values["bleu_2"] >= values["bleu_3"] >= values["bleu_4"] and values["different_captions"] >= 3
    assert values["bleu_4/a_person_of_4"] > 50 and values["bleu_4/written_of_4"] <= values["bleu_4"]
    assert {"bleu_4/nearest_picture", "words"} < values.keys() and "bleu_4/nearest_picture" not in figures(project)


def test_shuffled_pictures_teach_nothing_about_pictures(mirror: Path) -> None:
    project = built(weights="stand-in")
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    project.grids["train"].copy_(project.grids["train"][order])
    train(project, 60)
    assert figures(project)["bleu_4"] < 72


def test_the_decoder_without_a_picture_gets_none() -> None:
    one, other = built(), built()
    other.grids["train"].copy_(other.grids["train"].flip(0))
    train(one, 3)
    train(other, 3)
    pairs = [list(zip(getattr(one, name).parameters(), getattr(other, name).parameters(), strict=True)) for name in ("network", "blind")]
    assert not all(torch.equal(mine, theirs) for mine, theirs in pairs[0]) and all(torch.equal(mine, theirs) for mine, theirs in pairs[1])
    assert not nothing(torch.ones(3, 5, 2)).any() and nothing(torch.ones(3, 5, 2)).shape == (3, 1, 2)


def test_all_five_references_count() -> None:
    project = built()
    for place in range(5):
        written = [lines[place] for lines in project.references("valid")]
        project.lines = lambda grid, written=written: written  # type: ignore
        assert figures(project)["bleu_4"] == pytest.approx(100)
    assert plain(tokens("A dog , a tri-colored one .")) == "a dog a tri-colored one"
    assert others([["a", "b", "c"]]) == [["b", "c"], ["a", "c"], ["a", "b"]]


def test_a_photograph_and_an_own_picture_are_described() -> None:
    project = built()
    train(project, 15)
    answers: dict[str, Any] = {getattr(event, "tag", ""): event for event in events("captioning", project, picture=3, beam=3)}
    words = answers["caption"].text.split()
    assert isinstance(answers["looked at"], Images) and answers["looked at"].captions == ["photograph", *words]
    assert isinstance(answers["captions"], Table) and len(answers["captions"].rows) == 7 and len(answers["beam"].rows) == 3
    assert UNKNOWN not in project.words.encode(answers["caption"].text)
    file = io.BytesIO()
    Image.fromarray(project.parts["valid"].pictures[3].transpose(1, 2, 0)).save(file, "PNG")
    png = base64.b64encode(file.getvalue()).decode()
    own: dict[str, Any] = {getattr(event, "tag", ""): event for event in events("captioning", project, drawing=png, beam=1)}
    assert len(own["captions"].rows) == 2 and "beam" not in own
    with project.evaluating():
        assert project.predict({"picture": png})["answer"] == answers["caption"].text
        for inputs in (None, {"picture": 3}, {"picture": "nonsense!"}):
            with pytest.raises(Problem):
                project.predict(inputs)
    for fields, says in (
        ({"picture": 8}, "0 to 7"),
        ({"picture": 200}, "picture"),
        ({"beam": 9}, "beam"),
        ({"drawing": "AAAA"}, "picture"),
    ):
        with pytest.raises(Problem, match=says):
            events("captioning", project, **fields)
    with pytest.raises(Problem, match="reads a picture"):
        project.serving()


def test_a_word_s_picture_is_bright_where_it_looked() -> None:
    weights = torch.zeros(2, 16)
    weights[0, 0], weights[1, 15] = 1, 1
    shown = looked_at(torch.full((3, 160, 160), 255, dtype=torch.uint8), weights, ["one", "two"])
    sheet = np.asarray(Image.open(io.BytesIO(shown.png)))[..., 0]
    whole, first, last = (sheet[:, place * 80 : (place + 1) * 80] for place in range(3))
    assert (whole == 255).all() and first[0, 0] == last[-1, -1] == 255 and first[-1, -1] == last[0, 0] == round(0.15 * 255)
    assert looked_at(torch.zeros(3, 160, 160), torch.zeros(0, 16), []).captions == ["photograph"]


def attempt(folder: Path, number: int, steps: int) -> Captioning:
    project = built(dropout=0.3)
    recipe = Recipe(title="x", project="captioning", train=Train(steps=steps, batch_size=24, log_every=3, evaluate_every=6))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = EventLog(folder)
    Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), attempt=number).fit()
    log.close()
    return project


def test_a_run_resumed_inside_an_epoch_has_the_same_weights(tmp_path: Path) -> None:
    straight = attempt(tmp_path / "straight", 1, 9)
    attempt(tmp_path / "cut", 1, 7)
    resumed = attempt(tmp_path / "cut", 2, 9)
    for name in ("network", "blind"):
        for mine, theirs in zip(getattr(resumed, name).parameters(), getattr(straight, name).parameters(), strict=True):
            assert torch.equal(mine, theirs)
