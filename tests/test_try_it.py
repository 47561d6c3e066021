"""Trying a run: digits drawn by mouse and by keys on a network that was trained here, texts and rows typed, and what answers killed."""

import asyncio
import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from lines import LINE, created, start
from PIL import Image
from piloting import seen, settle
from textual import events
from textual.widgets import Input

from workbench import paths
from workbench.launch import start as launch
from workbench.runs.run import Run
from workbench.runs.state import state_of
from workbench.tui.app import DlwbApp
from workbench.tui.models import requests
from workbench.tui.panels.bars import Bars
from workbench.tui.panels.pad import Pad
from workbench.tui.screens.try_form import TryFormScreen
from workbench.tui.screens.try_it import TryScreen
from workbench.tui.screens.try_picture import TryPictureScreen

DIGITS = {
    "1": [[(0.5, 0.1), (0.5, 0.9)]],
    "7": [[(0.25, 0.15), (0.75, 0.15), (0.45, 0.9)]],
    "0": [[(0.5 + 0.24 * np.sin(angle), 0.5 - 0.38 * np.cos(angle)) for angle in np.linspace(0, 2 * np.pi, 25)]],
    "4": [[(0.5, 0.1), (0.2, 0.6), (0.8, 0.6)], [(0.65, 0.4), (0.65, 0.9)]],
}
"""Strokes in shares of the pad, as a person would draw them."""


def trained(*words: str) -> Run:
    """A run that has finished."""
    return finished(launch.start(words[0], words[1:]))


def finished(run: Run) -> Run:
    end = time.monotonic() + 300
    while state_of(run).alive:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert state_of(run).state == "finished", state_of(run)
    return run


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained once for all tests, in a home of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLWB_HOME", str(tmp_path_factory.mktemp("home")))
        words = "train.epochs=60", "train.evaluate_every=0", "train.sample_every=100000", "compute.threads=1"
        return trained("digits-mlp", *words).path


@pytest.fixture
def digits(digits_run: Path, home: Path) -> Run:
    return Run(Path(shutil.copytree(digits_run, paths.runs() / digits_run.name)))


async def opened(pilot, run: Run) -> TryScreen:
    """Open the screen with `t` in the list of runs, and wait until something answers."""
    await pilot.press("2")
    await settle(pilot, lambda: run.stem in pilot.app.library.entries.get(run.id, run).run.stem and "finished" in seen(pilot.app))
    await pilot.press("t")
    await settle(pilot, lambda: isinstance(pilot.app.screen, TryScreen))
    assert re.search(r"(starting|reading|building|loading) .* … \d+ s", seen(pilot.app))
    await settle(pilot, lambda: bool(pilot.app.screen.ready))
    return pilot.app.screen


async def draw(pilot, strokes, button: int = 1) -> None:
    """With the mouse, cell by cell."""
    rows = pilot.app.screen.query_one(Pad).rows
    for stroke in strokes:
        cells = [(int(x * 2 * rows), int(y * rows)) for x, y in stroke]
        await pilot.mouse_down("#pad", offset=cells[0], button=button)
        for (column, row), (last_column, last_row) in zip(cells[1:], cells, strict=False):
            for share in np.linspace(0, 1, 6)[1:]:
                await pilot.hover(
                    "#pad", offset=(round(last_column + share * (column - last_column)), round(last_row + share * (row - last_row)))
                )
        await pilot.mouse_up("#pad", offset=cells[-1])


async def fill(pilot, name: str, text: str) -> None:
    """Walk to a field and type."""
    screen = pilot.app.screen
    for _ in screen.rows.form.fields:
        if screen.rows.key != name:
            await pilot.press("tab")
    assert screen.rows.key == name
    await pilot.press("ctrl+u", *text)


