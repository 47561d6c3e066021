"""The theory of GANs: the best discriminator and its loss to six digits, networks that are really trained, and the saddle's game."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from workbench.problems import Problem
from workbench.projects.gans import gan_theory
from workbench.projects.gans.gan_theory import (
    BATCH,
    BETAS,
    HIDDEN,
    STEPS,
    Mixture,
    Rules,
    jensen_shannon,
    least_loss,
    normal,
    play,
    untrained,
)

NAME = "gan-theory"
RULES = Rules(0.9, 0.2, "flipped labels", 0.1, 0.05, 2)


def theory(**fields: Any) -> dict[str, float]:
    return dict(asked(NAME, **fields)["theory"].rows)


def test_the_best_discriminator_to_six_digits() -> None:
    answers = asked(NAME)["answers"]
    assert [row[0] for row in answers.rows] == [0, 1, 1.5, 2]
    assert [row[3] for row in answers.rows] == pytest.approx([0.989013, 0.817574, 0.5, 0.182426], abs=5e-7)
    curve = asked(NAME)["density/best"]
    logit = np.log(curve.y) - np.log1p(-np.array(curve.y))
    assert logit == pytest.approx(4.5 - 3 * np.array(curve.x), abs=1e-4)


def test_the_least_loss_and_the_divergence_to_six_digits() -> None:
    values = theory()
    assert values["least loss of D"] == pytest.approx(0.332740, abs=5e-7)
    assert values["Jensen–Shannon"] == pytest.approx(0.526777, abs=5e-7)
    assert values["least loss at p = q"] == pytest.approx(1.386294, abs=5e-7)
    assert values["least loss of D"] == pytest.approx(2 * math.log(2) - 2 * values["Jensen–Shannon"], rel=1e-9)
    assert values["its real part at least"] == 0


def test_a_real_label_of_nine_tenths_at_equality() -> None:
    values = theory(real_label=0.9, mean=0)
    assert values["best D at p = q"] == 0.45
    assert values["least loss at p = q"] == pytest.approx(1.376278, abs=5e-7)
    assert values["least loss of D"] == pytest.approx(1.376278, abs=5e-7)
    assert values["its real part at least"] == pytest.approx(0.325083, abs=5e-7)
    assert asked(NAME, real_label=0.9, mean=0)["density/best"].y == pytest.approx([0.45] * 121)
    assert max(asked(NAME, real_label=0.9)["density/best"].y) == pytest.approx(0.9)


def test_equal_densities_have_no_divergence_and_far_ones_the_most() -> None:
    one = Mixture(((0.3, -2, 0.5), (0.7, 1, 1.5)))
    assert jensen_shannon(one, one) == pytest.approx(0, abs=1e-12)
    assert least_loss(one, one, 1) == pytest.approx(2 * math.log(2))
    assert jensen_shannon(normal(-40, 1), normal(40, 0.01)) == pytest.approx(math.log(2))
    assert least_loss(normal(-40, 1), normal(40, 0.01), 1) == pytest.approx(0, abs=1e-9)


def test_no_other_answer_has_a_lower_loss() -> None:
    real, generated = Mixture(((0.5, -2, 0.5), (0.5, 2, 1))), normal(1, 0.7)
    for label in (0.7, 1.0):
        least = least_loss(real, generated, label)
        for shift, factor in ((0.1, 1), (-0.1, 1), (0, 0.97)):

            def log_yes(x: np.ndarray, label: float = label, shift: float = shift, factor: float = factor) -> np.ndarray:
                best = gan_theory.best_answer(real, generated, x, label)
                return np.log(np.clip(factor * best / (best + np.exp(-shift) * (1 - best)), 1e-300, 1 - 1e-12))

            other = gan_theory.loss_of(real, generated, log_yes, lambda x, log_yes=log_yes: np.log1p(-np.exp(log_yes(x))), label)
            assert other > least + 1e-4


class Torch:
    """The same two networks in PyTorch, double precision."""

    def __init__(self, mean: float, deviation: float, slope: float, weights: np.ndarray) -> None:
        self.discriminator = nn.Sequential(nn.Linear(1, HIDDEN), nn.LeakyReLU(slope), nn.Linear(HIDDEN, 1)).double()
        parts = gan_theory.parts_of(weights)
        with torch.no_grad():
            for parameter, values in zip(self.discriminator.parameters(), parts, strict=True):
                parameter.copy_(torch.tensor(values).reshape(parameter.shape))
        self.generator = torch.tensor([deviation, mean], dtype=torch.float64, requires_grad=True)

    def answers(self, x: Any) -> torch.Tensor:
        return self.discriminator(torch.as_tensor(x)[:, None])[:, 0]


@pytest.mark.parametrize("loss", ["flipped labels", "saturating"])
def test_each_step_is_the_one_that_pytorch_takes(loss: str) -> None:
    rules = Rules(0.9, 0.2, loss, 0.1, 0.05, 2)
    real = Mixture(((0.4, -2, 0.5), (0.6, 1, 1)))
    played = play(real, 3, 1, rules)
    mine = Torch(3, 1, 0.2, untrained())
    optimizers = [torch.optim.Adam([mine.generator], 0.05, BETAS), torch.optim.Adam(mine.discriminator.parameters(), 0.1, BETAS)]
    points, noise = (torch.tensor(of.quantiles(BATCH)) for of in (real, normal(0, 1)))
    for step in range(8):
        weights = torch.cat([weight.detach().flatten() for weight in mine.discriminator.parameters()]).numpy()
        assert played.generators[step] == pytest.approx(mine.generator.detach().numpy(), rel=1e-6, abs=1e-9)
        assert played.discriminators[step] == pytest.approx(weights, rel=1e-6, abs=1e-9)
        for turn in range(2):
            fake = mine.answers((mine.generator[0] * noise + mine.generator[1]).detach())
            parts = (mine.answers(points), 0.9), (fake, 0.0)
            value = sum(binary_cross_entropy_with_logits(answers, torch.full_like(answers, target)) for answers, target in parts)
            if not turn:
                assert played.losses[step, 0] == pytest.approx(float(value.detach()))
            optimizers[1].zero_grad()
            value.backward()
            optimizers[1].step()
        fake = mine.answers(mine.generator[0] * noise + mine.generator[1])
        value = -logsigmoid(fake).mean() if loss == "flipped labels" else logsigmoid(-fake).mean()
        optimizers[0].zero_grad()
        value.backward()
        optimizers[0].step()


@pytest.mark.parametrize("steps", [0, 40, STEPS])
def test_the_discriminator_that_is_shown_is_the_network_on_the_grid(steps: int) -> None:
    """The cheat would be to draw the best answer, or any other formula, while the network stands still."""
    shown = asked(NAME, steps=steps)["density/discriminator"]
    request = built(NAME).Request()
    rules = Rules(1, 0.2, "flipped labels", request.d_rate, request.g_rate, 1)
    network = Torch(3, 1, 0.2, play(gan_theory.real_of(request), 3, 1, rules).discriminators[steps])
    with torch.no_grad():
        assert shown.y == pytest.approx(network.answers(np.array(shown.x)).sigmoid().tolist(), abs=1e-9)


def test_the_networks_move_and_only_as_they_are_trained() -> None:
    untrained_events, trained_events = asked(NAME), asked(NAME, steps=STEPS)
    assert untrained_events["density/discriminator"].y == [0.5] * 121 != untrained_events["density/best"].y
    assert untrained_events["density/real"].y == trained_events["density/real"].y
    still = asked(NAME, steps=STEPS, d_rate=0)
    assert still["density/discriminator"].y == [0.5] * 121
    assert still["density/generated"].y == untrained_events["density/generated"].y, "a flat discriminator teaches nothing"
    alone = asked(NAME, steps=STEPS, g_rate=0)
    assert alone["density/generated"].y == untrained_events["density/generated"].y
    weight = np.add(alone["density/real"].y, alone["density/generated"].y)
    away = np.abs(np.subtract(alone["density/discriminator"].y, alone["density/best"].y))
    assert np.average(away, weights=weight) < 0.02, "alone, the discriminator comes to the best answer"
    start = np.abs(np.subtract(untrained_events["density/discriminator"].y, untrained_events["density/best"].y))
    assert np.average(start, weights=weight) > 0.3


def test_the_generated_density_comes_to_the_real_one() -> None:
    first, last = theory(), theory(steps=STEPS)
    assert last["Jensen–Shannon"] < first["Jensen–Shannon"] / 5
    path = asked(NAME, steps=STEPS)["generator/mean"].y
    assert len(path) == STEPS + 1 and path[0] == 3 and abs(path[-1]) < 1


@pytest.mark.parametrize("fields", [{}, {"real_label": 0.9}, {"second_share": 0.5, "slope": 0.5}, {"d_steps": 3, "loss": "saturating"}])
def test_a_discriminator_never_beats_the_best_one(fields: dict[str, Any]) -> None:
    for steps in (0, 25, 100, STEPS):
        values = theory(steps=steps, **fields)
        assert values["loss of D now"] > values["least loss of D"] - 1e-9
    panels = asked(NAME, steps=100, **fields)
    assert panels["losses/least of D"].x == list(range(0, STEPS + 1, gan_theory.EVERY))
    assert panels["losses/now"].x == [100, 100]
    assert panels["losses/now"].y == [panels[f"losses/{name}"].y[100] for name in ("discriminator", "generator")]


def test_where_the_discriminator_wins_only_flipped_labels_teach() -> None:
    ends = {}
    for loss in ("flipped labels", "saturating"):
        assert gan_theory.generator_gradient(np.array(0.01), loss) == pytest.approx(-0.99 if loss == "flipped labels" else -0.01)
        # Without Adam's division by the gradient's size, which hides it: the sum of the gradients by b of the first steps.
        played = play(normal(0, 1), 5, 0.5, Rules(1, 0.2, loss, 0.3, 0.0, 5))
        x = 0.5 * normal(0, 1).quantiles(BATCH) + 5
        answers = gan_theory.sigmoid(gan_theory.logits(played.discriminators[50], x, 0.2))
        gradient = gan_theory.generator_gradient(answers, loss) / BATCH
        ends[loss] = abs(gan_theory.back(played.discriminators[50], x, 0.2, gradient)[1].sum())
    assert ends["flipped labels"] > 50 * ends["saturating"] > 0


def test_one_normal_distribution_cannot_be_two() -> None:
    two = theory(steps=STEPS, second_share=0.5, real_mean=2, second_mean=-2, real_deviation=0.5, d_steps=3)
    assert two["Jensen–Shannon"] > 0.1


def test_the_game_spirals_out_or_circles_for_ever() -> None:
    rows = {row[0]: row[1:] for row in asked(NAME, show="game")["distances"].rows}
    assert rows["simultaneous"][0] == pytest.approx(1.6446, abs=5e-5) and abs(rows["simultaneous"][0] - 1.01**50) < 1e-9
    assert rows["alternating"][1] > 0.9759 and rows["alternating"][2] < 1.0260
    events = asked(NAME, show="game", game_steps=1000)
    rows = {row[0]: row[1:] for row in events["distances"].rows}
    assert rows["simultaneous"][0] == pytest.approx(144.77, abs=5e-3)
    assert rows["alternating"][1] == pytest.approx(0.976, abs=5e-4) and rows["alternating"][2] == pytest.approx(1.026, abs=5e-4)
    path = events["game/alternating"]
    kept = np.square(path.x) + np.square(path.y) - 0.1 * np.multiply(path.x, path.y)
    assert kept == pytest.approx(np.ones(1001))
    assert len(events["distance/simultaneous"].y) == 1001


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"steps": STEPS + 1}, f"steps must be at most {STEPS}"),
        ({"real_deviation": 0}, "real_deviation must be at least 0.2"),
        ({"mean": math.nan}, "mean"),
        ({"real_label": 1.1}, "real_label must be at most 1"),
        ({"loss": "hinge"}, "loss must be"),
        ({"game_rate": math.inf}, "game_rate"),
        ({"d_steps": 0}, "d_steps must be at least 1"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says) as raised:
        asked(NAME, **fields)
    assert raised.value.cause == "data" and "\n" not in raised.value.message


@pytest.mark.parametrize("fields", [{"slope": 1}, {"d_rate": 0.02}, {"real_label": 0.9}])
def test_a_weak_discriminator_lets_the_generator_collapse(fields: dict[str, Any]) -> None:
    """What the recipe tells to try."""
    deviation = asked(NAME, steps=STEPS, **fields)["generator/deviation"].y
    assert abs(deviation[-1]) < 0.02 and abs(asked(NAME)["generator/deviation"].y[-1]) > 0.9
