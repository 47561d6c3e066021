"""What every PyTorch project leans on: saving in place, random states, evaluating, batches in memory."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from workbench.problems import Problem
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.batches import InMemory
from workbench.torchkit.project import TorchProject


class Everything(TorchProject):
    """One of each kind of attribute that training may change, as style transfer and a network have them."""

    def build_data(self) -> None:
        self.targets = torch.linspace(-1, 1, 6).reshape(2, 3).to(self.device)

    def build_model(self) -> None:
        self.picture = torch.zeros(2, 3, device=self.device, requires_grad=True)
        self.network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1)).to(self.device)
        self.picture_optimizer = torch.optim.Adam([self.picture], lr=0.1)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2, 0.5)
        self.average = np.zeros(3)
        self.generator = torch.Generator().manual_seed(5)
        self.numbers = np.random.default_rng(6)
        self.best, self.kind = math.inf, torch.float32

    def train_step(self, batch: Any) -> dict[str, Any]:
        noise = torch.rand(2, 3, generator=self.generator) + float(self.numbers.normal())
        loss = ((self.picture - self.targets) ** 2).mean() + (self.network(self.picture + noise) ** 2).mean()
        for optimizer in (self.picture_optimizer, self.optimizer):
            optimizer.zero_grad()
        loss.backward()
        for optimizer in (self.picture_optimizer, self.optimizer):
            optimizer.step()
        self.scheduler.step()
        self.average += self.picture.detach().cpu().numpy().mean(0)
        self.best = min(self.best, loss.item())
        return {"loss": loss}


def built(seed: int = 1) -> Everything:
    project = Everything(Everything.Config(), Train(), Compute(device="cpu", threads=1), seed)
    project.build()
    return project


def steps(project: TorchProject, number: int) -> list[float]:
    return project.floats([project.keep(project.train_step(None))["loss"] for _ in range(number)])


def through_a_file(project: TorchProject) -> dict[str, Any]:
    """State and random state as a checkpoint has them."""
    return project.decode_state(project.encode_state({"state": project.state(), "random": project.random_state()}))


def test_a_run_resumed_elsewhere_goes_on_with_the_same_bits() -> None:
    straight = built()
    losses = steps(straight, 8)
    interrupted = built()
    assert steps(interrupted, 4) == losses[:4]
    tree = through_a_file(interrupted)
    steps(interrupted, 3)
    resumed = built(seed=2)
    steps(resumed, 1)
    resumed.load_state(tree["state"])
    resumed.set_random_state(tree["random"])
    assert steps(resumed, 4) == losses[4:]
    assert torch.equal(resumed.picture, straight.picture)
    assert np.array_equal(resumed.average, straight.average)
    assert resumed.optimizer.param_groups[0]["lr"] == straight.optimizer.param_groups[0]["lr"] == 0.1 / 16
    for mine, theirs in zip(resumed.network.state_dict().values(), straight.network.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_state_is_written_into_the_tensors_that_optimizers_hold() -> None:
    project = built()
    steps(project, 2)
    saved = project.state()
    picture, average = project.picture, project.average
    steps(project, 2)
    project.load_state(saved)
    assert project.picture is picture and project.average is average
    assert project.picture is project.picture_optimizer.param_groups[0]["params"][0]
    assert project.picture.requires_grad and project.picture.is_leaf
    before = project.picture.detach().clone()
    steps(project, 1)
    assert not torch.equal(before, project.picture)


def test_a_tensor_of_another_shape_is_made_anew_and_can_go_on_learning() -> None:
    project = built()
    saved = project.state()
    project.picture = torch.zeros(5, requires_grad=True)
    project.load_state(saved)
    assert torch.equal(project.picture, saved["picture"]) and project.picture.requires_grad
    project.picture.sum().backward()
    assert not saved["picture"].requires_grad


def test_a_state_is_a_copy() -> None:
    project = built()
    steps(project, 1)
    saved = project.state()
    kept = project.encode_state(saved)
    steps(project, 3)
    assert project.encode_state(saved) == kept


def test_batch_norm_keeps_its_format_version() -> None:
    tree = through_a_file(built())
    assert tree["state"]["network"]._metadata["1"]["version"] == 2


@pytest.mark.parametrize(("asked", "number"), [("cuda", 1), ("auto", 1), ("cuda:0", 0)])
def test_a_device_has_a_number_always(monkeypatch: pytest.MonkeyPatch, asked: str, number: int) -> None:
    chosen: list[int] = []

    def set_device(device: torch.device) -> None:
        # As torch.cuda.set_device begins: it raises for a device without a number.
        chosen.append(torch.cuda._utils._get_device_index(device))

    for name, stub in (("init", None), ("device_count", 2), ("is_available", True), ("current_device", 1)):
        monkeypatch.setattr(torch.cuda, name, lambda stub=stub: stub)
    monkeypatch.setattr(torch.cuda, "set_device", set_device)
    project = Everything(Everything.Config(), Train(), Compute(device=asked, threads=1), 1)
    project.prepare()
    assert project.device == torch.device("cuda", number) and chosen == [number]


def test_what_a_checkpoint_cannot_hold_is_refused_by_name() -> None:
    project = built()
    project.seen = {"a set"}  # type: ignore[attr-defined]
    with pytest.raises(Problem, match=r"self\.seen is a set"):
        project.state()


def test_a_file_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    out = io.BytesIO()
    torch.save({"state": Evil()}, out)
    with pytest.raises(Exception, match="Weights only load failed"):
        built().decode_state(out.getvalue())
    assert not (tmp_path / "ran").exists()


def test_evaluating_gives_every_module_its_own_mode_back() -> None:
    project = built()
    project.network[1].eval()  # a frozen layer inside a network that trains
    modes = [part.training for part in project.network.modules()]
    with project.evaluating():
        assert not any(part.training for part in project.network.modules())
        assert not torch.is_grad_enabled()
        cached = project.network(project.targets)
    assert [part.training for part in project.network.modules()] == modes
    assert torch.is_grad_enabled()
    # With inference_mode this would fail: what was made while evaluating may be trained on.
    (nn.Linear(1, 1)(cached) ** 2).sum().backward()
    with pytest.raises(ZeroDivisionError), project.evaluating():
        1 / 0
    assert [part.training for part in project.network.modules()] == modes
    assert torch.is_grad_enabled()


def test_random_states_come_back_for_every_generator() -> None:
    project = built()

    def draw() -> list[float]:
        return [
            float(torch.rand(1)),
            float(torch.rand(1, generator=project.generator)),
            float(project.numbers.normal()),
            float(np.random.normal()),
        ]

    state = project.decode_state(project.encode_state(project.random_state()))
    first = draw()
    assert all(one != two for one, two in zip(first, draw(), strict=True))
    project.set_random_state(state)
    assert draw() == first
    project.seed_all(3)
    seeded = float(torch.rand(1))
    project.seed_all(3)
    assert float(torch.rand(1)) == seeded


def test_floats_reads_tensors_and_numbers_in_their_order() -> None:
    values = [1, torch.tensor([2.5]), 3.5, torch.tensor(4, dtype=torch.int64), torch.tensor(0.1, dtype=torch.float64)]
    assert built().floats(values) == [1, 2.5, 3.5, 4, 0.1]
    assert built().floats([]) == []
    assert math.isnan(built().floats([torch.tensor(math.nan)])[0])


def test_kept_numbers_let_go_of_their_graph() -> None:
    project = built()
    loss = project.train_step(None)["loss"]
    kept = project.keep({"loss": loss, "rate": 0.1})
    assert loss.grad_fn is not None and isinstance(kept["loss"], float)
    assert kept == {"loss": loss.item(), "rate": 0.1}


def test_precision_only_changes_on_cuda() -> None:
    project = Everything(Everything.Config(), Train(), Compute(device="cpu", precision="bfloat16"), 1)
    with project.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_in_memory_are_those_of_the_base_class(drop_last: bool) -> None:
    rows, labels = torch.arange(22.0).reshape(11, 2), torch.arange(11)

    def epoch(skipped: int = 0) -> list[list[int]]:
        batches = InMemory((rows, labels), 4, np.random.default_rng(7), drop_last=drop_last)
        batches.skip(skipped)
        assert len(batches) == (2 if drop_last else 3)
        made = list(batches)
        assert all(torch.equal(row, rows[label]) for row, label in made)
        return [label.tolist() for _, label in made]

    order = np.random.default_rng(7).permutation(11).tolist()
    expected = [order[:4], order[4:8], order[8:]][: 2 if drop_last else 3]
    assert epoch() == expected
    assert epoch(skipped=1) == expected[1:]
    in_order = [label.tolist() for _, label in InMemory((rows, labels), 4, None)]
    assert in_order == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


@pytest.mark.parametrize("gathered", [0, 200, 1 << 20])
def test_batches_are_the_same_and_lie_at_the_same_place_wherever_one_begins(gathered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.torchkit.batches.GATHERED", gathered)  # one, three, or all batches at once
    rows, labels = torch.arange(50.0).reshape(25, 2), torch.arange(25)

    def epoch(skipped: int = 0) -> list[tuple[list[int], int, bool]]:
        batches = InMemory((rows, labels), 4, np.random.default_rng(7))
        batches.skip(skipped)
        return [(label.tolist(), row.storage_offset(), torch.equal(row, rows[label])) for row, label in batches]

    whole = epoch()
    order = np.random.default_rng(7).permutation(25).tolist()
    assert [labels for labels, _, _ in whole] == [order[start : start + 4] for start in range(0, 25, 4)]
    assert all(right for _, _, right in whole)
    assert max(offset for _, offset, _ in whole) == {0: 0, 200: 16, 1 << 20: 48}[gathered]
    for skipped in range(8):
        assert epoch(skipped) == whole[skipped:]
    for row, _ in InMemory((rows, labels), 4, None):
        row.mul_(torch.ones(2, requires_grad=True))  # a project may change its batch in place


def test_numbers_of_numpy_in_a_state_dict_come_back() -> None:
    project = built()
    project.optimizer.param_groups[0]["lr"] = np.float64(0.25)
    tree = project.decode_state(project.encode_state({"state": project.state()}))
    project.optimizer.param_groups[0]["lr"] = 0.5
    project.load_state(tree["state"])
    assert project.optimizer.param_groups[0]["lr"] == 0.25


def test_what_could_not_be_read_again_is_refused_at_the_first_save() -> None:
    project = built()
    project.optimizer.param_groups[0]["span"] = range(3)
    with pytest.raises(Problem, match="holds a range, which a checkpoint cannot give back"):
        project.encode_state({"state": project.state()})
