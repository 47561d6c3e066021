"""A settings form as data: fields under headings, what a person typed, what is wrong, what another choice hides. No widget.

`Form` is over any JSON schema (live changes, a sample's request, try-it); `RecipeForm` is over a recipe that is to start.
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
from workbench.recipes.yaml_reader import flow_text, flow_value
from workbench.tui.models.requests import settings, settings_schema

LONGEST = 2000
"""Characters that a value may have."""
DEVICE = "compute.device"
HEADINGS = {DEVICE: "Device", "config": "Settings", "train": "Training", "seed": "Training", "compute": "Computing"}


def written(value: Any, *, quoted: bool = False) -> str:
    """A value as one types it; `quoted`: so that `--set` reads a text back as the same text, in quotes where YAML wants them."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else str(value)
    if quoted or not (value is None or isinstance(value, str)):
        return flow_text(value)
    return clean(value) if value else ""


@dataclasses.dataclass(slots=True)
class Field:
    """One setting."""

    name: str
    """As `--set` takes it: config.learning_rate."""
    schema: Schema
    """Its own, references resolved, with the property's description, default, `live` and `when`."""
    definitions: dict[str, Schema]
    start: Any
    """The value when the form was opened."""
    heading: str = ""
    quoted: bool = False
    """Whether a text is typed as in YAML, in quotes where it needs them."""
    first: str = ""
    """That value as one types it."""
    text: str = ""
    """What stands in it now."""
    expected: str = ""
    """What it may be, in words; "" for any text or number."""
    problem: str = ""
    note: str = ""
    """Shown beside the value."""
    help: str = ""
    facts: str = ""
    """More about it, after its help."""
    choices: list[str] = dataclasses.field(default_factory=list)
    """What it may be, where that can be counted."""

    def __post_init__(self) -> None:
        self.text = self.first = written(self.start, quoted=self.quoted)
        about = one_line(str(self.schema.get("description", "")), 400)
        self.help = about and about[:1].upper() + about[1:] + ("" if about[-1] in ".!?…" else ".")
        expected = schema_check.expected(self.schema, self.definitions)
        self.expected = "" if expected in ("text", "a number") else expected
        self.choices = [written(choice, quoted=self.quoted) for choice in schema_check.choices(self.schema, self.definitions)]

    @property
    def section(self) -> str:
        """What its name begins with: config, train, compute or nothing."""
        section, dot, _ = self.name.partition(".")
        return section if dot and section in HEADINGS else ""  # a table's column may have a dot in its name

    @property
    def label(self) -> str:
        return self.name.removeprefix(f"{self.section}.") if self.section else self.name

    @property
    def changed(self) -> bool:
        return self.text != self.first

    @property
    def branches(self) -> list[Schema]:
        """The kinds of value that it may have."""
        branches = self.schema.get("anyOf") or self.schema.get("oneOf") or [self.schema]
        return [schema_check.resolved(branch, self.definitions) for branch in branches]

    @property
    def typed(self) -> bool:
        """Whether there are values that no choice has: they are typed."""
        counted = [branch for branch in self.branches if "enum" in branch or "const" in branch or branch.get("type") in ("boolean", "null")]
        return not self.choices or len(counted) < len(self.branches)

    def value(self) -> Any:
        """What stands in it, as data. Raises ValueError with a sentence where it is none."""
        text = any(branch.get("type") == "string" and "enum" not in branch for branch in self.branches)
        if text and not self.quoted and (self.text or self.start is not None):
            return self.text
        if not self.text.strip():
            if any(branch.get("type") == "null" for branch in self.branches):
                return None
            raise ValueError("must not be empty")
        value, wrong = flow_value(self.text)
        if wrong:
            raise ValueError(wrong)
        return value


def schema_fields(schema: Schema, values: Mapping[str, Any], *, quoted: bool = False) -> Iterator[Field]:
    """A field for each property of an object's schema, with these values, or else its default."""
    definitions = schema.get("$defs", {})
    for name, declared in schema.get("properties", {}).items():
        whole = {
            **schema_check.resolved(declared, definitions),
            **{word: declared[word] for word in declared if word not in ("$ref", "allOf")},
        }
        heading = HEADINGS.get(name) or HEADINGS.get(name.partition(".")[0], "")
        yield Field(name, whole, definitions, values.get(name, whole.get("default")), heading, quoted)


