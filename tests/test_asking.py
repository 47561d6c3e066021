"""Typing into a run that trains: a sample by a typed request, and settings changed live. A real worker answers."""

import re
import time
from pathlib import Path

import pytest
from piloting import seen, settle

from workbench import paths
from workbench.launch import start
from workbench.recipes import schema_check, trust
from workbench.runs.run import find_run
from workbench.runs.state import state_of
from workbench.tui.app import DlwbApp
from workbench.tui.models.recipe_form import Form
from workbench.tui.screens.ask import AskScreen
from workbench.tui.screens.run import RunScreen

PROJECT = '''
"""Says what it is asked to."""
import time
from typing import Literal

import numpy as np

from workbench.events import Text
from workbench.problems import Problem
from workbench.training.project import Field, Project, Settings, live


class Speaker(Project):
    class Config(Settings):
        learning_rate: float = live(0.5, gt=0, le=10)
        """how far a step goes"""
        hidden: int = 3
        """does not change"""

    class Request(Project.Request):
        prompt: str = Field("", max_length=40)
        """what it begins with"""
        temperature: float = Field(1.0, ge=0, le=5)
        """how bold it is"""
        loud: bool = False
        """in capitals"""
        mood: Literal["glad", "sad"] = "glad"
        """how it feels"""

    def build_model(self):
        self.weights = np.ones(1)

    def batches(self, epoch, rng):
        return [0] * 1000

    def train_step(self, batch):
        time.sleep(0.002)
        self.weights -= 0.01 * self.config.learning_rate * self.weights
        return {"loss": float(self.weights[0]), "rate": self.config.learning_rate}

    def sample(self, request):
        if request.prompt == "bad":
            raise Problem("There is no word for that.", "Ask for another.")
        text = f"{request.prompt} at {request.temperature} being {request.mood}"
        yield Text(tag="speech", prompt=request.prompt, text=text.upper() if request.loud else text)
'''
RECIPE = "title: The speaker\nproject: ./speaker.py\ntrain: {epochs: 1000, log_every: 10, sample_every: 100000, evaluate_every: 100000}\n"


@pytest.fixture
def run():
    folder = paths.home() / "recipes"
    folder.mkdir(parents=True)
    (folder / "speaker.py").write_text(PROJECT)
    (folder / "speaker.yaml").write_text(RECIPE)
    trust.trust(folder / "speaker.py")
    run = start.start("speaker")
    yield run
    if state_of(run).alive:
        start.kill(run)


async def opened(pilot, run) -> RunScreen:
    end = time.monotonic() + 60
    while state_of(run).state != "running":
        assert time.monotonic() < end, Path(run.output).read_text()
        await pilot.pause(0.1)
    pilot.app.open_run(run)
    await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen) and pilot.app.screen._whole and "loss" in seen(pilot.app), 20)
    return pilot.app.screen


def said(pilot) -> str:
    return " ".join(str(note.message) for note in pilot.app._notifications)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_typed_request_is_sampled_while_it_trains(run, size) -> None:
    async with DlwbApp().run_test(size=size) as pilot:
        screen = await opened(pilot, run)
        await pilot.press("N")
        await settle(pilot, lambda: isinstance(pilot.app.screen, AskScreen) and "What it begins with." in seen(pilot.app))
        assert "0 to 5" in seen(pilot.app) and "temperature" in seen(pilot.app)
        await pilot.press(*"Hello", "space", *"you", "left", "backspace", "o", "down", "ctrl+u", *"9.5", "enter")
        await settle(pilot, lambda: "must be at most 5" in seen(pilot.app))
        await pilot.press("ctrl+u", *"0.5", "down", "right", "down", "right", "enter")
        assert pilot.app.screen is screen
        await settle(pilot, lambda: "HELLO YOU" in seen(pilot.app) and "AT 0.5 BEING SAD" in " ".join(seen(pilot.app).split()), 20)
        assert state_of(run).state == "running"
        before = len(screen.feed.history.samples["sample/speech"].events)
        await pilot.press("n")
        await settle(pilot, lambda: len(screen.feed.history.samples["sample/speech"].events) > before, 20)
        assert screen.feed.history.samples["sample/speech"].latest.text.endswith("SAD"), "n asks for the same again"
        await pilot.press("i", "ctrl+u", *"bad", "enter")
        await settle(pilot, lambda: "There is no word for that." in said(pilot), 20)
        assert state_of(run).state == "running"