def best(app: DlwbApp) -> str:
    shares = app.screen.query_one(Bars).shares
    return max(shares, key=lambda name: shares[name], default="")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_digit_drawn_with_the_mouse_is_named(digits: Run, size) -> None:
    async with DlwbApp().run_test(size=size) as pilot:
        screen = await opened(pilot, digits)
        assert isinstance(screen, TryPictureScreen)
        assert f"weights of step {screen.ready['step']:,}" in seen(pilot.app)
        for digit, strokes in DIGITS.items():
            await draw(pilot, strokes)
            await settle(pilot, lambda digit=digit: best(pilot.app) == digit, 10)
            assert "scaled to 8x8" in seen(pilot.app)
            assert sum(screen.query_one(Bars).shares.values()) == pytest.approx(1, abs=1e-3)
            await pilot.press("c")
            await settle(pilot, lambda: not screen.query_one(Bars).shares and screen.pad.empty)
        await draw(pilot, DIGITS["1"])
        await draw(pilot, DIGITS["1"], button=3)
        assert screen.pad.ink.max() < 0.6, "the right button erases"
        await pilot.press("escape")
        await settle(pilot, lambda: not isinstance(pilot.app.screen, TryScreen))
        process = screen.answering._process
        await asyncio.wait_for(process.wait(), 10)


async def test_a_digit_drawn_with_the_keys_and_one_from_a_file(digits: Run, tmp_path: Path) -> None:
    photo = tmp_path / "seven.jpg"
    sheet = Image.new("L", (300, 400), 230)
    for x in range(80, 220):
        sheet.paste(30, (x, 80, x + 24, 104))
    for y in range(80, 320):
        x = 220 - (y - 80) // 2
        sheet.paste(30, (x - 12, y, x + 14, y + 20))
    sheet.save(photo)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, digits)
        await pilot.press("up", *["up"] * 12, "space", *["down"] * 24, "space")
        await settle(pilot, lambda: best(pilot.app) == "1", 10)
        await pilot.press("o")
        await settle(pilot, lambda: isinstance(pilot.app.focused, Input))
        pilot.app.focused.value = str(photo)
        await pilot.press("enter")
        await settle(pilot, lambda: best(pilot.app) == "7" and "inverted, because its background is light" in seen(pilot.app), 10)
        for path, words in ((tmp_path / "none.png", "No such file"), (Path("/dev/null"), "neither a PNG nor a JPEG")):
            await pilot.press("o")
            await settle(pilot, lambda: isinstance(pilot.app.focused, Input))
            pilot.app.focused.value = str(path)
            await pilot.press("enter")
            await settle(pilot, lambda words=words: words in seen(pilot.app), 10)
        assert screen.ready


async def test_what_answers_may_be_killed_and_started_again(digits: Run) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, digits)
        os.kill(screen.answering._process.pid, signal.SIGKILL)
        await settle(pilot, lambda: "The process that answers has ended: SIGKILL. R starts it again." in seen(pilot.app), 10)
        assert "not loaded" in seen(pilot.app)
        await draw(pilot, DIGITS["7"])
        await pilot.press("R")
        await settle(pilot, lambda: best(pilot.app) == "7")
        await pilot.press("R")
        await settle(pilot, lambda: "as before" in " ".join(str(note.message) for note in pilot.app._notifications), 10)


async def test_what_cannot_be_tried_says_why(tmp_path: Path) -> None:
    run = created(tmp_path)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "A line" in seen(pilot.app))
        await pilot.press("t")
        assert "takes no pictures, texts or numbers" in " ".join(str(note.message) for note in pilot.app._notifications)
        shutil.rmtree(paths.cache_folder() / "schemas")
        await pilot.press("t")
        assert "does not know the settings of this project file yet" in " ".join(str(note.message) for note in pilot.app._notifications)
        assert requests.refusal(run, run.recipe()) == requests.UNKNOWN, "of what samples take, too"


async def test_a_prompt_is_written_on(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("the cat sat on the mat. " * 400)
    run = trained(
        "char-rnn-small", f"config.data={tmp_path / 'own.txt'}", "config.prompt='the cat '", "config.hidden=64", "config.layers=1",
        "config.sequence=32", "config.dropout=0", "config.learning_rate=0.01", "train.batch_size=8", "train.epochs=10", "train.steps=0",
    )  # fmt: skip
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, run)
        assert isinstance(screen, TryFormScreen)
        await settle(pilot, lambda: isinstance(pilot.app.focused, Input) and screen.rows.editing == "prompt")
        for name, text in (("prompt", "the cat sat on the m"), ("temperature", "0"), ("length", "30")):
            await fill(pilot, name, text)
        await pilot.press("enter")
        await settle(pilot, lambda: "the cat sat on the mat. the" in seen(pilot.app).replace("\n", " "), 20)
        assert best(pilot.app) == "a"
        await fill(pilot, "temperature", "hot")
        await fill(pilot, "length", "20")
        await pilot.press("enter")
        await settle(pilot, lambda: "must be a number, not 'hot'" in seen(pilot.app), 10)
        assert screen.rows.editing == "temperature", "what is wrong is under the cursor"
        await fill(pilot, "temperature", "1")
        await fill(pilot, "prompt", "Ω")
        await pilot.press("enter")
        await settle(pilot, lambda: "never has 'Ω'" in seen(pilot.app), 10)


