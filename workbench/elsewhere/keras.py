"""Keras's callback: `model.fit(…, callbacks=[DlwbCallback("name")])` makes a fit a run of dlwb."""

from typing import Any

import keras

from workbench.elsewhere.run import Run
from workbench.elsewhere.values import by_split


class DlwbCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Logs the metrics of the batches, of each epoch's validation, and of `evaluate`; `dlwb stop` ends the fit after its batch.

    `every`: batches between two values. Those of the training are Keras's means since the epoch began. `run`: one that there is already;
    else one of this name is made at the first fit. Steps count batches over all fits; it ends with the script.
    """

    def __init__(self, name: str = "", config: Any = None, run: Run | None = None, every: int = 10) -> None:
        super().__init__()
        self._name = name
        self._config = config
        self._run = run
        self._every = max(1, every)
        self._epoch = 0
        self._fits = False
        self._step = run.step if run else 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Make the run, where there is none yet."""
        self._fits = True
        if self._run is None:
            optimizer = getattr(self.model, "optimizer", None)
            made_of = {"optimizer": optimizer.get_config()} if optimizer is not None else {}
            self._run = Run(self._name or str(self.model.name), made_of if self._config is None else self._config)
        steps, epochs = (self.params or {}).get("steps"), (self.params or {}).get("epochs")
        if steps and epochs:
            self._run.plan(self._step + steps * epochs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Log every so many batches; stop where a person has asked for it."""
        self._step += 1
        if self._step % self._every == 0:
            steps = (self.params or {}).get("steps")
            self._log(logs, "train", self._epoch + (batch + 1) / steps if steps else self._epoch)
        if self._run is not None and self._run.stopping:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the epoch's means and its validation."""
        self._log(logs, "train", epoch + 1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """What is evaluated from now on is a test."""
        self._fits = False

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Log what `evaluate` measured; the validation of an epoch comes with its end."""
        if not self._fits:
            self._log(logs, "test", self._epoch + 1)

    def _log(self, logs: dict[str, Any] | None, split: str, epoch: float) -> None:
        if self._run is not None and logs:
            self._run.log({by_split(name, split): value for name, value in logs.items()}, self._step, epoch=epoch)
