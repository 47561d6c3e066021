"""A result is carried over to changed code only after a real replay that is equal bit for bit."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from lines import LINE, ended, write

from workbench.launch import carry, start
from workbench.problems import Problem
from workbench.recipes import trust
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.runs import measured as results
from workbench.runs.checkpoint_values import values
from workbench.runs.measured import Carried
from workbench.runs.run import Run, list_runs
from workbench.training.numpy_state import encode_npz

pytestmark = pytest.mark.usefixtures("nothing_is_left")

TRAIN = "{epochs: 5, batch_size: 10, log_every: 7, keep_best: valid/loss}"


@pytest.fixture
def measured(home: Path, tmp_path: Path) -> tuple[Run, Path]:
    """A finished run of the recipe `line`, and results with it and another seed."""
    write(home / "recipes", train=TRAIN)
    run = start.start("line")
    assert ended(run).state == "finished"
    path = tmp_path / "results.json"
    results.collect([run.id], path=path)
    first = results.read(path)[0]
    results.write([first, msgspec.structs.replace(first, seed=7, run="another")], path)
    return run, path


def rewritten(home: Path, before: str, after: str) -> str:
    """The project changed and trusted; returns the hash of the new code."""
    assert before in LINE
    write(home / "recipes", train=TRAIN, source=LINE.replace(before, after))
    return results.code_of(load_recipe(find_recipe("line")))


def test_results_are_carried_over_where_every_bit_is_the_same(measured: tuple[Run, Path], home: Path) -> None:
    run, path = measured
    assert b"carried" not in path.read_bytes()
    before = str(run.about()["code"])
    rewritten(home, "2 * x + 1 +", "x * 2 + 1.0 +")
    tells = "rng = np.random.default_rng(0)\n        __import__('workbench.preparation').preparation.found('points', '7', '7')"
    after = rewritten(home, "rng = np.random.default_rng(0)", tells)
    loaded = load_recipe(find_recipe("line"))
    assert after != before and results.stale(results.read(path), loaded) == "stale: code changed"
    files = sorted(each for each in run.path.rglob("*"))
    said = list(carry.carry([str(run.path)], path))
    assert said == [f"line: 2 results carried over from code {before} to {after}; 100 steps are equal bit for bit."]
    found = results.read(path)
    assert [each.code for each in found] == [after] * 2 and not results.stale(found, loaded)
    assert [each.carried for each in found] == [[Carried(before=before, after=after, steps=100, run=run.id)]] * 2
    assert json.loads(path.read_bytes())[0]["carried"] == [{"from": before, "to": after, "steps": 100, "run": run.id}]
    assert sorted(each for each in run.path.rglob("*")) == files and list_runs() == [run], "a replay leaves nothing"
    with pytest.raises(Problem, match="No result of line was measured with the code"):
        list(carry.carry([run.id], path))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("(0.05, gt=0)", "(0.05000000000000001, gt=0)", "at step 7 train/loss"),
        ("np.random.normal(size=7)", "request.at = 3", "failed"),
        ('f"y({request.at}) =', 'f"y({request.at}) is', r"at step 0 sample/line \(sample\)"),
        ("self.shape = (2,)", "self.shape = (3,)", "in its last checkpoint, of step 100, state.shape.0"),
    ],
)
def test_what_trains_otherwise_is_refused(measured: tuple[Run, Path], home: Path, before: str, after: str, said: str) -> None:
    run, path = measured
    kept = path.read_bytes()
    rewritten(home, before, after)
    if before.startswith("(0.05"):  # what the run's recipe says does not follow the project's default
        rewritten(home, "error.mean()])", "error.mean()]) * 1.0000001")
    with pytest.raises(Problem, match=said):
        list(carry.carry([run.id], path))
    assert path.read_bytes() == kept


def test_a_run_of_version_0_1_has_the_hash_of_its_project(measured: tuple[Run, Path], home: Path) -> None:
    run, path = measured
    about = {key: value for key, value in run.about().items() if key not in ("code", "files")}
    (run.path / "run.json").write_text(json.dumps(about))
    old = trust.sha256(run.project_copy)[:16]
    results.write([msgspec.structs.replace(each, code=old) for each in results.read(path)], path)
    away = home.parent / "elsewhere" / run.id
    shutil.move(run.path, away)
    assert "carried over" in next(carry.carry([str(away)], path))
    assert {each.carried[0].before for each in results.read(path)} == {old}


def test_a_run_that_cannot_be_compared_is_refused(measured: tuple[Run, Path], home: Path) -> None:
    run, path = measured
    with pytest.raises(Problem, match="trained by the present code"):
        list(carry.carry([run.id], path))
    rewritten(home, "2 * x + 1 +", "x * 2 + 1.0 +")
    text = (run.path / "recipe.yaml").read_text()
    (run.path / "recipe.yaml").write_text(text.replace("batch_size: 10", "batch_size: 11"))
    with pytest.raises(Problem, match=r"train\.batch_size differ"):
        list(carry.carry([run.id], path))
    write(home / "recipes", train=TRAIN.replace("log_every: 7", "log_every: 0"))
    by_clock = start.start("line")
    assert ended(by_clock).state == "finished"
    loaded = load_recipe(find_recipe("line"))
    with pytest.raises(Problem, match="chose by the clock") as caught:
        carry._refuse_other_settings(by_clock, loaded)
    assert "--set train.log_every=" in caught.value.hint


def test_checkpoints_are_compared_value_by_value() -> None:
    import numpy as np
    import torch

    tree = {"step": 3, "state": {"weights": np.arange(4.0), "names": ["a", None], 1: float("nan")}}
    first = values(encode_npz(tree))
    assert first == values(encode_npz(tree)) and first["step"] == "3" and {"state.names.0", "state.1"} <= set(first)
    tree["state"]["weights"][2] = np.nextafter(2.0, 3.0)  # type: ignore[index]
    second = values(encode_npz(tree))
    assert [place for place in first if first[place] != second[place]] == ["state.weights"]

    def saved(weight: float) -> dict[str, str]:
        import io

        network = torch.nn.Linear(2, 1)
        torch.nn.init.constant_(network.weight, 0.5)
        torch.nn.init.zeros_(network.bias)
        with torch.no_grad():
            network.weight[0, 1] = weight
        optimizer = torch.optim.Adam(network.parameters())
        network(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        out = io.BytesIO()
        torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "array": np.ones(2), "half": torch.float16}, out)
        return values(out.getvalue())

    assert saved(0.5) == saved(0.5)
    one, other = saved(0.5), saved(0.5000001)
    different = {".".join(place.split(".")[:2]) for place in one if one[place] != other[place]}
    assert different == {"network.weight"}
