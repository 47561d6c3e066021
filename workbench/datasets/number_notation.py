"""How a column of a table reads: numbers in the notation that most of its fields have, words, or something that a person must decide.

Python's `float` takes `1_2`, `2E7`, `infinity` and digits of any script: a code of that kind would silently become a size.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from workbench.problems import one_line

GAPS = frozenset({"na", "n/a", "nan", "null", "none", "?", "#n/a", "#na", "<na>", "-nan", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"})
"""What stands for a missing number: pandas' list. In a column of words they are words: NA is Namibia."""
Sign = Literal["point", "comma"]

_PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SURE = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)\.?[0-9]*|\.[0-9]+)(?:[eE][+-][0-9]+)?")
"""A plain number that no code looks like: 007 and 2E7 do."""
_BLANKS = " \u00a0\u2007\u2009\u202f"
_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"


def _whole(commas: str) -> str:
    """Digits, or groups of three behind commas (or points), blanks or apostrophes."""
    groups = "|".join(rf"[1-9][0-9]{{0,2}}(?:[{sign}][0-9]{{3}})+" for sign in (commas, _BLANKS, "'’"))
    return rf"(?:{groups}|[0-9]+)"


_BODIES: dict[Sign, re.Pattern[str]] = {
    # Also groups of two, as in India: 12,34,567.
    "point": re.compile(rf"(?:(?:{_whole(',')}|[1-9][0-9]?(?:,[0-9]{{2}})+,[0-9]{{3}})(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}"),
    "comma": re.compile(rf"(?:{_whole('.')}(?:,[0-9]*)?|,[0-9]+){_EXPONENT}"),
}
_MONEY = "(?:[A-Z]{0,2}[$¢-¥฿₠-⃀]|EUR|USD|GBP|CHF|JPY)"
_MINUS = "[-+−–]"
_FIELD = re.compile(
    rf"({_MINUS}?)[{_BLANKS}]*({_MONEY}?)[{_BLANKS}]*({_MINUS}?)"
    rf"([0-9.,](?:[0-9.,'’{_BLANKS}]*[0-9.,])?{_EXPONENT})"
    # A unit of letters needs a blank before it: 12 kg is a mass, 12b a flat.
    rf"([{_BLANKS}]*(?:[%‰]|{_MONEY})|[{_BLANKS}]+[^\W\d_][^\s\d]{{0,9}}|[{_BLANKS}]*°[A-Z]?)?"
)
_LONGEST = 60
"""Most characters of a number."""
_CODE = re.compile(r"0[0-9]+|[0-9]+[eE][0-9]+")
_WHOLE_EXPONENT = re.compile(r"[0-9]+\.?[eE][+-]?[0-9]+")
_PHONE = re.compile(rf"\+[0-9{_BLANKS}]{{9,}}")
_GLUED = re.compile(r"([^\d]*?)([+-]?[0-9](?:[0-9.,]*[0-9])?)(?:([^\d]*)|([dD])[+-]?[0-9]+)")
"""A number with other characters around it: 40kg, kr 500, 1.5-, and 1.5D+02 of Fortran."""
FEWEST = 5
"""Different values from which on a column of words that hold numbers is asked about."""


def plain(text: str) -> float:
    """A number of ASCII digits with a decimal point, as programs write it; NaN for anything else that Python's `float` would take."""
    return float(text) if _PLAIN.fullmatch(text) else math.nan


def gaps_among(fields: Collection[str], gaps: Collection[str]) -> set[str]:
    """Those of these fields that a gap's word stands for: in any case, and by their value where it is a number, -999.0 for -999."""
    words = {word.casefold().strip() for word in gaps}
    values = {value for word in words if not math.isnan(value := plain(word))}
    # NaN is in no set of numbers, except as the same object.
    return {field for field in fields if field.casefold() in words or (values and (value := plain(field)) == value and value in values)}


def same(field: str) -> object:
    """What is equal for fields that a person may take for the same: 1, 1.0 and 1,0; New York and new_york; also where none can be seen.

    Unicode writes one letter in several ways, and marks of direction or of no width (category Cf) are invisible.
    """
    text = "".join(sign for sign in unicodedata.normalize("NFKC", field) if unicodedata.category(sign) != "Cf").casefold().strip()
    if number := _number(text):
        return number.comma if math.isnan(number.point) else number.point, number.unit
    # Between letters alone: A and A- are two grades.
    return re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", " ", " ".join(text.split()))


