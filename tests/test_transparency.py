"""Transparent parts are laid over the background, whatever kind of PNG has them; numbers with more than 8 bits keep what they use."""

import io
import struct
import zlib
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from workbench.datasets import faces, folder, pictures
from workbench.datasets.pictures import Background, Decoding, decode_picture, decoded, read_picture
from workbench.preparation import listening
from workbench.problems import Problem
from workbench.projects.convolutional_networks.image_classifier import ImageClassifier
from workbench.projects.convolutional_networks.style_transfer import StyleTransfer
from workbench.recipes.recipe import Compute, Train
from workbench.tui.panels.pad import Pad

GREY, COLOUR, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 4, 6


def png(width: int, depth: int, kind: int, row: bytes, transparent: bytes = b"") -> bytes:
    """A PNG of one row, as the specification has it: Pillow cannot write most of these."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0))
    between = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + between + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")


TRANSPARENT_AND_INK = {
    "grey, 1 bit": png(2, 1, GREY, bytes([0b10000000]), struct.pack(">H", 1)),
    "grey, 2 bits": png(2, 2, GREY, bytes([0b01000000]), struct.pack(">H", 1)),
    "grey, 4 bits": png(2, 4, GREY, bytes([0x30]), struct.pack(">H", 3)),
    "grey, 8 bits": png(2, 8, GREY, bytes([9, 0]), struct.pack(">H", 9)),
    "grey, 16 bits": png(2, 16, GREY, struct.pack(">2H", 1000, 0), struct.pack(">H", 1000)),
    "colour, 8 bits": png(2, 8, COLOUR, bytes([1, 2, 3, 0, 0, 0]), struct.pack(">3H", 1, 2, 3)),
    "colour, 16 bits": png(2, 16, COLOUR, struct.pack(">6H", 300, 700, 900, 0, 0, 0), struct.pack(">3H", 300, 700, 900)),
    "grey and alpha": png(2, 8, GREY_ALPHA, bytes([0, 0, 0, 255])),
    "grey and alpha, 16 bits": png(2, 16, GREY_ALPHA, struct.pack(">4H", 0, 0, 0, 65535)),
    "colour and alpha": png(2, 8, COLOUR_ALPHA, bytes([0, 0, 0, 0, 0, 0, 0, 255])),
    "colour and alpha, 16 bits": png(2, 16, COLOUR_ALPHA, struct.pack(">8H", 0, 0, 0, 0, 0, 0, 0, 65535)),
}


@pytest.mark.parametrize("kind", TRANSPARENT_AND_INK)
@pytest.mark.parametrize(("background", "value"), [("white", 255), ("grey", 128), ("black", 0)])
def test_a_transparent_pixel_has_the_background_and_the_ink_beside_it_is_black(kind: str, background: Background, value: int) -> None:
    picture = decode_picture(b64encode(TRANSPARENT_AND_INK[kind]).decode(), Decoding(background))
    assert np.asarray(picture).tolist() == [[[value] * 3, [0] * 3]]


@pytest.mark.parametrize("alphas", [(0, 255), (0, 128)])
def test_a_palette_with_transparency_is_laid_over_white(tmp_path: Path, alphas: tuple[int, int]) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([0, 0, 0, 0, 0, 0])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "a.png", transparency=bytes(alphas))
    assert np.asarray(read_picture(tmp_path / "a.png"))[0, :, 0].tolist() == [255 - alpha for alpha in alphas]


def test_half_transparent_ink_is_mixed_and_an_opaque_picture_is_as_it_was(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (255, 0, 0, 51)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").getpixel((0, 0)) == (255, 204, 204)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert("RGBA").save(tmp_path / "b.png")
    picture = decoded(tmp_path / "b.png", "b.png", 0, Decoding("black"))
    assert (np.asarray(picture.image) == pixels).all() and not picture.transparent


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_transparent_picture_is_turned_upright_too(tmp_path: Path, orientation: int) -> None:
    picture = Image.new("RGBA", (4, 2))
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    upright = read_picture(tmp_path / "a.png")
    assert upright.size == ((4, 2) if orientation == 3 else (2, 4)) and upright.getpixel((0, 0)) == (255, 255, 255)


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red, green, blue = read_picture(tmp_path / "a.jpg").getpixel((4, 4))  # type: ignore[misc]
    assert red > 200 and green < 80 and blue < 80


@pytest.mark.parametrize(
    ("kind", "channels"), [(GREY, 1), (COLOUR, 3), (GREY_ALPHA, 2), (COLOUR_ALPHA, 4)], ids=["grey", "colour", "grey alpha", "alpha"]
)
@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
def test_sixteen_bits_of_which_some_are_used_fill_the_range(kind: int, channels: int, bits: int) -> None:
    most = 2**bits - 1
    values = np.array([[0] * channels, [most] * channels], ">u2")
    if channels in (2, 4):
        values[:, -1] = 65535
    picture = decoded(io.BytesIO(png(2, 16, kind, values.tobytes())), "it", 0, Decoding())
    dark, bright = np.asarray(picture.image)[0, :, 0].tolist()
    assert dark == 0 and bright == 255 and picture.bits == bits


@pytest.mark.parametrize(("kind", "colours"), [(GREY, 1), (COLOUR, 3), (GREY_ALPHA, 1), (COLOUR_ALPHA, 3)])
@pytest.mark.parametrize("most", [1, 255, 1023, 65535])
def test_every_used_bit_of_sixteen_is_kept(kind: int, colours: int, most: int) -> None:
    """Also the check that the installed Pillow gives the lower bytes where `pictures.LOWER` says."""
    values = np.random.default_rng(most).integers(0, most + 1, (300, colours + (kind in (GREY_ALPHA, COLOUR_ALPHA)))).astype(">u2")
    values[0, :colours] = most
    if kind in (GREY_ALPHA, COLOUR_ALPHA):
        values[:, -1] = 65535
    picture = decoded(io.BytesIO(png(300, 16, kind, values.tobytes())), "it", 0, Decoding())
    expected = np.broadcast_to(values[:, :colours] >> (picture.bits - 8), (300, 3))
    assert picture.bits == max(8, most.bit_length()) and (np.asarray(picture.image)[0] == expected).all()


def test_a_16_bit_colour_is_transparent_only_where_all_its_bits_are_equal() -> None:
    row = np.array([[300, 700, 900], [301, 700, 900]], ">u2")
    picture = decoded(io.BytesIO(png(2, 16, COLOUR, row.tobytes(), row[0].tobytes())), "it", 0, Decoding())
    assert np.asarray(picture.image)[0].tolist() == [[255] * 3, [301 >> 2, 700 >> 2, 900 >> 2]]


@pytest.mark.parametrize("raw", ["RGB;16X", None])
def test_a_pillow_without_the_lower_bytes_is_not_believed(monkeypatch: pytest.MonkeyPatch, raw: str | None) -> None:
    monkeypatch.setattr(pictures, "LOWER", {"RGB;16B": raw} if raw else {})
    with pytest.raises(Problem, match=r"16-bit colours, of which Pillow .* reads the upper 8 bits alone"):
        decoded(io.BytesIO(png(1, 16, COLOUR, bytes(6))), "it", 0, Decoding())


@pytest.mark.parametrize("kind", [GREY, COLOUR])
def test_a_class_that_is_nearly_one_colour_beside_brighter_ones_is_told(tmp_path: Path, kind: int) -> None:
    for name, most in (("dark", 300), ("bright", 65535)):
        (tmp_path / name).mkdir()
        for index in range(4):
            values = np.random.default_rng(index).integers(0, most + 1, 16 * (3 if kind == COLOUR else 1)).astype(">u2")
            (tmp_path / name / f"{index}.png").write_bytes(png(16, 16, kind, values.tobytes()))
    with listening() as told:
        folder.squares(tmp_path, 8)
    assert [row[1] for row in told.rows if row[0] == "class dark"] == ["4 pictures, all nearly of one value"]
    assert not [row for row in told.rows if row[0] == "class bright"]


def ink(root: Path, *, number: int = 12, mode: str = "RGBA", colour: int = 0) -> Path:
    """Circles and squares in one colour on a transparent ground."""
    rng = np.random.default_rng(3)
    for kind in ("round", "square"):
        (root / kind).mkdir(parents=True)
        for index in range(number):
            picture = Image.new("RGBA", (40, 40), (colour, colour, colour, 0))
            x, y = rng.integers(3, 17, 2).tolist()
            pen = ImageDraw.Draw(picture)
            box, line = (x, y, x + 18, y + 18), (colour, colour, colour, 255)
            pen.ellipse(box, outline=line, width=3) if kind == "round" else pen.rectangle(box, outline=line, width=3)
            picture.convert(mode).save(root / kind / f"{index}.png")
    return root


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_drawings_on_a_transparent_ground_are_seen(tmp_path: Path, mode: str) -> None:
    with listening() as told:
        data = folder.read(ink(tmp_path / "ink", mode=mode), 24)
    assert data.train.images.shape[1:] == (1, 24, 24)
    assert data.train.images[:, 0, 0, 0].min() > 0.9 and (data.train.images.min((1, 2, 3)) < 0.3).all()
    assert ["transparent pictures", "24 of 24", "laid over white", ""] in told.rows


def test_a_ground_that_hides_them_all_is_refused(tmp_path: Path) -> None:
    root = ink(tmp_path / "ink")
    text = r"All 24 pictures in .*ink are equal at 24x24: there is nothing to learn\. .*set config\.background to another colour"
    with pytest.raises(folder.Problem, match=text):
        folder.read(root, 24, "black")
    with pytest.raises(folder.Problem, match="are equal"):
        folder.read(ink(tmp_path / "chalk", colour=255), 24)
    assert folder.read(tmp_path / "chalk", 24, "black").train.images.max() > 0.9


def test_one_scale_for_the_whole_set(tmp_path: Path) -> None:
    """A picture that is darker than the others stays darker, and so does one that a trained network is asked about."""
    for kind, most in (("dark", 500), ("bright", 4095)):
        (tmp_path / kind).mkdir()
        for index in range(4):
            values = np.random.default_rng(index).integers(0, most + 1, (16, 16)).astype(np.uint16)
            values[8, 8] = most
            Image.fromarray(values).save(tmp_path / kind / f"{index}.png")
    with listening() as told:
        data = folder.squares(tmp_path, 16)
    bright, dark = ([pixels[labels == label].max() for pixels, labels in data.parts] for label in (0, 1))
    assert set(bright) == {255} and set(dark) == {500 >> 4} and data.decoding.bits == 12
    assert ["16-bit pictures", "8 of 8", "the 12 bits that they use, scaled to 8", ""] in told.rows
    asked = decode_picture(b64encode((tmp_path / "dark" / "0.png").read_bytes()).decode(), data.decoding)
    assert np.asarray(asked).max() == 500 >> 4


def test_every_reader_and_answer_lays_them_over_the_setting(tmp_path: Path) -> None:
    root = ink(tmp_path / "ink", number=60)
    assert faces.read(str(root), 16, "white").train.max() == 255 and faces.read(str(root), 16).train.mean() > 200
    style = StyleTransfer(StyleTransfer.Config(background="grey"), Train(), Compute(device="cpu", threads=1), seed=1, folder=root)
    with listening() as told:
        assert style.opened("round/0.png").getpixel((0, 0)) == (128, 128, 128)
    assert told.rows == [["picture round/0.png", "40x40 pixels", "", ""]] and list(told.sources) == [str(root / "round" / "0.png")]
    pad = Pad()
    pad._changed = pad.redraw = lambda: None  # type: ignore[method-assign]  # it is on no screen
    pad.show_picture((root / "round" / "0.png").read_bytes(), "grey")
    assert pad.picture is not None and pad.picture[0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("background", ["white", "grey"])
def test_a_training_picture_given_to_the_trained_network_is_what_it_was_trained_on(tmp_path: Path, background: Background) -> None:
    root = ink(tmp_path / "ink")
    config = ImageClassifier.Config(data=str(root), image_size=24, hidden=[4], background=background)
    project = ImageClassifier(config, Train(), Compute(device="cpu", threads=1), seed=1)
    project.build()
    trained = {pixels.numpy().tobytes() for part, _ in project.splits.values() for pixels in part}
    picture = b64encode((root / "round" / "3.png").read_bytes()).decode()
    with project.evaluating():
        answer = project.predict({"picture": picture})
    assert "inverted" not in answer["note"]
    from workbench.datasets.seen import seen

    pixels, _ = seen(decode_picture(picture, project.decoding), project.shape, str(root), project.light)
    assert pixels.tobytes() in trained
