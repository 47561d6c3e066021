"""Keras on PyTorch: its layers, loss and optimizers in a training step of one's own. Recipes: keras-admissions, keras-imdb and others."""

import importlib
import os
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from workbench import paths
from workbench.datasets import cifar, images, imdb, table
from workbench.datasets.store.catalog import find
from workbench.datasets.store.stored import named
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import BagOfWords, Classes, Column, Encoder, Picture, RowOfNumbers
from workbench.encoding.serving import Serving, sent_pictures
from workbench.events import Event, Scalars, Table, Text
from workbench.problems import Problem
from workbench.torchkit.asked import answered
from workbench.torchkit.augment import Augmentation
from workbench.torchkit.batches import InMemory
from workbench.torchkit.cifar import unit
from workbench.torchkit.classification import Predictions
from workbench.torchkit.disk_cache import cached
from workbench.torchkit.ngrams import Vocabulary
from workbench.torchkit.project import TorchProject
from workbench.training.figures import pictures
from workbench.training.project import Field, live, only

PICTURES = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar10:jpeg")
PIECE = 1000
"""Examples that go through the network at once outside training."""
ASKED = 500
"""Validation examples that a sample chooses from: an answer has to come at once."""
SHOWN = 24
"""Examples in a sample."""
EXCERPT = 240
"""Characters of a review in a table."""
Share = Annotated[float, Field(ge=0, lt=1)]


