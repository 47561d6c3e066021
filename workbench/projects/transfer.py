"""Photographs by class with a network that was trained on ImageNet, frozen or tuned, or from scratch: flowers, dog breeds, a person's own.

Recipes: flowers-transfer, flowers-scratch, dog-breeds, dog-breeds-scratch.
"""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn

from workbench.datasets import photos
from workbench.datasets.pictures import decode_picture
from workbench.events import Event, Matrix, Scalars, Table
from workbench.problems import Problem
from workbench.torchkit import backbone, features
from workbench.torchkit.augment import moved
from workbench.torchkit.batches import InMemory
from workbench.torchkit.descent import Descent
from workbench.torchkit.dog_or_person import DogOrPerson
from workbench.torchkit.images import by_class, confusion, examples, grid_png, pictures
from workbench.torchkit.layers import cnn
from workbench.torchkit.project import TorchProject
from workbench.torchkit.summary import network_table
from workbench.training.project import Field, Own

SHOWN = 24
"""Pictures in a sample."""
SIDE = 64
"""Pixels that a shown picture is wide and high at most."""
MOST = 150
"""Examples of the matrix's cells: so many more classes than ten have more cells with mistakes than can be looked through."""
PAIRS = 8
"""Pairs of classes that are told of as most confused, each with up to EACH pictures."""
EACH = 3
FIRST = 5
"""Answers of a picture that are told, the likeliest first."""


