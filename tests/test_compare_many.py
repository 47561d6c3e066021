"""Many runs in one chart: the screen's keys and mouse, its views and its exports, at two sizes, on runs that the real writer wrote."""

import csv
import io
import math
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from made_runs import NAMES, RECIPE, ended, make_run
from piloting import seen, settle
from test_cli import dlwb

from workbench import paths
from workbench.events import Matrix, Scalars, Status
from workbench.problems import Problem
from workbench.recipes.recipe import Train
from workbench.runs import views
from workbench.runs.export import many
from workbench.runs.log import EventLog
from workbench.runs.run import Run, list_runs
from workbench.runs.views import Look, View
from workbench.tui.app import DlwbApp
from workbench.tui.charts import ramp
from workbench.tui.charts.cells import Cells
from workbench.tui.charts.chart import Chart
from workbench.tui.charts.plot import FAINT, SERIES, TINTS
from workbench.tui.charts.plot_layout import layout
from workbench.tui.screens.compare import CompareScreen
from workbench.tui.screens.export import ExportScreen
from workbench.tui.screens.finder import Finder
from workbench.tui.screens.run import RunScreen

SIZES = [(80, 24), (120, 40)]
RATES = (0.001, 0.01, 0.1)
SEEDS = ("learning_rate 0.001, model cnn", "learning_rate 0.01, model mlp", "learning_rate 0.1, model mlp")


def run(number: int, rate: float, seed: int, **more) -> Run:
    """A run whose loss depends on its learning rate, with a matrix at steps 100 and 200."""
    config = {"data": "digits", "learning_rate": rate, "model": "mlp" if rate > 0.005 else "cnn", **more}
    recipe = msgspec.structs.replace(RECIPE, seed=seed, config=config, train=Train(keep_best="valid/loss"))
    made = make_run("digits-mlp", recipe, stamp=f"2026-11-23_10{number:02}07")
    log = EventLog(made.path)
    log.write(Status(state="running", steps=200, steps_per_epoch=20, device="cpu", from_step=-1))
    for step in range(0, 201, 5):
        loss = 0.1 * abs(math.log10(rate) + 2) + 2 * math.exp(-step / 40) + 0.02 * seed
        log.write(Scalars({"train/loss": loss, "valid/loss": loss + 0.05, "valid/accuracy": 1 - loss / 3}, step=step, epoch=step / 20))
        if step in (100, 200):
            log.write(Matrix(tag="valid/confusion", values=(np.eye(10) * step + number).tolist(), rows=NAMES, columns=NAMES, step=step))
    log.write(Scalars({"test/accuracy": 1 - loss / 3}, step=200, epoch=10.0))
    log.write(Status(state="finished", cause="steps", step=200, epoch=10.0))
    log.close()
    ended(made, "finished", "steps")
    return made


