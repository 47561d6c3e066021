"""Grids of pictures as events: a tile can be cut out again, what is no colour is clipped."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.training.figures import grid_png, pictures


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_tiles_can_be_cut_out_of_a_grid_again(channels: int) -> None:
    shape = (5, 4, 6) if not channels else (5, channels, 4, 6)
    tiles = np.random.default_rng(0).random(shape).astype(np.float32)
    for given in (tiles, torch.from_numpy(tiles)):
        sheet = np.asarray(Image.open(io.BytesIO(grid_png(given, 3))))
        assert sheet.shape[:2] == (2 * 4, 3 * 6)
        width = sheet.shape[1] // 3
        for index in range(5):
            row, column = divmod(index, 3)
            cut = sheet[row * 4 : row * 4 + 4, column * width : column * width + width]
            tile = tiles[index] if not channels else tiles[index].transpose(1, 2, 0).squeeze()
            assert np.array_equal(cut, np.rint(tile * 255))
        assert not sheet[4:, 12:].any()


def test_what_is_no_colour_is_clipped() -> None:
    sheet = Image.open(io.BytesIO(grid_png(np.array([[[-1.0, 2.0, math.nan, 0.5]]]), 1)))
    assert np.asarray(sheet).tolist() == [[0, 255, 0, 128]]


def test_pictures_have_no_more_columns_than_pictures() -> None:
    event = pictures("digits", np.zeros((3, 8, 8)), ["a", "b", "c"])
    assert (event.columns, event.captions) == (3, ["a", "b", "c"])
    assert Image.open(io.BytesIO(event.png)).size == (24, 8)
