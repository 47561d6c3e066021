"""A settings form as data, without a widget: fields under headings, typed text, problems, and fields that another choice hides.

`Form` shows any JSON schema (live changes, a sample's request, try-it); `RecipeForm` shows a recipe before its start.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.problems import Problem, clean, one_line
from workbench.recipes import schema_check
from workbench.recipes.load import Loaded, RecipeProblem, load_recipe
from workbench.recipes.recipe import Recipe
from workbench.recipes.schema_check import Schema
from workbench.recipes.yaml_reader import flow, flow_text, flow_value
from workbench.recipes.yaml_values import Key
from workbench.tui.models.requests import settings, settings_schema

# A pasted file would be checked and drawn at every key; no real setting is longer.
LONGEST = 2000
"""Most characters of a value."""
DEVICE = "compute.device"
HEADINGS = {DEVICE: "Device", "config": "Settings", "train": "Training", "seed": "Training", "compute": "Computing"}


def written(value: Any, *, quoted: bool = False) -> str:
    """A value as a person types it. With `quoted`, a text has quotes where YAML needs them, so that `--set` reads it back the same."""
    if isinstance(value, float):
        # %g writes 0.001 and not 0.0010000000474974513, but has only six digits: where they are not enough, all are written.
        return f"{value:g}" if float(f"{value:g}") == value else str(value)
    if quoted or not (value is None or isinstance(value, str)):
        return flow_text(value)
    return clean(value) if value else ""


@dataclasses.dataclass(slots=True)
class Field:
    """One setting."""

    name: str
    """Its name for `--set`: config.learning_rate."""
    schema: Schema
    """Its own schema, references resolved, with description, default, `live` and `when`."""
    definitions: dict[str, Schema]
    start: Any
    """Its value when the form opens."""
    heading: str = ""
    quoted: bool = False
    """Whether a text is typed as in YAML, in quotes where YAML needs them."""
    first: str = ""
    """The value at the opening, as typed text."""
    text: str = ""
    """The text in the field now."""
    expected: str = ""
    """The allowed values in words; "" for any text or number."""
    problem: str = ""
    note: str = ""
    """A note beside the value."""
    help: str = ""
    facts: str = ""
    """More facts, after the help."""
    choices: list[str] = dataclasses.field(default_factory=list)
    """All allowed values, where they can be listed."""

    def __post_init__(self) -> None:
        self.text = self.first = written(self.start, quoted=self.quoted)
        about = one_line(str(self.schema.get("description", "")), 400)
        self.help = about and about[:1].upper() + about[1:] + ("" if about[-1] in ".!?…" else ".")
        expected = schema_check.expected(self.schema, self.definitions)
        self.expected = "" if expected in ("text", "a number") else expected
        self.choices = [written(choice, quoted=self.quoted) for choice in schema_check.choices(self.schema, self.definitions)]

    @property
    def section(self) -> str:
        """The first part of its name: config, train, compute, or ""."""
        section, dot, _ = self.name.partition(".")
        return section if dot and section in HEADINGS else ""  # a column of a table may also have a dot in its name

    @property
    def label(self) -> str:
        return self.name.removeprefix(f"{self.section}.") if self.section else self.name

    @property
    def changed(self) -> bool:
        return self.text != self.first

    @property
    def branches(self) -> list[Schema]:
        """The schemas of the kinds of value that it allows."""
        branches = self.schema.get("anyOf") or self.schema.get("oneOf") or [self.schema]
        return [schema_check.resolved(branch, self.definitions) for branch in branches]

    @property
    def typed(self) -> bool:
        """Whether it allows values that are not among its choices: a person types them."""
        counted = [branch for branch in self.branches if "enum" in branch or "const" in branch or branch.get("type") in ("boolean", "null")]
        return not self.choices or len(counted) < len(self.branches)

    def value(self) -> Any:
        """The text as data. Raises ValueError with a sentence where it is not valid."""
        text = any(branch.get("type") == "string" and "enum" not in branch for branch in self.branches)
        # A text stays as typed: YAML would make a number of "007" and a boolean of "no". An empty one may mean null: see below.
        if text and not self.quoted and (self.text or self.start is not None):
            return self.text
        if not self.text.strip():
            if not schema_check.complete(None, {**self.schema, "$defs": self.definitions}, "")[1]:
                return None
            raise ValueError("must not be empty")
        value, wrong = flow_value(self.text)
        if wrong:
            raise ValueError(wrong)
        return value


def schema_fields(schema: Schema, values: Mapping[str, Any], *, quoted: bool = False) -> Iterator[Field]:
    """A field for each property of an object's schema, with the value from `values`, else with its default."""
    definitions = schema.get("$defs", {})
    for name, declared in schema.get("properties", {}).items():
        whole = {
            **schema_check.resolved(declared, definitions),
            # What stands beside a reference (a description, a default) belongs to this property and wins over the referenced schema.
            **{word: declared[word] for word in declared if word not in ("$ref", "allOf")},
        }
        heading = HEADINGS.get(name) or HEADINGS.get(name.partition(".")[0], "")
        yield Field(name, whole, definitions, values.get(name, whole.get("default")), heading, quoted)


