"""The queue for GPUs as a person sees it: hold, release and move forward with real runs that wait; several devices at once; the guess."""

import itertools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from gpu_machine import CUDA_LINE, dlwb, launched, machine, python
from hand_logs import log, state, step, trained
from lines import LONG, SLOW, at_step, ended, folded, send, until, write
from made_runs import holder, make_run
from queued_runs import PAIR, Waits, busy

from workbench import paths
from workbench.launch import queueing, start
from workbench.launch.device_queue import DeviceQueue, tickets
from workbench.launch.devices import device_lock
from workbench.launch.queueing import Waiting
from workbench.problems import Problem
from workbench.runs import commands, lock
from workbench.runs.run import Run
from workbench.runs.state import state_of

# -- several devices -----------------------------------------------------------------------------------------------------------------


def test_several_devices_are_taken_all_at_once_or_not_at_all_and_nobody_overtakes() -> None:
    other = busy("cuda:1")
    both = DeviceQueue(PAIR, 2, "both")
    assert both.take() == [] and not lock.is_held(device_lock("cuda:0")), "half of them would block another one"
    later = DeviceQueue(["cuda:0"], run="later")
    assert later.take() == [], "cuda:0 is free, but somebody who came before waits for it"
    elsewhere = DeviceQueue(["cuda:2"], run="elsewhere")
    assert [name for name, _ in elsewhere.take()] == ["cuda:2"], "nobody else wants it"
    other.release()
    taken = both.take()
    assert [name for name, _ in taken] == list(PAIR)
    assert later.take() == []
    for _, held in taken:
        held.release()
    assert [name for name, _ in later.take()] == ["cuda:0"] and tickets() == []


def test_what_was_taken_is_given_back_where_the_rest_belongs_to_somebody_else() -> None:
    other = busy("cuda:2")
    first = DeviceQueue(["cuda:1", "cuda:2"], 2, "first")
    both = DeviceQueue(PAIR, 2, "both")
    assert both.take() == [], "cuda:1 is free, and the first one's"
    assert not lock.is_held(device_lock("cuda:0"))
    other.release()
    for queue in (first, both):
        for _, held in queue.take():
            held.release()
    assert tickets() == []


def test_more_devices_than_there_are_is_said_at_once() -> None:
    with pytest.raises(Problem, match=r"needs 3 devices at once, and may use 2 here: cuda:0, cuda:1\. `dlwb doctor`"):
        DeviceQueue(PAIR, 3)
    assert tickets() == []


def test_who_comes_while_the_clock_was_set_back_is_last() -> None:
    first = DeviceQueue(PAIR, run="first")
    ahead = first.place.with_name(f"{time.time_ns() + 10**12:020}-1")  # a ticket of before the clock was set back
    first.place.rename(ahead)
    first.place = ahead
    later = DeviceQueue(PAIR, run="later")
    assert [ticket.run for ticket in tickets()] == ["first", "later"]
    for queue in (first, later):
        queue.leave()


class Noted(DeviceQueue):
    """Notes when it took its devices: while its ticket is there nobody else may take them."""

    def leave(self) -> None:
        self.left = time.monotonic()
        super().leave()


def _use(name: str, needs: int, pause: float) -> None:
    """One of many processes that want devices: it notes when it had which."""
    queue = Noted([f"cuda:{number}" for number in range(4)], needs, name)
    (paths.home() / f"{name}.came").write_text(queue.place.name)
    until(lambda: (paths.home() / "go").exists())
    while not (taken := queue.take()):
        time.sleep(0.002)
    time.sleep(pause)
    (paths.home() / f"{name}.done").write_text(json.dumps([queue.left, time.monotonic(), [device for device, _ in taken]]))
    for _, held in taken:
        held.release()


