"""A network as an ONNX graph: dynamic batch and length, no trace of this machine, the same bytes each time; and how one is run."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from workbench.problems import Problem, missing, one_line

OPSET = 18
LARGEST = (2 << 30) - (1 << 20)
"""Bytes of a graph: protobuf ends at 2 GiB."""

Outputs = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""Arrays of a batch, the encoder's first, to the outputs, the answer's first."""


def of_module(
    module: Any,
    example: Mapping[str, np.ndarray],
    axes: Mapping[str, Mapping[int, str]],
    outputs: Sequence[str],
    exporter: Literal["dynamo", "legacy"],
) -> bytes:
    """The graph of a module on the CPU, called with the arrays of `example` in their order.

    `axes` names the axes of each that may have any length. `example` has a batch of at least 2: an axis of 0 or 1 would become a constant.
    """
    import torch

    if any(array.shape[axis] < 2 for name, array in example.items() for axis in axes[name]):
        raise Problem("An example of a batch of 2 or more is needed: 0 and 1 become constants in the graph.")
    tensors = tuple(torch.from_numpy(array) for array in example.values())
    module.eval()
    names: dict[str, Any] = {"input_names": list(example), "output_names": list(outputs), "opset_version": OPSET}
    try:
        with warnings.catch_warnings(), torch.no_grad(), _quiet(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            model = _dynamo(module, tensors, axes, names) if exporter == "dynamo" else _legacy(module, tensors, axes, names)
    except ImportError as error:
        raise missing("Export", error.name or "onnx", "export") from None
    except Exception as error:  # torch.export's and the exporters' own errors have no base in common
        raise Problem(f"The network cannot be exported: {type(error).__name__}: {one_line(str(error), 300)}") from error
    if frozen := _frozen(model, axes):
        raise Problem(f"The exporter made {frozen}.", "", "data")
    return _sealed(model)


def _frozen(model: Any, axes: Mapping[str, Mapping[int, str]]) -> str:
    """The first axis that may have any length and became a constant, in words, or "": an exporter does so without a word where its capture
    of the network fails, as at len(tensor), and with some recurrent layers after the first one that a process exports."""
    for entry in model.graph.input:
        for axis, name in axes[entry.name].items():
            dimension = entry.type.tensor_type.shape.dim[axis]
            if not dimension.dim_param:
                return f"the {name} of {entry.name} a constant, {dimension.dim_value}"
    return ""


def _dynamo(module: Any, tensors: tuple[Any, ...], axes: Mapping[str, Mapping[int, str]], names: dict[str, Any]) -> Any:
    import torch

    dimensions = {name: torch.export.Dim(name) for by_axis in axes.values() for name in by_axis.values()}
    shapes = tuple({axis: dimensions[name] for axis, name in by_axis.items()} for by_axis in axes.values())

    def exported(network: Any) -> Any:
        program = torch.onnx.export(network, tensors, dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False, **names)
        assert program is not None
        return program.model_proto

    model = exported(module)
    if _frozen(model, axes):
        # The strict capture reads the Python code, too: it follows len(tensor), which the other one takes for a constant.
        with contextlib.suppress(torch._dynamo.exc.UserError):
            model = exported(torch.export.export(module, tensors, dynamic_shapes=shapes, strict=True))
    return model


def _legacy(module: Any, tensors: tuple[Any, ...], axes: Mapping[str, Mapping[int, str]], names: dict[str, Any]) -> Any:
    import onnx
    import torch

    file = io.BytesIO()
    free = {name: dict(by_axis) for name, by_axis in axes.items()}
    free.update((name, {0: "batch"}) for name in names["output_names"])
    torch.onnx.export(module, tensors, file, dynamo=False, dynamic_axes=free, verbose=False, **names)  # type: ignore[arg-type]
    return onnx.load_from_string(file.getvalue())


def _sealed(model: Any) -> bytes:
    """The model's bytes, without the stack traces and paths that an exporter notes beside every node, and checked."""
    import onnx

    for part in _parts(model.graph):
        # Both name source files of this machine: they would be published, and change the hash with the place of the checkout.
        for field in ("metadata_props", "doc_string"):
            if field in part.DESCRIPTOR.fields_by_name:
                part.ClearField(field)
        if getattr(part, "data_location", 0) == onnx.TensorProto.EXTERNAL:
            raise Problem("The exporter put weights into a file of its own.")
    del model.metadata_props[:]
    model.ClearField("doc_string")
    # What other names would be read from is the network, and these are of the exporter's release.
    data: bytes = model.SerializeToString(deterministic=True)
    if len(data) > LARGEST:
        raise Problem(f"The graph has {len(data):,} bytes, and a graph in one file has at most {LARGEST:,}.")
    onnx.checker.check_model(data, full_check=True)
    return data


def _parts(graph: Any) -> Any:
    """A graph with everything in it that can carry notes, graphs within it too."""
    yield graph
    yield from (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield attribute
            if attribute.HasField("t"):
                yield attribute.t
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _parts(inner)


def opened(data: bytes) -> Outputs:
    """The graph of these bytes, as ONNX Runtime computes it on one thread."""
    try:
        import onnxruntime as ort
    except ImportError:
        raise missing("Export", "onnxruntime", "export") from None
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def outputs(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        try:
            return session.run(None, dict(zip(names, arrays, strict=True)))  # type: ignore[no-any-return]
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            shapes = ", ".join(str(list(array.shape)) for array in arrays)
            raise Problem(f"The exported graph refuses an input of {shapes}: {one_line(str(error), 200)}") from None

    return outputs


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporters log each of their steps as if it were a warning, and an error that is raised as well."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(level)
