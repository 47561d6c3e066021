"""Talks to Slurm through its own programs: submits a run's job, looks at it, ends it, requeues it. Each call has a time limit.

What Slurm said last stands in slurm.json of the run's folder, where every state is read from; see `workbench.runs.scheduled`.
"""

import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from workbench.problems import Problem, clean, one_line
from workbench.runs import commands, scheduled
from workbench.runs.run import Run
from workbench.runs.scheduled import Job, Seen

EVERY = 10.0
"""Seconds between two looks at Slurm's queue: a controller serves a whole cluster."""
PATIENCE = 20.0
"""Seconds that one of Slurm's programs may take: they wait for a controller that is busy."""
SUBMIT_PATIENCE = 90.0
SCRIPT = "job.sh"
COLUMNS = ("JobID", "State", "RestartCnt", "BatchHost", "StartTime", "EndTime", "Reason", "Name")
"""Of squeue(1). The name, which is a person's word, comes last: a bar in it splits no other column."""
trouble = ""
"""Why the last look at the queue failed; "" where it did not."""


def call(words: Sequence[str], patience: float = PATIENCE) -> str:
    """What one of Slurm's programs prints. Problem where it is missing, refuses, or does not answer in time."""
    # Filters and formats that a person has set for their own use would change what we read.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SQUEUE_", "SACCT_", "SCANCEL_"))}
    for name in ("SBATCH_ARRAY_INX", "SBATCH_WAIT"):
        environment.pop(name, None)
    # As seconds since the epoch, which need no time zone.
    environment["SLURM_TIME_FORMAT"] = "%s"
    try:
        done = subprocess.run(
            list(words), stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=patience, check=False, cwd="/"
        )
    except FileNotFoundError:
        raise Problem(
            f"There is no {words[0]} on this machine, so Slurm cannot be reached.",
            "Use a login node of the cluster; `dlwb run` trains here.",
        ) from None
    except subprocess.TimeoutExpired:
        raise Problem(f"Slurm has not answered {words[0]} for {patience:.0f} s.", "Is its controller up? `scontrol ping` asks.") from None
    except OSError as error:
        raise Problem(f"{words[0]} cannot be started: {error.strerror}.") from None
    if done.returncode:
        raise Problem(*_refusal(words[0], done.stderr.decode(errors="replace")))
    return clean(done.stdout.decode(errors="replace"))


HINTS = (
    ("partition", "`sinfo` lists the partitions."),
    ("account", "`sacctmgr show associations user=$USER` lists your accounts."),
    ("qos", "`sacctmgr show qos` lists them."),
    ("time", "--time takes 90m, 12h, 2d, or Slurm's own D-HH:MM:SS."),
    ("gres", "`sinfo -o '%P %G'` lists the GPUs of each partition."),
    ("connect", "Is Slurm's controller up? `scontrol ping` asks."),
    ("configuration file", "Is this a login node of the cluster? $SLURM_CONF names Slurm's configuration."),
    ("authentication", "munge proves who you are to Slurm: is munged running?"),
    ("node configuration", "`sinfo -N -l` lists what the nodes have."),
)


def _refusal(program: str, said: str) -> tuple[str, str]:
    """Why one of Slurm's programs refuses, from its stderr, as one sentence; and how to mend it."""
    lines = [one_line(line.partition(": ")[2], 300) for line in clean(said).splitlines() if re.match(rf"{program}: (error|fatal): ", line)]
    lines = [line.partition(": ")[2].removeprefix("Batch job submission failed: ") for line in lines if "retrying" not in line]
    # The first one is the most precise, the last one says what follows from it.
    why = lines[0] if lines else one_line(said, 300) or "it gave no reason"
    more = f" ({lines[-1]})" if len(lines) > 1 and lines[-1] != lines[0] else ""
    text = f"{why}{more}"
    hint = next((hint for word, hint in HINTS if word in text.lower()), "")
    what = {"sbatch": "Slurm refused the job", "scancel": "Slurm did not end the job", "scontrol": "Slurm refused"}.get(
        program, "Slurm does not answer"
    )
    return f"{what}: {text.rstrip('.')}.", hint


def submit(run: Run, options: Sequence[tuple[str, str]], grace: int, *, anyway: bool = False) -> Job:
    """Submit the job script of a run. Problem where Slurm refuses."""
    # As arguments, too: an SBATCH_… of the environment is stronger than a line of the script, and weaker than an argument.
    words = [f"--{name}={value}" if value else f"--{name}" for name, value in options]
    job = Job(id="0", options=list(options), grace=grace, offset=commands.size_of(run.control), anyway=anyway, seen=Seen(time=time.time()))
    said = call(["sbatch", "--parsable", *words, str(run.path / SCRIPT)], SUBMIT_PATIENCE).strip()
    number = said.rpartition("\n")[2].partition(";")[0]
    if not re.fullmatch(r"[0-9]{1,12}", number):
        raise Problem(f"sbatch did not say the number of the job: {one_line(said, 200) or 'nothing'}.", "`squeue --me` lists your jobs.")
    job = msgspec.structs.replace(job, id=number)
    try:
        scheduled.write(run.path, job)
    except OSError:
        with contextlib.suppress(Problem):
            cancel(job)  # nobody would find it again
        raise
    return job


