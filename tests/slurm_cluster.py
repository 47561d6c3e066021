"""A Slurm of one node in a temporary folder: munged, slurmctld and slurmd, as root, with two partitions of which one preempts the other."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
CONF = """
ClusterName=dlwb
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
"""


def missing() -> str:
    """Why no Slurm can be started here; "" where it can."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"needs Slurm: {', '.join(absent)} missing (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "needs root: Slurm's node daemon changes users"


def tool(*words: str) -> str:
    """What one of Slurm's programs prints."""
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


def hurry(job: str) -> None:
    """After a requeue Slurm lets a job wait for two minutes; let it begin now."""
    with contextlib.suppress(subprocess.CalledProcessError):  # it does not wait
        tool("scontrol", "update", f"JobId={job}", "StartTime=now")


@contextlib.contextmanager
def hurrying(job: str) -> Iterator[None]:
    """Never let that job wait for the time after a requeue."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(1.0):
            if "BeginTime" in tool("squeue", "--noheader", "--states=all", "--format=%i|%r", "--me"):
                hurry(job)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def cluster() -> Iterator[Path]:
    """A Slurm that runs; the folder of its files. $SLURM_CONF names its configuration meanwhile."""
    if why := missing():
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="dlwb-slurm-"))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        folder.chmod(0o755)
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir(mode=0o755)
        (folder / "munge" / "key").write_bytes(os.urandom(1024))
        (folder / "munge" / "key").chmod(0o400)
        ports = [free_port(), free_port()]
        conf = folder / "slurm.conf"
        conf.write_text(CONF.format(host=socket.gethostname().partition(".")[0], folder=folder, port=ports[0], node_port=ports[1]))
        munge = folder / "munge"
        places = [f"--key-file={munge}/key", f"--socket={munge}/socket", f"--pid-file={munge}/pid", f"--log-file={munge}/log"]
        commands = [
            ["munged", "--foreground", "--force", *places, f"--seed-file={munge}/seed"],
            ["slurmctld", "-D", "-c", "-f", str(conf)],
            ["slurmd", "-D", "-c", "-f", str(conf)],
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(conf))
            for command in commands:
                processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                time.sleep(0.5)
            deadline = time.monotonic() + 60
            while "idle" not in _node_state():
                assert time.monotonic() < deadline, (folder / "slurmctld.log").read_text() + (folder / "slurmd.log").read_text()
                time.sleep(0.2)
            yield folder
            with contextlib.suppress(subprocess.SubprocessError):
                subprocess.run(["scancel", "--me"], timeout=30, check=False)
                while tool("squeue", "--noheader", "--me") and time.monotonic() < deadline + 600:
                    time.sleep(0.2)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _node_state() -> str:
    done = subprocess.run(["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
