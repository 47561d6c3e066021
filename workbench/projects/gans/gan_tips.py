"""Tips for training GANs, in numbers: cross-entropy from logits, flipped labels, LeakyReLU, tanh's range; what GANs are for. Explored."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from workbench.events import Curve, Event, Table, Text
from workbench.training.project import Field, Project

LOGITS = (8.0, 16.0, 17.0)
"""Logits that are always in the table: the last at which single precision still holds D apart from 1, and what comes after it."""
PIXELS = np.array([0, 127.5, 255])
CUT = 100
"""Where torch's BCELoss cuts the logarithm off."""
APPLICATIONS = """\
StackGAN: a sentence about a bird becomes a small picture, and a second GAN makes it large.
iGAN: strokes of a brush choose the nearest picture that a generator can draw.
pix2pix: pairs of pictures teach how one kind becomes the other.
Edges to cats: an outline is filled with fur, by pix2pix.
Day to night: the same street at another hour, by pix2pix.
CycleGAN: one kind of picture into another, without pairs.
Simulated sets: rendered pictures are made to look photographed, and keep their labels.
Part to whole: what a hole in a picture hides is drawn.
Imitation learning: an agent learns to act so that nobody tells it from an expert.
Reinforcement learning: there, what the discriminator says is the agent's reward."""
"""The ten applications of the course's notes."""


class GanTips(Project):
    """Shows why a GAN is trained from logits, with flipped labels, LeakyReLU and pixels between −1 and 1."""

    class Request(Project.Request):
        logit: float = Field(20.0, ge=-30, le=30, json_schema_extra={"step": 1})
        """The discriminator's logit for a generated example, target 0; from 17 on the naive cross-entropy fails in single precision."""
        answer: float = Field(0.1, ge=0.001, le=0.999, json_schema_extra={"step": 0.05})
        """D(G(z)), the discriminator's probability for a generated example; near 0 it wins, and the saturating loss teaches nothing."""
        slope: float = Field(0.2, ge=0, le=1, json_schema_extra={"step": 0.1})
        """Slope of LeakyReLU below zero; at 0, ReLU, a unit that is off passes no gradient on, at 1 it is a straight line."""
        scaling: Literal["-1 to 1", "0 to 1", "0 to 255"] = "-1 to 1"
        """The range to which pixels are scaled; a generator that ends in tanh reaches what lies between −1 and 1."""

    def sample(self, request: Any) -> Iterator[Event]:
        """Cross-entropy in both ways, the generator's gradient by both losses, LeakyReLU, the range of pixels, applications."""
        logits = np.array(sorted({*LOGITS, request.logit}), np.float32)
        naively = naive(logits)
        columns = [logits, sigmoid(logits), naively, np.minimum(naively, CUT), stable(logits, 0)]
        yield table("cross-entropy, target 0", ["logit", "D", "naive", "BCELoss", "from logits"], columns)
        answers = np.array(sorted({0.01, 0.5, 0.99, request.answer}))
        yield table("gradient by the logit", ["D", "of log(1 − D)", "of −log D"], [answers, saturating(answers), flipped(answers)])
        x = np.linspace(0.01, 0.99, 99)
        for name, gradient in (("log(1 − D)", saturating), ("−log D", flipped)):
            yield Curve(tag=f"gradient/{name}", x=x.tolist(), y=np.abs(gradient(x)).tolist(), labels=("D(G(z))", "its size"))
        x = np.linspace(-3, 3, 61)
        yield Curve(tag="leaky relu/f", x=x.tolist(), y=leaky(x, request.slope).tolist(), labels=("x", "f(x)"))
        x = np.array([-1.0, 1.0])
        yield table("f", ["x", "f(x)", "its slope"], [x, leaky(x, request.slope), np.where(x > 0, 1, request.slope)])
        scaled = {"-1 to 1": PIXELS / 127.5 - 1, "0 to 1": PIXELS / 255, "0 to 255": PIXELS}[request.scaling]
        yield table("pixels", ["pixel", "scaled", "in tanh's range"], [PIXELS, scaled, np.where(abs(scaled) <= 1, "yes", "no")])
        yield Text(tag="applications", text=APPLICATIONS)


def table(tag: str, names: list[str], columns: list[np.ndarray]) -> Table:
    """A table from its columns."""
    return Table(tag=tag, columns=names, rows=[list(row) for row in zip(*(column.tolist() for column in columns), strict=True)])


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−logit)), in single precision if the logits are, as networks compute it: from 17 on it rounds to 1."""
    return np.asarray(1 / (1 + np.exp(-logits)))


def naive(logits: np.ndarray) -> np.ndarray:
    """Cross-entropy with target 0 by way of the probability, −log(1 − D): infinite where D has rounded to 1."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(1 - sigmoid(logits)))


def stable(logits: np.ndarray, target: float) -> np.ndarray:
    """Cross-entropy from logits, max(l, 0) − l · target + log(1 + exp(−|l|)), as BCEWithLogitsLoss computes it."""
    return np.asarray(np.maximum(logits, 0) - logits * target + np.log1p(np.exp(-np.abs(logits))))


def saturating(answers: np.ndarray) -> np.ndarray:
    """Derivative of log(1 − D) by the logit, −D: nothing where the discriminator wins."""
    return -answers


def flipped(answers: np.ndarray) -> np.ndarray:
    """Derivative of −log D, the loss with flipped labels, by the logit, D − 1: largest where the discriminator wins."""
    return answers - 1


def leaky(x: np.ndarray, slope: float) -> np.ndarray:
    """LeakyReLU: x above zero, slope · x below. The notes' −slope · x would turn the sign."""
    return np.where(x > 0, x, slope * x)
