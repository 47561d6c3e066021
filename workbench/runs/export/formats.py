"""A run as one HTML file, and its log for other programs: JSON (every record), CSV (the folded scalars), TensorBoard event files."""

import csv
import io
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from workbench import files, paths, terminal
from workbench.events import Images, Text, spelled
from workbench.problems import Problem, one_line
from workbench.runs.comparisons import Comparison
from workbench.runs.export.html import to_html
from workbench.runs.export.samples import picture
from workbench.runs.history import History, history_of
from workbench.runs.log import Tail
from workbench.runs.run import Run
from workbench.runs.tunings import Tuning

FORMATS = ("html", "csv", "json", "tensorboard", "ipynb", "bundle")
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""How a formula of a spreadsheet begins; some take the wide signs, too."""


def export(source: Run | Comparison | Tuning, form: str, out: Path | None = None, *, execute: bool = False) -> None:
    """What `dlwb export` does: writes the file and says where it is, or prints. Of a comparison or a tuning there is a page alone.

    `execute` computes a notebook's figures again.
    """
    if form not in FORMATS:
        raise Problem(f"{one_line(form)} is not a format.", f"Formats: {', '.join(FORMATS)}.")
    if execute and form != "ipynb":
        raise Problem(f"Only a notebook is executed, not {form}.", "Use --to ipynb, or leave --execute out.")
    if form == "ipynb" and isinstance(source, Run):
        from workbench.runs.export.notebook import to_notebook

        file = out or Path(f"{source.id}.ipynb")
        text, origin = to_notebook(source, execute=execute)
        print(f"{saved_at(written(text, file))}\n{origin}", file=sys.stderr)
        return
    if form == "bundle" and isinstance(source, Run):
        from workbench.runs.export.bundle import to_bundle

        folder = to_bundle(source, out or Path(f"{source.id}-bundle"))
        print(f"{folder}\n{saved_at(folder.with_name(f'{folder.name}.tar.gz'))}", file=sys.stderr)
        return
    if form == "tensorboard" and isinstance(source, Run):
        folder = out or Path(f"{source.id}-tensorboard")
        print(f"{to_tensorboard(source, folder)} records; tensorboard --logdir {folder}", file=sys.stderr)
    elif out or form == "html":
        print(saved_at(save(source, form, out or Path(f"{source.id}.{form}"))), file=sys.stderr)
    else:
        for piece in _pieces(source, form):
            print(piece, end="")


def save(source: Run | Comparison | Tuning, form: str, file: Path) -> Path:
    """Write it as html, csv or json; returns the file's whole path. Problem where it cannot be written: an older file stays as it was."""
    return written("".join(_pieces(source, form)), file)


def numbered(name: str, ending: str) -> Path:
    """A file of dlwb's folder of exports that is not there yet: name-1, name-2, …: one lesson, or run, is exported many times."""
    folder = exports()
    return next(file for file in (folder / f"{name}-{number}{ending}" for number in range(1, 10**6)) if not file.exists())


def exports() -> Path:
    """The folder in which the terminal program writes; made if needed."""
    folder = paths.home() / "exports"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(folder, error) from error
    return folder


def written(text: str, file: Path) -> Path:
    """Write text; returns the file's whole path. Problem where it cannot be written: an older file stays as it was."""
    # Half a surrogate pair, which a foreign text may hold, cannot be written as UTF-8.
    data = text.encode(errors="replace")
    try:
        if file.exists() and not file.is_file():
            file.write_bytes(data)  # a pipe or a device: nothing to replace
        else:
            files.write(file.resolve(), data)
        return file.absolute()
    except OSError as error:
        raise _unwritten(file, error) from error


def _unwritten(file: Path, error: OSError) -> Problem:
    return files.problem(one_line(str(file), 200), "written", error, file)


def saved_at(file: Path) -> str:
    """Where a written file is, and over SSH how it comes to the person's own machine."""
    fetch = terminal.scp_line(file)
    return f"{file}" + (f"\n{fetch}" if fetch else "")


