"""`dlwb new`: copies a recipe for editing, with its comments, and on request its Python file too."""

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from workbench import files, paths
from workbench.problems import Problem, one_line
from workbench.recipes import trust, yaml_reader, yaml_values
from workbench.recipes.find import COURSE, find_recipe, project_source, shipped_and_own, shown_path
from workbench.recipes.load import load_recipe

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


class New(NamedTuple):
    """The files that were written."""

    recipe: Path
    project: Path | None
    """The copied Python file. It is trusted, because the original was; after an edit it must be trusted again."""


def folder(here: bool = False) -> Path:
    """The folder for a person's own recipes: recipes/ of the working directory if it exists or `here` is set, else that of the home."""
    local = Path.cwd() / "recipes"
    if here or (local.is_dir() and local.resolve() != paths.shipped("recipes").resolve()):
        return local
    return paths.home() / "recipes"


def copy(name: str, source: str, *, project: bool = False, here: bool = False, settings: Mapping[str, Any] = {}) -> New:
    """Copy the recipe `source` (a name or a path) as `name`; Problem where the name is taken or invalid.

    With `settings`, by dotted names as `config.dropout`, the copy has these, and searches for none: `tune` is left out.
    """
    name = name.removesuffix(".yaml")
    if f"{name}.yaml" == COURSE:
        raise Problem(f"{COURSE} is the file that orders a folder of recipes.", "Choose another name.")
    if not NAME.fullmatch(name):
        raise Problem(f"{one_line(name, 80) or 'Nothing'} cannot be a recipe's name.", "Use letters, digits, - and _.")
    taken = next((path for path in shipped_and_own() if path.stem == name), None)
    if taken:
        raise Problem(f"There is a recipe {name} already: {shown_path(taken)}.", "Choose another name.")
    old = find_recipe(source)
    loaded = load_recipe(old, describe=False)
    place = folder(here)
    code = loaded.project_file or project_source(loaded.recipe.project)
    new = New(place / f"{name}.yaml", place / _module(name) if project else None)
    reference = loaded.recipe.project
    if new.project:
        reference = f"./{new.project.name}"
    elif loaded.project_file and loaded.project_file.parent.resolve() != place.resolve():
        reference = str(loaded.project_file.resolve())
    text = _edited(yaml_reader.text_of(old), name, old, reference, elsewhere=old.parent.resolve() != place.resolve(), settings=settings)
    try:
        place.mkdir(parents=True, exist_ok=True)
        written: list[Path] = []
        try:
            if new.project:
                _write(new.project, trust.read(code) if loaded.project_file else code.read_bytes(), written)
                trust.trust(new.project)
            _write(new.recipe, text.encode(), written)
        # Also on Ctrl-C: a half-written pair of files would block the name.
        except BaseException:
            for path in written:
                with contextlib.suppress(OSError):
                    path.unlink()
            raise
    except FileExistsError as error:
        raise Problem(f"{shown_path(Path(error.filename))} is there already.", "Choose another name.") from None
    except OSError as error:
        file = Path(error.filename or place)
        raise files.problem(shown_path(file), "written", error, file) from None
    return new


def _module(name: str) -> str:
    return f"{name.replace('-', '_').replace('.', '_')}.py"


def _write(path: Path, data: bytes, written: list[Path]) -> None:
    """Create a new file: never overwrite one, also not through a link."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    written.append(path)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(data)
    except OSError as error:
        error.filename = str(path)  # a write that finds no room names no file
        raise


def _edited(text: str, name: str, old: Path, project: str, *, elsewhere: bool, settings: Mapping[str, Any] = {}) -> str:
    """The text with new title, part, lesson, project and settings; all other characters stay the same.

    If the copy lies `elsewhere`, relative paths in the config are rewritten, so that they still name the same files.
    """
    if settings:
        text = _with_settings(text, settings)
    values = {"title": name, "part": "Own recipes", "lesson": f"from {old.stem}", "project": project}
    cuts: list[tuple[int, int, str]] = []
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in root.value:
        if key.value in values:
            cuts.append((value.start_mark.index, _end(value, text), values[key.value]))
        elif key.value == "config" and elsewhere:
            moved = [(node, paths.rooted(node.value, old.parent)) for node in _scalars(value)]
            cuts += [(node.start_mark.index, _end(node, text), new) for node, new in moved if new != node.value]
    # From the end to the start, so that earlier positions stay valid.
    for start, end, new in sorted(cuts, reverse=True):
        text = text[:start] + " " * (text[start - 1] == ":") + _quoted(new) + text[end:]
    return text


def _with_settings(text: str, settings: Mapping[str, Any]) -> str:
    """The text of a recipe with these settings, and without `tune`."""
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, node in root.value:
        if key.value == "tune":
            end = _tail(node, text)
            text = text[: key.start_mark.index] + text[end + (text[end : end + 1] == "\n") :]
            break
    for dotted, value in settings.items():
        # Composed again for each: a change moves what stands behind it.
        text = _with_setting(text, yaml.compose(text, Loader=yaml.SafeLoader), dotted.split("."), yaml_reader.flow_text(value))
    return text


def _with_setting(text: str, node: Any, path: Sequence[str], value: str) -> str:
    """The text with one setting: `config.dropout`, or `config.hidden.0`, an item of a list."""
    for place, part in enumerate(path):
        if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
        elif isinstance(node, yaml.MappingNode) and (inside := [item for name, item in node.value if name.value == part]):
            node = inside[0]
        elif isinstance(node, yaml.MappingNode) and place == len(path) - 1:
            if node.flow_style or not node.value:
                end = node.end_mark.index - 1
                return f"{text[:end]}{', ' * bool(node.value)}{part}: {value}{text[end:]}"
            end = _tail(node, text)
            return f"{text[:end]}\n{' ' * node.value[0][0].start_mark.column}{part}: {value}{text[end:]}"
        elif place == 0 and len(path) == 2:
            return f"{text.rstrip()}\n{part}: {{{path[1]}: {value}}}\n"
        else:
            raise Problem(f"{one_line('.'.join(path), 80)} is no setting that can be written into this recipe.", "Edit a copy: `dlwb new`.")
    start = node.start_mark.index
    return text[:start] + " " * (text[start - 1] == ":") + value + text[_tail(node, text) :]


def _tail(node: yaml.Node, text: str) -> int:
    """Where the last character of a node is: a block ends only where the next key begins, behind comments that are not its own."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _tail(last[1] if isinstance(node, yaml.MappingNode) else last, text)
    return _end(node, text)


def _scalars(node: yaml.Node) -> list[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        return [node]
    parts = [value for _, value in node.value] if isinstance(node, yaml.MappingNode) else node.value
    return [scalar for part in parts for scalar in _scalars(part)]


def _end(node: yaml.Node, text: str) -> int:
    """Where a node's text ends. A block scalar includes the line break before the next key, which must stay."""
    end: int = node.end_mark.index
    return end - 1 if end > node.start_mark.index and text[end - 1] == "\n" else end


def _quoted(text: str) -> str:
    plain = re.fullmatch(r"[A-Za-z./~][\w./~ -]*", text) and isinstance(yaml_values.scalar(text), str) and text == text.strip()
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
