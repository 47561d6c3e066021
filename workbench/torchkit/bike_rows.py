"""From the columns of hour.csv to the inputs of the bike networks, in tensors: a request has columns, of which a graph makes inputs."""

import math

import torch
from torch import Tensor

from workbench.datasets import bike_sharing

TAKEN = ("yr", "holiday", "temp", "hum", "windspeed", "season", "weathersit", "mnth", "hr", "weekday", "workingday", "atemp", "day")
"""Columns that a request has."""


def course_inputs(values: dict[str, Tensor], scaling: dict[str, tuple[float, float]]) -> Tensor:
    """`Hours.features` from the file's columns, (hours,) each: (hours, 56)."""
    columns = [values[name] for name in bike_sharing.PLAIN]
    columns += [(values[name] - scaling[name][0]) / scaling[name][1] for name in bike_sharing.SCALED]
    columns += [(values[name].round() == value).float() for name, known in bike_sharing.ONE_HOT.items() for value in known]
    return torch.stack(columns, 1)


def better_inputs(values: dict[str, Tensor]) -> Tensor:
    """`features` from the file's columns, (hours,) each: (hours, 70)."""
    year = values["day"] * (2 * math.pi / 365.25)
    columns = [
        (values["temp"] - 0.5) * 5,
        (values["atemp"] - 0.5) * 5,
        (values["hum"] - 0.6) * 5,
        (values["windspeed"] - 0.2) * 8,
        values["holiday"],
        (values["day"] - 400) / 200,
        *(wave(turns * year) for turns in (1, 2, 3) for wave in (torch.sin, torch.cos)),
    ]
    kinds = (
        (values["hr"].round() + 24 * values["workingday"].round(), range(48)),
        (values["weekday"].round(), range(7)),
        (values["weathersit"].round().clamp(1, 3), range(1, 4)),
    )
    return torch.stack([*columns, *((value == kind).float() for value, known in kinds for kind in known)], 1)
