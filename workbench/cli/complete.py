"""The completions of a shell's tab key: commands, options, recipes, runs, data sets, settings. It reads little, to answer at once."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from workbench import paths

PLAIN = re.compile(r"[\w.,:+=@%~-]+")
"""Names without characters that are special in a shell; other names are not offered."""
Offer = tuple[str, str]
"""A completion, and a few words about it."""


def answer(instruction: str) -> None:
    """Print the completions of the word under the cursor, one on each line, in the form that the shell's script reads."""
    shell = instruction.removeprefix("complete_")
    words = os.environ.get("COMP_WORDS", "")
    typed = words.split("\n") if "\n" in words else words.split()
    typed = [*typed, ""][: int(os.environ.get("COMP_CWORD", len(typed))) + 1]
    if shell == "bash":
        typed = _rejoined(typed)
    *before, current = typed[1:] or [""]
    offers = [(value, text) for value, text in _offers(before, current) if value.startswith(current)]
    # For bash = and : end a word: it wants only the part after them.
    cut = max(current.rfind("="), current.rfind(":")) + 1 if shell == "bash" else 0
    for value, text in offers:
        about = " ".join(text.split()).rstrip(".")
        if shell == "zsh":
            print(value.replace(":", r"\:") + (f":{about}" if about else ""))
        elif shell == "fish":
            print(f"{value}\t{about}" if about else value)
        else:
            print(value[cut:])


def _rejoined(words: Sequence[str]) -> list[str]:
    """The words as a person typed them: bash splits `dogs:21` and `--set=a` into three."""
    joined: list[str] = []
    for word in words:
        if joined and (word in ("=", ":") or joined[-1].endswith(("=", ":"))):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _offers(before: Sequence[str], current: str) -> Iterable[Offer]:
    """Follow the commands along the words before the cursor, and offer what the current word can be."""
    import typer

    from workbench.cli import commands

    command: Any = typer.main.get_command(commands.shell())
    arguments: list[str] = []
    waiting = None
    for word in before:
        options = _options(command)
        if waiting:
            waiting = None
        elif word in options:
            # An option that is no flag takes the next word as its value.
            waiting = None if options[word].is_flag else options[word]
        elif hasattr(command, "commands") and not word.startswith("-"):
            command = command.commands.get(word)
            if command is None:
                return []
        elif not word.startswith("-"):
            arguments.append(word)
    options = _options(command)
    option, equals, _ = current.partition("=")
    if waiting is None and equals and option in options:
        return [(f"{option}={value}", text) for value, text in _values(options[option].name, command.name, arguments)]
    if waiting is not None:
        return _values(waiting.name, command.name, arguments)
    if current.startswith("-"):
        return [*((name, option.help or "") for name, option in options.items()), ("--help", "")]
    if hasattr(command, "commands"):
        return [(name, subcommand.get_short_help_str(100)) for name, subcommand in command.commands.items() if not subcommand.hidden]
    positional = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    # nargs -1: the last argument takes any number of words.
    if len(arguments) >= len(positional) and not (positional and positional[-1].nargs == -1):
        return []
    return _values(positional[min(len(arguments), len(positional) - 1)].name, command.name, arguments)


def _options(command: Any) -> dict[str, Any]:
    return {name: parameter for parameter in command.params if parameter.param_type_name == "option" for name in parameter.opts}


def _values(parameter: str, command: str, arguments: Sequence[str]) -> Iterable[Offer]:
    """The values of a parameter with this name."""
    if parameter in ("recipe", "recipes", "source"):
        return [(name, "") for name in recipe_names()]
    if parameter in ("run", "runs", "references", "checkpoints"):
        comparisons = comparison_names() if command in ("compare", "delete", "export", "resume", "stop", "wait") else []
        tunings = tuning_names() if command in ("delete", "resume", "stop", "wait") else []
        return [(name, "") for name in [*run_names(), *comparisons, *tunings]]
    if parameter == "tuning":
        return [(name, "") for name in tuning_names()]
    if parameter in ("data_set", "data_sets"):
        return data_sets()
    if parameter == "endpoint":
        return [(name, "") for name in _names(paths.endpoints())]
    if parameter == "settings" and arguments:
        return setting_keys(arguments[0])
    if parameter == "device":
        return [("auto", ""), ("cpu", ""), ("cuda", "")]
    if parameter == "to":
        notes = {"html": "one page", "ipynb": "a notebook", "bundle": "to train it again elsewhere"}
        return [(form, notes.get(form, "")) for form in ("html", "csv", "json", "tensorboard", "ipynb", "bundle")]
    return []


def recipe_names() -> list[str]:
    """The names of all recipes, from their files' names: no file is read."""
    files = sorted(file for folder in paths.recipe_folders() for file in folder.rglob("[!.]*.yaml"))
    return [file.stem for file in files if PLAIN.fullmatch(file.stem)]


def run_names() -> list[str]:
    """`last`, the recipes that have runs, and all ids, newest first."""
    try:
        names = sorted(filter(PLAIN.fullmatch, os.listdir(paths.runs())), reverse=True)
    except OSError:
        return []
    # .trash holds deleted runs.
    names = [name for name in names if not name.startswith(".")]
    return ["last", *dict.fromkeys(name.split("_", 2)[-1].partition("~")[0] for name in names), *names]


def comparison_names() -> list[str]:
    """The ids of all comparisons."""
    return _names(paths.comparisons())


def tuning_names() -> list[str]:
    """The ids of all tunings."""
    return _names(paths.tunings())


def _names(folder: Path) -> list[str]:
    """The names in a folder, hidden ones left out."""
    try:
        return sorted(name for name in os.listdir(folder) if PLAIN.fullmatch(name) and not name.startswith("."))
    except OSError:
        return []


def data_sets() -> list[Offer]:
    """The names of the catalogue's data sets and variants."""
    from workbench.datasets.store.catalog import catalog

    sets = catalog()
    variants = [(f"{name}:{variant}", about.title) for name, data_set in sets.items() for variant, about in data_set.variants.items()]
    return [*((name, data_set.title) for name, data_set in sets.items()), *variants]


def setting_keys(recipe: str) -> list[Offer]:
    """Settings (`config.learning_rate=`, …) of a recipe, by name or path, if its project is shipped."""
    import json

    files = [file for folder in paths.recipe_folders() for file in folder.rglob("[!.]*.yaml") if recipe in (file.stem, str(file))]
    try:
        text = files[0].read_text(encoding="utf-8") if files else ""
        # A whole YAML reader would take longer than a tab may wait.
        project = re.search(r"^project: *([\w-]+)", text, re.MULTILINE)
        schemas = json.loads((paths.projects() / "schemas.json").read_bytes())
        properties = schemas[project[1]]["schema"]["config"]["properties"] if project else {}
    except (OSError, ValueError, KeyError):
        properties = {}
    from workbench.recipes.recipe import Compute, Train

    offers = [(f"config.{name}=", str(definition.get("description", ""))) for name, definition in properties.items()]
    offers += [(f"{section}.{name}=", "") for section, kind in (("train", Train), ("compute", Compute)) for name in kind.__struct_fields__]
    return [*offers, ("seed=", "")]
