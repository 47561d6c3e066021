"""Exports: the graph answers as the network does, the same bytes each time, no torch and no data where it is asked."""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.exporting import sealed, trained
from workbench.encoding import model_folder
from workbench.encoding.answers import difference
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Binary, Classes, Number, Tensor, TextCodes
from workbench.problems import Problem
from workbench.serving.session import Session
from workbench.torchkit.computed import Computed
from workbench.torchkit.export import graph, parity

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def tumours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, Path]]:
    """tumour-mlp after 60 steps, sealed twice."""
    root = tmp_path_factory.mktemp("tumours")
    before = os.environ.get("DLWB_HOME")
    os.environ["DLWB_HOME"] = str(root / "home")
    try:
        project, run = trained("tumour-mlp", 60)
    finally:
        os.environ.pop("DLWB_HOME") if before is None else os.environ.update(DLWB_HOME=before)
    for name in ("one", "two"):
        sealed(project, run, root / name / "tumours" / "1")
    yield project, run, root


def test_a_model_has_all_that_serving_needs(tumours: Any) -> None:
    project, run, root = tumours
    folder = model_folder.read(root / "one" / "tumours" / "1")
    assert folder.label == "tumours:1" and folder.model.kind == "onnx" and folder.model.opset == 18 and folder.model.run == run.id
    assert {"model.onnx", "weights.safetensors", "labels.txt", "examples.json", "baseline.json", "recipe.yaml", "MODEL_CARD.md"} <= {
        *folder.model.files
    }
    assert {"MLmodel", "requirements.txt", "conda.yaml", "python_env.yaml"} <= {*folder.model.files}
    examples = folder.examples()
    assert len(examples) == 16 and examples[0]["input"]["row"]["mean radius"] == project.data.test.raw[0, 0]
    baseline = json.loads((folder.path / "baseline.json").read_bytes())
    assert baseline["tested"] == 142 and sum(baseline["shares"]["answer"].values()) == 142 and len(baseline["numbers"]) == 31
    from safetensors.numpy import load_file

    weights = load_file(folder.path / "weights.safetensors")
    assert weights.keys() == project.network.state_dict().keys()
    assert all(np.array_equal(weights[name], tensor.numpy()) for name, tensor in project.network.state_dict().items())


def test_it_answers_every_test_input_as_predict_does(tumours: Any) -> None:
    project, _, root = tumours
    session = Session(root / "one" / "tumours" / "1")
    with project.evaluating():
        raws = list(project.serving().examples(1000))
        answers = [project.predict(raw) for raw in raws]
    assert len(raws) == 142
    for size in (1, 3, 64, 142):
        got = [answer for start in range(0, len(raws), size) for answer in session.answers(raws[start : start + size])]
        assert not any(difference(one, other) for one, other in zip(got, answers, strict=True))
    # Not because every answer is the same one.
    assert {answer["answer"] for answer in answers} == {"benign", "malignant"}
    refused, answered = session.answers([{"row": {"mean radius": "big"}}, raws[0]])
    assert isinstance(refused, Problem) and not difference(answered, answers[0])


def test_exported_twice_it_has_the_same_hash_and_names_no_path(tumours: Any) -> None:
    one, two = (model_folder.read(tumours[2] / name / "tumours" / "1") for name in ("one", "two"))
    assert one.digest == two.digest and one.model.files == two.model.files
    for file in one.model.files:
        data = (one.path / file).read_bytes()
        assert not any(trace in data for trace in (b"site-packages", str(Path.cwd()).encode(), b"forward(", str(tumours[2]).encode())), file


