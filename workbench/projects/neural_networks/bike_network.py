"""Forecasts bike rentals in PyTorch: the course's network, or a better one, on its test weeks or on windows of 21 days before them.

All windows of a run train at once, each network on the hours before its own window alone. Known when a forecast is made are the
calendar, all riders until then and, as in the course, the weather of the hour itself: a real forecast of the weather would cost both it
and the baselines some of their accuracy.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.datasets import bike_baselines, bike_sharing
from workbench.datasets.bike_baselines import rmse
from workbench.datasets.bike_sharing import Hours
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Column, Number, RowOfNumbers
from workbench.encoding.serving import Serving
from workbench.events import Event, Scalars, Table
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import sent
from workbench.torchkit.bike_rows import TAKEN, better_inputs, course_inputs
from workbench.torchkit.computed import Computed
from workbench.torchkit.optimization import step_size
from workbench.torchkit.project import TorchProject
from workbench.torchkit.schedules import set_rate
from workbench.training.project import Batches, Field, Settings, only

CHRISTMAS = 22.0
"""22 December: from here on the hours of the course's test are unlike those of the year before."""
DRAWN = 100
"""Batches in what counts as an epoch: hours are drawn with replacement."""


class BikeNetwork(TorchProject):
    """Forecasts the riders of an hour from its weather and calendar, in PyTorch."""

    datasets = ("bike-sharing",)

    class Config(Settings):
        model: Literal["course", "better"] = "better"
        """Kind of network: course, one layer of sigmoid units without biases, trained by sgd; better, see bike-sharing-better."""
        windows: list[Annotated[int, Field(ge=0, le=24)]] = Field([0], min_length=1)
        """Windows of 21 days that are forecast: 0, the course's test weeks; 1, the 21 days before them; 2, those before, and so on."""
        hidden: int = Field(32, ge=1)
        """Hidden units in a layer; more fit the training hours better, and may overfit."""
        layers: int = only(2, when={"model": "better"}, ge=0)
        """Residual layers behind the first; more fit the training hours better, and may overfit."""
        members: int = only(4, when={"model": "better"}, ge=1)
        """Networks for each window, whose forecasts are averaged (an ensemble); more are steadier and take longer."""
        learning_rate: float = step_size(
            0.003, "Step size of the optimizer, for better the highest of a one-cycle schedule; higher learns faster and may diverge."
        )
        weight_decay: float = only(0.01, when={"model": "better"}, ge=0)
        """Strength with which each step shrinks the weights towards zero; higher reduces overfitting, and too high underfits."""
        half_life: float = only(180.0, when={"model": "better"}, gt=0)
        """Days back after which an hour is drawn half as often; higher trains on older hours, too."""

    def build_data(self) -> None:
        self.data = bike_sharing.read_windows(self.config.windows)
        trained = [self.inputs(window.train) for window in self.data]
        self.features = [torch.from_numpy(inputs.astype(np.float32)).to(self.device) for inputs in trained]
        self.targets = [torch.from_numpy(window.train.riders.astype(np.float32)).to(self.device) for window in self.data]
        # Of each window's riders, (windows, 1): here once, as each step that made them would send them to the device.
        self.mean, self.scale = (
            torch.tensor([[getattr(window, name)] for window in self.data], dtype=torch.float32, device=self.device)
            for name in ("mean", "scale")
        )

    def inputs(self, hours: Hours) -> np.ndarray:
        """What the network is given of these hours, (hours, inputs)."""
        return hours.features if self.config.model == "course" else features(hours)

    def build_model(self) -> None:
        config, windows, inputs = self.config, len(self.data), self.features[0].shape[1]
        self.optimizer: torch.optim.Optimizer
        if config.model == "course":
            self.network: nn.Module = _Course(windows, inputs, config.hidden)
            self.optimizer = torch.optim.SGD(self.network.parameters(), config.learning_rate)
        else:
            logs = [math.log(window.train.riders.mean()) for window in self.data]
            self.network = _Better(windows, config.members, inputs, config.hidden, config.layers, logs)
            self.optimizer = torch.optim.AdamW(
                self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
            )
        self.network.to(self.device)

    def batches(self, epoch: int, rng: np.random.Generator) -> Batches:
        drawn = []
        for window in self.data:
            age = window.train.columns["day"][-1] - window.train.columns["day"]
            # For the course every hour weighs the same: age / inf is 0.
            weights = 0.5 ** (age / (math.inf if self.config.model == "course" else self.config.half_life))
            drawn.append(rng.choice(len(age), DRAWN * self.train.batch_size, p=weights / weights.sum()))
        return Batches([np.stack(drawn, axis=1)], self.train.batch_size, None)

    def train_step(self, batch: Any) -> dict[str, Any]:
        rows = sent(batch[0].T.copy(), self.device)  # (windows, batch)
        inputs = torch.stack([values[row] for values, row in zip(self.features, rows, strict=True)])  # (windows, batch, inputs)
        riders = torch.stack([values[row] for values, row in zip(self.targets, rows, strict=True)])  # (windows, batch)
        numbers = {}
        schedule = "constant" if self.config.model == "course" else "one-cycle"
        set_rate(self.optimizer, self.config.learning_rate, schedule, self.progress, rising=0.2)
        self.optimizer.zero_grad()
        if self.config.model == "course":
            error = self.network(inputs) - (riders - self.mean) / self.scale
            # The sum over windows, so that each descends as if alone; half of it, as in the gradients by hand.
            (error**2).mean(1).sum().div(2).backward()
        else:
            logs = self.network(inputs)  # (windows, members, batch)
            # Riders are counts: the loss is the negative log-likelihood of a Poisson distribution whose log mean the network gives.
            poisson = F.poisson_nll_loss(logs, riders[:, None].expand_as(logs), reduction="none").mean(2)
            # The sum over windows and members, so that each network descends as if alone.
            (poisson.sum() / self.mean.mean()).backward()
            numbers["poisson"] = poisson.mean()
            # The mean of the members in the log: the geometric mean of their forecasts, as in `riders`.
            error = (logs.mean(1).exp() - riders) / self.scale
        self.optimizer.step()
        return {"loss": (error**2).mean().detach(), **numbers}

    def riders(self, window: int, hours: Hours) -> np.ndarray:
        """The forecast of a window's network for these hours, (hours,) riders."""
        data = self.data[window]
        inputs = torch.from_numpy(self.inputs(hours).astype(np.float32)).to(self.device)
        output: np.ndarray = self.network(inputs[None], window)[0].double().cpu().numpy()
        return output * data.scale + data.mean if self.config.model == "course" else np.exp(output.mean(0))

    def evaluate(self, split: str) -> Iterator[Event]:
        if split == "test":
            yield from self.tested()
            return
        values: dict[str, list[float]] = {}
        for window, data in enumerate(self.data):
            parts = {"loss/training_hours": data.train, "loss": data.valid}
            for name, hours in parts.items():
                if len(hours.riders):
                    error = rmse(self.riders(window, hours), hours.riders)
                    values.setdefault(name, []).append((error / data.scale) ** 2)
                    if name == "loss":
                        values.setdefault("rmse", []).append(error)
        yield Scalars(values={name: float(np.mean(errors)) for name, errors in values.items()})

    def tested(self) -> Iterator[Event]:
        """Every window's forecast beside the baselines', which are fitted here to the same hours; the means are over windows."""
        windows: list[dict[str, np.ndarray]] = []
        rows: list[list[str | float]] = []
        for place, data in enumerate(self.data):
            truth = data.test.riders
            forecasts = {
                "network": self.riders(place, data.test),
                "gradient_boosting": bike_baselines.gradient_boosting(data),
                "ridge": bike_baselines.ridge(data),
                "last_week": bike_baselines.last_week(data),
            }
            windows.append(forecasts)
            days = data.test.days
            spans = {title(data): np.full(len(days), True)}
            if self.config.windows[place] == 0:
                spans |= {"11 to 21 December": days < CHRISTMAS, "22 to 31 December": days >= CHRISTMAS}
            for name, span in spans.items():
                rows.append([name, *(round(rmse(riders[span], truth[span]), 1) for riders in forecasts.values())])
        errors = {
            name: float(np.mean([rmse(window[name], data.test.riders) for window, data in zip(windows, self.data, strict=True)]))
            for name in windows[0]
        }
        if len(self.data) > 1:
            rows.append(["mean", *(round(error, 1) for error in errors.values())])
        losses = [(rmse(window["network"], data.test.riders) / data.scale) ** 2 for window, data in zip(windows, self.data, strict=True)]
        values = {"loss": float(np.mean(losses)), "rmse": errors.pop("network")}
        yield Scalars(values=values | {f"rmse/{name}": error for name, error in errors.items()})
        yield Table(tag="compared", columns=["RMSE in riders", *(name.replace("_", " ") for name in windows[0])], rows=rows)
        hour, truth = (np.concatenate([data.test.columns[name] for data in self.data]) for name in ("hr", "cnt"))
        together = {name: np.concatenate([window[name] for window in windows]) for name in windows[0]}
        yield from bike_baselines.by_hour(hour, truth, together)

    def sample(self, request: Any) -> Iterator[Event]:
        yield from bike_baselines.forecast(self.data[0].test, self.riders(0, self.data[0].test))

    def predict(self, inputs: Any) -> Any:
        """`{"row": {"hr": 17, "temp": 0.7, …}}`, as in hour.csv and the `day` since 2011 began, to `{"answer": riders, "unit"}`."""
        serving = self.serving()
        return answered(serving.coding, inputs, lambda rows: serving.graph(rows.to(self.device)))

    def serving(self) -> Serving:
        """Of the first window's network, by the columns of the file: the graph makes its inputs of them."""
        data = self.data[0]
        raw = {name: (values.mean(), values.std() or 1.0) for name, values in ((name, data.train.columns[name]) for name in TAKEN)}
        columns = [
            Column(name=name, mean=float(mean), scale=float(scale), low=float(values.min()), high=float(values.max()))
            for (name, (mean, scale)), values in zip(raw.items(), (data.train.columns[name] for name in raw), strict=True)
        ]
        mean, scale = (torch.tensor([getattr(column, name) for column in columns], device=self.device) for name in ("mean", "scale"))
        # As the course scales its inputs: from the file's numbers of all hours before the test.
        before = {name: np.concatenate([data.train.columns[name], data.valid.columns[name]]) for name in bike_sharing.SCALED}
        scaling = {name: (float(values.mean()), float(values.std(ddof=1))) for name, values in before.items()}

        def riders(rows: Tensor) -> Tensor:
            values = dict(zip(TAKEN, (rows * scale + mean).unbind(1), strict=True))
            inputs = course_inputs(values, scaling) if self.config.model == "course" else better_inputs(values)
            output = self.network(inputs[None], 0)[0]
            forecast: Tensor = output * data.scale + data.mean if self.config.model == "course" else output.mean(0).exp()
            return forecast

        def examples(count: int) -> list[Any]:
            rows = zip(*(data.test.columns[name][:count].tolist() for name in TAKEN), strict=True)
            return [{"row": dict(zip(TAKEN, row, strict=True))} for row in rows]

        coding = Coding(RowOfNumbers(columns=columns), Number(name="riders", unit="riders"))
        return Serving(coding, graph=Computed(riders, network=self.network), examples=examples)


