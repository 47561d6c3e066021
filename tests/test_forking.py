"""Fork and roll back, with real workers: equal to the run that was never forked, bit for bit, until a setting differs."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from forking import bytes_of, curves, steps_kept, weights
from killing import differences
from lines import LINE, SLOW, ended, folded, start, until

from workbench.events import Mark
from workbench.launch import forking
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.recipes import trust
from workbench.runs import family
from workbench.runs.log import Tail
from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")

TRAIN = "{steps: 90, batch_size: 20, log_every: 3, evaluate_every: 6, checkpoint_every: 10, keep_every: 10, keep_best: valid/loss}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a finished run of 90 steps: a person changed its learning rate on the way, and it keeps a checkpoint each 10 steps."""
    folder = tmp_path_factory.mktemp("forked")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DLWB_HOME", str(folder / "home"))
        run = start(folder, config="{sleep: 0.01}", train=TRAIN)
        until(lambda: folded(run).step >= 36)
        launch.answer(run, launch.command(run, "set", {"config.learning_rate": 0.2}))
        assert ended(run).state == "finished"
    return folder / "home"


@pytest.fixture
def parent(trained: Path, home: Path) -> Run:
    """A copy of it in the test's own home."""
    shutil.copytree(trained, home, dirs_exist_ok=True)
    return list_runs()[0]


def fork_of(parent: Run, step: int | None = None, *settings: str, **how: bool) -> Run:
    fork = forking.fork(parent, family.nearest(parent, step), settings, **how).run
    assert ended(fork).state == "finished", fork.output.read_text()
    return fork


def test_a_fork_equals_the_run_that_was_not_forked(parent: Run) -> None:
    before = bytes_of(parent)
    fork = fork_of(parent, 25)
    assert bytes_of(parent) == before
    # Also the change that a person made later: it is made again at its step.
    assert [problem for problem in differences(fork, parent) if "marks" not in problem and "left behind" not in problem] == []
    ours, theirs = folded(fork).marks, folded(parent).marks
    assert [mark for mark in ours if mark.settings != {}][-1].step == theirs[-1].step
    assert [mark.text for mark in ours if not mark.settings] == [f"forked from {parent.id}"]
    origin = family.forked(fork)
    assert origin and (origin.run, origin.step, origin.fixed, origin.live) == (parent.id, 20, {}, {})
    # Where it began stays for good, and is the parent's own file where the disk can.
    assert 20 in steps_kept(fork)


def test_with_a_live_setting_it_is_equal_until_there(parent: Run) -> None:
    fork = fork_of(parent, 30, "config.learning_rate=0.001")
    assert curves(fork, 30) == curves(parent, 30) != {}
    assert weights(fork, 30) == weights(parent, 30)
    ours, theirs = curves(fork)["train/loss"], curves(parent)["train/loss"]
    assert [step for step, _ in ours] == [step for step, _ in theirs]
    assert not {point for point in ours if point[0] > 30} & set(theirs)
    # A value of one's own holds: the parent's later change of the same setting is left out.
    assert folded(fork).settings()["config.learning_rate"] == 0.001
    assert [mark.step for mark in folded(fork).marks if "config.learning_rate" in mark.settings] == [30]


def test_later_changes_can_be_left_out(parent: Run) -> None:
    fork = fork_of(parent, 30, repeat=False)
    assert "config.learning_rate" not in folded(fork).settings()
    change = folded(parent).marks[-1].step
    assert curves(fork, change) == curves(parent, change)
    assert curves(fork) != curves(parent)


def test_a_setting_that_is_not_live_is_the_forks_own(parent: Run) -> None:
    fork = fork_of(parent, 40, "config.shuffled=true")
    assert fork.recipe().config["shuffled"] is True and parent.recipe().config["shuffled"] is False
    assert curves(fork, 40) == curves(parent, 40)
    assert not {point for point in curves(fork)["train/loss"] if point[0] > 45} & set(curves(parent)["train/loss"])
    origin = family.forked(fork)
    assert origin and origin.fixed == {"config.shuffled": [False, True]} and "shuffled false → true" in origin.words


