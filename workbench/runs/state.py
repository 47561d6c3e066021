"""How a run is now: alive is that its lock is held; how it ended is what its supervisor wrote."""

import time
from typing import Any

import msgspec

from workbench import files
from workbench.events import CAUSES
from workbench.problems import Problem, one_line
from workbench.runs import lock, scheduled
from workbench.runs.run import Run
from workbench.runs.summary import summary_of

ENDED = ("finished", "stopped", "failed")


LIVE = ("queued", "starting", "running", "paused")


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is now."""

    state: str
    """created, queued, starting, running, paused, stopping, finished, stopped, failed, or away (on another host)."""
    alive: bool = False
    cause: str = ""
    message: str = ""
    hint: str = ""
    attempt: int = 0
    host: str = ""
    """Named where it is not this one, or where a scheduler chose it."""
    job: str = ""
    """Of a run that Slurm starts: its job."""
    reason: str = ""
    """And why that waits, in a word or two."""
    share: float | None = None
    """Of a run that starts: how much of what the message names is done, from 0 to 1; None where that is not known."""
    left: float | None = None
    """And seconds until that is done."""

    @property
    def words(self) -> str:
        """The state with its cause, or with what the run waits for: `failed: the disk is full`."""
        if self.state == "away":
            return self.message
        if self.cause and self.cause != "steps":
            return f"{self.state}: {CAUSES.get(self.cause, self.cause)}"
        where = f" on {self.host}" if self.host and self.alive else ""
        return self.state + where + (f": {self.message}" if self.state in ("queued", "starting") and self.message else "")


def state_of(run: Run) -> State:
    """How a run is now: alive is that its lock is held; how it ended is what its supervisor wrote."""
    holder = lock.content(run.lock)
    attempt = attempts(run)
    host = one_line(str(holder.get("host") or lock.host()), 80)
    job = scheduled.job_of(run.path)
    elsewhere = host if host != lock.host() or job else ""
    # Before any file is believed: files may be old or damaged, but a lock is free as soon as its holder is dead.
    if lock.is_held(run.lock):
        state = holder.get("state")
        return State(
            state=state if state in LIVE else "starting",
            alive=True,
            attempt=attempt,
            host=elsewhere,
            job=job.id if job else "",
            message=one_line(str(holder.get("message", ""))),
            share=_number(holder.get("share"), 1.0),
            left=_number(holder.get("left"), 1e9),
        )
    if not run.path.is_dir():
        return State(state="failed", cause="vanished", message="Its directory is gone.")
    ended = files.read_object(run.path / "exit.json")
    if job and (state_by_job := _by_job(run, job, holder, attempt, ended)):
        return state_by_job
    if not attempt:
        return State(state="created", message="never started")
    if ended.get("attempt") == attempt:
        state = ended.get("state")
        return State(
            state=state if state in ENDED else "failed",
            cause=one_line(str(ended.get("cause", "")), 40),
            message=one_line(str(ended.get("message", "")), 1000),
            hint=one_line(str(ended.get("hint", "")), 1000),
            job=job.id if job else "",
            attempt=attempt,
        )
    # A lock that a process on another machine holds may be invisible from here.
    if elsewhere:
        return State(
            state="away",
            attempt=attempt,
            host=elsewhere,
            message=f"on {elsewhere}, last line {_age(run)} ago",
        )
    if logged := _logged_end(run, attempt):
        return logged
    # Nobody wrote an end: either the machine went down, or all processes were killed before one of them could.
    own = holder.get("own") is True
    if holder.get("boot") != lock.boot_id():
        return State(
            state="failed",
            cause="restart",
            message="The machine was restarted.",
            hint="Start your script again." if own else "`dlwb resume` goes on from its last checkpoint.",
            attempt=attempt,
        )
    if own:
        return State(
            state="failed",
            cause="unseen",
            message="Its process was killed, crashed in C code, or ended by os._exit or exec.",
            hint="Under `dlwb exec` such an end gets its name; `dlwb logs` shows what it printed.",
            attempt=attempt,
        )
    return State(
        state="failed",
        cause="vanished",
        message="Its processes were killed from outside, all at once.",
        hint="`dlwb resume` goes on from its last checkpoint; `dlwb doctor` looks for logind's KillUserProcesses.",
        attempt=attempt,
    )


def _logged_end(run: Run, attempt: int) -> State | None:
    """The end of an attempt whose supervisor died before it could write it, by the worker's last line; None where that tells none."""
    try:
        status = summary_of(run).status
    except Problem:
        return None  # a log that cannot be read says nothing about the end
    if not (status and attempt and status.state in ENDED and status.attempt == attempt):
        return None
    return State(state=status.state, cause=status.cause, message=status.message, hint=status.hint, attempt=attempt)


def _by_job(run: Run, job: scheduled.Job, holder: dict[str, Any], attempt: int, ended: dict[str, Any]) -> State | None:
    """What the scheduler says of a run whose lock nobody holds as far as can be seen from here; None where the run wrote its end itself.

    On another machine's disk a lock may be invisible, so a run is alive for as long as Slurm says that its job is.
    """
    seen = job.seen
    written = attempt > 0 and ended.get("attempt") == attempt
    later = (_number(ended.get("time"), 1e12) or 0.0) >= seen.time
    requeued = written and ended.get("requeued") is True
    if written and not requeued and (later or job.settled):
        return None
    if seen.waits or (requeued and later):
        message = scheduled.why(job) if seen.waits else f"requeued (Slurm job {job.id}): {one_line(str(ended.get('message', '')))}"
        return State(state="queued", alive=True, job=job.id, reason=scheduled.brief(job), message=message, attempt=attempt)
    if seen.goes_on:
        told = holder.get("state") if attempt and not written else ""
        return State(
            state=told if told in LIVE else "starting",
            alive=True,
            host=one_line(seen.node, 80),
            job=job.id,
            message=one_line(str(holder.get("message", ""))) if told else "its job has begun",
            attempt=attempt,
        )
    if requeued and seen.state in ("COMPLETED", "TIMEOUT"):  # it saved, but it was not queued again
        return State(
            state="stopped",
            cause=one_line(str(ended.get("cause", "")), 40),
            message=one_line(str(ended.get("message", "")), 1000),
            hint=scheduled.RESUME,
            job=job.id,
            attempt=attempt,
        )
    if not written and (logged := _logged_end(run, attempt)):
        return msgspec.structs.replace(logged, job=job.id)
    return State(job=job.id, attempt=attempt, **scheduled.ending(job))


def attempts(run: Run) -> int:
    """Number of attempts so far. Where the lock file is damaged, other files tell it, since two attempts with one number would mix."""
    attempt = whole(lock.content(run.lock).get("attempt"))
    if attempt or not run.events.exists():
        return attempt
    try:
        status = summary_of(run).status
    except Problem:
        status = None
    return max(whole(files.read_object(run.path / "exit.json").get("attempt")), status.attempt if status else 0)


def whole(value: Any) -> int:
    """The whole number that a file of a run should hold; 0 for anything else."""
    # Not isinstance, for which True is an int.
    return value if type(value) is int else 0


def _number(value: Any, most: float) -> float | None:
    """The number from 0 to `most` that a file of a run should hold; None for anything else."""
    return float(value) if type(value) in (int, float) and 0 <= value <= most else None


def _age(run: Run) -> str:
    try:
        return f"{max(0.0, time.time() - run.events.stat().st_mtime):.0f} s"
    except OSError:
        return "?"