class Form:
    """Fields of one JSON schema of an object; checked at each change."""

    def __init__(self, schema: Schema, values: Mapping[str, Any], owner: str, before: str = "", *, quoted: bool = False) -> None:
        """`values` may be more than the fields' own: a `when` looks at them. `owner` is what an unknown key is "not a setting of"."""
        self.schema, self.around, self.owner, self.before = schema, values, owner, before
        """`before`: whose value a changed field had, shown with that value: `recipe`, `now`."""
        self.fields = {field.name: field for field in schema_fields(schema, values, quoted=quoted)}
        self.values: dict[str, Any] | None = None
        """Every value as data; None where one is wrong."""
        self.check()

    def check(self) -> None:
        """Note what is wrong with each field, and take the values where nothing is."""
        data: dict[str, Any] = {}
        for field in self.fields.values():
            field.problem = ""
            try:
                data[field.name] = field.value()
            except ValueError as error:
                field.problem = str(error)
        values, faults = schema_check.complete(data, self.schema, self.owner)
        for fault in faults:
            wrong = self.fields.get(str(fault.where[0])) if fault.where else None
            if wrong and not wrong.problem:
                wrong.problem = fault.text
        self.values = None if faults or self.problems else values

    @property
    def changes(self) -> dict[str, str]:
        """What stands in the changed fields."""
        return {field.name: field.text for field in self.fields.values() if field.changed}

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by the field's name."""
        return {field.name: field.problem for field in self.fields.values() if field.problem}

    def put(self, name: str, text: str) -> None:
        """Change a field to what was typed."""
        self.fields[name].text = text[:LONGEST]
        self.check()

    def take_back(self, name: str) -> None:
        """Give a field the value that it had when the form was opened."""
        self.put(name, self.fields[name].first)

    def turn(self, name: str, by: int) -> None:
        """The next or the previous of its choices."""
        choices, now = self.fields[name].choices, self.fields[name].text
        place = choices.index(now) + by if now in choices else 0
        self.put(name, choices[place % len(choices)])

    def shown(self, words: str = "") -> list[tuple[str, list[Field]]]:
        """The fields with these words under their headings, but for what another choice makes meaningless."""
        groups: dict[str, list[Field]] = {}
        for field in self.fields.values():
            if all(word in f"{field.name} {field.help}".casefold() for word in words.casefold().split()) and not self.hidden(field):
                groups.setdefault(field.heading, []).append(field)
        return list(groups.items())

    def hidden(self, field: Field) -> bool:
        """By its schema's `"when": {"model": ["cnn"]}`: shown while the present model is among these. What is wrong is shown anyway."""
        rule = field.schema.get("when")
        for other, fitting in rule.items() if isinstance(rule, dict) and not field.problem else ():
            name = f"{field.section}.{other}" if field.section else str(other)
            if name in self.fields:
                try:
                    now = self.fields[name].value()
                except ValueError:
                    continue  # while a value is half typed, nothing else comes or goes
            elif name in self.around:
                now = self.around[name]
            else:
                continue
            # 1 and true are equal in Python, and two things in a recipe.
            if isinstance(fitting, list) and not any(now == fit and isinstance(now, bool) == isinstance(fit, bool) for fit in fitting):
                return True
        return False


class RecipeForm(Form):
    """Every setting of a recipe with a person's changes over it: checked by what `dlwb check` and `--set` are checked by."""

    def __init__(self, loaded: Loaded, changes: Mapping[str, str] | None = None) -> None:
        self.base = self.loaded = loaded
        """`loaded`: as it would start; the last one that was right."""
        self.fault = ""
        """What is wrong with no field of them."""
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
        """An empty field has the recipe's value, and so has one with the same value, however it is written."""
        field = self.fields[name]
        value, wrong = flow_value(text)
        same = not wrong and value == field.start and isinstance(value, bool) == isinstance(field.start, bool)
        super().put(name, field.first if same or not text.strip() else one_line(text, LONGEST))

    def check(self) -> None:
        self.fault = ""
        for field in self.fields.values():
            field.problem = ""
        overrides = [f"{name}={text}" for name, text in self.changes.items()]
        try:
            self.loaded = load_recipe(self.base.path, overrides, describe=False) if overrides else self.base
        except RecipeProblem as problem:
            for line in problem.problems:
                parts = re.match(r"--set ([^: ]+)(?: [^:]*)?: (.*)", line, re.DOTALL)
                names = [name for name in self.fields if parts and (parts[1] == name or parts[1].startswith(f"{name}."))]
                if parts and names:
                    self.fields[names[0]].problem = parts[2]
                else:
                    self.fault = line
        except (Problem, OSError) as problem:
            self.fault = str(problem)


def facts(field: Field) -> str:
    """A setting's value in the recipe, its default, and how it is changed."""
    default = written(field.schema["default"], quoted=True) if "default" in field.schema else ""
    first = f"The recipe has {one_line(field.first, 80)}" + (f", the default is {one_line(default, 80)}." if default else ".")
    live = " It may be changed while the run goes on, too." if field.schema.get("live") else ""
    return first + (" ← → choose." if field.choices else "") + live


def recipe_schema(loaded: Loaded) -> Schema:
    """Of every setting by its dotted name, the device first; of a project that is not described, of those that the recipe has."""
    schema = settings_schema(loaded.schema.config if loaded.schema else {})
    properties = {**{name: {} for name in settings(loaded.recipe)}, **schema["properties"]}
    order = (DEVICE, "config.", "train.", "seed", "compute.")
    return {**schema, "properties": {name: properties[name] for start in order for name in properties if name.startswith(start)}}


def differences(loaded: Loaded, trained: Recipe) -> dict[str, str]:
    """What a run's recipe has otherwise than the recipe that it was made from: a form that starts it again has these as changes."""
    values, changes = settings(trained), {}
    for field in RecipeForm(loaded).fields.values():
        value = values.get(field.name)
        resolved = field.name == DEVICE or (field.name == "compute.threads" and not field.start)  # by the machine, not by a person
        if not resolved and value is not None and written(value, quoted=True) != field.first:
            changes[field.name] = written(value, quoted=True)
    return changes
