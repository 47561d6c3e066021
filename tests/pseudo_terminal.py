"""The real program on a real pseudo terminal, with a screen that shows what a person would see."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pyte

from workbench import preferences

PROGRAM = [sys.executable, "-c", "from workbench.tui.app import run; run()"]


class Screen:
    """A terminal of 100x30 with a program on it; `environment` is added to the program's."""

    def __init__(self, program: list[str] = PROGRAM, **environment: str) -> None:
        preferences.put("warm", "off")  # the start of a Python with torch would take the processors from what is tested
        self.screen = pyte.Screen(100, 30)
        self.stream = pyte.ByteStream(self.screen)
        self.bytes = b""
        self.file, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(slave)
        usual = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "TMUX")}
        self.slave = slave
        self.program = subprocess.Popen(
            program,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**usual, "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )

    def text(self) -> str:
        return "\n".join(self.screen.display)

    def wait(self, words: str, seconds: float = 40.0) -> None:
        """Until the screen has these words."""
        end = time.monotonic() + seconds
        while words not in self.text():
            assert time.monotonic() < end, f"{words!r} never came:\n{self.text()}"
            assert self.program.poll() is None, f"it ended:\n{self.text()}"
            self.read(0.1)

    def wait_gone(self, words: str, seconds: float = 20.0) -> None:
        """Until the screen has them no longer."""
        end = time.monotonic() + seconds
        while words in self.text():
            assert time.monotonic() < end, self.text()
            self.read(0.1)

    def read(self, seconds: float) -> None:
        if select.select([self.file], [], [], seconds)[0]:
            data = os.read(self.file, 1 << 16)
            self.bytes += data
            # pyte takes the keyboard protocols' sequences for others.
            self.stream.feed(b"".join(_known(data)))

    def type(self, keys: str | bytes) -> None:
        os.write(self.file, keys.encode() if isinstance(keys, str) else keys)

    def resize(self, columns: int, rows: int) -> None:
        """Change the window's size, as a person does with the mouse."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)
        self.program.send_signal(signal.SIGWINCH)

    def end(self, seconds: float = 20.0) -> int:
        """Wait until the program has ended; returns its exit code."""
        end = time.monotonic() + seconds
        while self.program.poll() is None and time.monotonic() < end:
            self.read(0.1)
        while select.select([self.file], [], [], 0.2)[0]:
            self.read(0)
        code = self.program.poll()
        assert code is not None, self.text()
        return code

    def is_restored(self) -> bool:
        """Whether the terminal is as it was before the program: modes, the usual screen, cursor, mouse and paste."""
        sent = self.bytes
        pairs = [(b"\x1b[?1049l", b"\x1b[?1049h"), (b"\x1b[?25h", b"\x1b[?25l")]
        pairs += [(b"\x1b[?1000l", b"\x1b[?1000h"), (b"\x1b[?2004l", b"\x1b[?2004h"), (b"\x1b[<u", b"\x1b[>")]
        same = termios.tcgetattr(self.slave)[3] == self.before[3]
        return same and all(sent.rfind(off) > sent.rfind(on) >= 0 for off, on in pairs)

    def close(self) -> None:
        """End the program at once."""
        self.program.kill()
        self.program.wait()
        os.close(self.file)
        os.close(self.slave)


def _known(data: bytes) -> list[bytes]:
    parts = data.split(b"\x1b")
    return [parts[0], *(b"\x1b" + part for part in parts[1:] if not part.startswith((b"[>", b"[<", b"[=")))]
