"""What a course project writes: class Project. It never draws, logs or writes files: it returns numbers and yields events. No torch here.

The loop (`workbench.training.loop`) calls, in this order: build_data, build_model, then for every epoch batches and for every batch
train_step; on its cadences evaluate and sample; predict when somebody tries the model.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from workbench.events import Event
from workbench.problems import Problem
from workbench.recipes.recipe import Compute, Train
from workbench.training.batches import Batches
from workbench.training.resumable import Resumable

if TYPE_CHECKING:
    from workbench.encoding.serving import Serving

__all__ = ["Batches", "Field", "Matrix", "Own", "OwnUnlabelled", "Project", "Request", "Settings", "live", "only"]

Own = Annotated[str, Field(pattern=r"^(\.{1,2}|~)?/", json_schema_extra={"own": True})]
"""A Config field's path to a file or folder of a person's own (`Literal["mnist"] | Own`): `./…` starts at the recipe's folder, and the
project gets it absolute. That it exists is looked at before a run starts, as it is for any text field with `"own": True`."""
OwnUnlabelled = Annotated[str, Field(pattern=r"^(\.{1,2}|~)?/", json_schema_extra={"own": True, "labelled": False})]
"""The same for a folder of pictures whose folders are no classes: a preview reads it as the project does."""


Conditions = Mapping[str, str | bool | int | Sequence[str | bool | int]]
"""Values of other settings, one or several each, all of which have to hold."""


class Settings(BaseModel):
    """Base of every Config and Request: frozen, unknown keys refused, every field described."""

    # Frozen: a live change makes a new Config, so that no step sees half of it.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Request(Settings):
    """What a person asks of `sample`: a project adds its prompt, temperature, drawn digit.

    A screen makes a form of its fields: a number between `ge` and `le` gets a slider (`"step"` in `json_schema_extra` is what a key
    changes it by), a Literal choices, a Matrix cells to edit, a text with `"picture": True` a pad to draw on (the request then has the
    PNG in base64). Where `takes` is "text", "try it" asks `predict` with the fields that have no `"sample_only": True`.
    """


@dataclasses.dataclass(frozen=True)
class Matrix:
    """A field that is a small matrix, edited cell by cell: `kernel: Annotated[list[list[float]], Matrix((2, 7), (2, 7))] = …`.

    Rows and columns: a count, or the least and the most; every number lies between `low` and `high`, and moves by `step` at a key.
    """

    rows: int | tuple[int, int]
    columns: int | tuple[int, int]
    low: float = -1000
    high: float = 1000
    step: float = 1

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        (fewest, most), (narrowest, widest) = (size if isinstance(size, tuple) else (size, size) for size in (self.rows, self.columns))
        number = {"type": "number", "minimum": self.low, "maximum": self.high, "step": self.step}
        row = {"type": "array", "minItems": narrowest, "maxItems": widest, "items": number}
        return {"type": "array", "minItems": fewest, "maxItems": most, "items": row}

    def _checked(self, rows: list[list[float]]) -> list[list[float]]:
        widths = sorted({len(row) for row in rows})
        if len(widths) > 1:
            raise ValueError(f"all rows must have equally many numbers, not {widths[0]} and {widths[-1]}")
        return rows


def live(default: Any, *, when: Conditions | None = None, **rules: Any) -> Any:
    """A Config field that may change while the run goes on: `live(0.01, gt=0)`. The project's `changed` is told. `when`: see `only`."""
    return Field(default, json_schema_extra={"live": True, **_condition(when)}, **rules)


def only(default: Any, *, when: Conditions, step: float | None = None, picture: bool = False, **rules: Any) -> Any:
    """A field that means something only beside certain values of others: `only(3, when={"model": "cnn"}, ge=1)`.

    The schema then says `"when": {"model": ["cnn"]}`; a form hides the field otherwise, a recipe may still give it. `step` and
    `picture` are what Request says of a slider and of a pad.
    """
    extra = {"step": step} if step is not None else {"picture": True} if picture else {}
    return Field(default, json_schema_extra={**extra, **_condition(when)}, **rules)


