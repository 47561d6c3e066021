"""Rows of CSV texts: the separator is found outside quotes over many lines, line breaks in quotes survive, faults name their line."""

import pytest

from workbench.datasets.csv_rows import read
from workbench.problems import Problem


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ('"length, cm";"width, cm";kind\n5.1;3;x\n', ";"),
        ("length, cm;width, cm;kind\n5,1;3,0;x\n4,9;2,5;y\n", ";"),
        ("a;b;c\n1,5;2,5;3,5\n", ";"),
        ("a\tb, c\n1,5\t2\n", "\t"),
        ("a|b\n1,5|2;3\n", "|"),
        ("name,text\nx,one; two; three\ny,four\n", ","),
        ("a,b;c\n1,2;3\n4,5\n6,7\n", ","),
        ("length width kind\n5.1 3 x\n4.9 2 y\n", " "),
        ("length   width  kind\n 5.1    3   x\n10.9   2      y\n", " "),
        ("first name,age\nAnn B,3\n", ","),
        ('"a;b;c",d\n"1;2",3\n', ","),
        ("a,b,\n1,2\n3,4\n", ","),
        ("a;b\n1,5;2,5;\n2,5;3,5;\n", ";"),
        ("a,b,y;\n1,2,x;\n3,4,z;\n", ","),
        ("a;b;y\t\n1;2;x\t\n3;4;z\t\n", ";"),
        ("a,b,y|\n1,2,x|\n", ","),
        ("full name,age,kind\nAnn B,3,x\nBob C,4\nCid D,5,y\nEve F,5,y\n", ","),
        ("full name;age\nAnn B;3\nBob C\nCid D;5\n", ";"),
        (";a\n0;1,5\n1;2,5\n", ";"),
        ('"a" "b"\n"1" 2 x\n"2" 3 y\n', " "),
        ("a\tb\nn 1\t2\tx\nn 2\t3\ty\n", "\t"),
        ("a,b,kind\n1,5,2,5,x\n2,5,3,5,y\n", ","),
        ("one word\ntwo\nthree more words\n", ","),
    ],
)
def test_the_separator_is_what_most_rows_agree_on(text: str, separator: str) -> None:
    assert read(text, "t").separator == separator


def test_aligned_columns_are_read() -> None:
    assert [row.fields for row in read("a   b\n 1    2\n10  3 \n", "t").rows] == [["a", "b"], ["1", "2"], ["10", "3"]]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "sep=;;;"])
def test_the_line_that_spreadsheets_write_names_the_separator(first: str) -> None:
    table = read(f"{first}\na,b;c\n1,2;3\n", "t")
    assert table.separator == ";" and [(row.line, row.fields) for row in table.rows] == [(2, ["a,b", "c"]), (3, ["1,2", "3"])]


def test_the_named_separator_is_taken_against_all_others() -> None:
    assert [row.fields for row in read("sep=,\na;b,c;d\n1;2,3;4\n", "t").rows] == [["a;b", "c;d"], ["1;2", "3;4"]]


def test_line_breaks_and_separators_inside_quotes_survive() -> None:
    table = read('name,note\nx,"one\n\ntwo, three"\n\ny,"say ""hi"""\n', "t")
    assert [(row.line, row.fields) for row in table.rows] == [
        (1, ["name", "note"]),
        (2, ["x", "one\n\ntwo, three"]),
        (6, ["y", 'say "hi"']),
    ]


def test_blanks_around_fields_and_empty_rows_go() -> None:
    table = read('a, b ,"c"\n1, "2, 3",4\n,,\n,,\n', "t")
    assert [row.fields for row in table.rows] == [["a", "b", "c"], ["1", "2, 3", "4"]] and table.empty == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('a,b\n1,2\n3,"4\n5,6\n', "t, line 3: a quote that opens here is not closed"),
        ('a,b\n"1"2,3\n', "t, line 2: "),
        (f'a,b\n1,"{"x" * 140_000}"\n', "line 2: a field has more than 131,072 characters"),
    ],
)
def test_a_fault_names_its_line(text: str, says: str) -> None:
    with pytest.raises(Problem, match=says) as raised:
        read(text, "t")
    assert raised.value.cause == "data"


def test_a_given_separator_is_taken() -> None:
    assert read("a;b\n1;2\n", "t", ",").rows[0].fields == ["a;b"]
