"""An endpoint with real processes and real sockets: versions under load, canaries, shadows, deaths, and what it refuses."""

import json
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from endpoint_traffic import Seen, Traffic, linear, once
from served_models import patient, reviews

from workbench import paths
from workbench.events import Mark, Scalars, Status
from workbench.events import Table as Rows
from workbench.problems import Problem
from workbench.runs import lock
from workbench.runs.log import read_all
from workbench.serving import operate
from workbench.serving.endpoint import Endpoint, list_endpoints, state_of


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """End every endpoint that a test left running."""
    yield
    for endpoint in list_endpoints():
        operate.kill(endpoint)


def until(reached: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := reached():
            return value
        time.sleep(0.02)
    raise AssertionError("it never came")


def serve(*versions: int, port: int = 0, **how: Any) -> Endpoint:
    """An endpoint that serves version 1 of `line`; the others are in the store."""
    for version in (1, *versions):
        linear(version)
    return operate.serve("line:1", port=port or free_port(), **how)


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def events(endpoint: Endpoint, kind: type[Any]) -> list[Any]:
    return [event for event in read_all(endpoint.events)[0] if isinstance(event, kind)]


def marks(endpoint: Endpoint) -> list[str]:
    return [mark.text for mark in events(endpoint, Mark)]


def states(endpoint: Endpoint) -> list[str]:
    return [status.state for status in events(endpoint, Status)]


def failures(seen: list[Seen]) -> list[Seen]:
    return [one for one in seen if one.code != 200 or not one.right]


def accessed(endpoint: Endpoint) -> list[list[str]]:
    return [line.split() for line in endpoint.access.read_text().splitlines()]


def test_versions_switch_under_load_without_a_failed_request(tmp_path: Path) -> None:
    """Three switches, live weights and a roll-back; every answer is that of the variant it names; counters equal the access log."""
    endpoint = serve(2, 3)
    with_load = Traffic(endpoint.about.port, tmp_path / "seen")
    for version in (2, 3, 1):
        operate.ask(endpoint, "update", {"variants": [(str(version), None)]})
        since = time.time()
        until(lambda since=since, version=version: [s for s in with_load.seen() if s.when > since and s.variant == str(version)])
    operate.ask(endpoint, "update", {"variants": [("2", 0.5)]})
    sticky = {name: {once(endpoint.about.port, **{"X-Amzn-SageMaker-Session-Id": name}).variant for _ in range(8)} for name in "abcdefgh"}
    sessions = Counter(variant for variants in sticky.values() for variant in [*variants] * 8)
    assert all(len(variants) == 1 for variants in sticky.values()) and set.union(*sticky.values()) == {"1", "2"}
    operate.ask(endpoint, "weights", {"weights": {"2": 1.0}})
    moved = time.time()
    until(lambda: sum(s.when > moved + 1 for s in with_load.seen()) > 100)
    seen = with_load.stop()
    assert failures(seen) == [] and len(seen) > 200
    assert {one.variant for one in seen if one.when > moved + 1} == {"2"}

    assert endpoint.numbers() == [1, 2, 3, 4, 5]
    assert operate.ask(endpoint, "rollback").startswith("configuration 6: 1 100%")
    same = [(endpoint.configs / f"{number:04}.yaml").read_bytes() for number in (6, 4)]
    assert same[0] == same[1]
    assert {once(endpoint.about.port).variant for _ in range(20)} == {"1"}

    operate.stop(endpoint)
    log = accessed(endpoint)
    assert Counter(line[2] for line in log) == Counter(one.variant for one in seen) + Counter({"1": 20}) + sessions
    assert {line[1] for line in log} >= {one.id for one in seen}
    figures = [event for event in events(endpoint, Scalars) if "rate" in event.values]  # others hold drift alone
    assert figures[-1].values["requests"] == len(log)
    assert sum(event.values["rate"] for event in figures) == pytest.approx(len(log), rel=0.2)  # a second is not always one
    assert states(endpoint)[0] == "Creating" and states(endpoint)[-1] == "Stopped"
    assert state_of(endpoint).cause == "person"
    # What a person started again goes on in the same directory.
    operate.start(endpoint)
    assert once(endpoint.about.port).variant == "1" and state_of(endpoint).attempt == 2


def test_what_is_under_way_during_a_switch_is_answered() -> None:
    """A request in the old model is answered by it; one whose body is still coming goes to the new one."""
    for version in (1, 2):
        patient(paths.models() / "line" / str(version))
    endpoint = operate.serve("line:1", port=free_port())
    slow = HTTPConnection("127.0.0.1", endpoint.about.port, timeout=60)
    slow.request("POST", "/invocations", json.dumps({"row": {"turns": 1e6}}), {"Content-Type": "application/json"})
    body = b'{"row": {"turns": 2}}'
    with socket.create_connection(("127.0.0.1", endpoint.about.port), timeout=60) as line:
        head = f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        line.sendall(head.encode() + body[:5])
        until(lambda: operate.latest(endpoint).get("requests") is not None)
        operate.ask(endpoint, "update", {"variants": [("2", None)]})
        line.sendall(body[5:])
        answer = line.recv(1 << 16).decode()
    assert answer.startswith("HTTP/1.1 200") and "x-amzn-invoked-production-variant: 2" in answer
    response = slow.getresponse()
    assert response.status == 200 and response.headers["x-amzn-invoked-production-variant"] == "1"
    slow.close()


def test_a_bad_version_with_a_tenth_takes_itself_back(tmp_path: Path) -> None:
    """It answers its examples, then fails on what people send: at most 20 errors, at most 5 s, and the old one has all again."""
    endpoint = serve()
    linear(2, brittle=True)
    load = Traffic(endpoint.about.port, tmp_path / "seen", x=70.0)
    begin = time.time()
    operate.ask(endpoint, "update", {"variants": [("2", 0.1)], "seconds": 600})
    until(lambda: "RollingBack" in states(endpoint) and state_of(endpoint).state == "InService")
    took = time.time() - begin
    back = time.time()
    until(lambda: sum(one.when > back for one in load.seen()) > 50)
    seen = load.stop()
    bad = failures(seen)
    assert 1 <= len(bad) <= 20 and {one.code for one in bad} == {500}
    assert max(one.when for one in bad) - min(one.when for one in bad) <= 5
    assert took < 15
    assert {one.variant for one in seen if one.when > back} == {"1"}
    assert endpoint.config(3) == endpoint.config(1) and endpoint.current.config == 3
    assert any(text.startswith("alarm: canary 2:") and "500" in text for text in marks(endpoint))
    # The failed canary is not what a roll-back leads to.
    with pytest.raises(Problem, match="no configuration to go back to"):
        operate.ask(endpoint, "rollback")


def test_a_good_canary_grows_by_its_steps_and_gets_all(tmp_path: Path) -> None:
    endpoint = serve(2, 3)
    load = Traffic(endpoint.about.port, tmp_path / "seen")
    operate.ask(endpoint, "update", {"variants": [("2", 0.3)], "seconds": 2, "step": 0.3})
    with pytest.raises(Problem, match="canary 2 decides about the weights until it ends"):
        operate.ask(endpoint, "weights", {"weights": {"2": 0.5}})
    with pytest.raises(Problem, match="canary 2 decides about the variants until it ends"):
        operate.ask(endpoint, "update", {"variants": [("3", None)]})
    until(lambda: endpoint.current.config == 3 and events(endpoint, Scalars)[-1].values.get("weight/2") == 1)
    assert failures(load.stop()) == []
    shares = [event.values.get("weight/2") for event in events(endpoint, Scalars)]
    assert [share for place, share in enumerate(shares) if share is not None and share not in shares[:place]] == [0.3, 0.6, 0.9, 1.0]
    assert endpoint.config(3).weights() == {"2": 1.0} and endpoint.config(3).canary is None
    # A person takes one back before its time.
    operate.ask(endpoint, "update", {"variants": [("3", 0.5)], "seconds": 600})
    operate.ask(endpoint, "rollback")
    assert {once(endpoint.about.port).variant for _ in range(20)} == {"2"}
    assert endpoint.config(5) == endpoint.config(3)


def test_a_slow_canary_takes_itself_back(tmp_path: Path) -> None:
    """No answer comes within 0.01 ms."""
    endpoint = serve(2)
    load = Traffic(endpoint.about.port, tmp_path / "seen")
    operate.ask(endpoint, "update", {"variants": [("2", 0.5)], "seconds": 600, "limits": {"p99": 0.01}})
    until(lambda: endpoint.current.config == 3)
    assert any("its p99 is" in text and "the limit is 0.01 ms" in text for text in marks(endpoint))
    assert failures(load.stop()) == []


def test_a_version_that_answers_its_examples_wrongly_never_gets_traffic(tmp_path: Path) -> None:
    endpoint = serve(3)
    linear(2, wrong_example=True)
    load = Traffic(endpoint.about.port, tmp_path / "seen")
    with pytest.raises(Problem, match="line:2 answers its example 1 with"):
        operate.ask(endpoint, "update", {"variants": [("2", 0.5)]})
    with pytest.raises(Problem, match="line:2 answers its example 1 with"):
        operate.ask(endpoint, "update", {"shadow": "2"})
    assert {one.variant for one in load.stop()} == {"1"}
    assert endpoint.numbers() == [1] and state_of(endpoint).state == "InService"
    assert len(_children(endpoint)) == 1  # its worker is gone
    # Nor does an endpoint begin with it.
    with pytest.raises(Problem, match="line:2 answers its example 1 with"):
        operate.serve("line:2", name="other", port=free_port())
    assert state_of(Endpoint(paths.endpoints() / "other")).state == "Failed"
    # Nor a model that reads something else, which would answer every request with 400.
    reviews(paths.models() / "mood" / "1")
    for change in ({"variants": [("mood", None)]}, {"variants": [("mood", 0.1)], "seconds": 5}, {"shadow": "mood"}):
        with pytest.raises(Problem, match="mood:1 takes texts, and the requests have rows of named numbers"):
            operate.ask(endpoint, "update", change)
    # A model whose file was changed after its export does not get so far.
    (paths.models() / "line" / "3" / "model.onnx").write_bytes(b"something else")
    with pytest.raises(Problem, match="not the file that was exported"):
        operate.ask(endpoint, "update", {"variants": [("3", None)]})


def _children(endpoint: Endpoint) -> list[int]:
    pid = lock.content(endpoint.lock)["worker"]["pid"]
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_killed_server_is_started_again_and_clients_wait_for_it(tmp_path: Path) -> None:
    """Connections that were open break; who connects meanwhile waits and is answered; weights and configuration stay."""
    endpoint = serve(2)
    operate.ask(endpoint, "update", {"variants": [("2", 0.5)]})
    operate.ask(endpoint, "weights", {"weights": {"2": 1.0}})
    first = lock.content(endpoint.lock)["worker"]["pid"]
    workers = _children(endpoint)
    load = Traffic(endpoint.about.port, tmp_path / "seen", connections=2, pause=0.01)
    os.kill(first, signal.SIGKILL)
    killed = time.time()
    answered = once(endpoint.about.port)  # connects to the socket that the supervisor keeps
    assert answered.code == 200 and answered.variant == "2"
    assert answered.seconds < 10
    seen = load.stop()
    broken = failures(seen)
    assert len(broken) <= 2 and {one.code for one in broken} <= {0}  # no more than were in flight
    assert lock.content(endpoint.lock)["worker"]["pid"] != first and state_of(endpoint).alive
    assert any(text.startswith("restart: The server was ended by SIGKILL") for text in marks(endpoint))
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))  # the old server's workers have ended, too
    until(lambda: endpoint.access.exists() and [line for line in accessed(endpoint) if float(line[0]) > killed])
    # Without its supervisor it serves on, and its own last line says how it ended.
    os.kill(lock.content(endpoint.lock)["parent"]["pid"], signal.SIGKILL)
    assert once(endpoint.about.port).right and state_of(endpoint).alive
    operate.stop(endpoint)
    assert (state_of(endpoint).state, state_of(endpoint).cause) == ("Stopped", "person")
    operate.start(endpoint)
    # With both gone at once it says so, and no file is needed for that.
    operate.kill(endpoint)
    assert (state_of(endpoint).state, state_of(endpoint).cause) == ("Failed", "vanished")
    assert once(endpoint.about.port).code == 0


