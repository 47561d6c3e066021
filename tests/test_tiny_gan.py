"""Tiny GANs: real points, what covers a mode, each network's step, that they learn, resume exactly, and are shown as they are."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked, built
from stepping import measured, scalars, train

from workbench.events import Table
from workbench.problems import Problem
from workbench.projects.gans.tiny_gan import COVERED, NEAR, TinyGan, energy_distance
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train

LINE: dict[str, Any] = {"data": "line", "deviation": 0.5, "noise_size": 1, "hidden": [16, 16], "learning_rate": 0.005}


def made(seed: int = 1, batch_size: int = 64, **config: Any) -> TinyGan:
    project = TinyGan(TinyGan.Config(**config), Train(batch_size=batch_size), Compute(device="cpu", threads=1), seed)
    project.build()
    return project


def test_the_real_points_are_the_mixture_s() -> None:
    project = made(modes=8, deviation=0.05)
    points = project.real(20_000, np.random.default_rng(3))
    assert points.dtype == np.float32 and np.linalg.norm(project.centres, axis=1) == pytest.approx(np.full(8, 2.0))
    shares = project.shares(torch.from_numpy(points))
    assert shares == pytest.approx(np.full(8, 1 / 8), abs=0.01)
    # In the plane the squared distance is exponential: exp(−NEAR²/2) of it lies outside.
    assert shares.sum() == pytest.approx(1 - math.exp(-(NEAR**2) / 2), abs=2e-3)
    line = made(**LINE, means=[-3, 0, 3])
    x = np.linspace(-9, 9, 1801)
    assert np.trapezoid(line.density(x), x) == pytest.approx(1)
    counts = np.histogram(line.real(40_000, np.random.default_rng(4))[:, 0], 18, (-9, 9))[0] / 40_000
    assert counts == pytest.approx(line.density(x).reshape(-1)[:-1].reshape(18, -1).mean(1), abs=0.01)


def test_epochs_have_points_of_their_own_and_the_same_seed_the_same() -> None:
    project = made()
    first, again, second = (next(iter(project.batches(0, np.random.default_rng([1, epoch]))))[0] for epoch in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, second) and first.shape == (64, 2)
    [several] = next(iter(made(discriminator_steps=3).batches(0, np.random.default_rng(0))))
    assert several.shape == (192, 2)


@pytest.mark.parametrize(("covered", "near"), [(0, 0), (1, 1), (5, 1), (8, 1), (8, 0.5)])
def test_modes_are_counted_by_their_points(covered: int, near: float) -> None:
    project = made()
    points = torch.zeros(2000, 2)
    number = int(2000 * near)
    centres = torch.from_numpy(project.centres[:covered]).float()
    if covered:
        points[:number] = centres.repeat(number // covered + 1, 1)[:number]
    project.generator = torch.nn.Module()
    project.generator.forward = lambda noise: points  # type: ignore[method-assign]
    values = scalars(project)
    assert values["modes"] == covered and values["near_share"] == pytest.approx(near)
    table = next(event for event in measured(project) if isinstance(event, Table))
    assert sum(row[1] for row in table.rows) == pytest.approx(near)


def test_a_stray_point_covers_no_mode() -> None:
    project = made()
    points = torch.from_numpy(project.centres[:1]).float().repeat(2000, 1)
    few = int(2000 * COVERED / 8)
    points[:few] = torch.from_numpy(project.centres[1]).float()
    assert (project.shares(points) >= COVERED / 8).sum() == 1 + (few / 2000 >= COVERED / 8)
    points[: few + 1] = torch.from_numpy(project.centres[1]).float()
    assert (project.shares(points) >= COVERED / 8).sum() == 2


def test_the_energy_distance_is_zero_for_equal_points_and_grows() -> None:
    points = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    distances = [energy_distance(points, points + shift) for shift in (0, 0.1, 1, 5)]
    assert distances[0] == pytest.approx(0, abs=1e-12) and distances == sorted(distances)
    # Two single places at a distance of 3: 2 · 3 − 0 − 0.
    assert energy_distance(torch.zeros(4, 1), torch.full((7, 1), 3.0)) == pytest.approx(6)


def test_the_losses_at_known_answers() -> None:
    for loss in ("flipped labels", "saturating"):
        project = made(loss=loss, real_label=0.9)
        with torch.no_grad():
            project.discriminator[-1].weight.zero_()
            project.discriminator[-1].bias.fill_(math.log(0.01 / 0.99))
        project.discriminator_optimizer.param_groups[0]["share"] = 0.0
        [values] = train(project, 1)
        assert values["probability/real"] == values["probability/fake"] == pytest.approx(0.01)
        assert values["loss/discriminator"] == pytest.approx(-0.9 * math.log(0.01) - 1.1 * math.log(0.99), rel=1e-5)
        assert values["loss/generator"] == pytest.approx(-math.log(0.01) if loss == "flipped labels" else math.log(0.99), rel=1e-4)


@pytest.mark.parametrize("loss", ["flipped labels", "saturating"])
def test_the_gradient_where_the_discriminator_wins(loss: str) -> None:
    project = made(loss=loss, generator="linear")
    with torch.no_grad():
        for weight in project.discriminator.parameters():
            weight.zero_()
        project.discriminator[-1].bias.fill_(math.log(0.01 / 0.99))
    gradients: list[torch.Tensor] = []
    project.discriminator_optimizer.param_groups[0]["share"] = 0.0
    # The gradient that reaches the logits: their sum is the derivative by the last bias.
    handle = project.discriminator[-1].register_full_backward_hook(lambda layer, inputs, outputs: gradients.append(outputs[0].sum()))
    train(project, 1)
    handle.remove()
    assert float(gradients[-1]) == pytest.approx(-0.99 if loss == "flipped labels" else -0.01, rel=1e-4)


@pytest.mark.parametrize(("still", "moves"), [("generator", "discriminator"), ("discriminator", "generator")])
def test_each_optimizer_moves_its_own_network(still: str, moves: str) -> None:
    project = made()
    getattr(project, f"{still}_optimizer").param_groups[0]["share"] = 0.0
    before = {name: [weight.detach().clone() for weight in getattr(project, name).parameters()] for name in (still, moves)}
    train(project, 2)
    same = {name: [torch.equal(*pair) for pair in zip(before[name], getattr(project, name).parameters(), strict=True)] for name in before}
    assert all(same[still]) and not any(same[moves])


@pytest.mark.parametrize("steps", [1, 3])
def test_the_discriminator_takes_so_many_steps_for_one_of_the_generator(steps: int) -> None:
    project = made(discriminator_steps=steps)
    train(project, 2)
    counts = {
        name: {int(state["step"]) for state in getattr(project, f"{name}_optimizer").state.values()}
        for name in ("generator", "discriminator")
    }
    assert counts == {"generator": {2}, "discriminator": {2 * steps}}


def learns(project: TinyGan) -> bool:
    """Whether generated points come to a fifth of the distance that they begin with."""
    untrained = scalars(project)["energy_distance"]
    train(project, 500)
    return scalars(project)["energy_distance"] < untrained / 5


def test_it_learns_and_not_from_a_discriminator_that_stands_still() -> None:
    assert learns(made(**LINE))
    still = made(**LINE)
    still.discriminator_optimizer.param_groups[0]["share"] = 0.0
    assert not learns(still)


def test_the_discriminator_that_is_shown_is_the_network_on_the_grid() -> None:
    project = made(**LINE)
    shown = []
    for _ in range(2):
        with project.evaluating():
            curve = next(event for event in project.sample(project.Request()) if getattr(event, "tag", "") == "density/discriminator")
            places = torch.tensor(curve.x)[:, None]
            assert curve.y == pytest.approx(project.discriminator(places).sigmoid()[:, 0].tolist(), abs=1e-6)
        shown.append(curve.y)
        train(project, 20)
    assert shown[0] != shown[1]


def test_exploring_a_run_of_the_ring() -> None:
    project = built("gan-ring")
    events = asked("gan-ring", project, points=300)
    assert list(events) == ["points", "discriminator", "shares"]
    assert events["points"].labels.count("generated") == 300
    one = asked("gan-ring", project, points=300, spread=0)["points"]
    assert len(set(one.x[:300])) == 1
    other = asked("gan-ring", project, points=300, seed=5)["points"]
    assert other.x[:300] != events["points"].x[:300] and other.x[300:] == events["points"].x[300:]
    assert len(events["discriminator"].values) == 16 and len(events["shares"].rows) == 8


def test_exploring_a_run_of_the_line() -> None:
    events = asked("gan-1d")
    assert list(events) == [*(f"density/{name}" for name in ("real", "generated", "discriminator", "best")), "generator/G(z)", "shares"]
    generated = events["density/generated"]
    assert sum(generated.y) * (generated.x[1] - generated.x[0]) == pytest.approx(1, abs=0.02)
    real, best = (dict(zip(events[f"density/{name}"].x, events[f"density/{name}"].y, strict=True)) for name in ("real", "best"))
    drawn = dict(zip(generated.x, generated.y, strict=True))
    assert best == pytest.approx({x: real[x] / (real[x] + drawn[x]) for x in best})


@pytest.mark.parametrize("fields", [{"points": 99}, {"spread": -1}, {"seed": 101}, {"spread": math.nan}])
def test_what_cannot_be_asked_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(Problem, match=next(iter(fields))):
        asked("gan-ring", built("gan-ring"), **fields)


def test_a_line_answers_for_noise_and_a_ring_says_why_not() -> None:
    line = made(**LINE)
    with line.evaluating():
        answer = line.predict({"numbers": [0.5]})
        assert answer["answer"] == pytest.approx(float(line.generator(torch.tensor([[0.5]]))), rel=1e-6)
        with pytest.raises(Problem, match="2 numbers"):
            line.predict({"numbers": [0.5, 1.0]})
    with pytest.raises(Problem, match="ring"):
        made().predict({"numbers": [0.5, 0.5]})


def test_the_recipes_ask_for_what_they_say() -> None:
    ring = load_recipe(find_recipe("gan-ring")).recipe
    assert (ring.config["modes"], ring.config["deviation"]) == (8, 0.1)
    assert load_recipe(find_recipe("gan-1d")).recipe.config["means"] == [-2, 2]


@pytest.mark.parametrize("forgotten", ["", "generator_optimizer", "discriminator_optimizer", "random"])
def test_it_resumes_exactly(forgotten: str) -> None:
    config: dict[str, Any] = {"hidden": [8], "discriminator_steps": 2}
    # An epoch has 10 steps: 14 cross its end.
    whole = made(batch_size=1000, **config)
    train(whole, 7)
    state, random = whole.state(), whole.random_state()
    expected = train(whole, 14, skip=7)

    resumed = made(batch_size=1000, **config)
    train(resumed, 3)
    state.pop(forgotten, None)
    resumed.load_state(state)
    if forgotten != "random":
        resumed.set_random_state(random)
    same = train(resumed, 14, skip=7) == expected
    weights = [torch.equal(*pair) for pair in zip(whole.generator.parameters(), resumed.generator.parameters(), strict=True)]
    assert same == all(weights) == (not forgotten)
