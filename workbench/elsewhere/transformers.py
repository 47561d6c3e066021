"""The callback for the Trainer of Hugging Face: `Trainer(…, callbacks=[DlwbCallback()])` makes a training a run of dlwb."""

from typing import Any

from transformers import TrainerCallback

from workbench.elsewhere.run import Run
from workbench.elsewhere.values import by_split

OF_ALL = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos")
"""What the Trainer logs at the end about the whole training: its train_loss is a mean, and no point of the curve."""


class DlwbCallback(TrainerCallback):  # type: ignore[misc]
    """Logs what the Trainer logs; `dlwb stop` ends the training after its step, with a checkpoint.

    `run`: one that there is already; else each call of `train` makes one. It ends with the next one, or with the script, so that an
    evaluation after the training belongs to it.
    """

    def __init__(self, name: str = "", run: Run | None = None) -> None:
        self._name = name
        self._given = run
        self._run = run
        self._before = 0
        """The steps of earlier trainings in the same run."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Make the run, with the arguments of the training and the configuration of the model as its settings."""
        if not state.is_world_process_zero:
            return
        if self._given is None:
            if self._run is not None:
                self._run.finish()
            config = {"training": args.to_dict()}
            model = getattr(more.get("model"), "config", None)
            if model is not None and hasattr(model, "to_dict"):
                config["model"] = model.to_dict()
            # By default the Trainer calls a run as its folder.
            self._run = Run(self._name or str(args.run_name or args.output_dir or "trainer").rstrip("/").rpartition("/")[2], config)
        assert self._run is not None
        self._before = self._run.step if state.global_step == 0 else 0
        self._run.plan(self._before + state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **more: Any) -> None:
        """Log numbers at a step."""
        if self._run is None or not state.is_world_process_zero:
            return
        values = {}
        for name, value in (logs or {}).items():
            if name in OF_ALL:
                values[f"whole/{name.removeprefix('train_')}"] = value
            elif name not in ("epoch", "step"):
                values[by_split(name, "train")] = value
        self._run.log(values, self._before + state.global_step, epoch=state.epoch)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
        """Stop where a person has asked for it."""
        if self._run is not None and self._run.stopping:
            control.should_save = control.should_training_stop = True
        return control
