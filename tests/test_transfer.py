"""Transfer learning on real and on made photographs: it learns, frozen, tuned and from scratch; what is cached, told, refused, resumed."""

import base64
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stepping import measured, scalars, shuffled, train
from torch import nn

from workbench.events import Curve, Images, Matrix, Scalars, Table
from workbench.problems import Problem
from workbench.projects.convolutional_networks.transfer import Transfer, most_confused
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit import disk_cache

Make = Callable[..., Transfer]
CNN = {"network": "cnn", "channels": [[8], [16]], "learning_rate": 0.01}
SQUEEZENET = {"network": "squeezenet1_0", "weights": "random"}


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes in the course's folders: stripes across, down, and aslant, in colours and places of chance."""
    root = tmp_path_factory.mktemp("stripes")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:44, 0:56]
    for part, number in (("train", 24), ("valid", 8), ("test", 8)):
        for name, along in (("001.Lying", y), ("002.Standing", x), ("003.Leaning_over", x + y)):
            (root / part / name).mkdir(parents=True)
            for index in range(number):
                wave = np.sin(along * rng.uniform(0.7, 0.9) + rng.uniform(0, 6))[..., None] * rng.uniform(40, 90, 3)
                pixels = 120 + wave + rng.normal(0, 10, (44, 56, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / part / name / f"{index}.jpg")
    return root


@pytest.fixture
def make(stripes: Path) -> Make:
    def made(batch_size: int = 12, epochs: int = 1, folder: Path = Path(), **config: Any) -> Transfer:
        settings = Transfer.Config.model_validate({"data": str(stripes), "picture_size": 32, **config})
        project = Transfer(settings, Train(batch_size=batch_size, epochs=epochs), Compute(device="cpu", threads=1), seed=1, folder=folder)
        project.build()
        return project

    return made


class Looks:
    """Counts the pictures that go through convolutions of three colours, in whatever network."""

    def __enter__(self) -> "Looks":
        self.pictures = 0

        def count(layer: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(layer, nn.Conv2d) and layer.in_channels == 3:
                self.pictures += len(inputs[0])

        self.handle = nn.modules.module.register_module_forward_hook(count)
        return self

    def __exit__(self, *_: Any) -> None:
        self.handle.remove()


# -- it learns -------------------------------------------------------------------------------------------------------------------------


def test_a_cnn_learns_from_scratch_and_nothing_from_shuffled_classes(make: Make) -> None:
    learnt, misled = make(**CNN), shuffled(make(**CNN))
    assert scalars(learnt)["loss"] == pytest.approx(np.log(3), abs=0.2)
    for project in (learnt, misled):
        train(project, 60)
    assert scalars(learnt, "test")["accuracy"] > 0.85
    assert scalars(misled, "test")["accuracy"] < 0.7


def test_a_head_learns_on_a_frozen_network_and_the_network_stays(make: Make) -> None:
    # Random weights tell stripes apart as well: enough to see that the head learns, and from what.
    settings = {**SQUEEZENET, "learning_rate": 0.05, "dropout": 0.0}
    learnt, misled = make(**settings), shuffled(make(**settings))
    before = [each.clone() for each in learnt.network.parameters()]
    for project in (learnt, misled):
        train(project, 200)
    assert all(torch.equal(*pair) for pair in zip(before, learnt.network.parameters(), strict=True))
    assert scalars(learnt, "test")["accuracy"] > 0.85
    assert scalars(misled, "test")["accuracy"] < 0.7


def test_a_network_cut_early_gives_other_features_which_a_head_learns_from(make: Make) -> None:
    whole, cut = make(**SQUEEZENET), make(**SQUEEZENET, cut="features.3", learning_rate=0.05, dropout=0.0)
    assert whole.splits["train"][0].shape == (72, 512) and cut.splits["train"][0].shape == (72, 128)
    train(cut, 200)
    assert scalars(cut, "test")["accuracy"] > 0.85


def test_a_tuned_network_learns_only_from_its_layer_on(make: Make) -> None:
    project = make(**SQUEEZENET, unfreeze="features.9", learning_rate=0.003)
    before = {name: each.clone() for name, each in project.network.named_parameters()}
    untrained = scalars(project)["loss"]
    train(project, 60)
    changed = {name for name, each in project.network.named_parameters() if not torch.equal(each, before[name])}
    assert changed and all(int(name.split(".")[2]) >= 9 for name in changed)
    assert {name.split(".")[2] for name in changed} == {"9", "10", "12"}
    assert scalars(project)["loss"] < untrained - 0.3


def test_flowers_are_learnt_by_what_was_learnt_on_imagenet(mirror: Path, make: Make, tmp_path: Path) -> None:
    """Twelve kinds, SqueezeNet at 96 pixels: far better than chance in two hundred steps, and not on shuffled classes."""
    from workbench.datasets.store.fetch import fetch

    root = fetch("flowers102", "72px")["pictures"] / "flower_data"
    for part in ("train", "valid", "test"):
        for name in map(str, range(70, 82)):
            (tmp_path / "few" / part / name).mkdir(parents=True)
            for file in sorted((root / part / name).iterdir())[:20]:
                (tmp_path / "few" / part / name / file.name).write_bytes(file.read_bytes())
    settings = {
        "data": str(tmp_path / "few"),
        "network": "squeezenet1_0",
        "weights": "stand-in",
        "picture_size": 96,
        "flip": True,
        "dropout": 0.0,
    }
    learnt, misled = make(**settings), shuffled(make(**settings))
    for project in (learnt, misled):
        train(project, 200)
    assert scalars(learnt, "test")["accuracy"] > 0.6
    assert scalars(misled, "test")["accuracy"] < 0.3


def test_dogs_of_the_mirror_are_named_and_told_as_stand_ins(mirror: Path, make: Make) -> None:
    project = make(data="dogs:21-breeds", **CNN)
    assert len(project.classes) == 21 and project.classes[:2] == ["Affenpinscher", "Afghan hound"]
    assert project.variant == "Dog breeds, 159 photographs of 21"
    assert sum(len(labels) for _, labels in project.splits.values()) == 159
    assert all(set(labels.tolist()) == set(range(21)) for _, labels in project.splits.values())


# -- what is computed once -----------------------------------------------------------------------------------------------------------


def test_features_are_computed_once_and_anew_for_other_weights_sizes_and_pictures(
    make: Make, stripes: Path, tmp_path: Path, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def looks(**config: Any) -> tuple[int, Transfer]:
        with Looks() as seen:
            project = make(**{**SQUEEZENET, **config})
        return seen.pictures - 1, project  # one tries whether the size will do

    number, first = looks()
    assert number == 24 * 3 + 8 * 3 * 2
    again, second = looks()
    assert again == 0
    for part in ("train", "valid", "test"):
        assert torch.equal(first.splits[part][0], second.splits[part][0])
    # The mirror images of the training pictures only.
    assert looks(flip=True)[0] == 24 * 3
    assert looks(picture_size=40)[0] == number
    other = {key: value + 0.01 for key, value in with_last(first).items()}
    torch.save(other, tmp_path / "other.pth")
    number_of_others, changed = looks(weights=str(tmp_path / "other.pth"))
    assert number_of_others == number
    assert not torch.equal(first.splits["valid"][0], changed.splits["valid"][0])
    assert looks(weights=str(tmp_path / "other.pth"))[0] == 0
    capfd.readouterr()
    # Damaged in every way that a file can be: told, and computed anew.
    for damage in (lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data[:100], lambda data: b""):
        damaged = [path for path in (home / "cache" / "features").iterdir() if path.stat().st_size]
        for path in damaged:
            path.write_bytes(damage(path.read_bytes()))
        number_of_damaged, mended = looks()
        assert number_of_damaged == number
        assert torch.equal(first.splits["train"][0], mended.splits["train"][0])
        assert capfd.readouterr().err.count("is damaged: its features are computed anew.") == 3
        assert looks()[0] == 0


def with_last(project: Transfer) -> dict[str, torch.Tensor]:
    """A frozen project's whole network as torchvision names it."""
    found = {name.removeprefix("network."): each for name, each in project.network.state_dict().items() if name.startswith("network.")}
    for name, each in project.network.last.state_dict().items():  # type: ignore[union-attr, operator]
        found[f"classifier.1.{name}"] = each
    return found


def test_a_cache_that_cannot_be_written_is_no_reason_not_to_train(make: Make, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "features").write_text("a file in the way")
    project = make(**SQUEEZENET)
    assert "The features cannot be cached for the next run: " in capfd.readouterr().err
    train(project, 3)


def test_the_cache_stays_bounded(make: Make, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "LIMIT", 4)
    make(**SQUEEZENET), make(**SQUEEZENET, picture_size=40)
    assert len(list((home / "cache" / "features").iterdir())) == 4
    with Looks() as seen:
        make(**SQUEEZENET, picture_size=40)
    assert seen.pictures == 1


# -- what it tells -------------------------------------------------------------------------------------------------------------------


def test_all_events_tell_of_the_same_answers(make: Make) -> None:
    project = make(**CNN)
    train(project, 3)
    events = measured(project, "test")
    assert [(type(event), getattr(event, "tag", "")) for event in events] == [
        (Scalars, ""),
        (Matrix, "confusion"),
        (Table, "classes"),
        (Images, "confusion/examples"),
        (Table, "pairs"),
        (Images, "mistakes"),
    ]
    values, matrix, table, shown, pairs, mistakes = events
    assert isinstance(values, Scalars) and isinstance(matrix, Matrix) and isinstance(table, Table)
    assert isinstance(shown, Images) and isinstance(pairs, Table) and isinstance(mistakes, Images)
    assert matrix.rows == ["Lying", "Standing", "Leaning over"]
    assert sum(map(sum, matrix.values)) == 24
    assert values.values["accuracy"] == pytest.approx(sum(matrix.values[place][place] for place in range(3)) / 24)
    assert values.values["top5"] == 1  # of three classes
    wrong = sum(float(row[2]) for row in pairs.rows)
    assert wrong == 24 - sum(matrix.values[place][place] for place in range(3))
    for row in pairs.rows:
        truth, answer = matrix.rows.index(str(row[0])), matrix.rows.index(str(row[1]))
        assert truth != answer and matrix.values[truth][answer] == row[2] and row[3] == 8
        told = [text for text in mistakes.captions if text.startswith(f"{row[0]}→{row[1]} ")]
        assert len(told) == min(3, float(row[2]))
    for cell in ((row, column) for row in range(3) for column in range(3)):
        assert shown.cells.count(cell) == min(3, matrix.values[cell[0]][cell[1]])
    assert most_confused(matrix) == sorted(most_confused(matrix), key=lambda each: -each[2])


def test_classes_are_scored_against_the_rest_as_skin_lesions_are(make: Make) -> None:
    """The cheat would be the area of some other class, or one of answers without their probabilities."""
    from sklearn.metrics import roc_auc_score

    names = ["Leaning over", "Lying"]
    # Untrained: it learns these stripes so soon that every area would be 1.
    project = make(**CNN, scored=names)
    events, config = measured(project, "test"), project.config
    project.config = config.model_copy(update={"scored": []})
    without, project.config = measured(project, "test"), config
    assert not any("auc" in tag for event in without if isinstance(event, Scalars) for tag in event.values)
    # Nothing else differs by a bit.
    assert without[0] == events[0] and without[1:3] == events[4:6]
    values, *curves = events[1:4]
    assert isinstance(values, Scalars) and [curve.tag for curve in curves if isinstance(curve, Curve)] == ["roc/Leaning over", "roc/Lying"]
    inputs, labels = project.splits["test"]
    with project.evaluating():
        shares = project.log_probabilities(inputs, pictures=False).double().exp().numpy()
    expected = [roc_auc_score(labels.numpy() == place, shares[:, place]) for place in (2, 0)]
    assert list(values.values) == ["auc/Leaning over", "auc/Lying", "auc/mean"]
    assert list(values.values.values()) == pytest.approx([*expected, sum(expected) / 2])
    assert 0 < min(expected) < max(expected) < 1
    for curve, area in zip(curves, expected, strict=True):
        assert isinstance(curve, Curve) and np.trapezoid(curve.y, curve.x) == pytest.approx(area)


def test_a_split_without_a_scored_class_has_no_figure_for_it(make: Make) -> None:
    project = make(**CNN, scored=["Lying", "Standing"])
    inputs, labels = project.splits["valid"]
    project.splits["valid"] = (inputs[labels > 0], labels[labels > 0])
    values = next(event.values for event in measured(project) if isinstance(event, Scalars) and "auc/Lying" in event.values)
    assert values["auc/Lying"] is values["auc/mean"] is None and 0 <= float(values["auc/Standing"] or 0) <= 1


def test_skin_lesions_are_taken_from_a_person_s_folders_and_scored(
    home: Path, monkeypatch: pytest.MonkeyPatch, make: Make, stripes: Path
) -> None:
    monkeypatch.delenv("DLWB_MIRROR", raising=False)
    scored = load_recipe(find_recipe("skin-lesions")).recipe.config["scored"]
    with pytest.raises(Problem, match=r"Skin lesions\).*Unpack train\.zip, valid\.zip and test\.zip into .*skin-lesions-pictures, or set"):
        make(data="skin-lesions:pictures", **CNN, scored=scored)
    lesions = zip(sorted((stripes / "train").iterdir()), ("melanoma", "nevus", "seborrheic_keratosis"), strict=True)
    for source, lesion in lesions:
        for part in ("train", "valid", "test"):
            shutil.copytree(stripes / part / source.name, home / "data" / "skin-lesions-pictures" / part / lesion)
    project = make(data="skin-lesions:pictures", **CNN, scored=scored)
    assert project.classes == ["melanoma", "nevus", "seborrheic keratosis"]
    assert project.variant == "Skin lesions, 120 photographs of 3"
    learnt, misled = project, shuffled(make(data="skin-lesions:pictures", **CNN, scored=scored))
    areas = []
    for each in (learnt, misled):
        train(each, 60)
        (values,) = [event.values for event in measured(each, "test") if isinstance(event, Scalars) and "auc/mean" in event.values]
        areas.append(float(values["auc/mean"] or 0))
    assert areas[0] > 0.95 and areas[1] < 0.9


def test_a_page_of_pictures_with_their_likeliest_classes(make: Make) -> None:
    project = make(**CNN)
    train(project, 30)
    with project.evaluating():
        page, table = project.sample(project.Request())
    assert isinstance(page, Images) and isinstance(table, Table)
    assert len(page.captions) == len(table.rows) == 24
    right = 0
    for caption, row in zip(page.captions, table.rows, strict=True):
        named, share = str(row[2]).rsplit(" ", 1)
        right += named == row[1]
        assert caption.startswith(f"{named} {share}" if named == row[1] else f"{row[1]}→{named} {share}")
        assert sum(int(str(each).rsplit(" ", 1)[1][:-1]) for each in row[2:]) == pytest.approx(100, abs=2)
    assert right / 24 == pytest.approx(scalars(project)["accuracy"])


def asked(project: Transfer, data: bytes) -> dict[str, Any]:
    with project.evaluating():
        reply: dict[str, Any] = project.predict({"picture": base64.b64encode(data).decode()})
    return reply


def test_a_picture_of_a_file_gets_the_answer_that_it_gets_in_the_test(make: Make, stripes: Path) -> None:
    project = make(**CNN)
    train(project, 60)
    with project.evaluating():
        wanted = project.log_probabilities(project.splits["test"][0], pictures=False).exp()
    files = [file for name in sorted((stripes / "test").iterdir()) for file in sorted(name.iterdir())]
    for file, shares in zip(files, wanted, strict=True):
        reply = asked(project, file.read_bytes())
        assert reply["answer"] == project.classes[int(shares.argmax())]
        assert list(reply["probabilities"].values()) == pytest.approx(sorted(shares.tolist(), reverse=True), abs=1e-3)
    assert Image.open(io.BytesIO(base64.b64decode(reply["seen"]))).size == (32, 32)
    assert reply["note"] == "its middle, 32x32"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "The input is no picture"),
        ([], "The input is no picture"),
        ({"picture": 3}, "The input is no picture"),
        ({"picture": "…"}, "not in base64"),
        ({"picture": base64.b64encode(b"once upon a time").decode()}, "neither a PNG nor a JPEG"),
        ({"picture": base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(40)).decode()}, "neither a PNG nor a JPEG"),
    ],
)
def test_what_is_no_picture_is_refused(make: Make, inputs: Any, says: str) -> None:
    project = make(**CNN)
    with project.evaluating(), pytest.raises(Problem, match=says):
        project.predict(inputs)


