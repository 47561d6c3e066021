"""The Python that waits with torch imported, in real processes: what it refuses, how it dies, how it is shared, how it answers."""

import asyncio
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from gpu_machine import CUDA_LINE, dlwb, machine
from lines import LINE, LONG, SLOW, at_step, ended, folded, send, until, write
from test_warm import ONE, Program, lives, parent, program, runtime, start_line, waiting, worker

from workbench import preferences
from workbench.launch import start as launch
from workbench.launch import warm
from workbench.launch.doctor import session
from workbench.launch.surroundings import worker_environment
from workbench.problems import Problem
from workbench.runs import lock
from workbench.runs.run import list_runs
from workbench.runs.state import state_of
from workbench.tui.models.answering import Answering
from workbench.tui.models.warm_answers import WarmAnswers

__all__ = ["program", "runtime"]

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_what_is_taken_has_the_folder_the_output_and_the_death_of_a_cold_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program
) -> None:
    program()
    taken = waiting()
    assert not Path(f"/proc/{taken}/maps").read_text().count("libcuda.so"), "no CUDA context"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLWB_MIRROR", str(tmp_path))
    hello = "import os, sys\nprint(os.getcwd(), os.environ['DLWB_MIRROR'], sys.argv[1:], flush=True)\nimport numpy as np"
    run = start_line(tmp_path / "own", LINE.replace("import numpy as np", hello, 1))
    assert worker(run) == taken and parent(taken) == lock.content(run.lock)["parent"]["pid"]
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path(f"/proc/{taken}/task").iterdir()} == {usual}
    at_step(run, 20)
    assert run.output.read_text().startswith(f"{tmp_path} {tmp_path} {[str(run.path)]}")
    assert "SIGTERM" not in state_of(run).words
    following = waiting(other_than=taken)
    send(run, "worker", signal.SIGKILL)
    state = ended(run)
    assert (state.state, state.cause, state.message) == ("failed", "signal", "Killed from outside: SIGKILL.")
    assert json.loads((run.path / "exit.json").read_text())["signal"] == signal.SIGKILL
    launch.launch(run)  # and the next one resumes it
    assert worker(run) == following
    at_step(run, folded(run).step + 10)
    launch.stop(run)
    assert (ended(run).state, state_of(run).cause) == ("stopped", "person")
    preferences.put("warm", "off")
    until(lambda: not lock.is_held(warm.place().with_suffix(".lock")))
    keeper = program()
    assert keeper.wait(20) == 0 and not lock.is_held(warm.place().with_suffix(".lock")), "switched off, none is started"
    assert "No Python with torch waits" in session.waiting().text


def test_it_takes_only_what_finds_the_same_and_ends_with_the_last_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program
) -> None:
    keepers = [program(), program()]
    pid = waiting()
    assert re.fullmatch(r"A Python with torch waits for the next run, with \d+ MB of memory; .* warm=off` ends it.", session.waiting().text)

    def fits(threads: int = 1) -> bool:
        line = warm._ready(worker_environment(os.environ, threads))
        if line:
            line.close()
        return line is not None

    assert fits()
    assert not fits(2)
    for name in ("CUDA_VISIBLE_DEVICES", "MKL_CBWR", "LD_PRELOAD", "PYTHONHASHSEED", "A_VARIABLE_THAT_NOBODY_KNOWS"):
        with monkeypatch.context() as changed:
            changed.setenv(name, "0")
            assert not fits(), name
    with monkeypatch.context() as changed:
        changed.setenv("TERM", "vt100")
        changed.setenv("DLWB_MIRROR", "/")
        assert fits()
    mask = os.umask(0o077)
    assert not fits()
    os.umask(mask)
    with monkeypatch.context() as changed:
        changed.setattr(warm, "is_ours", lambda line: False)
        assert not fits(), "what another person's process offers"
    folder = warm.place().parent
    folder.chmod(0o755)
    assert not fits(), "a folder that others may enter"
    folder.chmod(0o700)
    two = launch.start("digits-mlp", ["compute.threads=2"])
    assert worker(two) != pid
    launch.kill(two)
    assert fits(), "it still waits"
    keepers[0].kill()
    time.sleep(0.5)
    assert fits() and warm.waits() == pid
    keepers[1].kill()
    until(lambda: not lives(pid), 10)
    until(lambda: not warm.place().exists())


