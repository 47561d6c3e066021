"""What somebody draws reaches the network as the digits that it learnt from were made: its place, size and ground do not matter."""

import io
from base64 import b64encode

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.datasets import digits
from workbench.datasets.seen import ground, seen
from workbench.problems import Problem
from workbench.projects.convolutional_networks.image_classifier import ImageClassifier
from workbench.recipes.recipe import Compute, Train


@pytest.fixture(scope="module")
def project() -> ImageClassifier:
    """Trained on scikit-learn's digits to some 96 %."""
    settings = ImageClassifier.Config(optimizer="sgd", learning_rate=0.02, momentum=0.9)
    made = ImageClassifier(settings, Train(batch_size=32), Compute(device="cpu", threads=1), seed=1)
    made.build()
    for epoch in range(12):
        for batch in made.batches(epoch, np.random.default_rng(epoch)):
            made.train_step(batch)
    return made


def paper(digit: np.ndarray, size: int = 240, at: tuple[int, int] = (90, 20), ground: int = 220, ink: int = 40) -> Image.Image:
    """A digit of the data set, eight times as large, in dark ink somewhere on a sheet of light paper."""
    tile = Image.fromarray((digit * 255).astype(np.uint8)).resize((64, 64), Image.Resampling.BILINEAR)
    sheet = Image.new("L", (size, size), ground)
    sheet.paste(Image.new("L", (64, 64), ink), at, tile)
    return sheet.convert("RGB")


def test_a_digit_on_paper_is_read_as_the_digit_itself(project: ImageClassifier) -> None:
    test = digits.read().test
    right = {"whole": 0, "prepared": 0, "sent": 0}
    for picture, label in zip(test.images[:100], test.labels[:100], strict=True):
        sheet = paper(picture[0])
        pixels, done = seen(sheet, (1, 8, 8), "digits")
        assert pixels.shape == (1, 8, 8) and pixels.min() >= 0 and pixels.max() <= 1
        assert done == ["inverted, because its background is light", "scaled to 8x8, like the training digits"]
        out = io.BytesIO()
        sheet.save(out, "PNG")
        with project.evaluating():
            right["prepared"] += project.predict({"pixels": pixels[0].tolist()})["answer"] == str(label)
            answer = project.predict({"picture": b64encode(out.getvalue()).decode()})
            right["sent"] += answer["answer"] == str(label)
            plain = np.asarray(sheet.convert("L").resize((8, 8)), np.float32)[None] / 255
            right["whole"] += int(project.logits(torch.from_numpy(plain)[None]).argmax()) == label
        assert answer["note"] == ", ".join(done) and answer["seen"].startswith("iVBOR")
    assert right["sent"] == right["prepared"] >= 85
    assert right["whole"] < 40, "without that it would be misread"


def test_mnists_box_and_centre(mirror: object) -> None:
    """A digit of MNIST, moved into a corner, comes back to where it was: its makers did the same."""
    from workbench.datasets import mnist

    for picture in mnist.read().test.images[:50, 0]:
        moved = np.zeros((56, 56), np.float32)
        moved[2:30, 25:53] = picture
        image = Image.fromarray((moved * 255).astype(np.uint8)).convert("RGB")
        pixels, done = seen(image, (1, 28, 28), "mnist")
        assert done == ["scaled into 20x20 and centred by its mass, like the training digits"]
        rows = np.flatnonzero(pixels[0].any(1))
        columns = np.flatnonzero(pixels[0].any(0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
        places = np.arange(28)
        for axis in (0, 1):
            assert abs((pixels[0].sum(axis) * places).sum() / pixels[0].sum() - (picture.sum(axis) * places).sum() / picture.sum()) < 1.2


def test_no_ink_no_picture_and_colours(project: ImageClassifier) -> None:
    with pytest.raises(Problem, match="no ink"):
        seen(Image.new("RGB", (50, 50), (200, 200, 200)), (1, 28, 28), "mnist")
    for picture, says in (("!", "not in base64"), (b64encode(b"GIF89a").decode(), "neither a PNG nor a JPEG")):
        with pytest.raises(Problem, match=says), project.evaluating():
            project.predict({"picture": picture})
    pixels, done = seen(Image.new("RGB", (90, 40), (255, 0, 0)), (3, 16, 16), "./mine")
    assert pixels.shape == (3, 16, 16) and pixels[0].min() == 1 and pixels[1].max() == 0 and done == ["its middle, 16x16"]
    pixels, done = seen(Image.new("L", (90, 40), 250).convert("RGB"), (1, 28, 28), "fashion-mnist")
    assert pixels.max() < 0.1 and done[0].startswith("inverted")


def test_a_persons_own_grey_pictures_keep_their_ground(project: ImageClassifier) -> None:
    drawn = np.ones((20, 1, 8, 8), np.float32)
    drawn[:, :, 2:6, 2:6] = 0
    mixed = np.concatenate([drawn, 1 - drawn])
    assert (ground(drawn), ground(1 - drawn), ground(mixed), ground(np.repeat(drawn, 3, 1))) == (True, False, None, None)
    sheet, board = (Image.fromarray((array[0, 0] * 255).astype(np.uint8)).convert("RGB") for array in (drawn, 1 - drawn))
    for light, picture, words in (
        (True, sheet, ""),
        (True, board, "inverted, because its background is dark"),
        (False, sheet, "inverted, because its background is light"),
        (None, sheet, ""),
        (None, board, ""),
    ):
        pixels, done = seen(picture, (1, 8, 8), "./mine", light)
        assert [text for text in done if "inverted" in text] == ([words] if words else [])
        assert pixels[0, 0, 0] == (light if light is not None else picture is sheet)
    assert project.light is False, "the catalogue's digits are light on dark"
