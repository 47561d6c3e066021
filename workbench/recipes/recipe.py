"""Recipe and its sections, and load(path): a Recipe, or one error that lists every problem with its line. Recipes are only data."""

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from workbench import paths
from workbench.problems import Problem, nearest, one_line
from workbench.recipes import project_schemas, schema_check, trust, yaml_reader
from workbench.recipes.project_schemas import ProjectSchema
from workbench.recipes.yaml_reader import Fault, Key

OWN = re.compile(r"(\.{1,2}|~)?/")
"""How a path of a person's own begins."""
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


LIVE = ("epochs", "steps", "log_every", "evaluate_every", "sample_every", "checkpoint_every", "patience")
"""What of Train may change while a run goes on."""


class Compute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """On what, and how exactly. Part of the recipe because 1 and 2 threads, or TF32, give different bits."""

    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Where it trains: auto, cpu, cuda or cuda:N.")] = "auto"
    threads: Annotated[int, Meta(ge=0, description="Threads for one operation on the CPU; 0 takes as many as this process may use.")] = 0
    precision: Annotated[
        str,
        Meta(
            pattern=r"^(float32|bfloat16)$",
            description="Numbers of the forward pass: float32, or bfloat16 by autocast on CUDA, faster with less memory.",
        ),
    ] = "float32"
    tf32: Annotated[bool, Meta(description="Let CUDA multiply float32 as TF32: faster, with 10 bits of mantissa.")] = False
    deterministic: Annotated[bool, Meta(description="Use only algorithms that give the same bits every time; some are slower.")] = False


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


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing to train, complete: a project, its numbers, and what to make of the result."""

    title: Annotated[str, Meta(min_length=1, description="what the list of recipes shows")]
    part: str = ""
    lesson: str = ""
    about: str = ""
    project: Annotated[str, Meta(min_length=1, description="a shipped project's name, or ./your_own.py")]
    config: dict[str, Any] = {}
    train: Train = Train()
    compute: Compute = Compute()
    seed: Count = 1
    watch: list[str | Note] = []
    """What to look for: sentences, and notes for a stage of the run."""
    reference: list[Reference] = []
    bar: list[Bar] = []


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe that was read, and where from."""

    recipe: Recipe
    path: Path
    project_file: Path | None = None
    """A person's own Python file; None for a shipped project."""
    schema: ProjectSchema | None = None
    """What its settings and requests may be; None while they are unchecked."""
    overrides: tuple[str, ...] = ()
    """What was put over it."""
    unchecked: str = ""
    """Why its settings are unchecked, as a sentence's end; else ""."""

    @property
    def stem(self) -> str:
        """The file's name without its ending: what `dlwb run` takes."""
        return self.path.stem