# -- what is refused ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"network": "mobilenet_v5"}, r"no network 'mobilenet_v5'; did you mean mobilenet_v\d"),
        ({**CNN, "scored": ["Lyin"]}, r"scored: there is no class 'Lyin'; did you mean Lying"),
        ({"network": "rose"}, r"no network 'rose'\. It has \d+, as mobilenet_v2, resnet18, "),
        ({**SQUEEZENET, "unfreeze": "layer4"}, r"squeezenet1_0 has no layer 'layer4' to be tuned from\. It has: features, features\.0, "),
        ({**SQUEEZENET, "unfreeze": "features.1"}, r"has no layer 'features\.1' to be tuned from"),  # a ReLU, which has nothing to tune
        (
            {"network": "resnet18", "weights": "stand-in"},
            r"no weights that stand in for those of resnet18\. It has those of: mobilenet_v2, ",
        ),
        ({**SQUEEZENET, "cut": "layer3"}, r"squeezenet1_0 has no layer 'layer3' to be cut after\. It has: features, "),
        ({**SQUEEZENET, "rotation": 10}, r"A frozen network looks at each picture only once.*Set shift, rotation and zoom to 0"),
        ({**SQUEEZENET, "picture_size": 16}, r"squeezenet1_0 does not take pictures of 16x16: .*Most take 224"),
        ({"network": "vit_b_16", "weights": "random"}, r"vit_b_16 does not take pictures of 32x32: .*224"),
        ({**CNN, "channels": [[2]] * 6}, r"Pictures of 32 pixels cannot be halved 6 times"),
        ({"data": "./none", **CNN}, r"There is no folder none"),
    ],
)
def test_settings_that_cannot_be(make: Make, config: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says) as caught:
        make(**config)
    assert "\n" not in str(caught.value)


