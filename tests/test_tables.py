"""Tables as people have them: what was read, how, and what was left out is said; what could be meant in two ways is asked about."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from workbench import preparation
from workbench.datasets import table
from workbench.datasets.table import ClassTable, Columns
from workbench.problems import Problem


def read(folder: Path, text: str | bytes, **columns: object) -> tuple[ClassTable, dict[str, list[str | float]]]:
    """The table, and the rows of what was found by their first cell."""
    (folder / "t.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with preparation.listening() as told:
        data = table.read("./t.csv", Columns(**{"target": "kind", **columns}), "", folder)  # type: ignore[arg-type]
    assert told.sources == {str(folder / "t.csv"): hashlib.sha256((folder / "t.csv").read_bytes()).hexdigest()}
    return data, {str(row[0]): row[1:] for row in told.rows}


def lines(header: str, row: str = "{n},{k}", number: int = 40, end: str = "\n") -> str:
    """A table with a counter n, a decimal d and a kind k, x or y."""
    rows = [row.format(n=n, d=f"{n * 0.37 + 0.1:.2f}", k="xy"[n % 2]) for n in range(number)]
    return end.join([header, *rows]) + end


def test_what_was_found_used_and_left_out_stands_in_rows(tmp_path: Path) -> None:
    text = lines("size,colour,note,kind", "{d},c{k},note {n},{k}") + ",,,\n"
    data, said = read(tmp_path, text, leave_out=["note"])
    assert data.names == ["size", "colour = cx", "colour = cy"]
    assert said == {
        "t.csv": ["41 rows", "40 rows, separated by a comma", "1 without any field"],
        "column note": ["40 fields", "", "named in leave_out"],
        "column size": ["40 fields", "numbers", ""],
        "column colour": ["40 fields", "one-hot, 2 words: cx, cy", ""],
        "column kind": ["40 fields", "target, 2 classes: x 20, y 20", ""],
    }


def test_decimal_commas_are_numbers_and_said(tmp_path: Path) -> None:
    plain, _ = read(tmp_path, lines("a;kind", "{d};{k}"))
    data, said = read(tmp_path, lines("a;kind", "{d};{k}").replace(".", ","))
    assert said["column a"] == ["40 fields", "numbers, decimal comma", ""]
    assert data.train.features.tobytes() == plain.train.features.tobytes()


def test_thousands_that_may_be_decimals_are_asked_about_and_the_setting_decides(tmp_path: Path) -> None:
    text = "a;kind\n" + "".join(f"{n + 1},250;{'xy'[n % 2]}\n" for n in range(40))
    with pytest.raises(Problem, match=r"line 2: a is '1,250': 1250 by a decimal point, or 1\.25 by a decimal comma"):
        read(tmp_path, text)
    assert read(tmp_path, text, decimal="comma")[0].train.raw.max() < 41
    assert read(tmp_path, text, decimal="point")[0].train.raw.max() > 1000


def test_codes_are_asked_about_with_the_settings_that_decide(tmp_path: Path) -> None:
    text = "ward,kind\n" + "".join(f"{('1_2', '2E7', '1E9')[n % 3]},{'xy'[n % 2]}\n" for n in range(30))
    with pytest.raises(Problem, match="line 2: ward is '1_2': a code, or a number") as raised:
        read(tmp_path, text)
    assert "config.words: [ward]" in raised.value.hint and "config.numbers: [ward]" in raised.value.hint
    assert read(tmp_path, text, words=["ward"])[0].names == ["ward = 1E9", "ward = 1_2", "ward = 2E7"]
    assert read(tmp_path, text, numbers=["ward"])[0].train.raw.max() == 1e9


def test_what_is_left_out_may_have_gaps(tmp_path: Path) -> None:
    text = lines("cabin,a,kind", ",{d},{k}")
    with pytest.raises(Problem, match="line 2: cabin is missing, and 39 more") as raised:
        read(tmp_path, text)
    assert "leave_out: [cabin]" in raised.value.hint
    assert read(tmp_path, text, leave_out=["cabin"])[0].names == ["a"]


def test_a_word_for_nothing_is_a_word_among_words_and_missing_among_numbers(tmp_path: Path) -> None:
    words = "land,kind\n" + "".join(f"{('NA', 'none', 'DE')[n % 3]},{'xy'[n % 2]}\n" for n in range(30))
    data, _ = read(tmp_path, words)
    assert data.names == ["land = DE", "land = NA", "land = none"]
    with pytest.raises(Problem, match=r"line 2: land is missing .'NA'., and 9 more"):
        read(tmp_path, words, missing=["na"])
    numbers = lines("a,kind", "{d},{k}").replace("\n0.47,", "\nNA,")
    with pytest.raises(Problem, match=r"line 3: a is missing .'NA'."):
        read(tmp_path, numbers)
    with pytest.raises(Problem, match=r"line 3: a is missing .'NA'."):
        read(tmp_path, numbers, missing=["-"])
    with pytest.raises(Problem, match="line 3: kind is missing") as raised:
        read(tmp_path, words.replace(",y", ","))
    assert "leave_out" not in raised.value.hint
    answers, _ = read(tmp_path, words.replace(",x", ",NA"))
    assert answers.classes == ["NA", "y"]


@pytest.mark.parametrize(
    ("header", "row", "names", "said"),
    [
        (",a,kind", "{n},{d},{k}", ["a"], "has no name, and only tells rows apart"),
        ("Unnamed: 0,a,kind", "{n},{d},{k}", ["a"], "has no name, and only tells rows apart"),
        ("a,kind,", "{d},{k},", ["a"], "has no name and no field"),
        ("a,kind,", "{d},{k}", ["a"], "a separator at its end"),
        ("a,kind", "{d},{k},", ["a"], "a separator at its end"),
        (",a,kind", "{d},{n},{k}", ["column 1", "a"], ""),
        (",a,kind", "{n}.0,{d},{k}", ["a"], "has no name, and only tells rows apart"),
        ("Unnamed: 0.1,Unnamed: 0,a,kind", "{n},{n},{d},{k}", ["a"], "has no name, and only tells rows apart"),
        (",a,kind", "row {n} of {k},{d},{k}", ["a"], "has no name, and only tells rows apart"),
    ],
)
def test_a_column_without_a_name_is_named_or_left_out_and_said(tmp_path: Path, header: str, row: str, names: list[str], said: str) -> None:
    data, told = read(tmp_path, lines(header, row))
    assert data.names == names
    assert any(left_out == said for *_, left_out in told.values())
    if names[0] == "column 1":
        assert told["column 1"] == ["40 fields", "without a name: numbers", ""]


def test_a_column_without_a_name_can_be_named_by_its_place(tmp_path: Path) -> None:
    text = lines(",a,", "{n},{d},{k}")
    assert read(tmp_path, text, target="column 3")[0].names == ["a"]
    assert read(tmp_path, text, target="column 3", numbers=["column 1"])[0].names == ["column 1", "a"]
    assert read(tmp_path, text, target="column 3", leave_out=["column 1"])[0].names == ["a"]


def test_numbers_that_only_tell_rows_apart_are_spoken_of(tmp_path: Path) -> None:
    _, said = read(tmp_path, lines("id,a,kind", "{n},{d},{k}"))
    assert said["column id"][1] == "numbers, another whole number in each row: is it an id?"


@pytest.mark.parametrize(
    ("spelled", "second"), [("X", "'X'"), ("NEW  york", "'NEW  york'"), ("x\u00a0", None), (" x ", None), ('"x"', None)]
)
def test_spellings_of_a_class_are_asked_about(tmp_path: Path, spelled: str, second: str | None) -> None:
    first = "new york" if "york" in spelled else "x"
    text = lines("a,kind", "{d},{k}").replace(",x\n", f",{first}\n").replace(f",{first}\n", f",{spelled}\n", 6)
    if second is None:
        assert read(tmp_path, text)[0].classes == ["x", "y"]
        return
    with pytest.raises(Problem, match=f"kind is {second}, elsewhere '{first}': the same") as raised:
        read(tmp_path, text)
    assert "config.spellings: together" in raised.value.hint and "apart" in raised.value.hint
    data, said = read(tmp_path, text, spellings="together")
    assert data.classes == sorted([first, "y"]) and "2 classes" in str(said["column kind"][1])
    assert len(read(tmp_path, text, spellings="apart")[0].classes) == 3


def test_numbers_as_classes_have_spellings_too_and_so_do_words(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"line 3: kind is '1\.0', elsewhere '1': the same"):
        read(tmp_path, "a,kind\n" + "".join(f"{n}.5,{('0', '1.0', '1')[n % 3 if n < 9 else n % 2 * 2]}\n" for n in range(40)))
    with pytest.raises(Problem, match="line 42: colour is 'RED', elsewhere 'red'"):
        read(tmp_path, lines("colour,kind", "red,{k}") + "RED,x\n")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"leave_out": ["A"]}, "no column 'A'; did you mean a"),
        ({"words": ["a"], "numbers": ["a"]}, "'a' is named both in config.words and in config.numbers"),
        ({"leave_out": ["kind"]}, "'kind' is named both in config.leave_out and in config.target"),
        ({"numbers": ["kind"]}, "'kind' is named both"),
    ],
)
def test_a_column_has_one_role(tmp_path: Path, columns: dict[str, list[str]], says: str) -> None:
    with pytest.raises(Problem, match=says):
        read(tmp_path, lines("a,kind", "{d},{k}"), **columns)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "t.csv is empty"),
        ("\n\n", "t.csv is empty"),
        ("a,kind\n", "has no row under its first line"),
        ("a,kind\n,\n", "has no row under its first line"),
        ("kind\nx\ny\n", "has one column: its first line has no separator"),
        (" a,a ,kind\n1,2,x\n", "two columns 'a'"),
        ("a,,column 2,kind\n1,2,3,x\n", "two columns 'column 2'"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Problem, match=says):
        read(tmp_path, text)


@pytest.mark.parametrize("change", ["bom", "crlf", "sep", "quoted", "tab", "bar", "blank"])
def test_the_same_table_in_another_dress_has_the_same_arrays(tmp_path: Path, change: str) -> None:
    text = lines("size,colour,kind", "{d},c{k},{k}")
    plain, _ = read(tmp_path, text)
    dress: dict[str, str | bytes] = {
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "crlf": text.replace("\n", "\r\n"),
        "sep": "sep=;\n" + text.replace(",", ";"),
        "quoted": "\n".join(",".join(f'"{field}"' for field in line.split(",")) for line in text.splitlines()),
        "tab": text.replace(",", "\t"),
        "bar": text.replace(",", "|"),
        "blank": text.replace(",", "  "),
    }
    data, _ = read(tmp_path, dress[change])
    assert (data.names, data.classes) == (plain.names, plain.classes) and np.array_equal(data.test.features, plain.test.features)


def test_line_breaks_in_quotes_stay_in_their_field(tmp_path: Path) -> None:
    data, _ = read(tmp_path, lines("note,kind", '"first\nsecond {k}",{k}'))
    assert data.names == ["note = first second x", "note = first second y"]
    assert read(tmp_path, lines('"size\n(cm)",kind', "{d},{k}"))[0].names == ["size (cm)"]


def test_the_settings_hold_for_a_shipped_table_too() -> None:
    data = table.read("breast-cancer", Columns(leave_out=["mean radius"]), "", Path())
    assert len(data.names) == 29 and data.classes == ["benign", "malignant"]
    with pytest.raises(Problem, match="no column 'mean radus'; did you mean mean radius"):
        table.read("breast-cancer", Columns(words=["mean radus"]), "", Path())


@pytest.mark.parametrize("word", ["NA", "nan", "null", "#N/A", "<NA>", "?"])
def test_a_gap_among_classes_that_are_numbers_is_no_class(tmp_path: Path, word: str) -> None:
    text = "a,kind\n" + "".join(f"{n}.5,{('0', '1', word)[n % 3]}\n" for n in range(60))
    with pytest.raises(Problem, match=r"line 4: kind is missing .*, and 19 more"):
        read(tmp_path, text)


@pytest.mark.parametrize(("given", "field"), [("-999", "-999.0"), ("-999.0", "-999"), ("9e9", "9000000000"), ("None given", "NONE GIVEN")])
def test_a_word_for_nothing_that_is_a_number_is_meant_by_its_value(tmp_path: Path, given: str, field: str) -> None:
    with pytest.raises(Problem, match="line 3: a is missing"):
        read(tmp_path, lines("a,kind", "{d},{k}").replace("\n0.47,", f"\n{field},"), missing=[given])


def test_an_index_of_two_files_in_one_is_left_out_and_a_weekday_is_not(tmp_path: Path) -> None:
    for length, names in ((30, ["a"]), (7, ["column 1", "a"])):
        text = ",a,kind\n" + "".join(f"{n % length},{n * 0.37:.2f},{'xy'[n % 2]}\n" for n in range(60))
        assert read(tmp_path, text)[0].names == names


@pytest.mark.parametrize(
    ("first", "second"),
    [("a b", "a\tb"), ("ab", "a\x07b"), ("n" * 220 + "1", "n" * 220 + "2"), ("a", "a\x1b[0m"), ("a  b", "a b")],
)
def test_classes_that_would_be_shown_alike_are_not_one(tmp_path: Path, first: str, second: str) -> None:
    text = "a,kind\n" + "".join(f"{n}.5,{(first, second)[n % 2]}\n" for n in range(40))
    with pytest.raises(Problem, match=r"line 3: kind is .*, in line 2 .*shown alike") as raised:
        read(tmp_path, text, spellings="apart")
    assert ascii(second[-21:])[1:-1] in str(raised.value) and ascii(first[-21:])[1:-1] in str(raised.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(
            ("caf\u00e9", "cafe\u0301"),
            ("a\u200bb", "ab"),
            ("ab\ufeff", "ab"),
            ("\u200eab", "ab"),
            ("New York", "new_york"),
            ("a-b", "a b"),
        ),
        *(("1", '"1,0"'), ('"1,000"', "1000"), ("5%", "5 %"), ("\uff21", "A"), ("1", "1e0"), ("-1", "\u22121")),
    ],
)
def test_spellings_that_cannot_be_seen_are_asked_about(tmp_path: Path, first: str, second: str) -> None:
    text = "a,kind\n" + "".join(f"{n}.5,{(first, 'z', first, second)[n % 4]}\n" for n in range(40))
    shown = [ascii(word.strip('"')) for word in (second, first)]
    with pytest.raises(Problem, match=re.escape(f"line 5: kind is {shown[0]}, elsewhere {shown[1]}: the same?")):
        read(tmp_path, text)
    assert len(read(tmp_path, text, spellings="together")[0].classes) == 2


@pytest.mark.parametrize(("first", "second"), [("A", "A-"), ("1", "-1"), ("a-1", "a1"), ("A+", "A-"), ("5 mm", "5 cm"), ("1.5", "15")])
def test_words_that_look_different_are_different(tmp_path: Path, first: str, second: str) -> None:
    text = "a,kind\n" + "".join(f"{n}.5,{(first, second)[n % 2]}\n" for n in range(40))
    assert len(read(tmp_path, text)[0].classes) == 2


def test_two_files_in_one_are_refused_at_the_second_first_line(tmp_path: Path) -> None:
    text = lines("a, b,kind", "{d},{n},{k}")
    with pytest.raises(Problem, match="line 42: the names of the columns again"):
        read(tmp_path, text + text)


def test_too_many_words_that_hold_numbers_are_not_only_left_out(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="80 different words") as raised:
        read(tmp_path, lines('"size, b",a,kind', "{n}-{n}x,{d},{k}", 80))
    assert "config.leave_out: ['size, b']" in raised.value.hint and "write them plainly" in raised.value.hint


@pytest.mark.parametrize("separator", [" ", "\t", ",", ";"])
@pytest.mark.parametrize("first", ["{m}", "name{m}"])
def test_names_of_rows_that_r_writes_are_said_and_left_out(tmp_path: Path, separator: str, first: str) -> None:
    rows = [separator.join((f'"{first.format(m=n + 1)}"', f"{n * 0.37:.2f}", str(n % 9), "xy"[n % 2])) for n in range(60)]
    data, said = read(tmp_path, "\n".join([separator.join(('"a"', '"b"', '"kind"')), *rows]))
    assert data.names == ["a", "b"]
    assert said["column 1"] == ["60 fields", "", "has no name, and only tells rows apart"]
    assert said["t.csv, each row"] == ["4 fields", "4 columns, the first one without a name", ""]


def test_a_decimal_comma_between_commas_is_no_name_of_a_row(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="line 2: 3 fields, where the first line names 2"):
        read(tmp_path, lines("a,kind", "{n},5,{k}"))


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        (
            lines("a;kind", "{n};{k}").replace("kind", "class"),
            "no column 'kind'",
            "Read as separated by a semicolon; if it is not, put sep=,",
        ),
        (lines("a,class"), "no column 'kind'", "Read as separated by a comma; if it is not, put sep=; in the first line."),
        ("# by Ann, 2020\n" + lines("a,kind"), "no column 'kind'", "Line 1 looks like a comment: remove it."),
        ("#by Ann\n" + lines("a,kind"), "one column", "Line 1 looks like a comment: remove it."),
        ("% by Ann, Bob, Cid\n" + lines("a,kind"), "line 2: 2 fields, where", "Line 1 looks like a comment"),
        ("\n@relation x\n" + lines("a,kind"), "t.csv", "Line 2 looks like a comment"),
        (lines("a,kind") + "7\n", "line 42: 1 field, where the first line names 2", "Read as separated by a comma"),
        (lines("a,kind", "{n},x"), "The target has 1 different value;", ""),
        (lines("a,kind") + "7,z\n", "'z' has 1 row; at least", ""),
    ],
)
def test_what_does_not_fit_the_first_line_says_how_it_was_read(tmp_path: Path, text: str, says: str, hint: str) -> None:
    with pytest.raises(Problem, match=says) as raised:
        read(tmp_path, text)
    assert hint in raised.value.hint


@pytest.mark.parametrize("first", ["#a", "% fat", "@a"])
def test_a_column_may_be_called_like_a_comment(tmp_path: Path, first: str) -> None:
    assert read(tmp_path, lines(f"{first},kind", "{d},{k}"))[0].names == [first]
