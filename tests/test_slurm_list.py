"""The list of runs says why a job waits and where another one runs."""

from made_runs import alive, make_run
from piloting import seen, settle
from pretend_slurm import NOW, Programs, noted, programs, row

from workbench.runs import scheduled
from workbench.runs.scheduled import Job, Seen
from workbench.tui.app import DlwbApp

__all__ = ["programs"]


async def test_the_list_says_why_a_run_waits_and_where_another_runs(programs: Programs) -> None:
    waits, runs, here = (make_run(stamp=f"2026-11-23_00000{number}") for number in range(3))
    programs.says("squeue", out=row("12", "PENDING", why="Resources", node="n/a") + row("13", "RUNNING", node="gpu07"))
    noted(waits)
    scheduled.write(runs.path, Job(id="13", options=[("job-name", "line")], seen=Seen(state="RUNNING", node="gpu07", time=NOW)))
    (runs.path / "lock").write_text('{"host": "gpu07", "attempt": 1, "state": "running"}')
    held = alive(here)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "queued: resources" in seen(pilot.app) and "running on gpu07" in seen(pilot.app))
        await pilot.press("end")
        await settle(pilot, lambda: "waiting for free resources (Slurm job 12)" in seen(pilot.app))
    held.release()