class RecipeProblem(Problem):
    """Everything that is wrong with a recipe: `problems` has a line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@cache
def _own_schema() -> dict[str, Any]:
    return msgspec.json.schema(Recipe)


def load(path: Path | str, overrides: Sequence[str] = (), *, describe: bool = True) -> Loaded:
    """Read a recipe, with `config.learning_rate=0.1` put over it; raises RecipeProblem with all that is wrong.

    With `describe` False no process is started, not even to describe a trusted project whose schema is not at hand: for lists.
    """
    path = Path(path)
    name = shown(path)
    document = yaml_reader.read(path)
    data, lines, faults = document
    if not isinstance(data, dict):
        if not faults:
            faults.append(Fault((), "is empty" if data is None else "is not a list of `key: value` lines", 1))
        raise RecipeProblem(_report(name, faults, lines, set()))
    data = {key: value for key, value in data.items() if value is not None}
    typed = {where for where in (_override(data, text, faults) for text in overrides) if where}

    checked, more = schema_check.complete(data, _own_schema(), "a recipe")
    faults += more
    project = data.get("project")
    file, schema, unchecked = None, None, ""
    if isinstance(project, str) and project:
        try:
            file = _project_file(project, path)
            if file and not trust.is_trusted(file):
                unchecked = f"its settings are unchecked until you trust {one_line(project)}"
            else:
                schema = project_schemas.describe(file or project, may_run=describe)
                if schema is None:
                    unchecked = f"its settings are unchecked until {one_line(project)} is described: `dlwb check {path.stem}`"
        except Problem as problem:
            faults.append(Fault(("project",), str(problem)))
    if schema and isinstance(data.get("config", {}), dict):
        owner = file.name if file else str(project)
        checked["config"], more = schema_check.complete(data.get("config", {}), schema.config, owner)
        faults += [Fault(("config", *where), text) for where, text, _ in more]
        faults += _missing(checked["config"], schema, path.parent)
    faults = [_under_its_section(fault, data, schema) for fault in faults]
    bars = data.get("bar")
    for index, bar in enumerate(bars if isinstance(bars, list) else []):
        unbounded = isinstance(bar, dict) and bar.get("at_least") is None and bar.get("at_most") is None
        if unbounded and not any(fault.where[:2] == ("bar", index) and len(fault.where) > 2 for fault in faults):
            faults.append(Fault(("bar", index), "needs at_least or at_most"))
    if faults:
        raise RecipeProblem(_report(name, faults, lines, typed))
    recipe = msgspec.convert(checked, Recipe)
    if ("config", "data") in typed:  # its figures are those of its own data
        recipe = msgspec.structs.replace(recipe, bar=[], reference=[])
    return Loaded(recipe=recipe, path=path, project_file=file, schema=schema, overrides=tuple(overrides), unchecked=unchecked)


def _missing(config: dict[str, Any], schema: ProjectSchema, folder: Path) -> list[Fault]:
    """What it names of a person's own and is not there: known now, and not once everything else was read."""
    faults = []
    for name, field in schema.config.get("properties", {}).items():
        value = config.get(name)
        if isinstance(value, str) and any(each.get("own") for each in field.get("anyOf", [field])) and OWN.match(value):
            found = Path(paths.rooted(value, folder))
            if not found.exists():
                faults.append(Fault(("config", name), f"there is no {one_line(str(found), 200)}{_near_file(found)}"))
    return faults


def _under_its_section(fault: Fault, data: dict[str, Any], schema: ProjectSchema | None) -> Fault:
    """An unknown key of the recipe that one of its sections knows is a matter of indentation."""
    if len(fault.where) != 1 or fault.where[0] not in data or fault.where[0] in Recipe.__struct_fields__:
        return fault
    sections = {"train": Train.__struct_fields__, "compute": Compute.__struct_fields__}
    sections["config"] = tuple(schema.config.get("properties", ())) if schema else ()
    for section, fields in sections.items():
        if fault.where[0] in fields:
            return fault._replace(text=f"not a setting of a recipe; it belongs under {section}")
    return fault