@pytest.fixture
def runs(home: Path) -> list[Run]:
    return [run(number, RATES[number % 3], number // 3) for number in range(12)]


async def opened(pilot, view: View | None = None) -> CompareScreen:
    app = pilot.app
    await settle(pilot, lambda: app.screen.rows.key)
    app.push_screen(CompareScreen([app.library.feed(one) for one in reversed(list_runs())], view))
    await settle(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.sides and all(f.caught_up for f in app.screen.feeds))
    await settle(pilot, lambda: app.screen.query(Chart) and app.screen.query(Chart).first()._cells is not None)
    return app.screen


def first(screen: CompareScreen) -> Chart:
    return screen.query(Chart).first()


def inked(chart: Chart, faint: bool = False) -> set[int]:
    """The slots that are visible."""
    base = FAINT if faint else SERIES
    keys = chart.draw(*chart.size).keys & np.uint64((1 << TINTS[0]) - 1)
    return {int(key) - base for key in np.unique(keys) if base <= key < base + 64}


@pytest.mark.parametrize("size", SIZES)
async def test_keys_choose_colour_group_and_open(size: tuple[int, int], runs: list[Run]) -> None:
    async with DlwbApp().run_test(size=size) as pilot:
        screen = await opened(pilot)
        assert "12 runs" in seen(pilot.app) and "12 ✓ finished" in seen(pilot.app) and "settings by effect on valid loss" in seen(pilot.app)
        assert len(first(screen)._plot.traces) == 12 and len(inked(first(screen))) > 8, "more colours than the eight of series"
        # The setting with the largest effect comes first; its ramp is logarithmic.
        await pilot.press("c")
        assert screen.overlay.look.color == "config.learning_rate"
        assert "learning_rate (log)  0.001 " in seen(pilot.app)
        assert inked(first(screen)) == {ramp.CATEGORIES, ramp.CATEGORIES + round((ramp.STEPS - 1) / 2), ramp.CATEGORIES + ramp.STEPS - 1}
        await pilot.press("g")
        assert {trace.name for trace in first(screen)._plot.traces} == set(SEEDS)
        await pilot.press("g")
        traces = first(screen)._plot.traces
        assert [trace.name for trace in traces] == ["learning_rate 0.001", "learning_rate 0.01", "learning_rate 0.1"]
        low, high = traces[1].band
        assert (high.y[-1] - low.y[-1]) == pytest.approx(0.06) and "grouped by learning_rate" in seen(pilot.app)
        await pilot.press("g", "c")
        assert screen.overlay.look.groups == "" and screen.overlay.look.color not in ("", "config.learning_rate")
        await pilot.press("C", "C")
        assert screen.overlay.look.color == ""
        # The best run first, then the next; the others become faint.
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, CompareScreen)
        await pilot.press("n", "n")
        best = screen.overlay.order
        assert screen.overlay.chosen == best[1] and screen.sides[best[1]].name in seen(pilot.app).splitlines()[-2]
        assert inked(first(screen)) == {screen.overlay.slots()[best[1]]} and inked(first(screen), faint=True)
        await pilot.press("N", "enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        assert pilot.app.screen.feed.run == screen.feeds[best[0]].run
        await pilot.press("escape")
        await settle(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("escape")
        assert screen.overlay.chosen is None and pilot.app.screen is screen
        await pilot.press("escape")
        await settle(pilot, lambda: not isinstance(pilot.app.screen, CompareScreen))


async def test_zoom_skip_logarithm_axis_and_smoothing(runs: list[Run]) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        chart = first(screen)
        assert chart.window == (0, 200)
        await pilot.press("z")
        assert chart.window == (100, 200), "without a cursor the right end stays"
        await pilot.press("left", "left")
        assert screen.board.cursor and 180 < screen.board.cursor < 200
        await pilot.press("z")
        low, high = chart.window
        assert high - low == pytest.approx(50) and low < screen.board.cursor < high
        await pilot.press(*["left"] * 12)
        assert chart.window[0] <= screen.board.cursor <= chart.window[1] and chart.window[0] < low, "the window follows the cursor"
        await pilot.press("escape", "escape")
        assert chart.window == (0, 200) and pilot.app.screen is screen
        await pilot.press("z", "Z")
        assert chart.window == (0, 200) and screen.overlay.look.begin is None
        # The high start is left out, and the y-axis fits the rest.
        top = max(number for number, _ in _y_marks(chart))
        await pilot.press("i", "i", "i", "i", "i")
        assert chart.window == (40, 200) and max(number for number, _ in _y_marks(chart)) < top
        await pilot.press("i", "l")
        assert chart.window == pytest.approx((5, 200)) and "log x" in seen(pilot.app)
        row = next(line for line in seen(pilot.app).splitlines() if "─10─" in line or " 10 " in line or "10─" in line)
        assert row.index("10") < row.index("100"), "decades stand below a logarithmic axis"
        await pilot.press("right")
        assert screen.board.cursor == 200
        for _ in range(3):
            await pilot.press("left")
        assert 5 < screen.board.cursor < 200
        await pilot.press("escape", "l", "a")
        assert chart.window[1] == pytest.approx(10) and "by epoch" in seen(pilot.app)
        await pilot.press("a", "a", "plus", "plus")
        assert screen.overlay.look.smooth == 2 and "smoothed" in seen(pilot.app)


def _y_marks(chart: Chart) -> list[tuple[float, str]]:
    return layout(Cells(*chart.size), chart._plot).marks


async def test_the_mouse_zooms_marks_and_chooses_a_line(runs: list[Run]) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        chart = first(screen)
        await pilot.mouse_down(chart, offset=(20, 6))
        await pilot.hover(chart, offset=(40, 6))
        await pilot.mouse_up(chart, offset=(40, 6))
        low, high = chart.window
        assert 0 < low < high < 200
        while screen.overlay.look.begin is not None:
            await pilot.press("escape")
        # A click on what is visible of some line.
        keys = chart.draw(*chart.size).keys
        y, x = (int(place[-1]) for place in np.nonzero((keys >= SERIES) & (keys < FAINT) & (np.arange(chart.size.width) > 20)))
        await pilot.mouse_down(chart, offset=(x, y))
        await pilot.mouse_up(chart, offset=(x, y))
        chosen = screen.overlay.chosen
        assert chosen is not None and chart.window == (0, 200)
        trace = next(trace for trace in chart._plot.traces if trace.name == screen.sides[chosen].name)
        area = layout(Cells(*chart.size), chart._plot)
        assert abs(area.top + area.row(trace.at(chart._at(x))[0]) - y) <= 2 and not trace.faint
        chart.on_mouse_scroll_up(_Turn(x))
        await pilot.pause()
        low, high = chart.window
        assert high - low == pytest.approx(160) and low < chart._at(x) < high


class _Turn:
    def __init__(self, x: int) -> None:
        self.x = x


@pytest.mark.parametrize("size", SIZES)
async def test_matrices_of_several_runs_stand_side_by_side_at_the_same_step(size: tuple[int, int], runs: list[Run]) -> None:
    async with DlwbApp().run_test(size=size) as pilot:
        screen = await opened(pilot)
        await pilot.press("m")
        best = [screen.sides[place] for place in screen.overlay.order]
        await settle(pilot, lambda: seen(pilot.app).count("step 200") >= 3)
        text = seen(pilot.app)
        assert best[0].name in text and best[1].name in text and "confusion at step 200" in text and "12 in all" in text
        number = [feed.run for feed in screen.feeds].index(best[0].run)
        assert str(200 + number) in text, "the diagonal of the best run's matrix"
        await pilot.press("left")
        await settle(pilot, lambda: "confusion at step 100" in seen(pilot.app) and seen(pilot.app).count("step 100") >= 3)
        assert str(100 + number) in seen(pilot.app) and "step 200" not in seen(pilot.app)
        await pilot.press(*["n"] * 12)
        await settle(pilot, lambda: screen.sides[screen.overlay.order[-1]].name in seen(pilot.app))
        await pilot.press("m")
        await settle(pilot, lambda: "best valid loss first" in seen(pilot.app) or "▸━" in seen(pilot.app))


async def test_nothing_is_painted_while_nothing_changes(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        for keys in (("c", "g"), ("n",), ("m",)):
            await pilot.press(*keys)
            await pilot.pause(0.6)
            painted: list[object] = []
            for widget in screen.query("*"):
                monkeypatch.setattr(widget, "refresh", lambda *_, seen=painted, widget=widget, **__: seen.append(widget))
            for _ in range(3):
                screen.look()
                await pilot.pause(0.05)
            monkeypatch.undo()
            assert not painted, keys


async def test_a_view_is_saved_found_again_and_says_what_is_gone(runs: list[Run], home: Path) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("c", "g", "g", "i", "w")
        await settle(pilot, lambda: "Save as a view" in seen(pilot.app))
        await pilot.press(*["backspace"] * 20, *"bad name", "enter")
        await settle(pilot, lambda: "is no name for a view" in seen(pilot.app))
        await pilot.press(*["backspace"] * 20, *"rates", "enter")
        await settle(pilot, lambda: pilot.app.screen is screen)
        [view] = views.list_views()
        assert (view.name, len(view.runs)) == ("rates", 12)
        assert (view.look.color, view.look.groups, view.look.skip) == ("config.learning_rate", "config.learning_rate", 0.01)
        (runs[0].path / "recipe.yaml").unlink()
        await pilot.press("escape")
        await settle(pilot, lambda: not isinstance(pilot.app.screen, CompareScreen))
        await pilot.press("ctrl+p")
        await settle(pilot, lambda: isinstance(pilot.app.screen, Finder))
        await pilot.press(*"View", "colon", "space", *"rates")
        await settle(pilot, lambda: "view of 12 runs" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, CompareScreen) and "11 runs" in seen(pilot.app))
        assert "1 of the 12 runs of the view rates is gone." in " ".join(notice.message for notice in pilot.app._notifications)
        screen = pilot.app.screen
        await settle(pilot, lambda: screen.query(Chart) and len(first(screen)._plot.traces) == 3)
        assert all(trace.band for trace in first(screen)._plot.traces)


def test_the_shell_prints_a_view_and_forgets_it(runs: list[Run]) -> None:
    views.save(View(name="rates", runs=[one.id for one in runs], look=Look(color="config.learning_rate")))
    (runs[0].path / "recipe.yaml").unlink()
    done = dlwb("compare", "rates")
    assert done.returncode == 0 and "! 1 of the 12 runs of the view rates is gone." in done.stderr
    assert "config.learning_rate" in done.stdout and "share of the variance of valid loss" in done.stderr
    assert "config.learning_rate 0." in done.stderr and done.stdout.index("config.learning_rate") < done.stdout.index("seed")
    markdown = dlwb("compare", "rates", "--to", "markdown").stdout
    assert "| 10:04:07 |" in markdown and "**Settings by effect on valid loss**" in markdown
    assert dlwb("compare", "rates", "--forget").returncode == 0 and not views.list_views()
    gone = dlwb("compare", "rates")
    assert gone.returncode == 1 and gone.stderr.count("\n") <= 2 and "There is no run rates" in gone.stderr


def test_a_view_without_runs_and_a_damaged_one_are_one_sentence_each(home: Path) -> None:
    views.save(View(name="empty", runs=["a", "b"]))
    with pytest.raises(Problem, match="Of the 2 runs of the view empty none are still there"):
        views.runs_of(views.find("empty"))
    for text in ('{"name": "odd", "runs": 3}', "{", '{"name": "odd", "runs": [], "look": {"smooth": 99}}', '{"look": {"axis": "x"}}'):
        (home / "views" / "odd.json").write_text(text)
        with pytest.raises(Problem, match=r"odd.json is no view.*--forget"):
            views.find("odd")
    assert [view.name for view in views.list_views()] == ["empty"], "a damaged one hides no other"
    for name in ("../x", "", "a/b", ".hidden", "x" * 41):
        with pytest.raises(Problem, match="is no name for a view"):
            views.save(View(name=name, runs=[]))
        assert views.find(name) is None
    with pytest.raises(Problem, match="There is no view nothing"):
        views.forget("nothing")


def test_a_hostile_view_leads_nowhere(home: Path, runs: list[Run]) -> None:
    views.save(View(name="evil", runs=["..", "../runs/x", "/etc", runs[0].id, runs[1].id, "\x1b[31m"]))
    there, remark = views.runs_of(views.find("evil"))
    assert there == runs[:2] and "4 of the 6" in remark


HOSTILE = r"50% & _#{}$~^\ <b>|`*[x](y)" + "\x1b[31m"


@pytest.fixture
def hostile(home: Path) -> list[Run]:
    return [run(number, RATES[number % 3], number, note=HOSTILE if number else "=1+1") for number in range(4)]


def test_tables_escape_what_their_languages_would_read(hostile: list[Run], tmp_path: Path) -> None:
    source = many.Many(hostile, "x")
    latex = "".join(many.pieces(source, "latex"))
    assert r"50\% \& \_\#\{\}\$\textasciitilde{}\textasciicircum{}\textbackslash{}" in latex and "\x1b" not in latex
    body = latex[latex.index(r"\midrule") : latex.index(r"\bottomrule")]
    columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", latex)[1])
    for line in body.splitlines()[1:]:
        assert len(re.findall(r"(?<!\\)&", line)) == columns - 1 and line.endswith(r"\\") and not re.search(r"(?<!\\)[%#_$]", line), line
    markdown = "".join(many.pieces(source, "markdown"))
    assert r"\|\`\*\[x\]\(y\)" in markdown and "\x1b" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")][:6]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    rows = list(csv.reader(io.StringIO("".join(many.pieces(source, "csv")))))
    assert len({len(row) for row in rows}) == 1 and len(rows) == 5
    note = rows[0].index("note")
    assert {row[note] for row in rows[1:]} == {"'=1+1", HOSTILE.removesuffix("\x1b[31m")}
    page = "".join(many.pieces(source, "page"))
    assert "<b>|" not in page and "&lt;b&gt;" in page and "<script" not in page and page.count("<svg") >= 3
    with pytest.raises(Problem, match="pdf is not a format of a comparison"):
        list(many.pieces(source, "pdf"))


def test_the_shell_writes_a_page_and_tables(runs: list[Run], tmp_path: Path) -> None:
    ids = [one.id for one in runs[:3]]
    done = dlwb("compare", *ids, "--to", "page", "-o", str(tmp_path / "page.html"))
    assert done.returncode == 0 and "page.html" in done.stderr and (tmp_path / "page.html").read_text().count("<figure") == 3
    done = dlwb("compare", *ids, "--to", "csv")
    assert [row[0] for row in csv.reader(io.StringIO(done.stdout))] == ["run", "10:01:07", "10:00:07", "10:02:07"]
    done = dlwb("compare", *ids, "--to", "csv", "-o", str(tmp_path / "none" / "x.csv"))
    assert done.returncode == 1 and "cannot be written" in done.stderr and "Traceback" not in done.stderr


async def test_the_screen_exports_page_and_tables(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    monkeypatch.setattr(DlwbApp, "copy", lambda self, text: copied.append(text))
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("x")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ExportScreen) and "LaTeX" in seen(pilot.app))
        for key, ending in (("h", "html"), ("c", "csv"), ("l", "tex"), ("m", "md")):
            await pilot.press(key)
            await settle(pilot, lambda ending=ending: list((paths.home() / "exports").glob(f"*.{ending}")))
        assert len(copied) == 4 and r"\toprule" in next((paths.home() / "exports").glob("*.tex")).read_text()
        await pilot.press("t")
        assert "settings by effect" in copied[-1]
