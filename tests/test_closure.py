"""What changes the hash of a recipe's code and what does not, on copies of the package that are edited, moved and rewritten."""

import ast
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lines import LINE, created

from workbench import paths
from workbench.launch import start
from workbench.problems import Problem
from workbench.recipes import closure
from workbench.recipes.find import project_source
from workbench.runs.run import Run

PACKAGE = paths.projects().parent


def copied(folder: Path) -> Path:
    target = folder / "workbench"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__", "_shipped", "tui", "doctor"))
    return target


def projects(package: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted((package / "projects").rglob("*.py")) if path.stem != "__init__"}


def hashes(package: Path) -> dict[str, str]:
    return {name: closure.closure_hash(path, package) for name, path in projects(package).items()}


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def using(file: str) -> set[str]:
    """Projects that reach a file by imports, found by words alone: every dotted name after `from` or `import`, as far as they lead."""
    modules = {".".join(("workbench", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in PACKAGE.rglob("*.py")}

    def imported(path: Path) -> set[str]:
        found = re.findall(r"^\s*from (workbench[\w.]*) import (\([^)]*\)|[\w, ]+)", path.read_text(), re.MULTILINE)
        names = {f"{module}.{name}" for module, several in found for name in re.findall(r"\w+", several)}
        return {name for name in {*names, *(module for module, _ in found)} if name in modules}

    reached = set()
    for name, path in projects(PACKAGE).items():
        seen: set[str] = set()
        waiting = imported(path)
        while waiting:
            module = waiting.pop()
            seen.add(module)
            waiting |= imported(modules[module]) - seen
        if file in seen:
            reached.add(name)
    return reached


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("torchkit/metrics.py", "def auc(", "SHARPER = 1\n\n\ndef auc("),
        ("torchkit/language.py", "def likeliest(", "SHARPER = 1\n\n\ndef likeliest("),
        ("torchkit/pretrained.py", "def frozen(", "SHARPER = 1\n\n\ndef frozen("),
        ("datasets/mnist.py", "def read(", "SHARPER = 1\n\n\ndef read("),
    ],
)
def test_a_change_in_a_kit_reaches_exactly_who_uses_it(tmp_path: Path, file: str, before: str, after: str) -> None:
    package = copied(tmp_path)
    now = hashes(package)
    assert now == hashes(PACKAGE)
    edit(package / file, before, after)
    new = hashes(package)
    users = using("workbench." + file.removesuffix(".py").replace("/", "."))
    assert 0 < len(users) < len(now)
    assert {name for name in now if now[name] != new[name]} == users


def test_the_loop_and_what_trains_reach_all_and_what_only_serves_nobody(tmp_path: Path) -> None:
    package = copied(tmp_path)
    before = hashes(package)
    light = ("problems", "paths", "events", "formatting", "runs/history", "runs/log", "runs/checkpoint", "launch/start")
    for name in (*light, "training/worker", "datasets/store/fetch", "datasets/store/catalog"):
        path = package / f"{name}.py"
        path.write_text(path.read_text() + "\nSHARPER = 1\n")
    assert hashes(package) == before
    for name in ("training/loop", "training/metric_window", "training/batches"):
        path = package / f"{name}.py"
        path.write_text(path.read_text() + "\nSHARPER = 1\n")
        after = hashes(package)
        assert all(before[project] != after[project] for project in before)
        before = after


def test_comments_docstrings_and_how_a_file_is_formatted_change_nothing(tmp_path: Path) -> None:
    package = copied(tmp_path)
    before = hashes(package)
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                node.value.value = "Said otherwise."
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in imports:
            if node.names[0].asname is None:
                node.names.reverse()
        tree.body = [node for node in tree.body if node not in imports]
        place = 1 if tree.body and isinstance(tree.body[0], ast.Expr) else 0
        tree.body[place:place] = reversed(imports)
        # What unparse writes has no comment and another layout everywhere.
        path.write_text(f"# Said otherwise.\n{ast.unparse(tree)}\n\n\n'''A bare string.'''\n")
    assert hashes(package) == before