def _override(data: dict[str, Any], text: str, faults: list[Fault]) -> Key | None:
    """Put one `dotted.key=value` into the data; returns its place."""
    name, sign, value = text.partition("=")
    where = tuple(name.strip().split("."))
    if not sign or not all(where):
        faults.append(Fault((), f"--set {one_line(text, 80)}: is not of the form config.learning_rate=0.1", -1))
        return None
    if where != ("seed",) and not (where[0] in ("config", "train", "compute") and len(where) > 1):
        faults.append(Fault((), f"--set {one_line(name, 80)}: only config.…, train.…, compute.… and seed can be set", -1))
        return None
    made, wrong = yaml_reader.flow_value(value)
    if wrong:
        faults.append(Fault((), f"--set {one_line(name, 80)}: {wrong}", -1))
        return None
    section: Any = data
    for part in where[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            faults.append(Fault((), f"--set {one_line(name, 80)}: {part} has no settings of its own", -1))
            return None
    section[where[-1]] = paths.rooted(made, Path())  # what the shell completes starts at the working directory
    return where


def _report(name: str, faults: Sequence[Fault], lines: dict[Key, int], typed: set[Key]) -> list[str]:
    """One line a fault, in the file's order; what follows from another fault at the same place is left out."""
    report: list[tuple[int, str]] = []
    blamed: list[Key] = []
    for where, text, line in faults:
        if where and any(where[: len(each)] == each for each in blamed):
            continue
        if where:
            blamed.append(where)
        dotted = ".".join(str(part) for part in where)
        if line < 0:
            report.append((1 << 30, text))
        elif any(where[: len(each)] == each for each in typed):
            report.append((1 << 30, f"--set {one_line(dotted, 200)}: {text}"))
        else:
            line = line or next((lines[where[:end]] for end in range(len(where), 0, -1) if where[:end] in lines), 1)
            report.append((line, f"{name}:{line} {one_line(dotted, 200)}: {text}" if dotted else f"{name}:{line} {text}"))
    return [text for _, text in sorted(report, key=lambda each: each[0])]


def _project_file(project: str, recipe: Path) -> Path | None:
    """A person's own Python file, or None for a shipped project; Problem where there is neither."""
    if project.startswith(("./", "../", "/")) and project.endswith(".py"):
        file = recipe.parent / project
        if not file.is_file():
            raise Problem(f"there is no file {one_line(project)} beside the recipe" + _near_file(file))
        return file
    known = shipped_projects()
    if project in known:
        return None
    if project.endswith(".py"):
        raise Problem(f"for a file of your own write ./{one_line(project.lstrip('./'))}")
    raise Problem(f"there is no project {one_line(project)}" + (nearest(project, known) or f"; there are {', '.join(known)}"))


def _near_file(file: Path) -> str:
    try:
        return nearest(file.name, sorted(each.name for each in file.parent.iterdir() if each.suffix == file.suffix))
    except OSError:
        return ""


def shipped_projects() -> list[str]:
    """The names of the shipped projects: their files are the registry."""
    return sorted(file.stem for file in paths.projects().glob("*.py") if not file.stem.startswith("_"))


def shown(path: Path) -> str:
    """A path as reports name it: from the working directory where it lies below it."""
    try:
        return one_line(str(path.absolute().relative_to(Path.cwd())), 200)
    except (ValueError, OSError):
        return one_line(str(path), 200)


def shipped_and_own() -> list[Path]:
    """Every recipe in the shipped, the home's and the working directory's folders, by folder and name."""
    found: list[Path] = []
    for folder in paths.recipe_folders():
        for place, folders, names in os.walk(folder):
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            found += [Path(place, each) for each in sorted(names) if each.endswith(".yaml") and not each.startswith(".")]
    return found


def course_order(heading: str) -> tuple[int, str]:
    """Sorts parts, and the lessons of one: "2. Gradient descent" by its number, what has none after them."""
    number = heading.partition(".")[0]
    return (int(number), "") if number.isdecimal() else (99, heading)


def find(name_or_path: str) -> Path:
    """The recipe file of that name (`mnist-mlp`) or path; Problem with the nearest names where there is none."""
    path = Path(name_or_path).expanduser()
    if path.suffix in (".yaml", ".yml") and path.exists():
        return path
    if "/" in name_or_path:
        raise Problem(f"There is no file {shown(path)}{_near_file(path)}", "`dlwb list` shows the recipes there are.")
    recipes = shipped_and_own()
    stem = name_or_path.removesuffix(".yaml")
    matches = [each for each in recipes if each.stem == stem]
    if len(matches) > 1:
        raise Problem(f"{one_line(stem)} may be any of {', '.join(shown(each) for each in matches)}.", "Give the path.")
    if not matches:
        near = nearest(stem, [each.stem for each in recipes])
        raise Problem(f"There is no recipe {one_line(stem)}{near or '.'}", "`dlwb list` shows the recipes there are.")
    return matches[0]


def dump(recipe: Recipe) -> str:
    """The recipe as YAML with every field written out; `load` reads it back the same, and so does any other YAML reader."""
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Of its own, so that how it writes text changes for nobody else."""

    def text(dumper: Any, value: str) -> Any:
        try:
            quoted = not isinstance(yaml_reader.scalar(value), str)
        except ValueError:
            quoted = True
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if quoted else None)

    Dumper.add_representer(str, text)
    return yaml.dump(msgspec.to_builtins(recipe), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