class Transfer(TorchProject):
    """Names what is in photographs, with a network that was trained on ImageNet or from scratch."""

    can_answer = True
    takes = "picture"

    class Config(Descent):
        data: Literal["flowers102:72px", "dogs", "dogs:21-breeds", "dogs:120-breeds"] | Own = "flowers102:72px"
        """which photographs (dogs: the project's dogImages, unpacked by you); or a folder of your own, ./pictures, with a folder for each
        class, or train/, valid/ and test/ with such folders in them"""
        picture_size: int = Field(224, ge=16, le=1024)
        """width and height in pixels at which the network sees the middle square of a picture"""
        network: str = "mobilenet_v2"
        """a classification network of torchvision's by its name (mobilenet_v2, vgg16, resnet50 …); or cnn, a small one from scratch"""
        weights: Literal["published", "stand-in", "random"] | Own = "published"
        """its weights from ImageNet: published, torchvision's, fetched once; stand-in, the catalogue's, from a mirror; random, none; or a
        file of yours with a state_dict, ./weights.pth"""
        cut: str = ""
        """the layer that the network ends after (features.13, layer3), for pictures unlike ImageNet's; empty: its last but one"""
        unfreeze: str = ""
        """the layer from which on the network is tuned (features.14, layer4); empty: it is frozen, and looks at each picture only once"""
        tuned_rate: float = Field(0.1, gt=0, le=1)
        """share of the learning rate with which the network's own layers are tuned"""
        channels: list[list[Annotated[int, Field(ge=1)]]] = [[16], [32], [64], [128]]
        """of each convolution of the cnn, in groups; each group halves the picture"""
        dropout: float = Field(0.2, ge=0, lt=1)
        """share of the last layer's inputs left out in each training step"""
        flip: bool = False
        """mirror half of the training pictures, left and right"""
        shift: float = Field(0.0, ge=0)
        """pixels by which a training picture is moved at most, each way; not with a frozen network"""
        rotation: float = Field(0.0, ge=0, le=180)
        """degrees by which a training picture is turned at most; not with a frozen network"""
        zoom: float = Field(0.0, ge=0, lt=1)
        """share by which a training picture is made larger or smaller at most; not with a frozen network"""
        detect: bool = False
        """for breeds of dogs: "try it" says first whether the picture shows a dog, a person, or neither"""

    @property
    def frozen(self) -> bool:
        """Whether only the new last layer learns."""
        return self.config.network != "cnn" and not self.config.unfreeze

    def build_data(self) -> None:
        config = self.config
        if self.frozen and (config.shift or config.rotation or config.zoom):
            text = "A frozen network looks at each picture only once, so none can be shifted, turned or zoomed anew in each step."
            raise Problem(text, "Set shift, rotation and zoom to 0 (flip may stay), or unfreeze a layer.")
        if config.detect and (config.network == "cnn" or config.weights == "random"):
            raise Problem("Only a network trained on ImageNet tells dogs from people.", "Set detect: false, or take published weights.")
        data = photos.read(config.data, config.picture_size)
        self.classes, self.variant = data.classes, data.variant
        # (number, 3, side, side) bytes and (number,); the sides are at most picture_size, and no larger than the pictures were.
        self.photos = {
            name: torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
            for name, (pixels, _) in zip(("train", "valid", "test"), data.parts, strict=True)
        }
        labels = {
            name: torch.from_numpy(each).to(self.device) for name, (_, each) in zip(("train", "valid", "test"), data.parts, strict=True)
        }
        self.side = self.photos["train"].shape[-1]
        if self.frozen:
            self.network: nn.Module = self.built()
            found = {name: self.looked(pixels) for name, pixels in self.photos.items()}
            # Of the training pictures as they are, then of their mirror images.
            self.mirrored = [self.looked(self.photos["train"].flip(3))] if config.flip else []
        else:
            found = {name: pixels.to(self.device) for name, pixels in self.photos.items()}
            self.mirrored = []
        self.detectors = None
        if config.detect:
            # As ImageNet taught it, whatever is tuned later.
            pristine = self.network if self.frozen else self.built()
            assert isinstance(pristine, backbone.Backbone)
            self.detectors = DogOrPerson(pristine, config.picture_size, self.photos["train"], self.photos["test"], self.device)
        self.splits = {name: (found[name], labels[name]) for name in found}

    def built(self) -> nn.Module:
        """The network up to its last layer, on the device."""
        config = self.config
        weights = config.weights if config.weights in ("published", "stand-in", "random") else Path(config.weights)
        made = backbone.build(config.network, weights, config.cut)
        made.tune_from(config.unfreeze)
        try:
            with torch.no_grad():
                made(torch.zeros(1, 3, config.picture_size, config.picture_size))
        except Exception as error:  # each network has its own way to say so
            text = f"{config.network} cannot look at pictures of {config.picture_size}x{config.picture_size}"
            raise Problem(f"{text}: {str(error).splitlines()[0] if str(error) else type(error).__name__}.", "Most take 224.") from None
        return made.to(self.device)

    def looked(self, pixels: Tensor) -> Tensor:
        """What the frozen network says of pictures: (number, width), from the cache where they are known."""
        assert isinstance(self.network, backbone.Backbone)
        return features.of(self.network, pixels, self.config.picture_size, self.device)

    def build_model(self) -> None:
        config, outputs = self.config, len(self.classes)
        shape = (3, config.picture_size, config.picture_size)
        if config.network == "cnn":
            if config.picture_size < 2 ** len(config.channels):
                raise Problem(
                    f"Pictures of {config.picture_size} pixels cannot be halved {len(config.channels)} times.", "Take channels out."
                )
            self.network = nn.Sequential(backbone.Scaled(), cnn(shape, config.channels, [], outputs, config.dropout))
            self.network.to(self.device).to(memory_format=torch.channels_last)
            self.head: nn.Module = nn.Identity()
        else:
            if not self.frozen:
                self.network = self.built()
            assert isinstance(self.network, backbone.Backbone)
            self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(self.network.width, outputs)).to(self.device)
            # Averages of batch norm that fit ImageNet are kept: those of a few batches of other pictures would be worse.
            self.network.train(config.weights == "random" and not self.frozen)
        own = [each for each in self.network.parameters() if each.requires_grad]
        share = 1.0 if config.network == "cnn" or config.weights == "random" else config.tuned_rate
        groups = [{"params": each, "share": part} for each, part in ((own, share), (list(self.head.parameters()), 1.0)) if each]
        self.optimizer = config.optimizer_of(groups)

    def summary(self) -> Iterator[Event]:
        """The layers by the names that `unfreeze` takes, behind `network.`"""
        inner = self.network.network if isinstance(self.network, backbone.Backbone) else self.network
        pixels = self.resized(self.photos["train"][:2].to(self.device))
        table = network_table({"network": inner, "head": self.head}, {"network": (pixels,), "head": (self.features(pixels),)})
        if table:
            yield table

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        inputs, labels = self.splits["train"]
        return InMemory((inputs, *self.mirrored, labels), self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        inputs, *mirrored, labels = batch
        config = self.config
        numbers = config.pace(self.optimizer, self.progress)
        if mirrored:
            side = torch.rand(len(labels), 1, device=self.device) < 0.5
            inputs = torch.where(side, inputs, mirrored[0])
        self.optimizer.zero_grad()
        with self.autocast():
            if not self.frozen:
                pixels = self.resized(inputs)
                pixels = moved(pixels, shift=config.shift, rotation=config.rotation, zoom=config.zoom, flip=config.flip)
                inputs = self.features(pixels)
            loss = F.cross_entropy(self.head(inputs), labels, label_smoothing=config.label_smoothing)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, **numbers}

    # -- what it answers -------------------------------------------------------------------------------------------------------------

    def resized(self, pixels: Tensor) -> Tensor:
        return features.resized(pixels, self.config.picture_size)

    def features(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) in [0, 1] → (batch, width); of the cnn, which is trained whole, (batch, classes) already."""
        found: Tensor = self.network(pixels)
        return found

    def chances(self, inputs: Tensor, *, seen: bool) -> Tensor:
        """What the network was trained on, or pictures that it has not `seen`, → (number, classes) probabilities' logarithms, float32."""
        with self.autocast():
            pieces = inputs.split(features.PIECE)
            looked = [piece if seen and self.frozen else self.features(self.resized(piece.to(self.device))) for piece in pieces]
            return torch.cat([self.head(piece) for piece in looked]).float().log_softmax(1)

    def evaluate(self, split: str) -> Iterator[Event]:
        inputs, labels = self.splits[split]
        logs = self.chances(inputs, seen=True)
        order = logs.topk(min(FIRST, len(self.classes)), 1).indices
        answers = order[:, 0]
        right = (order == labels[:, None]).float()
        loss, accuracy, top = self.floats([F.nll_loss(logs, labels), right[:, 0].mean(), right.sum(1).mean()])
        yield Scalars(values={"loss": loss, "accuracy": accuracy, "top5": top})
        matrix = confusion(labels, answers, self.classes)
        yield matrix
        yield by_class(matrix)
        chances = logs.exp()
        shown, cells = examples(labels, answers, chances.amax(1), most=MOST)
        yield self.page("confusion/examples", split, shown, chances, columns=15, cells=cells)
        pairs = most_confused(matrix)
        if pairs:
            rows: list[list[str | float]] = [
                [self.classes[truth], self.classes[answer], times, sum(matrix.values[truth])] for truth, answer, times in pairs
            ]
            yield Table(tag="pairs", columns=["class", "taken for", "times", "of"], rows=rows)
            found = [
                place
                for truth, answer, _ in pairs
                for place in ((labels == truth) & (answers == answer)).nonzero().flatten().tolist()[:EACH]
            ]
            yield self.page("mistakes", split, np.array(found), chances, columns=8)

        if split == "test" and self.detectors:
            yield self.detectors.table()

    def sample(self, request: Any) -> Iterator[Event]:
        """Some of the validation pictures with the likeliest classes of each."""
        inputs, labels = self.splits["valid"]
        chosen = np.unique(np.linspace(0, len(labels) - 1, SHOWN).astype(int))
        chances = self.chances(inputs[torch.from_numpy(chosen).to(inputs.device)], seen=True).exp()
        whole = torch.zeros(len(labels), len(self.classes), device=chances.device)
        whole[torch.from_numpy(chosen).to(chances.device)] = chances
        yield self.page("answers", "valid", chosen, whole, columns=8)
        rows: list[list[str | float]] = []
        for place, index in enumerate(chosen):
            best = self.likeliest(chances[place])
            rows.append([place + 1, self.classes[int(labels[index])], *(f"{name} {share:.0%}" for name, share in best.items())])
        places = ["first", "second", "third", "fourth", "fifth"][: min(FIRST, len(self.classes))]
        yield Table(tag="top5 answers", columns=["picture", "class", *places], rows=rows)

    def likeliest(self, chances: Tensor) -> dict[str, float]:
        best = chances.topk(min(FIRST, len(self.classes)))
        return {self.classes[index]: share for share, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)}

    def page(self, tag: str, split: str, chosen: np.ndarray, chances: Tensor, columns: int, cells: Any = ()) -> Event:
        """Those pictures of a split, each with `rose 93%`, or `rose→tulip 93%, rose 4%` where it was taken for a tulip."""
        places = torch.from_numpy(chosen)
        pixels = features.resized(self.photos[split][places], min(self.side, SIDE))
        captions = []
        for index, shares in zip(chosen.tolist(), chances[places.to(chances.device)].tolist(), strict=True):
            truth, answer = int(self.splits[split][1][index]), int(np.argmax(shares))
            name = self.classes[truth]
            wrong = f"{name}→{self.classes[answer]} {shares[answer]:.0%}, {name} {shares[truth]:.0%}"
            captions.append(f"{name} {shares[truth]:.0%}" if truth == answer else wrong)
        return pictures(tag, pixels, captions, columns=columns, cells=cells)

    def form(self) -> dict[str, Any]:
        return {"shape": (3, self.side, self.side)}

    def predict(self, inputs: Any) -> Any:
        """`{"picture": "…"}`, a PNG or JPEG in base64, to `{"answer": …, "probabilities": {…}}` of the likeliest classes, with what was
        `seen` and a `note`."""
        if not (isinstance(inputs, dict) and isinstance(inputs.get("picture"), str)):
            raise Problem("The input is no picture.", 'Send {"picture": "…"}, a PNG or JPEG in base64.', "data")
        square = ImageOps.fit(decode_picture(inputs["picture"]), (self.side, self.side), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None]
        best = self.likeliest(self.chances(pixels, seen=False)[0].exp())
        told = f"its middle, {self.side}x{self.side}"
        if self.detectors:
            told += f"; {self.shown(pixels, next(iter(best)))}"
        return {
            "answer": next(iter(best)),
            "probabilities": best,
            "seen": b64encode(grid_png(self.resized(pixels), 1)).decode(),
            "note": told,
        }

    def shown(self, pixels: Tensor, breed: str) -> str:
        """What the detectors say of one picture, dogs first, as in the course."""
        assert self.detectors
        if self.detectors.dog(pixels)[0]:
            return f"a dog, most like: {breed}"
        if self.detectors.person(pixels)[0]:
            return f"a person, who looks most like: {breed}"
        return (
            "neither a dog nor a person"
            if self.detectors.weights is not None
            else "no dog; people are not told, without faces to learn from"
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