def test_without_torch_and_without_the_data_it_answers(tumours: Any, tmp_path: Path) -> None:
    folder = tumours[2] / "one" / "tumours" / "1"
    code = (
        "import sys; sys.modules.update(torch=None, sklearn=None, pydantic=None)\n"
        "from pathlib import Path\n"
        "from workbench.serving.session import Session\n"
        "session = Session(Path(sys.argv[1]))\n"
        "examples = session.folder.examples()\n"
        "answers = session.answers([example['input'] for example in examples])\n"
        "assert all(abs(one['probabilities']['benign'] - two['answer']['probabilities']['benign']) < 1e-5\n"
        "           for one, two in zip(answers, examples))\n"
        "print(len(answers))"
    )
    environment = {**os.environ, "DLWB_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.pop("DLWB_MIRROR", None)
    done = subprocess.run([sys.executable, "-c", code, str(folder)], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "16", done.stderr


# -- what a toy passes and this does not ----------------------------------------------------------------------------------------------


class Lengths(nn.Module):
    """Word vectors through a GRU of one or two directions to one number."""

    def __init__(self, directions: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.vectors = nn.Embedding(20, 4, padding_idx=0)
        self.recurrent = nn.GRU(4, 5, 2, batch_first=True, bidirectional=directions == 2)
        self.last = nn.Linear(5 * directions, 1)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        states, _ = self.recurrent(self.vectors(codes))
        logits: torch.Tensor = self.last(states.masked_fill((codes == 0)[..., None], -1.0).amax(1))[:, 0]
        return logits


WORDS = ["", *(f"w{'abcdefghijklmnopqrst'[number]}" for number in range(19))]
CODING = Coding(TextCodes(), Binary(), ["negative", "positive"], WORDS)
FREE = {"codes": {0: "batch", 1: "length"}}


def texts(lengths: Any) -> list[dict[str, str]]:
    random = np.random.default_rng(1)
    return [{"review": " ".join(random.choice(WORDS[1:], length))} for length in lengths]


def outputs_of(module: nn.Module) -> parity.Network:
    def network(batch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            output: np.ndarray = module(torch.from_numpy(batch)).numpy()
        return output

    return network


def exported(module: nn.Module, exporter: Any, length: int = 7) -> parity.Network:
    codes = np.random.default_rng(0).integers(1, 20, (2, length))
    session = graph.opened(graph.of_module(module, {"codes": codes}, FREE, ["output"], exporter))
    return lambda batch: session([batch])[0]


ITEMS = [CODING.encode(raw) for raw in texts([*np.random.default_rng(2).integers(2, 40, 80).tolist(), 1])]


def recurrent(directions: int, exporter: str) -> parity.Parity:
    module = Lengths(directions).eval()
    return parity.compare(CODING, ITEMS, outputs_of(module), exported(module, exporter))


@pytest.mark.parametrize(("directions", "exporters"), [(1, ("dynamo",)), (2, ("dynamo", "legacy"))])
def test_recurrent_layers_answer_texts_of_every_length(directions: int, exporters: tuple[str, ...]) -> None:
    # In a process of their own, as each export has one: the second recurrent layer that dynamo exports in a process may be frozen.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for compared in pool.map(recurrent, [directions] * len(exporters), exporters):
            assert compared.difference <= 1e-5 and compared.inputs == 81
            shortest, median, longest = compared.lengths
            assert shortest == 1 and longest == 39 and 1 < median < 39


class Counted(nn.Module):
    """A network that asks how long its batch is by len(), as a capsule network does."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.last(rows).reshape(len(rows), 2)
        return outputs


def test_a_network_that_counts_its_batch_answers_any_number() -> None:
    module, rows = Counted(), np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    session = graph.opened(graph.of_module(module, {"row": rows[:2]}, {"row": {0: "batch"}}, ["output"], "dynamo"))
    assert all(np.allclose(session([rows[:count]])[0], outputs_of(module)(rows[:count]), atol=1e-6) for count in (1, 3, 5))


def test_a_graph_frozen_at_one_length_is_found_out() -> None:
    module = Lengths().eval()
    real = outputs_of(module)

    def frozen(batch: np.ndarray) -> np.ndarray:
        """As if traced at 7 tokens: longer texts are cut, shorter ones padded."""
        codes = np.zeros((len(batch), 7), np.int64)
        codes[:, : batch.shape[1]] = batch[:, :7]
        return real(codes)

    # A toy, which compares at the example's length alone, sees nothing.
    parity.compare(CODING, [CODING.encode(raw) for raw in texts([7] * 20)], real, frozen)
    with pytest.raises(Problem, match="differ by"):
        parity.compare(CODING, ITEMS, real, frozen)


def test_a_batch_of_one_that_became_a_constant_is_found_out() -> None:
    real = outputs_of(Lengths().eval())
    with pytest.raises(Problem, match="batch of 3"):
        parity.compare(CODING, ITEMS, real, lambda batch: real(batch[:1]))
    with pytest.raises(Problem, match="batch of 2 or more"):
        graph.of_module(Lengths(), {"codes": np.ones((1, 5), np.int64)}, FREE, ["output"], "dynamo")


def test_live_dropout_is_found_out_and_export_turns_it_off() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vectors, self.dropout = nn.Embedding(20, 1, padding_idx=0), nn.Dropout(0.5)

        def forward(self, codes: torch.Tensor) -> torch.Tensor:
            sums: torch.Tensor = self.dropout(self.vectors(codes)).sum(1)[:, 0]
            return sums

    module = Dropping()
    still = outputs_of(module.eval())
    graph_of_it = exported(module.train(), "dynamo")  # of_module itself puts the network into eval mode
    assert not module.training
    parity.compare(CODING, ITEMS, still, graph_of_it)
    with pytest.raises(Problem, match="differ by"):
        parity.compare(CODING, ITEMS, still, outputs_of(module.train()))


def test_a_vocabulary_in_another_order_is_found_out() -> None:
    network = outputs_of(Lengths().eval())
    other = Coding(CODING.encoder, CODING.decoder, CODING.labels, ["", *sorted(WORDS[1:], reverse=True)])

    def asked(coding: Coding) -> Any:
        return lambda raw: coding.decode(network(coding.batch([coding.encode(raw)]))[0])

    raws = texts([1, 5, 9])
    answers = [asked(CODING)(raw) for raw in raws]
    parity.same_answers(raws, answers, asked(CODING))
    # Arrays compared with arrays would not show it: both sides get the same wrong codes.
    parity.compare(other, [other.encode(raw) for raw in raws], network, network)
    with pytest.raises(Problem, match="test input 1 otherwise"):
        parity.same_answers(raws, answers, asked(other))


def test_ties_may_be_answered_either_way_and_others_not() -> None:
    coding = Coding(CODING.encoder, Classes(), ["a", "b"], WORDS)
    items = ITEMS[:3]

    def scores(first: float, second: float) -> parity.Network:
        return lambda batch: np.tile(np.array([[first, second]], np.float32), (len(batch), 1))

    parity.compare(coding, items, scores(0.5, 0.50005), scores(0.50004, 0.5))
    with pytest.raises(Problem, match="differ by"):
        parity.compare(coding, items, scores(0.5, 0.6), scores(0.6, 0.5))
    with pytest.raises(Problem, match="differ by"):
        parity.compare(coding, items, scores(0.5, 0.6), scores(float("nan"), 0.6))


def test_numbers_with_a_unit_are_compared_in_proportion() -> None:
    """The digits that float32 has: 0.02 of 500 riders are rounding, 0.02 of a logit are not."""

    def of(value: float) -> parity.Network:
        return lambda batch: np.full((len(batch), 1), value, np.float32)

    riders = Coding(Tensor(shape=[2]), Number(unit="riders"))
    items = [riders.encode({"numbers": [1, 2]})] * 3
    assert parity.compare(riders, items, of(500), of(500.02)).difference == pytest.approx(4e-5, rel=0.01)
    with pytest.raises(Problem, match=r"differ by 0\.0002"):
        parity.compare(riders, items, of(500), of(500.1))
    digits = Coding(Tensor(shape=[2]), Binary(), ["no", "yes"])
    with pytest.raises(Problem, match=r"differ by 0\.02"):
        parity.compare(digits, items, of(500), of(500.02))


def test_a_module_of_several_networks_keeps_their_names() -> None:
    first, second = nn.Linear(3, 4), nn.Linear(4, 2)
    module = Computed(lambda rows: second(first(rows).tanh()), first=first, second=second)
    assert sorted(module.state_dict()) == ["first.bias", "first.weight", "second.bias", "second.weight"]
    example = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    session = graph.opened(graph.of_module(module, {"row": example}, {"row": {0: "batch"}}, ["output"], "dynamo"))
    rows = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    with torch.no_grad():
        assert np.allclose(session([rows])[0], module(torch.from_numpy(rows)).numpy(), atol=1e-6)


def test_what_is_no_network_is_refused_with_a_sentence() -> None:
    from workbench.projects.convolutional_networks.style_transfer import StyleTransfer
    from workbench.training.project import Project

    with pytest.raises(Problem, match=r"^Style transfer optimises one picture; there is no network to ask\.$"):
        StyleTransfer.serving(object.__new__(StyleTransfer))
    with pytest.raises(Problem, match="has no network that can be asked"):
        Project.serving(object.__new__(Project))


def test_a_network_that_writes_on_is_served(tmp_path: Path) -> None:
    """Its graph takes one character at a time, whatever the encoder says of texts: a session opens it and writes what the lesson writes."""
    folder = tmp_path / "char-rnn-python" / "1"
    settings = ["config.hidden=8", "config.layers=1", "config.sequence=16", "config.dropout=0"]
    words = [sys.executable, "-m", "tests.exporting", "char-rnn-python", "16", str(folder), *settings]
    done = subprocess.run(words, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and '"kind": "onnx"' in done.stdout, done.stderr[-2000:]
    session = Session(folder)
    examples = session.folder.examples()
    answers = session.answers([example["input"] for example in examples])
    assert examples and not any(difference(one, two["answer"]) for one, two in zip(answers, examples, strict=True))
