"""How an answer stands in its panels: shades, short numbers, tables, places, few points, trees, and what a field may be in few words."""

import numpy as np
import pytest

from workbench import formatting
from workbench.events import Curve, Images, Matrix, Table, Text
from workbench.training.project import Settings, only
from workbench.tui.charts.matrix import shares
from workbench.tui.drawing import strips
from workbench.tui.models.exploring import Exploring, allowed
from workbench.tui.panels.packing import need_of, packed
from workbench.tui.panels.sheet import sheet_lines


def test_a_matrix_is_shaded_by_its_largest_value_and_a_confusion_matrix_by_row() -> None:
    values = np.array([[1.0, 2.0], [10.0, 20.0]])
    assert shares(values, False).tolist() == [[0.05, 0.1], [0.5, 1.0]]
    assert shares(values, True) == pytest.approx(np.array([[1 / 3, 2 / 3], [1 / 3, 2 / 3]]))
    assert shares(np.array([[-2.0, 1.0]]), False).tolist() == [[1.0, 0.5]]
    assert not shares(np.zeros((2, 2)), False).any()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.000152275, "0.000152"), (0.0030455, "0.00305"), (0.0084, "0.0084"), (0.0183, "0.0183"), (0.5, "0.5000"), (0.001, "0.0010"),
     (-0.000457, "-0.000457"), (9.54e-7, "9.54e-7"), (2.30259, "2.303")],
)  # fmt: skip
def test_small_numbers_keep_three_digits(value: float, text: str) -> None:
    assert formatting.number(value) == text


def written(table: Table, width: int = 60) -> list[str]:
    return [line.text.rstrip() for line in sheet_lines(table, width)]


def test_a_dash_or_a_blank_among_numbers_is_aligned_as_they_are() -> None:
    heading, *rows = written(Table(tag="t", columns=["name", "a", "b"], rows=[["x", 0.5, 1.25], ["y", "—", ""], ["z", 0.25, 10.5]]))
    assert [len(row) for row in (rows[0], rows[2])] == [len(heading)] * 2
    assert rows[1].index("—") == rows[0].index("0.50") + 3


def test_a_column_has_the_decimals_that_its_rounded_numbers_have() -> None:
    rows = [["wall", 30.2, 0.123456, 12.0], ["door", 1.7, 1.5, 3.0], ["blind", 0.0, 22.25, 7.0]]
    _, *lines = written(Table(tag="t", columns=["label", "%", "score", "count"], rows=rows))
    assert [line.split() for line in lines] == [
        ["wall", "30.2", "0.1235", "12"],
        ["door", "1.7", "1.5000", "3"],
        ["blind", "0.0", "22.25", "7"],
    ]


def test_a_table_needs_exactly_what_it_writes() -> None:
    table = Table(tag="t", columns=["metric", "value", "mean"], rows=[["MAE", 0.875, 1.75], ["root", 1.1456, 1.9203]])
    need = need_of(table).width
    assert written(table, need) == written(table, need + 20), "no narrower gaps, no cut word"
    assert written(table, need - 1) != written(table, need)


def test_a_matrix_needs_what_its_numbers_and_its_names_are() -> None:
    small = need_of(Matrix(tag="A", values=[[1, 2, 3, 4], [5, 6, 7, 8]]))
    assert small == (1 + 4 * 3, 4, 0)
    assert need_of(Matrix(tag="A", values=[[1.0]], rows=["a long name"], columns=["column"])) == (11 + 1 + 8, 4, 0)


def test_panels_of_one_kind_stand_in_equal_columns() -> None:
    table = Table(tag="t", columns=["a", "b"], rows=[["x", 1.0]])
    wide = Table(tag="w", columns=["a long name", "another one"], rows=[["x", 1.0]])
    above = packed({"a": need_of(table), "b": need_of(wide)}, 77, 35)
    below = packed({"a": need_of(wide), "b": need_of(table)}, 77, 35)
    assert above["b"].x == below["b"].x == 39


def test_two_photographs_are_no_postage_stamps() -> None:
    pictures = need_of(Images(tag="i", captions=["a", "b"], columns=2))
    places = packed({"first": pictures, "second": pictures}, 77, 35)
    assert [place.width for place in places.values()] == [77, 77], "one below the other, not four beside one another"
    beside = packed({"digit": need_of(Images(tag="i", captions=["7"], columns=1)), "curve": need_of(Curve(tag="c"))}, 77, 35)
    assert beside["digit"].y == beside["curve"].y


def test_the_beginning_of_a_line_keeps_its_spaces() -> None:
    tree = "cost\n└─ a\n   └─ l = linear of many words that go on"
    lines = [line.text.rstrip() for line in sheet_lines(Text(tag="t", text=tree), 22)]
    assert lines[:3] == ["cost", "└─ a", "   └─ l = linear of"]
    assert strips.wrap("   ", 10) == ["   "] and strips.wrap(" " * 50 + "x", 10) == ["     x"]


class Asked(Settings):
    """Asks."""

    kind: str = "a"
    """Kind."""
    size: float = only(0.5, when={"kind": "b"}, ge=0, le=1_000_000, step=0.25)
    """Size."""
    drawing: str = only("", when={"kind": ["b", "c"]}, picture=True)
    """Drawing."""


def test_only_takes_the_step_of_a_slider_and_a_picture() -> None:
    properties = Asked.model_json_schema()["properties"]
    assert properties["size"]["step"] == 0.25 and properties["size"]["when"] == {"kind": ["b"]}
    assert properties["drawing"]["picture"] is True and properties["drawing"]["when"] == {"kind": ["b", "c"]}
    fields = Exploring(Asked.model_json_schema(), {"kind": "b"}, "no-such-lesson").form.fields
    assert allowed(fields["size"]) == "0 to 1000000", "not 1e+06, and no more words than two lines have room for"
