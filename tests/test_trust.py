"""Trust is in bytes: a changed file is another file, and a damaged list trusts nothing."""

import errno
import os
from pathlib import Path

import pytest

from workbench import paths
from workbench.problems import Problem
from workbench.recipes import trust


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text("print(1)\n")
    return path


def test_nothing_is_trusted_until_it_is(source: Path) -> None:
    assert not trust.is_trusted(source)
    trust.trust(source)
    assert trust.is_trusted(source)


def test_a_copy_is_trusted_and_a_change_is_not(source: Path, tmp_path: Path) -> None:
    trust.trust(source)
    (tmp_path / "copy.py").write_bytes(source.read_bytes())
    assert trust.is_trusted(tmp_path / "copy.py")
    source.write_text("print(2)\n")
    assert not trust.is_trusted(source)
    trust.trust(source)
    assert trust.is_trusted(source) and trust.is_trusted(tmp_path / "copy.py")


def test_the_hash_is_sha256() -> None:
    path = Path(os.environ["DLWB_HOME"])
    path.mkdir()
    (path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert trust.sha256(path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"a": 1}', b'{"\xff": ""}', b"null", b"[" * 100_000])
def test_a_damaged_list_is_named_and_trusts_nothing(source: Path, damage: bytes) -> None:
    trust.trust(source)
    paths.trusted().write_bytes(damage)
    for ask in (trust.is_trusted, trust.trust):
        with pytest.raises(Problem, match=r"trusted\.json, the list of Python files that you trust, is damaged\. Delete it"):
            ask(source)
    assert paths.trusted().read_bytes() == damage, "what is damaged is left for a person to look at"
    paths.trusted().unlink()
    assert not trust.is_trusted(source)


def test_what_is_no_file_cannot_be_trusted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    for path in (tmp_path, tmp_path / "none.py", tmp_path / "pipe.py"):
        with pytest.raises(Problem, match=r"is not a plain file|cannot be read: No such file"):
            trust.trust(path)


def test_a_full_disk_keeps_the_old_list(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust.trust(source)
    other = tmp_path / "other.py"
    other.write_text("print(3)\n")

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(Problem, match=r"trusted\.json cannot be written: No space left on device\. Nothing was trusted\."):
            trust.trust(other)
    assert trust.is_trusted(source) and not trust.is_trusted(other)
    assert [path.name for path in paths.trusted().parent.iterdir()] == ["trusted.json"]
