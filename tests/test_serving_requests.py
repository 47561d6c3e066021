"""Bad requests over HTTP: each has its code and its sentence, and the server lives on; what boto3 makes of it."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_models import Served, houses, mlp, photograph, reviews, served

GOOD = json.dumps({"review": "good film"}).encode()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    with served(reviews(folder / "mood" / "1").path) as server:
        yield server


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    with served(mlp(folder / "digits" / "1").path, options=["--inside"]) as server:
        yield server


@pytest.fixture(autouse=True)
def alive(shop: Served) -> Iterator[None]:
    """After every test the server answers, from the same worker."""
    before = shop.worker()
    yield
    assert shop.healthy() and shop.worker() == before
    assert shop.ask(GOOD)[2]["answer"] == "positive"


def sentence(answer: Any) -> str:
    """The one sentence of an error, which says nothing of the inside."""
    text = answer["message"]
    assert text == answer["error"] and text and "\n" not in text and "Traceback" not in text and len(text) < 500
    return str(text)


def head(*lines: str, first: str = "POST /invocations HTTP/1.1", host: str = "127.0.0.1") -> bytes:
    return "\r\n".join([first, *([f"Host: {host}"] if host else []), *lines, "", ""]).encode("latin-1")


CASES: list[tuple[int, str, dict[str, Any]]] = [
    # code, part of the sentence, request
    (400, "not JSON", {"body": b"nonsense"}),
    (400, "not JSON", {"body": b'{"review": "good'}),
    (400, "not JSON", {"body": b"\xef\xbb\xbf{}"}),
    (400, "not JSON", {"body": b"NaN"}),
    (400, "not JSON", {"body": b'{"review": NaN}'}),
    (400, "not JSON", {"body": b"[Infinity]"}),
    (400, "not JSON", {"body": b'"\xff\xfe"'}),
    (400, "not JSON", {"body": b"'good'"}),
    (400, "not JSON", {"body": b'{"review": "good"} {"review": "bad"}'}),
    (400, "twice in one object", {"body": b'{"review": "good", "review": "bad"}'}),
    (400, "twice in one object", {"body": b'{"instances": [{"review": "good", "review": "bad"}]}'}),
    (400, "nested too deeply", {"body": b"[" * 1_000_000}),
    (400, "nested too deeply", {"body": b'{"a":' * 1_000_000}),
    (400, "no input", {"body": b"[]"}),
    (400, "", {"body": b"{}"}),
    (400, "", {"body": b"null"}),
    (400, "", {"body": b"true"}),
    (400, "", {"body": b"12"}),
    (400, "", {"body": b"-1e400"}),
    (400, "", {"body": b"9" * 5000}),
    (400, "", {"body": b"[[1, 2], [3, [4]]]"}),
    (400, "whole number", {"body": b"[1.5, 2]"}),
    (400, "whole number", {"body": b"[-1, 2]"}),
    (400, "", {"body": b"[1, 1e300]"}),
    (400, "no review of at most 20,000", {"body": json.dumps({"review": "good " * 5000}).encode()}),
    (400, "no review", {"body": b'{"review": ""}'}),
    (400, "no review", {"body": b'{"review": ["good"]}'}),
    (400, "no word in it", {"body": b'{"review": "xyzzy"}'}),
    (400, "exactly one of", {"body": b'{"instances": ["good"], "inputs": ["bad"]}'}),
    (400, "Line 2", {"body": b'"good"\nbad\n', "Content_Type": "application/jsonlines"}),
    (400, "not UTF-8", {"body": b"\xff\xfe", "Content_Type": "text/plain"}),
    (400, "not UTF-8", {"body": b"good\n\xff", "Content_Type": "text/csv"}),
    (400, "not CSV", {"body": b'"good', "Content_Type": "text/csv"}),
    (400, "no inference request", {"body": b"{}", "path": "/v2/models/mood/infer"}),
    (400, "no inference request", {"body": b"[1]", "path": "/v2/models/mood/versions/1/infer"}),
    (404, "There is no path", {"path": "/"}),
    (404, "There is no path", {"path": "/invocations/"}),
    (404, "There is no endpoint 'other' at this address.", {"body": GOOD, "path": "/endpoints/other/invocations"}),
    (404, "There is no path", {"path": "/../../etc/passwd"}),
    (404, "There is no path", {"path": "/%2e%2e/%00"}),
    (404, "There is no path", {"path": "/docs"}),
    (404, "There is no model 'other'", {"body": GOOD, "path": "/v2/models/other/infer"}),
    (404, "There is no model 'mood:2'", {"path": "/v2/models/mood/versions/2"}),
    (404, "There is no variant 'z'", {"body": GOOD, "X_Amzn_SageMaker_Target_Variant": "z"}),
    (405, "GET is not for /invocations", {"path": "/invocations"}),
    (405, "PUT is not for /invocations", {"body": GOOD, "method": "PUT"}),
    (405, "DELETE is not for /endpoints/shop", {"path": "/endpoints/shop/invocations", "method": "DELETE"}),
    (405, "POST is not for /ping", {"body": GOOD, "path": "/ping"}),
    (405, "POST is not for /metrics", {"body": GOOD, "path": "/metrics"}),
    (405, "is not for /v2/models/mood/infer", {"path": "/v2/models/mood/infer"}),
    (406, "Accept application/json", {"body": GOOD, "Accept": "text/html"}),
    (406, "Accept application/json", {"body": GOOD, "Accept": "application/json;q=0"}),
    (406, "Accept application/json", {"body": GOOD, "Accept": "application/x-npy"}),
    (415, "may carry code", {"body": GOOD, "Content_Type": "application/x-npy"}),
    (415, "is not read by this model", {"body": GOOD, "Content_Type": "application/x-www-form-urlencoded"}),
    (415, "is not read by this model", {"body": GOOD, "Content_Type": "multipart/form-data; boundary=x"}),
    (415, "is not read by this model", {"body": photograph(), "Content_Type": "image/png"}),
    (415, "is not read by this model", {"body": GOOD, "Content_Type": "text/csv", "path": "/v2/models/mood/infer"}),
    (415, "charset", {"body": GOOD, "Content_Type": "application/json; charset=utf-16"}),
    (415, "charset", {"body": GOOD, "Content_Type": 'text/plain; charset="latin-1"'}),
    (415, "compressed", {"body": GOOD, "Content_Encoding": "gzip"}),
    (421, "'evil.example' is not served here", {"body": GOOD, "Host": "evil.example"}),
    (421, "is not served here", {"path": "/ping", "Host": "localhost.evil.example:8080"}),
    (421, "is not served here", {"path": "/metrics", "Host": "127.0.0.1.nip.io"}),
    (413, "more than 6 MiB", {"body": b" " * ((6 << 20) + 1)}),
    (413, "more than 6 MiB", {"body": b'"' + b"a" * (20 << 20) + b'"'}),
    (413, "10,001 inputs", {"body": b'"good"\n' * 10_001, "Content_Type": "application/jsonlines"}),
    (413, "10,001 inputs", {"body": json.dumps(["good"] * 10_001).encode()}),
    (413, "20,000 inputs", {"body": b'{"inputs": [{"name": "codes", "shape": [20000, 1], "datatype": "INT64", "data": [1]}]}',
                          "path": "/v2/models/mood/infer"}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "part", "request_"), CASES, ids=[f"{place}-{code}" for place, (code, *_) in enumerate(CASES)])
def test_code_and_sentence(shop: Served, code: int, part: str, request_: dict[str, Any]) -> None:
    """Also an id, by which the log finds it, and the header that boto3 reads."""
    status, headers, answer = shop.ask(**request_)
    assert status == code, answer
    assert part in sentence(answer)
    assert headers["x-request-id"] == answer["request_id"] and headers["x-amzn-errortype"]
    if code == 405:
        assert headers["allow"]


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


LENGTH = f"Content-Length: {len(GOOD)}"
RAW: list[tuple[str, int, bytes]] = [
    # what, code (0: only a closed connection), bytes
    ("no HTTP", 400, b"hello\r\n\r\n"),
    ("TLS", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)),
    ("zero bytes", 400, bytes(1000)),
    ("HTTP/2 preface", 400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("no host", 400, head(LENGTH, "Connection: close", host="") + GOOD),
    ("two hosts", 400, head("Host: evil.example", LENGTH) + GOOD),
    ("two content types", 400, head("Content-Type: text/csv", "Content-Type: application/json", LENGTH) + GOOD),
    ("two lengths", 400, head(LENGTH, "Content-Length: 3") + GOOD),
    ("length and chunks", 400, head(LENGTH, "Transfer-Encoding: chunked") + b"0\r\n\r\n" + GOOD),
    ("chunks and length", 400, head("Transfer-Encoding: chunked", LENGTH) + b"0\r\n\r\n"),
    ("chunked twice", 400, head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + b"0\r\n\r\n"),
    ("odd coding", 400, head("Transfer-Encoding: xchunked") + b"0\r\n\r\n"),
    ("negative length", 400, head("Content-Length: -5") + GOOD),
    ("signed length", 400, head("Content-Length: +5") + GOOD),
    ("length in hex", 400, head("Content-Length: 0x10") + GOOD),
    ("endless length", 400, head("Content-Length: " + "9" * 40) + GOOD),
    ("bad chunk", 400, head("Transfer-Encoding: chunked") + b"zz\r\n"),
    ("space before the colon", 400, head("Content-Length : 5") + GOOD),
    ("folded header", 400, head("X-A: 1", " Content-Length: 5") + GOOD),
    ("line feed in a header", 400, head("X-A: 1\rContent-Length: 5") + GOOD),
    ("zero in a header", 400, head("X-A: a\0b", LENGTH) + GOOD),
    ("endless header", 400, b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\nA: " + b"a" * (1 << 20)),
    ("endless path", 400, b"GET /" + b"a" * (1 << 20)),
    ("many headers", 400, b"GET /ping HTTP/1.1\r\n" + b"A: a\r\n" * 100_000),
    ("huge length with expect", 413, head("Content-Length: 99999999", "Expect: 100-continue")),
    ("huge length", 413, head("Content-Length: 99999999999")),
    ("chunks over the limit", 413, head("Transfer-Encoding: chunked") + (b"100000\r\n" + bytes(1 << 20) + b"\r\n") * 7 + b"0\r\n\r\n"),
]


@pytest.mark.parametrize(("what", "code", "data"), RAW, ids=[what for what, *_ in RAW])
def test_bytes_that_are_no_request(shop: Served, what: str, code: int, data: bytes) -> None:
    """Exactly one answer, with a sentence; nothing that stands behind it is taken for a second request."""
    answer = shop.raw(data, timeout=2.0)
    assert status(answer) == code, answer[:300]
    assert len(re.findall(rb"HTTP/1.1 \d", answer)) == 1
    sentence(json.loads(answer.partition(b"\r\n\r\n")[2]))


def test_smuggled_requests_stay_in_their_body(shop: Served) -> None:
    """A body that looks like a request is a body; pipelined requests are answered in order."""
    inner = head(first="GET /metrics HTTP/1.1")
    one = head(f"Content-Length: {len(inner)}") + inner
    answers = shop.raw(one + head(LENGTH, "Connection: close") + GOOD)
    assert [part.split(b" ", 1)[0] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"400", b"200"]
    ids = [f"n-{place}" for place in range(20)]
    many = b"".join(head(LENGTH, f"X-Request-Id: {name}") + GOOD for name in ids)
    answers = shop.raw(many + head("Connection: close", first="GET /ping HTTP/1.1"))
    assert answers.count(b"HTTP/1.1 200") == 21
    places = [answers.index(f"x-request-id: {name}\r\n".encode()) for name in ids]
    assert places == sorted(places)


def test_sockets_that_end_early(shop: Served) -> None:
    """Half closed after a whole request: answered. Closed within one: nothing, and nothing is left behind."""
    assert status(shop.raw(head(LENGTH) + GOOD, half_close=True)) == 200
    assert shop.raw(head("Content-Length: 500") + GOOD, half_close=True, timeout=3) == b""
    for data in (b"", b"POST", head("Content-Length: 500"), head("Content-Length: 500") + GOOD, head(LENGTH) + GOOD):
        with socket.create_connection(("127.0.0.1", shop.port)) as line:
            line.sendall(data)
    with socket.create_connection(("127.0.0.1", shop.port)) as line:
        line.sendall(head(LENGTH) + GOOD)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset in place of an end


def test_slow_ones_are_not_waited_for(shop: Served) -> None:
    """Bytes that come one by one: 408 after 10 seconds, in the body as in the headers; others are answered meanwhile."""
    answers: dict[str, tuple[int, float]] = {}

    def dawdle(name: str, begin: bytes) -> None:
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", shop.port), timeout=20) as line:
            line.sendall(begin)
            line.settimeout(0.5)
            answer = b""
            while time.monotonic() < started + 18 and not answer:
                try:
                    line.sendall(b" " if begin else b"")
                    answer = line.recv(1000)
                    if not answer:
                        break
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
            answers[name] = status(answer), time.monotonic() - started

    slow = {
        "body": head("Content-Length: 5000"),
        "chunks": head("Transfer-Encoding: chunked") + b"5000\r\n",
        "headers": b"POST / HTTP/1.1\r\nA: ",
        "nothing": b"",
    }
    threads = [threading.Thread(target=dawdle, args=pair) for pair in slow.items()]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert shop.ask(GOOD)[0] == 200
        time.sleep(0.2)
    assert {name: code for name, (code, _) in answers.items()} == dict.fromkeys(slow, 408), answers
    assert all(9.5 < seconds < 17 for _, seconds in answers.values()), answers


def test_answers_that_nobody_reads(shop: Served) -> None:
    """They are dropped after a while, and the others are answered meanwhile."""
    body = json.dumps(["good film"] * 9000).encode()
    lines = []
    for _ in range(3):
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", shop.port))
        line.sendall(head(f"Content-Length: {len(body)}") + body)
        lines.append(line)
    for _ in range(20):
        assert shop.ask(GOOD)[0] == 200
    for line in lines:
        line.close()


def test_what_a_client_sees_of_a_good_answer(shop: Served, pictures: Served) -> None:
    """Variant, version, the client's own id; an id that could do harm in a log is replaced."""
    _, headers, _ = shop.ask(GOOD, X_Amzn_SageMaker_Inference_Id="order-7")
    assert headers["x-request-id"] == headers["x-amzn-requestid"] == "order-7"
    assert headers["x-amzn-invoked-production-variant"] == "a" and headers["x-model-version"] == "mood:1"
    _, headers, _ = shop.ask(GOOD, X_Request_Id="a b<script>")
    assert "script" not in headers["x-request-id"]
    code, headers, answer = pictures.ask(photograph(), Content_Type="image/png", Accept="text/csv")
    assert code == 200 and headers["content-type"] == "text/csv" and answer.startswith(b"digit ")


