"""Plays the smallest GAN in NumPy, a normal distribution against a network of 16 units, beside the theory's best answers. Explored."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from workbench.events import Curve, Event, Scatter, Table
from workbench.training.project import Project, only

STEPS = 200
"""Steps of the play: with the default rates the generated density then lies on the real one."""
BATCH = 64
"""Real points, and as many generated ones, in a step. They are quantiles, not draws: the same request always has the same answer."""
HIDDEN = 16
"""Hidden units of the discriminator."""
SHOWN = np.linspace(-6, 6, 121)
"""Where densities and discriminator are evaluated for their curves."""
PLACES = np.array([0, 1, 1.5, 2])
"""Where they stand in a table."""
UNIT = np.linspace(-9, 9, 601)
"""Places in an integral, in standard deviations: what lies beyond is below 1e-18."""
EVERY = 4
"""Steps between two values of the least loss, an integral each."""
BETAS = (0.5, 0.999)
"""Adam's, as DCGAN's paper has them: with 0.9 for the first, the two networks overshoot each other further."""


class GanTheory(Project):
    """Shows what a GAN's two players should do, and what they do."""

    class Request(Project.Request):
        show: Literal["densities", "game"] = "densities"
        """Two densities with a discriminator between them, or a game of two numbers around a saddle."""
        steps: int = only(0, when={"show": "densities"}, ge=0, le=STEPS, step=5)
        """Steps of training made so far; raise it, and the generated density moves while the discriminator follows."""
        real_mean: float = only(0.0, when={"show": "densities"}, ge=-5, le=5, step=0.5)
        """Mean of the real points."""
        real_deviation: float = only(1.0, when={"show": "densities"}, ge=0.2, le=3, step=0.1)
        """Their standard deviation; higher spreads them."""
        second_share: float = only(0.0, when={"show": "densities"}, ge=0, le=1, step=0.1)
        """Share of the real points that come from a second normal distribution; one normal generator cannot match two."""
        second_mean: float = only(-3.0, when={"show": "densities"}, ge=-5, le=5, step=0.5)
        """Mean of the second distribution."""
        second_deviation: float = only(0.5, when={"show": "densities"}, ge=0.2, le=3, step=0.1)
        """Standard deviation of the second distribution; higher spreads its points."""
        mean: float = only(3.0, when={"show": "densities"}, ge=-5, le=5, step=0.5)
        """b of the generator a·z + b at the start: the mean of what it generates."""
        deviation: float = only(1.0, when={"show": "densities"}, ge=0.2, le=3, step=0.1)
        """a of the generator a·z + b at the start: the standard deviation of what it generates."""
        real_label: float = only(1.0, when={"show": "densities"}, ge=0.5, le=1, step=0.05)
        """The discriminator's target for real points; below 1 its best answer, and its confidence, stay below it."""
        slope: float = only(0.2, when={"show": "densities"}, ge=0, le=1, step=0.1)
        """Slope of LeakyReLU below zero; at 0 a unit that is off passes no gradient on, at 1 the network is a straight line."""
        loss: Literal["flipped labels", "saturating"] = only("flipped labels", when={"show": "densities"})
        """What the generator minimises: −log D, the loss with flipped labels, or log(1 − D), which is flat while the discriminator wins."""
        d_rate: float = only(0.1, when={"show": "densities"}, ge=0, le=0.5, step=0.02)
        """Step size of the discriminator's Adam; higher follows the densities sooner, at 0 it stands still."""
        g_rate: float = only(0.05, when={"show": "densities"}, ge=0, le=0.5, step=0.01)
        """Step size of the generator's Adam; higher moves its density faster, and past the real one, at 0 it stands still."""
        d_steps: int = only(1, when={"show": "densities"}, ge=1, le=3)
        """Steps of the discriminator for each step of the generator; more keep it nearer to its best answer."""
        game_rate: float = only(0.1, when={"show": "game"}, ge=0.01, le=1, step=0.01)
        """Step size of both players; higher spirals out sooner."""
        game_steps: int = only(100, when={"show": "game"}, ge=1, le=1000, step=10)
        """Steps of the game that are shown."""

    def sample(self, request: Any) -> Iterator[Event]:
        """Densities, answers, theory and the course of the play; or the game."""
        return densities(request) if request.show == "densities" else game(request.game_rate, request.game_steps)


