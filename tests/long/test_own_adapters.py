"""The adapters with the real packages: a tiny model on made data becomes a run with its curves. Skipped where a package is missing."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from own_scripts import environment, folded, script

from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of

LIGHTNING = """
import warnings, sys
warnings.filterwarnings("ignore")
import torch, lightning as L
from torch.utils.data import DataLoader, TensorDataset
from workbench.elsewhere.lightning import DlwbLogger

class Line(L.LightningModule):
    def __init__(self, learning_rate=0.1, width=3):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(1, 1)
    def training_step(self, batch, place):
        loss = ((self.layer(batch[0]) - batch[1]) ** 2).mean()
        self.log("train_loss", loss)
        return loss
    def validation_step(self, batch, place):
        self.log("val_loss", ((self.layer(batch[0]) - batch[1]) ** 2).mean())
    def test_step(self, batch, place):
        self.log("test_loss", ((self.layer(batch[0]) - batch[1]) ** 2).mean())
        self.logger.experiment.text("samples/said", "a text")
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.learning_rate)

x = torch.linspace(-1, 1, 64)[:, None]
data = DataLoader(TensorDataset(x, 2 * x + 1), batch_size=8)
logger = DlwbLogger("a line", {"data": "made"})
quiet = dict(enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, accelerator="cpu", log_every_n_steps=2)
trainer = L.Trainer(max_epochs=3, logger=logger, **quiet)
model = Line()
trainer.fit(model, data, data)
trainer.test(model, data, verbose=False)
print(logger.version)
"""
TRANSFORMERS = """
import sys, torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from workbench.elsewhere.transformers import DlwbCallback

class Made(Dataset):
    def __len__(self):
        return 32
    def __getitem__(self, place):
        words = torch.full((6,), 1 + place % 2 * 3)
        return {"input_ids": words, "attention_mask": torch.ones(6, dtype=torch.long), "labels": place % 2}

config = BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
arguments = TrainingArguments(
    output_dir=sys.argv[1], num_train_epochs=2, per_device_train_batch_size=8, logging_steps=2, eval_strategy="epoch", save_strategy="no",
    report_to=[], use_cpu=True, disable_tqdm=True,
)
trainer = Trainer(
    model=BertForSequenceClassification(config), args=arguments, train_dataset=Made(), eval_dataset=Made(),
    callbacks=[DlwbCallback("tiny bert")],
)
trainer.train()
trainer.train()
"""
KERAS = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras, numpy as np
from workbench.elsewhere.keras import DlwbCallback

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 3)).astype("float32")
y = (x.sum(1) > 0).astype("float32")
model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy", metrics=["accuracy"])
callback = DlwbCallback("three columns", every=2)
for _ in range(2):
    model.fit(x, y, validation_data=(x, y), batch_size=16, epochs=2, verbose=0, callbacks=[callback])
model.evaluate(x, y, verbose=0, callbacks=[callback])
"""


def trained(folder: Path, package: str, text: str) -> list[Run]:
    """Train in a process of its own; its runs, the oldest first, all of them finished, and nothing that was said by dlwb."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    words = [sys.executable, str(script(folder, text)), str(folder / "out")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(KERAS_HOME=str(folder)), cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "dlwb:" not in done.stderr
    runs = list_runs()[::-1]
    assert runs and all(state_of(run).state == "finished" for run in runs)
    return runs


def test_lightning(tmp_path: Path) -> None:
    (run,) = trained(tmp_path, "lightning", LIGHTNING)
    history = folded(run)
    assert list(history.series["train/loss"].steps) == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]
    assert len(history.series["valid/loss"]) == 3 and len(history.series["test/loss"]) == 1
    assert history.series["valid/loss"].values[-1] < history.series["valid/loss"].values[0]
    assert history.series["train/loss"].epochs[-1] == 2
    assert run.recipe().config == {"data": "made", "learning_rate": 0.1, "width": 3} and run.recipe().title == "a line"
    assert history.samples["samples/said"].latest.step > 0


def test_the_trainer_of_hugging_face(tmp_path: Path) -> None:
    first, second = trained(tmp_path, "transformers", TRANSFORMERS)
    for run in (first, second):
        history = folded(run)
        assert list(history.series["train/loss"].steps) == [2, 4, 6, 8] and history.steps == 8
        assert list(history.series["valid/loss"].steps) == [4, 8]
        assert history.series["train/learning_rate"].epochs[-1] == 2
        config = run.recipe().config
        assert config["training.per_device_train_batch_size"] == 8 and config["model.hidden_size"] == 16
        assert "whole/loss" in history.series


def test_keras(tmp_path: Path) -> None:
    (run,) = trained(tmp_path, "keras", KERAS)
    history = folded(run)
    assert list(history.series["train/loss"].steps) == [2, 4, 4, 6, 8, 8, 10, 12, 12, 14, 16, 16]
    assert list(history.series["valid/accuracy"].steps) == [4, 8, 12, 16] and history.steps == 16
    assert len(history.series["test/loss"]) == 1
    assert run.recipe().config["optimizer.learning_rate"] == pytest.approx(0.1)
