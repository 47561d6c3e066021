"""Features of pictures by a frozen network: kept piece by piece, so that a run that was stopped goes on, with the same bits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from workbench import preparation
from workbench.torchkit import backbone, disk_cache, features
from workbench.torchkit.word_vectors import word_vectors

CPU = torch.device("cpu")
SIZE = 40


class Stopped(BaseException):
    """As SIGTERM stops a preparation."""


@pytest.fixture(scope="module")
def network() -> backbone.Backbone:
    torch.manual_seed(1)
    return backbone.build("squeezenet1_1", "random")


@pytest.fixture(scope="module")
def parts() -> list[Tensor]:
    random = torch.Generator().manual_seed(2)
    return [torch.randint(0, 256, (number, 3, 32, 32), generator=random, dtype=torch.uint8) for number in (150, 64, 7)]


def plain(network: backbone.Backbone, pictures: Tensor) -> Tensor:
    """What the features are, as they were computed before there were pieces on the disk."""
    with torch.no_grad():
        return torch.cat([network(features.resized(piece, SIZE)) for piece in pictures.split(features.PIECE)])


def counting(network: backbone.Backbone, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures go through the network from here on, piece by piece."""
    seen: list[int] = []
    forward = network.forward

    def counted(pixels: Tensor) -> Tensor:
        seen.append(len(pixels))
        return forward(pixels)

    monkeypatch.setattr(network, "forward", counted)
    return seen


def cache(home: Path) -> list[str]:
    return sorted(path.suffix for path in (home / "cache" / "features").iterdir())


def test_pieces_give_the_bits_of_one_computation_and_nothing_else_stays(
    network: backbone.Backbone, parts: list[Tensor], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [plain(network, pictures) for pictures in parts]
    seen = counting(network, monkeypatch)
    with preparation.listening() as cold:
        computed = features.of(network, parts, SIZE, CPU)
    assert all(torch.equal(one, other) for one, other in zip(computed, wanted, strict=True))
    assert seen == [64, 64, 22, 64, 7] and cold.cache == "cold"
    assert cache(home) == [".npy"] * 3
    with preparation.listening() as warm:
        again = features.of(network, parts, SIZE, CPU)
    assert all(torch.equal(one, other) for one, other in zip(again, wanted, strict=True))
    assert len(seen) == 5 and warm.cache == "warm"


@pytest.mark.parametrize("at", [64, 128, 150, 214])
def test_a_stopped_one_goes_on_where_it_was(
    network: backbone.Backbone, parts: list[Tensor], monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    wanted = [plain(network, pictures) for pictures in parts]
    seen = counting(network, monkeypatch)

    def stop(what: str, done: int, total: int) -> None:
        assert total == 221 and what == "features of squeezenet1_1"
        if done >= at:
            raise Stopped

    with pytest.raises(Stopped), preparation.listening(stop):
        features.of(network, parts, SIZE, CPU)
    before = sum(seen)
    assert before == at
    told: list[int] = []
    with preparation.listening(lambda what, done, total: told.append(done)) as partly:
        computed = features.of(network, parts, SIZE, CPU)
    assert sum(seen) - before == 221 - at, "no piece twice"
    assert told[0] == at and told[-1] == 221, "the time left follows from what is computed now"
    assert partly.cache == "partly"
    assert all(torch.equal(one, other) for one, other in zip(computed, wanted, strict=True))


@pytest.mark.parametrize("damage", [lambda data: data[:-1] + b"x", lambda data: data[:40], lambda data: b""])
def test_a_damaged_piece_alone_is_computed_anew(
    network: backbone.Backbone,
    parts: list[Tensor],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[bytes], bytes],
    capfd: pytest.CaptureFixture[str],
) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if done >= 128:
            raise Stopped

    with pytest.raises(Stopped), preparation.listening(stop):
        features.of(network, parts, SIZE, CPU)
    [folder] = (home / "cache" / "features").iterdir()
    _, second = sorted(folder.iterdir())
    second.write_bytes(damage(second.read_bytes()))
    seen = counting(network, monkeypatch)
    computed = features.of(network, parts, SIZE, CPU)
    assert seen == [64, 22, 64, 7]
    assert "is damaged: its features are computed anew." in capfd.readouterr().err
    assert torch.equal(computed[0], plain(network, parts[0]))


def test_a_full_disk_is_said_once_and_does_not_stop_it(
    monkeypatch: pytest.MonkeyPatch, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "numbers").write_text("a file in the way")
    array = disk_cache.cached_in_pieces("numbers", "k", 5, lambda number: np.full(2, number))
    assert array.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert capfd.readouterr().err.count("cannot be cached for the next run") == 2, "of the pieces, and of the whole"


def test_pieces_that_nobody_went_on_with_do_not_stay_for_ever(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(disk_cache, "LIMIT", 2)

    def stopped(number: int) -> np.ndarray:
        if number:
            raise Stopped
        return np.zeros(2)

    for key in ("a", "b", "c"):
        with pytest.raises(Stopped):
            disk_cache.cached_in_pieces("numbers", key, 3, stopped)
    disk_cache.cached("numbers", "d", lambda: np.ones(1))
    left = sorted(path.name for path in (home / "cache" / "numbers").iterdir())
    assert len(left) == 2 and "d.npy" in left


def test_word_vectors_tell_cold_from_warm_and_how_far_they_are() -> None:
    texts = [np.array([1, 2, 3, 1]), np.array([2, 3])]
    told: list[tuple[int, int]] = []
    with preparation.listening(lambda what, done, total: told.append((done, total))) as cold:
        first = word_vectors(texts, 4, 2)
    assert cold.cache == "cold" and told == sorted(told) and told[-1] == (100, 100) and len(told) >= 6
    with preparation.listening() as warm:
        assert np.array_equal(word_vectors(texts, 4, 2), first)
    assert warm.cache == "warm"