def test_a_killed_server_leaves_no_worker_that_computes_for_hours() -> None:
    patient(paths.models() / "line" / "1")
    endpoint = operate.serve("line:1", port=free_port())
    [worker] = _children(endpoint)
    line = HTTPConnection("127.0.0.1", endpoint.about.port, timeout=60)
    line.request("POST", "/invocations", json.dumps({"row": {"turns": 1e15}}), {"Content-Type": "application/json"})
    until(lambda: _cpu(worker) > 1.0)
    os.kill(lock.content(endpoint.lock)["worker"]["pid"], signal.SIGKILL)
    until(lambda: not Path(f"/proc/{worker}").exists())
    line.close()


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def test_a_worker_that_dies_is_back_and_one_that_dies_thrice_is_rolled_back() -> None:
    endpoint = serve(2)
    operate.ask(endpoint, "update", {"variants": [("2", None)]})
    for _ in range(3):
        until(lambda: once(endpoint.about.port).code == 200 and len(_children(endpoint)) == 1)
        [worker] = _children(endpoint)
        os.kill(worker, signal.SIGKILL)
        until(lambda worker=worker: worker not in _children(endpoint))
    until(lambda: once(endpoint.about.port).variant == "1")
    until(lambda: state_of(endpoint).state == "InService")
    assert endpoint.config(3) == endpoint.config(1)
    assert any(text.startswith("alarm: 2 has failed") for text in marks(endpoint))