# -- it goes on exactly ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {**CNN, "schedule": "one-cycle", "rotation": 10, "zoom": 0.1, "flip": True},
        {**SQUEEZENET, "flip": True, "dropout": 0.5},
        {**SQUEEZENET, "unfreeze": "features.12", "flip": True, "shift": 2.0, "optimizer": "sgd", "momentum": 0.9},
    ],
    ids=["cnn", "frozen", "tuned"],
)
def test_it_goes_on_exactly_from_a_checkpoint(make: Make, config: dict[str, Any]) -> None:
    whole, first = make(epochs=2, **config), make(epochs=2, **config)
    whole.seed_all(3)
    wanted = train(whole, 12)
    first.seed_all(3)
    began = train(first, 5)
    saved = first.encode_state({"state": first.state(), "random": first.random_state()})
    second = make(epochs=2, **config)
    tree = second.decode_state(saved)
    second.load_state(tree["state"])
    second.set_random_state(tree["random"])
    assert began + train(second, 12, skip=5) == wanted
    for mine, theirs in zip(second.head.parameters(), whole.head.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    for mine, theirs in zip(second.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_frozen_network_is_in_no_checkpoint(make: Make) -> None:
    assert set(make(**SQUEEZENET).state()) == {"head", "optimizer"}
    assert set(make(**SQUEEZENET, unfreeze="features.12").state()) == {"head", "network", "optimizer"}


def test_looking_changes_nothing(make: Make) -> None:
    config = {**SQUEEZENET, "unfreeze": "features.9", "dropout": 0.5}
    looked, straight = make(**config), make(**config)
    for project in (looked, straight):
        project.seed_all(9)
        train(project, 3)
        if project is looked:
            state = project.random_state()
            measured(project, "valid")
            with project.evaluating():
                list(project.sample(project.Request())), list(project.summary())
            project.set_random_state(state)
        train(project, 3)
    for mine, theirs in zip(looked.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_live_learning_rate_reaches_both_groups(make: Make) -> None:
    project = make(**SQUEEZENET | {"weights": "random"}, unfreeze="features.12", tuned_rate=0.1)
    project.config = project.config.model_copy(update={"learning_rate": 0.5})
    train(project, 1)
    assert [group["lr"] for group in project.optimizer.param_groups] == [0.5, 0.5]  # random weights are no less new than the head
