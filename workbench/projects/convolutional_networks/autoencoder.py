"""Autoencoders of MNIST's digits: linear, convolutional with two ways of enlarging, and one that takes noise away."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.datasets import images
from workbench.datasets.pictures import decode_picture
from workbench.datasets.seen import seen
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Drawn, Picture
from workbench.encoding.serving import Serving, sent_pictures
from workbench.events import Curve, Event, Matrix, Scalars, Table
from workbench.problems import Problem
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import InMemory
from workbench.torchkit.computed import Computed
from workbench.torchkit.optimization import Optimization
from workbench.torchkit.project import TorchProject
from workbench.training.figures import pictures
from workbench.training.project import Field, live, only

SHAPE = (1, 28, 28)
SHOWN = 8
"""Test digits that are rebuilt in every sample."""
COUNTED = 500
"""Test digits over which the differences between columns are averaged."""
PIECE = 1000
"""Digits that go through the network at once outside training."""
NOISE_SEED = 0
"""Of the noise on validation and test digits: the same in each evaluation, or the loss would jump by chance."""


class Autoencoder(TorchProject):
    """Squeezes a digit through few numbers, its code, and rebuilds it from them."""

    datasets = ("mnist",)

    class Config(Optimization):
        kind: Literal["linear", "transposed", "nearest", "denoising"] = "linear"
        """Network: linear, one layer each way; convolutions, enlarged by transposed ones or by nearest neighbours; denoising."""
        code: int = only(32, when={"kind": "linear"}, ge=1, le=784)
        """Numbers of the code; more rebuild a digit better, and compress it less."""
        noise: float = live(0.5, when={"kind": "denoising"}, ge=0, le=1)
        """Standard deviation of the noise that is added to each pixel of an input, then clipped to 0 to 1; higher is harder."""

    class Request(TorchProject.Request):
        picture: Literal["test", "drawing"] = "test"
        """Digit that is rebuilt: one of the test digits, or your own drawing."""
        digit: int = only(0, when={"picture": "test"}, ge=0, le=999)
        """Which of the first thousand test digits."""
        drawing: str = only("", when={"picture": "drawing"}, picture=True)
        """Your own drawing of a digit; it is centred as MNIST's digits are."""
        noise: float = Field(0.0, ge=0, le=1, json_schema_extra={"step": 0.05})
        """Standard deviation of the noise that is added before the network sees it; the denoiser takes it away, others rebuild it."""
        number: int = Field(0, ge=0, le=195, json_schema_extra={"step": 1})
        """Which number of the code is changed; the others stay."""
        change: float = Field(0.0, ge=-20, le=20, json_schema_extra={"step": 0.5})
        """What is added to that number of the code; a larger change shows more of what it stands for."""
        other: int = Field(1, ge=0, le=999)
        """Another test digit, whose code is mixed in."""
        mix: float = Field(0.0, ge=0, le=1, json_schema_extra={"step": 0.05})
        """Share of the other digit's code; on the way from one to the other most mixtures look like no digit."""

    def build_data(self) -> None:
        data = images.read("mnist")
        # (number, 1, 28, 28) on the device; an autoencoder needs no labels.
        parts = {"train": data.train, "valid": data.valid, "test": data.test}
        self.splits = {name: torch.from_numpy(part.images).to(self.device) for name, part in parts.items()}

    def build_model(self) -> None:
        config = self.config
        build = {"linear": lambda: linear(config.code), "transposed": transposed, "nearest": nearest, "denoising": denoising}[config.kind]
        # With the channels last a convolution on the CPU takes three quarters of the time.
        self.encoder, self.decoder = (part.to(self.device).to(memory_format=torch.channels_last) for part in build())
        self.optimizer = config.make_optimizer([*self.encoder.parameters(), *self.decoder.parameters()])

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        digits = self.splits["train"][: self.train.batch_size]
        return {"encoder": (digits,), "decoder": (self.encoder(digits),)}

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        return InMemory([self.splits["train"]], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        (digits,) = batch  # (batch, 1, 28, 28)
        rates = self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        with self.autocast():
            # The target is the clean digit, also where the input is noisy.
            loss = F.mse_loss(self.rebuilt(self.noisy(digits)), digits)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, **rates}

    def noisy(self, digits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What the network sees of digits: themselves, or for the denoiser with noise."""
        return noised(digits, self.config.noise, generator) if self.config.kind == "denoising" else digits

    def rebuilt(self, digits: Tensor) -> Tensor:
        """(number, 1, 28, 28) → the same from the code alone."""
        digits = self.decoder(self.encoder(digits))
        return digits

    def inputs(self, split: str) -> Tensor:
        """The digits of a split as the network sees them, always with the same noise."""
        return self.noisy(self.splits[split], torch.Generator().manual_seed(NOISE_SEED))

    def evaluate(self, split: str) -> Iterator[Event]:
        """Mean squared error per pixel, beside the clean digits; and how many numbers of the code are 0 for every digit."""
        digits = self.splits[split]
        squares, largest = 0.0, []
        for seen_digits, clean in zip(self.inputs(split).split(PIECE), digits.split(PIECE), strict=True):
            with self.autocast():
                code = self.encoder(seen_digits)
                outputs = self.decoder(code)
            squares += float(F.mse_loss(outputs.float(), clean, reduction="sum"))
            largest.append(code.flatten(1).amax(0))
        # A unit whose sums are negative for all inputs has no gradient, and never comes back: ReLU dies.
        unused = int((torch.stack(largest).amax(0) <= 0).sum())
        yield Scalars(values={"loss": squares / digits.numel(), "unused": float(unused)})

    def summary(self) -> Iterator[Event]:
        """The network, and what needs none: the test digits' error for black, for the mean digit, and for principal components."""
        yield from super().summary()
        yield baselines(torch.cat([self.splits["train"], self.splits["valid"]]), self.splits["test"], self.inputs("test"))

    def sample(self, request: Any) -> Iterator[Event]:
        """One digit through its code, the code, some test digits, and how much neighbouring columns differ."""
        digit = self.asked(request)
        clean = digit
        if request.noise:
            digit = noised(digit, request.noise, torch.Generator().manual_seed(NOISE_SEED))
        code = self.encoder(digit)
        length = code[0].numel()
        if request.number >= length:
            raise Problem(f"number is {request.number}, but this code has {length} numbers: 0 to {length - 1}.", cause="data")
        mixed = torch.lerp(code, self.encoder(self.splits["test"][request.other : request.other + 1]), request.mix)
        changed = mixed.flatten(1)
        changed[:, request.number] += request.change
        outputs = self.decoder(torch.cat([code, changed.reshape(code.shape)]))
        error = float(F.mse_loss(outputs[:1], clean))
        yield pictures("digit", torch.cat([digit, outputs]), ["input", f"rebuilt, MSE {error:.4f}", "from the changed code"], columns=3)
        yield Matrix(tag="code", values=table_of(changed.reshape(code.shape)[0]).tolist())

        clean = self.splits["test"][:SHOWN]
        inputs = self.inputs("test")[:SHOWN]
        rows = [inputs, self.rebuilt(inputs), *([clean] if self.config.kind == "denoising" else [])]
        # Input, output and, for the denoiser, the clean digit are one tile: they stay together however many fit into a row.
        yield pictures("rebuilt", torch.cat(rows, 2), columns=SHOWN)
        some = self.splits["test"][:COUNTED]
        for name, digits in (("digits", some), ("rebuilt", self.rebuilt(self.inputs("test")[:COUNTED]))):
            steps = (digits[..., 1:] - digits[..., :-1]).abs().mean((0, 1, 2))
            places = [float(place) for place in range(1, len(steps) + 1)]
            yield Curve(tag=f"columns/{name}", x=places, y=steps.tolist(), labels=("column", "difference to the one before"))

    def asked(self, request: Any) -> Tensor:
        """The digit that a person asks about, (1, 1, 28, 28)."""
        if request.picture == "test":
            if request.digit >= len(self.splits["test"]):
                raise Problem(f"digit is {request.digit}, but there are {len(self.splits['test'])} test digits.", cause="data")
            return self.splits["test"][request.digit : request.digit + 1]
        if not request.drawing:
            raise Problem("Nothing is drawn yet.", "Draw a digit with the mouse, or open a picture.", "data")
        pixels, _ = seen(decode_picture(request.drawing), SHAPE, "mnist")
        return torch.from_numpy(pixels)[None].to(self.device)

    def predict(self, inputs: Any) -> Any:
        """`{"picture": "…"}`, a PNG or JPEG in base64, or `{"pixels": [[…]]}`, to `{"answer": the digit from its code, a PNG}`."""
        return answered(self.serving().coding, inputs, lambda digits: self.rebuilt(digits.to(self.device)))

    def serving(self) -> Serving:
        # A noisy digit is taken as it is: scaled and centred by its mass, it would be by that of the noise.
        like = "" if self.config.kind == "denoising" else "mnist"
        return Serving(
            Coding(Picture(shape=SHAPE, like=like, light=None if self.config.kind == "denoising" else False), Drawn()),
            graph=Computed(self.rebuilt, encoder=self.encoder, decoder=self.decoder),
            examples=lambda count: sent_pictures(self.inputs("test")[:count].cpu().numpy()),
        )


# -- the networks, each as its encoder and its decoder --------------------------------------------------------------------------------

Parts = tuple[nn.Sequential, nn.Sequential]


def linear(code: int) -> Parts:
    """One fully connected layer each way: (batch, 1, 28, 28) → (batch, code) → (batch, 1, 28, 28)."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, code), nn.ReLU())
    return encoder, nn.Sequential(nn.Linear(code, 784), nn.Sigmoid(), nn.Unflatten(1, SHAPE))


def convolutions(*channels: int) -> nn.Sequential:
    """3x3 convolutions with ReLU, each followed by a max pooling that halves the picture."""
    layers: list[nn.Module] = []
    for before, after in zip((1, *channels), channels, strict=False):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers)


def transposed() -> Parts:
    """A code of (4, 7, 7), enlarged by transposed convolutions, which put 2x2 pixels in the place of one."""
    decoder = nn.Sequential(nn.ConvTranspose2d(4, 16, 2, stride=2), nn.ReLU(), nn.ConvTranspose2d(16, 1, 2, stride=2), nn.Sigmoid())
    return convolutions(16, 4), decoder


def nearest() -> Parts:
    """The same code, enlarged by repeating each pixel, and then convolved: no checkerboard (Odena, Dumoulin and Olah 2016)."""
    decoder = nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(4, 16, 3, padding=1),
        nn.ReLU(),
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(16, 1, 3, padding=1),
        nn.Sigmoid(),
    )
    return convolutions(16, 4), decoder


def denoising() -> Parts:
    """A deeper one with a code of (8, 3, 3): 3 to 7 pixels by a 3x3 transposed convolution, then 14 and 28."""
    decoder = nn.Sequential(
        nn.ConvTranspose2d(8, 8, 3, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 16, 2, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 32, 2, stride=2),
        nn.ReLU(),
        nn.Conv2d(32, 1, 3, padding=1),
        nn.Sigmoid(),
    )
    return convolutions(32, 16, 8), decoder


def noised(digits: Tensor, deviation: float, generator: torch.Generator | None = None) -> Tensor:
    """Digits with normal noise, clipped to [0, 1] as the course does."""
    # A generator is the CPU's: the same noise on every device.
    noise = torch.randn(digits.shape, generator=generator).to(digits.device) if generator else torch.randn_like(digits)
    return (digits + deviation * noise).clamp(0, 1)


def baselines(train: Tensor, test: Tensor, inputs: Tensor) -> Table:
    """Mean squared error per pixel of the test digits without any network: what a reconstruction has to beat.

    `inputs` are the test digits as the network sees them. Mean and components are those of all digits in `train`.
    """
    rows, digits = train.flatten(1), test.flatten(1).double()
    mean = rows.mean(0, dtype=torch.float64)
    # In pieces, each added as float64: one sum of 60,000 products in float32 would be rough.
    products = torch.stack([(piece.T @ piece).double() for piece in rows.split(6000)]).sum(0)
    axes = torch.linalg.eigh(products / len(rows) - torch.outer(mean, mean)).eigenvectors.flip(1)
    errors: dict[str, float] = {"black": float(digits.square().mean()), "the mean digit": float((digits - mean).square().mean())}
    for kept in (32, 196):
        coordinates = (digits - mean) @ axes[:, kept:]
        # What is lost is what the digits amount to along the components that are left out.
        errors[f"{kept} principal components"] = float(coordinates.square().sum() / digits.numel())
    noise = float((inputs.flatten(1) - digits).square().mean())
    if noise:
        errors["the noisy input"] = noise
    return Table(tag="baselines", columns=["without a network", "MSE"], rows=[[name, error] for name, error in errors.items()])


def table_of(code: Tensor) -> Tensor:
    """A code as rows: 8 numbers each, or the rows of its maps, two maps beside each other."""
    if code.dim() == 1:
        return F.pad(code, (0, -len(code) % 8)).reshape(-1, 8)
    maps, height, width = code.shape
    return code.reshape(maps // 2, 2, height, width).permute(0, 2, 1, 3).reshape(maps // 2 * height, 2 * width)
