"""The person's own terminal, through SSH and tmux: bell, desktop notice, clipboard; and the command that copies files to their machine."""

import base64
import getpass
import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path

from workbench.problems import Problem, clean, one_line

BELL = "\a"
CLIPBOARD_LIMIT = 74_994
"""Most bytes of text: 99,992 as base64, which fits into a sequence of 100,000, the most that terminals accept."""
_ONE_FORM = ("foot", "wezterm", "xterm-ghostty", "xterm-kitty")
"""Terminals that support both OSC 9 and OSC 777, and might show two notices."""


def notice(text: str) -> str:
    """The sequence that shows a desktop notice: OSC 9 (iTerm2) and OSC 777 (urxvt). A terminal that supports neither shows nothing."""
    text = one_line(text, 200).replace(";", ",")
    forms = [f"\x1b]9;{text}\a"]
    if not os.environ.get("TERM", "").startswith(_ONE_FORM):
        forms.append(f"\x1b]777;notify;dlwb;{text}\a")
    return "".join(through(form) for form in forms)


def clipboard(text: str) -> str:
    """The sequence that puts text, cleaned, on the clipboard of the person's terminal (OSC 52), or "" where tmux has done it.

    Raises Problem for more bytes than terminals accept.
    """
    # A person pastes it into a shell: an escape sequence in it could end the paste, and the rest would be commands.
    data = clean(text).encode()
    if len(data) > CLIPBOARD_LIMIT:
        raise Problem(
            f"This is {len(data):,} bytes, but terminals accept at most {CLIPBOARD_LIMIT:,} for the clipboard.",
            "Export it to a file instead.",
        )
    if _tmux_takes(data):
        return ""
    form = f"\x1b]52;c;{base64.b64encode(data).decode()}\a"
    # tmux handles the first with `set-clipboard on`, and forwards the second with `allow-passthrough on`.
    return form + through(form) if os.environ.get("TMUX") else form


def scp_line(file: Path, *, always: bool = False) -> str:
    """The command that copies a file from here to the person's own machine; "" outside an SSH session, unless `always`."""
    connection = os.environ.get("SSH_CONNECTION", "").split()  # client's address and port, server's address and port (sshd(8))
    if len(connection) != 4 and not always:
        return ""
    host, port = (connection[2], connection[3]) if len(connection) == 4 else (platform.node(), "22")
    host = f"[{host}]" if ":" in host else host
    place = shlex.quote(f"{getpass.getuser()}@{host}:{file.absolute()}")
    return f"scp {'' if port == '22' else f'-P {port} '}{'-r ' if file.is_dir() else ''}{place} ."


def through(form: str) -> str:
    """A sequence in a form that tmux forwards to its own terminal."""
    return "\x1bPtmux;" + form.replace("\x1b", "\x1b\x1b") + "\x1b\\" if os.environ.get("TMUX") else form


def _tmux_takes(data: bytes) -> bool:
    """Whether tmux has set the terminal's clipboard: 3.2 and newer can (load-buffer -w), also where it blocks programs' sequences."""
    if not os.environ.get("TMUX") or not shutil.which("tmux"):
        return False
    try:
        done = subprocess.run(["tmux", "load-buffer", "-w", "-"], input=data, capture_output=True, check=False, timeout=2)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
