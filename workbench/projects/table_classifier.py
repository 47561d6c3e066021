"""Names the class of a row of measurements: a small multilayer perceptron. Recipes: tumour-mlp, student-admissions."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.datasets import table
from workbench.events import Event, Scalars, Table
from workbench.problems import Problem, one_line
from workbench.torchkit.batches import InMemory
from workbench.torchkit.images import by_class, confusion
from workbench.torchkit.metrics import auc, precision_recall, roc_curve
from workbench.torchkit.project import TorchProject
from workbench.training.project import Field, Settings, live

SHOWN = 8
"""Examples of each cell of the confusion matrix."""
MEASUREMENTS = 4
"""Measurements that stand beside an example."""


class TableClassifier(TorchProject):
    """Names the class of a row of measurements."""

    can_answer = True
    takes = "row"

    class Config(Settings):
        data: str = Field("breast-cancer", min_length=1, json_schema_extra={"own": True})
        """breast-cancer, student-admissions, or a CSV file of your own: ./my.csv"""
        target: str = "target"
        """the column with the class"""
        positive: str = ""
        """the class that precision and recall are about; empty: malignant, or the last by name"""
        leave_out: list[str] = []
        """columns that it does not look at"""
        words: list[str] = []
        """columns whose numbers are names, as a rank: each becomes an input of its own"""
        hidden: list[Annotated[int, Field(ge=1)]] = [32, 16]
        """units in each hidden layer; none: logistic regression"""
        dropout: float = Field(0.2, ge=0, lt=1)
        """share of hidden units left out in each training step"""
        learning_rate: float = live(0.001, gt=0)
        """length of Adam's step"""
        weight_decay: float = Field(0.0, ge=0)
        """pull of the weights towards zero"""

    def build_data(self) -> None:
        config = self.config
        self.data = table.read(config.data, config.target, config.positive, config.leave_out, config.words, self.folder)
        self.variant = self.data.variant
        self.splits = {
            name: (torch.from_numpy(part.features).to(self.device), torch.from_numpy(part.labels).to(self.device))
            for name, part in (("train", self.data.train), ("valid", self.data.valid), ("test", self.data.test))
        }
        # Shown beside examples: where the classes' means lie furthest apart, in deviations of the training part.
        features, labels = self.data.train.features, self.data.train.labels
        means = np.stack([features[labels == label].mean(0) for label in range(len(self.data.classes))])
        self.told = np.argsort(-np.ptp(means, axis=0), kind="stable")[:MEASUREMENTS]

    def build_model(self) -> None:
        config = self.config
        width, layers = len(self.data.names), list[nn.Module]()
        for units in config.hidden:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(config.dropout)]
            width = units
        self.network = nn.Sequential(*layers, nn.Linear(width, len(self.data.classes))).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        return InMemory(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        features, labels = batch
        self.optimizer.zero_grad()
        with self.autocast():
            loss = F.cross_entropy(self.network(features), labels)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}

    def changed(self, config: Settings) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate

    def evaluate(self, split: str) -> Iterator[Event]:
        features, labels = self.splits[split]
        logits = self.network(features)
        loss, accuracy = self.floats([F.cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()])
        chances, truth = logits.softmax(1).double().cpu().numpy(), labels.cpu().numpy()
        answers = chances.argmax(1)
        # What calling everything by the commonest class would score: an accuracy means little without it.
        values = {"loss": loss, "accuracy": accuracy, "accuracy/majority": np.bincount(truth).max() / len(truth)}
        if len(self.data.classes) == 2:
            positive = truth == 1
            values["auc"] = auc(positive, chances[:, 1])
            values["precision"], values["recall"] = precision_recall(positive, answers == 1)
        yield Scalars(values=values)
        matrix = confusion(truth, answers, self.data.classes)
        yield matrix
        yield self.examples(split, truth, chances)
        if len(self.data.classes) == 2:
            yield roc_curve(truth == 1, chances[:, 1])
        else:
            yield by_class(matrix)

    def examples(self, split: str, truth: np.ndarray, chances: np.ndarray) -> Table:
        """Rows of each cell of the confusion matrix, mistakes first and the surest of them, with what was measured."""
        answers, sureness = chances.argmax(1), chances.max(1)
        rows: list[list[str | float]] = []
        cells: list[tuple[int, int]] = []
        for index in np.lexsort((-sureness, answers == truth)):
            cell = (int(truth[index]), int(answers[index]))
            if cells.count(cell) < SHOWN:
                cells.append(cell)
                measured = self.data.valid if split == "valid" else self.data.test
                numbers = [float(f"{value:.4g}") for value in measured.raw[index, self.told]]
                rows.append([self.data.classes[cell[0]], self.data.classes[cell[1]], round(float(sureness[index]), 4), *numbers])
        columns = ["truth", "taken for", "probability", *(self.data.names[place] for place in self.told)]
        return Table(tag="confusion/examples", columns=columns, rows=rows, cells=cells)

    def form(self) -> dict[str, Any]:
        raw, mean = self.data.train.raw, self.data.mean
        rows = zip(self.data.names, raw.min(0).tolist(), raw.max(0).tolist(), mean.tolist(), strict=True)
        return {"fields": [{"name": name, "low": low, "high": high, "value": value} for name, low, high, value in rows]}

    def predict(self, inputs: Any) -> Any:
        """`{"row": {"mean radius": 14.2, …}}` to `{"answer": …, "probabilities": {…}}`; what is left out counts as the training mean."""
        row = inputs.get("row") if isinstance(inputs, dict) else None
        if not isinstance(row, dict) or not row:
            raise Problem("The input has no row.", f'Send {{"row": {{"{one_line(self.data.names[0])}": 1.5, …}}}}.', "data")
        raw = self.data.mean.copy()
        for name, value in row.items():
            if name not in self.data.names:
                known = one_line(", ".join(self.data.names), 1000)
                raise Problem(f"There is no measurement {one_line(str(name), 80)!r}.", f"There are: {known}.", "data")
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise Problem(f"{one_line(name)} is not a number.", "", "data")
            raw[self.data.names.index(name)] = value
        features = torch.from_numpy(((raw - self.data.mean) / self.data.scale).astype(np.float32)).to(self.device)
        chances: Tensor = self.network(features[None]).softmax(1)[0]
        return {
            "answer": self.data.classes[int(chances.argmax())],
            "probabilities": dict(zip(self.data.classes, chances.tolist(), strict=True)),
        }
