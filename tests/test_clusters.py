"""Exports for clusters: keys that the schedulers document, no path of this machine, and a batch script that trains what it says."""

import os
import subprocess
import sys
from pathlib import Path

import lines
import msgspec
import pytest
import yaml
from lines import created, folded, write
from made_runs import RECIPE, finish, make_run
from pretend_slurm import Programs, programs, row
from short_runs import paths_of_this_machine
from test_cli import dlwb

from workbench.launch import clusters
from workbench.problems import Problem
from workbench.recipes.load import load_recipe
from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of

__all__ = ["programs"]

# docs.skypilot.co/en/latest/reference/yaml-spec.html, as of 2026: the top level, and `resources`.
SKYPILOT = {"name", "workdir", "num_nodes", "resources", "envs", "secrets", "file_mounts", "setup", "run", "config", "service"}
SKYPILOT_RESOURCES = {
    *("infra", "accelerators", "accelerator_args", "cpus", "memory", "instance_type", "use_spot", "disk_size", "disk_tier"),
    *("network_tier", "image_id", "ports", "labels", "autostop", "any_of", "ordered", "job_recovery"),
}
# TaskConfiguration and its bases in dstack's src/dstack/_internal/core/models/configurations.py, which its reference is made from;
# `setup` is left out: it has no effect since 0.18.31.
DSTACK = {
    *("type", "name", "image", "user", "privileged", "entrypoint", "working_dir", "registry_auth", "python", "nvcc", "single_branch"),
    *("env", "shell", "resources", "priority", "volumes", "docker", "repos", "files", "ports", "commands", "nodes"),
    *("backends", "regions", "instance_types", "spot_policy", "retry", "max_duration", "max_price", "creation_policy", "idle_duration"),
}
DSTACK_RESOURCES = {"cpu", "memory", "shm_size", "gpu", "disk"}


def exported(run: Run, form: str, out: Path) -> tuple[str, str]:
    """What is told, and the file."""
    told = clusters.to_folder(run, form, out)
    return told, (out / clusters.FORMS[form]).read_text()


@pytest.mark.parametrize("form", clusters.FORMS)
def test_a_folder_names_no_path_of_this_machine_and_is_not_replaced(tmp_path: Path, form: str) -> None:
    run = created(tmp_path)
    told, text = exported(run, form, tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        assert not any(path in file.read_text() for path in paths_of_this_machine(tmp_path)), file
    assert load_recipe(tmp_path / "out" / "line.yaml", describe=False).recipe.train == run.recipe().train
    assert (tmp_path / "out" / "project.py").read_text() == lines.LINE and "trust project.py" in text
    with pytest.raises(Problem, match="is there already"):
        clusters.to_folder(run, form, tmp_path / "out")
    assert ("was not run here" in told) == (form != "sbatch")


def test_a_skypilot_task(tmp_path: Path) -> None:
    task = yaml.safe_load(exported(make_run(), "skypilot", tmp_path / "cpu")[1])
    assert set(task) <= SKYPILOT and set(task["resources"]) <= SKYPILOT_RESOURCES
    assert "accelerators" not in task["resources"] and task["workdir"] == "."
    assert task["setup"].strip() == 'pip install "$DLWB_PACKAGE"' and task["envs"]["DLWB_PACKAGE"].startswith("dlwb==")
    assert "dlwb run digits-mlp.yaml --follow" in task["run"]
    told, text = exported(on_gpu("cuda:0 NVIDIA H200", "2026-11-24_000000"), "skypilot", tmp_path / "gpu")
    assert yaml.safe_load(text)["resources"]["accelerators"] == "H200:1" and "guess" not in told
    told, text = exported(on_gpu("cuda:0 Pretend 9000", "2026-11-25_000000"), "skypilot", tmp_path / "other")
    assert yaml.safe_load(text)["resources"]["accelerators"] == "L4:1" and "guess" in told


def on_gpu(device: str, stamp: str) -> Run:
    made = msgspec.structs.replace(RECIPE, compute=msgspec.structs.replace(RECIPE.compute, device="cuda:0"))
    run = make_run(made=made, stamp=stamp)
    finish(run, 20, device=device)
    return run


def test_a_dstack_task(tmp_path: Path) -> None:
    run = on_gpu("cuda:0 NVIDIA H200", "2026-11-24_000000")
    task = yaml.safe_load(exported(run, "dstack", tmp_path / "out")[1])
    assert set(task) <= DSTACK and set(task["resources"]) <= DSTACK_RESOURCES
    assert task["type"] == "task" and task["resources"]["gpu"] == 1 and task["files"] == [".:job"]
    assert task["commands"][:2] == ['pip install "$DLWB_PACKAGE"', "cd job"]


@pytest.mark.parametrize("form", ["skypilot", "dstack"])
def test_the_commands_train_and_go_on_where_a_machine_was_taken_away(
    tmp_path: Path, form: str, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = yaml.safe_load(exported(make_run(), form, tmp_path / "out")[1])
    text = task["run"] if form == "skypilot" else "\n".join(task["commands"][2:])
    programs.says("dlwb")
    monkeypatch.setenv("DLWB_HOME", str(tmp_path / "there"))
    for _ in range(2):
        subprocess.run(["sh", "-eu", "-c", text], cwd=tmp_path / "out", check=True)
        (tmp_path / "there" / "runs").mkdir(parents=True, exist_ok=True)
    assert programs.calls("dlwb") == ["run digits-mlp.yaml --follow", "resume digits-mlp --follow"]


def test_the_batch_script_trains_once_for_each_job(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    run = load_recipe(write(tmp_path / "recipe"))
    from workbench.launch import start

    source = start.create(run, "cpu")
    done = dlwb("export", source.id, "--to", "sbatch", "-o", str(tmp_path / "out"))
    assert done.returncode == 0 and "sbatch job.sh" in done.stdout
    programs.says("squeue", out=row("77", "COMPLETED"))
    elsewhere = tmp_path / "elsewhere"
    there = {**os.environ, "PYTHON": sys.executable, "DLWB_HOME": str(elsewhere), "SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "line"}
    for _ in range(2):  # the second time it was requeued after its end
        subprocess.run(["sh", "job.sh"], cwd=tmp_path / "out", env=there, check=True)
    monkeypatch.setenv("DLWB_HOME", str(elsewhere))
    [trained] = list_runs()
    assert state_of(trained).state == "finished" and folded(trained).step == 100 and state_of(trained).attempt == 1
    assert (trained.path / "job.sh").exists()
    alone = subprocess.run(
        ["sh", "job.sh"], cwd=tmp_path / "out", env={**there, "SLURM_JOB_ID": ""}, check=False, capture_output=True, text=True
    )
    assert alone.returncode == 1 and "Submit it: `sbatch job.sh`." in alone.stderr
