"""Projects digits to the plane: principal components at once, t-SNE when it is asked for, and how much of the neighbourhoods is left."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from workbench.datasets import digits, mnist
from workbench.datasets.store.fetch import fetch
from workbench.events import Curve, Event, Images, Scatter, Table
from workbench.problems import Problem
from workbench.training.figures import pictures
from workbench.training.project import Field, Project, only

Data = Literal["mnist", "digits"]

MOST_POINTS = 2000
"""Digits of which the shown ones are the first: t-SNE of more takes minutes."""
PIECE = 6000
"""Pictures that are summed up at once: all of them as numbers of 4 bytes would take 188 MB."""
REBUILT = 8
"""Test digits that are rebuilt, and components that are shown."""
BEFORE_TSNE = 50
"""Principal components that t-SNE begins from, as its authors advise: the rest is noise, and costs time."""


class Projections(Project):
    """Draws pictures as points, near one another where they are alike."""

    datasets = ("mnist",)

    class Request(Project.Request):
        data: Data = "mnist"
        """Digits: MNIST, 28x28, with components of all 60,000 (read in two seconds), or scikit-learn's 1,797 of 8x8."""
        components: int = Field(2, ge=0, le=196, json_schema_extra={"step": 1})
        """Numbers that are kept of each picture; more rebuild it better, and say less about each other."""
        across: int = Field(1, ge=1, le=20)
        """Principal component on the horizontal axis; 1 has the largest variance."""
        up: int = Field(2, ge=1, le=20)
        """Principal component on the vertical axis; higher ones are about finer differences."""
        points: int = Field(500, ge=100, le=MOST_POINTS, json_schema_extra={"step": 100})
        """Digits that are drawn; more show the clusters better, and t-SNE takes longer: four seconds for 500, half a minute for 2,000."""
        tsne: bool = False
        """Draw t-SNE, too, from two random starts: it keeps neighbours together, and nothing else."""
        perplexity: float = only(30.0, when={"tsne": True}, ge=5, le=50)
        """About how many neighbours each point looks at; higher makes fewer, larger clusters."""
        seed: int = only(1, when={"tsne": True}, ge=0, le=100)
        """Random start of the first of both maps; the second one has the next number."""

    def build_data(self) -> None:
        # What is held is of these files, and of no others that this process may have read before.
        for held in (fit, everything, tsne):
            held.cache_clear()

    def sample(self, request: Any) -> Iterator[Event]:
        """The map of two components, rebuilt digits, components, their variance, nearest neighbours; then t-SNE, where it is asked for."""
        fitted = fit(request.data)
        number, kept = request.points, request.components
        for name, value, most in (("points", number, len(fitted.points)), ("components", kept, len(fitted.mean))):
            if value > most:
                raise Problem(f"{name} is {value}, but {request.data} allows up to {most:,}.", cause="data")
        labels = fitted.labels[:number]
        names = [str(label) for label in labels]
        found = fitted.projected[:number]
        plane = found[:, [request.across - 1, request.up - 1]]
        yield Scatter(tag="PCA", x=plane[:, 0].tolist(), y=plane[:, 1].tolist(), labels=names)

        shape = fitted.shape
        shown = fitted.test[:REBUILT].astype(float)
        rebuilt = fitted.mean + (shown - fitted.mean) @ fitted.axes[:, :kept] @ fitted.axes[:, :kept].T
        # A digit and what is left of it are one tile: they stay together however many fit into a row.
        pairs = np.concatenate([both.reshape(-1, *shape) for both in (shown, rebuilt)], axis=1)
        yield pictures("rebuilt", pairs, columns=REBUILT)
        yield components(fitted)

        shares = fitted.variances / fitted.variances.sum()
        together = np.append(0, shares.cumsum())
        yield Curve(tag="variance", x=list(range(len(together))), y=together.tolist(), labels=("components", "share of the variance"))
        rows: list[list[str | float]] = [
            [f"component {request.across}", float(shares[request.across - 1]), "–", "–"],
            [f"component {request.up}", float(shares[request.up - 1]), "–", "–"],
            ["the map", float(sum(shares[axis - 1] for axis in {request.across, request.up})), "–", neighbours(plane, labels)],
            [f"{kept} kept", float(together[kept]), float(fitted.errors[kept]), neighbours(found[:, :kept], labels) if kept else "–"],
            [f"all {len(shares)}", 1.0, float(fitted.errors[-1]), everything(request.data, number)],
        ]
        columns = ["what", "variance", "test MSE", "neighbour"]
        yield Table(tag="kept", columns=columns, rows=rows)
        if request.tsne:
            for seed in (request.seed, request.seed + 1):
                plane = tsne(request.data, number, request.perplexity, seed)
                # A panel of its own for each: their axes have nothing to do with each other.
                yield Scatter(tag=f"t-SNE, seed {seed}", x=plane[:, 0].tolist(), y=plane[:, 1].tolist(), labels=names)
                rows.append([f"t-SNE, seed {seed}", "–", "–", neighbours(plane, labels)])
                yield Table(tag="kept", columns=columns, rows=list(rows))


