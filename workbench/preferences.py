"""What a person prefers: a small JSON file in the home, set with `dlwb preferences`. Whatever else stands there reads as the default."""

from typing import NamedTuple

import msgspec

from workbench import files, paths
from workbench.problems import Problem, nearest, one_line


class Preference(NamedTuple):
    """One thing that can be preferred; the first choice is the default."""

    choices: tuple[str, ...]
    about: str


KNOWN: dict[str, Preference] = {
    "theme": Preference(("auto", "dark", "light", "sixteen"), "colours: as the terminal says of itself, dark, light, its own sixteen"),
    "notice": Preference(("bell", "notice", "off"), "when a run ends while dlwb is open: the bell, the bell and a desktop notice, nothing"),
}


def get(name: str) -> str:
    """What is preferred, or the default."""
    value = files.read_object(paths.preferences()).get(name)
    return value if value in KNOWN[name].choices else KNOWN[name].choices[0]


def put(name: str, value: str) -> None:
    """Prefer this from now on; what a newer version keeps in the file stays. Raises Problem for a name or value that is not known."""
    if name not in KNOWN:
        raise Problem(f"{one_line(name)} is no preference{nearest(name, KNOWN) or '.'}", f"Preferences: {', '.join(KNOWN)}.")
    if value not in KNOWN[name].choices:
        raise Problem(f"{name} cannot be {one_line(value)}.", f"It is one of: {', '.join(KNOWN[name].choices)}.")
    paths.home().mkdir(parents=True, exist_ok=True)
    kept = {**files.read_object(paths.preferences()), name: value}
    files.write(paths.preferences(), msgspec.json.format(msgspec.json.encode(kept)), sync=False)
