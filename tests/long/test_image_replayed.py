"""The Dockerfile replayed in an empty folder with a fresh environment, and its ENTRYPOINT started there, with no checkout near."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import served_models
from test_endpoint import free_port

from workbench import paths
from workbench.serving import image, operate
from workbench.serving.endpoint import list_endpoints
from workbench.serving.session import Session


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    for endpoint in list_endpoints():
        operate.kill(endpoint)


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    line = HTTPConnection("127.0.0.1", port, timeout=30)
    line.request(
        method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json", "Host": "model.aws.internal"}
    )
    response = line.getresponse()
    return response.status, json.loads(response.read() or b"null")


def test_the_entrypoint_answers_as_the_model_does(home: Path, tmp_path: Path) -> None:
    folder = served_models.reviews(paths.models() / "reviews" / "1")
    endpoint = operate.serve("reviews:1", port=free_port())
    out = image.to_docker(endpoint, tmp_path / "docker")
    root = tmp_path / "root"
    root.mkdir()
    text = (out / "Dockerfile").read_text()
    work = root / "opt" / "program"
    work.mkdir(parents=True)
    for source, target in re.findall(r"^COPY (\S+) (\S+)$", text, re.MULTILINE):
        place = (root / target.lstrip("/") if target.startswith("/") else work / target).resolve()
        if (out / source).is_dir():
            shutil.copytree(out / source, place, dirs_exist_ok=True)
        else:
            shutil.copy(out / source, place)
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    (run,) = re.findall(r"^RUN pip (.*)$", text, re.MULTILINE)
    subprocess.run([str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *run.split()], check=True, cwd=work)
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    words = [*json.loads(entrypoint), *json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[0])]
    port = free_port()
    variables = {
        "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(work),
        "DLWB_MODEL": str(root / "opt/ml/model"),
        "DLWB_PORT": str(port),
    }
    process = subprocess.Popen(words, env=variables, cwd=root)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                if ask(port, "GET", "/ping")[0] == 200:
                    break
            except OSError:
                pass
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        texts = ["a good film", "a bad plot", "dull"]
        answers = Session(folder).answers(texts)
        code, body = ask(port, "POST", "/invocations", {"instances": texts})
        assert code == 200 and body["predictions"] == answers
        assert ask(port, "GET", "/execution-parameters")[0] == 200
        assert ask(port, "POST", "/invocations", {"instances": ["zzz"]})[0] == 400
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    wrong = subprocess.run([*words[:-1], "train"], env=variables, cwd=root, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "serve" in wrong.stderr
