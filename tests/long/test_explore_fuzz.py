"""A thousand made requests to every lesson that is only explored: no traceback and no hang."""

from pathlib import Path

import pytest
from test_explored_lessons import EXPLORED, built, data, fuzz, sets, unpacking

__all__ = ["data", "sets", "unpacking"]


@pytest.mark.parametrize("stem", EXPLORED)
def test_a_lesson_survives_a_thousand_requests(stem: str, data: Path) -> None:
    fuzz(built(stem), 1000)
