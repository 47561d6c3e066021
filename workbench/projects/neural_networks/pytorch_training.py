"""Trains a network for digits in the five calls of every training loop in PyTorch, as the course's third notebook does."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from workbench.datasets import mnist
from workbench.events import Curve, Event, Scalars, Table
from workbench.torchkit.batches import InMemory
from workbench.torchkit.classification import Predictions
from workbench.torchkit.optimization import step_size
from workbench.torchkit.project import TorchProject
from workbench.training.figures import pictures
from workbench.training.project import Field, Settings

PIECE = 1000
"""Pictures that go through the network at once outside training."""
SHOWN = 64
"""Test digits that one can choose from: a batch, as in the course."""


class PytorchTraining(TorchProject):
    """Trains 784-128-64-10 on MNIST by stochastic gradient descent."""

    datasets = ("mnist",)

    class Config(Settings):
        learning_rate: float = step_size(0.003)
        zero_grad: bool = True
        """Sets the gradients to zero before each step; without it each step adds to the gradients of all steps before."""

    class Request(TorchProject.Request):
        """A few steps by hand, on a copy of the network; and a digit."""

        steps: int = Field(2, ge=1, le=5)
        """Steps on the first batches; each is a row of the table, and the digit is classified after the last."""
        learning_rate: float = Field(0.003, ge=0.001, le=1.0, json_schema_extra={"step": 0.001})
        """Step size: how far a weight moves for its gradient."""
        zero_grad: bool = True
        """Sets the gradients to zero before each step; without it each gradient is the sum of all before it."""
        digit: int = Field(0, ge=0, le=SHOWN - 1)
        """Which of the test digits is shown with its ten probabilities."""

    def build_data(self) -> None:
        data = mnist.read()
        # All 60,000 training pictures, as in the course: so there is no validation set, and nothing is chosen by one.
        pixels = np.concatenate([data.train.images, data.valid.images])
        labels = np.concatenate([data.train.labels, data.valid.labels])
        self.classes = data.classes
        self.per_epoch = math.ceil(len(labels) / self.train.batch_size)
        self.splits = {"train": self.normalised(pixels, labels), "test": self.normalised(data.test.images, data.test.labels)}

    def normalised(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
        """Pixels in [-1, 1] instead of [0, 1], by a mean and a standard deviation of 0.5, and labels; on the device."""
        return ((torch.from_numpy(pixels) - 0.5) / 0.5).to(self.device), torch.from_numpy(labels).to(self.device)

    def build_model(self) -> None:
        self.network = nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, 128),
            nn.ReLU(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
            nn.LogSoftmax(dim=1),
        ).to(self.device)
        self.optimizer = SGD(self.network.parameters(), lr=self.config.learning_rate)
        self.running = torch.zeros((), device=self.device)
        """Sum of the losses of this epoch's steps."""
        self.position = 0
        """Steps of this epoch."""

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {"network": (self.splits["train"][0][: self.train.batch_size],)}

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        return InMemory(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        pixels, labels = batch  # (batch, 1, 28, 28), (batch,)
        self.optimizer.param_groups[0]["lr"] = self.config.learning_rate

        if self.config.zero_grad:
            self.optimizer.zero_grad()
        output = self.network(pixels)
        loss = F.nll_loss(output, labels)
        loss.backward()
        self.optimizer.step()

        # What the course prints after each epoch: the mean loss of its steps.
        self.running += loss.detach()
        self.position += 1
        if self.position < self.per_epoch:
            return {"loss": loss}
        mean = self.running / self.position
        self.running, self.position = torch.zeros_like(self.running), 0
        return {"loss": loss, "epoch_loss": mean}

    def evaluate(self, split: str) -> Iterator[Event]:
        """On the test pictures, once and at the end; there are no validation pictures."""
        if split != "test":
            return
        pixels, labels = self.splits["test"]
        outputs = torch.cat([self.network(piece) for piece in pixels.split(PIECE)])
        predictions = Predictions(labels, outputs.exp(), self.classes)
        yield Scalars(values={"loss": float(F.nll_loss(outputs, labels)), "accuracy": predictions.accuracy})
        yield from predictions.tables()

    def sample(self, request: Any) -> Iterator[Event]:
        """A weight before and after each of a few steps, with its gradient; and what the network then says of a digit."""
        trained = copy.deepcopy(self.network)
        yield Table(tag="steps", columns=["step", "loss", "weight", "gradient", "after"], rows=list(self.by_hand(trained, request)))
        pixels, labels = (part[request.digit : request.digit + 1] for part in self.splits["test"])
        predictions = Predictions(labels, trained(pixels).exp(), self.classes)
        yield pictures("digit", pixels / 2 + 0.5, predictions.captions())
        shares = predictions.probabilities[0].tolist()
        yield Curve(tag="probabilities", x=list(range(10)), y=shares, labels=("digit", "probability"))

    def by_hand(self, network: nn.Sequential, request: Any) -> Iterator[list[str | float]]:
        """Trains a copy of the network on the first batches, and gives the weight from hidden unit 1 to output 0 at each step."""
        size = self.train.batch_size
        optimizer = SGD(network.parameters(), lr=request.learning_rate)
        # Of the last layer: a pixel at the edge is the same in nearly all digits.
        last = network[5]
        assert isinstance(last, nn.Linear)
        weight = last.weight
        for step in range(request.steps):
            pixels, labels = (part[step * size : (step + 1) * size] for part in self.splits["train"])
            if request.zero_grad:
                optimizer.zero_grad()
            with torch.enable_grad():
                loss = F.nll_loss(network(pixels), labels)
            loss.backward()
            assert weight.grad is not None
            before, gradient = weight[0, 0].item(), weight.grad[0, 0].item()
            optimizer.step()
            yield [step + 1, *(round(number, 7) for number in (loss.item(), before, gradient, weight[0, 0].item()))]
