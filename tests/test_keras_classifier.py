"""The Keras lessons: exact counts, equal to PyTorch with the same weights, exact resumes, the best epoch tested, and life without Keras."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from stepping import scalars, shuffled, train

from workbench.datasets.table import Columns, read
from workbench.events import Scalars, Table, Text
from workbench.problems import Problem
from workbench.projects.extra import keras_classifier
from workbench.projects.extra.keras_classifier import KerasClassifier, beside_chance, keras_on_torch, presence, twin
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog, Tail
from workbench.torchkit.classification import Predictions
from workbench.torchkit.ngrams import Vocabulary
from workbench.training import describe
from workbench.training.loop import Loop

needs_keras = pytest.mark.skipif(find_spec("keras") is None, reason="needs Keras: pip install 'dlwb[keras]'")
CNN = {"channels": [4, 6], "hidden": [16], "dropout": [0.4]}
MLP = {"hidden": [32], "dropout": [0.2], "learning_rate": 0.003}


def made(batch_size: int = 64, **config: Any) -> KerasClassifier:
    settings = KerasClassifier.Config(**{"data": "digits", "optimizer": "rmsprop", **config})
    return KerasClassifier(settings, Train(epochs=10, batch_size=batch_size), Compute(device="cpu", threads=1), 1)


def built(**config: Any) -> KerasClassifier:
    project = made(**config)
    project.build()
    return project


def network(stem: str, shape: tuple[int, ...], classes: int) -> KerasClassifier:
    """The network of a recipe, for examples of this shape; no data is read."""
    project = made(**load_recipe(find_recipe(stem)).recipe.config)
    project.keras = keras_on_torch()
    project.splits = {"train": (torch.zeros(1, *shape), torch.zeros(1, dtype=torch.int64))}
    project.classes = [str(label) for label in range(classes)]
    project.build_model()
    return project


@needs_keras
@pytest.mark.parametrize(
    ("stem", "shape", "classes", "parameters"),
    [
        ("keras-admissions", (6,), 2, 9_282),
        ("keras-mnist-mlp", (1, 28, 28), 10, 669_706),
        ("keras-imdb", (1000,), 2, 513_538),
        ("keras-cifar-mlp", (3, 32, 32), 10, 3_590_642),
        ("keras-cifar-cnn", (3, 32, 32), 10, 528_054),
        ("keras-cifar-cnn-augmented", (3, 32, 32), 10, 528_054),
    ],
)
def test_the_networks_have_the_course_s_parameters_and_equal_their_twins(
    stem: str, shape: tuple[int, ...], classes: int, parameters: int
) -> None:
    project = network(stem, shape, classes)
    (layers,) = project.summary()
    assert isinstance(layers, Table) and layers.rows[-1][-1] == parameters
    assert sum(int(row[-1]) for row in layers.rows[:-1]) == parameters
    assert sum(weight.numel() for weight in project.trained_arrays().values()) == parameters
    assert sum(weight.numel() for weight in twin(project.model).parameters()) == parameters
    inputs = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    with project.evaluating():
        ours, theirs = project.probabilities(inputs), twin(project.model)(inputs)
    assert ours.std() > 1e-3 and (ours - theirs).abs().max() < 1e-5
    # Not because both answer the same to everything.
    with project.evaluating():
        assert (ours - twin(project.model)(inputs.flip(0))).abs().max() > 1e-3


@needs_keras
def test_it_learns_and_nothing_from_shuffled_labels() -> None:
    learnt, misled = built(**MLP), shuffled(built(**MLP))
    for project in (learnt, misled):
        numbers = train(project, 80)
        assert set(numbers[0]) == {"loss", "accuracy"}
    assert scalars(learnt)["accuracy"] > 0.8 and scalars(learnt, "test")["accuracy/training"] > 0.8
    assert scalars(misled)["accuracy"] < 0.4


@needs_keras
@pytest.mark.parametrize("config", [{**MLP, "optimizer": "adam"}, {**CNN, "flip": True, "shift": 1}])
def test_a_resumed_run_is_the_same_bit_for_bit(config: dict[str, Any]) -> None:
    straight = built(**config)
    train(straight, 3)
    saved = straight.encode_state({"random": straight.random_state(), "state": straight.state()})
    expected = train(straight, 6, skip=3)

    def resumed(*forgotten: str) -> list[dict[str, float]]:
        """The next steps of a network that is made anew, without some of what was saved."""
        project = built(**config)
        tree = project.decode_state(saved)
        project.load_state({name: part for name, part in tree["state"].items() if name not in forgotten})
        if "random" not in forgotten:
            project.set_random_state(tree["random"])
        numbers = train(project, 6, skip=3)
        ends = zip(project.trained_arrays().values(), straight.trained_arrays().values(), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in ends) == (not forgotten)
        return numbers

    assert resumed() == expected
    for part in ("weights", "moments", "random"):
        assert resumed(part) != expected


@needs_keras
def test_a_look_at_the_run_changes_nothing_in_it() -> None:
    def steps(*, look: bool) -> list[dict[str, float]]:
        project = built(**CNN)
        train(project, 3)
        if look:
            with project.looking(5):
                for event in (*project.evaluate("valid"), *project.sample(project.Request())):
                    msgspec.json.encode(event)
        return train(project, 6, skip=3)

    assert steps(look=True) == steps(look=False)


@needs_keras
def test_where_rmsprop_collapses_the_best_epoch_is_tested(tmp_path: Path) -> None:
    settings = Train(steps=60, batch_size=64, log_every=10, evaluate_every=10, keep_best="valid/accuracy")
    project = made(**MLP)
    project.train = settings
    project.build()
    steps = iter(range(60))
    step = project.train_step

    def collapsing(batch: Any) -> dict[str, Any]:
        """From step 40 on the weights jump by 3 in each step."""
        if next(steps) == 40:
            project.config = project.config.model_copy(update={"learning_rate": 3.0})
        return step(batch)

    object.__setattr__(project, "train_step", collapsing)
    log = EventLog(tmp_path)
    Loop(project, Recipe(title="x", project="keras_classifier", train=settings), log, Checkpoints(tmp_path / "checkpoints")).fit()
    log.close()
    figures = [(event.step, event.values) for event in Tail(tmp_path / "events.jsonl").read() if isinstance(event, Scalars)]
    valid = [(number, values["valid/accuracy"]) for number, values in figures if "valid/accuracy" in values]
    test = next(values for _, values in figures if "test/accuracy" in values)
    assert max(valid, key=lambda pair: pair[1])[0] <= 40 and valid[-1][1] < 0.4
    assert test["test/accuracy"] > 0.6


def test_an_interval_of_forty_answers_is_fifteen_points_wide_each_way() -> None:
    labels = np.array([0] * 27 + [1] * 13)
    answers = np.where(np.arange(40) < 23, labels, 1 - labels)
    table = beside_chance(Predictions(labels, np.eye(2)[answers], ["rejected", "admitted"]))
    assert table.rows == [["the network", 0.575, "± 0.1532"], ["the majority class", 0.675, ""]]
    assert table.columns == ["answers of 40", "accuracy", "95 %"]


def test_a_review_is_which_words_it_has() -> None:
    texts = [["good", "good", "film"], ["bad", "film"], ["film", "rare"]]
    vocabulary = Vocabulary(texts, 2)
    assert vocabulary.words == ["film", "good"]
    assert presence(texts, vocabulary).tolist() == [[1, 1], [1, 0], [1, 0]]


@needs_keras
def test_students_are_shown_with_their_marks(mirror: Path) -> None:
    project = built(**load_recipe(find_recipe("keras-admissions")).recipe.config)
    assert [len(project.splits[part][1]) for part in ("train", "valid", "test")] == [200, 100, 100]
    train(project, 30)
    values = scalars(project, "test")
    assert values["accuracy/majority"] == 0.68 and 0.55 < values["accuracy"] < 0.85
    with project.evaluating():
        answers, text = project.sample(project.Request(order="most confident mistakes"))
    assert isinstance(answers, Table) and answers.columns == ["truth", "answer", "probability", "GRE", "GPA", "rank"]
    assert isinstance(text, Text) and text.text.startswith("The same weights in Linear, ReLU, Linear, ReLU, Linear, Softmax: of 48 ")
    wrong = [row for row in answers.rows if row[0] != row[1]]
    assert wrong == answers.rows[: len(wrong)] and [row[2] for row in wrong] == sorted((row[2] for row in wrong), reverse=True)
    data = read("student-admissions", Columns(target="admit", words=["rank"]), "", Path())
    for row in answers.rows:
        places = np.flatnonzero((data.valid.raw[:, :2] == row[3:5]).all(1) & (data.valid.raw[:, 1 + int(row[5])] == 1))
        assert row[0] in [project.classes[label] for label in data.valid.labels[places]]


@needs_keras
def test_examples_are_chosen_by_order_and_place() -> None:
    project = built(**MLP)

    def captions(**fields: Any) -> list[str]:
        with project.evaluating():
            return next(iter(project.sample(project.Request(**fields)))).captions

    first, later, unsure = captions(), captions(first=4), captions(order="least confident")
    assert first[4:] == later[: len(first) - 4] and len(first) == keras_classifier.SHOWN
    assert max(int(text.split()[1].rstrip("%,")) for text in unsure) <= 30


@needs_keras
@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"hidden": [8], "dropout": [0.1, 0.2]}, "config.dropout has 2 and config.hidden 1 entries."),
        ({"data": "student-admissions", "flip": True}, "shift, rotation, zoom and flip change pictures"),
    ],
)
def test_what_does_not_fit_is_one_sentence(config: dict[str, Any], sentence: str, mirror: Path) -> None:
    with pytest.raises(Problem) as raised:
        built(**config)
    assert raised.value.message.startswith(sentence)


@needs_keras
def test_an_example_that_is_not_there_is_one_sentence() -> None:
    project = built(**MLP)
    with project.evaluating(), pytest.raises(Problem, match=r"first must be from 0 to \d+, as there are \d+ examples."):
        list(project.sample(project.Request(first=499)))


# -- with another environment, and without Keras -------------------------------------------------------------------------------------------


def test_without_keras_one_sentence_and_the_description_needs_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # What Python itself does where a package is not there.
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(Problem) as raised:
        built(**MLP)
    assert str(raised.value) == "This lesson needs Keras, which is not installed. Install it: pip install 'dlwb[keras]'"
    assert raised.value.cause == "import"
    monkeypatch.delitem(sys.modules, keras_classifier.__name__)
    assert describe.describe("keras_classifier") == 0
    described = msgspec.json.decode(capsys.readouterr().out)
    assert described["devices"] == ["cpu"] and described["trains"] and "hidden" in described["config"]["properties"]


def test_keras_gets_its_settings_for_its_import_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> None:
    (tmp_path / "keras.py").write_text("import os\nseen = {name: os.environ[name] for name in os.environ if name.startswith('KERAS')}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.delenv("KERAS_HOME", raising=False)
    seen = keras_on_torch().seen
    assert (seen["KERAS_BACKEND"], seen["KERAS_TORCH_DEVICE"]) == ("torch", "cpu")
    assert seen["KERAS_HOME"].startswith(str(home))
    assert os.environ["KERAS_BACKEND"] == "jax" and "KERAS_HOME" not in os.environ


@needs_keras
def test_keras_computes_with_pytorch() -> None:
    assert keras_on_torch().backend.backend() == "torch"
