"""Fits a line to 163 countries by gradient descent, in NumPy, and compares it with least squares."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np

from workbench.datasets import body_mass
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Column, Number, RowOfNumbers
from workbench.encoding.serving import Serving
from workbench.events import Curve, Event, Scalars, Scatter, Table
from workbench.problems import Problem
from workbench.training.project import Batches, Field, Matrix, Project, Settings, live, only

START = (1.0, 0.0)
"""Slope and intercept that every run begins with, as in the course: years per BMI, years."""
ASKED = 21.07931
"""The BMI for which the course asks the life expectancy."""
FARTHEST = 10
"""Countries farthest from the line that are listed."""
HELD_OUT = 3
"""One country of so many judges a polynomial, which is fitted to the others: 54 of 163."""
DEGREES = range(1, 10)
AXES = ("mean BMI, kg/m²", "life expectancy, years")
Pair = Annotated[list[list[float]], Matrix(1, 2, -100, 100, 0.1)]


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

    class Request(Project.Request):
        bmi: float = Field(ASKED, ge=10, le=60, json_schema_extra={"step": 0.5})
        """Mean BMI, in kg/m², for which the life expectancy is asked; far from those of the countries the answer means less and less."""
        degree: int = Field(1, ge=1, le=9)
        """Degree of the polynomial that is fitted beside the line; higher bends more, follows the noise, and leaves the ground outside."""
        penalty: Literal["none", "L1", "L2"] = "none"
        """What is added to half the mean squared error: L1, the sum of the absolute weights; L2, half the sum of their squares."""
        strength: float = only(0.5, when={"penalty": ["L1", "L2"]}, ge=0, le=10)
        """Factor of the penalty; higher makes the weights smaller, with L1 one after the other exactly 0."""
        line: Pair = [[-0.6, 4]]
        """Slope and intercept of the line that both tricks move."""
        point: Pair = [[-5, 3]]
        """The point, x and y, that the tricks move it to; farther off, the square trick moves it more, the absolute not."""
        absolute_rate: float = Field(0.1, ge=0, le=1, json_schema_extra={"step": 0.01})
        """Learning rate of the absolute trick; higher moves the line further."""
        square_rate: float = Field(0.01, ge=0, le=1, json_schema_extra={"step": 0.01})
        """Learning rate of the square trick; higher moves the line further, and past the point above 1 / (x² + 1)."""

    def build_data(self) -> None:
        self.countries = body_mass.read()
        bmi, years = self.countries.bmi, self.countries.years
        self.mean, self.scale = (float(bmi.mean()), float(bmi.std())) if self.config.standardise else (0.0, 1.0)
        self.least_squares = least_squares(bmi, years)
        self.shuffled = np.random.default_rng(0).permutation(len(bmi))

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
        """The countries with the lines and a polynomial, the answer for a BMI, errors by degree, both tricks, the farthest countries."""
        bmi, years = self.countries.bmi, self.countries.years
        yield Scatter(tag="regression/countries", x=bmi.tolist(), y=years.tolist())
        ends = np.array([bmi.min(), bmi.max()])
        answers = {}
        for name, (slope, intercept) in {"least_squares": self.least_squares, "trained": self.line()}.items():
            yield Curve(tag=f"regression/{name}", x=ends.tolist(), y=(slope * ends + intercept).tolist(), labels=AXES)
            answers[name.replace("_", " ")] = slope * request.bmi + intercept
        strength = 0.0 if request.penalty == "none" else request.strength
        valid, train = np.split(self.shuffled, [len(bmi) // HELD_OUT])
        fits = {degree: Polynomial(bmi[train], years[train], degree, request.penalty, strength) for degree in DEGREES}
        chosen = fits[request.degree]
        # As far as the BMI that is asked: there one sees what a polynomial does where no country holds it.
        axis = np.linspace(min(ends[0], request.bmi), max(ends[1], request.bmi), 60)
        yield Curve(tag="regression/polynomial", x=axis.tolist(), y=chosen(axis).tolist(), labels=AXES)
        answers[f"degree {request.degree}"] = float(chosen(np.array([request.bmi]))[0])
        outside = self.outside(request.bmi)
        yield Scatter(
            tag="regression/asked", x=[request.bmi], y=[answers["least squares"]], labels=["extrapolation" if outside else "asked"]
        )
        rows: list[list[str | float]] = [[name, float(f"{answer:.8g}"), outside.removeprefix(", ")] for name, answer in answers.items()]
        yield Table(tag="asked", columns=["by", "years", "beware"], rows=rows)
        for name, part in {"training": train, "validation": valid}.items():
            errors = [float(np.mean((fit(bmi[part]) - years[part]) ** 2)) for fit in fits.values()]
            yield Curve(tag=f"error by degree/{name}", x=list(map(float, DEGREES)), y=errors, labels=("degree", "mean squared error"))
        powers: list[list[str | float]] = [[f"x^{power}", float(f"{weight:.6g}")] for power, weight in enumerate(chosen.weights, 1)]
        yield Table(tag="weights", columns=["standardised power", "years"], rows=powers)
        yield tricks(request.line[0], request.point[0], request.absolute_rate, request.square_rate)
        slope, intercept = self.line()
        predicted = slope * bmi + intercept
        order = np.argsort(-np.abs(years - predicted), kind="stable")[:FARTHEST]
        farthest: list[list[str | float]] = [
            [self.countries.names[row], float(bmi[row]), float(years[row]), round(float(predicted[row]), 2)] for row in order
        ]
        yield Table(tag="farthest from the line", columns=["country", "BMI", "life expectancy", "predicted"], rows=farthest)

    def outside(self, bmi: float) -> str:
        """What there is to say about an answer for a BMI that no country comes near; "" for one among them."""
        low, high = float(self.countries.bmi.min()), float(self.countries.bmi.max())
        return "" if low <= bmi <= high else f", an extrapolation: the countries have BMI {low:.2f} to {high:.2f}"

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
        return {"answer": f"{slope * bmi + intercept:.2f} years{self.outside(bmi)}"}

    def serving(self) -> Serving:
        bmi = self.countries.bmi
        columns = [Column(name="BMI", mean=float(bmi.mean()), scale=float(bmi.std()), low=float(bmi.min()), high=float(bmi.max()))]
        coding = Coding(RowOfNumbers(columns=columns), Number(unit="years"))
        # No country is held out: the line is of all of them.
        return Serving(coding, kind="project", examples=lambda count: [{"row": {"BMI": value}} for value in bmi[:count].tolist()])


def least_squares(bmi: np.ndarray, years: np.ndarray) -> tuple[float, float]:
    """Slope and intercept with the least mean squared error, where its gradient is 0. Training never sees them."""
    centred = bmi - bmi.mean()
    slope = float(centred @ years / (centred @ centred))
    return slope, float(years.mean() - slope * bmi.mean())


def curvatures(inputs: np.ndarray) -> tuple[float, float]:
    """Smallest and largest second derivative of half the mean squared error, over all directions of slope and intercept."""
    small, large = np.linalg.eigvalsh([[np.mean(inputs**2), inputs.mean()], [inputs.mean(), 1.0]])
    return float(small), float(large)


class Polynomial:
    """A polynomial of the BMI, fitted by least squares with a penalty on the weights of its standardised powers.

    Minimises mean((y - f(x))²) / 2 + strength · (L1: Σ|w|; L2: Σw² / 2). The intercept, the mean of y, bears none.
    """

    def __init__(self, bmi: np.ndarray, years: np.ndarray, degree: int, penalty: str, strength: float) -> None:
        self.degree, self.centre, self.spread = degree, bmi.mean(), bmi.std()
        powers = self._powers(bmi)
        # A power of few different numbers may be constant.
        self.mean, self.scale = powers.mean(0), np.maximum(powers.std(0), 1e-12)
        inputs, self.intercept = (powers - self.mean) / self.scale, float(years.mean())
        if penalty == "L1" and strength:
            self.weights = lasso(inputs, years - self.intercept, strength)
        elif strength:
            gram = inputs.T @ inputs / len(inputs) + strength * np.eye(degree)
            self.weights = np.linalg.solve(gram, inputs.T @ (years - self.intercept) / len(inputs))
        else:
            self.weights = np.linalg.lstsq(inputs, years - self.intercept, rcond=None)[0]

    def _powers(self, bmi: np.ndarray) -> np.ndarray:
        # Of the standardised BMI: the ninth power of 30 would leave few digits for the others.
        powers: np.ndarray = np.power.outer((bmi - self.centre) / self.spread, np.arange(1, self.degree + 1))
        return powers

    def __call__(self, bmi: np.ndarray) -> np.ndarray:
        """(number,) → (number,) years."""
        answer: np.ndarray = (self._powers(bmi) - self.mean) / self.scale @ self.weights + self.intercept
        return answer


def lasso(inputs: np.ndarray, targets: np.ndarray, strength: float) -> np.ndarray:
    """Weights with the least mean squared error / 2 + strength · Σ|w|, by scikit-learn's coordinate descent."""
    import warnings

    from sklearn.linear_model import Lasso

    with warnings.catch_warnings(action="ignore"):  # powers are so alike that the last digits take long
        weights: np.ndarray = Lasso(strength, fit_intercept=False, max_iter=3_000, tol=1e-6).fit(inputs, targets).coef_
    return weights


def tricks(line: list[float], point: list[float], absolute_rate: float, square_rate: float) -> Table:
    """One step of either trick from a line (slope, intercept) towards a point, and how far the line is from it then."""
    (slope, intercept), (x, y) = line, point
    error = y - (slope * x + intercept)
    rows: list[list[str | float]] = [["before", slope, intercept, abs(error)]]
    for name, pull in (("absolute trick", absolute_rate * float(np.sign(error))), ("square trick", square_rate * error)):
        moved = slope + pull * x, intercept + pull
        rows.append([name, *(float(f"{number:.8g}") for number in (*moved, abs(y - moved[0] * x - moved[1])))])
    return Table(tag="tricks", columns=["line", "slope", "intercept", "off by"], rows=rows)
