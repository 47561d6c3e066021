"""A kernel on a picture: the course's exact maps, PyTorch's for any kernel, and pictures and kernels that cannot be."""

import io
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from exploring import asked, built
from PIL import Image
from run_folders import trained_run

from workbench.events import Images
from workbench.problems import Problem
from workbench.projects.convolutional_networks import filters
from workbench.projects.convolutional_networks.filters import KERNELS, bordered, correlate, output_size, pooled, weights

FIRST = [[-1.0, -1.0, 1.0, 1.0]] * 4


def maps(**fields: Any) -> tuple[list[float], list[float]]:
    """What the lesson shows of a step from dark to bright: its map from left to right, and from top to bottom."""
    rows = asked("filters", **fields)["a step from 0 to 1"].rows
    return [row[1] for row in rows], [row[3] for row in rows]


def pixels(event: Images) -> list[np.ndarray]:
    """The tiles of an event, each (height, width, 3)."""
    with Image.open(io.BytesIO(event.png)) as picture:
        return np.split(np.asarray(picture, float) / 255, event.columns, axis=1)


def png(array: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def test_the_recipe_begins_with_the_course_s_first_filter_and_its_exact_map() -> None:
    assert maps() == ([0, 4, 8, 4, 0], [0, 0, 0, 0, 0])
    answer = asked("filters")
    assert answer["picture and map"].captions[0] == "picture 43x64"
    assert answer["picture and map"].captions[1].startswith("map 40x61, here ")
    sizes = answer["size of the map"].rows
    assert sizes[0] == ["this one", 64, 4, 0, 1, 61, 1, 1, 17]
    assert [row[5] for row in sizes[1:]] == [28, 55] and sizes[1][-1] == 448


@pytest.mark.parametrize(
    ("kernel", "across", "down"),
    [
        ("left dark", [0, 4, 8, 4, 0], [0] * 5),
        ("left bright", [0, -4, -8, -4, 0], [0] * 5),
        ("top dark", [0] * 5, [0, 4, 8, 4, 0]),
        ("top bright", [0] * 5, [0, -4, -8, -4, 0]),
        ("Sobel x", [0, 0, 4, 4, 0, 0], [0] * 6),
        ("Sobel y", [0] * 6, [0, 0, 4, 4, 0, 0]),
        ("blur", [0, 0, 1 / 3, 2 / 3, 1, 1], [0, 0, 1 / 3, 2 / 3, 1, 1]),
    ],
)
def test_a_known_kernel_on_a_step(kernel: str, across: list[float], down: list[float]) -> None:
    assert maps(filter=kernel) == (pytest.approx(across), pytest.approx(down))


def test_a_kernel_turned_round_gives_the_negative() -> None:
    assert maps(flip=True)[0] == [0, -4, -8, -4, 0]
    assert maps(filter="own", kernel=[[0, 1], [0, 0]], flip=True) == maps(filter="own", kernel=[[0, 0], [1, 0]])


def test_the_numbers_of_the_map_are_the_sums_of_the_products() -> None:
    project = built("filters")
    for step, value in enumerate([0, 4, 8, 4, 0]):
        answer = asked("filters", project, picture="step", across=step / 4)
        assert np.sum(answer["patch × kernel"].values) == value
        assert answer["picture and map"].captions == ["picture 8x8", f"map 5x5, here {value}"]
        assert answer["patch"].columns == [f"x{step + column}" for column in range(4)]
        assert answer["patch"].values[0] == filters.STEP[step : step + 4].tolist()


def test_what_is_unlike_the_kernel_is_0_after_relu() -> None:
    rectified, pooling = pixels(asked("filters", picture="step", filter="left bright")["ReLU and pooling"])
    assert not rectified.any() and not pooling.any()
    signed, _ = pixels(asked("filters", picture="step", filter="left bright", relu=False)["ReLU and pooling"])
    # 0 is mid-grey, -4 a quarter, -8 black; 5x5 stands in the middle of 8x8.
    assert signed[1:6, 1:6, 0] == pytest.approx(np.tile([0.5, 0.25, 0, 0.25, 0.5], (5, 1)), abs=0.003)


def test_pooling_takes_the_largest_or_the_mean() -> None:
    square = np.array([[1.0, 2.0, 9.0], [3.0, 4.0, 9.0]])
    assert pooled(square, "max", "it") == [[4]] and pooled(square, "average", "it") == [[2.5]]
    assert pooled(square, "none", "it") is square


def test_formulas_of_a_layer() -> None:
    assert output_size(28, 3, 1, 1) == 28 and output_size(227, 11, 4, 0) == 55
    assert weights(3, 3, 3, 16) == 448


@pytest.mark.parametrize("border", ["crop", "zeros", "extend"])
def test_any_kernel_gives_the_map_of_pytorch(border: str) -> None:
    import torch
    import torch.nn.functional as F

    random = np.random.default_rng(0)
    for height, width, stride in [(2, 2, 1), (3, 3, 2), (4, 4, 3), (5, 2, 1), (7, 7, 4)]:
        picture, kernel = random.random((20, 31)), random.normal(size=(height, width))
        pads = (0, 0, 0, 0) if border == "crop" else (width // 2, width // 2, height // 2, height // 2)
        framed = F.pad(torch.from_numpy(picture)[None, None], pads, mode="replicate" if border == "extend" else "constant")
        expected = F.conv2d(framed, torch.from_numpy(kernel)[None, None], stride=stride)[0, 0].numpy()
        actual = correlate(bordered(picture, kernel.shape, border), kernel, stride, "it")
        assert actual == pytest.approx(expected, abs=1e-5)
        assert actual.shape[1] == output_size(31, width, stride, pads[0])
        for pool, torchs in (("max", F.max_pool2d), ("average", F.avg_pool2d)):
            if min(actual.shape) > 1:
                assert pooled(actual, pool, "it") == pytest.approx(torchs(torch.from_numpy(actual)[None], 2)[0].numpy(), abs=1e-5)


def test_a_second_kernel_sees_what_the_first_passes_on() -> None:
    answer = asked("filters", picture="step", size=64, filter="own", kernel=[[0, 1], [0, 1]], border="zeros", second="blur", pool="none")
    captions = answer["ReLU and pooling"].captions
    assert captions == ["ReLU 9x9", "no pooling 9x9", "second map 7x7"]
    second = pixels(answer["ReLU and pooling"])[2]
    first = correlate(np.pad(np.tile(filters.STEP, (8, 1)), 1), np.array([[0, 1], [0, 1]]), 1, "it")
    blurred = correlate(first, KERNELS["blur"], 1, "it")
    assert second[1:8, 1:8, 0] == pytest.approx(blurred / blurred.max(), abs=0.003)


def test_the_mark_shows_the_patch_and_the_number_that_comes_from_it() -> None:
    picture, map_ = pixels(asked("filters", picture="step", down=1, across=0, stride=2)["picture and map"])
    colored = [np.argwhere(np.ptp(tile, axis=2) > 0.1) for tile in (picture, map_)]
    assert colored[0].min(0).tolist() == [4, 0] and colored[0].max(0).tolist() == [7, 3]
    # A map of 3x3 is enlarged to 6x6, in the middle of 8x8.
    assert colored[1].min(0).tolist() == [5, 1] and colored[1].max(0).tolist() == [6, 2]


@pytest.mark.parametrize("name", ["china", "flower", "octopus", "space_needle", "hockney", "delaunay"])
def test_every_picture_can_be_looked_at(name: str, mirror: Path) -> None:
    picture, _ = pixels(asked("filters", picture=name, size=32)["picture and map"])
    assert max(picture.shape[:2]) == 32 and picture.std() > 0.05


def test_the_photographs_need_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "fetch", lambda name: pytest.fail("fetched"))
    assert len(asked("filters", picture="flower")) == 6


def test_own_files_and_drawings(tmp_path: Path) -> None:
    colors = np.zeros((10, 40, 3), np.uint8)
    colors[:, 20:] = 255
    Image.fromarray(colors).save(tmp_path / "own.png")
    path = str(tmp_path / "own.png")
    assert asked("filters", picture="file", file=path)["picture and map"].captions[0] == "picture 10x40"
    assert asked("filters", picture="file", file=path, size=16, filter="blur")["picture and map"].captions[0] == "picture 4x16"
    Image.fromarray(colors[:, :10]).save(tmp_path / "own.png")
    assert asked("filters", picture="file", file=path)["picture and map"].captions[0] == "picture 10x10"
    drawn = asked("filters", picture="drawing", drawing=png(colors))
    assert drawn["picture and map"].captions[0] == "picture 10x40"


def test_a_run_s_kernels_are_its_first_convolution(tmp_path: Path) -> None:
    """The cheat would be a kernel of the lesson's own: the map has to be what the trained layer makes of the same picture."""
    import torch

    project = trained_run(tmp_path / "run", "image_classifier", {"data": "digits", "model": "cnn", "channels": [[6]], "hidden": []}, 8)
    layer = next(part for part in project.network if isinstance(part, torch.nn.Conv2d))
    lesson, run = built("filters"), str(tmp_path / "run")
    for number in (1, 6):
        answer = asked("filters", lesson, filter="run", run=run, learnt=number, picture="step", border="crop", relu=False, pool="none")
        pixels = torch.from_numpy(np.tile(filters.STEP, (8, 1))).float()[None, None]
        expected = torch.nn.functional.conv2d(pixels, layer.weight[number - 1 : number])[0, 0].detach().numpy()
        largest = np.abs(expected).max()
        map_ = pixels_in_the_middle(answer["ReLU and pooling"], expected.shape)
        shade = expected / largest if expected.min() >= 0 else 0.5 + expected / (2 * largest)
        assert map_ == pytest.approx(shade, abs=0.003)
        assert answer["patch × kernel"].values and answer["learnt kernels"].captions[number - 1] == f"this: {number}"
    assert len(answer["learnt kernels"].captions) == 6
    with pytest.raises(Problem, match="learnt is 7, but the run's first convolution has 6 kernels"):
        asked("filters", lesson, filter="run", run=run, learnt=7)


def pixels_in_the_middle(event: Images, size: tuple[int, ...]) -> np.ndarray:
    """The first tile's grey where a small map stands in 8x8."""
    top, left = (8 - size[0]) // 2, (8 - size[1]) // 2
    return pixels(event)[0][top : top + size[0], left : left + size[1], 0]


def test_colours_are_summed_and_standardised_as_the_network_does() -> None:
    import torch
    from torch import nn

    from workbench.torchkit.backbone import Scaled
    from workbench.torchkit.inside import first_kernels

    class Colours:
        def __init__(self) -> None:
            self.network = nn.Sequential(Scaled(), nn.Conv2d(3, 2, 3, bias=False))

    project = Colours()
    grey = torch.rand(1, 1, 9, 9)
    black = project.network(torch.zeros(1, 3, 9, 9))
    with torch.no_grad():
        expected = project.network(grey.expand(1, 3, 9, 9)) - black
    actual = torch.nn.functional.conv2d(grey.double(), torch.from_numpy(first_kernels(project))[:, None])
    assert actual.numpy() == pytest.approx(expected.detach().numpy(), abs=1e-5)


def test_without_a_run_torch_is_not_imported() -> None:
    script = (
        "import sys; from exploring import asked; answer = asked('filters'); "
        "assert 'learnt kernels' not in answer and len(answer) == 6; assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parent, timeout=120)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"filter": "run"}, "run names no run yet"),
        ({"filter": "run", "run": "last"}, "There is no run last"),
        ({"filter": "run", "run": "/no/folder"}, "/no/folder is no run directory"),
        ({"filter": "run", "run": "./" + "x" * 900}, "is no run directory"),
        ({"filter": "run", "run": "~no-such-user/run"}, "There is no folder ~no-such-user/run"),
        ({"filter": "run", "run": "\x1b[31m/x"}, "is no run directory"),
        ({"kernel": [[1, 2, 3], [4, 5]]}, "kernel: all rows must have equally many numbers, not 2 and 3"),
        ({"kernel": [[1, 2]]}, "kernel"),
        ({"kernel": [[1] * 8] * 2}, "kernel"),
        ({"kernel": [[1, float("nan")], [1, 1]]}, "kernel"),
        ({"kernel": [[1, 21], [1, 1]]}, "kernel"),
        ({"across": 1.5}, "across"),
        ({"down": float("inf")}, "down"),
        ({"stride": 0}, "stride"),
        ({"size": 4}, "size"),
        ({"filter": "prewitt"}, "filter"),
        ({"picture": "file"}, "file has no path yet"),
        ({"picture": "file", "file": "no/such.png"}, "There is no file no/such.png"),
        ({"picture": "file", "file": "/"}, "/ is not a file"),
        ({"picture": "file", "file": __file__}, "is neither a PNG nor a JPEG"),
        ({"picture": "drawing"}, "Nothing is drawn yet"),
        ({"picture": "drawing", "drawing": "§"}, "not in base64"),
        ({"picture": "drawing", "drawing": png(np.zeros((3, 200), np.uint8))}, "The kernel, 4x4, is larger than the picture, 1x64"),
        ({"picture": "step", "second": "left dark"}, "The kernel, 4x4, is larger than what the first layer passes on, 2x2"),
        ({"picture": "step", "kernel": [[1] * 7] * 7, "stride": 4}, "The map, 1x1, is too small to be pooled"),
    ],
)
def test_what_cannot_be_is_one_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem) as raised:
        asked("filters", **fields)
    assert says in str(raised.value) and raised.value.cause == "data" and "\n" not in str(raised.value) and "\x1b" not in str(raised.value)


def test_every_kernel_that_can_be_chosen_has_numbers() -> None:
    assert list(KERNELS) == list(get_args(filters.Kernel))
