"""Fork and roll back, with real workers: equal to the run that was never forked, bit for bit, until a setting differs."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from forking import bytes_of, curves, steps_kept, weights
from killing import differences
from lines import LINE, SLOW, ended, folded, start, until
from short_runs import in_home
from test_cli import dlwb

from workbench.launch import forking
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.recipes import trust
from workbench.runs import compare, family, handed_in, index, measured
from workbench.runs.export.html import to_html
from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")

OLD = "3ee6820062aead55"
TRAIN = "{steps: 90, batch_size: 20, log_every: 3, evaluate_every: 6, checkpoint_every: 10, keep_every: 10, keep_best: valid/loss}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a finished run of 90 steps, which keeps a checkpoint each 10; a person changed its learning rate on the way."""
    folder = tmp_path_factory.mktemp("forked")
    with in_home(folder / "home"):
        run = start(folder, config="{sleep: 0.005}", train=TRAIN)
        until(lambda: folded(run).step >= 36)
        launch.answer(run, launch.command(run, "set", {"config.learning_rate": 0.2}))
        assert ended(run).state == "finished"
    return folder / "home"


class Forks(NamedTuple):
    """A run and its forks, all at their ends."""

    parent: Run
    same: Run
    live: Run
    without: Run
    fixed: Run
    second: Run
    """A fork of `live` at its beginning."""
    untouched: bool
    """Whether every byte of the parent's folder was the same afterwards."""


