"""Session: a model folder that answers raw inputs, by ONNX Runtime or XGBoost on one thread. Where NumPy is, not where HTTP is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.encoding import booster, model_folder
from workbench.encoding.coding import Item
from workbench.encoding.model_folder import ModelFolder
from workbench.problems import Problem, missing


class Session:
    """An open model."""

    def __init__(self, folder: ModelFolder | Path, threads: int = 1) -> None:
        """Raises Problem where the folder is damaged, a package is missing, or the graph is not one that ONNX Runtime takes."""
        self.folder = model_folder.read(folder) if isinstance(folder, Path) else folder
        self.coding = self.folder.coding()
        kind = self.folder.model.kind
        if kind == "project":
            raise Problem(f"{self.folder.label} is answered by its own project, and only where it was trained.")
        self._model = _onnx(self.folder, threads) if kind == "onnx" else _booster(self.folder, threads)

    def outputs(self, batch: np.ndarray) -> np.ndarray:
        """(items, …) encoded → the model's first output, (items, …)."""
        outputs: np.ndarray = self._model(batch)
        return outputs

    def answers(self, raws: Sequence[Any]) -> list[dict[str, Any] | Problem]:
        """The answer of each raw input, in their order; where one cannot be read, its Problem, and its neighbours their answers."""
        items: list[Item | Problem] = [self.encoded(raw) for raw in raws]
        good = [item for item in items if isinstance(item, Item)]
        outputs = iter(self.outputs(self.coding.batch(good)) if good else ())
        return [self.coding.decode(next(outputs)) if isinstance(item, Item) else item for item in items]

    def encoded(self, raw: Any) -> Item | Problem:
        """One input as the model takes it, or why it does not."""
        try:
            return self.coding.encode(raw)
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
        raise Problem(f"model.onnx of {folder.label} is refused by ONNX Runtime: {str(error)[:200]}.", "Export it again.", "data") from None
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    return lambda batch: session.run([output], {name: batch})[0]


def _booster(folder: ModelFolder, threads: int) -> Any:
    model = booster.load((folder.path / "model.ubj").read_bytes(), threads)
    return lambda batch: booster.outputs(model, batch, folder.model.encoder)