class Form:
    """The fields of an object's JSON schema; every change checks them."""

    def __init__(self, schema: Schema, values: Mapping[str, Any], owner: str, before: str = "", *, quoted: bool = False) -> None:
        """`values` may hold more than the fields: a `when` rule reads them. `owner` names what an unknown key is "not a setting of"."""
        self.schema, self.around, self.owner, self.before = schema, values, owner, before
        """`before` is the word in front of a changed field's old value: `recipe` or `now`."""
        self.fields = {field.name: field for field in schema_fields(schema, values, quoted=quoted)}
        self.values: dict[str, Any] | None = None
        """All values as data; None while one is wrong."""
        self.check()

    def check(self) -> None:
        """Find the problem of each field; take the values when there is none."""
        data: dict[str, Any] = {}
        spellings: dict[Key, str] = {}
        required = self.schema.get("required", ())
        for field in self.fields.values():
            field.problem = ""
            spellings |= {(field.name, *place): word for place, word in flow(field.text).spellings.items()}
            if not field.text and field.start is None and "default" not in field.schema and field.name not in required:
                continue  # its project makes a value itself
            try:
                data[field.name] = field.value()
            except ValueError as error:
                field.problem = str(error)
        # Also with fields that cannot be read: the others still get their own problems.
        values, faults = schema_check.complete(data, self.schema, self.owner, spellings)
        for fault in faults:
            wrong = self.fields.get(str(fault.where[0])) if fault.where else None
            # The first sentence is nearest to what was typed.
            if wrong and not wrong.problem:
                wrong.problem = fault.text
        self.values = None if faults or self.problems else values

    @property
    def changes(self) -> dict[str, str]:
        """The texts of the changed fields."""
        return {field.name: field.text for field in self.fields.values() if field.changed}

    @property
    def problems(self) -> dict[str, str]:
        """The problems, by the field's name."""
        return {field.name: field.problem for field in self.fields.values() if field.problem}

    def put(self, name: str, text: str) -> None:
        """Set a field to a typed text."""
        self.fields[name].text = text[:LONGEST]
        self.check()

    def take_back(self, name: str) -> None:
        """Set a field back to its value at the opening of the form."""
        self.put(name, self.fields[name].first)

    def turn(self, name: str, by: int) -> None:
        """Take the next or the previous choice of a field."""
        choices, now = self.fields[name].choices, self.fields[name].text
        place = choices.index(now) + by if now in choices else 0
        self.put(name, choices[place % len(choices)])

    def shown(self, words: str = "") -> list[tuple[str, list[Field]]]:
        """The fields with these words, under their headings; without fields that another choice makes meaningless."""
        groups: dict[str, list[Field]] = {}
        for field in self.fields.values():
            if all(word in f"{field.name} {field.help}".casefold() for word in words.casefold().split()) and not self.hidden(field):
                groups.setdefault(field.heading, []).append(field)
        return list(groups.items())

    def hidden(self, field: Field) -> bool:
        """Whether the schema's rule hides it: `"when": {"model": ["cnn"]}` shows it only for these models. A wrong value always shows."""
        rule = field.schema.get("when")
        for other, fitting in rule.items() if isinstance(rule, dict) and not field.problem else ():
            name = f"{field.section}.{other}" if field.section else str(other)
            if name in self.fields:
                try:
                    now = self.fields[name].value()
                except ValueError:
                    continue  # while a value is half typed, no other field appears or disappears
            elif name in self.around:
                now = self.around[name]
            else:
                continue
            # 1 == True in Python, but they are different values in a recipe.
            if isinstance(fitting, list) and not any(now == fit and isinstance(now, bool) == isinstance(fit, bool) for fit in fitting):
                return True
        return False


