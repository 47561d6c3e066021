"""Looks into a trained network: its activation maps, the pictures that excite a unit, deep dreams, and adversarial pictures. Explored."""

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn

from workbench.datasets import photos
from workbench.datasets.pictures import decode_picture
from workbench.datasets.seen import seen
from workbench.datasets.store.catalog import find
from workbench.events import Curve, Event, Table, Text
from workbench.problems import Problem, nearest, one_line
from workbench.torchkit import backbone
from workbench.torchkit.inside import activations, blocks, flat, output_of
from workbench.torchkit.project import TorchProject
from workbench.training.figures import pictures
from workbench.training.project import Field, Own, only
from workbench.training.trained import trained

SIZE = 128
"""Pixels of the dogs' sides."""
BREEDS = {
    "airedale terrier": "airedale",
    "alaskan malamute": "malamute",
    "american eskimo dog": "eskimo dog",
    "basset hound": "basset",
    "belgian malinois": "malinois",
}
"""Breeds that ImageNet has by another name; what it does not have at all is left out."""
MOST = {"run": 128, "photographs": 32}
"""Pictures that the accuracy under an attack is measured on: a photograph takes a hundred times as long as a digit."""
LOOKED_AT = {"run": 512, "photographs": 96}
"""Validation pictures of a run among which those are found that it classifies correctly."""
AT_ONCE = 16
"""Photographs whose gradients are computed at once: with 224 pixels each they take a gigabyte."""
EPSILONS = {"run": 0.3, "photographs": 0.012}
"""Largest ε of the curve. Photographs need less: a score sums the changes of 49,152 numbers, where a digit has 784."""
MAPS = 16
"""Activation maps that are shown, the strongest."""
NOISE = 0.1
"""Standard deviation of the noise around grey from which an ascent begins."""
OCTAVE = 1.4
"""Each octave of a dream is so many times as large as the one before, as in Mordvintsev et al. (2015)."""
JITTER = 32
"""In each step of an ascent the picture lies a 32nd of its side elsewhere; smaller ones than that stay."""
SHOWN = 5
"""Steps of an ascent between two looks at it; a newer request interrupts it there."""
POINT, WEIGHTS, BIAS = (7.0, 6.0), (2.0, 1.0), -18.0
"""The perceptron of the course's first lessons, whose score at this point is 2."""


