"""`dlwb export RUN --to sbatch|skypilot|dstack`: a folder that trains a run's recipe elsewhere: the recipe and the file that starts it.

The file names no path of this machine. Nothing is sent and nothing is run here.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec

from workbench import __version__, files
from workbench.launch import submit
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe, dump_recipe
from workbench.runs.export.portable import Places, portable_config
from workbench.runs.run import Run
from workbench.runs.summary import summary_of

FORMS = {"sbatch": "job.sh", "skypilot": "task.yaml", "dstack": ".dstack.yml"}
"""The file of each form. dstack takes files of this ending alone."""
GPUS = ("H200", "H100", "B200", "A100-80GB", "A100", "L40S", "L40", "L4", "A10G", "A10", "A40", "T4", "V100", "RTX4090", "RTX3090")
"""SkyPilot's names of accelerators, of two that begin alike the longer one first."""
COMMON = "L4"
"""The GPU that is written where the run's own has no name there."""


def to_folder(run: Run, form: str, out: Path | None = None) -> str:
    """Write the folder; returns what to tell the person: where it is, what to type, and what to look at first."""
    folder = out or Path(f"{run.id}-{form}")
    if os.path.lexists(folder):
        raise Problem(f"{one_line(str(folder), 200)} is there already.", "Remove it, or name another with -o.")
    recipe, places = run.recipe(), Places(run)
    stem = re.sub(r"[^A-Za-z0-9_-]", "-", run.stem).strip("-_") or "recipe"
    own = recipe.project.endswith(".py")
    gpus = recipe.compute.processes if recipe.compute.device.startswith("cuda") else 0
    compute = msgspec.structs.replace(recipe.compute, device="cuda" if gpus else "cpu")
    recipe = msgspec.structs.replace(recipe, config=portable_config(recipe.config, places), compute=compute)
    remarks = []
    if form == "sbatch":
        text, start = _sbatch(recipe, stem, gpus, own), f"cd {folder} && sbatch job.sh"
    elif form == "skypilot":
        text, gpu = _skypilot(recipe, stem, gpus, own, summary_of(run).device)
        start = f"cd {folder} && sky launch task.yaml"
        remarks += [f"The GPU {COMMON} is a guess: name the one you want in task.yaml."] * (gpu == "guess")
    else:
        text, start = _dstack(recipe, stem, gpus, own), f"cd {folder} && dstack apply -f .dstack.yml"
    if form != "sbatch":
        remarks.append(f"{FORMS[form]} was not run here. $DLWB_PACKAGE in it says where dlwb is installed from.")
    if recipe.compute.nodes > 1:
        remarks.append("More than one node has not been tried.")
    if places.own:
        remarks.append(f"Put your own data beside the recipe: {', '.join(places.own)}.")
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        (part / f"{stem}.yaml").write_text(dump_recipe(recipe))
        if own:
            (part / "project.py").write_bytes(files.read_plain(run.project_copy))
        (part / FORMS[form]).write_text(text)
        part.rename(folder)
    except OSError as error:
        raise files.problem(one_line(str(folder), 200), "written", error, folder) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return "\n".join([str(folder), start, *remarks])


def _sbatch(recipe: Recipe, stem: str, gpus: int, own: bool) -> str:
    listed = submit.options(stem, recipe, gpus, submit.Request())
    trust = ['"$PYTHON" -P -m workbench.cli trust project.py || exit 1'] if own else []
    lines = [
        "# Trains the recipe beside it; submit it in its folder. Before the time limit the run saves, and the job is queued again.",
        *submit.directives(listed),
        "#SBATCH --time=24:00:00",
        "",
        "# A Python with dlwb, and a folder for the runs that the nodes see.",
        'PYTHON="${PYTHON:-python3}"',
        'export DLWB_HOME="${DLWB_HOME:-$PWD/home}"',
        *trust,
        f'exec "$PYTHON" -P -m workbench.launch.slurm_job --recipe {stem}.yaml',
    ]
    return "\n".join(["#!/bin/sh", *lines, ""])


def _train(stem: str, own: bool) -> list[str]:
    """Shell lines that train the recipe, or go on with it where a machine was taken away and the home is still there."""
    return [
        *(["dlwb trust project.py"] if own else []),
        f'if [ -d "$DLWB_HOME/runs" ]; then dlwb resume {stem} --follow; else dlwb run {stem}.yaml --follow; fi',
    ]


def _skypilot(recipe: Recipe, stem: str, gpus: int, own: bool, device: str) -> tuple[str, str]:
    """A task, by SkyPilot's reference (docs.skypilot.co/en/latest/reference/yaml-spec.html); and "guess" where its GPU has no name."""
    flat = re.sub(r"[^A-Za-z0-9]", "", device).upper()
    known = next((name for name in GPUS if name.replace("-", "").upper() in flat), "") if gpus else ""
    nodes = recipe.compute.nodes
    resources: dict[str, Any] = {"cpus": f"{_cores(recipe, gpus)}+"}
    if gpus:
        resources["accelerators"] = f"{known or COMMON}:{gpus}"
    task = {
        "name": stem.lower().replace("_", "-"),
        "workdir": ".",
        **({"num_nodes": nodes} if nodes > 1 else {}),
        "resources": resources,
        "envs": {"DLWB_PACKAGE": f"dlwb=={__version__}"},
        "setup": 'pip install "$DLWB_PACKAGE"\n',
        "run": "\n".join(['export DLWB_HOME="${DLWB_HOME:-$HOME/dlwb}"', *_train(stem, own), ""]),
    }
    return _yaml("sky launch task.yaml", task), "guess" if gpus and not known else ""


def _dstack(recipe: Recipe, stem: str, gpus: int, own: bool) -> str:
    """A task, by dstack's reference (dstack.ai/docs/reference/dstack.yml/task); its `setup` has no effect since 0.18.31."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    nodes = recipe.compute.nodes
    task = {
        "type": "task",
        "name": re.sub(r"[^a-z0-9-]", "-", f"dlwb-{stem}".lower())[:40].rstrip("-"),
        **({"nodes": nodes} if nodes > 1 else {}),
        "python": python if python in ("3.11", "3.12", "3.13") else "3.12",
        "env": [f"DLWB_PACKAGE=dlwb=={__version__}", "DLWB_HOME=/workflow/home"],
        "files": [".:job"],
        "commands": ['pip install "$DLWB_PACKAGE"', "cd job", *_train(stem, own)],
        "resources": {"cpu": f"{_cores(recipe, gpus)}..", **({"gpu": gpus} if gpus else {})},
    }
    return _yaml("dstack apply -f .dstack.yml", task)


def _cores(recipe: Recipe, gpus: int) -> int:
    return max(1, recipe.compute.threads) * recipe.compute.processes


def _yaml(command: str, value: dict[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Of its own, so that how it writes text changes for nobody else."""

    def text(dumper: Any, words: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", words, style="|" if "\n" in words else None)

    Dumper.add_representer(str, text)
    body = yaml.dump(value, Dumper=Dumper, sort_keys=False, width=1000, allow_unicode=True)
    return f"# Written by `dlwb export`, not run there. In this folder: {command}\n{body}"
