"""The shell as its users have it: the real `dlwb`, its streams and its exit codes."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lines import LONG, SLOW, at_step, ended, folded, start, write

from workbench import events
from workbench.launch import start as launch
from workbench.runs.run import find_run, list_runs
from workbench.runs.state import state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def dlwb(*words: str, **how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **how)  # type: ignore[call-overload, no-any-return]


def test_run_follow_and_export(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    done = dlwb("run", str(recipe), "--follow", "--set", "config.learning_rate=0.1")
    assert done.returncode == 0, done.stderr
    run = find_run("last")
    assert done.stdout.splitlines()[0] == run.id
    assert done.stdout.splitlines()[1].startswith("test/loss ")
    assert "valid/loss" in done.stderr and "finished" in done.stderr
    assert run.recipe().config["learning_rate"] == 0.1

    records = json.loads(dlwb("export", run.id, "--to", "json").stdout)
    written = run.events.read_bytes().splitlines()
    assert len(records) == len(written) - 1  # the version line is no record
    assert records[0]["type"] == "status"

    rows = list(csv.DictReader(io.StringIO(dlwb("export", run.id, "--to", "csv").stdout)))
    history = folded(run)
    assert len(rows) == sum(map(len, history.series.values()))
    wanted = history.last("train/loss")
    assert [float(row["value"]) for row in rows if row["tag"] == "train/loss"][-1] == wanted

    assert "test/loss" in dlwb("runs").stdout
    [listed] = json.loads(dlwb("runs", "--json").stdout)
    assert listed["state"]["state"] == "finished" and listed["bars"][0]["passed"] is True


def test_an_export_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    run = start(tmp_path)
    ended(run)
    whole = json.loads(dlwb("export", run.id, "--to", "json").stdout)
    lines = run.events.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b"e", b"E", 1)
    run.events.write_bytes(b"".join(lines) + events.encode(events.Scalars({"train/loss": float("nan")}))[:-9])
    read = json.loads(dlwb("export", run.id, "--to", "json").stdout)
    assert read == whole[:4] + whole[5:]
    told = dlwb("logs", run.id, "--events").stderr
    assert told.count("Left out of the log: 1 record that cannot be read.") == 1, told


def test_tensorboard_reads_what_is_exported(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = start(tmp_path)
    ended(run)
    folder = tmp_path / "board"
    assert dlwb("export", run.id, "--to", "tensorboard", "--out", str(folder)).returncode == 0
    reader = accumulator.EventAccumulator(str(folder))
    reader.Reload()
    series = folded(run).series["train/loss"]
    read = reader.Scalars("train/loss")
    assert [point.step for point in read] == list(series.steps)
    assert [point.value for point in read] == pytest.approx(list(series.values), rel=1e-6)


def test_exit_codes_and_streams(tmp_path: Path) -> None:
    failing = start(tmp_path / "a", "{event: exception}")
    stopped = start(tmp_path / "b", SLOW, LONG)
    at_step(stopped, 3)
    assert dlwb("stop", stopped.id).returncode == 0
    assert dlwb("wait", failing.id).returncode == 1
    assert dlwb("wait", stopped.id).returncode == 3
    assert dlwb("wait", stopped.id, failing.id).returncode == 1
    assert dlwb("nonsense").returncode == 2
    missing = dlwb("show", "digits-mpl")
    assert missing.returncode == 1 and missing.stdout == "" and "digits-mpl" in missing.stderr and "Traceback" not in missing.stderr
    gone = dlwb("logs", "nothing-like-it")
    assert gone.returncode == 1 and "There is no run nothing-like-it" in gone.stderr
    shown = dlwb("logs", failing.id)
    assert "the dog ate it" in shown.stdout and "\x1b" not in shown.stdout


def test_a_bad_recipe_is_reported_whole(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    recipe.write_text(recipe.read_text().replace("title:", "titel:").replace("config: {}", "config: {learning_rat: 0.1, sleep: much}"))
    done = dlwb("check", str(recipe))
    assert done.returncode == 1 and done.stdout == ""
    for words in ("titel", "title", "learning_rate", "sleep"):
        assert words in done.stderr
    assert dlwb("run", str(recipe)).returncode == 1
    assert not list_runs()


def test_own_code_is_not_run_until_it_is_trusted(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    (tmp_path / "line.py").write_text((tmp_path / "line.py").read_text() + f"\nopen({str(tmp_path / 'ran')!r}, 'w')\n")
    refused = dlwb("run", str(recipe))
    assert refused.returncode == 1 and "is not trusted" in refused.stderr and "dlwb trust" in refused.stderr
    assert "until you trust" in dlwb("check", str(recipe)).stdout
    assert dlwb("list").returncode == 0
    assert not (tmp_path / "ran").exists()
    assert dlwb("trust", str(tmp_path / "line.py")).returncode == 0
    assert dlwb("run", str(recipe)).returncode == 0
    assert (tmp_path / "ran").exists()


def test_ctrl_c_lets_go_and_the_run_goes_on(tmp_path: Path) -> None:
    recipe = write(tmp_path, SLOW, LONG)
    following = subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", "run", str(recipe), "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert following.stdout and following.stderr
    run = find_run(following.stdout.readline().strip())
    at_step(run, 10)
    os.killpg(following.pid, signal.SIGINT)  # as a terminal does
    said = following.stderr.read()
    assert following.wait() == 130
    assert f"`dlwb stop {run.id}` stops it" in said and "Traceback" not in said
    step = folded(run).step
    at_step(run, step + 10)
    assert state_of(run).alive


def test_steering_from_the_shell(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, LONG)
    at_step(run, 3)
    assert dlwb("pause", "last").returncode == 0
    assert state_of(run).state == "paused"
    assert dlwb("set", run.id, "config.learning_rate=0.01").returncode == 0
    wrong = dlwb("set", run.id, "config.learning_rat=0.01")
    assert wrong.returncode == 1 and "cannot be changed" in wrong.stderr
    assert dlwb("sample", run.id, "--set", "at=2").returncode == 0
    assert dlwb("resume", run.id).returncode == 0
    assert dlwb("checkpoint", run.id).returncode == 0
    assert dlwb("kill", run.id).returncode == 0
    assert ended(run).cause == "killed"
    resumed = dlwb("resume", run.id)
    assert resumed.returncode == 0 and resumed.stdout.strip() == run.id
    at_step(run, folded(run).step + 3)
    assert dlwb("delete", run.id).returncode == 1
    dlwb("stop", run.id)
    ended(run)
    assert dlwb("delete", run.id).returncode == 0
    assert not list_runs()


def test_resume_follows_from_where_it_goes_on(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, LONG)
    at_step(run, 5)
    dlwb("pause", run.id)
    before = folded(run).step
    following = subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", "resume", run.id, "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    at_step(run, before + 10)
    dlwb("stop", run.id)
    printed, told = following.communicate(timeout=60)
    assert following.returncode == 3 and printed == ""
    steps = [int(line.split()[1]) for line in told.splitlines() if line.startswith("step ") and "train/loss" in line]
    assert len(steps) > 1 and min(steps) > before and "stopped" in told
    ended(run)
    again = subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", "resume", run.id, "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    before = folded(run).step
    assert again.stdout and again.stdout.readline().strip() == run.id  # it lives now
    at_step(run, before + 10)
    dlwb("kill", run.id)
    printed, told = again.communicate(timeout=60)
    assert again.returncode == 3 and not printed
    steps = [int(line.split()[1]) for line in told.splitlines() if line.startswith("step ") and "train/loss" in line]
    assert steps and min(steps) > before


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    run = start(tmp_path)
    ended(run)
    script = f"{sys.executable} -m workbench.cli export {run.id} --to json | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_queued_runs_wait_for_their_device(tmp_path: Path, home: Path) -> None:
    from workbench.launch import devices
    from workbench.runs import lock

    recipe = write(tmp_path)
    from workbench.recipes.load import load_recipe

    Path(devices.device_lock("cuda:0")).parent.mkdir(parents=True, exist_ok=True)
    held = lock.Lock.take(Path(devices.device_lock("cuda:0")))
    assert held
    run = launch.create(load_recipe(recipe), "cuda:0")
    launch.launch(run)
    time.sleep(0.3)
    state = state_of(run)
    assert state.state == "queued" and state.message == "waiting for cuda:0"
    held.release()
    assert ended(run).state == "finished"
    Path(devices.device_lock("cuda:0")).parent.mkdir(parents=True, exist_ok=True)
    held = lock.Lock.take(Path(devices.device_lock("cuda:0")))
    assert held
    second = launch.create(load_recipe(recipe), "cuda:0")
    launch.launch(second)
    launch.stop(second)
    assert ended(second).state == "stopped"
    held.release()


def test_an_export_opens_only_plain_files(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = start(tmp_path)
    ended(run)
    os.mkfifo(run.path / "artifacts" / "1.png")
    (tmp_path / "secret").write_bytes(b"a secret")
    (run.path / "artifacts" / "2.png").symlink_to(tmp_path / "secret")
    with run.events.open("ab") as file:
        for number in (1, 2, 3):  # the third is not there
            file.write(events.encode(events.Images("a/b", file=f"artifacts/{number}.png")))
    folder = tmp_path / "board"
    done = dlwb("export", run.id, "--to", "tensorboard", "--out", str(folder))
    assert done.returncode == 0, done.stderr
    assert b"a secret" not in b"".join(path.read_bytes() for path in folder.iterdir())
    reader = accumulator.EventAccumulator(str(folder))
    reader.Reload()
    assert "train/loss" in reader.Tags()["scalars"] and not reader.Tags()["images"]


def test_stopping_at_any_moment_of_its_start(tmp_path: Path) -> None:
    recipe = write(tmp_path, SLOW, LONG)
    for pause in (0.0, 0.05, 0.15, 0.4):
        run = launch.start(str(recipe))
        time.sleep(pause)
        launch.stop(run)
        state = ended(run)
        assert (state.state, state.cause) == ("stopped", "person"), (pause, state)
        run = launch.start(str(recipe))
        time.sleep(pause)
        launch.kill(run)
        state = ended(run)
        assert (state.state, state.cause) == ("stopped", "killed"), (pause, state)


def test_only_one_of_two_resumes_starts_it(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, LONG)
    at_step(run, 5)
    launch.stop(run)
    ended(run)
    command = [sys.executable, "-m", "workbench.cli", "resume", run.id]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted((each.wait(), each.communicate()[1]) for each in both)
    assert [code for code, _ in said] in ([0, 1], [0, 0])  # the second may find it alive: "It is not paused."
    refusals = ("is running already", "is queued, so it cannot be resumed yet") if said[1][0] else ("It is not paused",)
    assert run.id in said[1][1] and any(words in said[1][1] for words in refusals)
    assert state_of(run).attempt == 2


def test_a_finished_run_is_not_resumed(tmp_path: Path) -> None:
    run = start(tmp_path, train="{epochs: 1}")
    assert ended(run).state == "finished"
    done = dlwb("resume", run.id)
    assert done.returncode == 1 and "has finished" in done.stderr
    assert state_of(run).attempt == 1


def test_a_queued_run_is_not_paused(tmp_path: Path) -> None:
    from workbench.launch import devices
    from workbench.recipes.load import load_recipe
    from workbench.runs import lock

    place = devices.device_lock("cuda:0")
    place.parent.mkdir(parents=True, exist_ok=True)
    held = lock.Lock.take(place)
    assert held
    run = launch.create(load_recipe(write(tmp_path)), "cuda:0")
    launch.launch(run)
    deadline = time.monotonic() + 30
    while state_of(run).message != "waiting for cuda:0" and time.monotonic() < deadline:
        time.sleep(0.02)
    done = dlwb("pause", run.id)
    held.release()
    assert done.returncode == 1 and "waiting for cuda:0, so it cannot be paused yet" in done.stderr


def test_a_terminal_without_our_signs_and_streams_that_are_not_there(tmp_path: Path) -> None:
    run = start(tmp_path)
    ended(run)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    listed = dlwb("runs", env=environment)  # type: ignore[arg-type]
    assert listed.returncode == 0 and run.id in listed.stdout and "Traceback" not in listed.stderr
    json.loads(dlwb("runs", "--json", env=environment).stdout)  # type: ignore[arg-type]
    gone = tmp_path / "gone"
    for words in (f"export {run.id} --to json >&-", f"runs > /dev/full; cd {gone} && rmdir {gone} && dlwb list", "runs | true"):
        gone.mkdir(exist_ok=True)
        script = f'dlwb() {{ {sys.executable} -m workbench.cli "$@"; }}; dlwb {words}'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, (words, done.stderr)
        assert "list" not in words or "digits-mlp" in done.stdout