def test_metrics_equal_what_was_asked(pictures: Served) -> None:
    """Counters count each request once, by code; no text of a client is in them."""

    def counted() -> dict[str, float]:
        _, headers, text = pictures.ask(path="/metrics")
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    before = counted()
    for body, times in ((json.dumps([0.5] * 784).encode(), 5), (b"[1]", 3)):
        for _ in range(times):
            pictures.ask(body, X_Amzn_SageMaker_Target_Variant="a")
    for _ in range(2):
        pictures.ask(b"[1]", X_Amzn_SageMaker_Target_Variant="mine")
    after = counted()
    added = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    assert added['dlwb_requests_total{code="200",variant="a"}'] == 5 and added['dlwb_requests_total{code="400",variant="a"}'] == 3
    assert added['dlwb_refused_requests_total{code="404"}'] == 2
    assert added['dlwb_latency_seconds_count{variant="a"}'] == added['dlwb_batched_requests_total{variant="a"}'] == 8
    assert after['dlwb_healthy{variant="a"}'] == 1 and after['dlwb_weight{variant="a"}'] == 1 and not any("mine" in name for name in after)


def test_a_token_and_a_rate(tmp_path: Path) -> None:
    """401 without the right token, also for what is wrong besides; 429 with a time to wait."""
    token = "0123456789abcdef"
    folder = houses(tmp_path / "houses" / "1").path
    with served(folder, options=["--inside", "--rate", "20"], environment={"DLWB_TOKEN": token}) as server:
        body = {"row": {"rooms": 6}}
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": token}, {"Authorization": f"Bearer {token}x"}):
            code, answered, answer = server.ask(body, path="/nix", **headers)
            assert code == 401 and "token" in sentence(answer) and answered["www-authenticate"] == "Bearer"
        time.sleep(1)
        codes = [server.ask(body, Authorization=f"Bearer {token}")[0] for _ in range(60)]
        assert set(codes) == {200, 429} and codes[:10] == [200] * 10
        _, headers, answer = server.ask(body, Authorization=f"Bearer {token}")
        if "retry-after" in headers:
            assert int(headers["retry-after"]) >= 1 and "20 requests a second" in sentence(answer)


