"""Predicts house prices by boosted trees, a tree a round, or by least squares; no torch. Recipes: boston-xgboost, boston-linear."""

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from workbench.datasets import housing
from workbench.encoding import booster
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Column, Number, RowOfNumbers
from workbench.encoding.serving import Serving
from workbench.events import Curve, Event, Scalars, Scatter, Table, Text
from workbench.problems import Problem, nearest, one_line
from workbench.torchkit.boosted import Boosted, BoostingSettings, tabled
from workbench.training.project import Field, Project

HELD_OUT = 0.33
"""Share of the districts for the test, and of the others for validation, as in the course: 167 and 112 of Boston's 506."""
POINTS = 60
"""Along the curve of a column."""
FOREST = 100
"""Trees of the random forest beside it."""


class Boosting(Project):
    """Predicts the median price of the houses in a district from its measurements."""

    datasets = ("boston", ("california", {"data": "california"}))
    takes = "row"

    class Config(BoostingSettings):
        data: Literal["boston", "california"] = "boston"
        """Data set: boston, 506 districts in 1970 and 13 columns; california, 20,433 districts in 1990 and 8 columns."""
        leave_out: list[str] = []
        """Names of columns that are not used, such as B of Boston, which is computed from the share of Black residents."""
        model: Literal["trees", "linear"] = "trees"
        """What a round adds: a tree; or a pass of coordinate descent over a linear model, which ends at least squares."""
        split: int = Field(0, ge=0)
        """Which shuffle splits the districts in 45 % for training, 22 % for validation and 33 % for the test; another is another luck."""
        splits: int = Field(20, ge=0, le=100)
        """At the end the same is trained on so many other splits, and its errors compared; more tell luck and method apart better."""

    class Request(Project.Request):
        column: int = Field(6, ge=1, le=13)
        """Number of the column that the price is drawn over, others at their mean; a higher one is a later column (Boston's rooms: 6)."""
        tree: int = Field(1, ge=1, le=1000)
        """Which tree is drawn; a later one corrects what is left of the error, so its numbers are smaller."""
        levels: int = Field(3, ge=1, le=6)
        """Questions from the root that are drawn; more show all of a deep tree, and need more room."""

    # -- data -------------------------------------------------------------------------------------------------------------------------

    def build_data(self) -> None:
        houses = housing.read(self.config.data)
        for name in self.config.leave_out:
            if name not in houses.names:
                raise Problem(
                    f"config.leave_out: there is no column {one_line(name, 40)!r}{nearest(name, houses.names) or '.'}", "", "data"
                )
        used = [place for place, name in enumerate(houses.names) if name not in self.config.leave_out]
        if not used:
            raise Problem("config.leave_out leaves no column.", "Leave one out less.", "data")
        self.names, features = [houses.names[place] for place in used], houses.features[:, used]
        order = np.random.default_rng(self.config.split).permutation(len(features))
        test = math.ceil(HELD_OUT * len(order))
        valid = math.ceil(HELD_OUT * (len(order) - test))
        self.parts = dict(zip(("test", "valid", "train"), np.split(order, [test, test + valid]), strict=True))
        seen = features[self.parts["train"]]
        # A constant column would divide by zero.
        self.mean, self.scale = seen.mean(0), np.where(seen.std(0) == 0, 1, seen.std(0))
        self.features, self.prices = features, {name: houses.prices[rows] for name, rows in self.parts.items()}
        numbers = zip(self.names, self.mean, self.scale, features.min(0), features.max(0), strict=True)
        columns = [
            Column(name=name, mean=float(mean), scale=float(scale), low=float(low), high=float(high))
            for name, mean, scale, low, high in numbers
        ]
        self.columns = columns
        self.coding = Coding(RowOfNumbers(columns=columns), Number(name="price", unit=housing.UNITS[self.config.data]))
        # As the encoder does it to one row, in the same order of operations: trees do not need it, least squares converges by it.
        self.inputs = {name: ((features[rows] - self.mean) / self.scale).astype(np.float32) for name, rows in self.parts.items()}
        self.matrices = {name: booster.matrix(rows, self.coding.encoder, self.names) for name, rows in self.inputs.items()}

    def build_model(self) -> None:
        trees, config = self.config.model == "trees", self.config
        linear = {"booster": "gblinear", "updater": "coord_descent", "lambda": 0, "eta": config.eta}
        # The mean price: what the sum of the rounds begins with.
        base = float(self.prices["train"].mean())
        parameters = {"objective": "reg:squarederror", "base_score": base, **(config.parameters() if trees else linear)}
        self.boosted = Boosted(parameters, self.matrices, "train", self.compute.threads)

    # -- training ---------------------------------------------------------------------------------------------------------------------

    def batches(self, epoch: int, rng: np.random.Generator) -> list[np.ndarray]:
        # An epoch is a round, so the draw depends on seed and round alone.
        return [self.config.drawn(len(self.prices["train"]), rng)]

    def train_step(self, batch: Any) -> dict[str, Any]:
        """One round: a tree is fitted to the errors that the trees before it leave on the drawn districts, and added."""
        error = self.boosted.answers("train") - self.prices["train"]
        # Of half the squared error along the answer: the first derivative is the error, the second is 1.
        self.boosted.update(error, np.ones(len(error)), batch)
        return {"rmse": self.figures("train")["rmse"]}

    def changed(self, config: Any) -> None:
        self.boosted.set(eta=config.eta)

    def figures(self, split: str) -> dict[str, float]:
        """Root of the mean squared error, in the price's unit, and the share of the prices' variance that is explained."""
        prices = self.prices[split]
        error = float(np.mean((self.boosted.answers(split) - prices) ** 2))
        return {"rmse": error**0.5, "r2": 1 - error / float(prices.var())}

    # -- what it measures -------------------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        """Error and R²; on "test" beside it simple models, fitted to the same districts, and the same training on other splits."""
        yield Scalars(values=self.figures(split))
        if split == "test":
            yield from self.predicted(split)
            rivals = {f"this: {self.config.model}": self.figures(split)["rmse"], **self.rivals()}
            unit = housing.UNITS[self.config.data]
            yield Table(tag="compared", columns=["model", f"RMSE, {unit}"], rows=tabled(list(rivals.items()), len(rivals)))
            if self.config.splits:
                yield from self.luck()

    def rivals(self) -> dict[str, float]:
        """RMSE on the test districts of models without rounds, fitted to the training districts."""
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.linear_model import LinearRegression

        (inputs, prices), (asked, truth) = ((self.inputs[split], self.prices[split]) for split in ("train", "test"))
        models = {"random forest": RandomForestRegressor(FOREST, random_state=0), "least squares": LinearRegression()}
        answers = {name: model.fit(inputs, prices).predict(asked) for name, model in models.items()}
        answers["the mean"] = np.full(len(truth), prices.mean())
        return {name: float(np.sqrt(np.mean((given - truth) ** 2))) for name, given in answers.items()}

    def luck(self) -> Iterator[Event]:
        """The same settings trained on other splits, with the run's early stopping: how far errors lie apart by the split alone."""
        ended = []
        for number in range(self.config.splits):
            other = Boosting(self.config.model_copy(update={"split": number}), self.train, self.compute, self.seed)
            other.build()
            ended.append((number, *other.stopped()))
        rounds, valid, test = np.array(ended)[:, 1:].T
        yield Scalars(values={"median/valid": float(np.median(valid)), "median/test": float(np.median(test))})
        rows = [
            [what, float(of(rounds)), float(of(valid)), float(of(test))]
            for what, of in (("least", np.min), ("median", np.median), ("most", np.max))
        ]
        yield Table(
            tag="splits", columns=[f"of {len(ended)} splits", "rounds", "best valid RMSE", "test RMSE"], rows=tabled(rows, len(rows))
        )
        yield Scatter(tag="luck", x=valid.tolist(), y=test.tolist())

    def stopped(self) -> tuple[int, float, float]:
        """Train as the run does, early stopping included: the number of rounds that it keeps, and their RMSE on "valid" and "test"."""
        # Here, as it brings a run's log with it, which no project needs to be read.
        from workbench.training.early_stopping import EarlyStopping

        stopping, kept = EarlyStopping(self.train.keep_best), (0, math.nan, math.nan)
        for epoch in range(self.train.steps or self.train.epochs):
            (drawn,) = self.batches(epoch, np.random.default_rng([self.seed, epoch]))
            self.train_step(drawn)
            valid = self.figures("valid")
            if stopping.judge({f"valid/{name}": value for name, value in valid.items()}) or not stopping.metric:
                kept = epoch + 1, valid["rmse"], self.figures("test")["rmse"]
            if stopping.is_over(self.train.patience):
                break
        return kept

    def predicted(self, split: str) -> Iterator[Event]:
        """The price that is predicted over the true one, and what is missing over the predicted one."""
        truth, answers = self.prices[split], self.boosted.answers(split).astype(float)
        yield Scatter(tag="prices", x=truth.tolist(), y=answers.tolist())
        yield Scatter(tag="residuals", x=answers.tolist(), y=(truth - answers).tolist())

    # -- what it shows ----------------------------------------------------------------------------------------------------------------

    def sample(self, request: Any) -> Iterator[Event]:
        """The price over one column, predicted prices of the validation districts, what each column is worth, and a tree."""
        if request.column > len(self.names):
            raise Problem(f"column: {request.column} is no column; there are {len(self.names)}: {', '.join(self.names)}.", "", "data")
        place = request.column - 1
        axis = np.linspace(self.features[:, place].min(), self.features[:, place].max(), POINTS)
        inputs = np.zeros((POINTS, len(self.names)), np.float32)  # 0 is the mean
        inputs[:, place] = (axis - self.mean[place]) / self.scale[place]
        prices = booster.outputs(self.boosted.booster, inputs, self.coding.encoder)
        labels = (self.names[place], f"price, {housing.UNITS[self.config.data]}")
        yield Curve(tag="price", x=axis.tolist(), y=prices.tolist(), labels=labels)
        yield from self.predicted("valid")
        if self.config.model == "linear":
            rows = tabled(self.boosted.coefficients(), len(self.names))
            yield Table(tag="coefficients", columns=["column", "price per standard deviation"], rows=rows)
            return
        yield Table(tag="gain", columns=["column", "gain", "splits"], rows=tabled(self.boosted.gains(), len(self.names)))
        scales = dict(zip(self.names, zip(self.mean.tolist(), self.scale.tolist(), strict=True), strict=True))
        tree = self.boosted.tree(request.tree, request.levels, scales)
        yield Text(tag="tree", text=tree or f"There are {self.boosted.rounds} trees so far.", prompt=f"tree {request.tree}")

    def form(self) -> dict[str, Any]:
        fields = [{"name": of.name, "low": of.low, "high": of.high, "value": float(f"{of.mean:.4g}")} for of in self.columns]
        return {"fields": fields}

    def predict(self, inputs: Any) -> Any:
        """`{"row": {"RM": 6, …}}` to `{"answer": 22.1…, "unit": "1,000 dollars"}`; a column that is left out counts as its mean."""
        item = self.coding.encode(inputs)
        (output,) = booster.outputs(self.boosted.booster, self.coding.batch([item]), self.coding.encoder)
        return self.coding.decode(output)

    def serving(self) -> Serving:
        rows = self.features[self.parts["test"]]

        def examples(count: int) -> list[Any]:
            return [{"row": dict(zip(self.names, row.tolist(), strict=True))} for row in rows[:count]]

        return Serving(self.coding, kind="xgboost", graph=self.boosted.booster, examples=examples)