def test_a_fork_outlives_its_parent_and_can_be_forked(parent: Run) -> None:
    fork = fork_of(parent, 50)
    kept = curves(parent, 50)
    shutil.rmtree(parent.path)
    assert curves(fork, 50) == kept
    second = fork_of(fork, 50, "config.learning_rate=0.3")
    assert curves(second, 50) == kept
    origins = {run.id: family.forked(run) for run in list_runs()}
    assert [(place.id, place.depth) for place in family.tree(origins)] == [(fork.id, 0), (second.id, 1)]
    assert family.family(second.id, origins) == family.family(fork.id, origins) == [fork.id, second.id]


def test_the_best_weights_of_then_come_along(parent: Run) -> None:
    """It is tested with the best weights until there where none are better after it."""
    best = family.best_step(folded(parent), 20, "valid/loss")
    fork = forking.create(parent, family.nearest(parent, 20), ["config.learning_rate=0.0000001"])
    assert fork.remark == "" and best in steps_kept(fork.run)
    (parent.path / "checkpoints" / f"step-{best:08d}.json").unlink()
    assert f"of step {best}, are gone" in forking.create(parent, family.nearest(parent, 20), []).remark


def test_roll_back_goes_on_from_there(parent: Run) -> None:
    whole = curves(parent)
    checkpoint = weights(parent)
    lines = parent.events.read_bytes()
    assert forking.roll_back(parent, family.nearest(parent, 45)) == ""
    assert ended(parent).state == "finished", parent.output.read_text()
    assert curves(parent) == whole and weights(parent) == checkpoint
    assert parent.events.read_bytes().startswith(lines)  # its log keeps all
    assert "rolled back to step 40" in [mark.text for mark in folded(parent).marks]


def test_roll_back_with_another_live_setting(parent: Run) -> None:
    whole = curves(parent)
    with pytest.raises(Problem, match=r"config\.shuffled cannot change while a run trains"):
        forking.roll_back(parent, family.nearest(parent, 40), ["config.shuffled=true"])
    forking.roll_back(parent, family.nearest(parent, 40), ["config.learning_rate=0.01"])
    assert ended(parent).state == "finished"
    assert curves(parent, 40) == {
        tag: [point for point in points if point[0] <= 40] for tag, points in whole.items() if tag in curves(parent)
    }
    assert curves(parent) != whole and folded(parent).settings()["config.learning_rate"] == 0.01


def test_roll_back_of_a_live_run_stops_it_first(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, "{steps: 2000, batch_size: 20, log_every: 1, checkpoint_every: 10}")
    until(lambda: len(steps_kept(run)) >= 2)
    branch = family.nearest(run, steps_kept(run)[0])
    forking.roll_back(run, branch)
    until(lambda: state_of(run).state == "running" and folded(run).attempt == 3)
    started = [status for status in folded(run).statuses if status.state == "running"]
    assert started[-1].from_step == branch.generation.step
    assert state_of(run).alive
    launch.kill(run)


def test_a_live_run_is_forked_while_it_goes_on(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, "{steps: 2000, batch_size: 20, log_every: 1, checkpoint_every: 10}")
    until(lambda: len(steps_kept(run)) >= 2)
    fork = forking.fork(run, family.nearest(run)).run
    until(lambda: folded(fork).step > folded(fork).marks[-1].step)
    assert state_of(run).alive and state_of(run).attempt == 1
    launch.kill(run)
    launch.kill(fork)
    step = min(folded(run).step, folded(fork).step)
    assert curves(fork, step) == curves(run, step)


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
    assert ended(forking.fork(parent, branch, anyway=True).run).state == "finished"
    assert len(list_runs()) == 2


