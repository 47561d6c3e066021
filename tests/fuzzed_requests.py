"""Requests to a lesson that are valid by its schema, or nearly so, or nonsense: for hypothesis."""

import base64
import io
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from workbench.recipes.schema_check import Schema, resolved

ODD: list[Any] = [
    None, True, "", "x", "NaN", "\x1b[2J", "🙂" * 50, [], [[]], [[1], [2, 3]], {}, -1, 0, 1e308, -1e308, float("nan"), float("inf"), 2**70,
]  # fmt: skip


def png(seed: int) -> str:
    """A small picture as a request takes it."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 12), np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def values_of(schema: Schema, definitions: dict[str, Schema]) -> st.SearchStrategy[Any]:
    """Values that the schema allows."""
    schema = {**resolved(schema, definitions), **{name: value for name, value in schema.items() if name != "$ref"}}
    if branches := schema.get("anyOf"):
        return st.one_of([values_of(branch, definitions) for branch in branches])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    low, high = schema.get("minimum"), schema.get("maximum")
    match schema.get("type"):
        case "integer":
            return st.integers(low, high if high is not None else (low or 0) + 1000)
        case "number":
            return st.floats(low if low is not None else -1e6, high if high is not None else 1e6, allow_nan=False)
        case "boolean":
            return st.booleans()
        case "array":
            items = values_of(schema.get("items", {}), definitions)
            return st.integers(schema.get("minItems", 0), schema.get("maxItems", 4)).flatmap(
                lambda size: st.lists(items, min_size=size, max_size=size)
            )
        case "string" if schema.get("picture"):
            return st.one_of(st.just(""), st.integers(0, 3).map(png), st.text(max_size=20))
        case "string":
            return st.text(max_size=60)
    return st.sampled_from(ODD)


def rectangular(value: Any) -> Any:
    """Rows of one length, as most matrices have them: else nearly every drawn matrix would be refused."""
    if isinstance(value, list) and value and all(isinstance(row, list) and row for row in value):
        width = len(value[0])
        return [(row * width)[:width] for row in value]
    return value


def requests(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Requests with some of the fields; one field in ten is nonsense."""
    definitions = schema.get("$defs", {})
    fields = {
        name: st.one_of([values_of(field, definitions).map(rectangular)] * 9 + [st.sampled_from(ODD)])
        for name, field in schema.get("properties", {}).items()
    }
    return st.fixed_dictionaries({}, optional=fields)
