"""A run as one HTML file: everything that it has to show is in it, and nothing that a run says is more than text."""

import base64
import io
import math
import os
import re
import threading
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from lines import ended, start
from made_runs import RECIPE, digits, finish, make_run, train
from PIL import Image
from test_cli import dlwb

from workbench import terminal
from workbench.events import Curve, Images, Matrix, Scalars, Scatter, Status, Table, Text
from workbench.problems import Problem
from workbench.recipes.recipe import Bar, Reference
from workbench.runs import notes
from workbench.runs.export import formats, svg
from workbench.runs.export.html import templates, to_html

pytestmark = pytest.mark.usefixtures("nothing_is_left")

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;\x1b[31m\x07"
ALLOWED = {"html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer", "div", "span", "p", "h1", "h2", "h3"}
ALLOWED |= {"dl", "dt", "dd", "table", "tr", "th", "td", "ol", "ul", "li", "figure", "figcaption", "code", "pre", "b", "img", "br"}
ALLOWED |= {"svg", "path", "text", "circle"}


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "path", "tr", "th", "td", "li"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def checked(page: str) -> Page:
    """Nothing in it runs, leads anywhere or is fetched."""
    found = Page(page)
    assert not found.open
    for tag, attributes in found.tags:
        assert tag in ALLOWED, tag
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("href", "srcset"), (tag, name)
            assert name != "src" or str(value).startswith("data:image/png;base64,")
    policy = next(each["content"] for each in found.of("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert policy and "default-src 'none'" in policy and "script" not in policy
    assert not re.search(r"https?:|@import|url\((?!data:image/png)", page)
    assert "\x1b" not in page and "\x07" not in page
    return found


def test_a_real_run_as_a_page(tmp_path: Path) -> None:
    run = start(tmp_path)
    ended(run)
    notes.tag(run, ["dear"])
    file = tmp_path / "page.html"
    done = dlwb("export", run.id, "--to", "html", "--out", str(file))
    assert done.returncode == 0 and str(file) in done.stderr and not done.stdout
    page = checked(file.read_text())
    for words in ("A line", run.id, "finished: all its steps done", "dear", "test loss", "≤ 0.05", "config.learning_rate", "y(1.0) = "):
        assert words in page.words, words
    assert len(page.of("svg")) == 1
    assert dlwb("export", run.id, "--to", "htm").returncode == 1


def test_everything_of_a_run_is_there() -> None:
    run = make_run()
    finish(run)
    page = checked("".join(to_html(run)))
    for words in ("learning_rate 0.01 → 0.003", "at step 400", "The old man", "king", "0.9831", "1. MNIST, with validation", "rows: truth"):
        assert words in page.words, words
    assert len(page.of("svg")) == 4  # loss, accuracy, forecast (two curves in one), embedding
    tiles = [each for each in page.of("div") if str(each.get("class")).startswith("tile ")]
    assert len(tiles) == 16 and tiles[5]["style"] == "background-position:33.333% 33.333%"
    assert "5 → 5" in page.words


def test_hostile_texts_stay_texts() -> None:
    bad = HOSTILE
    recipe = msgspec.structs.replace(
        RECIPE,
        title=bad,
        about=bad,
        part=bad,
        config={bad: bad},
        watch=[bad],
        bar=[Bar(metric=f"test/{bad}", at_least=1.0)],
        reference=[Reference(metric=f"test/{bad}", value=1.0, source=bad)],
    )
    run = make_run(made=recipe)
    notes.note(run, bad)
    log = train(run, 100, rich=False)
    log.write(Scalars({f"train/{bad}/{bad}": 1.0, f"test/{bad}": 2.0}, step=100))
    log.write(Text(tag=f"sample/{bad}", text=bad, prompt=bad))
    log.write(Images(tag=f"sample/{bad} 2", png=digits(0.5, np.random.default_rng(0)), captions=[bad] * 16, columns=4))
    log.write(Images(tag="sample/not a picture", png=f"<svg onload='{bad}'>".encode(), captions=["", "a"], columns=2))
    log.write(Curve(tag=f"sample/c/{bad}", x=[0, 1], y=[0, 1], labels=(bad, bad)))
    log.write(Scatter(tag="sample/s", x=[0, 1], y=[0, 1], labels=[bad, "b"]))
    log.write(Matrix(tag="valid/m", values=[[1, 2], [3, math.nan]], rows=[bad, "b"], columns=[bad, "b"]))
    log.write(Table(tag="valid/t", columns=[bad, "n"], rows=[[bad, 1.0], ["x", math.inf]]))
    log.write(Status(state="running", device=bad, demo=bad, steps=100, step=100))
    log.close()
    page = checked("".join(to_html(run)))
    assert page.words.count("<script>alert(1)</script>") > 20
    assert "This cannot be shown: it is no PNG" in page.words


def test_what_is_big_lies_in_artifacts_and_is_found_there_or_said_to_be_gone() -> None:
    run = make_run()
    log = train(run, 100, rich=False)
    side = 100
    log.write(Matrix(tag="valid/big", values=np.eye(side).tolist()))
    log.write(Curve(tag="sample/long", x=np.arange(9000.0).tolist(), y=np.sin(np.arange(9000.0)).tolist()))
    log.write(Images(tag="sample/gone", png=digits(0.5, np.random.default_rng(0)), captions=[], columns=4))
    log.close()
    for picture in (run.path / "artifacts").glob("*.png"):
        picture.unlink()
    page = checked("".join(to_html(run)))
    [matrix] = [each for each in page.of("img") if "matrix" in str(each["class"])]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(str(matrix["src"]).partition(",")[2]))))
    assert np.array_equal(pixels, 255 - 255 * np.eye(side))
    assert "100 × 100; black is 1, white 0" in page.words and "This cannot be shown: " in page.words
    assert len(page.of("svg")) == 3


