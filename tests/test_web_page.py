"""The page in real Chromium, through gateway and function to a real endpoint; and what each of the three refuses."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import served_models
from served_models import Served, served

from workbench.problems import Problem
from workbench.recipes import trust
from workbench.serving.session import Session
from workbench.serving.web import function, gateway, processes
from workbench.serving.web.processes import Web

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
HOSTILE = 'A great film <img src=x onerror="window.hit=1"><script>window.hit=1</script> & good'


def two_ports() -> int:
    """A port that is free, as the next one is."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as one:
            port = int(one.getsockname()[1])
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except OSError:
                continue


@contextmanager
def site(folder: Path, encoder: Path | None = None) -> Iterator[tuple[Served, Web]]:
    with served(folder) as endpoint, processes.started("shop", endpoint.url, "shop · reviews:1", port=two_ports(), folder=encoder) as web:
        yield endpoint, web


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return served_models.reviews(tmp_path / "reviews" / "1").path


def asked(
    web: Web, body: bytes = b"a good film", path: str = "/predict", method: str = "POST", **headers: str
) -> tuple[int, dict[str, str], Any]:
    line = HTTPConnection(web.gateway.removeprefix("http://"), timeout=60)
    line.request(method, path, body, {"Content-Type": "text/plain", **{name.replace("_", "-"): value for name, value in headers.items()}})
    response = line.getresponse()
    data = response.read()
    line.close()
    try:
        return response.status, {name.lower(): value for name, value in response.getheaders()}, json.loads(data)
    except ValueError:
        return response.status, {name.lower(): value for name, value in response.getheaders()}, data


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_person_asks_in_a_browser(reviews: Path, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    texts = ["a good film", "a bad plot", "dull dull film", "great plot, fine film", HOSTILE]
    with site(reviews) as (endpoint, web), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        problems: list[str] = []
        sent: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.on("request", lambda request: sent.append(request.method) if request.url.startswith(web.gateway) else None)
        page.goto(web.url)
        answers = Session(reviews).answers(texts)
        for text, answer in zip(texts, answers, strict=True):
            assert isinstance(answer, dict)
            page.fill("#review", text)
            # Twice in one moment: the second click finds the button out of use.
            page.evaluate("() => { const b = document.getElementById('ask'); b.click(); b.click(); }")
            page.wait_for_function("text => document.getElementById('echo').textContent === text", arg=text)
            assert page.inner_text("#word").lower() == answer["answer"]
            assert f"{answer['probabilities']['positive']:.4f}" in page.inner_text("#chance")
            assert "model reviews:1" in page.inner_text("#hops")
        assert sent.count("POST") == len(texts)
        assert page.inner_text("#echo") == HOSTILE and page.evaluate("window.hit") is None and page.query_selector("#echo img") is None
        page.screenshot(path=tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 5000
        # A model that cannot read the review says so in its own words.
        page.fill("#review", "zzz")
        page.click("#ask")
        page.wait_for_selector("#trouble:not([hidden])")
        assert "no word in it that the network knows" in page.inner_text("#trouble")
        problems[:] = [text for text in problems if "400" not in text]
        assert problems == []
        # Another origin is blocked by the browser itself.
        other = browser.new_page()
        other.goto(web.gateway + "/nothing")
        other.goto(endpoint.url + "/ping")
        blocked = other.evaluate(
            "url => fetch(url, {method: 'POST', headers: {'content-type': 'text/plain'}, body: 'good'})"
            ".then(r => r.status, e => 'blocked')",
            web.gateway + "/predict",
        )
        assert blocked == "blocked"
        os.killpg(endpoint.process.pid, signal.SIGKILL)
        page.fill("#review", "a good film")
        page.click("#ask")
        page.wait_for_function("() => document.getElementById('trouble').textContent.includes('endpoint does not answer')")
        web.processes["gateway"].kill()
        web.processes["gateway"].wait()
        page.click("#ask")
        page.wait_for_function("() => document.getElementById('trouble').textContent.includes('cannot be reached')")
        browser.close()


def test_the_gateway_answers_its_page_alone_and_each_refusal_is_a_sentence(reviews: Path) -> None:
    with site(reviews) as (_, web):
        code, headers, body = asked(web, Origin=web.url)
        assert code == 200 and body["answer"] == "positive" and headers["access-control-allow-origin"] == web.url
        assert float(headers["x-function-milliseconds"]) > 0 and float(headers["x-start-milliseconds"]) > 0
        # Warm now.
        assert float(asked(web)[1]["x-start-milliseconds"]) == 0
        other = asked(web, Origin="http://evil.example")
        assert "access-control-allow-origin" not in other[1]
        preflight = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
        assert asked(web, method="OPTIONS", Origin=web.url, **preflight)[0] == 200
        assert asked(web, method="OPTIONS", Origin="http://evil.example", **preflight)[0] == 400
        for answer, wanted in (
            (asked(web, b""), 400),
            (asked(web, b"\xff\xfe"), 400),
            (asked(web, b"good " * 5000), 413),
            (asked(web, b"x" * (200 << 10)), 413),
            (asked(web, path="/other"), 404),
            (asked(web, method="DELETE"), 405),
        ):
            assert answer[0] == wanted and answer[2]["message"].endswith((".", ")")), answer


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("import time\ndef handler(event, context):\n    time.sleep(60)\n", 504, "ended after 1 s"),
        ("def handler(event, context):\n    return bytearray(1 << 34)\n", 502, "The function failed."),
        ("import os\ndef handler(event, context):\n    os._exit(3)\n", 502, "process died"),
        ("def handler(event, context):\n    raise ValueError('a secret path')\n", 502, "The function failed."),
        ("def handler(event, context):\n    return 7\n", 502, "The function failed."),
        ("1 / 0\n", 502, "The function failed."),
        (
            "def handler(event, context):\n"
            "    return {'statusCode': 200, 'headers': {'Access-Control-Allow-Origin': '*'},"
            " 'body': event['body'] + context.function_name}\n",
            200,
            "a good filmpredict",
        ),
    ],
)
async def test_a_function_is_killed_past_its_time_and_memory_and_the_next_event_is_answered(
    tmp_path: Path, home: Path, source: str, code: int, words: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(Problem, match="not trusted"):
        function.source_of(file)
    trust.trust(file)
    host = function.Host(file, "predict", 1.0, 64)
    try:
        for _ in range(2):
            told = await host.invoke(json.dumps({"id": "1", "event": {"body": "a good film"}}).encode())
            response = gateway._response(told, {"x-request-id": "1"})
            assert response.status_code == code
            assert words in response.body.decode() and "secret" not in response.body.decode()
            assert "access-control-allow-origin" not in response.headers
    finally:
        await host.close()


def test_a_handler_may_make_the_numbers_itself(tmp_path: Path) -> None:
    # As an endpoint is asked that reads no text: the codes of the words, by the model's own encoder.
    folder = served_models.reviews(tmp_path / "reviews" / "1").path
    with site(folder, encoder=folder) as (_, web):
        assert asked(web, b"a bad plot")[2]["answer"] == "negative"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("routes: []", "routes"),
        ("routes: [{path: /a, function: predict}]\norigins: ['*']", "origins"),
        ("routes: [{path: /a, function: predict, methd: GET}]", "methd"),
        ("routes: [{path: /a, function: other}]", "other"),
        ("routes: &a [*a]", "anchors"),
    ],
)
def test_routes_are_read_strictly(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(text)
    with pytest.raises(Problem, match=words):
        gateway.Gateway(gateway.read(file), {"predict": tmp_path / "socket"})


def test_a_name_that_was_pointed_here_is_not_served(reviews: Path) -> None:
    with processes.started("shop", "http://127.0.0.1:9", "shop", port=two_ports()) as web:
        assert asked(web, Host="evil.example")[0] == 400
        line = HTTPConnection(web.url.removeprefix("http://"), timeout=20)
        line.request("GET", "/", headers={"Host": "evil.example"})
        assert line.getresponse().status == 400


async def test_a_forked_function_gives_no_event_the_answer_of_another(tmp_path: Path, home: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import os\ndef handler(event, context):\n    os.fork()\n    return {'statusCode': 200, 'body': event['body']}\n")
    trust.trust(file)
    host = function.Host(file, "predict", 3.0, 64)
    try:
        for text in ("one", "two", "three"):
            told = await host.invoke(json.dumps({"id": text, "event": {"body": text}}).encode())
            assert told["ok"] and told["result"]["body"] == text
    finally:
        await host.close()


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"a": "b\r\nset-cookie: c"}},
        {"headers": {"a\r\nb": "c"}},
        {"headers": {"a": "\u20ac"}},
        {"headers": [1]},
        {"isBase64Encoded": True, "body": "%%"},
        {"body": "\ud800"},
    ],
)
def test_a_result_that_would_break_the_response_is_the_functions_error(more: dict[str, Any]) -> None:
    told = {"ok": True, "result": {"statusCode": 200, **more}}
    assert gateway._response(told, {"x-request-id": "1"}).status_code == 502


def test_a_functions_length_is_not_heard() -> None:
    told = {"ok": True, "result": {"statusCode": 200, "headers": {"Content-Length": "3", "X-Own": "1"}, "body": "hello"}}
    response = gateway._response(told, {})
    assert response.headers["content-length"] == "5" and response.headers["x-own"] == "1"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_process_that_started_the_page(tmp_path: Path, number: signal.Signals) -> None:
    import subprocess
    import sys
    import time

    program = (
        "from workbench.serving.web import processes\n"
        f"with processes.started('shop', 'http://127.0.0.1:9', 'shop', port={two_ports()}) as web:\n"
        "    print(*(process.pid for process in web.processes.values()), flush=True)\n"
        "    web.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=served_models.ROOT) as process:
        assert process.stdout
        children = [Path("/proc") / pid for pid in process.stdout.readline().split()]
        assert len(children) == 3
        process.send_signal(number)
    end = time.monotonic() + 15
    while any(child.exists() for child in children):
        assert time.monotonic() < end, [child for child in children if child.exists()]
        time.sleep(0.05)
