"""Forecasts the next value of a sine with a recurrent network, half a period a step, its state carried on. Recipe: simple-rnn."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Column, Number, RowOfNumbers
from workbench.encoding.serving import Serving
from workbench.events import Curve, Event, Scalars, Table
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import sent
from workbench.torchkit.computed import Computed
from workbench.torchkit.optimization import step_size
from workbench.torchkit.project import TorchProject
from workbench.torchkit.schedules import set_rate
from workbench.training.project import Field, Settings

POINTS = 20
"""Inputs of a training step: half a period of the sine."""
ANGLE = math.pi / POINTS
"""Radians from one point to the next."""
STEPS_PER_EPOCH = 75
"""The sine has no end: an epoch is as many half-periods as the course's run."""
VALID, TEST = 2, 10
"""Half-periods after the last trained one that a forecast is judged on: a whole period, as rising and falling halves differ; and five."""
FREE = 40
"""Values that the network writes alone when it is judged: a period."""
AXES = ("step", "value")
COLUMNS = [Column(name=f"x{place}", low=-1.0, high=1.0) for place in range(1, POINTS + 1)]
"""What it is asked elsewhere: a row of so many values, in the order of time."""


class SimpleRnn(TorchProject):
    """Forecasts a sine from its past by a recurrent network."""

    takes = "row"

    class Config(Settings):
        hidden: int = Field(32, ge=1)
        """Hidden units; more can hold more of the past, and take longer."""
        layers: int = Field(1, ge=1, le=4)
        """Number of stacked recurrent layers; more are slower to train, and a sine needs one."""
        carry: bool = True
        """Begin each half-period with the hidden state of the one before; else with zeros, and its first input, 0, says nothing."""
        learning_rate: float = step_size(0.01, "Step size of Adam; higher learns faster and may diverge.")

    class Request(TorchProject.Request):
        amplitude: float = Field(1.0, ge=0.1, le=3, json_schema_extra={"step": 0.1})
        """Height of the sine that is to be forecast; it learns at 1, and above that tanh units saturate."""
        frequency: float = Field(1.0, ge=0.25, le=4, json_schema_extra={"step": 0.25})
        """How many times as fast the sine is as in training; higher leaves fewer points to a period."""
        noise: float = Field(0.0, ge=0, le=0.5, json_schema_extra={"step": 0.01})
        """Standard deviation of the noise on the inputs; higher hides the sine, and the target stays without noise."""
        free_steps: int = Field(FREE, ge=1, le=200)
        """Values that it writes alone, each fed back as the next input; the further, the more its errors add up."""

    # -- data ---------------------------------------------------------------------------------------------------------------------------

    def build_model(self) -> None:
        config = self.config
        self.network = Network(config.hidden, config.layers).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate, fused=True)
        self.half_periods = 0
        """Those that were trained on: the sine goes on from there."""
        self.memory = torch.zeros(config.layers, 1, config.hidden, device=self.device)

    def points(self, values: np.ndarray) -> Tensor:
        """(points,) values as the network reads them, (1, points, 1)."""
        return sent(values.astype(np.float32)[None, :, None], self.device)

    def batches(self, epoch: int, rng: np.random.Generator) -> list[tuple[Tensor, Tensor]]:
        # One point more than inputs: each input's target is the point after it, across half-periods too.
        series = self.points(sine(epoch * STEPS_PER_EPOCH * POINTS, STEPS_PER_EPOCH * POINTS + 1))
        return list(zip(series[:, :-1].split(POINTS, 1), series[:, 1:].split(POINTS, 1), strict=True))

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {"network": (self.points(sine(0, POINTS)), self.memory)}

    # -- training -----------------------------------------------------------------------------------------------------------------------

    def train_step(self, batch: Any) -> dict[str, Any]:
        inputs, targets = batch  # (1, 20, 1) each
        set_rate(self.optimizer, self.config.learning_rate)
        self.optimizer.zero_grad()
        predictions, memory = self.network(inputs, self.memory if self.config.carry else torch.zeros_like(self.memory))
        loss = F.mse_loss(predictions, targets)
        loss.backward()
        norm = nn.utils.get_total_norm([weight.grad for weight in self.network.parameters() if weight.grad is not None])
        self.optimizer.step()
        # Detached: the gradient goes back to the beginning of the half-period and no further.
        self.memory = memory.detach()
        self.half_periods += 1
        return {"loss": loss, "gradient_norm": norm}

    # -- what it shows ------------------------------------------------------------------------------------------------------------------

    def read(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(1, points, 1) and the state before → the forecast of each next point (1, points, 1), and the state after; as in training."""
        predictions = []
        for piece in inputs.split(POINTS, 1):
            outputs, memory = self.network(piece, memory if self.config.carry else torch.zeros_like(memory))
            predictions.append(outputs)
        return torch.cat(predictions, 1), memory

    def write(self, value: Tensor, memory: Tensor, count: int) -> Tensor:
        """From a forecast (1, 1, 1) on, `count` values (1, count, 1), each fed back as the next input."""
        values = [value]
        for _ in range(count - 1):
            value, memory = self.network(value, memory)
            values.append(value)
        return torch.cat(values, 1)

    def evaluate(self, split: str) -> Iterator[Event]:
        """Squared error on the half-periods to come, and of the values that it then writes alone."""
        count = POINTS * (VALID if split == "valid" else TEST)
        series = self.points(sine(self.half_periods * POINTS, count + FREE))
        predictions, memory = self.read(series[:, :count], self.memory)
        written = self.write(predictions[:, -1:], memory, FREE)
        errors = [F.mse_loss(predictions, series[:, 1 : count + 1]), F.mse_loss(written, series[:, count:])]
        loss, free = self.floats(errors)
        yield Scalars(values={"loss": loss, "free_run_error": free})

    def sample(self, request: Any) -> Iterator[Event]:
        """The forecast of the next half-period, what it writes alone after it, and both beside two forecasts without a network."""
        first = self.half_periods * POINTS
        # A period more in front: what it carries is the state of the sine that it learns from, so it hears another one first.
        start = first - 2 * POINTS
        truth = sine(start, 3 * POINTS + request.free_steps, request.amplitude, request.frequency)
        observed = truth + request.noise * np.random.default_rng(0).standard_normal(len(truth))
        memory = self.memory
        if (request.amplitude, request.frequency, request.noise) != (1, 1, 0):
            _, memory = self.read(self.points(observed[: 2 * POINTS]), memory)
        heard, target = observed[2 * POINTS : 3 * POINTS], truth[2 * POINTS + 1 : 3 * POINTS + 1]
        outputs, memory = self.read(self.points(heard), memory)
        predictions = outputs[0, :, 0].double().cpu().numpy()
        steps = list(map(float, range(1, POINTS + 1)))
        for name, values in (("input", heard), ("target", target), ("prediction", predictions)):
            yield Curve(tag=f"forecast/{name}", x=steps, y=values.tolist(), labels=AXES)
        written = self.write(outputs[:, -1:], memory, request.free_steps)[0, :, 0].tolist()
        later = list(map(float, range(POINTS + 1, POINTS + 1 + request.free_steps)))
        for name, values in (("sine", truth[3 * POINTS :].tolist()), ("network", written)):
            yield Curve(tag=f"free run/{name}", x=later, y=values, labels=AXES)
        before = observed[2 * POINTS - 1 : 3 * POINTS - 1]
        forecasts = {
            "network": predictions,
            "the last value": heard,
            # sin(a + h) = 2 cos(h) sin(a) - sin(a - h), for every sine of the training's frequency whatever its height.
            "2 cos(π/20) x − x before": 2 * math.cos(ANGLE) * heard - before,
        }
        rows: list[list[str | float]] = [[name, float(np.mean((values - target) ** 2))] for name, values in forecasts.items()]
        yield Table(tag="compared", columns=["forecast", "squared error"], rows=rows)

    # -- asked elsewhere ----------------------------------------------------------------------------------------------------------------

    def following(self, rows: Tensor) -> Tensor:
        """(series, 20) values from a state of zeros on → (series,) forecasts of the value after them."""
        outputs, _ = self.network(rows[..., None])
        following: Tensor = outputs[:, -1, 0]
        return following

    def form(self) -> dict[str, Any]:
        values = zip(COLUMNS, sine(0, POINTS).tolist(), strict=True)
        return {"fields": [{"name": column.name, "low": -1.0, "high": 1.0, "value": round(value, 4)} for column, value in values]}

    def predict(self, inputs: Any) -> Any:
        """`{"row": {"x1": 0.0, …, "x20": 0.156}}`, twenty values of a series, to `{"answer": the next one}`."""
        return answered(self.serving().coding, inputs, lambda rows: self.following(rows.to(self.device)))

    def serving(self) -> Serving:
        def series(count: int) -> list[Any]:
            # Every phase of the sine in turn.
            names = [column.name for column in COLUMNS]
            return [{"row": dict(zip(names, sine(start, POINTS).tolist(), strict=True))} for start in range(count)]

        coding = Coding(RowOfNumbers(columns=COLUMNS), Number())
        return Serving(coding, graph=Computed(self.following, network=self.network), examples=series)


class Network(nn.Module):
    """Recurrent tanh layers and a linear output: a series of numbers to the forecast of each next one."""

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__()
        self.recurrent = nn.RNN(1, hidden, layers, batch_first=True)
        self.output = nn.Linear(hidden, 1)

    def forward(self, inputs: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(series, points, 1), the state before (layers, series, hidden), None: zeros → (series, points, 1) and the state after."""
        states, memory = self.recurrent(inputs, memory)
        return self.output(states), memory


def sine(first: int, count: int, amplitude: float = 1.0, frequency: float = 1.0) -> np.ndarray:
    """(count,) points of a sine from point `first` on; 40 points are a period at frequency 1."""
    points: np.ndarray = amplitude * np.sin(frequency * ANGLE * np.arange(first, first + count))
    return points
