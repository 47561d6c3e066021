"""A run that Slurm starts: its job, as slurm.json of the run's folder tells it, and what Slurm's words mean in plain ones."""

import re
import time
from pathlib import Path
from typing import Any

import msgspec

from workbench import files
from workbench.problems import one_line

FILE = "slurm.json"
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
GOING = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT")
"""Slurm's names for jobs that have a node (squeue(1), JOB STATE CODES)."""
FORGOTTEN = "FORGOTTEN"
"""Our name for a job that Slurm no longer knows: it forgets one some minutes after its end (slurm.conf, MinJobAge)."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What Slurm said of a job."""

    state: str = "PENDING"
    reason: str = ""
    """Why it waits or failed, in Slurm's word: Resources, Priority, QOSMaxJobsPerUserLimit."""
    node: str = ""
    start: float = 0.0
    """When it is expected to start, in seconds since the Unix epoch; 0 where Slurm does not say."""
    end: float = 0.0
    """When its time limit ends; 0 where Slurm does not say."""
    restarts: int = 0
    time: float = 0.0
    """Since when it says so."""

    @property
    def waits(self) -> bool:
        return self.state in WAITING

    @property
    def goes_on(self) -> bool:
        """Whether the job has a node."""
        return self.state in GOING


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was submitted for a run."""

    id: str
    options: list[tuple[str, str]] = []
    """Those of sbatch, without their dashes; "" for one that takes no value."""
    grace: int = 90
    """Seconds before the time limit at which Slurm asks the run to save and end."""
    offset: int = 0
    """Bytes of control.jsonl at the submission: what stands before was for an earlier job."""
    anyway: bool = False
    """Resume although the project's code, or its data, has changed."""
    seen: Seen = Seen()

    @property
    def settled(self) -> bool:
        """Whether Slurm has nothing more to say about it."""
        return not (self.seen.waits or self.seen.goes_on)


def job_of(folder: Path) -> Job | None:
    """The newest job of a run, None where it has none."""
    value = files.read_object(folder / FILE)
    if not value:
        return None
    try:
        job = msgspec.convert(value, Job)
    except msgspec.ValidationError:
        return None
    return job if re.fullmatch(r"[0-9]{1,12}", job.id) else None


def write(folder: Path, job: Job) -> None:
    """Note the job of a run. OSError."""
    files.write(folder / FILE, msgspec.json.encode(job), sync=False)


REASONS = {
    "": "waiting for Slurm's first look at it",
    "None": "waiting for Slurm's first look at it",
    "Resources": "waiting for free resources",
    "Priority": "waiting behind jobs of higher priority",
    "BeginTime": "waiting for its start time",
    "Dependency": "waiting for another job to end",
    "DependencyNeverSatisfied": "waiting for a job that can no longer succeed",
    "JobHeldUser": "held by a person (scontrol release)",
    "JobHeldAdmin": "held by an administrator",
    "Licenses": "waiting for a free license",
    "Reservation": "waiting for its reservation to begin",
    "PartitionDown": "waiting: its partition is down",
    "PartitionInactive": "waiting: its partition is inactive",
    "PartitionTimeLimit": "waiting: it asks for more time than its partition allows",
    "PartitionNodeLimit": "waiting: it asks for more nodes than its partition allows",
    "PartitionConfig": "waiting: it asks for more than its partition has",
    "BadConstraints": "waiting: no node has what it asks for",
    "NodeDown": "waiting: its node is down",
    "ReqNodeNotAvail": "waiting for nodes that are not available now",
    "JobArrayTaskLimit": "waiting for other jobs of its array",
    "QOSMaxJobsPerUserLimit": "waiting: you run as many jobs as your QOS allows",
    "QOSMaxGRESPerUser": "waiting: you use as many GPUs as your QOS allows",
    "QOSMaxCpuPerUserLimit": "waiting: you use as many cores as your QOS allows",
    "AssocMaxJobsLimit": "waiting: your account runs as many jobs as it may",
    "AssocGrpGRES": "waiting: your account uses as many GPUs as it may",
    "AssocGrpCpuLimit": "waiting: your account uses as many cores as it may",
    "InvalidAccount": "waiting: its account is not valid",
    "InvalidQOS": "waiting: its QOS is not valid",
    "JobLaunchFailure": "waiting: its last start failed on the node",
}
"""Why a job waits, by Slurm's word (squeue(1), JOB REASON CODES); more limits are told by their family."""
FAMILIES = (
    ("QOS", "waiting: a limit of its QOS is reached"),
    ("Assoc", "waiting: a limit of its account is reached"),
    ("MaxMem", "waiting: it asks for more memory than is allowed"),
    ("launch failed", "held: its start failed on the node"),
    ("job requeued in held", "held after it was requeued"),
)


