"""Checkpoints are generations: a data file and, written last, a sealed note with its hash. Damage in one leaves the one before.

The loop saves them; resume and answers load them.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from workbench import events, files

Tree = dict[str, Any]


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One saved moment of a run."""

    file: str
    step: int
    sha256: str
    time: float
    metrics: dict[str, float | str] = {}
    best: bool = False
    pinned: bool = False


class Checkpoints:
    """The checkpoints/ folder of a run. The newest two, the best, and the pinned ones are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: list[str] = []
        """File names of generations that were passed over because their hash, or their note, was wrong."""

    def generations(self) -> list[Generation]:
        """All whose note is whole, oldest first."""
        generations = []
        for note in sorted(self.folder.glob("step-*.json")):
            # Sealed as a line of the log is, so that half a note does not count.
            body = events.whole(note.read_bytes().rstrip(b"\n"))
            try:
                if body is None:
                    raise msgspec.DecodeError
                generation = msgspec.json.decode(body + b"}", type=Generation)
                if generation.file != note.stem + Path(generation.file).suffix:
                    raise msgspec.DecodeError  # it would lead, and delete, elsewhere
                generations.append(generation)
            except msgspec.MsgspecError:
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
        name = f"step-{step:08d}"
        number = 1
        # A resumed run comes by the same step again, where a pinned generation may stand.
        while (self.folder / f"{name}.json").exists() or (self.folder / f"{name}{suffix}").exists():
            number += 1
            name = f"step-{step:08d}-{number}"
        path = self.folder / f"{name}{suffix}"
        # The data before its note: what dies in between leaves data without a note, which counts as nothing.
        files.write(path, data)
        # The difference is not 0 for NaN and infinity, for which JSON has no numbers.
        spelled = {tag: value if value - value == 0 else str(value) for tag, value in (metrics or {}).items()}
        digest = hashlib.sha256(data).hexdigest()
        generation = Generation(file=path.name, step=step, sha256=digest, time=time.time(), metrics=spelled, best=best, pinned=pinned)
        self._note(generation)
        self._tidy()
        return generation

    def load(self, generation: Generation, decode: Callable[[bytes], Tree]) -> Tree | None:
        """What a generation holds, or None where a single bit of it is not as it was written."""
        try:
            data = (self.folder / generation.file).read_bytes()
        except FileNotFoundError:
            data = b""
        if hashlib.sha256(data).hexdigest() == generation.sha256:
            return decode(data)
        self._passed_over(generation.file)
        return None

    def newest(self, decode: Callable[[bytes], Tree]) -> tuple[Generation, Tree] | None:
        """The newest generation that is whole."""
        for generation in reversed(self.generations()):
            tree = self.load(generation, decode)
            if tree is not None:
                return generation, tree
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

    def rewind(self, step: int) -> None:
        """Drop what is newer than `step`: a run resumed from there makes it again. Pinned ones stay; what a death left torn goes."""
        for generation in self.generations():
            if generation.step > step and not generation.pinned:
                self.drop(generation)
        for path in [*self.folder.glob(".step-*.part"), *self.folder.glob("step-*")]:
            if path.suffix == ".part" or not path.with_suffix(".json").exists():
                path.unlink()

    def spare(self) -> list[Generation]:
        """What an ended run can do without: all but its best, its newest, and those that a person pinned."""
        generations = self.generations()
        needed = [*generations[-1:], *[generation for generation in generations if generation.best][-1:]]
        return [generation for generation in generations if generation not in needed and not generation.pinned]

    def size(self, generation: Generation) -> int:
        """Bytes of a generation's data file."""
        try:
            return (self.folder / generation.file).stat().st_size
        except OSError:
            return 0

    def drop(self, generation: Generation) -> None:
        """Remove a generation: first its note, so that no note is ever without its data."""
        path = self.folder / generation.file
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    def _note(self, generation: Generation) -> None:
        files.write((self.folder / generation.file).with_suffix(".json"), events.seal(msgspec.json.encode(generation)))

    def _tidy(self) -> None:
        generations = self.generations()
        newest = generations[-2:]
        best = [generation for generation in generations if generation.best][-1:]
        for generation in generations:
            if generation not in newest and generation not in best and not generation.pinned:
                self.drop(generation)

    def _passed_over(self, name: str) -> None:
        if name not in self.damaged:
            self.damaged.append(name)
