"""MiniFlow's nodes: the classroom's numbers, gradients that equal autograd's, shares that add up, cycles and shapes that are refused."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built

from workbench.events import Curve, Table, Text
from workbench.problems import Problem
from workbench.projects.extra import miniflow
from workbench.projects.extra.miniflow import Linear, Node, forward_and_backward, topological

ROWS = [[-1, -2], [-1, -2]]
TWICE = "l = linear(X, W, b); a = sigmoid(l); p = multiply(a, l); s = add(p, a); cost = mse(y, s)"


def of(answer: dict[str, Any], what: str = "value") -> np.ndarray:
    return np.array(answer[what].values)


def test_the_recipe_begins_with_the_classroom_s_cost() -> None:
    project = built("miniflow")
    answer = asked("miniflow", project)
    assert of(answer) == pytest.approx(2.499950, abs=5e-7)
    assert of(asked("miniflow", project, node="W"), "gradient").ravel() == pytest.approx([5.010287e-5, 1.002057e-4], rel=1e-6)
    assert of(asked("miniflow", project, node="b"), "gradient").ravel() == pytest.approx([-5.010287e-5], rel=1e-6)
    assert isinstance(answer["nodes"], Table) and [row[0] for row in answer["nodes"].rows] == ["X", "W", "b", "y", "l", "a", "cost"]
    assert [row[2:] for row in answer["nodes"].rows[:2]] == [
        ["-1, -2 / -1, -2", answer["nodes"].rows[0][3]],
        ["2 / 3", "5.01e-05 / 0.0001002"],
    ]
    assert isinstance(answer["graph"], Text) and not any(line.startswith(" ") for line in answer["graph"].text.splitlines())
    assert [re.split(" {3,}", line.strip("│├└─· "))[0] for line in answer["graph"].text.splitlines()] == [
        "cost = mse",
        "y",
        "a = sigmoid",
        "l = linear",
        "X",
        "W",
        "b",
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"graph": "l = linear(X, W, b)", "X": [[6, 14, 3]], "W": [[0.5], [0.25], [1.4]], "b": [[2]]}, [12.7]),
        ({"graph": "l = linear(X, W, b)", "X": ROWS, "W": [[2, -3], [2, -3]], "b": [[-3, -5]]}, [-9, 4, -9, 4]),
        (
            {"graph": "l = linear(X, W, b); a = sigmoid(l)", "X": ROWS, "W": [[2, -3], [2, -3]], "b": [[-3, -5]]},
            [1.233946e-4, 0.982014, 1.233946e-4, 0.982014],
        ),
        ({"graph": "cost = mse(y, X)", "y": [[1, 2, 3]], "X": [[4.5, 5, 10]]}, [23.416667]),
    ],
)
def test_the_classroom_s_other_graphs(fields: dict[str, Any], expected: list[float]) -> None:
    assert of(asked("miniflow", **fields)).ravel() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_gradients_equal_those_of_autograd_where_a_node_is_used_twice(seed: int) -> None:
    """Shares that overwrite one another, instead of adding up, would fail here."""
    random = np.random.default_rng(seed)
    values = {name: random.normal(size=size) for name, size in {"X": (3, 2), "W": (2, 1), "b": (1, 1), "y": (3, 1)}.items()}
    given = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
    line = given["X"] @ given["W"] + given["b"]
    answer = line.sigmoid() * line + line.sigmoid()
    cost = ((given["y"] - answer) ** 2).mean()
    cost.backward()
    project = built("miniflow")
    for name, tensor in given.items():
        fields: dict[str, Any] = {key: value.tolist() for key, value in values.items()}
        shown = asked("miniflow", project, graph=TWICE, node=name, **fields)
        assert tensor.grad is not None and of(shown, "gradient") == pytest.approx(tensor.grad.numpy(), rel=1e-6)
        assert shown["output"].y == pytest.approx([cost.item()])


def test_there_is_no_torch_inside() -> None:
    assert "torch" not in Path(miniflow.__file__).read_text().replace("topological", "")


def test_the_order_typed_does_not_matter() -> None:
    backwards = "; ".join(reversed(TWICE.split("; ")))
    assert of(asked("miniflow", graph=backwards, node="cost")) == pytest.approx(of(asked("miniflow", graph=TWICE)))


def test_steps_go_down_along_the_gradient() -> None:
    project = built("miniflow")
    curve = asked("miniflow", project, b=[[8]], steps=50)["output"]
    assert isinstance(curve, Curve) and len(curve.y) == 51 and curve.y == sorted(curve.y, reverse=True) and curve.y[-1] < curve.y[0]
    one = asked("miniflow", project, b=[[8]], steps=1, rate=0.2, node="b")
    before = asked("miniflow", project, b=[[8]], node="b")
    assert of(one) == pytest.approx(8 - 0.2 * of(before, "gradient"))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"graph": "a = sigmoid(p); p = add(a, y)"}, "cycle: (a → p → a|p → a → p)."),
        ({"graph": "a = sigmoid(a)"}, "cycle: a → a"),
        ({"graph": "l = linear(X, W)"}, "takes 3 nodes, not 2"),
        ({"graph": "a = sigmoid(Z)"}, "'Z', and no node"),
        ({"graph": "a = sigmold(X)"}, "did you mean sigmoid"),
        ({"graph": "a = tanh(X)"}, "no operation 'tanh'"),
        ({"graph": "a = \x1b[2Jtanh(X)"}, "not of the form"),
        ({"graph": "X = sigmoid(y)"}, "two nodes with the name X"),
        ({"graph": "sigmoid(X)"}, "not of the form"),
        ({"graph": " ; "}, "0 operations"),
        ({"W": [[1], [2], [3]]}, "X 2 x 2, W 3 x 1, b 1 x 1"),
        ({"y": [[1, 2]]}, "y 1 x 2, a 2 x 1"),
        ({"node": "q"}, "there is no 'q'"),
        ({"steps": 201}, "steps"),
        ({"graph": "m = multiply(W, W); n = multiply(m, m)", "W": [[9]], "rate": 10, "steps": 200}, "too large"),
    ],
)
def test_what_is_no_graph_is_refused_in_one_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says) as raised:
        asked("miniflow", **fields)
    assert "\x1b" not in str(raised.value) and raised.value.cause == "data"


def test_a_long_graph_sorts_each_node_behind_its_inputs() -> None:
    random = np.random.default_rng(0)
    nodes = [Node("in", value=np.ones((1, 1)))]
    for place in range(30):
        nodes.append(miniflow.Add(f"n{place}", *(nodes[int(chosen)] for chosen in random.integers(0, len(nodes), 2))))
    order = topological([nodes[int(place)] for place in random.permutation(len(nodes))])
    assert len(order) == 31 and all(order.index(source) < order.index(node) for node in order for source in node.inputs)


def test_a_bias_gets_the_gradient_of_every_row() -> None:
    inputs, weights, bias = (Node(name, value=np.ones(shape)) for name, shape in {"X": (3, 2), "W": (2, 4), "b": (1, 4)}.items())
    linear = Linear("l", inputs, weights, bias)
    forward_and_backward([inputs, weights, bias, linear])
    assert bias.gradient == pytest.approx(np.full((1, 4), 3))
