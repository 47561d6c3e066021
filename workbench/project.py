"""What a course project writes: class Project. It never draws, logs or writes files: it returns numbers and yields events. No torch here.

The loop (`workbench.training.fit`) calls, in this order: build_data, build_model, then for every epoch batches and for every batch
train_step; on its cadences evaluate and sample; predict when somebody tries the model.
"""

import contextlib
import copy
import random
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from workbench.batches import Batches
from workbench.events import Event
from workbench.problems import Problem
from workbench.recipe import Compute, Train

__all__ = ["Batches", "Field", "Own", "Project", "Request", "Settings", "live", "only"]

Own = Annotated[str, Field(pattern=r"^(\.{1,2}|~)?/", json_schema_extra={"own": True})]
"""A Config field's path to a file or folder of a person's own (`Literal["mnist"] | Own`): `./…` starts at the recipe's folder, and the
project gets it absolute. That it exists is looked at before a run starts, as it is for any text field with `"own": True`."""


Conditions = Mapping[str, str | bool | int | Sequence[str | bool | int]]
"""Values of other settings, one or several each, all of which have to hold."""


class Settings(BaseModel):
    """Base of every Config and Request: frozen, unknown keys refused, every field described."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Request(Settings):
    """What a person asks of `sample`: a project adds its prompt, temperature, drawn digit."""


def live(default: Any, *, when: Conditions | None = None, **rules: Any) -> Any:
    """A Config field that may change while the run goes on: `live(0.01, gt=0)`. The project's `changed` is told. `when`: see `only`."""
    return Field(default, json_schema_extra={"live": True, **_condition(when)}, **rules)


def only(default: Any, *, when: Conditions, **rules: Any) -> Any:
    """A Config field that means something only beside certain values of others: `only(3, when={"model": "cnn"}, ge=1)`.

    The schema then says `"when": {"model": ["cnn"]}`; a form hides the field otherwise, a recipe may still give it.
    """
    return Field(default, json_schema_extra=_condition(when), **rules)


def _condition(when: Conditions | None) -> dict[str, Any]:
    choices = {name: [values] if isinstance(values, str | bool | int) else list(values) for name, values in (when or {}).items()}
    return {"when": choices} if choices else {}