def title(data: bike_sharing.BikeSharing) -> str:
    """The first and the last day of a window, as 2012-11-20 to 12-10."""
    first, last = (np.datetime64("2011-01-01") + int(data.test.columns["day"][place]) for place in (0, -1))
    return f"{first} to {str(last)[5:]}"


def features(hours: Hours) -> np.ndarray:
    """Inputs of the better network, (hours, 70): hour by kind of day, weekday, time of year, weather, a trend."""
    columns = hours.columns
    hour = columns["hr"] + 24 * columns["workingday"]
    year = columns["day"] * 2 * np.pi / 365.25
    # About -2 to 2 each: so none outweighs the rest at the start.
    scaled = [
        (columns["temp"] - 0.5) * 5,
        (columns["atemp"] - 0.5) * 5,
        (columns["hum"] - 0.6) * 5,
        (columns["windspeed"] - 0.2) * 8,
        columns["holiday"],
        (columns["day"] - 400) / 200,
        *(wave(turns * year) for turns in (1, 2, 3) for wave in (np.sin, np.cos)),
    ]
    one_hot = [hour[:, None] == np.arange(48), columns["weekday"][:, None] == np.arange(7)]
    one_hot.append(columns["weathersit"].clip(1, 3)[:, None] == np.arange(1, 4))  # 4, a storm, comes three times in two years
    return np.concatenate([np.stack(scaled, axis=1), *one_hot], axis=1)


