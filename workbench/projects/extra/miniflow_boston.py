"""A network of MiniFlow's nodes that predicts house prices, in NumPy. Recipe: miniflow-boston."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from workbench.datasets import housing
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Column, Number, RowOfNumbers
from workbench.encoding.serving import Serving
from workbench.events import Curve, Event, Scalars, Scatter, Table, Text
from workbench.problems import Problem
from workbench.projects.extra.miniflow import MSE, Linear, Node, Sigmoid, drawn, forward_and_backward, numbers, topological
from workbench.training.project import Field, Project, Settings, live

STEPS = 46
"""Batches of an epoch, as in the classroom, where 46 times 11 are all 506 districts."""
POINTS = 40
"""Along the curve of a column."""


class MiniFlowBoston(Project):
    """Predicts the price of houses in a district from its 13 numbers: linear, sigmoid, linear, mean squared error."""

    datasets = ("boston", ("california", {"data": "california"}))
    takes = "row"

    class Config(Settings):
        data: Literal["boston", "california"] = "boston"
        """Data set: boston, 506 districts in 1970 and 13 columns; california, 20,433 districts in 1990 and 8 columns."""
        hidden: int = Field(10, ge=1)
        """Number of sigmoid units; more fit finer detail, and overfit sooner."""
        learning_rate: float = live(0.01, gt=0)
        """Step size of gradient descent; higher learns faster, and diverges."""
        split: int = Field(0, ge=0)
        """Which shuffle splits the districts in 70 % for training, 10 % for validation and 20 % for the test; another is another luck."""

    class Request(Project.Request):
        column: int = Field(6, ge=1, le=13)
        """Number of the column that the price is drawn over, others at their mean; a higher one is a later column (Boston's rooms: 6)."""

    def build_data(self) -> None:
        self.houses = housing.read(self.config.data)
        self.parts = self.houses.split(self.config.split)
        seen = self.houses.features[self.parts["train"]]
        self.mean, self.scale = seen.mean(0), seen.std(0)
        # A constant column would divide by zero.
        self.scale[self.scale == 0] = 1
        self.inputs = (self.houses.features - self.mean) / self.scale
        # Closed form, fitted to the same districts: training never sees it.
        with_one = np.column_stack([self.inputs, np.ones(len(self.inputs))])
        solution = np.linalg.lstsq(with_one[self.parts["train"]], self.houses.prices[self.parts["train"]], rcond=None)[0]
        self.least_squares = with_one @ solution

    def build_model(self) -> None:
        random, hidden = np.random.default_rng(self.seed), self.config.hidden
        self.first_weights = random.normal(size=(self.inputs.shape[1], hidden))
        self.first_bias = np.zeros((1, hidden))
        self.second_weights = random.normal(size=(hidden, 1))
        self.second_bias = np.zeros((1, 1))

    def graph(self, inputs: np.ndarray, prices: np.ndarray) -> list[Node]:
        """The network with its error as sorted nodes, forwards and backwards done: inputs (rows, columns), prices (rows,)."""
        given = Node("X", value=inputs), Node("y", value=prices[:, None])
        weights = {name: Node(name, value=value) for name, value in self.weights().items()}
        first = Linear("l1", given[0], weights["W1"], weights["b1"])
        hidden = Sigmoid("s1", first)
        answer = Linear("l2", hidden, weights["W2"], weights["b2"])
        order = topological([*given, *weights.values(), first, hidden, answer, MSE("cost", given[1], answer)])
        forward_and_backward(order)
        return order

    def weights(self) -> dict[str, np.ndarray]:
        return {"W1": self.first_weights, "b1": self.first_bias, "W2": self.second_weights, "b2": self.second_bias}

    def batches(self, epoch: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        # Drawn with replacement, as in the classroom: a district may come twice in an epoch, and another not at all.
        drawn = rng.choice(self.parts["train"], (STEPS, self.train.batch_size))
        return [(self.inputs[rows], self.houses.prices[rows]) for rows in drawn]

    def train_step(self, batch: Any) -> dict[str, Any]:
        inputs, prices = batch  # (batch, columns), (batch,)
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges is ended by its loss
            nodes = {node.name: node for node in self.graph(inputs, prices)}
            for name, weights in self.weights().items():
                weights -= self.config.learning_rate * nodes[name].gradient
        return {"loss": nodes["cost"].value[0, 0]}

    def answers(self, inputs: np.ndarray) -> np.ndarray:
        """(rows, columns) → (rows,) prices."""
        with np.errstate(over="ignore", invalid="ignore"):
            nodes = {node.name: node for node in self.graph(inputs, np.zeros(len(inputs)))}
        return nodes["l2"].value[:, 0]

    def evaluate(self, split: str) -> Iterator[Event]:
        """Mean squared error of the network, of least squares and of always answering the mean price, each fitted to the training part."""
        rows = self.parts[split]
        truth, answers = self.houses.prices[rows], self.answers(self.inputs[rows])
        mean = np.full(len(rows), self.houses.prices[self.parts["train"]].mean())
        rivals = {"network": answers, "least squares": self.least_squares[rows], "the mean": mean}
        errors = {name: float(np.mean((truth - given) ** 2)) for name, given in rivals.items()}
        loss, linear, constant = errors.values()
        yield Scalars(values={"loss": loss, "loss/least_squares": linear, "loss/mean": constant, "below_least_squares": linear - loss})
        table: list[list[str | float]] = [[name, float(f"{error:.6g}"), float(f"{error**0.5:.4g}")] for name, error in errors.items()]
        yield Table(tag="compared", columns=["model", "MSE", f"typical error, {housing.UNITS[self.config.data]}"], rows=table)
        yield Scatter(tag="prices", x=truth.tolist(), y=answers.tolist())

    def sample(self, request: Any) -> Iterator[Event]:
        """The price over one column, and the graph with what flows through it for the first validation districts."""
        names = self.houses.names
        if request.column > len(names):
            raise Problem(f"column: {request.column} is no column; {self.config.data} has 1 to {len(names)}.", "", "data")
        place = request.column - 1
        reached = self.houses.features[:, place]
        axis = np.linspace(reached.min(), reached.max(), POINTS)
        inputs = np.zeros((POINTS, len(names)))
        inputs[:, place] = (axis - self.mean[place]) / self.scale[place]
        label = f"price, {housing.UNITS[self.config.data]}"
        yield Curve(tag="price/network", x=axis.tolist(), y=self.answers(inputs).tolist(), labels=(names[place], label))
        rows = self.parts["valid"][: self.train.batch_size]
        with np.errstate(over="ignore", invalid="ignore"):
            order = self.graph(self.inputs[rows], self.houses.prices[rows])
        sizes: list[list[str | float]] = [
            [node.name, " x ".join(map(str, node.value.shape)), numbers(node.value), float(f"{np.linalg.norm(node.gradient):.4g}")]
            for node in order
        ]
        yield Table(tag="nodes", columns=["node", "shape", "value", "gradient's length"], rows=sizes)
        yield Text(tag="graph", text="\n".join(drawn(order[-1])))

    def form(self) -> dict[str, Any]:
        features = self.houses.features
        columns = zip(self.houses.names, features.min(0), features.max(0), self.mean, strict=True)
        return {
            "fields": [
                {"name": name, "low": float(low), "high": float(high), "value": float(f"{mean:.4g}")} for name, low, high, mean in columns
            ]
        }

    def predict(self, inputs: Any) -> Any:
        """`{"row": {"RM": 6, …}}` with a number for each column to `{"answer": "22.1 × 1,000 dollars"}`."""
        row = inputs.get("row") if isinstance(inputs, dict) else None
        names = self.houses.names
        values = [row.get(name) for name in names] if isinstance(row, dict) and row.keys() == set(names) else []
        # True is an int in Python, and no measurement.
        if not values or not all(isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value) for value in values):
            raise Problem(f"The input is not a number for each of {', '.join(names)}.", "", "data")
        (price,) = self.answers((np.array([values], float) - self.mean) / self.scale)
        return {"answer": f"{price:.1f} × {housing.UNITS[self.config.data]}"}

    def serving(self) -> Serving:
        features, rows = self.houses.features, self.houses.features[self.parts["test"]]
        measured = zip(self.houses.names, self.mean, self.scale, features.min(0), features.max(0), strict=True)
        columns = [
            Column(name=name, mean=float(mean), scale=float(scale), low=float(low), high=float(high))
            for name, mean, scale, low, high in measured
        ]
        return Serving(
            Coding(RowOfNumbers(columns=columns), Number(unit=housing.UNITS[self.config.data])),
            kind="project",
            examples=lambda count: [{"row": dict(zip(self.houses.names, row.tolist(), strict=True))} for row in rows[:count]],
        )
