"""Numbers and times as text, for screens and the shell. Pure functions."""

import math
import time
from collections.abc import Mapping
from typing import Any

from workbench.problems import one_line


def number(value: float) -> str:
    """A figure with three to five significant digits: 0.0183, 0.000152, 2.303, 1.20e-5, 12,480."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    size = abs(value)
    if value == int(value) and size < 1e6:
        return f"{int(value):,}"
    if size >= 1e6 or size < 1e-4:
        return f"{value:.2e}".replace("e-0", "e-").replace("e+0", "e")
    if size >= 1000:
        return f"{value:,.0f}"
    # Four decimals, and more of them where they would leave fewer than three digits: 0.000152.
    if size >= 1e-2:
        return f"{value:.4f}" if size < 1 else f"{value:.4g}"
    text = f"{value:.{2 - math.floor(math.log10(size))}f}"
    return f"{value:.4f}" if float(text) == float(f"{value:.4f}") else text


def count(value: float) -> str:
    """A whole number with separators; from ten million in millions: 12.3 M."""
    return f"{value:,.0f}" if value < 1e7 else f"{value / 1e6:,.1f} M"


def gib(size: float) -> str:
    """Bytes of memory or disk: 0.4 GiB, 78 GiB."""
    return f"{size / 2**30:.1f} GiB" if size < 10 * 2**30 else f"{size / 2**30:,.0f} GiB"


def size(bytes_: float) -> str:
    """A number of bytes, in units of 1,000: 512 B, 9.1 kB, 340 MB, 12 GB."""
    unit = 0
    # 999.5 would be rounded to 1000, which belongs to the next unit.
    while bytes_ >= 999.5 and unit < 4:
        bytes_, unit = bytes_ / 1000, unit + 1
    return f"{bytes_:.{1 if unit and bytes_ < 9.95 else 0}f} {('B', 'kB', 'MB', 'GB', 'TB')[unit]}"


def duration(seconds: float) -> str:
    """A duration as a clock shows it: 0:07, 12:03, 1:02:03, 2 d 3 h."""
    total = int(min(max(0.0, seconds), 1e12))
    if total >= 172800:
        return f"{total // 86400} d {total % 86400 // 3600} h"
    minutes, rest = divmod(total, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def short(seconds: float) -> str:
    """A duration in one unit: 0.12 s, 4 s, 90 s, 7 min, 3 h."""
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def hours(hours: float) -> str:
    """Device-hours: 42 s, 12 min, 1.4 h, 1,204 h."""
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s" if hours else "0 h"
    return f"{hours * 60:.0f} min" if hours < 0.995 else f"{hours:.1f} h" if hours < 99.95 else f"{hours:,.0f} h"


def when(moment: float, now: float | None = None) -> str:
    """A past moment: 14:05 if it is today or less than half a day ago, else yesterday, 3 Nov, 3 Nov 2024."""
    if not moment:
        return ""
    now = time.time() if now is None else now
    try:
        then, today = time.localtime(moment), time.localtime(now)
    except (OverflowError, ValueError, OSError):
        return "?"  # outside the calendar's range, for example from a damaged file
    # Compared at noon, so that a change to summer time does not shift the day.
    days = (time.mktime((*today[:3], 12, 0, 0, 0, 0, -1)) - time.mktime((*then[:3], 12, 0, 0, 0, 0, -1))) / 86400
    if days < 0.5 or now - moment < 12 * 3600:
        return time.strftime("%H:%M", then)
    if days < 1.5:
        return "yesterday"
    return f"{then.tm_mday} {time.strftime('%b', then)}" + ("" if then.tm_year == today.tm_year else f" {then.tm_year}")


def rate(per_second: float) -> str:
    """Steps per second; below one, seconds per step."""
    if per_second >= 0.95:
        return f"{count(per_second) if per_second >= 10 else f'{per_second:.1f}'} steps/s"
    return f"{short(1 / per_second)}/step" if per_second > 0 else ""


def settings(values: Mapping[str, Any]) -> str:
    """`learning_rate 0.01, batch_size 32`: settings by dotted names, which lose their section here."""
    return ", ".join(f"{one_line(name.partition('.')[2] or name, 60)} {shown(value)}" for name, value in values.items())


def shown(value: Any) -> str:
    """A setting's value on one line, as a recipe writes it."""
    import msgspec  # completion in the shell does without

    if isinstance(value, str):
        return one_line(value) or '""'

    return f"{value:g}" if isinstance(value, float) else one_line(msgspec.json.encode(value).decode())
