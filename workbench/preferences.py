"""A person's preferences: a small JSON file in the home, set with `dlwb preferences`. Unknown values read as the default."""

from typing import NamedTuple

import msgspec

from workbench import files, paths
from workbench.problems import Problem, nearest, one_line


class Preference(NamedTuple):
    """One preference; the first choice is the default."""

    choices: tuple[str, ...]
    about: str


KNOWN: dict[str, Preference] = {
    "theme": Preference(("auto", "dark", "light", "sixteen"), "colours: as the terminal reports, dark, light, or its own 16 colours"),
    "notice": Preference(("bell", "notice", "off"), "when a run ends while dlwb is open: the bell, the bell and a desktop notice, nothing"),
    "warm": Preference(
        ("on", "off"), "while dlwb is open, a Python with torch waits, so that runs start at once; `dlwb doctor` says its memory"
    ),
}


def get(name: str) -> str:
    """The value of a preference, or its default."""
    value = files.read_object(paths.preferences()).get(name)
    return value if value in KNOWN[name].choices else KNOWN[name].choices[0]


def put(name: str, value: str) -> None:
    """Save a preference; entries of a newer version in the file stay. Raises Problem for an unknown name or value."""
    if name not in KNOWN:
        raise Problem(f"{one_line(name)} is not a preference{nearest(name, KNOWN) or '.'}", f"Preferences: {', '.join(KNOWN)}.")
    if value not in KNOWN[name].choices:
        raise Problem(f"{name} cannot be {one_line(value)}.", f"It is one of: {', '.join(KNOWN[name].choices)}.")
    changed = {**files.read_object(paths.preferences()), name: value}
    try:
        paths.home().mkdir(parents=True, exist_ok=True)
        files.write(paths.preferences(), msgspec.json.format(msgspec.json.encode(changed)), sync=False)
    except OSError as error:
        raise files.problem(str(paths.preferences()), "written", error, paths.preferences()) from error
