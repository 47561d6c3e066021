"""The tab key in real shells: commands, options, recipes, runs, data sets and settings; and what an answer may not import."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyte
import pytest
from made_runs import make_run
from test_cli import dlwb
from test_imports import HEAVY, SCREEN, loaded_by

from workbench import paths
from workbench.cli import complete

FIRST = "list run tune exec explore runs open logs show check"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With `dlwb` on the PATH, as an installation has it."""
    program = tmp_path / "bin" / "dlwb"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m workbench.cli "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}


def have(shell: str) -> str:
    path = shutil.which(shell)
    if not path:
        pytest.skip(f"{shell} is not installed")
    return path


def in_bash(environment: dict[str, str], *words: str) -> list[str]:
    """What bash offers for the last of the words, split as it splits them."""
    bash = have("bash")
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        'eval "$(dlwb --show-completion bash)"; complete -p dlwb >/dev/null || exit 1; '
        f'COMP_WORDS=(dlwb {quoted}); COMP_CWORD={len(words)}; _dlwb_completion dlwb 2>/dev/null; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run([bash, "--norc", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def in_fish(environment: dict[str, str], line: str) -> dict[str, str]:
    """What fish offers at the end of the line, with what it says of each."""
    fish = have("fish")
    script = f"dlwb --show-completion fish | source; complete -C '{line}'"
    done = subprocess.run([fish, "--no-config", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True)
    return dict((line + "\t").split("\t")[:2] for line in done.stdout.splitlines())


class Zsh:
    """A zsh on a terminal that has loaded the completion."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        zsh = have("zsh")
        self.screen = pyte.Screen(120, 40)
        self.stream = pyte.ByteStream(self.screen)
        self.file, slave = pty.openpty()
        environment = {**environment, "TERM": "xterm", "PS1": "> ", "ZDOTDIR": str(folder), "COLUMNS": "120", "LINES": "40"}
        self.program = subprocess.Popen(
            [zsh, "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True, cwd=folder
        )
        os.close(slave)
        self.type("autoload -Uz compinit; compinit -u -D; eval \"$(dlwb --show-completion zsh)\"; PS1='> '; echo re''ady\n", "ready")

    def type(self, keys: str, wanted: str) -> str:
        """Type until the screen has these words; returns its text."""
        os.write(self.file, keys.encode())
        end = time.monotonic() + 60
        while wanted not in self.text():
            assert time.monotonic() < end, f"{wanted!r} never came:\n{self.text()}"
            if select.select([self.file], [], [], 0.2)[0]:
                self.stream.feed(os.read(self.file, 65536))
        return self.text()

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display if line.strip())

    def end(self) -> None:
        self.program.kill()
        self.program.wait()
        os.close(self.file)


def test_bash_completes_commands_options_and_names(environment: dict[str, str]) -> None:
    run = make_run("mnist-mlp", stamp="2026-11-23_100000").id
    assert in_bash(environment, "")[:10] == FIRST.split()
    assert in_bash(environment, "st") == ["step", "stop"]
    assert in_bash(environment, "run", "digits-") == ["digits-mlp"]
    assert in_bash(environment, "run", "digits-mlp", "--f") == ["--follow"]
    assert in_bash(environment, "run", "digits-mlp", "--device", "cu") == ["cuda"]
    assert in_bash(environment, "compare", "last", "") == ["last", "mnist-mlp", run]
    assert in_bash(environment, "logs", "2026-11-23_") == [run]
    (paths.comparisons() / "weights_2026-11-23_100000").mkdir(parents=True)
    assert in_bash(environment, "delete", "wei") == ["weights_2026-11-23_100000"] and in_bash(environment, "logs", "wei") == []
    assert in_bash(environment, "data", "fetch", "mni") == ["mnist"]
    assert in_bash(environment, "data", "f") == ["fetch"]
    assert in_bash(environment, "logs", "last", "") == []  # bash then offers files
    assert in_bash(environment, "list", "mn") == []


def test_bash_splits_words_at_colons_and_equals_signs(environment: dict[str, str]) -> None:
    assert in_bash(environment, "data", "fetch", "dogs", ":", "21") == ["21-breeds"]
    assert in_bash(environment, "run", "digits-mlp", "--set", "config.learning_r") == ["config.learning_rate="]
    assert in_bash(environment, "run", "digits-mlp", "--set", "=", "train.ep") == ["train.epochs="]


def test_fish_completes_with_a_few_words_on_each(environment: dict[str, str]) -> None:
    run = make_run("mnist-mlp", stamp="2026-11-23_100000").id
    assert in_fish(environment, "dlwb sto") == {"stop": "Stop a run after its step; it saves a checkpoint first"}
    assert list(in_fish(environment, "dlwb run digits-")) == ["digits-mlp"]
    assert list(in_fish(environment, "dlwb stop ")) == ["last", "mnist-mlp", run]
    assert in_fish(environment, "dlwb data remove fashion")["fashion-mnist"]
    assert in_fish(environment, "dlwb run digits-mlp --set config.learning_r")["config.learning_rate="]


def test_zsh_completes_in_the_line(environment: dict[str, str], tmp_path: Path) -> None:
    run = make_run("mnist-mlp", stamp="2026-11-23_100000").id
    zsh = Zsh(environment, tmp_path)
    try:
        zsh.type("dlwb run digits-\t", "> dlwb run digits-mlp")
        zsh.type("\x15dlwb logs 2026\t--ev\t", f"> dlwb logs {run} --events")
        zsh.type("\x15dlwb data fetch dogs:2\t!", "> dlwb data fetch dogs:21-breeds !")
        zsh.type("\x15dlwb run digits-mlp --set config.learning_r\t0.1", "--set config.learning_rate=0.1")
        shown = zsh.type("\x15dlwb res\t", "restore")
        assert "Bring a deleted run, or a comparison" in shown and "results" in shown and "resume" in shown
    finally:
        zsh.end()


def test_names_that_mean_something_to_a_shell_are_not_offered(environment: dict[str, str]) -> None:
    for name in ("$(touch gone)", "a b", "`x`", ";ls", "x'y", 'x"y', "bell\x07", "2026-01-01_000000_good"):
        (paths.runs() / name).mkdir(parents=True)
    (paths.home() / "recipes").mkdir()
    (paths.home() / "recipes" / "$(touch gone).yaml").write_text("title: x")
    (paths.home() / "recipes" / "own.yaml").write_text("title: x")
    assert complete.run_names() == ["last", "good", "2026-01-01_000000_good"]
    names = complete.recipe_names()
    assert "own" in names and "digits-mlp" in names and not any("touch" in name for name in names)


@pytest.mark.parametrize(("shell", "file", "start"), [("bash", ".bash_completions/dlwb.sh", ".bashrc"), ("zsh", ".zfunc/_dlwb", ".zshrc")])
def test_installing_it_twice_is_installing_it_once(tmp_path: Path, environment: dict[str, str], shell: str, file: str, start: str) -> None:
    environment["HOME"] = str(tmp_path)
    (tmp_path / start).write_text("alias ll='ls -l'")
    for _ in range(2):
        assert dlwb("--install-completion", shell, env=environment).returncode == 0  # type: ignore[arg-type]
    assert (tmp_path / file).read_text().strip() == dlwb("--show-completion", shell).stdout.strip()
    first, second = (tmp_path / start).read_text().splitlines()
    assert first == "alias ll='ls -l'" and (file in second or ".zfunc" in second)
    if shell == "bash":
        script = 'source ~/.bashrc; COMP_WORDS=(dlwb sto); COMP_CWORD=1; _dlwb_completion dlwb 2>/dev/null; echo "$COMPREPLY"'
        done = subprocess.run(["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == "stop\n"


def test_a_shell_that_is_not_known_is_named() -> None:
    done = dlwb("--show-completion", "tcsh")
    assert done.returncode == 1 and "There is no completion for tcsh" in done.stderr


def test_an_answer_imports_only_what_it_needs() -> None:
    for words, more in (("dlwb run dig", set()), ("dlwb logs la", set()), ("dlwb run digits-mlp --set c", {"workbench.recipes.recipe"})):
        code = (
            "import os; os.environ.update(_DLWB_COMPLETE='complete_bash', COMP_WORDS=sys.argv[1], COMP_CWORD=sys.argv[2])\n"
            "from workbench.cli import main; main()"
        )
        loaded = loaded_by(code, words, str(words.count(" ")))
        assert "workbench.cli.complete" in loaded
        unwanted = {"yaml", "msgspec", "workbench.recipes.recipe", "workbench.runs"} - ({"yaml", "msgspec", *more} if more else set())
        assert not loaded & (HEAVY | SCREEN | {"numpy", "PIL", "pydantic", "psutil"} | unwanted), words
