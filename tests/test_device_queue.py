"""Runs that want a GPU share a machine's: each takes the first free one of those it may use, in the order in which they came."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gpu_machine import CUDA_LINE, dlwb, launched, machine, python
from lines import LONG, SLOW, at_step, ended, folded, send, until, write

from workbench import paths
from workbench.launch import start
from workbench.runs import lock
from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write(tmp_path / "project", SLOW, LONG, CUDA_LINE)


def running(run: Run) -> str:
    """The device of a run, once it trains."""
    at_step(run, 1)
    assert state_of(run).state == "running", state_of(run)
    assert folded(run).device == run.recipe().compute.device, "the log and the recipe agree"
    return folded(run).device


def waits(run: Run, words: str = "waiting for cuda:0 or cuda:1") -> bool:
    until(lambda: state_of(run).message == words)
    return state_of(run).state == "queued"


def test_starts_in_the_same_moment_take_one_gpu_each_and_the_third_takes_what_is_free_first(tmp_path: Path, recipe: Path) -> None:
    first, second, third, fourth = launched(recipe, machine(tmp_path), count=4)
    assert {running(first), running(second)} == {"cuda:0", "cuda:1"}
    assert waits(third) and waits(fourth)
    on_second = first if folded(first).device == "cuda:1" else second
    start.stop(on_second)
    assert ended(on_second).cause == "person"
    assert running(third) == "cuda:1", "it was chosen for cuda:0"
    assert state_of(fourth).state == "queued", "who came first is served first"
    send(third, "parent", signal.SIGKILL)
    time.sleep(0.5)
    assert state_of(fourth).state == "queued", "the worker still uses its GPU"
    send(third, "worker", signal.SIGKILL)
    assert running(fourth) == "cuda:1"


def test_two_commands_at_once_use_both_gpus(tmp_path: Path, recipe: Path) -> None:
    command = [sys.executable, "-m", "workbench.cli", "run", str(recipe)]
    both = [subprocess.Popen(command, env=machine(tmp_path), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert {running(run) for run in list_runs()} == {"cuda:0", "cuda:1"}


def test_one_that_asked_for_a_certain_gpu_waits_for_it_and_holds_nobody_up(tmp_path: Path, recipe: Path) -> None:
    environment = machine(tmp_path)
    (first,) = launched(recipe, environment)
    assert running(first) == "cuda:0"
    (certain,) = launched(recipe, environment, requested="cuda:0")
    assert waits(certain, "waiting for cuda:0")
    (any_one,) = launched(recipe, environment)
    assert running(any_one) == "cuda:1", "nobody else waits for it"
    (later,) = launched(recipe, environment)
    assert waits(later)
    start.stop(first)
    assert running(certain) == "cuda:0"
    assert state_of(later).state == "queued", "it does not overtake"


def test_who_dies_or_is_stopped_in_the_queue_leaves_it(tmp_path: Path, recipe: Path) -> None:
    first, killed, stopped, last = launched(recipe, machine(tmp_path, "70000/80000"), count=4)
    assert running(first) == "cuda:0"
    for run in (killed, stopped, last):
        assert waits(run, "waiting for cuda:0")
    send(killed, "parent", signal.SIGKILL)
    start.stop(stopped)
    assert (ended(stopped).state, ended(stopped).cause) == ("stopped", "person")
    assert ended(killed).cause == "vanished"
    start.kill(first)
    assert running(last) == "cuda:0"
    assert not list((paths.device_locks() / "queue").iterdir()), "no place is left behind"


def test_a_resumed_run_takes_another_gpu_of_its_kind_where_its_own_is_in_use(tmp_path: Path, recipe: Path) -> None:
    environment = machine(tmp_path)
    (first,) = launched(recipe, environment)
    assert running(first) == "cuda:0"
    start.stop(first)
    ended(first)
    (other,) = launched(recipe, environment)
    assert running(other) == "cuda:0"
    step = folded(first).step
    assert dlwb(environment, "resume", first.id).returncode == 0
    at_step(first, step + 1)
    assert folded(first).device == first.recipe().compute.device == "cuda:1"


def test_locks_of_earlier_versions_and_of_other_machines_do_not_hold_a_run_up(tmp_path: Path, recipe: Path) -> None:
    environment = machine(tmp_path, "70000/80000")
    paths.device_locks().mkdir(parents=True)
    old = lock.Lock.take(paths.device_locks() / "cuda-0.lock")
    elsewhere = launched(recipe, {**environment, "FAKE_HOST": "gpu07"})[0]
    here = launched(recipe, environment)[0]
    for run in (elsewhere, here):
        assert running(run) == "cuda:0"
    assert old
    names = sorted(path.name for path in paths.device_locks().glob("*GPU*.lock"))
    assert names == sorted(f"{host}-GPU-00000000-aaaa.lock" for host in ("gpu07", lock.host()))
    content = lock.content(paths.device_locks() / names[0])
    assert content["run"] and content["host"] in names[0]
    # Only so that the fixture can end it: its host is not this one.
    holder = lock.content(elsewhere.lock)
    lock.send(holder["worker"]["pid"], holder["worker"]["ticks"], signal.SIGKILL)
    ended(elsewhere)


def test_a_queue_on_a_shared_home_is_per_machine(tmp_path: Path, recipe: Path) -> None:
    place = paths.device_locks() / "queue" / f"{0:020}-1"
    place.parent.mkdir(parents=True)
    # What a run on another machine left or holds there; its lock cannot be seen from here.
    place.write_text('{"host": "gpu07", "devices": ["x.lock"]}')
    (run,) = launched(recipe, machine(tmp_path))
    assert running(run) == "cuda:0" and place.exists()


SEEN = """
from workbench.launch import devices
print([(device.name, int(device.free / 2**20), devices.device_lock(device.name).name) for device in devices.accelerators()])
"""


def test_devices_are_counted_by_their_place_on_the_bus_as_cuda_counts_them(tmp_path: Path) -> None:
    host = lock.host()
    environment = machine(tmp_path, FAKE_BUS="7,3")
    assert eval(python(SEEN, environment)) == [
        ("cuda:0", 60000, f"{host}-GPU-10000000-aaaa.lock"),
        ("cuda:1", 70000, f"{host}-GPU-00000000-aaaa.lock"),
    ]
    only_second = eval(python(SEEN, {**environment, "CUDA_VISIBLE_DEVICES": "1"}))
    assert only_second == [("cuda:0", 70000, f"{host}-GPU-00000000-aaaa.lock")], "the lock is the card's, not the number's"


def test_the_order_that_a_person_set_reaches_neither_worker_nor_probe_and_the_doctor_says_so(tmp_path: Path) -> None:
    told = CUDA_LINE.replace(
        "self.steps_done = 0", "self.steps_done = 0\n        import os\n        print('order', os.environ['CUDA_DEVICE_ORDER'])", 1
    )
    recipe = write(tmp_path / "project", SLOW, LONG, told)
    environment = machine(tmp_path, CUDA_DEVICE_ORDER="FASTEST_FIRST", FAKE_REFUSED="cuda:0")
    started = dlwb(environment, "run", str(recipe))
    assert started.returncode == 0 and "cannot use cuda:0" in started.stderr, "the probe asked for the same card as NVML's cuda:0"
    assert running(list_runs()[0]) == "cuda:1"
    assert "order PCI_BUS_ID" in list_runs()[0].output.read_text()
    doctor = dlwb(environment, "doctor").stdout
    assert "CUDA_DEVICE_ORDER='FASTEST_FIRST' is not used" in doctor
    assert "no kernel image" in doctor and "Runs pass it over" in doctor


def test_a_card_that_torch_cannot_use_is_passed_over_and_refused_where_it_was_asked_for(tmp_path: Path, recipe: Path) -> None:
    environment = machine(tmp_path, FAKE_REFUSED="cuda:1")
    first, second = launched(recipe, environment, count=2)
    assert running(first) == "cuda:0" and waits(second, "waiting for cuda:0"), "the other card is no choice"
    refused = dlwb(environment, "run", str(recipe), "--device", "cuda:1")
    assert refused.returncode == 1 and "cannot use cuda:1" in refused.stderr and "no kernel image" in refused.stderr
    assert len(list_runs()) == 2


def test_a_gpu_that_other_programs_fill_is_no_choice_for_a_run_that_waits(tmp_path: Path, recipe: Path) -> None:
    first, second = launched(recipe, machine(tmp_path, "70000/80000,200/80000"), count=2)
    assert running(first) == "cuda:0" and waits(second, "waiting for cuda:0")
