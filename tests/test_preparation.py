"""What readers tell before the first step: only to who listens, cleaned, once, and bounded."""

import pytest

from workbench import preparation
from workbench.events import LINE_LIMIT, encode


def test_nothing_is_kept_where_nobody_listens_and_all_of_it_where_somebody_does() -> None:
    preparation.found("rows", "3", "3")
    with preparation.listening() as told:
        preparation.found("rows", "4", "3", "1 without a target")
        preparation.found("rows", "4", "3", "1 without a target")
        preparation.source("./a.csv", "0" * 64)
    preparation.found("rows", "5", "5")
    table = told.table()
    assert table and table.rows == [["rows", "4", "3", "1 without a target"]]
    assert told.sources == {"./a.csv": "0" * 64}


def test_foreign_text_is_cleaned_and_the_table_fits_one_line_of_the_log() -> None:
    with preparation.listening() as told:
        for number in range(5000):
            preparation.found(f"\x1b]52;c;AAAA\x07{number}" + "é" * 500, "\x9b2J" * 100, "x" * 999, "\u202e" * 999)
    table = told.table()
    assert table and str(table.rows[-1][0]).startswith("and 4,800 more")
    assert not any(character in str(table.rows) for character in "\x1b\x07\x9b\u202e")
    assert len(encode(table)) < 4 * LINE_LIMIT


def test_a_listener_stops_a_reader_by_raising() -> None:
    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with preparation.listening(stop), pytest.raises(KeyboardInterrupt):
        preparation.progress("reading pictures", 1, 2)
    preparation.progress("reading pictures", 1, 2)
