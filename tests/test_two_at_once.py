"""Two programs, and two threads of one, at once over the same home: files are whole at each moment, and lists agree."""

import json
import subprocess
import sys
import threading
from pathlib import Path

from odd_files import a_run

from workbench import files
from workbench.runs import index, notes
from workbench.runs.run import list_runs

SHELL = [sys.executable, "-m", "workbench.cli"]


def test_two_lists_at_once_agree_and_leave_a_whole_index() -> None:
    for number in range(20):
        a_run(f"2026-11-22_{number:06d}")
    lists = [subprocess.Popen([*SHELL, "runs"], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    shown = [one.communicate(timeout=100)[0] for one in lists]
    assert all(one.returncode == 0 for one in lists) and len(set(shown)) == 1 and shown[0].count("  stopped") == 20
    assert index.look_at(list_runs()) == [index._look_anew(run) for run in list_runs()]


def test_whoever_reads_meanwhile_finds_one_whole_file_or_the_other(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    contents = [json.dumps({"who": letter, "text": letter * 5000}).encode() for letter in "abc"]
    files.write(file, contents[0])
    ended = threading.Event()

    def writing(content: bytes) -> None:
        for _ in range(100):
            files.write(file, content, sync=False)

    read: list[bytes] = []

    def reading() -> None:
        while not ended.is_set():
            read.append(files.read_plain(file))

    threads = [threading.Thread(target=writing, args=(content,)) for content in contents]
    reader = threading.Thread(target=reading)
    for thread in [reader, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    reader.join()
    assert read and set(read) <= set(contents)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_note_and_an_export_at_once_with_a_delete(tmp_path: Path) -> None:
    run = a_run()
    out = tmp_path / "a.html"
    programs = [
        subprocess.Popen([*SHELL, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for words in (("note", run.id, "mine"), ("export", run.id, "--to", "html", "-o", str(out)), ("delete", run.id), ("runs",))
    ]
    said = [program.communicate(timeout=100)[1] for program in programs]
    assert not any("Traceback" in text for text in said), said
    assert not out.exists() or out.read_text().endswith("</html>")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    if left := list_runs():
        assert notes.read(left[0]).note in ("mine", "a note")
