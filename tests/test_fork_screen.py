"""`b` on a run: the checkpoint before the cursor, the form of a fork, the roll-back, the tree in the list, the family in one overlay."""

import json
from pathlib import Path

import pytest
from forking import steps_kept
from lines import ended, folded, start
from made_runs import finish, make_run
from piloting import open_run, seen, settle

from workbench.runs import family
from workbench.tui.app import DlwbApp
from workbench.tui.models.library import Library
from workbench.tui.panels import run_rows
from workbench.tui.screens.branch import BranchScreen
from workbench.tui.screens.compare import CompareScreen
from workbench.tui.screens.fork import ForkScreen
from workbench.tui.screens.run import RunScreen

pytestmark = pytest.mark.usefixtures("nothing_is_left")


async def test_from_the_cursor_to_a_fork_and_its_family(tmp_path: Path) -> None:
    run = start(tmp_path, train="{steps: 60, batch_size: 20, log_every: 2, checkpoint_every: 10, keep_every: 10}")
    assert ended(run).state == "finished" and 40 in steps_kept(run)
    app = DlwbApp()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, "line")
        await pilot.press("tab")
        screen.board.cursor = 47.0
        await pilot.press("b")
        await settle(pilot, lambda: isinstance(app.screen, BranchScreen))
        assert "◂ checkpoint of step 40 ▸  7 steps before step 47" in seen(app)
        whole = " ".join(strip.text for strip in app.screen.lines(300))
        assert "Steps 41 to 60 leave its curves; its log keeps them." in whole and "it has no family yet" in whole
        await pilot.press("left", "right", "left")
        assert "◂ checkpoint of step 30 ▸" in seen(app)
        await pilot.press("f")
        await settle(pilot, lambda: isinstance(app.screen, ForkScreen))
        form = app.screen.form
        assert (form.fields["config.learning_rate"].note, form.fields["config.shuffled"].note, form.fields["seed"].note) == ("✓", "?", "–")
        form.put("seed", "3")
        assert "cannot change at a checkpoint" in form.fields["seed"].problem
        form.take_back("seed")
        form.put("config.learning_rate", "0.01")
        app.screen.fill()
        assert "1 change" in seen(app)
        await pilot.press("s")
        await settle(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.feed.run != run)
        fork = app.screen.feed.run
        await settle(pilot, lambda: "fork at step 30" in seen(app) and app.screen.feed.state.state == "finished")
        assert [mark.settings for mark in folded(fork).marks if mark.step == 30] == [{"config.learning_rate": 0.01}]
        # Back to the run, without its cursor, and to the list.
        await pilot.press("escape", "escape", "escape")
        await settle(pilot, lambda: "└ step 30: learning_rate 0.01" in seen(app))
        await pilot.press("c")
        await settle(pilot, lambda: isinstance(app.screen, CompareScreen) and "fork" in seen(app))
        assert [(moment.x, moment.label) for moment in app.screen.moments()] == [(30, f"fork {app.screen.names[1]}")]
        # Roll back, after a question; a key that is pressed at once is no answer to it.
        await pilot.press("escape", "home", "b")
        await settle(pilot, lambda: isinstance(app.screen, BranchScreen))
        await pilot.press("left", "left", "r")
        await settle(pilot, lambda: "Roll this run back?" in seen(app))
        assert "goes on from its checkpoint of step 40" in seen(app)
        await pilot.press("y")
        await settle(pilot, lambda: "rolled back to step 40" in [mark.text for mark in folded(run).marks] and folded(run).attempt == 3)
    assert ended(run).state == "finished"


def test_forks_stand_below_their_parent_and_are_folded_where_they_are_many(home: Path) -> None:
    runs = [make_run("line", stamp=f"2026-11-30_1000{second:02}") for second in range(9)]
    for number, run in enumerate(runs):
        finish(run, 100)
        if number > 1:
            note = {"run": runs[0].id, "step": 10 * number, "live": {"config.learning_rate": number / 10}}
            (run.path / "run.json").write_text(json.dumps({"forked": note}))
    (runs[8].path / "run.json").write_text(json.dumps({"forked": {"run": runs[7].id, "step": 90, "fixed": {"config.dropout": [0, 0.5]}}}))
    library = Library()
    for _ in library.refresh():
        pass

    def words(**how: object) -> list[str]:
        rows = run_rows.run_rows(library, 160, **how)[1:]  # type: ignore[arg-type]
        return [row.strip.text[14:80].strip().partition("   ")[0] for row in rows]

    shown = words()
    assert shown[1:5] == [
        "└ step 70: learning_rate 0.7",
        "└ step 90: dropout 0 → 0.5",
        "└ step 60: learning_rate 0.6",
        "▸ 4 more forks",
    ]
    # The family with the newest run comes first, though its root is the oldest run of all.
    assert len(shown) == 6 and not shown[0].startswith("└") and not shown[5].startswith("└")
    assert len(words(unfolded={runs[0].id})) == 10 and "▴ fewer" in words(unfolded={runs[0].id})
    found = words(filtered="dropout")
    assert len(found) == 1 and "fork at step 90" in found[0]
    # By another column a list is flat, as its order is that of the column.
    assert len(words(order=run_rows.Order("step"))) == 9
    assert [run.id for run in library.relatives(runs[8])] == [
        place.id for place in family.tree({run.id: family.forked(run) for run in runs})
    ][:8]


async def test_without_a_checkpoint_a_sentence_says_so(home: Path) -> None:
    run = make_run("line")
    finish(run, 100)
    app = DlwbApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_run(pilot, "line")
        await pilot.press("b")
        await settle(pilot, lambda: any("has no checkpoint yet" in str(note.message) for note in app._notifications))
        assert not isinstance(app.screen, BranchScreen)
