"""`dlwb predict`: asks a model once, or for each row of a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli.arguments import AsJson
from workbench.cli.printing import print_json, put, tell
from workbench.problems import Problem, one_line

if TYPE_CHECKING:
    from workbench.serving.session import Session


def predict(
    model: Annotated[str, typer.Argument(help="A model: its NAME (the newest version), NAME:VERSION or NAME@ALIAS.")],
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT]…", help="A text, a picture's file, or NAME=NUMBER for each column of a row.")
    ] = None,
    batch: Annotated[Path | None, typer.Option(help="A .csv, .jsonl or .txt file, or a folder of pictures: answer each row.")] = None,
    to: Annotated[Path | None, typer.Option(help="Where the answers go: .csv or .jsonl. Killed, the same command goes on.")] = None,
    on_error: Annotated[
        Literal["stop", "row"], typer.Option(help="What a row that the model does not take does: stop, or a row that says why.")
    ] = "stop",
    as_json: AsJson = False,
) -> None:
    """Ask a model. Nothing is loaded but its folder: neither torch nor the data."""
    from workbench.encoding import model_store
    from workbench.serving.session import Session

    if (batch is None) != (to is None):
        raise typer.BadParameter("--batch and --to belong together.")
    if batch is not None and inputs:
        raise typer.BadParameter(f"With --batch there is no other input: {one_line(inputs[0], 40)!r} would not be used.")
    session = Session(model_store.find(model))
    if batch is None and not inputs:
        raise typer.BadParameter(f"{_wants(session)} Or give --batch FILE --to FILE.")
    if batch is not None:
        assert to is not None
        from workbench.serving import batch as batches
        from workbench.serving.batch import BadRow

        try:
            done = batches.transform(session, batch, to, on_error, lambda rows: tell(f"{rows:,} rows …"))
        except BadRow as problem:
            raise Problem(problem.message, f"{problem.hint} --on-error row answers the others.".strip(), "data") from None
        refused = f", {done.errors:,} of them refused" if done.errors else ""
        put(f"{to}: {done.rows:,} rows{refused}.")
        return
    (answer,) = session.answers([_raw(session, inputs or [])])
    if isinstance(answer, Problem):
        raise answer
    if as_json:
        print_json(answer)
        return
    number = answer["answer"]
    put(f"{number:.6g} {answer.get('unit', '')}".strip() if isinstance(number, float) else str(number))
    for name, share in sorted(answer.get("probabilities", {}).items(), key=lambda pair: -pair[1])[:5]:
        put(f"  {name} {share:.4f}")


def _raw(session: "Session", words: list[str]) -> Any:
    from workbench.encoding.kinds import Picture, RowOfNumbers

    encoder = session.coding.encoder
    if isinstance(encoder, Picture):
        from base64 import b64encode

        from workbench import files

        if len(words) > 1:
            raise typer.BadParameter(f"One picture at a time; {one_line(words[1], 40)!r} would not be used. --batch takes a folder.")
        path = Path(words[0])
        try:
            return {"picture": b64encode(files.read_plain(path, follow=True)).decode()}
        except FileNotFoundError:
            raise Problem(f"There is no file {one_line(str(path))}.", _wants(session), "data") from None
        except OSError as error:
            raise files.problem(f"The picture {one_line(str(path))}", "read", error, path, "data") from error
    if isinstance(encoder, RowOfNumbers):
        pairs = [word.rpartition("=") for word in words]
        if any(not name for name, _, _ in pairs):
            raise Problem(f"{one_line(next(word for word in words if '=' not in word), 60)!r} is no NAME=NUMBER.", _wants(session), "data")
        try:
            row = {name: float(value) for name, _, value in pairs}
            left = [column.name for column in encoder.columns if column.name not in row]
            if left:
                tell(f"Left out, so they count as their means: {one_line(', '.join(left), 400)}.")
            return {"row": row}
        except ValueError:
            wrong = next(word for word, (_, _, value) in zip(words, pairs, strict=True) if not _is_number(value))
            raise Problem(f"{one_line(wrong, 60)!r} gives no number.", "Write NAME=NUMBER.") from None
    return " ".join(words)


def _wants(session: "Session") -> str:
    """What the model of a session takes, in words."""
    from workbench.encoding.kinds import BagOfWords, Picture, RowOfNumbers, TextCodes

    encoder = session.coding.encoder
    label = session.folder.label
    if isinstance(encoder, Picture):
        return f"{label} takes the file of a picture, PNG or JPEG."
    if isinstance(encoder, RowOfNumbers):
        return f"{label} takes a row, NAME=NUMBER for each of: {one_line(', '.join(column.name for column in encoder.columns), 600)}."
    return f"{label} takes a text." if isinstance(encoder, TextCodes | BagOfWords) else f"{label} takes numbers."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
