"""Scikit-learn's handwritten digits, 1,797 pictures of 8x8 pixels: no download."""

import numpy as np

from workbench.datasets.labelled_images import ImageData, LabelledImages


def read() -> ImageData:
    """60 % to train on, 20 % to validate, 20 % to test (1,078, 359 and 360 pictures), by one fixed shuffle."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    # The file goes writer by writer: unshuffled, the test would be of other hands than the training.
    order = np.random.default_rng(0).permutation(len(labels))
    whole = LabelledImages(images, labels.astype(np.int64))
    train, valid, test = np.split(order, [len(order) * 6 // 10, len(order) * 8 // 10])
    return ImageData(whole[train], whole[valid], whole[test], [str(digit) for digit in range(10)])