class RecipeForm(Form):
    """Every setting of a recipe, with a person's changes; checked by the same code as `dlwb check` and `--set`."""

    def __init__(self, loaded: Loaded, changes: Mapping[str, str] | None = None) -> None:
        self.base = self.loaded = loaded
        """`base` is the recipe as its file has it, `loaded` the last valid one with the changes: that one starts."""
        self.fault = ""
        """A problem that belongs to no field."""
        super().__init__(recipe_schema(loaded), settings(loaded.recipe), "a recipe", "recipe", quoted=True)
        for field in self.fields.values():
            field.heading = f"Settings of {one_line(loaded.recipe.project, 60)}" if field.section == "config" else field.heading
            field.facts = facts(field)
        for name, text in (changes or {}).items():
            if name in self.fields:
                self.put(name, text)

    @property
    def problems(self) -> dict[str, str]:
        return {**super().problems, **({"": self.fault} if self.fault else {})}

    def put(self, name: str, text: str) -> None:
        """Set a field; an empty text, or the same value in another spelling (0.10, 0.1), is the recipe's value."""
        field = self.fields[name]
        value, wrong = flow_value(text)
        same = not wrong and value == field.start and isinstance(value, bool) == isinstance(field.start, bool)
        super().put(name, field.first if same or not text.strip() else one_line(text, LONGEST))

    def check(self) -> None:
        self.fault = ""
        for field in self.fields.values():
            field.problem = ""
        # Exactly what `--set` takes: one reader and one set of messages for the form and the shell.
        overrides = [f"{name}={text}" for name, text in self.changes.items()]
        try:
            self.loaded = load_recipe(self.base.path, overrides, describe=False) if overrides else self.base
        except RecipeProblem as problem:
            for line in problem.problems:
                # The loader's sentences about overrides begin with `--set KEY`; that key finds the field.
                parts = re.match(r"--set ([^: ]+)(?: [^:]*)?: (.*)", line, re.DOTALL)
                # A fault inside a nested value names a longer key: config.classes.0 belongs to config.classes.
                names = [name for name in self.fields if parts and (parts[1] == name or parts[1].startswith(f"{name}."))]
                if parts and names:
                    self.fields[names[0]].problem = parts[2]
                else:
                    self.fault = line
        except (Problem, OSError) as problem:
            self.fault = str(problem)


def facts(field: Field) -> str:
    """A setting's value in the recipe, its default, and how to change it."""
    default = written(field.schema["default"], quoted=True) if "default" in field.schema else ""
    first = f"In the recipe: {one_line(field.first, 80)}" + (f"; default: {one_line(default, 80)}." if default else ".")
    live = " You can also change it while the run trains." if field.schema.get("live") else ""
    return first + (" ← → choose." if field.choices else "") + live


def recipe_schema(loaded: Loaded) -> Schema:
    """The schema of all settings by dotted names, the device first; without a project's schema, of those that the recipe has."""
    schema = settings_schema(loaded.schema.config if loaded.schema else {})
    properties = {**{name: {} for name in settings(loaded.recipe)}, **schema["properties"]}
    order = (DEVICE, "config.", "train.", "seed", "compute.")
    return {**schema, "properties": {name: properties[name] for start in order for name in properties if name.startswith(start)}}


def differences(loaded: Loaded, trained: Recipe) -> dict[str, str]:
    """The settings in which a run differs from its recipe: the form that starts it again shows them as changes."""
    values, changes = settings(trained), {}
    for field in RecipeForm(loaded).fields.values():
        value = values.get(field.name)
        resolved = field.name == DEVICE or (field.name == "compute.threads" and not field.start)  # set by the machine, not by a person
        if not resolved and value is not None and written(value, quoted=True) != field.first:
            changes[field.name] = written(value, quoted=True)
    return changes
