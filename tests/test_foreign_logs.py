"""What TensorBoard, wandb and CSV loggers have written is read as it stands; what is torn or damaged is said."""

from collections.abc import Iterator
from pathlib import Path

import made_logs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from made_logs import WandbLog, history

from workbench.elsewhere import found, wire
from workbench.elsewhere.growing import Replaced
from workbench.elsewhere.metric_file import MetricFile
from workbench.elsewhere.sources import sources
from workbench.elsewhere.tensorboard import EventFiles
from workbench.elsewhere.wandb import OfflineRun
from workbench.events import Curve, Event, Images, Scalars, Status, Table, Text
from workbench.problems import Problem


def scalars(events: Iterator[Event] | list[Event]) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by tag."""
    values: dict[str, list[tuple[int, float]]] = {}
    for event in events:
        if isinstance(event, Scalars):
            for tag, value in event.values.items():
                values.setdefault(tag, []).append((event.step, value))
    return values


@given(some.binary(max_size=200))
def test_any_bytes_are_fields_or_damaged(data: bytes) -> None:
    try:
        fields = list(wire.fields(data))
    except wire.Damaged:
        return
    assert all(number >= 0 and isinstance(value, int | bytes) for number, value in fields)


# -- TensorBoard ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def event_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What torch's writer makes of numbers, a text, a picture and a histogram."""
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    folder = tmp_path_factory.mktemp("tensorboard")
    writer = tensorboard.SummaryWriter(str(folder))
    for step in range(50):
        writer.add_scalar("train/loss", 1 / (step + 1), step)
        writer.add_scalar("train/accuracy", step / 50, step)
    writer.add_text("note", "a *word*\x1b[2J", 49)
    writer.add_image("picture", np.zeros((3, 8, 8), np.float32), 49)
    writer.add_histogram("weights", np.arange(100.0), 49)
    writer.add_pr_curve("curve", np.array([0, 1, 1]), np.array([0.1, 0.8, 0.4]), 49)
    writer.close()
    return next(folder.glob("*.tfevents.*"))


def test_event_files_of_tensorboard(event_file: Path) -> None:
    source = EventFiles(event_file.parent, {"": event_file.parent})
    events = list(source.events())
    read = scalars(events)
    assert read["train/loss"] == [(step, pytest.approx(1 / (step + 1))) for step in range(50)]
    assert len(read["train/accuracy"]) == 50 and sum(isinstance(event, Scalars) for event in events) == 50, "one event a step"
    (text,) = [event for event in events if isinstance(event, Text)]
    assert (text.tag, text.text, text.step) == ("note", "a *word*", 49)
    (picture,) = [event for event in events if isinstance(event, Images)]
    assert picture.png.startswith(b"\x89PNG") and picture.tag == "picture"
    (histogram,) = [event for event in events if isinstance(event, Curve)]
    assert sum(histogram.y) == 100
    assert source.left_out == {"the kind pr_curves": 1} and "1 of the kind pr_curves" in found.remark(source)
    assert all(event.time > 1.7e9 for event in events)


def test_a_growing_event_file_is_read_record_by_record(event_file: Path, tmp_path: Path) -> None:
    data, grown = event_file.read_bytes(), tmp_path / event_file.name
    whole = scalars(EventFiles(event_file, {"": event_file}).events())
    source = EventFiles(grown, {"": grown})
    events: list[Event] = []
    for end in [*range(0, len(data), 997), len(data)]:
        grown.write_bytes(data[:end]) if not grown.exists() else grown.open("ab").write(data[grown.stat().st_size : end])
        events += source.events()
    assert scalars(events) == whole and not source.left_out.keys() - {"the kind pr_curves"}


def test_a_damaged_event_file_is_read_up_to_the_damage_and_says_so(event_file: Path, tmp_path: Path) -> None:
    data = bytearray(event_file.read_bytes())
    at = len(data) // 2
    whole = scalars(EventFiles(event_file, {"": event_file}).events())["train/loss"]
    for place in range(at, at + 40):  # some byte of a length, of its checksum, or of a message
        damaged = data.copy()
        damaged[place] ^= 0xFF
        (tmp_path / event_file.name).write_bytes(damaged)
        source = EventFiles(tmp_path, {"": tmp_path})
        read = scalars(source.events())["train/loss"]
        assert set(read) < set(whole) or read == whole, "nothing is read that was not written"
        assert any("damaged" in kind for kind in source.left_out), f"byte {place}"


