"""Models for endpoint tests, and a client in a process of its own that asks an endpoint without a pause and checks every answer.

`python endpoint_traffic.py PORT SECONDS CONNECTIONS OUT` asks for two numbers and notes id, variant, code, answer and time of each request.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple


def linear(version: int, *, wrong_example: bool = False, brittle: bool = False) -> Any:
    """Version N of `line`, which answers 10 + N x, in the store; `brittle`: fails at run time where x is 50 or more."""
    import numpy as np
    from onnx import TensorProto, helper
    from served_models import _model, _seal

    from workbench import paths
    from workbench.encoding.kinds import Column, Number, RowOfNumbers

    constants = {"w": np.array([[float(version)]], np.float32), "b": np.array([10.0], np.float32)}
    nodes = [helper.make_node("Gemm", ["row", "w", "b"], ["sum" if brittle else "output"])]
    if brittle:
        # Of a table of 50 zeros the row x is taken: ONNX Runtime refuses a row that is not there.
        constants |= {"zeros": np.zeros(50, np.float32)}
        nodes += [
            helper.make_node("Cast", ["row"], ["place"], to=TensorProto.INT64),
            helper.make_node("Gather", ["zeros", "place"], ["nothing"]),
            helper.make_node("Add", ["sum", "nothing"], ["output"]),
        ]
    graph = _model(nodes, "row", TensorProto.FLOAT, [1], constants, 1)
    inputs = [{"row": {"x": float(x)}} for x in range(1, 5)]
    target = paths.models() / "line" / str(version)
    if not wrong_example:
        return _seal(target, graph, RowOfNumbers(columns=[Column(name="x")]), Number(), inputs)
    import served_models

    real, served_models.json = served_models.json, _Wrong()  # type: ignore[assignment]
    try:
        return _seal(target, graph, RowOfNumbers(columns=[Column(name="x")]), Number(), inputs)
    finally:
        served_models.json = real


class _Wrong:
    """Writes examples whose answers the graph does not give."""

    def dumps(self, examples: list[dict[str, Any]]) -> str:
        return json.dumps([{**example, "answer": {**example["answer"], "answer": 1234.5}} for example in examples])


class Seen(NamedTuple):
    """One request as the client saw it."""

    when: float
    seconds: float
    code: int
    """0: the connection broke."""
    variant: str
    right: bool
    id: str


def once(port: int, x: float = 3.0, **headers: str) -> Seen:
    """One request on a connection of its own."""
    line = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        return _ask(line, x, headers)
    finally:
        line.close()


def _ask(line: HTTPConnection, x: float, headers: dict[str, str] | None = None) -> Seen:
    begin = time.time()
    try:
        line.request("POST", "/invocations", json.dumps({"row": {"x": x}}), {"Content-Type": "application/json", **(headers or {})})
        response = line.getresponse()
        body = json.loads(response.read())
    except (OSError, HTTPException):
        line.close()
        return Seen(begin, time.time() - begin, 0, "", False, "")
    variant = response.headers.get("x-amzn-invoked-production-variant", "")
    right = response.status == 200 and variant.isdigit() and abs(body["answer"] - (10 + int(variant) * x)) < 1e-4
    return Seen(begin, time.time() - begin, response.status, variant, right, response.headers.get("x-request-id", ""))


class Traffic:
    """Requests from another process until it is told to stop."""

    def __init__(self, port: int, out: Path, connections: int = 4, pause: float = 0.002, x: float = 3.0) -> None:
        self.out = out
        command = [sys.executable, __file__, *map(str, (port, connections, pause, x, out))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while not out.exists():
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.02)

    def seen(self) -> list[Seen]:
        """What was seen so far."""
        lines = self.out.read_text().splitlines(keepends=True)
        return [Seen(*json.loads(line)) for line in lines if line.endswith("\n")]

    def stop(self) -> list[Seen]:
        """End it; all that was seen."""
        self.process.communicate(b"\n", timeout=60)
        return self.seen()


def _client(words: Sequence[str]) -> None:
    port, connections, pause, x = int(words[0]), int(words[1]), float(words[2]), float(words[3])
    stopped = threading.Event()
    with Path(words[4]).open("a", buffering=1) as file:

        def work() -> None:
            line = HTTPConnection("127.0.0.1", port, timeout=60)
            while not stopped.is_set():
                file.write(json.dumps(_ask(line, x)) + "\n")
                time.sleep(pause)

        threads = [threading.Thread(target=work) for _ in range(connections)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        stopped.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    _client(sys.argv[1:])
