"""Signals for people who are away: a program and a webhook of one's own hear of real runs that end, fail, pass a bar, or make no step."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lines import LINE, at_step, created, ended, send, start, until, write
from webhooks import Server, webhook

from workbench import paths, preferences
from workbench.events import Scalars, Status
from workbench.launch import comparing, notifying, signalling
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.recipes.load import load_recipe
from workbench.runs import lock, signals
from workbench.runs.log import EventLog
from workbench.runs.signals import Signal
from workbench.runs.state import state_of
from workbench.tui.models.ringing import Ringing

pytestmark = pytest.mark.usefixtures("nothing_is_left", "no_sender_is_left")

TELLING = """
import json, os, sys
names = ("WHAT", "RUN", "RECIPE", "TEXT", "FIGURES")
said = {name: os.environ["DLWB_" + name] for name in names}
with open(sys.argv[1], "a") as file:
    file.write(json.dumps({"environment": said, "input": json.load(sys.stdin), "words": sys.argv[2:]}) + "\\n")
"""


@pytest.fixture
def hook(home: Path) -> Iterator[Server]:
    with webhook() as server:
        preferences.put("notify.webhook", f"{server.url}/hook")
        yield server


@pytest.fixture
def no_sender_is_left() -> Iterator[None]:
    """A sender may wait for a minute."""
    yield
    end_sender()


def end_sender() -> None:
    process = lock.content(paths.signals() / "lock").get("process")
    if process and lock.is_held(paths.signals() / "lock"):
        lock.send(process["pid"], process["ticks"], signal.SIGKILL)
        until(lambda: not lock.is_held(paths.signals() / "lock"))


def telling(folder: Path) -> Path:
    """A program of a person's own that notes what it is told; returns the file of its notes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tell.py").write_text(TELLING)
    preferences.put("notify.command", f"{sys.executable} {folder / 'tell.py'} {folder / 'told'} '$(touch {folder / 'oops'})'")
    return folder / "told"


def a_signal(what: str = "end", run: str = "2026-11-30_000000_line", text: str = "a run has ended") -> Signal:
    return Signal(what=what, run=run, recipe="line", text=text)


def test_a_run_that_passes_its_bar_and_ends_is_told_once_with_its_figures(tmp_path: Path, hook: Server) -> None:
    told = telling(tmp_path / "mine")
    run = start(tmp_path, train="{epochs: 20, batch_size: 10, log_every: 7, keep_best: valid/loss}")
    assert ended(run).state == "finished"
    until(lambda: not signals.unsent())
    # The bar is of the test at the very end: both are in one message.
    [got] = hook.got
    assert {"run", "recipe", "what", "text", "figures"} <= set(got)
    assert (got["run"], got["recipe"], got["what"]) == (run.id, "line", "bar")
    bar, end = got["text"].splitlines()
    assert bar.startswith(f"{run.id} passed its bar: test loss 0.0") and "≤ 0.05, at step 400" in bar
    assert end.startswith(f"{run.id} finished: all its steps done")
    assert [one["what"] for one in got["signals"]] == ["bar", "end"] and got["figures"]["test/loss"] < 0.05
    [line] = told.read_text().splitlines()
    heard = json.loads(line)
    assert heard["input"] == got and heard["environment"]["RUN"] == run.id and heard["environment"]["TEXT"] == got["text"]
    assert json.loads(heard["environment"]["FIGURES"]) == got["figures"]
    # No shell has read any of it.
    assert heard["words"] == [f"$(touch {tmp_path / 'mine' / 'oops'})"] and not (tmp_path / "mine" / "oops").exists()
    assert "dlwb:" not in run.output.read_text()


