"""The script for a real GPU runs without one on the pretended CUDA: every part of it, its JSON, and what it says of what is wrong."""

import json
import warnings
from pathlib import Path

import pytest
import torch
from device import all as script


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_it_tries_measures_compares_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "device.json"
    assert script.main(["--pretend", "--out", str(out), "student-admissions", "perceptron"]) == 0
    told = json.loads(out.read_text())
    assert told["differs"] == told["left_out"] == [] and told["gpu"] == "Pretended GPU"
    assert [recipe["recipe"] for recipe in told["recipes"]] == ["perceptron", "student-admissions"]
    for recipe in told["recipes"]:
        assert recipe["speed"]["bare"] > 0 and recipe["speed"]["workbench"] > 0 and recipe["difference"] < 1e-6
    assert capsys.readouterr().out.endswith("What differs from the CPU:\n  nothing\n")


def test_it_says_what_waits_and_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.projects.neural_networks.bike_network.sent", lambda array, device: torch.from_numpy(array).to(device))
    monkeypatch.setattr("device.all.difference", lambda *given: 0.5)
    monkeypatch.setattr("device.all.measured", lambda *given: 1 / 0)
    assert script.main(["--pretend", "--out", str(tmp_path / "device.json"), "bike-sharing-torch"]) == 1
    said = capsys.readouterr().out.partition("What differs from the CPU:")[2]
    assert "a step waits 1 times: send to bike_network.py:" in said
    assert "speed: ZeroDivisionError" in said and "its numbers are 5.0e-01 from the CPU's" in said


def test_it_begins_nothing_when_the_time_is_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--pretend", "--out", str(tmp_path / "device.json"), "--seconds", "0", "perceptron"]) == 1
    assert "perceptron: not tried, the time was over" in capsys.readouterr().out


def test_synchronisations_are_counted_with_the_line_that_is_running(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []
    monkeypatch.setattr("torch.cuda.set_sync_debug_mode", modes.append)
    with script.counting() as take:
        for _ in range(3):
            warnings.warn(f"{script.WAITS} (Triggered internally at c10/cuda/CUDAFunctions.cpp:144.)", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
        ((kind, op, place), times), *rest = take().items()
        assert not rest and not take()
    assert (kind, op, times) == ("wait", "synchronize", 3) and place.startswith("test_device_script.py:")
    assert modes == ["warn", "default"]


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert script.main(["perceptron"]) == 2
    assert "--pretend" in capsys.readouterr().out
