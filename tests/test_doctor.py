"""The doctor: its checks on texts that real machines gave, and the real command with a driver that a test brought along."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gpu_machine import CUDA_LINE
from lines import ended, write
from made_runs import finish, make_run
from nvml import driver

from workbench.launch import logind, start
from workbench.launch.devices import Device, Driver, Holder
from workbench.launch.doctor import accelerators, disks, session, terminal
from workbench.launch.doctor.disks import Mount
from workbench.launch.torch_probe import Torch
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.runs import lock
from workbench.runs.history import History
from workbench.runs.log import Tail
from workbench.runs.run import find_run, list_runs

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def dlwb(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, env=env)


GPU = Device("cuda:0", "NVIDIA H100", 70e9, False, 80e9)
TORCH = Torch(version="2.9.0+cu130", cuda="13.0", works=True, count=1)
HERE = Driver("570.86.15", "12.8", 1)


# -- GPU and torch -------------------------------------------------------------------------------------------------------------------


def test_a_gpu_that_works_is_well() -> None:
    found = accelerators.gpu(TORCH, HERE, [GPU], {})
    assert found.level == "ok" and "NVIDIA H100" in found.text


@pytest.mark.parametrize(
    ("said", "here", "found", "environment", "level", "words"),
    [
        (
            Torch(version="2.9.0+cu130", cuda="13.0"),
            HERE,
            [GPU],
            {},
            "bad",
            "built for CUDA 13.0, and the driver 570.86.15 runs CUDA up to 12.8",
        ),
        (Torch(version="2.9.0+cpu"), HERE, [GPU], {}, "bad", "built without CUDA"),
        (Torch(version="2.9.0+cu128", cuda="12.8", reason="all devices are busy"), HERE, [GPU], {}, "bad", "all devices are busy"),
        (TORCH, Driver(error="Driver/library version mismatch"), [], {}, "bad", "version mismatch"),
        (TORCH, HERE, [], {"CUDA_VISIBLE_DEVICES": "7"}, "bad", "CUDA_VISIBLE_DEVICES='7'"),
        (TORCH, HERE, [], {"CUDA_VISIBLE_DEVICES": ""}, "warn", "all of them"),
        (TORCH, Driver("570.86.15", "12.8", 0), [], {"SLURM_JOB_ID": "5"}, "warn", "this process sees no GPU"),
        (TORCH, Driver(), [], {}, "ok", "train on the CPU"),
        (Torch(error="ImportError: libcudart.so.12"), HERE, [GPU], {}, "unknown", "could not be asked"),
    ],
)
def test_why_a_run_would_not_train_on_the_gpu(said, here, found, environment, level, words, monkeypatch) -> None:
    # A machine with Slurm's commands gets another hint.
    monkeypatch.setenv("PATH", "/nowhere")
    finding = accelerators.gpu(said, here, found, environment)
    assert finding.level == level and words in finding.text
    assert bool(finding.mend) == (level != "ok")


def test_a_login_node_says_where_the_gpus_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = tmp_path / "sinfo"
    slurm.write_text("#!/bin/sh\necho 'cpu* (null)'\necho 'a100 gpu:a100:4(S:0-1)'\necho 'h100 gpu:8'\n")
    slurm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = accelerators.gpu(TORCH, Driver(), [], {})
    assert found.level == "warn" and "srun --gres=gpu:1" in found.mend and "a100, h100" in found.mend
    assert "--gres=gpu:1" in accelerators.gpu(TORCH, Driver(), [], {"SLURM_JOB_ID": "812"}).mend


def test_a_full_gpu_says_by_whom() -> None:
    full = Device("cuda:1", "NVIDIA H100", 2.0**30, False, 80 * 2.0**30, "", (Holder(7, "anna", 60 * 2.0**30), Holder(8, "", 2.0**30)))
    found = accelerators.memory(full)
    assert found.level == "warn" and "anna 60 GiB, pid 8 1.0 GiB" in found.text
    assert accelerators.memory(GPU).level == "ok"


def test_a_build_newer_than_the_driver_is_told_at_the_start_in_the_run_and_by_the_doctor(tmp_path: Path) -> None:
    """The worst that can happen: training on the CPU without a word."""
    machine = driver(tmp_path, FAKE_CUDA="8000")  # whatever CUDA torch was built for, this is older
    recipe = str(write(tmp_path / "project", source=CUDA_LINE))
    done = dlwb("run", recipe, env=machine)
    assert done.returncode == 0 and "NVIDIA Test 9000" in done.stderr and "torch" in done.stderr, done.stderr
    run = find_run("last")
    assert ended(run).state == "finished"
    history = History()
    history.fold(Tail(run.events).read())
    assert history.device == "cpu" and "although NVIDIA Test 9000 is here" in history.warning
    refused = dlwb("run", recipe, "--device", "cuda", env=machine)
    assert refused.returncode == 1 and "torch" in refused.stderr and len(list_runs()) == 1
    quiet = dlwb("run", "bike-sharing", "--set", "train.steps=20", env=machine)
    assert quiet.stderr == "", "a project that trains on the CPU anyway has nothing to be warned of"
    ended(find_run("bike-sharing"))
    doctor = dlwb("doctor", "--json", env=machine)
    findings = {each["name"]: each for each in json.loads(doctor.stdout)}
    assert doctor.returncode == 1 and findings["gpu"]["level"] == "bad" and findings["cuda:0"]["level"] == "ok"


def test_a_run_that_was_given_a_gpu_never_goes_on_without() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine's torch can use a GPU")
    run = start.create(load_recipe(find_recipe("digits-mlp")), "cuda:0")
    start.launch(run)
    state = ended(run)
    assert (state.state, state.cause) == ("failed", "device") and "torch" in state.message and state.hint


def test_a_driver_that_does_not_answer(tmp_path: Path) -> None:
    root = tmp_path / "proc/driver/nvidia"
    root.mkdir(parents=True)
    (root / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15\n")
    code = "import sys; from pathlib import Path; from workbench.launch import devices; print(devices.driver(Path(sys.argv[1])).error)"
    for where, words in ((tmp_path, "version mismatch"), (tmp_path / "empty", "")):
        environment = driver(tmp_path, FAKE_NVML_ERROR="18")
        said = subprocess.run([sys.executable, "-c", code, str(where)], capture_output=True, text=True, env=environment, check=True)
        assert words in said.stdout and bool(said.stdout.strip()) == bool(words)


# -- disks ---------------------------------------------------------------------------------------------------------------------------

MOUNTS = """22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:50 / /home rw,relatime shared:20 - nfs4 server:/export/home rw,vers=4.2,local_lock=none
41 22 0:51 / /data\\040sets rw - lustre mds:/l rw
42 22 0:52 / /home/anna rw - nfs server:/anna rw,vers=3,nolock,local_lock=all
garbage
43 22 0:53 / /home/anna/scratch rw - xfs /dev/sdb rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "level", "words"),
    [
        ("/home/bob/.local/share/dlwb", "nfs4", "warn", "network file system"),
        ("/home/anna/dlwb", "nfs", "warn", "without locks"),
        ("/home/anna/scratch/x", "xfs", "ok", "local"),
        ("/data sets/dlwb", "lustre", "warn", "network"),
        ("/opt", "ext4", "ok", "local"),
    ],
)
def test_the_homes_file_system(path, kind, level, words) -> None:
    mount = disks.mount_of(Path(path), MOUNTS)
    assert mount and mount.kind == kind
    found = disks.filesystem(Path(path), mount)
    assert found and found.level == level and words in found.text


