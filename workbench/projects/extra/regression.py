"""Fits a line to 163 countries by gradient descent, in NumPy, and compares it with least squares."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from workbench.datasets import body_mass
from workbench.events import Curve, Event, Scalars, Scatter, Table
from workbench.problems import Problem
from workbench.training.project import Batches, Project, Settings, live

START = (1.0, 0.0)
"""Slope and intercept that every run begins with, as in the course: years per BMI, years."""
ASKED = 21.07931
"""The BMI for which the course asks the life expectancy."""
FARTHEST = 10
"""Countries farthest from the line that are listed."""


class Regression(Project):
    """Predicts a country's life expectancy from its mean BMI by a line."""

    datasets = ("bmi",)
    takes = "row"

    class Config(Settings):
        learning_rate: float = live(0.1, gt=0)
        """Step size of gradient descent; higher converges faster, and diverges above 2 (not standardised: above 0.0032), in full batch."""
        standardise: bool = True
        """Subtract the BMI's mean and divide by its standard deviation; else one curvature of the loss is 66,000 times the other."""
        trick: Literal["square", "absolute"] = "square"
        """How far a point moves the line: in proportion to its error (square trick), or equally far whatever its error (absolute trick)."""

    def build_data(self) -> None:
        self.countries = body_mass.read()
        bmi, years = self.countries.bmi, self.countries.years
        self.mean, self.scale = (float(bmi.mean()), float(bmi.std())) if self.config.standardise else (0.0, 1.0)
        self.least_squares = least_squares(bmi, years)

    def build_model(self) -> None:
        slope, intercept = START
        # The same line in the units of the input: y = slope * (mean + scale * input) + intercept.
        self.weights = np.array([slope * self.scale, slope * self.mean + intercept])

    def batches(self, epoch: int, rng: np.random.Generator) -> Batches:
        # In the file's order, as in the course: the last points of an epoch move the line last.
        return Batches((self.countries.bmi, self.countries.years), self.train.batch_size, None)

    def train_step(self, batch: Any) -> dict[str, Any]:
        bmi, years = batch  # (batch,), (batch,)
        inputs = (bmi - self.mean) / self.scale
        slope, intercept = self.weights
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges is ended by its loss
            error = years - (slope * inputs + intercept)
            # Minus the gradient of half the squared error along the prediction is the error; of the absolute error, it is the error's sign.
            pull = error if self.config.trick == "square" else np.sign(error)
            # The prediction changes by the input for each unit of the slope, and by 1 for each unit of the intercept.
            self.weights += self.config.learning_rate * np.array([np.mean(pull * inputs), np.mean(pull)])
            return {"loss": np.mean(error**2) / 2}

    def line(self) -> tuple[float, float]:
        """Slope and intercept of the trained line, in years per BMI and years, whatever the units of the input."""
        slope = float(self.weights[0]) / self.scale
        return slope, float(self.weights[1]) - slope * self.mean

    def evaluate(self, split: str) -> Iterator[Event]:
        """On the countries that it trains on: there are no others, as in the course."""
        if split == "test":
            return
        trained, best = self.line(), self.least_squares
        variance, error = float(self.countries.years.var()), self.mse(trained)
        slope, intercept = trained
        yield Scalars(
            values={
                "loss": error / 2,
                "gap": self.gap(),
                "r2": 1 - error / variance,
                "line/slope": slope,
                "line/intercept": intercept,
                "prediction": slope * ASKED + intercept,
            }
        )
        rows: list[list[str | float]] = []
        for name, line in (("trained", trained), ("least squares", best)):
            figures = (*line, self.mse(line), 1 - self.mse(line) / variance, line[0] * ASKED + line[1])
            rows.append([name, *(float(f"{figure:.8g}") for figure in figures)])
        yield Table(tag="compared", columns=["line", "slope", "intercept", "MSE", "R²", "prediction"], rows=rows)

    def mse(self, line: tuple[float, float]) -> float:
        """Mean squared error of a line, slope and intercept, over all countries."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.mean((line[0] * self.countries.bmi + line[1] - self.countries.years) ** 2))

    def gap(self) -> float:
        """What the trained line's loss lies above that of least squares, as half the mean squared distance of the two lines.

        Both are the same number, as the errors of least squares are orthogonal to every line; but this one has all its digits near 0.
        """
        (slope, intercept), (best_slope, best_intercept) = self.line(), self.least_squares
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.mean(((slope - best_slope) * self.countries.bmi + intercept - best_intercept) ** 2)) / 2

    def sample(self, request: Any) -> Iterator[Event]:
        """The countries with both lines, and the countries farthest from the trained one."""
        bmi, years = self.countries.bmi, self.countries.years
        yield Scatter(tag="regression/countries", x=bmi.tolist(), y=years.tolist())
        ends = np.array([bmi.min(), bmi.max()])
        for name, (slope, intercept) in {"least_squares": self.least_squares, "trained": self.line()}.items():
            heights = (slope * ends + intercept).tolist()
            yield Curve(tag=f"regression/{name}", x=ends.tolist(), y=heights, labels=("mean BMI, kg/m²", "life expectancy, years"))
        slope, intercept = self.line()
        predicted = slope * bmi + intercept
        order = np.argsort(-np.abs(years - predicted), kind="stable")[:FARTHEST]
        rows: list[list[str | float]] = [
            [self.countries.names[row], float(bmi[row]), float(years[row]), round(float(predicted[row]), 2)] for row in order
        ]
        yield Table(tag="farthest from the line", columns=["country", "BMI", "life expectancy", "predicted"], rows=rows)

    def summary(self) -> Iterator[Event]:
        """Why standardising helps: the curvatures of the loss, and the learning rate that the larger of them allows."""
        bmi = self.countries.bmi
        rows: list[list[str | float]] = []
        for name, inputs in (("BMI as it is", bmi), ("BMI standardised", (bmi - bmi.mean()) / bmi.std())):
            small, large = curvatures(inputs)
            rows.append([name, *(float(f"{each:.4g}") for each in (large, small, large / small, 2 / large))])
        columns = ["input", "largest curvature", "smallest curvature", "condition number", "diverges above a rate of"]
        yield Table(tag="curvatures", columns=columns, rows=rows)

    def form(self) -> dict[str, Any]:
        bmi = self.countries.bmi
        return {"fields": [{"name": "BMI", "low": float(bmi.min()), "high": float(bmi.max()), "value": ASKED}]}

    def predict(self, inputs: Any) -> Any:
        """`{"row": {"BMI": 21.1}}` to `{"answer": "60.37 years"}`; outside the countries' BMI it says: an extrapolation."""
        row = inputs.get("row") if isinstance(inputs, dict) else None
        bmi = row.get("BMI") if isinstance(row, dict) and len(row) == 1 else None
        # True is an int in Python, and no BMI.
        if isinstance(bmi, bool) or not isinstance(bmi, int | float) or not np.isfinite(bmi):
            raise Problem("The input is not one BMI.", 'Send {"row": {"BMI": 21.1}}.', "data")
        slope, intercept = self.line()
        low, high = float(self.countries.bmi.min()), float(self.countries.bmi.max())
        answer = f"{slope * bmi + intercept:.2f} years"
        outside = "" if low <= bmi <= high else f", an extrapolation: the countries have BMI {low:.2f} to {high:.2f}"
        return {"answer": answer + outside}


def least_squares(bmi: np.ndarray, years: np.ndarray) -> tuple[float, float]:
    """Slope and intercept with the least mean squared error, where its gradient is 0. Training never sees them."""
    centred = bmi - bmi.mean()
    slope = float(centred @ years / (centred @ centred))
    return slope, float(years.mean() - slope * bmi.mean())


def curvatures(inputs: np.ndarray) -> tuple[float, float]:
    """Smallest and largest second derivative of half the mean squared error, over all directions of slope and intercept."""
    small, large = np.linalg.eigvalsh([[np.mean(inputs**2), inputs.mean()], [inputs.mean(), 1.0]])
    return float(small), float(large)
