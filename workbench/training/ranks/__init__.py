"""One run trained by several processes: rank 0 leads the loop, the others take the same steps on their share of each batch's rows."""


class Lost(Exception):
    """Another process of the run is gone."""


GRACE = 10.0
"""Seconds that a process which lost another one waits for its end: whoever watches them all knows which one died, and of what."""