def test_one_that_hangs_or_was_killed_is_not_waited_for(tmp_path: Path, program: Program) -> None:
    program()
    pid = waiting()
    above = parent(pid)
    os.kill(above, signal.SIGSTOP)
    began = time.monotonic()
    run = start_line(tmp_path / "stopped")
    assert warm.PATIENCE <= time.monotonic() - began < warm.PATIENCE + 5
    assert worker(run) != pid
    at_step(run, 5)
    os.kill(above, signal.SIGCONT)
    time.sleep(0.5)
    assert warm.waits() == pid and worker(run) != pid, "it took no order that came too late"
    launch.kill(run)
    os.kill(above, signal.SIGKILL)
    until(lambda: not lives(pid), 10)
    assert warm.place().is_socket(), "nobody listens there"
    run = start_line(tmp_path / "killed")
    at_step(run, 5)
    launch.kill(run)
    program()  # the one before gave up: whatever killed it may do so again
    pid = waiting()
    above = parent(pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not lives(above), 10)
    run = start_line(tmp_path / "worker")
    at_step(run, 5)
    launch.kill(run)


def test_one_that_dies_in_the_moment_it_is_taken_is_replaced_by_a_cold_one(tmp_path: Path, program: Program) -> None:
    program()
    pid = waiting()
    os.kill(pid, signal.SIGSTOP)  # it hears of nothing: the order lies in the socket when it is killed
    run = start_line(tmp_path)
    assert worker(run) == pid
    os.kill(pid, signal.SIGKILL)
    state = ended(run)
    assert (state.state, state.cause, state.message) == ("failed", "signal", "Killed from outside: SIGKILL."), "one worker, one death"
    launch.launch(run)
    at_step(run, 5)
    launch.kill(run)


def test_changed_code_is_not_run_by_an_old_one(monkeypatch: pytest.MonkeyPatch, program: Program) -> None:
    program()
    place = warm.place()
    first = until(lambda: place.exists() and place.stat().st_ctime_ns)
    time.sleep(1)  # until it is kept
    with monkeypatch.context() as changed:
        changed.setattr(warm, "code", lambda: "as if a file was changed")
        assert warm._ready(worker_environment(os.environ, 1)) is None
    until(lambda: place.exists() and place.stat().st_ctime_ns != first)  # another one, with the new code


def test_a_gpu_is_handed_down_with_the_run_and_none_is_waited_for_with_torch_in_memory(tmp_path: Path, program: Program) -> None:
    environment = machine(tmp_path, "70000/80000")
    recipe = write(tmp_path / "project", SLOW, LONG, CUDA_LINE)
    program(environment)
    taken = waiting()
    assert dlwb(environment, "run", str(recipe), "--set", ONE, "--device", "cuda:0").returncode == 0
    (first,) = list_runs()
    assert worker(first) == taken
    at_step(first, 5)
    following = waiting(other_than=taken)
    assert dlwb(environment, "run", str(recipe), "--set", ONE, "--device", "cuda:0").returncode == 0
    second = max(list_runs(), key=lambda run: run.id)
    until(lambda: state_of(second).message == "waiting for cuda:0")
    until(lambda: not lives(following))
    send(first, "parent", signal.SIGKILL)
    time.sleep(0.5)
    assert state_of(second).state == "queued", "the worker holds its GPU by itself"
    send(first, "worker", signal.SIGKILL)
    at_step(second, 5)
    assert folded(second).device.startswith("cuda:0") and worker(second) not in (taken, following)


async def test_answers_come_from_it_too(tmp_path: Path, program: Program) -> None:
    run = start_line(
        tmp_path, LINE.replace("import numpy as np", "import sys\nprint('to the answers?', file=sys.stdout)\nimport numpy as np", 1)
    )
    at_step(run, 20)
    launch.stop(run)
    ended(run)
    cold = Answering(run)
    await cold.start(print)
    assert not isinstance(cold._process, WarmAnswers)
    right = (await cold.ask(predict={"x": 2.0}))["outputs"]
    await cold.close()
    program()
    for how in ("killed", "closed"):
        pid = waiting()
        answering = Answering(run)
        stages: list[str] = []
        about = await answering.start(stages.append)
        assert isinstance(answering._process, WarmAnswers) and answering._process.pid == pid
        assert about["ready"] and stages
        assert (await answering.ask(predict={"x": 2.0}))["outputs"] == right
        with pytest.raises(Problem, match="at"):
            await answering.ask(sample={"at": "x"})
        if how == "killed":
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(Problem, match="The process that answers has ended: SIGKILL"):
                await answering.ask(predict={"x": 2.0})
        else:
            await answering.close()
        await asyncio.to_thread(until, lambda pid=pid: not lives(pid), 10)