def listed(name: str) -> str:
    """A list of one name, whole, as a setting takes it: quoted where YAML would read something else."""
    bare = re.fullmatch(r"[^\W\d]([\w .()/%+-]*[\w.()/%+-])?", name) and name.lower() not in (
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "null",
    )
    return f"[{name}]" if bare else "['" + name.replace("'", "''") + "']"


@dataclass(frozen=True)
class Reading:
    """A column: `values` where it is numbers, a `doubt` about the field at `place` where a person must decide, else it is words."""

    values: np.ndarray | None = None
    """(rows,) float64."""
    notation: str = ""
    """In words, where the numbers are not plain."""
    doubt: str = ""
    """What a sentence says after the column's name: "is '2E7': a code, or a number?"."""
    hint: str = ""
    place: int = 0


class _Number(NamedTuple):
    """A field that is a number by at least one decimal sign; NaN by the other where it is none."""

    point: float
    comma: float
    unit: str = ""
    body: str = ""
    """Its digits and what stands between them."""

    @property
    def decimal(self) -> bool:
        """Whether it is written as a decimal number: 1.5, 1e-3."""
        return any(sign in self.body for sign in ".,-+")

    @property
    def one_way(self) -> Sign | None:
        """The only decimal sign by which it is a number."""
        return "comma" if math.isnan(self.point) else "point" if math.isnan(self.comma) else None


def read_columns(
    columns: Mapping[str, Sequence[str]],
    separator: str = ",",
    *,
    words: Collection[str] = (),
    numbers: Collection[str] = (),
    gaps: Collection[str] = GAPS,
    decimal: Literal["auto", "point", "comma"] = "auto",
) -> dict[str, Reading]:
    """How each column of a table reads; those in `words` are words, those in `numbers` are numbers although they look like codes.

    `gaps`, in any case, stand for missing numbers. `decimal` decides where a column can be read in two ways; with "auto" the others do:
    a file has one notation.
    """
    looked_at = {name: _Column(name, fields, gaps, name in numbers) for name, fields in columns.items() if name not in words}
    signs = {sign for column in looked_at.values() if (sign := column.sign)}
    chosen: Sign | None = decimal if decimal != "auto" else signs.pop() if len(signs) == 1 else None
    readings = {name: column.reading(chosen, separator) for name, column in looked_at.items()}
    return {name: readings.get(name, Reading()) for name in columns}


