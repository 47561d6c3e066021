"""Every trained recipe, exported after some steps: parity on 1,000 real test inputs; or the sentence with which it is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.encoding.answers import MOST, difference
from workbench.recipes.find import shipped_and_own
from workbench.recipes.load import load_recipe
from workbench.serving.session import Session

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

INPUTS = 1000
TRAINED = sorted(path.stem for path in shipped_and_own() if (loaded := load_recipe(path)).trains and not loaded.recipe.compare)
REFUSED = {
    *("style-transfer", "style-transfer-squeezenet", "gan-ring", "captioning", "transformer-letters"),
    *("seq2seq-letters", "seq2seq-letters-attention", "translation", "translation-tatoeba", "translation-transformer"),
    *("word2vec", "word2vec-cbow", "word2vec-softmax", "word2vec-wikitext"),
}
"""Whose lesson says why its network cannot be asked elsewhere; besides those that say nothing of how they are served."""
DIFFERS = {"tv-scripts": "The exporter made the batch of codes a constant, 2."}
"""Whose export is refused because no exporter of this torch writes its graph: two LSTM layers over a window."""
PROJECT = {"sentiment-ensemble", "letters", "letters-rates", "miniflow-boston", "regression"}
"""Answered by their own project alone, as those of sentiment_network are."""


def exported(stem: str, folder: Path, count: int = INPUTS) -> dict[str, Any]:
    environment = {**os.environ, "DLWB_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.exporting", stem, str(count), str(folder / stem / "1")]
    done = subprocess.run(words, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("stem", TRAINED)
def test_a_recipe_answers_elsewhere_as_here(stem: str, mirror: Path, tmp_path: Path) -> None:
    result = exported(stem, tmp_path)
    print(stem, result)
    if "no data" in result:
        pytest.skip(result["no data"])
    if "refused" in result:
        assert (stem in REFUSED) != result["refused"].startswith("This lesson has no network that can be asked elsewhere.")
        return
    assert stem not in REFUSED
    if stem in DIFFERS or "differs" in result:
        assert result.get("differs") == DIFFERS.get(stem)
        return
    if result["kind"] == "project":
        assert stem in PROJECT or stem.startswith("sentiment-network")
        return
    assert result["kind"] in ("onnx", "xgboost") and result["difference"] <= MOST and result["inputs"] >= min(INPUTS, 60)
    session = Session(tmp_path / stem / "1")
    examples = session.folder.examples()
    answers = session.answers([example["input"] for example in examples])
    assert not any(difference(one, two["answer"]) for one, two in zip(answers, examples, strict=True))


def test_the_shell_exports_a_run_in_every_form(tmp_path: Path, home: Path, nothing_is_left: None) -> None:
    def dlwb(*words: str) -> str:
        command = [sys.executable, "-m", "workbench.cli", *words]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout

    dlwb("run", "tumour-mlp", "--set", "train.epochs=2", "--follow")
    assert "tumour-mlp:1, compared on 142 test inputs" in dlwb("export", "tumour-mlp", "--to", "model")
    dlwb("export", "tumour-mlp", "--to", "model", "--name", "tumours", "--out", str(tmp_path / "tumours.tar.gz"))
    assert "tumours:1" in dlwb("model", "add", str(tmp_path / "tumours.tar.gz"))
    assert "answers 16 examples" in dlwb("model", "verify", "tumours") and "answers 16 examples" in dlwb("model", "verify", "tumour-mlp")
    dlwb("export", "tumour-mlp", "--to", "onnx", "--out", str(tmp_path / "a.onnx"))
    dlwb("export", "tumour-mlp", "--to", "safetensors", "--out", str(tmp_path / "a.safetensors"))
    one, two = (home / "models" / name / "1" for name in ("tumours", "tumour-mlp"))
    # In three processes the same bytes.
    assert (one / "model.onnx").read_bytes() == (two / "model.onnx").read_bytes() == (tmp_path / "a.onnx").read_bytes()
    assert (one / "weights.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()
