"""Slurm without Slurm: the script, what its programs say, the state of a run by it, and what the process on the node decides."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lines import created, until, write
from made_runs import make_run
from pretend_slurm import NOW, Programs, noted, programs, row

from workbench import files, paths
from workbench.events import Status
from workbench.launch import slurm, start, submit
from workbench.launch.submit import Request
from workbench.problems import Problem
from workbench.recipes.load import load_recipe
from workbench.runs import index, scheduled, trash
from workbench.runs.log import EventLog
from workbench.runs.run import Run, list_runs
from workbench.runs.scheduled import Job, Seen
from workbench.runs.state import state_of

__all__ = ["programs"]


def exited(run: Run, state: str = "stopped", attempt: int = 1, time: float = NOW + 10, **more: Any) -> None:
    (run.path / "exit.json").write_bytes(msgspec.json.encode({"state": state, "attempt": attempt, "time": time, **more}))


# -- the script --------------------------------------------------------------------------------------------------------------------


def test_the_script_holds_no_foreign_word_that_a_shell_would_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "a b'; touch pwned; $(touch pwned) `touch pwned` #%j é"
    monkeypatch.setenv("DLWB_HOME", str(home))
    monkeypatch.setenv("DLWB_MIRROR", "/data of $USER")
    shown = tmp_path / "show it"
    shown.write_text('#!/bin/sh\nprintf "%s\\n" "$DLWB_HOME" "$DLWB_MIRROR" "$@"\n')
    shown.chmod(0o755)
    recipe = loaded(tmp_path).recipe
    monkeypatch.setattr(sys, "executable", str(shown))
    listed = submit.options("x;$(touch pwned)\n#SBATCH --uid=0", recipe, 0, Request())
    folder = paths.runs() / "run 1"
    text = submit.script([*listed, ("chdir", str(folder))], folder)
    (tmp_path / "job.sh").write_text(text)
    done = subprocess.run(["sh", "job.sh"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(home), "/data of $USER", "-P", "-m", "workbench.launch.slurm_job", str(folder)]
    assert not list(tmp_path.glob("**/pwned"))
    directives = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert '#SBATCH --job-name="x---touch-pwned---SBATCH---uid-0"' in directives
    assert {"#SBATCH --requeue", '#SBATCH --signal="B:TERM@90"', '#SBATCH --open-mode="append"'} <= set(directives)
    # A directive behind the first command is none.
    assert not any(line.startswith("#SBATCH") for line in text[text.index("export") :].splitlines())
    assert shlex.split(text.splitlines()[-1])[0] == "exec"


def test_several_nodes_are_written(tmp_path: Path) -> None:
    listed = [(name, "2" if name == "nodes" else value) for name, value in submit.options("a", loaded(tmp_path).recipe, 0, Request())]
    text = submit.script(listed, tmp_path)
    assert '#SBATCH --nodes="2"' in text and 'export MASTER_ADDR="$(scontrol' in text
    assert text.splitlines()[-1].startswith("exec srun ")
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0


def loaded(folder: Path, *settings: str) -> Any:
    return load_recipe(write(folder / "recipe"), settings)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90m", "90"), ("12h", "720"), ("2d", "2880"), ("1-12:00:00", "1-12:00:00"), ("30", "30"), ("UNLIMITED", "UNLIMITED")],
)
def test_a_time_limit(text: str, wanted: str) -> None:
    assert submit.limit(text) == wanted


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(time="soon"), "soon is no time limit"),
        (Request(time="1h\n#SBATCH -p x"), "is no time limit"),
        (Request(partition='a"b'), "The value of partition"),
        (Request(account="a\nb"), "The value of account"),
        (Request(more=["constraint=a\\b"]), "The value of constraint"),
        (Request(more=["output=/etc/passwd"]), "--option output is set already"),
        (Request(more=["nodes=2"]), "--option nodes is set already"),
        (Request(more=["$(id)=1"]), "is no option of sbatch"),
        (Request(grace=1), "--grace is 1"),
        (Request(gpus=1), "trains on the CPU only"),
    ],
)
def test_what_cannot_be_asked_of_slurm_is_refused_before_anything_is_made(tmp_path: Path, request_: Request, said: str) -> None:
    with pytest.raises(Problem, match=re.escape(said)):
        submit.submit(loaded(tmp_path), request_)
    assert list_runs() == []


def test_gpus_and_cores_follow_the_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(paths.shipped("recipes") / "3-convolutional-networks" / "mnist-mlp.yaml")
    assert submit.device(recipe, Request()) == ("cpu", 0)
    assert submit.device(recipe, Request(gpus=1)) == ("cuda", 1)
    with pytest.raises(Problem, match="2 GPUs were asked for"):
        submit.device(recipe, Request(gpus=2))
    cuda = msgspec.structs.replace(
        recipe, recipe=msgspec.structs.replace(recipe.recipe, compute=msgspec.structs.replace(recipe.recipe.compute, device="cuda"))
    )
    assert submit.device(cuda, Request()) == ("cuda", 1)
    with pytest.raises(Problem, match="no GPU was asked for"):
        submit.device(cuda, Request(gpus=0))
    assert dict(submit.options("a", recipe.recipe, 1, Request(cpus=8, memory="16G")))["gpus-per-node"] == "1"
    assert dict(submit.options("a", recipe.recipe, 0, Request(cpus=8, more=["constraint=a100|v100"])))["constraint"] == "a100|v100"


# -- a Slurm that refuses ----------------------------------------------------------------------------------------------------------

REFUSALS = [
    (
        "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: Invalid partition name specified\n",
        "nope",
        "sinfo",
    ),
    (
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n",
        "Unable to contact",
        "scontrol ping",
    ),
    (
        "sbatch: error: s_p_parse_file: cannot stat file /x: No such file or directory, retrying in 1sec up to 60sec\n"
        "sbatch: fatal: Unable to process configuration file\n",
        "Unable to process configuration file",
        "SLURM_CONF",
    ),
    (
        "sbatch: error: If munged is up, restart it\nsbatch: error: Batch job submission failed: Protocol authentication error\n",
        "munged",
        "munge",
    ),
    ("\x1b]0;pwned\x07sbatch: error: \x1b[31mno [/] way\n", "no [/] way", ""),
    ("", "it gave no reason", ""),
]


@pytest.mark.parametrize(("said", "wanted", "hint"), REFUSALS)
def test_a_slurm_that_refuses_leaves_no_run(tmp_path: Path, programs: Programs, said: str, wanted: str, hint: str) -> None:
    programs.says("sbatch", err=said, code=1)
    with pytest.raises(Problem) as caught:
        submit.submit(loaded(tmp_path), Request())
    text = str(caught.value)
    assert text.startswith("Slurm refused the job: ") and wanted in text and hint in text
    assert "\x1b" not in text and "\n" not in text
    assert list_runs() == [] and not any(paths.runs().iterdir())


def test_without_sbatch_and_with_one_that_hangs(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = loaded(tmp_path)
    programs.says("sbatch", then="exec sleep 60")
    monkeypatch.setattr(slurm, "SUBMIT_PATIENCE", 0.3)
    with pytest.raises(Problem, match="has not answered sbatch for 0 s"):
        submit.submit(recipe, Request())
    programs.says("sbatch", out="Submitted, perhaps\n")
    with pytest.raises(Problem, match="did not say the number of the job: Submitted, perhaps"):
        submit.submit(recipe, Request())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Problem, match="There is no sbatch on this machine"):
        submit.submit(recipe, Request())
    assert list_runs() == []


def test_a_queue_that_hangs_delays_nobody(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    run = created(tmp_path)
    noted(run)
    programs.says("squeue", then="exec sleep 60")
    monkeypatch.setattr(slurm, "PATIENCE", 0.5)
    monkeypatch.setattr(slurm.call, "__defaults__", (0.5,))
    began = time.monotonic()
    for _ in range(50):
        slurm.look_again([run])
        assert state_of(run).state == "queued"
    assert time.monotonic() - began < 0.4
    until(lambda: "has not answered squeue" in slurm.trouble, 10)
    for _ in range(20):  # no more than one look in EVERY seconds
        slurm.look_again([run])
        time.sleep(0.01)
    assert len(programs.calls("squeue")) == 1
    programs.says("squeue", out=row("12", "RUNNING"))
    slurm.refresh([run])
    assert slurm.trouble == "" and state_of(run).words == "starting on gpu07: its job has begun"


# -- what squeue says --------------------------------------------------------------------------------------------------------------


def test_foreign_words_of_the_queue() -> None:
    text = (
        row("7", "PENDING", why="Resources", start="1800000500", node="n/a", name="a|b|c")
        + row("8", "CANCELLED by 1000", name="\x1b[31mred")
        + "slurm_load_jobs error: Unable to contact slurm controller\n"
        + "9|RUNNING|x|n\n|||||||\n"
        + row("10", "NEW_STATE_OF_2031", restarts=3)
        + row("../11", "RUNNING")
        + "99999999999999|RUNNING|0|n|N/A|N/A|None|x|\n"
    )
    jobs = slurm.parse(text)
    assert list(jobs) == ["7", "8", "10"]
    assert jobs["7"] == ("a|b|c", Seen(state="PENDING", reason="Resources", start=1800000500.0))
    assert jobs["8"][1].state == "CANCELLED" and "\x1b" not in jobs["8"][0]
    assert jobs["10"][1].restarts == 3


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("Resources", "waiting for free resources"),
        ("Priority", "waiting behind jobs of higher priority"),
        ("QOSMaxJobsPerUserLimit", "waiting: you run as many jobs as your QOS allows"),
        ("QOSGrpNodeLimit", "waiting: a limit of its QOS is reached (QOSGrpNodeLimit)"),
        ("AssocGrpBilling", "waiting: a limit of its account is reached (AssocGrpBilling)"),
        ("ReqNodeNotAvail, UnavailableNodes:gpu[01-04]", "waiting for nodes that are not available now"),
        ("NewReasonOf2031", "waiting (NewReasonOf2031)"),
        ("\x1b[31mred\nline", "waiting (red line)"),
    ],
)
def test_why_a_job_waits_in_plain_words(reason: str, wanted: str) -> None:
    assert scheduled.why(Job(id="3", seen=Seen(reason=reason))) == f"{wanted} (Slurm job 3)"


def test_when_a_job_is_expected_to_start() -> None:
    noon = time.mktime((2026, 11, 30, 12, 0, 0, 0, 0, -1))

    def words(start: float, restarts: int = 0) -> str:
        return scheduled.why(Job(id="3", seen=Seen(reason="Priority", start=start, restarts=restarts)), noon)

    assert "start about 13:00 (Slurm" in words(noon + 3600)
    assert "start about Tue 06:00 (" in words(noon + 18 * 3600)
    assert "start about 20 Dec (" in words(noon + 20 * 86400)
    assert words(noon, 1).startswith("requeued, waiting") and words(noon, 3).startswith("requeued 3 times, waiting")
    assert "start about 1 Mar 2027 (" in words(time.mktime((2027, 3, 1, 6, 0, 0, 0, 0, -1)))
    assert "some day" in words(1e300)


# -- the state of a run by its job -------------------------------------------------------------------------------------------------


def state_with(run: Run, attempt: int = 0, told: str = "running", **seen_: Any) -> Any:
    noted(run, **seen_)
    if attempt:
        (run.path / "lock").write_text(f'{{"host": "gpu07", "attempt": {attempt}, "state": "{told}", "message": "epoch 3"}}')
    return state_of(run)


def test_a_run_is_as_its_job_is(tmp_path: Path) -> None:
    run = created(tmp_path)
    state = state_with(run, state="PENDING", reason="Resources")
    assert (state.state, state.alive, state.job) == ("queued", True, "12") and "free resources" in state.words
    state = state_with(run, state="RUNNING", node="gpu07")
    assert (state.state, state.alive, state.host) == ("starting", True, "gpu07")
    # Its lock is held on another machine and cannot be seen from here.
    state = state_with(run, 1, state="RUNNING", node="gpu07")
    assert (state.state, state.alive, state.words) == ("running", True, "running on gpu07")
    assert state_with(run, 1, "paused", state="RUNNING", node="gpu07").state == "paused"
    assert state_with(run, 1, "[/]\x1b", state="RUNNING", node="gpu07").state == "starting"
    exited(run, "stopped", cause="sigterm", message="Asked to end.")
    assert state_with(run, 1, state="RUNNING", node="gpu07").state == "stopped"
    exited(run, "stopped", cause="time-limit", message="Its time limit was near; saved.", requeued=True)
    state = state_with(run, 1, state="RUNNING", node="gpu07")
    assert (state.state, state.alive) == ("queued", True) and "Its time limit was near; saved." in state.message
    state = state_with(run, 1, state="PENDING", reason="BeginTime", restarts=1, time=NOW + 20)
    assert state.message.startswith("requeued, waiting for its start time")
    assert state_with(run, 1, state="RUNNING", restarts=1, time=NOW + 20).state == "starting"
    assert state_with(run, 1, state="CANCELLED", restarts=1, time=NOW + 20).cause == "cancelled"
    state = state_with(run, 1, state="TIMEOUT", time=NOW + 20)
    assert (state.state, state.cause, state.alive) == ("stopped", "time-limit", False)  # it had saved
    state = state_with(run, 1, state="FAILED", restarts=1, time=NOW + 20)  # its next start
    assert (state.state, state.cause) == ("failed", "job") and "slurm.log" in state.hint
    exited(run, "finished", cause="steps")
    assert state_with(run, 1, state="COMPLETED", time=NOW + 20).state == "finished"


ENDINGS = [
    ("TIMEOUT", "failed", "time-limit", "TIMEOUT"),
    ("OUT_OF_MEMORY", "failed", "memory", "OUT_OF_MEMORY"),
    ("NODE_FAIL", "failed", "node", "NODE_FAIL"),
    ("BOOT_FAIL", "failed", "node", "BOOT_FAIL"),
    ("PREEMPTED", "failed", "preempted", "PREEMPTED"),
    ("DEADLINE", "failed", "time-limit", "DEADLINE"),
    ("CANCELLED", "stopped", "cancelled", "cancelled"),
    ("FAILED", "failed", "job", "FAILED (JobLaunchFailure)"),
    ("COMPLETED", "failed", "job", "COMPLETED"),
    ("FORGOTTEN", "failed", "forgotten", "no longer knows"),
    ("NEW_OF_2031", "failed", "job", "NEW_OF_2031"),
]


@pytest.mark.parametrize(("word", "state", "cause", "said"), ENDINGS)
def test_each_way_in_which_slurm_ends_a_job_has_its_name(tmp_path: Path, word: str, state: str, cause: str, said: str) -> None:
    run = make_run()
    now = state_with(run, 1, state=word, node="gpu07", reason="JobLaunchFailure" if word == "FAILED" else "None", time=NOW)
    assert (now.state, now.cause, now.alive) == (state, cause, False) and said in now.message and now.hint
    assert scheduled.job_of(run.path).settled  # type: ignore[union-attr]


def test_where_only_the_log_tells_the_end_it_counts() -> None:
    """Slurm may kill the supervisor while that asks who sent the signal."""
    run = make_run()
    log = EventLog(run.path)
    log.write(Status(state="stopped", cause="sigterm", message="Asked to end by SIGTERM; saved.", attempt=1))
    log.close()
    state = state_with(run, 1, state="CANCELLED", node="gpu07")
    assert (state.state, state.cause, state.job) == ("stopped", "sigterm", "12")
    assert state_with(run, 2, state="NODE_FAIL", node="gpu07").cause == "node"  # that was an earlier attempt


@pytest.mark.parametrize(
    "text", ["", "[]", '{"id": "../x"}', '{"id": 12}', '{"id": "12", "seen": 7}', '{"id": "12", "options": [1]}', "\x00"]
)
def test_a_damaged_note_of_a_job_is_none(tmp_path: Path, text: str) -> None:
    run = make_run()
    (run.path / scheduled.FILE).write_text(text)
    assert state_of(run).state == "created" and state_of(run).job == ""


def test_what_the_queue_says_is_noted_once_and_lists_see_it(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "UNSETTLED", -(10**12))  # the index also keeps what was written just now
    run = make_run()
    noted(run, time=time.time() - 60)
    programs.says("squeue", out=row("12", "PENDING", why="Priority", node="n/a"))
    slurm.refresh([run])
    assert index.look_at([run])[0].state.message.startswith("waiting behind jobs of higher priority")
    before = (run.path / scheduled.FILE).stat().st_mtime_ns
    slurm.refresh([run])
    assert (run.path / scheduled.FILE).stat().st_mtime_ns == before
    programs.says("squeue", out=row("12", "NODE_FAIL"))
    slurm.refresh([run])
    assert index.look_at([run])[0].state.cause == "node"
    programs.says("squeue", code=1)
    slurm.refresh([run])  # Slurm is no longer asked about it
    assert index.look_at([run])[0].state.cause == "node"
    # Resumed, it is another job, which the index must see.
    noted(run, state="PENDING", reason="Resources")
    assert index.look_at([run])[0].state.state == "queued"


def test_a_job_that_slurm_forgot_is_looked_up_in_its_accounting(programs: Programs) -> None:
    first, second, third = (make_run(stamp=f"2026-11-23_00000{number}") for number in range(3))
    for number, run in enumerate((first, second, third)):
        scheduled.write(run.path, Job(id=str(20 + number), options=[("job-name", "line")], seen=Seen(state="RUNNING", time=NOW)))
    # Job 22 is somebody's job of another name: the controller has begun to count anew.
    programs.says("squeue", out=row("22", "RUNNING", name="other"))
    programs.says("sacct", out="20|OUT_OF_MEMORY|gpu03\n99|RUNNING|x\n")
    slurm.refresh([first, second, third])
    assert state_of(first).cause == "memory" and "gpu03" in state_of(first).message
    assert "no longer knows" in state_of(second).message and "no longer knows" in state_of(third).message


def test_a_run_that_waits_is_neither_deleted_nor_resumed_and_stop_cancels_it(programs: Programs) -> None:
    run = make_run()
    noted(run, state="PENDING", reason="Resources")
    with pytest.raises(Problem, match="is queued"):
        trash.delete(run)
    with pytest.raises(Problem, match="is queued already"):
        start.launch(run)
    with pytest.raises(Problem, match="is waiting for free resources"):
        start.command(run, "pause")
    programs.says("scancel")
    programs.says("squeue", out=row("12", "CANCELLED", name="line"))
    start.stop(run)
    assert programs.calls("scancel") == ["--state=PENDING 12"]
    assert state_of(run).state == "stopped" and "was cancelled" in state_of(run).message
    programs.says("sbatch", err="sbatch: error: QOS is over\n", code=1)
    (run.path / slurm.SCRIPT).write_text("#!/bin/sh\n")
    with pytest.raises(Problem, match="Slurm refused the job: QOS is over"):
        start.launch(run)
    assert scheduled.job_of(run.path).id == "12" and state_of(run).state == "stopped"  # type: ignore[union-attr]
    programs.says("sbatch", out="13;cluster\n")
    start.launch(run)
    assert scheduled.job_of(run.path).id == "13" and state_of(run).state == "queued"  # type: ignore[union-attr]
    trash_refused = pytest.raises(Problem, match="is queued")
    with trash_refused:
        trash.delete(run)


def test_stop_and_kill_of_a_run_on_another_node(programs: Programs) -> None:
    run = make_run()
    state_with(run, 1, state="RUNNING", node="gpu07")
    programs.says("scancel")
    programs.says("squeue", out=row("12", "RUNNING"))
    start.stop(run)
    start.kill(run)
    assert programs.calls("scancel") == ["--state=PENDING 12", "--signal=TERM --batch 12", "12"]
    assert [word for word in ("stop", "kill") if word in run.control.read_text()] == ["stop", "kill"]
