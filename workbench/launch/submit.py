"""From a recipe to a Slurm job: which options sbatch gets, the script, and its submission. `workbench.launch.slurm` talks to Slurm."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from workbench import files, paths
from workbench.launch import slurm, start
from workbench.problems import Problem, one_line
from workbench.recipes.load import Loaded
from workbench.recipes.recipe import Recipe
from workbench.runs.run import Run

GRACE = 90
"""Seconds before the time limit at which the run is asked to save and end, where nobody says."""
OURS = ("array", "chdir", "error", "input", "job-name", "open-mode", "output", "parsable", "requeue", "no-requeue", "signal", "test-only")
"""Options of sbatch that this program sets itself, or whose change would hide the job from it."""


class Request(NamedTuple):
    """What a person asks the scheduler for."""

    partition: str = ""
    time: str = ""
    gpus: int | None = None
    cpus: int = 0
    memory: str = ""
    account: str = ""
    qos: str = ""
    more: Sequence[str] = ()
    """Other options of sbatch, as NAME=VALUE or NAME."""
    grace: int = GRACE


def limit(text: str) -> str:
    """A time limit as sbatch reads it: 90m, 12h and 2d become minutes; Slurm's own forms stay. Problem for anything else."""
    if match := re.fullmatch(r"([0-9]{1,5}) ?(m|min|h|d)", text):
        return str(int(match[1]) * {"m": 1, "h": 60, "d": 1440}[match[2][0]])
    if re.fullmatch(r"[0-9]{1,6}(:[0-9]{1,2}){0,2}|[0-9]{1,3}-[0-9]{1,2}(:[0-9]{1,2}){0,2}|UNLIMITED", text):
        return text
    raise Problem(f"{one_line(text, 40)} is no time limit.", "Write 90m, 12h, 2d, or Slurm's own HH:MM:SS and D-HH:MM:SS.")


def device(loaded: Loaded, request: Request) -> tuple[str, int]:
    """cpu or cuda, and the number of GPUs of a node. Problem where the recipe and what was asked for do not fit."""
    compute, kinds = loaded.recipe.compute, loaded.schema.devices if loaded.schema else ("cpu",)
    processes = compute.processes
    wanted = request.gpus
    if wanted is None:
        wanted = processes if compute.device.startswith("cuda") or (processes > 1 and compute.device == "auto" and "cuda" in kinds) else 0
    if wanted:
        if "cuda" not in kinds:
            raise Problem(f"{loaded.stem} trains on the CPU only, but a GPU was asked for.", "Leave --gpus out.")
        if compute.device == "cpu":
            raise Problem(f"compute.device is cpu, but {wanted} GPU{'s' * (wanted > 1)} were asked for.", "Leave --gpus out.")
        if wanted > 1 and wanted != processes:
            raise Problem(
                f"{wanted} GPUs were asked for, and compute.processes is {processes}: each process trains on one.",
                f"Give --gpus {processes}, or --set compute.processes={wanted}.",
            )
    elif compute.device.startswith("cuda"):
        raise Problem(f"compute.device is {compute.device}, and no GPU was asked for.", "Give --gpus 1, or --set compute.device=cpu.")
    return ("cuda" if wanted else "cpu"), wanted