@pytest.mark.parametrize("seed", range(3))
def test_many_at_once_never_share_a_device_never_block_one_another_and_keep_their_order(home: Path, seed: int) -> None:
    home.mkdir()
    rng = random.Random(seed)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_use, args=(f"{n:02}", rng.randint(1, 4), rng.uniform(0.005, 0.03))) for n in range(12)]
    for process in processes:
        process.start()
    # Some are killed wherever they are: when they come, in the queue, while they take, or with devices.
    killed = rng.sample(range(12), 3)
    time.sleep(rng.uniform(0, 0.02))
    processes[killed[0]].kill()
    until(lambda: all((home / f"{number:02}.came").exists() or not process.is_alive() for number, process in enumerate(processes)))
    (home / "go").touch()
    for number in killed[1:]:
        time.sleep(rng.uniform(0, 0.05))
        processes[number].kill()
    for process in processes:
        process.join(30)
        assert process.exitcode is not None, "blocked"
    done = {path.stem: json.loads(path.read_text()) for path in home.glob("*.done")}
    assert len(done) >= 9
    for (began, end, devices), (later, _, others) in itertools.permutations(done.values(), 2):
        assert later < began or later >= end or not set(devices) & set(others), "one device, two owners"
    # All may take the same four: whoever came first has his first.
    came = sorted(done, key=lambda name: (home / f"{name}.came").read_text())
    assert [done[name][0] for name in came] == sorted(done[name][0] for name in came)
    assert tickets() == [] and not any(lock.is_held(device_lock(f"cuda:{number}")) for number in range(4))


# -- hold, release, first: real runs that wait ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_is_left")
def test_runs_that_wait_are_held_released_and_moved_forward(tmp_path: Path) -> None:
    environment = machine(tmp_path, "70000/80000")
    recipe = write(tmp_path / "project", SLOW, LONG, CUDA_LINE)
    first, second, third, fourth = launched(recipe, environment, count=4)
    at_step(first, 1)
    until(lambda: [waiting.run for waiting in queueing.outlook()] == [second.id, third.id, fourth.id])

    assert dlwb(environment, "queue", "first", fourth.id).returncode == 0
    done = dlwb(environment, "queue", "hold", second.id)
    assert done.returncode == 0 and "is held" in done.stderr
    assert "held already" in queueing.ask(second, "hold")
    assert [(waiting.run, waiting.place) for waiting in queueing.outlook()] == [(fourth.id, 1), (second.id, 0), (third.id, 2)]
    assert state_of(second).message == "held in the queue for cuda:0"
    shown = json.loads(dlwb(environment, "queue", "--json").stdout)
    assert [(row["run"], row["held"], row["behind"]) for row in shown] == [
        (fourth.id, False, [first.id]),
        (second.id, True, [fourth.id, first.id]),
        (third.id, False, [fourth.id, first.id]),
    ]
    assert "queued: next, " in (listed := dlwb(environment, "runs").stdout) and "queued: held" in listed
    table = dlwb(environment, "queue").stdout
    assert "held" in table and f"{fourth.id}, {first.id}" in table

    start.stop(first)
    at_step(fourth, 1)
    refused = dlwb(environment, "queue", "hold", fourth.id)
    assert refused.returncode == 1 and "waits for no device (running), so it cannot be held" in refused.stderr
    # A supervisor that dies in the queue takes its place with it, whoever asks it for something.
    send(third, "parent", signal.SIGKILL)
    until(lambda: not state_of(third).alive)
    refused = dlwb(environment, "queue", "first", third.id)
    assert refused.returncode == 1 and "is not running" in refused.stderr
    start.stop(fourth)
    ended(fourth)
    time.sleep(0.6)
    assert state_of(second).state == "queued" and not lock.is_held(paths.device_locks() / lock_name(fourth)), "free, and it takes nothing"
    queueing.ask(second, "release")
    at_step(second, 1)

    # What concerned the queue is nothing that the run answers, in this attempt or in the next one.
    start.stop(second)
    ended(second)
    assert dlwb(environment, "resume", second.id).returncode == 0
    at_step(second, folded(second).step + 1)
    assert [answer for answer in folded(second).answers if not answer.ok] == []


PAIRED = """
import sys
from pathlib import Path
from workbench.launch import start
from workbench.recipes.load import load_recipe
run = start.create(load_recipe(Path(sys.argv[1])), "cuda:0", requested="auto")
recipe = run.path / "recipe.yaml"
recipe.write_text(recipe.read_text().replace("processes: 1", "processes: 2"))
start.launch(run)
print(run.path)
"""


