"""The architecture's import table: read from every file, and seen in a fresh interpreter."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import workbench

PACKAGE = Path(workbench.__file__).parent


class Part(NamedTuple):
    """What the files of a part may import: other people's packages anywhere, some only inside functions, and which other parts."""

    packages: set[str]
    inside: set[str]
    parts: set[str]


PARTS = {
    # Whatever is not named below, and new files too: what the shell, the lists and a run's parent need, quick to start.
    "light": Part({"msgspec", "yaml", "platformdirs"}, {"pynvml", "tensorboard"}, {"light"}),
    "training": Part({"msgspec", "numpy", "pydantic", "psutil", "PIL"}, {"pynvml"}, {"light", "training"}),
    "data": Part({"msgspec", "numpy", "yaml", "torch", "PIL", "pooch"}, {"torchvision", "sklearn", "scipy"}, {"light", "training", "data"}),
    "projects": Part({"numpy", "torch", "PIL", "sklearn"}, {"torchvision"}, {"data"}),
    "worker": Part({"msgspec", "pydantic"}, set(), {"light", "training"}),
    "tui": Part({"msgspec", "numpy", "textual", "rich", "PIL"}, {"textual_image"}, {"light", "tui"}),
    "cli": Part(set(), {"typer", "rich"}, {"light"}),
}
TRAINING = {"project", "batches", "window", "live", "loading", "training", "npz", "meters", "figures"}
FILES_ONLY = {"catalog", "fetch", "download", "archive", "stored"}
"""Of datasets/, what moves files and reads none: the shell and the list of data sets need it, and need it quick to start."""
PROJECTS_MAY = {"events", "problems", "project", "figures"}
"""Of the light and the training part, only these: a project never logs, draws or looks at other runs."""


def part_of(module: str) -> str:
    """Which part `workbench.…` belongs to."""
    name, _, rest = module.removeprefix("workbench.").partition(".")
    if name == "datasets" and rest in FILES_ONLY:
        return "light"
    if name in ("torchkit", "datasets"):
        return "data"
    if name in ("projects", "tui", "worker", "cli"):
        return name if rest or name in ("worker", "cli", "tui") else "light"
    return "training" if name in TRAINING else "light"


def imports(tree: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Each imported module, and whether it is imported inside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((each.name, inside) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports"
            # `from workbench import log` imports a module, `from workbench.log import Tail` a name.
            packages = [package for package in ("workbench", *(f"workbench.{each}" for each in FOLDERS)) if node.module == package]
            yield from ((f"{node.module}.{each.name}" if packages else str(node.module), inside) for each in node.names)
        yield from imports(node, inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


FOLDERS = ["torchkit", "datasets", "projects", "tui", "tui.charts", "tui.panels", "tui.screens"]
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "_shipped" not in path.parts)


def dotted(path: Path) -> str:
    return ".".join(("workbench", *path.relative_to(PACKAGE).with_suffix("").parts))


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_each_file_imports_what_its_part_may(path: Path) -> None:
    own = dotted(path)
    part = part_of(own)
    rule = PARTS[part]
    for module, inside in imports(ast.parse(path.read_text())):
        package = module.partition(".")[0]
        if package == "workbench":
            other = part_of(module)
            allowed = other in rule.parts or module == "workbench.__version__"
            if part == "projects":
                # A file that begins with an underscore belongs to the one lesson that imports it.
                allowed = allowed or module.split(".")[1] in {*PROJECTS_MAY, "datasets"} or module.startswith("workbench.projects._")
            if part == "cli":
                allowed = allowed or (inside and other == "tui")
            assert allowed, f"{own} imports {module}"
        elif package not in sys.stdlib_module_names:
            assert package in rule.packages or (inside and package in rule.inside), f"{own} imports {module}"


def test_the_parts_are_there() -> None:
    """Else the rules above would hold of nothing."""
    assert {part_of(dotted(path)) for path in FILES} == set(PARTS)
    assert {dotted(path).rpartition(".")[2] for path in FILES} >= TRAINING | PROJECTS_MAY


HEAVY = {"torch", "torchvision", "sklearn", "scipy", "pandas", "matplotlib"}
SCREEN = {"textual", "rich"}


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Every module that a fresh interpreter holds after the code."""
    report = "import sys\ntry:\n" + "".join(f"    {line}\n" for line in code.splitlines())
    report += "finally:\n    print('\\n' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", report, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.strip().rpartition("\n")[2].split())


def modules(part: str) -> list[str]:
    return [dotted(path) for path in FILES if part_of(dotted(path)) == part and path.stem != "__init__"]


def import_all(part: str) -> set[str]:
    names = modules(part)
    found = loaded_by(f"import {', '.join(names)}")
    assert set(names) <= found
    return found


def test_what_the_shell_and_the_parent_need_is_light() -> None:
    assert not import_all("light") & (HEAVY | SCREEN | {"numpy", "PIL", "pydantic", "typer", "psutil", "asyncio"})


def test_reading_recipes_is_light() -> None:
    code = "from workbench import recipe\nfor path in recipe.shipped_and_own(): recipe.load(path, describe=False)"
    assert not loaded_by(code) & (HEAVY | SCREEN | {"numpy", "PIL", "pydantic", "typer", "subprocess", "difflib", "asyncio"})


def test_the_terminal_program_imports_no_training() -> None:
    found = import_all("tui")
    assert "textual" in found
    assert not found & (HEAVY | {"pydantic", "psutil", "workbench.worker", *modules("training"), *modules("projects"), *modules("data")})


def test_the_list_of_recipes_is_painted_before_numpy_and_http_are_imported() -> None:
    code = (
        "import workbench.tui.app; from workbench.tui.library import Library; from workbench.tui.panels.detail import recipe_lines;"
        "import workbench.tui.screens.recipes; library = Library(); library.load_recipes();"
        "[recipe_lines(each, library, 50) for each in library.shelf]"
    )
    found = loaded_by(code)
    assert "textual" in found and not found & {"numpy", "PIL", "urllib.request"}


def test_the_loop_and_the_worker_ask_the_project_for_torch() -> None:
    found = import_all("training") | loaded_by("import workbench.worker")
    assert not found & (HEAVY | SCREEN | {"typer"})


def test_a_numpy_project_needs_no_torch() -> None:
    found = loaded_by("import workbench.worker, workbench.projects.bike_sharing")
    assert not found & (HEAVY | SCREEN | {"typer"})


def test_projects_need_no_screen() -> None:
    assert not import_all("projects") & {"textual", "typer", "workbench.runs", "workbench.launch", "workbench.log"}


def test_a_command_imports_only_what_it_needs() -> None:
    found = loaded_by("from workbench.cli import main\nsys.argv = ['dlwb', 'list']\ntry: main()\nexcept SystemExit: pass")
    assert "workbench.recipe" in found
    assert not found & (HEAVY | {"textual", "numpy", "PIL", "psutil", "workbench.project"})
