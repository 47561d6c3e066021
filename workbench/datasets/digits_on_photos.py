"""MNIST digits in photographs of CIFAR-10, which stand in for SVHN: each pixel is |photograph - digit|, as in MNIST-M."""

import numpy as np

from workbench import preparation
from workbench.datasets import cifar, mnist
from workbench.datasets.cifar import Cache
from workbench.datasets.labelled_images import ImageData, LabelledImages
from workbench.datasets.store.catalog import find
from workbench.datasets.store.stored import named


def read(photos: str = "cifar10:jpeg", cache: Cache = lambda kind, key, compute: compute()) -> ImageData:
    """60,000 training digits on training photographs; the 10,000 test digits on test photographs, in halves for validation and test.

    Bytes (number, 3, 32, 32), always the same: the photographs are drawn by a fixed seed. `photos` is `cifar10` or `cifar10:jpeg`; a
    `cache` saves the decoding of the latter. Raises Problem (cause "data") like the readers of both sets.
    """
    digits, pictures = mnist.read(), cifar.read(photos, 0.0, cache=cache)
    random = np.random.default_rng(0)
    both = (digits.train, digits.valid)
    images, labels = np.concatenate([part.images for part in both]), np.concatenate([part.labels for part in both])
    train = blended(LabelledImages(images, labels), pictures.train.images, random)
    # Halves of both: no photograph is seen in two parts.
    valid, test = (blended(digits.test[half], pictures.test.images[half], random) for half in (slice(0, None, 2), slice(1, None, 2)))
    used = f"{len(train):,} to train, {len(valid):,} for validation, {len(test):,} for the test"
    preparation.found("digits in photographs", f"{len(train) + len(valid) + len(test):,} pictures of 10 classes", used)
    return ImageData(train, valid, test, digits.classes)


def title(photos: str) -> str:
    """What results call the data that are used in place of SVHN."""
    return f"MNIST digits in photographs of {find(*named(photos)).title} in place of SVHN"


def blended(digits: LabelledImages, photos: np.ndarray, random: np.random.Generator) -> LabelledImages:
    """Digits (number, 1, 28, 28) in [0, 1], each in the middle of a drawn photograph (…, 3, 32, 32), which its ink inverts; bytes."""
    ink = np.pad(np.rint(digits.images * 255).astype(np.uint8), ((0, 0), (0, 0), (2, 2), (2, 2)))
    chosen = photos[random.integers(0, len(photos), len(digits))]
    # The larger byte minus the smaller: a difference of bytes below 0 would wrap around.
    larger, smaller = np.maximum(chosen, ink), np.minimum(chosen, ink)
    return LabelledImages(np.subtract(larger, smaller, out=larger), digits.labels)
