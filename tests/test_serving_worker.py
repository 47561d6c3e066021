"""What a worker holds on to: nothing of the requests that it has answered."""

import gc
import json
from pathlib import Path

import pytest
from served_models import mlp, photograph

pytest.importorskip("onnxruntime")

from workbench.serving.messages import Request
from workbench.serving.worker import Answerer


def test_answered_requests_are_freed_without_the_collector(tmp_path: Path) -> None:
    """Good and bad ones in one batch: a refused one that kept its frame would hold all pixels of its neighbours."""
    answerer = Answerer(mlp(tmp_path / "digits" / "1").path)
    good = json.dumps({"pixels": [0.5] * 784}).encode()
    bodies = [
        (good, "application/json"),
        (photograph(), "image/png"),
        (b"[1, 2, 3]", "application/json"),
        (b"nonsense", "application/json"),
        (b'{"a": 1, "a": 2}', "application/json"),
        (b"0.25,x", "text/csv"),
    ]
    requests = [Request("1", body, kind) for body, kind in bodies]
    codes = [reply.code for reply in answerer.answer(requests)]
    assert codes == [200, 200, 400, 400, 400, 400]
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            answerer.answer(requests)
        assert gc.collect() < 20
    finally:
        gc.enable()
