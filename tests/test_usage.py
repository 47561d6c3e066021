"""Device-hours from logs that are written by hand: pauses, clocks set back, crashes, several devices, endpoints, what was removed."""

import errno
import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hand_logs import log, state, step, trained
from lines import SLOW, at_step, ended, start, write
from made_runs import alive, make_run

from workbench import paths, preferences
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.runs import trash, usage
from workbench.runs.run import Run
from workbench.runs.summary import summary_of
from workbench.runs.usage import Use
from workbench.serving import operate
from workbench.serving.endpoint import About, Endpoint
from workbench.serving.usage import collect, warning

H200 = "cuda:0 NVIDIA H200"
NOON = time.mktime((2026, 11, 20, 12, 0, 0, 0, 0, -1))


def dlwb(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "workbench.cli", *words], capture_output=True, text=True, timeout=100, check=False)


def hours(what: str) -> dict[str, float]:
    return {group.name: round(group.hours, 6) for group in usage.by(collect(), what)}


def seconds(run: Run) -> list[float]:
    return [span.seconds for span in summary_of(run).spans or []]


def test_the_queue_the_start_and_pauses_do_not_count() -> None:
    run = make_run()
    lines = [
        (NOON, 100.0, state("queued")),
        (NOON + 60, 160.0, state("starting")),
        (NOON + 90, 190.0, state("running", from_step=-1, device=H200)),
        (NOON + 390, 490.0, step(10)),
        (NOON + 400, 500.0, state("paused")),
        (NOON + 4000, 4100.0, state("running", from_step=10)),
        (NOON + 4010, 4110.0, state("running", from_step=10, steps=500)),  # a new plan, and no pause
        (NOON + 4100, 4200.0, step(20)),
        (NOON + 4100, 4200.0, state("finished", cause="steps")),
    ]
    log(run.path, lines)
    assert seconds(run) == [310.0, 100.0]
    assert hours("device") == {H200: round(410 / 3600, 6)}


def test_a_clock_that_is_set_back_changes_no_duration() -> None:
    run = make_run()
    lines = [
        (NOON, 100.0, state("running", from_step=-1, device=H200)),
        (NOON - 7000, 200.0, step(10)),  # an administrator set the clock
        (NOON - 3500, 3700.0, state("stopped", cause="person")),
    ]
    log(run.path, lines)
    assert seconds(run) == [3600.0]
    assert hours("day") == {"2026-11-20": 1.0}


def test_a_crash_without_an_end_counts_until_its_last_sign_of_life() -> None:
    run = make_run()
    lines = [
        (NOON, 9000.0, state("running", from_step=-1, device=H200)),
        (NOON + 1000, 10000.0, step(10)),  # then the machine went down, and its clock begins anew
        (NOON + 90000, 20.0, state("starting", attempt=2)),
        (NOON + 90010, 30.0, state("running", attempt=2, from_step=10, device="cuda:1 NVIDIA H200")),
        (NOON + 90510, 530.0, step(20)),  # killed, and never seen again
    ]
    log(run.path, lines)
    assert seconds(run) == [1000.0, 500.0]
    assert hours("device") == {H200: round(1000 / 3600, 6), "cuda:1 NVIDIA H200": round(500 / 3600, 6)}


def test_a_run_that_trains_counts_until_now_and_one_that_is_paused_does_not() -> None:
    now = time.time()
    runs = [make_run(name) for name in ("mnist-mlp", "mnist-cnn")]
    for run in runs:
        log(run.path, [(now - 3600, 100.0, state("running", from_step=-1, device="cpu")), (now - 600, 3100.0, step(10))])
    log(runs[1].path, [(now - 600, 3100.0, state("paused"))])
    held = [alive(runs[0], "running"), alive(runs[1], "paused")]
    assert hours("recipe") == {"mnist-mlp": pytest.approx(1.0, abs=0.01), "mnist-cnn": round(3000 / 3600, 6)}
    for lock in held:
        lock.release()


def test_a_run_on_several_devices_counts_each_of_them() -> None:
    trained(2.0, "cuda:0,cuda:3 NVIDIA H200", began=NOON)
    assert hours("device") == {"cuda:0 NVIDIA H200": 2.0, "cuda:3 NVIDIA H200": 2.0}
    assert hours("recipe") == {"mnist-mlp": 4.0}