@pytest.mark.usefixtures("nothing_is_left")
def test_a_run_of_two_processes_waits_for_both_its_gpus_and_holds_none_meanwhile(tmp_path: Path) -> None:
    environment = machine(tmp_path)
    recipe = write(tmp_path / "project", SLOW, LONG, CUDA_LINE)
    (first,) = launched(recipe, environment)
    at_step(first, 1)
    pair = Run(Path(python(PAIRED, environment, str(recipe))))
    until(lambda: state_of(pair).message == "waiting for 2 of cuda:0 or cuda:1")
    (later,) = launched(recipe, environment)
    until(lambda: [waiting.run for waiting in queueing.outlook()] == [pair.id, later.id])
    time.sleep(0.5)
    locks = [path for path in paths.device_locks().glob("*.lock") if lock.is_held(path)]
    assert [lock.content(path)["run"] for path in locks] == [first.id], "one GPU is free, and the pair does not sit on it"
    queueing.ask(pair, "hold")
    at_step(later, 1)
    assert folded(later).device == "cuda:1", "nobody waits for one that is held"
    start.stop(pair)
    assert (ended(pair).state, ended(pair).cause) == ("stopped", "person")


def lock_name(run: Run) -> str:
    """The lock file of the device on which a run was last."""
    return next(path.name for path in paths.device_locks().glob("*.lock") if lock.content(path).get("run") == run.id)


def test_two_who_ask_at_once_both_get_what_they_asked_for() -> None:
    others = [busy(name) for name in PAIR]
    waiting = [Waits(name) for name in ("one", "two", "three")]
    runs = [one.run_ for one in waiting]
    asked = [threading.Thread(target=queueing.ask, args=(run, verb)) for run in runs[1:] for verb in ("first", "hold")]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()
    held = {ticket.run: ticket.held for ticket in tickets()}
    assert held == {runs[0].id: False, runs[1].id: True, runs[2].id: True}
    assert [ticket.run for ticket in tickets()][2] == runs[0].id, "both were moved before it"
    queueing.ask(runs[1], "first")
    assert [ticket.run for ticket in tickets()] == [runs[1].id, runs[2].id, runs[0].id], "the last one asked for is before all others"
    # A client that opens later sees the same: it stands in the tickets, and not in a program.
    command = [sys.executable, "-m", "workbench.cli", "queue", "--json"]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert [(row["run"], row["place"]) for row in shown] == [(runs[1].id, 0), (runs[2].id, 0), (runs[0].id, 1)]
    for one in waiting:
        one.end()
    for other in others:
        other.release()


def test_one_that_does_not_obey_and_one_that_just_left_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    held = lock.Lock.take(run.lock)
    assert held
    held.write(holder("queued", message="waiting for cuda:0"))
    queue = DeviceQueue(PAIR, run=run.id)
    monkeypatch.setattr(queueing, "PATIENCE", 0.2)
    with pytest.raises(Problem, match=r"has not obeyed .* `dlwb stop"):
        queueing.ask(run, "hold")
    queue.leave()
    answer = threading.Timer(0.1, lambda: held.write(holder("starting")))
    answer.start()
    monkeypatch.setattr(queueing, "PATIENCE", 5.0)
    with pytest.raises(Problem, match="has just left the queue: it is starting"):
        queueing.ask(run, "hold")
    held.write({**holder("queued", message="waiting for cuda:0"), "host": "gpu07"})
    with pytest.raises(Problem, match=r"waits on gpu07, so it cannot be held from here\. Use dlwb on gpu07"):
        queueing.ask(run, "hold")
    held.release()


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"devices": 3, "names": {}, "count": "many", "first": [1], "held": 1, "run": null}', b'{"count": -4, "first": 1e300}'],
)
def test_a_damaged_ticket_holds_nobody_up(content: bytes) -> None:
    mine = DeviceQueue(PAIR, run="mine")
    spoilt = lock.Lock.take(mine.place.with_name(f"{0:020}-1"))
    assert spoilt
    host = f'{{"host": "{lock.host()}", '.encode()
    os.pwrite(spoilt.file, content.replace(b"{", host, 1), 0)
    assert [waiting.run for waiting in queueing.outlook()][-1] == "mine"
    assert [name for name, _ in mine.take()] == ["cuda:0"]
    spoilt.release()


# -- when it starts ------------------------------------------------------------------------------------------------------------------

NOON = time.mktime((2026, 11, 20, 12, 0, 0, 0, 0, -1))


def training(stem: str, device: str, done: int, of: int, seconds: float) -> tuple[Run, list[lock.Lock]]:
    """A run on a device: so many steps are done, in so many seconds."""
    run = make_run(stem, stamp=f"2026-11-30_1000{int(device[-1]):02}")
    log(
        run.path,
        [(NOON, 10.0, state("running", from_step=-1, device=f"{device} T", steps=of)), (NOON + seconds, 10.0 + seconds, step(done))],
    )
    alive, taken = lock.Lock.take(run.lock), busy(device, run.id)
    assert alive
    alive.write(holder())
    return run, [alive, taken]


