"""The mnist-gan project: its settings, its loss, what it is judged by, and that it learns and resumes exactly."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from stepping import scalars, train

from workbench.datasets.labelled_images import ImageData, LabelledImages
from workbench.paths import shipped
from workbench.projects.gans import mnist_gan
from workbench.projects.gans.mnist_gan import MnistGan
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.adversarial import frechet_distance, moments

Make = Callable[..., MnistGan]


def scikit_digits() -> ImageData:
    """Scikit-learn's 8x8 digits, enlarged to MNIST's 28x28: real handwriting that needs no download."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    enlarged = np.kron(pixels.reshape(-1, 8, 8) / 16, np.ones((3, 3))).astype(np.float32)
    images = np.pad(enlarged, ((0, 0), (2, 2), (2, 2)))[:, None]
    parts = [LabelledImages(images[part], labels[part].astype(np.int64)) for part in (slice(900), slice(900, 1000), slice(1000, None))]
    return ImageData(*parts, [str(digit) for digit in range(10)])


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """A built project on scikit-learn's digits."""
    data = scikit_digits()
    monkeypatch.setattr(mnist_gan.images, "read", lambda name: data)

    def made(seed: int = 1, **config: object) -> MnistGan:
        project = MnistGan(MnistGan.Config(**config), Train(batch_size=64), Compute(device="cpu", threads=1), seed)
        project.build()
        return project

    return made


def test_the_networks_have_the_course_s_parameters(make: Make) -> None:
    project = make()
    counts = [sum(each.numel() for each in network.parameters()) for network in (project.discriminator, project.generator)]
    assert counts == [110_849, 114_800]


def test_the_recipe_says_what_the_course_s_notebook_says() -> None:
    given = load_recipe(shipped("recipes") / "5-gans" / "mnist-gan.yaml").recipe
    assert MnistGan.Config.model_validate(given.config) == MnistGan.Config()
    assert (given.train.epochs, given.train.batch_size) == (100, 64)


def test_the_losses_at_known_answers(make: Make) -> None:
    project = make(dropout=0.0)
    last = project.discriminator[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(2.0)
        # Before its step the discriminator says 2 to everything; kept from moving, it says so to the generator, too.
        project.discriminator_optimizer.param_groups[0]["share"] = 0.0
    [values] = train(project, 1)
    on_real, on_fake = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert values["loss/discriminator"] == pytest.approx(0.9 * on_real + 0.1 * on_fake + on_fake, rel=1e-5)
    assert values["loss/generator"] == pytest.approx(on_real, rel=1e-5)
    assert values["probability/real"] == pytest.approx(1 / (1 + math.exp(-2)), rel=1e-5)
    assert values["probability/fake"] == pytest.approx(1 / (1 + math.exp(-2)), rel=1e-5)


@pytest.mark.parametrize(("still", "moves"), [("generator", "discriminator"), ("discriminator", "generator")])
def test_each_optimizer_moves_its_own_network(make: Make, still: str, moves: str) -> None:
    project = make()
    getattr(project, f"{still}_optimizer").param_groups[0]["share"] = 0.0
    before = {name: [each.detach().clone() for each in getattr(project, name).parameters()] for name in (still, moves)}
    train(project, 2)
    same = {name: [torch.equal(*pair) for pair in zip(before[name], getattr(project, name).parameters(), strict=True)] for name in before}
    assert all(same[still])
    assert not any(same[moves])


def test_the_judge_is_the_same_in_each_run(make: Make) -> None:
    assert torch.equal(make(seed=1).frechet.real["valid"], make(seed=2).frechet.real["valid"])


def learns(project: MnistGan) -> bool:
    """Whether training brings what is drawn nearer to held-out digits: at 100 steps, to under a third at 600; real ones stay nearest."""
    untrained = scalars(project)["frechet_distance"]
    train(project, 100)
    early = scalars(project)["frechet_distance"]
    if untrained <= 1.2 * early:
        return False
    train(project, 500)
    late = scalars(project)
    return untrained > 3 * late["frechet_distance"] > 3 * late["frechet_distance/real"] and early > late["frechet_distance"]


def test_it_learns_and_a_dead_generator_is_told(make: Make) -> None:
    assert learns(make())
    dead = make()
    dead.generator_optimizer.param_groups[0]["share"] = 0.0
    assert not learns(dead)


def test_it_learns_on_mnist(mirror: object) -> None:
    project = MnistGan(MnistGan.Config(), Train(batch_size=64), Compute(device="cpu", threads=1), 1)
    project.build()
    noise = torch.rand(2000, 784) * 2 - 1
    held_out = moments(project.frechet.real["valid"])
    assert len(project.digits) == 60_000
    assert frechet_distance(moments(project.features(noise)), held_out) > 100
    untrained = scalars(project)
    train(project, 400)
    early = scalars(project)
    assert untrained["frechet_distance"] > 1.3 * early["frechet_distance"]
    assert early["frechet_distance"] > 20 * early["frechet_distance/real"]
    assert scalars(project, "test")["frechet_distance"] == pytest.approx(early["frechet_distance"], rel=0.1)


def test_the_same_sixteen_digits_over_time(make: Make) -> None:
    project = make()

    def shown() -> bytes:
        with project.evaluating():
            [images] = project.sample(project.Request())
        return images.png

    before = shown()
    assert before == shown()
    noise = project.fixed_noise.clone()
    train(project, 5)
    assert shown() != before
    assert torch.equal(project.fixed_noise, noise)
    other = make(seed=2)
    other.load_state(project.state())
    project = other
    assert torch.equal(other.fixed_noise, noise)


def test_the_learning_rate_can_be_changed_while_it_runs(make: Make) -> None:
    project = make()
    project.config = project.config.model_copy(update={"learning_rate": 0.5})
    train(project, 1)
    for optimizer in (project.generator_optimizer, project.discriminator_optimizer):
        assert [group["lr"] for group in optimizer.param_groups] == [0.5]


@pytest.mark.parametrize("forgotten", ["", "generator_optimizer", "discriminator_optimizer", "random"])
def test_it_resumes_exactly(make: Make, forgotten: str) -> None:
    # 17 steps cross the end of an epoch, which has 16 of them here.
    whole = make()
    train(whole, 12)
    state, random = whole.state(), whole.random_state()
    expected = train(whole, 17, skip=12)

    resumed = make(seed=1)
    train(resumed, 3)
    state.pop(forgotten, None)
    resumed.load_state(state)
    if forgotten != "random":
        resumed.set_random_state(random)
    same = train(resumed, 17, skip=12) == expected
    weights = [torch.equal(*pair) for pair in zip(whole.generator.parameters(), resumed.generator.parameters(), strict=True)]
    assert same == all(weights) == (not forgotten)