@dataclass(frozen=True)
class Fitted:
    """Principal components of a set, and what is projected on them."""

    shape: tuple[int, int]
    mean: np.ndarray
    """(pixels,)"""
    axes: np.ndarray
    """(pixels, pixels): a component in each column, the largest variance first."""
    variances: np.ndarray
    """(pixels,)"""
    points: np.ndarray
    """(at most 2,000, pixels) training pictures, the same in every map."""
    labels: np.ndarray
    projected: np.ndarray
    """(points, pixels): their place along each component."""
    test: np.ndarray
    """(number, pixels) pictures that the components have never seen."""
    errors: np.ndarray
    """(pixels + 1,): mean squared error per pixel of the test pictures, rebuilt from the first 0, 1, 2 … components."""


@lru_cache(2)
def fit(data: Data) -> Fitted:
    """The components of all training pictures, without their labels; read and computed when they are first asked for."""
    images, labels, test = read(data)
    shape = (images.shape[1], images.shape[2])
    images, test = images.reshape(len(images), -1), scaled(test.reshape(len(test), -1))
    pixels = images.shape[1]
    total, products = np.zeros(pixels), np.zeros((pixels, pixels))
    for start in range(0, len(images), PIECE):
        piece = scaled(images[start : start + PIECE])
        total += piece.sum(0, dtype=float)
        products += piece.T @ piece
    mean = total / len(images)
    variances, axes = np.linalg.eigh(products / len(images) - np.outer(mean, mean))
    # eigh gives the least first; what is below 0 is rounding.
    variances, axes = variances[::-1].clip(0), axes[:, ::-1]
    chosen = np.random.default_rng(0).permutation(len(images))[:MOST_POINTS]
    points = scaled(images[chosen])
    # A picture's squared error is what its coordinates beyond those that are kept amount to.
    squares = np.mean(((test - mean.astype(np.float32)) @ axes.astype(np.float32)) ** 2, axis=0, dtype=float)
    errors = np.append(squares[::-1].cumsum()[::-1], 0) / pixels
    return Fitted(shape, mean, axes, variances, points, labels[chosen], (points - mean) @ axes, test, errors)


def read(data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training pictures (number, height, width), their labels, and test pictures: bytes of MNIST, shares of scikit-learn's digits."""
    if data == "digits":
        sets = digits.read()
        images = np.concatenate([sets.train.images, sets.valid.images])[:, 0]
        return images, np.concatenate([sets.train.labels, sets.valid.labels]), sets.test.images[:, 0]
    files = fetch("mnist")
    images = mnist.read_idx(files["train-images"], (mnist.TRAIN, 28, 28))
    labels = mnist.read_idx(files["train-labels"], (mnist.TRAIN,))
    return images, labels, mnist.read_idx(files["test-images"], (mnist.TEST, 28, 28))


def scaled(images: np.ndarray) -> np.ndarray:
    """In [0, 1], float32."""
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images.astype(np.float32)


def components(fitted: Fitted) -> Images:
    """The first components as pictures: mid-grey is 0, and a picture's coordinate says how much of it is added to the mean."""
    axes = fitted.axes[:, :REBUILT].T
    shares = fitted.variances / fitted.variances.sum()
    captions = [f"{place}: {share:.1%}" for place, share in enumerate(shares[:REBUILT], 1)]
    return pictures(
        "components", (0.5 + axes / (2 * np.abs(axes).max(1, keepdims=True))).reshape(-1, *fitted.shape), captions, columns=REBUILT
    )


def neighbours(points: np.ndarray, labels: np.ndarray) -> float:
    """Share of the points whose nearest other point is of the same class. The distance knows nothing of the labels."""
    squares = (points**2).sum(1)
    # |a - b|² = |a|² + |b|² - 2ab: one product of matrices for all pairs.
    distances = squares[:, None] + squares[None] - 2 * (points @ points.T)
    np.fill_diagonal(distances, np.inf)
    return float(np.mean(labels[distances.argmin(1)] == labels))


@lru_cache(4)
def everything(data: Data, number: int) -> float:
    """The same with all pixels."""
    fitted = fit(data)
    return neighbours(fitted.points[:number].astype(float), fitted.labels[:number])


@lru_cache(16)
def tsne(data: Data, number: int, perplexity: float, seed: int) -> np.ndarray:
    """The points in a plane by t-SNE (van der Maaten and Hinton 2008), (number, 2); held, so that another field does not cost seconds."""
    from sklearn.manifold import TSNE

    start = fit(data).projected[:number, :BEFORE_TSNE].astype(np.float32)
    # From random places, not from the components: two seeds are to show what is chance.
    return np.asarray(TSNE(perplexity=perplexity, init="random", random_state=seed, learning_rate="auto").fit_transform(start))
