"""All checks of the doctor's, and the table that `dlwb doctor` prints."""

import shutil
import sys
from collections.abc import Callable

from workbench.launch.doctor import accelerators, disks, session, terminal
from workbench.launch.doctor.finding import Finding
from workbench.listing import print_json
from workbench.problems import Problem, one_line

SIGNS = {"ok": "✓", "warn": "!", "bad": "✗", "unknown": "?"}
COLOURS = {"ok": "32", "warn": "33", "bad": "31", "unknown": "2"}
PARTS: dict[str, Callable[[], list[Finding]]] = {
    "Python and GPU": accelerators.look,
    "Disk": disks.look,
    "Session": session.look,
    "Terminal": terminal.look,
}


def show(as_json: bool) -> bool:
    """Print every finding as it is found; whether nothing is bad."""
    found: dict[str, list[Finding]] = {}
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    for part, look in PARTS.items():
        try:
            found[part] = look()
        except (OSError, Problem) as error:
            found[part] = [Finding(part.casefold(), "unknown", f"Could not be looked at: {error}.")]
        if not as_json:
            print(part)
            for each in found[part]:
                _print(each, width)
    every = [each for part in found.values() for each in part]
    if as_json:
        print_json([{"part": part, **_plain(each)} for part, each in ((part, each) for part in found for each in found[part])])
    bad, warned = (sum(each.level == level for each in every) for level in ("bad", "warn"))
    if not as_json:
        words = [f"{count} {name}" for count, name in ((bad, "bad"), (warned, f"warning{'s' * (warned != 1)}")) if count]
        print(f"\n{len(every)} checks: {', '.join(words) or 'all well'}.")
    return not bad


def _plain(each: Finding) -> dict[str, str]:
    return {"name": each.name, "level": each.level, "text": one_line(each.text, 1000), "mend": one_line(each.mend, 1000)}


def _print(each: Finding, width: int) -> None:
    import textwrap

    sign = SIGNS[each.level]
    if sys.stdout.isatty():
        sign = f"\x1b[{COLOURS[each.level]}m{sign}\x1b[0m"
    indent = " " * 17
    text = textwrap.fill(one_line(each.text, 1000), width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    print(f"  {sign} {each.name:<12} {text[17:]}")
    if each.mend and each.level != "ok":
        print(
            textwrap.fill(
                f"→ {one_line(each.mend, 1000)}", width, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
            )
        )
