"""Checkpoints are generations: a data file and, written last, a sealed note with its hash. Damage in one leaves the one before.

The loop saves them; resume and answers load them.
"""

import contextlib
import hashlib
import os
import shutil
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from workbench import events, files
from workbench.problems import Problem, one_line

Tree = dict[str, Any]
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
"""Bytes of this machine's memory: no longer file can be loaded."""
SPARSE = 1000
"""How much longer than its room on the disk a checkpoint may be: much, as some file systems compress."""


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One saved moment of a run."""

    file: str
    step: int
    sha256: str
    time: float
    bytes: int = 0
    """Length of the file; 0 in notes of version 0.1."""
    metrics: dict[str, float | str] = {}
    best: bool = False
    pinned: bool = False


class Checkpoints:
    """The checkpoints/ folder of a run. Kept are the best, the newest two, the pinned ones and one of each span of steps.

    Beside each of these the best until then is kept, too.
    """

    def __init__(self, folder: Path, keep_every: Callable[[], int] = lambda: 0) -> None:
        """`keep_every` is asked at each save for the steps of such a span: the first checkpoint of each stays; 0 keeps none for it."""
        self.folder = folder
        self._keep_every = keep_every
        self.damaged: list[str] = []
        """File names of generations that were passed over because their hash, or their note, was wrong."""

    def names(self) -> list[str]:
        """The names in the folder. OSError where it is no folder that can be read: a link is none, since it leads out of the run."""
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return sorted(os.listdir(folder))
        finally:
            os.close(folder)

    def _steps(self, suffix: str = "") -> list[Path]:
        try:
            return [self.folder / name for name in self.names() if name.startswith("step-") and name.endswith(suffix)]
        except OSError:
            return []

    def generations(self) -> list[Generation]:
        """All whose note is whole, oldest first."""
        generations = []
        for note in self._steps(".json"):
            try:
                # Sealed as a line of the log is, so that half a note does not count.
                body = events.whole(files.read_plain(note, files.READ_LIMIT).rstrip(b"\n"))
                if body is None:
                    raise msgspec.DecodeError
                generation = msgspec.json.decode(body + b"}", type=Generation)
                if generation.file != note.stem + Path(generation.file).suffix:
                    raise msgspec.DecodeError  # it would lead, and delete, elsewhere
                generations.append(generation)
            except (OSError, msgspec.MsgspecError, RecursionError):
                self._passed_over(note.name)
        return sorted(generations, key=lambda generation: (generation.step, generation.time))

    def save(
        self,
        data: bytes,
        suffix: str,
        *,
        step: int,
        metrics: dict[str, float] | None = None,
        best: bool = False,
        pinned: bool = False,
    ) -> Generation:
        """Write one generation, then drop those no longer kept. An error (a full disk) leaves all earlier ones as they were."""
        # A person may have moved the folder away while the run trains.
        self.folder.mkdir(exist_ok=True)
        name = f"step-{step:08d}"
        number = 1
        # A resumed run comes by the same step again, where a pinned generation may stand.
        while os.path.lexists(self.folder / f"{name}.json") or os.path.lexists(self.folder / f"{name}{suffix}"):
            number += 1
            name = f"step-{step:08d}-{number}"
        path = self.folder / f"{name}{suffix}"
        # The data before its note: what dies in between leaves data without a note, which counts as nothing.
        files.write(path, data)
        # The difference is not 0 for NaN and infinity, for which JSON has no numbers.
        spelled = {tag: value if value - value == 0 else str(value) for tag, value in (metrics or {}).items()}
        digest = hashlib.sha256(data).hexdigest()
        kind = {"best": best, "pinned": pinned}
        generation = Generation(file=path.name, step=step, sha256=digest, time=time.time(), bytes=len(data), metrics=spelled, **kind)
        self._note(generation)
        self._tidy()
        return generation

    def load(self, generation: Generation, decode: Callable[[bytes], Tree]) -> Tree | None:
        """What a generation holds, or None where a single bit of it is not as it was written, or it cannot be decoded."""
        try:
            data = self._data(generation)
            if hashlib.sha256(data).hexdigest() == generation.sha256:
                return decode(data)
        except OSError:
            pass
        except Exception:
            # The hash is right: whoever wrote the file wrote this. The traceback, in the run's output, tells more.
            traceback.print_exc()
        self._passed_over(generation.file)
        return None

    def _data(self, generation: Generation) -> bytes:
        with os.fdopen(files.open_plain(self.folder / generation.file), "rb") as file:
            status = os.fstat(file.fileno())
            # Before it is in memory: somebody may have put a file of a terabyte there, which takes no room on the disk.
            wrong = status.st_size != generation.bytes if generation.bytes else status.st_size > SPARSE * (status.st_blocks + 1) * 512
            return b"" if wrong or status.st_size > MEMORY else file.read(status.st_size)

    def newest(self, decode: Callable[[bytes], Tree]) -> tuple[Generation, Tree] | None:
        """The newest generation that is whole; None where there is none yet. Problem where there were some, and all are damaged."""
        for generation in reversed(self.generations()):
            tree = self.load(generation, decode)
            if tree is not None:
                return generation, tree
        if self.damaged:
            raise Problem(f"All its checkpoints are damaged: {listed(self.damaged)}.", "Put a copy of them back, or start a new run.")
        return None

    def best(self, decode: Callable[[bytes], Tree]) -> tuple[Generation, Tree] | None:
        """The best generation, or the newest where none is marked best or it is damaged."""
        # Each best one keeps its mark: the newest of them is the best.
        for generation in reversed(self.generations()):
            if generation.best:
                tree = self.load(generation, decode)
                if tree is not None:
                    return generation, tree
        return self.newest(decode)

    def pin(self, generation: Generation, *, pinned: bool = True) -> Generation:
        """Keep a generation for good, or, with `pinned` False, no longer. OSError where its file is gone by now, or cannot be written."""
        noted = msgspec.structs.replace(generation, pinned=pinned)
        self._note(noted)
        try:
            # Behind the note: whoever writes checkpoints meanwhile may have dropped it before it saw the pin.
            os.close(files.open_plain(self.folder / generation.file))
        except OSError:
            (self.folder / generation.file).with_suffix(".json").unlink(missing_ok=True)
            raise
        return noted

    def unmark(self, generation: Generation) -> None:
        """Let a generation no longer count as the best."""
        self._note(msgspec.structs.replace(generation, best=False))

    def adopt(self, generation: Generation, other: "Checkpoints", *, pinned: bool = False) -> Generation | None:
        """Take a generation of another run in, whole; None where it is damaged. OSError where it is gone.

        Its file gets a second name where the disk knows such: nobody writes into a checkpoint again, so neither run can harm the other's,
        and what one of them deletes the other still has.
        """
        source, path = other.folder / generation.file, self.folder / generation.file
        os.close(files.open_plain(source))  # a link, a pipe or a device is no checkpoint
        try:
            os.link(source, path, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:  # another disk, or one that knows no second names
            into = files.open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with os.fdopen(into, "wb") as copy, os.fdopen(files.open_plain(source), "rb") as data:
                shutil.copyfileobj(data, copy)
                copy.flush()
                os.fsync(copy.fileno())
        # Looked at where it lies now: the other run may drop its own meanwhile.
        if self.load(generation, lambda data: {}) is None:
            path.unlink()
            return None
        adopted = msgspec.structs.replace(generation, pinned=pinned or generation.pinned)
        self._note(adopted)
        return adopted

    def rewind(self, step: int) -> None:
        """Drop what is newer than `step`: a run resumed from there makes it again. Pinned ones stay; what a death left torn goes."""
        for generation in self.generations():
            if generation.step > step and not generation.pinned:
                self.drop(generation)
        with contextlib.suppress(OSError):
            for name in self.names():
                path = self.folder / name
                torn = name.startswith(".step-") and name.endswith(".part")
                if torn or (name.startswith("step-") and not path.with_suffix(".json").exists()):
                    path.unlink()

    def spare(self) -> list[Generation]:
        """What an ended run can do without: all but its best, its newest, and those that a person pinned; none where all are damaged."""
        generations = self.generations()
        newest = self._whole(generations)
        needed = [newest, self._whole([generation for generation in generations if generation.best])]
        return [generation for generation in generations if newest and generation not in needed and not generation.pinned]

    def _whole(self, generations: list[Generation]) -> Generation | None:
        """The last of them whose hash is right: a damaged one must not be what is kept in place of a good one."""
        return next((generation for generation in reversed(generations) if self.load(generation, lambda data: {}) is not None), None)

    def size(self, generation: Generation) -> int:
        """Bytes that are free once a generation's data file is dropped: none of one that a fork or a parent has, too."""
        try:
            status = os.lstat(self.folder / generation.file)
            return status.st_size if status.st_nlink == 1 else 0
        except OSError:
            return 0

    def drop(self, generation: Generation) -> None:
        """Remove a generation: first its note, so that no note is ever without its data."""
        path = self.folder / generation.file
        path.with_suffix(".json").unlink(missing_ok=True)
        with contextlib.suppress(IsADirectoryError):  # somebody put it there: it is not ours to remove
            path.unlink(missing_ok=True)

    def _note(self, generation: Generation) -> None:
        files.write((self.folder / generation.file).with_suffix(".json"), events.seal(msgspec.json.encode(generation)))

    def _tidy(self) -> None:
        generations = self.generations()
        newest = generations[-2:]
        best = [generation for generation in generations if generation.best]
        every = self._keep_every()
        first = {generation.step // every: generation for generation in reversed(generations)} if every else {}
        stay = [generation for generation in generations if generation.pinned or (every and first[generation.step // every] == generation)]
        stay = [*newest, *stay]
        # And the best weights of then: who goes on from there may never find better ones.
        best_of_then = [next((one for one in reversed(best) if one.step <= generation.step), generation) for generation in stay]
        for generation in generations:
            if generation not in (*best[-1:], *stay, *best_of_then):
                self.drop(generation)

    def passed_over(self, step: int) -> str:
        """A remark on damaged generations that are newer than `step`; "" where there are none."""
        newer = [name for name in self.damaged if not (number := name[5:13]).isdigit() or int(number) > step]
        return f"Damaged, so passed over: {listed(newer)}; it goes on from the checkpoint of step {step:,}." if newer else ""

    def _passed_over(self, name: str) -> None:
        if name not in self.damaged:
            self.damaged.append(name)


def listed(names: list[str]) -> str:
    """Names of files for a sentence: the first three."""
    return ", ".join(one_line(name, 80) for name in names[:3]) + " …" * (len(names) > 3)
