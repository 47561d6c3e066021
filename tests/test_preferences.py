"""What a person prefers is kept, and a file that somebody spoilt costs no more than the default."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import preferences
from workbench.problems import Problem


def test_a_preference_is_kept_and_others_stay(home: Path) -> None:
    assert preferences.get("notice") == "bell"
    home.mkdir()
    (home / "preferences.json").write_text('{"from a newer version": [1, 2]}')
    preferences.put("notice", "off")
    assert preferences.get("notice") == "off"
    assert json.loads((home / "preferences.json").read_text()) == {"from a newer version": [1, 2], "notice": "off"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"notice": 3}', '{"notice": "loud"}', '{"notice": ["off"]}', "\0" * 100])
def test_a_spoilt_file_reads_as_the_default(home: Path, text: str) -> None:
    home.mkdir()
    (home / "preferences.json").write_text(text)
    assert preferences.get("notice") == "bell"


def test_what_is_not_known_is_refused_with_what_is() -> None:
    with pytest.raises(Problem, match=r"notic is not a preference; did you mean notice\?"):
        preferences.put("notic", "off")
    with pytest.raises(Problem, match=r"notice cannot be loud. It is one of: bell, notice, off"):
        preferences.put("notice", "loud")


def test_the_shell_shows_and_sets_them() -> None:
    command = [sys.executable, "-m", "workbench.cli", "preferences"]
    done = subprocess.run([*command, "notice=notice"], capture_output=True, text=True, check=True)
    assert "\nnotice=notice " in done.stdout
    assert preferences.get("notice") == "notice"
    wrong = subprocess.run([*command, "notice"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1 and "is not KEY=VALUE" in wrong.stderr
