"""Serves models, and asks endpoints to change: what the shell and the terminal program both call."""

import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from workbench import files, paths
from workbench.events import Answer, Mark, Scalars, Status
from workbench.launch import logind
from workbench.problems import Problem, missing, one_line
from workbench.runs import commands, lock
from workbench.runs.log import Tail
from workbench.runs.state import whole
from workbench.runs.usage import keep
from workbench.serving.endpoint import PORT, About, Config, Current, Endpoint, VariantPlan, checked_name, list_endpoints, newest, state_of
from workbench.serving.usage import of_endpoint

PATIENCE = 180.0
"""Seconds that a large model may take to load and to answer its examples."""
STOPPING = 60.0
"""Seconds for a stop: requests in flight have 30."""
PORTS = 20
"""How many ports after the usual one are tried where nobody asks for a certain one."""


def serve(model: str, *, name: str = "", host: str = "127.0.0.1", port: int = 0, idle: float = 0.0, isolate: bool = True) -> Endpoint:
    """Start an endpoint that serves a model in the background; returns once it does.

    A name that an endpoint has which is not running: its directory goes on with a new configuration.
    """
    from workbench.encoding import model_store
    from workbench.serving import headers

    _complete()
    folder = model_store.find(model)
    endpoint = Endpoint(paths.endpoints() / checked_name(name or folder.model.name))
    if state_of(endpoint).alive:
        raise Problem(
            f"The endpoint {endpoint.id} is running already.",
            f"`dlwb endpoint update {endpoint.id} --variant {folder.model.version}` changes its model; --name starts another one.",
        )
    headers.token_for(host)  # that there is none is said now, and not by the server
    plan = VariantPlan(name=str(folder.model.version), model=folder.label.replace(":", "/"), digest=folder.digest)
    created = endpoint.about.created if (endpoint.path / "endpoint.json").exists() else time.time()
    about = About(host=host, port=port or _free(host), isolate=isolate, idle=idle, created=created)
    try:
        endpoint.path.mkdir(parents=True, exist_ok=True)
        # Of two that serve at once, one must not change what the other has started.
        held = lock.Lock.take(endpoint.lock)
        if held is None:
            raise Problem(f"The endpoint {endpoint.id} is running already.")
        try:
            number = endpoint.add(Config(variants=[plan]))
            last = endpoint.current if (endpoint.path / "current.json").exists() else None
            before = {**last.before, number: last.config} if last else {}
            endpoint.write("current.json", Current(config=number, before=before, offset=commands.size_of(endpoint.control)))
            # Written last: a directory counts as an endpoint once it has it.
            endpoint.write("endpoint.json", about)
        finally:
            held.release()
    except OSError as error:
        raise files.problem(f"The directory {endpoint.path}", "created", error, endpoint.path) from error
    try:
        start(endpoint)
    except Problem:
        if not state_of(endpoint).attempt and not before:
            delete(endpoint)  # it never began, as where its port is in use
        raise
    return endpoint


def start(endpoint: Endpoint) -> None:
    """Start the supervisor of an endpoint that is not running, and wait until it serves. Raises Problem with the reason it does not."""
    tail = at_its_end(endpoint)
    command = [sys.executable, "-P", "-m", "workbench.serving.supervisor", str(endpoint.path.absolute())]
    done = logind.call(command, dict(os.environ))
    if done.returncode == 3:
        raise Problem(f"The endpoint {endpoint.id} is running already.")
    if done.returncode:
        raise Problem(one_line(done.stderr.strip().rpartition("\n")[2]) or f"{endpoint.id} could not be started: {done.returncode}.")

    def serves(event: Any) -> bool:
        return isinstance(event, Status) and event.state in ("InService", "Updating")

    if not _until(endpoint, tail, serves):
        ended = state_of(endpoint)
        raise Problem(ended.message or f"{endpoint.id} ended at once.", ended.hint or f"`dlwb endpoint logs {endpoint.id}` shows more.")


def send(endpoint: Endpoint, verb: str, request: dict[str, Any] | None = None) -> str:
    """Send a command to an endpoint; returns its id, which an Answer in the log will name. Raises Problem where nobody would read it."""
    insist_that_it_runs(endpoint)
    try:
        return commands.append(endpoint.control, verb, request)
    except OSError as error:
        raise files.problem(f"The endpoint {endpoint.id}", "asked", error, endpoint.control) from error


def ask(endpoint: Endpoint, verb: str, request: dict[str, Any] | None = None) -> str:
    """Send a command to an endpoint and wait until it is carried out; returns what it says. Raises Problem where it refuses."""
    tail = at_its_end(endpoint)
    identity = send(endpoint, verb, request)
    answers: list[Answer] = []

    def answered(event: Any) -> bool:
        if isinstance(event, Answer) and event.command == identity:
            answers.append(event)
        return bool(answers)

    if not _until(endpoint, tail, answered):
        raise Problem(f"{endpoint.id} ended before this was done.", f"`dlwb endpoint logs {endpoint.id}` shows more.")
    if not answers[0].ok:
        raise Problem(answers[0].message)
    return answers[0].message


def insist_that_it_runs(endpoint: Endpoint) -> None:
    """Problem where an endpoint does not run, or on another machine."""
    state = state_of(endpoint)
    if state.host:
        raise Problem(f"{endpoint.id} runs on {state.host}, so it cannot be changed from here.", f"Use dlwb on {state.host}.")
    if not state.alive:
        raise Problem(f"The endpoint {endpoint.id} is not running ({state.state}).", f"`dlwb serve --name {endpoint.id}` starts it.")


