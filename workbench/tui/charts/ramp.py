"""Colours of series beyond the eight of the stylesheet: more categories, and a continuous ramp for the values of a setting."""

import math
from collections.abc import Sequence

from workbench.tui.charts.plot import SLOTS

MORE = {
    True: (
        "#9aa5ff",
        "#ff8f7a",
        "#b7e08a",
        "#e8a5e0",
        "#7fd3ff",
        "#d6b08c",
        "#8ee3c8",
        "#ffd08a",
        "#c9c2ff",
        "#e0e5a0",
        "#f5a8bd",
        "#a9d0c0",
    ),
    False: (
        "#3a45b8",
        "#a5321f",
        "#4a6b10",
        "#8a2a80",
        "#0a5f8a",
        "#6b4a25",
        "#0a6b50",
        "#8a5a10",
        "#4a3aa0",
        "#5a6010",
        "#9a2a4a",
        "#2a5a4a",
    ),
}
"""Twelve categories more, on a dark and on a light ground."""
# viridis (Smith and van der Walt 2015) without the end that the ground would swallow: its lightness rises evenly, for every eye.
ANCHORS = {
    True: ("#5b6cff", "#3d9be0", "#2dbfa3", "#8ad554", "#fde725"),
    False: ("#440154", "#3b528b", "#21808d", "#2c8a3c", "#9a7400"),
}
SIXTEEN = ("#5555ff", "#55ffff", "#55ff55", "#ffff55", "#ff5555")
"""The ramp of a terminal with sixteen colours."""
CATEGORIES = SLOTS + len(MORE[True])
"""Slots of categories; those of the ramp follow."""
STEPS = 32
"""Slots of the ramp: more steps cannot be told apart."""


def slots(values: Sequence[float | None], *, missing: int = SLOTS - 1) -> tuple[list[int], bool]:
    """A slot of the ramp for each value, and whether the ramp is logarithmic: where all are positive and far apart. None is `missing`'s."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    log = low > 0 and high >= 50 * low
    span = math.log(high / low) if log else high - low
    places = []
    for value in values:
        if value is None or not math.isfinite(value):
            places.append(missing)
        else:
            share = 0.5 if span <= 0 else (math.log(value / low) if log else value - low) / span
            places.append(CATEGORIES + round(share * (STEPS - 1)))
    return places, log


def color(slot: int, *, dark: bool = True, sixteen: bool = False) -> str:
    """The colour of a slot beyond the stylesheet's, as #rrggbb."""
    if slot < CATEGORIES:
        return SIXTEEN[slot % len(SIXTEEN)] if sixteen else MORE[dark][(slot - SLOTS) % len(MORE[dark])]
    share = min(STEPS - 1, slot - CATEGORIES) / (STEPS - 1)
    if sixteen:
        return SIXTEEN[round(share * (len(SIXTEEN) - 1))]
    anchors = ANCHORS[dark]
    place = share * (len(anchors) - 1)
    left = min(int(place), len(anchors) - 2)
    ends = [[int(anchor[at : at + 2], 16) for at in (1, 3, 5)] for anchor in anchors[left : left + 2]]
    mixed = [round(low + (high - low) * (place - left)) for low, high in zip(*ends, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)
