"""Tips of training GANs: cross-entropy in both ways in single precision, the generator's gradients, LeakyReLU, pixels, applications."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits, leaky_relu, logsigmoid

from workbench.problems import Problem

NAME = "gan-tips"


def rows(tag: str, **fields: Any) -> dict[float, list[Any]]:
    return {row[0]: row[1:] for row in asked(NAME, **fields)[tag].rows}


def test_the_naive_cross_entropy_fails_from_seventeen_on() -> None:
    table = rows("cross-entropy, target 0")
    assert list(table) == [8, 16, 17, 20]
    assert table[16][1] == pytest.approx(15.942, abs=5e-4) and table[16][3] == pytest.approx(16, abs=5e-7)
    assert table[17] == [1, math.inf, 100, 17]
    assert table[20] == [1, math.inf, 100, 20]


@pytest.mark.parametrize("logit", [-30, -3, 0, 12, 16, 17, 30])
def test_both_are_what_pytorch_computes(logit: float) -> None:
    value = torch.tensor([float(logit)])
    naive, cut, stable = rows("cross-entropy, target 0", logit=logit)[logit][1:]
    assert stable == pytest.approx(float(binary_cross_entropy_with_logits(value, torch.zeros(1))), rel=1e-6, abs=1e-13)
    assert cut == pytest.approx(float(binary_cross_entropy(value.sigmoid(), torch.zeros(1))), rel=1e-5, abs=1e-7)
    assert math.isinf(naive) == (logit >= 17)


def test_the_gradients_of_both_losses() -> None:
    table = rows("gradient by the logit", answer=0.3)
    assert table[0.01] == pytest.approx([-0.01, -0.99]) and table[0.5] == [-0.5, -0.5]
    for answer, gradients in table.items():
        logit = torch.tensor(math.log(answer / (1 - answer)), dtype=torch.float64, requires_grad=True)
        for loss, gradient in zip((logsigmoid(-logit), -logsigmoid(logit)), gradients, strict=True):
            assert float(torch.autograd.grad(loss, logit)[0]) == pytest.approx(gradient)
    events = asked(NAME)
    curves = [np.array(events[f"gradient/{name}"].y) for name in ("log(1 − D)", "−log D")]
    assert np.add(*curves) == pytest.approx(np.ones(99))


@pytest.mark.parametrize("slope", [0, 0.2, 1])
def test_leaky_relu_keeps_the_sign(slope: float) -> None:
    events = asked(NAME, slope=slope)
    assert events["f"].rows[0] == [-1, pytest.approx(-slope), slope] and events["f"].rows[1][:2] == [1, 1]
    curve = events["leaky relu/f"]
    assert curve.y == pytest.approx(leaky_relu(torch.tensor(curve.x), slope).tolist(), abs=1e-6)


def test_pixels_are_scaled_to_what_tanh_reaches() -> None:
    assert asked(NAME)["pixels"].rows == [[0, -1, "yes"], [127.5, 0, "yes"], [255, 1, "yes"]]
    assert [row[1:] for row in asked(NAME, scaling="0 to 255")["pixels"].rows] == [[0, "yes"], [127.5, "no"], [255, "no"]]
    assert [row[1] for row in asked(NAME, scaling="0 to 1")["pixels"].rows] == [0, 0.5, 1]


def test_the_ten_applications_of_the_notes() -> None:
    lines = asked(NAME)["applications"].text.split("\n")
    assert [line.partition(":")[0] for line in lines] == [
        "StackGAN", "iGAN", "pix2pix", "Edges to cats", "Day to night", "CycleGAN", "Simulated sets", "Part to whole",
        "Imitation learning", "Reinforcement learning",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"logit": 31}, "logit must be at most 30"),
        ({"answer": 0}, "answer must be at least 0.001"),
        ({"slope": math.nan}, "slope"),
        ({"scaling": "x"}, "scaling must be"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says) as raised:
        asked(NAME, **fields)
    assert raised.value.cause == "data"
