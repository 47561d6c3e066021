"""What cannot be trained by several processes, and why, known before anything starts. `load_recipe` asks; the processes look again."""

from workbench.problems import one_line
from workbench.recipes.project_schemas import ProjectSchema
from workbench.recipes.recipe import Recipe
from workbench.recipes.yaml_values import Fault

WHOLE = {
    "char_rnn": "it carries its hidden state from batch to batch",
    "cifar_fast": "its loss is a sum over the batch, not a mean",
    "semi_supervised": "it compares means over the whole batch",
    "simple_rnn": "it carries its hidden state from batch to batch",
    "style_transfer": "it has one picture, and no rows that could be shared",
    "tv_scripts": "it carries its hidden state from batch to batch",
    "word2vec": "it changes its weights by hand, and not by gradients that could be shared",
}
"""Lessons with PyTorch whose batches cannot be shared by rows. Their files do not say so: recorded results hang on what stands there."""


def on(device: str, recipe: Recipe | None) -> str:
    """A run's device with the number of its processes: `cpu, 2 processes`; the device alone where there is one."""
    compute = recipe.compute if recipe else None
    if compute is None or compute.processes * compute.nodes == 1:
        return device
    machines = f" on each of {compute.nodes} nodes" if compute.nodes > 1 else ""
    return f"{device}, {compute.processes} processes{machines}" if compute.processes > 1 else f"{device}, {compute.nodes} nodes"


def on_briefly(device: str, recipe: Recipe | None) -> str:
    """The same in a few cells: `cpu ×2`, `cuda ×2`."""
    count = recipe.compute.processes * recipe.compute.nodes if recipe else 1
    name = device.partition(" ")[0]
    return f"{name.partition(':')[0]} ×{count}" if count > 1 else name


def why_not_exact(recipe: Recipe) -> str:
    """Why the same figures are not promised for another training, as a sentence without its subject; "" for one process on the CPU."""
    if recipe.compute.device != "cpu":
        return f"was trained on {one_line(recipe.compute.device, 20)}, and equal figures are promised for the CPU alone."
    count = recipe.compute.processes * recipe.compute.nodes
    return f"was trained by {count} processes, and equal figures are promised for one process alone." if count > 1 else ""


def faults(recipe: Recipe, schema: ProjectSchema | None) -> list[Fault]:
    """What is wrong with `compute.processes` and `compute.nodes`."""
    compute, where = recipe.compute, ("compute", "processes")
    if compute.processes * compute.nodes == 1:
        return []
    name = recipe.project.rpartition("/")[2]
    if schema and "cuda" not in schema.devices:
        return [Fault(where, f"{name} does not compute with PyTorch, so it has one process")]
    if name in WHOLE:
        return [Fault(where, f"{name} cannot be trained by several processes: {WHOLE[name]}")]
    if recipe.train.batch_size < compute.processes * compute.nodes:
        text = f"a batch of {recipe.train.batch_size} rows is too small for {compute.processes * compute.nodes} processes"
        return [Fault(where, f"{text}; raise train.batch_size")]
    if compute.device.startswith("cuda:") and compute.processes > 1:
        return [Fault(where, f"{compute.device} is one GPU, and each process needs one of its own; write compute.device: cuda")]
    return []
