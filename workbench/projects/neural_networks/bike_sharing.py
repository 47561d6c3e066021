"""Forecasts bike rentals with a network of one hidden layer in NumPy alone, its gradients written out by hand."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from workbench.datasets import bike_sharing
from workbench.datasets.bike_baselines import by_hour, forecast, last_week, rmse
from workbench.events import Event, Scalars, Table
from workbench.training.project import Batches, Field, Project, Settings, live

HOLIDAYS = 22.0
"""22 December: from here on the hours of the test are unlike those of the year before."""


class BikeSharing(Project):
    """Forecasts the riders of an hour from its weather and calendar."""

    datasets = ("bike-sharing",)

    class Config(Settings):
        hidden: int = Field(20, ge=1)
        """Hidden units; more fit the training hours better, and may overfit."""
        learning_rate: float = live(0.5, gt=0)
        """Step size of gradient descent; higher learns faster and may diverge."""

    def build_data(self) -> None:
        self.data = bike_sharing.read()

    def build_model(self) -> None:
        inputs, hidden = self.data.train.features.shape[1], self.config.hidden
        # Without biases, as the course has it.
        self.input_to_hidden = np.random.normal(0.0, inputs**-0.5, (inputs, hidden))
        self.hidden_to_output = np.random.normal(0.0, hidden**-0.5, (hidden, 1))

    def batches(self, epoch: int, rng: np.random.Generator) -> Batches:
        train = self.data.train
        # Drawn with replacement: an hour may come twice in an epoch, or not at all.
        return Batches(
            (train.features, train.target),
            self.train.batch_size,
            None,
            drop_last=True,
            index=lambda order: rng.integers(len(order), size=len(order)),
        )

    def train_step(self, batch: Any) -> dict[str, Any]:
        features, target = batch  # (batch, 56), (batch, 1)
        hidden, output = self.forward(features)  # (batch, hidden), (batch, 1)
        error = target - output
        # Down the gradient of half the mean squared error. The output unit is linear, so its derivative is 1;
        # the sigmoid's is hidden * (1 - hidden).
        hidden_error = error @ self.hidden_to_output.T * hidden * (1 - hidden)  # (batch, hidden)
        # The mean over the batch: so the rate does not depend on the batch size.
        rate = self.config.learning_rate / len(features)
        # After hidden_error, which needs the weights of before the step.
        self.hidden_to_output += rate * hidden.T @ error
        self.input_to_hidden += rate * features.T @ hidden_error
        return {"loss": np.mean(error**2)}

    def evaluate(self, split: str) -> Iterator[Event]:
        hours = self.data.valid if split == "valid" else self.data.test
        riders = self.riders(hours)
        values = {"loss": self.loss(hours), "rmse": rmse(riders, hours.riders)}
        if split == "valid":
            # The course's bar is on all training hours at once; train/loss is of the batches, before each step.
            values["loss/training_hours"] = self.loss(self.data.train)
        yield Scalars(values=values)
        if split == "test":
            before = hours.days < HOLIDAYS
            mean = np.full(len(riders), self.data.mean)
            yield Table(
                tag="compared",
                columns=["forecast of the last 21 days", "RMSE, riders"],
                rows=[
                    ["the network", values["rmse"]],
                    ["the network, to 21 December", rmse(riders[before], hours.riders[before])],
                    ["the network, from 22 December", rmse(riders[~before], hours.riders[~before])],
                    ["the same hour a week earlier", rmse(hours.week_before, hours.riders)],
                    ["the same hour of the last week before the forecast", rmse(last_week(self.data), hours.riders)],
                    ["always the mean", rmse(mean, hours.riders)],
                ],
            )
            yield from by_hour(hours.columns["hr"], hours.riders, {"network": riders, "last_week": last_week(self.data)})

    def sample(self, request: Any) -> Iterator[Event]:
        yield from forecast(self.data.test, self.riders(self.data.test))

    def forward(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(batch, inputs) → the hidden units' activations (batch, hidden), and the output (batch, 1)."""
        hidden = sigmoid(features @ self.input_to_hidden)
        return hidden, hidden @ self.hidden_to_output

    def loss(self, hours: bike_sharing.Hours) -> float:
        """Mean squared error, in squared deviations of the training target."""
        return float(np.mean((hours.target - self.forward(hours.features)[1]) ** 2))

    def riders(self, hours: bike_sharing.Hours) -> np.ndarray:
        """The forecast in riders, (hours,)."""
        return self.forward(hours.features)[1][:, 0] * self.data.scale + self.data.mean


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), as (1 + tanh(x / 2)) / 2: without overflow where x is far below zero."""
    return 0.5 * (1 + np.tanh(0.5 * x))
