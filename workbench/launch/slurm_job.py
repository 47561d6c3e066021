"""What runs on the node of a Slurm job: `python -m workbench.launch.slurm_job RUN`, the supervisor in the foreground.

With `--recipe FILE` it makes the run itself, once for each job: what `dlwb export --to sbatch` writes.

Slurm sends SIGTERM some seconds before the time limit. The run then saves and ends, and the job goes into the queue again.
"""

import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from workbench import files
from workbench.launch import choose_device, devices, slurm, start, submit, supervisor
from workbench.launch.surroundings import worker_environment
from workbench.problems import Problem, one_line
from workbench.recipes.load import load_recipe
from workbench.runs import commands, scheduled
from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of
from workbench.runs.summary import summary_of

EARLY = 90.0
"""Slurm looks at its jobs only now and then, and sends the signal up to a minute too soon (sbatch(1), --signal)."""


PATIENCE = 10.0
"""Seconds that the note of the submission may take to be seen on the node."""


class JobSupervisor(supervisor.Supervisor):
    """One attempt at a run on the node that Slurm has chosen."""

    def __init__(self, *arguments: Any, job: scheduled.Job) -> None:
        self.job = job
        super().__init__(*arguments)
        self.report: dict[str, Any] = {}
        self._began = summary_of(self.run).step if self.run.events.exists() else 0

    def watch(self) -> None:
        """Choose the device of this node, then do what every supervisor does."""
        try:
            self._check_code()
            self.devices = self._on_this_node()
            if self.attempt == 1:  # the machine that submitted it is another one
                about = {**self.run.about(), "processor": devices.processor()}
                files.write(self.run.path / "run.json", json.dumps(about).encode())
        except (Problem, OSError) as error:
            problem = error if isinstance(error, Problem) else files.problem(self.run.id, "started", error)
            self.write_exit({"state": "failed", "cause": problem.cause, "message": problem.message, "hint": problem.hint})
            return
        super().watch()

    def _check_code(self) -> None:
        """Problem where the code is no longer that of the submission, or of the attempts before: a job may wait for days."""
        if not self.job.anyway and (changed := self.run.changed_code()):
            raise Problem(
                f"The code of {self.run.recipe().project} has changed since {self.run.id} was submitted ({', '.join(changed[:4])}).",
                "`dlwb resume --anyway` continues with the new code.",
            )

    def _on_this_node(self) -> list[str]:
        if self.run.recipe().compute.device == "cuda":  # first time: which one is known only here
            choose_device.choose(("cuda",), "cuda")
        return choose_device.allowed(self.run)

    def _asked_to(self, verb: str) -> bool:
        # Also what was asked while the job waited, or by the side of an earlier attempt of it.
        return any(command.verb == verb for command in commands.commands(commands.part(self.run.control, self.job.offset)))

    def _on_sigterm(self, number: int, frame: Any) -> None:
        # A cancelled job gets SIGTERM first. Who killed the run wants no checkpoint.
        if self.worker is not None and self._asked_to("kill"):
            self.worker.kill()
        else:
            super()._on_sigterm(number, frame)

    def write_exit(self, report: dict[str, Any]) -> None:
        if report.get("cause") == "sigterm":
            super().write_exit(report)  # Slurm may kill this process before it has answered
            report = {**report, **self._after_sigterm()}
        self.report = report
        super().write_exit(report)

    def _after_sigterm(self) -> dict[str, Any]:
        """Who sent the signal: a person, Slurm that gives the node to another job, or Slurm because the time limit is near."""
        if self._asked_to("stop"):
            return {"cause": "person", "message": "Stopped by a person; saved."}
        number = os.environ.get("SLURM_JOB_ID", "")
        try:
            seen = slurm.queue({os.getuid()})[number][1]
        except (Problem, KeyError):
            return {"message": "Asked to end by SIGTERM; saved. Slurm did not say why.", "hint": scheduled.RESUME}
        if seen.restarts > int(os.environ.get("SLURM_RESTART_COUNT") or 0):
            return {"cause": "preempted", "message": "Slurm took its node back and queued it again; saved.", "requeued": True}
        near = seen.state == "RUNNING" and 0 < seen.end < time.time() + self.job.grace + EARLY
        # A job that is cancelled ends now, too: only the reason tells that it was its limit.
        if not near and seen.reason != "TimeLimit":
            if seen.state != "RUNNING":
                return {"cause": "cancelled", "message": "Its job was cancelled; saved.", "hint": scheduled.RESUME}
            return {"hint": scheduled.RESUME}  # somebody sent the signal by hand
        if not summary_of(self.run).step > self._began:
            return {
                "state": "failed",
                "cause": "time-limit",
                "message": "It made no step within the time limit of its job, so it was not queued again.",
                "hint": "Submit it with a longer --time.",
            }
        return {"cause": "time-limit", "message": "Its time limit was near; saved.", "requeued": True, "by_us": True}

    def requeue(self) -> None:
        """Put the job into the queue again where the time limit ended it."""
        if not self.report.get("by_us"):
            return
        self.lock.release()  # the next attempt may begin before this process has ended
        try:
            slurm.requeue(os.environ.get("SLURM_JOB_ID", ""))
        except Problem as problem:
            message = f"Its time limit ended; saved. It was not queued again: {problem.message}"
            self.write_exit({"state": "stopped", "cause": "time-limit", "message": message, "hint": scheduled.RESUME})


