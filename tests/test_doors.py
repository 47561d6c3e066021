"""The doors for people's own files: what earlier versions and the README import goes on to work, and is the very same thing."""

import importlib

import pytest

import workbench.torchkit as torchkit

DOORS = {
    "workbench.project": ("Batches", "Field", "Own", "Project", "Request", "Settings", "live"),
    "workbench.events": ("Curve", "Images", "Matrix", "Scalars", "Scatter", "Table", "Text"),
    "workbench.torchkit.project": ("TorchProject",),
    "workbench.torchkit.batches": ("InMemory",),
    "workbench.torchkit.schedules": ("set_rate",),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_gives_what_is_behind_it(door: str) -> None:
    module = importlib.import_module(door)
    for name in DOORS[door]:
        defined = getattr(module, name)
        home = importlib.import_module(getattr(defined, "__module__", door))
        assert getattr(home, name, defined) is defined


def test_torchkit_is_one_door_for_all_of_it() -> None:
    for name in torchkit.__all__:
        assert getattr(torchkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Wine'"):
        torchkit.Wine
