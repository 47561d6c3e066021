"""Classifies photographs with a network pre-trained on ImageNet, frozen or fine-tuned, or from scratch: flowers, dogs, skin lesions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.datasets import photos
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Classes, Picture
from workbench.encoding.serving import Serving, sent_pictures
from workbench.events import Event, Matrix, Scalars, Table
from workbench.problems import Problem, nearest, one_line
from workbench.projects.convolutional_networks._dog_or_person import DogOrPerson
from workbench.torchkit import backbone, features
from workbench.torchkit.against_the_rest import areas
from workbench.torchkit.asked import answered
from workbench.torchkit.augment import Augmentation
from workbench.torchkit.batches import InMemory
from workbench.torchkit.classification import Predictions
from workbench.torchkit.computed import Computed
from workbench.torchkit.layers import cnn, mlp
from workbench.torchkit.metrics import roc_curve
from workbench.torchkit.optimization import ClassifierSettings
from workbench.torchkit.own_pictures import OwnPictures
from workbench.torchkit.project import TorchProject
from workbench.torchkit.summary import network_table
from workbench.training.figures import pictures
from workbench.training.project import Field, Own, only

SAMPLES = 24
"""Pictures in a sample."""
SIDE = 64
"""Width and height in pixels of a shown picture at most."""
EXAMPLES = 150
"""Examples of the confusion matrix's cells: of a hundred classes more cells have mistakes than one can look through."""
PAIRS = 8
"""Pairs of classes that are listed as confused most often, each with up to PER_PAIR pictures."""
PER_PAIR = 3
TOP = 5
"""Answers that are listed for a picture, the likeliest first: top-5 accuracy is the other figure of ImageNet's contests."""

DETECTED = (("dogs:120-breeds", "mobilenet_v2"), ("dogs", "vgg16"))
"""The sets of dogs, each with the network that tells dogs and persons apart in "try it"."""


