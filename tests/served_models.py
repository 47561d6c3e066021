"""Small model folders made without training, and a server process over them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from workbench.encoding import model_folder
from workbench.encoding.coding import Coding, png
from workbench.encoding.kinds import Binary, Classes, Column, Decoder, Encoder, NextToken, Number, Picture, RowOfNumbers, TextCodes
from workbench.encoding.model_folder import ModelFolder
from workbench.encoding.writing import written

ROOT = Path(__file__).parents[1]
WORDS = ["", "bad", "dull", "fine", "good", "great", "plot", "film"]


def _seal(
    target: Path,
    graph: Any,
    encoder: Encoder,
    decoder: Decoder,
    inputs: Sequence[Any],
    labels: Sequence[str] = (),
    words: Sequence[str] = (),
) -> ModelFolder:
    """A folder whose examples are answered by ONNX Runtime here."""
    import onnx
    import onnxruntime

    data = graph.SerializeToString()
    onnx.checker.check_model(graph)
    coding = Coding(encoder, decoder, labels, words)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    examples = []
    for raw in inputs:
        if isinstance(decoder, NextToken):
            answer = written(coding, raw, lambda codes, state: _step(session, codes, state))
        else:
            answer = coding.decode(session.run(None, {coding.name: coding.batch([coding.encode(raw)])})[0][0])
        examples.append({"input": raw, "answer": answer})

    def write(folder: Path) -> None:
        (folder / "model.onnx").write_bytes(data)
        (folder / "examples.json").write_text(json.dumps(examples))
        for name, lines in (("labels.txt", labels), ("vocabulary.txt", words)):
            if lines:
                (folder / name).write_bytes(model_folder.lines(list(lines)))

    about = {
        "name": target.parent.name,
        "version": int(target.name),
        "kind": "onnx",
        "encoder": msgspec.to_builtins(encoder),
        "decoder": msgspec.to_builtins(decoder),
    }
    return model_folder.seal(target, about, write)


def _step(session: Any, codes: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    logits, *after = session.run(None, {"codes": codes, "memory": state[0]})
    return logits, after


def _model(nodes: Sequence[Any], name: str, kind: int, shape: Sequence[Any], constants: dict[str, np.ndarray], width: int) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        list(nodes),
        "model",
        [helper.make_tensor_value_info(name, kind, ["batch", *shape])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(values, constant) for constant, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def mlp(target: Path, seed: int = 0) -> ModelFolder:
    """An untrained network 784-256-128-10 on pictures of 28x28."""
    from onnx import TensorProto, helper

    random = np.random.default_rng(seed)
    sizes = (784, 256, 128, 10)
    constants: dict[str, np.ndarray] = {"flat": np.array([0, -1])}
    nodes = [helper.make_node("Reshape", ["pixels", "flat"], ["x0"])]
    for place, (width, wide) in enumerate(pairwise(sizes)):
        constants[f"w{place}"] = (random.standard_normal((width, wide)) * (2 / width) ** 0.5).astype(np.float32)
        constants[f"b{place}"] = (random.standard_normal(wide) * 0.1).astype(np.float32)
        last = place == len(sizes) - 2
        nodes.append(helper.make_node("Gemm", [f"x{place}", f"w{place}", f"b{place}"], ["output" if last else f"z{place}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"z{place}"], [f"x{place + 1}"]))
    graph = _model(nodes, "pixels", TensorProto.FLOAT, [1, 28, 28], constants, 10)
    inputs = [{"picture": png(random.random((1, 28, 28)))} for _ in range(8)] + [
        {"pixels": random.random(784).round(3).tolist()} for _ in range(8)
    ]
    labels = [f"digit {number}" for number in range(10)]
    return _seal(target, graph, Picture(shape=(1, 28, 28)), Classes(), inputs, labels)


def reviews(target: Path) -> ModelFolder:
    """The mean of one number a word: a sentiment that can be reckoned by hand. Padding is 0 and adds nothing."""
    from onnx import TensorProto, helper

    table = np.array([[0], [-3], [-1], [1], [2], [4], [0.5], [0.25]], np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "codes"], ["values"]),
        helper.make_node("ReduceSum", ["values", "axis"], ["output"], keepdims=0),
    ]
    graph = _model(nodes, "codes", TensorProto.INT64, ["length"], {"table": table, "axis": np.array([1])}, 1)
    texts = ["a good film", "a bad plot", "great great film", "dull", "bad bad good", "fine"]
    return _seal(target, graph, TextCodes(), Binary(), [{"review": text} for text in texts], ["negative", "positive"], WORDS)


def houses(target: Path) -> ModelFolder:
    """A linear model of two measurements."""
    from onnx import TensorProto, helper

    constants = {"w": np.array([[2.0], [-1.0]], np.float32), "b": np.array([10.0], np.float32)}
    graph = _model([helper.make_node("Gemm", ["row", "w", "b"], ["output"])], "row", TensorProto.FLOAT, [2], constants, 1)
    columns = [Column(name="rooms", mean=6.0, scale=2.0), Column(name="distance", mean=3.0)]
    inputs = [{"row": {"rooms": rooms, "distance": 2.0}} for rooms in (4.0, 5.0, 6.5)]
    return _seal(target, graph, RowOfNumbers(columns=columns), Number(unit="$1000"), inputs)


def alphabet(target: Path) -> ModelFolder:
    """Writes the next letter after a, b or c; its state goes in and out as it is."""
    from onnx import TensorProto, helper, numpy_helper

    memory = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1]) for name in ("memory", "memory_after")]
    following = np.array([[0, 0, 0], [0, 9, 0], [0, 0, 9], [9, 0, 0]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["following", "codes"], ["each"]),
            helper.make_node("Gather", ["each", "last"], ["output"], axis=1),
            helper.make_node("Identity", ["memory"], ["memory_after"]),
        ],
        "model",
        [helper.make_tensor_value_info("codes", TensorProto.INT64, ["batch", "length"]), memory[0]],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 3]), memory[1]],
        [numpy_helper.from_array(following, "following"), numpy_helper.from_array(np.array(-1), "last")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    decoder = NextToken(states={"memory": [1]}, most=20, length=6, temperature=0)
    return _seal(
        target, model, TextCodes(tokens="characters"), decoder, ["a", "b", {"prompt": "ca", "length": 2}], words=["", "a", "b", "c"]
    )


def patient(target: Path) -> ModelFolder:
    """Adds 1 as often as its first number says: a body can keep it busy for as long as it likes."""
    from onnx import TensorProto, helper, numpy_helper

    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["still"]), helper.make_node("Add", ["state", "step"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            state,
        ],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, []), helper.make_tensor_value_info("next", TensorProto.FLOAT, [])],
        [numpy_helper.from_array(np.array(1.0, np.float32), "step")],
    )
    nodes = [
        helper.make_node("ReduceMax", ["row"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["turns", "yes", "zero"], ["sum"], body=body),
        helper.make_node("Mul", ["sum", "nothing"], ["none"]),
        helper.make_node("Add", ["row", "none"], ["output"]),
    ]
    constants = {"yes": np.array(True), "zero": np.array(0.0, np.float32), "nothing": np.array(0.0, np.float32)}
    graph = _model(nodes, "row", TensorProto.FLOAT, [1], constants, 1)
    inputs = [{"row": {"turns": float(turns)}} for turns in (1, 2, 3)]
    return _seal(target, graph, RowOfNumbers(columns=[Column(name="turns")]), Number(), inputs)


def photograph(seed: int = 0) -> bytes:
    """A PNG of 28x28."""
    from base64 import b64decode

    return b64decode(png(np.random.default_rng(seed).random((1, 28, 28))))


def encoded(picture: bytes) -> dict[str, str]:
    """The same as `predict` takes it."""
    return {"picture": b64encode(picture).decode()}


class Served:
    """A server process and its address."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process, self.port = process, port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, body: Any = None, path: str = "/invocations", method: str = "", **headers: str) -> tuple[int, dict[str, str], Any]:
        """Code, headers in lower case and the body, as JSON where it is. An underscore in a header's name stands for a dash."""
        line = HTTPConnection("127.0.0.1", self.port, timeout=70)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            named = {"Content-Type": "application/json"} | named
        line.request(method or ("GET" if data is None else "POST"), path, data, named)
        response = line.getresponse()
        answer = response.read()
        line.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, json.loads(answer) if found.get("content-type") == "application/json" and answer else answer

    def raw(self, data: bytes, timeout: float = 20.0, half_close: bool = False) -> bytes:
        """What comes back for these bytes until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as line:
            line.sendall(data)
            if half_close:
                line.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while part := line.recv(1 << 16):
                    answer += part
            except TimeoutError:
                pass
            except ConnectionError:
                pass
            return answer

    def worker(self, variant: str = "main") -> int:
        """The worker's pid, as the server tells it on its standard output's file."""
        return _children(self.process.pid)[0]

    def healthy(self) -> bool:
        try:
            return self.ask(path="/ping")[0] == 200
        except OSError:
            return False


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


@contextmanager
def served(*folders: Path, options: Sequence[str] = (), environment: dict[str, str] | None = None) -> Iterator[Served]:
    """A server process over these model folders, one variant each, all with the same weight; it has answered /ping with 200."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    command = [sys.executable, str(Path(__file__).parent / "serving_process.py"), str(listening.fileno()), *options, *map(str, folders)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {})
    process = subprocess.Popen(command, pass_fds=[listening.fileno()], env=environment, cwd=ROOT, start_new_session=True)
    listening.close()
    server = Served(process, port)
    try:
        end = time.monotonic() + 60
        while not server.healthy():
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server is not ready"
            time.sleep(0.05)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
