"""Text that does something to a terminal, in every field that a person, a file name, a label, a log or a request can fill."""

import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hammering import harmless
from made_runs import RECIPE, ended, make_run, printed
from msgspec.structs import replace
from piloting import seen, settle
from rich.console import Console
from textual._compositor import LayoutUpdate
from textual.geometry import Region

from workbench import paths
from workbench.events import Curve, Mark, Matrix, Scalars, Scatter, Status, Table, Text
from workbench.recipes.recipe import Bar, Reference
from workbench.runs.log import EventLog
from workbench.runs.run import Run
from workbench.tui.app import DlwbApp
from workbench.tui.drawing.frame_diff import Frame
from workbench.tui.screens.look import LookScreen
from workbench.tui.screens.run import RunScreen
from workbench.tui.screens.try_form import TryFormScreen

PAYLOADS = (
    *(
        "\x1b]52;c;ZXZpbA==\x07",
        "\x1b]52;c;ZXZpbA==\x1b\\",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
        "\x1b]52;c;ZXZp",
    ),
    *("\x1b[2J", "\x1b[31m", "\x1b[?1049l", "\x1b[6n", "\x1b[1;1H", "\x1b[", "\x1b", "\x1bc", "\x1b(0", "\x1b\x1b[\x1b[31m31m"),
    *("\x1bPq#0\x1b\\", "\x1b_apc\x1b\\", "\x1b^pm\x1b\\", "\x1bXsos\x1b\\"),
    *("\x9b31m", "\x9d52;c;AA\x9c", "\x90q\x9c", "\x85", "\x07\x08\x0e\x0f\x7f", "\r\n\t\x0b\x0c"),
    *("\u202eevil\u202c", "\u2066a\u2069\u061c\u200e", "\ud800\udfff", "\u2028\u2029\ufeff\u200b\u200d\xad", "\U000e0041❤️👍🏽👩‍💻"),
)
KEPT = re.compile("\x1b\\[[0-9;]*[Hm]")
"""All that the terminal program itself sends for a line: the cursor's place, colours."""


def dangerous(text: str) -> list[str]:
    """The characters of a text that are none to look at."""
    return [hex(ord(character)) for character in text if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def check(app: DlwbApp) -> str:
    """Look at the strips of the screen, and at the bytes that the terminal would get for them; returns the text."""
    strips = app.screen._compositor.render_strips()
    size = app.size
    text = "\n".join(strip.text for strip in strips)
    assert not dangerous(text.replace("\n", "")), (type(app.screen).__name__, dangerous(text.replace("\n", "")))
    sent = Frame().output(LayoutUpdate([[strip] for strip in strips], Region(0, 0, *size)), size, Console(color_system="truecolor"))
    assert not dangerous(KEPT.sub("", sent)), type(app.screen).__name__
    return text


class Payloads:
    """Gives every field another payload, between two words; `first` is the first field's."""

    def __init__(self, first: int) -> None:
        self.next = first

    def __call__(self, word: str) -> str:
        payload = PAYLOADS[self.next % len(PAYLOADS)]
        self.next += 1
        return f"{word}{payload}{word}"

    def name(self, word: str) -> str:
        """The same for a file's name."""
        return os.fsdecode(self(word).replace("\0", "").replace("/", "∕").encode("utf-8", "replace"))


def _yaml(value: object) -> str:
    """As JSON, but characters beyond 16 bits are written as YAML has them: it knows no pairs of surrogates."""
    pairs = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")
    return pairs.sub(lambda pair: f"\\U{ord(json.loads(chr(34) + pair[0] + chr(34))):08x}", json.dumps(value))


def hostile_recipe(payloads: Payloads) -> Path:
    """A recipe of a person's own, with a hostile name and hostile texts."""
    folder = paths.home() / "recipes"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: payloads(name).encode("utf-8", "replace").decode() for name in ("title", "part", "lesson", "about")}
    recipe = {
        **texts,
        "project": "image_classifier",
        "config": {"data": "digits"},
        "watch": [payloads("watch").encode("utf-8", "replace").decode()],
    }
    path = folder / f"{payloads.name('file')}.yaml"
    path.write_text(_yaml(recipe))
    (folder / f"{payloads.name('broken')}.yaml").write_text(_yaml({"title": [3], payloads("key").encode("utf-8", "replace").decode(): 1}))
    return path


