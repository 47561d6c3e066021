"""A person's request to a project: checked by the same rules and in the same words as a recipe's settings."""

from typing import Any

from pydantic import ValidationError

from workbench.problems import Problem, first_fault
from workbench.recipes import schema_check
from workbench.training.project import Project, Settings


def request(project: Project, values: dict[str, Any]) -> Settings:
    """The project's Request with these values, and defaults for the rest. Raises Problem with the field and what it may be."""
    kind = project.Request
    faults = schema_check.complete(values, kind.model_json_schema(), "this request")[1]
    if faults:
        where = ".".join(str(part) for part in faults[0].where)
        raise Problem(f"{where} {faults[0].text}.".lstrip(), cause="data")
    try:
        return kind.model_validate(values)
    # What a schema cannot say: rows of one length, one field beside another.
    except ValidationError as error:
        raise Problem(f"{first_fault(error)}.", cause="data") from None