def stop(endpoint: Endpoint) -> None:
    """Ask an endpoint to stop: requests in flight are answered. Returns once it has stopped."""
    if not state_of(endpoint).alive:
        raise Problem(f"The endpoint {endpoint.id} is not running.")
    try:
        commands.append(endpoint.control, "stop")
    except OSError:  # the disk is full, so the command cannot be written
        _signal(endpoint, "parent", signal.SIGTERM)
    for last in (False, True):
        deadline = time.monotonic() + STOPPING
        while state_of(endpoint).alive and time.monotonic() < deadline:
            time.sleep(0.05)
        if not state_of(endpoint).alive:
            return
        if not last:
            # It does not read the command: its directory was moved, or its supervisor hangs.
            for which in ("parent", "worker"):
                _signal(endpoint, which, signal.SIGTERM)
    raise Problem(f"{endpoint.id} does not stop.", f"`dlwb endpoint logs {endpoint.id}` shows more.")


def kill(endpoint: Endpoint) -> None:
    """End the processes of an endpoint at once."""
    deadline = time.monotonic() + 10
    while state_of(endpoint).alive and time.monotonic() < deadline:
        # The supervisor first: it would start the server again.
        for which in ("parent", "worker"):
            _signal(endpoint, which, signal.SIGKILL)
        time.sleep(0.05)


def delete(endpoint: Endpoint) -> None:
    """Remove the directory of an endpoint that is not running; the hours that it served stay noted.

    Its lock is held meanwhile, so that nobody starts it.
    """
    try:
        held = lock.Lock.take(endpoint.lock)
        if held is None:
            raise Problem(f"The endpoint {endpoint.id} is running.", f"`dlwb endpoint stop {endpoint.id}` first.")
        try:
            doomed = endpoint.path.with_name(f".deleted-{endpoint.id}-{os.getpid()}")  # no list shows a half-deleted one
            used = of_endpoint(endpoint)
            endpoint.path.rename(doomed)
            shutil.rmtree(doomed)
            with contextlib.suppress(OSError):
                keep(used)
        finally:
            held.release()
    except OSError as error:
        raise files.problem(f"The endpoint {endpoint.id}", "deleted", error) from error


def at_its_end(endpoint: Endpoint) -> Tail:
    """A reader of what the log says from now on."""
    tail = Tail(endpoint.events)
    for _ in tail.read():
        pass
    return tail


def _until(endpoint: Endpoint, tail: Tail, reached: Callable[[Any], bool]) -> bool:
    """Read the log until an event is the right one; False where the endpoint ends before."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        alive = state_of(endpoint).alive  # asked before reading, so that nothing written before its end is missed
        for event in tail.read():
            if reached(event):
                return True
            if isinstance(event, Mark):
                deadline = time.monotonic() + PATIENCE
        if not alive:
            return False
        time.sleep(0.05)
    raise Problem(f"{endpoint.id} has not answered for {PATIENCE:.0f} s.", f"`dlwb endpoint logs {endpoint.id}` shows more.")


def _complete() -> None:
    """Raises Problem where a package of the extra is not installed, before any work."""
    from importlib.util import find_spec

    for package in ("starlette", "uvicorn", "onnxruntime", "prometheus_client"):
        if find_spec(package) is None:
            raise missing("Serving", package.replace("_", "-"), "serve")


def _free(host: str) -> int:
    """The usual port, or the first free one after it that no endpoint of ours has."""
    taken = {endpoint.about.port for endpoint in list_endpoints() if state_of(endpoint).alive}
    for port in range(PORT, PORT + PORTS):
        if port not in taken:
            with socket.socket() as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    trial.bind((host, port))
                    return port
                except OSError:
                    continue
    raise Problem(f"The ports {PORT} to {PORT + PORTS - 1} of {host} are all in use.", "Name a free one with --port.")


def _signal(endpoint: Endpoint, which: str, number: int) -> bool:
    process = lock.content(endpoint.lock).get(which)
    pid, ticks = (whole(process.get(name)) for name in ("pid", "ticks")) if isinstance(process, dict) else (0, 0)
    return pid > 0 and ticks > 0 and lock.send(pid, ticks, number)


def plain(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as plain data, for lists and programs: state, address, configuration, and its newest figures."""
    state = state_of(endpoint)
    about, current = endpoint.about, endpoint.current
    config = endpoint.config(current.config)
    figures = latest(endpoint)
    variants = [
        {
            "name": plan.name,
            "model": plan.label,
            "digest": plan.digest,
            "shadow": plan.name == config.shadow,
            **{key.partition("/")[0]: value for key, value in figures.items() if key.partition("/")[2] == plan.name},
        }
        for plan in config.variants
    ]
    return {
        "name": endpoint.id,
        "state": state.state,
        "cause": state.cause,
        "message": state.message,
        "alive": state.alive,
        "url": endpoint.url,
        "config": current.config,
        "configs": endpoint.numbers(),
        "canary": msgspec.to_builtins(config.canary),
        "limits": msgspec.to_builtins(config.limits),
        "capture": config.capture,
        "isolate": about.isolate,
        "idle": about.idle,
        "variants": variants,
        "figures": {key: value for key, value in figures.items() if "/" not in key},
    }


def latest(endpoint: Endpoint) -> dict[str, float]:
    """The newest figures in its log; {} where there are none."""
    values: dict[str, float] = {}
    for event in newest(endpoint):
        if isinstance(event, Scalars):
            values = event.values | values
            if "rate" in event.values:  # others hold drift alone
                break
    return values
