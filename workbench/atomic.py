"""Files that are whole or not there: write beside, sync, rename."""

import os
from pathlib import Path


def write(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace `path` by `data`; on any error the old file stays and no other is left."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(data)
            if sync:
                file.flush()
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
