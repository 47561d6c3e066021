"""Settings that change while a run goes on: which may, and what they are now. The loop asks it at step boundaries."""

from collections.abc import Iterator
from typing import Any

import msgspec

from workbench.problems import Problem, one_line
from workbench.recipes.recipe import LIVE, Train
from workbench.runs.history import History
from workbench.training.project import Project


class LiveSettings:
    """The loop's cadence and the project's config, as people have changed them so far."""

    def __init__(self, project: Project, train: Train) -> None:
        self.project = project
        self.train = train
        self.settings: dict[str, Any] = {}
        """Every change so far, newest value by name: `config.learning_rate`, `train.epochs`."""
        self.pending: list[dict[str, Any]] = []
        """What an earlier attempt changed later in the run, in the order of the steps."""

    def value(self, name: str) -> Any:
        """What a setting is now; None where there is no such setting."""
        section, _, key = name.partition(".")
        return getattr(self.project.config if section == "config" else self.train, key, None)

    def will_change(self, name: str) -> bool:
        """Whether an earlier attempt changed it later in the run."""
        return any(name in change["settings"] for change in self.pending)

    def next_change(self) -> int:
        """The step of the next pending change; 0 where there is none."""
        return int(self.pending[0]["step"]) if self.pending else 0

    def due(self, step: int) -> Iterator[dict[str, Any]]:
        """The pending changes up to this step, each once."""
        while self.pending and self.pending[0]["step"] <= step:
            yield self.pending.pop(0)

    def catch_up(self, past: History, step: int) -> bool:
        """Set what was changed up to this step and is not in `settings`; returns whether there was anything."""
        wanted = {name: value for mark in past.marks if mark.step <= step for name, value in mark.settings.items()}
        # What was changed at the very step of the checkpoint, after it had been written.
        late = {name: value for name, value in wanted.items() if self.settings.get(name) != value}
        self.change(late)
        return bool(late)

    def change(self, settings: dict[str, Any]) -> str:
        """Set new values, all or none; returns a line for people. Problem or pydantic's ValidationError where one is not allowed."""
        before = {name: self.value(name) for name in settings}
        config: dict[str, Any] = {}
        train: dict[str, Any] = {}
        for name, value in settings.items():
            section, _, key = name.partition(".")
            if name not in self.names():
                raise Problem(f"{one_line(name, 80)} cannot be changed while the run goes on.", f"These can: {', '.join(self.names())}.")
            (config if section == "config" else train)[key] = value
        try:
            # Converted, since msgspec checks the limits of a struct only there. Both are checked before either is set.
            new_train = msgspec.convert({**msgspec.structs.asdict(self.train), **train}, Train)
        except msgspec.ValidationError as error:
            raise Problem(f"train: {error}.") from None
        self.project.config = type(self.project.config).model_validate({**self.project.config.model_dump(), **config})
        self.train = new_train
        self.settings.update(settings)
        return ", ".join(f"{name.partition('.')[2]} {before[name]} → {value}" for name, value in settings.items())

    def names(self) -> list[str]:
        """What may change."""
        fields = type(self.project.config).model_fields.items()
        own = [
            f"config.{name}" for name, field in fields if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("live")
        ]
        return [*own, *(f"train.{name}" for name in LIVE)]


def to_repeat(past: History, from_step: int) -> list[dict[str, Any]]:
    """What earlier attempts changed after the step from which the run goes on, each with the `step` at which it is to be made again."""
    marks = [mark for mark in past.marks if mark.settings]
    changes = [{"step": mark.step, "settings": mark.settings, "text": mark.text} for mark in marks if mark.step > from_step]
    started = [status for status in past.statuses if status.state == "running" and status.attempt == past.attempt]
    # What the last attempt was to do again and did not come to, be it at the very step where it ended.
    done = [(mark.step, mark.settings) for mark in marks]
    changes += [
        change
        for change in (started[0].pending if started else [])
        if change["step"] > from_step and (change["step"], change["settings"]) not in done
    ]
    return sorted(changes, key=lambda change: change["step"])
