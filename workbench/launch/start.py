"""Creates, launches, stops and kills runs, and sends them commands. The shell and the terminal program both use it."""

import contextlib
import json
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from workbench import __version__, files, paths
from workbench.events import Answer, Scalars
from workbench.launch import choose_device, devices, logind, slurm, warm
from workbench.problems import Problem, one_line
from workbench.recipes import closure, trust
from workbench.recipes.find import find_recipe, project_source
from workbench.recipes.load import Loaded, load_recipe
from workbench.recipes.recipe import dump_recipe
from workbench.runs import commands, directory, lock, own, resuming, scheduled
from workbench.runs.ending import write_exit
from workbench.runs.log import Tail
from workbench.runs.run import Run
from workbench.runs.state import attempts, state_of, whole
from workbench.runs.summary import summary_of

NAMED = 4
"""How many changed files a message names."""
PATIENCE = 5.0
"""Seconds that a run's processes may take to write their ids into the lock file."""
ANSWER_PATIENCE = 60.0
"""Seconds that a run may take to answer a command: it looks between two steps, and a step may be long."""


def start(name: str, settings: Sequence[str] = (), device: str = "") -> Run:
    """Read a recipe, choose its device, create a run and launch it, as `dlwb run` and Enter do."""
    return begin(load_recipe(find_recipe(name), settings), device)


def begin(loaded: Loaded, device: str = "") -> Run:
    """Start a run of a recipe that is read."""
    run = create(loaded, *choose(loaded, device))
    try:
        launch(run)
    except KeyboardInterrupt:
        cancel(run)
        raise
    return run


def cancel(run: Run) -> bool:
    """Cancel a start: end a run that has made no step yet and remove its directory.

    False where it has made a step, or this is not its first attempt: it is stopped and its directory stays. The directory of a run that has
    ended by itself stays too.
    """
    current = state_of(run)
    if not current.alive and current.attempt:
        return False
    if current.alive:
        stop(run)
    deadline = time.monotonic() + PATIENCE
    while state_of(run).alive and time.monotonic() < deadline:
        time.sleep(0.02)
    if state_of(run).alive and not has_trained(run):  # a long import or a slow disk keeps it from reacting to the stop
        kill(run)
        while state_of(run).alive and time.monotonic() < deadline + PATIENCE:
            time.sleep(0.02)
    return not has_trained(run) and remove(run)


def remove(run: Run) -> bool:
    """Remove the directory of a run that is not alive, for good; False where somebody has just started it."""
    held = lock.Lock.take(run.lock)  # so that no other process starts it meanwhile
    if held is None:
        return False
    try:
        doomed = run.path.with_name(f".cancelled-{run.id}")  # a hidden name, so that no list shows a half-deleted run
        run.path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    finally:
        held.release()
    return True


def has_trained(run: Run) -> bool:
    """Whether a run has results that could be lost: a step, or an earlier attempt; of one's own script, whatever it prints."""
    return own.is_own_run(run) or attempts(run) > 1 or summary_of(run).step > 0


def choose(loaded: Loaded, device: str = "") -> choose_device.Choice:
    """The device for a recipe, with a warning where torch cannot use the GPU or too little of its memory is free."""
    schema = loaded.schema
    compute = loaded.recipe.compute
    choice = choose_device.choose(schema.devices if schema else ("cpu",), device or compute.device)
    usable = choose_device.usable() if compute.processes > 1 else []
    if (crowded := choose_device.crowd(compute, choice.name, choice.requested, usable)) and not choice.warning:
        choice = choice._replace(warning=crowded)
    taken = [candidate for candidate in devices.accelerators() if candidate.name == choice.name] if choice.name != "cpu" else []
    if taken and not choice.warning:
        from workbench.launch import estimate

        past = estimate.past_runs(loaded.stem)
        return choice._replace(warning=estimate.crowded(loaded.recipe, taken[0], past, schema.live if schema else ()))
    return choice


