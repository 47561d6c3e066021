"""A run as a bundle: trained again from the bundle alone it is the same, bit for bit, and whatever is not as it was is named."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from made_runs import RECIPE, finish, make_run
from short_runs import changed_run, copied, in_home, nudged, paths_of_this_machine, short_run
from test_cli import dlwb

from workbench.problems import Problem
from workbench.recipes.recipe import dump_recipe
from workbench.runs import metric_stream, processor
from workbench.runs.bundle import names_alone
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.export import code_needed
from workbench.runs.export.bundle import to_bundle
from workbench.runs.history import History, history_of
from workbench.runs.run import Run
from workbench.training import reproduce
from workbench.training.numpy_state import decode_npz, encode_npz

XOR_FILE = "code/workbench/projects/neural_networks/xor.py"


@pytest.fixture(scope="module")
def xor(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run in NumPy, with a change by a person in it."""
    with in_home(tmp_path_factory.mktemp("home")):
        return changed_run()


@pytest.fixture(scope="module")
def bundle(xor: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with in_home(xor.path.parent.parent):
        return to_bundle(xor, tmp_path_factory.mktemp("out") / "xor")


def expected_of(bundle: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundle / "expected.json").read_text())
    return content


def trained_again(bundle: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What `./reproduce` says, with nothing of this checkout in its environment."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "DLWB_HOME": os.environ["DLWB_HOME"], "PYTHON": sys.executable}
    return subprocess.run(
        [bundle / "reproduce", *words], env={**environment, **more}, cwd=bundle.parent, capture_output=True, text=True, timeout=300
    )


def test_a_run_in_numpy_with_changes_is_reproduced_from_its_archive_alone(xor: Run, bundle: Path, tmp_path: Path) -> None:
    with tarfile.open(f"{bundle}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    done = trained_again(tmp_path / "xor", OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    expected = expected_of(bundle)
    assert expected["metrics"] == metric_stream.digest(metric_stream.figures(history_of(xor.events)))
    count = sum(map(len, expected["stream"].values()))
    assert count > 50 and f"Reproduced, bit for bit: {count} figures and the parameters ({expected['parameters'][:12]}…)" in done.stdout
    assert [change["step"] for change in expected["changes"]] == [50, 121]
    assert "torch" not in expected["packages"] and not any("torchkit" in name for name in expected["files"])


def test_a_run_on_data_is_reproduced_from_its_bundle_alone(mirror: Path, tmp_path: Path) -> None:
    run = short_run("perceptron", "train.epochs=3")
    folder = to_bundle(run, tmp_path / "perceptron")
    assert set(expected_of(folder)["data"]) == {"gradient-descent points", "data.csv"} and not list(folder.rglob("*.csv"))
    done = trained_again(folder, DLWB_MIRROR=str(mirror))
    assert done.returncode == 0 and done.stdout.startswith("Reproduced, bit for bit: "), done.stderr


def test_it_holds_code_and_hashes_and_no_data_and_no_path(bundle: Path, xor: Run) -> None:
    files = {file.relative_to(bundle).as_posix(): file for file in bundle.rglob("*") if file.is_file()}
    plain = {"README.txt", "recipe.yaml", "expected.json", "requirements.txt", "environment.yml", "reproduce"}
    assert {name for name in files if not name.endswith(".py")} == {
        *plain,
        "code/data/catalog.yaml",
        "code/workbench/projects/schemas.json",
    }
    assert [name for name in files if "/projects/" in name and name.endswith(".py")] == [XOR_FILE]
    assert not [(name, path) for name, file in files.items() for path in paths_of_this_machine(xor.path) if path in file.read_text()]
    expected = expected_of(bundle)
    assert {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in expected["files"]} == expected["files"]
    assert set(files) - set(expected["files"]) == {"recipe.yaml", "expected.json"}
    assert expected["threads"] == 1 and expected["processor"]["flags"] and expected["code"] == xor.about()["code"]


def test_two_exports_have_the_same_bytes(xor: Run, bundle: Path, tmp_path: Path) -> None:
    again = to_bundle(xor, tmp_path / "xor")
    assert Path(f"{again}.tar.gz").read_bytes() == Path(f"{bundle}.tar.gz").read_bytes()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_the_packages_are_pinned_and_come_from_an_index(bundle: Path) -> None:
    lines = (bundle / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in lines) and f"numpy=={code_needed.pins(['numpy'])['numpy']}" in lines
    environment = yaml.safe_load((bundle / "environment.yml").read_text())
    assert list(environment) == ["name", "channels", "dependencies"] and environment["name"] == "dlwb-xor"
    python, pip, by_pip = environment["dependencies"]
    assert python == f"python={sys.version.split()[0]}" and pip == "pip" and by_pip == {"pip": lines}
    labelled = code_needed.requirements({"numpy": "2.4.6", "torch": "2.14.1+cpu", "torchvision": "0.29.1+cpu"})
    assert labelled == [
        "--extra-index-url https://download.pytorch.org/whl/cpu",
        "numpy==2.4.6",
        "torch==2.14.1+cpu",
        "torchvision==0.29.1+cpu",
    ]
    with pytest.raises(Problem, match=r"numpy 2\.4\.6\+mine is a build of this machine"):
        code_needed.requirements({"numpy": "2.4.6+mine"})


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    shutil.copytree(bundle, tmp_path / "copy")
    return tmp_path / "copy"


def test_what_has_changed_is_named_before_anything_is_trained(copy: Path, tmp_path: Path) -> None:
    change(copy / XOR_FILE, "ENOUGH = 5000", "ENOUGH = 5001")
    change(copy / "code/workbench/training/early_stopping.py", "self.stale += 1", "self.stale += 2")
    for old, new in (("threads: 1", "threads: 2"), ("hidden: 4", "hidden: 5"), ("seed: 1", "seed: 2"), ("float32", "bfloat16")):
        change(copy / "recipe.yaml", old, new)
    distribution = tmp_path / "site/numpy-1.2.3.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.2.3\n")
    done = trained_again(copy, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.splitlines() == [
        "The threads have changed: 2 here and 1 in the run.",
        "Settings have changed in recipe.yaml: config.hidden, seed, compute.precision.",
        f"The code has changed: {XOR_FILE}, code/workbench/training/early_stopping.py.",
        f"Versions differ: numpy is 1.2.3 here and {expected_of(copy)['packages']['numpy']} in the run.",
        "So it was not trained again; --anyway does that.",
    ]


def test_a_byte_that_changes_no_figure_is_named_as_such(copy: Path) -> None:
    with (copy / "code/workbench/formatting.py").open("a") as file:
        file.write("# a byte more\n")
    done = trained_again(copy)
    assert done.returncode == 1 and not done.stdout
    sentence = "Files of the bundle have changed, where no figure depends on them: code/workbench/formatting.py."
    assert done.stderr.startswith(f"{sentence}\n")


def test_another_training_is_told_apart(copy: Path) -> None:
    change(copy / XOR_FILE, "def evaluate(self, split: str)", "def evaluate(self, split: str = '')")
    change(copy / "recipe.yaml", "seed: 1", "seed: 2")
    done = trained_again(copy, "--anyway")
    assert done.returncode == 1 and done.stderr.startswith("Settings have changed in recipe.yaml: seed.\nThe code has changed: ")
    assert re.match(r"Not reproduced: valid/\S+ at step 0 is [\d.]+ here and [\d.]+ in the run \(\d+ of \d+ figures differ", done.stdout)


def test_a_damaged_or_missing_bundle_is_one_sentence(copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(copy, other)
    (copy / "expected.json").write_text("{")
    content = expected_of(other)
    content["stream"]["valid/loss/all"][0][1] = "0x1.0p-1"
    (other / "expected.json").write_text(json.dumps(content))
    for place, says in (
        (copy, "expected.json is damaged"),
        (other, "damaged: the figures are not those of their hash"),
        (tmp_path / "none", "none/expected.json cannot be read: No such file"),
    ):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "workbench.training.reproduce", str(place)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1 and says in done.stderr and done.stderr.count("\n") == 1


HERE = {"name": "P", "architecture": "x86_64", "family": "GenuineIntel 6 143", "flags": ["avx2", "fma"]}


@pytest.fixture
def compared(xor: Run, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is said of a run with these changes to its last figure of valid/loss/all, on this processor."""
    expected = reproduce.read(bundle)
    expected = msgspec.structs.replace(expected, processor=HERE)
    before = metric_stream.figures(history_of(xor.events))

    def compare(by: float, here: dict[str, Any], weights: str = expected.parameters) -> tuple[bool, str]:
        monkeypatch.setattr(processor, "described", lambda: here)
        history: History = history_of(xor.events)
        history.series["valid/loss/all"].values[-1] += by
        return reproduce.verdict(expected, before, history, weights)

    return compare


def test_on_another_family_of_processors_it_promises_five_digits(compared: Any) -> None:
    other = {**HERE, "name": "Q", "family": "AuthenticAMD 25 1"}
    fewer = {**HERE, "flags": ["avx2"]}
    assert compared(0, HERE)[0] and compared(0, other)[0]
    for there, says in (
        (other, r"P \(GenuineIntel 6 143\) there, Q \(AuthenticAMD 25 1\) here"),
        (fewer, r"not the same instructions \(fma\)"),
    ):
        good, sentence = compared(5e-6, there, "other bits")
        assert good and re.match(rf"Reproduced within 1e-05: 1 of \d+ figures differ, by up to 5\.00e-6\. .*{says}: .* promised", sentence)
        good, sentence = compared(1e-4, there, "other bits")
        assert not good and sentence.startswith("Not reproduced: valid/loss/all at step 900 is ")
    good, sentence = compared(5e-6, HERE)
    assert not good and "promised" not in sentence
    good, sentence = compared(0, HERE, "0" * 64)
    assert not good and "every figure is equal, but the parameters are 000000000000… here" in sentence
    assert not compared(float("nan"), other)[0]


def test_every_bit_of_a_figure_counts(xor: Run, tmp_path: Path) -> None:
    one, other = (metric_stream.figures(history_of(run.events)) for run in (xor, copied(xor, tmp_path, nudged)))
    assert metric_stream.digest(one) != metric_stream.digest(other)
    difference = list(metric_stream.differences(one, other))
    assert [(figure.tag, figure.step) for figure in difference] == [("valid/loss/all", 100)] and 0 < metric_stream.apart(
        difference[0]
    ) < 1e-15
    assert [str(figure) for figure in metric_stream.differences({"a/b": [(1, 0.5)]}, {})] == [
        "a/b at step 1 is nothing here and 0.5 in the run"
    ]
    nothing = float("nan")
    assert not list(metric_stream.differences({"a": [(1, nothing)]}, {"a": [(1, nothing)]}))
    assert list(metric_stream.differences({"a": [(1, 0.0)]}, {"a": [(1, -0.0)]}))


def test_every_bit_of_the_parameters_counts(tmp_path: Path) -> None:
    trees: list[dict[str, Any]] = [
        {"a": np.array([1.0, 2.0]), "b": {"step": 3}},
        {"a": np.nextafter(np.array([1.0, 2.0]), 9), "b": {"step": 3}},
        {"a": np.array([1.0, 2.0], np.float32), "b": {"step": 3}},
        {"a": np.array([[1.0, 2.0]]), "b": {"step": 3}},
        {"c": np.array([1.0, 2.0]), "b": {"step": 3}},
        {"a": np.array([1.0, 2.0]), "b": {"step": 4}},
    ]
    hashes = []
    for place, tree in enumerate([*trees, dict(reversed(trees[0].items()))]):
        folder = tmp_path / str(place)
        folder.mkdir()
        Checkpoints(folder).save(encode_npz({"state": tree}), ".npz", step=1)
        hashes.append(reproduce.parameters(folder, decode_npz))
    assert len(set(hashes[:-1])) == len(trees) and hashes[-1] == hashes[0], "the order of names does not count"
    with pytest.raises(Problem, match="no checkpoint"):
        reproduce.parameters(tmp_path / "none", decode_npz)


def test_sources_of_data_have_no_folders() -> None:
    assert names_alone({"/a/b/c.csv": "1", "fonts": "2", "/x/pictures/": "3"}) == {"c.csv": "1", "fonts": "2", "pictures": "3"}


def test_other_data_is_named(copy: Path) -> None:
    expected = expected_of(copy)
    (copy / "expected.json").write_text(json.dumps({**expected, "data": {"points.csv": "0" * 64}}))
    done = trained_again(copy)
    assert done.returncode == 1 and "The data is not what the run was trained on: points.csv." in done.stderr and not done.stdout


def test_what_cannot_be_a_bundle_is_refused_in_a_sentence(xor: Run, tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def refused(run: Run, says: str, into: Path = folder) -> None:
        with pytest.raises(Problem, match=says) as caught:
            to_bundle(run, into)
        assert caught.value.message.count(". ") == 0 and (into != folder or not folder.exists())

    run = make_run()
    refused(run, "has not finished, so there is no bundle of it")
    finish(run, 100)
    (run.path / "recipe.yaml").write_text(dump_recipe(msgspec.structs.replace(RECIPE, project="./project.py")))
    refused(run, "a person's own project file")
    on_gpu = msgspec.structs.replace(RECIPE, compute=msgspec.structs.replace(RECIPE.compute, device="cuda:0"))
    (run.path / "recipe.yaml").write_text(dump_recipe(on_gpu))
    refused(run, "was trained on cuda:0, and equal figures are promised for the CPU alone")
    refused(copied(xor, tmp_path / "a", code="0" * 16), "The code has changed since")
    refused(copied(xor, tmp_path / "b", versions={"numpy": "1.0"}), r"Versions have changed since .*: numpy is .* here and 1\.0 in the run")
    (tmp_path / "there").mkdir()
    refused(xor, "there is there already", tmp_path / "there")
    done = dlwb("export", "tensors", "--to", "bundle")
    assert done.returncode == 1 and done.stderr.startswith("tensors is a lesson to explore: nothing is trained")


def test_the_processor_is_described_by_what_decides_the_bits(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor\t: 0\nvendor_id\t: X\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Name\nflags\t\t: fpu avx2 fma avx512f ssbd\n"
    )
    described = processor.described(info)
    assert (described["name"], described["family"], described["flags"]) == ("Name", "X 6 85", ["avx2", "avx512f", "fma"])
    assert processor.described(tmp_path / "none")["flags"] == []
    assert not processor.other(described, described)
