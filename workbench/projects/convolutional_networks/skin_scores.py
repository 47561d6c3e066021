"""Scores 600 predictions of the skin lesion project: thresholds, the four counts, ROC and AUC, ties, and what a miss costs."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from workbench.datasets import own_file, skin_lesions
from workbench.datasets.skin_lesions import TASKS
from workbench.datasets.store.fetch import fetch
from workbench.events import Curve, Event, Matrix, Table
from workbench.problems import one_line
from workbench.torchkit.against_the_rest import areas, cumulated
from workbench.training.project import Field, Project

BEST = (0.874, 0.965, 0.911)
"""The challenge's best AUC of melanoma and of keratosis, and the best mean of both, by three different teams (ISIC 2017)."""
FIXED = 0.5
"""The threshold that a classifier uses where nobody chose one."""
UNDEFINED = "–"


class SkinScores(Project):
    """Says what a threshold on a classifier's scores means for the people it is about."""

    datasets = ("skin-lesions",)

    class Request(Project.Request):
        task: Literal["melanoma", "seborrheic keratosis"] = "melanoma"
        """Disease that is looked for; every other lesion counts as negative."""
        threshold: float = Field(0.0, ge=0, le=1, json_schema_extra={"step": 0.01})
        """Share of the different scores, from the highest down, that are called positive; higher misses fewer and alarms more falsely."""
        miss: float = Field(10.0, ge=1, le=1000, json_schema_extra={"step": 1})
        """What a missed disease costs, where a false alarm costs 1; higher makes a lower threshold the cheapest."""
        file: str = ""
        """Your own predictions for the same lesions, a CSV with Id, task_1, task_2 (melanoma, keratosis); empty: the project's sample."""

    def build_data(self) -> None:
        self.truth, self.scores = skin_lesions.read()  # (600, 2) both

    def sample(self, request: Any) -> Iterator[Event]:
        """The four counts at the threshold, figures from them, three curves with its place on them, and the ranking."""
        scores = self.own(request.file) if request.file else self.scores
        task = TASKS.index(request.task)
        positive, given = self.truth[:, task], scores[:, task]
        thresholds, tp, fp = cumulated(positive, given)
        totals = Totals(int(positive.sum()), int((~positive).sum()))

        place = round(request.threshold * (len(thresholds) - 1))
        costs = request.miss * (totals.positives - tp) + fp
        # The highest of equally cheap thresholds: it alarms the fewest.
        cheapest = int(np.argmin(costs))
        fixed = int(np.searchsorted(-thresholds, -FIXED, side="right")) - 1
        chosen = {"at 0.5": fixed, "here": place, "cheapest": cheapest}

        here = totals.counts(tp[place], fp[place])
        # The same names for rows and columns: it is drawn as a confusion matrix, rows truth and columns prediction.
        names = [request.task, "other"]
        yield Matrix(tag="counts", values=[[here.tp, here.fn], [here.fp, here.tn]], rows=names, columns=names)
        rows: list[list[str | float]] = [
            ["positive from", FIXED, *(f"{thresholds[at]:.3g}" if at else "none" for at in (place, cheapest))],
            ["of the scores", *(f"{at} of {len(thresholds) - 1}" for at in chosen.values())],
        ]
        figures = [totals.counts(tp[at], fp[at]).figures() for at in chosen.values()]
        rows += [[name, *(shares[name] for shares in figures)] for name in figures[0]]
        rows.append(["cost", *(float(costs[at]) for at in chosen.values())])
        yield Table(tag="figures", columns=["figure", *chosen], rows=rows)

        sensitivity, false_alarms = tp / max(1, totals.positives), fp / max(1, totals.negatives)
        yield from curve("ROC", ("false positive rate", "sensitivity"), false_alarms, sensitivity, thresholds, place)
        yield Curve(tag="ROC/chance", x=[0.0, 1.0], y=[0.0, 1.0], labels=("false positive rate", "sensitivity"))
        yield from curve("sensitivity", ("sensitivity", "specificity"), sensitivity, 1 - false_alarms, thresholds, place)
        # Where nothing is called positive, precision is not defined: the curve begins one score later.
        precision = tp[1:] / (tp[1:] + fp[1:])
        yield from curve("precision", ("recall", "precision"), sensitivity[1:], precision, thresholds[1:], place - 1)
        yield ranking(self.truth, scores)

    def own(self, path: str) -> np.ndarray:
        """A person's predictions, (lesions, 2), in the order of the truth. Problem where a line or a lesion is wrong or missing."""
        file = own_file.find(path, self.folder)
        truth = skin_lesions.parse(fetch("skin-lesions")["truth"])
        return skin_lesions.pair(truth, skin_lesions.parse(file), one_line(file.name))[1]


class Totals(NamedTuple):
    """How many lesions have the disease, and how many have not."""

    positives: int
    negatives: int

    def counts(self, tp: float, fp: float) -> "Counts":
        """All four counts from two of them."""
        return Counts(float(tp), float(fp), float(self.positives - tp), float(self.negatives - fp))


class Counts(NamedTuple):
    """True and false positives, false and true negatives."""

    tp: float
    fp: float
    fn: float
    tn: float

    def figures(self) -> dict[str, str | float]:
        """The course's figures, in its words; a dash where one is a share of nothing."""
        return {
            "sensitivity": share(self.tp, self.tp + self.fn),
            "specificity": share(self.tn, self.tn + self.fp),
            "precision": share(self.tp, self.tp + self.fp),
            "recall": share(self.tp, self.tp + self.fn),
            "accuracy": share(self.tp + self.tn, sum(self)),
        }


def share(part: float, whole: float) -> str | float:
    """A part of a whole; a dash where the whole is nothing."""
    return part / whole if whole else UNDEFINED


def by_order(scores: np.ndarray, order: int) -> np.ndarray:
    """The ranks of the scores, equal ones ranked by their line in the file: the first (order 1) or the last line (-1) highest."""
    ranks = np.empty(len(scores))
    ranks[np.lexsort((-order * np.arange(len(scores)), scores))] = np.arange(len(scores))
    return ranks


def curve(panel: str, labels: tuple[str, str], x: np.ndarray, y: np.ndarray, at: np.ndarray, place: int) -> Iterator[Event]:
    """A curve over all thresholds, and where the one that is asked for lies on it."""
    # Without `totals`: a ROC with them has a slider of its own, between the least and the largest score, where these scores have no room.
    # Infinity, of which JSON knows nothing, is given as one above the highest score.
    finite = np.where(np.isinf(at), at[1] + 1, at)
    yield Curve(tag=f"{panel}/all thresholds", x=x.tolist(), y=y.tolist(), labels=labels, at=finite.tolist())
    if place >= 0:
        across, up = float(x[place]), float(y[place])
        # To both axes: a single point is hard to see, and its two values are what counts.
        yield Curve(tag=f"{panel}/here", x=[0.0, across, across], y=[up, up, 0.0], labels=labels)


def ranking(truth: np.ndarray, scores: np.ndarray) -> Table:
    """The project's three categories: AUC with ties counted half, and what it becomes where ties are broken by the order of the file."""
    columns: list[list[float]] = []
    for ranked in (
        scores,
        np.stack([by_order(column, 1) for column in scores.T], 1),
        np.stack([by_order(column, -1) for column in scores.T], 1),
    ):
        columns.append(areas(truth, ranked))
    names = [TASKS[0], "keratosis", "mean"]
    rows: list[list[str | float]] = [[name, *row, best] for name, *row, best in zip(names, *columns, BEST, strict=True)]
    return Table(tag="ranking", columns=["AUC", "ties half", "file order", "reversed", "best"], rows=rows)
