"""The person's own terminal, through SSH and tmux: a bell, a desktop notice, its clipboard; and how files get to their machine."""

import base64
import getpass
import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path

from workbench.problems import Problem, one_line

BELL = "\a"
CLIPBOARD_LIMIT = 74_994
"""Bytes of text: as base64 the 99,992 that fit into the 100,000 of one sequence, the most that terminals take."""
_ONE_FORM = ("foot", "wezterm", "xterm-ghostty", "xterm-kitty")
"""Terminals that know OSC 9, and might show a second notice for OSC 777."""


def notice(text: str) -> str:
    """The sequence that shows a desktop notice: OSC 9 (iTerm2's) and OSC 777 (urxvt's); a terminal that knows neither shows nothing."""
    text = one_line(text, 200).replace(";", ",")
    forms = [f"\x1b]9;{text}\a"]
    if not os.environ.get("TERM", "").startswith(_ONE_FORM):
        forms.append(f"\x1b]777;notify;dlwb;{text}\a")
    return "".join(through(form) for form in forms)


def clipboard(text: str) -> str:
    """The sequence that puts text on the clipboard of the person's terminal (OSC 52), or "" where tmux has done it.

    Raises Problem for more than terminals take.
    """
    data = text.encode("utf-8", "replace")
    if len(data) > CLIPBOARD_LIMIT:
        raise Problem(
            f"This is {len(data):,} bytes, and terminals take at most {CLIPBOARD_LIMIT:,} into their clipboard.",
            "Export it to a file instead.",
        )
    if _tmux_takes(data):
        return ""
    form = f"\x1b]52;c;{base64.b64encode(data).decode()}\a"
    # tmux takes the first with `set-clipboard on`, and hands on the second with `allow-passthrough on`.
    return form + through(form) if os.environ.get("TMUX") else form


def scp_line(file: Path, *, always: bool = False) -> str:
    """The command that fetches a file from here to the person's own machine; "" where nobody came by SSH, unless `always`."""
    came = os.environ.get("SSH_CONNECTION", "").split()  # client's address and port, server's address and port (sshd(8))
    if len(came) != 4 and not always:
        return ""
    host, port = (came[2], came[3]) if len(came) == 4 else (platform.node(), "22")
    host = f"[{host}]" if ":" in host else host
    place = shlex.quote(f"{getpass.getuser()}@{host}:{file.absolute()}")
    return f"scp {'' if port == '22' else f'-P {port} '}{'-r ' if file.is_dir() else ''}{place} ."


def through(form: str) -> str:
    """A sequence so that tmux hands it on to the terminal it runs in."""
    return "\x1bPtmux;" + form.replace("\x1b", "\x1b\x1b") + "\x1b\\" if os.environ.get("TMUX") else form


def _tmux_takes(data: bytes) -> bool:
    """tmux 3.2 and newer sets the terminal's clipboard itself (load-buffer -w), whatever it lets programs do."""
    if not os.environ.get("TMUX") or not shutil.which("tmux"):
        return False
    try:
        done = subprocess.run(["tmux", "load-buffer", "-w", "-"], input=data, capture_output=True, check=False, timeout=2)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
