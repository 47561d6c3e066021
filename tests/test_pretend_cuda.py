"""The pretended CUDA refuses what CUDA refuses, counts what makes the host wait, casts under autocast, and computes what the CPU does."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pretend_cuda import Pretend, Watch, casts, pretend_cuda
from torch import Tensor, nn


@pytest.fixture
def watch() -> Iterator[Watch]:
    with pretend_cuda(2, of="test_pretend_cuda") as watch:
        yield watch


def cost(watch: Watch, call: Callable[[], object]) -> dict[str, int]:
    """What a call costs, by kind and op, without the lines."""
    watch.take()
    call()
    counted: dict[str, int] = {}
    for (kind, op, _), times in watch.take().items():
        counted[f"{kind} {op}"] = counted.get(f"{kind} {op}", 0) + times
    return counted


# -- what it refuses ------------------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[Tensor], object], type[Exception], str]] = {
    "an operand on the CPU": (lambda x: x + torch.ones(3), RuntimeError, "same device"),
    "a matrix on the CPU": (lambda x: F.linear(x, torch.ones(2, 3)), RuntimeError, "same device"),
    "another GPU": (lambda x: x * torch.ones(3, device="cuda:1"), RuntimeError, "cuda:0 and cuda:1"),
    "a GPU that is not there": (lambda x: x.to("cuda:2"), RuntimeError, "invalid device ordinal"),
    "numpy()": (lambda x: x.numpy(), TypeError, "cpu"),
    "np.asarray": (lambda x: np.asarray(x), TypeError, "cpu"),
    "cat of both": (lambda x: torch.cat([x, torch.ones(3)]), RuntimeError, "same device"),
    "an index on the GPU into the CPU": (lambda x: torch.ones(3)[x.long()], RuntimeError, "indices should be"),
    "a generator of the CPU": (lambda x: x.uniform_(generator=torch.Generator()), RuntimeError, "generator"),
    "a device without a number": (lambda x: torch.cuda.set_device(torch.device("cuda")), ValueError, "index"),
    "labels on the CPU": (lambda x: F.cross_entropy(x[None], torch.tensor([1])), RuntimeError, "same device"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cuda_refuses_is_refused(name: str, watch: Watch) -> None:
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call(torch.ones(3, device="cuda"))


def test_what_cuda_takes_is_taken(watch: Watch) -> None:
    x = torch.arange(3.0, device="cuda")
    assert (x * torch.tensor(2.0)).tolist() == [0, 2, 4], "a CPU tensor without dimensions is a number"
    assert x[torch.tensor([2, 0])].tolist() == [2, 0], "indices may lie on the CPU"
    assert x.device == torch.device("cuda:0") and x.is_cuda and not x.is_cpu
    assert torch.ones(2, device="cuda:1").to("cpu").device.type == "cpu"


# -- what it counts -------------------------------------------------------------------------------------------------------------------

COSTS: dict[str, tuple[Callable[[Tensor], object], dict[str, int]]] = {
    "arithmetic": (lambda x: (x * 2 + 1).sum().clamp(min=0), {}),
    "item": (lambda x: x.sum().item(), {"wait item": 1}),
    "float": (lambda x: float(x.sum()), {"wait item": 1}),
    "a branch": (lambda x: 1 if x.sum() > 0 else 0, {"wait item": 1}),
    "tolist": (lambda x: x.tolist(), {"wait tolist": 1}),
    "cpu": (lambda x: x.cpu(), {"wait cpu": 1}),
    "cpu, not blocking": (lambda x: x.to("cpu", non_blocking=True), {}),
    "nonzero": (lambda x: x.nonzero(), {"wait nonzero": 1}),
    "where with one argument": (lambda x: torch.where(x > 1), {"wait nonzero": 1}),
    "argwhere": (lambda x: torch.argwhere(x > 1), {"wait nonzero": 1}),
    "masked_select": (lambda x: x.masked_select(x > 1), {"wait masked_select": 1}),
    "a mask": (lambda x: x[x > 1], {"wait boolean index": 1}),
    "a mask that is filled": (lambda x: x.clone().__setitem__(x > 1, 0.0), {}),
    "a mask that is written": (lambda x: x.clone().__setitem__(x > 0, x[1:]), {"wait boolean index": 1}),
    "masked_fill": (lambda x: x.masked_fill(x > 1, 0.0), {}),
    "an index by a number on the GPU": (lambda x: x[x.argmax()], {"wait item": 1}),
    "an index on the CPU": (lambda x: x[torch.tensor([0, 1])], {"send index of the CPU": 1}),
    "a list as index": (lambda x: x[[0, 1]], {"send index of the CPU": 1}),
    "an array as index": (lambda x: x[np.array([0, 1])], {"send index of the CPU": 1}),
    "unique": (lambda x: x.unique(), {"wait unique": 1}),
    "bincount": (lambda x: x.long().bincount(), {"wait bincount": 1}),
    "equal": (lambda x: torch.equal(x, x), {"wait equal": 1}),
    "allclose": (lambda x: torch.allclose(x, x), {"wait item": 1}),
    "multinomial": (lambda x: torch.multinomial(x, 1), {"wait multinomial": 1}),
    "repeat_interleave": (lambda x: x.repeat_interleave(x.long()), {"wait repeat_interleave": 1}),
    "repeat_interleave of a known size": (lambda x: x.repeat_interleave(x.long(), output_size=3), {}),
    "repeat_interleave by a number": (lambda x: x.repeat_interleave(2), {}),
    "histc": (lambda x: x.histc(4), {"wait histc": 1}),
    "histc between limits": (lambda x: x.histc(4, min=0, max=3), {}),
    "isin of few": (lambda x: torch.isin(x, x[:1]), {}),
    "normal of deviations": (lambda x: torch.normal(0.0, x), {"wait normal": 1}),
    "eigh": (lambda x: torch.linalg.eigh(x.outer(x)), {"wait linalg": 1}),
    "inv": (lambda x: torch.linalg.inv(x.outer(x) + torch.eye(3, device="cuda")), {"wait linalg": 1}),
    "synchronize": (lambda x: torch.cuda.synchronize(), {"wait synchronize": 1}),
    "torch.tensor": (lambda x: torch.tensor([1.0, 2.0], device="cuda"), {"send to": 1}),
    "as_tensor of NumPy": (lambda x: torch.as_tensor(np.ones(3), device="cuda"), {"send to": 1}),
    "to": (lambda x: torch.ones(3).to("cuda"), {"send to": 1}),
    "to, not blocking": (lambda x: torch.ones(3).to("cuda", non_blocking=True), {"unpinned to": 1}),
    "to, pinned": (lambda x: torch.ones(3).pin_memory().to("cuda"), {"send to": 1}),
    "to, pinned and not blocking": (lambda x: torch.ones(3).pin_memory().to("cuda", non_blocking=True), {"async to": 1}),
    "copy_": (lambda x: x.copy_(torch.ones(3)), {"send to": 1}),
    "made on the device": (lambda x: torch.full((3,), 2.0, device="cuda") + torch.rand(3, device="cuda"), {}),
    "one_hot": (lambda x: F.one_hot(x.long(), 4), {}),
}


@pytest.mark.parametrize("name", COSTS)
def test_waits_and_copies_are_counted(name: str, watch: Watch) -> None:
    call, expected = COSTS[name]
    x = torch.arange(3.0, device="cuda")
    assert cost(watch, lambda: call(x)) == expected


def test_a_count_names_the_line(watch: Watch) -> None:
    x = torch.ones(3, device="cuda")
    watch.take()
    x.sum().item()
    ((kind, op, place),) = watch.take()
    assert (kind, op) == ("wait", "item")
    assert place == f"test_pretend_cuda.py:{test_a_count_names_the_line.__code__.co_firstlineno + 3}"


@pytest.mark.parametrize("strict", [False, True])
def test_clipping_waits_only_where_it_may_refuse(strict: bool, watch: Watch) -> None:
    weights = nn.Parameter(torch.ones(3, device="cuda"))
    weights.sum().backward()
    waits = cost(watch, lambda: nn.utils.clip_grad_norm_([weights], 1.0, error_if_nonfinite=strict))
    assert waits == ({"wait item": 1} if strict else {})


SETTINGS = [{"fused": True}, {"foreach": True}, {"foreach": True, "capturable": True}, {"foreach": False}]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: " ".join(settings))
def test_steps_of_an_optimizer_wait_for_nothing(settings: dict[str, bool], watch: Watch) -> None:
    layer = nn.Linear(3, 2).to("cuda")
    optimizer = torch.optim.AdamW(layer.parameters(), **settings)

    def step() -> None:
        layer(torch.ones(4, 3, device="cuda")).sum().backward()
        optimizer.step()

    step()
    assert cost(watch, step) == {}


# -- what it computes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_is_loaded_in_place_and_answers_as_on_the_cpu(kind: type[nn.RNNBase], watch: Watch) -> None:
    source, layer = kind(3, 4, 2), kind(3, 4, 2).to("cuda")
    weights = list(layer.parameters())
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    layer.load_state_dict(source.state_dict())
    assert all(before is after for before, after in zip(weights, layer.parameters(), strict=True)), "an optimizer goes on with them"
    inputs = torch.randn(5, 2, 3)
    expected, given = source(inputs)[0], layer(inputs.to("cuda"))[0]
    assert torch.equal(given.cpu(), expected)
    # The layer's own list of weights is the same ones: what an optimizer changes is what it computes with.
    given.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(layer.weight_ih_l0.grad.cpu(), source.weight_ih_l0.grad)
    optimizer.step()
    assert not torch.equal(layer(inputs.to("cuda"))[0].cpu(), expected)


INPLACE: dict[str, Callable[[Tensor], object]] = {
    "t_": lambda x: x.t_(),
    "transpose_": lambda x: x.transpose_(0, 1),
    "unsqueeze_": lambda x: x.unsqueeze_(0),
    "squeeze_": lambda x: x.unsqueeze_(0).squeeze_(0),
    "swapaxes_": lambda x: x.swapaxes_(0, 1),
    "as_strided_": lambda x: x.as_strided_((3,), (2,), 1),
    "resize_": lambda x: x.resize_(2, 2),
}


@pytest.mark.parametrize("name", INPLACE)
def test_ops_that_change_a_shape_in_place(name: str, watch: Watch) -> None:
    ours, plain = torch.arange(6.0, device="cuda").reshape(2, 3).clone(), torch.arange(6.0).reshape(2, 3)
    INPLACE[name](ours)
    INPLACE[name](plain)
    assert (ours.shape, ours.stride()) == (plain.shape, plain.stride())
    assert torch.equal((ours * 2).cpu(), plain * 2)


def test_each_gpu_has_a_generator_of_its_own(watch: Watch) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = (torch.rand(3, device=f"cuda:{index}") for index in range(2))
    assert torch.equal(torch.get_rng_state(), before), "that of the CPU stays where it is"
    assert first.tolist() == second.tolist()
    assert torch.rand(3, device="cuda:0").tolist() != first.tolist()


# -- autocast -------------------------------------------------------------------------------------------------------------------------

CAST: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], torch.dtype]] = {
    "linear": (lambda x, low: F.linear(x, x), torch.bfloat16),
    "matmul": (lambda x, low: x @ x, torch.bfloat16),
    "conv2d": (lambda x, low: F.conv2d(x[None, None], x[None, None]), torch.bfloat16),
    "conv_transpose2d": (lambda x, low: F.conv_transpose2d(x[None, None], x[None, None]), torch.bfloat16),
    "softmax": (lambda x, low: low.softmax(0), torch.float32),
    "log_softmax": (lambda x, low: low.log_softmax(0), torch.float32),
    "cross_entropy": (lambda x, low: F.cross_entropy(low, torch.tensor([0, 1, 2], device="cuda")), torch.float32),
    "binary_cross_entropy_with_logits": (lambda x, low: F.binary_cross_entropy_with_logits(low, low), torch.float32),
    "sum": (lambda x, low: low.sum(), torch.float32),
    "exp": (lambda x, low: low.exp(), torch.float32),
    "layer_norm": (lambda x, low: F.layer_norm(low, (3,)), torch.float32),
    "add of both": (lambda x, low: x + low, torch.float32),
    "relu of a low one": (lambda x, low: low.relu(), torch.bfloat16),
    "grid_sample of both": (lambda x, low: F.grid_sample(low[None, None], x[None, :, :2, None].permute(0, 1, 3, 2)), torch.float32),
    "double": (lambda x, low: x.double() @ x.double(), torch.float64),
}


@pytest.mark.parametrize("name", CAST)
def test_autocast_casts_as_on_a_gpu(name: str, watch: Watch) -> None:
    call, dtype = CAST[name]
    x = torch.rand(3, 3, device="cuda").requires_grad_()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        result = call(x, (x @ x))
    assert result.dtype == dtype
    result.float().sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.float32


def test_recurrent_layers_are_cast_too_and_nothing_is_outside(watch: Watch) -> None:
    layer, x = nn.GRU(3, 4).to("cuda"), torch.ones(2, 1, 3, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert layer(x)[0].dtype == torch.bfloat16
    assert layer(x)[0].dtype == torch.float32 and (x[0] @ x[0].T).dtype == torch.float32


def test_the_lists_are_those_of_this_pytorch(watch: Watch) -> None:
    lists = casts.lists()
    assert {"linear", "conv2d", "matmul", "scaled_dot_product_attention"} <= set(lists["LOWER_PRECISION_FP"])
    assert {"nll_loss", "layer_norm", "pow.Tensor_Scalar"} <= set(lists["FP32"])
    assert {"softmax.int", "sum.dim_IntList"} <= set(lists["FP32_SET_OPT_DTYPE"])
    for name in (name for names in lists.values() for name in names):
        packet, _, overload = name.partition(".")
        key = f"aten::{packet}{'.' * bool(overload)}{overload}"
        assert torch._C._dispatch_has_kernel_for_dispatch_key(key, "AutocastCUDA"), key


def test_it_leaves_pytorch_as_it_was() -> None:
    before = torch.cuda.is_available(), torch.backends.cudnn.enabled, torch.tensor, torch.Tensor.to
    with pretend_cuda():
        assert torch.cuda.is_available() and isinstance(torch.ones(1, device="cuda"), Pretend)
    assert (torch.cuda.is_available(), torch.backends.cudnn.enabled, torch.tensor, torch.Tensor.to) == before
    assert type(torch.ones(2, 2) @ torch.ones(2, 2)) is torch.Tensor