def queued(stem: str, number: int, needs: int = 1, devices: tuple[str, ...] = PAIR) -> tuple[Run, DeviceQueue]:
    run = make_run(stem, stamp=f"2026-11-30_1100{number:02}")
    return run, DeviceQueue(devices, needs, run.id)


def test_the_guess_lets_the_queue_run_by_what_is_known() -> None:
    trained(0.5, "cuda:0 T", began=NOON, stem="hour")  # half an hour, of which nothing else is known
    one, locks_of_one = training("hour", "cuda:0", 50, 100, 600.0)  # 10 minutes for the first half, so 10 more
    two, locks_of_two = training("other", "cuda:1", 90, 100, 900.0)  # and 100 seconds here
    waiting = [queued("hour", 1), queued("hour", 2), queued("hour", 3, needs=2), queued("hour", 4)]
    for _, queue in waiting:
        # No driver here: the tickets name no title.
        queue._content["names"] = [f"{name} T" for name in queue.locks]
        queue._held.write(queue._content)  # type: ignore[union-attr]
    ids = [run.id for run, _ in waiting]
    looked = queueing.outlook()
    # The first takes cuda:1 after 100 s, the second cuda:0 after 600 s; the third needs both: it waits for the second, which ends last.
    # The fourth could have cuda:1 before, and does not overtake: both end at the same moment.
    assert [(one_.run, one_.begins) for one_ in looked] == [(ids[0], 100.0), (ids[1], 600.0), (ids[2], 2400.0), (ids[3], 4200.0)]
    assert looked[0].behind == (one.id, two.id) and looked[3].behind == (*ids[:3], one.id, two.id)
    assert [one_.words(NOON) for one_ in looked] == [
        "next, about 12:01",
        "2nd, about 12:10",
        "3rd, about 12:40",
        "4th, about 13:10",
    ]
    waiting[0][1].obey(commands.Command(id="1", verb="hold"))
    assert [(one_.run, one_.begins) for one_ in queueing.outlook()][:2] == [(ids[0], None), (ids[1], 100.0)]
    for lock_ in (*locks_of_one, *locks_of_two):
        lock_.release()
    for _, queue in waiting:
        queue.leave()


def test_the_guess_keeps_what_somebody_waits_for_and_gives_what_nobody_wants() -> None:
    trained(0.5, "cuda:0 T", began=NOON, stem="hour")
    _, locks_ = training("other", "cuda:0", 90, 100, 900.0)
    _, both = queued("hour", 1, needs=2)  # cuda:1 is free, and it needs cuda:0 too, which is free in 100 s
    _, one = queued("hour", 2, devices=("cuda:1",))
    _, other = queued("hour", 3, devices=("cuda:1", "cuda:2"))
    for queue in (both, one, other):
        queue._content["names"] = [f"{name} T" for name in queue.locks]
        queue._held.write(queue._content)  # type: ignore[union-attr]
    assert [waiting.begins for waiting in queueing.outlook()] == [100.0, 1900.0, 0.0]
    assert [name for name, _ in other.take()] == ["cuda:2"] and one.take() == [], "as it then happens"
    for lock_ in locks_:
        lock_.release()
    for queue in (both, one):
        queue.leave()


def test_what_nobody_knows_is_unknown() -> None:
    _, locks = training("new", "cuda:0", 3, 0, 60.0)
    run, queue = queued("unheard", 1, devices=("cuda:0",))
    (waiting,) = queueing.outlook()
    assert (waiting.begins, waiting.words()) == (None, "next, start unknown")
    for lock_ in locks:
        lock_.release()
    (waiting,) = queueing.outlook()
    assert waiting.begins == 0.0
    _, later = queued("unheard", 2, devices=("cuda:0",))
    assert [one.begins for one in queueing.outlook()] == [0.0, None], "nothing like the one before it ran here"
    queue.leave()
    later.leave()
    assert run.id == waiting.run


def test_a_start_on_another_day_has_its_date() -> None:
    assert Waiting("x", 11, PAIR, 1, (), 13 * 3600).words(NOON) == "11th, about 01:00 on 21 Nov"
    assert Waiting("x", 22, PAIR, 1, (), 0.0).words(NOON) == "22nd, about 12:00"
    assert Waiting("x", 0, PAIR, 1, ()).words(NOON) == "held"
