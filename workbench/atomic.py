"""Files that are whole or not there: write beside, sync, rename."""

import os
from collections.abc import Callable
from pathlib import Path


def write(path: Path, data: bytes | Callable[[Path], None], *, sync: bool = True) -> None:
    """Replace `path` by `data` (or by what the function writes to the path it is given); on any error the old file stays and no other is left."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if callable(data):
            data(beside)
        else:
            beside.write_bytes(data)
        if sync:
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if sync:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
