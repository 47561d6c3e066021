"""Requests a second of the server, isolated and not, beside a plain Starlette server and LitServe, on one core; the load has another.

    python tests/bench/serving.py [--seconds 30] [--rounds 3] [--connections 16] [--servers isolated,inside,plain,litserve,echo]
    python tests/bench/serving.py --servers isolated,alone                  what batching brings: alone takes one request at a time
    python tests/bench/serving.py --servers isolated,shadowed --pace 500    what a shadow costs those who get the first one's answers

A network 784-256-128-10 on pictures as JSON. All servers run at once, and each gets its turn in every round, so that they share the
machine's moods. The load checks every answer against ONNX Runtime's here and counts errors. Targets, of the plain server's figure in the
same round: not isolated at least 0.95; isolated at least 0.65, p99 at most twice its; an echo at least twice. On a busy machine look at
the processor time of a request (µs): a server of two processes gets twice the turns of one.
"""

import argparse
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from heapq import heappop, heappush
from pathlib import Path
from statistics import median
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

BODIES = 64
"""Different bodies, so that no server can answer by heart."""


def load(port: int, connections: int, seconds: float, bodies: list[bytes], right: list[Any], pace: float = 0.0) -> dict[str, Any]:
    """Ask over so many connections, each anew as soon as it has its answer, or so often a second in all; check all answers."""
    import msgspec

    decode = msgspec.json.Decoder().decode
    head = b"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    requests = [head % len(body) + body for body in bodies]
    poll = select.epoll()
    lines: dict[int, socket.socket] = {}
    state: dict[int, tuple[int, float, bytes]] = {}
    chance = random.Random(0)
    times, errors = array("d"), 0
    later: list[tuple[float, int]] = []
    clock = time.perf_counter

    def send(file: int) -> None:
        number = chance.randrange(len(requests))
        state[file] = number, clock(), b""
        lines[file].sendall(requests[number])

    for _ in range(connections):
        line = socket.create_connection(("127.0.0.1", port))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines[line.fileno()] = line
        poll.register(line.fileno(), select.EPOLLIN)
        send(line.fileno())
    begin = clock()
    end = begin + seconds
    while (now := clock()) < end:
        while later and later[0][0] <= now:
            send(heappop(later)[1])
        for file, _ in poll.poll(max(0.0, later[0][0] - now) if later else 1.0):
            number, sent, data = state[file]
            data += lines[file].recv(1 << 16)
            top = data.find(b"\r\n\r\n")
            place = data.lower().find(b"content-length: ", 0, top) + 16
            if top < 0 or len(data) < top + 4 + int(data[place : data.index(b"\r", place)]):
                assert data, "the server closed a connection"
                state[file] = number, sent, data
                continue
            times.append(clock() - sent)
            if not data.startswith(b"HTTP/1.1 200") or (right and not equal(decode(data[top + 4 :]), right[number])):
                errors += 1
            if pace:
                heappush(later, (max(clock(), sent + connections / pace), file))
            else:
                send(file)
    took = now - begin
    ordered = sorted(times)
    for line in lines.values():
        line.close()
    part = {name: 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {"rate": len(times) / took, **part, "errors": errors, "asked": len(times)}


def equal(answer: Any, right: Any) -> bool:
    """The class and its probability."""
    name = right["answer"]
    return bool(answer["answer"] == name and abs(answer["probabilities"][name] - right["probabilities"][name]) < 1e-4)


# -- servers ------------------------------------------------------------------------------------------------------------------------


def session(folder: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])


def said(output: Any) -> dict[str, Any]:
    """A row of logits as the answer that every server gives."""
    import numpy as np

    shares = np.exp(output - output.max())
    shares /= shares.sum()
    return {
        "answer": f"digit {int(shares.argmax())}",
        "probabilities": {f"digit {place}": share for place, share in enumerate(shares.tolist())},
    }


def plain(folder: Path, file: int) -> None:
    """Starlette and ONNX Runtime as one writes them in ten lines."""
    import numpy as np
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    model = session(folder)

    async def answer(request: Request) -> JSONResponse:
        pixels = np.array((await request.json())["pixels"], np.float32).reshape(1, 1, 28, 28)
        return JSONResponse(said(model.run(None, {"pixels": pixels})[0][0]))

    app = Starlette(routes=[Route("/invocations", answer, methods=["POST"])])
    # As `fd` uvicorn takes it for a Unix socket and leaves Nagle's algorithm on: each answer would wait 40 ms for an acknowledgement.
    listening = socket.socket(fileno=file)
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listening])


