"""Slides a small kernel over a picture, in NumPy: convolution, ReLU, pooling, and a second kernel on what the first one found."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image

from workbench.datasets import own_file, photographs
from workbench.datasets.pictures import decode_picture, read_picture
from workbench.datasets.store.fetch import fetch
from workbench.events import Event, Images, Table
from workbench.events import Matrix as Numbers
from workbench.problems import Problem
from workbench.training.figures import grid_png, pictures
from workbench.training.project import Field, Matrix, Project, only
from workbench.training.trained import run_folder, stamp, trained

Kernel = Literal["left dark", "left bright", "top dark", "top bright", "Sobel x", "Sobel y", "blur", "sharpen", "outline"]

LEFT_DARK = [[-1.0, -1.0, 1.0, 1.0]] * 4
"""The first of the course's four filters: large where a dark area has a bright one on its right."""
KERNELS: dict[str, np.ndarray] = {
    "left dark": np.array(LEFT_DARK),
    "left bright": -np.array(LEFT_DARK),
    "top dark": np.array(LEFT_DARK).T,
    "top bright": -np.array(LEFT_DARK).T,
    # Sobel's slopes (1968): the middle row counts twice.
    "Sobel x": np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "Sobel y": np.array([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "blur": np.full((3, 3), 1 / 9),
    # Their sums: 1 keeps the brightness of an even area, 0 makes it black.
    "sharpen": np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "outline": np.array([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
}
STEP = np.array([0.0, 0, 0, 0, 1, 1, 1, 1])
"""An edge: four dark pixels, then four bright ones."""
POOL = 2
"""Rows and columns of the squares of which pooling takes one number, as in the course."""
LEARNT = ("image_classifier", "cifar_cnn", "cifar_fast", "transfer", "breakthroughs", "capsules", "autoencoder")
"""Lessons whose runs begin with a convolution."""
MOST_KERNELS = 512
"""Kernels of a layer, the most."""
MARK = np.array([1.0, 0.55, 0.1])
"""Colour of the patch, and of the number of the map that comes from it."""


class Filters(Project):
    """Shows what a kernel finds in a picture, number by number."""

    datasets = ("photographs",)

    class Request(Project.Request):
        filter: Literal["own", Kernel, "run"] = "own"
        """Kernel that slides over the picture: your own numbers, one of the course's four (left dark …), a known one, or a run's."""
        kernel: Annotated[list[list[float]], Matrix((2, 7), (2, 7), -20, 20, 1)] = only(LEFT_DARK, when={"filter": "own"})
        """Its numbers, 2 to 7 rows and columns; where the picture is like them, the map is large."""
        run: str = only("", when={"filter": "run"}, max_length=1000)
        """Run of a CNN whose first convolution learnt the kernels: its id, its recipe's name for the newest, `last`, or its folder."""
        learnt: int = only(1, when={"filter": "run"}, ge=1, le=MOST_KERNELS, step=1)
        """Which of the run's kernels, from 1; without its bias."""
        down: float = Field(0.5, ge=0, le=1, json_schema_extra={"step": 0.02})
        """Where the kernel lies, as a share of the way from the top to the bottom; higher is farther down."""
        across: float = Field(0.5, ge=0, le=1, json_schema_extra={"step": 0.02})
        """Where the kernel lies, as a share of the way from the left to the right; higher is farther to the right."""
        picture: Literal["china", "flower", "step", "octopus", "space_needle", "hockney", "delaunay", "file", "drawing"] = "china"
        """Picture in grey: a photograph, the step of 8x8 pixels, one of the style transfer's pictures, your own file or drawing."""
        file: str = only("", when={"picture": "file"})
        """Path of your own PNG or JPEG; a relative one starts where dlwb was started."""
        drawing: str = only("", when={"picture": "drawing"}, picture=True)
        """Your own drawing, or a picture that you open on its pad."""
        size: int = Field(64, ge=16, le=128, json_schema_extra={"step": 8})
        """Pixels of the picture's longer side; more show finer detail, and the same kernel then covers a smaller part of it."""
        border: Literal["crop", "zeros", "extend"] = "crop"
        """Around the picture: nothing, so that the map is smaller; zeros (padding); or its outermost pixels, repeated."""
        stride: int = Field(1, ge=1, le=4)
        """Pixels from one place of the kernel to the next; 2 halves the map's height and width."""
        flip: bool = False
        """Turn the kernel by 180°, as convolution does in mathematics; libraries do not, and call this correlation a convolution."""
        relu: bool = True
        """Make negative numbers of the map 0, so that only what is like the kernel is left, not its opposite."""
        pool: Literal["max", "average", "none"] = "max"
        """One number for each square of 2x2 of the map: the largest, the mean, or no pooling."""
        second: Literal["none", Kernel] = "none"
        """Kernel of a second layer, which slides over what the first one passes on."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The picture and its map, what is passed on, one patch and its products, the sizes."""
        kernels = learnt(request.run) if request.filter == "run" else None
        if kernels is not None:
            if request.learnt > len(kernels):
                raise Problem(f"learnt is {request.learnt}, but the run's first convolution has {len(kernels)} kernels.", cause="data")
            kernel = kernels[request.learnt - 1]
        else:
            kernel = np.array(request.kernel) if request.filter == "own" else KERNELS[request.filter]
        kernel = kernel[::-1, ::-1] if request.flip else kernel
        picture = self.grey(request)
        framed = bordered(picture, kernel.shape, request.border)
        convolved = correlate(framed, kernel, request.stride, "the picture")
        rectified = np.maximum(convolved, 0) if request.relu else convolved
        passed_on = pooled(rectified, request.pool, "the map")

        # Where the kernel lies: its place in the map, and the rectangle of the picture below it, which may begin in the border.
        place = tuple(round(share * (length - 1)) for share, length in zip((request.down, request.across), convolved.shape, strict=True))
        top, left = (step * request.stride for step in place)
        patch = framed[top : top + kernel.shape[0], left : left + kernel.shape[1]]
        edge = [(new - old) // 2 for new, old in zip(framed.shape, picture.shape, strict=True)]
        corner = (top - edge[0], left - edge[1])

        shown = {
            f"picture {size_of(picture)}": marked(picture, corner, kernel.shape),
            f"map {size_of(convolved)}, here {convolved[place]:.3g}": marked(shade(convolved), place),
        }
        yield tiles("picture and map", picture.shape, shown)
        brightest = float(np.abs(convolved).max())
        pooling = "no pooling" if request.pool == "none" else f"{request.pool} pooling"
        shown = {
            f"{'ReLU' if request.relu else 'no ReLU'} {size_of(rectified)}": marked(shade(rectified, brightest)),
            f"{pooling} {size_of(passed_on)}": marked(shade(passed_on, brightest)),
        }
        if request.second != "none":
            again = correlate(passed_on, KERNELS[request.second], 1, "what the first layer passes on")
            shown[f"second map {size_of(again)}"] = marked(shade(again))
        yield tiles("ReLU and pooling", picture.shape, shown)
        if kernels is not None:
            yield all_kernels(kernels, request.learnt)

        # + 0.0: no -0. Rows and columns have different letters: a matrix with the same names for both is shown as a confusion matrix.
        rows = [f"y{corner[0] + row}" for row in range(kernel.shape[0])]
        columns = [f"x{corner[1] + column}" for column in range(kernel.shape[1])]
        yield Numbers(tag="patch", values=patch.tolist(), rows=rows, columns=columns)
        yield Numbers(tag="patch × kernel", values=(patch * kernel + 0.0).tolist(), rows=rows, columns=columns)
        if max(kernel.shape) <= len(STEP):
            yield step_edge(kernel)
        yield layers(framed.shape[1], picture.shape[1], kernel.shape, request.stride)

    def grey(self, request: Any) -> np.ndarray:
        """The picture that is asked for, (height, width) in [0, 1]."""
        name, longest = request.picture, request.size
        if name == "step":
            return np.tile(STEP, (len(STEP), 1))
        if name == "drawing":
            if not request.drawing:
                raise Problem("Nothing is drawn yet.", "Draw with the mouse, or open a picture.", "data")
            return drawn(request.drawing, longest)
        if name == "file":
            if not request.file:
                raise Problem("file has no path yet.", "Type the path of a PNG or JPEG.", "data")
            path = own_file.find(request.file, self.folder)
        else:
            # Only when it is asked for: the photographs need no download, and the lesson opens without one.
            path = photographs.files().get(name) or fetch("style-pictures")[name]
        return opened(path, path.stat().st_mtime_ns, longest)


# -- a run's kernels -----------------------------------------------------------------------------------------------------------------


def learnt(run: str) -> np.ndarray:
    """The kernels of the first convolution of a run, (number, height, width)."""
    folder = run_folder(run)
    return kernels_of(folder, stamp(folder))


@lru_cache(2)
def kernels_of(folder: Path, weights: int) -> np.ndarray:
    """The same, read once until the run has newer weights."""
    project = trained(folder, *LEARNT)
    # Torch, which takes seconds to import, is there by now; without a run it is not needed.
    from workbench.torchkit.inside import first_kernels

    return first_kernels(project)


def all_kernels(kernels: np.ndarray, chosen: int) -> Images:
    """All of them, each by its own largest number: mid-grey is 0."""
    # Enlarged by whole factors: each number stays one square.
    factor = max(1, 24 // max(kernels.shape[1:]))
    shades = np.stack([0.5 + kernel / (2 * (np.abs(kernel).max() or 1)) for kernel in kernels])
    captions = [f"{'this: ' if place == chosen else ''}{place}" for place in range(1, len(kernels) + 1)]
    return pictures("learnt kernels", shades.repeat(factor, 1).repeat(factor, 2), captions)


# -- the layer ------------------------------------------------------------------------------------------------------------------------


def bordered(picture: np.ndarray, kernel: tuple[int, ...], border: str) -> np.ndarray:
    """The picture with half a kernel around it: with 3x3, one row on each side, so that the map is as large as the picture."""
    if border == "crop":
        return picture
    return np.pad(picture, [(length // 2, length // 2) for length in kernel], "constant" if border == "zeros" else "edge")


def correlate(picture: np.ndarray, kernel: np.ndarray, stride: int, name: str) -> np.ndarray:
    """The sum of patch × kernel at every place, (height, width) → the map. Problem where the kernel does not fit in."""
    if any(length < part for length, part in zip(picture.shape, kernel.shape, strict=True)):
        message = f"The kernel, {size_of(kernel)}, is larger than {name}, {size_of(picture)}."
        raise Problem(message, "Take a larger size, a smaller stride or a smaller kernel.", "data")
    patches = np.lib.stride_tricks.sliding_window_view(picture, kernel.shape)[::stride, ::stride]
    return np.asarray(np.einsum("yxij,ij->yx", patches, kernel))


def pooled(values: np.ndarray, pool: str, name: str) -> np.ndarray:
    """One number for each square of 2x2, (height, width) → half of both; an odd row or column at the end is left out."""
    if pool == "none":
        return values
    height, width = (length // POOL for length in values.shape)
    if not height or not width:
        raise Problem(f"{name.capitalize()}, {size_of(values)}, is too small to be pooled.", "Take a larger size or no pooling.", "data")
    squares = values[: height * POOL, : width * POOL].reshape(height, POOL, width, POOL)
    return np.asarray(squares.max((1, 3)) if pool == "max" else squares.mean((1, 3)))


def output_size(width: int, kernel: int, stride: int, padding: int) -> int:
    """Columns of the map: ⌊(W − F + 2P)/S⌋ + 1."""
    return (width - kernel + 2 * padding) // stride + 1


def weights(height: int, width: int, depth: int, kernels: int) -> int:
    """Numbers that a convolutional layer learns: F²DK weights, and a bias for each of the K kernels."""
    return height * width * depth * kernels + kernels


# -- what is shown --------------------------------------------------------------------------------------------------------------------


def step_edge(kernel: np.ndarray) -> Table:
    """What the kernel makes of a step from dark to bright, from left to right and from top to bottom: what it looks for."""
    height, width = kernel.shape
    across = correlate(np.tile(STEP, (height, 1)), kernel, 1, "the step")[0]
    down = correlate(np.tile(STEP[:, None], (1, width)), kernel, 1, "the step")[:, 0]
    rows: list[list[str | float]] = []
    for place in range(max(len(across), len(down))):
        row: list[str | float] = []
        for values, length in ((across, width), (down, height)):
            inside = place < len(values)
            seen = "".join(f"{bright:.0f}" for bright in STEP[place : place + length])
            row += [seen if inside else "", float(values[place]) if inside else ""]
        rows.append(row)
    return Table(tag="a step from 0 to 1", columns=["columns", "map", "rows", "map"], rows=rows)


def layers(framed: int, width: int, kernel: tuple[int, ...], stride: int) -> Table:
    """The formulas of a layer's size, for this one and two that are known: W columns, F kernel, P padding, S stride, D depth, K kernels."""
    padding = (framed - width) // 2
    rows: list[list[str | float]] = []
    for name, columns, (tall, wide), step, pad, depth, kernels in (
        ("this one", width, kernel, stride, padding, 1, 1),
        ("3x3 of a CNN", 28, (3, 3), 1, 1, 3, 16),
        ("AlexNet, 1st", 227, (11, 11), 4, 0, 3, 96),
    ):
        out = output_size(columns, wide, step, pad)
        rows.append([name, *map(float, (columns, wide, pad, step, out, depth, kernels, weights(tall, wide, depth, kernels)))])
    return Table(tag="size of the map", columns=["layer", "W", "F", "P", "S", "map", "D", "K", "F²DK+K"], rows=rows)


def tiles(tag: str, canvas: tuple[int, ...], shown: dict[str, np.ndarray]) -> Images:
    """Pictures (height, width, 3) by their captions, side by side on equal tiles; small ones are enlarged by whole factors."""
    pictures = list(shown.values())
    height, width = (max(canvas[axis], *(picture.shape[axis] for picture in pictures)) for axis in (0, 1))
    grid = np.zeros((len(pictures), 3, height, width))
    for tile, picture in zip(grid, pictures, strict=True):
        factor = min(height // picture.shape[0], width // picture.shape[1])
        large = picture.repeat(factor, axis=0).repeat(factor, axis=1)
        # In the middle: what the kernel finds then stands where it is in the picture.
        top, left = (height - large.shape[0]) // 2, (width - large.shape[1]) // 2
        tile[:, top : top + large.shape[0], left : left + large.shape[1]] = large.transpose(2, 0, 1)
    return Images(tag=tag, png=grid_png(grid, len(pictures)), captions=list(shown), columns=len(pictures))


def shade(values: np.ndarray, largest: float = 0) -> np.ndarray:
    """A map as grey in [0, 1]: where it has negative numbers, 0 is mid-grey; else black. `largest` is white, or the map's own."""
    largest = largest or float(np.abs(values).max()) or 1.0
    return values / largest if values.min() >= 0 else 0.5 + values / (2 * largest)


def marked(grey: np.ndarray, corner: tuple[int, ...] = (), size: tuple[int, ...] = (1, 1)) -> np.ndarray:
    """(height, width) → (height, width, 3), with a rectangle in colour where `corner` says one."""
    picture = np.repeat(grey[..., None], 3, axis=2)
    if not corner:
        return picture
    rows, columns = (slice(max(0, start), max(0, start + length)) for start, length in zip(corner, size, strict=True))
    picture[rows, columns] = 0.35 * picture[rows, columns] + 0.65 * MARK
    return picture


def size_of(values: np.ndarray) -> str:
    """Height and width, in words."""
    return f"{values.shape[0]}x{values.shape[1]}"


# -- pictures -------------------------------------------------------------------------------------------------------------------------


@lru_cache(8)
def opened(path: Path, changed: int, longest: int) -> np.ndarray:
    """A file's picture, scaled; read once until it has another time of change: a photograph of 12 million pixels takes half a second."""
    return scaled(read_picture(path, longest), longest)


@lru_cache(2)
def drawn(png: str, longest: int) -> np.ndarray:
    """A drawing, scaled."""
    return scaled(decode_picture(png), longest)


def scaled(picture: Image.Image, longest: int) -> np.ndarray:
    """Grey in [0, 1], as the course divides by 255, with a longer side of at most `longest` pixels."""
    picture = picture.convert("L")
    share = min(1.0, longest / max(picture.size))
    width, height = (max(1, round(length * share)) for length in picture.size)
    # BOX averages areas: no ringing, which an edge filter would find.
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX), float) / 255
