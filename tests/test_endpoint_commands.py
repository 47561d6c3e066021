"""The shell's commands for serving, as its users have them: real processes, stdout and stderr, exit codes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from endpoint_traffic import linear, once
from served_models import reviews
from test_web_page import two_ports

from workbench import paths
from workbench.serving import operate
from workbench.serving.endpoint import find_endpoint, list_endpoints, state_of


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """End every endpoint that a test left running."""
    yield
    for endpoint in list_endpoints():
        operate.kill(endpoint)


def dlwb(*words: str, code: int = 0, asked: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "workbench.cli", *words]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        out, errors = process.communicate(asked, timeout=120)
    try:
        # What a terminal does to all that it started when it is closed.
        os.killpg(process.pid, signal.SIGHUP)
    except ProcessLookupError:
        pass
    assert process.returncode == code, (out, errors)
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def test_serve_show_update_roll_back_stop_and_delete() -> None:
    for version in (1, 2):
        linear(version)
    done = dlwb("serve", "line:1", "--name", "shop", "--stop-when-idle", "30m")
    endpoint = find_endpoint("shop")
    assert done.stdout == f"{endpoint.url}\n" and endpoint.about.idle == 1800
    port = endpoint.about.port
    assert once(port).right

    assert "2 10%" in dlwb("endpoint", "update", "shop", "--variant", "2=10%").stderr
    assert "1 50%, 2 50%" in dlwb("endpoint", "update", "shop", "--weight", "2=50%").stderr
    assert {once(port).variant for _ in range(40)} == {"1", "2"}
    [listed] = json.loads(dlwb("endpoint", "list", "--json").stdout)
    assert listed["state"] == "InService" and [variant["model"] for variant in listed["variants"]] == ["line:1", "line:2"]
    assert "shop" in dlwb("endpoint", "list").stdout
    shown = dlwb("endpoint", "show", "shop").stdout
    assert "shop · InService · http://127.0.0.1" in shown and "configuration 2: 1 90%, 2 10%" in shown
    assert len(json.loads(dlwb("endpoint", "show", "shop", "--json").stdout)["timeline"]) == 3
    assert "1 100%" in dlwb("endpoint", "rollback", "shop").stderr
    assert len(dlwb("endpoint", "logs", "shop", "--access").stdout.splitlines()) == 41

    assert "is running" in dlwb("endpoint", "delete", "shop", "--yes", code=1).stderr
    assert "has stopped" in dlwb("endpoint", "stop", "shop").stderr
    assert state_of(endpoint).state == "Stopped" and once(port).code == 0
    dlwb("serve", "--name", "shop")
    assert once(port).variant == "1"
    dlwb("endpoint", "stop", "shop")
    dlwb("endpoint", "delete", "shop", code=1, asked="n\n")
    assert list_endpoints() == [endpoint]
    dlwb("endpoint", "delete", "shop", asked="y\n")
    assert list_endpoints() == []


@pytest.mark.parametrize(
    "words, says",
    [
        (["serve"], "There is no model named."),
        (["serve", "--name", "shop", "--port", "8085"], "--name alone starts an endpoint as it was."),
        (["serve", "nothing"], "There is no model 'nothing'"),
        (["serve", "line", "--stop-when-idle", "soon"], "'soon' is no time up to 7 days."),
        (["endpoint", "show", "nothing"], "There is no endpoint nothing."),
        (["endpoint", "update", "shop"], "There is no endpoint shop."),
    ],
)
def test_what_cannot_be_is_one_sentence(words: list[str], says: str) -> None:
    linear(1)
    done = dlwb(*words, code=1)
    assert says in done.stderr and len(done.stderr.splitlines()) <= 2 and not done.stdout


def test_a_page_is_for_reviews_and_all_of_it_ends_with_its_command() -> None:
    linear(1)
    reviews(paths.models() / "mood" / "1")
    dlwb("serve", "line", "--name", "shop")
    assert "line:1 reads no film reviews" in dlwb("web", "shop", code=1).stderr
    done = dlwb("serve", "mood", "--name", "films")
    assert "-H 'Content-Type: text/plain' -d 'A fine film.'" in done.stderr
    port = two_ports()
    command = [sys.executable, "-m", "workbench.cli", "web", "films", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout and process.stdout.readline() == f"http://127.0.0.1:{port}\n"
        children = [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        assert len(children) == 3
        process.terminate()
        process.wait(30)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    dlwb("endpoint", "stop", "films")
    assert "is not running" in dlwb("web", "films", code=1).stderr
