"""Why a squared error paints grey: its best single answer is the mean of the possible colours, and a discriminator tells it; in NumPy."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image

from workbench.datasets import photographs
from workbench.datasets.pictures import read_picture
from workbench.events import Curve, Event, Table
from workbench.training.figures import pictures
from workbench.training.project import Field, Matrix, Project, only

HUES = ((255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255))
"""Full colours around the wheel, whose mean is exactly mid-grey."""
TWO = [[255, 0, 0], [0, 0, 255]]
ROW = tuple[str, np.ndarray, np.ndarray]
"""An answer's name, the colours that it gives, (colours, 3), and how often each, (colours,)."""
POINTS = 61
"""Places along the line between two targets."""
LONG_SIDE = 120
"""Pixels of the photograph: 9,600 of them answer at once, and fill a panel."""
PATCH = 24
"""Side of a patch of one colour in pixels."""


class Colourisation(Project):
    """Colours a grey picture by its likeliest, its mean and a drawn colour, and says what each loss and a discriminator make of it."""

    datasets = ("photographs",)

    class Request(Project.Request):
        targets: Literal["two colours", "six hues"] = "two colours"
        """The colours that one and the same grey input may have in truth: two of your choice, or six full hues, equally often."""
        colours: Annotated[list[list[float]], Matrix(2, 3, 0, 255, 5)] = only(TWO, when={"targets": "two colours"})
        """Red, green and blue of the two colours, a row each, from 0 to 255; farther apart, their mean is less like either."""
        share: float = only(0.5, when={"targets": "two colours"}, ge=0, le=1, step=0.05)
        """How often the first colour is the true one; higher moves the mean towards it."""
        answer: Annotated[list[list[float]], Matrix(1, 3, 0, 255, 5)] = [[255, 0, 0]]
        """Red, green and blue that your own generator always answers; compare it with the best of each loss."""
        spread: float = Field(40.0, ge=1, le=250, json_schema_extra={"step": 5})
        """Standard deviation of a true colour around its own, 0 to 255, in the curve of the discriminator; higher makes it less sure."""
        photograph: Literal["china", "flower"] = "flower"
        """The photograph that is made grey and coloured again."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The answers as colours, their losses, both along the line between two targets, and a photograph coloured in three ways."""
        colours = np.array(HUES if request.targets == "six hues" else request.colours, float)
        shares = np.full(len(HUES), 1 / len(HUES)) if request.targets == "six hues" else np.array([request.share, 1 - request.share])
        # A colour that never occurs is no target.
        colours, shares = colours[shares > 0], shares[shares > 0]
        answers = the_answers(colours, shares, np.array(request.answer, float))
        (_, mean, _), (_, median, _) = answers[:2]
        shown = [*colours, mean[0], median[0], np.array(request.answer[0], float)]
        captions = [*(f"target {number}" for number in range(1, len(colours) + 1)), "best squared", "best absolute", "yours"]
        patches = np.array(shown)[:, :, None, None] / 255 * np.ones((PATCH, PATCH))
        yield pictures("colours", patches, captions, columns=len(shown))

        named: list[list[str | float]] = []
        rows: list[list[str | float]] = []
        for name, given, often in answers:
            named.append([name, *(given[0].tolist() if len(given) == 1 else ["–"] * 3)])
            rows.append([name, *losses(colours, shares, given, often), *discriminated(colours, shares, given, often)])
        yield Table(tag="answers", columns=["answer", "R", "G", "B"], rows=named)
        yield Table(tag="losses", columns=["answer", "squared", "absolute", "D", "divergence"], rows=rows)

        # Of six hues the line through the wheel's middle: red to cyan.
        ends = colours[0], colours[len(colours) // 2]
        places = np.linspace(0, 1, POINTS)
        line = ends[0] + places[:, None] * (ends[1] - ends[0])
        errors = np.array([losses(colours, shares, point[None], np.ones(1)) for point in line])
        for name, series in zip(("squared", "absolute"), errors.T, strict=True):
            # As shares of their largest value here: squares of 255 levels would hide the other curve.
            yield Curve(
                tag=f"loss along the line/{name}",
                x=places.tolist(),
                y=(series / (series.max() or 1)).tolist(),
                labels=("from target 1", "of its largest"),
            )
        yours = np.array(request.answer, float)
        for name, given in (("best squared", mean), ("yours", yours)):
            logits = log_density(line, colours, shares, request.spread) - log_density(line, given, np.ones(1), request.spread)
            yield Curve(
                tag=f"discriminator along the line/{name}",
                x=places.tolist(),
                y=(1 / (1 + np.exp(-logits.clip(-500, 500)))).tolist(),
                labels=("from target 1", "probability of being real"),
            )
        images, figures = coloured(request.photograph)
        yield pictures("photograph", images, [str(row[0]) for row in figures], columns=2)
        yield Table(tag="photograph in figures", columns=["colouring", "squared error", "colour left"], rows=figures)


# -- single colours -------------------------------------------------------------------------------------------------------------------


def the_answers(colours: np.ndarray, shares: np.ndarray, yours: np.ndarray) -> list[ROW]:
    """The best answer of each loss, your own, and the true colours drawn as often as they occur."""
    always = np.ones(1)
    return [
        ("best squared", (shares @ colours)[None], always),
        ("best absolute", weighted_median(colours, shares)[None], always),
        ("yours", yours, always),
        ("drawn", colours, shares),
    ]


def weighted_median(colours: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Of each channel the middle of all values that halve the targets, (3,): the absolute error is least there."""
    medians = []
    for values in colours.T:
        order = np.argsort(values, kind="stable")
        below = np.cumsum(shares[order])
        # Between two values that each have half of the targets on their side, every answer is equally good.
        low, high = np.searchsorted(below, [0.5 - 1e-9, 0.5 + 1e-9])
        medians.append((values[order[low]] + values[order[min(high, len(order) - 1)]]) / 2)
    return np.array(medians)


def losses(colours: np.ndarray, shares: np.ndarray, given: np.ndarray, often: np.ndarray) -> tuple[float, float]:
    """Expected squared and absolute error of a channel, where answer and target are drawn apart."""
    differences = given[:, None] - colours[None]  # (answers, targets, 3)
    both = often[:, None] * shares[None]
    return float((both * np.square(differences).mean(2)).sum()), float((both * np.abs(differences).mean(2)).sum())


def discriminated(colours: np.ndarray, shares: np.ndarray, given: np.ndarray, often: np.ndarray) -> tuple[float, float]:
    """What the best discriminator, p / (p + q) (Goodfellow et al. 2014), gives the answers on average; the Jensen–Shannon divergence."""
    together: dict[tuple[float, ...], list[float]] = {}
    for side, (points, chances) in enumerate(((colours, shares), (given, often))):
        for point, chance in zip(points, chances, strict=True):
            together.setdefault(tuple(point.tolist()), [0.0, 0.0])[side] += float(chance)
    p, q = np.array(list(together.values())).T
    middle = (p + q) / 2
    divergence = 0.0
    for chance in (p, q):
        there = chance > 0
        divergence += float((chance[there] * np.log(chance[there] / middle[there])).sum()) / 2
    return float((q * p / (p + q)).sum()), divergence


def log_density(points: np.ndarray, centres: np.ndarray, shares: np.ndarray, spread: float) -> np.ndarray:
    """ln of a mixture of equal normals in three channels, up to a constant that all mixtures of this spread share: (points,)."""
    squares = np.square(points[:, None] - centres[None]).sum(2) / (2 * spread**2)
    return np.asarray(np.logaddexp.reduce(np.log(shares) - squares, axis=1))


# -- a photograph ---------------------------------------------------------------------------------------------------------------------


@lru_cache(2)
def coloured(name: str) -> tuple[np.ndarray, list[list[str | float]]]:
    """The photograph, grey, and coloured from its grey alone, (4, 3, height, width) in [0, 1], and a row about each.

    All that a colouring knows is which colours that grey has here.
    """
    pixels = opened(photographs.files()[name])
    flat = pixels.reshape(-1, 3)
    # Luminance of BT.601, which Pillow's "L" has, too.
    grey = np.rint(flat @ np.array([0.299, 0.587, 0.114])).astype(int)
    order = np.argsort(grey, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(grey[order])) + 1)
    random = np.random.default_rng(0)
    mean, drawn = np.empty_like(flat), np.empty_like(flat)
    for group in groups:
        mean[group] = flat[group].mean(0)
        drawn[group] = flat[random.choice(group, len(group))]
    shown = {"true": flat, "grey": np.repeat(grey[:, None], 3, 1), "best squared": mean, "drawn": drawn}
    rows: list[list[str | float]] = []
    for title, values in shown.items():
        # What is left of the colour: the distance of a pixel from grey of the same mean.
        vivid = np.sqrt(np.square(values - values.mean(1, keepdims=True)).mean())
        rows.append([title, float(np.square(values - flat).mean()), float(vivid)])
    images = np.stack([values.reshape(pixels.shape).transpose(2, 0, 1) for values in shown.values()]) / 255
    return images, rows


def opened(path: Path) -> np.ndarray:
    """A photograph, scaled, (height, width, 3) in 0 to 255."""
    picture = read_picture(path, LONG_SIDE)
    picture.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BOX)
    return np.asarray(picture, float)
