"""Classifies the letters A to J of unseen fonts by one softmax layer, in NumPy. Recipe: letters."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from workbench.datasets import letters
from workbench.datasets.labelled_images import LabelledImages
from workbench.datasets.pictures import decode_picture
from workbench.encoding.coding import Coding, png
from workbench.encoding.kinds import Classes, Picture
from workbench.encoding.serving import Serving
from workbench.events import Event, Scalars, Table
from workbench.torchkit.classification import Predictions
from workbench.training.figures import grid_png, pictures
from workbench.training.project import Batches, Field, Own, Project, Settings, live

SHOWN = 24
"""Validation letters that are shown."""
LOW, HIGH = 0.1, 0.9
"""What paper and ink are as inputs: the course scales its pictures so."""


class Letters(Project):
    """Ten scores of 784 pixels, softmax, cross-entropy: what the course trains with TensorFlow 1, without its sessions."""

    takes = "picture"

    class Config(Settings):
        fonts: Literal["system"] | Own = "system"
        """Where the letters come from: the freely licensed fonts of this system, or a folder of your own; more families are harder, and
        tell better what it does with unseen ones."""
        copies: int = Field(50, ge=1, le=1000)
        """Pictures of each letter of each font, turned, scaled and moved; more take longer and make it more confident."""
        learning_rate: float = live(0.2, gt=0)
        """Step size of gradient descent; higher learns faster, and swings."""

    class Request(Project.Request):
        angle: int = Field(0, ge=-90, le=90, json_schema_extra={"step": 5})
        """Degrees by which validation letters are turned before the network sees them; it was trained on up to 12."""
        shift: int = Field(0, ge=-10, le=10)
        """Pixels by which they are moved to the right; it was trained on up to 2."""
        picture: str = Field("", json_schema_extra={"picture": True})
        """A letter that you draw or open; empty shows none."""

    def build_data(self) -> None:
        self.letters = letters.read(self.config.fonts, self.config.copies)
        families = sum(map(len, self.letters.families.values()))
        self.variant = f"letters of {families} font families, {self.letters.fonts} files, in place of notMNIST"
        self.splits = {name: (scaled(part), part.labels) for name, part in self.letters.parts.items()}

    def build_model(self) -> None:
        # From zeros: with a single layer there is nothing to break the symmetry of, and the weights show letters instead of noise.
        self.weights = np.zeros((letters.SIDE**2, len(letters.LETTERS)))
        self.bias = np.zeros(len(letters.LETTERS))

    def batches(self, epoch: int, rng: np.random.Generator) -> Batches:
        return Batches(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        inputs, labels = batch  # (batch, 784), (batch,)
        chances = self.chances(inputs)  # (batch, 10)
        rows = np.arange(len(labels))
        loss, right = -np.log(chances[rows, labels].clip(1e-12)).mean(), (chances.argmax(1) == labels).mean()
        # Softmax and cross-entropy together have this gradient along the scores: chances minus the one-hot label.
        chances[rows, labels] -= 1
        rate = self.config.learning_rate / len(labels)
        self.weights -= rate * inputs.T @ chances
        self.bias -= rate * chances.sum(0)
        return {"loss": loss, "accuracy": right}

    def chances(self, inputs: np.ndarray) -> np.ndarray:
        """(number, 784) → (number, 10) probabilities."""
        scores = inputs @ self.weights + self.bias
        # Less the largest: exp of a large score would overflow, and the quotient is the same.
        powers = np.exp(scores - scores.max(1, keepdims=True))
        result: np.ndarray = powers / powers.sum(1, keepdims=True)
        return result

    def evaluate(self, split: str) -> Iterator[Event]:
        inputs, labels = self.splits[split]
        predictions = Predictions(labels, self.chances(inputs), list(letters.LETTERS))
        of_truth = predictions.probabilities[np.arange(len(labels)), labels].clip(1e-12)
        yield Scalars(values={"loss": float(-np.log(of_truth).mean()), "accuracy": predictions.accuracy})
        yield from predictions.tables()
        chosen, cells = predictions.examples()
        images = self.letters.parts[split].images[chosen]
        yield pictures("confusion/examples", images, predictions.captions(chosen), columns=16, cells=cells)

    def sample(self, request: Any) -> Iterator[Event]:
        """A drawn letter, validation letters turned and moved as asked, with the accuracy, and the weights of each letter as a picture."""
        if request.picture:
            drawn = letters.of_picture(decode_picture(request.picture))
            part = LabelledImages(drawn[None, None], np.zeros(1, np.int64))
            chances = self.chances(scaled(part))[0]
            yield pictures("your letter", part.images, [f"{letters.LETTERS[int(chances.argmax())]} {chances.max():.0%}"])
            rows: list[list[str | float]] = [
                [letters.LETTERS[place], round(float(chances[place]), 4)] for place in np.argsort(-chances)[:3]
            ]
            yield Table(tag="your letter's chances", columns=["letter", "probability"], rows=rows)
        valid = moved(self.letters.parts["valid"], request.angle, request.shift)
        predictions = Predictions(valid.labels, self.chances(scaled(valid)), list(letters.LETTERS))
        chosen = np.linspace(0, len(valid) - 1, min(SHOWN, len(valid))).astype(int)
        yield pictures("letters", valid.images[chosen], predictions.captions(chosen, truth=False))
        figures: list[list[str | float]] = [["letters", len(valid)], ["right", round(predictions.accuracy, 4)], ["by guessing", 0.1]]
        yield Table(tag="turned and moved", columns=["what", "figure"], rows=figures)
        largest = max(float(np.abs(self.weights).max()), 1e-12)
        shown = (0.5 + self.weights.T / (2 * largest)).reshape(-1, letters.SIDE, letters.SIDE)
        yield pictures("weights", shown, list(letters.LETTERS), columns=5)

    def form(self) -> dict[str, Any]:
        return {"shape": (1, letters.SIDE, letters.SIDE)}

    def predict(self, inputs: Any) -> Any:
        """`{"picture": "…"}`, a PNG or JPEG in base64, to `{"answer", "probabilities", "seen"}`."""
        picture = inputs.get("picture") if isinstance(inputs, dict) else None
        drawn = letters.of_picture(decode_picture(picture if isinstance(picture, str) else ""))
        chances = self.chances(scaled(LabelledImages(drawn[None, None], np.zeros(1, np.int64))))[0].tolist()
        return {
            "answer": letters.LETTERS[int(np.argmax(chances))],
            "probabilities": dict(zip(letters.LETTERS, chances, strict=True)),
            "seen": b64encode(grid_png(drawn[None], 1)).decode(),
            "note": "scaled and centred, like the letters it was trained on",
        }

    def serving(self) -> Serving:
        test = self.letters.parts["test"]
        return Serving(
            Coding(Picture(shape=(1, letters.SIDE, letters.SIDE)), Classes(of="probabilities"), list(letters.LETTERS)),
            kind="project",
            examples=lambda count: [{"picture": png(image)} for image in test.images[:count]],
            truths=lambda count: [letters.LETTERS[label] for label in test.labels[:count].tolist()],
        )


def scaled(part: LabelledImages) -> np.ndarray:
    """(number, 784) inputs from LOW for paper to HIGH for ink."""
    return LOW + (HIGH - LOW) * part.images.reshape(len(part), -1).astype(np.float64)


def moved(part: LabelledImages, angle: int, shift: int) -> LabelledImages:
    """The pictures turned by degrees around their middle and moved to the right by pixels; what leaves the frame is lost."""
    from scipy import ndimage

    images = part.images
    if angle:
        images = ndimage.rotate(images, angle, axes=(3, 2), reshape=False, order=1)
    if shift:
        images = ndimage.shift(images, (0, 0, 0, shift), order=0)
    return LabelledImages(images.clip(0, 1), part.labels)
