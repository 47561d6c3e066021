"""Session: a model folder that answers raw inputs, by ONNX Runtime or XGBoost on one thread. Where NumPy is, not where HTTP is."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from workbench.encoding import booster, model_folder
from workbench.encoding.coding import Item
from workbench.encoding.kinds import Classes, NextToken, TextCodes
from workbench.encoding.model_folder import ModelFolder
from workbench.encoding.writing import written
from workbench.problems import Problem, missing
from workbench.serving.own_project import OwnProject

T = TypeVar("T")
_AGAIN = "Export it again."


class Session:
    """An open model."""

    def __init__(self, folder: ModelFolder | Path, threads: int = 1) -> None:
        """Raises Problem where the folder is damaged, a package is missing, or the graph is not one that ONNX Runtime takes."""
        self.folder = model_folder.read(folder) if isinstance(folder, Path) else folder
        self.coding = self.folder.coding()
        kind = self.folder.model.kind
        self._own = OwnProject(self.folder) if kind == "project" else None
        if kind != "project":
            self._model = _onnx(self.folder, threads) if kind == "onnx" else _booster(self.folder, threads)

    @property
    def batches(self) -> bool:
        """Whether inputs go through the model together: not where a text is written on, nor where a project answers."""
        return self._own is None and not isinstance(self.coding.decoder, NextToken)

    def outputs(self, batch: np.ndarray) -> np.ndarray:
        """(items, …) encoded → the model's first output, (items, …)."""
        outputs: np.ndarray = self._model([batch])[0]
        return outputs

    def answers(self, raws: Sequence[Any]) -> list[dict[str, Any] | Problem]:
        """The answer of each raw input, in their order; where one cannot be read, its Problem, and its neighbours their answers."""
        if self._own:
            return [_tried(partial(self._own.answer, raw)) for raw in raws]
        if isinstance(self.coding.decoder, NextToken):
            # Each is written on by itself: texts of different lengths end at different times.
            return [_tried(partial(written, self.coding, raw, self._step)) for raw in raws]
        items: list[Item | Problem] = [self.encoded(raw) for raw in raws]
        good = [item for item in items if isinstance(item, Item)]
        outputs = iter(self.outputs(self.coding.batch(good)) if good else ())
        return [self.coding.decode(next(outputs)) if isinstance(item, Item) else item for item in items]

    def _step(self, codes: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        logits, *after = self._model([codes, *state])
        return logits, after

    def encoded(self, raw: Any) -> Item | Problem:
        """One input as the model takes it, or why it does not."""
        return _tried(partial(self.coding.encode, raw))


def _tried(work: Callable[[], T]) -> T | Problem:
    try:
        return work()
    except Problem as problem:
        return problem


def _onnx(folder: ModelFolder, threads: int) -> Any:
    try:
        import onnxruntime as ort
    except ImportError:
        raise missing("Serving", "onnxruntime", "serve") from None
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    # A thread that spins while it waits takes the processor from the router beside it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        # From bytes: a graph that names a file of its own beside it (external data) is refused.
        session = ort.InferenceSession((folder.path / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no base of their own
        raise Problem(f"model.onnx of {folder.label} is refused by ONNX Runtime: {str(error)[:200]}.", _AGAIN, "data") from None
    _insist(folder, session)
    names = [entry.name for entry in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def _insist(folder: ModelFolder, session: Any) -> None:
    """Problem where the graph takes or gives arrays of another width than model.json, vocabulary and labels say."""
    coding = folder.coding()
    states = list(coding.decoder.states.values()) if isinstance(coding.decoder, NextToken) else []
    taken = [list(entry.shape[1:]) for entry in session.get_inputs()]
    wanted = [list(coding.shape), *(list(shape) for shape in states)]
    if len(taken) != len(wanted) or not all(map(_fits, taken, wanted)):
        raise Problem(f"model.onnx of {folder.label} takes {_widths(taken)}, and its encoder gives {_widths(wanted)}.", _AGAIN, "data")
    given = list(session.get_outputs()[0].shape[1:])
    tokens = (coding.encoder.last if isinstance(coding.encoder, TextCodes) else 0) or len(coding.vocabulary) - 1
    width = tokens if isinstance(coding.decoder, NextToken) else len(coding.labels) if isinstance(coding.decoder, Classes) else 0
    if width and not _fits(given, [width]):
        raise Problem(f"model.onnx of {folder.label} gives {_widths([given])}, and {width} are named.", _AGAIN, "data")


def _fits(graph: list[Any], coding: list[int]) -> bool:
    """Whether a graph's axes are those of a coding: a name in the graph, and a 0 in the coding, is any length."""
    return len(graph) == len(coding) and all(
        isinstance(axis, str) == (length == 0) and axis in (length, str(axis)) for axis, length in zip(graph, coding, strict=True)
    )


def _widths(shapes: list[list[Any]]) -> str:
    return " and ".join(" x ".join(str(length or "any") for length in shape) or "one number" for shape in shapes)


def _booster(folder: ModelFolder, threads: int) -> Any:
    model = booster.load((folder.path / "model.ubj").read_bytes(), threads)
    return lambda arrays: [booster.outputs(model, arrays[0], folder.model.encoder)]
