"""How numbers and times are written, on screen and in the shell. Pure."""

import math
import time


def number(value: float) -> str:
    """A figure in at most seven characters that tell: 0.0183, 2.303, 1.20e-5, 12,480."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    size = abs(value)
    if value == int(value) and size < 1e6:
        return f"{int(value):,}"
    if size >= 1e6 or size < 1e-4:
        return f"{value:.2e}".replace("e-0", "e-").replace("e+0", "e")
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if size < 1 else f"{value:.4g}"


def count(value: float) -> str:
    """A whole number with separators, or 1.2 M."""
    return f"{value:,.0f}" if value < 1e7 else f"{value / 1e6:,.1f} M"


def gib(size: float) -> str:
    """Bytes of memory or disk: 0.4 GiB, 78 GiB."""
    return f"{size / 2**30:.1f} GiB" if size < 10 * 2**30 else f"{size / 2**30:,.0f} GiB"


def size(bytes_: float) -> str:
    """So many bytes, in units of 1,000: 512 B, 9.1 kB, 340 MB, 12 GB."""
    unit = 0
    while bytes_ >= 999.5 and unit < 4:
        bytes_, unit = bytes_ / 1000, unit + 1
    return f"{bytes_:.{1 if unit and bytes_ < 9.95 else 0}f} {('B', 'kB', 'MB', 'GB', 'TB')[unit]}"


def duration(seconds: float) -> str:
    """0:07, 12:03, 1:02:03, 2 d 3 h."""
    whole = int(min(max(0.0, seconds), 1e12))
    if whole >= 172800:
        return f"{whole // 86400} d {whole % 86400 // 3600} h"
    minutes, rest = divmod(whole, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def short(seconds: float) -> str:
    """A span of time in one unit: 0.12 s, 4 s, 90 s, 7 min, 3 h."""
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def when(moment: float, now: float | None = None) -> str:
    """A past moment as a person would say it: 14:05 within half a day or today, yesterday, 3 Nov."""
    if not moment:
        return ""
    now = time.time() if now is None else now
    try:
        then, today = time.localtime(moment), time.localtime(now)
    except (OverflowError, ValueError, OSError):
        return "?"  # no moment that a calendar has
    days = (time.mktime((*today[:3], 12, 0, 0, 0, 0, -1)) - time.mktime((*then[:3], 12, 0, 0, 0, 0, -1))) / 86400
    if days < 0.5 or now - moment < 12 * 3600:
        return time.strftime("%H:%M", then)
    if days < 1.5:
        return "yesterday"
    return f"{then.tm_mday} {time.strftime('%b', then)}" + ("" if then.tm_year == today.tm_year else f" {then.tm_year}")


def rate(per_second: float) -> str:
    """Steps in a second, or seconds for a step where it is slow."""
    if per_second >= 0.95:
        return f"{count(per_second) if per_second >= 10 else f'{per_second:.1f}'} steps/s"
    return f"{short(1 / per_second)}/step" if per_second > 0 else ""
