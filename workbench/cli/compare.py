"""Comparing and exporting: `dlwb compare`, `export`, `tag` and `note`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import models
from workbench.cli.arguments import REFERENCE, AsJson, Reference, find_comparison, find_run
from workbench.cli.printing import print_json, put, table, tell
from workbench.problems import Problem, one_line

if TYPE_CHECKING:
    from workbench.runs.comparisons import Comparison
    from workbench.runs.run import Run


def compare(
    references: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Two or more runs, one comparison, or a view saved on the compare screen."),
    ],
    as_json: AsJson = False,
    to: Annotated[str, typer.Option(help="page, latex, markdown or csv: write it so instead.")] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write; without it, tables go to stdout.")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Remove the view of that name; its runs stay.")] = False,
) -> None:
    """Compare runs side by side.

    Shows the settings that differ, by their effect on the metric, and the results of each run. A star marks the best value of a
    validation or test metric. Of a comparison, the table of its variants: mean, spread over seeds, and whether the intervals part.
    """
    from workbench.runs import views

    if forget:
        for reference in references:
            views.forget(reference)
        return
    alone = len(references) == 1 and not views.find(references[0])
    comparison = find_comparison(references[0]) if alone else None
    if comparison and not to:
        _variants(comparison, as_json)
        return
    runs, remarks = ([], []) if comparison else _meant(references)
    for remark in remarks:
        tell(f"! {remark}")
    if to:
        from workbench.runs.export import formats, many

        name = references[0] if len(references) == 1 else f"{runs[0].stem}-and-{len(runs) - 1}-more"
        text = "".join(many.pieces(comparison or many.Many(runs, name, " ".join(remarks)), to))
        if out or to == "page":
            tell(formats.saved_at(formats.written(text, out or Path(f"{comparison.id if comparison else name}{many.ENDINGS[to]}"))))
        else:
            print(text, end="")
        return
    from workbench.formatting import count, duration, number
    from workbench.runs import compare as comparing
    from workbench.runs.effects import effects, metric_of
    from workbench.runs.state import state_of

    sides = comparing.sides(runs)
    found = effects(sides, comparing.differing(sides), metric_of(sides))
    settings, figures = [effect.setting for effect in found.ranked], comparing.figures(sides)
    if as_json:
        ids = [side.run.id for side in sides]
        print_json(
            {
                "runs": ids,
                "settings": {row.name: dict(zip(ids, row.values, strict=True)) for row in settings},
                "figures": {row.metric: dict(zip(ids, row.values, strict=True)) for row in figures},
                "effects": {effect.setting.name: effect.share for effect in found.ranked},
                "effects_on": found.metric,
                "best": {row.metric: ids[row.best] for row in figures if row.best is not None},
            }
        )
        return
    rows = [["run", *(side.run.id for side in sides)], ["state", *(state_of(side.run).state for side in sides)]]
    rows += [
        ["steps", *(count(side.summary.step) for side in sides)],
        ["time", *(duration(side.summary.seconds) for side in sides)],
    ]
    rows += [[row.name, *row.values] for row in settings]
    for row in figures:
        values = [comparing.NOT_SET if value is None else number(value) for value in row.values]
        rows.append([row.metric, *(f"{value} *" if place == row.best else value for place, value in enumerate(values))])
    table(["", *(side.name for side in sides)], rows)
    if not settings:
        tell("No setting differs.")
    elif len(sides) > 2:
        told = ", ".join(f"{effect.setting.name} {effect.share:.2f}" for effect in found.ranked if effect.share is not None)
        tell(f"{found.remark}{f' {told}.' if told else ''}")


def _meant(references: list[str]) -> "tuple[list[Run], list[str]]":
    """The runs that are named, those of views among them, and what has to be said."""
    from workbench.runs import views

    runs, remarks = [], []
    for reference in references:
        if view := views.find(reference):
            there, remark = views.runs_of(view)
            runs += there
            remarks += [remark] if remark else []
        else:
            runs.append(find_run(reference))
    return runs, remarks


def _variants(comparison: "Comparison", as_json: bool) -> None:
    from workbench.runs import compare as comparing
    from workbench.runs import sweeps

    standing = comparison.standing()
    arms = comparing.arms(comparison, standing)
    if not as_json:
        from workbench.cli.follow import print_table

        print_table(comparison, arms)
        if standing.state.state != "finished":
            tell(f"{comparison.id} {standing.state.state}: {standing.state.message} {standing.state.hint}".rstrip())
        return
    runs = [{"variant": part.variant, "seed": part.seed, "run": part.run, "state": state and state.state} for part, state in standing.parts]
    rows = {
        arm.name: {
            "values": arm.values,
            "seconds": arm.seconds,
            "interval": arm.own and arm.own._asdict(),
            "difference": arm.difference and arm.difference._asdict(),
            "verdict": arm.verdict,
            "diverged": arm.diverged,
        }
        for arm in arms.rows
    }
    sweep, chosen = sweeps.sweep_of(comparison, arms), sweeps.choice(comparison, arms)
    print_json(
        {
            "comparison": comparison.id,
            "state": standing.state,
            "metric": arms.metric,
            "seeds": comparison.plan().seeds,
            "variants": rows,
            "sweep": sweep and {"setting": sweep.setting, "values": {place.variant: place.x for place in (*sweep.places, *sweep.others)}},
            "choice": chosen
            and {
                "best": chosen.best.name,
                "second": chosen.second.name,
                "intervals_overlap": chosen.overlap,
                "difference": chosen.difference and chosen.difference._asdict(),
                "tested": chosen.result and {chosen.tested: chosen.result._asdict()},
            },
            "remarks": arms.remarks,
            "runs": runs,
        }
    )


def export(
    run: Annotated[str, typer.Argument(help=f"{REFERENCE} With --to docker: an endpoint.")],
    to: Annotated[
        str,
        typer.Option(help="html, csv, json, tensorboard, ipynb or bundle; model, onnx or safetensors; sbatch, skypilot or dstack; docker"),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file or folder to write; without it, csv and json go to stdout.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of a model: its name; without it, the recipe's.")] = "",
    execute: Annotated[bool, typer.Option("--execute", help="Of a notebook: compute its figures again; fails where they differ.")] = False,
) -> None:
    """Write a run as a page, CSV, a log, a notebook, a model.

    A comparison is written as a page. The page has charts, samples and settings; csv, json and tensorboard are for other programs. A
    notebook has the training loop in a cell; a bundle is a folder that trains the run again elsewhere and compares the figures bit for
    bit. A model is kept in a folder of dlwb's home, where `dlwb model` finds it; --out writes it elsewhere. It is compared with the run's
    network on real inputs first. sbatch, skypilot and dstack write a folder that trains the run's recipe
    elsewhere. docker takes an endpoint's name: a folder for an image, and the commands that bring it to AWS.
    """
    if to == "docker":
        from workbench.serving import endpoint, image

        folder = image.to_docker(endpoint.find_endpoint(run), out or Path(f"{one_line(run, 64)}-docker"))
        put(f"{folder}: a Dockerfile, its files, and commands.sh. Nothing was built.")
        return
    if to in models.FORMS:
        models.export_run(find_run(run), to, out, name)
        return
    from workbench.launch import clusters
    from workbench.runs.export import formats as exporting

    if to in clusters.FORMS:
        put(clusters.to_folder(_run_of(run, to), to, out))
        return
    exporting.export(find_comparison(run) or _run_of(run, to), to, out, execute=execute)


def _run_of(reference: str, form: str) -> "Run":
    """The run; of a lesson that is only explored, why there is none."""
    try:
        return find_run(reference)
    except Problem as problem:
        from workbench.recipes.find import find_recipe
        from workbench.recipes.load import load_recipe

        try:
            explored = not load_recipe(find_recipe(reference), describe=False).trains
        except Problem:
            raise problem from None
        if not explored:
            raise
        message = f"{one_line(reference)} is a lesson to explore: nothing is trained, so there is no {form} of it."
        raise Problem(message, "Its screen writes an answer as a page.") from None


def tag(run: Reference, words: Annotated[list[str], typer.Argument(metavar="WORD...", help="-WORD removes a tag.")]) -> None:
    """Add tags to a run, or remove them."""
    from workbench.runs import notes

    put(" ".join(notes.tag(find_run(run), words).tags))


def note(run: Reference, text: Annotated[list[str], typer.Argument(metavar="TEXT", help='"" removes the note.')]) -> None:
    """Write a note about a run, in place of the old one."""
    from workbench.runs import notes

    put(notes.note(find_run(run), " ".join(text)).note)
