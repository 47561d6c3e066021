"""What the Open Inference Protocol, version 2, says about a model: its inputs and outputs. Without an array, for the router."""

from collections.abc import Sequence
from typing import Any

from workbench.encoding.kinds import NAMES, BagOfWords, Binary, Classes, Decoder, Encoder, Number, Picture, RowOfNumbers, TextCodes
from workbench.encoding.model_folder import ModelFolder


def model(folder: ModelFolder, all_folders: Sequence[ModelFolder]) -> dict[str, Any]:
    """The metadata of a model, with those of its versions that are served."""
    about = folder.model
    versions = sorted({other.model.version for other in all_folders if other.model.name == about.name})
    shapes = {"answer": ("FP64" if isinstance(about.decoder, Number) else "BYTES", [-1])}
    width = {Binary: 2, Classes: getattr(about.decoder, "most", 0) or -1}.get(type(about.decoder), -1)
    shapes |= {"probabilities": ("FP64", [-1, width]), "labels": ("BYTES", [-1, width])}
    return {
        "name": about.name,
        "versions": [str(version) for version in versions],
        "platform": {"onnx": "onnx_onnxv1", "xgboost": "xgboost_ubj", "project": "dlwb_project"}[about.kind],
        "inputs": [{"name": NAMES[tag(about.encoder)], **tensor(about.encoder)}],
        "outputs": [{"name": name, "datatype": shapes[name][0], "shape": shapes[name][1]} for name in outputs(about.decoder)],
    }


def tag(encoder: Encoder) -> str:
    """The name of an encoder's kind."""
    return str(type(encoder).__struct_config__.tag)


def tensor(encoder: Encoder) -> dict[str, Any]:
    """Datatype and shape of the input; -1 is any length."""
    if isinstance(encoder, TextCodes | BagOfWords):
        return {"datatype": "BYTES", "shape": [-1]}
    shape = [len(encoder.columns)] if isinstance(encoder, RowOfNumbers) else encoder.shape
    return {"datatype": "FP32", "shape": [-1, *shape]}


def wanted(encoder: Encoder) -> str:
    """The same in words."""
    about = tensor(encoder)
    also = ", or BYTES with a picture in base64" if isinstance(encoder, Picture) else ""
    return f"{about['datatype']} of shape {about['shape']}{also}"


def outputs(decoder: Decoder) -> tuple[str, ...]:
    """The names of the outputs."""
    if isinstance(decoder, Number):
        return ("answer",)
    # With `most` each answer names classes of its own.
    return ("answer", "probabilities", "labels") if isinstance(decoder, Classes) and decoder.most else ("answer", "probabilities")