class Seeing(TorchProject):
    """Shows what a trained network sees, and how little it takes to deceive it."""

    devices = ("cpu",)
    datasets = (
        ("squeezenet-weights", {"network": "squeezenet1_0"}),
        ("mobilenet-v2-weights:dequantised", {"network": "mobilenet_v2"}),
        *(("dogs:21-breeds", {"network": name}) for name in backbone.STAND_INS),
    )

    class Config(TorchProject.Config):
        network: Literal["squeezenet1_0", "mobilenet_v2"] | Own = "squeezenet1_0"
        """Network to look into: pre-trained on ImageNet, with stand-in weights; or a run of image_classifier or transfer, its directory."""

    class Request(TorchProject.Request):
        show: Literal["attack", "layer", "maximise", "dream"] = "attack"
        """An adversarial picture; a layer's activation maps; a picture made from noise that excites a unit; or a deep dream."""
        picture: int = Field(0, ge=0, le=63)
        """Which validation picture, of those that the network classifies correctly: an attack on a mistake would prove nothing."""
        drawing: str = Field("", json_schema_extra={"picture": True})
        """Your own drawing or picture in its place; the network's answer then counts as the right one."""
        epsilon: float = Field(0.1, ge=0, le=1, json_schema_extra={"step": 0.005, "when": {"show": ["attack"]}})
        """Most that each number of the picture, from 0 to 1, may change, ε; higher deceives more often, and is easier to see."""
        target: str = only("", when={"show": "attack"}, max_length=60)
        """Class that the attack is to reach, by its name; empty: any but the right one."""
        depth: float = Field(0.7, ge=0, le=1, json_schema_extra={"step": 0.05, "when": {"show": ["layer", "maximise", "dream"]}})
        """Layer to look into, from 0, the first, to 1, the last; later ones answer to larger and more complex patterns."""
        unit: int = Field(0, ge=0, le=4096, json_schema_extra={"when": {"show": ["maximise", "dream"]}})
        """Unit (channel) of the layer, from 1; 0: to maximise the one that this picture excites most, to dream all of them."""
        steps: int = Field(30, ge=5, le=200, json_schema_extra={"step": 5, "when": {"show": ["maximise", "dream"]}})
        """Steps of gradient ascent, in a dream for each octave; more excite the unit further."""
        rate: float = Field(0.02, ge=0.001, le=0.2, json_schema_extra={"step": 0.005, "when": {"show": ["maximise", "dream"]}})
        """Root mean square of a step's change of the pixels; higher is faster and rougher."""
        octaves: int = only(3, when={"show": "dream"}, ge=1, le=4)
        """Sizes in which the picture is dreamt, each 1.4 times the last; more give more sizes of patterns. Dense layers take one."""
        seed: int = Field(1, ge=0, le=100)
        """Seed of the noise: from which maximising begins, and which is compared with the attack."""

    network: nn.Module
    encoded: Callable[[str], Tensor]
    """From a drawing or a picture, PNG or JPEG in base64, to the (channels, height, width) in [0, 1] that the network would get of it."""

    def build_data(self) -> None:
        if self.config.network in backbone.STAND_INS:
            self.look_into_stand_in(self.config.network)
        else:
            self.look_into_run(Path(self.config.network))
        # Only what the network gets right is attacked: else its own mistakes would count as the attack's.
        with self.evaluating():
            answers = torch.cat([self.logits(piece).argmax(1) for piece in self.pixels.split(AT_ONCE)])
        self.right = torch.nonzero(answers == self.labels)[:, 0]
        self.curves: dict[tuple[int, int], list[list[float]]] = {}

    def look_into_stand_in(self, name: str) -> None:
        """A network of the catalogue's, and photographs of dogs of breeds that ImageNet has, on which it was not trained."""
        from torchvision import models

        self.network = backbone.build(name, "stand-in")
        self.classes = [one_line(title) for title in models.get_model_weights("mobilenet_v2").DEFAULT.meta["categories"]]
        numbers = numbered(self.classes)
        dogs = photos.read("dogs:21-breeds", SIZE)
        breeds = torch.tensor([numbers.get(BREEDS.get(plain(breed), plain(breed)), -1) for breed in dogs.classes])
        # All three parts: nothing is trained on them.
        labels = breeds[torch.from_numpy(np.concatenate([labels for _, labels in dogs.parts]))]
        photographs = torch.from_numpy(np.concatenate([part for part, _ in dogs.parts]))
        # (number, side, side, 3) bytes → (number, 3, side, side) in [0, 1]
        self.pixels = photographs[labels >= 0].permute(0, 3, 1, 2).float() / 255
        self.labels = labels[labels >= 0]
        self.layers = blocks(self.network)
        self.kind = "photographs"
        self.encoded = lambda png: squared(decode_picture(png), SIZE)[0].float() / 255
        self.variant = f"{find(*backbone.STAND_INS[name]).title} in place of torchvision's weights; {dogs.variant}"

    def look_into_run(self, folder: Path) -> None:
        """The best weights of a run, and its validation pictures."""
        run: Any = trained(folder, "image_classifier", "transfer")
        self.classes, self.variant, self.demo = run.classes, run.variant, run.demo
        if hasattr(run, "head"):
            self.look_into_transfer(run)
            return
        self.network = run.network
        self.pixels, self.labels = (part[: LOOKED_AT["run"]] for part in run.splits["valid"])
        self.layers = activations(self.network)
        self.kind = "run"
        self.encoded = lambda png: torch.from_numpy(seen(decode_picture(png), run.shape, run.config.data, run.light)[0].copy())

    def look_into_transfer(self, run: Any) -> None:
        """A pre-trained network with its new last layers, or a small one from scratch, which standardises the colours itself."""
        self.network = nn.Sequential(run.network, run.head)
        photographs, (_, labels) = run.photos["valid"], run.splits["valid"]
        # Spread evenly: they lie class by class.
        places = np.unique(np.linspace(0, len(labels) - 1, min(LOOKED_AT["photographs"], len(labels))).astype(int))
        # Of the size that the network gets: an attack changes each number that it sees.
        self.pixels, self.labels = run.resized(photographs[places]), labels[places]
        layers = blocks(run.network) if isinstance(run.network, backbone.Backbone) else activations(run.network)
        # Behind a cut no layer is used, and a transformer's outputs are no maps.
        self.layers = [pair for pair in layers if self.is_map(pair[1])]
        self.kind = "photographs"
        self.encoded = lambda png: run.resized(squared(decode_picture(png, run.decoding), run.side))[0]

    def logits(self, pixels: Tensor) -> Tensor:
        """(number, channels, height, width) in [0, 1] → (number, classes)."""
        scores: Tensor = self.network.imagenet(pixels) if isinstance(self.network, backbone.Backbone) else self.network(pixels)
        return scores

    def sample(self, request: Any) -> Iterator[Event]:
        """What is chosen: the quick panels first, then what grows step by step."""
        pixels, label = self.chosen(request)
        if request.show == "attack":
            yield from self.attack(request, pixels, label)
            return
        name, layer = self.layers[round(request.depth * (len(self.layers) - 1))]
        outputs = self.outputs(layer, pixels)
        means = outputs.flatten(2).mean(2)[0] if outputs.ndim > 2 else outputs[0]
        if request.unit > len(means):
            raise Problem(f"unit: the layer {name} has units 1 to {len(means)}; 0 chooses.", cause="data")
        unit = request.unit - 1 if request.unit else int(means.argmax())
        if request.show == "layer":
            yield pictures("picture", pixels, [self.told(pixels)], columns=1)
            yield from activation_maps(name, outputs, means)
        elif request.show == "maximise":
            generator = torch.Generator().manual_seed(request.seed)
            noise = (0.5 + NOISE * torch.randn(pixels.shape, generator=generator)).clamp(0, 1)
            yield pictures("begins with", noise, [f"noise, for {name}"], columns=1)
            yield from self.ascent(layer, unit, noise, request.steps, request.rate, f"unit {unit + 1}")
        else:
            yield pictures("begins with", pixels, [f"{self.told(pixels)}, for {name}"], columns=1)
            # No smaller than leaves each map a number; fully connected layers take pictures of their own size alone.
            least = math.ceil(pixels.shape[2] / (outputs.shape[2] if outputs.ndim > 2 else 1))
            yield from self.dream(layer, request, pixels, max(8, least))

    def chosen(self, request: Any) -> tuple[Tensor, int]:
        """The picture that is asked for, (1, channels, height, width), and its class."""
        if request.drawing:
            pixels = self.encoded(request.drawing).float().reshape(1, *self.pixels.shape[1:])
            return pixels, int(self.logits(pixels).argmax())
        # Where it classifies nothing correctly, its layers can still be looked into.
        places = self.right if len(self.right) else torch.arange(len(self.pixels))
        if request.picture >= len(places):
            raise Problem(f"picture: the network classifies {len(places)} pictures correctly, so 0 to {len(places) - 1}.", cause="data")
        place = places[request.picture]
        return self.pixels[place : place + 1], int(self.labels[place])

    def told(self, pixels: Tensor) -> str:
        """The likeliest class of a picture, and its probability."""
        shares = self.logits(pixels).softmax(1)[0]
        return f"{self.classes[int(shares.argmax())]} {float(shares.max()):.0%}"

    # -- adversarial pictures -----------------------------------------------------------------------------------------------

    def attack(self, request: Any, pixels: Tensor, label: int) -> Iterator[Event]:
        """The picture before and after, beside one with random signs; its classes; and the accuracy over ε of both."""
        target = self.target(request.target, label)
        signs = gradient_signs(self.logits, pixels, torch.tensor([label if target < 0 else target]), target >= 0)
        random = random_signs(pixels, request.seed)
        attacked, noisy = changed(pixels, signs, request.epsilon), changed(pixels, random, request.epsilon)
        shown = {
            f"before: {self.told(pixels)}": pixels,
            "change, × 1/2ε": 0.5 + signs / 2,
            f"attacked: {self.told(attacked)}": attacked,
            f"noise: {self.told(noisy)}": noisy,
        }
        yield pictures("picture", torch.cat(list(shown.values())), list(shown), columns=4)
        yield self.likeliest(pixels, attacked)
        yield line(request.epsilon)
        if not len(self.right):
            yield Text(tag="accuracy over ε", text="The network classifies none of its pictures correctly: there is nothing to attack.")
            return
        yield from self.accuracies(target, request.seed)

    def target(self, name: str, label: int) -> int:
        """The number of the class to reach; -1 for any but the right one."""
        if not name.strip():
            return -1
        numbers = numbered(self.classes)
        number = numbers.get(plain(name))
        if number is None:
            raise Problem(f"target: there is no class {one_line(name, 40)!r}{nearest(plain(name), list(numbers)) or '.'}", cause="data")
        if number == label:
            raise Problem(f"target: the picture is a {self.classes[label]} already; name another class.", cause="data")
        return number

    def likeliest(self, before: Tensor, after: Tensor) -> Table:
        """The five likeliest classes of both."""
        columns = [self.logits(pixels).softmax(1)[0].topk(min(5, len(self.classes))) for pixels in (before, after)]
        rows: list[list[str | float]] = []
        for first, second in zip(*(list(zip(*(part.tolist() for part in column), strict=True)) for column in columns), strict=True):
            rows.append([cell for share, number in (first, second) for cell in (self.classes[number][:24], round(share, 6))])
        return Table(tag="top 5", columns=["before", "p", "attacked", "p"], rows=rows)

    def accuracies(self, target: int, seed: int) -> Iterator[Event]:
        """Share of the correctly classified pictures that stay so, over ε: by the gradient's signs and by random ones."""
        places = self.right[self.labels[self.right] != target][: MOST[self.kind]]
        pixels, labels = self.pixels[places], self.labels[places]
        if not len(places):
            return
        epsilons = np.linspace(0, EPSILONS[self.kind], 7).tolist()
        ys = self.curves.setdefault((target, seed), [[], []])
        if len(ys[0]) < len(epsilons):
            wanted = labels if target < 0 else torch.full_like(labels, target)
            pairs = zip(pixels.split(AT_ONCE), wanted.split(AT_ONCE), strict=True)
            moves = [torch.cat([gradient_signs(self.logits, *pair, target >= 0) for pair in pairs]), random_signs(pixels, seed)]
            # An interrupted answer goes on where it was.
            for epsilon in epsilons[len(ys[0]) :]:
                for y, signs in zip(ys, moves, strict=True):
                    y.append(float((self.logits(changed(pixels, signs, epsilon)).argmax(1) == labels).float().mean()))
                yield from accuracy_curves(epsilons, ys)
        else:
            yield from accuracy_curves(epsilons, ys)
        text = f"{len(self.right)} of {len(self.pixels)} pictures are classified correctly; {len(places)} of them are attacked."
        yield Text(tag="attacked pictures", text=text)

    # -- layers -------------------------------------------------------------------------------------------------------------

    def outputs(self, layer: nn.Module, pixels: Tensor) -> Tensor:
        """What a layer makes of pictures, (number, units) or (number, units, height, width)."""
        return output_of(layer, self.logits, pixels)

    def is_map(self, layer: nn.Module) -> bool:
        """Whether the network uses this layer, and its outputs are numbers or maps of units."""
        with self.evaluating(), suppress(Problem):
            return self.outputs(layer, self.pixels[:1]).ndim in (2, 4)
        return False

    def excitement(self, layer: nn.Module, unit: int, pixels: Tensor) -> Tensor:
        """What is climbed: the mean of a unit's outputs; of all units (-1) the mean square, as in Mordvintsev et al. (2015)."""
        outputs = self.outputs(layer, pixels)
        return outputs.square().mean() if unit < 0 else outputs[:, unit].mean()

    def ascent(
        self, layer: nn.Module, unit: int, pixels: Tensor, steps: int, rate: float, caption: str, before: tuple[float, ...] = ()
    ) -> Generator[Event, None, tuple[Tensor, list[float]]]:
        """Gradient ascent on the pixels, shown as it goes. Returns the last picture, and the activations of all steps."""
        values = list(before)
        reach = min(pixels.shape[2:]) // JITTER
        moves = [(down, across) for down in (0, reach, -reach) for across in (0, -reach, reach)] if reach else []
        for step in range(1, steps + 1):
            with torch.enable_grad():
                # A new leaf in each step. The gradient goes to the pixels alone: no weight ever gets one.
                leaf = pixels.detach().requires_grad_()
                # Moved by a few pixels, another way in each step: else patterns of single pixels, which no layer is meant for, grow best.
                value = self.excitement(layer, unit, leaf.roll(moves[step % len(moves)], (2, 3)) if moves else leaf)
                (gradient,) = torch.autograd.grad(value, leaf)
            values.append(float(value.detach()))
            size = float(gradient.square().mean().sqrt())
            if size == 0:
                yield Text(tag="ascent stops", text=flat(layer, values[-1]))
                break
            pixels = (pixels + rate * gradient / size).clamp(0, 1)
            if step % SHOWN == 0 or step == steps:
                yield pictures("ascent", pixels, [f"{caption}, step {len(values)}"], columns=1)
                yield Curve(tag="activation", x=list(range(len(values))), y=list(values), labels=("step", "activation"))
        return pixels, values

    def dream(self, layer: nn.Module, request: Any, pixels: Tensor, least: int) -> Iterator[Event]:
        """Ascents on the picture in growing sizes, from `least` pixels on; what one size added is enlarged and laid over the next."""
        added, values = torch.zeros_like(pixels), list[float]()
        for back in reversed(range(request.octaves)):
            size = [max(least, round(length / OCTAVE**back)) for length in pixels.shape[2:]]
            small, detail = (F.interpolate(part, size, mode="bilinear") for part in (pixels, added))
            begin = (small + detail).clamp(0, 1)
            caption = f"octave {request.octaves - back} of {request.octaves}"
            dreamt, values = yield from self.ascent(layer, request.unit - 1, begin, request.steps, request.rate, caption, tuple(values))
            added = dreamt - small


