"""`dlwb submit`: trains a recipe on a cluster, through the scheduler that is already there."""

from typing import Annotated

import typer

from workbench.cli.arguments import AsJson, Follow, Recipe, Settings
from workbench.cli.printing import print_json, put, tell
from workbench.problems import Problem, one_line


def submit(
    recipe: Recipe,
    to: Annotated[str, typer.Option(help="The scheduler: slurm.")] = "slurm",
    settings: Settings = None,
    partition: Annotated[str, typer.Option("--partition", "-p", help="Slurm's partition; without it, the cluster's own.")] = "",
    time: Annotated[
        str, typer.Option("--time", "-t", help="Time limit: 90m, 12h, 2d or D-HH:MM:SS; longer runs go on in the next job.")
    ] = "",
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs; without it none, or one per process where the recipe wants CUDA.")] = None,
    cpus: Annotated[int, typer.Option(min=0, help="Cores; without it as many as compute.threads, or 1.")] = 0,
    memory: Annotated[str, typer.Option(help="Memory of the node: 16G.")] = "",
    account: Annotated[str, typer.Option("--account", "-A", help="The account that pays.")] = "",
    qos: Annotated[str, typer.Option(help="Quality of service.")] = "",
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="Another option of sbatch: constraint=a100.")
    ] = None,
    grace: Annotated[int, typer.Option(metavar="SECONDS", help="Save and end so long before the time limit.")] = 90,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Train a recipe as a Slurm job; prints the run's id.

    The run stands in the list at once: queued and why, then running and where. Before the time limit it saves, and its job goes into the
    queue again; the same after a preemption. stop, kill, resume, wait and logs -f work on it from the login node. $DLWB_HOME has to lie on
    a disk that the nodes see, too.
    """
    from workbench.launch import submit as submitting
    from workbench.recipes.find import find_recipe
    from workbench.recipes.load import load_recipe
    from workbench.runs import scheduled

    if to != "slurm":
        hint = f"`dlwb export RUN --to {to}` writes its file." if to in ("skypilot", "dstack") else "--to slurm."
        raise Problem(f"Runs are submitted to slurm, not to {one_line(to, 40)}.", hint)
    loaded = load_recipe(find_recipe(recipe), settings or [])
    request = submitting.Request(partition, time, gpus, cpus, memory, account, qos, tuple(option or ()), grace)
    run = submitting.submit(loaded, request)
    job = scheduled.job_of(run.path)
    nodes = loaded.recipe.compute.nodes
    if nodes > 1:
        tell("! More than one node was only tried on one machine, with the CPU; to stop or requeue it fails so far.")
    if not (follow and as_json):
        print_json({"run": run.id, "job": job.id if job else ""}) if as_json else put(run.id)
    if not as_json:
        tell(f"Slurm job {job.id if job else '?'} trains it; `dlwb wait {run.id}` waits for it.")
    if follow:
        from workbench.cli import follow as following

        raise typer.Exit(following.follow(run, as_json))