@pytest.fixture(scope="module")
def forks(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Forks:
    home = tmp_path_factory.mktemp("forks") / "home"
    shutil.copytree(trained, home)
    with in_home(home):
        (parent,) = list_runs()
        before = bytes_of(parent)
        made = [
            forking.fork(parent, family.nearest(parent, at), settings, repeat=repeat).run
            for at, settings, repeat in (
                (25, [], True),
                (30, ["config.learning_rate=0.001"], True),
                (30, [], False),
                (40, ["config.shuffled=true", "config.learning_rate=0.02"], True),
            )
        ]
        untouched = bytes_of(parent) == before
        made.append(forking.fork(made[1], family.nearest(made[1], 30), ["config.learning_rate=0.3"]).run)
        for fork in made:
            assert ended(fork).state == "finished", fork.output.read_text()
    return Forks(parent, *made, untouched)


@pytest.fixture
def parent(trained: Path, home: Path) -> Run:
    """A copy of the run in the test's own home."""
    shutil.copytree(trained, home, dirs_exist_ok=True)
    return list_runs()[0]


def test_a_fork_equals_the_run_that_was_not_forked(forks: Forks) -> None:
    assert forks.untouched
    # Also the change that a person made later: it is made again at its step.
    wrong = differences(forks.same, forks.parent)
    assert [what for what in wrong if "marks" not in what] == []
    ours, theirs = folded(forks.same).marks, folded(forks.parent).marks
    assert [(mark.step, mark.settings) for mark in ours if mark.settings] == [(mark.step, mark.settings) for mark in theirs]
    assert [mark.text for mark in ours if not mark.settings] == [f"forked from {forks.parent.id}"]
    origin = family.forked(forks.same)
    assert origin and (origin.run, origin.step, origin.fixed, origin.live) == (forks.parent.id, 20, {}, {})
    assert 20 in steps_kept(forks.same)  # where it began stays for good


def test_with_a_live_setting_it_is_equal_until_there(forks: Forks) -> None:
    fork, parent = forks.live, forks.parent
    assert curves(fork, 30) == curves(parent, 30) != {}
    assert weights(fork, 30) == weights(parent, 30)
    ours, theirs = curves(fork)["train/loss"], curves(parent)["train/loss"]
    assert [step for step, _ in ours] == [step for step, _ in theirs]
    assert not {point for point in ours if point[0] > 30} & set(theirs)
    # A value of one's own holds: the parent's later change of the same setting is left out.
    assert [(mark.step, mark.settings) for mark in folded(fork).marks if mark.settings] == [(30, {"config.learning_rate": 0.001})]


def test_later_changes_can_be_left_out(forks: Forks) -> None:
    assert "config.learning_rate" not in folded(forks.without).settings()
    change = folded(forks.parent).marks[-1].step
    assert curves(forks.without, change) == curves(forks.parent, change)
    assert curves(forks.without) != curves(forks.parent)


def test_a_setting_that_is_not_live_is_the_forks_own(forks: Forks) -> None:
    fork, parent = forks.fixed, forks.parent
    assert fork.recipe().config["shuffled"] is True and parent.recipe().config["shuffled"] is False
    assert curves(fork, 40) == curves(parent, 40)
    assert not {point for point in curves(fork)["train/loss"] if point[0] > 45} & set(curves(parent)["train/loss"])
    origin = family.forked(fork)
    assert origin and origin.fixed == {"config.shuffled": [False, True]} and "shuffled false → true" in origin.words
    texts = [mark.text for mark in folded(fork).marks]
    assert f"forked from {parent.id}: learning_rate 0.02, shuffled false → true" in texts


def test_a_fork_outlives_its_parent_and_can_be_forked(forks: Forks) -> None:
    assert curves(forks.second, 30) == curves(forks.parent, 30)
    origins = {run.id: family.forked(run) for run in forks[:6]}
    places = {place.id: (place.depth, place.forks) for place in family.tree(origins)}
    assert places[forks.parent.id] == (0, 5) and places[forks.live.id] == (1, 1) and places[forks.second.id] == (2, 0)
    assert family.family(forks.second.id, origins)[0] == forks.parent.id and len(family.family(forks.parent.id, origins)) == 6
    # All that it stands on is its own: without the parent's folder it reads the same.
    shown = curves(forks.same), weights(forks.same, 20)
    hidden = forks.parent.path.rename(forks.parent.path.with_name(".gone"))
    try:
        assert (curves(forks.same), weights(forks.same, 20)) == shown
        assert family.tree({forks.same.id: family.forked(forks.same)})[0].depth == 0
        assert family.nearest(forks.same, 20).generation.step == 20
    finally:
        hidden.rename(forks.parent.path)


def test_what_reads_a_run_says_that_it_is_a_fork(forks: Forks) -> None:
    page = "".join(to_html(forks.fixed))
    assert f"fork of {forks.parent.id} at step 40" in page and "shuffled false → true" in page
    look = next(look for look in index.look_at([forks.fixed]))
    exported = msgspec.to_builtins(handed_in.exported(look))
    assert exported["changed"] == {"config.shuffled": True, "config.learning_rate": 0.02}
    assert exported["forked"]["run"] == forks.parent.id
    with pytest.raises(Problem, match="was forked with other settings"):
        measured.measure(forks.fixed)
    sides = compare.sides([forks.parent, forks.fixed])
    assert ["–", f"at step 40 of {sides[0].name}"] in [row.values for row in compare.differing(sides)]


def test_the_best_weights_of_then_come_along(parent: Run) -> None:
    """It is tested with the best weights until there where none are better after it."""
    best = family.best_step(folded(parent), 20, "valid/loss")
    fork = forking.create(parent, family.nearest(parent, 20), ["config.learning_rate=0.0000001"])
    assert fork.remark == "" and best in steps_kept(fork.run)
    (parent.path / "checkpoints" / f"step-{best:08d}.json").unlink()
    assert f"of step {best}, are gone" in forking.create(parent, family.nearest(parent, 20), []).remark


def test_a_roll_back_whose_best_weights_are_gone_says_so(parent: Run) -> None:
    best = family.best_step(folded(parent), 20, "valid/loss")
    (parent.path / "checkpoints" / f"step-{best:08d}.json").unlink()
    settings = ["config.learning_rate=5", "train.patience=2"]
    assert f"of step {best}, are gone" in forking.roll_back(parent, family.nearest(parent, 20), settings)
    # An older one that was the best once must not be taken for it.
    assert "as no better ones can be read" in ended(parent).message


def test_roll_back_goes_on_from_there(parent: Run) -> None:
    whole, checkpoint, lines = curves(parent), weights(parent), parent.events.read_bytes()
    with pytest.raises(Problem, match=r"config\.shuffled cannot change while a run trains"):
        forking.roll_back(parent, family.nearest(parent, 40), ["config.shuffled=true"])
    assert parent.events.read_bytes() == lines
    assert forking.roll_back(parent, family.nearest(parent, 45)) == ""
    assert ended(parent).state == "finished", parent.output.read_text()
    assert curves(parent) == whole and weights(parent) == checkpoint
    assert parent.events.read_bytes().startswith(lines)  # its log keeps all
    assert "rolled back to step 40" in [mark.text for mark in folded(parent).marks]
    forking.roll_back(parent, family.nearest(parent, 80), ["config.learning_rate=0.01"])
    assert ended(parent).state == "finished"
    assert curves(parent, 80) == {tag: [point for point in points if point[0] <= 80] for tag, points in whole.items()}
    assert curves(parent) != whole and folded(parent).settings()["config.learning_rate"] == 0.01


def patiently(act: Callable[[], Any]) -> Any:
    """Do it again where the run, which saves ten times a second, has just dropped that checkpoint: it then says so, and nothing is done."""
    for _ in range(50):
        try:
            return act()
        except Problem as problem:
            assert "is gone by now" in str(problem)
    raise AssertionError("it was gone each time")


def rolled_back(run: Run) -> family.Branch:
    branch = family.nearest(run, steps_kept(run)[0])
    forking.roll_back(run, branch)
    return branch


def test_a_live_run_is_forked_while_it_goes_on_and_stopped_for_a_roll_back(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, "{steps: 2000, batch_size: 20, log_every: 1, checkpoint_every: 10}")
    until(lambda: len(steps_kept(run)) >= 2)
    fork = patiently(lambda: forking.fork(run, family.nearest(run)).run)
    until(lambda: folded(fork).step > folded(fork).marks[-1].step)
    assert state_of(run).alive and state_of(run).attempt == 1
    launch.kill(fork)
    step = min(folded(run).step, folded(fork).step)
    assert curves(fork, step) == curves(run, step)
    # The checkpoint that is chosen is dropped by the run itself in a moment; what it saves at its end would take its place.
    branch = patiently(lambda: rolled_back(run))
    until(lambda: state_of(run).state == "running" and folded(run).attempt == 3)
    started = [status for status in folded(run).statuses if status.state == "running"]
    assert started[-1].from_step == branch.generation.step
    launch.kill(run)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["seed=2"], "seed cannot change at a checkpoint: the checkpoint holds the random states"),
        (["train.batch_size=10"], "train.batch_size cannot change at a checkpoint: the checkpoint counts its place"),
        (["config.nothing=1"], "config.nothing: not a setting of"),
        (["config.learning_rate=-1"], "config.learning_rate: must be more than 0"),
        (["title=Other"], "title: only config.…, train.…, compute.… and seed can be set"),
    ],
)
def test_what_cannot_change_is_refused_before_anything_is_made(parent: Run, settings: list[str], sentence: str) -> None:
    with pytest.raises(Problem) as refused:
        forking.create(parent, family.nearest(parent, 40), settings)
    assert sentence in str(refused.value)
    assert list_runs() == [parent]


