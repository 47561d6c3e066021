"""Exports: written beside and renamed, so that an error keeps the older file; a cell of words is no formula; every error names the file."""

import csv
import errno
import io
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from made_runs import finish, make_run
from test_cli import dlwb

from workbench import files
from workbench.cli import completion
from workbench.events import Scalars, Status
from workbench.problems import Problem
from workbench.runs.export import formats
from workbench.runs.log import EventLog
from workbench.runs.run import Run

FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://127.0.0.1/?"&A1,"more")',
    "+1+1",
    "-1+1",
    "-1.5",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "=cmd|' /C calc'!A0",
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM(A1)",
    "\x1b[31m=1+1",
    "\u200e=1",
]
WORDS = ["train/loss", "a=1", "1-2", "valid/mean@9", "'quoted", "e-mail", "ä+ö"]


@pytest.fixture
def run() -> Run:
    run = make_run()
    finish(run, 200)
    return run


def cells(run: Run) -> list[list[str]]:
    return list(csv.reader(io.StringIO("".join(formats.to_csv(run)), newline="")))


@pytest.mark.parametrize("tag", FORMULAS)
def test_a_cell_of_words_is_no_formula(tag: str) -> None:
    run = make_run()
    log = EventLog(run.path)
    log.write(Status(state="running"))
    log.write(Scalars({tag: -1.5}, step=1))
    log.close()
    header, row = cells(run)
    assert header == ["step", "epoch", "tag", "value"]
    assert row[2][0] not in "=+-@\t\r\n＝＋－＠ " and row[2].lstrip("'") in tag.replace("\u200e", "<U+200E>")
    assert row[3] == "-1.5", "a number stays one"


@pytest.mark.parametrize("tag", WORDS)
def test_other_words_stay_as_they_are(tag: str) -> None:
    assert formats.as_words(tag) == tag


def test_numbers_stay_numbers() -> None:
    run = make_run()
    log = EventLog(run.path)
    log.write(Status(state="running"))
    for step, value in enumerate((-1.5, -0.0, float("-inf"), float("nan"), 1e-300)):
        log.write(Scalars({"a/b": value}, step=step))
    log.close()
    assert [row[3] for row in cells(run)[1:]] == ["-1.5", "-0.0", "-inf", "nan", "1e-300"]


@pytest.fixture
def small_files() -> Iterator[None]:
    """A disk that is full after 2,000 bytes of a file (here `ulimit -f`, which any user may set)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("form", ["html", "csv", "json"])
def test_a_full_disk_keeps_the_old_file_and_names_the_new_one(run: Run, tmp_path: Path, form: str, small_files: None) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    file = folder / f"a.{form}"
    for old in ("the last export", None):
        if old is None:
            file.unlink()
        else:
            file.write_text(old)
        with pytest.raises(Problem, match=rf"out/a\.{form} cannot be written: File too large") as caught:
            formats.save(run, form, file)
        assert caught.value.cause == "disk-full" and "ulimit -f" in caught.value.hint
        assert [(path.name, path.read_text()) for path in folder.iterdir()] == ([(file.name, old)] if old else [])


def test_a_full_disk_leaves_no_half_event_file(run: Run, tmp_path: Path, small_files: None) -> None:
    with pytest.raises(Problem, match="out cannot be written: File too large"):
        formats.to_tensorboard(run, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupted_export_leaves_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.csv"
    file.write_text("old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(files.os, "fsync", interrupted)
        formats.save(run, "csv", file)
    assert file.read_text() == "old" and [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_was_closed_to_others_stays_closed(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.touch(mode=0o600)
    formats.save(run, "csv", file)
    assert file.stat().st_mode & 0o777 == 0o600 and file.read_text().startswith("step,")


def test_a_name_as_long_as_a_file_may_have(run: Run, tmp_path: Path) -> None:
    for name in ("x" * 251 + ".csv", "é" * 125 + ".csv"):
        assert formats.save(run, "csv", tmp_path / name).read_text().startswith("step,")
    with pytest.raises(Problem, match=r"cannot be written: File name too long\. Choose a shorter name"):
        formats.save(run, "csv", tmp_path / ("x" * 252 + ".csv"))


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "That disk can only be read: mount it"),
        (errno.EACCES, "You have no permission: `ls -ld"),
        (errno.ENOTDIR, "A part of this path is a file"),
        (errno.ENOENT, "does not exist"),
        (errno.EIO, "dmesg"),
        (errno.ENOTEMPTY, ""),
    ],
)
def test_each_error_gets_the_advice_that_helps_against_it(tmp_path: Path, home: Path, number: int, says: str) -> None:
    elsewhere = tmp_path / "elsewhere" / "a.csv"
    problem = files.problem("It", "written", OSError(number, os.strerror(number)), elsewhere)
    assert problem.message == f"It cannot be written: {os.strerror(number)}." and says in problem.hint
    assert "DLWB_HOME" not in problem.hint, "it would not help: the file lies elsewhere"
    at_home = files.problem("It", "written", OSError(number, os.strerror(number), str(home / "a")))
    assert ("DLWB_HOME" in at_home.hint) == bool(number not in (errno.EIO, errno.ENOTEMPTY))
    assert ("Free" in at_home.hint) == (number in (errno.ENOSPC, errno.EDQUOT)), "space helps against nothing else"


def test_the_shell_says_it_in_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out, says in ((tmp_path / "none" / "a.csv", "No such file"), (tmp_path / "file" / "a.csv", "Not a directory"), (tmp_path, "")):
        done = dlwb("export", run.id, "--to", "csv", "-o", str(out))
        assert done.returncode == 1 and str(out) in done.stderr and says in done.stderr and ".part" not in done.stderr, done.stderr


def test_a_full_disk_keeps_the_start_file_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["dlwb", "--install-completion", "bash"])
    start_file = tmp_path / ".bashrc"
    start_file.write_bytes(b"# mine, in Latin-1: \xe9\n")
    real = files.os.fsync
    failing = [False, True]

    def fails(file: int) -> None:
        # The script finds room, the start file does not.
        if Path(f"/proc/self/fd/{file}").readlink().suffix == ".part" and failing.pop(0):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    with monkeypatch.context() as patched, pytest.raises(OSError, match=r"\.bashrc"):
        patched.setattr(files.os, "fsync", fails)
        completion.install(True)
    assert start_file.read_bytes() == b"# mine, in Latin-1: \xe9\n"
    with pytest.raises(typer.Exit):
        completion.install(True)
    assert start_file.read_bytes().startswith(b"# mine, in Latin-1: \xe9\nsource ")
