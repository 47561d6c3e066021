"""Why a GPU runs below its highest clock: the bits of the meter `system/gpu_slowed`, as words (NVML API, nvmlClocksEventReasons)."""

import math

REASONS = {
    0x02: "application clocks",
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
    0x100: "display clocks",
}
"""By bit. 0x01, idle, slows nothing down."""
HARMFUL = 0x08 | 0x20 | 0x40 | 0x80
"""Those that are no setting and no usual limit: heat, and a failing supply of power."""


def named(reading: float | None, among: int = ~0x01) -> list[str]:
    """The reasons in a reading; none where there is no reading. One that this version does not know is named by its bit."""
    if reading is None or not math.isfinite(reading) or not 0 <= reading < 2**53:
        return []
    bits = int(reading) & among
    return [REASONS.get(1 << place, f"bit {place}") for place in range(bits.bit_length()) if bits >> place & 1]
