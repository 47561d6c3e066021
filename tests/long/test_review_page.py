"""The course's project as a whole: film reviews go through gateway and function to the endpoint of a trained network, which is exchanged.

python -m pytest tests/long/test_review_page.py
"""

import json
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from exporting import sealed, trained
from test_web_page import two_ports

from workbench import paths
from workbench.encoding.answers import MOST
from workbench.serving import operate
from workbench.serving.web import processes
from workbench.serving.web.processes import Web

REVIEWS = 500
SHORT = {
    "sentiment-deployed": ("train.batch_size=64", "config.learning_rate=0.01", "config.length=20"),
    "sentiment-gru": ("train.batch_size=64", "config.vocabulary=5000", "config.length=20", "config.pretrained=0", "config.hidden=32"),
}
"""Settings with which a minute of training is enough to answer good and bad reviews differently."""


class Offline(NamedTuple):
    """What a network says to the reviews without a server."""

    model: str
    positive: Sequence[float]


def offline(stem: str, version: int, steps: int) -> tuple[Offline, list[str]]:
    """A version of the model `reviews`, trained for so many steps; the project's own answers to held-out reviews, and these."""
    project, run = trained(stem, steps, *SHORT.get(stem, ()))
    any_project: Any = project
    texts = [" ".join(words) for words in any_project.reviews["test"].texts[:REVIEWS]]
    with project.evaluating():
        positive = any_project.positive(any_project.inputs["test"][:REVIEWS])
    sealed(project, run, paths.models() / "reviews" / str(version))
    return Offline(f"reviews:{version}", positive.tolist()), texts


def answered(web: Web, text: str) -> tuple[int, dict[str, Any]]:
    """What the page's script gets for a review."""
    line = HTTPConnection(web.gateway.removeprefix("http://"), timeout=60)
    line.request("POST", "/predict", text.encode(), {"Content-Type": "text/plain", "Origin": web.url})
    response = line.getresponse()
    body = json.loads(response.read())
    line.close()
    return response.status, body


def equal(body: dict[str, Any], positive: float) -> bool:
    """Whether it is the offline answer; where both classes are equally likely, either is."""
    near = abs(body["probabilities"]["positive"] - positive) <= MOST
    return near and (body["answer"] == ("positive" if positive > 0.5 else "negative") or abs(positive - 0.5) <= MOST)


def test_the_page_answers_as_the_network_offline_and_the_network_is_exchanged_under_load(mirror: Path, home: Path) -> None:
    lstm, texts = offline("sentiment-deployed", 1, 200)
    gru, _ = offline("sentiment-gru", 2, 100)
    # A network that says the same to everybody would prove nothing, and two that agree could not be told apart.
    for network in (lstm, gru):
        assert statistics.pstdev(network.positive) > 50 * MOST
    assert sum(abs(one - other) > 10 * MOST for one, other in zip(lstm.positive, gru.positive, strict=True)) > REVIEWS // 2
    answers_equal(lstm, gru, texts)


def answers_equal(lstm: Offline, gru: Offline, texts: Sequence[str]) -> None:
    """Serve the first model, ask through the page's route, go over to the second under load, ask again."""
    known = {network.model: network.positive for network in (lstm, gru)}

    endpoint = operate.serve("reviews:1")
    try:
        with processes.started(endpoint.id, endpoint.url, "reviews", port=two_ports()) as web, ThreadPoolExecutor(4) as clients:
            first = list(clients.map(lambda text: answered(web, text), texts))
            assert [code for code, _ in first] == [200] * REVIEWS
            assert {body["version"] for _, body in first} == {lstm.model}
            wrong = [place for place, (_, body) in enumerate(first) if not equal(body, lstm.positive[place])]
            assert not wrong, f"{len(wrong)} of {REVIEWS} differ, the first is {wrong[0]}"

            going, seen = threading.Event(), []

            def ask(client: int) -> None:
                place = client
                while not going.is_set():
                    seen.append((place, *answered(web, texts[place])))
                    place = (place + 4) % REVIEWS

            load = [clients.submit(ask, client) for client in range(4)]
            try:
                time.sleep(1)
                operate.ask(endpoint, "update", {"variants": [("2", None)]})
                time.sleep(1)
            finally:
                going.set()
            for client in load:
                client.result()
            assert {code for _, code, _ in seen} == {200}
            assert {body["version"] for _, _, body in seen} == set(known)
            assert all(equal(body, known[body["version"]][place]) for place, _, body in seen)
            last = list(clients.map(lambda text: answered(web, text), texts))
            assert sum(code == 200 and equal(body, gru.positive[place]) for place, (code, body) in enumerate(last)) == REVIEWS
    finally:
        operate.stop(endpoint)