def test_how_a_model_is_asked_changes_nothing_unless_training_asks_it(tmp_path: Path) -> None:
    package = copied(tmp_path)
    path = package / "projects" / "convolutional_networks" / "image_classifier.py"
    before = closure.closure_hash(path, package)
    edit(path, "return answered(", "print(letters.__name__, wave.__name__)\n        return answered(")
    # A module that only `predict` uses is no part of what trains, nor is a package.
    imports = "import wave\nfrom workbench.datasets.letters import read as letters\n"
    edit(path, "from collections.abc import Iterator\n", f"from collections.abc import Iterator\n{imports}")
    assert closure.closure_hash(path, package) == before
    edit(path, "self.optimizer.zero_grad()", "self.optimizer.zero_grad(), self.predict")
    asked = closure.closure_hash(path, package)
    edit(path, "letters.__name__", "letters.__doc__")
    assert before != asked != closure.closure_hash(path, package)


MOVES = {
    "training.project": "training.lesson",
    "training.metric_window": "training.averages",
    "training.batches": "training.parts.batches",
    "runs.history": "runs.folded",
    "torchkit.metrics": "torchkit.measured",
    "torchkit.backbone": "torchkit.trunk",
    "datasets.store.fetch": "datasets.store.bring",
    "datasets.text": "datasets.corpus",
    "projects.recurrent_networks.sentiment_gru": "projects.part.sentiment_gru",
    "projects.recurrent_networks.char_rnn": "projects.part.char_rnn",
    "projects.neural_networks.bike_sharing": "projects.part.bike_sharing",
}


def moved(package: Path) -> None:
    """Move modules, and rewrite every import of them; one that was imported as a module keeps its local name by `as`."""
    for path in package.rglob("*.py"):
        text = path.read_text()
        for old, new in MOVES.items():
            parent, _, name = f"workbench.{old}".rpartition(".")
            onto, _, called = f"workbench.{new}".rpartition(".")
            text = re.sub(rf"\b{re.escape(f'workbench.{old}')} import", f"workbench.{new} import", text)
            whole = re.compile(rf"^(\s*)from {re.escape(parent)} import (.*)$", re.MULTILINE)
            for line in whole.findall(text):
                names = line[1].split(", ")
                if name in names:
                    names.remove(name)
                    rest = f"\n{line[0].strip(chr(10))}from {parent} import {', '.join(names)}" if names else ""
                    alias = f" as {name}" if called != name else ""
                    text = text.replace(f"from {parent} import {line[1]}\n", f"from {onto} import {called}{alias}{rest}\n")
        path.write_text(text)
    for old, new in MOVES.items():
        target = package.joinpath(*new.split(".")).with_suffix(".py")
        source = package.joinpath(*old.split(".")).with_suffix(".py")
        beside = source.with_suffix(".moving")
        source.rename(beside)
        target.parent.mkdir(exist_ok=True)
        beside.rename(target)


def test_moved_and_renamed_modules_keep_the_hash(tmp_path: Path) -> None:
    package = copied(tmp_path)
    before = hashes(package)
    files = closure.closure(package / "projects/recurrent_networks/sentiment_gru.py", package).files
    moved(package)
    assert not (package / "training/project.py").exists()
    assert hashes(package) == before
    now = closure.closure(package / "projects/part/sentiment_gru.py", package).files
    assert "torchkit/measured.py" in now and "torchkit/metrics.py" not in now
    assert closure.changed(files, now) == []


def test_a_door_and_an_alias_are_what_they_lead_to(tmp_path: Path) -> None:
    package = copied(tmp_path)
    own = tmp_path / "mine.py"
    texts = [
        "from workbench.torchkit.metrics import auc\nx = auc",
        "from workbench.torchkit.metrics import auc as area\nx = area",
        "from workbench.torchkit import metrics\nx = metrics.auc",
        "import workbench.torchkit.metrics as kit\nx = kit.auc",
        "import workbench.torchkit.metrics\nx = workbench.torchkit.metrics.auc",
        "from workbench.door import auc\nx = auc",
        "from workbench.door import *\nx = auc",
    ]
    (package / "door.py").write_text('"""A door."""\nfrom workbench.torchkit.metrics import auc as auc\n__all__ = ["auc"]\n')
    found = []
    for text in texts[:6]:
        own.write_text(text)
        found.append(closure.closure_hash(own, package))
    assert len(set(found)) == 1
    own.write_text("from workbench.torchkit.metrics import roc_curve\nx = roc_curve")
    assert closure.closure_hash(own, package) not in found
    own.write_text(texts[0])
    edit(package / "torchkit/metrics.py", "def auc(", "SHARPER = 1\n\n\ndef auc(")
    assert closure.closure_hash(own, package) not in found