def hostile_run(payloads: Payloads, stamp: str) -> Run:
    """An ended run whose recipe, log, output, notes and end are hostile."""
    say = lambda word: payloads(word).encode("utf-8", "replace").decode()  # noqa: E731
    bars, references = [Bar(metric=f"test/{say('metric')}", at_least=0.5)], [Reference(metric="test/loss", value=1.0, source=say("source"))]
    recipe = replace(
        RECIPE, title=say("title"), about=say("about"), lesson=say("lesson"), watch=[say("watch")], bar=bars, reference=references
    )
    run = make_run("hostile", recipe, stamp=stamp)
    log = EventLog(run.path)
    log.write(
        Status(
            state="running", steps=100, device=say("device"), variant=say("variant"), demo=say("demo"), warning=say("warning"), from_step=-1
        )
    )
    names = [say("first"), say("second")]
    for step in (10, 20, 30):
        log.write(Scalars({"train/loss": 1 / step, f"train/{say('tag')}": 1.0, f"valid/loss/{say('series')}": 2.0}, step=step, epoch=0.1))
    log.write(Matrix(tag=say("valid/confusion"), values=[[1, 2], [3, 4]], rows=names, columns=names, step=30))
    log.write(Text(tag=say("sample/text"), prompt=say("prompt"), text=say("text\n") * 3, step=30))
    log.write(Table(tag=say("valid/table"), columns=[say("column"), "value"], rows=[[say("cell"), 1.0]], step=30))
    log.write(Curve(tag=say("sample/curve"), x=[0.0, 1.0], y=[0.0, 1.0], labels=(say("x"), say("y")), step=30))
    log.write(Scatter(tag=say("valid/dots"), x=[0.0, 1.0], y=[0.0, 1.0], labels=[say("dot"), say("other")], step=30))
    log.write(Mark(text=say("mark"), settings={say("setting"): say("value")}, command="c", step=20))
    log.close()
    printed(run, say("printed").encode() + b"\n\xff\xfe\x9b31m\x1b[31m open")
    (run.path / "notes.json").write_text(json.dumps({"tags": [say("tag")], "note": say("note")}))
    ended(run, "failed", "error", say("message"), say("hint"))
    return run


async def walk(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """Open every screen on a home that is hostile throughout, and check each."""
    harmless(monkeypatch)
    payloads = Payloads(first)
    recipe = hostile_recipe(payloads)
    for day in (20, 21):
        run = hostile_run(payloads, f"2026-11-{day}_000000")
        (run.path / "checkpoints" / "step-1").mkdir(parents=True)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        app = pilot.app

        async def do(*keys: str) -> str:
            for key in keys:
                await pilot.press(key)
            await pilot.pause(0.02)
            return check(app)

        await do("home")
        app.screen.rows.select(str(recipe))
        assert "about" in await do() and app.screen.chosen.loaded
        await do("ctrl+p", "f", "i", "l", "escape")
        await do("f")
        await do("escape", "c")
        await do("escape", "slash", "t", "i", "escape")
        await do("2")
        await settle(pilot, lambda: "hostile" in seen(app))
        for keys in (
            ("g",),
            ("escape", "m"),
            ("escape", "x"),
            ("escape", "k"),
            ("n", "space", "space", "c"),
            ("tab", "escape", "ctrl+p"),
            ("escape",),
        ):
            await do(*keys)
        await do("enter")
        await settle(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen._whole)
        for _ in app.screen.board.ring:
            await do("tab")
            await do("enter")
            await do("enter")
        await do("x", "t", "s")
        await do("escape", "N")
        await do("escape", "c")
        await do("escape", "t")
        await do("escape")
        await look_and_try(pilot, payloads, run)


async def look_and_try(pilot: Any, payloads: Payloads, run: Any) -> None:
    """The screens whose text comes from another process."""
    app = pilot.app
    look = LookScreen("digits", payloads("title"))
    await app.push_screen(look)
    look.shown = [
        Table(tag=payloads("table"), columns=[payloads("name")], rows=[[payloads("cell")]]),
        Text(tag=payloads("text"), text=payloads("said")),
    ]
    look.wrong = payloads("wrong")
    look._fill()
    await pilot.pause()
    check(app)
    screen = TryFormScreen(run, "row")
    screen.form.before = ""
    await app.push_screen(screen)
    await settle(pilot, lambda: bool(screen.ready))
    outputs = {"answer": payloads("answer"), "note": payloads("note"), "probabilities": {payloads("class"): 0.5}}
    screen.answered(outputs)
    screen.trouble = payloads("trouble")
    screen.tell()
    await pilot.pause()
    check(app)
    screen.answered({**outputs, "words": [{"word": payloads("word"), "difference": 0.5}], "aside": payloads("aside")})
    app.say(payloads("notice"), warning=True)
    await pilot.pause()
    check(app)