def queue(users: Iterable[int]) -> dict[str, tuple[str, Seen]]:
    """The jobs of these users that Slurm knows, by their numbers: name, and what it says of each. Problem where it does not answer."""
    words = ["squeue", "--noheader", "--states=all", f"--user={','.join(map(str, sorted(set(users))))}"]
    return parse(call([*words, "--Format=" + ",".join(f"{name}:|" for name in COLUMNS)]))


def parse(text: str) -> dict[str, tuple[str, Seen]]:
    """What squeue printed with COLUMNS; lines that are none are passed over."""
    jobs = {}
    for line in text.splitlines():
        cells = [one_line(cell, 120) for cell in line.split("|", len(COLUMNS) - 1)]
        if len(cells) < len(COLUMNS) or not re.fullmatch(r"[0-9]{1,12}", cells[0]):
            continue
        number, state, restarts, node, start, end, reason, name = cells
        waits = state in scheduled.WAITING
        jobs[number] = (
            name.removesuffix("|"),
            Seen(
                # CANCELLED by 1000: who did it comes behind the word.
                state=state.partition(" ")[0],
                reason=reason,
                node="" if node == "n/a" else node,
                start=_seconds(start) if waits else 0.0,
                end=_seconds(end) if not waits else 0.0,
                restarts=int(restarts) if re.fullmatch(r"[0-9]{1,6}", restarts) else 0,
            ),
        )
    return jobs


def _seconds(word: str) -> float:
    return float(word) if re.fullmatch(r"[0-9]{1,11}", word) else 0.0


def refresh(runs: Iterable[Run]) -> None:
    """Ask Slurm about the jobs of these runs that it may have more to say about, and note it. Problem where Slurm does not answer."""
    global trouble
    jobs = [(run, job) for run in runs if (job := scheduled.job_of(run.path)) and not job.settled]
    if not jobs:
        return
    owners = set()
    for run, _ in jobs:
        with contextlib.suppress(OSError):
            owners.add(run.path.stat().st_uid)
    try:
        known = queue(owners or {os.getuid()})
    except Problem as problem:
        trouble = str(problem)
        raise
    trouble = ""
    # A controller that lost its records begins again at job 1: the name tells whether a job is still this one.
    gone = [job.id for run, job in jobs if job.id not in known or known[job.id][0] != dict(job.options).get("job-name", "")]
    ended = _accounted(gone)
    for run, job in jobs:
        seen = ended.get(job.id, Seen(state=scheduled.FORGOTTEN)) if job.id in gone else known[job.id][1]
        _note(run, job, seen)


def _note(run: Run, job: Job, seen: Seen) -> None:
    """Write what Slurm says of a job where it is new; its time tells since when."""
    if msgspec.structs.replace(seen, time=job.seen.time) == job.seen:
        return
    now = scheduled.job_of(run.path)
    if now is None or now.id != job.id:
        return  # meanwhile it was submitted again
    same = (seen.state, seen.restarts) == (job.seen.state, job.seen.restarts)
    with contextlib.suppress(OSError):  # a full disk: the next look says it again
        scheduled.write(
            run.path, msgspec.structs.replace(now, seen=msgspec.structs.replace(seen, time=now.seen.time if same else time.time()))
        )


def _accounted(numbers: Sequence[str]) -> Mapping[str, Seen]:
    """How jobs ended that the controller has forgotten, from Slurm's accounting where a cluster has one."""
    if not numbers:
        return {}
    try:
        said = call(
            ["sacct", "--noheader", "--allocations", "--parsable2", f"--jobs={','.join(numbers)}", "--format=JobIDRaw,State,NodeList"]
        )
    except Problem:
        return {}
    ended = {}
    for line in said.splitlines():
        number, state, node = [one_line(cell, 120) for cell in [*line.split("|"), "", ""][:3]]
        if number in numbers and state:
            ended[number] = Seen(state=state.partition(" ")[0], node="" if node == "None assigned" else node)
    return ended


_looking = threading.Lock()
_looked = -EVERY


def look_again(runs: Iterable[Run]) -> None:
    """Ask Slurm about these runs in a thread, where the last look is `EVERY` seconds old; returns at once."""
    global _looked
    now = time.monotonic()
    if now < _looked + EVERY:
        return
    unsettled = [run for run in runs if (job := scheduled.job_of(run.path)) and not job.settled]
    if not unsettled or not _looking.acquire(blocking=False):
        return
    _looked = now

    def look() -> None:
        try:
            with contextlib.suppress(Problem):  # `trouble` has it
                refresh(unsettled)
        finally:
            _looking.release()

    threading.Thread(target=look, name="slurm", daemon=True).start()


def cancel(job: Job, *, waiting: bool = False) -> None:
    """Cancel a job; with `waiting` only where it has not begun."""
    call(["scancel", *(["--state=PENDING"] if waiting else []), job.id])


def stop(run: Run, job: Job) -> None:
    """End the job of a run that was asked to stop: at once where it waits, else by SIGTERM, after which the run saves and ends."""
    cancel(job, waiting=True)
    refresh([run])
    job = scheduled.job_of(run.path) or job
    if job.seen.goes_on and job.seen.state != "COMPLETING":
        with contextlib.suppress(Problem):  # it has just ended
            call(["scancel", "--signal=TERM", "--batch", job.id])


def kill(run: Run, job: Job) -> None:
    """Cancel the job of a run."""
    if not job.settled:
        cancel(job)
        refresh([run])


def requeue(number: str) -> None:
    """Have Slurm put the job in which this process runs into its queue again; it then ends this process."""
    call(["scontrol", "requeue", number])
