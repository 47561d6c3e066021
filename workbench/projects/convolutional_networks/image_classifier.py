"""Classifies small pictures: a multilayer perceptron or a convolutional network on digits, MNIST or Fashion-MNIST."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.datasets import images
from workbench.datasets.seen import ground
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Classes, Picture
from workbench.encoding.serving import Serving, sent_pictures
from workbench.events import Event, Scalars
from workbench.problems import Problem
from workbench.torchkit.asked import answered
from workbench.torchkit.augment import Augmentation
from workbench.torchkit.batches import InMemory
from workbench.torchkit.classification import Predictions
from workbench.torchkit.diagnostics import gradient_events, gradient_norms, weight_events
from workbench.torchkit.layers import Activation, Initialisation, cnn, mlp
from workbench.torchkit.optimization import ClassifierSettings
from workbench.torchkit.own_pictures import OwnPictures
from workbench.torchkit.project import TorchProject
from workbench.training.figures import pictures
from workbench.training.project import Field, Own, only

SAMPLES = 24
"""Pictures in a sample."""
PIECE = 1000
"""Pictures that go through the network at once outside training: a whole split may not fit into memory."""


class ImageClassifier(TorchProject):
    """Classifies small pictures."""

    takes = "picture"

    class Config(ClassifierSettings, Augmentation, OwnPictures):
        data: Literal["digits", "mnist", "fashion-mnist"] | Own = "digits"
        """Data set of labelled pictures; or a folder of your own, ./pictures, with a folder for each class."""
        per_class: int = Field(0, ge=0)
        """Training pictures of each class, the first ones; 0 takes all. Fewer are learnt sooner, and overfit more."""
        image_size: int = Field(32, ge=8, le=256)
        """Width and height in pixels to which pictures of your own are resized; higher shows more detail and trains slower."""
        model: Literal["mlp", "cnn"] = "mlp"
        """Kind of network: mlp, a multilayer perceptron; cnn, convolutional layers with batch norm before fully connected ones."""
        channels: list[list[Annotated[int, Field(ge=1)]]] = only([[16, 16], [32, 32], [64, 64]], when={"model": "cnn"})
        """Output channels of each convolutional layer, in groups; each group ends with a max pooling that halves the picture."""
        hidden: list[Annotated[int, Field(ge=1)]] = [128, 64]
        """Hidden units of each fully connected layer; more fit the training data better, and may overfit."""
        dropout: float = Field(0.2, ge=0, lt=1)
        """Dropout probability of a hidden unit in each training step; higher reduces overfitting and slows learning."""
        activation: Activation = only("relu", when={"model": "mlp"})
        """Activation of the hidden units: relu max(0, x), tanh, or sigmoid 1/(1 + exp(-x)), whose slope is 0.25 at most."""
        initialisation: Initialisation = only("default", when={"model": "mlp"})
        """How weights begin, with biases 0: zeros, ones, uniform-01 [0, 1), uniform-half ±0.5, uniform-fan-in ±1/√n, normal-fan-in (SD
        1/√n), he (SD √(2/n)), of n inputs; default, PyTorch's: uniform-fan-in, for the biases too."""
        panels: Literal["answers", "weights", "gradients"] = "answers"
        """What an evaluation shows beside loss and accuracy: the answers, the weights' sizes, or the gradient's norm in each layer."""

    def build_data(self) -> None:
        data = images.read(self.config.data, self.config.image_size, self.config.background, self.config.per_class)
        self.classes, self.decoding = data.classes, data.decoding
        # (number, channels, height, width) and (number,) on the device
        self.splits = {
            name: (torch.from_numpy(part.images).to(self.device), torch.from_numpy(part.labels).to(self.device))
            for name, part in (("train", data.train), ("valid", data.valid), ("test", data.test))
        }
        self.shape = tuple(data.train.images.shape[1:])
        # The catalogue's sets have a dark ground; a person's own may have either.
        self.light = ground(data.train.images) if "/" in self.config.data else False

    def build_model(self) -> None:
        config, outputs = self.config, len(self.classes)
        if config.model == "cnn":
            if min(self.shape[1:]) < 2 ** len(config.channels):
                size = " x ".join(map(str, self.shape[1:]))
                raise Problem(
                    f"The pictures, {size}, are too small to be halved {len(config.channels)} times.", "Take groups out of config.channels."
                )
            self.network = cnn(self.shape, config.channels, config.hidden, outputs, config.dropout)
        else:
            self.network = mlp(int(np.prod(self.shape)), config.hidden, outputs, config.dropout, config.activation, config.initialisation)
        # With the channels last a convolution on the CPU takes two thirds of the time.
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = config.make_optimizer(self.network.parameters())

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {"network": (self.splits["train"][0][: self.train.batch_size],)}

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        return InMemory(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        pixels, labels = batch  # (batch, channels, height, width), (batch,)
        config = self.config
        rates = config.apply(self.optimizer, self.progress)
        # Only here, not in `evaluate`: other draws in every step, and none at all on validation pictures.
        pixels = config.augmented(pixels)
        self.optimizer.zero_grad()
        with self.autocast():
            loss = F.cross_entropy(self.network(pixels), labels, label_smoothing=config.label_smoothing)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, **rates}

    def logits(self, pixels: Tensor) -> Tensor:
        """(number, channels, height, width) → (number, classes), float32."""
        with self.autocast():
            return torch.cat([self.network(piece) for piece in pixels.split(PIECE)]).float()

    def evaluate(self, split: str) -> Iterator[Event]:
        pixels, labels = self.splits[split]
        logits = self.logits(pixels)
        predictions = Predictions(labels, logits.softmax(1), self.classes)
        yield Scalars(values={"loss": float(F.cross_entropy(logits, labels)), "accuracy": predictions.accuracy})
        if self.config.panels == "weights":
            yield from weight_events(self.network)
        elif self.config.panels == "gradients":
            yield from gradient_events(gradient_norms(self.network, self.first_loss()))
        else:
            yield from self.answers(predictions, pixels)

    def first_loss(self) -> Tensor:
        """The loss on the first training pictures, with the graph that its gradient needs."""
        pixels, labels = (part[:PIECE] for part in self.splits["train"])
        with torch.enable_grad():
            return F.cross_entropy(self.network(pixels), labels)

    def answers(self, predictions: Predictions, pixels: Tensor) -> Iterator[Event]:
        """The confusion matrix, the accuracy by class, and examples of the matrix's cells."""
        yield from predictions.tables()
        chosen, cells = predictions.examples()
        yield pictures("confusion/examples", pixels[chosen], predictions.captions(chosen), columns=16, cells=cells)

    def sample(self, request: Any) -> Iterator[Event]:
        """Some of the validation pictures with the likeliest class of each."""
        pixels, labels = (part[:SAMPLES] for part in self.splits["valid"])
        predictions = Predictions(labels, self.logits(pixels).softmax(1), self.classes)
        yield pictures("answers", pixels, predictions.captions(truth=False))

    def form(self) -> dict[str, Any]:
        return {"shape": self.shape, "background": self.config.background}

    def predict(self, inputs: Any) -> Any:
        """`{"pixels": [[…]]}`, rows of numbers from 0 (paper) to 1 (ink), or `{"picture": "…"}`, a PNG or JPEG in base64.

        Returns `{"answer": …, "probabilities": {…}}`. A picture is made to look like the training pictures: `seen` is what the network
        gets, a PNG in base64, and `note` says what was done.
        """
        return answered(self.serving().coding, inputs, lambda pixels: self.logits(pixels.to(self.device)))

    def serving(self) -> Serving:
        data = self.config.data
        encoder = Picture(
            shape=self.shape,
            like="" if "/" in data else data,
            light=self.light,
            background=self.decoding.background,
            bits=self.decoding.bits,
        )
        return Serving(
            Coding(encoder, Classes(), self.classes),
            graph=self.network,
            examples=lambda count: sent_pictures(self.splits["test"][0][:count].cpu().numpy()),
            truths=lambda count: [self.classes[label] for label in self.splits["test"][1][:count].tolist()],
        )

    def checked(self, inputs: Any) -> np.ndarray:
        """Pixels as they were sent; Problem where they are none."""
        try:
            pixels = np.array(inputs["pixels"], np.float32)
        except (KeyError, TypeError, ValueError):
            raise Problem("The input is no picture.", 'Send {"pixels": [[0.0, 0.5, …], …]}.', "data") from None
        if pixels.shape not in (self.shape, self.shape[1:]):
            raise Problem(f"The picture is {list(pixels.shape)}, where {list(self.shape[1:])} is right.", "", "data")
        # Written so that a NaN fails it, too.
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise Problem("The picture has a number that is not from 0 to 1.", "", "data")
        return pixels
