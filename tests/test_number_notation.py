"""Columns as people write them: numbers in any notation are numbers, what can be read in two ways is asked about, codes are not sizes."""

import math
import re

import numpy as np
import pytest
import yaml

from workbench.datasets.number_notation import Reading, plain, read_columns


def read(text: str, separator: str = ",", **options: object) -> Reading:
    """A column written with bars between its fields."""
    return read_columns({"x": text.split("|")}, separator, **options)["x"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "values", "notation"),
    [
        ("1.5|2|-3.25e-3|+7|.5|8.", [1.5, 2, -0.00325, 7, 0.5, 8], ""),
        ("1,5|-2,25|3|,5", [1.5, -2.25, 3, 0.5], "decimal comma"),
        ("1.234,56|12,5|1.234.567", [1234.56, 12.5, 1234567], "decimal comma, thousands by ."),
        ("1,234.56|12", [1234.56, 12], "thousands by ,"),
        ("12,34,567.5|1,23,456", [1234567.5, 123456], "thousands by ,"),
        ("1'234.5|7", [1234.5, 7], "thousands by '"),
        ("1\u2019234|7", [1234, 7], "thousands by \u2019"),
        ("1 234,5|7", [1234.5, 7], "decimal comma, thousands by blanks"),
        ("1\u00a0234,5|1\u2009234|1\u202f234", [1234.5, 1234, 1234], "decimal comma, thousands by blanks"),
        ("12,5 %|3 %", [12.5, 3], "decimal comma, unit %"),
        ("12.5%|3%", [12.5, 3], "unit %"),
        ("€ 3.20|€4.10|-€ 1|€ -2", [3.2, 4.1, -1, -2], "unit €"),
        ("3,20 EUR|4,10 EUR", [3.2, 4.1], "decimal comma, unit EUR"),
        ("$1,200.50|$5", [1200.5, 5], "thousands by ,, unit $"),
        ("US$ 5|US$ 7", [5, 7], "unit US$"),
        ("12 kg|5.5 kg", [12, 5.5], "unit kg"),
        ("20 °C|-3 °C", [20, -3], "unit °C"),
        ("(1,234)|1.5", [-1234, 1.5], "thousands by ,, negative in parentheses"),
        ("\u22121.5|2", [-1.5, 2], ""),
        ("2E7|0.5|1.5", [2e7, 0.5, 1.5], ""),
        ("0,234|1,234", [0.234, 1.234], "decimal comma"),
        ("1.234|23.456", [1.234, 23.456], ""),
    ],
)
def test_numbers_in_any_notation_are_numbers_and_it_is_named(text: str, values: list[float], notation: str) -> None:
    reading = read(text)
    assert reading.values is not None and reading.values.tolist() == values
    assert (reading.notation, reading.doubt) == (notation, "")


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("1_2|2_1|3E5|2E7", "'1_2': a code, or a number?"),
        ("2E7|1E9", "'2E7': a code, or a number?"),
        ("007|008|123", "'007': a code, or a number?"),
        ("00501|90210", "'00501': a code, or a number?"),
        ("infinity|infinity", "'infinity': a code, or a number?"),
        ("\uff11\uff12|\uff13", "'\uff11\uff12': a code, or a number?"),
        ("\u0663|\u0664", "a code, or a number?"),
        ("1|2|1_2", "'1_2', not a number like most"),
        ("1|2|inf", "'inf', not a number like most"),
        ("1|2|many", "'many', not a number like most"),
        ("1|2|0x1F", "'0x1F', not a number like most"),
        ("1|2|1,2,3", "'1,2,3', not a number like most"),
        ("1|NA|3", "missing .'NA'."),
        ("1|?|3", "missing .'.'."),
        ("4,5|4.5|3,5", "'4.5', where most of the column has a decimal comma"),
        ("4.5|4,5|3.5", "'4,5', where most of the column has a decimal point"),
        ("12%|0.12|3%", "'0.12', where most of the column has '%' for a unit"),
        ("12 kg|5 lb|7 kg", "'5 lb', where most of the column has 'kg' for a unit"),
        ("€3|$4|€5", "'.4', where most of the column has '€'"),
        ("3|4 {0}%|5", "not a number like most"),
        ("1.5e999|2.5", "too large"),
        ("1|2|3|4|5|-|-|-|-|-|-", "'-' in 6 of 11 fields, a number in the others: missing"),
        ("1.5|2|3|4|5|..|..|..|..|..|..|-", "'..' in 6 of 12 fields"),
        ("1.5|#N/A|#N/A|#N/A", "missing .'#N/A'."),
        ("1.5|<NA>|-nan|1.#QNAN", "missing .'<NA>'."),
        ("40kg|41kg|42.5kg|43kg|44kg", "'40kg': a number with 'kg' around it"),
        ("20C|-3C|22C|23C|24C", "'20C': a number with 'C'"),
        ("1.5k|2k|3k|4k|5k|6", "'1.5k': a number with 'k'"),
        ("kr 500|kr 20|kr 30|kr 1.500|kr 50", "'kr 500': a number with 'kr'"),
        ("500,-|400,-|300,-|200,-|100,-", "'500,-': a number with ',-'"),
        ("1.5-|2.5-|3.5-|4.5-|5.5-|6", "'1.5-': a number with '-'"),
        ("1.5D+02|2.5D+02|3.5D-01|1D+00|4.5D+02", r"'1\.5D\+02': a number with 'D'"),
        ("192.168.104.105|192.168.104.106", "'192.168.104.105': a code, or a number"),
        ("123 456 789|987 654 321", "'123 456 789': a code"),
        (r"+491701000028|+491701000029", r"a code, or a number"),
        ("1E+05|2E+05", r"'1E\+05': a code"),
        ("12.E5|13.E6", r"'12\.E5': a code"),
    ],
)
def test_what_a_person_must_decide_is_a_doubt_about_its_field(text: str, doubt: str) -> None:
    reading = read(text)
    assert reading.values is None
    assert re.search(doubt, reading.doubt), reading
    assert text.split("|")[reading.place] in reading.doubt
    assert "config.words: [x]" in reading.hint


