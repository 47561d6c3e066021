"""Digits in the plane: the exact shares and errors of principal components, neighbours that no label helps, and two maps of t-SNE."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built, events
from PIL import Image
from run_folders import trained_run
from test_sentiment import written

from workbench.datasets import imdb
from workbench.events import Scatter, Table
from workbench.problems import Problem
from workbench.projects.convolutional_networks import projections
from workbench.projects.convolutional_networks.projections import fit, neighbours


def rows(answer: dict[str, Any]) -> dict[str, list[Any]]:
    return {row[0]: row[1:] for row in answer["kept"].rows}


def test_the_recipe_gives_the_exact_shares_and_the_error_of_two_components(mirror: Path) -> None:
    table = rows(asked("projections"))
    assert table["component 1"][0] == pytest.approx(0.097047, abs=5e-7)
    assert table["component 2"][0] == pytest.approx(0.070959, abs=5e-7)
    assert table["2 kept"][1] == pytest.approx(0.055669, abs=5e-7)
    assert table["2 kept"][2] == table["the map"][2] == pytest.approx(0.39, abs=0.02)
    assert table["all 784"][2] == pytest.approx(0.846, abs=0.01)


@pytest.mark.parametrize(("kept", "error"), [(0, 0.067470), (32, 0.016828), (196, 0.002310)])
def test_the_error_of_rebuilt_test_digits(mirror: Path, kept: int, error: float) -> None:
    answer = asked("projections", components=kept)
    assert rows(answer)[f"{kept} kept"][1] == pytest.approx(error, abs=5e-7)
    # What is drawn is what is measured: rebuilt by hand from the same axes.
    fitted = fit("mnist")
    digits = fitted.test[:8]
    again = fitted.mean + (digits - fitted.mean) @ fitted.axes[:, :kept] @ fitted.axes[:, :kept].T
    with Image.open(io.BytesIO(answer["rebuilt"].png)) as picture:
        pixels = np.asarray(picture, float) / 255
    tiles = pixels.reshape(2, 28, 8, 28).swapaxes(1, 2)
    assert tiles[0] == pytest.approx(digits.reshape(8, 28, 28), abs=0.003)
    assert tiles[1] == pytest.approx(again.reshape(8, 28, 28).clip(0, 1), abs=0.003)


def test_components_are_orthonormal_and_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    fitted = fit("digits")
    assert fitted.axes.T @ fitted.axes == pytest.approx(np.eye(64), abs=1e-9)
    images, _, test = projections.read("digits")
    theirs = PCA(n_components=10).fit(images.reshape(-1, 64))
    assert (fitted.variances / fitted.variances.sum())[:10] == pytest.approx(theirs.explained_variance_ratio_, abs=1e-5)
    rebuilt = theirs.inverse_transform(theirs.transform(test.reshape(-1, 64)))
    assert fitted.errors[10] == pytest.approx(np.mean((test.reshape(-1, 64) - rebuilt) ** 2), rel=1e-4)
    assert fitted.errors[-1] == pytest.approx(0, abs=1e-9) and (np.diff(fitted.errors) <= 0).all()


def test_no_distance_knows_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheat would be a map, or a nearest neighbour, that has seen the labels: with shuffled ones it would still be right."""
    project = built("projections")
    fitted = fit("digits")
    shuffled = dataclasses.replace(fitted, labels=np.random.default_rng(1).permutation(fitted.labels))
    right = rows(asked("projections", project, data="digits"))
    monkeypatch.setattr(projections, "fit", lambda data: shuffled)
    answer = asked("projections", project, data="digits")
    wrong = rows(answer)
    assert right["all 64"][2] > 0.95 and right["the map"][2] > 0.5
    assert wrong["all 64"][2] < 0.2 and wrong["the map"][2] < 0.2
    monkeypatch.undo()
    assert (answer["PCA"].x, answer["PCA"].y) == (
        asked("projections", project, data="digits")["PCA"].x,
        asked("projections", project, data="digits")["PCA"].y,
    )


def test_the_nearest_neighbour_is_another_point() -> None:
    points = np.array([[0.0, 0], [0, 1], [5, 5], [5, 6.5]])
    assert neighbours(points, np.array([0, 0, 1, 1])) == 1
    assert neighbours(points, np.array([0, 1, 0, 1])) == 0
    assert neighbours(points, np.array([0, 0, 0, 1])) == 0.5


def test_axes_of_the_map_can_be_chosen() -> None:
    project = built("projections")
    answer = asked("projections", project, data="digits", across=3, up=1)
    fitted = fit("digits")
    assert answer["PCA"].x == fitted.projected[:500, 2].tolist() and answer["PCA"].y == fitted.projected[:500, 0].tolist()
    assert [*rows(answer)][:2] == ["component 3", "component 1"]


