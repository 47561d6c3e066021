"""MiniFlow: a graph of nodes, sorted topologically, with every gradient written by hand, in NumPy."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np

from workbench.events import Curve, Event, Matrix, Table, Text
from workbench.problems import Problem, nearest, one_line
from workbench.training.project import Field, Project
from workbench.training.project import Matrix as Cells

MOST = 20
"""Nodes that a typed graph may have: as many as a panel has rows."""
SHOWN = 4
"""Numbers of a value in the table; the matrix panels show all of the chosen node."""
STATEMENT = re.compile(r"([A-Za-z]\w{0,11}) *= *([A-Za-z]\w*) *\(([^()]*)\)")


class Node:
    """A value that others are computed from: an input of the graph, or what derives from this class, an operation on other nodes."""

    takes: ClassVar[int] = 0
    """How many nodes the operation is computed from."""

    def __init__(self, name: str, *inputs: "Node", value: np.ndarray | None = None) -> None:
        self.name, self.inputs = name, list(inputs)
        self.value: np.ndarray = np.zeros((1, 1)) if value is None else value
        self.gradient: np.ndarray = np.zeros((1, 1))
        """Of the graph's output (of the sum of its numbers), along each number of `value`."""

    def forward(self) -> None:
        """Compute `value` from the values of the inputs; an input of the graph has its own."""

    def backward(self) -> None:
        """Add this node's share to each input's gradient. Adding matters: an input that two nodes use gets a share from both."""

    def expect(self, fits: bool) -> None:
        """Raise Problem with the shapes where they do not fit together."""
        if not fits:
            shapes = ", ".join(f"{node.name} {' x '.join(map(str, node.value.shape))}" for node in self.inputs)
            raise Problem(f"{self.name} = {type(self).__name__.lower()} cannot take these shapes: {shapes}.", "", "data")


class Add(Node):
    """The sum of two values of one shape."""

    takes = 2

    def forward(self) -> None:
        first, second = (node.value for node in self.inputs)
        self.expect(first.shape == second.shape)
        self.value = first + second

    def backward(self) -> None:
        for node in self.inputs:
            node.gradient += self.gradient


class Multiply(Node):
    """The product of two values of one shape, number by number."""

    takes = 2

    def forward(self) -> None:
        first, second = (node.value for node in self.inputs)
        self.expect(first.shape == second.shape)
        self.value = first * second

    def backward(self) -> None:
        first, second = self.inputs
        first.gradient += self.gradient * second.value
        second.gradient += self.gradient * first.value


class Linear(Node):
    """X W + b: inputs (rows, n), weights (n, m) and a bias (1, m) give (rows, m)."""

    takes = 3

    def forward(self) -> None:
        inputs, weights, bias = (node.value for node in self.inputs)
        self.expect(inputs.shape[1] == weights.shape[0] and bias.shape == (1, weights.shape[1]))
        self.value = inputs @ weights + bias

    def backward(self) -> None:
        inputs, weights, bias = self.inputs
        inputs.gradient += self.gradient @ weights.value.T
        weights.gradient += inputs.value.T @ self.gradient
        # Every row has the same bias added, so all rows pull at it.
        bias.gradient += self.gradient.sum(0, keepdims=True)


class Sigmoid(Node):
    """1 / (1 + exp(-x)) of every number."""

    takes = 1

    def forward(self) -> None:
        # The same function by tanh: exp(-x) would overflow far below zero.
        self.value = 0.5 * (1 + np.tanh(0.5 * self.inputs[0].value))

    def backward(self) -> None:
        # The slope of a sigmoid is known from its value.
        self.inputs[0].gradient += self.gradient * self.value * (1 - self.value)


class MSE(Node):
    """The mean squared error between targets and answers of one shape: 1 x 1."""

    takes = 2

    def forward(self) -> None:
        targets, answers = (node.value for node in self.inputs)
        self.expect(targets.shape == answers.shape)
        self.value = np.array([[np.mean((targets - answers) ** 2)]])

    def backward(self) -> None:
        targets, answers = self.inputs
        slope = self.gradient * 2 * (targets.value - answers.value) / targets.value.size
        targets.gradient += slope
        answers.gradient -= slope