@runtime_checkable
class Stateful(Protocol):
    """Modules, optimizers, schedulers, scalers, and whatever of a project's own keeps to the same two words."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any) -> Any: ...


class Project:
    """Base of every course project. Attributes made in build_data are data; what build_model makes is the state that checkpoints hold."""

    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    """Kinds of device that it can train on."""
    can_answer: ClassVar[bool] = False
    """Whether `predict` is there: "try it" and serving ask."""
    takes: ClassVar[Literal["", "picture", "text", "row"]] = ""
    """What "try it" asks `predict` with: `{"picture": PNG or JPEG bytes in base64}`; a text's Request; or `{"row": {name: number}}`, a
    number for each field of form(). It shows of the answer what there is: `probabilities` or `next` ({name: share}) as bars, `answer`,
    `text`, `seen` (the picture as the network got it, a PNG in base64), `note` (what was done to it)."""
    suffix: ClassVar[str] = ".npz"
    """How its checkpoint files end."""
    stateless: ClassVar[tuple[type, ...]] = (
        np.random.Generator,
        random.Random,
        types.FunctionType,
        types.BuiltinFunctionType,
        types.MethodType,
        types.ModuleType,
        type,
    )
    """Kinds of attribute that `state` leaves out: what never changes, and generators, which belong to `random_state`."""

    class Config(Settings):
        """The project's own settings: the recipe's `config:`."""

    class Request(Request):
        """What a person may ask of `sample`."""

    def __init__(self, config: Settings, train: Train, compute: Compute, seed: int, folder: Path = Path()) -> None:
        """`folder` is the recipe's: relative paths in the config start there. Do the work in build_data and build_model."""
        self.config: Any = config
        self.train = train
        self.compute = compute
        self.seed = seed
        self.folder = folder
        self.variant = ""
        """What the data is called where a variant is used ("CIFAR-10 as JPEG"): build_data sets it; shown with every figure."""
        self.demo = ""
        """Why this run counts for nothing ("random weights"): build_data or build_model sets it; bars are then not judged."""
        self.progress = 0.0
        """The share of the planned steps that is done: the loop sets it before each train_step; 0 while an epoch's length is unknown."""
        self._base = frozenset({*vars(self), "_base", "_data"})

    # -- what a project writes ---------------------------------------------------------------------------------------------------

    def build_data(self) -> None:
        """Read the data into attributes. They are not part of checkpoints: don't change them later."""

    def build_model(self) -> None:
        """Make modules, optimizers, arrays: every attribute made here, and later, is saved and restored."""

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        """The batches of an epoch, `Batches` or any iterable. Draw from `rng` alone (seeded by run and epoch): so it resumes exactly."""
        raise Problem(f"{type(self).__name__} does not say what its batches are.", "Write batches(self, epoch, rng).")

    def train_step(self, batch: Any) -> dict[str, Any]:
        """Forward, backward, every optimizer's step. Returns named numbers (`loss`, `loss/generator`); tensors stay on the device."""
        raise Problem(f"{type(self).__name__} has no training step.", "Write train_step(self, batch).")

    def evaluate(self, split: str) -> Iterator[Event]:
        """Yield what can be measured on "valid" (on the cadence) or "test" (once, with the best weights); tags without the split."""
        return iter(())

    def sample(self, request: Any) -> Iterator[Event]:
        """Yield what can be shown: texts, pictures, neighbours; `request` carries what a person typed."""
        return iter(())

    def summary(self) -> Iterator[Event]:
        """Yield what there is to say about the network itself; asked once, before the first step."""
        return iter(())

    def predict(self, inputs: Any) -> Any:
        """Answer one input, JSON in and JSON out."""
        raise Problem(f"{type(self).__name__} cannot be asked.")

    def form(self) -> dict[str, Any]:
        """What "try it" needs to know once everything is built: a picture's `shape` (channels, height, width); a row's `fields`, each with
        `name`, `low`, `high` and a `value` to begin with."""
        return {}

    def changed(self, config: Settings) -> None:
        """Called at a step boundary after live settings changed: pass them on to optimizers. `self.config` is the new one already."""

    # -- what TorchProject replaces -----------------------------------------------------------------------------------------------

    def device_memory(self) -> float:
        """The most bytes that it has held on its accelerator; 0 on the CPU."""
        return 0.0

    def prepare(self) -> None:
        """Set threads and flags of this process; called once, before build_data."""

    def floats(self, values: list[Any]) -> list[float]:
        """Numbers that train_step returned, as floats: the one place where the loop waits for the device."""
        return [float(value) for value in values]

    def keep(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """What train_step returned, as it may be held until the window closes."""
        return numbers.copy()

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Around evaluate, sample and predict."""
        yield

    def seed_all(self, seed: int) -> None:
        """Seed every global generator."""
        random.seed(seed)
        np.random.seed(seed % 2**32)

    def random_state(self) -> dict[str, Any]:
        """All random states: Python's, NumPy's, and of every generator found on self."""
        version, internal, gauss = random.getstate()
        legacy: Any = np.random.get_state(legacy=False)
        state: dict[str, Any] = {
            "python": [version, list(internal), gauss],
            "numpy": {**legacy, "state": {"key": legacy["state"]["key"].tolist(), "pos": legacy["state"]["pos"]}},
        }
        for name, value in vars(self).items():
            if isinstance(value, np.random.Generator):
                state[f"self.{name}"] = _plain(value.bit_generator.state, arrays=True)
            elif isinstance(value, random.Random):
                version, internal, gauss = value.getstate()
                state[f"self.{name}"] = [version, list(internal), gauss]
        return state

    def set_random_state(self, state: dict[str, Any]) -> None:
        """Put back what `random_state` returned."""
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
        legacy = state["numpy"]
        np.random.set_state({**legacy, "state": {**legacy["state"], "key": np.array(legacy["state"]["key"], np.uint32)}})
        for name, value in vars(self).items():
            if f"self.{name}" in state:
                if isinstance(value, np.random.Generator):
                    value.bit_generator.state = state[f"self.{name}"]
                elif isinstance(value, random.Random):
                    version, internal, gauss = state[f"self.{name}"]
                    value.setstate((version, tuple(internal), gauss))

    def array_state(self, value: Any) -> Any:
        """A copy of an attribute that checkpoints can hold, or NotImplemented for a kind that this class does not know."""
        return value.copy() if isinstance(value, np.ndarray) else NotImplemented

    def load_array(self, value: Any, saved: Any) -> Any:
        """Write `saved` into `value` in place where it has the same shape; returns the attribute's new value."""
        if isinstance(value, np.ndarray) and value.shape == np.shape(saved):
            value[...] = saved
            return value
        return saved

    def encode_state(self, tree: dict[str, Any]) -> bytes:
        """A tree of plain values and arrays as the bytes of a checkpoint file, without pickle."""
        from workbench.npz import encode_npz

        return encode_npz(tree)

    def decode_state(self, data: bytes) -> dict[str, Any]:
        """The tree that `encode_state` was given."""
        from workbench.npz import decode_npz

        return decode_npz(data)

    # -- state -----------------------------------------------------------------------------------------------------------------------

    def build(self, doing: Callable[[str], None] = lambda what: None) -> None:
        """build_data and build_model, telling their attributes apart; `doing` is told which of them it is at."""
        self.prepare()
        self.seed_all(self.seed)
        doing("reading its data")
        self.build_data()
        self._data = {name: value for name, value in vars(self).items() if name not in self._base}
        doing("building its network")
        self.build_model()

    _base: frozenset[str] = frozenset()
    _data: dict[str, Any] = {}

    def state(self) -> dict[str, Any]:
        """Copies of everything that training changes, found on self by kind; a mutable thing of another kind is refused by name."""
        state = {}
        for name, value in vars(self).items():
            if name in self._data:
                if value is not self._data[name]:
                    raise Problem(
                        f"self.{name} was made in build_data, whose attributes no checkpoint holds, but it was changed since.",
                        "Make it in build_model.",
                    )
            elif name not in self._base and not isinstance(value, self.stateless):
                state[name] = self._saved(name, value)
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Write a state back in place."""
        for name, saved in state.items():
            value = getattr(self, name, None)
            if isinstance(value, Stateful):
                value.load_state_dict(copy.deepcopy(saved))
            elif isinstance(value, tuple):
                setattr(self, name, tuple(saved))
            else:
                setattr(self, name, self.load_array(value, saved))

    def _saved(self, name: str, value: Any) -> Any:
        if isinstance(value, Stateful):
            return self.copied(value.state_dict())
        array = self.array_state(value)
        if array is not NotImplemented:
            return array
        try:
            return _plain(value)
        except TypeError:
            raise Problem(
                f"self.{name} is a {type(value).__name__}, which a checkpoint cannot hold, so this run could not resume exactly.",
                "Make it in build_data if it never changes; else give it state_dict and load_state_dict, or keep it in an array.",
            ) from None

    def copied(self, tree: Any) -> Any:
        """A deep copy of a state_dict that later training cannot change."""
        return copy.deepcopy(tree)


def _plain(value: Any, *, arrays: bool = False) -> Any:
    """A copy of plain data; TypeError for anything else. `arrays` are taken as lists, which every bit generator takes back."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_plain(item, arrays=arrays) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str | int) for key in value):
        return {key: _plain(item, arrays=arrays) for key, item in value.items()}
    if arrays and isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError
