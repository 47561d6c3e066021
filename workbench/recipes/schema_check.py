"""Checks plain data against a JSON schema and fills in its defaults. `load_recipe` calls it, and forms may.

It supports the keywords that msgspec and pydantic write: type, enum, const, ranges, lengths, pattern, items, prefixItems, properties,
additionalProperties, anyOf, oneOf, allOf and $ref.
"""

import copy
import re
from collections.abc import Mapping
from typing import Any

from workbench.problems import nearest, one_line
from workbench.recipes.yaml_values import Fault, Key

Schema = dict[str, Any]

_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a section of settings",
    "null": "nothing",
}


def complete(value: Any, schema: Schema, owner: str, spellings: Mapping[Key, str] = {}) -> tuple[Any, list[Fault]]:
    """The data with all defaults filled in and numbers converted to the schema's type (2e4 is a whole number), and all its errors.

    `owner` is the name in the message for an unknown key: "not a setting of ...". `spellings`: see `Document`; where only text is allowed,
    `target: 1` is the text 1.
    """
    faults: list[Fault] = []
    return _Check(schema.get("$defs", {}), faults, spellings).value(value, schema, (), owner), faults


def resolved(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """The schema that a $ref, or an allOf with one entry, stands for."""
    while True:
        reference = schema.get("$ref")
        if reference is None and len(schema.get("allOf", ())) == 1:
            schema = schema["allOf"][0]
        elif reference is not None:
            schema = definitions.get(str(reference).rpartition("/")[2], {})
        else:
            return schema


def shown(value: Any) -> str:
    """A value in plain words, shortened."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a section of settings"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    return f"'{one_line(value, 60)}'" if isinstance(value, str) else str(value)


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "integer":
            return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case "null":
            return value is None
    return True


class _Check:
    def __init__(self, definitions: dict[str, Schema], faults: list[Fault], spellings: Mapping[Key, str] = {}) -> None:
        self.definitions = definitions
        self.faults = faults
        self.spellings = spellings

    def resolved(self, schema: Schema) -> Schema:
        return resolved(schema, self.definitions)

    def fault(self, where: Key, text: str) -> None:
        self.faults.append(Fault(where, text))

    def value(self, value: Any, schema: Schema, where: Key, owner: str) -> Any:
        schema = self.resolved(schema)
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            return self.any_of(value, branches, where, owner)
        if "const" in schema or "enum" in schema:
            choices = [schema["const"]] if "const" in schema else schema["enum"]
            if where in self.spellings and self.spellings[where] in choices and value not in choices:
                value = self.spellings[where]
            # 1 and true are equal in Python, but different values in a recipe.
            if not any(choice == value and isinstance(choice, bool) == isinstance(value, bool) for choice in choices):
                options = " or ".join(str(choice) if isinstance(choice, str) else shown(choice) for choice in choices)
                near = nearest(value, choices) if isinstance(value, str) else ""
                self.fault(where, f"must be {options}, not {shown(value)}{near}")
            return value
        kind = schema.get("type", "")
        if isinstance(kind, list):
            return self.any_of(value, [{**schema, "type": name} for name in kind], where, owner)
        # null stays nothing: a person who writes it for a text has seen it in another setting.
        if kind == "string" and where in self.spellings and (value is not None or not self.spellings[where]):
            value = self.spellings[where]
        if not _is(value, kind):
            self.fault(where, f"must be {_KINDS.get(kind, kind)}, not {shown(value)}{_advice(value, kind)}")
            return value
        if kind == "integer" or kind == "number":
            return self.number(value, schema, where)
        if isinstance(value, str):
            self.text(value, schema, where)
        elif isinstance(value, list):
            return self.array(value, schema, where, owner)
        elif isinstance(value, dict):
            return self.object(value, schema, where, owner)
        return value

    def any_of(self, value: Any, branches: list[Schema], where: Key, owner: str) -> Any:
        """The value by the first branch that fits; if none fits, the errors of the branch with the value's type, if there is one."""
        branches = [self.resolved(branch) for branch in branches]
        # For `int | float`: 5 stays a whole number, and 5.0 stays a float.
        branches.sort(key=lambda branch: (branch.get("type") == "integer") is isinstance(value, float))
        tried: list[tuple[Schema, list[Fault]]] = []
        # As text only where it is nothing else that is allowed: 5 stays a number for `str | int`.
        for spellings in ({}, self.spellings) if self.spellings else ({},):
            tried.clear()
            for branch in branches:
                faults: list[Fault] = []
                completed = _Check(self.definitions, faults, spellings).value(value, branch, where, owner)
                if not faults:
                    return completed
                tried.append((branch, faults))
        same = [faults for branch, faults in tried if "type" in branch and _is(value, branch["type"])]
        if same or len([branch for branch in branches if branch.get("type") != "null"]) == 1:
            own = "; a path of your own begins with ./" if any(branch.get("own") for branch in branches) else ""
            self.faults += [fault._replace(text=fault.text + own) for fault in sorted(same or [tried[0][1]], key=len)[0]]
        else:
            kinds = [_KINDS.get(str(branch.get("type")), "one of its choices") for branch in branches]
            self.fault(where, f"must be {' or '.join(dict.fromkeys(kinds))}, not {shown(value)}")
        return value

    def number(self, value: float, schema: Schema, where: Key) -> float:
        for word, fits, text in (
            ("minimum", value >= schema.get("minimum", value), "at least"),
            ("maximum", value <= schema.get("maximum", value), "at most"),
            ("exclusiveMinimum", value > schema.get("exclusiveMinimum", value - 1), "more than"),
            ("exclusiveMaximum", value < schema.get("exclusiveMaximum", value + 1), "less than"),
        ):
            if word in schema and not fits:
                self.fault(where, f"must be {text} {schema[word]}, not {value}")
        step = schema.get("multipleOf")
        if step and value % step:
            self.fault(where, f"must be a multiple of {step}, not {value}")
        return int(value) if schema["type"] == "integer" else float(value)

    def text(self, value: str, schema: Schema, where: Key) -> None:
        if len(value) < schema.get("minLength", 0):
            self.fault(where, "must not be empty" if not value else f"must have {schema['minLength']} characters or more")
        elif len(value) > schema.get("maxLength", len(value)):
            self.fault(where, f"must have {schema['maxLength']} characters or fewer")
        elif "pattern" in schema and not re.search(schema["pattern"], value):
            about = str(schema.get("description", f"as {schema['pattern']}"))
            self.fault(where, f"cannot be {shown(value)}; expected: {about[:1].lower()}{about[1:].removesuffix('.')}")

    def array(self, value: list[Any], schema: Schema, where: Key, owner: str) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", len(value))
        if not least <= len(value) <= most:
            required = str(least) if least == most else f"{least} or more" if len(value) < least else f"{most} or fewer"
            self.fault(where, f"must have {required} items, not {len(value)}")
        first = schema.get("prefixItems", [])
        rest = schema.get("items", {})
        schemas = [*first, *[rest if isinstance(rest, dict) else {}] * (len(value) - len(first))]
        return [self.value(item, schemas[index], (*where, index), owner) for index, item in enumerate(value)]

    def object(self, value: dict[str, Any], schema: Schema, where: Key, owner: str) -> dict[str, Any]:
        properties: dict[str, Schema] = schema.get("properties", {})
        other = schema.get("additionalProperties", True)
        least, most = schema.get("minProperties", 0), schema.get("maxProperties", len(value))
        if not least <= len(value) <= most:
            self.fault(where, f"must have {f'{least} or more' if len(value) < least else f'{most} or fewer'} entries, not {len(value)}")
        if where:
            owner = str(where[-1] if isinstance(where[-1], str) else where[-2])
        completed = {}
        for name, subschema in properties.items():
            if name in value:
                completed[name] = self.value(value[name], subschema, (*where, name), owner)
            elif "default" in subschema:
                # A copy, because two recipes must not share a mutable default.
                completed[name] = copy.deepcopy(subschema["default"])
            elif name in schema.get("required", ()):
                self.fault((*where, name), "is missing" + _described(subschema))
        for name, item in value.items():
            if name in properties:
                continue
            if other is False:
                self.fault((*where, name), f"not a setting of {owner}{nearest(name, properties)}")
            else:
                completed[name] = self.value(item, other, (*where, name), owner) if isinstance(other, dict) else item
        return completed


def expected(schema: Schema, definitions: dict[str, Schema]) -> str:
    """The allowed values in words: `a number, more than 0, at most 1`."""
    schema = _Check(definitions, []).resolved(schema)
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return " or ".join(dict.fromkeys(expected(branch, definitions) for branch in branches))
    if "const" in schema or "enum" in schema:
        return " or ".join(choice if isinstance(choice, str) else shown(choice) for choice in schema.get("enum", [schema.get("const")]))
    kind = str(schema.get("type", ""))
    if schema.get("own"):
        return "a path of your own, ./…"
    words = [_KINDS.get(kind, "a value")]
    items = schema.get("items")
    if kind == "array" and isinstance(items, dict) and items:
        words[0] += f" [ … ], in it {expected(items, definitions)}"
    bounds = ("minimum", "at least"), ("exclusiveMinimum", "more than"), ("maximum", "at most"), ("exclusiveMaximum", "less than")
    if "minimum" in schema and "maximum" in schema:
        return f"{words[0]} from {_bound(schema['minimum'])} to {_bound(schema['maximum'])}"
    return ", ".join(words + [f"{text} {_bound(schema[name])}" for name, text in bounds if name in schema])


def _bound(number: float) -> str:
    """As a person writes it: 1000000 and 0.00001, not 1e+06 and 1e-05."""
    return f"{number:.0f}" if abs(number) < 1e15 and number == int(number) else f"{number:g}"


def choices(schema: Schema, definitions: dict[str, Schema]) -> list[Any]:
    """All allowed values where there are finitely many: the words of an enum, true and false; else an empty list."""
    schema = _Check(definitions, []).resolved(schema)
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return [choice for branch in branches for choice in choices(branch, definitions)]
    if schema.get("type") == "boolean":
        return [False, True]
    return list(schema.get("enum", [schema["const"]] if "const" in schema else []))


def _described(schema: Schema) -> str:
    text = schema.get("description")
    return f" ({one_line(text, 100)})" if text else ""


def _advice(value: Any, kind: str) -> str:
    if kind == "boolean" and isinstance(value, str) and value.lower() in ("yes", "no", "on", "off"):
        return "; write true or false"
    if kind in ("integer", "number") and isinstance(value, str) and re.fullmatch(r"[-+]?[0-9][0-9.,_]*", value):
        return "; write it without quotes, underscores or commas"
    if kind == "array" and value is not None and not isinstance(value, dict):
        return f"; write [{one_line(str(value), 40)}]"
    return ""
