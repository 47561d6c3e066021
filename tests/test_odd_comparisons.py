"""Damaged and foreign folders of comparisons, and odd sockets of what waits: a sentence, or as if there were none."""

import contextlib
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from odd_files import KINDS, SECRET, in_time, put
from test_compare_table import made

from workbench import paths
from workbench.launch import warm
from workbench.problems import Problem
from workbench.runs import compare, lock
from workbench.runs.comparisons import Comparison, Part, find_comparison, list_comparisons
from workbench.runs.export import formats
from workbench.tui.models.library import Library

FILES = ["comparison.json", "runs.json", "recipe.yaml", "lock", "variants", "variants/00/digits-mlp.yaml"]


def looks(comparison: Comparison, out: Path) -> Iterator[str]:
    """What everything that reads it says."""
    for look in (
        list_comparisons,
        lambda: find_comparison("digits-mlp"),
        comparison.standing,
        lambda: compare.arms(comparison),
        lambda: formats.export(comparison, "html", out),
        lambda: list(Library().refresh()),
    ):
        try:
            with in_time(str(look)):
                yield str(look())
        except Problem as problem:
            yield str(problem)


@pytest.mark.parametrize("file", FILES)
def test_any_thing_in_place_of_a_file_costs_a_sentence(file: str, tmp_path: Path) -> None:
    comparison = made({"none": [0.9, 0.91], "other": [0.92, "failed"]})
    shutil.copytree(comparison.path, tmp_path / "kept")
    for kind in KINDS:
        shutil.rmtree(comparison.path)
        shutil.copytree(tmp_path / "kept", comparison.path)
        put(kind, comparison.path / file, tmp_path / "elsewhere")
        for said in looks(comparison, tmp_path / "out.html"):
            assert SECRET not in said, (file, kind)


@pytest.mark.parametrize("name", ["variants", "seeds"])
def test_a_plan_without_variants_or_seeds_is_damaged(name: str, tmp_path: Path) -> None:
    comparison = made({"none": [0.9], "other": [0.92]})
    plan = json.loads((comparison.path / "comparison.json").read_text())
    (comparison.path / "comparison.json").write_text(json.dumps({**plan, name: []}))
    with pytest.raises(Problem, match=r"comparison.json is damaged: .*length >= 1"):
        compare.arms(comparison)
    assert len(list(looks(comparison, tmp_path / "out.html"))) == 6


def test_a_part_leads_to_no_run_elsewhere(tmp_path: Path) -> None:
    comparison = made({"none": [0.9], "other": [0.92]})
    run = next(part.place for part in comparison.parts() if part.place)
    shutil.copytree(run.path, tmp_path / "run")
    shutil.copy(run.path / "recipe.yaml", paths.home())
    assert Part(variant="none", seed=1, run=run.id).place == run
    for name in (str(tmp_path / "run"), os.path.relpath(tmp_path / "run", paths.runs()), "..", ".", "a\0b", "../x/../runs"):
        assert Part(variant="none", seed=1, run=name).place is None, name


@pytest.mark.parametrize("said", [b"\xff", b"[1]", b"[" * 50_000, b'{"ready": true}', b'{"started": [1]}', b'{"code": {}}'])
def test_what_answers_nonsense_at_the_socket_is_passed_over(said: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(warm.place()))
    listener.listen()

    def serve(first: bytes) -> None:
        line, _ = listener.accept()
        with line, contextlib.suppress(BrokenPipeError):
            for words in (first, said):
                line.recv(1 << 18)
                line.send(words)

    for first in (said, b'{"ready": true}'):
        thread = threading.Thread(target=serve, args=(first,), daemon=True)
        thread.start()
        assert warm.answering(["x"], dict(os.environ)) is None
        thread.join(5)
    listener.close()


@pytest.mark.parametrize("content", ["x", "[]", '{"worker": {"pid": -5, "ticks": 0}}', '{"worker": {"pid": 1e300, "ticks": 1}}'])
def test_a_foreign_lock_names_no_process(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    file: Any = warm.place().with_suffix(".lock")
    held = lock.Lock.take(file)
    assert held
    file.write_text(content)
    assert warm.waits() == 0
    held.release()
