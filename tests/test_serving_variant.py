"""A variant's life: healthy only when right, killed under load, drained, failed; what the router says meanwhile."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from served_models import ROOT, Served, alphabet, houses, mlp, patient, reviews, served

from workbench.encoding import model_folder
from workbench.encoding.model_folder import ModelFolder
from workbench.problems import Problem
from workbench.serving.messages import Request
from workbench.serving.variant import QUEUE, Variant

GOOD = json.dumps({"review": "good film"}).encode()


def altered(folder: ModelFolder, target: Path, examples: Any) -> ModelFolder:
    """The same model with other examples, sealed anew."""

    def write(new: Path) -> None:
        for name in folder.model.files:
            (new / name).write_bytes((folder.path / name).read_bytes())
        (new / "examples.json").write_text(json.dumps(examples))

    about = json.loads((folder.path / "model.json").read_text()) | {"version": int(target.name)}
    return model_folder.seal(target, about, write)


@pytest.mark.parametrize("isolate", [True, False])
async def test_healthy_only_when_its_examples_are_answered_equal(tmp_path: Path, isolate: bool) -> None:
    """Not while it loads; never where one answer of the examples is another one, or where there is none."""
    folder = reviews(tmp_path / "mood" / "1")
    variant = Variant("a", folder, isolate=isolate)
    starting = asyncio.ensure_future(variant.start())
    if isolate:
        await asyncio.sleep(0)
        assert not variant.healthy and (await variant.ask(Request("1", GOOD))).code == 503
    await starting
    assert variant.healthy
    reply = await variant.ask(Request("1", GOOD))
    assert reply.code == 200 and reply.answers == ["positive"] and reply.batch == 1 and reply.model > 0
    await variant.close()
    assert not variant.healthy and (await variant.ask(Request("2", GOOD))).code == 503

    examples = folder.examples()
    swapped = [*examples[:-1], {"input": examples[-1]["input"], "answer": examples[1]["answer"]}]
    constant = [{"input": example["input"], "answer": examples[0]["answer"]} for example in examples]
    for version, wrong, said in ((2, swapped, "answers its example 6"), (3, constant, "answers its example 2"), (4, [], "has no examples")):
        bad = Variant("bad", altered(folder, tmp_path / "mood" / str(version), wrong), isolate=isolate)
        with pytest.raises(Problem, match=said):
            await bad.start()
        assert not bad.healthy and bad.failed and bad.pid in (0, os.getpid())
        reply = await bad.ask(Request("3", GOOD))
        assert reply.code == 503 and "has failed" in reply.message


async def test_what_comes_together_is_answered_together(tmp_path: Path) -> None:
    """Micro-batching: the requests of one turn share a batch; a bad one has its own 400; more than the queue holds get 503."""
    variant = Variant("a", reviews(tmp_path / "mood" / "1"))
    await variant.start()
    bodies = [GOOD, b"nonsense", b'"bad"', b'"xyzzy"', *([GOOD] * 20)]
    replies = await asyncio.gather(*(variant.ask(Request(str(place), body)) for place, body in enumerate(bodies)))
    assert [reply.code for reply in replies[:4]] == [200, 400, 200, 400] and {reply.code for reply in replies[4:]} == {200}
    assert {reply.batch for reply in replies} == {24} and replies[2].answers == ["negative"]
    replies = await asyncio.gather(*(variant.ask(Request(str(place), GOOD)) for place in range(QUEUE + 10)))
    codes = [reply.code for reply in replies]
    assert codes == [200] * QUEUE + [503] * 10 and replies[-1].retry_after
    figures = variant.figures
    assert figures.codes == {200: 22 + QUEUE, 400: 2, 503: 10} and figures.in_flight == 0
    assert figures.batches <= 1 + QUEUE // 64 + 1 and set(figures.quantiles()) == {"p50", "p95", "p99"}
    await variant.close()


async def test_a_body_that_ends_the_process(tmp_path: Path) -> None:
    """500 for it alone, after it was tried once more alone; its neighbours are answered; sent again it is refused at once."""
    variant = Variant("a", patient(tmp_path / "patient" / "1"))
    events: list[str] = []
    variant.on_event.append(lambda kind, text: events.append(kind))
    await variant.start()
    # Busy for hours: whatever kills the process finds this body in it.
    endless = Request("endless", b"1e12,\n".replace(b",", b""), "text/csv")
    tasks = [asyncio.ensure_future(variant.ask(Request(str(turns), f"{turns}".encode(), "text/csv"))) for turns in range(5)]
    tasks.insert(2, asyncio.ensure_future(variant.ask(endless)))
    for _ in range(2):
        first = variant.pid
        await asyncio.sleep(0.3)
        assert variant.healthy and variant._out, "the body is in the process"
        os.kill(first, signal.SIGKILL)
        end = time.monotonic() + 20
        while variant.pid in (first, 0) or not variant.healthy:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        if not tasks[2].done():
            # The others go first or last; in the end this one is alone in it.
            while len(variant._out) != 1 or variant._out[0].request.id != "endless":
                assert time.monotonic() < end and not tasks[2].done()
                await asyncio.sleep(0.01)
    replies = await asyncio.gather(*tasks)
    bad = replies.pop(2)
    assert bad.code == 500 and "asked again" in bad.message
    assert [reply.code for reply in replies] == [200] * 5 and [reply.answers for reply in replies] == [[float(turns)] for turns in range(5)]
    assert events == ["died", "back"] * 2 and variant.figures.restarts == 2
    again = await variant.ask(endless)
    assert again.code == 500 and "this very body" in again.message
    # The third death in 30 seconds is one too many.
    os.kill(variant.pid, signal.SIGKILL)
    while not variant.failed:
        await asyncio.sleep(0.01)
    assert events[-1] == "failed" and not variant.healthy
    reply = await variant.ask(Request("9", b"1", "text/csv"))
    assert reply.code == 503 and "3 times within 30 seconds" in reply.message
    await variant.close()


async def test_a_request_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """504 for it; the process that holds it is ended, and the next one answers."""
    variant = Variant("a", patient(tmp_path / "patient" / "1"))
    await variant.start()
    monkeypatch.setattr("workbench.serving.variant.PATIENCE", 1.0)
    first = variant.pid
    reply = await variant.ask(Request("1", b"1e12", "text/csv"))
    assert reply.code == 504
    monkeypatch.setattr("workbench.serving.variant.PATIENCE", 60.0)
    assert (await variant.ask(Request("2", b"3", "text/csv"))).answers == [3.0] and variant.pid != first
    await variant.close()


async def test_draining(tmp_path: Path) -> None:
    """What is there is answered, what comes is refused, and no process is left."""
    variant = Variant("a", reviews(tmp_path / "mood" / "1"))
    await variant.start()
    pid = variant.pid
    asked = [asyncio.ensure_future(variant.ask(Request(str(place), GOOD))) for place in range(200)]
    await asyncio.sleep(0)
    draining = asyncio.ensure_future(variant.drain(10))
    await asyncio.sleep(0)
    assert (await variant.ask(Request("late", GOOD))).code == 503
    await draining
    assert [task.result().code for task in asked] == [200] * 200
    assert not Path(f"/proc/{pid}").exists() or variant.pid == 0


class Load:
    """Clients that ask and count, in threads; answers are checked."""

    def __init__(self, server: Served, clients: int = 4) -> None:
        self.server, self.going = server, True
        self.codes: list[tuple[float, int]] = []
        self.wrong: list[Any] = []
        self.unhealthy_200 = 0
        self.threads = [threading.Thread(target=self._ask, args=(place,)) for place in range(clients)]
        for thread in self.threads:
            thread.start()

    def _ask(self, place: int) -> None:
        words = [("good film", "positive"), ("bad plot", "negative")]
        turn = place
        while self.going:
            turn += 1
            text, right = words[turn % 2]
            code, _, answer = self.server.ask({"review": text})
            self.codes.append((time.monotonic(), code))
            if code != 200 or answer["answer"] != right:
                self.wrong.append((code, answer))

    def stop(self) -> None:
        self.going = False
        for thread in self.threads:
            thread.join()


def test_a_worker_killed_under_load(tmp_path: Path) -> None:
    """Nothing is lost: what was in flight is asked again. /ping is never 200 while no worker lives."""
    with served(reviews(tmp_path / "mood" / "1").path) as server:
        load = Load(server)
        time.sleep(0.5)
        pid = server.worker()
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        while server.healthy():  # the router has not read the end of the line yet
            assert time.monotonic() < killed + 1.0
        while not server.healthy():
            assert time.monotonic() < killed + 20
            time.sleep(0.01)
        back = time.monotonic() - killed
        assert server.worker() != pid
        time.sleep(0.3)
        load.stop()
        assert load.wrong == [] and any(when > killed + back for when, _ in load.codes)
        assert b'dlwb_restarts_total{variant="a"} 1.0' in server.ask(path="/metrics")[2]


def test_sigterm_loses_no_request(tmp_path: Path) -> None:
    """/ping says 503 while what is in flight is answered, then the server ends with 0 and leaves no process."""
    folder = patient(tmp_path / "patient" / "1").path
    with served(folder) as server:
        worker = server.worker()
        answers: list[Any] = []
        slow = threading.Thread(target=lambda: answers.append(server.ask(b"1e6", Content_Type="text/csv")))
        slow.start()
        time.sleep(0.4)
        assert not answers
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        if not answers:
            code, headers, _ = server.ask(path="/ping")
            assert code == 503 and headers["retry-after"]
            code, _, answer = server.ask(b"1", Content_Type="text/csv")
            assert code == 503 and "stopping" in answer["message"]
        slow.join()
        assert answers[0][0] == 200 and answers[0][2][0]["answer"] == 1e6
        assert server.process.wait(10) == 0
        assert not Path(f"/proc/{worker}").exists()


async def test_a_model_that_its_own_project_answers(home: Path, mirror: Path, nothing_is_left: None) -> None:
    """Equal to the examples of the project; not where its run is not."""
    cli = [sys.executable, "-m", "workbench.cli", "run", "regression", "--follow"]
    subprocess.run(cli, check=True, cwd=ROOT, capture_output=True)
    run = next((home / "runs").iterdir())
    target = home / "models" / "regression" / "1"
    subprocess.run([sys.executable, "-m", "workbench.torchkit.export", str(run), str(target)], check=True, cwd=ROOT, capture_output=True)
    variant = Variant("a", model_folder.read(target))
    await variant.start()
    reply = await variant.ask(Request("1", b'{"row": {"BMI": 21.07931}}'))
    assert reply.code == 200 and reply.answers[0].endswith(" years")
    refused = await variant.ask(Request("2", b'{"row": {"height": 1}}'))
    assert refused.code == 400 and "not one BMI" in refused.message
    await variant.close()
    run.rename(run.with_name("elsewhere"))
    with pytest.raises(Problem, match="is not here"):
        await Variant("a", model_folder.read(target)).start()


def test_a_killed_router_leaves_no_worker(tmp_path: Path) -> None:
    """The worker ends with the line."""
    with served(reviews(tmp_path / "mood" / "1").path) as server:
        worker = server.worker()
        server.process.kill()
        server.process.wait()
        end = time.monotonic() + 5
        while Path(f"/proc/{worker}").exists():
            assert time.monotonic() < end
            time.sleep(0.02)


def test_the_router_knows_no_array() -> None:
    """Neither NumPy nor torch nor a schema library is in the router's process; the worker has no HTTP in it."""
    router = "import workbench.serving.server, workbench.encoding.model_folder"
    worker = "import workbench.serving.worker"
    for code, wanted, never in (
        (router, {"starlette", "uvicorn"}, {"numpy", "torch", "pydantic", "onnxruntime", "scipy", "sklearn"}),
        (worker, {"numpy", "msgspec"}, {"torch", "pydantic", "starlette", "uvicorn", "scipy", "sklearn"}),
    ):
        shown = f"{code}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
        output = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True, cwd=ROOT)
        modules = set(output.stdout.split())
        assert wanted <= modules and not never & modules, never & modules


@pytest.mark.parametrize("make", [mlp, houses, alphabet])
async def test_inside_and_isolated_say_the_same(tmp_path: Path, make: Any) -> None:
    """Both forms answer by the same code, byte for byte."""
    folder = make(tmp_path / "model" / "1")
    bodies = [json.dumps(example["input"]).encode() for example in folder.examples()] + [b"nonsense"]
    replies = []
    for isolate in (True, False):
        variant = Variant("a", folder, isolate=isolate)
        await variant.start()
        got = await asyncio.gather(*(variant.ask(Request(str(place), body)) for place, body in enumerate(bodies)))
        replies.append([(reply.code, reply.body, reply.message) for reply in got])
        await variant.close()
    assert replies[0] == replies[1] and [code for code, *_ in replies[0]] == [200] * (len(bodies) - 1) + [400]