class Transfer(TorchProject):
    """Classifies photographs with a network pre-trained on ImageNet, or from scratch."""

    datasets = (
        ("squeezenet-weights", {"network": "squeezenet1_0", "weights": "stand-in"}),
        ("mobilenet-v2-weights", {"network": "mobilenet_v2", "weights": "published"}),
        ("mobilenet-v2-weights:dequantised", {"network": "mobilenet_v2", "weights": "stand-in"}),
        # The detectors of dogs and persons learn from these.
        *((name, {"data": dogs, "network": network}) for name in ("flowers102:72px", "celeba:lfw") for dogs, network in DETECTED),
    )
    takes = "picture"

    class Config(ClassifierSettings, Augmentation, OwnPictures):
        data: Literal["flowers102:72px", "cats-dogs:small", "dogs", "dogs:21-breeds", "dogs:120-breeds", "skin-lesions:pictures"] | Own = (
            "flowers102:72px"
        )
        """Data set of photographs (dogs, skin-lesions:pictures: the projects' own, unpacked by you); or a folder of your own, ./pictures,
        with a folder for each class, or train/, valid/ and test/ with such folders in them."""
        picture_size: int = Field(224, ge=16, le=1024)
        """Width and height in pixels to which the middle square of a picture is resized; higher shows more detail and takes longer."""
        network: str = "mobilenet_v2"
        """Classification network of torchvision's by its name (mobilenet_v2, vgg16, resnet50 …); or cnn, a small one from scratch."""
        weights: Literal["published", "stand-in", "random"] | Own = "published"
        """Pre-trained weights: published, torchvision's from ImageNet, fetched once; stand-in, the catalogue's, from a mirror; random,
        none; or a file of yours with a state_dict, ./weights.pth."""
        cut: str = ""
        """Layer that the network ends after (features.13, layer3), for pictures unlike ImageNet's; empty: its last but one."""
        unfreeze: str = ""
        """First layer that is fine-tuned (features.14, layer4); empty: the network is frozen and sees each picture only once, so that
        shift, rotation and zoom have to be 0."""
        tuned_rate: float = Field(0.1, gt=0, le=1)
        """Share of the learning rate for the pre-trained layers; higher adapts them faster, and forgets more of ImageNet."""
        channels: list[list[Annotated[int, Field(ge=1)]]] = only([[16], [32], [64], [128]], when={"network": "cnn"})
        """Output channels of each convolutional layer of the cnn, in groups; each group ends with a max pooling that halves the picture."""
        hidden: list[Annotated[int, Field(ge=1)]] = []
        """Hidden units of each layer between the pre-trained network, or the cnn, and the last layer; more fit better, and may overfit."""
        dropout: float = Field(0.2, ge=0, lt=1)
        """Dropout probability of the last layers' inputs in each training step; higher reduces overfitting and slows learning."""
        detect: bool = False
        """For dog breeds: "try it" first tells whether the picture shows a dog, a person, or neither."""

        scored: list[str] = []
        """Classes that are each scored against all others, by the area under the ROC (AUC) of their probability, with the areas' mean."""

    @property
    def frozen(self) -> bool:
        """Whether only the new last layer is trained."""
        return self.config.network != "cnn" and not self.config.unfreeze

    def build_data(self) -> None:
        config = self.config
        if self.frozen and (config.shift or config.rotation or config.zoom):
            text = "A frozen network looks at each picture only once, so none can be shifted, turned or zoomed anew in each step."
            raise Problem(text, "Set shift, rotation and zoom to 0 (flip may stay), or unfreeze a layer.")
        if config.detect and (config.network == "cnn" or config.weights == "random"):
            raise Problem("Only a network trained on ImageNet tells dogs from people.", "Set detect: false, or take published weights.")
        data = photos.read(config.data, config.picture_size, config.background)
        self.classes, self.variant, self.decoding = data.classes, data.variant, data.decoding
        for name in config.scored:
            if name not in self.classes:
                text = f"scored: there is no class {one_line(name, 40)!r}{nearest(name, self.classes) or '.'}"
                raise Problem(text, f"There are: {', '.join(self.classes[:12])}.", "data")
        # (number, 3, side, side) bytes; the sides are at most picture_size, and no larger than the pictures were.
        self.photos: dict[str, Tensor] = {}
        self.splits: dict[str, tuple[Tensor, Tensor]] = {}
        """Of each split the network's inputs, features where it is frozen and else bytes, and the labels (number,)."""
        if self.frozen:
            self.network: nn.Module = self.pretrained()
        names = ("train", "valid", "test")
        for name, (pixels, _) in zip(names, data.parts, strict=True):
            self.photos[name] = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        self.side = self.photos["train"].shape[-1]
        # Features of the mirrored training pictures: the one augmentation that a frozen network can have, as there are just two of each.
        mirrored = [self.photos["train"].flip(3)] if self.frozen and config.flip else []
        seen = [*self.photos.values(), *mirrored]
        inputs = self.frozen_features(seen) if self.frozen else [pixels.to(self.device) for pixels in seen]
        self.mirrored = inputs[len(names) :]
        for name, values, (_, labels) in zip(names, inputs, data.parts, strict=False):
            self.splits[name] = (values, torch.from_numpy(labels).to(self.device))
        self.detectors = None
        if config.detect:
            # Its own copy where the network is fine-tuned: the detectors need what ImageNet taught it.
            untouched = self.network if self.frozen else self.pretrained()
            assert isinstance(untouched, backbone.Backbone)
            self.detectors = DogOrPerson(untouched, config.picture_size, self.photos["train"], self.photos["test"], self.device)

    def pretrained(self) -> backbone.Backbone:
        """The network up to its last layer, on the device."""
        config = self.config
        weights = config.weights if config.weights in ("published", "stand-in", "random") else Path(config.weights)
        network = backbone.build(config.network, weights, config.cut)
        network.tune_from(config.unfreeze)
        try:
            with torch.no_grad():
                # A size that the network cannot take is told here, not in the first step; and a cut network learns its width.
                network(torch.zeros(1, 3, config.picture_size, config.picture_size))
        except Exception as error:  # each network has its own way to say so
            text = f"{config.network} does not take pictures of {config.picture_size}x{config.picture_size}"
            raise Problem(f"{text}: {str(error).splitlines()[0] if str(error) else type(error).__name__}.", "Most take 224.") from None
        return network.to(self.device)

    def frozen_features(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Features of the pictures of each part by the frozen network: (number, width), from the disk cache where it has them."""
        assert isinstance(self.network, backbone.Backbone)
        return features.of(self.network, parts, self.config.picture_size, self.device)

    def build_model(self) -> None:
        config, outputs = self.config, len(self.classes)
        shape = (3, config.picture_size, config.picture_size)
        if config.network == "cnn":
            if config.picture_size < 2 ** len(config.channels):
                raise Problem(
                    f"Pictures of {config.picture_size} pixels cannot be halved {len(config.channels)} times.", "Use fewer config.channels."
                )
            self.network = nn.Sequential(backbone.Scaled(), cnn(shape, config.channels, config.hidden, outputs, config.dropout))
            self.network.to(self.device).to(memory_format=torch.channels_last)
            self.head: nn.Module = nn.Identity()
        else:
            if not self.frozen:
                self.network = self.pretrained()
            assert isinstance(self.network, backbone.Backbone)
            layers = mlp(self.network.width, config.hidden, outputs, config.dropout)[1:]  # features are flat already
            self.head = nn.Sequential(nn.Dropout(config.dropout), *layers).to(self.device)
            # Batch norm keeps ImageNet's running averages: those of a few batches of other pictures would be worse.
            self.network.train(config.weights == "random" and not self.frozen)
        trained = [weight for weight in self.network.parameters() if weight.requires_grad]
        share = 1.0 if config.network == "cnn" or config.weights == "random" else config.tuned_rate
        groups = [
            {"params": weights, "share": part} for weights, part in ((trained, share), (list(self.head.parameters()), 1.0)) if weights
        ]
        self.optimizer = config.make_optimizer(groups)

    def summary(self) -> Iterator[Event]:
        """The layers by the names that `unfreeze` takes, behind `network.`"""
        inner = self.network.network if isinstance(self.network, backbone.Backbone) else self.network
        pixels = self.resized(self.photos["train"][:2].to(self.device))
        table = network_table({"network": inner, "head": self.head}, {"network": (pixels,), "head": (self.network(pixels),)})
        if table:
            yield table

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        inputs, labels = self.splits["train"]
        return InMemory((inputs, *self.mirrored, labels), self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        # (batch, width) features where the network is frozen, else (batch, 3, side, side) bytes; labels (batch,).
        inputs, *mirrored, labels = batch
        config = self.config
        rates = config.apply(self.optimizer, self.progress)
        if mirrored:
            # (batch, 1): the features of the picture or of its mirror image, by half.
            side = torch.rand(len(labels), 1, device=self.device) < 0.5
            inputs = torch.where(side, inputs, mirrored[0])
        self.optimizer.zero_grad()
        with self.autocast():
            if not self.frozen:
                # (batch, width), or of the cnn, which has a last layer of its own, (batch, classes).
                inputs = self.network(config.augmented(self.resized(inputs)))
            loss = F.cross_entropy(self.head(inputs), labels, label_smoothing=config.label_smoothing)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, **rates}

    # -- what it answers -------------------------------------------------------------------------------------------------------------

    def resized(self, pixels: Tensor) -> Tensor:
        """(number, 3, height, width) bytes → the same at picture_size, float32 in [0, 1]."""
        return features.resized(pixels, self.config.picture_size)

    def log_probabilities(self, inputs: Tensor, *, pictures: bool) -> Tensor:
        """A split's inputs, or `pictures` as bytes, → (number, classes), float32."""
        with self.autocast():
            pieces = inputs.split(features.PIECE)
            if pictures or not self.frozen:
                pieces = tuple(self.network(self.resized(piece.to(self.device))) for piece in pieces)
            # In the log, as the probability of a certain mistake would round to 0, and its loss to infinity.
            return torch.cat([self.head(piece) for piece in pieces]).float().log_softmax(1)

    def evaluate(self, split: str) -> Iterator[Event]:
        inputs, labels = self.splits[split]
        logs = self.log_probabilities(inputs, pictures=False)
        predictions = Predictions(labels, logs.exp(), self.classes)
        best = logs.topk(min(TOP, len(self.classes)), 1).indices
        loss, top = self.floats([F.nll_loss(logs, labels), (best == labels[:, None]).float().sum(1).mean()])
        yield Scalars(values={"loss": loss, "accuracy": predictions.accuracy, "top5": top})
        yield from self.against_the_rest(labels, logs)
        yield from predictions.tables()
        chosen, cells = predictions.examples(most=EXAMPLES)
        yield pictures("confusion/examples", self.small(split, chosen), predictions.captions(chosen), columns=15, cells=cells)
        yield from self.mistakes(split, predictions)
        if split == "test" and self.detectors:
            yield self.detectors.table()

    def against_the_rest(self, labels: Tensor, logs: Tensor) -> Iterator[Event]:
        """How well the classes of `scored` are told from all others: the AUC of each and their mean, and each one's ROC."""
        names = self.config.scored
        if not names:
            return
        numbers = [self.classes.index(name) for name in names]
        truth = (labels[:, None].cpu() == torch.tensor(numbers)).numpy()
        # In double: in float32 the most certain would all be 0 or 1, and ties have no order.
        scores = logs[:, numbers].double().exp().cpu().numpy()
        pairs = zip([*names, "mean"], areas(truth, scores), strict=True)
        # Undefined where a split lacks a class.
        values: dict[str, Any] = {f"auc/{name}": area if np.isfinite(area) else None for name, area in pairs}
        yield Scalars(values=values)
        for place, name in enumerate(names):
            yield roc_curve(truth[:, place], scores[:, place], f"roc/{name}")

    def mistakes(self, split: str, predictions: Predictions) -> Iterator[Event]:
        """The pairs of classes that are confused most often, and some pictures of each."""
        pairs = most_confused(predictions.confusion)
        if not pairs:
            return
        rows: list[list[str | float]] = []
        chosen: list[int] = []
        for truth, answer, times in pairs:
            rows.append([self.classes[truth], self.classes[answer], times, sum(predictions.confusion.values[truth])])
            chosen += np.flatnonzero((predictions.labels == truth) & (predictions.answers == answer))[:PER_PAIR].tolist()
        yield Table(tag="pairs", columns=["class", "taken for", "times", "of"], rows=rows)
        yield pictures("mistakes", self.small(split, chosen), predictions.captions(chosen), columns=8)

    def small(self, split: str, chosen: Any) -> Tensor:
        """Those pictures of a split in the size in which they are shown."""
        return features.resized(self.photos[split][chosen], min(self.side, SIDE))

    def sample(self, request: Any) -> Iterator[Event]:
        """Some of the validation pictures with the likeliest classes of each."""
        inputs, labels = self.splits["valid"]
        chosen = np.unique(np.linspace(0, len(labels) - 1, SAMPLES).astype(int))
        probabilities = self.log_probabilities(inputs[chosen], pictures=False).exp()
        predictions = Predictions(labels[chosen], probabilities, self.classes)
        yield pictures("answers", self.small("valid", chosen), predictions.captions(), columns=8)
        rows: list[list[str | float]] = []
        for place, label in enumerate(predictions.labels):
            best = self.likeliest(probabilities[place])
            rows.append([place + 1, self.classes[label], *(f"{name} {share:.0%}" for name, share in best.items())])
        places = ["first", "second", "third", "fourth", "fifth"][: min(TOP, len(self.classes))]
        yield Table(tag="top5 answers", columns=["picture", "class", *places], rows=rows)

    def likeliest(self, probabilities: Tensor) -> dict[str, float]:
        """The likeliest classes of one picture with their probabilities, (classes,)."""
        best = probabilities.topk(min(TOP, len(self.classes)))
        return {self.classes[index]: share for share, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)}

    def form(self) -> dict[str, Any]:
        return {"shape": (3, self.side, self.side), "background": self.config.background}

    def predict(self, inputs: Any) -> Any:
        """`{"picture": "…"}`, a PNG or JPEG in base64, to `{"answer": …, "probabilities": {…}}` of the likeliest classes.

        `seen` is what the network gets, a PNG in base64, and `note` says what was done to the picture.
        """

        def bytes_of(pixels: Tensor) -> Tensor:
            return (pixels * 255).round().to(torch.uint8)

        coding = self.serving().coding
        answer = answered(coding, inputs, lambda pixels: self.log_probabilities(bytes_of(pixels), pictures=True))
        if self.detectors:
            pixels = bytes_of(torch.from_numpy(coding.encode(inputs).array)[None])
            answer["note"] = "; ".join(filter(None, [answer.get("note", ""), self.detectors.describe(pixels, answer["answer"])]))
        return answer

    def serving(self) -> Serving:
        pictures, labels = self.photos["test"], self.splits["test"][1]
        encoder = Picture(shape=(3, self.side, self.side), background=self.decoding.background, bits=self.decoding.bits)

        def logits(pixels: Tensor) -> Tensor:
            # Bytes, as the network was trained on: rounding takes away what a client's own arithmetic added.
            scores: Tensor = self.head(self.network(self.resized((pixels * 255).round())))
            return scores

        return Serving(
            Coding(encoder, Classes(most=min(TOP, len(self.classes))), self.classes),
            graph=Computed(logits, network=self.network, head=self.head),
            examples=lambda count: sent_pictures(pictures[:count].float().div(255).numpy()),
            truths=lambda count: [self.classes[label] for label in labels[:count].tolist()],
        )


def most_confused(matrix: Matrix) -> list[tuple[int, int, float]]:
    """Truth, answer and how often, of the pairs of classes that were taken for another most often."""
    counts = np.array(matrix.values)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:PAIRS]
    rows, columns = np.unravel_index(order, counts.shape)
    return [
        (int(row), int(column), float(counts[row, column])) for row, column in zip(rows, columns, strict=True) if counts[row, column] > 0
    ]
