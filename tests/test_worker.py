"""Real workers in the background: they are paused, steered, killed and resumed, and every way to die has its name."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lines import LINE, LONG, SLOW, at_step, comparable, created, ended, folded, send, start, until

from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.runs import commands, lock, trash
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.run import list_runs
from workbench.runs.state import state_of
from workbench.runs.summary import summary_of
from workbench.training.numpy_state import decode_npz

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_a_run_from_start_to_end(tmp_path: Path) -> None:
    run = start(tmp_path)
    state = ended(run)
    assert (state.state, state.cause, state.attempt) == ("finished", "steps", 1)
    history = folded(run)
    assert history.step == history.steps == 100
    assert history.last("test/loss") is not None
    assert summary_of(run).last["test/loss"] == history.last("test/loss")
    assert (run.path / "project.py").read_text() == LINE
    assert not lock.is_held(run.lock)


@pytest.mark.parametrize("seed", range(4))
def test_after_any_kill_it_resumes_to_the_same_run(tmp_path: Path, seed: int) -> None:
    train = "{epochs: 10, batch_size: 10, log_every: 7, checkpoint_every: 16, keep_best: valid/loss}"
    never = start(tmp_path, "{sleep: 0.003}", train)
    killed = start(tmp_path, "{sleep: 0.003}", train)
    chance = random.Random(seed)
    deaths = 0
    for _ in range(3):
        at_step(killed, folded(killed).step + chance.randrange(1, 60))
        time.sleep(chance.uniform(0, 0.05))
        if not state_of(killed).alive:
            break
        before = folded(killed).step
        send(killed, "worker", signal.SIGKILL)
        deaths += 1
        assert ended(killed).cause == "signal"
        assert folded(killed).step >= before
        launch.launch(killed)
        redone = until(
            lambda number=deaths + 1: [each for each in folded(killed).statuses if (each.state, each.attempt) == ("running", number)]
        )
        assert before - redone[0].from_step <= 16 + 1
    assert deaths
    assert ended(killed).state == ended(never).state == "finished"
    assert comparable(folded(killed)) == comparable(folded(never))
    weights = [Checkpoints(run.path / "checkpoints").newest(decode_npz)[1]["state"]["weights"] for run in (killed, never)]  # type: ignore[index]
    assert weights[0].tobytes() == weights[1].tobytes()


def test_sigterm_saves_and_resumes(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, LONG)
    at_step(run, 20)
    send(run, "worker", signal.SIGTERM)
    state = ended(run)
    assert (state.state, state.cause) == ("stopped", "sigterm")
    step = folded(run).step
    newest = Checkpoints(run.path / "checkpoints").newest(decode_npz)
    assert newest and newest[0].step >= step
    launch.launch(run)
    at_step(run, step + 10)
    launch.stop(run)
    assert ended(run).cause == "person"


def test_sigterm_to_the_supervisor_is_passed_on(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, LONG)
    at_step(run, 10)
    send(run, "parent", signal.SIGTERM)
    assert ended(run).cause == "sigterm"


def test_a_person_stops_and_kills(tmp_path: Path) -> None:
    stopped, killed = start(tmp_path, SLOW, LONG), start(tmp_path, SLOW, LONG)
    at_step(stopped, 5)
    at_step(killed, 5)
    launch.stop(stopped)
    launch.kill(killed)
    assert (ended(stopped).state, ended(stopped).cause) == ("stopped", "person")
    assert (ended(killed).state, ended(killed).cause) == ("stopped", "killed")


def test_its_supervisor_may_die_and_it_goes_on(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, "{epochs: 10, batch_size: 10, log_every: 5}")
    at_step(run, 10)
    send(run, "parent", signal.SIGKILL)
    time.sleep(0.1)
    assert state_of(run).alive
    assert ended(run).state == "finished"
    assert folded(run).step == 200


def test_when_both_die_it_vanished_and_after_a_restart_that_is_said(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, LONG)
    at_step(run, 10)
    send(run, "parent", signal.SIGKILL)
    send(run, "worker", signal.SIGKILL)
    assert ended(run).cause == "vanished"
    content = {**lock.content(run.lock), "boot": "another"}
    run.lock.write_text(json.dumps(content))
    assert state_of(run).cause == "restart"
    run.lock.write_text(json.dumps({**content, "host": "gpu07"}))
    state = state_of(run)
    assert state.state == "away" and state.message.startswith("on gpu07, last line ")
    with pytest.raises(Problem, match="gpu07"):
        launch.launch(run)
    with pytest.raises(Problem, match="gpu07"):
        trash.delete(run)


def test_pausing_steering_and_asking(tmp_path: Path) -> None:
    run = start(tmp_path, "{sleep: 0.002}", LONG)
    at_step(run, 5)
    assert launch.answer(run, launch.command(run, "pause")) == (True, "paused")
    until(lambda: state_of(run).state == "paused")
    step = folded(run).step
    assert launch.answer(run, launch.command(run, "set", {"config.learning_rate": 0.01})) == (True, "")
    ok, message = launch.answer(run, launch.command(run, "set", {"config.sleep": 1}))
    assert not ok and "config.sleep cannot be changed while the run goes on" in message
    ok, message = launch.answer(run, launch.command(run, "set", {"config.learning_rate": -1}))
    assert not ok and "learning_rate" in message
    assert launch.answer(run, launch.command(run, "sample", {"at": 3}))[0]
    ok, message = launch.answer(run, launch.command(run, "sample", {"att": 3}))
    assert not ok and "att" in message
    assert folded(run).step <= step + 3  # the window that was open may have closed at the pause
    assert folded(run).samples["sample/line"].latest.text.startswith("y(3.0) = ")  # type: ignore[union-attr]
    assert launch.answer(run, launch.command(run, "resume"))[0]
    at_step(run, step + 20)
    assert launch.answer(run, launch.command(run, "checkpoint"))[0]
    assert [mark.settings for mark in folded(run).marks] == [{"config.learning_rate": 0.01}]
    assert any(generation.pinned for generation in Checkpoints(run.path / "checkpoints").generations())
    launch.stop(run)
    assert ended(run).state == "stopped"
    with pytest.raises(Problem, match="is not running"):
        launch.command(run, "pause")


def test_a_command_is_done_once_whatever_its_line_looks_like(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, LONG)
    at_step(run, 5)
    identity = commands.append(run.control, "sample", {"at": 2})
    line = run.control.read_bytes()
    with run.control.open("ab") as file:
        file.write(b"nonsense\n{}\n" + line + line[:20])
    assert launch.answer(run, identity)[0]
    at_step(run, folded(run).step + 20)
    texts = [event for event in folded(run).samples["sample/line"].events if event.text.startswith("y(2.0)")]  # type: ignore[union-attr]
    assert len(texts) == 1


def test_only_one_supervisor_at_a_time(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, LONG)
    with pytest.raises(Problem, match="is running already"):
        launch.launch(run)
    with pytest.raises(Problem, match="is running"):
        trash.delete(run)
    at_step(run, 1)
    launch.stop(run)
    ended(run)
    trash.delete(run)
    assert run not in list_runs()


def test_children_of_the_project_do_not_keep_the_run_alive(tmp_path: Path) -> None:
    run = start(tmp_path, "{event: fork}")
    until(lambda: not state_of(run).alive, 20)
    assert state_of(run).state == "finished"


def test_changed_code_is_said_and_wants_anyway(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, LONG)
    at_step(run, 5)
    launch.stop(run)
    ended(run)
    recipe = (run.path / "recipe.yaml").read_text()
    shipped = "bike_sharing"
    (run.path / "recipe.yaml").write_text(recipe.replace("project: ./project.py", f"project: {shipped}"))
    with pytest.raises(Problem, match=f"The code of {shipped} has changed"):
        launch.launch(run)


def test_code_that_nobody_trusted_never_runs(tmp_path: Path) -> None:
    run = created(tmp_path)
    (run.path / "project.py").write_text(LINE + f"\nopen({str(tmp_path / 'ran')!r}, 'w')\n")
    launch.launch(run)
    state = ended(run)
    assert (state.state, state.cause) == ("failed", "import")
    assert "is not trusted" in state.message
    assert not (tmp_path / "ran").exists()


def test_answers_from_the_best_weights(tmp_path: Path) -> None:
    run = start(tmp_path)
    ended(run)
    asked = '{"id": 1, "predict": {"x": 0.5}}\nnonsense\n{"id": 2, "sample": {"at": 1}}\n{"id": 3, "sample": {"wrong": 1}}\n'
    done = subprocess.run(
        [sys.executable, "-m", "workbench.training.answer", str(run.path)], input=asked, capture_output=True, text=True, check=True
    )
    *doing, ready, first, second, third, whole, fourth = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["doing"] for each in doing] == ["reading its data", "building its network", "loading its weights"]
    assert ready["ready"] and ready["step"] == 100
    assert abs(first["outputs"]["y"] - 2) < 0.3
    assert not second["ok"] and "JSON" in second["message"]
    assert third["more"] and third["event"]["text"].startswith("y(1.0) = ") and whole == {"id": 2, "ok": True}
    assert not fourth["ok"] and "wrong" in fourth["message"]


def test_output_is_bounded(tmp_path: Path) -> None:
    source = LINE.replace("self.steps_done += 1", "self.steps_done += 1\n        print('x' * 200_000)")
    run = start(tmp_path, source=source)
    assert ended(run).state == "finished"
    sizes = [path.stat().st_size for path in run.path.glob("output.log*")]
    assert len(sizes) == 2 and sum(sizes) <= 2 * (4 << 20)


def test_the_threads_of_the_recipe_are_what_numpy_has(tmp_path: Path) -> None:
    said = "self.steps_done = 0\n        import os\n        print('threads', os.environ['OPENBLAS_NUM_THREADS'])"
    source = LINE.replace("self.steps_done = 0", said)
    from lines import write

    run = launch.start(str(write(tmp_path, source=source)), ["compute.threads=1"])
    assert ended(run).state == "finished"
    assert "threads 1\n" in run.output.read_text()


def test_a_worker_that_could_not_be_started_has_a_name(tmp_path: Path, home: Path) -> None:
    run = created(tmp_path)
    (home / "devices").parent.mkdir(exist_ok=True)
    (home / "devices").write_text("no folder")
    text = (run.path / "recipe.yaml").read_text()
    (run.path / "recipe.yaml").write_text(text.replace("device: cpu", "device: cuda:0"))
    launch.launch(run)
    state = ended(run)
    assert (state.state, state.cause) == ("failed", "error") and "could not be started" in state.message


def test_a_short_ending_after_a_long_one_can_be_read(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, LONG)
    at_step(run, 5)
    launch.stop(run)
    ended(run)
    (run.path / "exit.json").write_text(json.dumps({"attempt": 1, "message": "é" * 4000}))
    launch.launch(run)
    launch.stop(run)
    assert ended(run).state == "stopped"
    assert json.loads((run.path / "exit.json").read_text())["attempt"] == 2