OPERATIONS: dict[str, type[Node]] = {kind.__name__.lower(): kind for kind in (Add, Multiply, Linear, Sigmoid, MSE)}


def topological(nodes: Sequence[Node]) -> list[Node]:
    """The nodes in an order in which each comes after its inputs (Kahn 1962). Raises Problem that names a cycle."""
    missing = {node: len(node.inputs) for node in nodes}
    consumers: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node in nodes:
        for source in node.inputs:
            consumers[source].append(node)
    ready = [node for node in nodes if not node.inputs]
    order: list[Node] = []
    while ready:
        node = ready.pop(0)
        order.append(node)
        for consumer in consumers[node]:
            missing[consumer] -= 1
            if not missing[consumer]:
                ready.append(consumer)
    if left := [node for node in nodes if missing[node]]:
        raise Problem(f"The graph has a cycle: {' → '.join(cycle(left))}. A value cannot be computed from itself.", "", "data")
    return order


def cycle(left: list[Node]) -> list[str]:
    """The names along a cycle among nodes that each wait for another one of them, in the direction in which values flow."""
    walked = [left[0]]
    while True:
        before = next(source for source in walked[-1].inputs if source in left)
        if before in walked:
            return [node.name for node in reversed([*walked[walked.index(before) :], before])]
        walked.append(before)


def forward_and_backward(order: Sequence[Node]) -> None:
    """Values from the first node to the last, then the gradients of the last one from it back to the first."""
    for node in order:
        node.forward()
        node.gradient = np.zeros_like(node.value)
    order[-1].gradient = np.ones_like(order[-1].value)
    for node in reversed(order):
        node.backward()


def parsed(text: str, inputs: Sequence[Node]) -> list[Node]:
    """The inputs that a typed graph uses, and its operations, in the order in which they stand; Problem where it is no graph."""
    nodes: dict[str, Node] = {node.name: node for node in inputs}
    wanted: dict[str, list[str]] = {}
    statements = [part.strip() for part in re.split(r"[;\n]", text) if part.strip()]
    for statement in statements:
        match = STATEMENT.fullmatch(statement)
        if not match:
            raise Problem(f"graph: {one_line(statement, 40)!r} is not of the form name = operation(node, node).", "", "data")
        name, operation, rest = match.groups()
        kind = OPERATIONS.get(operation.lower())
        if kind is None:
            near = nearest(operation, OPERATIONS) or f"; there are {', '.join(OPERATIONS)}"
            raise Problem(f"graph: there is no operation {one_line(operation, 20)!r}{near.rstrip('?.')}.", "", "data")
        if name in nodes:
            raise Problem(f"graph: there are two nodes with the name {name}.", "", "data")
        wanted[name] = [part.strip() for part in rest.split(",") if part.strip()]
        if len(wanted[name]) != kind.takes:
            raise Problem(f"graph: {name} = {operation} takes {kind.takes} nodes, not {len(wanted[name])}.", "", "data")
        nodes[name] = kind(name)
    if not 1 <= len(statements) <= MOST - len(inputs):
        raise Problem(f"graph: {len(statements)} operations, where 1 to {MOST - len(inputs)} are right.", "", "data")
    for name, sources in wanted.items():
        for source in sources:
            if source not in nodes:
                raise Problem(f"graph: {name} uses {one_line(source, 20)!r}, and no node has that name.", "", "data")
            nodes[name].inputs.append(nodes[source])
    used = {source for sources in wanted.values() for source in sources}
    return [node for node in nodes.values() if node.name in used or node.name in wanted]


def drawn(node: Node, first: str = "", rest: str = "", seen: set[str] | None = None) -> list[str]:
    """A node with what it is computed from below it, as a tree; a node that stands in it twice has its inputs drawn once."""
    seen = set() if seen is None else seen
    again = node.name in seen and bool(node.inputs)
    seen.add(node.name)
    operation = f" = {type(node).__name__.lower()}" if node.inputs else ""
    lines = [f"{first}{node.name}{operation}{' (see above)' if again else ''}   {numbers(node.value)}"]
    sources = [] if again else node.inputs
    for place, source in enumerate(sources, 1):
        last = place == len(sources)
        # A dot, not blanks: a panel of text drops those that a line begins with.
        lines += drawn(source, rest + ("└─ " if last else "├─ "), rest + ("·  " if last else "│  "), seen)
    return lines