def test_a_run_on_another_host(parent: Run) -> None:
    (parent.path / "lock").write_text(json.dumps({"host": "gpu07", "attempt": 1}))
    (parent.path / "exit.json").unlink()
    assert state_of(parent).state == "away"
    with pytest.raises(Problem, match="is on gpu07, so it cannot be rolled back from here"):
        forking.roll_back(parent, family.nearest(parent, 40))
    assert ended(forking.fork(parent, family.nearest(parent, 40)).run).state == "finished"


KILLED = """
import os, signal, sys
from workbench.launch import forking
from workbench.runs import directory, family
from workbench.runs.run import list_runs
at, count = int(sys.argv[1]), 0
def trace(frame, event, argument):
    global count
    if event == "call" and ("/runs/" in frame.f_code.co_filename or "/files.py" in frame.f_code.co_filename):
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
parent = list_runs()[0]
branch = family.nearest(parent, 40)
sys.setprofile(trace)
{act}
sys.setprofile(None)
print(count)
"""


def killed_at(at: int, act: str) -> int:
    """Do it in a process that is killed at its so many-th call; returns how many there are, 0 where it was killed."""
    done = subprocess.run([sys.executable, "-c", KILLED.replace("{act}", act), str(at)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return int(done.stdout or 0)


def test_killed_while_it_forks_there_is_no_half_run(parent: Run) -> None:
    before, act = bytes_of(parent), "forking.create(parent, branch)"
    calls = killed_at(0, act)
    made = list_runs()[0]
    assert made != parent
    shutil.rmtree(made.path)
    for at in [calls * share // 100 for share in (40, 80, 95, 99)]:
        assert killed_at(at, act) == 0
        assert list_runs() == [parent] and bytes_of(parent) == before
    assert sum(1 for _ in parent.path.parent.iterdir()) > 1  # the last ones had begun


def test_killed_while_it_rolls_back_it_can_be_resumed(parent: Run) -> None:
    whole, saved = curves(parent), parent.path.parent.parent / "saved"
    shutil.copytree(parent.path, saved)
    act = "forking.start.launch = lambda *a, **k: ''\nforking.roll_back(parent, branch)"
    calls = killed_at(0, act)
    ends = set()
    for at in [calls * share // 100 for share in (50, 70, 80, 90, 97)]:
        shutil.rmtree(parent.path)
        shutil.copytree(saved, parent.path)
        assert killed_at(at, act) == 0
        if state_of(parent).state == "stopped":
            launch.launch(parent)
            assert ended(parent).state == "finished"
        ends.add(folded(parent).attempt)
        assert curves(parent) == whole
    assert len(ends) > 1


def test_keep_every_keeps_one_of_each_span(parent: Run) -> None:
    kept = steps_kept(parent)
    assert {10, 20, 30, 40, 50, 60, 70, 80, 90} <= set(kept)
    assert all(family.best_step(folded(parent), step, "valid/loss") in kept for step in kept if step >= 10)


def test_what_reads_a_run_says_that_it_is_a_fork(parent: Run) -> None:
    from workbench.runs import handed_in, index, measured
    from workbench.runs.export.html import to_html

    fork = fork_of(parent, 40, "config.learning_rate=0.02", "config.sleep=0.0")
    page = "".join(to_html(fork))
    assert f"fork of {parent.id} at step 40" in page and "sleep 0.01 → 0" in page
    look = next(look for look in index.look_at(list_runs()) if look.run == fork)
    exported = msgspec.to_builtins(handed_in.exported(look))
    assert exported["changed"]["config.learning_rate"] == 0.02 and exported["forked"]["run"] == parent.id
    with pytest.raises(Problem, match="was forked with other settings"):
        measured.measure(fork)


def test_marks_are_as_a_person_reads_them(parent: Run) -> None:
    fork = forking.create(parent, family.nearest(parent, 40), ["config.learning_rate=0.02", "config.shuffled=true"]).run
    text = [event.text for event in Tail(fork.events).read() if isinstance(event, Mark)][-1]
    assert text == f"forked from {parent.id}: learning_rate 0.02, shuffled false → true"
    assert state_of(fork).state == "stopped" and state_of(fork).message == f"Forked from {parent.id} at step 40."
