"""Capsules with dynamic routing on MNIST (Sabour, Frosst and Hinton 2017), and a convolutional network of equal size beside them.

Recipes: capsules, the course's size; capsules-fast.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.datasets import mnist
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Classes, Picture
from workbench.encoding.serving import Serving, sent_pictures
from workbench.events import Curve, Event, Images, Scalars, Text
from workbench.events import Matrix as Numbers
from workbench.problems import Problem
from workbench.torchkit.asked import answered
from workbench.torchkit.augment import Augmentation, random_affine
from workbench.torchkit.batches import InMemory
from workbench.torchkit.classification import Predictions
from workbench.torchkit.computed import Computed
from workbench.torchkit.optimization import Optimization
from workbench.torchkit.project import TorchProject
from workbench.training.figures import pictures
from workbench.training.project import Field, Matrix, only

CLASSES, PIXELS = 10, 28 * 28
FILTER, STRIDE = 9, 2
"""Both convolutions have filters of 9x9 pixels, the second with stride 2: 28 → 20 → 6 pixels a side."""
PLACES = 6 * 6
"""Places of the second convolution, each with a capsule of every type."""
CHILD, PARENT = 8, 16
"""Numbers of a primary capsule and of a digit's."""
DECODER = (512, 1024)
"""Hidden units of the decoder."""
PRESENT, ABSENT, OTHERS = 0.9, 0.1, 0.5
"""Margins of the loss: a present digit's capsule is to be longer than 0.9, an absent one's shorter than 0.1, which counts half."""
RECONSTRUCTION = 0.0005
"""Factor of the squared error, summed over the pixels, so that it does not dominate the margin loss."""
SHIFT, ROTATION, ZOOM = 4, 20, 0.2
"""Each digit of the affine test is shifted by up to 4 pixels each way, rotated by up to 20°, and scaled by 0.8 to 1.2, uniformly."""
AFFINE_SEED, AFFINE_VALID = 0, 2_000
"""The transforms are the same in every run; validation looks at the first 2,000 digits, the test at all."""
PIECE = 100
"""Digits that go through the network at once outside training: their votes take 70 MB."""
CHANGES = np.linspace(-0.25, 0.25, 7)
"""What is added to each of the 16 numbers, as in the paper."""


