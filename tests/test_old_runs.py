"""A run that dlwb 0.1 trained and somebody stopped midway: it opens, shows, answers, and resumes to where it would have come."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lines import ended, folded
from test_cli import dlwb

from workbench import paths
from workbench.launch import start
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.export.html import to_html
from workbench.runs.run import Run, find_run
from workbench.runs.state import state_of
from workbench.runs.summary import summary_of
from workbench.torchkit.resumable import TorchResumable

pytestmark = pytest.mark.usefixtures("nothing_is_left")

OLD = Path(__file__).parent / "fixtures" / "run_of_0_1"
UNINTERRUPTED = {
    "train/loss": 0.09917971063405276,
    "valid/loss": 0.07597460597753525,
    "test/loss": 0.06491440534591675,
    "test/accuracy": 0.98591548204422,
    "test/auc": 0.998940004239983,
}
"""The last values of the same run as that version trained it from start to end."""


@pytest.fixture
def run(home: Path) -> Run:
    shutil.copytree(OLD, paths.runs() / "2026-11-29_101537_tumour-mlp")
    return find_run("tumour-mlp")


def test_it_opens(run: Run) -> None:
    state, summary, history = state_of(run), summary_of(run), folded(run)
    assert (state.state, state.cause, state.alive, state.attempt) == ("stopped", "person", False, 1)
    assert (summary.step, summary.steps, summary.steps_per_epoch, summary.device) == (401, 900, 9, "cpu")
    assert list(history.series["train/loss"].steps) == [*range(20, 401, 20)]
    assert list(history.series["valid/loss"].steps) == [0, 200, 400]
    assert {"valid/confusion", "valid/roc", "model/network"} <= {tag.removesuffix("/examples") for tag in history.samples}
    assert run.recipe().config["hidden"] == [6]
    listed = json.loads(dlwb("runs", "--json").stdout)
    assert [(one["id"], one["state"]["state"]) for one in listed] == [(run.id, "stopped")]


def test_its_page_exports(run: Run) -> None:
    page = "".join(to_html(run))
    assert "Tumours, benign or malignant" in page and "0.979" in page and page.count("<svg") >= 2


def test_its_best_weights_answer(run: Run) -> None:
    command = [sys.executable, "-m", "workbench.training.answer", str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout

        def asks(**question: Any) -> dict[str, Any]:
            process.stdin.write(json.dumps(question) + "\n" if question else "")
            process.stdin.flush()
            return next(reply for line in process.stdout if "doing" not in (reply := json.loads(line)))

        ready = asks()
        assert (ready["step"], ready["takes"], len(ready["form"]["fields"])) == (400, "row", 30)
        asks(id=1, predict={"row": {}})
        assert asks(id=2, reload=True)["step"] == 400
        row = {field["name"]: field["value"] for field in ready["form"]["fields"]}
        answer = asks(predict={"row": row})
        process.stdin.close()
        assert process.wait(60) == 0
    assert math.isclose(sum(answer["outputs"]["probabilities"].values()), 1, rel_tol=1e-5)


def test_it_resumes_to_where_it_would_have_come(run: Run) -> None:
    start.launch(run, anyway=True)  # the lesson's own file may have changed since
    state = ended(run)
    assert (state.state, state.cause, state.attempt) == ("finished", "steps", 2), state
    history = folded(run)
    assert [status.from_step for status in history.statuses if status.state == "running"] == [-1, 401]
    assert list(history.series["train/loss"].steps) == [*range(20, 901, 20)]
    for tag, value in UNINTERRUPTED.items():  # bit for bit where torch and the processor are the same; another torch may round otherwise
        assert math.isclose(history.last(tag) or 0, value, rel_tol=1e-3), (tag, history.last(tag), value)
    newest = Checkpoints(run.path / "checkpoints").newest(lambda data: TorchResumable.decode_state(None, data))  # type: ignore[arg-type]
    assert newest and newest[0].step == newest[1]["step"] == 900 and newest[1]["version"] == 1
