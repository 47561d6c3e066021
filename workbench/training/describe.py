"""`python -m workbench.training.describe PROJECT …` prints, as a line of JSON for each, what projects' settings and requests may be."""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

from workbench.problems import Problem
from workbench.training.find_project import find_project
from workbench.training.project import Project, Settings


def describe(name: str) -> int:
    """Of a shipped project, by name, or of a file that is trusted."""
    try:
        kind = find_project(Path(name) if name.endswith(".py") else name)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    about = (inspect.getdoc(kind) or "").partition("\n")[0]
    schema = {
        "config": _schema(kind.Config),
        "request": _schema(kind.Request),
        "devices": kind.devices,
        "trains": kind.train_step is not Project.train_step,
        "takes": kind.takes,
        "datasets": [(entry, {}) if isinstance(entry, str) else entry for entry in kind.datasets],
        "about": about,
    }
    print(json.dumps(schema))
    return 0


def _schema(settings: type[Settings]) -> dict[str, Any]:
    """A class's own settings in their order, before those that it shares with others."""
    schema = settings.model_json_schema()
    own = list(inspect.get_annotations(settings))
    order = sorted(schema["properties"], key=lambda name: own.index(name) if name in own else len(own))
    return {**schema, "properties": {name: schema["properties"][name] for name in order}}


if __name__ == "__main__":
    sys.exit(any(describe(name) for name in sys.argv[1:]))