class CapsuleNetwork(nn.Module):
    """28x28 pixels to ten capsules of 16 numbers, and back to pixels from one of them."""

    def __init__(self, maps: int, types: int, routings: int, over: str) -> None:
        super().__init__()
        self.routings, self.over = routings, over
        self.features = nn.Conv2d(1, maps, FILTER)
        self.primary = nn.Conv2d(maps, CHILD * types, FILTER, stride=STRIDE)
        # Over 1,152 children the course begins with standard deviation 1; over ten parents each vote counts a hundred times as much.
        self.votes = nn.Parameter((1.0 if over == "children" else 0.1) * torch.randn(CLASSES, types * PLACES, CHILD, PARENT))
        widths = [CLASSES * PARENT, *DECODER]
        hidden = [part for pair in zip(widths, DECODER, strict=False) for part in (nn.Linear(*pair), nn.ReLU())]
        self.decoder = nn.Sequential(*hidden, nn.Linear(DECODER[-1], PIXELS), nn.Sigmoid())

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 1, 28, 28) → (batch, 10, 16): the digits' capsules, whose lengths say how likely each digit is there."""
        parents, _, _ = self.routed(pixels)
        return parents

    def routed(self, pixels: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """The digits' capsules, the couplings (batch, 10, children) of each routing, and the children (batch, children, 8)."""
        maps = self.primary(self.features(pixels).relu())  # (batch, 8 · types, 6, 6)
        children = squash(maps.flatten(2).reshape(len(pixels), CHILD, -1).transpose(1, 2))
        votes = torch.einsum("bci,pcio->bpco", children, self.votes)  # (batch, 10, children, 16)
        parents, couplings = route(votes, self.routings, self.over)
        return parents, couplings, children

    def reconstruct(self, parents: Tensor, digits: Tensor) -> Tensor:
        """(batch, 10, 16), with all capsules but that of the digit (batch,) set to 0 → (batch, 1, 28, 28)."""
        mask = F.one_hot(digits, CLASSES).to(parents.dtype)[:, :, None]
        pixels: Tensor = self.decoder((parents * mask).flatten(1))
        return pixels.view(-1, 1, 28, 28)


def squash(vectors: Tensor) -> Tensor:
    """Vectors along the last axis with their direction, and lengths l²/(1 + l²), between 0 and 1."""
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    # l²/(1 + l²) · v/l without the division: a zero vector stays zero, and its gradient is finite.
    squashed: Tensor = vectors * (length / (1 + length.square()))
    return squashed


def route(votes: Tensor, routings: int, over: str) -> tuple[Tensor, list[Tensor]]:
    """Dynamic routing: votes (batch, parents, children, numbers) → parents (batch, parents, numbers), and the couplings of each routing.

    `over` "parents": each child divides itself among the parents, as in the paper. "children": each parent divides itself among the
    children, as in the course's code, where 1,152 couplings of a parent sum to 1.
    """
    logits = votes.new_zeros(votes.shape[:3])
    couplings: list[Tensor] = []
    for routing in range(routings):
        coupling = logits.softmax(1 if over == "parents" else 2)
        couplings.append(coupling)
        parents = squash(torch.einsum("bpc,bpco->bpo", coupling, votes))
        if routing < routings - 1:
            # A child is coupled more to a parent whose output its vote agrees with.
            logits = logits + torch.einsum("bpco,bpo->bpc", votes, parents)
    return parents, couplings


def margin_loss(lengths: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch of T max(0, 0.9 - l)² + 0.5 (1 - T) max(0, l - 0.1)², summed over the ten lengths (batch, 10)."""
    present = F.one_hot(labels, CLASSES).to(lengths.dtype)
    missing, excess = (PRESENT - lengths).relu().square(), (lengths - ABSENT).relu().square()
    return (present * missing + OTHERS * (1 - present) * excess).sum(1).mean()


def equal_cnn(maps: int, types: int, parameters: int) -> nn.Sequential:
    """The same two convolutions, and a hidden layer as wide as makes it the same number of parameters, at most: (batch, 10) logits."""
    convolutions = [nn.Conv2d(1, maps, FILTER), nn.ReLU(), nn.Conv2d(maps, CHILD * types, FILTER, stride=STRIDE), nn.ReLU()]
    inputs = CHILD * types * PLACES
    left = parameters - count(nn.Sequential(*convolutions)) - CLASSES
    width = left // (inputs + 1 + CLASSES)
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, CLASSES))


def count(network: nn.Module) -> int:
    """Parameters of a network."""
    return sum(weight.numel() for weight in network.parameters())


class Capsules(TorchProject):
    """Classifies digits by the lengths of ten vectors, and draws them again from one."""

    takes = "picture"
    datasets = ("mnist",)

    class Config(Optimization, Augmentation):
        model: Literal["capsules", "cnn"] = "capsules"
        """Kind of network: capsules; or cnn, a convolutional network with as many parameters, to compare with."""
        maps: int = Field(256, ge=8, le=512)
        """Feature maps of the first convolution; more recognise more strokes, and take proportionally longer."""
        types: int = Field(32, ge=1, le=64)
        """Types of primary capsules, of which each of the 36 places has one; more vote in finer detail, and take longer."""
        routings: int = only(3, when={"model": "capsules"}, ge=1, le=10)
        """Rounds of routing by agreement; 1 couples every child to all parents alike."""
        softmax: Literal["parents", "children"] = only("parents", when={"model": "capsules"})
        """What the couplings are a softmax over: the ten parents, as in the paper; or the children, as in the course's code."""

    class Request(TorchProject.Request):
        digit: int = Field(0, ge=0, le=63)
        """Which validation digit is looked at."""
        change: Annotated[list[list[float]], Matrix(2, 8, -0.5, 0.5, 0.05)] = [[0.0] * 8] * 2
        """What is added to the 16 numbers of its capsule, 8 in a row, before it is drawn; a number may be thickness, slant, a loop."""

    def build_data(self) -> None:
        data = mnist.read()
        self.classes = data.classes
        # (number, 1, 28, 28) and (number,) on the device
        self.splits = {
            name: (torch.from_numpy(part.images).to(self.device), torch.from_numpy(part.labels).to(self.device))
            for name, part in (("train", data.train), ("valid", data.valid), ("test", data.test))
        }

    def build_model(self) -> None:
        config = self.config
        capsules = CapsuleNetwork(config.maps, config.types, config.routings, config.softmax)
        self.network: Any = capsules if config.model == "capsules" else equal_cnn(config.maps, config.types, count(capsules))
        self.network.to(self.device)
        self.optimizer = config.make_optimizer(self.network.parameters())

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {"network": (self.splits["train"][0][: self.train.batch_size],)}

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        return InMemory(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        pixels, labels = batch  # (batch, 1, 28, 28), (batch,)
        rates = self.config.apply(self.optimizer, self.progress)
        pixels = self.config.augmented(pixels)
        self.optimizer.zero_grad()
        with self.autocast():
            if self.config.model == "cnn":
                loss = F.cross_entropy(self.network(pixels), labels)
                parts = {}
            else:
                parents = self.network(pixels)
                lengths = torch.linalg.vector_norm(parents, dim=-1)  # (batch, 10)
                # Of the longest capsule, as in the course and as when it is used: the label would tell the decoder what to draw.
                drawn = self.network.reconstruct(parents, lengths.argmax(1))
                margin = margin_loss(lengths, labels)
                error = (drawn - pixels).square().sum((1, 2, 3)).mean()
                loss = margin + RECONSTRUCTION * error
                parts = {"margin": margin, "reconstruction": error / PIXELS}
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, **parts, **rates}

    def scores(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """The ten lengths of each digit, or a CNN's probabilities, (number, 10); and what the capsules draw again, (number, 1, 28, 28)."""
        scores, drawn = [], []
        for piece in pixels.split(PIECE):
            with self.autocast():
                outputs = self.network(piece).float()
                if self.config.model == "cnn":
                    scores.append(outputs.softmax(1))
                else:
                    scores.append(torch.linalg.vector_norm(outputs, dim=-1))
                    drawn.append(self.network.reconstruct(outputs, scores[-1].argmax(1)))
        return torch.cat(scores), torch.cat(drawn).float() if drawn else None

    def evaluate(self, split: str) -> Iterator[Event]:
        pixels, labels = self.splits[split]
        scores, drawn = self.scores(pixels)
        predictions = Predictions(labels, scores, self.classes)
        values = {"accuracy": predictions.accuracy}
        if drawn is None:
            values["loss"] = float(F.nll_loss(scores.clamp(min=1e-12).log(), labels))
        else:
            margin, error = float(margin_loss(scores, labels)), float((drawn - pixels).square().mean())
            values |= {"loss": margin + RECONSTRUCTION * PIXELS * error, "reconstruction": error}
        # How well it carries over to digits that are moved as no training digit was.
        some = len(pixels) if split == "test" else AFFINE_VALID
        moved, _ = self.scores(moved_digits(pixels[:some]))
        values["affine_accuracy"] = float((moved.argmax(1) == labels[:some]).float().mean())
        yield Scalars(values=values)
        yield predictions.confusion

    def sample(self, request: Any) -> Iterator[Event]:
        """Digits and what is drawn again of them; of one digit the lengths, the couplings, and what its 16 numbers mean."""
        pixels, labels = (part[:64] for part in self.splits["valid"])
        if request.digit >= len(pixels):
            raise Problem(f"digit: there are digits 0 to {len(pixels) - 1}.", cause="data")
        if self.config.model == "cnn":
            scores, _ = self.scores(pixels[:24])
            yield pictures("answers", pixels[:24], Predictions(labels[:24], scores, self.classes).captions(truth=False))
            return
        one = pixels[request.digit : request.digit + 1]
        parents, couplings, children = self.network.routed(one)
        lengths = torch.linalg.vector_norm(parents, dim=-1)[0]
        answer = lengths.argmax()
        change = torch.tensor(request.change, dtype=parents.dtype, device=parents.device).flatten()
        drawn = self.network.reconstruct(torch.cat([parents, parents + change]), answer.expand(2))
        captions = [f"digit {self.classes[int(labels[request.digit])]}", f"drawn as {self.classes[int(answer)]}", "with the change"]
        yield pictures("one digit", torch.cat([one, drawn]), captions, columns=3)
        yield Curve(tag="lengths", x=list(range(CLASSES)), y=lengths.tolist(), labels=("digit", "length of its capsule"))
        yield coupling_table(couplings, children)
        yield self.perturbed(parents, answer)
        few = pixels[:8]
        again, shown = self.scores(few)
        assert shown is not None
        texts = [f"{self.classes[int(label)]}" for label in labels[:8]] + [self.classes[int(digit)] for digit in again.argmax(1)]
        yield pictures("reconstructions", torch.cat([few, shown]), texts, columns=8)

    def perturbed(self, parents: Tensor, answer: Tensor) -> Images:
        """A row for each of the 16 numbers of the answer's capsule (1, 10, 16): what it draws as that number changes."""
        moves = (
            torch.eye(PARENT, device=parents.device)[:, None] * torch.tensor(CHANGES, dtype=parents.dtype, device=parents.device)[:, None]
        )
        copies = parents + moves.reshape(-1, 1, PARENT)  # (16 · changes, 10, 16)
        drawn = self.network.reconstruct(copies, answer.expand(len(copies)))
        captions = [f"{number + 1}: {change:+.2f}" for number in range(PARENT) for change in CHANGES]
        return pictures("16 numbers, changed", drawn, captions, columns=len(CHANGES))

    def summary(self) -> Iterator[Event]:
        yield from super().summary()
        ranges = f"shifted by up to {SHIFT} pixels each way, rotated by up to {ROTATION}°, scaled by {1 - ZOOM} to {1 + ZOOM}"
        yield Text(
            tag="affine test", text=f"{count(self.network):,} parameters. Affine digits are {ranges}; the draws are the same in every run."
        )

    def form(self) -> dict[str, Any]:
        return {"shape": (1, 28, 28)}

    def predict(self, inputs: Any) -> Any:
        """`{"picture": PNG or JPEG in base64}` → the likeliest digit, and the length of each digit's capsule (a CNN's probabilities)."""
        answer = answered(self.serving().coding, inputs, lambda pixels: self.scores(pixels.to(self.device))[0])
        if self.config.model == "capsules" and "note" in answer:
            answer["note"] = ", ".join(filter(None, [answer["note"], "lengths need not sum to 1"]))
        return answer

    def serving(self) -> Serving:
        pixels, labels = self.splits["test"]

        def scores(digits: Tensor) -> Tensor:
            outputs = self.network(digits)
            answers: Tensor = outputs.softmax(1) if self.config.model == "cnn" else torch.linalg.vector_norm(outputs, dim=-1)
            return answers

        return Serving(
            Coding(Picture(shape=(1, 28, 28), like="mnist", light=False), Classes(of="scores"), self.classes),
            graph=Computed(scores, network=self.network),
            examples=lambda count: sent_pictures(pixels[:count].cpu().numpy()),
            truths=lambda count: [self.classes[label] for label in labels[:count].tolist()],
        )


def coupling_table(couplings: list[Tensor], children: Tensor) -> Numbers:
    """Where the children of one digit send themselves in each routing: their couplings to each parent, weighted by their lengths."""
    weights = torch.linalg.vector_norm(children, dim=-1)[0]
    weights = weights / weights.sum()
    values = [(coupling[0] @ weights).tolist() for coupling in couplings]
    rows = [f"routing {number}" for number in range(1, len(values) + 1)]
    return Numbers(tag="couplings", values=values, rows=rows, columns=[str(digit) for digit in range(CLASSES)])


def moved_digits(pixels: Tensor) -> Tensor:
    """The digits by the affine test's transforms, always the same; nobody else's random numbers move."""
    with torch.random.fork_rng(devices=[pixels.device] if pixels.is_cuda else []):
        torch.manual_seed(AFFINE_SEED)
        # Drawn on the CPU, so that every device tests the same pictures.
        return random_affine(pixels.cpu(), shift=SHIFT, rotation=ROTATION, zoom=ZOOM).to(pixels.device)