def echo(file: int) -> None:
    """The least that can be called a server: it finds the end of a request and sends a fixed answer."""
    body = json.dumps(said(__import__("numpy").zeros(10))).encode()
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    listening = socket.socket(fileno=file)
    poll = select.epoll()
    poll.register(listening.fileno(), select.EPOLLIN)
    lines: dict[int, socket.socket] = {}
    left: dict[int, int] = {}
    while True:
        for place, _ in poll.poll():
            if place == listening.fileno():
                line, _ = listening.accept()
                lines[line.fileno()] = line
                left[line.fileno()] = 0
                poll.register(line.fileno(), select.EPOLLIN)
                continue
            try:
                data = lines[place].recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                lines.pop(place).close()
                continue
            if left[place] == 0:
                top = data.index(b"\r\n\r\n")
                start = data.index(b"Content-Length: ") + 16
                left[place] = int(data[start : data.index(b"\r", start)]) + top + 4
            left[place] -= len(data)
            if left[place] == 0:
                lines[place].sendall(answer)


# -- turns --------------------------------------------------------------------------------------------------------------------------


def start(name: str, folder: Path, core: int) -> tuple["subprocess.Popen[bytes]", int]:
    """A server's process, on its core with all its children, and its port."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    port, file = listening.getsockname()[1], listening.fileno()
    commands = {
        "isolated": [str(TESTS / "serving_process.py"), str(file), str(folder)],
        "inside": [str(TESTS / "serving_process.py"), str(file), "--inside", str(folder)],
        "alone": [str(TESTS / "serving_process.py"), str(file), "--together", "1", str(folder)],
        "shadowed": [str(TESTS / "serving_process.py"), str(file), "--shadow", str(folder), str(folder)],
        "plain": [__file__, "--be", "plain", str(folder), str(file)],
        "litserve": [str(Path(__file__).with_name("litserve_server.py")), str(folder), str(port)],
        "echo": [__file__, "--be", "echo", str(folder), str(file)],
    }
    if name == "litserve":
        listening.close()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS.parent)}
    process = subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, *commands[name]],
        pass_fds=[] if name == "litserve" else [file],
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    listening.close()
    return process, port


def processor_seconds(pid: int) -> float:
    """Of a process and all its descendants until now."""
    try:
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        threads = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return 0.0
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK") + sum(processor_seconds(int(child)) for child in threads)


def wait(port: int, body: bytes, answered: bool = True) -> None:
    """Until a request is answered with 200."""
    from http.client import HTTPConnection

    end = time.monotonic() + 90
    while True:
        try:
            line = HTTPConnection("127.0.0.1", port, timeout=5)
            line.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            if line.getresponse().status == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < end, "a server does not start"
        time.sleep(0.2)


def main() -> None:
    """Measure all in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--servers", default="isolated,inside,plain,litserve,echo")
    parser.add_argument("--pace", type=float, default=0.0, help="requests a second; without it as many as are answered")
    parser.add_argument("--core", type=int, default=0, help="the server's; the load takes another one")
    parser.add_argument("--be", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be:
        name, folder, number = options.be
        if name == "plain":
            plain(Path(folder), int(number))
        else:
            echo(int(number))
        return

    import numpy as np
    from served_models import mlp

    others = os.sched_getaffinity(0) - {options.core}
    names = options.servers.split(",")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {options.connections} connections", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = mlp(Path(place) / "digits" / "1").path
        pixels = np.random.default_rng(1).random((BODIES, 784)).round(3)
        bodies = [json.dumps({"pixels": row.tolist()}).encode() for row in pixels]
        right = [said(row) for row in session(folder).run(None, {"pixels": pixels.astype(np.float32).reshape(-1, 1, 28, 28)})[0]]
        servers = {name: start(name, folder, options.core) for name in names}
        os.sched_setaffinity(0, others or os.sched_getaffinity(0))
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        try:
            for _, port in servers.values():
                wait(port, bodies[0])
            for name in names:
                load(servers[name][1], options.connections, min(2.0, options.seconds), bodies, [])
            for number in range(options.rounds):
                for name in names:
                    process, port = servers[name]
                    before = processor_seconds(process.pid)
                    result = load(port, options.connections, options.seconds, bodies, [] if name == "echo" else right, options.pace)
                    result["cpu"] = (processor_seconds(process.pid) - before) / result["asked"]
                    results[name].append(result)
                    shown = f"{result['rate']:8,.0f}/s  p50 {result['p50']:6.2f} ms  p99 {result['p99']:6.2f} ms"
                    shown += f"  {1e6 * result['cpu']:5.0f} µs  errors {result['errors']}"
                    print(f"round {number + 1}  {name:9} {shown}", flush=True)
        finally:
            for process, _ in servers.values():
                os.killpg(process.pid, signal.SIGKILL)
    for name in names:
        rate, p99 = (median(result[key] for result in results[name]) for key in ("rate", "p99"))
        text = f"{name:9} {rate:8,.0f}/s  p99 {p99:6.2f} ms"
        yardstick = "plain" if "plain" in names else names[0]
        if name != yardstick:
            pairs = list(zip(results[name], results[yardstick], strict=True))
            text += f"  {median(mine['rate'] / its['rate'] for mine, its in pairs):.2f} of {yardstick}"
            text += f", p99 {median(mine['p99'] / its['p99'] for mine, its in pairs):.2f} times its"
            text += f"; by processor time {median(its['cpu'] / mine['cpu'] for mine, its in pairs):.2f}"
        print(text)
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
