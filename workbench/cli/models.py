"""Exported models: `dlwb export RUN --to model`, and `dlwb model add`, `list`, `show`, `alias` and `verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.arguments import AsJson
from workbench.cli.printing import print_json, put, table, tell
from workbench.problems import Problem, one_line

if TYPE_CHECKING:
    from workbench.encoding.model_folder import ModelFolder
    from workbench.runs.run import Run

FORMS = ("model", "onnx", "safetensors")
Model = Annotated[str, typer.Argument(help="A model: its NAME (the newest version), NAME:VERSION or NAME@ALIAS.")]


def export_run(run: "Run", to: str, out: Path | None, name: str) -> None:
    """What `dlwb export` does for a model."""
    from workbench.launch import exporting

    put(exporting.export(run, to, out, name, lambda what: tell(f"{what} …")))
    if to == "model" and out is None:
        name = name or run.stem
        tell(f"`dlwb model show {name}` shows it, `dlwb predict {name}` asks it, `dlwb serve {name}` serves it.")


def add(source: Annotated[Path, typer.Argument(help="A model folder, or a .tar.gz of one.")]) -> None:
    """Take a model from elsewhere, under its own name and version. Every file is compared with its seal."""
    from workbench.encoding import model_store

    folder, new = model_store.add(source)
    put(folder.label if new else f"{folder.label} is here already.")


def list_(as_json: AsJson = False) -> None:
    """List the models with their versions and aliases."""
    from workbench.encoding import model_store

    rows: list[list[str]] = []
    described: list[dict[str, Any]] = []
    for name in model_store.names():
        called = model_store.aliases(name)
        for version in model_store.versions(name):
            mine = sorted(alias for alias, number in called.items() if number == version)
            try:
                folder = model_store.find(f"{name}:{version}")
            except Problem as problem:
                rows.append([f"{name}:{version}", ", ".join(mine), str(problem), "", ""])
                described.append({"model": f"{name}:{version}", "aliases": mine, "problem": str(problem)})
                continue
            figure = next((f"{metric} {value:.4g}" for metric, value in folder.model.figures.items() if metric in _TOLD), "")
            rows.append([folder.label, ", ".join(mine), folder.model.kind, figure, folder.model.run])
            described.append({**_described(folder), "aliases": mine})
    if as_json:
        print_json(described)
    elif rows:
        table(["MODEL", "ALIASES", "KIND", "FIGURE", "RUN"], rows)
    else:
        tell("There is no model yet: `dlwb export RUN --to model` makes one.")


_TOLD = ("test/accuracy", "test/rmse", "test/loss")


def show(model: Model, as_json: AsJson = False) -> None:
    """Show a model: how it is asked and answers, what made it, and its figures."""
    from workbench.encoding import model_store

    folder = model_store.find(model)
    if as_json:
        print_json(_described(folder))
        return
    about = folder.model
    aliases = ", ".join(sorted(alias for alias, version in model_store.aliases(about.name).items() if version == about.version))
    rows = [
        ["model", folder.label],
        ["aliases", aliases],
        ["identity", folder.digest],
        ["folder", str(folder.path)],
        ["kind", about.kind],
        ["input", _kind(about.encoder)],
        ["columns", _columns(about.encoder)],
        ["answer", _kind(about.decoder)],
        ["exporter", f"{about.exporter}, opset {about.opset}" if about.exporter else ""],
        ["libraries", ", ".join(f"{name} {version}" for name, version in about.libraries.items())],
        ["run", f"{about.run}, seed {about.seed}"],
        ["stand-in data", about.variant],
        ["difference", f"{about.difference:.1g}, the largest of an output from the run's own on real inputs"],
        *([metric, f"{value:.6g}"] for metric, value in about.figures.items()),
    ]
    table(["", ""], [row for row in rows if row[1]])


def alias(model: Model, name: Annotated[str, typer.Argument(help="champion, for example; -NAME removes it.", metavar="ALIAS")]) -> None:
    """Give a version a name beside its number, or move it there."""
    from workbench.encoding import model_store

    put(f"{model_store.set_alias(model, name).label} {'is no longer' if name.startswith('-') else 'is'} {name.removeprefix('-')}.")


def verify(model: Annotated[str, typer.Argument(help="A model, or the path of a model folder.")], as_json: AsJson = False) -> None:
    """Compare a model's files with their seal, and its answers to its own examples with the recorded ones."""
    from workbench.encoding import model_folder, model_store

    folder = model_folder.read(Path(model)) if "/" in model else model_store.find(model)
    from workbench.serving import bounds

    with bounds.memory(folder):
        answered = bounds.interruptible(lambda: _answered(folder), f"The check of {folder.label}")
    if as_json:
        print_json({**_described(folder), "examples": answered})
        return
    beside = f"answers {answered} examples as its project did" if answered else "only its own project answers it"
    put(f"{folder.label} is whole: {len(folder.model.files)} files; {beside}.")


def _answered(folder: "ModelFolder") -> int:
    """How many of its examples a model answers as its project did. Problem at the first that it does not."""
    if folder.model.kind == "project":
        return 0
    from workbench.encoding.answers import difference
    from workbench.serving.session import Session

    examples = folder.examples()
    if not examples:
        raise Problem(f"{folder.label} has no examples, so that nobody can tell whether it answers right.", "", "data")
    answers = Session(folder).answers([example["input"] for example in examples])
    for place, (example, answer) in enumerate(zip(examples, answers, strict=True), 1):
        text = str(answer) if isinstance(answer, Problem) else difference(answer, example["answer"])
        if text:
            raise Problem(f"{folder.label} answers its example {place} otherwise than its project did: {text}.", "Export it again.", "data")
    return len(examples)


def _described(folder: "ModelFolder") -> dict[str, Any]:
    import msgspec

    model = msgspec.to_builtins(folder.model)
    del model["files"]
    encoder = model["encoder"]
    # A table of thousands of columns is in model.json.
    if len(encoder.get("columns", ())) > 100:
        encoder["columns"] = len(encoder["columns"])
    return {"model": folder.label, "identity": folder.digest, "folder": str(folder.path), **model}


def _columns(encoder: Any) -> str:
    """The names of a row's first columns: what a request has to name."""
    names = [one_line(column.name, 60) for column in getattr(encoder, "columns", ())]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more, in model.json" if len(names) > SHOWN else "")


SHOWN = 40
"""Columns that are named."""


def _kind(struct: Any) -> str:
    import msgspec

    parts = msgspec.to_builtins(struct)
    columns = parts.pop("columns", None)
    words = [
        f"{key} {value}"
        for key, value in parts.items()
        if key != "type" and value not in ("", False, None, 0, -1) and (key, value) != ("scale", 1.0)
    ]
    return ", ".join([str(parts["type"]), *([f"{len(columns)} columns"] if columns else []), *words])
