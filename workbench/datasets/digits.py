"""Scikit-learn's handwritten digits, 1,797 pictures of 8x8 pixels: no download."""

import numpy as np

from workbench.datasets.labelled_images import ImageData, LabelledImages


def read() -> ImageData:
    """60 % training, 20 % validation and 20 % test set (1,078, 359 and 360 pictures), split by one fixed shuffle."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    # The file is ordered by writer: without a shuffle, the test set would have other writers than the training set.
    order = np.random.default_rng(0).permutation(len(labels))
    everything = LabelledImages(images, labels.astype(np.int64))
    train, valid, test = np.split(order, [len(order) * 6 // 10, len(order) * 8 // 10])
    return ImageData(everything[train], everything[valid], everything[test], [str(digit) for digit in range(10)])
