"""Classifies a row of measurements: logistic regression or a small multilayer perceptron. Recipes: tumour-mlp, student-admissions."""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from workbench.datasets import table
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Classes, Column, RowOfNumbers
from workbench.encoding.serving import Serving
from workbench.events import Event, Scalars, Table
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import InMemory
from workbench.torchkit.classification import Predictions
from workbench.torchkit.optimization import ClassifierSettings
from workbench.torchkit.project import TorchProject
from workbench.training.project import Field

EXAMPLES = 8
"""Examples of each cell of the confusion matrix."""
MEASUREMENTS = 4
"""Measurements that stand beside an example."""


class TableClassifier(TorchProject):
    """Classifies a row of measurements."""

    takes = "row"

    class Config(ClassifierSettings):
        data: str = Field("breast-cancer", min_length=1, json_schema_extra={"own": True})
        """Data set: breast-cancer, student-admissions, or a CSV file of your own: ./my.csv."""
        target: str = "target"
        """Column with the class of a row."""
        positive: str = ""
        """Positive class, which precision, recall and ROC are about; empty: malignant, or the last by name. Of two classes only."""
        leave_out: list[str] = []
        """Columns that are not given to the network."""
        words: list[str] = []
        """Columns of categories, which may be numbers, as a rank: each category becomes a one-hot input."""
        numbers: list[str] = []
        """Columns of numbers that look like codes: 007, 2E7, 1_000."""
        decimal: Literal["auto", "point", "comma"] = "auto"
        """Decimal sign, for columns that can be read in two ways: 1,234. The others show theirs."""
        missing: list[str] = []
        """Words for a missing field, in any column. An empty field is one; among numbers NA, null, ? and what pandas writes are, too."""
        spellings: Literal["ask", "together", "apart"] = "ask"
        """What words are that differ only in case, blanks, - and _, or how a number is written, as Setosa and setosa: one, or several."""
        hidden: list[Annotated[int, Field(ge=1)]] = [32, 16]
        """Hidden units of each layer; none: logistic regression. More fit the training data better, and may overfit."""
        dropout: float = Field(0.2, ge=0, lt=1)
        """Dropout probability of a hidden unit in each training step; higher reduces overfitting and slows learning."""

    def build_data(self) -> None:
        config = self.config
        columns = {field.name: getattr(config, field.name) for field in dataclasses.fields(table.Columns)}
        self.data = table.read(config.data, table.Columns(**columns), config.positive, self.folder)
        self.variant = self.data.variant
        self.splits = {
            name: (torch.from_numpy(part.features).to(self.device), torch.from_numpy(part.labels).to(self.device))
            for name, part in (("train", self.data.train), ("valid", self.data.valid), ("test", self.data.test))
        }
        # Shown beside examples: where the classes' means lie furthest apart, in standard deviations of the training part.
        features, labels = self.data.train.features, self.data.train.labels
        means = np.stack([features[labels == label].mean(0) for label in range(len(self.data.classes))])
        self.telling = np.argsort(-np.ptp(means, axis=0), kind="stable")[:MEASUREMENTS]

    def build_model(self) -> None:
        config = self.config
        width, layers = len(self.data.names), list[nn.Module]()
        for units in config.hidden:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(config.dropout)]
            width = units
        self.network = nn.Sequential(*layers, nn.Linear(width, len(self.data.classes))).to(self.device)
        self.optimizer = config.make_optimizer(self.network.parameters())

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        return InMemory(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        features, labels = batch  # (batch, inputs), (batch,)
        rates = self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        with self.autocast():
            loss = F.cross_entropy(self.network(features), labels, label_smoothing=self.config.label_smoothing)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, **rates}

    def evaluate(self, split: str) -> Iterator[Event]:
        features, labels = self.splits[split]
        logits = self.network(features)
        predictions = Predictions(labels, logits.softmax(1).double(), self.data.classes)
        binary = len(self.data.classes) == 2
        values = {
            "loss": float(F.cross_entropy(logits, labels)),
            "accuracy": predictions.accuracy,
            "accuracy/majority": predictions.majority,
            **(predictions.binary_scores() if binary else {}),
        }
        yield Scalars(values=values)
        yield predictions.confusion
        yield self.examples(split, predictions)
        yield predictions.roc() if binary else predictions.by_class()

    def examples(self, split: str, predictions: Predictions) -> Table:
        """Rows of each cell of the confusion matrix with their measurements: mistakes first, and the most confident of them."""
        order = np.lexsort((-predictions.confidence, predictions.answers == predictions.labels))
        chosen, cells = predictions.first_of_cells(order, EXAMPLES)
        raw = (self.data.valid if split == "valid" else self.data.test).raw
        rows: list[list[str | float]] = []
        for index, (truth, answer) in zip(chosen, cells, strict=True):
            measurements = [float(f"{value:.4g}") for value in raw[index, self.telling]]
            confidence = round(float(predictions.confidence[index]), 4)
            rows.append([self.data.classes[truth], self.data.classes[answer], confidence, *measurements])
        columns = ["truth", "taken for", "probability", *(self.data.names[place] for place in self.telling)]
        return Table(tag="confusion/examples", columns=columns, rows=rows, cells=cells)

    def form(self) -> dict[str, Any]:
        raw, mean = self.data.train.raw, self.data.mean
        rows = zip(self.data.names, raw.min(0).tolist(), raw.max(0).tolist(), mean.tolist(), strict=True)
        return {"fields": [{"name": name, "low": low, "high": high, "value": value} for name, low, high, value in rows]}

    def predict(self, inputs: Any) -> Any:
        """`{"row": {"mean radius": 14.2, …}}` to `{"answer": …, "probabilities": {…}}`; what is left out counts as the training mean."""
        return answered(self.serving().coding, inputs, lambda rows: self.network(rows.to(self.device)))

    def serving(self) -> Serving:
        data = self.data
        measured = zip(
            data.names, data.mean.tolist(), data.scale.tolist(), data.train.raw.min(0).tolist(), data.train.raw.max(0).tolist(), strict=True
        )
        columns = [Column(name=name, mean=mean, scale=scale, low=low, high=high) for name, mean, scale, low, high in measured]

        return Serving(
            Coding(RowOfNumbers(columns=columns), Classes(), data.classes),
            graph=self.network,
            examples=lambda count: [{"row": dict(zip(data.names, row.tolist(), strict=True))} for row in data.test.raw[:count]],
            truths=lambda count: [data.classes[label] for label in data.test.labels[:count].tolist()],
        )
