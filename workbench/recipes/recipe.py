"""Recipe and its sections: what to train, with which numbers, and what to make of the result. Recipes are only data."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench.recipes import yaml_values

Count = Annotated[int, Meta(ge=0)]


class Train(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long, and how often what is done. Every cadence is counted in training steps, so that two identical runs have identical logs."""

    epochs: Annotated[int, Meta(ge=1, description="Passes over the training data; ignored where steps is given. More may overfit.")] = 1
    steps: Annotated[int, Meta(ge=0, description="Training steps in all; 0 takes as many as the epochs have.")] = 0
    batch_size: Annotated[
        int, Meta(ge=1, description="Examples in one training step; larger batches need more memory and give smoother gradients.")
    ] = 64
    log_every: Annotated[
        int, Meta(ge=0, description="Steps that one logged value is the mean of; 0 chooses it from the time of the first 50 steps.")
    ] = 0
    evaluate_every: Annotated[int, Meta(ge=0, description="Steps between two evaluations; 0 evaluates once an epoch.")] = 0
    sample_every: Annotated[int, Meta(ge=0, description="Steps between two samples; 0 samples at every evaluation.")] = 0
    checkpoint_every: Annotated[
        int, Meta(ge=0, description="Steps between two checkpoints; 0 saves by the clock, so that checkpoints cost under 2 % of the time.")
    ] = 0
    keep_every: Annotated[
        int,
        Meta(
            ge=0,
            description="Steps of a span whose first checkpoint stays, to fork from or roll back to; 0 keeps the last two and the best.",
        ),
    ] = 0
    patience: Annotated[
        int,
        Meta(
            ge=0, description="Early stopping: evaluations without improvement of keep_best after which the run ends; 0 never stops early."
        ),
    ] = 0
    keep_best: Annotated[
        str,
        Meta(
            pattern=r"^$|^[^/]+/.",
            description="Metric whose best weights are kept and tested, such as valid/loss; empty tests the last weights.",
        ),
    ] = ""
    stop_when_not_finite: Annotated[bool, Meta(description="End the run when a training value becomes NaN or infinite.")] = True


LIVE = ("epochs", "steps", "log_every", "evaluate_every", "sample_every", "checkpoint_every", "keep_every", "patience")
"""What of Train may change while a run goes on."""


class Compute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """On what, and how exactly. Part of the recipe because 1 and 2 threads, or TF32, give different bits."""

    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="One of auto, cpu, cuda and cuda:N.")] = "auto"
    threads: Annotated[int, Meta(ge=0, description="Threads for one operation on the CPU; 0 takes as many as this process may use.")] = 0
    precision: Annotated[
        str,
        Meta(
            pattern=r"^(float32|bfloat16)$",
            description="Precision of the forward pass: float32, or bfloat16 by autocast on CUDA, faster with less memory.",
        ),
    ] = "float32"
    tf32: Annotated[bool, Meta(description="Let CUDA multiply float32 as TF32: faster, with 10 bits of mantissa.")] = False
    deterministic: Annotated[bool, Meta(description="Use only algorithms that give the same bits every time; some are slower.")] = False
    processes: Annotated[
        int,
        Meta(
            ge=1, le=64, description="Processes that share the rows of each batch: each has a GPU of its own, or a part of the CPU's cores."
        ),
    ] = 1
    nodes: Annotated[
        int, Meta(ge=1, le=1024, description="Machines of a cluster, with so many processes each; only for what `dlwb submit` writes.")
    ] = 1


Place = (
    Annotated[int, Meta(ge=0)]
    | Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)? ?(%|epochs?|steps?)$", description="steps as 600, or 2 epochs, or 40 %")]
)
"""A place of the run: a step, so many epochs, a share of the planned length."""


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to look for at a stage of the run: from a place to a place, or when a metric is below or above a number or another one."""

    text: Annotated[str, Meta(min_length=1, description="the sentence that is shown")]
    start: Place = msgspec.field(name="from", default=0)
    to: Place | None = None
    when: Annotated[
        str,
        Meta(
            pattern=r"^$|^[^\s/<>=]+/[^\s<>=]+ *(<|>|<=|>=) *([^\s/<>=]+/[^\s<>=]+|-?[0-9.]+([eE][-+]?[0-9]+)?)$",
            description="a metric, < or >, and a number or another metric: valid/loss > train/loss",
        ),
    ] = ""


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the course, or somebody else who took it, got, with its source: "course notebook, …"."""

    metric: str
    value: float
    source: str

    @property
    def whose(self) -> str:
        """In a word: the course's, as its source says first, or another's."""
        return "course" if self.source.removeprefix("the ").startswith("course") else "others"


