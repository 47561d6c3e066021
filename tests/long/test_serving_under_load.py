"""Serving for minutes: 50 version switches under load, and a run that is exported because somebody serves it."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from endpoint_traffic import Traffic, linear
from short_runs import DIGITS, short_run
from test_endpoint import accessed, failures, free_port
from test_endpoint_commands import dlwb

from workbench.serving import operate
from workbench.serving.endpoint import list_endpoints

SWITCHES = 50


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """End every endpoint that a test left running."""
    yield
    for endpoint in list_endpoints():
        operate.kill(endpoint)


def test_fifty_switches_under_load_lose_no_request(tmp_path: Path) -> None:
    """Whole versions, shares, canaries that are taken back, roll-backs, shadows: 16 connections from another process see none of it."""
    for version in (1, 2, 3):
        linear(version)
    endpoint = operate.serve("line:1", port=free_port())
    load = Traffic(endpoint.about.port, tmp_path / "seen", connections=16)
    begin = time.monotonic()
    for number in range(SWITCHES):
        version = str(number % 3 + 1)
        kind = number % 5
        if kind == 1:
            operate.ask(endpoint, "update", {"variants": [(version, 0.5)]})
        elif kind == 2:
            operate.ask(endpoint, "rollback")
        elif kind == 3 and version not in {plan.name for plan in endpoint.config(endpoint.current.config).variants}:
            operate.ask(endpoint, "update", {"variants": [(version, 0.2)], "seconds": 600})
            operate.ask(endpoint, "rollback")
        else:
            operate.ask(endpoint, "update", {"variants": [(version, None)]})
    took = time.monotonic() - begin
    seen = load.stop()
    operate.stop(endpoint)
    print(f"{SWITCHES} switches in {took:.0f} s, {len(seen):,} requests, {Counter(one.variant for one in seen)}")
    assert len(endpoint.numbers()) >= SWITCHES
    assert failures(seen) == []
    assert {one.variant for one in seen} == {"1", "2", "3"}
    assert len(accessed(endpoint)) == len(seen)


def test_a_run_is_exported_first_and_once() -> None:
    run = short_run("digits-mlp", *DIGITS)
    port = int(dlwb("serve", run.id).stdout.rpartition(":")[2])
    line = HTTPConnection("127.0.0.1", port, timeout=20)
    line.request("POST", "/invocations", json.dumps([[0.5] * 64]), {"Content-Type": "application/json"})
    assert line.getresponse().status == 200
    line.close()
    dlwb("serve", run.id, "--name", "again")
    assert {endpoint.config(1).variants[0].label for endpoint in list_endpoints()} == {"digits-mlp:1"}