def test_processes_whose_devices_are_not_named_count_too() -> None:
    use = Use(began=NOON, seconds=3600.0, device=H200)
    assert [(part.device, part.hours) for part in usage._split(use, 4)] == [("4 × NVIDIA H200", 4.0)]
    assert [(part.device, part.hours) for part in usage._split(msgspec.structs.replace(use, device="cpu"), 4)] == [("cpu", 1.0)]


def test_a_night_belongs_to_two_days_and_since_cuts_it() -> None:
    trained(14.0, began=NOON)
    assert hours("day") == {"2026-11-20": 12.0, "2026-11-21": 2.0}
    assert usage.total(usage.since(collect(), NOON + 13 * 3600)).hours == pytest.approx(1.0)
    assert usage.since(collect(), NOON + 15 * 3600) == []


@pytest.mark.parametrize(
    ("text", "ago"), [("12h", 43200.0), ("7d", 604800.0), ("3w", 1814400.0), ("2026-11-20", 43200.0), ("today", 43200.0)]
)
def test_since_is_a_date_or_an_age(text: str, ago: float) -> None:
    assert usage.moment(text, NOON) == NOON - ago


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-1d", "2026-13-01", "99999999d", "20.11.2026"])
def test_another_since_is_refused(text: str) -> None:
    with pytest.raises(Problem, match="is no date and no age"):
        usage.moment(text, NOON)


def endpoint(name: str = "digits") -> Endpoint:
    """One that served for two hours in all; in between it was stopped, and in the end killed."""
    served = Endpoint(paths.endpoints() / name)
    served.path.mkdir(parents=True)
    served.write("endpoint.json", About())
    lines = [
        (NOON, 100.0, state("Creating")),
        (NOON + 100, 200.0, state("InService")),
        (NOON + 1000, 1100.0, state("Updating")),
        (NOON + 1100, 1200.0, state("InService")),
        (NOON + 3700, 3800.0, state("Stopped")),
        (NOON + 9000, 9100.0, state("InService", attempt=2)),
        (NOON + 12600, 12700.0, step(0)),
    ]
    log(served.path, lines)
    return served


def test_an_endpoint_counts_while_it_serves_also_after_it_was_deleted() -> None:
    served = endpoint()
    assert hours("endpoint") == {"digits": 2.0} and hours("device") == {"cpu": 2.0}
    operate.delete(served)
    assert not served.path.exists() and hours("endpoint") == {"digits": 2.0}
    endpoint()
    assert hours("endpoint") == {"digits": 4.0}, "another one of the same name"


def test_what_is_deleted_still_counts_once() -> None:
    run = trained(3.0, began=NOON)
    (run.path / "run.json").write_text('{"tuning": "imdb-tuned"}')
    moved = trash.delete(run)
    assert hours("recipe") == {"mnist-mlp": 3.0}
    # A crash after the hours were noted, before the run was gone.
    usage.keep(usage.of_run(moved))
    with paths.used().open("ab") as file:
        file.write(b'{"began": 1, "seconds": 36')
    assert hours("recipe") == {"mnist-mlp": 3.0}
    trash.purge(moved)
    assert hours("recipe") == {"mnist-mlp": 3.0} and hours("tuning") == {"imdb-tuned": 3.0}
    trained(1.0, began=NOON, stem="other")
    assert hours("recipe") == {"mnist-mlp": 3.0, "other": 1.0}


def test_a_disk_that_is_full_until_the_run_is_gone_loses_no_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = trash.delete(trained(3.0, began=NOON))
    keep = usage.keep

    def while_it_is_full(uses: list[Use]) -> None:
        if moved.path.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        keep(uses)

    monkeypatch.setattr(usage, "keep", while_it_is_full)
    trash.purge(moved)
    assert not moved.path.exists() and hours("recipe") == {"mnist-mlp": 3.0}


@pytest.mark.parametrize("line", [b"{}", b"[]", b"\xff\xfe", b'{"began": 1, "seconds": -5, "device": "cuda:0"}', b'{"began": "NaN"}', b"["])
def test_a_damaged_line_of_what_was_removed_is_passed_over(home: Path, line: bytes) -> None:
    home.mkdir()
    paths.used().write_bytes(line * (100_000 if line == b"[" else 1) + b"\n")
    usage.keep([Use(began=NOON, seconds=3600.0, device="\x1b[31mcpu", run="gone")])
    assert hours("device") == {"cpu": 1.0}


