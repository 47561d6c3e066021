"""Many picture files as squares of one size, on all cores: in order, hashed, with every file that cannot be used, and what is unusual."""

import hashlib
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from workbench import preparation
from workbench.datasets.pictures import DEEP, Decoding, decoded
from workbench.problems import Problem, one_line

MOST_THREADS = 8
"""Most pictures that are decoded at once: each may take 600 MB meanwhile, and twice that in 16-bit colour."""
AHEAD = 16
"""Pictures for each thread that wait to be decoded: few, so that a stop is felt at once."""
FLAT = 8
"""A picture whose largest and smallest number differ by no more, of 255, is nearly of one value: JPEG's noise on an even ground is less."""
NAMED = 5
"""How many unusable files a message names."""


@dataclass(frozen=True)
class Squares:
    """The pictures of some files, in their order."""

    pixels: np.ndarray
    """(number, size, size, 3) bytes."""
    files: list["File"]
    decoding: Decoding

    def equal(self, places: Sequence[int]) -> bool:
        """Whether these pictures are all equal."""
        first = self.pixels[places[0]]
        # One by one: a comparison of all at once needs their memory again.
        return all(np.array_equal(self.pixels[place], first) for place in places)

    def tell(self) -> None:
        """Make the rows of the table about the files as pictures."""
        number, side = len(self.files), self.pixels.shape[1]
        sizes = [file.size for file in self.files]
        least, most = min(sizes, key=math.prod), max(sizes, key=math.prod)
        shown = " to ".join(dict.fromkeys(f"{width}x{height}" for width, height in (least, most)))
        small = sum(min(width, height) < side for width, height in sizes)
        enlarged = f"; {small:,} smaller ones are enlarged" if small else ""
        preparation.found("size of the pictures", f"{shown} pixels", f"the middle square, {side}x{side}{enlarged}")
        scaled = "scaled to 8 bits" if self.decoding.bits == DEEP else f"the {self.decoding.bits} bits that they use, scaled to 8"
        for what, count, used, left_out in (
            ("transparent pictures", sum(file.transparent for file in self.files), f"laid over {self.decoding.background}", ""),
            ("16-bit pictures", sum(file.bits > 0 for file in self.files), scaled, ""),
            ("animated pictures", sum(file.frames > 1 for file in self.files), "the first frame of each", "their other frames"),
        ):
            if count:
                preparation.found(what, f"{count:,} of {number:,}", used, left_out)


@dataclass(frozen=True)
class File:
    """What one file was like."""

    digest: str = ""
    size: tuple[int, int] = (0, 0)
    transparent: bool = False
    bits: int = 0
    frames: int = 1
    flat: bool = False
    """Whether it is nearly of one value."""
    fault: str = ""


def cores() -> int:
    """The cores that a reader may use: those of this process, and no more than the run's threads, which its parent hands down."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    usable = len(os.sched_getaffinity(0))
    return max(1, min(usable, int(threads) if threads.isdecimal() and int(threads) else usable, MOST_THREADS))


def read(
    root: Path,
    paths: Sequence[Path],
    size: int,
    decoding: Decoding,
    filter: Image.Resampling = Image.Resampling.BILINEAR,
    faults: Sequence[str] = (),
) -> Squares:
    """The middle square of each picture. Tells how far it is, and the digest of all files.

    16-bit pictures are scaled by the bits that the largest number of all of them needs. Raises Problem (cause "data") with all files
    that cannot be used; `faults` are more of them, known before.
    """
    pixels = np.empty((len(paths), size, size, 3), np.uint8)

    def one(place: int, decoding: Decoding = decoding) -> File:
        path = paths[place]
        name = one_line(str(path.relative_to(root)), 80)
        try:
            picture = decoded(path, name, size, decoding)
            square = pixels[place] = np.asarray(ImageOps.fit(picture.image, (size, size), filter))
            flat = int(np.ptp(square.reshape(-1, 3), axis=0).max()) <= FLAT
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except Problem as problem:
            return File(fault=problem.message.rstrip("."))
        except OSError as error:
            return File(fault=f"{name} cannot be read: {error.strerror}")
        return File(digest, picture.size, picture.transparent, picture.bits, picture.frames, flat)

    files = list(_in_order(one, len(paths)))
    refuse(root, [*faults, *(file.fault for file in files if file.fault)])
    bits = decoding.bits or max([file.bits for file in files], default=0)
    decoding = replace(decoding, bits=bits or DEEP)
    for place, file in enumerate(files):
        # Scaled by its own bits until here: a dark picture would be as bright as all others.
        if file.bits and file.bits != bits:
            files[place] = one(place, decoding)
    refuse(root, [file.fault for file in files if file.fault])  # a file may have gone since
    lines = sorted(f"{path.relative_to(root)}\0{file.digest}" for path, file in zip(paths, files, strict=True))
    preparation.source(str(root), hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest())
    return Squares(pixels, files, decoding)


def _in_order(one: Callable[[int], File], number: int) -> Iterator[File]:
    """The results for 0 to `number`, in this order, computed by some threads."""
    pool = ThreadPoolExecutor(cores())
    try:
        waiting = deque(pool.submit(one, place) for place in range(min(number, AHEAD * cores())))
        for done in range(number):
            preparation.progress("reading pictures", done, number)
            yield waiting.popleft().result()
            if done + len(waiting) + 1 < number:
                waiting.append(pool.submit(one, done + len(waiting) + 1))
        if number:
            preparation.progress("reading pictures", number, number)
    finally:
        # Also where a person stops the run: what has not begun is dropped.
        pool.shutdown(wait=False, cancel_futures=True)


def refuse_equal(root: Path, pictures: Squares) -> None:
    """Raise Problem where all pictures are the same."""
    number, side = pictures.pixels.shape[:2]
    if number > 1 and pictures.equal(range(number)):
        hint = "If they are drawings on a transparent ground, set config.background to another colour."
        text = f"All {number:,} pictures in {one_line(str(root))} are equal at {side}x{side}: there is nothing to learn."
        raise Problem(text, hint, "data")


def refuse(root: Path, faults: Sequence[str]) -> None:
    """Raise Problem where files cannot be used; the table has them all."""
    for fault in faults:
        preparation.found(preparation.UNUSABLE, "", "", fault)
    if faults:
        more = f"; and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
        hint = "Fix or remove them." + (
            f" `dlwb check RECIPE --all --set config.data={one_line(str(root))}` lists them all." if more else ""
        )
        raise Problem(f"{one_line(str(root))} has files that cannot be used: {'; '.join(faults[:NAMED])}{more}.", hint, "data")
