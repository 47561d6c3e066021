"""Reads one small YAML file as plain data with the line of every setting; scalars are ours. `load_recipe` calls it."""

import json
import os
import re
from pathlib import Path
from typing import Any

from workbench import files
from workbench.problems import Problem, clean, one_line
from workbench.recipes.yaml_values import Document, Fault, scalar

SIZE_LIMIT = 256 * 1024


def read(path: Path, *, follow: bool = True) -> Document:
    """The file's data. Raises Problem where there is no readable text; errors in the text are in `faults`."""
    return parse(text_of(path, follow=follow))


def flow(text: str) -> Document:
    """What a person typed after `=`: a bracketed or quoted YAML value, or one scalar."""
    text = text.strip()
    if text[:1] in ("[", "{", '"', "'"):
        return parse(text)
    text = clean(text)
    try:
        value = scalar(text)
    except ValueError as error:
        return Document(None, {}, [Fault((), str(error))], {})
    return Document(value, {}, [], {} if isinstance(value, str) else {(): text})


def flow_value(text: str) -> tuple[Any, str]:
    """The value of `flow`, before a schema has seen it; and its error, or ""."""
    document = flow(text)
    return document.value, "; ".join(fault.text for fault in document.faults)


def flow_text(value: Any) -> str:
    """A value as it is typed after `=`; `flow_value` reads the same value back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow_item, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow_item(name)}: {_flow_item(item)}" for name, item in value.items()) + "}"
    if not isinstance(value, str):
        return str(value)
    try:
        plain = isinstance(scalar(value), str) and value[:1] not in "[{\"'" and value == clean(value).strip()
    except ValueError:
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False)


def _flow_item(value: Any) -> str:
    """A value inside brackets: a word that contains brackets, commas or the like is quoted."""
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_./][\w./-]*", value):
        return json.dumps(value, ensure_ascii=False)
    return flow_text(value)


def text_of(path: Path, *, follow: bool = True) -> str:
    """A recipe file's text; Problem where there is no such file, it is too long, or it is not UTF-8.

    Without `follow` no link is followed: for the recipe of a run, which another person may have made.
    """
    shown = one_line(str(path))
    try:
        data = files.read_plain(path, SIZE_LIMIT + 1, follow=follow)
    except FileNotFoundError:
        raise Problem(f"There is no file {shown}.") from None
    except ValueError as error:  # a zero byte in its name
        raise Problem(f"{shown} cannot be read: {error}.") from None
    except OSError as error:
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a folder that may not be read
            raise Problem(f"{shown} is a folder, not a recipe.", "Name a .yaml file.") from None
        raise files.problem(shown, "read", error, path) from None
    if len(data) > SIZE_LIMIT:
        raise Problem(f"{shown} is larger than {SIZE_LIMIT // 1024} KiB.", "That is not a recipe.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Problem(f"{shown}:{line} is not UTF-8 text (byte {data[error.start]:#04x}).", "Save it as UTF-8.") from None


_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse(text: str) -> Document:
    """The text's data; errors in the text never raise."""
    bad = _UNPRINTABLE.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        return Document(None, {}, [Fault((), f"has a control character (U+{ord(bad[0]):04X}), which no text has", line)], {})
    # PyYAML takes long to import, and a start whose recipes are all in their index needs none.
    from workbench.recipes.yaml_builder import build

    return build(text)
