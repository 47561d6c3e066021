"""Boosters: XGBoost's models as UBJSON bytes, and how one is asked: the same for a project's `predict` and for serving."""

from typing import Any

import numpy as np

from workbench.encoding.kinds import BagOfWords, Encoder
from workbench.problems import Problem, missing


def xgboost() -> Any:
    """The package xgboost. Raises Problem (cause "import") where it is not installed."""
    try:
        import xgboost
    except ImportError:
        raise missing("Boosting", "xgboost", "boost") from None
    return xgboost


def matrix(inputs: Any, encoder: Encoder, names: list[str] | None = None) -> Any:
    """Encoded inputs (rows, columns), an array or a sparse matrix, as XGBoost's own kind of matrix.

    A word that a text lacks is missing in it, as it is in a sparse matrix of counts: each split has learnt a side for what is missing,
    which need not be that of 0. Asked with zeros in its place, the same model gives other answers.
    """
    lacks = 0.0 if isinstance(encoder, BagOfWords) else np.nan
    return xgboost().DMatrix(inputs, missing=lacks, feature_names=names, nthread=1)


def load(data: bytes, threads: int = 1) -> Any:
    """The booster of UBJSON bytes. Raises Problem (cause "data") where they are none."""
    package = xgboost()
    booster = package.Booster({"nthread": threads})
    try:
        booster.load_model(bytearray(data))
    except package.core.XGBoostError:
        raise Problem("The file is no booster of XGBoost.", "Export it again.", "data") from None
    return booster


def outputs(booster: Any, inputs: np.ndarray, encoder: Encoder) -> np.ndarray:
    """(rows,) float32 for encoded inputs (rows, columns): numbers, or probabilities of the second class."""
    answers: np.ndarray = booster.predict(matrix(inputs, encoder, booster.feature_names))
    return answers
