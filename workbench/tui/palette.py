"""The one palette: colours by meaning, as Rich styles for the Line API. Readable in true colour, 256 and 16 colours."""

from rich.style import Style

GROUND = "#0f1318"
RAISED = "#202a36"
FRAME = "#3a424b"
TEXT = "#d5dce4"
DIM = "#8e969e"
FAINT = "#61686f"
ACCENT = "#62b6ea"
GOOD = "#5fc86f"
WARN = "#e5c06e"
BAD = "#f07f83"
VIOLET = "#bb9ff5"

plain = Style(color=TEXT, bgcolor=GROUND)
bold = Style(color=TEXT, bgcolor=GROUND, bold=True)
dim = Style(color=DIM, bgcolor=GROUND)
faint = Style(color=FAINT, bgcolor=GROUND)
accent = Style(color=ACCENT, bgcolor=GROUND)
heading = Style(color=ACCENT, bgcolor=GROUND, bold=True)
good = Style(color=GOOD, bgcolor=GROUND)
warn = Style(color=WARN, bgcolor=GROUND)
bad = Style(color=BAD, bgcolor=GROUND)
violet = Style(color=VIOLET, bgcolor=GROUND)
badge = Style(color=GROUND, bgcolor=WARN, bold=True)
chosen = Style(bgcolor=RAISED)
"""Laid over the row under the cursor."""
