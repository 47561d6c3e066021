"""Which settings of a recipe are made smaller for a test on made data, so that every recipe takes seconds: one table for all."""

from pathlib import Path
from typing import Any

import msgspec

from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Recipe

MOST: dict[str, Any] = {
    "hidden": 16,
    "embedding": 12,
    "pretrained": 12,
    "sequence": 8,
    "length": 16,
    "picture_size": 32,
    "size": 64,
    "channels": 8,
    "generator": 32,
    "discriminator": 32,
    "generator_width": 8,
    "discriminator_width": 8,
    "maps": 16,
    "types": 2,
    "depth": 8,
    "labels_per_class": 3,
    "residual_blocks": 1,
}
"""Largest value of a setting of this name, or of the numbers in its list; a new project's recipe shrinks by it, too."""
BATCH = 16
"""Most examples of a batch."""
SLOW: dict[str, Any] = {"compile": False}
"""Settings that cost a minute at the start."""
INSTEAD: dict[str, dict[str, Any]] = {
    # Two of its four networks are trained whole, and saved with Adam's averages.
    "four-cases": {"network": "squeezenet1_0", "cut": "features.5"},
    # VGG-16 has 528 MB of weights, and torchvision's are found by a hash in their name.
    "dog-breeds": {"network": "squeezenet1_0", "weights": "stand-in"},
    "skin-lesions": {"network": "squeezenet1_0", "weights": "stand-in", "unfreeze": "features.9"},
    # A system's fonts are its own.
    "letters": {"fonts": "{mirror}/letters", "copies": 4},
    # Each token that it writes goes through every layer, and untrained it writes many.
    "translation-transformer": {"layers": 1},
    # CelebA is what a person unpacks.
    "faces": {"data": "{mirror}/celeba/pictures"},
    "faces-64": {"data": "{mirror}/celeba/pictures"},
}
"""By the recipe, settings that made data cannot have."""
ASKED: dict[str, dict[str, Any]] = {
    # The made novel has letters, spaces and full stops alone.
    "char-rnn-gates": {"prompt": "aab aac"},
    # The made digits are fewer than its 2,000.
    "projections": {"points": 200},
}
"""By the recipe of an explored lesson, values of its request that made data can have."""


def shrunk(value: Any, most: int) -> Any:
    """A number, or every number of a list, at most so large."""
    if isinstance(value, list):
        return [shrunk(part, most) for part in value]
    return min(value, most) if isinstance(value, int) and not isinstance(value, bool) else value


def recipe_on(file: Path, mirror: Path, device: str, *, small: bool = True) -> Recipe:
    """The recipe on made data and on a device; `small` makes its networks and batches small, too."""
    recipe = load_recipe(file).recipe
    instead = {name: value.format(mirror=mirror) if isinstance(value, str) else value for name, value in INSTEAD.get(file.stem, {}).items()}
    config = {**recipe.config, **instead}
    train = recipe.train
    if small:
        config = {name: SLOW.get(name, shrunk(value, MOST[name]) if name in MOST else value) for name, value in config.items()}
        train = msgspec.structs.replace(train, batch_size=min(train.batch_size, BATCH))
    compute = msgspec.structs.replace(recipe.compute, device=device, threads=1)
    explore = {**recipe.explore, **ASKED.get(file.stem, {})}
    return msgspec.structs.replace(recipe, config=config, train=train, compute=compute, explore=explore)