class _Course(nn.Module):
    """For each window inputs → hidden sigmoid units → 1, without biases, as the course draws its weights."""

    def __init__(self, windows: int, inputs: int, hidden: int) -> None:
        super().__init__()
        self.input_to_hidden = nn.Parameter(torch.randn(windows, inputs, hidden) * inputs**-0.5)
        self.hidden_to_output = nn.Parameter(torch.randn(windows, hidden, 1) * hidden**-0.5)

    def forward(self, features: Tensor, window: int | None = None) -> Tensor:
        """(windows, batch, inputs) → (windows, batch); or only one window's."""
        chosen = slice(None) if window is None else slice(window, window + 1)
        output: Tensor = (torch.sigmoid(features @ self.input_to_hidden[chosen]) @ self.hidden_to_output[chosen])[..., 0]
        return output


class _Better(nn.Module):
    """For each window several residual networks of SiLU units: the log of the riders expected."""

    def __init__(self, windows: int, members: int, inputs: int, hidden: int, layers: int, logs: list[float]) -> None:
        super().__init__()

        def drawn(wide: int, high: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(windows, members, wide, high) * scale)

        # He et al. (2015); the residual layers start smaller, as each adds to the state.
        self.first = drawn(inputs, hidden, (2 / inputs) ** 0.5)
        self.first_bias = drawn(1, hidden, 0.0)
        self.inner = nn.ParameterList(drawn(hidden, hidden, 0.5 * (2 / hidden) ** 0.5) for _ in range(layers))
        self.inner_bias = nn.ParameterList(drawn(1, hidden, 0.0) for _ in range(layers))
        # Nearly 0, so that the first forecast is the bias below.
        self.last = drawn(hidden, 1, 0.01)
        # It begins with the mean of all hours.
        self.last_bias = nn.Parameter(torch.tensor(logs)[:, None, None, None].repeat(1, members, 1, 1))

    def forward(self, features: Tensor, window: int | None = None) -> Tensor:
        """(windows, batch, inputs) → (windows, members, batch); or only one window's."""
        chosen = slice(None) if window is None else slice(window, window + 1)
        state = features[:, None] @ self.first[chosen] + self.first_bias[chosen]
        for weight, bias in zip(self.inner, self.inner_bias, strict=True):
            # Pre-activation residual layers (He et al. 2016): the sum itself passes no nonlinearity.
            state = state + F.silu(state) @ weight[chosen] + bias[chosen]
        output: Tensor = (F.silu(state) @ self.last[chosen] + self.last_bias[chosen])[..., 0]
        return output
