"""Colours by meaning, as Rich styles for the Line API and as variables of the stylesheets. `use` switches to another theme.

`dark` and `light` are readable in true colour and in 256 colours; `sixteen` uses the sixteen colours that every terminal has.
"""

import os
from typing import NamedTuple

from rich.style import Style


class Colors(NamedTuple):
    """The colours of one theme, as #rrggbb."""

    ground: str
    raised: str
    frame: str
    text: str
    dim: str
    faint: str
    accent: str
    good: str
    warn: str
    bad: str
    violet: str
    dark: bool


THEMES = {
    "dark": Colors(
        "#0f1318", "#202a36", "#3a424b", "#d5dce4", "#8e969e", "#61686f", "#62b6ea", "#5fc86f", "#e5c06e", "#f07f83", "#bb9ff5", True
    ),
    "light": Colors(
        "#fbfaf7", "#e6ebf1", "#c3c9cf", "#1e252c", "#555e67", "#858d95", "#1263ab", "#23771c", "#8a5a00", "#b8262e", "#6f3fb3", False
    ),
    # The terminal's own sixteen. Rich takes the nearest colour of its table; these values are nearest to the right one in every table.
    "sixteen": Colors(
        "#000000", "#0000aa", "#555555", "#ffffff", "#aaaaaa", "#555555", "#55ffff", "#55ff55", "#ffff55", "#ff5555", "#ff55ff", True
    ),
}
name = "dark"
"""The theme in use."""
plain: Style
bold: Style
dim: Style
faint: Style
accent: Style
heading: Style
good: Style
warn: Style
bad: Style
violet: Style
badge: Style
chosen: Style
"""Added to the style of the row under the cursor."""


def use(theme: str) -> None:
    """Draw everything in these colours from now on."""
    # Module variables: drawing code reads `palette.plain` when it draws, never at import, so a new theme holds everywhere at once.
    global name, plain, bold, dim, faint, accent, heading, good, warn, bad, violet, badge, chosen
    colors, name = THEMES[theme], theme
    ground = colors.ground
    plain, bold = Style(color=colors.text, bgcolor=ground), Style(color=colors.text, bgcolor=ground, bold=True)
    dim, faint = Style(color=colors.dim, bgcolor=ground), Style(color=colors.faint, bgcolor=ground)
    accent, heading = Style(color=colors.accent, bgcolor=ground), Style(color=colors.accent, bgcolor=ground, bold=True)
    good, warn, bad = (Style(color=color, bgcolor=ground) for color in (colors.good, colors.warn, colors.bad))
    violet = Style(color=colors.violet, bgcolor=ground)
    badge = Style(color=ground, bgcolor=colors.warn, bold=True)
    chosen = Style(bgcolor=colors.raised)


def fitting(color_system: str | None) -> str:
    """The theme for a terminal, from the number of its colours and from its background in $COLORFGBG ("15;0")."""
    if color_system == "standard":
        return "sixteen"
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    # rxvt, Konsole and iTerm2 set it; 7 and 15 are the two whites. Asking the terminal itself (OSC 11) would delay the first paint.
    return "light" if background in ("7", "15") else "dark"


def variables(theme: str) -> dict[str, str]:
    """A theme's colours as variables of the stylesheets: $ground, $raised, $frame, $text-color, $dim, $faint, $accent-color, $good, …"""
    # Textual has variables $text and $accent of its own, with other meanings.
    renamed = {"text": "text-color", "accent": "accent-color"}
    return {renamed.get(field, field): str(value) for field, value in THEMES[theme]._asdict().items() if field != "dark"}


use("dark")  # tests and tools draw without an app
