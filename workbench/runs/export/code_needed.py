"""What code a run needs: the workbench's files that its process imports, and the installed packages with their exact versions."""

import ast
import contextlib
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from workbench import files
from workbench.problems import Problem

ENTRY = "workbench.training.reproduce"
LABELLED = re.compile(r"\+(cpu|cu\d+|xpu|rocm[\d.]+)$")
"""A label of PyTorch's builds: they lie in an index of that name."""
INDEX = "https://download.pytorch.org/whl/"


def needed(project: Path, package: Path) -> tuple[list[Path], set[str]]:
    """The files of the workbench in `package` that a run of the project may import, and the modules of others that these import."""
    reached: dict[Path, None] = {}
    foreign: set[str] = set()
    waiting = [project, *_files_of(ENTRY, package)]
    while waiting:
        file = waiting.pop()
        if file in reached:
            continue
        reached[file] = None
        for name in _imports(file):
            if name.partition(".")[0] == package.name:
                waiting += _files_of(name, package)
            else:
                foreign.add(name.partition(".")[0])
    return sorted(reached), foreign - set(sys.stdlib_module_names)


def _files_of(dotted: str, package: Path) -> Iterator[Path]:
    """The module that a name is, or is defined in, and the packages above it, which Python imports too."""
    place = package.parent
    for part in dotted.split("."):
        place = place / part
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                yield file


def _imports(file: Path) -> Iterator[str]:
    waiting: list[ast.AST] = [ast.parse(files.read_plain(file))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse  # what is imported for type checkers alone never runs
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _is_import(node):
            yield str(ast.literal_eval(node.args[0]))
        # A door names the modules behind it as texts.
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"workbench(\.\w+)+", node.value):
            yield node.value


def _is_import(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    return name == "import_module" and bool(call.args) and isinstance(call.args[0], ast.Constant)


def pins(modules: Iterable[str]) -> dict[str, str]:
    """The installed distributions that have these modules, and all that they require, with their versions."""
    owners = metadata.packages_distributions()
    waiting = [name for module in modules for name in owners.get(module, ())]
    versions: dict[str, str] = {}
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in versions:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another system, or another Python
        versions[name] = distribution.version
        for requirement in distribution.requires or ():
            # What an extra asks for is needed where a module of it is imported, and then it is among those.
            if not re.search(r";.*\bextra\s*==", requirement):
                waiting.append(re.match(r"[A-Za-z0-9._-]+", requirement)[0])  # type: ignore[index]
    return dict(sorted(versions.items()))


def requirements(versions: dict[str, str]) -> list[str]:
    """Lines for pip: the index of PyTorch's labelled builds where one is needed, and each package at its version."""
    labels = sorted({label[1] for version in versions.values() if (label := LABELLED.search(version))})
    strange = [f"{name} {version}" for name, version in versions.items() if "+" in version and not LABELLED.search(version)]
    if strange:
        raise Problem(f"{strange[0]} is a build of this machine, which nobody else can install.", "Train again with a published version.")
    return [*(f"--extra-index-url {INDEX}{label}" for label in labels), *(f"{name}=={version}" for name, version in versions.items())]


def differing(versions: Mapping[str, str], python: str) -> list[str]:
    """A phrase for each package, and for Python, that is not here in the version that a run had."""
    here = {"python": platform.python_version()}
    for name in versions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            here[name] = metadata.version(name)
    return [
        f"{name} is {here.get(name, 'not installed')} here and {version} in the run"
        for name, version in {"python": python, **versions}.items()
        if here.get(name) != version
    ]
