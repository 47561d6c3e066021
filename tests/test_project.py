"""The base of every project: what is random comes back, of whatever kind its generator is."""

import random
from typing import Any

import numpy as np
import pytest

from workbench.recipes.recipe import Compute, Train
from workbench.training.numpy_state import decode_npz, encode_npz
from workbench.training.project import Project


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_every_kind_of_generator_goes_on_where_it_was(kind: Any) -> None:
    class Drawing(Project):
        def build_model(self) -> None:
            self.noise = np.random.Generator(kind(1))
            self.chance = random.Random(2)

    project = Drawing(Drawing.Config(), Train(), Compute(), 1)
    project.build()
    project.noise.standard_normal(size=7, dtype=np.float32)
    saved = decode_npz(encode_npz(project.random_state()))

    def drawn() -> list[float]:
        return [*project.noise.standard_normal(size=5, dtype=np.float32), project.chance.gauss(), random.random(), np.random.normal()]

    first = drawn()
    project.set_random_state(saved)
    assert drawn() == first
