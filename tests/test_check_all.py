"""`dlwb check --all` reads data of a person's own as a run would, and prints what is found and every file that cannot be used."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


def check(*words: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([sys.executable, "-m", "workbench.cli", "check", *words], capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    return done


def draw(root: Path, number: int = 4) -> Path:
    for kind in ("a", "b"):
        (root / kind).mkdir(parents=True)
        for place in range(number):
            Image.new("RGBA", (10 + place, 10)).save(root / kind / f"{place}.png")
            Image.effect_noise((10, 10), 99).save(root / kind / f"noise{place}.png")
    return root


def test_a_right_folder_is_described_with_the_recipe_s_settings(tmp_path: Path) -> None:
    data = f"config.data={draw(tmp_path / 'own')}"
    done = check("mnist-mlp", "--all", "--set", data, "--set", "config.image_size=16", "--set", "config.background=black")
    assert done.returncode == 0, done.stderr
    assert "class folders: 16 pictures of 2 classes; used: " in done.stdout
    assert "transparent pictures: 8 of 16; used: laid over black" in done.stdout and "the middle square, 16x16" in done.stdout
    assert check("mnist-mlp", "--all").stdout.count("\n") == 1, "a set of the catalogue is nobody's own"


def test_all_faulty_files_are_listed_and_the_exit_code_is_1(tmp_path: Path) -> None:
    root = draw(tmp_path / "own")
    for place in range(12):
        (root / "a" / f"\x1b[31m{place}.txt").write_text("x")
    done = check("mnist-mlp", "--all", "--set", f"config.data={root}")
    assert done.returncode == 1 and "\x1b" not in done.stdout + done.stderr
    assert [f"cannot be used: a/{place}.txt is neither a PNG nor a JPEG picture" in done.stdout for place in range(12)] == [True] * 12
    assert "12 files cannot be used. Fix or remove them." in done.stderr


@pytest.mark.parametrize(("recipe", "says"), [("faces", "has 16 pictures, where 100 or more are needed"), ("dog-breeds", "")])
def test_each_recipe_s_own_reader_is_asked(tmp_path: Path, recipe: str, says: str) -> None:
    done = check(recipe, "--all", "--set", f"config.data={draw(tmp_path / 'own')}")
    assert says in done.stderr and done.returncode == bool(says)


def test_a_wrong_setting_is_still_said(tmp_path: Path) -> None:
    done = check("mnist-mlp", "--all", "--set", "config.data=./none")
    assert done.returncode == 1 and "there is no " in done.stderr


def test_a_table_is_read_as_a_run_reads_it(tmp_path: Path) -> None:
    table = tmp_path / "wards.csv"
    table.write_text("ward;age;ill\n" + "".join(f"{place}_2;{place},5;{'yes' if place % 2 else 'no'}\n" for place in range(1, 41)))
    words = ["tumour-mlp", "--all", "--set", f"config.data={table}", "--set", "config.target=ill"]
    done = check(*words)
    assert done.returncode == 1 and "ward" in done.stderr and "1_2" in done.stderr
    done = check(*words, "--set", "config.leave_out=[ward]")
    assert done.returncode == 0, done.stderr
    assert "column age: 40 fields; used: numbers, decimal comma" in done.stdout
    assert "column ward: 40 fields; left out: named in leave_out" in done.stdout


def test_a_column_may_be_called_by_a_number(tmp_path: Path) -> None:
    table = tmp_path / "years.csv"
    table.write_text("country,2019,2020,y\n" + "".join(f"{'AB'[n % 2]},{n}.5,{n * 2}.25,{'no' if n % 3 else 'yes'}\n" for n in range(40)))
    done = check("tumour-mlp", "--all", "--set", f"config.data={table}", "--set", "config.target=y")
    assert done.returncode == 0, done.stderr
    assert "column 2019: 40 fields; used: numbers" in done.stdout and "41" not in done.stdout
