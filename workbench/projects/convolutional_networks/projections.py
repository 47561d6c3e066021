"""Projects digits, or a run's features, to the plane: principal components, t-SNE when asked for, and what is left of neighbourhoods."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from workbench.datasets import digits, mnist
from workbench.datasets.store.fetch import fetch
from workbench.events import Curve, Event, Images, Scatter, Table, Text
from workbench.problems import Problem, one_line
from workbench.training.figures import pictures
from workbench.training.project import Field, Project, only
from workbench.training.trained import run_folder, stamp, trained

Data = Literal["mnist", "digits"]

MOST_POINTS = 2000
"""Digits of which the shown ones are the first: t-SNE of more takes minutes."""
PIECE = 6000
"""Pictures that are summed up at once: all of them as numbers of 4 bytes would take 188 MB."""
REBUILT = 8
"""Test digits that are rebuilt, and components that are shown."""
FEATURES_OF = {"train": 3000, "valid": MOST_POINTS, "test": 1000}
"""Examples of a run whose features are computed: of the training part come the components, of the validation part the points."""
AT_ONCE = 100
"""Examples that go through a run's network at once."""
WIDEST = 4096
"""Most features that are projected: the components of more take minutes."""
BEFORE_TSNE = 50
"""Principal components that t-SNE begins from, as its authors advise: the rest is noise, and costs time."""


class Projections(Project):
    """Draws pictures as points, near one another where they are alike."""

    datasets = ("mnist",)

    class Request(Project.Request):
        data: Literal[Data, "run"] = "mnist"
        """MNIST, 28x28, with components of all 60,000 (read in two seconds), scikit-learn's 1,797 digits of 8x8, or a run's features."""
        run: str = only("", when={"data": "run"}, max_length=1000)
        """A run of a classifier of pictures or reviews, whose last layer's inputs are drawn: its id, recipe, `last`, or its folder."""
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
        for held in (fit, fit_run, everything, tsne):
            held.cache_clear()

    def sample(self, request: Any) -> Iterator[Event]:
        """The map of two components, rebuilt digits, components, their variance, nearest neighbours; then t-SNE, where it is asked for."""
        fitted = features(request.run) if request.data == "run" else fit(request.data)
        number, kept, wide = request.points, request.components, len(fitted.mean)
        limits = {"points": len(fitted.points), "components": wide, "across": wide, "up": wide}
        if request.data == "run":
            # How many there are only the run knows: the recipe's 500 may be more.
            number = min(number, limits.pop("points"))
        for name, most in limits.items():
            if getattr(request, name) > most:
                data = "this run" if request.data == "run" else request.data
                raise Problem(f"{name} is {getattr(request, name)}, but {data} allows up to {most:,}.", cause="data")
        labels = fitted.labels[:number]
        names = [str(label) for label in labels]
        found = fitted.projected[:number]
        plane = found[:, [request.across - 1, request.up - 1]]
        yield Scatter(tag="PCA", x=plane[:, 0].tolist(), y=plane[:, 1].tolist(), labels=names)

        if request.data == "run":
            told = f"{number:,} of {len(fitted.points):,} validation examples that were computed, by {wide} features before the last layer."
            yield Text(tag="points", text=f"{told} The components are those of training examples.")
        if fitted.shape:
            yield rebuilt(fitted, kept)
            yield components(fitted)
        shares = fitted.variances / fitted.variances.sum()
        together = np.append(0, shares.cumsum())
        yield Curve(tag="variance", x=list(range(len(together))), y=together.tolist(), labels=("components", "share of the variance"))
        rows: list[list[str | float]] = [
            [f"component {request.across}", float(shares[request.across - 1]), "–", "–"],
            [f"component {request.up}", float(shares[request.up - 1]), "–", "–"],
            ["the map", float(sum(shares[axis - 1] for axis in {request.across, request.up})), "–", neighbours(plane, labels)],
            [f"{kept} kept", float(together[kept]), float(fitted.errors[kept]), neighbours(found[:, :kept], labels) if kept else "–"],
            [f"all {len(shares)}", 1.0, float(fitted.errors[-1]), everything(fitted, number)],
        ]
        columns = ["what", "variance", "test MSE", "neighbour"]
        yield Table(tag="kept", columns=columns, rows=rows)
        if request.tsne:
            for seed in (request.seed, request.seed + 1):
                plane = tsne(fitted, number, request.perplexity, seed)
                # A panel of its own for each: their axes have nothing to do with each other.
                yield Scatter(tag=f"t-SNE, seed {seed}", x=plane[:, 0].tolist(), y=plane[:, 1].tolist(), labels=names)
                rows.append([f"t-SNE, seed {seed}", "–", "–", neighbours(plane, labels)])
                yield Table(tag="kept", columns=columns, rows=list(rows))