class _Column:
    """One column. What is looked at field by field is looked at once for each different field."""

    def __init__(self, name: str, fields: Sequence[str], gaps: Collection[str], forced: bool) -> None:
        self.listed, self.fields, self.forced = listed(name), fields, forced
        self.counts = Counter(fields)
        self.gaps = gaps_among(self.counts, gaps)
        read = {field: number for field in self.counts.keys() - self.gaps if (number := _number(field))}
        self.unit = self._most_common_unit(read)
        codes = set() if forced else self._codes(read)
        self.read = {field: number for field, number in read.items() if field not in codes}
        self.codes = codes | {field for field in self.counts.keys() - read.keys() - self.gaps if _is_float(field)}
        if forced:
            self.read |= {field: _Number(value, value, "", field) for field in self.codes if math.isfinite(value := float(field))}
            self.codes -= self.read.keys()
        self.others = self.counts.keys() - self.read.keys() - self.codes - self.gaps
        numbers, doubtful, others = map(self._rows, (self.read, self.codes, self.others))
        self.is_words = not forced and (not numbers + doubtful or (others > 0 and 2 * numbers <= numbers + doubtful + others))

    def _rows(self, fields: Collection[str]) -> int:
        return sum(self.counts[field] for field in fields)

    def _most_common_unit(self, read: dict[str, _Number]) -> str:
        """Takes numbers with other words behind them out of `read` where no unit is that of most: 3 rooms, 1 May are not measured."""
        units = Counter[str]()
        for field, number in read.items():
            units[number.unit] += self.counts[field]
        unit = max(units, key=units.__getitem__, default="")
        if 2 * units[unit] <= len(self.fields):
            for field in [field for field, number in read.items() if number.unit[:1].isalpha() and not re.fullmatch(_MONEY, number.unit)]:
                del read[field]
        return unit

    def _codes(self, read: dict[str, _Number]) -> set[str]:
        """Numbers that look like codes. Among decimal numbers 2E7 is one of them."""
        if read and (all(_WHOLE_EXPONENT.fullmatch(number.body) for number in read.values()) or _alike_groups(read)):
            return set(read)
        codes = {field for field, number in read.items() if _CODE.fullmatch(number.body)}
        decimals = self._rows([field for field, number in read.items() if number.decimal])
        phones = {field for field in read if _PHONE.fullmatch(field) and sum(map(str.isdecimal, field)) >= 9}
        return phones | {field for field in codes if 2 * decimals < self._rows(read) or "e" not in field.lower()}

    @property
    def sign(self) -> Sign | None:
        """The decimal sign that the column needs; None where it shows none."""
        signs = set() if self.is_words else {number.one_way for number in self.read.values()} - {None}
        return signs.pop() if len(signs) == 1 else None

    def reading(self, chosen: Sign | None, separator: str) -> Reading:
        """`chosen` is the decimal sign of what can be read in two ways."""
        if self.is_words:
            return self._other_words() or self._glued() or Reading()
        if self.gaps:
            return self._doubt(
                self.gaps, "is missing ({}).", f"Fill it in, leave the row out, or the column: config.leave_out: {self.listed}."
            )
        many = self.forced or 2 * self._rows(self.read) > len(self.fields)
        if odd := self.others | {field for field in self.codes if many and not _CODE.fullmatch(field)}:
            return self._doubt(odd, f"is {{}}, not a number{'' if self.forced else ' like most of the column'}.")
        if self.codes:
            return self._doubt(self.codes, "is {}: a code, or a number?", f"For numbers: config.numbers: {self.listed}.")
        if other := {field for field, number in self.read.items() if number.unit != self.unit}:
            unit = f"'{one_line(self.unit)}' for a unit" if self.unit else "no unit"
            return self._doubt(other, f"is {{}}, where most of the column has {unit}.", "Write all alike.")
        signs: tuple[Sign, Sign] = ("point", "comma")
        first, second = ({field for field, number in self.read.items() if number.one_way in (sign, None)} for sign in signs)
        sign: Sign | None = "point" if self._rows(first) >= self._rows(second) else "comma"
        if other := self.read.keys() - (first if sign == "point" else second):
            return self._doubt(other, f"is {{}}, where most of the column has a decimal {sign}.", "Write all alike.")
        double = {field for field, number in self.read.items() if number.point != number.comma}
        if double and first == second:
            sign = chosen or ("point" if separator != ";" and self._are_decimals(double) else None)
            if not sign:
                first_double = next(field for field in self.fields if field in double)
                point, comma, *_ = self.read[first_double]
                text = f"is {{}}: {point:.12g} by a decimal point, or {comma:.12g} by a decimal comma?"
                return self._doubt({first_double}, text, "Say which: config.decimal: point, or comma.")
        return self._numbers(sign or "point", chosen)

    def _other_words(self) -> Reading | None:
        """A doubt where one or two words, in most fields, may stand for a missing number."""
        if len(self.others) > 2 or len(self.read) < FEWEST:
            return None
        word = max(sorted(self.others), key=self.counts.__getitem__)
        text = f"is {{}} in {self.counts[word]:,} of {len(self.fields):,} fields, a number in the others: missing?"
        return self._doubt({word}, text, f"If so: config.missing: {listed(one_line(word, 40))}.")

    def _glued(self) -> Reading | None:
        """A doubt where nearly all words hold one number, with the same characters around it."""
        around: dict[str, tuple[str, str, str, str]] = {}
        for field in self.others if len(self.others) >= FEWEST else ():
            if match := _GLUED.fullmatch(field):
                before, number, behind, exponent = match.groups(default="")
                around[field] = before.strip(), number, behind.strip(), exponent
        signs = Counter((before, behind, exponent) for before, _, behind, exponent in around.values())
        most = max(sorted(signs), key=signs.__getitem__, default=("", "", ""))
        if signs[most] + len(self.read) <= 0.9 * (len(self.others) + len(self.read)):
            return None
        fields = {field for field, (before, _, behind, exponent) in around.items() if (before, behind, exponent) == most}
        first = next(field for field in self.fields if field in fields)
        _, number, behind, exponent = around[first]
        write = f"{number} {behind}" if behind.isalpha() else first.upper().replace("D", "E") if exponent else number
        # Accounts write a minus behind.
        write = f"-{number}" if behind == "-" else write
        text = f"is {{}}: a number with '{one_line(''.join(most), 20)}' around it?"
        hint = f"If so, write {one_line(write, 40)}."
        return self._doubt({first}, text, f"{hint} If it only tells rows apart: config.leave_out: {self.listed}.")

    def _are_decimals(self, double: set[str]) -> bool:
        """Whether 1.234 is 1 and some decimals, as in most files: thousands would stand among smaller, whole numbers."""
        return len(double) == len(self.read) and all("." in self.read[field].body for field in double)

    def _numbers(self, sign: Sign, chosen: Sign | None) -> Reading:
        value_of: dict[str, float] = {field: getattr(number, sign) for field, number in self.read.items()}
        if wide := {field for field, value in value_of.items() if math.isinf(value)}:
            return self._doubt(wide, "is {}, too large a number.")
        mark, other = (".", ",") if sign == "point" else (",", ".")
        characters = {character for number in self.read.values() for character in set(number.body) - set("0123456789")}
        signs = ["blanks" if character in _BLANKS else character for character in sorted(characters & {other, *"'’", *_BLANKS})]
        parts = (
            f"decimal {sign}" if mark in characters and "comma" in (sign, chosen) else "",
            f"thousands by {' and '.join(dict.fromkeys(signs))}" if signs else "",
            f"unit {one_line(self.unit)}" if self.unit else "",
            "negative in parentheses" if any(field.startswith("(") for field in self.read) else "",
        )
        return Reading(np.array([value_of[field] for field in self.fields]), ", ".join(filter(None, parts)))

    def _doubt(self, fields: Collection[str], text: str, hint: str = "") -> Reading:
        """About the first of these fields; {} in the text stands for it."""
        place = next(place for place, field in enumerate(self.fields) if field in fields)
        hint = f"{hint} Where these are categories: config.words: {self.listed}.".strip()
        return Reading(doubt=text.replace("{}", f"'{one_line(self.fields[place], 40)}'", 1), hint=hint, place=place)


