"""A semi-supervised GAN, whose discriminator learns ten digits from 100 labels. Recipes: semi-supervised-gan, semi-supervised-compare."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, softplus

from workbench.datasets import images
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Classes, Picture
from workbench.encoding.serving import Serving, sent_pictures
from workbench.events import Curve, Event, Scalars
from workbench.preparation import counted
from workbench.problems import Problem
from workbench.torchkit.adversarial import Adversarial, AdversarialSettings, generator_loss, mean_probabilities
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import InMemory
from workbench.torchkit.classification import Predictions
from workbench.torchkit.optimization import step_size
from workbench.torchkit.running_average import RunningAverage
from workbench.training.figures import pictures
from workbench.training.project import Field, only

PIXELS, CLASSES = 28 * 28, 10
SAMPLES = 16
PIECE = 2_000
"""Pictures that go through the discriminator at once outside training."""
ALONE = 300
"""Steps of the network that has the labels alone, so that no run waits for it: 960 steps give 0.1 to 0.4 points more, seeds 1 to 3."""
FIRST = 500
"""Digits by which the scales of the discriminator's units are chosen."""
GAN = ("features", "fooling")
"""The methods that have a generator."""


class SemiSupervised(Adversarial):
    """Learns to classify from a few labelled digits, from all digits without their labels, and from those that a generator draws."""

    takes = "picture"
    datasets = ("mnist",)

    class Config(AdversarialSettings):
        learning_rate: float = step_size(0.003, "Step size of Adam, for both networks; higher learns faster and may diverge.")
        beta1: float = Field(0.5, ge=0, lt=1)
        """Decay rate of Adam's average of past gradients; higher remembers longer, and with the usual 0.9 a GAN may oscillate."""
        method: Literal["features", "fooling", "labels"] = "features"
        """What is trained: features, a GAN whose generator is to have the features of real digits (feature matching); fooling, a GAN whose
        generator is to be taken for real; labels, the discriminator on its labelled digits alone."""
        labels_per_class: int = Field(10, ge=1, le=1000)
        """Training digits of each class whose labels are used, drawn by the run's seed; more leave less to learn without labels."""
        discriminator: list[int] = Field([1000, 500, 250, 250, 250], min_length=1)
        """Hidden units of each layer of the discriminator; the last layer's are the features. More fit finer and train slower."""
        generator: list[int] = only([500, 500], when={"method": GAN}, min_length=1)
        """Hidden units of each layer of the generator, from the noise to the digit; more draw finer digits and train slower."""
        input_noise: float = Field(0.3, ge=0, le=2)
        """Standard deviation of the noise that is added to the pixels in training; higher reduces overfitting and hides thin strokes."""
        hidden_noise: float = Field(0.5, ge=0, le=2)
        """Standard deviation of the noise that is added to each hidden unit in training; higher reduces overfitting and slows learning."""
        average: float = Field(0.999, ge=0, lt=1)
        """Decay of the running average of the discriminator's weights, which is what classifies; higher averages over more steps, and
        follows later. 0 takes the weights of the last step."""

    class Request(Adversarial.Request):
        seed: int = Field(0, ge=0, lt=2**63)
        """Seed of the noise that digits are drawn from; 0: the run's own sixteen."""

    def build_data(self) -> None:
        """48,000 digits without labels, of which a few have one; 12,000 are held out to show the accuracy, 10,000 for the test.

        Nothing is chosen by the held-out labels, neither weights nor the end of the run: they would count as labels, too.
        """
        data = images.read("mnist")
        self.classes = data.classes
        self.unlabelled = torch.from_numpy(data.train.images).to(self.device)  # (48000, 1, 28, 28) in [0, 1]
        chosen = labelled_places(data.train.labels, self.config.labels_per_class, self.seed)
        self.labelled = self.unlabelled[torch.from_numpy(chosen).to(self.device)]
        self.labels = torch.from_numpy(data.train.labels[chosen]).to(self.device)
        self.splits = {
            name: (torch.from_numpy(part.images).to(self.device), torch.from_numpy(part.labels).to(self.device))
            for name, part in (("valid", data.valid), ("test", data.test))
        }
        self.alone = self.accuracy_of_labels_alone()

    def build_model(self) -> None:
        config = self.config
        self.generator = generator(config.noise_size, config.generator).to(self.device)
        self.discriminator = classifier(config.discriminator, config.input_noise, config.hidden_noise, self.unlabelled[:FIRST])
        # A generator that moves on pulls the discriminator to and fro: the mean of many steps is steadier than one of them.
        self.averaged = RunningAverage(self.discriminator, config.average) if config.average else None
        self.make_optimizers(betas=(config.beta1, 0.999))
        self.fixed_noise = self.noise(SAMPLES)

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        size = self.train.batch_size
        return {"generator": (self.noise(size),), "discriminator": (self.unlabelled[:size],)}

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        # A last batch of one or two would make the means of the features worthless.
        return InMemory([self.unlabelled], self.train.batch_size, rng, drop_last=len(self.unlabelled) >= self.train.batch_size)

    def train_step(self, batch: Any) -> dict[str, Any]:
        (unlabelled,) = batch  # (batch, 1, 28, 28)
        labelled, labels = self.some_labelled(len(unlabelled))  # as many, each of the few again and again
        rates = self.apply_settings()
        if self.config.method == "labels":
            with self.autocast():
                on_labelled = self.discriminator(labelled)
                loss = cross_entropy(on_labelled, labels)
            self.learn_classes(loss)
            return {"loss/labelled": loss, "accuracy": share_right(on_labelled, labels), **rates}

        # The discriminator learns which class a labelled digit has, that an unlabelled one has any, and a drawn one none.
        with self.autocast():
            with torch.no_grad():
                # Without a graph: this loss trains the discriminator alone.
                drawn = self.generator(self.noise(len(unlabelled)))
            # All in one pass: none of its layers mixes examples.
            answers = self.discriminator(torch.cat((labelled, unlabelled, drawn)))
            on_labelled, on_unlabelled, on_drawn = answers.split(len(unlabelled))
            losses = {
                "loss/labelled": cross_entropy(on_labelled, labels),
                "loss/unlabelled": unlabelled_loss(on_unlabelled),
                "loss/drawn": drawn_loss(on_drawn),
            }
            # Half each, so that real or drawn weighs as much as which class, as in the paper's code.
            loss = losses["loss/labelled"] + (losses["loss/unlabelled"] + losses["loss/drawn"]) / 2
        self.learn_classes(loss)

        # The generator learns to draw digits whose features are those of real ones, in the mean; or to be taken for real.
        with self.autocast():
            drawn = self.generator(self.noise(len(unlabelled)))
            if self.config.method == "features":
                with torch.no_grad():
                    real_features = self.features(unlabelled)
                loss_of_generator = feature_matching(real_features, self.features(drawn))
            else:
                loss_of_generator = generator_loss(real_logit(self.discriminator(drawn)))
        self.step_generator(loss_of_generator)

        seen = mean_probabilities(real_logit(on_unlabelled), real_logit(on_drawn))
        return {**losses, "loss/generator": loss_of_generator, "accuracy": share_right(on_labelled, labels), **seen, **rates}

    def learn_classes(self, loss: Tensor) -> None:
        """One step of the discriminator, and of the average of its weights."""
        self.step_discriminator(loss)
        if self.averaged:
            self.averaged.update_parameters(self.discriminator)

    def some_labelled(self, count: int) -> tuple[Tensor, Tensor]:
        """So many of the labelled digits, drawn with replacement: (count, 1, 28, 28) and (count,)."""
        places = torch.randint(len(self.labels), (count,), device=self.device)
        return self.labelled[places], self.labels[places]

    def features(self, digits: Tensor) -> Tensor:
        """The last hidden layer, before its noise: (number, 1, 28, 28) → (number, units)."""
        assert isinstance(self.discriminator, nn.Sequential)
        features: Tensor = self.discriminator[:-2](digits)
        return features

    def logits(self, digits: Tensor) -> Tensor:
        """What classifies: (number, 1, 28, 28) → (number, 10), float32."""
        network = self.averaged or self.discriminator
        with self.autocast():
            return torch.cat([network(piece) for piece in digits.split(PIECE)]).float()

    def accuracy_of_labels_alone(self) -> dict[str, float]:
        """The baseline: accuracy, by split, of an equal network that is trained on the labelled digits and nothing else for ALONE steps."""
        config, devices = self.config, [self.device] if self.device.type == "cuda" else []
        # By the run's seed, and the random state of the run as it was.
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            network = classifier(config.discriminator, config.input_noise, config.hidden_noise, self.unlabelled[:FIRST])
            optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, fused=True)
            schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.05, ALONE)
            for _ in counted("training on the labels alone", range(ALONE)):
                digits, labels = self.some_labelled(100)
                optimizer.zero_grad()
                cross_entropy(network(digits), labels).backward()
                optimizer.step()
                schedule.step()
        network.eval()
        with torch.no_grad():
            return {name: float(share_right(network(digits), labels)) for name, (digits, labels) in self.splits.items()}

    def evaluate(self, split: str) -> Iterator[Event]:
        """The accuracy on digits that no training saw, beside that of the labels alone, and the confusion matrix."""
        digits, labels = self.splits[split]
        predictions = Predictions(labels, self.logits(digits).softmax(1), self.classes)
        yield Scalars(values={"accuracy": predictions.accuracy, "accuracy/labels_alone": self.alone[split]})
        yield predictions.confusion

    def sample(self, request: Any) -> Iterator[Event]:
        """Sixteen drawn digits; the mean features of real and of drawn ones; held-out digits that are classified wrongly."""
        real, labels = (part[:PIECE] for part in self.splits["valid"])
        if self.config.method in GAN:
            noise = self.fixed_noise
            if request.seed:
                noise = self.seeded_noise(SAMPLES, torch.Generator().manual_seed(request.seed))
            yield pictures("digits", self.generator(noise), columns=8)
            drawn = self.generator(self.seeded_noise(len(real), torch.Generator().manual_seed(request.seed)))
            means = {name: self.features(digits).mean(0) for name, digits in (("real", real), ("drawn", drawn))}
            order = means["real"].argsort(descending=True)
            for name, mean in means.items():
                unit = list(map(float, range(len(order))))
                yield Curve(tag=f"features/{name}", x=unit, y=mean[order].tolist(), labels=("unit, by its real mean", "mean"))
        predictions = Predictions(labels, self.logits(real).softmax(1), self.classes)
        wrong = np.flatnonzero(predictions.answers != predictions.labels)[:SAMPLES]
        if len(wrong):
            yield pictures("mistakes", real[torch.from_numpy(wrong).to(self.device)], predictions.captions(wrong, truth=False), columns=8)

    def summary(self) -> Iterator[Event]:
        yield from super().summary()
        captions = [self.classes[label] for label in self.labels[:100].tolist()]
        yield pictures("labelled digits", self.labelled[:100], captions, columns=20)

    def form(self) -> dict[str, Any]:
        return {"shape": (1, 28, 28)}

    def predict(self, inputs: Any) -> Any:
        """`{"picture": PNG or JPEG in base64}`, or `{"pixels": [[…]]}`, to the likeliest digit and the probability of each."""
        return answered(self.serving().coding, inputs, lambda digits: self.logits(digits.to(self.device)))

    def serving(self) -> Serving:
        digits, labels = self.splits["test"]
        return Serving(
            Coding(Picture(shape=(1, 28, 28), like="mnist", light=False), Classes(), self.classes),
            graph=self.averaged.module if self.averaged else self.discriminator,
            examples=lambda count: sent_pictures(digits[:count].cpu().numpy()),
            truths=lambda count: [self.classes[label] for label in labels[:count].tolist()],
        )


