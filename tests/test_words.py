"""The field's words, in sentences: every setting's help, every recipe, and what the program says. The old dialect is gone."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

import workbench
from workbench.recipes.recipe import Recipe

ROOT = Path(__file__).parent.parent
PACKAGE = Path(workbench.__file__).parent
DIALECT = {
    "by heart": "overfitting, to memorise",
    "surer": "more confident",
    "surest": "most confident",
    "pull of the weights": "weight decay",
    "length of the optimizer": "learning rate",
    "length of a step": "learning rate",
    "length of adam's step": "learning rate",
    "longest gradient": "gradient-norm clipping",
    "a longer one is scaled down": "gradient-norm clipping",
    "learns to name them": "learns to classify them",
    "named rightly": "classified correctly",
    "ended without a word": "killed",
    "units left out": "dropout",
    "left out in each training step": "dropout probability",
    "share of the last step": "momentum",
    "moved a little": "random affine",
    "kind of thing": "class",
    "comes to rest": "converges",
    "it flatters itself": "the figure is too high",
}
"""What nobody says in this field → what is said instead."""


def spoken(path: Path) -> list[tuple[int, str]]:
    """Every string of a Python file, docstrings included, with its line."""
    tree = ast.parse(path.read_text())
    return [(node.lineno, node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def dialect(text: str) -> list[str]:
    plain = re.sub(r"\s+", " ", text.lower())
    return [f"{word!r}: say {instead}" for word, instead in DIALECT.items() if word in plain]


def test_the_dialect_is_found_where_it_stands() -> None:
    assert dialect("Pull of the\n weights towards zero") == ["'pull of the weights': say weight decay"]


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_speak_the_field_s_words(path: Path) -> None:
    assert not dialect(path.read_text())


def test_the_program_speaks_the_field_s_words() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line} {word}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "_shipped" not in path.parts
        for line, text in spoken(path)
        for word in dialect(text)
    ]
    assert not found, "\n".join(found)
    assert not dialect((ROOT / "README.md").read_text())


def settings() -> list[tuple[str, str]]:
    """Every setting and request of every shipped project and of the recipe itself, with its description."""
    shipped: dict[str, Any] = json.loads((PACKAGE / "projects" / "schemas.json").read_text())
    schemas = {f"{project}.{part}": entry["schema"][part] for project, entry in shipped.items() for part in ("config", "request")}
    schemas |= {name.lower(): schema for name, schema in msgspec.json.schema(Recipe)["$defs"].items() if name in ("Train", "Compute")}
    return [
        (f"{owner}.{name}", schema.get("description", ""))
        for owner, part in schemas.items()
        for name, schema in part.get("properties", {}).items()
    ]


@pytest.mark.parametrize(("name", "help"), settings(), ids=lambda value: value if " " not in value else "")
def test_a_setting_s_help_is_a_sentence(name: str, help: str) -> None:
    assert re.match(r"^[A-Z0-9\"'`].*[.!?]$", help, re.DOTALL), f"{name}: {help!r}"
    assert len(help.split()) >= 4, f"{name}: {help!r}"