def squared(picture: Image.Image, side: int) -> Tensor:
    """The middle square of a picture, (1, 3, side, side) bytes."""
    square = ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None]


def gradient_signs(scores: Callable[[Tensor], Tensor], pixels: Tensor, classes: Tensor, towards: bool) -> Tensor:
    """The signs by which each number of a picture is to change, of its shape (Goodfellow, Shlens and Szegedy 2015).

    They raise the loss of its own class; `towards`: they lower that of the class to reach. 0 where the gradient is 0.
    """
    with torch.enable_grad():
        leaf = pixels.detach().requires_grad_()
        # Summed: the gradient of one picture then does not depend on how many there are.
        loss = F.cross_entropy(scores(leaf), classes, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
    return -gradient.sign() if towards else gradient.sign()


def random_signs(pixels: Tensor, seed: int) -> Tensor:
    """-1 or 1 for each number: as large a change as an attack's, without its knowledge."""
    return 2.0 * torch.randint(0, 2, pixels.shape, generator=torch.Generator().manual_seed(seed)) - 1


def changed(pixels: Tensor, signs: Tensor, epsilon: float) -> Tensor:
    """The pictures with each number moved by ε, and clipped to what a picture can have."""
    return (pixels + epsilon * signs).clamp(0, 1)


def line(epsilon: float) -> Table:
    """Why so little is enough, on the perceptron of the first lessons: its score falls by ε for every weight, ε·Σ|w| in all."""
    x = torch.tensor(POINT, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)
    with torch.enable_grad():
        score = weights @ x + BIAS
        (gradient,) = torch.autograd.grad(score, x)
    rows: list[list[str | float]] = []
    for size in dict.fromkeys((0.0, epsilon, 1.0)):
        moved = x.detach() - size * gradient.sign()
        rows.append([float(f"{size:.6g}"), *moved.tolist(), round(float(weights @ moved + BIAS), 9)])
    return Table(tag="2·x₁ + x₂ - 18, attacked", columns=["ε", "x₁", "x₂", "score"], rows=rows)


def accuracy_curves(epsilons: list[float], ys: list[list[float]]) -> Iterator[Event]:
    """Both curves, as far as they are measured."""
    for name, y in zip(("gradient sign", "random sign"), ys, strict=True):
        yield Curve(tag=f"accuracy over ε/{name}", x=epsilons[: len(y)], y=list(y), labels=("ε", "accuracy"))


def activation_maps(name: str, outputs: Tensor, means: Tensor) -> Iterator[Event]:
    """The strongest maps of a layer, each with its unit's number and mean; and the layer's size."""
    order = means.argsort(descending=True)[:MAPS]
    maps = outputs[0, order]
    maps = maps if maps.ndim == 3 else maps[:, None, None]
    # Small maps are enlarged by whole factors: each of their numbers stays one square.
    factor = max(1, 28 // maps.shape[1])
    maps = maps.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    captions = [f"{unit + 1}: {mean:.3g}" for unit, mean in zip(order.tolist(), means[order].tolist(), strict=True)]
    # Each by its own largest number: beside one strong map all others would be black.
    brightest = maps.abs().amax((1, 2), keepdim=True).clamp(min=1e-12)
    yield pictures("strongest maps, unit: mean", maps / brightest, captions, columns=8)
    size = " x ".join(map(str, outputs.shape[2:])) or "1"
    rows: list[list[str | float]] = [["layer", name], ["units", float(len(means))], ["numbers of each", size]]
    rows.append(["largest activation", float(f"{float(outputs.max()):.6g}")])
    yield Table(tag="layer", columns=["", "value"], rows=rows)


def plain(name: str) -> str:
    """A class's name as it is compared: `Shih-Tzu` and `shih_tzu` are one."""
    return " ".join(name.lower().replace("'", "").replace("-", " ").replace("_", " ").split())


def numbered(classes: list[str]) -> dict[str, int]:
    """The number of each class by its plain name; of two with one name, as ImageNet's cranes, the first."""
    return {plain(title): number for number, title in reversed(list(enumerate(classes)))}
