"""What a person explored as one HTML file: the request, and the panels of its answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.recipes.recipe import Recipe
from workbench.runs.export.html import templates
from workbench.runs.export.samples import sample_figures
from workbench.runs.history import History

LONGEST = 300
"""Characters of a value: of a drawn picture its base64 tells a reader nothing."""


def explored_page(recipe: Recipe, request: Mapping[str, Any], changed: Mapping[str, Any], history: History, source: str) -> str:
    """The page. `changed` are the values that differ from the recipe's; `source` names what answered."""
    values = [
        (name, "a picture" if isinstance(value, str) and len(value) > LONGEST else value, name in changed)
        for name, value in request.items()
    ]
    figures = sample_figures(Path("/dev/null"), history, steps=False)
    return templates().get_template("explored.html.j2").render(recipe=recipe, values=values, samples=figures, source=source)
