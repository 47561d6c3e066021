"""Reading a person's pictures: right ones upright and in RGB, wrong ones one sentence each."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.datasets.pictures import read_picture
from workbench.problems import Problem


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def huge_png(side: int) -> bytes:
    """A PNG of a few bytes that says it is `side` pixels wide and high."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def gradient() -> np.ndarray:
    return np.linspace(0, 255, 48 * 64 * 3).astype(np.uint8).reshape(48, 64, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_every_kind_of_png_becomes_rgb(tmp_path: Path, mode: str) -> None:
    Image.fromarray(gradient()).convert(mode).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert (picture.mode, picture.size) == ("RGB", (64, 48))


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 65535, 48 * 64).astype(np.uint16).reshape(48, 64)).save(tmp_path / "a.png")
    pixels = np.asarray(read_picture(tmp_path / "a.png"))[..., 0]
    assert 120 < pixels.mean() < 135
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(gradient())
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was held so that the picture has to be turned by 90 degrees
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").size == (48, 64)


def test_wrong_files_get_one_sentence(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    Image.fromarray(gradient()).save(tmp_path / "a.jpg")
    Image.fromarray(gradient()).save(tmp_path / "a.gif")
    png, jpeg = (tmp_path / "a.png").read_bytes(), (tmp_path / "a.jpg").read_bytes()
    cases = {
        "short.png": (png[: len(png) // 2], "cut short or damaged"),
        "short.jpg": (jpeg[: len(jpeg) // 2], "cut short or damaged"),
        "text.png": (b"not a picture", "neither a PNG nor a JPEG"),
        "empty.png": (b"", "neither a PNG nor a JPEG"),
        "moving.gif": ((tmp_path / "a.gif").read_bytes(), "neither a PNG nor a JPEG"),
        "big.png": (huge_png(9_000), "more than 80,000,000 pixels"),
        "bomb.png": (huge_png(60_000), "more than 80,000,000 pixels"),
    }
    for name, (content, says) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Problem, match=says) as caught:
            read_picture(tmp_path / name)
        assert caught.value.cause == "data"
        assert name in caught.value.message
        assert "\n" not in str(caught.value)
    for path, says in ((tmp_path / "none.png", "There is no picture"), (tmp_path, "Is a directory")):
        with pytest.raises(Problem, match=says):
            read_picture(path)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_every_byte_may_be_wrong(tmp_path: Path, ending: str) -> None:
    Image.fromarray(gradient()[::4, ::4]).save(tmp_path / f"a.{ending}")
    whole = (tmp_path / f"a.{ending}").read_bytes()
    path = tmp_path / f"b.{ending}"
    for place in range(len(whole)):
        for body in (whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]):
            path.write_bytes(body)
            try:
                assert read_picture(path).mode == "RGB"
            except Problem as problem:
                assert problem.cause == "data"
