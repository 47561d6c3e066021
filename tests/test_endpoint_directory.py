"""The directory of an endpoint: configurations that never change, names, states, and files that somebody has damaged."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from workbench import paths
from workbench.problems import Problem
from workbench.runs import lock
from workbench.serving import operate
from workbench.serving.endpoint import (
    About,
    Canary,
    Config,
    Current,
    Endpoint,
    VariantPlan,
    checked_name,
    find_endpoint,
    list_endpoints,
    state_of,
)

PLAN = VariantPlan(name="3", model="digits/3", digest="12e45" + "6" * 59)


def made(name: str = "digits") -> Endpoint:
    endpoint = Endpoint(paths.endpoints() / name)
    endpoint.path.mkdir(parents=True)
    endpoint.write("endpoint.json", About(port=8081))
    endpoint.write("current.json", Current())
    endpoint.add(Config(variants=[PLAN]))
    return endpoint


def test_a_configuration_reads_back_as_it_was_written() -> None:
    """Names and digests of digits alone, or with one e in them, stay texts."""
    endpoint = made()
    four = VariantPlan(name="4", model="digits/4", digest="7" * 64, weight=0.0)
    full = Config(variants=[PLAN, four], canary=Canary(variant="4", share=0.1, seconds=300, step=0.2), capture=0.5)
    assert endpoint.add(full) == 2
    assert endpoint.config(1) == Config(variants=[PLAN]) and endpoint.config(2) == full
    assert endpoint.numbers() == [1, 2]
    assert PLAN.folder == paths.models() / "digits" / "3" and PLAN.label == "digits:3"


def test_no_configuration_is_ever_replaced() -> None:
    """Ten threads write at once: each gets a number of its own, and an equal configuration is equal byte by byte."""
    endpoint = made()
    before = (endpoint.configs / "0001.yaml").read_bytes()
    numbers: list[int] = []
    threads = [threading.Thread(target=lambda: numbers.append(endpoint.add(Config(variants=[PLAN])))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(2, 12)) and endpoint.numbers() == list(range(1, 12))
    assert {(endpoint.configs / f"{number:04}.yaml").read_bytes() for number in endpoint.numbers()} == {before}
    assert not (endpoint.configs / "0001.yaml").stat().st_mode & 0o222
    assert len(list(endpoint.configs.iterdir())) == 11


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "is damaged"),
        ("variants: [", "is damaged"),
        ("variants: []", "is damaged"),
        ("surprise: 1", "is damaged"),
        ("variants:\n- {name: '3', model: ../../etc/3, digest: '" + "a" * 64 + "'}", "is damaged"),
        ("variants:\n- {name: '3', model: digits/3, digest: short}", "is damaged"),
        ("variants:\n- {name: '3', model: digits/3, digest: '" + "a" * 64 + "', weight: 0.0}", "no variant has any traffic"),
        ("variants:\n- {name: '3', model: digits/3, digest: '" + "a" * 64 + "'}\nshadow: '4'", "shadow is none of its variants"),
    ],
)
def test_a_damaged_configuration_is_one_sentence(text: str, says: str) -> None:
    endpoint = made()
    (endpoint.configs / "0002.yaml").write_text(text)
    with pytest.raises(Problem, match=says) as caught:
        endpoint.config(2)
    assert "0002.yaml of digits" in caught.value.message and "\n" not in caught.value.message


def test_a_configuration_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    endpoint = made()
    (tmp_path / "elsewhere.yaml").write_bytes((endpoint.configs / "0001.yaml").read_bytes())
    (endpoint.configs / "0002.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(Problem):
        endpoint.config(2)


def test_a_model_cannot_lead_out_of_the_store() -> None:
    with pytest.raises(Problem, match="no model's name"):
        VariantPlan(name="3", model="../3", digest="a" * 64).folder


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-x", "a/b", "a b", "a\n", "ü", "x" * 65, "a\x1b[31m"])
def test_a_name_that_cannot_be_is_one_sentence(name: str) -> None:
    with pytest.raises(Problem, match="is no name for an endpoint") as caught:
        checked_name(name)
    assert caught.value.message.isprintable()


def test_endpoints_are_listed_and_found_by_name() -> None:
    assert list_endpoints() == []
    made("sentiment")
    made("boston")
    (paths.endpoints() / ".hidden").mkdir()
    (paths.endpoints() / "no-endpoint").mkdir()
    assert [endpoint.id for endpoint in list_endpoints()] == ["boston", "sentiment"]
    assert find_endpoint("boston").id == "boston"
    with pytest.raises(Problem, match=r"There is no endpoint sentimant; did you mean sentiment\? "):
        find_endpoint("sentimant")
    with pytest.raises(Problem, match=r"There is no endpoint \.\./boston"):
        find_endpoint("../boston")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"port": "x"}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_one_sentence(data: bytes) -> None:
    endpoint = made()
    for name, read in (("endpoint.json", lambda: endpoint.about), ("current.json", lambda: endpoint.current)):
        (endpoint.path / name).write_bytes(data)
        if name == "current.json" and data == b'{"port": "x"}':
            continue  # a name of a newer version is passed over
        with pytest.raises(Problem, match=f"{name} of the endpoint digits is damaged"):
            read()


def test_states() -> None:
    endpoint = made()
    assert state_of(endpoint).state == "Stopped" and not state_of(endpoint).alive
    held = lock.Lock.take(endpoint.lock)
    assert held
    holder = {"attempt": 1, "host": lock.host(), "boot": lock.boot_id(), "state": "InService"}
    held.write(holder)
    assert state_of(endpoint).state == "InService" and state_of(endpoint).alive
    held.write({**holder, "state": "\x1b[2J"})
    assert state_of(endpoint).state == "Creating"
    held.release()
    assert (state_of(endpoint).state, state_of(endpoint).cause) == ("Failed", "vanished")
    (endpoint.path / "exit.json").write_text(json.dumps({"attempt": 1, "state": "Stopped", "cause": "person"}))
    assert (state_of(endpoint).state, state_of(endpoint).cause) == ("Stopped", "person")
    # The end of an earlier attempt is not this one's.
    file = os.open(endpoint.lock, os.O_WRONLY)
    os.pwrite(file, msgspec.json.encode({**holder, "attempt": 2, "boot": "another"}) + b" " * 900, 0)
    os.close(file)
    assert (state_of(endpoint).state, state_of(endpoint).cause) == ("Failed", "restart")


def test_an_address_that_somebody_changed_is_shown_without_its_escape_sequences() -> None:
    endpoint = made()
    endpoint.write("endpoint.json", About(host="\x1b[31m\u202ehere"))
    assert endpoint.url == "http://<U+202E>here:8080"


def test_an_endpoint_that_reads_no_command_is_stopped_by_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where its directory was moved while it served."""
    endpoint = made()
    program = (
        "import os, sys, time; from pathlib import Path; from workbench.runs import lock\n"
        "held = lock.Lock.take(Path(sys.argv[1]))\n"
        "held.write({'attempt': 1, 'state': 'InService', 'parent': {'pid': os.getpid(), 'ticks': lock.start_ticks(os.getpid())}})\n"
        "print('held', flush=True); time.sleep(60)\n"
    )
    monkeypatch.setattr(operate, "STOPPING", 0.3)
    with subprocess.Popen([sys.executable, "-c", program, str(endpoint.lock)], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"held\n"
        operate.stop(endpoint)
    assert process.returncode == -signal.SIGTERM and not state_of(endpoint).alive
