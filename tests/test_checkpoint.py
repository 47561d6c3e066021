"""Checkpoints: kept generations, damage noticed bit by bit, a full disk, values that survive exactly."""

import errno
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from workbench import events, files
from workbench.problems import Problem
from workbench.runs.checkpoint import Checkpoints, Generation
from workbench.training.numpy_state import decode_npz, encode_npz


def save(checkpoints: Checkpoints, step: int, **how: Any) -> None:
    checkpoints.save(encode_npz({"step": step, "weights": np.full(3, step)}), ".npz", step=step, **how)


def steps(checkpoints: Checkpoints) -> list[int]:
    return [generation.step for generation in checkpoints.generations()]


def test_the_newest_two_the_best_and_the_pinned_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in range(1, 10):
        save(checkpoints, step, best=step in (2, 4), pinned=step == 3)
    # 2 was the best when 3 was pinned: who goes on from there may find no better one.
    assert steps(checkpoints) == [2, 3, 4, 8, 9]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json"] * 5 + [".npz"] * 5
    found = checkpoints.best(decode_npz)
    assert found and found[0].step == 4 and found[1]["step"] == 4


def test_the_first_of_each_span_is_kept_with_the_best_until_then(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, lambda: 4)
    for step in range(1, 16):
        save(checkpoints, step, best=step in (2, 5, 6, 9))
    assert steps(checkpoints) == [1, 2, 4, 6, 8, 9, 12, 14, 15]


@pytest.mark.parametrize("linked", [True, False])
def test_a_generation_of_another_run_is_taken_in_whole(tmp_path: Path, linked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not linked:  # another disk, or one that knows no second names
        monkeypatch.setattr("os.link", lambda *names, **how: (_ for _ in ()).throw(OSError(errno.EXDEV, "Invalid cross-device link")))
    (tmp_path / "ours").mkdir()
    theirs, ours = Checkpoints(tmp_path / "theirs"), Checkpoints(tmp_path / "ours")
    save(theirs, 1)
    save(theirs, 2)
    adopted = ours.adopt(theirs.generations()[0], theirs, pinned=True)
    assert adopted and adopted.pinned and not theirs.generations()[0].pinned
    for step in range(3, 7):
        save(theirs, step)
        save(ours, step)
    assert steps(theirs) == [5, 6] and steps(ours) == [1, 5, 6]
    assert ours.load(adopted, decode_npz) is not None
    damaged, third = theirs.generations()[0], tmp_path / "third"
    third.mkdir()
    (theirs.folder / damaged.file).write_bytes(b"no checkpoint")
    assert Checkpoints(third).adopt(damaged, theirs) is None and not list(third.iterdir())


def test_every_flipped_bit_is_noticed_and_the_generation_before_is_used(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    save(checkpoints, 2)
    checked = 0
    for path in sorted(tmp_path.glob("step-00000002.*")):
        whole = path.read_bytes()
        for place in range(len(whole)):
            for bit in range(8):
                damaged = bytearray(whole)
                damaged[place] ^= 1 << bit
                path.write_bytes(damaged)
                fresh = Checkpoints(tmp_path)
                found = fresh.newest(decode_npz)
                # A note that ends in another white space, or in none, says the same.
                unharmed = path.suffix == ".json" and place == len(whole) - 1 and found is not None and found[0].step == 2
                assert unharmed or (found is not None and found[1]["step"] == 1 and fresh.damaged == [path.name]), (path.name, place, bit)
                checked += 1
        path.write_bytes(whole)
    assert checked > 8 * 500


def test_a_rewind_drops_what_is_newer_but_for_the_pinned(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1, pinned=True)
    save(checkpoints, 5, best=True)
    save(checkpoints, 7, pinned=True)
    save(checkpoints, 9)
    checkpoints.rewind(5)
    assert steps(checkpoints) == [1, 5, 7]


def test_a_note_leads_to_no_other_file(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    checkpoints = Checkpoints(folder)
    save(checkpoints, 1)
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    for name in (str(precious), "../precious.txt"):
        note = Generation(file=name, step=9, sha256="", time=0.0)
        (folder / "step-00000009.json").write_bytes(events.seal(msgspec.json.encode(note)))
        checkpoints.rewind(1)
        assert precious.read_text() == "mine" and steps(checkpoints) == [1]


def test_the_same_step_twice_overwrites_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 5)
    first = (tmp_path / "step-00000005.npz").read_bytes()
    save(checkpoints, 5)
    assert steps(checkpoints) == [5, 5]
    assert (tmp_path / "step-00000005.npz").read_bytes() == first


def test_a_full_disk_leaves_the_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(checkpoints, 2)
    assert steps(checkpoints) == [1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001.json", "step-00000001.npz"]


def test_values_survive_exactly() -> None:
    tree = {
        "plain": [1, 2.5, "x", None, True, float("inf")],
        "numbers": {1: "one", 2: {"deep": np.arange(6, dtype=np.float32).reshape(2, 3)}},
        "float": 0.1 + 0.2,
        "empty": {},
    }
    back = decode_npz(encode_npz(tree))
    assert back["plain"] == tree["plain"] and back["float"] == 0.1 + 0.2 and back["empty"] == {}
    assert back["numbers"][1] == "one"
    assert back["numbers"][2]["deep"].dtype == np.float32 and np.array_equal(back["numbers"][2]["deep"], tree["numbers"][2]["deep"])


def test_an_object_is_refused() -> None:
    with pytest.raises(Problem, match="cannot hold a set"):
        encode_npz({"x": {1, 2}})
