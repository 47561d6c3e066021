"""Reads CSV files of metrics as they grow: a header, then a row for each step, as Lightning's and Keras's loggers write them."""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench import files
from workbench.elsewhere.growing import Growing, Replaced
from workbench.elsewhere.values import KEY_LIMIT
from workbench.events import Event, Scalars
from workbench.problems import Problem, one_line

STEPS = ("step", "global_step", "trainer/global_step", "iteration", "iter", "batch", "epoch")
"""Columns that may hold the step, the first of them that is there does; without one, rows are counted."""
TIMES = ("time", "timestamp", "wall_time", "created_at", "_timestamp")
"""Columns that may hold seconds since the Unix epoch."""
LATEST = 1e9
"""A time below this, in 2001, is a duration, and no moment."""
COLUMNS, HEADER_LIMIT = 2000, 1 << 16
"""Most columns, and most characters of the header."""


class MetricFile:
    """One CSV file. A number that is missing in a row is left out; so is a column without numbers, which the remark names."""

    kind = "CSV"

    def __init__(self, path: Path) -> None:
        self.path = path
        # metrics.csv of a folder of versions says nothing: its folder does.
        self.name = path.parent.name if path.stem in ("metrics", "log", "progress") else path.stem
        self.left_out: Counter[str] = Counter()
        self.config: dict[str, Any] = {}
        self._growing = Growing(path)
        self._head = b""
        """Its first line, to its end."""
        self._columns: list[str] = []
        self._delimiter = ","
        self._rows = 0
        self._step = 0

    @property
    def unfinished(self) -> bool:
        """See `found.Source`."""
        return bool(self._growing.rest.strip())

    def printed(self) -> bytes:
        """A CSV file holds nothing that was printed."""
        return b""

    def events(self) -> Iterator[Event]:
        """See `found.Source`. A row counts once its line has ended."""
        self._check_header()
        while self._growing.more():
            lines, newline, rest = self._growing.rest.rpartition(b"\n")
            self._growing.rest = rest
            if newline:
                self._head = self._head or lines.partition(b"\n")[0] + newline
                yield from self._read(lines.decode("utf-8-sig", errors="replace").splitlines())

    def _check_header(self) -> None:
        """Some loggers write the whole file anew where a metric is added: then it is longer, and yet another file."""
        if self._head:
            file = files.open_plain(self.path)
            try:
                if os.pread(file, len(self._head), 0) != self._head:
                    raise Replaced(str(self.path))
            finally:
                os.close(file)

    def _read(self, lines: list[str]) -> Iterator[Event]:
        if not self._columns:
            header = next((line for line in lines if line.strip()), "")
            lines = lines[lines.index(header) + 1 :] if header else []
            self._begin(header)
        for row in csv.reader(lines, delimiter=self._delimiter):
            if row:
                yield from self._row(row)

    def _begin(self, header: str) -> None:
        self._delimiter = max(",;\t", key=header.count)
        names = next(csv.reader([header], delimiter=self._delimiter), [])
        self._columns = [one_line(name, KEY_LIMIT).strip() for name in names]
        if len(header) > HEADER_LIMIT or len(names) > COLUMNS:
            raise Problem(f"{self.path} has a header of {len(names):,} columns.", f"At most {COLUMNS:,} can be shown.")
        if len(names) < 2 or all(_number(name, ".") is not None for name in names):
            raise Problem(
                f"{self.path} is not a file of metrics: its first line names no columns.",
                "A header such as step,train/loss must come first.",
            )

    def _row(self, row: list[str]) -> Iterator[Event]:
        self._rows += 1
        if len(row) != len(self._columns):
            self.left_out["rows with more or fewer cells than the header"] += 1
            return
        # Where a semicolon parts the cells, a comma may part the decimals.
        point = "," if self._delimiter == ";" and not any("." in cell for cell in row) else "."
        values = {}
        for name, cell in zip(self._columns, row, strict=True):
            if not cell.strip():
                continue
            value = _number(cell, point)
            if value is None:
                self.left_out[f"cells of {name or 'a column without a name'} that are no numbers"] += 1
            else:
                values[name or "value"] = value
        names = [name for name in STEPS if name in self._columns]
        step = values.pop(names[0], None) if names else float(self._rows)
        # A row may lack it, as Lightning's rows of an epoch's end do: then it belongs to the step before.
        self._step = int(step) if step is not None and 0 <= step <= 2**53 else self._step
        epoch = values.pop("epoch", 0.0)
        moments = [values.pop(name) for name in TIMES if values.get(name, 0.0) > LATEST]
        if values:
            yield Scalars(values=values, step=self._step, epoch=epoch if epoch >= 0 else 0.0, time=moments[0] if moments else 0.0)


def _number(cell: str, point: str) -> float | None:
    try:
        return float(cell.replace(point, ".") if point != "." else cell)
    except ValueError:
        return None
