"""Random keys, clicks and sizes on the terminal program, several at once as a person in a hurry sends them; nothing is really started."""

import random
from typing import Any

import pytest
from made_runs import explained, finish, make_run, samples, train
from textual import events
from textual.pilot import Pilot

from workbench.launch import comparing
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.tui.app import DlwbApp
from workbench.tui.models import answering, background, run_actions
from workbench.tui.models.downloads import Job
from workbench.tui.screens.look import LookScreen
from workbench.tui.screens.question import QuestionScreen

KEYS = (
    *("up", "down", "left", "right", "pageup", "pagedown", "home", "end", "tab", "shift+tab", "enter", "enter", "escape", "space"),
    *("backspace", "delete", "ctrl+p", "ctrl+t", "ctrl+l", "ctrl+d", "ctrl+s", "ctrl+u", "question_mark", "f1", "slash", "comma"),
    *("full_stop", "minus", "plus", "1", "2", "3", "4", "2", "2"),
    *("left_square_bracket", "right_square_bracket"),
    *"abcdfghimnoprstuvwxyzNORé漢",
)
"""Without q, which ends the program, and e, which opens an editor."""
SIZES = [(80, 24), (120, 40), (200, 60), (40, 12), (10, 4), (1, 1), (3, 2), (300, 3), (2, 80)]


def harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no key start a process, fetch a file or end a run."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise Problem("Nothing starts in this test.")

    async def answer(self: Any, doing: Any) -> dict[str, Any]:
        return {"step": 7, "form": {"fields": [{"name": "x", "low": 0, "high": 1, "value": 0.5}]}}

    async def asked(self: Any, first: Any = None, **_: Any) -> dict[str, Any]:
        return {"ok": True, "outputs": {"probabilities": {"a": 0.25, "b": 0.75}}}

    async def never(self: Any) -> Problem:
        import asyncio

        await asyncio.Event().wait()
        return Problem("")

    monkeypatch.setattr(launch, "create", refuse)
    monkeypatch.setattr(comparing, "create", refuse)
    monkeypatch.setattr(run_actions, "ask_comparison", lambda *_: "Nothing is asked.")
    monkeypatch.setattr(run_actions, "ask", lambda *_: ("Nothing is asked.", ""))
    monkeypatch.setattr(background.Command, "__init__", refuse)
    monkeypatch.setattr(Job, "start", lambda self: self)
    monkeypatch.setattr(LookScreen, "_read", lambda self: None)
    monkeypatch.setattr(answering.Answering, "start", answer)
    monkeypatch.setattr(answering.Answering, "ask", asked)
    monkeypatch.setattr(answering.Answering, "ended", never)


def some_runs() -> None:
    """Runs with everything that a panel can show, runs with nothing, and one that stopped early."""
    import numpy as np

    whole = make_run("digits-mlp", stamp="2026-11-23_010000")
    finish(whole)
    (whole.path / "checkpoints" / "step-1").mkdir(parents=True)
    log = train(make_run("early", stamp="2026-11-23_020000"), upto=400)
    explained(log, 400, np.random.default_rng(0))
    samples(log, 400, 1.0, 0.5, np.random.default_rng(0))
    log.close()
    make_run("empty", stamp="2026-11-23_030000")
    train(make_run("plain", stamp="2026-11-23_040000"), 100, rich=False).close()


def clicked(x: int, y: int, times: int) -> list[events.Event]:
    made: list[events.Event] = []
    for _ in range(times):
        for kind in (events.MouseDown, events.MouseUp):
            made.append(kind(None, x, y, 0, 0, 1, False, False, False, screen_x=x, screen_y=y))
    return made


def burst(rng: random.Random, app: DlwbApp) -> list[events.Event]:
    """What comes at once: one to four keys, the same key twice, clicks, a wheel, a paste, a new size."""
    width, height = app.size
    x, y = rng.randrange(max(1, width)), rng.randrange(max(1, height))
    what = rng.random()
    if what < 0.55:
        return [key(rng.choice(KEYS)) for _ in range(rng.choice((1, 1, 1, 2, 3, 4)))]
    if what < 0.75:
        return [key(name) for name in [rng.choice(KEYS)] * 2]
    if what < 0.9:
        return clicked(x, y, rng.choice((1, 2, 3)))
    if what < 0.95:
        kind = rng.choice((events.MouseScrollDown, events.MouseScrollUp, events.MouseMove))
        return [kind(None, x, y, 0, 0, 0, False, False, False, screen_x=x, screen_y=y)]
    return [events.Paste(rng.choice(("word", "two\nlines", "\x1b]52;c;aGk=\x07", "x" * 2500, "\ud800", "7")))]


def key(name: str) -> events.Key:
    character = name if len(name) == 1 else {"space": " ", "enter": "\r", "tab": "\t", "slash": "/", "comma": ","}.get(name)
    return events.Key(name, character)


async def hammer(pilot: Pilot[Any], rng: random.Random, keys: int) -> list[str]:
    """Send about so many keys; returns what was sent, so that a failure can be seen. The app's own exception ends the test."""
    app, sent = pilot.app, []
    assert isinstance(app, DlwbApp)
    while len(sent) < keys and app._exception is None:
        if rng.random() < 0.03:
            await pilot.resize_terminal(*rng.choice(SIZES))
        if isinstance(app.screen, QuestionScreen) and rng.random() < 0.8:
            app.post_message(key("n"))
        for event in burst(rng, app):
            sent.append(f"{type(app.screen).__name__} {event!r:.90}")
            app.post_message(event)
        if rng.random() < 0.7:
            await pilot.pause()
    await pilot.pause()
    return sent
