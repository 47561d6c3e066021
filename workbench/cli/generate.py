"""`dlwb generate`: writes the generated files: the projects' schemas, the README's tree of files and its table of results."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.printing import tell
from workbench.problems import Problem

END = "<!-- end of what is made -->"


def generate(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with code 1 if something is stale.")] = False,
) -> None:
    """Write the generated files: schemas, the README's tree of files and its table of results."""
    from workbench import files, paths
    from workbench.recipes import project_schemas

    readme = paths.shipped("data").parent / "README.md"
    try:
        text = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise Problem(f"{readme} cannot be read: {error.strerror}.", "This works in a checkout of the repository.") from None
    committed = project_schemas.shipped_file().read_bytes() if project_schemas.shipped_file().exists() else b""
    described = project_schemas.described_anew()
    if described != committed:
        # First, and alone: the table below says by it which lessons are only explored.
        if check:
            raise Problem(f"Stale: {project_schemas.shipped_file().name}.", "`dlwb generate` writes it.")
        files.write(project_schemas.shipped_file(), described)
    stale = []
    new = text
    for name, content in blocks():
        before, new = new, between(new, name, content)
        if new != before:
            stale.append(f"the {name} in {readme.name}")
    stale += [project_schemas.shipped_file().name] * (described != committed)
    if check and stale:
        raise Problem(f"Stale: {', '.join(stale)}.", "`dlwb generate` writes it.")
    if new != text:
        files.write(readme, new.encode())
    tell(f"Written: {', '.join(stale)}." if stale else "Nothing is stale.")


def blocks() -> Iterator[tuple[str, str]]:
    """Name and content of each generated part of the README."""
    from workbench import paths
    from workbench.runs import measured, measured_tables

    yield "tree of files", f"```\n{tree(paths.projects().parent)}\n```"
    yield "table of results", measured_tables.markdown(measured.read())


def between(text: str, name: str, content: str) -> str:
    """The text with the content between the marker of that name and the next END. Raises Problem without these markers."""
    marker = f"<!-- made by `dlwb generate`: {name} -->"
    before, begin, rest = text.partition(marker)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Problem(f"The README has no place for the {name}.", f"It stands between {marker} and {END}.")
    return f"{before}{marker}\n{content}\n{END}{after}"


def tree(package: Path) -> str:
    """The folders and files of a package, each with the first sentence of its docstring. Raises Problem where a file has none."""
    rows = list(_rows(package, 0))
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:<{width}}{sentence}" for name, sentence in rows)


def _rows(folder: Path, depth: int) -> Iterator[tuple[str, str]]:
    yield f"{'  ' * depth}{folder.name}/", _sentence(folder / "__init__.py")
    for file in sorted(folder.iterdir()):
        if file.suffix in (".py", ".tcss") and file.name != "__init__.py":
            yield f"{'  ' * (depth + 1)}{file.name}", _sentence(file)
    for inner in sorted(folder.iterdir()):
        if (inner / "__init__.py").exists():
            yield from _rows(inner, depth + 1)


def _sentence(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text)) if file.suffix == ".py" else text.partition("/*")[2].partition("*/")[0]
    if not docstring or not docstring.strip():
        raise Problem(f"{file} has no docstring.", "Its first sentence stands in the README's tree of files.")
    line = docstring.strip().splitlines()[0]
    return re.split(r"\. +(?=[A-Z`])", line)[0].removesuffix(".")
