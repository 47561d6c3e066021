"""Saves a network for garments as a checkpoint and loads it into a network of chosen sizes: keys, shapes, hashes. Explored, not trained."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workbench.datasets import mnist
from workbench.events import Curve, Event, Table, Text
from workbench.problems import Problem
from workbench.torchkit.project import TorchProject
from workbench.training.figures import pictures
from workbench.training.project import Field

INPUTS, OUTPUTS = 28 * 28, 10
SAVED = (512, 256, 128)
"""Hidden units of the network that is saved, the course's."""
WIDEST, DEEPEST = 1024, 6
"""Most units and most layers of a network to load into."""
ASKED = 8
"""Garments that both networks are asked about."""


class Network(nn.Module):
    """Fully connected layers with ReLU; its layers are called as in the course's fc_model: hidden_layers.0, …, output."""

    def __init__(self, hidden: Sequence[int]) -> None:
        super().__init__()
        widths = [INPUTS, *hidden]
        self.hidden_layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(widths, hidden, strict=False))
        self.output = nn.Linear(widths[-1], OUTPUTS)

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 1, 28, 28) → (batch, 10) logits."""
        values = pixels.flatten(1)
        for layer in self.hidden_layers:
            values = layer(values).relu()
        scores: Tensor = self.output(values)
        return scores


class SaveLoad(TorchProject):
    """Saves a network, and loads it again."""

    datasets = ("fashion-mnist",)

    class Request(TorchProject.Request):
        """What is saved, and which network it is loaded into."""

        sizes: str = Field("512, 256, 128", min_length=1, max_length=60)
        """Hidden units of the network that the checkpoint is loaded into, 1 to 1,024 each; the saved one has 512, 256, 128."""
        seed: int = Field(1, ge=0, le=100)
        """Seed of the saved network's weights; another one gives other hashes. The network to load into begins with other weights."""
        nudge: bool = False
        """Changes one weight of the saved file by its smallest step: its hash is another one, though the answers may round to the same."""
        garment: int = Field(0, ge=0, le=ASKED - 1)
        """Which of the eight garments is shown."""

    def build_data(self) -> None:
        garments = mnist.test_pictures("fashion-mnist")[slice(ASKED)]
        self.classes = mnist.CLASSES["fashion-mnist"]
        self.pixels = torch.from_numpy(garments.images).to(self.device)
        self.labels = garments.labels

    def sample(self, request: Any) -> Iterator[Event]:
        """What the checkpoint holds, which layers fit, and what the loaded network answers beside the saved one."""
        hidden = sizes(request.sizes)
        saved = self.built(SAVED, request.seed)
        state = {name: weight.clone() for name, weight in saved.state_dict().items()}
        if request.nudge:
            weight = state["output.weight"]
            weight[0, 0] = torch.nextafter(weight[0, 0], weight.new_tensor(torch.inf))
        file = written(state)
        # Other weights than the saved ones: equal answers can only come from the file.
        loaded = self.built(hidden, request.seed + 1)
        checkpoint = torch.load(io.BytesIO(file), map_location=self.device, weights_only=True)
        table, wrong = contents(checkpoint["state_dict"], loaded.state_dict(), len(file))
        if wrong:
            text = f"load_state_dict refuses, as {len(wrong)} parameters do not fit: {', '.join(wrong)}."
            hint = f"Build the network with the sizes that the checkpoint names: {checkpoint['hidden_layers']}."
            yield Text(tag="loaded", text=f"{text}\n{hint}")
            yield table
            return
        loaded.load_state_dict(checkpoint["state_dict"])
        before, after = saved(self.pixels), loaded(self.pixels)
        equal = sum(torch.equal(saved.state_dict()[name], weight) for name, weight in loaded.state_dict().items())
        difference = float((before - after).abs().max())
        same = "bit for bit equal" if torch.equal(before, after) else f"not equal: a score differs by {difference:.3g}"
        yield Text(tag="loaded", text=f"{equal} of {len(state)} parameters are equal; the scores of {ASKED} garments are {same}.")
        yield table
        for name, scores in (("saved", before), ("loaded", after)):
            shares = scores[request.garment].softmax(0).tolist()
            yield Curve(tag=f"probabilities/{name}", x=list(range(OUTPUTS)), y=shares, labels=("class", "probability"))
        yield pictures("garment", self.pixels[request.garment : request.garment + 1], [self.classes[self.labels[request.garment]]])

    def built(self, hidden: Sequence[int], seed: int) -> Network:
        """A network with weights of this seed; the run's own random numbers stay as they are."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return Network(hidden).to(self.device)


def sizes(text: str) -> list[int]:
    """`512, 256, 128` as numbers. Problem where they are no sizes of hidden layers."""
    parts = text.replace(",", " ").split()
    if 1 <= len(parts) <= DEEPEST and all(part.isascii() and part.isdigit() and len(part) <= 4 for part in parts):
        numbers = [int(part) for part in parts]
        if all(1 <= number <= WIDEST for number in numbers):
            return numbers
    raise Problem(f"sizes must be 1 to {DEEPEST} whole numbers from 1 to {WIDEST:,}, as in 512, 256, 128.", cause="data")


def written(state: dict[str, Tensor]) -> bytes:
    """The checkpoint as the course has it: the sizes that rebuild the network, and its state_dict."""
    file = io.BytesIO()
    torch.save({"input_size": INPUTS, "output_size": OUTPUTS, "hidden_layers": list(SAVED), "state_dict": state}, file)
    return file.getvalue()


def contents(saved: dict[str, Tensor], network: dict[str, Tensor], size: int) -> tuple[Table, list[str]]:
    """A row for each parameter of either, with both shapes and the first digits of the saved bytes' SHA-256; what does not fit."""
    rows: list[list[str | float]] = []
    wrong = []
    for name in dict.fromkeys([*saved, *network]):
        shapes = [shape(state[name]) if name in state else "missing" for state in (saved, network)]
        digest = hashlib.sha256(saved[name].cpu().numpy().tobytes()).hexdigest()[:8] if name in saved else ""
        rows.append([name, *shapes, "yes" if shapes[0] == shapes[1] else "no", digest])
        wrong += [name] * (shapes[0] != shapes[1])
    rows.append([f"all, {size:,} bytes", *(f"{sum(part.numel() for part in state.values()):,}" for state in (saved, network)), "", ""])
    return Table(tag="checkpoint", columns=["parameter", "saved", "network", "fits", "SHA-256"], rows=rows), wrong


def shape(tensor: Tensor) -> str:
    """A shape in words: 512 x 784."""
    return " x ".join(map(str, tensor.shape))