async def test_a_row_of_an_own_table_is_judged(tmp_path: Path) -> None:
    """Tall and short, by one of two columns."""
    rng = np.random.default_rng(0)
    rows = [f"{height:.1f},{rng.normal():.3f},{'tall' if height > 170 else 'short'}" for height in rng.uniform(140, 200, 200)]
    (tmp_path / "own.csv").write_text("height,noise,target\n" + "\n".join(rows) + "\n")
    run = trained("tumour-mlp", f"config.data={tmp_path / 'own.csv'}", "train.epochs=60", "train.batch_size=16")
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: run.stem in seen(pilot.app) or "Tumours" in seen(pilot.app))
        await pilot.press("t")
        await settle(pilot, lambda: isinstance(pilot.app.screen, TryFormScreen))
        screen = pilot.app.screen
        await pilot.press("enter")
        assert screen._question is None, "nothing is asked before there are fields"
        await settle(pilot, lambda: len(screen.rows.form.fields) == 2)
        assert 165 < float(screen.rows.form.fields["height"].text) < 175
        await settle(pilot, lambda: re.search(r"14\d.* in the training", seen(pilot.app)), 10)
        for height, name in (("195", "tall"), ("145", "short")):
            await fill(pilot, "height", height)
            await pilot.press("enter")
            await settle(pilot, lambda name=name: best(pilot.app) == name and screen.outputs["answer"] == name, 10)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_what_is_typed_while_it_loads_is_asked_once_it_has_loaded(tmp_path: Path, size) -> None:
    """The project waits in build_data for as long as a file is there."""
    gate, source = tmp_path / "gate", LINE
    for old, new in (
        ("    class Config(Settings):", '    takes = "text"\n\n    class Config(Settings):'),
        ('    at: float = 1.0\n        """Where the line is asked for."""', '    review: str = ""\n        """a review of your own"""'),
        ("{request.at}) = {self.weights[0] * request.at", "1) = {self.weights[0]"),
        ("rng = np.random.default_rng(0)\n", f"rng = np.random.default_rng(0)\n        while __import__('os').path.exists({str(gate)!r}):\n"
         "            time.sleep(0.05)\n"),
        ('return {"y": float(self.weights[0] * inputs["x"] + self.weights[1])}', 'slope = self.weights[0] * 0.1\n'
         '        words = inputs["review"].split()\n'
         '        good = 0.5 + slope * (words.count("good") - words.count("bad"))\n'
         '        each = [{"word": word, "difference": -slope if word == "good" else slope} for word in words]\n'
         '        return {"answer": "positive" if good > 0.5 else "negative", "probabilities": {"negative": 1 - good, "positive": good}, '
         '"words": each, "note": "not shown"}'),
    ):  # fmt: skip
        assert old in source
        source = source.replace(old, new)
    finished(start(tmp_path, source=source))
    gate.touch()
    async with DlwbApp().run_test(size=size) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "finished" in seen(pilot.app))
        await pilot.press("t", *"very bat")
        await settle(pilot, lambda: "reading its data … " in seen(pilot.app))
        assert "very bat" in seen(pilot.app), "typed before anything was loaded"
        await pilot.press("enter", "backspace", *"d quality")
        assert "as soon as it is loaded" in seen(pilot.app)
        gate.unlink()
        await settle(pilot, lambda: best(pilot.app) == "negative")
        assert re.search(r"bad -0\.\d+ █+", seen(pilot.app)) and "not shown" not in seen(pilot.app)
        await pilot.press(*["backspace"] * 20)
        pilot.app.focused.post_message(events.Paste("good\n  film\n"))
        await pilot.press("enter")
        await settle(pilot, lambda: best(pilot.app) == "positive")
        assert "good film" in seen(pilot.app) and re.search(r"good \+0\.\d+ █+", seen(pilot.app))