# Compared by identity: what is computed from one is held for as long as it is the same.
@dataclass(frozen=True, eq=False)
class Fitted:
    """Principal components of a set, and what is projected on them. A run's features stand for pixels."""

    shape: tuple[int, ...]
    """Of a picture; () of features, which are none."""
    mean: np.ndarray
    """(pixels,)"""
    axes: np.ndarray
    """(pixels, pixels): a component in each column, the largest variance first."""
    variances: np.ndarray
    """(pixels,)"""
    points: np.ndarray
    """(at most 2,000, pixels) training pictures, or a run's validation examples, the same in every map."""
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
    chosen = np.random.default_rng(0).permutation(len(images))[:MOST_POINTS]
    return projected(shape, images, scaled(images[chosen]), labels[chosen], test)


def features(run: str) -> Fitted:
    """The components of a run's features."""
    folder = run_folder(run)
    return fit_run(folder, stamp(folder))


@lru_cache(2)
def fit_run(folder: Path, weights: int) -> Fitted:
    """What a run's last layer gets: components of training examples, points of validation ones; computed once until it learns more.

    Not training points: the network has seen those, and holds them farther apart than new ones.
    """
    project: Any = trained(folder, "image_classifier", "transfer", "sentiment_gru", "sentiment_lstm")
    # Torch, which takes seconds to import, is there by now; digits need none.
    from workbench.torchkit.inside import last_inputs

    parts, labels = {}, {}
    for split, most in FEATURES_OF.items():
        # A review's network takes a list of them; pictures and their labels are tensors.
        inputs, truth = (project.inputs[split], project.reviews[split].labels) if project.takes == "text" else project.splits[split]
        # Spread evenly: some sets have one class after the other.
        chosen = np.unique(np.linspace(0, len(truth) - 1, min(most, len(truth))).astype(int))
        pieces = np.array_split(chosen, -(-len(chosen) // AT_ONCE))
        if project.takes == "text":
            parts[split] = last_inputs(project, project.logits, [[inputs[place] for place in piece] for piece in pieces])
        elif hasattr(project, "logits"):
            parts[split] = last_inputs(project, project.logits, [inputs[piece] for piece in pieces])
        else:
            answer = partial(project.log_probabilities, pictures=False)
            parts[split] = last_inputs(project, answer, [inputs[piece] for piece in pieces])
        labels[split] = np.asarray(truth)[chosen].astype(int)
    if parts["train"].shape[1] > WIDEST:
        text = f"{one_line(folder.name)} has {parts['train'].shape[1]:,} features before its last layer; {WIDEST:,} can be projected."
        raise Problem(text, cause="data")
    classes = np.array(["negative", "positive"] if project.takes == "text" else project.classes)
    return projected((), parts["train"], parts["valid"], classes[labels["valid"]], parts["test"])


def projected(shape: tuple[int, ...], images: np.ndarray, points: np.ndarray, labels: np.ndarray, test: np.ndarray) -> Fitted:
    """Components of examples (number, pixels), and points and test examples projected on them."""
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
    # A picture's squared error is what its coordinates beyond those that are kept amount to.
    squares = np.mean(((test - mean.astype(np.float32)) @ axes.astype(np.float32)) ** 2, axis=0, dtype=float)
    errors = np.append(squares[::-1].cumsum()[::-1], 0) / pixels
    return Fitted(shape, mean, axes, variances, points, labels, (points - mean) @ axes, test, errors)


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


def rebuilt(fitted: Fitted, kept: int) -> Images:
    """Some test pictures, each above what so many components leave of it."""
    shown, axes = fitted.test[:REBUILT].astype(float), fitted.axes[:, :kept]
    again = fitted.mean + (shown - fitted.mean) @ axes @ axes.T
    # A digit and what is left of it are one tile: they stay together however many fit into a row.
    return pictures("rebuilt", np.concatenate([both.reshape(-1, *fitted.shape) for both in (shown, again)], axis=1), columns=REBUILT)


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
def everything(fitted: Fitted, number: int) -> float:
    """The same with all pixels."""
    return neighbours(fitted.points[:number].astype(float), fitted.labels[:number])


@lru_cache(16)
def tsne(fitted: Fitted, number: int, perplexity: float, seed: int) -> np.ndarray:
    """The points in a plane by t-SNE (van der Maaten and Hinton 2008), (number, 2); held, so that another field does not cost seconds."""
    from sklearn.manifold import TSNE

    start = fitted.projected[:number, :BEFORE_TSNE].astype(np.float32)
    # From random places, not from the components: two seeds are to show what is chance.
    return np.asarray(TSNE(perplexity=perplexity, init="random", random_state=seed, learning_rate="auto").fit_transform(start))
