"""What is kept of runs: tags and notes on them, the trash and the way back, the disk, two runs side by side, the terminal's clipboard."""

import base64
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from lines import ended, start, write
from made_runs import RECIPE, alive, finish, make_run, train
from test_cli import dlwb

from workbench import files, terminal
from workbench import formatting as words
from workbench.events import Mark, Scalars
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.recipes.recipe import Recipe
from workbench.runs import compare, notes, trash
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.runs.run import list_runs
from workbench.runs.state import state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")

ESCAPE = "\x1b]52;c;ZXZpbA==\x07"


def done_well(*words: str) -> str:
    done = dlwb(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*words: str) -> str:
    done = dlwb(*words)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


# -- tags and notes ----------------------------------------------------------------------------------------------------------------


def test_tags_and_notes_stand_in_the_list_and_find_a_run() -> None:
    first, second = make_run(stamp="2026-11-22_000000"), make_run()
    assert done_well("tag", first.id, "good", "baseline", "two words").split() == ["good", "baseline", "two-words"]
    assert done_well("tag", first.id, "-good", "kept").split() == ["baseline", "two-words", "kept"]
    done_well("note", first.id, "the", "rate was", f"too high{ESCAPE}\nfor it")
    shown = done_well("runs")
    assert "baseline two-words kept" in shown and f"{first.id}: the rate was too high for it" in shown
    found = json.loads(done_well("runs", "BASELINE", "rate", "--json"))
    assert [each["id"] for each in found] == [first.id]
    assert found[0]["notes"] == {"tags": ["baseline", "two-words", "kept"], "note": "the rate was too high for it"}
    assert second.id not in done_well("runs", "baseline")
    assert done_well("note", first.id, "") == "\n" and notes.read(first).note == ""


def test_what_cannot_be_a_tag_or_a_note_is_refused_and_changes_nothing() -> None:
    run = make_run()
    notes.tag(run, ["good"])
    assert "has no tag bad" in refused("tag", run.id, "-bad") and "Its tags: good" in refused("tag", run.id, "-bad")
    assert "more than 24 letters" in refused("tag", run.id, "x" * 25)
    assert "12 are allowed at most" in refused("tag", run.id, *(f"t{number}" for number in range(12)))
    assert "must be a word" in refused("tag", run.id, "-")
    with pytest.raises(Problem, match="1,001 letters"):
        notes.note(run, "x" * 1001)
    assert notes.read(run) == notes.Notes(("good",))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"tags": "good", "note": 5}', '{"tags": [1, {}], "note": []}', '{"tags": ["' + "a" * 500 + '"]}', "\0"]
)
def test_any_notes_file_can_be_read(text: str) -> None:
    run = make_run()
    (run.path / "notes.json").write_text(text)
    found = notes.read(run)
    assert not found.note and all(len(tag) <= notes.TAG_LENGTH for tag in found.tags)
    (run.path / "notes.json").write_text(json.dumps({"tags": [f"a{ESCAPE}b", "-"] + [str(n) for n in range(99)], "note": ESCAPE + "n"}))
    found = notes.read(run)
    assert found.tags[:2] == ("ab", "0") and len(found.tags) == notes.TAGS and found.note == "n"


# -- the trash ---------------------------------------------------------------------------------------------------------------------