def _condition(when: Conditions | None) -> dict[str, Any]:
    choices = {name: [values] if isinstance(values, str | bool | int) else list(values) for name, values in (when or {}).items()}
    return {"when": choices} if choices else {}


class Project(Resumable):
    """Base of every course project. Attributes made in build_data are data; what build_model makes is the state that checkpoints hold."""

    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    """Kinds of device that it can train on."""
    takes: ClassVar[Literal["", "picture", "text", "row"]] = ""
    """What "try it" asks `predict` with: `{"picture": PNG or JPEG bytes in base64}`; a text's Request; or `{"row": {name: number}}`, a
    number for each field of form(); "" where it cannot be tried. It shows of the answer what there is: `probabilities` or `next`
    ({name: share}) as bars, `answer`, `text`, `seen` (the picture as the network got it, a PNG in base64), `note` (what was done to it)."""

    datasets: ClassVar[tuple[str | tuple[str, dict[str, str]], ...]] = ()
    """Sets of the catalogue that it reads besides `config.data`: a name, or a name with the settings under which it is read, as
    `("vgg19-weights", {"network": "vgg19"})`."""

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
        """Fraction of the planned steps that are done: the loop sets it before each train_step; 0 while an epoch's length is unknown."""
        # Attributes that exist by now are settings, which no checkpoint holds; subclasses add theirs.
        self._base = frozenset({*vars(self), "_base", "_data"})

    def build_data(self) -> None:
        """Read the data into attributes. They are not part of checkpoints: don't change them later."""

    def build_model(self) -> None:
        """Make modules, optimizers, arrays: every attribute made here, and later, is saved and restored."""

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        """The batches of an epoch, `Batches` or any iterable. Draw from `rng` alone (seeded by run and epoch): so it resumes exactly."""
        raise Problem(f"{type(self).__name__} does not say what its batches are.", "Write batches(self, epoch, rng).")

    def train_step(self, batch: Any) -> dict[str, Any]:
        """Forward, backward, every optimizer's step. Returns named numbers (`loss`, `loss/generator`); tensors stay on the device.

        A number may be None where it is not defined at this step (accuracy on no example): it is left out. NaN and infinity end the run."""
        raise Problem(f"{type(self).__name__} has no training step.", "Write train_step(self, batch).")

    def evaluate(self, split: str) -> Iterator[Event]:
        """Yield what can be measured on "valid" (on the cadence) or "test" (once, with the best weights); tags without the split.

        A figure in Scalars may be None where it is not defined (the AUC of one class): it is left out, and never the best."""
        return iter(())

    def sample(self, request: Any) -> Iterator[Event]:
        """Yield what can be shown: texts, pictures, neighbours; `request` carries what a person typed.

        The loop asks it on its cadence with the default Request; a person asks it live, where each change of a field asks again: so yield
        first what is quick. A Problem names what a request cannot be; the panels before it stay. A project without `train_step` is only
        explored: its recipe has no `train:`."""
        return iter(())

    def summary(self) -> Iterator[Event]:
        """Yield what there is to say about the network itself; asked once, before the first step."""
        return iter(())

    def predict(self, inputs: Any) -> Any:
        """Answer one input, JSON in and JSON out."""
        raise Problem(f"{type(self).__name__} cannot be asked.")

    def first_answer(self, inputs: Any) -> Any:
        """What can be said before `predict` has the whole answer: "try it" shows it meanwhile; None where there is nothing to wait for."""
        return None

    def form(self) -> dict[str, Any]:
        """What "try it" needs to know once everything is built: a picture's `shape` (channels, height, width); a row's `fields`, each with
        `name`, `low`, `high` and a `value` to begin with."""
        return {}

    def serving(self) -> "Serving":
        """The trained model as it is served elsewhere: its graph, and how raw input becomes arrays and its output an answer."""
        raise Problem("This lesson has no network that can be asked elsewhere.", "`dlwb explore RUN`, or T on its screen, asks it here.")

    def changed(self, config: Settings) -> None:
        """Called at a step boundary after live settings changed: pass them on to optimizers. `self.config` is the new one already."""