def test_a_shadow_sees_everything_and_returns_nothing(tmp_path: Path) -> None:
    endpoint = serve()
    linear(2, brittle=True)
    operate.ask(endpoint, "update", {"shadow": "2", "capture": 0.5})
    seen = [once(endpoint.about.port, x) for x in [3.0] * 20 + [70.0] * 20]
    assert failures(seen) == [] and {one.variant for one in seen} == {"1"}
    table: Rows = until(lambda: [t for t in events(endpoint, Rows) if t.tag == "disagreements" and "40 of 40" in t.columns[-1]])[0]
    assert table.columns == ["request", "by", "answer", "2: 40 of 40 differ"]
    assert table.rows[0] == [seen[-1].id, "1", "80.0", "500 The model failed on this input."]
    assert table.rows[-1][2:] == ["80.0", "500 The model failed on this input."] and len(table.rows) == 20
    until(lambda: (endpoint.captures / "captured.jsonl").exists())
    kept = [json.loads(line) for line in (endpoint.captures / "captured.jsonl").read_text().splitlines()]
    assert 5 <= len(kept) <= 35
    by_id = {one.id: one for one in seen}
    for line in kept:
        assert by_id[line["id"]].variant == line["variant"] and json.loads(line["body"])["row"]["x"] in (3.0, 70.0)
    assert endpoint.captures.stat().st_mode & 0o077 == 0
    # The shadow may be asked by name, and nobody else meets it.
    target = once(endpoint.about.port, 3.0, **{"X-Amzn-SageMaker-Target-Variant": "2"})
    assert target.variant == "2" and target.right
    assert "configuration 3: 1 100%" in operate.ask(endpoint, "update", {"shadow": ""})


