"""A run as one HTML file, and its log for other programs: JSON (every record), CSV (the folded scalars), TensorBoard event files."""

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from workbench import files, terminal
from workbench.events import Images, Text, spelled
from workbench.problems import Problem, one_line
from workbench.runs.export.html import to_html
from workbench.runs.history import History, history_of
from workbench.runs.log import Tail
from workbench.runs.run import Run

FORMATS = ("html", "csv", "json", "tensorboard")


def export(run: Run, form: str, out: Path | None = None) -> None:
    """What `dlwb export` does: writes the file and says where it is, or prints."""
    if form not in FORMATS:
        raise Problem(f"{one_line(form)} is not a format.", f"Formats: {', '.join(FORMATS)}.")
    if form == "tensorboard":
        folder = out or Path(f"{run.id}-tensorboard")
        print(f"{to_tensorboard(run, folder)} records; tensorboard --logdir {folder}", file=sys.stderr)
    elif out or form == "html":
        print(saved_at(save(run, form, out or Path(f"{run.id}.{form}"))), file=sys.stderr)
    else:
        for piece in _pieces(run, form):
            print(piece, end="")


def save(run: Run, form: str, file: Path) -> Path:
    """Write it as html, csv or json; returns the file's whole path."""
    # Half a surrogate pair, which a foreign text may hold, cannot be written as UTF-8.
    data = "".join(_pieces(run, form)).encode(errors="replace")
    if file.exists() and not file.is_file():
        file.write_bytes(data)  # a pipe or a device: nothing to replace
    else:
        files.write(file.resolve(), data)
    return file.absolute()


def saved_at(file: Path) -> str:
    """Where a written file is, and over SSH how it comes to the person's own machine."""
    fetch = terminal.scp_line(file)
    return f"{file}" + (f"\n{fetch}" if fetch else "")


def _pieces(run: Run, form: str) -> Iterator[str]:
    return {"html": to_html, "json": to_json, "csv": to_csv}[form](run)


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
        for step, epoch, value in zip(series.steps, series.epochs, series.values, strict=True):
            writer.writerow((int(step), epoch, tag, value))
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()  # the names alone, where there is no scalar


def to_tensorboard(run: Run, folder: Path) -> int:
    """Write an event file that TensorBoard opens: scalars, pictures and texts of the folded history; returns how many records."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event as Record
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise Problem("TensorBoard's own package writes this format, and it is not installed.", "pip install tensorboard") from None

    history = History()
    times: dict[int, float] = {}

    def noted() -> Iterator[Any]:
        for event in Tail(run.events).read():
            # A series holds no times, but TensorBoard can draw over them.
            times[event.step] = event.time
            yield event

    history.fold(noted())
    folder.mkdir(parents=True, exist_ok=True)
    writer = EventFileWriter(str(folder), max_queue_size=1000)
    count = 0
    for tag, series in history.series.items():
        for step, value in zip(series.steps, series.values, strict=True):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.add_event(Record(wall_time=times.get(int(step), 0.0), step=int(step), summary=summary))
            count += 1
    for tag, samples in history.samples.items():
        for event in samples.events:
            if isinstance(event, Images) and event.file:
                try:
                    value = Summary.Value(tag=tag, image=_picture(run.path / event.file, Summary))
                except OSError:
                    continue  # the picture is gone, or is none
            elif isinstance(event, Text):
                # TensorBoard's text plugin takes a tensor of strings without dimensions.
                text = TensorProto(dtype="DT_STRING", string_val=[event.text.encode()], tensor_shape=TensorShapeProto())
                data = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
                value = Summary.Value(tag=tag, tensor=text, metadata=data)
            else:
                continue
            writer.add_event(Record(wall_time=event.time, step=event.step, summary=Summary(value=[value])))
            count += 1
    writer.close()
    return count


def _picture(file: Path, summary: Any) -> Any:
    data = files.read_plain(file)
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")  # PNG, 11.2.2 IHDR
    return summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
