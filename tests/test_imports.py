"""What a fresh interpreter holds after an import: the half of the import contract that a static graph cannot see."""

import subprocess
import sys
from pathlib import Path

import workbench

PACKAGE = Path(workbench.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "_shipped" not in path.parts)
LIGHT = ("launch", "runs", "recipes", "datasets/store", ".")
"""Rooms that start quickly: what the shell, the lists and a run's supervisor need. "." is the ground."""
DOORS = {"workbench.project"}
HEAVY = {"torch", "torchvision", "sklearn", "scipy", "pandas", "matplotlib"}
SCREEN = {"textual", "rich"}


def dotted(path: Path) -> str:
    return ".".join(("workbench", *path.relative_to(PACKAGE).with_suffix("").parts))


def modules(room: str) -> list[str]:
    """Every module of a room, its packages' own left out, since they come with the modules."""
    folder = PACKAGE / room
    chosen = folder.glob("*.py") if room == "." else folder.rglob("*.py")
    names = [dotted(path) for path in sorted(chosen) if path.stem not in ("__init__", "__main__")]
    return [name for name in names if name not in DOORS]


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Every module that a fresh interpreter holds after the code."""
    report = "import sys\ntry:\n" + "".join(f"    {line}\n" for line in code.splitlines())
    report += "finally:\n    print('\\n' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", report, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.strip().rpartition("\n")[2].split())


def import_all(*rooms: str) -> set[str]:
    names = [name for room in rooms for name in modules(room)]
    held = loaded_by(f"import {', '.join(names)}")
    assert set(names) <= held
    return held


def test_every_light_room_has_modules() -> None:
    """Else the rules below would hold of nothing."""
    assert all(len(modules(room)) >= 5 for room in LIGHT)


def test_what_the_shell_and_the_supervisor_need_is_light() -> None:
    assert not import_all(*LIGHT) & (HEAVY | SCREEN | {"numpy", "PIL", "pydantic", "typer", "psutil", "asyncio", "jinja2"})


def test_reading_recipes_is_light() -> None:
    code = "from workbench.recipes.find import shipped_and_own\nfrom workbench.recipes.load import load_recipe\n"
    code += "for path in shipped_and_own(): load_recipe(path, describe=False)"
    assert not loaded_by(code) & (HEAVY | SCREEN | {"numpy", "PIL", "pydantic", "typer", "subprocess", "difflib", "asyncio"})


def test_the_terminal_program_imports_no_training() -> None:
    held = import_all("tui")
    assert "textual" in held
    assert not held & (HEAVY | {"pydantic", "psutil", *modules("training"), *modules("projects"), *modules("torchkit")})


def test_the_list_of_recipes_is_painted_before_numpy_and_http_are_imported() -> None:
    code = (
        "import workbench.tui.app; from workbench.tui.models.library import Library; from workbench.tui.panels.detail import recipe_lines;"
        "import workbench.tui.screens.recipes; library = Library(); library.load_recipes();"
        "[recipe_lines(each, library, 50) for each in library.shelf]"
    )
    held = loaded_by(code)
    assert "textual" in held and not held & {"numpy", "PIL", "urllib.request"}


def test_the_loop_and_the_worker_ask_the_project_for_torch() -> None:
    # What several processes need to train one run is torch's, and is imported for such a run alone.
    names = [name for name in modules("training") if not name.startswith(("workbench.training.ranks.", "workbench.training.torchrun"))]
    assert len(names) < len(modules("training"))
    assert not loaded_by(f"import {', '.join(names)}") & (HEAVY | SCREEN | {"typer"})


def test_a_numpy_project_needs_no_torch() -> None:
    held = loaded_by("import workbench.training.worker, workbench.projects.neural_networks.bike_sharing")
    assert not held & (HEAVY | SCREEN | {"typer"})


def test_projects_need_no_screen() -> None:
    assert not import_all("projects") & {"textual", "typer", "workbench.tui.app", "workbench.launch.start", "workbench.runs.log"}


def test_the_way_into_the_terminal_program_imports_no_command() -> None:
    found = loaded_by("import workbench.cli")
    assert not found & {"typer", "textual", "msgspec", "workbench.cli.commands"}


def test_a_command_imports_only_what_it_needs() -> None:
    held = loaded_by("from workbench.cli import main\nsys.argv = ['dlwb', 'list']\ntry: main()\nexcept SystemExit: pass")
    assert "workbench.recipes.find" in held
    assert not held & (HEAVY | {"textual", "numpy", "PIL", "psutil", "workbench.training.project"})