def test_a_deleted_run_comes_back_whole(tmp_path: Path) -> None:
    run = start(tmp_path)
    ended(run)
    notes.tag(run, ["dear"])
    before = {path.relative_to(run.path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert f"dlwb restore {run.id}" in dlwb("delete", run.id).stderr
    assert not list_runs()
    assert done_well("restore").strip() == run.id
    assert {path.relative_to(run.path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    assert state_of(run).state == "finished" and notes.read(run).tags == ("dear",)
    assert "The trash has no run last" in refused("restore")


def test_the_last_deleted_run_comes_back_first_and_a_taken_name_is_not_overwritten() -> None:
    old, new = make_run(stamp="2026-11-22_000000"), make_run()
    trash.delete(new)
    os.utime(trash.folder() / new.id, (1e9, 1e9))
    trash.delete(old)
    assert [run.id for run in trash.deleted()] == [old.id, new.id]
    again = make_run()
    (again.path / "mine").touch()
    assert trash.restore().id == old.id
    assert done_well("restore", new.id).strip() == f"{new.id}~2"
    assert (again.path / "mine").exists() and {run.id for run in list_runs()} == {old.id, new.id, f"{new.id}~2"}
    assert not trash.deleted()


def test_the_trash_is_emptied_only_after_a_yes_and_by_age() -> None:
    old, new = make_run(stamp="2026-11-22_000000"), make_run()
    for run in (old, new):
        trash.delete(run)
    os.utime(trash.folder() / old.id, (time.time() - 9 * 86400,) * 2)
    asked = dlwb("clean", "--trash", "--older", "8")
    assert asked.returncode == 1 and "Nothing was removed: 1 run would be gone for good" in asked.stderr and "--yes" in asked.stderr
    assert old.id in asked.stdout and new.id not in asked.stdout and len(trash.deleted()) == 2
    done_well("clean", "--trash", "--older", "8", "--yes")
    assert [run.id for run in trash.deleted()] == [new.id]
    done_well("clean", "--trash", "--yes")
    assert not trash.deleted() and "The trash is empty" in dlwb("clean", "--trash").stderr


def test_a_link_in_the_trash_leads_nowhere(tmp_path: Path) -> None:
    dear = tmp_path / "dear"
    dear.mkdir()
    (dear / "file").touch()
    trash.delete(make_run())
    (trash.folder() / "2026-11-23_000000_link").symlink_to(dear)
    (trash.deleted()[0].path / "link").symlink_to(dear)
    done_well("clean", "--trash", "--yes")
    assert (dear / "file").exists() and not trash.deleted()


# -- the disk ----------------------------------------------------------------------------------------------------------------------


def test_clean_shows_where_the_disk_went(home: Path) -> None:
    big, small = make_run("big"), make_run("small")
    (big.path / "checkpoints").mkdir()
    (big.path / "checkpoints" / "step-00000001.pt").write_bytes(os.urandom(3_000_000))
    (home / "data" / "mnist").mkdir(parents=True)
    (home / "data" / "mnist" / "images").write_bytes(os.urandom(500_000))
    trash.delete(make_run("gone"))
    told = json.loads(done_well("clean", "--json"))
    assert [each["id"] for each in told["runs"]] == [big.id, small.id]
    assert 3_000_000 <= told["runs"][0]["checkpoints"] < 3_100_000 <= told["runs"][0]["total"] + 100_000
    assert [each["name"] for each in told["data"]] == ["mnist"] and 500_000 <= told["data"][0]["total"] < 600_000
    assert len(told["trash"]) == 1 and told["free"] > 0
    shown = done_well("clean")
    assert "3.0 MB" in shown and "mnist" in shown and "1 deleted" in shown
    assert files.taken(home / "nothing") == 0


def test_size_in_words() -> None:
    sizes = [0, 512, 999, 999.5, 9_949, 9_951, 340e6, 999.6e6, 12.3e9, 5e15]
    assert [words.size(each) for each in sizes] == [
        "0 B",
        "512 B",
        "999 B",
        "1.0 kB",
        "9.9 kB",
        "10 kB",
        "340 MB",
        "1.0 GB",
        "12 GB",
        "5000 TB",
    ]


def test_checkpoints_but_the_best_and_the_newest_go_and_the_run_still_answers(tmp_path: Path) -> None:
    run = start(tmp_path, train="{steps: 60, batch_size: 20, log_every: 5, evaluate_every: 10, checkpoint_every: 10}")
    ended(run)
    kept = Checkpoints(run.path / "checkpoints")
    kept.save(b"pinned", ".npz", step=1, pinned=True)
    before = kept.generations()
    spare = kept.spare()
    assert spare and len(before) == len(spare) + 2
    assert refused("clean", "--checkpoints", run.id).startswith("Nothing was removed: ") and kept.generations() == before
    done_well("clean", "--checkpoints", run.id, "--yes")
    assert kept.generations() == [each for each in before if each not in spare] and not kept.spare()
    assert len(list(kept.folder.iterdir())) == 4
    assert "those stay" in dlwb("clean", "--checkpoints", run.id).stderr


def test_a_live_runs_checkpoints_stay() -> None:
    run = make_run()
    held = alive(run)
    assert "its checkpoints stay" in refused("clean", "--checkpoints", run.id, "--yes")
    held.release()


# -- side by side ------------------------------------------------------------------------------------------------------------------


def test_two_runs_side_by_side(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    made = []
    for rate in ("0.05", "0.0001"):
        run = launch.start(str(recipe), [f"config.learning_rate={rate}"])
        ended(run)
        made.append(run)
    told = json.loads(done_well("compare", *(run.id for run in made), "--json"))
    assert told["settings"] == {"config.learning_rate": {made[0].id: "0.05", made[1].id: "0.0001"}}
    figures = told["figures"]["test/loss"]
    assert figures[made[0].id] < figures[made[1].id] and told["best"]["test/loss"] == made[0].id
    assert "train/loss" in told["figures"] and "train/loss" not in told["best"]
    shown = done_well("compare", made[0].id, made[1].id)
    assert "config.learning_rate" in shown and " *" in next(line for line in shown.splitlines() if line.startswith("test/loss"))
    assert "One run cannot be compared" in refused("compare", made[0].id, made[0].id)


def test_live_changes_other_code_and_other_devices_are_settings_too() -> None:
    plain, changed = make_run(stamp="2026-11-22_000000"), make_run()
    finish(plain, 400)
    log = train(changed, 400, rich=False)
    log.write(Mark(text="", settings={"config.dropout": 0.5}, command="c7", step=200))
    log.write(Mark(text="", settings={"train.log_every": 7}, step=50))
    log.close()
    (plain.path / "project.py").write_text("a = 1")
    (changed.path / "project.py").write_text("a = 2")
    rows = {row.name: row.values for row in compare.differing(compare.sides([plain, changed]))}
    assert rows["config.dropout"] == [compare.NOT_SET, f"{compare.NOT_SET} → 0.5 at step 200"]
    assert "train.log_every" not in rows and len(set(rows["project's code"])) == 2 and "trained on" not in rows


def test_short_names_tell_runs_apart() -> None:
    made = [make_run("mnist-mlp", stamp=f"2026-11-{day}_{clock}") for day, clock in (("22", "140507"), ("23", "140507"))]
    other = make_run("digits-mlp", stamp="2026-11-22_000000")
    twin = make_run("mnist-mlp~2", stamp="2026-11-22_140507")
    assert compare.names([made[0], other]) == ["mnist-mlp", "digits-mlp"]
    assert compare.names(made) == ["11-22 14:05:07", "11-23 14:05:07"]
    assert compare.names([made[0], twin]) == ["14:05:07", "14:05:07~2"]
    assert compare.names([*made, other])[::2] == ["mnist-mlp 11-22 14:05:07", "digits-mlp"]
    strange = make_run("x", stamp="renamed")
    assert compare.names([strange, made[0]])[0]


def test_higher_is_better_only_where_it_is() -> None:
    worse, better = make_run(stamp="2026-11-22_000000"), make_run()
    finish(worse, accuracy=0.9)
    finish(better, accuracy=0.95)
    rows = {row.metric: row for row in compare.figures(compare.sides([worse, better]))}
    assert next(iter(rows)) == "test/accuracy" and rows["test/accuracy"].best == 1
    assert rows["test/loss"].best is None  # the same in both


def test_no_run_is_the_best_by_a_number_that_has_no_direction() -> None:
    made = [make_run(stamp="2026-11-22_000000"), make_run()]
    for place, run in enumerate(made):
        log = EventLog(run.path)
        log.write(Scalars({"valid/line/slope": 2.5 + place, "valid/rmse": 2.5 - place}, step=1))
        log.close()
    rows = {row.metric: row for row in compare.figures(compare.sides(made))}
    assert (rows["valid/line/slope"].best, rows["valid/rmse"].best) == (None, 1)


def test_a_comparison_of_runs_without_any_figure() -> None:
    made = [make_run(stamp="2026-11-22_000000"), make_run(made=Recipe(**{**_fields(), "seed": 2}))]
    shown = done_well("compare", *(run.id for run in made))
    assert "seed" in shown and made[0].id in shown


def _fields() -> dict[str, object]:
    return {name: getattr(RECIPE, name) for name in RECIPE.__struct_fields__}


# -- the person's own terminal -------------------------------------------------------------------------------------------------------


def test_text_for_the_clipboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    text = "0.9831 – größer\n"
    made = terminal.clipboard(text)
    assert made.startswith("\x1b]52;c;") and made.endswith("\a")
    assert base64.b64decode(made[7:-1]).decode() == text
    assert len(terminal.clipboard("x" * terminal.CLIPBOARD_LIMIT)) <= 100_000
    with pytest.raises(Problem, match="at most 74,994"):
        terminal.clipboard("ö" * (terminal.CLIPBOARD_LIMIT // 2 + 1))


def test_notices_are_clean_and_pass_through_tmux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    hostile = f"run{ESCAPE};a\x07b\nfinished"
    assert terminal.notice(hostile) == "\x1b]9;run,ab finished\a\x1b]777;notify;dlwb;run,ab finished\a"
    monkeypatch.setenv("TERM", "foot")
    assert terminal.notice("x") == "\x1b]9;x\a"
    monkeypatch.setenv("TMUX", "/nowhere,1,0")
    assert terminal.notice("x") == "\x1bPtmux;\x1b\x1b]9;x\a\x1b\\"
    monkeypatch.setenv("PATH", "")
    assert terminal.clipboard("x") == "\x1b]52;c;eA==\a\x1bPtmux;\x1b\x1b]52;c;eA==\a\x1b\\"


@pytest.mark.skipif(not shutil.which("tmux"), reason="needs tmux")
def test_tmux_takes_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    socket = str(tmp_path / "tmux")
    subprocess.run(["tmux", "-S", socket, "-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24"], check=True)
    try:
        monkeypatch.setenv("TMUX", f"{socket},1,0")
        assert terminal.clipboard("what was copied") == ""
        shown = subprocess.run(["tmux", "-S", socket, "show-buffer"], capture_output=True, text=True, check=True)
        assert shown.stdout == "what was copied"
    finally:
        subprocess.run(["tmux", "-S", socket, "kill-server"], check=False)


def test_wait_rings(tmp_path: Path) -> None:
    run = start(tmp_path)
    done = dlwb("wait", run.id, "--bell")
    assert done.returncode == 0 and "\a" in done.stderr and f"{run.id} finished" in done.stderr
    assert "\a" not in dlwb("wait", run.id).stderr


def test_a_figure_that_never_was_is_no_best() -> None:
    first, second = make_run(stamp="2026-11-22_000000"), make_run()
    for run, value in ((first, 0.3), (second, float("nan"))):
        log = train(run, 100, rich=False)
        log.write(Scalars({"valid/loss": value, f"valid/only-{run.id[8:10]}": 1.0}, step=100))
        log.close()
    rows = {row.metric: row for row in compare.figures(compare.sides([first, second]))}
    assert rows["valid/loss"].best is None and rows["valid/only-22"].values == [1.0, None]