def test_what_a_fork_has_of_its_parent_counts_once() -> None:
    parent = trained(3.0, began=NOON)
    fork = trained(2.0, began=NOON, stamp="2026-11-21_100000")  # a copy of the parent's beginning
    again = NOON + 90000
    lines = [
        (again, 10.0, state("running", attempt=2, from_step=50)),
        (again, 10.0, state("stopped", attempt=2)),
        (again, 11.0, state("running", attempt=3, from_step=50)),
        (again + 1800, 1811.0, state("finished", attempt=3)),
    ]
    log(fork.path, lines)
    (fork.path / "run.json").write_text(json.dumps({"forked": {"run": parent.id, "step": 50, "attempt": 2}}))
    assert hours("recipe") == {"mnist-mlp": 3.5}


def test_a_summary_of_an_earlier_version_is_made_anew() -> None:
    run = trained(3.0, began=NOON)
    summary_of(run)
    kept = json.loads((run.path / "summary.json").read_text())
    del kept["spans"]
    (run.path / "summary.json").write_text(json.dumps(kept))
    assert seconds(run) == [3 * 3600.0]


def test_a_budget_counts_gpus_and_without_any_the_cpu() -> None:
    trained(30.0, "cpu", began=NOON, stem="small")
    preferences.put("budget", "40")
    assert "30 of the budget of 40 device-hours" not in warning(), "75 % are no reason to warn"
    trained(2.5, "cpu", began=NOON, stem="smaller")
    assert "32.5 of the budget of 40 device-hours are used, 7.5 left" in warning()
    trained(31.0, began=NOON, stem="large")
    assert warning() == "", "31 hours of GPUs"
    trained(13.0, "cuda:1 NVIDIA H200", began=NOON, stem="larger")
    assert "44 of the budget of 40 GPU-hours are used, and none is left" in warning()
    preferences.put("budget", "off")
    assert warning() == ""


@pytest.mark.parametrize("value", ["0", "-3", "nan", "inf", "1e3", "many", "", "99999999"])
def test_a_budget_is_a_number_of_hours(value: str) -> None:
    with pytest.raises(Problem, match="budget cannot be"):
        preferences.put("budget", value)
    assert usage.preferred() is None


def test_the_shell_shows_it_and_warns_where_a_run_is_started(tmp_path: Path) -> None:
    trained(14.0, began=NOON)
    trained(1.0, "cpu", began=NOON, stem="digits-mlp")
    endpoint()
    preferences.put("budget", "15")
    shown = dlwb("usage")
    assert shown.returncode == 0 and "93%" in shown.stdout, shown
    assert "! 14 of the budget of 15 GPU-hours are used, 1 left." in shown.stderr
    started = dlwb("run", str(write(tmp_path)), "--follow")
    assert started.returncode == 0 and "! 14 of the budget of 15 GPU-hours are used, 1 left." in started.stderr
    assert [line.split() for line in shown.stdout.splitlines() if line.startswith("cuda:0")] == [
        ["cuda:0", "NVIDIA", "H200", "14.0", "h", "1"]
    ]
    plain = json.loads(dlwb("usage", "--by", "day", "--since", "2026-11-21", "--budget", "4", "--json").stdout)
    assert (plain["by"]["day"][0]["name"], plain["by"]["day"][0]["gpu"]) == ("2026-11-21", 2.0) and list(plain["by"]) == ["day"]
    assert plain["budget"]["used"] == 2.0 and plain["budget"]["warning"] == ""
    wrong = dlwb("usage", "--by", "dvice")
    assert wrong.returncode == 1 and "did you mean device?" in wrong.stderr


@pytest.mark.usefixtures("nothing_is_left")
def test_a_real_run_counts_without_its_pause(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, "{epochs: 500, batch_size: 10, log_every: 5}")
    at_step(run, 5)
    launch.answer(run, launch.command(run, "pause"))
    time.sleep(1.0)
    launch.answer(run, launch.command(run, "resume"))
    at_step(run, 20)
    launch.stop(run)
    ended(run)
    summary = summary_of(run)
    assert len(seconds(run)) == 2 and 0 < sum(seconds(run)) <= summary.updated - summary.started - 1.0
    assert hours("recipe") == {run.stem: pytest.approx(sum(seconds(run)) / 3600, abs=1e-6)}
