"""A person's preferences: a small JSON file in the home, set with `dlwb preferences`. Unknown values read as the default."""

import re
import shlex
import shutil
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from workbench import files, paths
from workbench.problems import Problem, nearest, one_line


class Preference(NamedTuple):
    """One preference: one of a few choices, the first of which is the default, or a text of one's own."""

    choices: tuple[str, ...]
    about: str
    number: str = ""
    """What a number stands for, which is a choice too; "" where none is."""
    check: Callable[[str], str] | None = None
    """Of a text: why it cannot be used, as the end of a sentence; "" where it can."""
    default: str = ""

    def allows(self, value: object) -> bool:
        """Whether it may have this value, one of its choices."""
        return value in self.choices or bool(self.number and isinstance(value, str) and _NUMBER.fullmatch(value) and float(value) > 0)

    @property
    def offered(self) -> str:
        """The choices in words; "" where it takes a text."""
        return ", ".join([*self.choices, *filter(None, [self.number])])


_NUMBER = re.compile(r"\d{1,7}(\.\d{1,3})?")


SIGNALS = {
    "end": "a run, a comparison or a tuning has ended",
    "failure": "it has failed",
    "bar": "a run has passed a bar of its recipe",
    "stall": "no step for long, while its process lives",
}
"""What a signal may be about."""


def _signals(text: str) -> str:
    wrong = [word for word in words(text) if word not in SIGNALS]
    return f"be {one_line(wrong[0])}{nearest(wrong[0], SIGNALS)}: it takes {', '.join(SIGNALS)}, with commas" if wrong else ""


def _seconds(text: str) -> str:
    return "" if text.isascii() and text.isdigit() and len(text) < 8 else f"be {one_line(text)}: it takes a whole number of seconds"


def _command(text: str) -> str:
    try:
        program = shlex.split(text)[0]
    except (ValueError, IndexError):  # no words, or a quotation that does not end
        return f"be {one_line(text)}: it takes a program and its arguments, quoted as in a shell"
    return "" if shutil.which(program) else f"run {one_line(program)}: there is no such program"


def _webhook(text: str) -> str:
    from urllib.parse import urlsplit

    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or not text.isascii() or not text.isprintable() or " " in text:
        return "be read: it takes an address such as https://example.org/hook"
    if url.username is not None:
        return "hold a user's name or password: put the secret into its path, as the services do"
    if url.scheme == "https" or (url.scheme == "http" and host in ("127.0.0.1", "localhost", "::1")):
        return ""
    return f"go to {one_line(url.scheme)}://{one_line(host)}: it takes https; http only to 127.0.0.1 or localhost"


KNOWN: dict[str, Preference] = {
    "theme": Preference(("auto", "dark", "light", "sixteen"), "colours: as the terminal reports, dark, light, or its own 16 colours"),
    "notice": Preference(("bell", "notice", "off"), "at a signal while dlwb is open: the bell, the bell and a desktop notice, nothing"),
    "warm": Preference(
        ("on", "off"), "while dlwb is open, a Python with torch waits, so that runs start at once; `dlwb doctor` says its memory"
    ),
    "budget": Preference(("off",), "from 80 % of it on, a start warns; `dlwb usage` shows what is used of it", "a number of device-hours"),
    "notify.on": Preference((), f"which signals are given: {', '.join(SIGNALS)}", check=_signals, default=",".join(SIGNALS)),
    "notify.stall": Preference(
        (), "seconds without a step that are worth a signal, at least 20 times the usual", check=_seconds, default="120"
    ),
    "notify.after": Preference(
        (), "seconds: no signal at the end of a run that took less; a failure is always told", check=_seconds, default="0"
    ),
    "notify.command": Preference((), "program with arguments that is run at a signal, without a shell: see `dlwb notify`", check=_command),
    "notify.webhook": Preference((), "https address that a signal is sent to as JSON", check=_webhook),
}


def get(name: str) -> str:
    """The value of a preference, or its default."""
    known, value = KNOWN[name], files.read_object(paths.preferences()).get(name)
    if known.choices:
        return str(value) if known.allows(value) else known.choices[0]
    return value if isinstance(value, str) and not fault(name, value) else known.default


def is_given(name: str) -> bool:
    """Whether the file gives a value, one that cannot be used included."""
    return bool(files.read_object(paths.preferences()).get(name))


def fault(name: str, value: object) -> str:
    """Why a preference cannot have a value, in a sentence; "" where it can. An empty text stands for the default."""
    known = KNOWN[name]
    if known.choices:
        return "" if known.allows(value) else f"{name} cannot be {one_line(str(value))}."
    if not isinstance(value, str):
        return f"{name} cannot be {one_line(str(value))}: it takes a text."
    why = known.check(value) if known.check and value else ""
    return f"{name} cannot {why}." if why else ""


def faults(start: str = "") -> list[str]:
    """What stands in the file and cannot be used, of the preferences whose names begin so; the defaults hold in its place."""
    kept = files.read_object(paths.preferences())
    return [why for name in KNOWN if name.startswith(start) and name in kept and (why := fault(name, kept[name]))]


def words(text: str) -> list[str]:
    """The words of a list with commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def put(name: str, value: str) -> None:
    """Save a preference; entries of a newer version in the file stay. Raises Problem for an unknown name or value."""
    if name not in KNOWN:
        raise Problem(f"{one_line(name)} is not a preference{nearest(name, KNOWN) or '.'}", f"Preferences: {', '.join(KNOWN)}.")
    if why := fault(name, value):
        raise Problem(why, f"It is one of: {KNOWN[name].offered}." if KNOWN[name].choices else "")
    changed = {**files.read_object(paths.preferences()), name: value}
    if not value:
        del changed[name]
    try:
        paths.home().mkdir(parents=True, exist_ok=True)
        # For its owner alone: the address of a webhook is a secret.
        paths.preferences().touch()
        paths.preferences().chmod(0o600)
        files.write(paths.preferences(), msgspec.json.format(msgspec.json.encode(changed)), sync=False)
    except OSError as error:
        raise files.problem(str(paths.preferences()), "written", error, paths.preferences()) from error


def shown(name: str) -> str:
    """A preference's value as others may read it over the shoulder: of the webhook's address no more than where it leads."""
    value = get(name)
    if name != "notify.webhook" or not value:
        return value
    scheme, _, rest = value.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/…"
