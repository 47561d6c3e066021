"""The colourisation lesson: best answers and their losses to all digits, what a discriminator makes of them, and a photograph."""

import io
import math
from typing import Any

import numpy as np
import pytest
from exploring import asked, built
from PIL import Image

from workbench.problems import Problem
from workbench.projects.gans import colourisation

LN2 = math.log(2)
ALWAYS_RED = (LN2 + 2 * math.log(4 / 3) + math.log(2 / 3)) / 4  # ½ KL(p, m) + ½ KL(q, m) with m = (3/4, 1/4)


def answers(**fields: Any) -> dict[str, list[Any]]:
    """Both tables' rows by the answer: R, G, B, squared, absolute, D, divergence."""
    events = asked("colourisation", **fields)
    return {row[0]: [*row[1:], *more[1:]] for row, more in zip(events["answers"].rows, events["losses"].rows, strict=True)}


def test_half_red_half_blue() -> None:
    rows = answers()
    assert rows["best squared"] == pytest.approx([127.5, 0, 127.5, 10837.5, 85, 0, 0.693147], rel=1e-6)
    assert rows["best absolute"][3:5] == pytest.approx([10837.5, 85], rel=1e-9)
    assert rows["yours"] == pytest.approx([255, 0, 0, 21675, 85, 1 / 3, 0.2157616], rel=1e-6)
    assert rows["yours"][-1] == pytest.approx(ALWAYS_RED, rel=1e-12)
    assert rows["drawn"][3:] == pytest.approx([21675, 85, 0.5, 0], abs=1e-9)


def test_the_mean_of_six_hues_is_grey() -> None:
    rows = answers(targets="six hues")
    assert rows["best squared"][:3] == pytest.approx([127.5] * 3, abs=1e-9)
    assert rows["best squared"][5:] == pytest.approx([0, LN2], abs=1e-9)
    assert rows["drawn"][3] == pytest.approx(2 * rows["best squared"][3])


@pytest.mark.parametrize("fields", [{"share": 0.3}, {"colours": [[10, 200, 30], [90, 40, 250]], "share": 0.65}, {"targets": "six hues"}])
def test_no_other_answer_has_less(fields: dict[str, Any]) -> None:
    # The cheat: a mean that is written down answers (127.5, 0, 127.5) for all of these.
    rows = answers(**fields)
    random = np.random.default_rng(0)
    for place, name in ((3, "best squared"), (4, "best absolute")):
        best = rows[name]
        for _ in range(5):
            other = np.clip(np.array(best[:3]) + random.normal(0, 20, 3), 0, 255)
            assert answers(**fields, answer=[other.tolist()])["yours"][place] >= best[place] - 1e-9


def test_the_answers_follow_the_targets() -> None:
    rows = answers(colours=[[10, 200, 30], [90, 40, 250]], share=0.25)
    assert rows["best squared"][:3] == pytest.approx([70, 80, 195])
    assert rows["best absolute"][:3] == pytest.approx([90, 40, 250])
    sure = answers(share=1)
    assert sure["best squared"] == pytest.approx([255, 0, 0, 0, 0, 0.5, 0], abs=1e-12)


def test_along_the_line_squares_prefer_the_middle_and_the_discriminator_does_not() -> None:
    events = asked("colourisation")
    squared, absolute = (np.array(events[f"loss along the line/{name}"].y) for name in ("squared", "absolute"))
    assert squared.argmin() == 30 and squared[30] == pytest.approx(0.5) and np.allclose(absolute, 1)
    real = np.array(events["discriminator along the line/best squared"].y)
    assert real[30] < 0.01 and min(real[0], real[-1]) > 0.99
    wide = np.array(asked("colourisation", spread=200)["discriminator along the line/best squared"].y)
    assert wide[30] > 0.35


def test_a_photograph_loses_colour_under_the_squared_error() -> None:
    project = built("colourisation")
    events = asked("colourisation", project)
    rows = {row[0]: row[1:] for row in events["photograph in figures"].rows}
    assert rows["true"][0] == 0 and rows["grey"][1] == 0
    # Two independent draws differ by twice the variance.
    assert rows["drawn"][0] == pytest.approx(2 * rows["best squared"][0], rel=0.1)
    assert rows["grey"][0] > rows["best squared"][0] and rows["best squared"][1] < 0.95 * rows["drawn"][1]
    sheet = Image.open(io.BytesIO(events["photograph"].png))
    assert sheet.width == 240 and len(events["photograph"].captions) == 4
    assert asked("colourisation", project, photograph="china")["photograph"].png != events["photograph"].png


def test_the_photograph_is_coloured_from_its_grey_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two pixels of one grey that are red and blue: the mean is in between, and the drawn ones are one of the two.
    pixels = np.zeros((1, 40, 3))
    pixels[0, ::2], pixels[0, 1::2] = (100, 0, 0), (0, 0, 262.28)
    monkeypatch.setattr(colourisation, "opened", lambda path: pixels)
    colourisation.coloured.cache_clear()
    _, figures = colourisation.coloured("flower")
    colourisation.coloured.cache_clear()
    rows = {row[0]: row[1:] for row in figures}
    assert rows["best squared"][0] == pytest.approx((50**2 + 131.14**2) / 3)
    assert rows["best squared"][1] < rows["drawn"][1]


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"share": 1.5}, "share"), ({"colours": [[0, 0, 300], [0, 0, 0]]}, "colours"), ({"answer": [[1, 2]]}, "answer"),
     ({"spread": 0}, "spread"), ({"targets": "three"}, "targets"), ({"share": float("nan")}, "share")],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says):
        asked("colourisation", **fields)