def test_a_killed_worker_is_a_failure_with_its_name_and_what_comes_within_the_minute_is_joined(tmp_path: Path, hook: Server) -> None:
    run = start(tmp_path, "{sleep: 0.01}", "{epochs: 500, batch_size: 10, log_every: 1}")
    at_step(run, 3)
    send(run, "worker", signal.SIGKILL)
    assert ended(run).state == "failed"
    until(lambda: hook.got)
    [got] = hook.got
    assert got["what"] == "failure" and "Killed from outside: SIGKILL." in got["text"] and "`dlwb resume`" in got["text"]
    assert got["figures"]["train/loss"] > 0 and got["signals"] == []
    for number in range(12):
        signalling.give([a_signal(text=f"{number} has ended")])
    until(lambda: lock.is_held(paths.signals() / "lock"))
    time.sleep(0.3)
    assert len(hook.got) == 1 and len(signals.unsent()) == 12
    # Killed while it waits: nothing is lost, and the next one goes on.
    end_sender()
    began = time.monotonic()
    os.utime(paths.signals() / "last")
    notifying.work(every=0.4)
    [_, joined] = hook.got
    assert hook.at[1] - began >= 0.39 and not signals.unsent()
    assert joined["text"].splitlines() == [*(f"{number} has ended" for number in range(10)), "and 2 more"]
    assert len(joined["signals"]) == 12


def test_a_run_that_makes_no_step_is_told_of_once_and_one_that_is_paused_is_not(tmp_path: Path, hook: Server) -> None:
    preferences.put("notify.stall", "1")
    run = start(tmp_path, "{sleep: 0.01}", "{epochs: 500, batch_size: 10, log_every: 1}")
    at_step(run, 5)
    ok, _ = launch.answer(run, launch.command(run, "pause"))
    assert ok
    time.sleep(1.2 + signalling.EVERY)
    assert not signals.unsent() and not hook.got
    assert launch.answer(run, launch.command(run, "resume"))[0]
    at_step(run, 60)
    send(run, "worker", signal.SIGSTOP)
    until(lambda: hook.got)
    time.sleep(2 * signalling.EVERY)
    send(run, "worker", signal.SIGCONT)
    [got] = hook.got
    assert got["what"] == "stall" and got["text"].startswith(f"{run.id} no step for ") and "usually 0.01" in got["text"]
    assert not signals.unsent()
    launch.kill(run)
    ended(run)


def test_a_bar_is_told_once_although_the_run_is_resumed(tmp_path: Path, home: Path) -> None:
    source = LINE.replace("bar: [{{metric: test/loss", "")
    file = write(tmp_path, "{sleep: 0.01}", "{epochs: 500, batch_size: 10, log_every: 1, checkpoint_every: 5}", source)
    file.write_text(file.read_text().replace("test/loss", "train/loss"))
    run = launch.start(str(file))
    until(lambda: signals.unsent())
    [(_, passed)] = signals.unsent()
    assert passed.what == "bar" and "train loss" in passed.text and list(passed.figures) == ["train/loss"]
    at_step(run, 120)
    launch.stop(run)
    ended(run)
    launch.launch(run)
    until(lambda: state_of(run).state == "running")
    at_step(run, 200)
    time.sleep(signalling.EVERY)
    launch.stop(run)
    ended(run)
    assert [one.what for _, one in signals.unsent()] == ["bar", "end", "end"]
    # Nobody set up a way: no process was started, and terminal programs may still read them.
    assert not (paths.signals() / "lock").exists()


@pytest.mark.parametrize(
    ("status", "told"), [({}, ["bar"]), ({"demo": "random weights"}, []), ({"variant": "small"}, []), ({"attempt": 1}, [])]
)
def test_a_bar_of_a_demo_on_stand_in_data_or_of_an_earlier_attempt_is_no_news(
    tmp_path: Path, status: dict[str, Any], told: list[str]
) -> None:
    run = created(tmp_path)
    log = EventLog(run.path)
    log.write(Status(**{"state": "running", "attempt": 2, **status}))
    for value in (0.2, 0.01, 0.02):
        log.write(Scalars({"test/loss": value}, step=3))
    log.close()
    signalling.Watch(run, 2).look()
    assert [one.what for _, one in signals.unsent()] == told