def test_a_home_in_memory_is_lost_at_a_restart() -> None:
    found = disks.filesystem(Path("/tmp/x"), Mount("/tmp", "tmpfs", "rw"))
    assert found and found.level == "warn" and "restart" in found.text


def test_quota_by_room_and_by_files() -> None:
    head = "Disk quotas for user anna (uid 1000):\n Filesystem blocks quota limit grace files quota limit grace\n"
    full = disks.quota(head + " server:/home 1048576* 1000000 1100000 6days 120 0 0 0\n")
    assert full and full.level == "bad" and "105%" in full.text and "server:/home" in full.text
    files = disks.quota(head + " /dev/sda1 10 1000 1100 0 950 1000 1100 0\n")
    assert files and files.level == "warn" and "95% of its number of files" in files.text
    fine = disks.quota(head + " /dev/sda1 10 1000 1100 0 9 0 0 0\n")
    assert fine and fine.level == "ok"
    assert disks.quota("") is None and disks.quota("none\n") is None


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    assert disks.writing(tmp_path / "new").level == "ok"
    assert not list((tmp_path / "new").iterdir()), "nothing is left there"
    (tmp_path / "file").write_text("")
    found = disks.writing(tmp_path / "file" / "home")
    assert found.level == "bad" and "DLWB_HOME" in found.mend
    if Path("/dev/full").exists() and os.access("/proc/self", os.R_OK):
        assert disks.writing(Path("/proc/self/dlwb")).level == "bad"


