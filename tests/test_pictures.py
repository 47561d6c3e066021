"""Pictures as half cells and matrices as shaded ones: layout, colours, bad input, and the sparing repaint."""

import io
import math
import zlib

import numpy as np
import pytest
from painted import Shown, frame, fresh, patched
from rich.color import Color
from rich.style import Style

from workbench.problems import Problem
from workbench.tui.charts import halfcell, matrix
from workbench.tui.charts.halfcell import Picture
from workbench.tui.charts.matrix import MatrixView

# ── Pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def claims(side: int) -> bytes:
    """A small PNG that says it is a square with this side."""
    whole = bytearray(png(np.zeros((4, 4), np.uint8)))
    whole[16:24] = side.to_bytes(4, "big") * 2
    whole[29:33] = zlib.crc32(whole[12:29]).to_bytes(4, "big")
    return bytes(whole)


def test_half_cells_hold_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    codes, keys = halfcell.half_cells(pixels)
    assert codes.shape == (3, 5) and (codes == ord("▀")).all()
    style = halfcell.color_style(int(keys[1, 2]), Style())
    assert style.color and tuple(style.color.triplet or ()) == tuple(pixels[2, 2])
    assert style.bgcolor and tuple(style.bgcolor.triplet or ()) == tuple(pixels[3, 2])
    odd = halfcell.half_cells(pixels[:5])[1]
    assert halfcell.color_style(int(odd[2, 0]), Style(bgcolor="#010203")).bgcolor == Color.parse("#010203")


def test_quarter_cells_show_edges_that_run_through_a_cell() -> None:
    black, white = np.zeros(3, np.uint8), np.full(3, 255, np.uint8)
    for quarter, marks in {"▌": "1010", "▚": "1001", "▗": "0001", "▀": "1100"}.items():
        pixels = np.array([white if mark == "1" else black for mark in marks]).reshape(2, 2, 3)
        codes, keys = halfcell.quarter_cells(pixels, "truecolor")
        style = halfcell.color_style(int(keys[0, 0]), Style())
        assert chr(codes[0, 0]) == quarter and style.color == Color.parse("#ffffff") and style.bgcolor == Color.parse("#000000")
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 3)).astype(np.uint8)
    codes, keys = halfcell.quarter_cells(pixels, "truecolor")
    assert codes.shape == keys.shape == (4, 4)
    assert halfcell.color_style(int(keys[3, 0]), Style(bgcolor="#010203")).bgcolor == Color.parse("#010203"), "half a row is open below"
    assert (halfcell.quarter_cells(pixels.repeat(2, axis=1), "truecolor")[0] == ord("▀")).all(), (
        "as half cells where there is nothing finer"
    )


def test_pictures_grow_by_whole_multiples_and_shrink_by_areas() -> None:
    small = np.arange(4, dtype=np.uint8).reshape(2, 2, 1).repeat(3, axis=2) * 60
    grown = halfcell.scaled(small, 7, 9)
    assert grown.shape == (6, 6, 3) and (grown[::3, ::3] == small).all() and (grown[2::3, 2::3] == small).all()
    stripes = np.tile(np.array([0, 200], np.uint8), (8, 4))[:, :, None].repeat(3, axis=2)
    assert (halfcell.scaled(stripes, 4, 4) == 100).all()
    assert halfcell.scaled(np.zeros((100, 300, 3), np.uint8), 30, 30).shape == (10, 30, 3)


