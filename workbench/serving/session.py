"""Session: a model folder that answers raw inputs, by ONNX Runtime or XGBoost on one thread. Where NumPy is, not where HTTP is."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from workbench.encoding import booster, model_folder
from workbench.encoding.coding import Coding, Item
from workbench.encoding.kinds import BagOfWords, Binary, Classes, Drawn, NextToken, Number, RowOfNumbers, TextCodes
from workbench.encoding.model_folder import ModelFolder
from workbench.encoding.writing import written
from workbench.problems import Problem, missing, one_line
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
            _check(self.folder, self.coding)
            self._model = _onnx(self.folder, threads) if kind == "onnx" else _booster(self.folder, threads)

    @property
    def batches(self) -> bool:
        """Whether inputs go through the model together: not where a text is written on, nor where a project answers."""
        return self._own is None and not isinstance(self.coding.decoder, NextToken)

    def outputs(self, batch: np.ndarray) -> np.ndarray:
        """(items, …) encoded → the model's first output, (items, …). Raises Problem where the model fails on it."""
        outputs = self._run([batch])[0]
        if not isinstance(outputs, np.ndarray) or outputs.dtype.kind not in "fiu" or not outputs.ndim or len(outputs) != len(batch):
            raise Problem(f"{self.folder.label} does not give an array of numbers for each input.", _AGAIN, "data")
        width, wanted = math.prod(outputs.shape[1:]), _width(self.coding)
        if wanted and width != wanted:
            raise Problem(f"{self.folder.label} gives {width} numbers, and {wanted} are right.", _AGAIN, "data")
        return outputs

    def decoded(self, output: np.ndarray) -> dict[str, Any]:
        """The answer of one output. Raises Problem where it is not a number."""
        with np.errstate(all="ignore"):
            answer = self.coding.decode(output)
        if not (math.isfinite(answer["answer"]) if "unit" in answer else not np.isnan(output).any()):
            raise Problem("The model's answer is not a number.", "", "data")
        return answer

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
        return [_tried(partial(self.decoded, next(outputs))) if isinstance(item, Item) else item for item in items]

    def _step(self, codes: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        logits, *after = self._run([codes, *state])
        return logits, after

    def _run(self, arrays: list[np.ndarray]) -> list[Any]:
        try:
            return self._model(arrays)  # type: ignore[no-any-return]
        except Problem:
            raise
        except Exception as error:  # ONNX Runtime's and XGBoost's errors have no base of their own
            raise Problem(f"{self.folder.label} fails on this input: {one_line(str(error), 200)}.", "", "data") from None

    def encoded(self, raw: Any) -> Item | Problem:
        """One input as the model takes it, or why it does not."""
        return _tried(partial(self.coding.encode, raw))


def _tried(work: Callable[[], T]) -> T | Problem:
    try:
        return work()
    except Problem as problem:
        return problem
    except MemoryError:
        return Problem("There is not enough memory for this input.", "", "data")


def _width(coding: Coding) -> int:
    """How many numbers an input's answer is made of; 0 where any number will do."""
    if isinstance(coding.decoder, Classes):
        return len(coding.labels)
    return int(isinstance(coding.decoder, Binary | Number))


def _check(folder: ModelFolder, coding: Coding) -> None:
    """Problem where words, labels and numbers of a coding do not fit together."""
    labels, encoder, decoder = list(coding.labels), coding.encoder, coding.decoder
    fault = ""
    if isinstance(decoder, Binary | Classes) and (len(labels) < 2 or (isinstance(decoder, Binary) and len(labels) > 2)):
        fault = f"labels.txt has {len(labels)} labels" + " and 2 are right" * isinstance(decoder, Binary)
    elif isinstance(decoder, Binary) and labels[0] == labels[1]:
        fault = "its two labels are the same"
    elif isinstance(encoder, TextCodes | BagOfWords) and not coding.number:
        fault = "its vocabulary has no words"
    elif isinstance(encoder, TextCodes) and (
        encoder.unknown > max(encoder.last, len(coding.vocabulary)) or encoder.padded > encoder.length
    ):
        fault = "the codes of its texts are not those of its vocabulary"
    elif isinstance(encoder, RowOfNumbers) and len({column.name for column in encoder.columns}) < len(encoder.columns):
        fault = "two columns have the same name"
    elif isinstance(encoder, RowOfNumbers) and not all(column.scale for column in encoder.columns):
        fault = "a column has the scale 0"
    elif isinstance(decoder, Drawn) and decoder.low == decoder.high:
        fault = "black and white are the same"
    if fault:
        raise Problem(f"model.json of {folder.label} cannot be used: {fault}.", _AGAIN, "data")


def _onnx(folder: ModelFolder, threads: int) -> Any:
    try:
        import onnxruntime as ort
    except ImportError:
        raise missing("Serving", "onnxruntime", "serve") from None
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    # A thread that spins while it waits takes the processor from the router beside it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Not even its errors, which come as exceptions as well: names in a graph may hold escape sequences.
    options.log_severity_level = 4
    try:
        # From bytes: a graph that names a file of its own beside it (external data) is refused.
        data = (folder.path / "model.onnx").read_bytes()
        # A second try on the same processor would fail again, and be told on standard output.
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        names = [entry.name for entry in session.get_inputs()]
        _insist(folder, session)
    except Problem:
        raise
    except Exception as error:  # its errors have no base of their own
        text = one_line(str(error), 200).removesuffix(".")
        raise Problem(f"model.onnx of {folder.label} is refused by ONNX Runtime: {text}.", _AGAIN, "data") from None
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def _insist(folder: ModelFolder, session: Any) -> None:
    """Problem where the graph takes or gives arrays of another width than model.json, vocabulary and labels say."""
    coding = folder.coding()
    states = list(coding.decoder.states.values()) if isinstance(coding.decoder, NextToken) else []
    taken = [list(entry.shape[1:]) for entry in session.get_inputs()]
    # One that writes on may take a token at a time, as it is asked; only where it looks back at a window it must take several.
    step = isinstance(coding.decoder, NextToken) and not coding.decoder.window and taken[:1] == [[1]]
    wanted = [[1] if step else list(coding.shape), *(list(shape) for shape in states)]
    if len(taken) != len(wanted) or not all(map(_fits, taken, wanted)):
        raise Problem(f"model.onnx of {folder.label} takes {_widths(taken)}, and its encoder gives {_widths(wanted)}.", _AGAIN, "data")
    kinds = [entry.type for entry in session.get_inputs()]
    right = ["tensor(int64)" if isinstance(coding.encoder, TextCodes) else "tensor(float)", *["tensor(float)"] * len(states)]
    outputs = session.get_outputs()
    if kinds != right or len(outputs) < 1 + len(states) or outputs[0].type != "tensor(float)":
        raise Problem(f"model.onnx of {folder.label} takes or gives other kinds of arrays than its encoder and decoder.", _AGAIN, "data")
    given = list(outputs[0].shape[1:])
    if isinstance(coding.decoder, Drawn) and (len(given) != 3 or given[0] not in (1, 3, 4)):
        raise Problem(f"model.onnx of {folder.label} gives {_widths([given])}, which is no picture.", _AGAIN, "data")
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
    (width,), coding = folder.coding().shape or (0,), folder.coding()
    if model.num_features() != width or not isinstance(coding.decoder, Binary | Number):
        raise Problem(f"model.ubj of {folder.label} takes {model.num_features()} numbers, and its encoder gives {width}.", _AGAIN, "data")
    return lambda arrays: [booster.outputs(model, arrays[0], folder.model.encoder)]