def test_mirror_and_damaged_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLWB_MIRROR", str(tmp_path / "gone"))
    found = disks.mirror()
    assert found and found.level == "warn" and "gone" in found.text
    finish(make_run())
    assert disks.damaged() is None
    broken = make_run("broken")
    (broken.path / "recipe.yaml").write_text("title: [")
    found = disks.damaged()
    assert found and broken.id in found.text and "1 run " in found.text


# -- session -------------------------------------------------------------------------------------------------------------------------


def test_logind_is_read_with_its_drop_ins(tmp_path: Path) -> None:
    etc, vendor = tmp_path / "etc/systemd", tmp_path / "usr/lib/systemd"
    for folder in (etc / "logind.conf.d", vendor / "logind.conf.d"):
        folder.mkdir(parents=True)
    (etc / "logind.conf").write_text("#KillUserProcesses=yes\n[Login]\nKillUserProcesses=no\n")
    assert not logind.kills_at_logout(tmp_path)
    (vendor / "logind.conf.d" / "10-site.conf").write_text("[Login]\nKillUserProcesses = yes\n")
    assert logind.kills_at_logout(tmp_path)
    (etc / "logind.conf.d" / "10-site.conf").write_text("[Login]\n")
    assert not logind.kills_at_logout(tmp_path), "a file of the same name in /etc takes the vendor's place"


def test_what_outlives_a_logout(tmp_path: Path) -> None:
    import pwd

    (tmp_path / "etc/systemd").mkdir(parents=True)
    assert session.logout(tmp_path).level == "ok"
    (tmp_path / "etc/systemd/logind.conf").write_text("[Login]\nKillUserProcesses=yes\n")
    assert session.logout(tmp_path).level == "bad"
    if not shutil.which("systemd-run"):
        pytest.skip("needs systemd-run")
    place = tmp_path / f"run/user/{os.getuid()}/systemd"
    place.mkdir(parents=True)
    (place / "private").touch()
    found = session.logout(tmp_path)
    assert found.level == "bad" and "enable-linger" in found.mend
    linger = tmp_path / "var/lib/systemd/linger"
    linger.mkdir(parents=True)
    (linger / pwd.getpwuid(os.getuid()).pw_name).touch()
    assert session.logout(tmp_path).level == "ok"


@pytest.mark.parametrize(
    ("group", "files"),
    [
        ("0::/job/step\n", {"job/memory.max": "2147483648", "job/memory.current": "1073741824", "job/cpu.max": "50000 100000"}),
        (
            "4:memory:/job\n5:cpu,cpuacct:/job\n",
            {
                "memory/job/memory.limit_in_bytes": "2147483648",
                "memory/job/memory.usage_in_bytes": "1073741824",
                "cpu/job/cpu.cfs_quota_us": "50000",
                "cpu/job/cpu.cfs_period_us": "100000",
            },
        ),
    ],
)
def test_limits_of_a_container_or_job(tmp_path: Path, group: str, files: dict[str, str]) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(group)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 99999999 kB\nMemAvailable: 88888888 kB\n")
    assert session.memory(tmp_path).level == "ok"
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert session.cgroup_room(tmp_path) == 2.0**30
    found = session.memory(tmp_path)
    assert found.level == "warn" and "1.0 GiB" in found.text and "cgroup" in found.text
    assert session.processors(tmp_path).level == "warn" or len(os.sched_getaffinity(0)) == 1


def test_a_clock_that_was_never_set() -> None:
    found = session.clock(86400.0 * 400)
    assert found and found.level == "bad" and "1971" in found.text


# -- terminal ------------------------------------------------------------------------------------------------------------------------

