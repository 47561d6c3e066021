"""The letters A to J as 28x28 pictures, drawn from the fonts of a system or of a person's own folder, and split by font family."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from workbench import preparation
from workbench.datasets.labelled_images import LabelledImages
from workbench.preparation import counted
from workbench.problems import Problem, one_line

LETTERS = "ABCDEFGHIJ"
SIDE, BOX = 28, 22
"""Pixels of a picture, and of the longer side of a letter that is not varied."""
DRAWN = 64
"""Pixels of the font in which a letter is drawn before it is scaled down."""
FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
FREE = {
    "fonts-dejavu": ("DejaVu",),
    "fonts-liberation": ("Liberation",),
    "fonts-freefont-ttf": ("FreeSans", "FreeSerif", "FreeMono"),
    "fonts-noto-core": ("Noto Sans", "Noto Serif"),
    "fonts-urw-base35": ("Nimbus", "URW", "C059", "P052"),
    "fonts-lato": ("Lato",),
    "fonts-roboto-unhinted": ("Roboto",),
    "fonts-open-sans": ("Open Sans",),
    "fonts-linuxlibertine": ("Linux Libertine", "Linux Biolinum"),
    "fonts-cantarell": ("Cantarell",),
}
"""Debian packages of freely licensed fonts, and how the names of their families begin."""
FILES = {".ttf", ".otf", ".bdf"}
MOST = 2_000
"""Fonts that are read at most, in the order of their paths."""
ANGLE, SMALLEST, SHIFT = 12.0, 0.75, 2
"""Of a varied letter: most degrees it is turned by, least share of BOX, most pixels it is moved by."""


@dataclass(frozen=True)
class Letters:
    """`parts` by name, as pictures in [0, 1] with 1 for ink; `families` by the same names."""

    parts: dict[str, LabelledImages]
    families: dict[str, list[str]]
    fonts: int
    """Font files that were drawn."""


@dataclass(frozen=True)
class Glyphs:
    """A font's ten letters, each cropped to its ink: (height, width), uint8."""

    family: str
    masks: list[np.ndarray]


def read(source: str, copies: int) -> Letters:
    """`copies` pictures of each letter of each font, the first as it is, the others turned, scaled and moved at random, but always alike.

    `source` is "system", or a folder. Of the families a fifth (at least one) is the test, another the validation part: bold and slanted
    forms of one family are near copies of each other, and would leak. Raises Problem (cause "data") with what to install.
    """
    folders = [Path(folder).expanduser() for folder in FOLDERS] if source == "system" else [Path(source)]
    fonts = sorted(found(folders, source == "system"), key=lambda glyphs: glyphs.family)
    families = sorted({glyphs.family for glyphs in fonts})
    if len(families) < 3:
        here = f"There are {len(families)} font families" if families else "There is no font family"
        where = "that is known to be free on this system" if source == "system" else f"with the letters A to J in {one_line(source)}"
        hint = f"Install some, as by: apt install {' '.join(FREE)}" if source == "system" else "Put more of them there."
        raise Problem(f"{here} {where}; at least 3 are needed, one for each part.", hint, "data")
    order = np.random.default_rng(0).permutation(len(families))
    share = max(1, round(len(families) / 5))
    ends = [share, 2 * share]
    places = dict(zip(("test", "valid", "train"), np.split(order, ends), strict=True))
    chosen = {name: sorted(families[place] for place in part) for name, part in places.items()}
    parts = {name: drawn([font for font in fonts if font.family in names], copies) for name, names in chosen.items()}
    for name, names in chosen.items():
        preparation.found(f"letters, {name}", f"{len(names)} families", f"{len(parts[name]):,} pictures: {', '.join(names)}")
    return Letters(parts, chosen, len(fonts))


