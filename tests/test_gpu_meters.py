"""The meters of a GPU: each figure that the driver gives, none that it does not give, and what slows a GPU down by its name."""

import json
from pathlib import Path

import pytest
from gpu_machine import CUDA_LINE, launched, machine, python
from lines import ended, folded, write
from made_runs import RECIPE, make_run

from workbench.events import Scalars, Status
from workbench.runs import slowdowns
from workbench.runs.history import History
from workbench.runs.summary import summarize
from workbench.tui.models.run_feed import Feed
from workbench.tui.panels.figures import figure_lines
from workbench.tui.panels.run_header import title_line

READ = """
import json
from workbench.training.gpu_meters import GpuMeters
print(json.dumps({tag: value for tag, value in GpuMeters("cuda:0").read().items() if "gpu" in tag}))
"""
MEMORY = {"system/gpu_memory": 10000 / 1024, "system/gpu_memory_total": 80000 / 1024}
WHOLE = {
    "FAKE_USE": "97/41",
    "FAKE_TEMPERATURE": "64",
    "FAKE_POWER": "612345/700000",
    "FAKE_CLOCKS": "1830/3201/1980",
    "FAKE_SLOWED": "0x24",
}
FIGURES = {
    "system/gpu": 97.0,
    "system/gpu_bandwidth": 41.0,
    "system/gpu_temperature": 64.0,
    "system/gpu_power": 612.345,
    "system/gpu_power_limit": 700.0,
    "system/gpu_clock": 1830.0,
    "system/gpu_memory_clock": 3201.0,
    "system/gpu_clock_max": 1980.0,
    "system/gpu_slowed": 36.0,
}
LACKING = {
    "everything": ({}, {}),
    # A MIG instance has no use of its own; what follows it is there.
    "the use": (
        {"FAKE_TEMPERATURE": "64", "FAKE_POWER": "612345"},
        {"system/gpu_temperature": 64.0, "system/gpu_power": 612.345},
    ),
    "the temperature": (
        {"FAKE_USE": "0/0", "FAKE_CLOCKS": "210//"},
        {"system/gpu": 0.0, "system/gpu_bandwidth": 0.0, "system/gpu_clock": 210.0},
    ),
    "the new name of what slows it down": ({"FAKE_SLOWED": "0x40", "FAKE_OLD": "1"}, {"system/gpu_slowed": 64.0}),
}


def read(folder: Path, **more: str) -> dict[str, float]:
    values: dict[str, float] = json.loads(python(READ, machine(folder, "70000/80000", **more)))
    return values


def test_every_figure_that_the_driver_gives_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, **WHOLE) == {**MEMORY, **FIGURES}


@pytest.mark.parametrize("what", LACKING)
def test_what_a_card_lacks_is_left_out_and_costs_no_other_figure(tmp_path: Path, what: str) -> None:
    given, there = LACKING[what]
    assert read(tmp_path, **given) == {**MEMORY, **there}


@pytest.mark.usefixtures("nothing_is_left")
def test_a_run_logs_them(tmp_path: Path) -> None:
    (run,) = launched(write(tmp_path / "project", source=CUDA_LINE), machine(tmp_path, "70000/80000", **WHOLE))
    assert ended(run).state == "finished"
    assert {tag: folded(run).last(tag) for tag in FIGURES} == FIGURES


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (None, []),
        (0.0, []),
        (1.0, []),
        (4.0, ["power cap"]),
        (0x6A, ["application clocks", "hardware slowdown", "thermal slowdown", "hardware thermal slowdown"]),
        (float(1 << 40), ["bit 40"]),
        (float("nan"), []),
        (float("inf"), []),
        (-8.0, []),
        (1e300, []),
    ],
)
def test_what_slows_it_down_is_named(reading: float | None, words: list[str]) -> None:
    assert slowdowns.named(reading) == words


def history(**readings: float) -> History:
    folded_ = History()
    running = Status(state="running", from_step=-1, steps=100, device="cuda:0 NVIDIA H200")
    folded_.fold(
        [running, Scalars({"train/loss": 1.0}, step=10), Scalars({f"system/{name}": value for name, value in readings.items()}, step=10)]
    )
    return folded_


def panel(width: int, **readings: float) -> list[str]:
    folded_ = history(**readings)
    lines = [strip.text.rstrip() for strip in figure_lines(RECIPE, summarize(folded_, 1), folded_, width)]
    return lines[lines.index("machine") + 1 :]


def test_the_panel_shows_them_with_their_limits_and_leaves_out_what_is_not_there() -> None:
    shown = panel(40, **{tag.removeprefix("system/"): value for tag, value in FIGURES.items()})
    assert [" ".join(line.replace("━", "").replace("─", "").split()) for line in shown[:8]] == [
        "gpu 97 %",
        "bandwidth 41 %",
        "gpu power 612/700 W",
        "gpu clock 1,830 MHz",
        "gpu temp. 64 °C",
        "slowed by power cap",
        "thermal slowdown",
        "",
    ]
    assert shown[2].count("━") == round(612.345 / 700 * 17)
    assert [" ".join(line.split()) for line in panel(40, gpu_power=80.0)[:2]] == ["gpu power 80 W", ""]
    assert "gpu" not in " ".join(panel(40, cpu=90.0)[:2])


def test_the_header_says_first_what_should_not_slow_it_down() -> None:
    feed = Feed(make_run())
    feed.history = history(gpu=97.0, gpu_power=612.3, gpu_temperature=91.0, gpu_slowed=0x24)
    feed.state = feed.state.__class__(state="running", alive=True)

    def shown(width: int) -> str:
        return title_line(feed, RECIPE, width).text

    assert "cuda:0 NVIDIA H200  ! thermal slowdown  97 %  612 W  91 °C  ● running" in shown(160)
    assert "! thermal slowdown  97 %" not in shown(104) and shown(104).endswith("● running ")
    feed.history = history(gpu=97.0, gpu_slowed=4.0)
    assert "power cap" not in shown(160) and "97 %" in shown(160), "a power cap is usual under full load"
    feed.state = feed.state.__class__(state="finished")
    assert "97 %" not in shown(160)