def test_tiles_are_cut_and_their_captions_stand_below() -> None:
    grid = np.zeros((20, 30), np.uint8)
    for index in range(5):
        grid[index // 3 * 10 : index // 3 * 10 + 10, index % 3 * 10 : index % 3 * 10 + 10] = 40 * index + 40
    cells = halfcell.draw(halfcell.decode(png(grid)), 3, ["one", "two", "three", "four", "five is long"], 36, 12, "truecolor")
    lines = cells.text().splitlines()
    assert lines[5].split() == ["one", "two", "three"] and lines[11].split() == ["four", "five", "is", "lo…"]
    for index, place in enumerate([(0, 0), (0, 12), (0, 24), (6, 0), (6, 12)]):
        assert abs((int(cells.keys[place]) & 255) - (40 * index + 40)) < 4
    assert not (cells.keys[6, 23:] & np.uint64(halfcell.COLORED)).any()


def test_too_many_tiles_are_counted_not_squeezed() -> None:
    cells = halfcell.draw(np.zeros((280, 280, 3), np.uint8), 10, [str(index) for index in range(100)], 40, 12, "truecolor")
    shown = sum(text.isdigit() for text in cells.text().replace("▀", " ").split())
    assert 1 < shown < 100 and f"+{100 - shown}" in cells.text()


@pytest.mark.parametrize("size", [(0, 0), (1, 1), (2, 1), (3, 3), (1, 40), (200, 1), (200, 60)])
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (1, 300), (300, 1), (64, 96)])
def test_pictures_at_any_size(size: tuple[int, int], shape: tuple[int, int]) -> None:
    pixels = halfcell.as_pixels(np.full(shape, 99.0))
    for captions in ((), ["a"], ["a", "", "日本"]):
        for colors in ("truecolor", "256", "standard", None):
            assert halfcell.draw(pixels, 2, captions, *size, colors).codes.shape == size[::-1]


@pytest.mark.parametrize(
    ("colors", "allowed"),
    [("256", {0, 95, 135, 175, 215, 255} | set(range(8, 239, 10))), ("standard", {0, 85, 170, 255})],
)
def test_few_colours_are_the_terminals_own(colors: str, allowed: set[int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    assert set(halfcell.reduced(pixels, colors).ravel().tolist()) <= allowed
    keys = halfcell.quarter_cells(pixels, colors)[1].ravel().tolist()
    assert {key >> shift & 0xFF for key in keys for shift in range(0, 48, 8)} <= allowed


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"", "not a PNG"),
        (b"not a picture", "not a PNG"),
        (png(np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8))[:2000], "cannot be read"),
        (claims(60_000), "too large"),
        (claims(10_000), "too large"),
        (claims(5_000), "too large"),
    ],
)
async def test_what_is_no_picture_is_said_in_words(bad: bytes, words: str) -> None:
    with pytest.raises(Problem, match=words):
        halfcell.decode(bad)
    widget = Picture()
    async with Shown(widget).run_test(size=(50, 6)) as pilot:
        widget.show(bad)
        await pilot.pause()
        assert words.split()[-1] in widget.draw(50, 6).text()
        widget.show(png(np.full((8, 8), 200, np.uint8)))
        assert set(halfcell._QUARTERS) & set(widget.draw(50, 6).text())


async def test_only_changed_parts_of_a_picture_are_sent() -> None:
    widget = Picture()
    async with Shown(widget).run_test(size=(40, 20)) as pilot:
        pixels = np.full((40, 40), 200, np.uint8)
        widget.show(pixels)
        await pilot.pause()
        before = frame(widget)
        pixels = pixels.copy()
        pixels[6, 10:13] = 0
        regions = widget.show(pixels)
        assert [region.y for region in regions] == [3], "its row alone"
        assert patched(before, frame(widget), regions) == frame(widget) == fresh(widget)
        assert widget.show(pixels) == []


# ── Matrices ──────────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def confusion(count: int = 10, scale: int = 1) -> np.ndarray:
    values = np.zeros((count, count))
    values[np.arange(count), np.arange(count)] = 90
    values[3, 5] = 10
    return values * scale


def test_a_confusion_matrix_in_a_small_terminal() -> None:
    cells = matrix.draw(confusion(), NAMES, NAMES, "confusion", matrix.LEGEND, matrix.Shades(), 80, 24)
    assert cells.text().rstrip() == "\n".join(GOLDEN_MATRIX)


