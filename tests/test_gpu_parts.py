"""What only a GPU shows, on the pretended one: batches that are sent without waiting, a resume on another GPU, and its time."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from pretend_cuda import pretend_cuda
from torch import nn
from torch.optim.swa_utils import AveragedModel

from workbench.projects.recurrent_networks._word_network import Softmax
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.torchkit.batches import InMemory, sent
from workbench.torchkit.project import TorchProject
from workbench.torchkit.running_average import RunningAverage
from workbench.training.cadence import Cadence
from workbench.training.loop import Loop
from workbench.training.project import Project

GPU, CPU = torch.device("cuda:0"), torch.device("cpu")


# -- batches --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", [np.arange(3), torch.arange(3)], ids=["array", "tensor"])
def test_a_batch_is_pinned_and_sent_without_waiting(array: Any) -> None:
    with pretend_cuda() as watch:
        tensor = sent(array, GPU)
        assert [(kind, op) for kind, op, _ in watch.take()] == [("async", "to")]
        assert tensor.device == GPU and tensor.tolist() == [0, 1, 2]
        watch.take()
        assert sent(tensor, GPU) is tensor and not watch.take(), "what is there already stays"


def test_on_the_cpu_a_batch_stays_where_it_is() -> None:
    array = np.arange(3)
    assert sent(array, CPU).data_ptr() == array.ctypes.data


def test_an_epoch_of_tensors_in_memory_waits_for_nothing() -> None:
    with pretend_cuda() as watch:
        tensors = [torch.arange(100, device="cuda"), torch.ones(100, 4, device="cuda")]
        watch.take()
        batches = list(InMemory(tensors, 8, np.random.default_rng(0)))
        assert {kind for kind, _, _ in watch.take()} == {"async"} and len(batches) == 13


# -- random states --------------------------------------------------------------------------------------------------------------------


class Drawing(TorchProject):
    """Draws on its device."""

    def build_model(self) -> None:
        self.total = torch.zeros(3, device=self.device)

    def drawn(self) -> list[float]:
        numbers: list[float] = torch.rand(3, device=self.device).tolist()
        return numbers


def drawing(device: str, seed: int = 1) -> Drawing:
    project = Drawing(Drawing.Config(), Train(), Compute(device=device, threads=1), seed)
    project.build()
    return project


@pytest.mark.parametrize("after", ["cuda:0", "cuda:1", "cuda:2"])
def test_a_run_goes_on_exactly_on_a_gpu_of_another_number(after: str) -> None:
    with pretend_cuda(3):
        first = drawing("cuda:1")
        # The others are elsewhere in their own numbers.
        torch.rand(7, device="cuda:0"), torch.rand(9, device="cuda:2"), first.drawn()
        saved = first.encode_state(first.random_state())
        expected = first.drawn()
        other = drawing(after, seed=2)
        other.set_random_state(other.decode_state(saved))
        assert other.drawn() == expected


@pytest.mark.parametrize(("number", "gpus", "after"), [(1, 3, "cuda:1"), (0, 1, "cuda:0"), (0, 1, "cuda:2")])
def test_a_checkpoint_of_version_0_1_goes_on_by_the_number_of_its_gpu(number: int, gpus: int, after: str) -> None:
    with pretend_cuda(3):
        project = drawing(f"cuda:{number}")
        project.drawn()
        state = project.random_state()
        state.pop("device")
        state["cuda"] = torch.cuda.get_rng_state_all()[:gpus]
        expected = project.drawn()
        other = drawing(after, seed=2)
        other.set_random_state(state)
        assert other.drawn() == expected


def test_what_a_cpu_saved_leaves_a_gpu_s_numbers_as_they_are() -> None:
    with pretend_cuda():
        state, project = drawing("cpu").random_state(), drawing("cuda:0", seed=2)
        before = torch.cuda.get_rng_state(0)
        project.set_random_state(state)
        assert torch.equal(torch.cuda.get_rng_state(0), before) and "device" not in state


# -- parts of lessons -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clusters", [[], [5], [5, 11]])
def test_the_clustered_softmax_gives_on_a_gpu_what_it_gives_on_the_cpu_and_waits_for_nothing(clusters: list[int]) -> None:
    torch.manual_seed(0)
    here, inputs, targets = Softmax(nn.Parameter(torch.randn(20, 6)), clusters), torch.randn(30, 6), torch.randint(0, 20, (30,))
    here.begin(torch.arange(20).float())
    expected = here(inputs, targets)
    expected.sum().backward()
    with pretend_cuda() as watch:
        there = Softmax(nn.Parameter(torch.zeros(20, 6)), clusters).to(GPU)
        there.load_state_dict(here.state_dict())
        there.reserved, there.unseen_loss = here.reserved, here.unseen_loss
        given = [sent(tensor, GPU) for tensor in (inputs, targets)]
        watch.take()
        losses = there(*given)
        losses.sum().backward()
        assert not watch.take()
        torch.testing.assert_close(losses.cpu(), expected)
        for name, weight in there.named_parameters():
            torch.testing.assert_close(weight.grad.cpu(), here.get_parameter(name).grad)


def test_where_clusters_end_is_in_no_checkpoint() -> None:
    assert set(Softmax(nn.Parameter(torch.randn(20, 6)), [5]).state_dict()) == {"weight", "bias", "tail_weight", "tail_bias", "unseen"}


def test_the_running_average_has_the_bits_of_pytorch_s_own_and_waits_for_nothing() -> None:
    def one_by_one(before: torch.Tensor, now: torch.Tensor, steps: Any) -> torch.Tensor:
        return before.lerp(now, (9 / (torch.as_tensor(steps) + 10)).clamp(min=1 - 0.9)) if before.is_floating_point() else now

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(40, 30), nn.BatchNorm1d(30))
    own, theirs = RunningAverage(network, 0.9), AveragedModel(network, avg_fn=one_by_one, use_buffers=True)
    assert own.state_dict().keys() == theirs.state_dict().keys()
    for _ in range(30):
        with torch.no_grad():
            network(torch.randn(8, 40))
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight))
        own.update_parameters(network)
        theirs.update_parameters(network)
        # In each step: what differs at first is forgotten.
        assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in own.state_dict().items())
    with pretend_cuda() as watch:
        network = network.to(GPU)
        average = RunningAverage(network, 0.9)
        watch.take()
        for _ in range(3):
            average.update_parameters(network)
        assert not watch.take()


# -- time -----------------------------------------------------------------------------------------------------------------------------

WORK = 0.004
"""Seconds that the device is at work on a step after train_step returned."""


class Late(Project):
    """Its numbers have to be waited for, as a GPU's."""

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        return range(60)

    def train_step(self, batch: Any) -> dict[str, Any]:
        return {"loss": 1.0}

    def floats(self, values: list[Any]) -> list[float]:
        time.sleep(WORK * bool(values))
        return super().floats(values)


def test_the_time_of_a_step_includes_the_device_s_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    durations: list[float] = []

    class Noted(Cadence):
        def measure(self, step: int, now: float) -> bool:
            enough = super().measure(step, now)
            durations[:] = self._durations
            return enough

    monkeypatch.setattr("workbench.training.loop.Cadence", Noted)
    (tmp_path / "checkpoints").mkdir()
    project = Late(Late.Config(), Train(epochs=1, log_every=0), Compute(), 1)
    project.build()
    log = EventLog(tmp_path)
    recipe = msgspec.structs.replace(Recipe(title="x", project="late"), train=project.train)
    Loop(project, recipe, log, Checkpoints(tmp_path / "checkpoints")).fit()
    log.close()
    assert len(durations) >= 40 and min(durations) >= WORK