def test_parts_of_a_comparison_are_told_of_as_one(home: Path, hook: Server) -> None:
    file = write(home / "recipes", "{}", "{epochs: 1, batch_size: 10}", LINE)
    file.write_text(file.read_text() + "compare:\n  seeds: 1\n  variants: {none: {}, dies: {config.event: exit}}\n")
    comparison = comparing.start(load_recipe(file))
    until(lambda: not lock.is_held(comparison.lock))
    until(lambda: hook.got)
    # What has just been sent may still be noted as unsent.
    told = {one["text"]: one for message in hook.got for one in message["signals"] or [message]}
    told |= {one.text: {"what": one.what, "run": one.run, "text": one.text} for _, one in signals.unsent()}
    got = list(told.values())
    [part] = [one for one in got if one["run"] != comparison.id]
    assert part["what"] == "failure" and "exit code 7" in part["text"]
    [whole] = [one for one in got if one["run"] == comparison.id]
    assert whole["what"] == "failure" and "has ended: 1 of 2 runs finished, 1 failed" in whole["text"]


@pytest.mark.parametrize(
    ("way", "value", "says"),
    [
        ("notify.webhook", "{url}/broken", "notify.webhook: The webhook at 127.0.0.1:{port} answered 500"),
        ("notify.webhook", "{url}/moved", "answered 302 Found, a redirect, which is not followed"),
        ("notify.webhook", "http://127.0.0.1:1/secret", "The webhook at 127.0.0.1:1 cannot be reached: [Errno 111] Connection refused"),
        ("notify.webhook", "{url}/garbled", "What answers at 127.0.0.1:{port} is no web server: BadStatusLine("),
        ("notify.webhook", "{url}/trickle", "gave no answer for 0 s"),
        ("notify.command", "{python} -c 'import sys; print(1); sys.exit(\"no such room\")'", "ended with exit code 1: no such room"),
        ("notify.command", "{python} -c 'import time; time.sleep(60)'", "was ended after 0 s"),
    ],
)
def test_what_fails_is_noted_in_the_runs_output_and_tried_again(
    tmp_path: Path, hook: Server, monkeypatch: pytest.MonkeyPatch, way: str, value: str, says: str
) -> None:
    monkeypatch.setattr(notifying, "WEBHOOK_PATIENCE", 0.4)
    monkeypatch.setattr(notifying, "COMMAND_PATIENCE", 0.4)
    monkeypatch.setattr(signalling, "WAYS", ())  # only this process sends
    preferences.put("notify.webhook", "")
    preferences.put(way, value.format(url=hook.url, python=sys.executable))
    run = paths.runs() / "2026-11-30_000000_line"
    run.mkdir(parents=True)
    signalling.give([a_signal()])
    notifying.work(every=0.05)
    noted = (run / "output.log").read_text()
    assert says.format(port=hook.server_port) in noted and noted.count("dlwb: ") == notifying.TRIES
    assert "secret" not in noted and not signals.unsent()
    assert notifying.last_failures() and not any("elsewhere" in path for path in hook.paths)


def test_only_a_way_that_failed_is_tried_again(tmp_path: Path, hook: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling, "WAYS", ())
    told = telling(tmp_path / "mine")
    preferences.put("notify.webhook", f"{hook.url}/broken")
    signalling.give([a_signal("failure"), a_signal("end")])
    notifying.work(every=0.05)
    assert len(told.read_text().splitlines()) == 1 and len(hook.got) == notifying.TRIES
    assert hook.got[0]["what"] == "failure"


def test_a_program_that_others_could_have_put_there_is_not_run(tmp_path: Path, home: Path) -> None:
    told = telling(tmp_path / "mine")
    assert paths.preferences().stat().st_mode & 0o777 == 0o600
    paths.preferences().chmod(0o666)
    _, failures = notifying.test()
    assert not told.exists() and "Others may write" in failures[0] and "chmod 600" in failures[0]


