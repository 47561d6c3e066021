"""The settings of a recipe as a form has them: what each is in the recipe, what it may be, and what a person changed. No screen."""

import re
from typing import Any, NamedTuple

import msgspec

from workbench.problems import Problem, one_line
from workbench.recipes import schema_check
from workbench.recipes.load import Loaded, RecipeProblem, load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.recipes.schema_check import Schema
from workbench.recipes.yaml_reader import flow_text, flow_value

DEVICE = "compute.device"


class Field(NamedTuple):
    """One setting."""

    name: str
    """As `--set` takes it: config.learning_rate."""
    value: Any
    """In the recipe, its default where it says nothing."""
    schema: Schema
    definitions: dict[str, Schema]

    @property
    def label(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def text(self) -> str:
        """The recipe's value as a person types it."""
        return flow_text(self.value)

    @property
    def expected(self) -> str:
        """What it may be, in words."""
        return schema_check.expected(self.schema, self.definitions)

    @property
    def choices(self) -> list[str]:
        """What it may be, where that can be counted."""
        return [flow_text(each) for each in schema_check.choices(self.schema, self.definitions)]

    @property
    def about(self) -> str:
        return one_line(str(self.schema.get("description", "")), 400)

    @property
    def default(self) -> str:
        return flow_text(self.schema["default"]) if "default" in self.schema else ""

    @property
    def live(self) -> bool:
        """Whether it may also be changed while the run goes on."""
        return bool(self.schema.get("live"))


def sections(loaded: Loaded) -> list[tuple[str, list[Field]]]:
    """Every setting under its heading, the device first."""
    made = loaded.recipe
    config = loaded.schema.config if loaded.schema else {}
    properties: dict[str, Schema] = config.get("properties", {})
    own = [
        Field(f"config.{name}", made.config.get(name), properties.get(name, {}), config.get("$defs", {}))
        for name in dict.fromkeys((*properties, *made.config))
    ]
    compute = _fields("compute", made.compute, Compute)
    seed = Field("seed", made.seed, msgspec.json.schema(Recipe)["$defs"]["Recipe"]["properties"]["seed"] | SEED, {})
    return [
        ("Device", [each for each in compute if each.name == DEVICE]),
        (f"Settings of {one_line(made.project, 60)}", own),
        ("Training", [*_fields("train", made.train, Train), seed]),
        ("Computing", [each for each in compute if each.name != DEVICE]),
    ]


SEED = {"description": "start of every random number: the same seed gives the same run"}


def _fields(section: str, values: Train | Compute, kind: type[Train | Compute]) -> list[Field]:
    properties = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    return [Field(f"{section}.{name}", getattr(values, name), schema, {}) for name, schema in properties.items()]


class Draft:
    """A recipe with a person's changes over it: checked at each change, by what `dlwb check` and `--set` are checked by."""

    def __init__(self, loaded: Loaded, changes: dict[str, str] | None = None) -> None:
        self.base = loaded
        self.sections = sections(loaded)
        self.fields = {field.name: field for _, fields in self.sections for field in fields}
        self.changes: dict[str, str] = {}
        """The typed value of each setting that is not the recipe's."""
        self.loaded = loaded
        """As it would start; the last one that was right."""
        self.faults: dict[str, str] = {}
        """What is wrong, by the setting's name; "" where it is none of them."""
        for name, text in (changes or {}).items():
            if name in self.fields:
                self._put(name, text)
        self._check()

    @property
    def overrides(self) -> list[str]:
        """The changes as `--set` takes them."""
        return [f"{name}={text}" for name, text in self.changes.items()]

    def text(self, name: str) -> str:
        """A setting's value as it would start."""
        return self.changes.get(name, self.fields[name].text)

    def put(self, name: str, text: str) -> None:
        """Change a setting to what was typed."""
        self._put(name, text)
        self._check()

    def take_back(self, name: str) -> None:
        """Give a setting its value in the recipe again."""
        self.changes.pop(name, None)
        self._check()

    def turn(self, name: str, by: int, choices: list[str] | None = None) -> None:
        """The next or the previous of its choices."""
        choices = choices or self.fields[name].choices
        now = self.text(name)
        place = choices.index(now) + by if now in choices else 0
        self.put(name, choices[place % len(choices)])

    def _put(self, name: str, text: str) -> None:
        value, wrong = flow_value(text)
        same = not wrong and value == self.fields[name].value and isinstance(value, bool) == isinstance(self.fields[name].value, bool)
        if same or not text.strip():
            self.changes.pop(name, None)
        else:
            self.changes[name] = one_line(text, 2000)

    def _check(self) -> None:
        self.faults = {}
        try:
            self.loaded = load_recipe(self.base.path, self.overrides, describe=False) if self.changes else self.base
        except RecipeProblem as problem:
            for line in problem.problems:
                found = re.match(r"--set ([^: ]+)(?: [^:]*)?: (.*)", line, re.DOTALL)
                known = [name for name in self.fields if found and (found[1] == name or found[1].startswith(f"{name}."))]
                self.faults[known[0] if known else ""] = found[2] if found and known else line
        except (Problem, OSError) as problem:
            self.faults[""] = str(problem)


def differences(loaded: Loaded, made: Recipe) -> dict[str, str]:
    """What a run's recipe has otherwise than the recipe that it was made from: a form that starts it again has these as changes."""
    changes: dict[str, str] = {}
    for _, fields in sections(loaded):
        for field in fields:
            section, _, name = field.name.rpartition(".")
            value = made.seed if not section else made.config.get(name) if section == "config" else getattr(getattr(made, section), name)
            resolved = field.name == DEVICE or (field.name == "compute.threads" and not field.value)  # by the machine, not by a person
            if not resolved and value is not None and flow_text(value) != field.text:
                changes[field.name] = flow_text(value)
    return changes