# -- distributions and the best discriminator -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mixture:
    """A mixture of normal distributions: of each its share, mean and standard deviation; the shares sum to 1."""

    parts: tuple[tuple[float, float, float], ...]

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """(number,) → (number,)."""
        logs = [
            np.log(share / (deviation * np.sqrt(2 * np.pi))) - ((x - mean) / deviation) ** 2 / 2 for share, mean, deviation in self.parts
        ]
        log: np.ndarray = np.logaddexp.reduce(logs)
        return log

    def density(self, x: np.ndarray) -> np.ndarray:
        """(number,) → (number,)."""
        return np.asarray(np.exp(self.log_density(x)))

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Places (number,), and their weights in an integral over the distribution, which sum to 1.

        Of each part its own even places, as far as nine standard deviations: so the sum of a smooth function has an integral's digits.
        """
        shares, means, deviations = (np.array(column)[:, None] for column in zip(*self.parts, strict=True))
        bell = np.exp(-(UNIT**2) / 2)
        return (means + deviations * UNIT).ravel(), (shares * bell / bell.sum()).ravel()

    def quantiles(self, number: int) -> np.ndarray:
        """The middles of `number` equally likely pieces, (number,)."""
        x, weights = self.nodes()
        order = np.argsort(x)
        below = np.cumsum(weights[order]) - weights[order] / 2
        return np.asarray(np.interp((np.arange(number) + 0.5) / number, below, x[order]))


def normal(mean: float, deviation: float) -> Mixture:
    """One normal distribution; a·z + b with a below 0 has the deviation −a."""
    return Mixture(((1.0, mean, max(abs(deviation), 1e-9)),))


def real_of(request: Any) -> Mixture:
    """The real distribution."""
    share = request.second_share
    parts = (
        (1 - share, request.real_mean, request.real_deviation),
        (share, request.second_mean, request.second_deviation),
    )
    return Mixture(tuple(part for part in parts if part[0] > 0))


def best_answer(real: Mixture, generated: Mixture, x: np.ndarray, label: float = 1.0) -> np.ndarray:
    """The discriminator that no other beats, label · p / (p + q), of the densities p and q: the notes' ratio, where the label is 1."""
    # From the densities' logarithms: far from both, p and q are 0.
    return label * sigmoid(real.log_density(x) - generated.log_density(x))


Log = Callable[[np.ndarray], np.ndarray]
"""A logarithm of the discriminator's answer at places, (number,) → (number,)."""


def loss_of(real: Mixture, generated: Mixture, log_yes: Log, log_no: Log, label: float) -> float:
    """Cross-entropy of a discriminator over both densities: real points have the target `label`, generated ones 0.

    `log_yes` and `log_no` give log D and log(1 − D) at places (number,).
    """
    (x, weights), (x_generated, weights_generated) = real.nodes(), generated.nodes()
    cost = -label * log_yes(x) - ((1 - label) * log_no(x) if label < 1 else 0)
    return float(weights @ cost - weights_generated @ log_no(x_generated))


def least_loss(real: Mixture, generated: Mixture, label: float) -> float:
    """The least loss that any discriminator has between these densities; with label 1 it is 2 ln 2 − 2 · Jensen–Shannon."""

    def odds(x: np.ndarray) -> np.ndarray:
        return np.asarray(real.log_density(x) - generated.log_density(x))

    def log_no(x: np.ndarray) -> np.ndarray:
        # 1 − label · σ(t) as (1 − label) · σ(t) + σ(−t): a difference would round to 0.
        with np.errstate(divide="ignore"):
            return np.asarray(np.logaddexp(np.log(1 - label) + log_sigmoid(odds(x)), log_sigmoid(-odds(x))))

    return loss_of(real, generated, lambda x: np.log(label) + log_sigmoid(odds(x)), log_no, label)


def jensen_shannon(real: Mixture, generated: Mixture) -> float:
    """Half the two Kullback–Leibler divergences from the mean of both densities, in nats: 0 if they are equal, ln 2 if they never meet."""
    total = 0.0
    for one, other in ((real, generated), (generated, real)):
        x, weights = one.nodes()
        ratio = np.log(2) + log_sigmoid(one.log_density(x) - other.log_density(x))
        total += float(weights @ ratio) / 2
    return total


def entropy(label: float) -> float:
    """The least cross-entropy with a target of `label`: it is reached by the answer `label`, and it is 0 for a label of 1."""
    return float(sum(-share * np.log(share) for share in (label, 1 - label) if 0 < share < 1))


# -- the play ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rules:
    """How both are trained."""

    real_label: float
    slope: float
    loss: str
    discriminator_rate: float
    generator_rate: float
    discriminator_steps: int


@dataclass(frozen=True)
class Play:
    """What there was before each step: generators (steps + 1, 2), the deviation a and the mean b; discriminators (steps + 1, weights);
    and from their points `losses` and mean `probabilities`, (steps + 1, 2), of discriminator and generator, of real and generated."""

    generators: np.ndarray
    discriminators: np.ndarray
    losses: np.ndarray
    probabilities: np.ndarray


