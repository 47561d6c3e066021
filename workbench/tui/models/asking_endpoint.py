"""One request to an endpoint and its answer, with every part of both; and the lines that make it with boto3."""

import json
import time
from base64 import b64encode
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from workbench import files
from workbench.encoding.model_folder import Model, ModelFolder
from workbench.problems import Problem, one_line
from workbench.serving import headers
from workbench.serving.endpoint import About, Config, Endpoint, VariantPlan

PATH = "/invocations"
TARGET = "X-Amzn-SageMaker-Target-Variant"
PATIENCE = 70.0
"""Seconds; a server answers with 504 before that."""
READABLE = 120
"""Characters of a text in a line that a person copies."""
SHOWN = 1 << 16
"""Bytes of an answer that are kept to be looked at."""


class Asked(NamedTuple):
    """An answer, or why there is none."""

    status: int
    """0 where there is none."""
    reason: str
    """What the status means; the trouble where there is none."""
    headers: list[tuple[str, str]]
    body: bytes
    seconds: float


def model_of(plan: VariantPlan) -> ModelFolder:
    """A variant's model, its files not compared with their seal: a screen opens at once. Raises Problem where it cannot be read."""
    try:
        document = msgspec.json.decode(files.read_plain(plan.folder / "model.json", files.READ_LIMIT))
        return ModelFolder(plan.folder, msgspec.convert(document, Model), plan.digest)
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise Problem(f"model.json of {plan.label} cannot be read: {one_line(str(error), 200)}.", "Export it again.", "data") from None


def examples_of(plan: VariantPlan) -> list[Any]:
    """Raw inputs that a model was exported with; none where they cannot be read."""
    try:
        return [example["input"] for example in model_of(plan).examples()]
    except (Problem, OSError, ValueError, TypeError):
        return []


def typed(raw: Any) -> tuple[str, str]:
    """What of a raw input a person types: its key and the text. A picture is typed as a path, "" for the example's own."""
    if isinstance(raw, dict) and len(raw) == 1:
        [(key, value)] = raw.items()
        if key == "picture":
            return key, ""
        if isinstance(value, str):
            return str(key), value
    return "", json.dumps(raw, ensure_ascii=False)


def body_of(raw: Any, text: str) -> bytes:
    """The body that asks what a person typed in place of an example. Raises Problem where it is no JSON, or a picture cannot be read."""
    key, before = typed(raw)
    if text == before:
        value = raw
    elif key == "picture":
        path = Path(text).expanduser()
        try:
            value = {key: b64encode(files.read_plain(path, follow=True)).decode()}
        except OSError as error:
            raise files.problem(f"The picture {one_line(str(path), 200)}", "read", error, path, "data") from error
    elif key:
        value = {key: text}
    else:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Problem(f"This is no JSON: {one_line(str(error), 100)}.", 'Write {"row": {"x": 3.0}}, for example.', "data") from None
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def head_of(about: About, target: str) -> dict[str, str]:
    """The headers of a request. Raises Problem where the endpoint needs a token and there is none here."""
    head = {"Content-Type": "application/json", "Accept": "application/json"}
    if target:
        head[TARGET] = target
    if token := headers.token_for(about.host):
        head["Authorization"] = f"Bearer {token}"
    return head


def ask(about: About, target: str, body: bytes) -> Asked:
    """Send a request and wait for its answer: call it from a thread."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(about.host, about.host)
    began = time.monotonic()
    connection = HTTPConnection(host, about.port, timeout=PATIENCE)
    try:
        connection.request("POST", PATH, body, head_of(about, target))
        answer = connection.getresponse()
        content = answer.read(SHOWN)
        return Asked(answer.status, answer.reason, answer.getheaders(), content, time.monotonic() - began)
    except (OSError, HTTPException) as error:
        return Asked(0, f"No answer: {one_line(str(error), 200)}", [], b"", time.monotonic() - began)
    finally:
        connection.close()


def written(raw: Any) -> str:
    """An example as a JSON body short enough to be read in a line of text; "" for a picture, which is sent as a file."""
    key, text = typed(raw)
    if key == "picture":
        return ""
    return json.dumps({key: text[:READABLE]} if key else raw)


def boto3(endpoint: Endpoint, raw: Any) -> str:
    """The lines that ask for it with boto3, as one asks SageMaker."""
    body = written(raw)
    kind, given = ("application/json", repr(body)) if body else ("image/png", 'open("picture.png", "rb").read()')
    return (
        "import boto3\n\n"
        "runtime = boto3.client(\n"
        f'    "sagemaker-runtime", endpoint_url="{endpoint.url}", region_name="us-east-1",\n'
        '    aws_access_key_id="none", aws_secret_access_key="none",\n'
        ")\n"
        "answer = runtime.invoke_endpoint(\n"
        f'    EndpointName="{endpoint.id}", ContentType="{kind}",\n'
        f"    Body={given},\n"
        ")\n"
        'print(answer["InvokedProductionVariant"], answer["Body"].read())'
    )


def first_variant(config: Config, name: str = "") -> VariantPlan:
    """The variant of that name, or the one with the most traffic."""
    weights = config.weights()
    named = [plan for plan in config.variants if plan.name == name]
    return named[0] if named else max(config.variants, key=lambda plan: weights[plan.name])