def options(stem: str, recipe: Recipe, gpus: int, request: Request) -> list[tuple[str, str]]:
    """The options of sbatch but the folder, as names and values. Problem for a value that sbatch could read as something else."""
    processes, nodes = recipe.compute.processes, recipe.compute.nodes
    chosen = [
        ("job-name", re.sub(r"[^A-Za-z0-9._-]", "-", stem)[:60] or "dlwb"),
        ("output", "slurm.log"),
        ("open-mode", "append"),
        ("requeue", ""),
        # To the script alone; of several nodes, to the processes of srun.
        ("signal", f"{'B:' if nodes == 1 else ''}TERM@{request.grace}"),
        ("nodes", str(nodes)),
        ("ntasks-per-node", "1"),
        ("cpus-per-task", str(request.cpus or max(1, recipe.compute.threads) * processes)),
        ("gpus-per-node", str(gpus) if gpus else ""),
        ("partition", request.partition),
        ("time", limit(request.time) if request.time else ""),
        ("mem", request.memory),
        ("account", request.account),
        ("qos", request.qos),
    ]
    listed = [(name, value) for name, value in chosen if value or name == "requeue"]
    for word in request.more:
        name, _, value = word.removeprefix("--").partition("=")
        if not re.fullmatch(r"[a-z][a-z-]*", name):
            raise Problem(f"{one_line(word, 60)} is no option of sbatch.", "Write NAME=VALUE: --option constraint=a100.")
        if name in OURS or name in dict(listed):
            raise Problem(f"--option {name} is set already, or is dlwb's own.", "`dlwb submit --help` lists what there is an option for.")
        listed.append((name, value))
    for name, value in listed:
        if not value.isprintable() or re.search(r"[\\\"]", value):
            raise Problem(f"The value of {name} has a character that sbatch does not take as it is: {one_line(value, 60)}.")
    return listed


def directives(listed: Sequence[tuple[str, str]]) -> list[str]:
    """The lines of a batch script that sbatch reads. Its words are quoted as sbatch itself takes them apart."""
    return [f'#SBATCH --{name}="{value}"' if value else f"#SBATCH --{name}" for name, value in listed]


def script(listed: Sequence[tuple[str, str]], folder: Path) -> str:
    """The batch script of a run: what sbatch reads, the environment, and the one process that trains."""
    mirror = paths.mirror()
    environment = {"DLWB_HOME": str(paths.home()), "DLWB_MIRROR": str(mirror or ""), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items() if value]
    command = shlex.join([sys.executable, "-P", "-m", "workbench.launch.slurm_job", str(folder)])
    nodes = dict(listed).get("nodes", "1")
    if nodes != "1":
        # Tried with two on one machine.
        exports += [
            f"export DLWB_NODES={nodes}",
            'export MASTER_ADDR="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"',
            "export MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))",
        ]
        command = f"srun --kill-on-bad-exit=1 {command}"
    return "\n".join(
        [
            "#!/bin/sh",
            "# Written by `dlwb submit`: trains the run in this folder. `dlwb resume` submits it again.",
            *directives(listed),
            "",
            *exports,
            "# In place of this shell, so that Slurm's SIGTERM reaches it.",
            f"exec {command}",
            "",
        ]
    )


def submit(loaded: Loaded, request: Request) -> Run:
    """Create the run of a recipe and submit its job. Where Slurm refuses, nothing is left of it."""
    if loaded.recipe.compare:
        raise Problem(f"{loaded.stem} compares several recipes, and a job trains one.", "Submit what it compares one by one.")
    if request.grace < 10 or request.grace > 65535:
        raise Problem(f"--grace is {request.grace}, and Slurm takes 10 to 65535 seconds.", f"{GRACE} is the default.")
    kind, gpus = device(loaded, request)
    compute = loaded.recipe.compute
    # Fixed now: 1 and 2 threads give different bits, and after a requeue another node may have more cores.
    threads = compute.threads or max(1, request.cpus // compute.processes)
    recipe = msgspec.structs.replace(loaded.recipe, compute=msgspec.structs.replace(compute, threads=threads))
    loaded = msgspec.structs.replace(loaded, recipe=recipe)
    listed = options(loaded.stem, recipe, gpus, request)
    home = str(paths.home())
    if not home.isprintable() or re.search(r"[\\\"]", home):
        raise Problem(f"Slurm cannot write into {one_line(home, 200)}: it has a character that sbatch changes.", "Set DLWB_HOME.")
    run = start.create(loaded, kind, requested=kind)
    try:
        # Before the other ones. In the name of the output Slurm replaces %j and the like.
        listed[1:2] = [("chdir", str(run.path)), ("output", str(run.path / "slurm.log").replace("%", "%%"))]
        (run.path / slurm.SCRIPT).write_text(script(listed, run.path))
        slurm.submit(run, listed, request.grace)
    except BaseException as error:
        shutil.rmtree(run.path, ignore_errors=True)
        if isinstance(error, OSError):
            raise files.problem(f"The job of {run.id}", "written", error, run.path) from error
        raise
    return run
