"""Recipe and its sections, and load(path): a Recipe, or one error that lists every problem with its line. Recipes are data: nothing here runs code."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]


class Train(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long, and how often what is done. Every cadence is counted in training steps, so that two identical runs have identical logs."""

    epochs: Annotated[int, Meta(ge=1, description="passes over the training data, unless steps is given")] = 1
    steps: Annotated[int, Meta(ge=0, description="training steps in all; 0: as many as the epochs have")] = 0
    batch_size: Annotated[int, Meta(ge=1, description="examples in one training step")] = 64
    log_every: Annotated[int, Meta(ge=0, description="steps that one logged value is the mean of; 0: measured over the first 50 steps")] = 0
    evaluate_every: Annotated[int, Meta(ge=0, description="steps between two evaluations; 0: once an epoch")] = 0
    sample_every: Annotated[int, Meta(ge=0, description="steps between two samples; 0: whenever it is evaluated")] = 0
    checkpoint_every: Annotated[int, Meta(ge=0, description="steps between two checkpoints; 0: by the clock, so that they cost under 2 %")] = 0
    patience: Annotated[int, Meta(ge=0, description="evaluations without improvement of keep_best after which it ends; 0: never")] = 0
    keep_best: Annotated[str, Meta(description="metric whose best weights are kept and tested, as valid/loss; empty: the last weights")] = ""
    stop_when_not_finite: Annotated[bool, Meta(description="end the run when a training value becomes NaN or infinite")] = True


class Compute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """On what, and how exactly. Part of the recipe because 1 and 2 threads, or TF32, give different bits."""

    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")] = "auto"
    threads: Annotated[int, Meta(ge=0, description="threads for one operation on the CPU; 0: as many as this process may use")] = 0
    precision: Annotated[str, Meta(pattern=r"^(float32|bfloat16)$", description="float32, or bfloat16 autocast on CUDA")] = "float32"
    tf32: Annotated[bool, Meta(description="let CUDA multiply float32 as TF32: faster, with 10 bits of mantissa")] = False
    deterministic: Annotated[bool, Meta(description="only algorithms that give the same bits every time")] = False


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the course got, with its source."""

    metric: str
    value: float
    source: str


class Bar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What counts as passing: at_least or at_most, on a metric's last value (`test/…`) or its best."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None

    def passed(self, value: float) -> bool:
        """Whether this value passes."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing to train, complete: a project, its numbers, and what to make of the result."""

    title: str
    part: str = ""
    lesson: str = ""
    about: str = ""
    project: str
    config: dict[str, Any] = {}
    train: Train = Train()
    compute: Compute = Compute()
    seed: Count = 1
    watch: list[str] = []
    reference: list[Reference] = []
    bar: list[Bar] = []
