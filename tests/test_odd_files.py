"""Whatever stands in place of a run's files: nothing hangs, fills the memory, follows a link out, or ends in anything but one sentence."""

import os
import re
import shutil
from pathlib import Path

import pytest
from odd_files import FOLDERS, KINDS, PLAIN, SECRET, a_run, look_at_all, outside, put

from workbench import files
from workbench.launch import start
from workbench.problems import Problem
from workbench.runs import commands, lock
from workbench.runs.log import EventLog
from workbench.runs.run import list_runs


@pytest.mark.parametrize("kind", KINDS)
def test_each_file_of_a_run_is_replaced_by_each_kind(tmp_path: Path, kind: str) -> None:
    other = a_run("2026-11-22_000000")
    for number, name in enumerate([*PLAIN, *FOLDERS]):
        run = a_run(f"2026-11-23_{number:06d}")
        put(kind, run.path / name, tmp_path / "elsewhere")
        try:
            refused = look_at_all(run, other, tmp_path / "out")
        except AssertionError as error:
            raise AssertionError(f"{name} as {kind}: {error}") from error
        shutil.rmtree(run.path)
        assert not any("Errno" in sentence or ".part" in sentence for sentence in refused), refused


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("empty", "gone", "sparse", "sparse after a line")])
def test_what_is_no_plain_file_is_neither_opened_nor_written_through(tmp_path: Path, kind: str) -> None:
    file, elsewhere = tmp_path / "events.jsonl", tmp_path / "elsewhere"
    put(kind, file, elsewhere)
    before = [(path, path.read_bytes()) for path in elsewhere.glob("*")]
    for attempt in (
        lambda: files.open_plain(file),
        lambda: files.open_plain(file, os.O_RDWR | os.O_CREAT),
        lambda: files.read_plain(file),
        lambda: lock.Lock.take(file),
        lambda: commands.append(file, "stop"),
        lambda: EventLog(tmp_path),
    ):
        with pytest.raises(OSError, match=r"Is not a plain file"):
            attempt()
    assert not lock.is_held(file) and commands.Inbox(file).poll() == []
    assert before == [(path, path.read_bytes()) for path in elsewhere.glob("*")]


@pytest.mark.parametrize(
    "name", ["recipe.yaml", "project.py", "events.jsonl", "output.log", "lock", "control.jsonl", "exit.json", *FOLDERS]
)
def test_a_start_refuses_by_name_what_is_no_plain_file(tmp_path: Path, name: str) -> None:
    run = a_run()
    put("link to a file outside", run.path / name, tmp_path / "elsewhere")
    with pytest.raises(Problem, match=f"{name} of {run.id} is not a (plain file|folder)"):
        start.launch(run)
    assert (tmp_path / "elsewhere" / name).read_bytes() == outside(name)


def test_a_file_that_a_person_names_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(SECRET)
    (tmp_path / "link").symlink_to("mine")
    assert files.read_plain(tmp_path / "link", follow=True) == SECRET.encode()
    with pytest.raises(OSError, match="Is not a plain file"):
        files.read_plain(tmp_path / "link")


def test_the_content_behind_a_hole_is_read(tmp_path: Path) -> None:
    file = tmp_path / "holes"
    with file.open("wb") as opened:
        opened.write(b"one\n")
        opened.seek(1 << 40)
        opened.write(b"two\n")
        opened.truncate(1 << 41)
    opened_file = files.open_plain(file)
    read = list(files.pieces(opened_file, 0, 1 << 16))
    assert len(read) < 5 and b"".join(data for _, data in read).replace(b"\0", b"") == b"one\ntwo\n"
    # What is appended behind the last hole is found from where the reading stopped.
    with file.open("ab") as opened:
        opened.write(b"three\n")
    more = b"".join(data for _, data in files.pieces(opened_file, read[-1][0], 1 << 16))
    os.close(opened_file)
    assert more.replace(b"\0", b"") == b"three\n"


def test_a_run_that_is_a_folder_of_nothing_is_no_run(tmp_path: Path) -> None:
    run = a_run()
    for path in run.path.iterdir():
        put("gone", path, tmp_path)
    assert list_runs() == []


def test_nothing_in_the_room_of_runs_opens_a_file_in_another_way() -> None:
    room = Path(files.__file__).parent / "runs"
    ways = re.compile(r"read_bytes\(|read_text\(|write_bytes\(|write_text\(|\.open\(|(?<![_.\w])open\(|os\.open\(")
    opened = {
        f"{file.relative_to(room)}: {line.strip()}"
        for file in room.rglob("*.py")
        # A bundle writes a folder of its own, from the package's source and what was read of the run elsewhere.
        if file.name != "bundle.py"
        for line in file.read_text().splitlines()
        # A cell of a notebook, which is text here.
        if ways.search(line) and "ImageDraw" not in line
    }
    assert opened == {
        'processor.py: for line in cpuinfo.read_text(errors="replace").splitlines():',
        # A pipe or a device that a person names for an export, the folder of checkpoints, and what is no file of a run.
        "export/formats.py: file.write_bytes(data)  # a pipe or a device: nothing to replace",
        'folded.py: code = b"".join((root / name).read_bytes() for name in SOURCES)',
        "ending.py: return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)",
        "checkpoint.py: folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)",
        "measured.py: return msgspec.json.decode(path.read_bytes(), type=list[Result])",
        'lock.py: stat = Path(f"/proc/{pid}/stat").read_bytes()',
        'lock.py: return Path("/proc/sys/kernel/random/boot_id").read_text().strip()',
    }
