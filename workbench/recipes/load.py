"""load(path): a Recipe, or one error that lists every problem with its line. Nothing of a person's own runs untrusted."""

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from workbench import paths
from workbench.problems import Problem, nearest, one_line
from workbench.recipes import processes, project_schemas, schema_check, search_space, trust, yaml_reader
from workbench.recipes.find import find_recipe, near_file, shipped_projects, shown_path
from workbench.recipes.project_schemas import ProjectSchema
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.recipes.yaml_values import Fault, Key

OWN = re.compile(r"(\.{1,2}|~)?/")
"""How a path of a person's own begins."""
GROUP_SETTINGS = {"compare": ("seeds", "metric"), "tune": ("trials", "parallel", "sampler", "pruner", "seeds")}
"""What of a comparison and of a tuning can be put over a recipe."""
VARIANT = re.compile(r"[\w.+-]{1,24}")
"""The name of a variant: its runs have it as a tag."""


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

    @property
    def trains(self) -> bool:
        """Whether it can be trained; else it is only explored. Unknown while the project is not described: then as if it could."""
        return self.schema is None or self.schema.trains


class RecipeProblem(Problem):
    """Everything that is wrong with a recipe: `problems` has a line for each, `settings` what is wrong with the settings put over it."""

    def __init__(self, problems: Sequence[str], settings: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
        self.settings = tuple(settings)


@cache
def _own_schema() -> dict[str, Any]:
    return msgspec.json.schema(Recipe)


def load_recipe(path: Path | str, overrides: Sequence[str] = (), *, describe: bool = True, compares: bool = True) -> Loaded:
    """Read a recipe, with `config.learning_rate=0.1` put over it; raises RecipeProblem with all that is wrong.

    With `describe` False no process is started, not even to describe a trusted project whose schema is not at hand: for lists.
    With `compares` False its comparison and its tuning are left out: what a variant, or a trial, changes.
    """
    path = Path(path)
    name = shown_path(path)
    data, lines, faults, spellings = yaml_reader.read(path)
    if not isinstance(data, dict):
        if not faults:
            faults.append(Fault((), "is empty" if data is None else "is not a list of `key: value` lines", 1))
        raise RecipeProblem(report(name, faults, lines, set()))
    data = {key: value for key, value in data.items() if value is not None and (compares or key not in ("compare", "tune"))}
    typed: set[Key] = set()
    for text in overrides:
        where = _override(data, spellings, text)
        faults.append(where) if isinstance(where, Fault) else typed.add(where)
    checked, more = schema_check.complete(data, _own_schema(), "a recipe", spellings)
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
        own = {where[1:]: word for where, word in spellings.items() if where[0] == "config"}
        checked["config"], more = schema_check.complete(data.get("config", {}), schema.config, owner, own)
        faults += [Fault(("config", *where), text) for where, text, _ in more]
        faults += _missing(checked["config"], schema, path.parent)
        faults += _explored(data, schema, owner, spellings)
    faults += _compared(data, path, overrides, describe)
    faults += _tuned(data, path, overrides, describe, faults)
    if not faults:
        faults += processes.faults(msgspec.convert(checked, Recipe), schema)
    faults = [_under_its_section(fault, data, schema) for fault in faults]
    bars = data.get("bar")
    for index, bar in enumerate(bars if isinstance(bars, list) else []):
        unbounded = isinstance(bar, dict) and bar.get("at_least") is None and bar.get("at_most") is None
        if unbounded and not any(fault.where[:2] == ("bar", index) and len(fault.where) > 2 for fault in faults):
            faults.append(Fault(("bar", index), "needs at_least or at_most"))
    if faults:
        settings = [fault for fault in faults if fault.line < 0 or any(fault.where[: len(place)] == place for place in typed)]
        raise RecipeProblem(report(name, faults, lines, typed), [(_dotted(fault.where), fault.text) for fault in settings])
    recipe = msgspec.convert(checked, Recipe)
    if ("config", "data") in typed:  # its figures are those of its own data
        recipe = msgspec.structs.replace(recipe, bar=[], reference=[])
    return Loaded(recipe=recipe, path=path, project_file=file, schema=schema, overrides=tuple(overrides), unchecked=unchecked)


def _explored(data: dict[str, Any], schema: ProjectSchema, owner: str, spellings: dict[Key, str]) -> list[Fault]:
    """What is wrong with the request that exploring begins with; and a training that the project does not have."""
    own = {where[1:]: word for where, word in spellings.items() if where[0] == "explore"}
    request = data.get("explore", {})
    faults = schema_check.complete(request, schema.request, owner, own)[1] if isinstance(request, dict) else []
    faults = [Fault(("explore", *fault.where), fault.text) for fault in faults]
    for section in ("train", "compare", "tune"):
        if not schema.trains and section in data:
            faults.append(Fault((section,), f"{owner} is only explored, so there is nothing to {section}: leave the section out"))
    return faults


def variants(loaded: Loaded) -> dict[str, Loaded]:
    """The recipe of each variant of a comparison, without seeds; raises Problem."""
    assert loaded.recipe.compare
    return {name: _variant(settings, loaded.path, loaded.overrides, True) for name, settings in loaded.recipe.compare.variants.items()}


def _variant(settings: dict[str, Any], path: Path, overrides: Sequence[str], describe: bool) -> Loaded:
    base = path
    if "recipe" in settings:
        base = find_recipe(str(paths.rooted(settings["recipe"], path.parent)))
        other = yaml_reader.read(base).value
        if isinstance(other, dict) and (other.get("compare") or other.get("tune")):
            what = "comparison" if other.get("compare") else "tuning"
            raise Problem(f"{one_line(base.stem)} is a {what} itself; a variant is one recipe")
    # What is set for the comparison holds for each of its variants.
    words = [text for text in overrides if not text.startswith(("compare.", "tune."))]
    words += [f"{name}={yaml_reader.flow_text(value)}" for name, value in paths.rooted(settings, path.parent).items() if name != "recipe"]
    return load_recipe(base, words, describe=describe, compares=False)


def _compared(data: dict[str, Any], path: Path, overrides: Sequence[str], describe: bool) -> list[Fault]:
    """What is wrong with the variants of a comparison."""
    compare = data.get("compare")
    named = compare.get("variants") if isinstance(compare, dict) else None
    faults = []
    sweep = compare.get("sweep") if isinstance(compare, dict) else None
    if sweep and isinstance(named, dict) and not any(sweep in settings for settings in named.values() if isinstance(settings, dict)):
        faults.append(Fault(("compare", "sweep"), f"no variant changes {one_line(str(sweep), 80)}"))
    for name, settings in named.items() if isinstance(named, dict) else ():
        where: Key = ("compare", "variants", name)
        if not VARIANT.fullmatch(name):
            faults.append(Fault(where, "the name of a variant is one word of at most 24 letters, digits, and . _ + -"))
        if not isinstance(settings, dict):
            continue
        for key in settings:
            if key != "recipe" and key.partition(".")[0] not in ("config", "train", "compute"):
                faults.append(Fault((*where, key), "a variant has settings, as config.dropout, train.… and compute.…, and `recipe`"))
        try:
            _variant(settings, path, overrides, describe)
        except RecipeProblem as problem:
            for dotted, text in problem.settings:
                key = next((key for key in settings if dotted == key or dotted.startswith(f"{key}.")), "")
                if key:
                    faults.append(Fault((*where, key), text if dotted == key else f"{dotted}: {text}"))
                elif "recipe" in settings:
                    faults.append(Fault((*where, "recipe"), f"--set {dotted}: {text}"))
            # What is wrong with this recipe itself is in its own report.
            if "recipe" in settings and not problem.settings:
                faults.append(Fault((*where, "recipe"), f"has mistakes: `dlwb check {one_line(str(settings['recipe']))}` lists them"))
        except Problem as problem:
            faults.append(Fault((*where, "recipe"), problem.message))
    return faults


def _tuned(data: dict[str, Any], path: Path, overrides: Sequence[str], describe: bool, known: Sequence[Fault]) -> list[Fault]:
    """What is wrong with a tuning, besides what is `known`: its own numbers, and values that the project does not take."""
    tune = data.get("tune")
    if not isinstance(tune, dict):
        return []
    faults = search_space.faults(tune)
    if "compare" in data:
        faults.append(Fault(("tune",), "a recipe is compared or tuned, not both: leave compare or tune out"))
    blamed = {fault.where[:3] for fault in (*known, *faults)}
    for ends in search_space.ends(tune):
        settings = {name: value for name, value in ends.items() if ("tune", "space", name) not in blamed}
        try:
            _variant(settings, path, overrides, describe)
        except RecipeProblem as problem:
            for dotted, text in problem.settings:
                if name := next((name for name in settings if f"{dotted}.".startswith(f"{name}.") or name.startswith(f"{dotted}.")), ""):
                    faults.append(Fault(("tune", "space", name), text if dotted == name else f"{dotted}: {text}"))
    return faults


def _missing(config: dict[str, Any], schema: ProjectSchema, folder: Path) -> list[Fault]:
    """What it names of a person's own and is not there: known now, and not once everything else was read."""
    faults = []
    for name, field in schema.config.get("properties", {}).items():
        value = config.get(name)
        if isinstance(value, str) and any(kind.get("own") for kind in field.get("anyOf", [field])) and OWN.match(value):
            file = Path(paths.rooted(value, folder))
            if not os.path.exists(file):  # noqa: PTH110 - Path.exists raises in a folder that is closed to us
                faults.append(Fault(("config", name), f"there is no {one_line(str(file), 200)}{near_file(file)}"))
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


def _override(data: dict[str, Any], spellings: dict[Key, str], text: str) -> Key | Fault:
    """Put one `dotted.key=value` into the data, and how it is spelled; returns its place, or what is wrong with it."""
    name, sign, value = text.partition("=")
    where: Key = tuple(name.strip().split("."))
    if not sign or not all(where):
        return Fault((one_line(text, 80),), "is not of the form config.learning_rate=0.1", -1)
    called: Key = (one_line(name, 80),)
    in_group = len(where) == 2 and where[0] in data and where[1] in GROUP_SETTINGS.get(where[0], ())
    if where != ("seed",) and not in_group and not (where[0] in ("config", "train", "compute") and len(where) > 1):
        return Fault(called, "only config.…, train.…, compute.… and seed can be set", -1)
    document = yaml_reader.flow(value)
    if document.faults:
        return Fault(called, "; ".join(fault.text for fault in document.faults), -1)
    section: Any = data
    parts = list(where)
    for number, part in enumerate(parts[:-1]):
        section = section[int(parts[number])] if isinstance(section, list) else section.setdefault(part, {})
        if isinstance(section, list):  # config.hidden.0 is its first item
            place = str(parts[number + 1])
            if not place.isdecimal():
                return Fault(called, f"{part} has no settings of its own", -1)
            if int(place) >= len(section):
                return Fault(called, f"{part} is a list of {len(section)}: 0 is its first item", -1)
            parts[number + 1] = int(place)
        elif not isinstance(section, dict):
            return Fault(called, f"{part} has no settings of its own", -1)
        elif str(parts[number + 1]).isdecimal():
            return Fault(called, f"the recipe writes no list {part} of which this could be an item", -1)
    where = tuple(parts)
    section[where[-1]] = paths.rooted(document.value, Path())  # what the shell completes starts at the working directory
    spellings.update({(*where, *place): word for place, word in document.spellings.items()})
    return where


def report(name: str, faults: Sequence[Fault], lines: dict[Key, int], typed: set[Key]) -> list[str]:
    """One line a fault, in the file's order; what follows from another fault at the same place is left out."""
    report: list[tuple[int, str]] = []
    blamed: list[Key] = []
    for where, text, line in faults:
        dotted = _dotted(where)
        if line < 0:
            report.append((1 << 30, f"--set {dotted}: {text}"))
            continue
        if where and any(where[: len(place)] == place for place in blamed):
            continue
        if where:
            blamed.append(where)
        if any(where[: len(place)] == place for place in typed):
            report.append((1 << 30, f"--set {one_line(dotted, 200)}: {text}"))
        else:
            line = line or next((lines[where[:end]] for end in range(len(where), 0, -1) if where[:end] in lines), 1)
            report.append((line, f"{name}:{line} {one_line(dotted, 200)}: {text}" if dotted else f"{name}:{line} {text}"))
    return [text for _, text in sorted(report, key=lambda entry: entry[0])]


def _dotted(where: Key) -> str:
    return ".".join(str(part) for part in where)


def _project_file(project: str, recipe: Path) -> Path | None:
    """A person's own Python file, or None for a shipped project; Problem where there is neither."""
    if project.startswith(("./", "../", "/")) and project.endswith(".py"):
        file = recipe.parent / project
        if not os.path.isfile(file):  # noqa: PTH113
            raise Problem(f"there is no file {one_line(project)} beside the recipe" + near_file(file))
        return file
    known = shipped_projects()
    if project in known:
        return None
    if project.endswith(".py"):
        raise Problem(f"for a file of your own write ./{one_line(project.lstrip('./'))}")
    raise Problem(f"there is no project {one_line(project)}" + (nearest(project, known) or f"; there are {', '.join(known)}"))