def test_a_run_that_never_began_is_a_page_too() -> None:
    assert "created" in checked("".join(to_html(make_run()))).words


def drawing(chart: svg.Chart | None) -> str:
    """The chart as the page has it."""
    return str(templates().get_template("chart.svg.j2").module.drawing(chart))  # type: ignore[attr-defined]


def test_a_long_line_is_thinned_without_losing_its_extremes() -> None:
    x = np.arange(100_000.0)
    y = np.sin(x / 9000)
    y[54_321], y[70_000:70_010] = 7.0, np.nan
    scale = svg.Scale(0, 100_000, 0, 600)
    pieces = svg.thinned(x.tolist(), y.tolist(), scale)
    assert len(pieces) == 2 and sum(map(len, pieces)) < 4 * 602
    assert (54_321.0, 7.0) in pieces[0] and pieces[0][0] == (0.0, 0.0) and pieces[1][-1][0] == 99_999.0
    chart = svg.chart([svg.Line("a", x.tolist(), y.tolist())])
    assert chart
    drawn = drawing(chart)
    assert drawn.count(">NaN<") == 1 and len(drawn) < 60_000
    assert re.findall(r'class="s1" d="M(.*?)"', drawn) == chart.lines[0].paths, "no path is cut, however long"


@pytest.mark.parametrize(
    "values", [[1.0], [0.0, 0.0], [-5.0, -5.0], [1e-300, 1e300], [5e-324, 1.0], [-1e308, 1e308], [math.nan, 2.0], [math.inf]]
)
def test_any_values_have_a_chart(values: list[float]) -> None:
    line = svg.Line("a", [float(place) for place in range(len(values))], values)
    drawn = drawing(svg.chart([line], end=0, references=[(math.nan, "x"), (2, "y")]))
    assert "nan" not in drawn.replace("NaN", "") and "inf" not in drawn.replace(">inf<", "").lower().replace("-inf", "")


def test_ticks_are_round_and_inside() -> None:
    for low, high in ((0, 1), (0.013, 0.97), (-3, 12_345), (1e-7, 3e-7), (99.5, 100.5)):
        found = svg.ticks(svg.Scale(low, high, 0, 1), 5)
        assert 3 <= len(found) <= 8 and all(low - 1e-9 <= each <= high + 1e-9 for each in found)
        steps = np.diff(found)
        assert np.allclose(steps, steps[0])
    assert svg.ticks(svg.Scale(0.01, 120, 0, 1, log=True), 5) == [0.01, 0.1, 1, 10, 100]


def test_a_file_is_written_whole_or_stays_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, folder = make_run(), tmp_path / "pages"
    folder.mkdir()
    file, link = folder / "page.html", folder / "link.html"
    file.write_text("the last export")
    link.symlink_to(file)

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(Problem, match=r"page\.html cannot be written: No space left on device"):
        patched.setattr("os.fsync", fails)
        formats.save(run, "html", file)
    assert file.read_text() == "the last export" and sorted(folder.iterdir()) == [link, file]
    assert formats.save(run, "html", link) == link
    assert "</html>" in file.read_text() and link.is_symlink()


def test_a_pipe_is_written_into_and_not_replaced(tmp_path: Path) -> None:
    run, pipe, came = make_run(), tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: came.append(pipe.read_text()))
    reader.start()
    formats.save(run, "csv", pipe)
    reader.join(30)
    assert came == ["step,epoch,tag,value\n"] and pipe.is_fifo()


def test_over_ssh_the_way_to_fetch_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a page's.html"
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert terminal.scp_line(file) == "" and formats.saved_at(file) == str(file)
    assert terminal.scp_line(file, always=True).startswith("scp ")
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 51000 10.0.0.1 2222")
    import shlex

    words = shlex.split(terminal.scp_line(file))
    assert words[:3] == ["scp", "-P", "2222"] and words[3].endswith(f"@10.0.0.1:{file}") and words[4] == "."
    monkeypatch.setenv("SSH_CONNECTION", "fe80::1 51000 fe80::2 22")
    assert f"@[fe80::2]:{tmp_path}" in terminal.scp_line(tmp_path) and terminal.scp_line(tmp_path).startswith("scp -r ")
    assert formats.saved_at(file).count("\n") == 1
