"""A person's preferences: a small JSON file in the home, set with `dlwb preferences`. Unknown values read as the default."""

import re
from typing import NamedTuple

import msgspec

from workbench import files, paths
from workbench.problems import Problem, nearest, one_line


class Preference(NamedTuple):
    """One preference; the first choice is the default."""

    choices: tuple[str, ...]
    about: str
    number: str = ""
    """What a number stands for, which is a choice too; "" where none is."""

    def allows(self, value: object) -> bool:
        """Whether it may have this value."""
        return value in self.choices or bool(self.number and isinstance(value, str) and _NUMBER.fullmatch(value) and float(value) > 0)

    @property
    def offered(self) -> str:
        """The choices in words."""
        return ", ".join([*self.choices, *filter(None, [self.number])])


_NUMBER = re.compile(r"\d{1,7}(\.\d{1,3})?")


KNOWN: dict[str, Preference] = {
    "theme": Preference(("auto", "dark", "light", "sixteen"), "colours: as the terminal reports, dark, light, or its own 16 colours"),
    "notice": Preference(("bell", "notice", "off"), "when a run ends while dlwb is open: the bell, the bell and a desktop notice, nothing"),
    "warm": Preference(
        ("on", "off"), "while dlwb is open, a Python with torch waits, so that runs start at once; `dlwb doctor` says its memory"
    ),
    "budget": Preference(("off",), "from 80 % of it on, a start warns; `dlwb usage` shows what is used of it", "a number of device-hours"),
}


def get(name: str) -> str:
    """The value of a preference, or its default."""
    value = files.read_object(paths.preferences()).get(name)
    return str(value) if KNOWN[name].allows(value) else KNOWN[name].choices[0]


def put(name: str, value: str) -> None:
    """Save a preference; entries of a newer version in the file stay. Raises Problem for an unknown name or value."""
    if name not in KNOWN:
        raise Problem(f"{one_line(name)} is not a preference{nearest(name, KNOWN) or '.'}", f"Preferences: {', '.join(KNOWN)}.")
    if not KNOWN[name].allows(value):
        raise Problem(f"{name} cannot be {one_line(value)}.", f"It is one of: {KNOWN[name].offered}.")
    changed = {**files.read_object(paths.preferences()), name: value}
    try:
        paths.home().mkdir(parents=True, exist_ok=True)
        files.write(paths.preferences(), msgspec.json.format(msgspec.json.encode(changed)), sync=False)
    except OSError as error:
        raise files.problem(str(paths.preferences()), "written", error, paths.preferences()) from error