def numbers(value: np.ndarray) -> str:
    """A small value, its rows between slashes, or the first numbers of a larger one; a single number with 7 digits."""
    digits = 7 if value.size == 1 else 4
    if value.size > SHOWN:
        return ", ".join(f"{number:.{digits}g}" for number in value.ravel()[:SHOWN]) + ", …"
    return " / ".join(", ".join(f"{number:.{digits}g}" for number in row) for row in value)


def table(order: Sequence[Node]) -> Table:
    """The nodes in the order in which they are computed."""
    rows: list[list[str | float]] = []
    for node in order:
        operation = f"{type(node).__name__.lower()}({', '.join(source.name for source in node.inputs)})" if node.inputs else "input"
        rows.append([node.name, operation, numbers(node.value), numbers(node.gradient)])
    return Table(tag="nodes", columns=["node", "computed by", "value", "gradient"], rows=rows)


class MiniFlow(Project):
    """Computes a graph that a person types, forwards and backwards."""

    class Request(Project.Request):
        graph: str = Field("l = linear(X, W, b); a = sigmoid(l); cost = mse(y, a)", max_length=400)
        """Operations in any order, semicolons between: add, multiply, linear, sigmoid, mse, of X, W, b, y or of one another."""
        X: Annotated[list[list[float]], Cells((1, 4), (1, 4), -100, 100)] = [[-1, -2], [-1, -2]]
        """Inputs, an example in each row; larger ones drive a sigmoid to where its gradient vanishes."""
        W: Annotated[list[list[float]], Cells((1, 4), (1, 4), -100, 100, 0.1)] = [[2], [3]]
        """Weights, as many rows as X has columns; a larger one lets its input count more."""
        b: Annotated[list[list[float]], Cells(1, (1, 4), -100, 100, 0.1)] = [[-3]]
        """Bias, a number for each column of W; raising it raises the output for every example."""
        y: Annotated[list[list[float]], Cells((1, 4), (1, 4), -100, 100)] = [[1], [2]]
        """Targets, of the shape of what they are compared with; the farther from it, the higher the error."""
        node: str = Field("", max_length=12)
        """The node whose value and gradient are shown in full; empty shows the last one."""
        steps: int = Field(0, ge=0, le=200)
        """Steps of gradient descent on W and b before the graph is shown; more bring the output further down."""
        rate: float = Field(0.5, ge=0.01, le=10, json_schema_extra={"step": 0.1})
        """Learning rate of these steps; higher goes further in one step, and overshoots sooner."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The graph after so many steps of descent: its nodes, its drawing, one node in full, and the output over the steps."""
        values = {name: np.array(getattr(request, name), float) for name in ("X", "W", "b", "y")}
        order = topological(parsed(request.graph, [Node(name, value=value) for name, value in values.items()]))
        named = {node.name: node for node in order}
        if request.node and request.node not in named:
            raise Problem(f"node: there is no {one_line(request.node, 20)!r}; the graph has {', '.join(named)}.", "", "data")
        outputs = []
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(request.steps + 1):
                forward_and_backward(order)
                outputs.append(float(order[-1].value.sum()))
                if step < request.steps:
                    for name in ("W", "b"):
                        if name in named:
                            named[name].value = named[name].value - request.rate * named[name].gradient
        if not all(np.isfinite(node.value).all() and np.isfinite(node.gradient).all() for node in order):
            raise Problem(f"After {request.steps} steps a number is too large to be held: lower rate or steps.", "", "data")
        yield table(order)
        yield Text(tag="graph", text="\n".join(drawn(order[-1])))
        chosen = named[request.node] if request.node else order[-1]
        for tag, shown in (("value", chosen.value), ("gradient", chosen.gradient)):
            rows, columns = ([f"{chosen.name} {place}" for place in range(1, size + 1)] for size in shown.shape)
            yield Matrix(tag=tag, values=shown.tolist(), rows=rows, columns=[name.split()[1] for name in columns])
        yield Curve(tag="output", x=list(map(float, range(len(outputs)))), y=outputs, labels=("step", f"{order[-1].name}"))
