"""Every comparison's recipe does everything on a device that behaves like CUDA, as test_recipes_on_cuda.py tries it with the others."""

from pathlib import Path

import pytest
from test_recipes_on_cuda import COMPARISONS, data, does_everything, sets, unpacking

__all__ = ["data", "sets", "unpacking"]


@pytest.mark.parametrize("recipe", COMPARISONS)
def test_a_comparison_does_everything_on_a_gpu_and_its_steps_wait_for_nothing(recipe: str, data: Path) -> None:
    does_everything(recipe, data)