def _pieces(source: Run | Comparison | Tuning, form: str) -> Iterator[str]:
    if isinstance(source, Run):
        return {"html": to_html, "json": to_json, "csv": to_csv}[form](source)
    from workbench.runs.export import comparison, tuning

    if form != "html":
        what = "comparison" if isinstance(source, Comparison) else "tuning"
        raise Problem(f"A {what} is exported as html, not as {one_line(form)}.", "Its runs are exported one by one in every format.")
    return comparison.to_html(source) if isinstance(source, Comparison) else tuning.to_html(source)


def to_json(run: Run) -> Iterator[str]:
    """A JSON list with one record for each line of the log that could be read, in pieces. NaN and infinity are words, as in the log."""
    before = "[\n"
    for event in Tail(run.events).read():
        yield before + msgspec.json.encode(spelled(msgspec.to_builtins(event))).decode()
        before = ",\n"
    yield "\n]\n" if before.startswith(",") else "[]\n"


def to_csv(run: Run) -> Iterator[str]:
    """Step, epoch, tag and value of every scalar in the folded history: what a rewind dropped is not there."""
    history = history_of(run.events)
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(("step", "epoch", "tag", "value"))
    for tag, series in history.series.items():
        name = as_words(tag)
        for step, epoch, value in zip(series.steps, series.epochs, series.values, strict=True):
            writer.writerow((int(step), epoch, name, value))
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()  # the names alone, where there is no scalar


def as_words(text: str) -> str:
    """A cell of words. A spreadsheet would compute one that begins like a formula (OWASP, CSV injection): a quotation mark precedes it."""
    text = one_line(text, len(text) + 1)
    return f"'{text}" if text.startswith(FORMULA) else text


def to_tensorboard(run: Run, folder: Path) -> int:
    """Write an event file that TensorBoard opens: scalars, pictures and texts of the folded history; returns how many records.

    Problem where it cannot be written: nothing of it is left then.
    """
    try:
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise Problem("TensorBoard's own package writes this format, and it is not installed.", "pip install tensorboard") from None

    # In memory: its own writer has a thread, in which a full disk is met by nobody.
    content = io.BytesIO()
    writer = RecordWriter(content)
    count = -1  # the first record is the format's version
    for record in _records(run):
        writer.write(record.SerializeToString())
        count += 1
    file = folder / f"events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write(file, content.getvalue())
    except OSError as error:
        raise _unwritten(folder, error) from error
    return count


def _records(run: Run) -> Iterator[Any]:
    """TensorBoard's records of a run, protocol buffers of its event.proto."""
    from tensorboard.compat.proto.event_pb2 import Event as Record
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    history = History()
    times: dict[int, float] = {}

    def noted() -> Iterator[Any]:
        for event in Tail(run.events).read():
            # A series holds no times, but TensorBoard can draw over them.
            times[event.step] = event.time
            yield event

    history.fold(noted())
    yield Record(wall_time=history.started, file_version="brain.Event:2")
    for tag, series in history.series.items():
        for step, value in zip(series.steps, series.values, strict=True):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            yield Record(wall_time=times.get(int(step), 0.0), step=int(step), summary=summary)
    for tag, samples in history.samples.items():
        for event in samples.events:
            if isinstance(event, Images) and event.file:
                try:
                    data, width, height = picture(run.path, event)
                except (OSError, ValueError):
                    continue  # the picture is gone, or is none
                image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
                value = Summary.Value(tag=tag, image=image)
            elif isinstance(event, Text):
                # TensorBoard's text plugin takes a tensor of strings without dimensions.
                text = TensorProto(dtype="DT_STRING", string_val=[event.text.encode()], tensor_shape=TensorShapeProto())
                metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
                value = Summary.Value(tag=tag, tensor=text, metadata=metadata)
            else:
                continue
            yield Record(wall_time=event.time, step=event.step, summary=Summary(value=[value]))