def test_t_sne_comes_after_pca_from_two_starts_and_keeps_neighbours() -> None:
    project = built("projections")
    given = events("projections", project, data="digits", points=100, tsne=True, perplexity=10)
    maps = [event for event in given if isinstance(event, Scatter)]
    assert [event.tag for event in maps] == ["PCA", "t-SNE, seed 1", "t-SNE, seed 2"] and given.index(maps[1]) > 4
    assert maps[1].x != maps[2].x and maps[1].labels == maps[0].labels
    table = given[-1]
    assert isinstance(table, Table)
    shares = {row[0]: row[3] for row in table.rows}
    assert min(shares["t-SNE, seed 1"], shares["t-SNE, seed 2"]) > float(shares["the map"]) + 0.15  # type: ignore[type-var]
    again = asked("projections", project, data="digits", points=100, tsne=True, perplexity=10, seed=2)
    assert again["t-SNE, seed 2"].x == maps[2].x


CNN = {"data": "digits", "model": "cnn", "channels": [[8], [16]], "hidden": [24], "learning_rate": 0.01}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return str(folder), trained_run(folder, "image_classifier", CNN, 60)


def test_a_run_s_features_are_what_its_last_layer_gets(run: tuple[str, Any]) -> None:
    folder, project = run
    fitted = projections.features(folder)
    pixels, labels = project.splits["valid"]
    with project.evaluating():
        before = project.network[:-1](pixels)
    assert before.shape[1] == 24 and fitted.points == pytest.approx(before.numpy(), abs=1e-5)
    assert fitted.labels.tolist() == [project.classes[label] for label in labels.tolist()] and fitted.shape == ()
    # The components are the training examples'.
    with project.evaluating():
        train = project.network[:-1](project.splits["train"][0]).numpy()
    assert fitted.mean == pytest.approx(train.mean(0), abs=1e-4)
    assert fitted.variances.sum() == pytest.approx(train.var(0).sum(), rel=1e-4)


def test_a_run_s_map_parts_the_classes_that_it_has_learnt(run: tuple[str, Any]) -> None:
    """The cheat would be to draw pixels, or to know the labels: these neighbours are the network's work."""
    project = built("projections")
    answer = asked("projections", project, data="run", run=run[0], points=300)
    assert list(answer) == ["PCA", "points", "variance", "kept"] and len(answer["PCA"].x) == 300
    table = rows(answer)
    assert table["all 24"][2] > 0.9 and table["all 24"][1] == pytest.approx(0, abs=1e-9)
    pixels = neighbours(asked_points(), projections.fit("digits").labels[:300])
    assert table["the map"][2] > pixels
    assert asked("projections", project, data="digits", points=300)["PCA"].x != answer["PCA"].x


def asked_points() -> np.ndarray:
    """The same number of digits on the map of their pixels."""
    return projections.fit("digits").projected[:300, :2]


def test_a_run_of_reviews_gives_the_inputs_of_its_last_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    reviews = {name: written(rng, count) for name, count in (("train", 60), ("valid", 150), ("set_aside", 20), ("test", 40))}
    monkeypatch.setattr(imdb, "read", lambda: reviews)
    monkeypatch.setitem(projections.FEATURES_OF, "valid", 120)
    project = trained_run(tmp_path / "run", "sentiment_gru", {"embedding": 8, "hidden": 8}, 2, 20)
    fitted = projections.features(str(tmp_path / "run"))
    places = np.linspace(0, 149, 120).astype(int)
    assert fitted.points.shape == (120, 2 * 8 + 8)
    assert fitted.labels.tolist() == [["negative", "positive"][int(reviews["valid"].labels[place])] for place in places]
    with project.evaluating():
        logits = project.logits([project.inputs["valid"][place] for place in places])
        again = project.network.parts[0].last(torch.from_numpy(fitted.points))[:, 0]
    assert torch.allclose(logits, again, atol=1e-5)


def test_what_a_run_has_not_is_said(run: tuple[str, Any]) -> None:
    project = built("projections")
    answer = asked("projections", project, data="run", run=run[0])
    number = len(run[1].splits["valid"][1])
    assert len(answer["PCA"].x) == number < 500
    assert answer["points"].text.startswith(f"{number} of {number} validation examples that were computed, by 24 features")
    with pytest.raises(Problem, match="components is 25, but this run allows up to 24"):
        asked("projections", project, data="run", run=run[0], components=25)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"data": "run"}, "run names no run yet"),
        ({"components": 65, "data": "digits"}, "components is 65, but digits allows up to 64"),
        ({"points": 2000, "data": "digits"}, "points is 2000, but digits allows up to 1,437"),
        ({"components": -1}, "components"),
        ({"perplexity": float("nan")}, "perplexity"),
        ({"across": 0}, "across"),
        ({"data": "cifar10"}, "data"),
    ],
)
def test_what_cannot_be_is_one_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says) as raised:
        asked("projections", **fields)
    assert raised.value.cause == "data"