def test_a_writer_that_starts_again_takes_its_steps_back(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    for steps, purge in ((range(10), None), (range(5, 12), 5)):
        writer = tensorboard.SummaryWriter(str(tmp_path), purge_step=purge, filename_suffix=f".{purge}")
        for step in steps:
            writer.add_scalar("loss", step, step)
        writer.close()
    events = list(EventFiles(tmp_path, {"": tmp_path}).events())
    (restart,) = [event for event in events if isinstance(event, Status)]
    assert restart.from_step == 4


def test_folders_of_splits_are_one_run(event_file: Path, tmp_path: Path) -> None:
    for name in ("train", "validation"):
        (tmp_path / "logs" / name).mkdir(parents=True)
        (tmp_path / "logs" / name / event_file.name).write_bytes(event_file.read_bytes())
    (source,) = sources(tmp_path)
    assert source.name == "logs"
    assert {"train/train/loss", "valid/train/loss"} <= scalars(source.events()).keys()


# -- wandb -----------------------------------------------------------------------------------------------------------------------


def test_an_offline_run_of_wandb(tmp_path: Path) -> None:
    log = WandbLog(tmp_path / "offline-run-1" / "run-abc.wandb")
    files = log.path.parent / "files"
    files.mkdir()
    (files / "table.json").write_text('{"columns": ["word", "n"], "data": [["a", 1], ["b", NaN]]}')
    log.append(made_logs.run("my run", {"lr": 0.1, "net": {"layers": 3}, "_wandb": {"x": 1}}))
    for step in range(2000):  # over several blocks
        log.append(history(step, train__loss=1 / (step + 1), note="x" * 50 if step == 7 else None))
    log.append(history(2000, t={"_type": "table-file", "path": "table.json"}, bad={"_type": "table-file", "path": "../../secret"}))
    log.append(history(2001, **{"net.a.b": 3, "loss": "NaN", "h": {"_type": "histogram", "bins": [0, 1, 2], "values": [4, 5]}}))
    log.append(made_logs.output("hello"), made_logs.ended(3))
    (source,) = sources(tmp_path)
    events: list[Event] = []
    with pytest.raises(found.Ending) as ending:
        for event in source.events():
            events.append(event)
    read = scalars(events)
    assert ending.value.code == 3 and source.name == "my run" and source.config == {"lr": 0.1, "net.layers": 3}
    assert read["train/loss"] == [(step, 1 / (step + 1)) for step in range(2000)]
    assert read["net.a.b"] == [(2001, 3)] and np.isnan(read["loss"][0][1])
    assert [event.text for event in events if isinstance(event, Text)] == ["x" * 50]
    (table,) = [event for event in events if isinstance(event, Table)]
    assert table.columns == ["word", "n"] and table.rows[0] == ["a", 1.0]
    (histogram,) = [event for event in events if isinstance(event, Curve)]
    assert (histogram.x, histogram.y) == ([0.5, 1.5], [4.0, 5.0])
    assert source.left_out == {"the kind table-file": 1}, "a path that leads out of its folder is not followed"
    assert source.printed() == b"hello\n" and source.printed() == b""


def test_a_growing_wandb_log_is_read_chunk_by_chunk_and_a_damaged_block_costs_no_other(tmp_path: Path) -> None:
    log = WandbLog(tmp_path / "whole.wandb")
    log.append(*(history(step, loss=float(step), pad="y" * 300) for step in range(500)))
    data = log.path.read_bytes()
    grown = tmp_path / "grown.wandb"
    source, events = OfflineRun(grown), []
    for end in [*range(0, len(data), 4099), len(data)]:
        with grown.open("ab") as file:
            file.write(data[file.tell() : end])
        events += list(source.events())
    assert scalars(events)["loss"] == [(step, float(step)) for step in range(500)]
    damaged = bytearray(data)
    damaged[(1 << 15) + 5000] ^= 0xFF
    (tmp_path / "damaged.wandb").write_bytes(damaged)
    source = OfflineRun(tmp_path / "damaged.wandb")
    steps = [step for step, _ in scalars(source.events())["loss"]]
    assert source.left_out["damaged blocks"] == 1 and steps[-1] == 499
    assert steps == sorted(set(steps)) and 300 < len(steps) < 500


def test_what_is_no_wandb_log_says_so(tmp_path: Path) -> None:
    (tmp_path / "run.wandb").write_bytes(b"something else entirely")
    with pytest.raises(Problem, match="not a wandb log"):
        list(OfflineRun(tmp_path / "run.wandb").events())


# -- CSV -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Lightning: the row of an epoch's end lacks what the others have
        (
            "epoch,step,train_loss,val_loss\n0,10,1.0,\n0,,0.9,\n1,20,,0.8\n",
            {"train_loss": [(10, 1.0), (10, 0.9)], "val_loss": [(20, 0.8)]},
        ),
        # Keras: the epoch is the step
        ("epoch,accuracy,loss\n0,0.5,2.0\n1,0.6,1.5\n", {"accuracy": [(0, 0.5), (1, 0.6)], "loss": [(0, 2.0), (1, 1.5)]}),
        # a spreadsheet of a country with decimal commas
        ("step;loss\n1;0,5\n2;0,25\n", {"loss": [(1, 0.5), (2, 0.25)]}),
        ("loss\tacc\n1\t0.1\n2\t0.2\n", {"loss": [(1, 1.0), (2, 2.0)], "acc": [(1, 0.1), (2, 0.2)]}),
    ],
)
def test_a_csv_of_metrics(text: str, expected: dict[str, list[tuple[int, float]]], tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text + "9")  # a line that is not yet written to its end
    source = MetricFile(path)
    assert scalars(source.events()) == expected and not source.left_out


def test_a_csv_names_what_it_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss,name\n1,0.5,first\n2,0.4\n3,0.3,second\n")
    source = MetricFile(path)
    assert scalars(source.events()) == {"loss": [(1, 0.5), (3, 0.3)]}
    assert source.left_out == {"cells of name that are no numbers": 2, "rows with more or fewer cells than the header": 1}


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n1,0.5\n")
    source = MetricFile(path)
    list(source.events())
    path.write_text("step,loss,accuracy\n1,0.5,0.1\n2,0.4,0.2\n")  # as Lightning does when a metric is added
    with pytest.raises(Replaced):
        list(source.events())


@pytest.mark.parametrize("text", ["1,2\n3,4\n", "only words\n", "\n\n"])
def test_what_is_no_file_of_metrics_says_so(text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(Problem, match="not a file of metrics"):
        list(MetricFile(path).events())


@pytest.mark.parametrize(
    ("name", "says"), [("", "holds no log"), ("missing", "There is no"), ("model.bin", "is no log that dlwb can read")]
)
def test_a_path_without_a_log_says_so(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"\0")
    with pytest.raises(Problem, match=says):
        sources(tmp_path / name)