def create(loaded: Loaded, device: str, warning: str = "", requested: str = "", more: Mapping[str, Any] = {}) -> Run:
    """Create the run directory of a loaded recipe; nothing runs yet. `device` is cpu or cuda:N; the warning goes into its log.

    `more` is noted in run.json. With `requested` `auto` or `cuda` another GPU than `device` will do as well, where that one is not free.
    """
    if not loaded.trains:
        raise Problem(f"{loaded.stem} is a lesson to explore: there is nothing to train.", f"`dlwb explore {loaded.stem}` answers.")
    file = loaded.project_file or project_source(loaded.recipe.project)
    source = trust.read(file) if loaded.project_file else file.read_bytes()
    code = closure.closure(file)
    recipe = msgspec.structs.replace(
        loaded.recipe,
        project="./project.py" if loaded.project_file else loaded.recipe.project,
        config=paths.rooted(loaded.recipe.config, loaded.path.parent),
        compute=msgspec.structs.replace(
            loaded.recipe.compute,
            device=device,
            # Those of one process: together they have what one would have.
            threads=loaded.recipe.compute.threads or max(1, len(os.sched_getaffinity(0)) // loaded.recipe.compute.processes),
        ),
    )
    name = f"{time.strftime('%Y-%m-%d_%H%M%S')}_{loaded.stem}"
    with directory.new(paths.runs(), name, "The run directory") as path:
        (path / "artifacts").mkdir()
        (path / "checkpoints").mkdir()
        mirror = paths.mirror()
        about = {
            "recipe": str(loaded.path.absolute()),
            "mirror": str(mirror) if mirror else "",
            "warning": warning,
            "device": requested or device,
            "created": time.time(),
            "processor": devices.processor(),
            "versions": _versions(),
            "code": code.hash,
            "files": code.files,
            **more,
        }
        (path / "run.json").write_text(json.dumps(about))
        (path / "project.py").write_bytes(source)
        (path / "control.jsonl").touch()
        # Written last: a directory counts as a run once it has a recipe.
        files.write(path / "recipe.yaml", dump_recipe(recipe).encode(), sync=False)
    return Run(path)


def _versions() -> dict[str, str]:
    """Versions of the packages that the results depend on, without importing them."""
    from importlib import metadata  # slow to import

    versions = {"python": platform.python_version(), "dlwb": __version__}
    for name in ("torch", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def launch(run: Run, *, anyway: bool = False) -> str:
    """Start or resume a run in the background; returns once its supervisor holds the lock, with a remark on its checkpoints, or "".

    `anyway` resumes although the project's code, or its data, has changed. Raises Problem where the run cannot be started.
    """
    run.refuse_odd_files()
    _refuse_own(run, "resume")
    gone = Problem(f"{run.path} is no longer a run directory.", "Was it deleted? `dlwb runs` lists all runs.")
    if not (run.path / "recipe.yaml").exists():
        raise gone
    current = state_of(run)
    if current.state == "away":
        raise Problem(f"{run.id} is {current.message}.", f"Resume it from {current.host}.")
    if current.state == "finished":
        raise Problem(f"{run.id} has finished, so it cannot be resumed.", f"`dlwb run {run.stem}` starts another one.")
    if current.attempt and not current.alive and (changed := run.changed_code()):
        if not anyway:
            named = ", ".join(changed[:NAMED]) + " …" * (len(changed) > NAMED)
            raise Problem(
                f"The code of {run.recipe().project} has changed since {run.id} was trained ({named}), so it might not resume exactly.",
                "`dlwb resume --anyway` continues with the new code.",
            )
        _take_new_code(run, current.attempt)
    remark = resuming.look(run) if current.attempt and not current.alive else ""
    if job := scheduled.job_of(run.path):
        if current.alive:
            raise Problem(f"{run.id} is {current.state} already (Slurm job {job.id}).", f"`dlwb stop {run.id}` ends it.")
        try:
            slurm.submit(run, job.options, job.grace, anyway=anyway)
        except OSError as error:
            raise files.problem(f"The job of {run.id}", "noted", error) from error
        return remark
    offset = commands.size_of(run.control)
    environment = dict(os.environ)
    mirror = run.about().get("mirror")
    if mirror and isinstance(mirror, str) and "DLWB_MIRROR" not in environment:
        environment["DLWB_MIRROR"] = mirror
    environment["DLWB_ANYWAY"] = "1" if anyway else ""
    words = [str(run.path.absolute()), str(offset), *choose_device.allowed(run)]
    done = warm.launch(words, environment, run.recipe().compute.threads)
    done = done or logind.call([sys.executable, "-P", "-m", "workbench.launch.supervisor", *words], environment)
    if done.returncode == 3:
        raise Problem(f"{run.id} is running already.", f"`dlwb run {run.stem}` starts another one.")
    if done.returncode == 4:
        raise gone
    if done.returncode:
        raise Problem(f"{run.id} could not be started: {one_line(done.stderr.strip().rpartition(chr(10))[2]) or done.returncode}.")
    return remark


def _take_new_code(run: Run, attempt: int) -> None:
    """Keep the old code under another name, then copy the new code and record its hash."""
    name = run.recipe().project
    try:
        if not name.endswith(".py"):
            source = project_source(name).read_bytes()
            if run.project_copy.exists():
                run.project_copy.replace(run.path / f"project.attempt{attempt}.py")
            files.write(run.project_copy, source)
        code = closure.closure(run.project_copy if name.endswith(".py") else project_source(name))
        files.write(run.path / "run.json", json.dumps({**run.about(), "code": code.hash, "files": code.files}).encode())
    except OSError as error:
        raise files.problem(f"The code of {run.id}", "replaced", error) from error


def _refuse_own(run: Run, verb: str) -> None:
    """Problem where a run is one of a person's own script, which cannot do this."""
    try:
        reason = own.refusal(run.recipe(), verb)
    except Problem:
        return  # a damaged recipe: what follows says so, or does without
    if reason:
        raise Problem(reason, "Start your script again." if verb == "resume" else "")


def command(run: Run, verb: str, request: dict[str, Any] | None = None) -> str:
    """Send a command to a running run, which acts at its next step; returns the command's id, which the Answer event repeats."""
    _refuse_own(run, verb)
    current = state_of(run)
    passive = commands.PASSIVE.get(verb, f"obey {one_line(verb, 40)}")
    if current.state == "away":
        raise Problem(f"{run.id} is {current.message}, so it cannot {passive} from here.", f"Use dlwb on {current.host}.")
    if not current.alive:
        never = "was never started" if current.state == "created" else f"is not running ({current.state})"
        # Who wants to end it has what they want.
        hint = "" if verb in commands.ENDING or current.state == "finished" else f"`dlwb resume {run.id}` starts it."
        raise Problem(f"{run.id} {never}, so it cannot {passive}.", hint)
    # Without a message it is about to start, and reads its commands then.
    waits = current.state == "queued" and current.message
    if verb in commands.QUEUEING:
        if current.host:
            raise Problem(f"{run.id} waits on {current.host}, so it cannot {passive} from here.", f"Use dlwb on {current.host}.")
        if not waits:
            raise Problem(f"{run.id} waits for no device ({current.state}), so it cannot {passive}.", "`dlwb queue` lists what waits.")
    elif waits and verb not in commands.ENDING:
        raise Problem(f"{run.id} is {current.message}, so it cannot {passive} yet.", f"`dlwb wait {run.id}` waits for it.")
    return commands.append(run.control, verb, request)


def answer(run: Run, command: str, *, steps: bool = False) -> tuple[bool, str]:
    """Wait for the answer to a command: whether it was done, and what the run said. `steps`: the run trains before it answers."""
    tail = Tail(run.events)
    deadline = time.monotonic() + ANSWER_PATIENCE
    while time.monotonic() < deadline:
        alive = state_of(run).alive  # asked before reading, so that nothing written before its end is missed
        for event in tail.read():
            if isinstance(event, Answer) and event.command == command:
                return event.ok, event.message
            if steps and isinstance(event, Scalars):
                deadline = time.monotonic() + ANSWER_PATIENCE
        if not alive:
            return False, "The run ended before this could be done."
        time.sleep(0.05)
    raise Problem(
        f"{run.id} has not answered for {ANSWER_PATIENCE:.0f} s.", "It does what it is asked between two steps; it may be in a long one."
    )


def stop(run: Run) -> None:
    """Ask a run to finish its step, save a checkpoint and end."""
    job = scheduled.job_of(run.path)
    try:
        command(run, "stop")
    except OSError:  # the disk is full, so the command cannot be written
        if not job:
            _signal(run, "parent", signal.SIGTERM)
    if job:
        slurm.stop(run, job)
    elif state_of(run).state in ("queued", "starting"):
        _until(run, lambda: _signal(run, "parent", signal.SIGTERM))


def kill(run: Run) -> None:
    """End a run at once without a new checkpoint; its log and saved checkpoints stay."""
    with contextlib.suppress(OSError):  # the disk is full; the run's ending then reads as killed from outside
        command(run, "kill")
    if job := scheduled.job_of(run.path):
        slurm.kill(run, job)
        return
    _until(run, lambda: _signal(run, "worker", signal.SIGKILL) or _signal(run, "parent", signal.SIGTERM))
    holder = lock.content(run.lock)
    if holder.get("own") is True and holder.get("parent") == holder.get("worker"):
        _write_end_of_own(run, whole(holder.get("attempt")))


def _write_end_of_own(run: Run, attempt: int) -> None:
    """A script that nobody watches is killed: then who killed it writes how it ended."""
    deadline = time.monotonic() + PATIENCE
    while lock.is_held(run.lock) and time.monotonic() < deadline:
        time.sleep(0.02)
    if not lock.is_held(run.lock) and not files.read_object(run.path / "exit.json"):
        with contextlib.suppress(OSError):
            write_exit(run.path, attempt, {"state": "stopped", "cause": "killed", "message": "Killed by a person."})


def _until(run: Run, reached: Callable[[], bool]) -> None:
    """Repeat a signal until a process receives it: just after the start the lock file names no process yet."""
    deadline = time.monotonic() + PATIENCE
    while not reached() and state_of(run).alive:
        if time.monotonic() > deadline:
            raise Problem(f"{run.id} is running, but its lock file names no process.", "Look for `workbench.training.worker` with ps.")
        time.sleep(0.05)


def _signal(run: Run, which: str, number: int) -> bool:
    holder = lock.content(run.lock)
    if holder.get("host", lock.host()) != lock.host():
        raise Problem(f"{run.id} runs on {one_line(str(holder.get('host')))}.", "Signal it from there.")
    process = holder.get(which)
    pid, ticks = (whole(process.get(name)) for name in ("pid", "ticks")) if isinstance(process, dict) else (0, 0)
    return pid > 0 and ticks > 0 and lock.send(pid, ticks, number)
