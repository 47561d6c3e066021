"""Lightning's logger: `Trainer(logger=DlwbLogger("name"))` makes a fit a run of dlwb."""

from collections.abc import Mapping
from typing import Any

from workbench.elsewhere.run import Run
from workbench.elsewhere.values import by_split

try:
    from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
    from lightning.pytorch.utilities.rank_zero import rank_zero_only
except ImportError:  # the same under its older name
    from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
    from pytorch_lightning.utilities.rank_zero import rank_zero_only


class DlwbLogger(Logger):  # type: ignore[misc]
    """Logs what `self.log` of a LightningModule is given: `train_loss` and `val_loss` share a chart, as `train/loss` and `valid/loss`.

    `run`: one that there is already; else one of this name is made at the first fit. It ends with the script, so that a test after the
    fit belongs to it.
    """

    def __init__(self, name: str = "", config: Any = None, run: Run | None = None) -> None:
        super().__init__()
        self._name = name
        self._config = dict(config or {})
        self._run = run

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The run: `self.logger.experiment.image(…)` logs a picture."""
        if self._run is None:
            self._run = Run(self._name, self._config)
        return self._run

    @property
    def name(self) -> str:
        """What the lists call it."""
        return self._name or "lightning"

    @property
    def version(self) -> str:
        """The run's id."""
        return self._run.id if self._run else ""

    @property
    def save_dir(self) -> str | None:
        """Lightning's own checkpoints stay where it puts them."""
        return None

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **more: Any) -> None:
        """Take the module's hyperparameters into the run's settings."""
        given = dict(params if isinstance(params, Mapping) else vars(params))
        if self._run is None:
            self._config.update(given)
        else:
            self._run.settings(given)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers at a step of the optimizer."""
        values = {by_split(name): value for name, value in metrics.items() if name != "epoch"}
        self.experiment.log(values, step, epoch=metrics.get("epoch"))