async def test_settings_change_live_and_the_curves_have_the_mark(run) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, run)
        await pilot.press("c")
        await settle(pilot, lambda: isinstance(pilot.app.screen, AskScreen) and re.search(r"learning_rate +0\.5 ", seen(pilot.app)))
        assert "--set train.…" in seen(pilot.app) and "epochs" in seen(pilot.app)
        assert not re.search(r"hidden +3 ", seen(pilot.app)), "its value cannot change, and no list behind the form counts"
        await pilot.press("ctrl+u", *"0.25", "enter")
        await settle(pilot, lambda: "Changed at step" in said(pilot), 20)
        [mark] = [mark for mark in screen.feed.history.marks if mark.command]
        assert mark.settings == {"config.learning_rate": 0.25}, "what was left as it is is not sent"
        await settle(pilot, lambda: "learning_rate 0.5" in seen(pilot.app) or "┊" in seen(pilot.app), 20)
        await settle(pilot, lambda: screen.feed.history.last("train/rate") == 0.25, 20)
        await pilot.press("c")
        await settle(pilot, lambda: isinstance(pilot.app.screen, AskScreen) and "0.25" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: "No setting was changed." in said(pilot))


async def test_what_cannot_be_asked_says_why() -> None:
    from made_runs import alive, finish, make_run, train

    finish(make_run())
    live = make_run("live-one", stamp="2026-11-24_010000")
    train(live, upto=500, rich=False).close()
    held = alive(live)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        for one, words in ((find_run("digits-mlp"), "This run has ended"), (live, "have no settings")):
            pilot.app.open_run(one)
            await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen) and pilot.app.screen._whole)
            await pilot.press("N")
            assert words in said(pilot) and isinstance(pilot.app.screen, RunScreen)
    held.release()


SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "words": {"type": "string", "default": "x", "maxLength": 5},
        "count": {"type": "integer", "minimum": 1, "default": 3},
        "share": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}], "default": None},
        "sizes": {"type": "array", "items": {"type": "integer"}, "default": [8, 16]},
        "kind": {"$ref": "#/$defs/Kind", "default": "a"},
        "on": {"type": "boolean", "default": True},
    },
    "$defs": {"Kind": {"enum": ["a", "b"], "type": "string"}},
}


def test_fields_give_back_what_they_were_given_and_name_what_is_wrong() -> None:
    form = Form(SCHEMA, {"count": 7}, "it")
    wanted, _ = schema_check.complete({"count": 7}, SCHEMA, "it")
    assert form.values == wanted
    expected = ["", "a whole number, at least 1", "a number, more than 0 or nothing", "a list [ … ], in it a whole number", "a or b"]
    assert [field.expected for field in form.fields.values()] == [*expected, "true or false"]
    for name, text, words in (
        ("words", "longer", "5 characters"),
        ("count", "0", "at least 1"),
        ("count", "many", "a whole number"),
        ("count", "", "must not be empty"),
        ("share", "-1", "more than 0"),
        ("sizes", "[1, x]", "a whole number"),
        ("sizes", "[1", ""),
    ):
        form.put(name, text)
        assert form.values is None, name
        assert words in form.problems[name] and form.problems[name]
        form.take_back(name)
    form.put("words", "007")
    form.put("share", "2.5")
    assert form.values == {**wanted, "words": "007", "share": 2.5}
