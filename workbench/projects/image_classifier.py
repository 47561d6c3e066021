"""Names what is in small pictures: a multilayer perceptron or a convolutional network on digits, MNIST or Fashion-MNIST."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from workbench.datasets import images
from workbench.datasets.pictures import decode_picture
from workbench.datasets.seen import seen
from workbench.events import Event, Scalars
from workbench.problems import Problem
from workbench.torchkit.augment import moved
from workbench.torchkit.batches import InMemory
from workbench.torchkit.descent import Descent
from workbench.torchkit.images import by_class, confusion, examples, grid_png, pictures
from workbench.torchkit.layers import cnn, mlp
from workbench.torchkit.project import TorchProject
from workbench.training.project import Field, Own

SHOWN = 24
"""Pictures in a sample."""


class ImageClassifier(TorchProject):
    """Names what is in small pictures."""

    can_answer = True
    takes = "picture"

    class Config(Descent):
        data: Literal["digits", "mnist", "fashion-mnist"] | Own = "digits"
        """which labelled pictures; or a folder of your own, ./pictures, with a folder for each class"""
        image_size: int = Field(32, ge=8, le=256)
        """width and height that pictures of your own are brought to"""
        model: Literal["mlp", "cnn"] = "mlp"
        """kind of network: mlp, fully connected layers; cnn, convolutions with batch norm before them"""
        channels: list[list[Annotated[int, Field(ge=1)]]] = [[16, 16], [32, 32], [64, 64]]
        """of each convolution of a cnn, in groups; each group halves the picture"""
        hidden: list[Annotated[int, Field(ge=1)]] = [128, 64]
        """units in each fully connected hidden layer"""
        dropout: float = Field(0.2, ge=0, lt=1)
        """share of hidden units left out in each training step"""
        shift: float = Field(0.0, ge=0)
        """pixels by which a training picture is moved at most, each way"""
        rotation: float = Field(0.0, ge=0, le=180)
        """degrees by which a training picture is turned at most"""
        zoom: float = Field(0.0, ge=0, lt=1)
        """share by which a training picture is made larger or smaller at most"""
        flip: bool = False
        """mirror half of the training pictures, left and right"""

    def build_data(self) -> None:
        data = images.read(self.config.data, self.config.image_size)
        self.classes = data.classes
        # (number, channels, height, width) and (number,) on the device
        self.splits = {
            name: (torch.from_numpy(part.images).to(self.device), torch.from_numpy(part.labels).to(self.device))
            for name, part in (("train", data.train), ("valid", data.valid), ("test", data.test))
        }
        self.shape = tuple(data.train.images.shape[1:])

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
            self.network = mlp(int(np.prod(self.shape)), config.hidden, outputs, config.dropout)
        # With the channels last a convolution on the CPU takes two thirds of the time.
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = config.optimizer_of(self.network.parameters())

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {"network": (self.splits["train"][0][: self.train.batch_size],)}

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        return InMemory(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        pixels, labels = batch
        config = self.config
        numbers = config.pace(self.optimizer, self.progress)
        pixels = moved(pixels, shift=config.shift, rotation=config.rotation, zoom=config.zoom, flip=config.flip)
        self.optimizer.zero_grad()
        with self.autocast():
            loss = F.cross_entropy(self.network(pixels), labels, label_smoothing=config.label_smoothing)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, **numbers}

    def evaluate(self, split: str) -> Iterator[Event]:
        pixels, labels = self.splits[split]
        logits = self.logits(pixels)
        chances = logits.softmax(1)
        answers = chances.argmax(1)
        loss, accuracy = self.floats([F.cross_entropy(logits, labels), (answers == labels).float().mean()])
        yield Scalars(values={"loss": loss, "accuracy": accuracy})
        matrix = confusion(labels, answers, self.classes)
        yield matrix
        yield by_class(matrix)
        shown, cells = examples(labels, answers, chances.amax(1))
        chosen = torch.from_numpy(shown).to(self.device)
        captions = self.captions(labels[chosen], chances[chosen], truth=True)
        yield pictures("confusion/examples", pixels[chosen], captions, columns=16, cells=cells)

    def sample(self, request: Any) -> Iterator[Event]:
        pixels, labels = (part[:SHOWN] for part in self.splits["valid"])
        yield pictures("answers", pixels, self.captions(labels, self.logits(pixels).softmax(1)))

    def form(self) -> dict[str, Any]:
        return {"shape": self.shape}

    def predict(self, inputs: Any) -> Any:
        """`{"pixels": [[…]]}`, rows of numbers from 0 (paper) to 1 (ink), or `{"picture": "…"}`, a PNG or JPEG in base64, which is made to
        look like those that it learnt from, to `{"answer": …, "probabilities": {…}}`, of a picture with what was `seen` and a `note`."""
        told = {}
        if isinstance(inputs, dict) and isinstance(inputs.get("picture"), str):
            pixels, done = seen(decode_picture(inputs["picture"]), self.shape, self.config.data)
            told = {"seen": b64encode(grid_png(pixels[None], 1)).decode(), "note": ", ".join(done)}
        else:
            pixels = self.checked(inputs)
        chances = self.logits(torch.from_numpy(pixels).reshape(1, *self.shape).to(self.device)).softmax(1)[0].tolist()
        return {
            "answer": self.classes[int(np.argmax(chances))],
            "probabilities": dict(zip(self.classes, chances, strict=True)),
            **told,
        }

    def checked(self, inputs: Any) -> np.ndarray:
        """Pixels as they were sent; Problem where they are none."""
        try:
            pixels = np.array(inputs["pixels"], np.float32)
        except (KeyError, TypeError, ValueError):
            raise Problem("The input is no picture.", 'Send {"pixels": [[0.0, 0.5, …], …]}.', "data") from None
        if pixels.shape not in (self.shape, self.shape[1:]):
            raise Problem(f"The picture is {list(pixels.shape)}, where {list(self.shape[1:])} is right.", "", "data")
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise Problem("The picture has a number that is not from 0 to 1.", "", "data")
        return pixels

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """(number, channels, height, width) → (number, classes), float32; in pieces, as a whole split may not fit."""
        with self.autocast():
            return torch.cat([self.network(piece) for piece in pixels.split(1000)]).float()

    def captions(self, labels: torch.Tensor, chances: torch.Tensor, *, truth: bool = False) -> list[str]:
        """`7 99%` for a right answer; `7→1 93%` for a 7 taken for a 1, of which it was 93 % sure; `truth`: how sure of the 7, too."""
        texts = []
        for label, shares in zip(labels.tolist(), chances.tolist(), strict=True):
            answer = int(np.argmax(shares))
            name = self.classes[label]
            text = f"{name if label == answer else f'{name}→{self.classes[answer]}'} {shares[answer]:.0%}"
            texts.append(f"{text}, {name} {shares[label]:.0%}" if truth and label != answer else text)
        return texts