class Adam:
    """Adam's averages of the gradient and of its square (Kingma and Ba 2015)."""

    def __init__(self, size: int) -> None:
        self.first, self.second, self.count = np.zeros(size), np.zeros(size), 0

    def change(self, gradient: np.ndarray, rate: float) -> np.ndarray:
        """What a step adds to the weights."""
        first, second = BETAS
        self.count += 1
        self.first += (1 - first) * (gradient - self.first)
        self.second += (1 - second) * (gradient**2 - self.second)
        size = np.sqrt(self.second / (1 - second**self.count)) + 1e-8
        return np.asarray(-rate / (1 - first**self.count) * self.first / size)


def untrained() -> np.ndarray:
    """The discriminator's first weights: each hidden unit bends at another place, and as none counts yet, it answers 0.5 everywhere."""
    signs = np.where(np.arange(HIDDEN) % 2, -1.0, 1.0)
    return np.concatenate([signs, -signs * np.linspace(-5, 5, HIDDEN), np.zeros(HIDDEN + 1)])


def parts_of(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """To the hidden units, their biases, from them to the logit, its bias."""
    return weights[:HIDDEN], weights[HIDDEN : 2 * HIDDEN], weights[2 * HIDDEN : -1], weights[-1]


def leaky(sums: np.ndarray, slope: float) -> np.ndarray:
    """LeakyReLU: x above zero, slope · x below. The notes write −slope · x, which would turn the sign."""
    return np.where(sums > 0, sums, slope * sums)


def logits(weights: np.ndarray, x: np.ndarray, slope: float) -> np.ndarray:
    """The discriminator's answers as logits: (number,) → (number,)."""
    first, bias, second, last = parts_of(weights)
    answers: np.ndarray = leaky(np.multiply.outer(x, first) + bias, slope) @ second + last
    return answers


def back(weights: np.ndarray, x: np.ndarray, slope: float, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients by the weights (weights,) and by the points (number,), from those by the logits (number,)."""
    first, bias, second, _ = parts_of(weights)
    sums = np.multiply.outer(x, first) + bias
    hidden = np.multiply.outer(errors, second) * np.where(sums > 0, 1.0, slope)
    return np.concatenate([x @ hidden, hidden.sum(0), errors @ leaky(sums, slope), [errors.sum()]]), hidden @ first


# The latest ones: while only `steps` moves, the play is the same.
@lru_cache(8)
def play(real: Mixture, mean: float, deviation: float, rules: Rules) -> Play:
    """All steps of both networks; the discriminator moves first in each."""
    points, noise = real.quantiles(BATCH), normal(0, 1).quantiles(BATCH)
    generator, discriminator = np.array([deviation, mean]), untrained()
    optimizers = Adam(len(generator)), Adam(len(discriminator))
    targets = np.repeat([rules.real_label, 0.0], BATCH)
    history: list[tuple[np.ndarray, np.ndarray, list[float], list[float]]] = []
    for _ in range(STEPS + 1):
        x = np.concatenate([points, generator[0] * noise + generator[1]])
        history.append((generator, discriminator, *measured(logits(discriminator, x, rules.slope), targets, rules.loss)))
        for _ in range(rules.discriminator_steps):
            # Of the cross-entropy the gradient by a logit is answer − target.
            errors = sigmoid(logits(discriminator, x, rules.slope)) - targets
            discriminator = discriminator + optimizers[1].change(
                back(discriminator, x, rules.slope, errors / BATCH)[0], rules.discriminator_rate
            )
        x = x[BATCH:]
        answers = sigmoid(logits(discriminator, x, rules.slope))
        _, by_point = back(discriminator, x, rules.slope, generator_gradient(answers, rules.loss) / BATCH)
        generator = generator + optimizers[0].change(np.array([by_point @ noise, by_point.sum()]), rules.generator_rate)
    generators, discriminators, losses, probabilities = (np.array(moments) for moments in zip(*history, strict=True))
    return Play(generators, discriminators, losses, probabilities)


def measured(answers: np.ndarray, targets: np.ndarray, loss: str) -> tuple[list[float], list[float]]:
    """From the logits of real and then of generated points: the losses of discriminator and generator, and both mean probabilities."""
    discriminator = 2 * float(np.mean(np.logaddexp(0, answers) - answers * targets))
    fake = answers[BATCH:]
    generator = float(np.mean(-log_sigmoid(fake) if loss == "flipped labels" else log_sigmoid(-fake)))
    return [discriminator, generator], [float(np.mean(sigmoid(part))) for part in (answers[:BATCH], fake)]


def generator_gradient(answers: np.ndarray, loss: str) -> np.ndarray:
    """The gradient of the generator's loss by the logit, from the discriminator's probability: D − 1, or −D."""
    return answers - 1 if loss == "flipped labels" else -answers


def densities(request: Any) -> Iterator[Event]:
    """Both densities with the trained and the best discriminator; their numbers; and how the play goes."""
    real, label, slope, now = real_of(request), request.real_label, request.slope, request.steps
    rules = Rules(label, slope, request.loss, request.d_rate, request.g_rate, request.d_steps)
    played = play(real, request.mean, request.deviation, rules)
    deviation, mean = played.generators[now].tolist()
    generated, weights = normal(mean, deviation), played.discriminators[now]
    curves = {
        "real": real.density(SHOWN),
        "generated": generated.density(SHOWN),
        "discriminator": sigmoid(logits(weights, SHOWN, slope)),
        "best": best_answer(real, generated, SHOWN, label),
    }
    for name, values in curves.items():
        yield Curve(tag=f"density/{name}", x=SHOWN.tolist(), y=values.tolist(), labels=("x", "density; D(x)"))
    columns = [
        real.density(PLACES),
        generated.density(PLACES),
        best_answer(real, generated, PLACES, label),
        sigmoid(logits(weights, PLACES, slope)),
    ]
    rows: list[list[str | float]] = [list(row) for row in zip(PLACES.tolist(), *(column.tolist() for column in columns), strict=True)]
    yield Table(tag="answers", columns=["x", "p real", "q drawn", "best D", "D now"], rows=rows)
    half = label / 2
    rows = [
        ["loss of D now", loss_of(real, generated, *network_logs(weights, slope), label)],
        ["least loss of D", least_loss(real, generated, label)],
        ["Jensen–Shannon", jensen_shannon(real, generated)],
        ["best D at p = q", half],
        ["least loss at p = q", float(-label * np.log(half) - (2 - label) * np.log(1 - half))],
        ["its real part at least", entropy(label)],
    ]
    yield Table(tag="theory", columns=["what", "value"], rows=rows)
    steps: list[float] = [float(step) for step in range(STEPS + 1)]
    panels: dict[str, dict[str, np.ndarray]] = {
        "losses": {"discriminator": played.losses[:, 0], "generator": played.losses[:, 1]},
        "probabilities": {"real": played.probabilities[:, 0], "generated": played.probabilities[:, 1]},
        "generator": {"mean": played.generators[:, 1], "deviation": played.generators[:, 0]},
    }
    for panel, series in panels.items():
        for name, values in series.items():
            yield Curve(tag=f"{panel}/{name}", x=steps, y=values.tolist(), labels=("steps", panel))
        if panel == "losses":
            least = [least_loss(real, normal(b, a), label) for a, b in played.generators[::EVERY].tolist()]
            yield Curve(tag="losses/least of D", x=steps[::EVERY], y=least, labels=("steps", panel))
        yield Scatter(
            tag=f"{panel}/now", x=[now] * len(series), y=[float(values[now]) for values in series.values()], labels=["now"] * len(series)
        )


def network_logs(weights: np.ndarray, slope: float) -> tuple[Log, Log]:
    """log D and log(1 − D) of the network, for `loss_of`."""
    return lambda x: log_sigmoid(logits(weights, x, slope)), lambda x: log_sigmoid(-logits(weights, x, slope))


# -- a game without an end --------------------------------------------------------------------------------------------------------


def game(rate: float, steps: int) -> Iterator[Event]:
    """min over x, max over y of x · y: the saddle's equilibrium (0, 0), and two ways to play that do not end there."""
    paths = {"simultaneous": [(1.0, 0.0)], "alternating": [(1.0, 0.0)]}
    for name, path in paths.items():
        x, y = path[0]
        for _ in range(steps):
            after = x - rate * y
            # Simultaneous: both answer the other's old move. Alternating: y sees where x has gone.
            x, y = after, y + rate * (x if name == "simultaneous" else after)
            path.append((x, y))
    radii = {name: np.hypot(*np.transpose(path)) for name, path in paths.items()}
    for name, path in paths.items():
        yield Curve(tag=f"game/{name}", x=[x for x, _ in path], y=[y for _, y in path], labels=("x", "y"))
    yield Scatter(tag="game/equilibrium", x=[0.0], y=[0.0], labels=["equilibrium"])
    for name, radius in radii.items():
        yield Curve(tag=f"distance/{name}", x=list(range(steps + 1)), y=radius.tolist(), labels=("steps", "from (0, 0)"))
    rows: list[list[str | float]] = [[name, float(radius[-1]), float(radius.min()), float(radius.max())] for name, radius in radii.items()]
    yield Table(tag="distances", columns=["steps", "at the end", "least", "most"], rows=rows)


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−logit)), without overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logit))


def log_sigmoid(logit: np.ndarray) -> np.ndarray:
    """log of the sigmoid, also where that rounds to 0."""
    return np.asarray(-np.logaddexp(0, -logit))
