"""The rows of a CSV text with the line each begins in, and the separator that the text shows. Every table is read through it."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from workbench.problems import Problem, one_line

SEPARATORS = {"\t": "a tab", ";": "a semicolon", "|": "a bar", ",": "a comma", " ": "a blank"}
"""In the order in which one is preferred: numbers hold commas as regularly as a comma separates, but hardly anything holds tabs."""
SAMPLE = 100
"""Rows that decide on the separator."""
_GIVEN = re.compile(r'"?sep=([^\w"\r\n])"?[ ,;\t]*(?:\n|$)', re.IGNORECASE)
"""The line that spreadsheet programs write before all others."""


class Row(NamedTuple):
    """A row's first line, counted from 1, and its fields, without the blanks around them."""

    line: int
    fields: list[str]


@dataclass(frozen=True)
class Rows:
    """All rows with something in them, the header included where there is one."""

    rows: list[Row]
    separator: str
    empty: int
    """Rows left out because they hold separators alone: spreadsheet programs write them at a table's end."""

    @property
    def separated(self) -> str:
        """By what, in words."""
        return SEPARATORS.get(self.separator, f"'{self.separator}'")

    @property
    def advice(self) -> str:
        """What a person may do where the first line holds other columns than looked for: it is a comment, or separated otherwise."""
        first = self.rows[0] if self.rows else Row(1, [""])
        comment = f"Line {first.line} looks like a comment: remove it. " if first.fields[0].startswith(("#", "@", "%")) else ""
        other = ";" if self.separator == "," else ","
        return f"{comment}Read as separated by {self.separated}; if it is not, put sep={other} in the first line."


def read(text: str, name: str, separator: str = "") -> Rows:
    """Rows of a text; its separator is looked for outside quotes, over many lines, unless it is given or `sep=;` stands in the first line.

    A line break inside quotes stays in its field. Raises Problem (cause "data") with the line, as where a quote is not closed.
    """
    above = _GIVEN.match(text)
    separator = separator or (above[1] if above else "") or _separator(text)
    rows, empty = list[Row](), 0
    for line, fields in _records(text, separator, name):
        # The line that names the separator is no row.
        if above and line == 1:
            continue
        fields = [field.strip() for field in fields]
        if any(fields):
            rows.append(Row(line, fields))
        elif fields:
            empty += 1
    return Rows(rows, separator, empty)


def _records(text: str, separator: str, name: str) -> Iterator[tuple[int, list[str]]]:
    reader, line = _reader(text, separator, strict=True), 1
    try:
        for fields in reader:
            yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        what = one_line(str(error))
        if what == "unexpected end of data":
            what = "a quote that opens here is not closed"
        elif what.startswith("field larger"):
            what = f"a field has more than {csv.field_size_limit():,} characters"
        raise Problem(f"{name}, line {line}: {what}.", 'A quote inside a quoted field is written twice: "".', "data") from None


def _reader(text: str, separator: str, strict: bool) -> "csv._reader":  # type: ignore[name-defined]
    lines = io.StringIO(text)
    if separator == " ":
        # Columns aligned by several blanks.
        return csv.reader((re.sub(" +", " ", line.strip()) + "\n" for line in lines), delimiter=" ", strict=strict)
    return csv.reader(lines, delimiter=separator, strict=strict, skipinitialspace=separator != "\t")


def _separator(text: str) -> str:
    """The one by which most rows have as many fields as the first one."""
    shares = dict.fromkeys(SEPARATORS, 0.0)
    for separator in SEPARATORS:
        try:
            header, *rows = [row for row in islice(_reader(text, separator, strict=False), SAMPLE) if row]
        except (csv.Error, ValueError):
            continue
        # One name and a separator at the end of each line: the others separate.
        if sum(map(bool, map(str.strip, header))) > 1:
            # A separator too many at the end of the first line, or of all others, is forgiven later.
            fits = [len(row) in (len(header), len(header) - (not header[-1].strip()), len(header) + (not row[-1].strip())) for row in rows]
            shares[separator] = sum(fits) / len(fits) if fits else 1.0
            # R writes the names of rows without a name above them.
            if not shares[separator] and rows and all(len(row) == len(header) + 1 for row in rows):
                shares[separator] = 0.9
            # Any other sign separates at least as regularly as the blanks between words.
            if separator == " " and (shares[separator] < 0.9 or max(shares[other] for other in SEPARATORS if other != " ") >= 0.5):
                shares[separator] = 0.0
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] else max(",;\t|", key=text.partition("\n")[0].count)
