"""Preprocesses a picture that a person draws or names like the pictures that a network was trained on, and says in words what was done."""

import numpy as np
from PIL import Image, ImageOps

from workbench.problems import Problem

BOXES = {"mnist": 20, "digits": 8}
"""Pixels of a digit's longer side in the data set. MNIST's digits are scaled to 20 pixels and centred by their mass in 28x28
(LeCun, Cortes and Burges); scikit-learn's digits fill their 8x8."""
INK = 0.2
"""A pixel belongs to the digit if it has at least this share of the strongest ink."""


AGREED = 0.9
"""Of a set of grey pictures, so many have the same ground, light or dark, where it is the set's own."""

LOOKED_AT = 500
"""Pictures, evenly spread, from which the ground of a set is told."""


def ground(images: np.ndarray) -> bool | None:
    """Whether pictures, (number, 1, height, width) in [0, 1], have a light ground; None where they differ, or are in colour."""
    if images.shape[1] != 1:
        return None
    some = images[:: max(1, len(images) // LOOKED_AT)]
    light = float(np.mean([_paper(image[0]) > 0.5 for image in some]))
    return light > 0.5 if max(light, 1 - light) >= AGREED else None


def _paper(grey: np.ndarray) -> float:
    # The border is background, so its median tells the colour of the paper.
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


def seen(picture: Image.Image, shape: tuple[int, ...], data: str, light: bool | None = False) -> tuple[np.ndarray, list[str]]:
    """The picture as (channels, height, width), float32 in [0, 1], for a network trained on `data`; and what was done, in words.

    `light`: the ground of the training pictures, as `ground` tells it; a grey picture with the other one is inverted.
    Raises Problem where a digit is expected and the picture has no ink.
    """
    channels, height, width = shape
    if channels != 1:
        fitted = ImageOps.fit(picture.convert("RGB"), (width, height), Image.Resampling.BILINEAR)
        return np.asarray(fitted, np.float32).transpose(2, 0, 1) / 255, [f"its middle, {width}x{height}"]
    grey = np.asarray(picture.convert("L"), np.float32) / 255
    done = []
    paper = _paper(grey)
    if light is not None and (paper > 0.5) != light:
        grey, paper = 1 - grey, 1 - paper
        done.append(f"inverted, because its background is {'dark' if light else 'light'}")
    if data not in BOXES:
        image = Image.fromarray((grey * 255).astype(np.uint8))
        fitted = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        return np.asarray(fitted, np.float32)[None] / 255, [*done, f"grey, its middle, {width}x{height}"]
    box = BOXES[data]
    ink = (grey - paper).clip(0)
    # Below a tenth of the range it is noise of the paper, and scaling would turn it into ink.
    if ink.max() < 0.1:
        raise Problem("This picture has no ink.", "Draw a digit, light on dark or dark on light.", "data")
    ink /= ink.max()
    rows, columns = (np.flatnonzero((ink > INK).any(axis)) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    share = box / max(ink.shape)
    size = max(1, round(ink.shape[1] * share)), max(1, round(ink.shape[0] * share))
    # BOX averages, which keeps thin strokes grey as in the data sets; other filters lose them.
    small = np.asarray(Image.fromarray((ink * 255).astype(np.uint8)).resize(size, Image.Resampling.BOX), np.float32) / 255
    if box < height:
        mass = [(small.sum(1 - axis) * (np.arange(small.shape[axis]) + 0.5)).sum() / small.sum() for axis in (0, 1)]
        done.append(f"scaled into {box}x{box} and centred by its mass, like the training digits")
    else:
        mass = [small.shape[0] / 2, small.shape[1] / 2]
        done.append(f"scaled to {height}x{width}, like the training digits")
    top, left = (
        max(0, min(length - part, round(length / 2 - middle)))
        for length, part, middle in zip((height, width), small.shape, mass, strict=True)
    )
    pixels = np.zeros(shape, np.float32)
    pixels[0, top : top + small.shape[0], left : left + small.shape[1]] = small
    return pixels, done
