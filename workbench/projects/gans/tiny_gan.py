"""GANs small enough to see whole: points on a line, or on a ring of normal distributions. Recipes: gan-1d, gan-ring."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Number
from workbench.encoding.kinds import Tensor as Numbers
from workbench.encoding.serving import Serving
from workbench.events import Curve, Event, Matrix, Scalars, Scatter, Table
from workbench.problems import Problem
from workbench.torchkit.adversarial import Adversarial, AdversarialSettings, discriminator_loss, generator_loss, mean_probabilities
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import InMemory, sent
from workbench.torchkit.computed import Computed
from workbench.torchkit.optimization import step_size
from workbench.training.project import Field, live, only

RADIUS = 2.0
"""Of the ring."""
EPOCH = 20_000
"""Real points of an epoch, drawn anew for each: there is nothing to memorise."""
JUDGED = 2000
"""Points of either kind in one measurement."""
NEAR = 3
"""Standard deviations from a mode within which a point belongs to it; 98.9 % of a mode's own points in the plane do, 99.7 % on a line."""
COVERED = 0.25
"""A mode counts as covered by this part of its fair share of the generated points: a few stray ones do not cover it."""
BINS = 48
"""Bars of a histogram along a line."""
SEEN = 0.02
"""Sum of both densities from which on the best answer is drawn."""
ROWS, COLUMNS = 16, 36
"""Places of the plane at which the discriminator is asked."""
REAL_SHOWN = 400
"""Real points that are shown in the plane."""


