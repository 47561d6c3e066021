"""A pseudo terminal for the benches: starts a program, types keys, and notes when how many bytes came."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from pathlib import Path

KEYS = {
    "enter": b"\r",
    "esc": b"\x1b",
    "end": b"\x1b[F",
    "down": b"\x1b[B",
    "up": b"\x1b[A",
    "left": b"\x1b[D",
    "right": b"\x1b[C",
    "tab": b"\t",
}


class PtyTerminal:
    """A 120x40 true-colour terminal that answers what Textual asks."""

    def __init__(self, command: list[str], *, columns: int = 120, rows: int = 40, environment: dict[str, str] | None = None) -> None:
        self.output: list[tuple[float, bytes]] = []
        """(monotonic time, bytes) of everything that came."""
        self.started = time.monotonic()
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "TMUX", "NO_COLOR")}
            os.execvpe(command[0], command, {**plain, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(environment or {})})
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def listen(self, seconds: float, *, until_quiet: float = 0.0, until: bytes = b"") -> int:
        """Take what comes for so long, or until nothing came for `until_quiet`, or until `until` came; returns how many bytes did."""
        begin = last = time.monotonic()
        count = 0
        recent = b""
        while (now := time.monotonic()) < begin + seconds and not (until_quiet and now - last > until_quiet):
            if not select.select([self.file], [], [], 0.01)[0]:
                continue
            try:
                data = os.read(self.file, 1 << 16)
            except OSError:
                break
            if not data:
                break
            last = time.monotonic()
            self.output.append((last, data))
            count += len(data)
            if b"\x1b[?2026$p" in data:
                os.write(self.file, b"\x1b[?2026;2$y")
            if b"\x1b[c" in data:
                os.write(self.file, b"\x1b[?62;22c")
            if b"\x1b[6n" in data:
                os.write(self.file, b"\x1b[1;1R")
            recent = recent[-200:] + data
            if until and until in recent:
                break
        return count

    def type(self, *keys: str) -> float:
        """Type keys, 0.15 s apart; returns when the last one was sent."""
        sent = 0.0
        for place, key in enumerate(keys):
            if place:
                self.listen(0.15)
            sent = time.monotonic()
            os.write(self.file, KEYS.get(key, key.encode()))
        return sent

    @property
    def last(self) -> float:
        """When the last byte came."""
        return self.output[-1][0] if self.output else self.started

    @property
    def cpu(self) -> float:
        """Seconds of processor time that the program has taken so far, which other programs disturb less than they do the clock."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the program."""
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self.file)
