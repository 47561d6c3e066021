"""The Open Inference Protocol, version 2, as schemathesis asks it: requests that fit what is written of it, and requests that do not."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from served_models import Served, houses, served

schemathesis = pytest.importorskip("schemathesis")
from hypothesis import HealthCheck, settings  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

EXAMPLES = int(os.environ.get("DLWB_EXAMPLES", "10"))
"""For each operation."""


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT, NUMBER = {"type": "string"}, {"type": "number"}
SHAPE = _list({"type": "integer"})
PARAMETERS = {"type": "object"}
TENSOR = _object(["name", "datatype", "shape"], name=TEXT, datatype=TEXT, shape=SHAPE)
DATA = _list({"anyOf": [NUMBER, TEXT, {"type": "boolean"}, _list(NUMBER)]})
INPUT = _object(["name", "shape", "datatype", "data"], name=TEXT, shape=SHAPE, datatype=TEXT, parameters=PARAMETERS, data=DATA)
WANTED = _object(["name"], name=TEXT, parameters=PARAMETERS)
ASKED = _object(["inputs"], id=TEXT, parameters=PARAMETERS, inputs=_list(INPUT), outputs=_list(WANTED))
ANSWERED = _object(["model_name", "outputs"], model_name=TEXT, model_version=TEXT, id=TEXT, parameters=PARAMETERS, outputs=_list(INPUT))
EXAMPLE = {"id": "7", "inputs": [{"name": "row", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}], "outputs": [{"name": "answer"}]}
"""One that is answered: schemathesis also changes it in one place each."""
ERROR = _object(["error"], error={"type": "string", "minLength": 1})
SERVER = _object(["name", "version", "extensions"], name=TEXT, version=TEXT, extensions=_list(TEXT))
MODEL = _object(["name", "platform"], name=TEXT, versions=_list(TEXT), platform=TEXT, inputs=_list(TENSOR), outputs=_list(TENSOR))


def _answers(schema: dict[str, Any], *codes: int) -> dict[str, Any]:
    found = {str(code): {"description": "an error", "content": {"application/json": {"schema": ERROR}}} for code in (*codes, 405)}
    return found | {"200": {"description": "an answer", "content": {"application/json": {"schema": schema}}}}


def _path(*names: str, values: tuple[str, ...]) -> list[dict[str, Any]]:
    # Half of the names are there, so that requests come further than 404.
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"anyOf": [{"const": value}, {"type": "string", "pattern": "^[a-z]{1,5}$"}]},
        }
        for name, value in zip(names, values, strict=True)
    ]


def _document() -> dict[str, Any]:
    """The protocol's paths, as its own REST file names them."""
    anything = {"type": "object"}
    paths: dict[str, Any] = {
        "/v2": {"get": {"responses": _answers(SERVER)}},
        "/v2/health/live": {"get": {"responses": _answers(anything)}},
        "/v2/health/ready": {"get": {"responses": _answers(anything, 503)}},
    }
    for place, names in (("/v2/models/{model}", ("model",)), ("/v2/models/{model}/versions/{version}", ("model", "version"))):
        parameters = _path(*names, values=("houses", "2")[: len(names)])
        infer = {"requestBody": {"required": True, "content": {"application/json": {"schema": ASKED, "example": EXAMPLE}}}}
        paths[place] = {"parameters": parameters, "get": {"responses": _answers(MODEL, 404)}}
        paths[f"{place}/ready"] = {"parameters": parameters, "get": {"responses": _answers(anything, 404, 503)}}
        paths[f"{place}/infer"] = {"parameters": parameters, "post": infer | {"responses": _answers(ANSWERED, 400, 404, 413, 415)}}
    return {"openapi": "3.1.0", "info": {"title": "Open Inference Protocol", "version": "2"}, "paths": paths}


schema = schemathesis.openapi.from_dict(_document())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(houses(tmp_path_factory.mktemp("models") / "houses" / "2").path, options=["--inside"]) as server:
        yield server


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_what_is_written_holds(case: Any, model: Served) -> None:
    """No 500, only codes and bodies that are written, what does not fit is refused."""
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
        negative_data_rejection,
        unsupported_method,
    ]
    case.call_and_validate(base_url=model.url, checks=checks)


def test_an_inference(model: Served) -> None:
    """Real numbers: the row is 8 rooms and distance 5, as the model takes them, (8 - 6) / 2 and 5 - 3."""
    tensor = {"name": "row", "shape": [2, 2], "datatype": "FP32", "data": [1.0, 2.0, 0.0, 0.0]}
    for path in ("/v2/models/houses/infer", "/v2/models/houses/versions/2/infer"):
        code, _, answer = model.ask({"id": "42", "inputs": [tensor]}, path=path)
        outputs = [{"name": "answer", "datatype": "FP64", "shape": [2], "data": [10.0, 10.0]}]
        assert code == 200 and answer == {"model_name": "houses", "model_version": "2", "id": "42", "outputs": outputs}
    nested = tensor | {"data": [[1.0, 2.0], [0.0, 0.0]]}
    assert model.ask({"inputs": [nested]}, path="/v2/models/houses/infer")[2]["outputs"] == outputs
    assert model.ask(path="/v2/models/houses/versions/2")[2] == {
        "name": "houses",
        "versions": ["2"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "row", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "answer", "datatype": "FP64", "shape": [-1]}],
    }
