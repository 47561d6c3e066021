"""Exports a run as a model, in a process of its own: the network is built and asked there, never here."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench import files, paths
from workbench.encoding import model_folder, model_store
from workbench.encoding.model_folder import ModelFolder
from workbench.launch.surroundings import worker_environment
from workbench.problems import Problem
from workbench.runs import own
from workbench.runs.run import Run

FILES = {"onnx": ("model.onnx", "model.ubj"), "safetensors": ("weights.safetensors",)}
"""What `export --to` writes of a model, the first that there is."""


def export(run: Run, to: str, out: Path | None, name: str, doing: Callable[[str], None]) -> str:
    """Export a run: `model` into the store, or as a .tar.gz or a folder at `out`; `onnx` and `safetensors` as a file. Says where."""
    if to == "model" and out is None:
        folder, compared = into_store(run, name, doing)
        return f"{folder.label}, {compared}"
    if out is not None and out.exists():
        raise Problem(f"{out} is there already.", "Name another file with --out.")
    with tempfile.TemporaryDirectory(prefix="dlwb-") as scratch:
        folder, compared = _sealed(run, Path(scratch) / (name or run.stem) / "1", doing)
        if to == "model":
            assert out is not None
            _copied(folder, out)
        else:
            out = _file(folder, to, out)
    kept = ", in XGBoost's own form, which is that of boosted trees" if to == "onnx" and out.suffix != ".onnx" else ""
    return f"{out}{kept}, {compared}"


def into_store(run: Run, name: str, doing: Callable[[str], None]) -> tuple[ModelFolder, str]:
    """Seal a run as the next version of a model, called as its recipe where it has no name; and what was compared, in words."""
    return _sealed(run, model_store.next_place(name or run.stem), doing)


def _sealed(run: Run, target: Path, doing: Callable[[str], None]) -> tuple[ModelFolder, str]:
    recipe = run.recipe()
    if reason := own.refusal(recipe, "serve"):
        raise Problem(reason)
    target.parent.mkdir(parents=True, exist_ok=True)
    environment = worker_environment(dict(os.environ), recipe.compute.threads or 1)
    words = [sys.executable, "-P", "-m", "workbench.torchkit.export", str(run.path), str(target)]
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=printed, text=True, cwd=paths.working_folder()
        )
        assert process.stdout is not None
        last: dict[str, Any] = {}
        try:
            for line in process.stdout:
                last = json.loads(line)
                if "doing" in last:
                    doing(str(last["doing"]))
        finally:
            if process.poll() is None and "ok" not in last:
                process.kill()
            process.wait()
        if last.get("ok"):
            return model_folder.read(target), _compared(last)
        if "message" in last:
            raise Problem(str(last["message"]), str(last.get("hint", "")))
        printed.seek(0, os.SEEK_END)
        printed.seek(max(0, printed.tell() - 2000))
        tail = printed.read().decode(errors="replace").strip().rpartition("\n")[2]
        raise Problem(f"The exporting process ended with {process.returncode}: {tail}")


def _compared(result: dict[str, Any]) -> str:
    lengths = f", lengths {', '.join(map(str, result['lengths']))}" if result["lengths"] else ""
    return f"compared on {result['inputs']} test inputs{lengths}: largest difference {result['difference']:.1g}"


def _copied(folder: ModelFolder, out: Path) -> None:
    if out.name.endswith((".tar.gz", ".tgz")):
        model_folder.pack(folder, out)
    else:
        import shutil

        shutil.copytree(folder.path, out)


def _file(folder: ModelFolder, to: str, out: Path | None) -> Path:
    there = [file for file in FILES[to] if file in folder.model.files]
    if not there:
        raise Problem(f"A model of kind {folder.model.kind} has no {FILES[to][0]}.", "Take --to model.")
    out = out or Path(f"{folder.model.name}{Path(there[0]).suffix}")
    if out.exists():
        raise Problem(f"{out} is there already.", "Name another file with --out.")
    files.write(out, (folder.path / there[0]).read_bytes())
    return out
