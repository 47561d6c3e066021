"""Drift on a real endpoint: new words, moved inputs and late labels raise alarms in its log and in /metrics, and an update clears them."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import served_models
from test_endpoint import events, free_port, marks, until

from workbench import paths
from workbench.encoding import baseline, model_folder
from workbench.events import Scalars, Table
from workbench.serving import drift, operate
from workbench.serving.endpoint import Endpoint, list_endpoints
from workbench.serving.observing import PER_SECOND
from workbench.serving.session import Session
from workbench.serving.watching import MARKED


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """End every endpoint that a test left running."""
    yield
    for endpoint in list_endpoints():
        operate.kill(endpoint)


def texts(rng: np.random.Generator, count: int) -> list[str]:
    return [" ".join(rng.choice(served_models.WORDS[1:], rng.integers(3, 30))) for _ in range(count)]


def model(tmp_path: Path, version: int, extra: str = "") -> str:
    """Version N of `reviews` in the store, with the baseline of 2,000 texts, which it has all answered rightly."""
    source = served_models.reviews(tmp_path / "made" / str(version))
    raws = [text + (extra if number % 5 == 0 else "") for number, text in enumerate(texts(np.random.default_rng(1), 2000))]
    answers: list[Any] = Session(source).answers(raws)
    known = baseline.of(source.coding(), raws, answers, [answer["answer"] for answer in answers])

    def write(folder: Path) -> None:
        for name in source.model.files:
            shutil.copy(source.path / name, folder)
        (folder / "baseline.json").write_bytes(msgspec.json.encode(known))

    about = {**msgspec.to_builtins(source.model), "name": "reviews", "version": version}
    return model_folder.seal(paths.models() / "reviews" / str(version), about, write).label


def ask(endpoint: Endpoint, lines: list[str]) -> list[tuple[str, str]]:
    """The id and the answer of each text."""
    line = HTTPConnection("127.0.0.1", endpoint.about.port, timeout=30)
    seen = []
    for text in lines:
        time.sleep(1.2 / PER_SECOND)  # an observer passes over what comes faster
        line.request("POST", "/invocations", json.dumps(text), {"Content-Type": "application/json"})
        response = line.getresponse()
        body = json.loads(response.read())
        assert response.status == 200
        answer = body if isinstance(body, dict) else body[0]
        seen.append((str(response.getheader("x-request-id")), answer["answer"]))
    line.close()
    return seen


def dlwb(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-P", "-m", "workbench.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def metrics(endpoint: Endpoint) -> str:
    line = HTTPConnection("127.0.0.1", endpoint.about.port, timeout=30)
    line.request("GET", "/metrics")
    return line.getresponse().read().decode()


def alarms(endpoint: Endpoint) -> list[str]:
    return [text for text in marks(endpoint) if text.startswith("alarm:")]


def test_new_words_and_late_labels_are_alarms_and_an_update_clears_them(tmp_path: Path, home: Path) -> None:
    endpoint = operate.serve(model(tmp_path, 1), port=free_port())
    rng = np.random.default_rng(2)
    ask(endpoint, texts(rng, drift.WINDOW))
    until(lambda: [table for table in events(endpoint, Table) if table.tag == "drift"])
    assert alarms(endpoint) == [], "the same source as the baseline"
    assert 'dlwb_drift_alarms{variant="1"} 0.0' in metrics(endpoint)

    ask(endpoint, [text + (" banana" if number % 5 == 0 else "") for number, text in enumerate(texts(rng, 60))])
    until(lambda: alarms(endpoint))
    assert [text.split(":")[2].strip() for text in alarms(endpoint)] == ["banana"]
    words = [table for table in events(endpoint, Table) if table.tag == "words"][-1]
    assert words.rows[0][1] == "banana" and words.rows[0][3] == 0.0 and 0.1 < float(words.rows[0][4]) < 0.3
    assert 'dlwb_drift_alarms{variant="1"} 1.0' in metrics(endpoint)

    # A fifth of the labels say the opposite, as in the course.
    other = {"negative": "positive", "positive": "negative"}
    labels = tmp_path / "labels.csv"
    answered = ask(endpoint, texts(rng, 100))
    slip = dlwb("endpoint", "feedback", "reviews", answered[0][0], "Positive")
    assert slip.returncode == 1 and "'Positive' is no answer of reviews:1; did you mean positive?" in slip.stderr
    lines = [f"{identity},{other[answer] if number % 5 == 0 else answer}" for number, (identity, answer) in enumerate(answered)]
    labels.write_text("request,label\n" + "\n".join(lines) + "\nnobody,positive\n")
    told = dlwb("endpoint", "feedback", "reviews", "--file", str(labels))
    assert told.returncode == 0 and "100 of 101 labels" in told.stderr, told.stderr
    until(lambda: any(": labels:" in text for text in alarms(endpoint)))
    # What stands still is not written again and again.
    lines = len(events(endpoint, Scalars))
    time.sleep(3)
    assert len([line for line in events(endpoint, Scalars)[lines:] if "accuracy/1" in line.values]) == 0
    again = dlwb("endpoint", "feedback", "reviews", answered[0][0], "positive")
    assert again.returncode == 1 and "remembers no answer" in again.stderr

    # The new version knows the word: an observer of its own begins anew.
    model(tmp_path, 2, " banana")
    operate.ask(endpoint, "update", {"variants": [("2", None)]})
    ask(endpoint, [text + (" banana" if number % 5 == 0 else "") for number, text in enumerate(texts(rng, 120))])
    until(lambda: 'dlwb_drift_alarms{variant="2"} 0.0' in metrics(endpoint))
    assert not [text for text in alarms(endpoint) if text.startswith("alarm: 2:")]

    # Other words by the dozen: all are counted, the timeline names the first.
    foreign = " un film que nous avons vu hier soir avec lui"
    ask(endpoint, [text + (foreign if number % 3 == 0 else "") for number, text in enumerate(texts(rng, 90))])
    until(lambda: float(metrics(endpoint).partition('dlwb_drift_alarms{variant="2"} ')[2].partition("\n")[0]) >= 8)
    assert len([text for text in alarms(endpoint) if text.startswith("alarm: 2:")]) == MARKED


def test_longer_texts_move_a_number(tmp_path: Path, home: Path) -> None:
    endpoint = operate.serve(model(tmp_path, 1), port=free_port())
    rng = np.random.default_rng(3)
    ask(endpoint, [f"{one} {other} good" for one, other in zip(texts(rng, drift.WINDOW), texts(rng, drift.WINDOW), strict=True)])
    until(lambda: any(text.startswith("alarm: 1: words: mean") for text in alarms(endpoint)))
    table = [table for table in events(endpoint, Table) if table.tag == "drift"][-1]
    row = next(row for row in table.rows if row[1] == "words")
    assert row[7] == "alarm" and float(row[4]) > float(row[3]) and float(row[6]) >= drift.LARGE