def keras_on_torch() -> Any:
    """The package keras, computing with PyTorch on the CPU. Raises Problem (cause "import") where it is not installed.

    What it reads from the environment is set for its import alone: other processes that this one starts find nothing of it. It writes a
    file of settings when it is imported: into dlwb's cache, since ~/.keras is for a person's own programs, and may say something else.
    """
    settings = {"KERAS_BACKEND": "torch", "KERAS_TORCH_DEVICE": "cpu", "KERAS_HOME": str(paths.cache_folder() / "keras")}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        return importlib.import_module("keras")
    except ModuleNotFoundError as error:
        if error.name != "keras":
            raise
        raise Problem("This lesson needs Keras, which is not installed.", "Install it: pip install 'dlwb[keras]'", "import") from None
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class KerasClassifier(TorchProject):
    """Classifies students, reviews or pictures with a network made of Keras layers."""

    # Keras has one device for all that a process makes.
    devices = ("cpu",)

    class Config(Augmentation):
        data: Literal["student-admissions", "imdb", "digits", "mnist", "fashion-mnist", "cifar10", "cifar10:jpeg"] = "student-admissions"
        """Data set: applicants to a graduate school, film reviews, or labelled pictures; cifar10:jpeg is a copy with lossy compression."""
        words: int = only(1000, when={"data": "imdb"}, ge=10, le=20_000)
        """Most frequent words of which the network is told whether a review has them; more tell more, and overfit sooner."""
        channels: list[Annotated[int, Field(ge=1)]] = only([], when={"data": PICTURES}, max_length=3)
        """Output channels of each 2x2 convolution, behind which the picture is halved; none for a multilayer perceptron."""
        channels_dropout: float = only(0.3, when={"data": PICTURES}, ge=0, lt=1)
        """Dropout probability behind the convolutions; higher reduces overfitting and slows learning."""
        hidden: list[Annotated[int, Field(ge=1)]] = [128, 64]
        """Hidden units of each fully connected layer; more fit the training data better, and may overfit."""
        dropout: list[Share] = [0.2, 0.1]
        """Dropout probability behind each fully connected hidden layer; higher reduces overfitting and slows learning."""
        optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
        """Update rule: sgd follows the gradient; rmsprop and adam scale it for each weight, adam smooths it as well."""
        learning_rate: float = live(0.001, gt=0)
        """Step size of the optimizer; higher learns faster and may diverge."""

    class Request(TorchProject.Request):
        order: Literal["as they come", "most confident mistakes", "least confident"] = "as they come"
        """Which of the validation examples come first: a mistake that the network is confident of says most about what it has learnt."""
        first: int = Field(0, ge=0, le=ASKED - 1)
        """How many of them are passed over; higher shows later ones."""

    # -- data -------------------------------------------------------------------------------------------------------------------------

    def build_data(self) -> None:
        # Here, before minutes of reading.
        self.keras = keras_on_torch()
        config = self.config
        if config.data not in PICTURES and (config.shift or config.rotation or config.zoom or config.flip):
            raise Problem("shift, rotation, zoom and flip change pictures, and here are none.", "Leave them out of config.", "data")
        self.columns: list[str] = []
        """What a table says of an example beside its answer; nothing of a picture."""
        if config.data == "student-admissions":
            self.read_students()
        elif config.data == "imdb":
            self.read_reviews()
        else:
            self.read_pictures()

    def read_students(self) -> None:
        """GRE, grade point average, and the school's rank one-hot: six inputs with mean 0 and standard deviation 1."""
        data = table.read("student-admissions", table.Columns(target="admit", words=["rank"]), "", self.folder)
        self.classes = ["rejected", "admitted"]
        parts = {"train": data.train, "valid": data.valid, "test": data.test}
        self.splits = {name: (torch.from_numpy(part.features), torch.from_numpy(part.labels)) for name, part in parts.items()}
        self.columns = ["GRE", "GPA", "rank"]
        self.about = {name: [[gre, gpa, 1 + int(np.argmax(rank))] for gre, gpa, *rank in part.raw.tolist()] for name, part in parts.items()}

    def read_reviews(self) -> None:
        """Of each of the most frequent words 1 where a review has it, else 0: neither order nor number is left."""
        reviews = imdb.read()
        vocabulary = Vocabulary(reviews["train"].texts, self.config.words)
        self.classes = ["negative", "positive"]
        self.splits, self.columns, self.about = {}, ["review"], {}
        for name in ("train", "valid", "test"):
            part = reviews[name]
            present = torch.from_numpy(presence(part.texts, vocabulary))
            self.splits[name] = (present, torch.from_numpy(part.labels.astype(np.int64)))
            self.about[name] = [[" ".join(text)[:EXCERPT]] for text in part.texts]

    def read_pictures(self) -> None:
        reference = self.config.data
        name, variant = named(reference)
        data = cifar.read(reference, cache=cached) if name == "cifar10" else images.read(name)
        about = find(name, variant)
        self.variant = f"{about.title} in place of {about.stand_in_for}" if about.stand_in_for else ""
        self.classes = data.classes
        parts = {"train": data.train, "valid": data.valid, "test": data.test}
        # (number, channels, height, width), in [0, 1] or bytes, and (number,)
        self.splits = {name: (torch.from_numpy(part.images), torch.from_numpy(part.labels)) for name, part in parts.items()}

    @property
    def is_picture(self) -> bool:
        """Whether an example is a picture, (channels, height, width), rather than a row of numbers."""
        return self.splits["train"][0].dim() == 4

    # -- network and training step ------------------------------------------------------------------------------------------------------

    def build_model(self) -> None:
        keras, config = self.keras, self.config
        if len(config.dropout) != len(config.hidden):
            raise Problem(
                f"config.dropout has {len(config.dropout)} and config.hidden {len(config.hidden)} entries.",
                "Each hidden layer needs its own dropout probability.",
            )
        # Names of our own: Keras numbers layers over the whole process, and checkpoints find them by name.
        layers = [keras.Input(self.splits["train"][0].shape[1:])]
        for number, width in enumerate(config.channels if self.is_picture else [], 1):
            # Channels first, as PyTorch computes: with Keras's own order each layer would turn the picture around and back.
            first: Any = {"data_format": "channels_first"}
            layers += [
                keras.layers.Conv2D(width, 2, padding="same", activation="relu", name=f"convolution_{number}", **first),
                keras.layers.MaxPooling2D(2, name=f"pooling_{number}", **first),
            ]
        if self.is_picture and config.channels:
            layers.append(keras.layers.Dropout(config.channels_dropout, name="dropout_0"))
        if self.is_picture:
            layers.append(keras.layers.Flatten(name="flatten"))
        for number, (units, share) in enumerate(zip(config.hidden, config.dropout, strict=True), 1):
            layers += [
                keras.layers.Dense(units, activation="relu", name=f"dense_{number}"),
                keras.layers.Dropout(share, name=f"dropout_{number}"),
            ]
        layers.append(keras.layers.Dense(len(self.classes), activation="softmax", name="output"))
        self.model = keras.Sequential(layers, name="model")

        rules = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD}
        self.optimizer = rules[config.optimizer](config.learning_rate)
        self.optimizer.build(self.model.trainable_variables)
        self.loss = keras.losses.SparseCategoricalCrossentropy()
        # What checkpoints hold: PyTorch's own parameters inside of Keras's variables, the optimizer's averages and count of steps too.
        # Dropout has a seed among its layer's variables, but draws from PyTorch's generator unless it is given one.
        self.weights = nn.ParameterDict(
            {f"{layer.name}/{part.name}": part.value for layer in self.model.layers for part in layer.variables},
        )
        self.moments = nn.ParameterDict({f"{place}/{part.name}": part.value for place, part in enumerate(self.optimizer.variables)})
        self._base |= {"model", "optimizer", "loss"}

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        return InMemory(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        inputs, labels = batch  # (batch, inputs) or (batch, channels, height, width); (batch,)
        if self.is_picture:
            inputs = self.config.augmented(unit(inputs))
        weights = self.model.trainable_weights
        self.model.zero_grad()
        # Dropout drops only where a call says that it is for training.
        probabilities = self.model(inputs, training=True)
        loss = self.loss(labels, probabilities)
        # Keras has no derivatives of its own: they are those of the library below it.
        loss.backward()
        self.optimizer.learning_rate = self.config.learning_rate
        with torch.no_grad():
            self.optimizer.apply([weight.value.grad for weight in weights], weights)
        return {"loss": loss, "accuracy": (probabilities.argmax(1) == labels).float().mean()}

    # -- what it measures and shows ------------------------------------------------------------------------------------------------------

    def probabilities(self, inputs: Tensor) -> Tensor:
        """(number, …) → (number, classes), without dropout."""
        return torch.cat([self.model(unit(piece), training=False) for piece in inputs.split(PIECE)])

    def evaluate(self, split: str) -> Iterator[Event]:
        inputs, labels = self.splits[split]
        probabilities = self.probabilities(inputs)
        predictions = Predictions(labels, probabilities, self.classes)
        values = {"loss": float(self.loss(labels, probabilities)), "accuracy": predictions.accuracy}
        if len(self.classes) == 2:
            values["accuracy/majority"] = predictions.majority
        if split == "test":
            seen, truth = self.splits["train"]
            values["accuracy/training"] = Predictions(truth, self.probabilities(seen), self.classes).accuracy
        yield Scalars(values=values)
        yield beside_chance(predictions)
        yield from predictions.tables()
        chosen, cells = predictions.examples()
        yield self.examples("confusion/examples", split, predictions, chosen, cells)

    def examples(self, tag: str, split: str, predictions: Predictions, chosen: np.ndarray, cells: list[tuple[int, int]]) -> Event:
        """Pictures with captions, or a table with a row for each example."""
        if self.is_picture:
            return pictures(tag, unit(self.splits[split][0][chosen]), predictions.captions(chosen), 16 if cells else 8, cells)
        rows: list[list[str | float]] = [
            [
                self.classes[predictions.labels[place]],
                self.classes[predictions.answers[place]],
                round(float(predictions.confidence[place]), 4),
                *self.about[split][place],
            ]
            for place in chosen.tolist()
        ]
        return Table(tag=tag, columns=["truth", "answer", "probability", *self.columns], rows=rows, cells=cells)

    def sample(self, request: Any) -> Iterator[Event]:
        """Validation examples with their answers, and what the same weights answer in PyTorch."""
        inputs, labels = (part[:ASKED] for part in self.splits["valid"])
        if request.first >= len(labels):
            raise Problem(f"first must be from 0 to {len(labels) - 1:,}, as there are {len(labels):,} examples.", "", "data")
        predictions = Predictions(labels, self.probabilities(inputs), self.classes)
        confidence = predictions.confidence
        keys = {
            "as they come": np.arange(len(labels)),
            "least confident": confidence,
            "most confident mistakes": np.where(predictions.answers == predictions.labels, confidence, -confidence),
        }
        order = np.argsort(keys[request.order], kind="stable")
        chosen = order[request.first : request.first + SHOWN]
        yield self.examples("answers", "valid", predictions, chosen, [])
        other = twin(self.model)
        ours = self.probabilities(inputs[chosen])
        distance = float((ours - other(unit(inputs[chosen]))).abs().max())
        layers = ", ".join(type(layer).__name__ for layer in other)
        yield Text(
            tag="PyTorch twin",
            text=f"The same weights in {layers}: of {ours.numel():,} probabilities the most distant differs by {distance:.1e}.",
        )

    def summary(self) -> Iterator[Event]:
        rows: list[list[str | float]] = []
        for layer in self.model.layers:
            shape = " x ".join(map(str, layer.output.shape[1:]))
            rows.append([layer.name, type(layer).__name__, shape, layer.count_params()])
        total = ["total", f"{len(rows)} layers", "", self.model.count_params()]
        yield Table(tag="network", columns=["layer", "kind", "output shape", "parameters"], rows=[*rows, total])

    def predict(self, inputs: Any) -> Any:
        """`{"picture"}` or `{"pixels"}`, `{"row"}`, or `{"review"}`, as its data is, to `{"answer": …, "probabilities": {…}}`."""
        return answered(self.serving().coding, inputs, self.probabilities)

    def serving(self) -> Serving:
        """Of the same weights in PyTorch, whose layers an exporter follows."""
        config, (test, labels) = self.config, self.splits["test"]
        classes, words = Classes(of="probabilities"), list[str]()
        encoder: Encoder
        if self.is_picture:
            encoder = Picture(
                shape=(test.shape[1], test.shape[2], test.shape[3]),
                like="" if config.data.startswith("cifar10") else config.data,
                light=None,
            )
        elif config.data == "imdb":
            encoder, reviews = BagOfWords(present=True), imdb.read()
            words = Vocabulary(reviews["train"].texts, config.words).words
        else:
            data = table.read("student-admissions", table.Columns(target="admit", words=["rank"]), "", self.folder)
            names = zip(data.names, data.mean.tolist(), data.scale.tolist(), strict=True)
            encoder = RowOfNumbers(columns=[Column(name=name, mean=mean, scale=scale) for name, mean, scale in names])

        def examples(count: int) -> list[Any]:
            if self.is_picture:
                return sent_pictures(unit(test[:count]).numpy())
            if config.data == "imdb":
                return [{"review": " ".join(text)} for text in reviews["test"].texts[:count]]
            return [{"row": dict(zip(data.names, row.tolist(), strict=True))} for row in data.test.raw[:count]]

        return Serving(
            Coding(encoder, classes, self.classes, words),
            graph=twin(self.model),
            examples=examples,
            truths=lambda count: [self.classes[label] for label in labels[:count].tolist()],
        )


def presence(texts: Sequence[Sequence[str]], vocabulary: Vocabulary) -> np.ndarray:
    """Of each text which words of the vocabulary it has: (texts, words), float32, 1 or 0."""
    present = np.zeros((len(texts), len(vocabulary) - 1), np.float32)
    for row, text in zip(present, texts, strict=True):
        # Words are numbered from 1.
        row[vocabulary.ids(text) - 1] = 1
    return present


def beside_chance(predictions: Predictions) -> Table:
    """The accuracy with half the width of its 95 % interval, 1.96 √(p (1 - p) / n), beside always answering the most frequent class."""
    number, accuracy = len(predictions.labels), predictions.accuracy
    half = 1.96 * float(np.sqrt(accuracy * (1 - accuracy) / number))
    rows: list[list[str | float]] = [["the network", round(accuracy, 4), f"± {half:.4f}"], ["the majority class", predictions.majority, ""]]
    return Table(tag="chance", columns=[f"answers of {number:,}", "accuracy", "95 %"], rows=rows)


def twin(model: Any) -> nn.Sequential:
    """The same network in PyTorch, without dropout, with copies of a Keras model's weights: (number, …) → (number, classes)."""
    modules: list[nn.Module] = []
    for layer in model.layers:
        kind, arrays = type(layer).__name__, [weight.value.detach() for weight in layer.weights]
        if kind == "Conv2D":
            # Keras keeps (height, width, inputs, outputs). At an even width "same" adds the odd row and column at the end.
            kernel = arrays[0].permute(3, 2, 0, 1)
            outputs, channels, height, width = kernel.shape
            top, left = (height - 1) // 2, (width - 1) // 2
            convolution = nn.Conv2d(channels, outputs, (height, width))
            modules += [nn.ZeroPad2d((left, width - 1 - left, top, height - 1 - top)), filled(convolution, kernel, arrays[1]), nn.ReLU()]
        elif kind == "Dense":
            # (inputs, units), where PyTorch has (units, inputs).
            inputs, units = arrays[0].shape
            last = layer is model.layers[-1]
            modules += [filled(nn.Linear(inputs, units), arrays[0].T, arrays[1]), nn.Softmax(1) if last else nn.ReLU()]
        elif kind == "MaxPooling2D":
            modules.append(nn.MaxPool2d(2))
        elif kind == "Flatten":
            modules.append(nn.Flatten())
    return nn.Sequential(*modules)


@torch.no_grad()
def filled(layer: Any, weight: Tensor, bias: Tensor) -> Any:
    """A layer with these numbers in place of those that were drawn for it."""
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    return layer