def _alike_groups(read: Mapping[str, _Number]) -> bool:
    """Whether all have as many groups of digits, three or more with one sign between, and one length: addresses, accounts."""
    shapes = {re.sub("[0-9]", "0", number.body) for number in read.values()}
    return len(shapes) == 1 and re.fullmatch(r"0+([^0eE])0+(?:\1(?:0+))+", shapes.pop()) is not None


def _number(field: str) -> _Number | None:
    """A field as a number by either sign; None where it is none."""
    if _SURE.fullmatch(field) and field[-4:-3] != ".":
        value = float(field)
        return _Number(value, math.nan if "." in field else value, "", field.lstrip("+-"))
    bracketed = field.startswith("(") and field.endswith(")")
    match = _FIELD.fullmatch(field[1:-1].strip() if bracketed else field) if len(field) <= _LONGEST else None
    if not match or bool(match[1]) + bool(match[3]) + bracketed > 1 or (match[2] and match[5]):
        return None
    factor = -1 if bracketed or (match[1] or match[3] or "+") != "+" else 1
    point, comma = (factor * _value(match[4], sign) for sign in _BODIES)
    unit = match[2] or (match[5] or "").strip(_BLANKS)
    return None if math.isnan(point) and math.isnan(comma) else _Number(point, comma, unit, match[4])


def _value(body: str, sign: Sign) -> float:
    if not _BODIES[sign].fullmatch(body):
        return math.nan
    mark, other = (".", ",") if sign == "point" else (",", ".")
    return float(re.sub(f"[{other}'’{_BLANKS}]", "", body).replace(mark, "."))


def _is_float(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
