"""How settings and schedules reach an optimizer, and what is declared of them in the schema."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from workbench.torchkit.optimization import Clipping, LearningRate, Optimization, step_size
from workbench.torchkit.schedules import decay, one_cycle
from workbench.training.project import Settings, live, only


def groups(optimizer: torch.optim.Optimizer, key: str) -> list[Any]:
    return [group[key] for group in optimizer.param_groups]


def weights() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))]


def test_one_cycle_rises_in_a_line_and_falls_to_zero() -> None:
    assert one_cycle(0) == pytest.approx(0.04)
    assert one_cycle(0.15) == pytest.approx(0.52)
    assert one_cycle(0.3) == pytest.approx(1)
    assert one_cycle(0.65) == pytest.approx(0.5)
    assert one_cycle(1) == pytest.approx(0)
    assert one_cycle(1.5) == one_cycle(1)  # a run whose length somebody has shortened
    assert one_cycle(0.1, rising=0.1) == pytest.approx(1)


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimizer_that_a_recipe_names(name: Any, kind: type) -> None:
    optimizer = Optimization(optimizer=name, learning_rate=0.3, momentum=0.5, weight_decay=0.2).make_optimizer(weights())
    assert type(optimizer) is kind
    assert (groups(optimizer, "lr"), groups(optimizer, "weight_decay")) == ([0.3], [0.2])
    assert optimizer.param_groups[0].get("momentum") == (0.5 if name == "sgd" else None)


def test_live_settings_and_the_schedule_reach_every_group() -> None:
    config = Optimization(optimizer="sgd", schedule="one-cycle", learning_rate=0.1)
    first, second = weights()
    optimizer = config.make_optimizer([{"params": [first], "share": 0.5}, {"params": [second]}])
    assert config.apply(optimizer, 0.3) == {"learning_rate": pytest.approx(0.1)}
    assert groups(optimizer, "lr") == pytest.approx([0.05, 0.1])
    changed = config.model_copy(update={"learning_rate": 1.0, "momentum": 0.9, "weight_decay": 0.01})
    assert changed.apply(optimizer, 1.0) == {"learning_rate": pytest.approx(0)}
    assert groups(optimizer, "lr") == pytest.approx([0, 0])
    assert (groups(optimizer, "momentum"), groups(optimizer, "weight_decay")) == ([0.9, 0.9], [0.01, 0.01])
    # A constant rate is no curve to draw.
    assert Optimization(learning_rate=0.2).apply(optimizer, 0.5) == {}
    assert groups(optimizer, "lr") == pytest.approx([0.1, 0.2])


def test_a_lesson_s_own_optimizer_keeps_what_its_config_does_not_have() -> None:
    class Config(LearningRate):
        learning_rate: float = step_size(0.5)

    optimizer = torch.optim.AdamW(weights(), 0.1, weight_decay=0.3)
    Config().apply(optimizer, 0.0)
    assert (groups(optimizer, "lr"), groups(optimizer, "weight_decay")) == ([0.5], [0.3])


def test_all_that_can_change_while_a_run_goes_on_is_declared() -> None:
    class Config(Optimization, Clipping):
        pass

    fields = Config.model_json_schema()["properties"]
    assert {name for name, field in fields.items() if field.get("live")} == {"learning_rate", "momentum", "weight_decay", "l1", "clip"}
    assert fields["momentum"]["when"] == {"optimizer": ["sgd"]}
    with pytest.raises(ValidationError):
        Config(momentum=1.0)


def test_a_long_gradient_is_scaled_down_to_clip() -> None:
    weight = nn.Parameter(torch.zeros(2))
    (weight * torch.tensor([3.0, 4.0])).sum().backward()
    assert float(Clipping(clip=1.0).clip_gradients([weight])) == pytest.approx(5)
    assert weight.grad is not None and weight.grad.norm().item() == pytest.approx(1, rel=1e-5)


def test_a_field_says_beside_what_it_means_something() -> None:
    class Config(Settings):
        model: str = "mlp"
        deep: bool = False
        channels: int = only(3, when={"model": ["cnn", "resnet"], "deep": True}, ge=1)
        """Channels."""
        rate: float = live(0.1, gt=0)
        """Rate."""

    fields = Config.model_json_schema()["properties"]
    assert fields["channels"]["when"] == {"model": ["cnn", "resnet"], "deep": [True]}
    assert "when" not in fields["rate"] and "live" not in fields["channels"]
    # It hides the field in a form; a recipe may give it all the same.
    assert Config(channels=5).channels == 5
    with pytest.raises(ValidationError):
        Config(channels=0)


@pytest.mark.parametrize(("name", "middle"), [("step", 0.01 ** (2 / 3)), ("exponential", 0.1), ("cosine", 0.505)])
def test_a_decaying_rate_goes_from_one_to_its_last_share(name: Any, middle: float) -> None:
    assert decay(name, 0, 0.01) == pytest.approx(1) and decay(name, 1, 0.01) == pytest.approx(0.01)
    assert decay(name, 0.5, 0.01) == pytest.approx(middle)
    assert decay(name, 1.5, 0.01) == decay(name, 1, 0.01)  # a run whose length somebody has shortened
    shares = [decay(name, step / 100, 0.01) for step in range(101)]
    assert shares == sorted(shares, reverse=True)
    config = Optimization(optimizer="sgd", learning_rate=0.2, schedule=name)
    optimizer = config.make_optimizer(weights())
    assert config.apply(optimizer, 0.5) == {"learning_rate": pytest.approx(0.2 * middle)}
    assert groups(optimizer, "lr") == pytest.approx([0.2 * middle])


def test_a_step_decay_falls_by_equal_factors_at_equal_distances() -> None:
    shares = [decay("step", done, 0.001, drops=3) for done in (0, 0.24, 0.26, 0.49, 0.51, 0.76, 1)]
    assert shares == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001, 0.001])


def test_l1_moves_each_weight_towards_zero_by_rate_times_lambda_and_no_further() -> None:
    weight = nn.Parameter(torch.tensor([0.5, -0.05, -0.3, 0.0]))
    config = Optimization(optimizer="sgd", learning_rate=0.5, l1=0.2)
    optimizer = config.make_optimizer([weight])
    config.apply(optimizer, 0.0)
    weight.grad = torch.zeros(4)
    optimizer.step()
    assert weight.tolist() == pytest.approx([0.4, 0.0, -0.2, 0.0])
    # Exact zeros: a step down the sub-gradient would leave 0.05 on the other side of it.
    assert weight[1].item() == 0
    # Live, and by the rate of now.
    config.model_copy(update={"l1": 1.0, "learning_rate": 0.1}).apply(optimizer, 0.0)
    optimizer.step()
    assert weight.tolist() == pytest.approx([0.3, 0.0, -0.1, 0.0])


def test_without_a_penalty_the_optimizer_s_state_is_torch_s_alone() -> None:
    config = Optimization(optimizer="sgd", learning_rate=0.5)
    optimizer = config.make_optimizer([nn.Parameter(torch.ones(2))])
    config.apply(optimizer, 0.0)
    assert "l1" not in optimizer.state_dict()["param_groups"][0]


def test_l1_is_the_minimum_of_the_loss_with_its_penalty() -> None:
    """(w - a)² / 2 + λ|w| is least at a moved by λ towards zero: the fixed point, at any rate; a penalty of λ·w² or of 2λ is not there."""
    target = torch.tensor([1.0, 0.1, -0.7])
    weight = nn.Parameter(torch.zeros(3))
    config = Optimization(optimizer="sgd", learning_rate=0.3, l1=0.2)
    optimizer = config.make_optimizer([weight])
    for _ in range(100):
        config.apply(optimizer, 0.0)
        optimizer.zero_grad()
        ((weight - target).square().sum() / 2).backward()
        optimizer.step()
    assert weight.tolist() == pytest.approx([0.8, 0.0, -0.5], abs=1e-6)


def test_weight_decay_of_sgd_is_twice_the_lambda_of_a_squared_penalty() -> None:
    decayed, penalised = (nn.Parameter(torch.tensor([0.5, -2.0])) for _ in range(2))
    decayed.grad = torch.zeros(2)
    Optimization(optimizer="sgd", learning_rate=0.1, weight_decay=2 * 0.3).make_optimizer([decayed]).step()
    optimizer = Optimization(optimizer="sgd", learning_rate=0.1).make_optimizer([penalised])
    (0.3 * penalised.square().sum()).backward()
    optimizer.step()
    assert decayed.tolist() == pytest.approx(penalised.tolist())
