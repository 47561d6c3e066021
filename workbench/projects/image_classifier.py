"""Names what is in small pictures: a multilayer perceptron on digits, MNIST or Fashion-MNIST."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from workbench.datasets import images
from workbench.events import Event, Scalars
from workbench.problems import Problem
from workbench.project import Field, Own, Settings, live
from workbench.torchkit.batches import InMemory
from workbench.torchkit.images import by_class, confusion, pictures
from workbench.torchkit.project import TorchProject

SHOWN = 24
"""Pictures in a sample, and at most as many mistakes."""


class ImageClassifier(TorchProject):
    """Names what is in small pictures."""

    can_answer = True

    class Config(Settings):
        data: Literal["digits", "mnist", "fashion-mnist"] | Own = "digits"
        """which labelled pictures; or a folder of your own, ./pictures, with a folder for each class"""
        image_size: int = Field(32, ge=8, le=256)
        """width and height that pictures of your own are brought to"""
        model: Literal["mlp"] = "mlp"
        """kind of network: mlp, fully connected layers"""
        hidden: list[Annotated[int, Field(ge=1)]] = Field([128, 64], min_length=1)
        """units in each hidden layer"""
        dropout: float = Field(0.2, ge=0, lt=1)
        """share of hidden units left out in each training step"""
        optimizer: Literal["sgd", "adam"] = "sgd"
        """how the weights follow the gradient"""
        learning_rate: float = live(0.01, gt=0)
        """length of the optimizer's step"""
        momentum: float = Field(0.0, ge=0, lt=1)
        """share of the last step that sgd takes again"""
        weight_decay: float = Field(0.0, ge=0)
        """pull of the weights towards zero"""

    def build_data(self) -> None:
        data = images.read(self.config.data, self.config.image_size)
        self.classes = data.classes
        # (number, channels, height, width) and (number,) on the device
        self.splits = {
            name: (torch.from_numpy(part.images).to(self.device), torch.from_numpy(part.labels).to(self.device))
            for name, part in (("train", data.train), ("valid", data.valid), ("test", data.test))
        }
        self.shape = tuple(data.train.images.shape[1:])

    def build_model(self) -> None:
        self.network = mlp(int(np.prod(self.shape)), self.config.hidden, len(self.classes), self.config.dropout)
        self.network.to(self.device)
        rates = {"lr": self.config.learning_rate, "weight_decay": self.config.weight_decay, "fused": True}
        self.optimizer: torch.optim.Optimizer
        if self.config.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(self.network.parameters(), momentum=self.config.momentum, **rates)
        else:
            self.optimizer = torch.optim.Adam(self.network.parameters(), **rates)

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        return InMemory(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        pixels, labels = batch
        self.optimizer.zero_grad()
        with self.autocast():
            loss = F.cross_entropy(self.network(pixels), labels)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}

    def changed(self, config: Settings) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate

    def evaluate(self, split: str) -> Iterator[Event]:
        pixels, labels = self.splits[split]
        logits = self.logits(pixels)
        chances, answers = logits.softmax(1).max(1)
        right = answers == labels
        loss, accuracy = self.floats([F.cross_entropy(logits, labels), right.float().mean()])
        yield Scalars(values={"loss": loss, "accuracy": accuracy})
        matrix = confusion(labels, answers, self.classes)
        yield matrix
        yield by_class(matrix)
        # The surest mistakes first: they say most about what it has learnt.
        wrong = torch.where(right, -1.0, chances).argsort(descending=True)[: min(SHOWN, int((~right).sum()))]
        if len(wrong):
            yield pictures("mistakes", pixels[wrong], self.captions(labels[wrong], answers[wrong], chances[wrong]))

    def sample(self, request: Any) -> Iterator[Event]:
        pixels, labels = (part[:SHOWN] for part in self.splits["valid"])
        chances, answers = self.logits(pixels).softmax(1).max(1)
        yield pictures("answers", pixels, self.captions(labels, answers, chances))

    def predict(self, inputs: Any) -> Any:
        """`{"pixels": [[…]]}`, rows of numbers from 0 (paper) to 1 (ink), to `{"answer": …, "probabilities": {…}}`."""
        try:
            pixels = np.array(inputs["pixels"], np.float32)
        except (KeyError, TypeError, ValueError):
            raise Problem("The input is no picture.", 'Send {"pixels": [[0.0, 0.5, …], …]}.', "data") from None
        if pixels.shape not in (self.shape, self.shape[1:]):
            raise Problem(f"The picture is {list(pixels.shape)}, where {list(self.shape[1:])} is right.", "", "data")
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise Problem("The picture has a number that is not from 0 to 1.", "", "data")
        chances = self.logits(torch.from_numpy(pixels).reshape(1, *self.shape).to(self.device)).softmax(1)[0].tolist()
        return {
            "answer": self.classes[int(np.argmax(chances))],
            "probabilities": dict(zip(self.classes, chances, strict=True)),
        }

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """(number, channels, height, width) → (number, classes), float32; in pieces, as a whole split may not fit."""
        with self.autocast():
            return torch.cat([self.network(piece) for piece in pixels.split(4096)]).float()

    def captions(self, labels: torch.Tensor, answers: torch.Tensor, chances: torch.Tensor) -> list[str]:
        """`7→1 93%`: a 7 that was taken for a 1, of which the network was 93 % sure; `7 99%` where it was right."""
        texts = []
        for label, answer, chance in zip(labels.tolist(), answers.tolist(), chances.tolist(), strict=True):
            name = self.classes[label] if label == answer else f"{self.classes[label]}→{self.classes[answer]}"
            texts.append(f"{name} {chance:.0%}")
        return texts


def mlp(inputs: int, hidden: list[int], outputs: int, dropout: float) -> nn.Sequential:
    """Fully connected layers with ReLU and dropout after each hidden one: (batch, …) → (batch, outputs)."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
