"""A file that another program still writes: read on from where the last look ended."""

import os
from pathlib import Path

from workbench import files

SLICE = 1 << 20
"""Bytes read at a time: their records are decoded within some 50 ms."""


class Replaced(Exception):
    """The file is shorter than what was read of it, or another file has its name: what was read of it holds no more."""


class Growing:
    """The bytes of a growing file that no record has taken yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rest = b""
        self.offset = 0
        """Bytes of the file that were read."""
        self.caught_up = False
        """Whether the last look reached the end of the file."""
        self._inode = 0

    @property
    def place(self) -> int:
        """Where the rest begins in the file."""
        return self.offset - len(self.rest)

    def more(self) -> bool:
        """Read the next slice behind the rest; False where there is nothing new. Raises Replaced, and Problem where it cannot be read."""
        try:
            file = files.open_plain(self.path)
        except OSError as error:
            raise files.problem(str(self.path), "read", error, self.path) from error
        try:
            about = os.fstat(file)
            if about.st_size < self.offset or (self._inode and about.st_ino != self._inode):
                raise Replaced(str(self.path))
            self._inode = about.st_ino
            data = os.pread(file, SLICE, self.offset)
        except OSError as error:
            raise files.problem(str(self.path), "read", error, self.path) from error
        finally:
            os.close(file)
        self.offset += len(data)
        self.rest += data
        self.caught_up = len(data) < SLICE
        return bool(data)