def own_job(run: Run) -> scheduled.Job:
    """The job in which this process runs. Slurm may start it before the submitting side has noted its number."""
    number = os.environ.get("SLURM_JOB_ID", "0")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        job = scheduled.job_of(run.path)
        if job and job.id == number:
            return job
        time.sleep(0.1)
    return scheduled.Job(id=number, offset=commands.size_of(run.control))


def run_of_recipe(file: Path) -> Run:
    """The run of this job: made where the job begins, found again where it was requeued. Its job file goes with it, for `dlwb resume`."""
    number = os.environ.get("SLURM_JOB_ID", "")
    if not number:
        raise Problem("This is started by a job of Slurm alone.", "Submit it: `sbatch job.sh`.")
    for run in list_runs():
        if (job := scheduled.job_of(run.path)) and job.id == number:
            return run
    loaded = load_recipe(file)
    kind = "cuda" if loaded.recipe.compute.device.startswith("cuda") else "cpu"
    run = start.create(loaded, kind, requested=kind)
    listed = submit.options(loaded.stem, loaded.recipe, 0, submit.Request())
    # As the job was submitted, whatever its file says: the person may have given other options to sbatch.
    given = {"job-name": "SLURM_JOB_NAME", "partition": "SLURM_JOB_PARTITION", "account": "SLURM_JOB_ACCOUNT", "qos": "SLURM_JOB_QOS"}
    listed = [(name, value) for name, value in listed if name not in given]
    listed += [(name, os.environ[variable]) for name, variable in given.items() if os.environ.get(variable)]
    listed.append(("chdir", str(run.path)))
    if gpus := os.environ.get("SLURM_GPUS_ON_NODE"):
        listed.append(("gpus-per-node", gpus))
    (run.path / slurm.SCRIPT).write_text(submit.script(listed, run.path))
    scheduled.write(run.path, scheduled.Job(id=number, options=listed, seen=scheduled.Seen(state="RUNNING", time=time.time())))
    return run


def main(words: list[str]) -> int:
    """Train the run; 0 where the job has done what it could, 1 where the run failed, 3 and 4 as `supervisor.begin`."""
    # What comes before the supervisor can act on it waits until then.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        run = run_of_recipe(Path(words[1])) if words[0] == "--recipe" else Run(Path(words[0]))
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    if not (run.path / "recipe.yaml").exists():
        print(f"{run.path} is no longer a run directory.", file=sys.stderr)
        return 4
    if state_of(run).state == "finished":
        return 0
    if int(os.environ.get("SLURM_PROCID") or 0) > 0:
        # Another node of a run of several: the first one holds the lock and the log.
        compute = run.recipe().compute
        environment = worker_environment(os.environ, compute.threads)
        if compute.device.startswith("cuda"):
            environment["DLWB_DEVICES"] = ",".join(device.name for device in devices.accelerators()[: compute.processes])
        module = ["-P", "-m", "workbench.training.torchrun", str(run.path), str(compute.processes)]
        os.execve(sys.executable, [sys.executable, *module], environment)
    job = own_job(run)
    os.environ["DLWB_ANYWAY"] = "1" if job.anyway else ""
    code, message, keeper = supervisor.begin(run, commands.size_of(run.control), [], kind=partial(JobSupervisor, job=job))
    if keeper is None:
        print(one_line(message) or f"{run.id} could not be started ({code}): is it running already?", file=sys.stderr)
        return code
    assert isinstance(keeper, JobSupervisor)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    keeper.watch()
    keeper.requeue()
    return 1 if keeper.report.get("state") == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