def labelled_places(labels: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Which examples keep their label: `number` of each class, drawn by the seed, the classes one behind the other."""
    random = np.random.default_rng(seed)
    places = [np.flatnonzero(labels == label) for label in range(CLASSES)]
    fewest = min(map(len, places))
    if fewest < number:
        raise Problem(f"labels_per_class is {number}, and one class has only {fewest} training pictures.", "Take fewer.", "data")
    return np.concatenate([random.choice(part, number, replace=False) for part in places])


# -- losses --------------------------------------------------------------------------------------------------------------------
# D = Z / (Z + 1), where Z is the sum of the exponentials of the ten logits. An eleventh logit of 0 for drawn ones gives the same network,
# as a number that is added to all logits changes no softmax (Salimans and others 2016, section 5).


def real_logit(logits: Tensor) -> Tensor:
    """log Z of (number, 10), the logit of a digit's probability of being real: the sigmoid of log Z is Z / (Z + 1)."""
    return logits.float().logsumexp(1)


def unlabelled_loss(logits: Tensor) -> Tensor:
    """-log D: a real digit has any of the ten classes."""
    return softplus(-real_logit(logits)).mean()


def drawn_loss(logits: Tensor) -> Tensor:
    """-log (1 - D): a drawn digit has none."""
    return softplus(real_logit(logits)).mean()


def feature_matching(real: Tensor, drawn: Tensor) -> Tensor:
    """The mean, over the features, of the distance between the means of two batches (number, units); the paper squares the distance."""
    return (real.float().mean(0) - drawn.float().mean(0)).abs().mean()


def share_right(logits: Tensor, labels: Tensor) -> Tensor:
    """The accuracy of logits (number, classes)."""
    return (logits.argmax(1) == labels).float().mean()


# -- networks ------------------------------------------------------------------------------------------------------------------


class GaussianNoise(nn.Module):
    """Adds normal noise in training. So few labelled digits are soon overfitted: with noise none is seen twice alike."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, inputs: Tensor) -> Tensor:
        """Of any shape."""
        return inputs + self.deviation * torch.randn_like(inputs) if self.training else inputs


class NormedLinear(nn.Module):
    """A linear layer whose units have weights of length 1, times a scale that stays as it begins, or is learned: weight normalisation.

    Salimans and Kingma 2016. A unit cannot outgrow the noise that is added to it. With plain layers and PyTorch's start seed 1 ended at
    90.3 % of the validation digits, with these at 96.7 %.
    """

    scale: Tensor

    def __init__(self, inputs: int, outputs: int, learned: bool = False) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.randn(outputs, inputs) / 10)
        """(outputs, inputs); its length is without effect on what it computes, and makes its steps smaller: a tenth as in the paper."""
        self.bias = nn.Parameter(torch.zeros(outputs))
        if learned:
            self.scale = nn.Parameter(torch.ones(outputs))
        else:
            self.register_buffer("scale", torch.ones(outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, inputs) → (batch, outputs)."""
        # The sums are scaled and not the weights: of these there are as many as a batch has numbers, several times over.
        sums: Tensor = linear(inputs, self.direction) * (self.scale / self.direction.norm(dim=1)) + self.bias
        return sums

    @torch.no_grad()
    def begin(self, inputs: Tensor) -> None:
        """Choose scale and bias so that each unit's sums over these inputs have mean 0 and standard deviation 1."""
        self.scale.fill_(1)
        self.bias.zero_()
        sums = self(inputs)
        # A unit that none of these inputs moves keeps a finite scale.
        deviation = sums.std(0).clamp(min=1e-3)
        self.scale.copy_(1 / deviation)
        self.bias.copy_(-sums.mean(0) / deviation)


def classifier(hidden: list[int], input_noise: float, hidden_noise: float, digits: Tensor) -> nn.Sequential:
    """Fully connected layers with noise before each: (batch, 1, 28, 28) → (batch, 10) logits. `digits` are those that it begins with."""
    layers: list[nn.Module] = [nn.Flatten(), GaussianNoise(input_noise)]
    for sizes in pairwise([PIXELS, *hidden]):
        layers += [NormedLinear(*sizes), nn.ReLU(), GaussianNoise(hidden_noise)]
    network = nn.Sequential(*layers, NormedLinear(hidden[-1], CLASSES, learned=True)).to(digits.device)
    with torch.no_grad():
        inputs = digits
        for layer in network:
            if isinstance(layer, NormedLinear):
                layer.begin(inputs)
            inputs = layer(inputs)
    return network


def generator(noise_size: int, hidden: list[int]) -> nn.Sequential:
    """Fully connected layers with batch norm: (batch, noise_size) → (batch, 1, 28, 28) in [0, 1]."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([noise_size, *hidden]):
        # Without a bias: batch norm would subtract it again.
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], PIXELS), nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28)))