@pytest.mark.parametrize(
    "text",
    [
        *("red|green", "NA|red|blue", "nan|Infinity|Ann", "2024-01-05|2024-02-01", "05.01.2024|06.01.2024", "192.168.1.1|10.0.0.1"),
        *("true|false", "1 May|2 June|3 July", "3 rooms|1 room", "X12|007|9", "12b|3a", "1/2|3/4", "12:30|9:15", "A|B|1", "1 2|3 4"),
        *("5-|6-", "1__2|a", "1|2|3|4|-|-|-|-|-", "q1|q2|q3|q4", "a1|b2|c3|d4|e5|f6", "1-2|2-3|3-4|4-5|5-6|6-7"),
    ],
)
def test_words_are_words(text: str) -> None:
    assert read(text) == Reading()


@pytest.mark.parametrize(("text", "point", "comma"), [("1,234", 1234, 1.234), ("1,234|999", 1234, 1.234), ("1.234|999", 1.234, 1234)])
def test_what_reads_in_two_ways_is_asked_about_and_the_setting_decides(text: str, point: float, comma: float) -> None:
    reading = read(text)
    assert reading.values is None and f"{point:g} by a decimal point, or {comma:g} by a decimal comma" in reading.doubt
    assert "config.decimal" in reading.hint
    for decimal, value in (("point", point), ("comma", comma)):
        decided = read(text, decimal=decimal)
        assert decided.values is not None and decided.values[0] == value


def test_three_digits_behind_a_point_may_be_thousands_in_a_table_of_semicolons() -> None:
    assert read("1.234|2.345", ",").values is not None
    assert "1234 by a decimal comma" in read("1.234|2.345", ";").doubt


def test_the_other_columns_of_a_file_show_its_notation() -> None:
    for other, value in (("1.5", 1234), ("1,5", 1.234)):
        assert read_columns({"x": ["1,234"], "y": [other]})["x"].values == np.array([value])
    assert read_columns({"x": ["1.234"], "y": ["1,5"]}, ";")["x"].values == np.array([1234])
    # Two notations in one file show nothing.
    assert read_columns({"x": ["1,234"], "y": ["1,5"], "z": ["1.5"]})["x"].doubt


def test_a_setting_that_a_column_contradicts_is_spoken_of() -> None:
    reading = read("1.5|2.5", decimal="comma")
    assert reading.values is not None and reading.notation == "decimal point"


def test_a_person_decides_what_codes_are() -> None:
    assert read("007|2E7|1_000", words=["x"]) == Reading()
    reading = read("007|2E7|1_000", numbers=["x"])
    assert reading.values is not None and reading.values.tolist() == [7, 2e7, 1000]
    assert "'X1', not a number" in read("7|X1|X2", numbers=["x"]).doubt
    assert "'inf', not a number" in read("7|inf", numbers=["x"]).doubt
    assert "'null', not a number like" in read("7|8|null", gaps={"-"}).doubt and "missing" in read("7|8|-", gaps={"-"}).doubt


def test_plain_numbers_have_the_bits_that_float_gives_them() -> None:
    rng = np.random.default_rng(1)
    numbers = (rng.normal(size=2000) * 10.0 ** rng.integers(-20, 20, 2000)).tolist()
    written = [repr(number) for number in numbers] + [f"{number:.3f}" for number in numbers] + [f"{number:.4g}" for number in numbers]
    reading = read("|".join(written))
    assert reading.values is not None and reading.values.tolist() == [float(number) for number in written]


@pytest.mark.parametrize("text", ["1_2", "infinity", "nan", "inf", "\uff11", "0x1", " 1", "1,5", "", "--1", "1e"])
def test_plain_takes_only_what_programs_write(text: str) -> None:
    assert math.isnan(plain(text)) and (plain("1.5e-3"), plain("007"), plain("-.5"), plain("2E7")) == (0.0015, 7, -0.5, 2e7)


@pytest.mark.parametrize(
    "text", ["1E+05|1.5", "1,234,567|12", "+12345678|+3", "1.5e-3|2e-3", "12.5|192", "1.500e-01|2.500e+01", "1,234.56|2,345.67"]
)
def test_numbers_among_plain_ones_are_no_codes(text: str) -> None:
    assert read(text).values is not None


@pytest.mark.parametrize(
    "name",
    ["ward, code", "% fat", "#id", "ward: code", "2019", "it's", "-", "yes", "a" * 90, "[x]", "length (cm)", "null", "a #b", "caf\u00e9"],
)
def test_a_hint_names_a_column_so_that_a_recipe_takes_it(name: str) -> None:
    hint = read_columns({name: ["1_2", "2"]})[name].hint
    for setting in ("numbers", "words"):
        found = re.search(rf"config\.{setting}: (\[.*?\]+)\.( |$)", hint)
        assert found and yaml.safe_load(found[1]) == [name]


@pytest.mark.parametrize(
    ("text", "hint"),
    [("40kg|4kg|5kg|6kg|7kg", "write 40 kg."), ("1.5-|2-|3-|4-|5-", "write -1.5."), ("1.5D+02|2D+02|3D+02|4D+02|5D+02", "write 1.5E+02.")],
)
def test_a_hint_says_how_a_glued_number_is_written(text: str, hint: str) -> None:
    reading = read(text)
    assert hint in reading.hint and "config.leave_out: [x]" in reading.hint and read(hint.removeprefix("write ")[:-1]).doubt == ""
