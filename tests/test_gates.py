"""Gates of one cell by hand, and inside a trained character network: exact values, PyTorch's own cells, and what lies between 0 and 1."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked
from made_runs import make_run
from test_char_rnn import VERSE, built, train

from workbench.events import Curve, Matrix, Table, Text
from workbench.problems import Problem
from workbench.projects.recurrent_networks.char_rnn import CharRnn
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.torchkit import gates, language
from workbench.tui.models import requests

NAME = "gates"
GATES = {"lstm": ("forget", "learn", "use"), "gru": ("update", "reset")}


# -- one cell by hand ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "memories"),
    [
        ({}, {"short": [0.369606, 0.290813, -0.007805], "long": [0.556770, 0.538388, -0.023671]}),
        ({"cell": "GRU"}, {"working": [0.204824, 0.163322, -0.467035]}),
    ],
)
def test_the_exact_memories(fields: dict[str, Any], memories: dict[str, list[float]]) -> None:
    events = asked(NAME, **fields)
    for name, values in memories.items():
        assert events[f"memory/{name}"].y == pytest.approx(values, abs=6e-7)
    assert list(events) == [
        "gates",
        *(f"memory/{name}" for name in reversed(memories)),
        *("what is remembered/" + part for part in ("kept", "learned")),
        "step 1",
    ]


def test_the_notes_peephole_is_in_the_forget_gate_alone() -> None:
    notes, every = asked(NAME, cell="peephole"), asked(NAME, cell="peephole", peepholes="all")
    assert (notes["memory/short"].y[2], notes["memory/long"].y[2]) == pytest.approx((0.031655, 0.094359), abs=6e-7)
    assert every["memory/short"].y[2] == pytest.approx(0.039572, abs=6e-7)
    # Nothing to see yet: at the first step only the use gate, which looks at the new memory, differs.
    assert notes["memory/short"].y[0] == asked(NAME)["memory/short"].y[0] != every["memory/short"].y[0]
    assert notes["memory/long"].y[0] == every["memory/long"].y[0]


@pytest.mark.parametrize("cell", ["LSTM", "peephole", "GRU"])
def test_gates_lie_between_0_and_1_and_a_memory_is_what_is_kept_and_learned(cell: str) -> None:
    """The cheat: a memory shown as a gate would be below 0 here."""
    x = [[-3, 2, 0.5, -1, -2, 4]]
    events = asked(NAME, cell=cell, x=x, start=[[-0.5, 0.3]])
    shares = np.array(events["gates"].values)
    assert shares.shape == (2 if cell == "GRU" else 3, 6) and (shares > 0).all() and (shares < 1).all()
    memory = np.array(events["memory/working" if cell == "GRU" else "memory/long"].y)
    assert memory.min() < 0
    kept, learned = (np.array(events[f"what is remembered/{name}"].y) for name in ("kept", "learned"))
    assert kept + learned == pytest.approx(memory, abs=1e-12)
    before = np.concatenate([[0.3 if cell == "GRU" else -0.5], memory[:-1]])
    assert kept == pytest.approx(shares[0] * before, abs=1e-12)
    if cell != "GRU":
        assert events["memory/short"].y == pytest.approx(shares[2] * np.tanh(memory), abs=1e-12)


def test_a_closed_forget_gate_forgets_and_a_closed_learn_gate_keeps() -> None:
    forgetful = asked(NAME, forget=[[0, 0, -10]])
    assert np.abs(forgetful["what is remembered/kept"].y).max() < 1e-4
    faithful = asked(NAME, forget=[[0, 0, 10]], learn=[[0, 0, -10]], start=[[2, 0]])
    assert faithful["memory/long"].y == pytest.approx([2, 2, 2], abs=1e-3)


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_the_table_names_every_number_of_the_step(cell: str) -> None:
    events = asked(NAME, cell=cell, step=2)
    rows = {row[1]: float(row[3]) for row in events["step 2"].rows}
    if cell == "GRU":
        assert (
            rows["h'"] == pytest.approx(events["memory/working"].y[1], abs=1e-6) == pytest.approx(rows["z h"] + rows["(1−z) n"], abs=2e-6)
        )
    else:
        assert (
            rows["h"] == pytest.approx(events["memory/short"].y[1], abs=1e-6) == pytest.approx(rows["o"] * math.tanh(rows["c"]), abs=1e-6)
        )
        assert rows["c"] == pytest.approx(rows["f c"] + rows["i g"], abs=2e-6)
        assert rows["i g"] == pytest.approx(rows["i"] * rows["g"], abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"step": 4}, "step must be at most 3, the number of inputs in x, not 4."),
        ({"x": [[]]}, "x.0 must have 1 or more items, not 0"),
        ({"x": [[1] * 13]}, "x.0 must have 12 or fewer items, not 13"),
        ({"x": [[11]]}, "x.0.0 must be at most 10, not 11"),
        ({"x": [[float("nan")]]}, "x.0.0"),
        ({"forget": [[1, 1]]}, "forget.0 must have 3"),
        ({"use": [[1, 1, float("inf")]]}, "use.0.2"),
        ({"cell": "RNN"}, "cell must be LSTM or peephole or GRU, not 'RNN'"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"


# -- layers of PyTorch -----------------------------------------------------------------------------------------------------------------


def test_a_cell_equals_torchs_with_the_same_weights() -> None:
    """Its order of gates is i, f, g, o and r, z, n; any other would give other numbers."""
    torch.manual_seed(0)
    inputs, state, memory = torch.randn(3, 5, 4), torch.randn(3, 6), torch.randn(3, 6)
    for kind in (torch.nn.LSTMCell, torch.nn.GRUCell):
        cell = kind(4, 6)
        weights = gates.Weights(
            *(getattr(cell, name).detach().double().numpy() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        )
        theirs, now = [], (state, memory) if kind is torch.nn.LSTMCell else state
        for step in range(5):
            now = cell(inputs[:, step], now)
            theirs.append(now if isinstance(now, tuple) else (now,))
        begun = [part.numpy() for part in ((state, memory) if kind is torch.nn.LSTMCell else (state,))]
        ours = (gates.lstm if kind is torch.nn.LSTMCell else gates.gru)(weights, inputs.numpy(), *begun)
        for place, name in enumerate(("short", "long") if kind is torch.nn.LSTMCell else ("working",)):
            steps = torch.stack([one[place] for one in theirs], 1).detach().numpy()
            assert np.abs(ours[name] - steps).max() < 1e-6


def test_peepholes_are_those_of_the_formula() -> None:
    random = np.random.default_rng(0)
    inputs, state, bias = random.normal(size=(8, 3)), random.normal(size=(8, 2)), random.normal(size=8)
    holes = {name: random.normal(size=2) for name in ("forget", "learn", "use")}
    ours = gates.lstm(gates.Weights(inputs, state, bias, np.zeros(8), holes), x := random.normal(size=(1, 4, 3)))
    short = long = np.zeros(2)
    for step in range(4):
        i, f, g, o = (inputs @ x[0, step] + state @ short + bias).reshape(4, 2)
        before, long = long, gates.sigmoid(f + holes["forget"] * long) * long + gates.sigmoid(i + holes["learn"] * long) * np.tanh(g)
        short = gates.sigmoid(o + holes["use"] * long) * np.tanh(long)
        assert not np.allclose(before, long)
        assert ours["long"][0, step] == pytest.approx(long, abs=1e-12) and ours["short"][0, step] == pytest.approx(short, abs=1e-12)


# -- inside a trained network ----------------------------------------------------------------------------------------------------------


def shown(project: CharRnn, **fields: Any) -> dict[str, Any]:
    with project.evaluating():
        return {event.tag: event for event in project.sample(project.Request(shows="gates", **fields))}


@pytest.mark.parametrize("embedding", [0, 8])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recomputed_states_are_the_networks(tmp_path: Path, cell: str, embedding: int) -> None:
    project = built(tmp_path, VERSE * 60, cell=cell, layers=2, embedding=embedding)
    train(project, 1)
    text = "the rat sat on the cat"
    with project.evaluating():
        codes = project.encoded(text)
        network = [language.zero_state(project.network.recurrent, 1)]
        for place in range(len(text)):
            network.append(project.network(codes[:, place : place + 1], network[-1])[1])
        for layer in (1, 2):
            values = gates.of_layer(project.network.recurrent, layer, project.network.vectors(codes).numpy())
            for state, name in enumerate(("short", "long") if cell == "lstm" else ("working",)):
                theirs = torch.stack([memory[state, layer - 1, 0] for memory in network[1:]]).numpy()
                assert np.abs(values[name][0] - theirs).max() < 1e-5
            assert all(values[name].min() > 0 and values[name].max() < 1 for name in GATES[cell])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_run_shows_its_gates_over_a_typed_text(tmp_path: Path, cell: str) -> None:
    """The cheat: h in place of a gate. What is shown as gates lies between 0 and 1, and makes the memory that is shown beside it."""
    project = built(tmp_path, VERSE * 60, cell=cell)
    train(project, 2)
    events = shown(project, prompt="the cat ran", unit=3)
    assert all(isinstance(events[f"gates/{name}"], Matrix) for name in GATES[cell])
    units = {name: np.array(event.values) for name, event in events.items() if isinstance(event, Matrix)}
    assert {values.shape for values in units.values()} == {(24, 11)}
    for name in GATES[cell]:
        assert 0 < units[f"gates/{name}"].min() < 0.5 < units[f"gates/{name}"].max() < 1
    output = units["memory/short" if cell == "lstm" else "memory/working"]
    assert output.min() < 0 and list(np.argsort(-output.std(axis=1), kind="stable")) == list(range(24))
    if cell == "lstm":
        assert output == pytest.approx(units["gates/use"] * np.tanh(units["memory/long"]), abs=1e-12)
        change = units["memory/long"][:, 1:] - units["gates/forget"][:, 1:] * units["memory/long"][:, :-1]
        assert (np.abs(change) <= units["gates/learn"][:, 1:]).all()
    heads = events["gates/" + GATES[cell][0]]
    assert heads.columns == list("the␣cat␣ran") and sorted(map(int, heads.rows)) == list(range(1, 25))
    curve = events[f"unit 3/{GATES[cell][0]}"]
    assert isinstance(curve, Curve) and curve.y == units["gates/" + GATES[cell][0]][heads.rows.index("3")].tolist()
    assert any(name.startswith(f"unit {heads.rows[0]}/") for name in shown(project, prompt="the cat ran")), "0 takes the most varying one"


def test_a_unit_that_follows_quotation_marks_is_found(tmp_path: Path) -> None:
    project = built(tmp_path, 'the cat said "go on" and sat.\nthe rat ran "up it" again\n' * 600, cell="lstm")
    recurrent = project.network.recurrent
    with torch.no_grad():
        for weights in recurrent.parameters():
            weights.zero_()
        # Unit 5 keeps what it has but for a mark, at which its sign turns over.
        mark = project.symbols.index('"')
        recurrent.bias_ih_l0.view(4, 24)[1, 4] = 20.0
        project.network.embedding.weight.zero_()
        project.network.embedding.weight[mark, 0] = 1.0
        first = recurrent.weight_ih_l0.view(4, 24, 8)
        first[0, 4, 0], first[1, 4, 0], first[2, 4, 0] = 40.0, -40.0, 0.0
        recurrent.bias_ih_l0.view(4, 24)[0, 4] = -20.0
        # From 0 or −1 to +1, and from +1 to −1: the state's weight turns it over, and the bias begins it.
        recurrent.weight_hh_l0.view(4, 24, 24)[2, 4, 4] = -20.0
        recurrent.bias_ih_l0.view(4, 24)[2, 4] = 3.0
        recurrent.bias_ih_l0.view(4, 24)[3, 4] = 20.0
    rows = [row for row in shown(project)["units that follow"].rows if row[0] == "inside quotation marks"]
    assert rows[0][1] == "5" and rows[0][2] > 0.85 and rows[0][3] > 0.95, rows
    assert len(rows) == 1, "no other unit ever changes"


def test_what_a_text_does_not_have_no_unit_follows(tmp_path: Path) -> None:
    table = shown(built(tmp_path, VERSE * 60))["units that follow"]
    assert isinstance(table, Table) and ["inside quotation marks", "–", "not in this text", "–"] in table.rows
    assert gates.inside_quotes('a "b" c "d\n\ne').tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0]
    assert gates.inside_quotes("“a” b").tolist() == [1, 1, 0, 0, 0]
    assert gates.since_line_break("ab\ncd\n").tolist() == [1, 2, 0, 1, 2, 0]


def test_correlations_are_pearsons() -> None:
    random = np.random.default_rng(0)
    values, marks = random.normal(size=(2, 50, 3)), random.normal(size=(2, 50))
    values[..., 2] = 7.0
    found = gates.correlations(values, marks)
    assert found[:2] == pytest.approx([np.corrcoef(values[..., unit].ravel(), marks.ravel())[0, 1] for unit in (0, 1)]) and np.isnan(
        found[2]
    )


def test_without_asking_for_gates_a_sample_is_as_before(tmp_path: Path) -> None:
    project = built(tmp_path, VERSE * 60)
    with project.looking(1):
        events = list(project.sample(project.Request(length=5)))
    assert [type(event) for event in events] == [Text, Table] and [event.tag for event in events] == ["text", "next"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"layer": 2}, "layer must be from 1 to 1, the layers of this network, not 2."),
        ({"unit": 25}, "unit must be from 0 to 24, the units of this network, not 25."),
        ({"prompt": "thé"}, "The text that it learns from never has 'é'."),
    ],
)
def test_what_the_network_does_not_have_is_one_sentence(tmp_path: Path, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        shown(built(tmp_path, VERSE * 60), **fields)
    assert raised.value.message == sentence


def test_the_recipe_opens_on_gates_of_an_lstm() -> None:
    recipe = load_recipe(find_recipe("char-rnn-gates")).recipe
    assert (
        recipe.explore["shows"] == "gates"
        and recipe.config["cell"] == "lstm"
        and (recipe.config["hidden"], recipe.config["clip"]) == (256, 5)
    )


def test_try_it_is_not_asked_for_gates_and_a_sample_is() -> None:
    recipe = load_recipe(find_recipe("char-rnn-gates")).recipe
    run = make_run("char-rnn-gates", recipe)
    assert list(requests.answer_schema(run, recipe)["properties"]) == ["prompt", "temperature", "top_k", "length"]
    assert {"shows", "layer", "unit"} <= requests.request_schema(run, recipe)["properties"].keys()
