"""An ensemble that grows by one tree a round, by XGBoost, and resumes bit for bit; its settings, trees and importances. No torch."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from workbench.encoding import booster as boosters
from workbench.training.project import Field, Settings, live


class BoostingSettings(Settings):
    """Base of a Config whose model is boosted."""

    eta: float = live(0.2, gt=0, le=1)
    """Learning rate: factor of what each round adds; higher needs fewer rounds, and overfits sooner."""
    max_depth: int = Field(5, ge=1, le=20)
    """Most questions from a tree's root to a leaf; deeper trees combine more features, and overfit sooner."""
    gamma: float = Field(4.0, ge=0)
    """Least reduction of the loss for which a leaf is split; higher makes smaller trees."""
    min_child_weight: float = Field(6.0, ge=0)
    """Least sum of second derivatives in a leaf, for squared error its number of examples; higher makes smaller trees."""
    subsample: float = Field(0.8, gt=0, le=1)
    """Share of the training examples that a round draws, whatever train.batch_size says; lower makes trees more different, and worse."""

    def parameters(self) -> dict[str, Any]:
        """The same by XGBoost's names. It draws nothing itself: `drawn` does."""
        return {"tree_method": "hist", **self.model_dump(include={"eta", "max_depth", "gamma", "min_child_weight"})}

    def drawn(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Places of the examples that a round is fitted to, rising.

        Not XGBoost's own `subsample`: its random state is the process's, is in no saved model, and the first round of a process draws a
        number more from it than the others (dmlc/xgboost#10324), so a resumed run would go on with other trees.
        """
        return np.flatnonzero(rng.random(number) < self.subsample)


class Boosted:
    """A booster with the matrices that it is asked about; its state is the model as UBJSON bytes."""

    def __init__(self, parameters: Mapping[str, Any], matrices: Mapping[str, Any], train: Any, threads: int) -> None:
        """`matrices` by split, each a DMatrix; `train` names the one that it is fitted to. `threads` 0 takes all that there are."""
        self.parameters = {"nthread": threads or len(os.sched_getaffinity(0)), **parameters}
        self.matrices, self.train = matrices, matrices[train]
        self.booster = boosters.xgboost().Booster(self.parameters, list(matrices.values()))

    @property
    def rounds(self) -> int:
        """Number of rounds done."""
        return int(self.booster.num_boosted_rounds())

    def update(self, gradient: np.ndarray, hessian: np.ndarray, drawn: np.ndarray) -> None:
        """One round: fit a tree to the derivatives of the loss along each answer, (examples,), of the drawn examples, and add it."""
        # As XGBoost leaves an example out: with derivatives of 0 it adds nothing to any sum.
        part = np.zeros(len(gradient))
        part[drawn] = 1
        self.booster.update(self.train, self.rounds, lambda margin, matrix: (gradient * part, hessian * part))

    def answers(self, split: str) -> np.ndarray:
        """(examples,) float32: numbers, or probabilities. XGBoost keeps the sums of the rounds before, so only new trees are asked."""
        answers: np.ndarray = self.booster.predict(self.matrices[split])
        return answers

    def set(self, **parameters: Any) -> None:
        """Change parameters from the next round on."""
        self.parameters |= parameters
        self.booster.set_param(parameters)

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"ubj": np.frombuffer(bytes(self.booster.save_raw("ubj")), np.uint8)}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        self.booster.load_model(bytearray(state["ubj"].tobytes()))
        # A model file has no parameters of the training.
        self.booster.set_param(self.parameters)

    def gains(self) -> list[tuple[str, float, int]]:
        """Of each feature that a tree asks about: its name, the loss that its splits removed in all, their number; the largest first."""
        splits = self.booster.get_score(importance_type="weight")
        gains = self.booster.get_score(importance_type="total_gain")
        return sorted(((name, float(gain), int(splits[name])) for name, gain in gains.items()), key=lambda row: (-row[1], row[0]))

    def coefficients(self) -> list[tuple[str, float]]:
        """Of a linear booster: what each feature is multiplied by; the largest first."""
        weights = self.booster.get_score(importance_type="weight")
        return sorted(((name, float(weight)) for name, weight in weights.items()), key=lambda row: (-abs(row[1]), row[0]))

    def tree(self, number: int, levels: int, scales: Mapping[str, tuple[float, float]] | None = None) -> str:
        """A tree, numbered from 1, to so many levels, as lines of text; "" where there is none yet.

        `scales` (mean, scale) by feature give thresholds in the feature's own unit, where it was standardised; without them features
        are counts, which a text may lack.
        """
        if not 1 <= number <= self.rounds:
            return ""
        (dump,) = self.booster[number - 1 : number].get_dump(dump_format="json")
        return "\n".join(_drawn(json.loads(dump), levels, scales))


def _drawn(node: dict[str, Any], levels: int, scales: Mapping[str, tuple[float, float]] | None) -> Iterator[str]:
    """A question, then its two answers indented."""
    if "leaf" in node:
        yield f"{node['leaf']:+.4g}"
        return
    if not levels:
        yield "…"
        return
    name, threshold = node["split"], node["split_condition"]
    if scales is None:
        # A text that lacks the word goes where `missing` says: its count of 0 is not compared with the threshold.
        least, most = int(node["missing"] != node["yes"]), math.ceil(threshold) - 1
        yield f"{name} {least} to {most} times?" if least < most else f"{name} {most} times?"
    else:
        mean, scale = scales[name]
        yield f"{name} < {threshold * scale + mean:.4g}?"
    children = {child["nodeid"]: child for child in node["children"]}
    for answer, corner, edge in (("yes", "├", "│"), ("no", "└", " ")):
        first, *rest = _drawn(children[node[answer]], levels - 1, scales)
        yield f"{corner} {answer} {first}"
        yield from (f"{edge} {line}" for line in rest)


def tabled(rows: Sequence[Sequence[Any]], most: int) -> list[list[str | float]]:
    """Rows of a table, its numbers with 6 significant digits."""
    return [[float(f"{cell:.6g}") if isinstance(cell, float) else cell for cell in row] for row in rows[:most]]