def test_what_a_checkpoint_may_be(parent: Run) -> None:
    with pytest.raises(Problem, match="no checkpoint at or before step 3: its first one is of step 6"):
        family.nearest(parent, 3)
    with pytest.raises(Problem, match="Step 90 is the last one"):
        forking.create(parent, family.nearest(parent))
    branch = family.nearest(parent, 47)
    assert branch.words == "checkpoint of step 40, 7 steps before step 47"
    file = parent.path / "checkpoints" / branch.generation.file
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    before = bytes_of(parent)
    for act in (forking.create, forking.roll_back):
        with pytest.raises(Problem, match=r"The checkpoint of step 40 of .* is damaged\. The one before is of step"):
            act(parent, branch)
    file.unlink()
    with pytest.raises(Problem, match="is gone by now"):
        forking.create(parent, branch)
    shutil.copy(parent.path / "recipe.yaml", file.parent / "kept")  # the folder itself is whole
    assert list_runs() == [parent] and {name for name in before if name.startswith("checkpoints")} - bytes_of(parent).keys() == {
        f"checkpoints/{branch.generation.file}"
    }


def test_code_that_changed_since(parent: Run) -> None:
    branch = family.nearest(parent, 40)
    about = json.loads((parent.path / "run.json").read_text())
    (parent.path / "run.json").write_text(json.dumps({**about, "code": "0" * 64}))
    for act in (forking.create, forking.roll_back):
        with pytest.raises(Problem, match="has changed since"):
            act(parent, branch)
    # Somebody wrote into the copy of a person's own project: it runs only when it is trusted again.
    (parent.path / "run.json").write_text(json.dumps(about))
    parent.project_copy.write_text(LINE + "\n# other\n")
    with pytest.raises(Problem, match=r"has changed since|is not trusted"):
        forking.create(parent, branch)
    with pytest.raises(Problem, match="is not trusted"):
        forking.create(parent, branch, anyway=True)
    trust.trust(parent.project_copy)
    assert forking.create(parent, branch, anyway=True).run in list_runs()