def test_a_lazy_door_leads_to_what_it_gives(tmp_path: Path) -> None:
    package = copied(tmp_path)
    own = tmp_path / "mine.py"
    own.write_text("from workbench.torchkit import TorchProject\nx = TorchProject")
    through = closure.closure(own, package)
    assert "torchkit/project.py" in through.files
    own.write_text("from workbench.torchkit.project import TorchProject\nx = TorchProject")
    assert closure.closure_hash(own, package) == through.hash


def test_no_file_is_too_odd(tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    found = set()
    for data in (
        b"def",
        b"\0",
        b"x = " + b"(" * 3000,
        b"x = 1",
        b"",
        b"# coding: nonsense\nx = 1",
        b"from . import y\nfrom .. import *\ny",
    ):
        own.write_bytes(data)
        found.add(closure.closure_hash(own))
    assert len(found) == 7
    own.unlink()
    with pytest.raises(Problem, match="cannot be read"):
        closure.closure_hash(own)


def test_all_projects_are_hashed_in_a_moment() -> None:
    code = (
        "import time; from workbench import paths; from workbench.recipes import closure; start = time.process_time();"
        "[closure.closure(path) for path in paths.projects().rglob('*.py')]; print(time.process_time() - start);"
        "start = time.process_time();"
        "[closure.closure(path) for path in paths.projects().rglob('*.py')]; print(time.process_time() - start)"
    )
    times = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() for _ in range(3)]
    # 0.6 s of an idle core and 0.03; other work beside it costs its caches.
    assert min(float(first) for first, _ in times) < 3
    assert min(float(again) for _, again in times) < 0.3


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text("x = 1")
    before = closure.closure_hash(own)
    own.write_text("x = 2")
    os.utime(own, ns=(time.time_ns(), time.time_ns() + 1000))
    assert closure.closure_hash(own) != before


def test_resume_names_the_files_that_changed(tmp_path: Path, home: Path) -> None:
    """In a copy of the package, whose kit is edited after the run."""
    package = copied(tmp_path)
    for name in ("recipes", "data"):
        (tmp_path / name).symlink_to(paths.shipped(name))

    def said(code: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, env=environment, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    make = (
        "from workbench.launch.start import create; from workbench.recipes.load import load_recipe;"
        "from workbench.recipes.find import find_recipe;"
        "print(create(load_recipe(find_recipe('{0}'), describe=False), 'cpu').path)"
    )
    made = {name: said(make.format(name)) for name in ("tumour-mlp", "digits-mlp")}
    ask = "from workbench.runs.run import Run; from pathlib import Path; print(Run(Path({0!r})).changed_code())"
    assert {said(ask.format(path)) for path in made.values()} == {"[]"}
    edit(package / "datasets/table.py", "def read(", "SHARPER = 1\n\n\ndef read(")
    assert said(ask.format(made["tumour-mlp"])) == "['datasets/table.py']"
    assert said(ask.format(made["digits-mlp"])) == "[]"
    (package / "datasets/table.py").rename(package / "datasets/rows.py")
    edit(
        package / "projects/neural_networks/table_classifier.py",
        "workbench.datasets import table",
        "workbench.datasets import rows as table",
    )
    assert said(ask.format(made["tumour-mlp"])) == "['datasets/rows.py']"


def test_a_run_that_noted_no_code_is_asked_by_its_project_alone(tmp_path: Path) -> None:
    run = created(tmp_path, source=LINE)
    assert run.changed_code() == []
    shipped = "bike_sharing"
    (run.path / "recipe.yaml").write_text((run.path / "recipe.yaml").read_text().replace("./project.py", shipped))
    (run.path / "run.json").write_text("{}")
    source = project_source(shipped).read_text()
    run.project_copy.write_text(f"# as it was\n{source}")
    assert run.changed_code() == []
    run.project_copy.write_text(f"{source}\nx = 1\n")
    assert run.changed_code() == ["projects/bike_sharing.py"]


def test_resuming_anyway_notes_the_new_code(tmp_path: Path) -> None:
    run = created(tmp_path)
    about = run.about()
    assert about["code"] == closure.closure_hash(run.project_copy) and "training/loop.py" in about["files"]
    (run.path / "run.json").write_text('{"code": "other", "files": {}, "mirror": ""}')
    assert "project.py" in run.changed_code()
    start._take_new_code(run, 1)
    assert Run(run.path).changed_code() == [] and run.about()["mirror"] == ""