def test_the_diagonal_has_its_own_colour_and_small_shares_are_seen() -> None:
    found = matrix.colors(confusion(), True, matrix.Shades()).astype(int)
    ground = np.array(matrix.Shades().ground)
    assert found[0, 0, 2] > found[0, 0, 0] and found[3, 5, 0] > found[3, 5, 2]
    assert np.abs(found[3, 5] - ground).sum() > 60 and (found[0, 1] == ground).all()


def test_a_matrix_gives_up_numbers_then_names_then_single_rows() -> None:
    def text(width: int, height: int, count: int = 10) -> str:
        names = NAMES if count == 10 else [f"breed {index}" for index in range(count)]
        return matrix.draw(confusion(count, 10), names, names, "confusion", "", matrix.Shades(), width, height).text()

    assert "900" in text(40, 13) and "truck" in text(40, 13)
    assert "900" not in text(30, 12) and "ship" in text(30, 12)
    assert "ship" not in text(30, 7) and "▀" in text(30, 7)
    assert "7 x 7 values per square" in text(60, 11, 133)
    shown = matrix.draw(confusion(133), (), (), "", "", matrix.Shades(), 60, 10)
    assert (shown.codes == ord("▀")).any()


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (2, 500), (500, 2), (12, 9), (133, 133)])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, math.nan, math.inf, 1e308, -1e308])
def test_any_matrix_at_any_size(shape: tuple[int, int], value: float) -> None:
    values = np.full(shape, value)
    values[:1, :1] = 0.5
    for width, height in ((0, 0), (1, 1), (2, 5), (5, 2), (10, 10), (80, 24), (200, 60)):
        for names in (False, True):
            rows = [f"row {index}" for index in range(shape[0])] if names else []
            columns = [f"row {index}" for index in range(shape[1])] if names else []
            assert matrix.draw(values, rows, columns, "m", "legend", matrix.Shades(), width, height).codes.shape == (height, width)


async def test_only_changed_parts_of_a_matrix_are_sent() -> None:
    view = MatrixView("confusion")
    async with Shown(view).run_test(size=(80, 24)) as pilot:
        values = confusion()
        view.show(values, NAMES, NAMES)
        await pilot.pause()
        before = frame(view)
        values = values.copy()
        values[3, 5] = 20
        regions = view.show(values, NAMES, NAMES)
        assert {region.y for region in regions} == {5}, "its row alone, below title and head"
        assert patched(before, frame(view), regions) == frame(view) == fresh(view)
        assert view.show(values, NAMES, NAMES) == []


GOLDEN_MATRIX = [
    "confusion                                       rows: truth, columns: prediction",
    "           airpl autom  bird   cat  deer   dog  frog horse  ship truck",
    "  airplane    90     ·     ·     ·     ·     ·     ·     ·     ·     ·",
    "automobile     ·    90     ·     ·     ·     ·     ·     ·     ·     ·",
    "      bird     ·     ·    90     ·     ·     ·     ·     ·     ·     ·",
    "       cat     ·     ·     ·    90     ·    10     ·     ·     ·     ·",
    "      deer     ·     ·     ·     ·    90     ·     ·     ·     ·     ·",
    "       dog     ·     ·     ·     ·     ·    90     ·     ·     ·     ·",
    "      frog     ·     ·     ·     ·     ·     ·    90     ·     ·     ·",
    "     horse     ·     ·     ·     ·     ·     ·     ·    90     ·     ·",
    "      ship     ·     ·     ·     ·     ·     ·     ·     ·    90     ·",
    "     truck     ·     ·     ·     ·     ·     ·     ·     ·     ·    90",
]


def test_pairs_stay_beside_each_other() -> None:
    """Sixteen pictures, of which each second belongs to the one before it, never flow into an odd number of columns."""
    pixels = np.zeros((2 * 64, 8 * 64), np.uint8)
    for width in range(20, 160, 7):
        text = halfcell.draw(halfcell.as_pixels(pixels), 8, ["drawn", "at 2.0"] * 8, width, 30, "truecolor").text()
        row = next(line for line in text.splitlines() if "drawn" in line)
        assert row.count("drawn") == row.count("at 2.0"), row