class TinyGan(Adversarial):
    """Two networks against each other on points of a mixture of normal distributions, whose density is known."""

    class Config(AdversarialSettings):
        learning_rate: float = step_size(
            0.001, "Step size of Adam, for both networks; higher learns faster, and the two overshoot each other."
        )
        noise_size: int = Field(2, ge=1, le=100)
        """Normal random numbers that a point is generated from; one is enough for a line."""
        data: Literal["line", "ring"] = "ring"
        """Where the real points lie: on a line, around some means, or in the plane, around places on a ring."""
        means: list[float] = only([-2.0, 2.0], when={"data": "line"}, min_length=1, max_length=8)
        """Means of the normal distributions on the line, equally likely; more are harder to cover."""
        modes: int = only(8, when={"data": "ring"}, ge=1, le=24)
        """Normal distributions on the ring, equally likely; more are harder to cover."""
        deviation: float = Field(0.1, gt=0, le=2)
        """Standard deviation of each of them, in each direction; lower leaves empty space between, which a generator hardly crosses."""
        generator: Literal["linear", "network"] = "network"
        """Kind of generator: a·z + b, which makes one normal distribution of one, or hidden layers with ReLU."""
        hidden: list[int] = Field([64, 64], min_length=1)
        """Hidden units of each layer of both networks; more draw finer shapes and train slower."""
        negative_slope: float = Field(0.2, ge=0, lt=1)
        """Slope of the discriminator's LeakyReLU below zero; higher lets more gradient through where a unit is off."""
        beta1: float = Field(0.5, ge=0, lt=1)
        """Adam's average of the gradients; higher is smoother, and the two networks overshoot each other further."""
        real_label: float = live(1.0, ge=0.5, le=1)
        """Target of the discriminator for a real point; below 1 (one-sided label smoothing) keeps it from being overconfident."""
        loss: Literal["flipped labels", "saturating"] = "flipped labels"
        """What the generator minimises: −log D, or log(1 − D), whose gradient vanishes while the discriminator wins."""
        discriminator_steps: int = Field(1, ge=1, le=10)
        """Steps of the discriminator for each step of the generator, each with points of its own; more keep it ahead."""

    class Request(Adversarial.Request):
        points: int = Field(5000, ge=100, le=20_000, json_schema_extra={"step": 500})
        """Generated points that are shown; more make a histogram smoother and a picture denser."""
        spread: float = Field(1.0, ge=0, le=3, json_schema_extra={"step": 0.1})
        """Factor of the noise; below 1 points come from the middle of the noise alone, at 0 all are one point."""
        seed: int = Field(0, ge=0, le=100)
        """Seed of the noise; another one draws other points."""

    def build_data(self) -> None:
        config = self.config
        if config.data == "line":
            self.centres = np.array(config.means, float)[:, None]
        else:
            angles = 2 * np.pi * np.arange(config.modes) / config.modes
            self.centres = RADIUS * np.stack([np.cos(angles), np.sin(angles)], 1)
        self.axes = self.centres.shape[1]
        # Of seeds of their own: all runs are measured with the same points and the same noise.
        random = np.random.default_rng(0)
        names = ("valid", "test", "other")
        self.held_out = {name: torch.from_numpy(self.real(JUDGED, random)).to(self.device) for name in names}
        self.noise_of = {name: self.seeded_noise(JUDGED, torch.Generator().manual_seed(place)) for place, name in enumerate(names)}

    def real(self, number: int, random: np.random.Generator) -> np.ndarray:
        """Points drawn from the real distribution, (number, axes), float32."""
        centres = self.centres[random.integers(len(self.centres), size=number)]
        points: np.ndarray = centres + self.config.deviation * random.standard_normal(centres.shape)
        return points.astype(np.float32)

    def build_model(self) -> None:
        config = self.config
        if config.generator == "linear":
            self.generator = nn.Linear(config.noise_size, self.axes)
        else:
            self.generator = layers([config.noise_size, *config.hidden, self.axes], nn.ReLU)
        self.discriminator = layers([self.axes, *config.hidden, 1], lambda: nn.LeakyReLU(config.negative_slope))
        self.generator.to(self.device)
        self.discriminator.to(self.device)
        self.make_optimizers(betas=(config.beta1, 0.999))

    def noise(self, count: int) -> Tensor:
        """Normal noise, (count, noise_size): from uniform noise a·z + b would make no normal distribution."""
        return torch.randn(count, self.config.noise_size, device=self.device)

    def seeded_noise(self, count: int, random: torch.Generator) -> Tensor:
        """The same from a generator of its own, drawn on the CPU, as a GPU would draw other numbers."""
        return torch.randn(count, self.config.noise_size, generator=random).to(self.device)

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        size = self.train.batch_size
        return {"generator": (self.noise(size),), "discriminator": (self.held_out["valid"][:size],)}

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        size = self.train.batch_size * self.config.discriminator_steps
        points = sent(self.real(max(size, EPOCH), rng), self.device)
        # They are drawn in no order already.
        return InMemory([points], size, None, drop_last=True)

    def train_step(self, batch: Any) -> dict[str, Any]:
        config, (points,) = self.config, batch  # (batch · discriminator_steps, axes)
        rates = self.apply_settings()

        # The discriminator learns to tell real points from generated ones.
        for real in points.split(self.train.batch_size):
            with self.autocast():
                with torch.no_grad():
                    fake = self.generator(self.noise(len(real)))
                on_real, on_fake = self.discriminator(torch.cat((real, fake))).split(len(real))
                loss_of_discriminator = discriminator_loss(on_real, on_fake, config.real_label)
            self.step_discriminator(loss_of_discriminator)

        # The generator learns from the gradient that the discriminator has at its points, and never sees a real one.
        with self.autocast():
            answers = self.discriminator(self.generator(self.noise(self.train.batch_size)))
            # log(1 − D) = −softplus of the logit.
            loss_of_generator = generator_loss(answers) if config.loss == "flipped labels" else -softplus(answers).mean()
        self.step_generator(loss_of_generator)

        losses = {"loss/generator": loss_of_generator, "loss/discriminator": loss_of_discriminator}
        return {**losses, **mean_probabilities(on_real, on_fake), **rates}

    def evaluate(self, split: str) -> Iterator[Event]:
        """How many modes the generated points cover, which share of them lies near one, and the energy distance to real points.

        All from noise that is the same each time. `energy_distance/real` is what other real points score: no generator is expected below.
        """
        points, real = self.generator(self.noise_of[split]), self.held_out[split]
        shares = self.shares(points)
        yield Scalars(
            values={
                "modes": float((shares >= COVERED / len(shares)).sum()),
                "near_share": float(shares.sum()),
                "energy_distance": energy_distance(points, real),
                "energy_distance/real": energy_distance(self.held_out["other"], real),
            }
        )
        yield self.modes_table(points)

    def shares(self, points: Tensor) -> np.ndarray:
        """Of each mode, the share of points (number, axes) that are within NEAR standard deviations of it and nearest to it."""
        away = torch.cdist(points.float(), torch.from_numpy(self.centres).float().to(points.device))
        distance, mode = away.min(1)
        near = mode[distance <= NEAR * self.config.deviation]
        return np.asarray((near.bincount(minlength=len(self.centres)) / len(points)).cpu(), float)

    def modes_table(self, points: Tensor) -> Table:
        """Each mode with its place and its shares of generated and real points."""
        rows: list[list[str | float]] = []
        for place, share in zip(self.centres.tolist(), self.shares(points).tolist(), strict=True):
            rows.append([", ".join(f"{round(axis, 2) + 0:.2f}" for axis in place), share, 1 / len(self.centres)])
        return Table(tag="shares", columns=["mode at", "share of drawn", "fair share"], rows=rows)

    def sample(self, request: Any) -> Iterator[Event]:
        """Generated points beside real ones, and what the discriminator says between them."""
        noise = request.spread * self.seeded_noise(request.points, torch.Generator().manual_seed(request.seed))
        points = self.generator(noise)
        yield from self.on_the_line(points) if self.axes == 1 else self.on_the_plane(points)
        yield self.modes_table(points)

    def on_the_line(self, points: Tensor) -> Iterator[Event]:
        """The real density, a histogram of the generated points, the discriminator, and the best one for this histogram."""
        low, high = float(self.centres.min()) - 3, float(self.centres.max()) + 3
        edges = np.linspace(low, high, BINS + 1)
        x = (edges[1:] + edges[:-1]) / 2
        counts = np.histogram(points.cpu().numpy()[:, 0], edges)[0]
        generated = counts / len(points) / np.diff(edges)
        real = self.density(x)
        answers = self.discriminator(torch.from_numpy(x[:, None]).float().to(self.device)).sigmoid()[:, 0]
        curves = {"real": real, "generated": generated, "discriminator": answers.cpu().numpy()}
        # Where hardly any points are, the ratio of two histograms is noise.
        known = real + generated > SEEN
        curves["best"] = np.where(known, self.config.real_label * real / np.where(known, real + generated, 1), np.nan)
        for name, values in curves.items():
            finite = np.isfinite(values)
            yield Curve(tag=f"density/{name}", x=x[finite].tolist(), y=values[finite].tolist(), labels=("x", "density; D(x)"))
        z = torch.linspace(-3, 3, 61, device=self.device)[:, None]
        if self.config.noise_size == 1:
            y = self.generator(z)[:, 0]
            yield Curve(tag="generator/G(z)", x=z[:, 0].tolist(), y=y.tolist(), labels=("z", "G(z)"))

    def density(self, x: np.ndarray) -> np.ndarray:
        """The real density on the line, (number,) → (number,)."""
        deviation = self.config.deviation
        parts = np.exp(-(((x[:, None] - self.centres[:, 0]) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
        return np.asarray(parts.mean(1))

    def on_the_plane(self, points: Tensor) -> Iterator[Event]:
        """Real and generated points, and the discriminator over the plane."""
        real = self.held_out["valid"][:REAL_SHOWN].cpu().numpy()
        drawn = points.cpu().numpy()
        both = np.concatenate([drawn, real])
        labels = ["generated"] * len(drawn) + ["real"] * len(real)
        yield Scatter(tag="points", x=both[:, 0].tolist(), y=both[:, 1].tolist(), labels=labels)
        side = 1.5 * RADIUS
        across, down = np.meshgrid(np.linspace(-side, side, COLUMNS), np.linspace(side, -side, ROWS))
        places = torch.from_numpy(np.column_stack([across.ravel(), down.ravel()])).float().to(self.device)
        answers = self.discriminator(places).sigmoid().reshape(ROWS, COLUMNS)
        # Around 0, where it is undecided: a matrix with negative values is shaded from its smallest to its largest.
        yield Matrix(tag="discriminator", values=(answers - 0.5).tolist())

    def predict(self, inputs: Any) -> Any:
        """`{"numbers": [noise]}` to `{"answer": a point}`, on a line."""
        serving = self.serving()
        return answered(serving.coding, inputs, lambda noise: serving.graph(noise.to(self.device)))

    def serving(self) -> Serving:
        if self.axes > 1:
            raise Problem(
                "On a ring there is no network that can be asked elsewhere: a point is two numbers, and an answer is one.",
                "gan-1d, on a line, can be.",
            )
        size = self.config.noise_size
        return Serving(
            Coding(Numbers(shape=[size]), Number(name="point")),
            graph=Computed(lambda noise: self.generator(noise), generator=self.generator),
            examples=lambda count: [{"numbers": row} for row in self.noise_of["test"][:count].tolist()],
        )


def layers(sizes: list[int], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Fully connected layers through all sizes, with the activation between them."""
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        parts += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*parts[:-1])


def energy_distance(points: Tensor, others: Tensor) -> float:
    """2 E|X − Y| − E|X − X'| − E|Y − Y'| over all pairs (Székely and Rizzo 2013): 0 where both have one distribution, never below."""
    points, others = points.double(), others.double()
    return float(2 * torch.cdist(points, others).mean() - torch.cdist(points, points).mean() - torch.cdist(others, others).mean())
