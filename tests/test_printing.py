"""Tables as the shell prints them: as wide as the terminal there, whole lines elsewhere; foreign text is cleaned; the groups of --help."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest
from made_runs import alive, ended, finish, make_run, train
from test_cli import dlwb

from workbench.cli.commands import DATA, GROUPS, RESULTS
from workbench.cli.printing import fitted, table
from workbench.runs import notes


def on_a_terminal(*words: str, columns: int) -> list[str]:
    """The lines that a command prints on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "workbench.cli", *words]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as program:
        os.close(theirs)
        data = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # its other end is closed
                break
            if not part:
                break
            data += part
        os.close(ours)
        assert program.stderr and program.wait(60) == 0, program.stderr.read()
    return data.decode().replace("\r\n", "\n").splitlines()


@pytest.fixture
def shelf() -> list[str]:
    """Runs with long names, causes and tags, newest first."""
    long = make_run("style-transfer-squeezenet", stamp="2026-11-23_100000")
    finish(long)
    notes.tag(long, [f"quite-a-long-tag-{number}" for number in range(6)])
    failed = make_run("bike-sharing-windows", stamp="2026-11-22_100000")
    train(failed, 12_345_678, upto=1000).close()
    ended(failed, "failed", "device-memory", "CUDA out of memory")
    return [long.id, failed.id]


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_the_runs_fit_the_terminal_and_lose_nothing(shelf: list[str], columns: int) -> None:
    lines = on_a_terminal("runs", columns=columns)
    assert max(map(len, lines)) <= columns
    assert [line.split()[0] for line in lines if line.startswith("2026")] == shelf
    assert "failed:thedevice'smemoryisfull" in "".join(column(lines, "STATE"))
    assert all(f"quite-a-long-tag-{number}" in "".join(column(lines, "TAGS")) for number in range(6))
    assert "test/accuracy" in "".join(column(lines, "FIGURE")) and "0.9780" in "".join(column(lines, "FIGURE"))


def column(lines: list[str], name: str) -> list[str]:
    """What stands below a heading, line by line, without spaces."""
    header = next(line for line in lines if name in line)
    lines = lines if header is lines[0] else [line for line in lines if line.startswith(" ")]  # else the names stand above their rows
    start = header.index(name)
    rest = header[start + len(name) :]
    end = start + len(name) + len(rest) - len(rest.lstrip()) if rest.strip() else None
    return ["".join(line[start:end].split()) for line in lines[1:]]


def test_in_a_pipe_a_run_is_one_whole_line(shelf: list[str]) -> None:
    lines = dlwb("runs").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == shelf
    assert "failed: the device's memory is full" in lines[2] and "1,000/12.3 M" in lines[2]
    assert " ".join(f"quite-a-long-tag-{number}" for number in range(6)) in lines[1]


def test_a_column_without_content_is_left_out_on_a_terminal() -> None:
    finish(make_run())
    assert "TAGS" not in on_a_terminal("runs", columns=100)[0]
    assert "TAGS" in dlwb("runs").stdout


def test_the_widest_column_gives_way_and_names_stay_whole() -> None:
    assert fitted([20, 30, 10], [3, 6, 4], 50) == [20, 16, 10]
    assert fitted([20, 30, 0], [3, 6, 4], 40) == [20, 18, 0]
    assert fitted([60, 30, 10], [3, 6, 4], 50) == [60, 6, 6]
    assert fitted([20, 10], [3, 6], 80) == [20, 10]


def test_foreign_text_in_a_table_is_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    table(["NAME", "WHAT"], [["a\x1b[2Jb", "two\nlines\x07"], "a \x1b]0;title\x07heading", ["  indented", "\u202eright"]])
    assert capsys.readouterr().out.splitlines() == ["NAME        WHAT", "ab          two lines", "a heading", "  indented  <U+202E>right"]


def test_what_a_run_says_of_itself_is_cleaned() -> None:
    run = make_run()
    held = alive(run, "queued", message="waiting \x1b[31mfor\x1b[0m it")
    (run.path / "notes.json").write_text(json.dumps({"tags": ["a\x1b]2;x\x07b"], "note": "\x9b2Jnote"}))
    lines = on_a_terminal("runs", columns=100)
    held.release()
    assert "\x1b" not in "".join(lines) and "\x9b" not in "".join(lines) and "waiting for" in " ".join(lines)


def test_help_has_every_command_in_its_group_on_one_line() -> None:
    lines = dlwb("--help").stdout.splitlines()
    assert max(map(len, lines)) <= 80 and not any(line.endswith("..") for line in lines[1:])
    sections: dict[str, list[str]] = {}
    heading = ""
    for line in lines:
        if line.endswith(":") and not line.startswith(" "):
            heading = line.removesuffix(":")
        elif heading in GROUPS and line.strip():
            sections.setdefault(heading, []).append(line.split()[0])
            assert len(line.split()) > 3, f"{line}: no word on it"
    wanted = {group: [command.__name__.rstrip("_") for command in commands] for group, commands in GROUPS.items()}
    wanted["Data"].append("data")
    wanted["Compare and export"].append("results")
    wanted["Models"] += ["model", "endpoint"]
    wanted["Start and look"].append("tuning")
    wanted["Steer"].append("queue")
    assert sections == wanted
    assert sections["Start and look"][:3] == ["list", "run", "tune"]


def test_every_command_says_what_it_takes() -> None:
    names = [[command.__name__.rstrip("_")] for commands in GROUPS.values() for command in commands]
    names += [["data", command.__name__.rstrip("_")] for command in DATA] + [["results", command.__name__] for command in RESULTS]
    from typer.main import get_command
    from typer.testing import CliRunner

    from workbench.cli.commands import shell

    app = shell()
    assert get_command(app).name == "dlwb"
    for words in [*names, ["data"], ["results"], ["generate"]]:
        done = CliRunner().invoke(app, [*words, "--help"])
        assert done.exit_code == 0 and "Usage:" in done.output, words


def test_the_version() -> None:
    from workbench import __version__

    assert dlwb("--version").stdout == f"dlwb {__version__}\n"
