"""Checks of the terminal: colours (also through tmux and screen), encoding, size, the Escape key."""

import os
import re
from collections.abc import Mapping

from workbench.launch.doctor.finding import Finding, output

SIZE = (80, 24)


def look() -> list[Finding]:
    """Run these checks; without a terminal only the encoding is checked."""
    findings = [encoding(os.environ)]
    size = next((measured for measured in map(_size, (0, 1, 2)) if measured), None)
    if size is None:
        return findings
    tmux: dict[str, str] | None = None
    if os.environ.get("TMUX"):
        options = {
            "features": "terminal-features",
            "overrides": "terminal-overrides",
            "escape": "escape-time",
            "terminal": "default-terminal",
        }
        tmux = {name: output(["tmux", "show-options", "-gsv", option]) for name, option in options.items()}
        tmux["client"] = output(["tmux", "display-message", "-p", "#{client_termfeatures}"])
        tmux["name"] = output(["tmux", "display-message", "-p", "#{client_termname}"]).strip()
    return [*findings, big_enough(size), colours(os.environ, tmux), *escape(tmux)]


def _size(file: int) -> tuple[int, int] | None:
    try:
        window = os.get_terminal_size(file)
    except OSError:
        return None
    return (window.columns, window.lines) if window.columns else None


def big_enough(size: tuple[int, int]) -> Finding:
    """Whether the terminal has enough columns and rows."""
    text = f"{size[0]}x{size[1]} characters."
    if size[0] < SIZE[0] or size[1] < SIZE[1]:
        return Finding("size", "warn", text, f"{SIZE[0]}x{SIZE[1]} show a whole run; make the window larger or the font smaller.")
    return Finding("size", "ok", text)


def encoding(environment: Mapping[str, str]) -> Finding:
    """Whether the encoding is UTF-8; otherwise curves are question marks (locale(7): LC_ALL, then LC_CTYPE, then LANG)."""
    name = next((word for key in ("LC_ALL", "LC_CTYPE", "LANG") if (word := environment.get(key))), "")
    if "utf8" in name.lower().replace("-", "") or environment.get("PYTHONUTF8") == "1":
        return Finding("encoding", "ok", f"UTF-8 ({name}).")
    text = f"The terminal's encoding is not UTF-8 ({name or 'LANG is not set'}): curves may show as question marks."
    return Finding("encoding", "warn", text, "export LC_ALL=C.UTF-8, on this machine.")


def colours(environment: Mapping[str, str], tmux: Mapping[str, str] | None) -> Finding:
    """How many colours reach the screen. dlwb trusts COLORTERM; tmux passes on the colours that it thinks its own terminal has."""
    term = environment.get("TERM", "")
    announced = environment.get("COLORTERM", "").lower() in ("truecolor", "24bit") or term.endswith("-direct")
    if environment.get("NO_COLOR"):
        return Finding("colours", "warn", "NO_COLOR is set: dlwb is drawn in one colour.", "unset NO_COLOR")
    if tmux is not None:
        outer = tmux.get("name") or "xterm-256color"
        passes = "RGB" in tmux.get("client", "").split(",") or passes_true_colour(tmux, outer)
        lines = [] if passes else [f"set -as terminal-features ',{outer}:RGB'"]
        # Programs in tmux get the environment of its server, so COLORTERM must be set there.
        if not announced:
            lines.append("set-environment -g COLORTERM truecolor")
        if not re.search("256col|direct", tmux.get("terminal", "tmux-256color")):
            lines.insert(0, "set -g default-terminal tmux-256color")
        if not lines:
            return Finding("colours", "ok", "True colour, through tmux.")
        text = "tmux passes on 256 colours." if not passes else "tmux passes on true colour, but programs in it do not know that."
        return Finding("colours", "warn", text, f"In ~/.tmux.conf, then `tmux kill-server`: {'; '.join(lines)}")
    if environment.get("STY") or term.startswith("screen"):
        text = "GNU screen passes on 256 colours at most."
        return Finding("colours", "warn", text, "screen 5: `truecolor on` in ~/.screenrc, export COLORTERM=truecolor. Or use tmux.")
    if announced:
        return Finding("colours", "ok", "True colour.")
    if "256color" in term or re.match("alacritty|xterm-kitty|foot|wezterm", term):
        text = f"256 colours (TERM={term}, COLORTERM is not set). SSH does not pass COLORTERM on by itself."
        return Finding("colours", "warn", text, "If your terminal has true colour: export COLORTERM=truecolor, on this machine.")
    text = f"16 colours or fewer (TERM={term or 'not set'})."
    return Finding("colours", "warn", text, "export TERM=xterm-256color COLORTERM=truecolor, if your terminal can.")


def passes_true_colour(tmux: Mapping[str, str], outer: str) -> bool:
    """Whether tmux's options give its terminal true colour: `xterm*:…:RGB` as a feature, `…:Tc` or `:RGB` as an override (tmux(1))."""
    from fnmatch import fnmatch

    for line in (tmux.get("features", "") + "\n" + tmux.get("overrides", "")).replace(",", "\n").splitlines():
        pattern, *features = line.strip().strip("\"'").split(":")
        if pattern and fnmatch(outer, pattern) and {"RGB", "Tc"} & set(features):
            return True
    return False


def escape(tmux: Mapping[str, str] | None) -> list[Finding]:
    """Whether tmux delays the Escape key, which may be the start of a longer sequence, for a noticeable time."""
    delay = (tmux or {}).get("escape", "").strip()
    # Up to 50 ms are not noticed; tmux before 3.5 waits 500 ms by default.
    if not delay.isdigit() or int(delay) <= 50:
        return []
    return [Finding("escape", "warn", f"tmux delays the Esc key by {delay} ms.", "In ~/.tmux.conf: set -sg escape-time 10")]