def why(job: Job, now: float | None = None) -> str:
    """Why a job waits and when it is likely to start, as words that follow "is"."""
    seen = job.seen
    word = one_line(seen.reason, 80)
    short = word.partition(",")[0]
    reason = REASONS.get(short) or next((text + f" ({word})" for family, text in FAMILIES if word.startswith(family)), "")
    again = f"requeued{f' {seen.restarts} times' if seen.restarts > 1 else ''}, " if seen.restarts else ""
    start = f", start about {_moment(seen.start, now)}" if seen.start else ""
    return f"{again}{reason or f'waiting ({word})'}{start} (Slurm job {job.id})"


BRIEF = {
    "Resources": "resources",
    "Priority": "priority",
    "BeginTime": "start time",
    "Dependency": "another job",
    "JobHeldUser": "held",
    "JobHeldAdmin": "held",
    "Licenses": "license",
    "ReqNodeNotAvail": "no such node now",
}


def brief(job: Job) -> str:
    """Why a job waits, in a word or two for a list; "" where only a sentence says it."""
    word = one_line(job.seen.reason, 80).partition(",")[0]
    family = {"QOS": "QOS limit", "Assoc": "account limit", "Partition": "partition"}
    return BRIEF.get(word) or next(
        (text for start, text in family.items() if word.startswith(start)), "requeued" if job.seen.restarts else ""
    )


def _moment(moment: float, now: float | None = None) -> str:
    """A moment to come: 14:05, Tue 14:05, 3 Nov."""
    now = time.time() if now is None else now
    try:
        then, today = time.localtime(moment), time.localtime(now)
    except (OverflowError, ValueError, OSError):
        return "some day"
    if moment - now < 86400 and then.tm_mday == today.tm_mday:
        return time.strftime("%H:%M", then)
    return (
        time.strftime("%a %H:%M", then)
        if moment - now < 6 * 86400
        else f"{then.tm_mday} {time.strftime('%b', then)}" + ("" if then.tm_year == today.tm_year else f" {then.tm_year}")
    )


RESUME = "`dlwb resume` submits it again; it goes on from its last checkpoint."


def ending(job: Job) -> dict[str, Any]:
    """How a job ended whose run could not say it itself, in the fields of a run's state."""
    state, node = job.seen.state, one_line(job.seen.node, 80)
    where = f" on {node}" if node and node != "n/a" else ""
    reason = one_line(job.seen.reason, 80)
    why_failed = f" ({reason})" if reason and reason != "None" else ""
    message, cause, hint = {
        "CANCELLED": (f"Its job {job.id} was cancelled.", "cancelled", RESUME),
        "TIMEOUT": (
            f"Slurm ended its job at the time limit{where} (TIMEOUT), before it could save.",
            "time-limit",
            f"A longer --grace leaves more time to save. {RESUME}",
        ),
        "DEADLINE": (f"Slurm ended its job at its deadline{where} (DEADLINE).", "time-limit", RESUME),
        "OUT_OF_MEMORY": (
            f"Slurm killed its job{where} (OUT_OF_MEMORY): it used more memory than it had asked for.",
            "memory",
            "`dlwb submit --memory` asks for more.",
        ),
        "NODE_FAIL": (f"Its node failed{where} (NODE_FAIL).", "node", RESUME),
        "BOOT_FAIL": (f"Its node did not start{where} (BOOT_FAIL).", "node", RESUME),
        "PREEMPTED": (f"Another job took its place{where} (PREEMPTED).", "preempted", RESUME),
        FORGOTTEN: (f"Slurm no longer knows its job {job.id}, and nobody wrote how it ended.", "forgotten", RESUME),
    }.get(
        state,
        (
            f"Its job {job.id} ended{where} before the run could write how: {one_line(state, 40)}{why_failed}.",
            "job",
            "Its slurm.log may say why. Does the node see the folder of the run ($DLWB_HOME)?",
        ),
    )
    return {"state": "stopped" if state == "CANCELLED" else "failed", "cause": cause, "message": message, "hint": hint}
