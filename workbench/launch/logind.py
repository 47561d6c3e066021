"""Whether logind ends a person's processes at logout, and how a run is started so that it survives the logout."""

import os
import pwd
import shutil
import subprocess
from functools import cache
from pathlib import Path

from workbench import paths

FOLDERS = ("usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd")
"""Folders of drop-in files; of two files with the same name, the one in the later folder counts (logind.conf(5))."""


def kills_at_logout(root: Path = Path("/")) -> bool:
    """Whether logind has KillUserProcesses=yes: logind itself is asked, else its files below `root` are read."""
    if root == Path("/"):
        answer = _asked()
        if answer is not None:
            return answer
    # Later folders override earlier ones, and drop-ins are read in order of their names after the main file.
    drop_ins = {file.name: file for folder in FOLDERS for file in sorted((root / folder / "logind.conf.d").glob("*.conf"))}
    mains = [root / folder / "logind.conf" for folder in FOLDERS]
    answer = False
    for file in [*[main for main in mains if main.is_file()][-1:], *(drop_ins[name] for name in sorted(drop_ins))]:
        try:
            lines = file.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition("=")
            if name.strip() == "KillUserProcesses":
                answer = value.strip().lower() in ("yes", "true", "1", "on", "y", "t")
    return answer


@cache
def _asked() -> bool | None:
    """What logind itself answers; None where it cannot be asked. Its files are not enough: its built-in default may be `yes`."""
    if not Path("/run/dbus/system_bus_socket").exists() or not shutil.which("busctl"):
        return None
    place = ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "KillUserProcesses"]
    try:
        done = subprocess.run(["busctl", "get-property", *place], capture_output=True, text=True, timeout=2, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return {"b true": True, "b false": False}.get(done.stdout.strip())


def manager(root: Path = Path("/")) -> bool:
    """Whether the person's own service manager runs, so that `systemd-run --user` works."""
    return bool(shutil.which("systemd-run")) and (root / f"run/user/{os.getuid()}/systemd/private").exists()


def lingers(root: Path = Path("/")) -> bool:
    """Whether that service manager keeps running after the last logout (`loginctl enable-linger`)."""
    try:
        return (root / "var/lib/systemd/linger" / pwd.getpwuid(os.getuid()).pw_name).exists()
    except KeyError:
        return False


def call(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command whose children go on when this program ends, and after a logout where that is possible."""
    done = _call([*scope(), *command], environment)
    if done.returncode == 1 and done.stderr.startswith("Failed to"):  # systemd-run finds no bus, for example after `su`
        done = _call(command, environment)
    return done


def _call(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=paths.working_folder(),
    )


def scope() -> list[str]:
    """Prefix of a run's command: logind may end all processes of a session, but not those in a scope of the user's service manager."""
    if not manager() or not kills_at_logout():
        return []
    return ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--"]
