"""What the readers of foreign logs have in common: events with their times, settings, how it ended, and what was left out."""

from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

from workbench.events import Event, Images
from workbench.problems import one_line

PICTURE_LIMIT = 16 << 20
"""Most bytes of a picture; larger ones are left out."""
NAMED = 4
"""Kinds that the remark names."""


class Ending(Exception):
    """Its writer said that it ended; `code` 0 is without a failure."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Source(Protocol):
    """A foreign log, read from its beginning on, as far as it is written."""

    kind: str
    """In a word or two: TensorBoard, wandb, CSV."""
    name: str
    """What its run is called."""
    path: Path
    left_out: Counter[str]
    """What it holds and we do not show, by kind."""
    config: dict[str, Any]
    """Settings, by dotted names; known once the first events were read."""

    @property
    def unfinished(self) -> bool:
        """Whether its last line or record has no end yet."""
        ...

    def events(self) -> Iterator[Event]:
        """The new events, with step and time, in the order of the file; stops where it is written to.

        Raises `growing.Replaced` where it must be read anew, Ending where its writer has ended, Problem where it cannot be read.
        """
        ...

    def printed(self) -> bytes:
        """What its script has printed since the last call."""
        ...


def remark(source: Source) -> str:
    """What was left out, in a sentence; "" where that is nothing."""
    if not source.left_out:
        return ""
    kinds = [f"{count:,} of {one_line(kind, 60)}" for kind, count in source.left_out.most_common(NAMED)]
    return f"Left out of {one_line(source.path.name, 80)}: {', '.join(kinds)}{' …' * (len(source.left_out) > NAMED)}."


def picture(tag: str, data: bytes, captions: list[str]) -> Images | None:
    """An encoded picture as an event, other formats than PNG written again as PNG; None where it is none, or too large."""
    if len(data) > PICTURE_LIMIT:
        return None
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Images(tag=tag, png=data, captions=captions)
    from PIL import Image  # only where a picture is no PNG

    try:
        with Image.open(BytesIO(data), formats=["JPEG", "GIF", "BMP", "WEBP"]) as image:
            if image.width * image.height > PICTURE_LIMIT:
                return None
            written = BytesIO()
            image.convert("RGB").save(written, "PNG")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return Images(tag=tag, png=written.getvalue(), captions=captions)