def test_a_run_on_another_host(parent: Run) -> None:
    (parent.path / "lock").write_text(json.dumps({"host": "gpu07", "attempt": 1}))
    (parent.path / "exit.json").unlink()
    assert state_of(parent).state == "away"
    with pytest.raises(Problem, match="is on gpu07, so it cannot be rolled back from here"):
        forking.roll_back(parent, family.nearest(parent, 40))
    assert state_of(forking.create(parent, family.nearest(parent, 40)).run).state == "stopped"


KILLED = """
import os, signal
from workbench.launch import forking
from workbench.runs import family
from workbench.runs.run import list_runs
forking.dump_recipe = lambda recipe: os.kill(os.getpid(), signal.SIGKILL)
forking.create(list_runs()[0], family.nearest(list_runs()[0], 40))
"""


def test_killed_before_its_last_file_it_is_no_run(parent: Run) -> None:
    before = bytes_of(parent)
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -signal.SIGKILL
    assert len(list(parent.path.parent.iterdir())) == 2
    assert list_runs() == [parent] and bytes_of(parent) == before


def test_keep_every_is_no_part_of_what_a_result_depends_on(parent: Run) -> None:
    recipe = parent.recipe()
    other = msgspec.structs.replace(recipe, train=msgspec.structs.replace(recipe.train, keep_every=7))
    assert measured.settings_of(other) == measured.settings_of(recipe) and measured.differences(other, recipe) == []
    # The value of version 0.2, which knew no such setting: recorded results hold it.
    plain = msgspec.structs.replace(recipe, config={"b": 1, "a": [0.5]}, train=type(recipe.train)(epochs=3, batch_size=32))
    assert measured.settings_of(plain) == OLD


def test_keep_every_keeps_one_of_each_span(parent: Run) -> None:
    kept = steps_kept(parent)
    assert {10, 20, 30, 40, 50, 60, 70, 80, 90} <= set(kept)
    assert all(family.best_step(folded(parent), step, "valid/loss") in kept for step in kept if step >= 10)


def test_the_shell_forks_and_asks_before_it_rolls_back(forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLWB_HOME", str(forks.parent.path.parents[1]))
    parent = forks.parent.id
    asked = dlwb("rollback", parent, "--at", "45")
    assert asked.returncode == 1 and "Nothing was rolled back" in asked.stderr and "--yes does it" in asked.stderr
    assert f"{parent} goes on from its checkpoint of step 40, 5 steps before step 45. Steps 41 to 90 leave its curves" in asked.stderr
    refused = dlwb("fork", parent, "--at", "3")
    assert refused.returncode == 1 and "has no checkpoint at or before step 3" in refused.stderr and "Traceback" not in refused.stderr
    rows = dlwb("runs").stdout.splitlines()
    assert any(row.startswith(forks.fixed.id) and row.endswith(f"40 of {parent}") for row in rows)
    done = dlwb("fork", parent, "--at", "88", "--json", "--set", "config.learning_rate=0.01")
    said = json.loads(done.stdout)
    assert (said["parent"], said["step"], said["asked"]) == (parent, 80, 88) and "8 steps before step 88" in done.stderr
    fork = next(run for run in list_runs() if run.id == said["run"])
    assert ended(fork).state == "finished"
    shutil.rmtree(fork.path)