REFUSED = [
    ("notify.on", "end,fail", r"notify.on cannot be fail; did you mean failure\?: it takes end, failure, bar, stall, with commas"),
    ("notify.stall", "soon", "notify.stall cannot be soon: it takes a whole number of seconds"),
    ("notify.command", "'", "notify.command cannot be ': it takes a program and its arguments, quoted as in a shell"),
    ("notify.command", "no-such-program-here x", "notify.command cannot run no-such-program-here: there is no such program"),
    ("notify.webhook", "http://example.org/x", "cannot go to http://example.org: it takes https; http only to 127.0.0.1 or localhost"),
    ("notify.webhook", "http://127.0.0.1.example.org/", "it takes https"),
    ("notify.webhook", "file:///etc/passwd", "cannot be read: it takes an address such as"),
    ("notify.webhook", "https://me:word@example.org/", "cannot hold a user's name or password"),
    ("notify.webhook", "https://example.org:x/", "cannot be read"),
    ("notify.webhook", "https://example.org/a b", "cannot be read"),
]


@pytest.mark.parametrize(("name", "value", "says"), REFUSED)
def test_a_preference_that_cannot_be_used_is_refused_and_one_in_the_file_is_named(home: Path, name: str, value: str, says: str) -> None:
    with pytest.raises(Problem, match=says):
        preferences.put(name, value)
    home.mkdir(exist_ok=True)
    paths.preferences().write_text(json.dumps({name: value}))
    assert preferences.get(name) == preferences.KNOWN[name].default
    [fault] = preferences.faults("notify.")
    assert fault.startswith(name)


def test_a_recipe_and_set_have_no_say(tmp_path: Path) -> None:
    file = write(tmp_path)
    with pytest.raises(Problem, match="notify"):
        load_recipe(file, ["notify.command=touch x"])
    file.write_text(file.read_text() + "notify: {command: touch x}\n")
    with pytest.raises(Problem, match="notify"):
        load_recipe(file)


def shell(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "workbench.cli", *words], capture_output=True, text=True, check=False)


def test_the_shell_tries_the_ways_and_keeps_the_secret(hook: Server) -> None:
    done = shell("notify", "--test")
    assert (done.returncode, done.stdout) == (0, "notify.webhook: sent.\n") and hook.got[0]["what"] == "test"
    assert hook.got[0]["text"] == "dlwb: this is how a signal reaches you."
    preferences.put("notify.webhook", f"{hook.url}/broken")
    failed = shell("notify", "--test")
    assert failed.returncode == 1 and "answered 500" in failed.stdout
    shown = shell("notify").stdout
    assert f"notify.webhook={hook.url}/…\n" in shown and "broken" not in shown and "broken" not in shell("preferences").stdout
    assert shell("preferences", "notify.webhook=").returncode == 0
    none = shell("notify", "--test")
    assert none.returncode == 1 and "No way is set up" in none.stderr and "dlwb preferences notify.command" in none.stderr


def test_signals_that_nobody_wants_are_not_given_and_short_runs_only_where_they_fail(home: Path, tmp_path: Path) -> None:
    preferences.put("notify.on", "failure,bar")
    signalling.give([a_signal(), a_signal("failure")])
    assert [one.what for _, one in signals.unsent()] == ["failure"]
    preferences.put("notify.on", "")
    preferences.put("notify.after", "3600")
    run = start(tmp_path, train="{epochs: 1, batch_size: 10}", config="{event: exit}")
    ended(run)
    watch = signalling.Watch(run, 1)
    assert not watch._ended({"state": "finished"}) and watch._ended({"state": "failed"})


def test_the_bell_rings_at_most_once_a_minute_and_says_what_came_meanwhile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    signalling.give([a_signal("bar", text="before it opened")])
    ringing = Ringing()
    assert ringing.meanwhile() == [] and ringing.due("notice") == ""
    ringing.add("one has ended")
    assert ringing.due("notice").startswith("\a\x1b]9;one has ended\a")
    signalling.give([a_signal("bar", text="two passed"), a_signal("end", text="seen by its lock")])
    assert [one.text for one in ringing.meanwhile()] == ["two passed"] and ringing.meanwhile() == []
    for text in ("two passed", "three", "four", "five"):
        ringing.add(text)
    now[0] += 59
    assert ringing.due("notice") == ""
    now[0] += 2
    assert "]9;two passed, three, four, and 1 more\a" in ringing.due("notice") and ringing.due("notice") == ""
    ringing.add("six")
    now[0] += 61
    assert ringing.due("off") == "" and ringing.due("bell") == ""