def test_boto3(shop: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's own client: answers, and its own error classes."""
    boto3 = pytest.importorskip("boto3")
    from botocore.config import Config
    from botocore.exceptions import ClientError

    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-central-1"}
    client = boto3.client("sagemaker-runtime", endpoint_url=shop.url, config=Config(retries={"total_max_attempts": 1}), **keys)
    answer = client.invoke_endpoint(EndpointName="shop", Body=GOOD, ContentType="application/json", TargetVariant="a", InferenceId="n1")
    assert json.load(answer["Body"])["answer"] == "positive" and answer["InvokedProductionVariant"] == "a"
    assert answer["ContentType"] == "application/json" and answer["ResponseMetadata"]["RequestId"] == "n1"
    csv = client.invoke_endpoint(EndpointName="shop", Body=b"good film", ContentType="text/plain", Accept="text/csv")
    assert csv["Body"].read().startswith(b"positive,")
    with pytest.raises(client.exceptions.ValidationError, match="not JSON") as caught:
        client.invoke_endpoint(EndpointName="shop", Body=b"nonsense", ContentType="application/json")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    with pytest.raises(client.exceptions.ValidationError, match="There is no variant 'z'"):
        client.invoke_endpoint(EndpointName="shop", Body=GOOD, ContentType="application/json", TargetVariant="z")
    with pytest.raises(ClientError, match="There is no endpoint 'other'"):
        client.invoke_endpoint(EndpointName="other", Body=GOOD, ContentType="application/json")
