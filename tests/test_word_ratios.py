"""The words of the course's reviews: exact counts and ratios, what the network's filter keeps, typed reviews as numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_data
import pytest
from exploring import asked, built

from workbench.datasets import review_lines
from workbench.events import Curve, Matrix
from workbench.problems import Problem
from workbench.training.project import Project

STEM = "word-ratios"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The lesson on a few hundred made reviews."""
    folder = tmp_path_factory.mktemp("mirror")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_data, "SETS", {"imdb": made_data.SETS["imdb"]})
        patch.setattr(made_data, "UNPACKED", {})
        sets = made_data.write(folder)
    with made_data.made_data(folder, folder / "home", sets):
        yield built(STEM)


def words(project: Project, **fields: Any) -> dict[Any, list[Any]]:
    return {row[0]: row[1:] for row in asked(STEM, project, **fields)["words"].rows}


def numbers(project: Project, **fields: Any) -> list[Any]:
    return [row[1] for row in asked(STEM, project, **fields)["network's words"].rows]


def test_the_exact_figures_of_the_course_s_reviews(mirror: Path) -> None:
    project = built(STEM)
    rows = words(project)
    assert [rows[word][2] for word in ("the", "amazing", "terrible")] == pytest.approx([0.059023, 1.391982, -1.729109], abs=1e-6)
    assert rows["(empty)"][:2] == [550_468, 561_462]
    assert words(project, rule="network")["terrible"][2] == pytest.approx(-1.674283, abs=1e-6)
    assert numbers(project)[0] == 74_074
    assert numbers(project, reviews="training") == [72_810, 12_464, 11_898, 5_474]
    assert numbers(project, reviews="training", cutoff=0.8)[2:] == [6_851, 5_474]
    extremes = asked(STEM, project)["extremes"].rows
    assert extremes[0][:2] == ["edie", pytest.approx(4.691, abs=0.001)] and extremes[1][:2] == ["paulie", pytest.approx(4.078, abs=0.001)]
    assert [row[2] for row in extremes if row[2] in ("boll", "uwe")] == ["boll", "uwe"]
    shown = asked(STEM, project)
    assert sum(shown["ratios"].y) == sum(1 for uses in project.counts["all"].uses if uses >= 100)
    assert shown["Zipf"].y[0] == pytest.approx(6.3, abs=0.3) and shown["Zipf"].y == sorted(shown["Zipf"].y, reverse=True)


def test_the_counts_are_stored_and_read_again(made: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    made.build_data()
    before = {name: known.counts.tolist() for name, known in made.counts.items()}  # type: ignore[attr-defined]
    monkeypatch.setattr(review_lines, "read", lambda: pytest.fail("the reviews are read again"))
    made.build_data()
    assert {name: known.counts.tolist() for name, known in made.counts.items()} == before  # type: ignore[attr-defined]
    assert sum(map(sum, before["all"])) > sum(map(sum, before["training"])) > 0


def test_a_review_becomes_counts_and_presence(made: Project) -> None:
    answer = asked(STEM, made, review="Aaa aab, AAA! zzz \x1b[2J.", words="aaa, qqq", least=1)
    matrix = answer["review as numbers"]
    assert isinstance(matrix, Matrix) and matrix.columns == ["aaa", "aab", "."]
    assert matrix.values[0][:2] == [2, 1] and set(matrix.values[1]) == {1}
    assert ["zzz", "not in the reviews"] in answer["review's words"].rows
    assert answer["words"].rows[1] == ["qqq", 0, 0, "not in the reviews"]
    assert isinstance(answer["ratios"], Curve) and len(answer["ratios"].x) == 40


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"words": " , "}, "words: 0 words, where 1 to 10"),
        ({"words": ",".join("abcdefghijk")}, "11 words"),
        ({"review": "ÄÖ123"}, "no word in it"),
        ({"review": ""}, "no word in it"),
        ({"least": 0}, "least"),
        ({"cutoff": 5}, "cutoff"),
        ({"rule": "none"}, "rule"),
    ],
)
def test_what_cannot_be_counted_is_refused(made: Project, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says):
        asked(STEM, made, **fields)


def test_a_typed_review_is_made_as_the_file_is() -> None:
    assert review_lines.typed("It's BAD.  Really") == ["it", "s", "bad", ".", "", "", "really"]