def found(folders: list[Path], free: bool) -> Iterator[Glyphs]:
    """The fonts of these folders that have the letters; with `free` only families of FREE. Those left out are told to `preparation`."""
    files = sorted({path.resolve() for folder in folders for path in folder.rglob("*") if path.suffix.lower() in FILES})[:MOST]
    beginnings = tuple(beginning for names in FREE.values() for beginning in names)
    digest, left_out, used = hashlib.sha256(), 0, 0
    for path in counted("drawing letters", files):
        try:
            font = ImageFont.truetype(str(path), DRAWN)
            family = one_line(font.getname()[0] or "", 60)
            if not family or (free and not family.startswith(beginnings)):
                left_out += 1
                continue
            masks = [ink(font, letter) for letter in LETTERS]
            content = path.read_bytes()
        # Whatever a damaged or unusual font does: the others are enough.
        except (OSError, ValueError):
            left_out += 1
            continue
        # A font without letters has the same empty box for each of them.
        if len({mask.tobytes() for mask in masks}) < len(LETTERS):
            left_out += 1
            continue
        used += 1
        digest.update(content)
        yield Glyphs(family, masks)
    preparation.source("fonts", digest.hexdigest())
    preparation.found(
        "fonts", f"{len(files):,} files", f"{used:,} files", f"{left_out:,} that are not known to be free, or have no letters"
    )


def ink(font: ImageFont.FreeTypeFont, letter: str) -> np.ndarray:
    """A letter cropped to its ink, uint8; ValueError where it has none."""
    canvas = Image.new("L", (4 * DRAWN, 4 * DRAWN))
    ImageDraw.Draw(canvas).text((DRAWN, DRAWN), letter, fill=255, font=font)
    box = canvas.getbbox()
    if box is None:
        raise ValueError("no ink")
    return np.asarray(canvas.crop(box))


def drawn(fonts: list[Glyphs], copies: int) -> LabelledImages:
    """The pictures of some fonts, `copies` of each letter."""
    pictures, labels = [], []
    for font in fonts:
        # By family and form: the same whatever other fonts there are.
        digest = hashlib.sha256(font.family.encode() + b"".join(mask.tobytes() for mask in font.masks)).digest()
        random = np.random.default_rng(list(digest))
        for label, mask in enumerate(font.masks):
            for copy in range(copies):
                angle, scale = (0.0, 1.0) if copy == 0 else (random.uniform(-ANGLE, ANGLE), random.uniform(SMALLEST, 1))
                shift = (0, 0) if copy == 0 else tuple(map(int, random.integers(-SHIFT, SHIFT + 1, 2)))
                pictures.append(placed(mask, angle, scale, (shift[0], shift[1])))
                labels.append(label)
    return LabelledImages(np.stack(pictures)[:, None], np.array(labels, np.int64))


def placed(mask: np.ndarray, angle: float = 0.0, scale: float = 1.0, shift: tuple[int, int] = (0, 0)) -> np.ndarray:
    """A letter, uint8, turned by degrees and scaled into the picture's middle, moved by pixels: (28, 28) float32 in [0, 1]."""
    image = Image.fromarray(mask)
    if angle:
        image = image.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        image = image.crop(image.getbbox())
    share = scale * BOX / max(image.size)
    width, height = (max(1, round(size * share)) for size in image.size)
    picture = Image.new("L", (SIDE, SIDE))
    # BOX averages, which keeps thin strokes grey; other filters lose them.
    place = (SIDE - width) // 2 + shift[0], (SIDE - height) // 2 + shift[1]
    picture.paste(image.resize((width, height), Image.Resampling.BOX), place)
    return np.asarray(picture, np.float32) / 255


def of_picture(picture: Image.Image) -> np.ndarray:
    """A letter that a person drew or names, light on dark or dark on light, as `placed` gives it; Problem where there is no ink."""
    grey = np.asarray(picture.convert("L"), np.float32)
    # The border is paper, so its median tells the colour.
    paper = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    strength = np.abs(grey - paper)
    if strength.max() < 25:
        raise Problem("This picture has no ink.", "Draw a letter, light on dark or dark on light.", "data")
    mask = (strength * (255 / strength.max())).astype(np.uint8)
    rows, columns = (np.flatnonzero((mask > 50).any(axis)) for axis in (1, 0))
    return placed(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