class Bar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What counts as passing: at_least or at_most, of the weights that the run keeps (see `verdict.figure`)."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None

    def passed(self, value: float) -> bool:
        """Whether this value passes."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


class Compare(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A comparison of variants of the recipe, each trained once for each seed."""

    variants: Annotated[dict[str, dict[str, Any]], Meta(min_length=1, max_length=12)]
    """By name, the settings of each: `config.dropout: 0.2`; with `recipe`, another recipe is what they change. One has seeds alone."""
    seeds: Annotated[int, Meta(ge=1, le=20, description="Seeds of each variant, from the recipe's on; more tell smaller differences.")] = 3
    metric: Annotated[str, Meta(pattern=r"^$|^[^/]+/.", description="Metric to compare, such as test/accuracy; empty: the bar's.")] = ""
    sweep: Annotated[
        str,
        Meta(
            pattern=r"^$|^(config|train)\.[a-z0-9_]+$",
            description="Setting that the variants change, as config.learning_rate; the metric is then drawn over its values.",
        ),
    ] = ""


class Dimension(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The values that a setting may have in a tuning: whole numbers or numbers from a least to a greatest one, or some values by name."""

    whole: Annotated[list[int], Meta(min_length=2, max_length=2)] | None = msgspec.field(name="int", default=None)
    real: Annotated[list[float], Meta(min_length=2, max_length=2)] | None = msgspec.field(name="float", default=None)
    choose: Annotated[list[Any], Meta(min_length=2, max_length=100)] | None = None
    log: Annotated[bool, Meta(description="Draw by the logarithm: as many trials from 0.001 to 0.01 as from 0.01 to 0.1.")] = False
    step: Annotated[float | None, Meta(description="Distance between two values that are tried; a grid needs it.")] = None
    when: Annotated[dict[str, Any], Meta(description="Only in trials in which another setting of the space has this value.")] = {}

    @property
    def range(self) -> tuple[float, float] | None:
        """Its least and greatest value; None of one that chooses."""
        ends = self.whole if self.whole is not None else self.real
        return None if ends is None else (ends[0], ends[1])


class Tune(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A search for better settings: trials, each a run with other values; the best is trained again with new seeds."""

    metric: Annotated[str, Meta(pattern=r"^[^/]+/.", description="Metric that judges a trial, as valid/loss; never one of the test.")]
    goal: Annotated[Literal["minimize", "maximize"], Meta(description="Whether a lower or a higher value is better.")]
    trials: Annotated[int, Meta(ge=1, le=1000, description="Runs of the search; more find better settings, and take longer.")] = 20
    parallel: Annotated[
        int, Meta(ge=1, le=64, description="Trials at once. More end sooner, and each knows less of what was found before it.")
    ] = 1
    sampler: Annotated[
        Literal["tpe", "random", "grid", "gp"],
        Meta(description="How values are proposed: tpe and gp learn from the trials before, random does not, grid tries every point."),
    ] = "tpe"
    pruner: Annotated[
        Literal["none", "median", "asha", "hyperband"], Meta(description="Which trials are stopped early, as they fall behind others.")
    ] = "none"
    space: Annotated[dict[str, Dimension], Meta(min_length=1, max_length=50, description="The settings that are tuned, by dotted name.")]
    start_from: Annotated[list[str], Meta(max_length=5, description="Earlier tunings to learn from.")] = []
    kind: Annotated[
        Literal["identical", "transfer"],
        Meta(description="identical: same data and code, their trials count; transfer: only their best settings are tried first."),
    ] = "identical"
    seeds: Annotated[int, Meta(ge=1, le=20, description="New seeds with which the best is trained again; their mean is the figure.")] = 5


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing to train, complete: a project, its numbers, and what to make of the result."""

    title: Annotated[str, Meta(min_length=1, description="what the list of recipes shows")]
    part: str = ""
    lesson: str = ""
    about: str = ""
    project: Annotated[str, Meta(min_length=1, description="a shipped project's name, or ./your_own.py")]
    config: dict[str, Any] = {}
    train: Train = Train()
    explore: dict[str, Any] = {}
    """Values of the request with which exploring begins; what is not named has the project's default."""
    compute: Compute = Compute()
    compare: Compare | None = None
    """Makes it a comparison: its start trains all variants."""
    tune: Tune | None = None
    """Makes it a tuning: its start searches for better settings."""
    seed: Count = 1
    watch: list[str | Note] = []
    """What to look for: sentences, and notes for a stage of the run."""
    try_first: list[str] = msgspec.field(name="try", default_factory=list)
    """What to try first, in sentences."""
    next: list[str] = []
    """What to read next: names of recipes, and keys of what is only read about."""
    reference: list[Reference] = []
    bar: list[Bar] = []


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every field written out; `load` reads it back the same, and so does any other YAML reader."""
    return dump(recipe)


def dump(value: Any) -> str:
    """A struct of plain data as YAML that `yaml_reader` and any other YAML reader read alike."""
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Of its own, so that how it writes text changes for nobody else."""

    def text(dumper: Any, value: str) -> Any:
        try:
            quoted = not isinstance(yaml_values.scalar(value), str)
        except ValueError:
            quoted = True
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if quoted else None)

    Dumper.add_representer(str, text)
    return yaml.dump(msgspec.to_builtins(value), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
