"""The Open Inference Protocol, version 2, over HTTP: its bodies to raw inputs, and answers to its tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from workbench.encoding.coding import Coding
from workbench.encoding.kinds import BagOfWords, Number, Picture, TextCodes
from workbench.problems import one_line
from workbench.serving import headers, inference_metadata
from workbench.serving.messages import MOST_ROWS, Refusal

_WHOLE = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_REAL = ("FP16", "FP32", "FP64")
_JSON = msgspec.json.Encoder()


@dataclass
class Asked:
    """A body that was read."""

    raws: list[Any]
    """Each as `Coding.encode` takes it."""
    write: Callable[[list[dict[str, Any]]], tuple[str, bytes]]
    """The media type and the body of the answers."""
    place: str = "Input"
    """What one of the inputs is called when it cannot be read."""


class Input(msgspec.Struct):
    """A tensor of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class Output(msgspec.Struct):
    """A tensor that a request wants."""

    name: str
    parameters: dict[str, Any] = {}


class Inference(msgspec.Struct):
    """A request's body."""

    inputs: list[Input]
    id: str | msgspec.UnsetType = msgspec.UNSET
    outputs: list[Output] = []
    parameters: dict[str, Any] = {}


def read(coding: Coding, value: Any, model: str) -> Asked:
    """The inputs of a request to `model`, as NAME:VERSION. Raises Refusal (400) where the tensor is not one that this model takes."""
    try:
        request = msgspec.convert(value, Inference)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"The body is no inference request: {one_line(str(error), 200)}.") from None
    if len(request.inputs) != 1:
        raise Refusal(400, f"There are {len(request.inputs)} inputs; this model takes one, {coding.name}.")
    tensor = request.inputs[0]
    if tensor.name != coding.name:
        raise Refusal(400, f"There is no input {one_line(tensor.name, 80)!r}; this model takes {coding.name}.")
    names = [output.name for output in request.outputs]
    known = inference_metadata.outputs(coding.decoder)
    if wrong := [name for name in names if name not in known]:
        raise Refusal(400, f"There is no output {one_line(wrong[0], 80)!r}; there are {', '.join(known)}.")
    return Asked(_rows(coding, tensor), _writer(coding, model, request.id, names or list(known)))


def _rows(coding: Coding, tensor: Input) -> list[Any]:
    shape, data = tensor.shape, _flat(tensor.data)
    size = 1
    for length in shape:
        if not 0 <= length <= 1 << 32:
            raise Refusal(400, f"The shape has the length {length}.")
        size *= length
    if shape and shape[0] > MOST_ROWS:
        raise Refusal(413, f"The body has {shape[0]:,} inputs; {MOST_ROWS:,} are answered at once.", "Send it in parts.")
    if not shape or size != len(data):
        raise Refusal(400, f"The shape {shape[:8]} has {size if shape else 0} values and data has {len(data)}.")
    if tensor.datatype == "BYTES":
        if not isinstance(coding.encoder, TextCodes | BagOfWords | Picture) or size != shape[0]:
            raise Refusal(
                400,
                f"This model takes no texts of shape {shape[:8]} as {coding.name}.",
                f"Send {inference_metadata.wanted(coding.encoder)}.",
            )
        if not all(isinstance(text, str) for text in data):
            raise Refusal(400, "A value of type BYTES is a text.")
        return [{"picture": text} for text in data] if isinstance(coding.encoder, Picture) else data
    if tensor.datatype not in _WHOLE + _REAL:
        raise Refusal(
            400,
            f"The datatype {one_line(tensor.datatype, 40)!r} is not read by this model.",
            f"Send {inference_metadata.wanted(coding.encoder)}.",
        )
    kinds = (int,) if tensor.datatype in _WHOLE else (int, float)
    # True is an int in Python, and no number here.
    if not all(type(value) in kinds for value in data):
        raise Refusal(400, f"data has a value that is no {tensor.datatype}.")
    if len(shape) < 2:
        raise Refusal(400, f"The shape {shape} has no axis of inputs in front.", f"Send {inference_metadata.wanted(coding.encoder)}.")
    row = size // shape[0] if shape[0] else 0
    return [_nested(data[start : start + row], shape[1:]) for start in range(0, size, row)] if row else []


def _nested(values: list[Any], shape: list[int]) -> Any:
    """Values in C order as lists in lists of this shape."""
    for length in reversed(shape[1:]):
        values = [values[start : start + length] for start in range(0, len(values), length)]
    return values


def _flat(data: list[Any], depth: int = 0) -> list[Any]:
    if not any(isinstance(item, list) for item in data):
        return data
    if depth > 8:
        raise Refusal(400, "data is nested too deeply.")
    if not all(isinstance(item, list) for item in data):
        raise Refusal(400, "data has lists and values side by side.")
    return [value for item in data for value in _flat(item, depth + 1)]


def _writer(coding: Coding, model: str, identity: Any, names: list[str]) -> Callable[[list[dict[str, Any]]], tuple[str, bytes]]:
    name, _, version = model.partition(":")

    def write(answers: list[dict[str, Any]]) -> tuple[str, bytes]:
        count = len(answers)
        shares = [list(answer.get("probabilities", {}).values()) for answer in answers]
        width = len(shares[0])
        kind = "FP64" if isinstance(coding.decoder, Number) else "BYTES"
        tensors = {
            "answer": {"datatype": kind, "shape": [count], "data": [answer["answer"] for answer in answers]},
            "probabilities": {"datatype": "FP64", "shape": [count, width], "data": [share for row in shares for share in row]},
            "labels": {
                "datatype": "BYTES",
                "shape": [count, width],
                "data": [label for answer in answers for label in answer.get("probabilities", {})],
            },
        }
        outputs = [{"name": output, **tensors[output]} for output in names]
        body = {"model_name": name, "model_version": version, "id": identity, "outputs": outputs}
        return headers.JSON, _JSON.encode({key: value for key, value in body.items() if value is not msgspec.UNSET})

    return write