def test_two_updates_at_once_are_one_after_the_other_or_refused(tmp_path: Path) -> None:
    import threading

    endpoint = serve(2, 3)
    load = Traffic(endpoint.about.port, tmp_path / "seen")
    answers: dict[str, str] = {}

    def update(version: str) -> None:
        try:
            answers[version] = operate.ask(endpoint, "update", {"variants": [(version, None)]})
        except Problem as problem:
            answers[version] = problem.message

    threads = [threading.Thread(target=update, args=(version,)) for version in "23"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [text for text in answers.values() if text.startswith("Another change is being made.")]
    done = [text for text in answers.values() if text.startswith("configuration 2")]
    assert len(refused) == 1 and len(done) == 1, answers
    winner = next(version for version, text in answers.items() if text == done[0])
    assert {once(endpoint.about.port).variant for _ in range(10)} == {winner}
    assert failures(load.stop()) == []
    # Roll-backs and updates that follow one another at once leave one configuration in use, and an answer for each.
    assert endpoint.numbers() == [1, 2]


def test_what_cannot_be_served_is_one_sentence() -> None:
    with pytest.raises(Problem, match="There is no model 'line'"):
        operate.serve("line")
    port = free_port()
    endpoint = serve(port=port)
    for how, says in (
        ({"model": "line"}, "The endpoint line is running already"),
        ({"model": "line:7", "name": "b"}, "has no version '7'"),
        ({"model": "line", "name": "a/b"}, "is no name for an endpoint"),
        (
            {"model": "line", "name": "b", "port": port},
            f"Port {port} of 127.0.0.1 cannot be used: Address already in use. The endpoint line",
        ),
        ({"model": "line", "name": "c", "host": "0.0.0.0"}, "0.0.0.0 can be reached from other machines, and there is no token"),
    ):
        with pytest.raises(Problem, match=says):
            operate.serve(**how)
    for verb, request, says in (
        ("update", {"variants": [("7", None)]}, "line has no version '7'"),
        ("update", {"variants": [("2", 7)]}, "That cannot be read"),
        ("update", {"surprise": 1}, "That cannot be read"),
        ("weights", {"weights": {"9": 0.5}}, "There is no variant '9'"),
        ("weights", {"weights": 7}, "That cannot be read"),
        ("rollback", {}, "There is no configuration to go back to"),
        ("rollback", {"to": 9}, "has no configuration 9"),
        ("dance", {}, "An endpoint cannot 'dance'"),
    ):
        with pytest.raises(Problem, match=says) as caught:
            operate.ask(endpoint, verb, request)
        assert "\n" not in caught.value.message
    assert once(port).right and endpoint.numbers() == [1]
    # A damaged configuration is refused; the endpoint goes on with the one it has.
    (endpoint.configs / "0002.yaml").write_text("variants: [")
    with pytest.raises(Problem, match=r"configs/0002.yaml of line is damaged"):
        operate.ask(endpoint, "rollback", {"to": 2})
    assert once(port).right
    with pytest.raises(Problem, match="The endpoint line is running"):
        operate.delete(endpoint)
    operate.stop(endpoint)
    with pytest.raises(Problem, match=r"The endpoint line is not running \(Stopped\)"):
        operate.ask(endpoint, "weights", {"weights": {"1": 1.0}})
    operate.delete(endpoint)
    assert list_endpoints() == [] and not list(paths.endpoints().iterdir())


def test_it_stops_when_nobody_asks() -> None:
    endpoint = serve(idle=1.5)
    assert once(endpoint.about.port).right
    until(lambda: not state_of(endpoint).alive)
    assert (state_of(endpoint).state, state_of(endpoint).cause) == ("Stopped", "idle")
    assert "Nobody asked it" in state_of(endpoint).message


def test_without_isolation_one_variant_answers_inside_the_server() -> None:
    endpoint = serve(2, isolate=False)
    assert once(endpoint.about.port).right and _children(endpoint) == []
    with pytest.raises(Problem, match="Without isolation an endpoint serves one variant"):
        operate.ask(endpoint, "update", {"variants": [("2", 0.5)]})
    operate.ask(endpoint, "update", {"variants": [("2", None)]})
    assert once(endpoint.about.port).variant == "2"
