"""Style transfer: the pixels of a picture are what is trained (Gatys, Ecker and Bethge 2016).

Recipes: style-transfer, and style-transfer-squeezenet where the course's network is not at hand.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench import preparation
from workbench.datasets.pictures import Decoding, read_picture
from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.encoding.serving import Serving
from workbench.events import Event, Table
from workbench.problems import Problem, one_line
from workbench.torchkit import pretrained
from workbench.torchkit.optimization import LearningRate, step_size
from workbench.torchkit.own_pictures import OwnPictures
from workbench.torchkit.project import TorchProject
from workbench.training.figures import pictures
from workbench.training.project import Field, live

STEPS_PER_EPOCH = 100
"""There is no data set: an epoch is so many steps."""
NARROWEST = 8
"""Most that a picture may be longer than it is wide: made to fit, a sliver would be huge."""


class StyleTransfer(TorchProject):
    """A picture with the content of one and the style of another, both measured by a frozen network that knows photographs."""

    datasets = (
        "style-pictures",
        ("vgg19-weights", {"network": "vgg19"}),
        ("squeezenet-weights", {"network": "squeezenet1_0"}),
    )

    class Config(LearningRate, OwnPictures):
        content: str = "octopus"
        """Picture whose content is kept: a name in the catalogue (octopus, space_needle …) or your own PNG or JPEG file."""
        style: str = "hockney"
        """Picture whose style is taken: a name in the catalogue (hockney, delaunay …) or your own PNG or JPEG file."""
        size: int = Field(400, ge=64, le=2048)
        """Short side in pixels, at most the content's own long side; higher shows finer strokes and takes longer."""
        network: Literal["vgg19", "squeezenet1_0"] = "vgg19"
        """Pre-trained network whose features measure content and style."""
        weights: str = "published"
        """Its weights: published, torchvision's from ImageNet; random, for a trial that counts for nothing; or a file with a state_dict."""
        content_layer: str = "conv4_2"
        """Layer whose features are to stay those of the content picture; a later one keeps less of each pixel."""
        style_layers: dict[str, float] = {"conv1_1": 1.0, "conv2_1": 0.75, "conv3_1": 0.2, "conv4_1": 0.2, "conv5_1": 0.2}
        """Layers whose Gram matrices are to become those of the style picture, each with its weight; early ones are about finer strokes."""
        content_weight: float = live(1.0, ge=0)
        """Factor of the content loss; higher keeps more of the content."""
        style_weight: float = live(1e6, ge=0)
        """Factor of the style loss; higher takes over more of the style."""
        learning_rate: float = step_size(
            0.003, "Step size of Adam, for pixels scaled by ImageNet's mean and deviation; higher changes the picture faster, and roughly."
        )
        report_every: int = Field(400, ge=1)
        """Steps between two rows of the table of losses; higher lists fewer."""

    def build_data(self) -> None:
        config = self.config
        known = pretrained.layers(config.network)
        for name in (config.content_layer, *config.style_layers):
            if name not in known:
                raise Problem(f"{config.network} has no layer {one_line(name, 40)!r}.", f"It has: {', '.join(known)}.")
        self.tapped = {known[name]: name for name in (config.content_layer, *config.style_layers)}
        weights = config.weights if config.weights in ("published", "random") else self.own_file(config.weights)
        self.network = pretrained.frozen(config.network, weights, max(self.tapped)).to(self.device)

        content = self.opened(config.content)
        # As the course resizes: its "at most 400" goes to torchvision's Resize, which makes the short side so long, and the style is
        # squeezed to the same shape.
        scale = min(config.size, max(content.size)) / min(content.size)
        size = (int(content.width * scale), int(content.height * scale))
        self.mean, self.deviation = (
            torch.tensor(values).view(3, 1, 1).to(self.device) for values in (pretrained.MEAN, pretrained.DEVIATION)
        )
        self.content, self.style = (
            self.as_input(picture.resize(size, Image.Resampling.BILINEAR)) for picture in (content, self.opened(config.style))
        )
        with torch.no_grad():
            self.content_features = self.features(self.content)[config.content_layer]
            of_style = self.features(self.style)
            self.style_grams = {name: gram(of_style[name]) for name in config.style_layers}

        used = [pretrained.variant(config.network, config.weights)]
        used += [f"content {one_line(config.content, 60)}"] if config.content != "octopus" else []
        used += [f"style {one_line(config.style, 60)}"] if config.style != "hockney" else []
        self.variant = ", ".join(filter(None, used))
        self.demo = "random weights" if config.weights == "random" else ""

    def own_file(self, given: str) -> Path:
        """A person's own file: from the recipe's folder, else from the working directory."""
        path = Path(given).expanduser()
        return self.folder / path if (self.folder / path).exists() else path

    def opened(self, given: str) -> Image.Image:
        """A picture by its name in the catalogue, or a person's own file; Problem where it cannot be used."""
        ours = find("style-pictures").files
        path = fetch("style-pictures")[given] if given in ours else self.own_file(given)
        if given not in ours and not path.exists():
            raise Problem(f"There is no picture {one_line(given)}.", f"Give a PNG or JPEG file, or one of: {', '.join(ours)}.", "data")
        picture = read_picture(path, decoding=Decoding(self.config.background))
        with path.open("rb") as opened:
            preparation.source(str(path), hashlib.file_digest(opened, "sha256").hexdigest())
        preparation.found(f"picture {given}", f"{picture.width}x{picture.height} pixels", "")
        if max(picture.size) > NARROWEST * min(picture.size):
            raise Problem(
                f"{one_line(given)} is too narrow: {picture.width} x {picture.height} pixels.", f"At most {NARROWEST} to 1.", "data"
            )
        return picture

    def as_input(self, picture: Image.Image) -> Tensor:
        """A picture as the network takes it: (1, 3, height, width), each colour scaled by ImageNet's mean and deviation."""
        pixels = torch.from_numpy(np.array(picture)).to(self.device).permute(2, 0, 1) / 255
        return ((pixels - self.mean) / self.deviation).unsqueeze(0)

    def build_model(self) -> None:
        # As the course begins; the paper begins with noise.
        self.picture = self.content.clone().requires_grad_()
        # As in the course; the paper takes L-BFGS.
        self.optimizer = torch.optim.Adam([self.picture], self.config.learning_rate)
        self.steps_done = 0
        self.losses: list[list[float]] = []

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {"network": (self.picture,)}

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        return range(STEPS_PER_EPOCH)

    def features(self, picture: Tensor) -> dict[str, Tensor]:
        """Outputs of the layers in `self.tapped` for a picture, (1, channels, height, width) each."""
        features = {}
        for index, module in enumerate(self.network):
            picture = module(picture)
            if index in self.tapped:
                features[self.tapped[index]] = picture
        return features

    def train_step(self, batch: Any) -> dict[str, Any]:
        config = self.config
        rates = config.apply(self.optimizer, self.progress)
        with self.autocast():
            features = self.features(self.picture)  # (1, channels, height, width) each
            content_loss = config.content_weight * (features[config.content_layer] - self.content_features).square().mean()
            style_loss = torch.zeros((), device=self.device)
            for name, weight in config.style_layers.items():
                # Of this layer, (channels, channels), divided by the number of its outputs, as in the course;
                # the paper divides the sum of squares by 4 channels² places².
                difference = (gram(features[name]) - self.style_grams[name]).square().mean() / features[name].numel()
                style_loss = style_loss + config.style_weight * weight * difference
            total = content_loss + style_loss
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        self.steps_done += 1
        if self.steps_done % config.report_every == 0:
            # Waits for the device, which is why it is not done in each step.
            self.losses.append([self.steps_done, *self.floats([content_loss, style_loss, total])])
        return {"loss/content": content_loss, "loss/style": style_loss, "loss/total": total, **rates}

    def sample(self, request: Any) -> Iterator[Event]:
        """Content, picture and style side by side, and the weighted losses every report_every steps."""
        shown = torch.cat((self.content, self.picture.detach(), self.style)) * self.deviation + self.mean
        yield pictures("picture", shown, ["content", "picture", "style"], columns=3)
        if self.losses:
            yield Table(tag="losses", columns=["step", "content", "style", "total"], rows=[list(row) for row in self.losses])

    def serving(self) -> Serving:
        raise Problem("Style transfer optimises one picture; there is no network to ask.")


def gram(features: Tensor) -> Tensor:
    """Products of each two channels, summed over all places: (1, channels, height, width) → (channels, channels)."""
    flat = features.squeeze(0).flatten(1)
    return flat @ flat.T
