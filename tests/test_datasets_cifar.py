"""CIFAR-10's two forms: split without order or overlap, and what is damaged gets one sentence."""

from collections.abc import Iterator
from pathlib import Path

import made_data
import numpy as np
import pytest
from PIL import Image

from workbench.datasets import cifar
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem
from workbench.training.preview import look

TINY = {name: made_data.SETS[name] for name in ("cifar10", "cifar10:jpeg")}


@pytest.fixture
def made(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A mirror with these two sets alone."""
    monkeypatch.setattr(made_data, "SETS", TINY)
    monkeypatch.setattr(made_data, "UNPACKED", {})
    with made_data.made_data(tmp_path / "mirror", home, made_data.write(tmp_path / "mirror")):
        yield


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(("reference", "sizes"), [("cifar10", (80, 20, 20)), ("cifar10:jpeg", (40, 10, 50))])
def test_all_pictures_are_split_as_bytes(reference: str, sizes: tuple[int, int, int]) -> None:
    data = cifar.read(reference)
    assert (len(data.train), len(data.valid), len(data.test)) == sizes and data.classes == made_data.CIFAR
    for part in (data.train, data.valid, data.test):
        assert part.images.dtype == np.uint8 and part.images.shape[1:] == (3, 32, 32) and part.labels.dtype == np.int64
    fewer = cifar.read(reference, 0.1, per_class=2)
    assert len(fewer.valid) == (sizes[0] + sizes[1]) // 10 and max(np.bincount(fewer.train.labels)) == 2
    assert [event.tag for event in look(reference)] == ["sizes", "classes", "samples"]  # type: ignore[union-attr]


@pytest.mark.usefixtures("made")
def test_rows_of_the_binary_files_are_a_label_and_three_planes() -> None:
    folder = fetch("cifar10")["pictures"] / "cifar-10-batches-bin"
    content = (folder / "test_batch.bin").read_bytes()
    test = cifar.read("cifar10").test
    assert test.labels[3] == content[3 * 3073]
    # Green, row 5, column 7 of the fourth picture.
    assert test.images[3, 1, 5, 7] == content[3 * 3073 + 1 + 1024 + 5 * 32 + 7]


@pytest.mark.usefixtures("made")
def test_the_copies_are_shuffled_and_keep_their_labels() -> None:
    data = cifar.read("cifar10:jpeg")
    assert len(set(data.valid.labels.tolist())) > 4, "the last fifth of the files alone would be two classes"
    folder = fetch("cifar10", "jpeg")["pictures"] / "cifar10" / "test"
    for place in (0, 17, 49):
        path = folder / made_data.CIFAR[place // 5] / f"{place % 5}.jpg"
        assert data.test.labels[place] == place // 5
        assert np.array_equal(data.test.images[place], np.asarray(Image.open(path)).transpose(2, 0, 1))


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "61,459 bytes, where a multiple of 3,073 is expected"),
        (lambda file: file.write_bytes(b""), "0 bytes, where a multiple"),
        (lambda file: file.write_bytes(bytes([10]) + file.read_bytes()[1:]), "a label 10, where 0 to 9"),
        (Path.unlink, "cannot be read: No such file"),
    ],
)
def test_a_damaged_binary_file_gets_one_sentence(change: object, says: str) -> None:
    change(fetch("cifar10")["pictures"] / "cifar-10-batches-bin" / "test_batch.bin")  # type: ignore[operator]
    with pytest.raises(Problem, match=says) as caught:
        cifar.read("cifar10")
    assert caught.value.cause == "data"


@pytest.mark.usefixtures("made")
def test_a_copy_of_another_size_or_none_gets_one_sentence() -> None:
    folder = fetch("cifar10", "jpeg")["pictures"] / "cifar10" / "train" / "cat"
    Image.new("RGB", (31, 32)).save(folder / "0.jpg")
    with pytest.raises(Problem, match="31x32 pixels, where 32x32 is expected"):
        cifar.read("cifar10:jpeg")
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(Problem, match="cat has no pictures"):
        cifar.read("cifar10:jpeg")