TMUX = {
    "terminal": "screen-256color",
    "features": "xterm*:clipboard:ccolour\nscreen*:title",
    "overrides": "",
    "client": "",
    "name": "xterm-256color",
}


def test_colours_through_tmux() -> None:
    found = terminal.colours({"TERM": "tmux-256color"}, TMUX)
    assert found.level == "warn" and "terminal-features ',xterm-256color:RGB'" in found.mend and "COLORTERM truecolor" in found.mend
    told = {"TERM": "tmux-256color", "COLORTERM": "truecolor"}
    assert terminal.colours(told, TMUX).level == "warn"
    for more in ({"client": "256,RGB,title"}, {"features": "xterm*:RGB:title"}, {"overrides": "*256col*:Tc"}):
        assert terminal.colours(told, {**TMUX, **more}).level == "ok", more
        assert "COLORTERM" in terminal.colours({"TERM": "tmux-256color"}, {**TMUX, **more}).mend
    assert terminal.colours(told, {**TMUX, "overrides": "linux*:Tc"}).level == "warn"


def test_colours_without_tmux() -> None:
    assert terminal.colours({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, None).level == "ok"
    assert "COLORTERM=truecolor" in terminal.colours({"TERM": "xterm-256color"}, None).mend
    assert "screen" in terminal.colours({"TERM": "screen.xterm-256color", "STY": "812.pts"}, None).text
    assert "16 colours" in terminal.colours({"TERM": "linux"}, None).text


def test_encoding_size_and_escape() -> None:
    assert terminal.encoding({"LANG": "de_DE.UTF-8"}).level == "ok"
    assert terminal.encoding({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}).level == "warn"
    assert terminal.encoding({}).level == "warn"
    assert terminal.big_enough((80, 24)).level == "ok" and terminal.big_enough((79, 50)).level == "warn"
    assert terminal.escape({"escape": "500"})[0].level == "warn" and not terminal.escape({"escape": "10"}) and not terminal.escape(None)


def test_the_real_tmux_is_understood(tmp_path: Path) -> None:
    """The options as this machine's tmux prints them, on a server of the test's own."""
    if not shutil.which("tmux"):
        pytest.skip("needs tmux")
    server = ["tmux", "-L", f"dlwb-{os.getpid()}", "-f", "/dev/null"]
    try:
        subprocess.run([*server, "new-session", "-d", "sleep 60"], check=True)
        asked = ["show-options", "-gsv", "terminal-features"]
        before = subprocess.run([*server, *asked], capture_output=True, text=True, check=True).stdout
        subprocess.run([*server, "set", "-as", "terminal-features", ",xterm-mine:RGB"], check=True)
        after = subprocess.run([*server, *asked], capture_output=True, text=True, check=True).stdout
        assert not terminal.passes_true_colour({"features": before}, "xterm-mine") and terminal.passes_true_colour(
            {"features": after}, "xterm-mine"
        )
        waits = subprocess.run([*server, "show-options", "-gsv", "escape-time"], capture_output=True, text=True, check=True).stdout
        assert waits.strip().isdigit()
    finally:
        subprocess.run([*server, "kill-server"], check=False)


# -- the command ---------------------------------------------------------------------------------------------------------------------


def test_the_doctor_prints_a_table_and_says_by_its_exit_code_whether_something_is_bad(tmp_path: Path) -> None:
    well = dlwb("doctor", env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert "✓ home" in well.stdout and "checks:" in well.stdout and "\x1b" not in well.stdout
    assert well.returncode == (1 if "✗" in well.stdout else 0)
    (tmp_path / "file").write_text("")
    bad = dlwb("doctor", env={**os.environ, "DLWB_HOME": str(tmp_path / "file" / "home")})
    assert bad.returncode == 1 and "✗ home" in bad.stdout and "→ Set DLWB_HOME" in bad.stdout and "Traceback" not in bad.stderr


def test_who_holds_a_device_stands_in_its_lock(tmp_path: Path) -> None:
    from workbench.launch import devices

    run = start.create(load_recipe(write(tmp_path)), "cuda:0")
    start.launch(run)
    assert ended(run).state == "finished"
    assert lock.content(devices.device_lock("cuda:0"))["run"] == run.id
