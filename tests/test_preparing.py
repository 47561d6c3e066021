"""A slow preparation tells its share and the time left in the list, on the run's screen and to those who follow, and can be stopped."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from lines import LINE, ended, folded, start, until, write
from made_runs import alive, make_run

from workbench.cli.follow import _Progress
from workbench.events import Status
from workbench.launch import start as launch
from workbench.preparation import Console, Pace, Stage
from workbench.recipes.load import load_recipe
from workbench.runs.history import History
from workbench.runs.state import state_of
from workbench.runs.summary import summarize, summary_of
from workbench.training.announcing import READING, SHOW_EVERY, Announcer
from workbench.tui.models.library import Entry, Library
from workbench.tui.models.run_feed import Feed
from workbench.tui.panels.run_header import progress_line, title_line
from workbench.tui.panels.run_rows import run_rows

pytestmark = pytest.mark.usefixtures("nothing_is_left")

SLOW = """
    def build_data(self):
        from workbench.preparation import cached, progress
        cached(False)
        for number in range({pieces}):
            progress("reading stones", number, {pieces})
            time.sleep({seconds})
        progress("reading stones", {pieces}, {pieces})
        self.build_rest()

    def build_rest(self):
"""


def slow(pieces: int, seconds: float) -> str:
    return LINE.replace("    def build_data(self):\n", SLOW.format(pieces=pieces, seconds=seconds).lstrip("\n"), 1)


# -- in a real run -------------------------------------------------------------------------------------------------------------------


def test_a_run_tells_its_share_and_the_time_left_and_then_trains(tmp_path: Path) -> None:
    run = start(tmp_path, source=slow(400, 0.01))
    state = until(lambda: (now := state_of(run)).left is not None and now)
    assert state.state == "starting" and state.share and 0.2 < state.share < 1 and 0 < state.left < 60
    assert state.message.startswith("reading stones: ") and state.message.endswith(" left")
    assert ended(run).state == "finished"
    assert state_of(run).share is None
    told = [status for status in folded(run).statuses if status.share is not None]
    assert 1 <= len(told) <= 10, "one in two seconds"
    assert [status.share for status in told] == sorted({status.share for status in told})
    assert all(status.state == "starting" and status.attempt == 1 for status in told)
    running = next(status for status in folded(run).statuses if status.state == "running")
    assert running.prepared > 4.0 and running.cache == "cold"
    summary = summary_of(run)
    assert (summary.ready, summary.cache) == (running.prepared, "cold")
    assert summary.seconds > running.prepared, "the time counts from the start of the process"
    printed = [line for line in run.output.read_text().splitlines() if line.startswith("reading stones")]
    assert 1 <= len(printed) <= 10


def test_a_stop_interrupts_it_and_says_so(tmp_path: Path) -> None:
    run = start(tmp_path, source=slow(4000, 0.01))
    until(lambda: state_of(run).share is not None)
    began = time.monotonic()
    launch.stop(run)
    state = ended(run)
    assert (state.state, state.cause) == ("stopped", "person") and "before its first step" in state.message
    assert time.monotonic() - began < 10.0
    assert folded(run).status.state == "stopped"


def test_who_follows_sees_lines_and_none_twice(tmp_path: Path) -> None:
    run = launch.create(load_recipe(write(tmp_path, source=slow(500, 0.01))), "cpu")
    launch.launch(run)
    script = "import sys; from workbench.cli.follow import follow; from workbench.runs.run import find_run; follow(find_run('last'))"
    lines = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stderr.splitlines()
    told = [line for line in lines if "reading stones" in line]
    assert told and len(set(told)) == len(told) and any("left" in line for line in told)


def preparing(share: float, clock: float = 0.0) -> Status:
    message = f"reading stones: {share:.0%} \x1b]0;x\x07"
    return Status(state="starting", message=message, share=share, clock=clock)


def test_on_a_terminal_one_line_is_drawn_anew(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = _Progress()
    for number in range(5):
        progress.show(preparing(number / 4))
    progress.end()
    progress.end()
    shown = capsys.readouterr().err
    assert shown.count("\r\x1b[Kreading stones: ") == 5 and shown.count("\n") == 1 and "\x1b]" not in shown


def test_elsewhere_there_is_a_line_for_each_tenth_and_each_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    progress = _Progress()
    for second in range(200):
        progress.show(preparing(second / 2000, clock=float(second)))
    assert capsys.readouterr().err.count("reading stones") == 20
    for hundredth in range(100):
        progress.show(preparing(hundredth / 100, clock=200.0))
    assert capsys.readouterr().err.count("reading stones") in (10, 11)


def test_the_time_counts_from_the_start_of_each_process_and_the_first_preparation_is_known() -> None:
    history = History()
    history.fold(
        [
            Status(state="starting", clock=100.0),
            Status(state="starting", clock=102.0, share=0.5),
            Status(state="running", clock=103.0, prepared=5.0, cache="cold"),
            Status(state="paused", clock=104.0, step=10),
            Status(state="running", clock=200.0, step=10),
            Status(state="stopped", clock=201.0, step=20),
            # Another process, after a restart of the machine.
            Status(state="starting", clock=7.0, attempt=2),
            Status(state="running", clock=8.0, attempt=2, prepared=1.5, cache="warm", from_step=20),
            Status(state="finished", clock=10.0, attempt=2, step=30),
        ]
    )
    assert history.seconds == pytest.approx(5 + 1 + 1 + 1.5 + 2)
    summary = summarize(history, 1)
    assert (summary.ready, summary.cache) == (5.0, "cold")


# -- how often, and what ---------------------------------------------------------------------------------------------------------------


def test_thousands_of_pieces_are_passed_on_twice_a_second_and_the_last_before_a_silence_too() -> None:
    shown: list[tuple[str, Stage | None]] = []
    logged: list[Stage] = []
    with Announcer(lambda words, stage: shown.append((words, stage)), logged.append) as announcer:
        for number in range(1, 50_001):
            announcer("reading stones", number, 100_000)
        time.sleep(1.5 * SHOW_EVERY)
        assert [words for words, _ in shown] == ["reading stones: 50 %"]
        announcer("reading stones", 100_000, 100_000)
        time.sleep(1.5 * SHOW_EVERY)
    assert shown[-1] == (READING, None), "nobody waits for what is done"
    assert len(logged) == 1


def test_what_takes_no_time_is_not_told() -> None:
    shown: list[str] = []
    with Announcer(lambda words, stage: shown.append(words), lambda stage: shown.append("line")) as announcer:
        for number in range(100):
            announcer(f"file {number}", 1, 1)
    assert shown == []


def test_the_time_left_follows_from_the_pace_since_the_part_began() -> None:
    pace = Pace()
    # A cache held 40 of 100.
    assert pace.stage("features", 40, 100, 10.0) == Stage("features", 0.4, None)
    assert pace.stage("features", 41, 100, 11.0).left is None, "too early to tell"
    assert pace.stage("features", 50, 100, 20.0) == Stage("features", 0.5, 50.0)
    assert pace.stage("features", 50, 100, 20.0).text == "features: 50 %, 0:50 left"
    assert pace.stage("features", 100, 100, 60.0).text == "features: 100 %, 0:00 left"
    assert pace.stage("words", 0, 10, 61.0) == Stage("words", 0.0, None), "another part"
    assert pace.stage("fitting", 0, 0, 62.0).text == "fitting", "nobody can say"
    assert pace.stage("\x1b]0;x\x07reading [/] \u202e", 1, 2, 63.0).text == "reading [/] <U+202E>: 50 %"


def test_the_console_has_ten_lines_at_most_and_none_for_what_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    quick, at_once = Console(), Console(patience=0.0)
    for number in range(1, 1001):
        quick("reading", number, 1000)
        at_once("reading", number, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert 10 <= len(lines) <= 11 and lines[-1].startswith("reading: 100 %")


# -- on the screens --------------------------------------------------------------------------------------------------------------------

PREPARING = {"message": "features of mobilenet_v2: 45 %, 2:03 left", "share": 0.45, "left": 123.4}


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_runs_screen_has_a_bar_the_share_and_the_time_left(width: int) -> None:
    run = make_run()
    held = alive(run, "starting", **PREPARING)
    feed = Feed(run)
    feed.ask()
    recipe = run.recipe()
    line = progress_line(feed, recipe, width, time.time())
    assert line.cell_length == width
    assert "features of mobilenet_v2: 45 %, 2:03 left" in line.text
    if width >= 80:
        full, empty = line.text.count("━"), line.text.count("─")
        assert abs(full / (full + empty) - 0.45) < 0.1
    assert title_line(feed, recipe, width).text.rstrip().endswith("◌ starting")
    held.release()


@pytest.mark.parametrize(("width", "shown"), [(80, "◌ start 45 % "), (160, "◌ start 45 %: 2:03 left")])
def test_the_list_has_the_share_and_with_room_the_time_left(width: int, shown: str) -> None:
    run = make_run()
    held = alive(run, "starting", **PREPARING)
    library = Library()
    entry = Entry(run)
    entry.recipe, entry.state = run.recipe(), state_of(run)
    library.entries[run.id] = entry
    assert shown in run_rows(library, width)[1].strip.text
    held.release()


@pytest.mark.parametrize(
    "damage", [{"share": "x"}, {"share": 7}, {"share": True, "left": -1}, {"share": None, "left": [1]}, {"left": 1e99}]
)
def test_a_damaged_lock_has_no_share(damage: dict[str, object]) -> None:
    run = make_run()
    held = alive(run, "starting", **damage)
    state = state_of(run)
    assert state.share is None and state.left is None
    held.release()


def test_a_resumed_run_that_starts_does_not_count_the_days_since_its_last_line() -> None:
    from made_runs import touch_epoch, train

    run = make_run()
    train(run, 100).close()
    touch_epoch(run, 3 * 86400.0)
    held = alive(run, "starting", attempt=2, **PREPARING)
    feed = Feed(run)
    feed.ask()
    feed.read(None)
    assert feed.elapsed(time.time()) < 3600
    held.release()
