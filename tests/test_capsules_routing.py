"""Routing by agreement: the exact squash, couplings and loss, and that routing is what decides."""

from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked

from workbench.problems import Problem
from workbench.projects.convolutional_networks import capsules
from workbench.projects.convolutional_networks.capsules_routing import BOAT, FACE, margin_terms, route, squash


def test_the_default_request_has_the_exact_numbers() -> None:
    answer = asked("capsules-routing")
    assert [row[2] for row in answer["squashed lengths"].rows] == [pytest.approx(value, abs=5e-7) for value in (0.00990099, 0.5, 0.9, 0.5)]
    assert [row[2] for row in answer["margin loss"].rows] == [pytest.approx(value, abs=1e-9) for value in (0.16, 0.72, 0.88)]
    network = {row[0]: row[1] for row in answer["the network for digits"].rows}
    assert network["pixels a side"] == "28 → 20 → 6" and network["primary capsules"] == 1152
    assert network["first coupling, over 10 parents"] == pytest.approx(0.1, abs=1e-12)
    assert network["over the children"] == pytest.approx(1 / 1152, abs=1e-12)


def test_agreement_draws_the_couplings() -> None:
    """The cheat would be couplings that stay as they begin: then the parents were plain means of the votes."""
    couplings = np.array(asked("capsules-routing")["couplings"].values)
    assert couplings.shape == (5, 4) and couplings[:, :2] == pytest.approx(0.5)
    assert (couplings[:4, 2] > 0.9).all() and couplings[4, 2] < 0.3
    assert couplings[:, 2:].sum(1) == pytest.approx(1)
    answer = asked("capsules-routing", routings=5)
    face, boat = (answer[f"length by routing/{name}"].y for name in ("face", "boat"))
    assert face == sorted(face) and face[-1] > face[0] and len(boat) == 5
    once = asked("capsules-routing", routings=1)
    assert np.array(once["couplings"].values)[:, 2:] == pytest.approx(0.5)


def test_over_the_children_the_couplings_of_a_parent_sum_to_one() -> None:
    couplings = np.array(asked("capsules-routing", softmax="children")["couplings"].values)
    assert couplings[:, :2] == pytest.approx(0.2) and couplings.sum(0) == pytest.approx(1)
    assert not np.allclose(couplings[:, 2:].sum(1), 1)


@pytest.mark.parametrize("over", ["parents", "children"])
def test_numpy_and_the_trained_network_route_alike(over: Any) -> None:
    votes = np.random.default_rng(0).normal(size=(10, 30, 16))
    outputs, couplings = route(votes, 3, over)
    parents, weights = capsules.route(torch.from_numpy(votes)[None], 3, over)
    assert parents[0].numpy() == pytest.approx(outputs[-1], abs=1e-12)
    assert torch.stack(weights)[:, 0].numpy() == pytest.approx(np.stack(couplings), abs=1e-12)


def test_the_first_round_by_hand() -> None:
    outputs, _ = route(np.array([FACE, BOAT]), 1, "parents")
    total = np.sum(FACE, 0) / 2  # (3.25, 1)
    length = np.hypot(*total)
    assert outputs[0][0] == pytest.approx(total / length * length**2 / (1 + length**2))
    assert squash(np.zeros(3)) == pytest.approx(np.zeros(3))


def test_the_margin_loss_is_zero_within_the_margins() -> None:
    lengths = np.full(10, 0.1)
    lengths[7] = 0.9
    assert margin_terms(lengths, 7).sum() == 0
    assert margin_terms(lengths, 3).sum() == pytest.approx(0.8**2 + 0.5 * 0.8**2)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"routings": 11}, "routings"),
        ({"face": FACE[:3]}, "as many rows|votes for both"),
        ({"lengths": [[2] * 5] * 2}, "lengths"),
        ({"length": 6}, "length"),
    ],
)
def test_what_cannot_be_routed_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says):
        asked("capsules-routing", **fields)
