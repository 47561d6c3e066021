"""What lies beside a model in its folder: the card for people, MLflow's and pip's files for programs, the recipe without paths."""

import importlib.metadata
import json
import platform
from typing import Any

import msgspec
import numpy as np
import yaml

from workbench import __version__
from workbench.datasets.store import catalog
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import BagOfWords, RowOfNumbers, Tensor, TextCodes
from workbench.encoding.serving import Serving
from workbench.problems import clean, one_line
from workbench.recipes.recipe import Recipe, dump_recipe
from workbench.runs import bars
from workbench.runs.summary import Summary
from workbench.training.project import Project

NEEDS = {"onnx": ("onnxruntime", "numpy"), "xgboost": ("xgboost", "numpy")}
"""Packages that a program elsewhere needs to ask a model of this kind."""
MAKES = {"onnx": ("torch", "onnx", "onnxscript", "onnxruntime", "numpy"), "xgboost": ("xgboost", "numpy"), "project": ("numpy",)}


def versions(kind: str) -> dict[str, str]:
    """The libraries that made the model, and Python."""
    return {"dlwb": __version__, "python": platform.python_version(), **{name: _version(name) for name in MAKES[kind]}}


def _version(name: str) -> str:
    # xgboost-cpu is the same module under another name.
    for package in (name, f"{name}-cpu"):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def figures(recipe: Recipe, summary: Summary) -> dict[str, float]:
    """The run's figures on "valid" and "test", of the weights that are exported."""
    measured = {metric: bars.figure(recipe, summary, metric) for metric in summary.last if metric.split("/")[0] in ("valid", "test")}
    return {metric: value for metric, value in sorted(measured.items()) if value is not None and np.isfinite(value)}


def recipe_yaml(recipe: Recipe) -> bytes:
    """The recipe, with files of a person's own by their names alone."""
    config = {key: _named(value) for key, value in recipe.config.items()}
    return dump_recipe(msgspec.structs.replace(recipe, config=config)).encode()


def _named(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("/"):
        return f"./{value.rstrip('/').rpartition('/')[2]}"
    return [_named(item) for item in value] if isinstance(value, list) else value


def card(name: str, recipe: Recipe, project: Project, serving: Serving, summary: Summary, example: Any, answer: Any) -> bytes:
    """MODEL_CARD.md: what it is, the data and its licence, the figures and bars, stand-ins, how it is asked."""
    lines = [f"# {name}", "", _text(recipe.title), "", _text(recipe.about), "", "## Data", ""]
    lines += _data(recipe, project)
    if project.variant:
        lines += ["", f"It was trained on stand-in data, {_text(project.variant)}: its figures are not those of the original data."]
    if project.demo:
        lines += ["", f"It is a demonstration ({_text(project.demo)}), and its answers mean nothing."]
    if serving.licence:
        lines += ["", _text(serving.licence)]
    lines += ["", "## Figures", "", "| metric | value |", "|---|---|"]
    lines += [f"| {_text(metric)} | {value:.4g} |" for metric, value in figures(recipe, summary).items()]
    if recipe.bar:
        lines += ["", "The recipe asks for:", ""]
        for judged in bars.judge(recipe, summary):
            verdict = {True: "reached", False: "missed", None: "not judged"}[judged.passed]
            lines.append(f"- {_text(judged.bar.metric)} {bars.wanted(judged.bar)}: {verdict}")
    lines += ["", "## How it is asked", "", "```json", _shown(example), _shown(answer), "```", "", _limits(serving.coding)]
    return "\n".join([*lines, ""]).encode()


def _data(recipe: Recipe, project: Project) -> list[str]:
    declared = [(entry, {}) if isinstance(entry, str) else entry for entry in type(project).datasets]
    lines = []
    for reference in catalog.uses(declared, {**project.config.model_dump(), **recipe.config}):
        about = catalog.find(*reference.partition(":")[::2])
        lines.append(f"- {_text(about.title)}. Licence: {_text(about.licence)}. Source: {_text(about.source)}")
    return lines or ["Data of its owner's own; its licence is not known."]


def _limits(coding: Coding) -> str:
    if isinstance(coding.encoder, TextCodes | BagOfWords):
        return f"It knows {len(coding.vocabulary):,} tokens; others " + (
            "are left out." if getattr(coding.encoder, "unknown", -1) < 0 else "count as one unknown token."
        )
    return "It answers any input of the right form, also one that is nothing like its training data."


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 400 else text[:400] + " …"


def _text(text: str) -> str:
    return one_line(clean(text), 2000)


def mlflow(serving: Serving, run: str, example: np.ndarray | None, output: np.ndarray | None) -> dict[str, bytes]:
    """MLmodel, requirements.txt, conda.yaml and python_env.yaml; none for a model that only its own project answers."""
    if serving.kind == "project":
        return {}
    python = platform.python_version()
    needs = [f"{name}=={_version(name).partition('+')[0]}" for name in NEEDS[serving.kind]]
    file = "model.onnx" if serving.kind == "onnx" else "model.ubj"
    environments = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    loader: dict[str, Any] = {"loader_module": f"mlflow.{serving.kind}", "data": file, "env": environments, "python_version": python}
    if serving.kind == "onnx":
        own = {"code": None, "data": file, "onnx_version": _version("onnx"), "providers": ["CPUExecutionProvider"]}
    else:
        own = {"code": None, "data": file, "model_class": "xgboost.core.Booster", "model_format": "ubj", "xgb_version": _version("xgboost")}
    signature = {}
    if example is not None and output is not None:
        signature = {"inputs": _tensor(serving.coding.name, example), "outputs": _tensor("output", output), "params": None}
    model = {"flavors": {serving.kind: own, "python_function": loader}, "run_id": run, "signature": signature}
    note = ""
    if isinstance(serving.coding.encoder, TextCodes | BagOfWords):
        note = "# MLflow sees encoded arrays: vocabulary.txt and model.json say how a text becomes one.\n"
    elif not isinstance(serving.coding.encoder, Tensor | RowOfNumbers):
        note = "# MLflow sees encoded arrays: model.json says how a picture becomes one.\n"
    conda = {"name": "model", "channels": ["conda-forge"], "dependencies": [f"python={python}", "pip", {"pip": needs}]}
    return {
        "MLmodel": note.encode() + _yaml(model),
        "requirements.txt": "".join(f"{line}\n" for line in needs).encode(),
        "conda.yaml": _yaml(conda),
        "python_env.yaml": _yaml({"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}),
    }


def _tensor(name: str, array: np.ndarray) -> str:
    # A text's length may be any, as a batch's size may.
    shape = [-1, *(-1 if array.dtype == np.int64 else length for length in array.shape[1:])]
    return json.dumps([{"name": name, "type": "tensor", "tensor-spec": {"dtype": str(array.dtype), "shape": shape}}])


def _yaml(value: Any) -> bytes:
    return yaml.safe_dump(value, sort_keys=False).encode()
