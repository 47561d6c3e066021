"""Pictures of the main screens, as SVG, made by typing the documented keys: a first hour with real runs in a home of its own.

    python tests/bench/pictures.py FOLDER [--size 120x40] [--theme dark]

It fails at a key that does not lead where it should. Six short runs train while it goes on, one of them is stopped; no data set is fetched.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

TOUR: list[tuple[str, str, str, str]] = [
    # name of the picture ("" for none), keys, the screen that must then be there, words on it
    ("recipes", "", "RecipesScreen", "Handwritten digits"),
    ("filter", "slash p e r c e p", "RecipesScreen", "Perceptron"),
    ("", "escape slash d i g i t s minus m l p enter", "RecipesScreen", "the first run"),
    ("form", "f", "FormScreen", "Settings of"),
    ("", "escape", "RecipesScreen", ""),
    ("run-live", "enter", "RunScreen", "confusion"),
    ("change", "c", "AskScreen", "learning_rate"),
    ("", "escape", "RunScreen", ""),
    ("question", "k", "QuestionScreen", "Kill"),
    ("", "n", "RunScreen", ""),
    ("run", "", "RunScreen", "Finished"),
    ("cursor", "tab left left left", "RunScreen", "figures"),
    ("full", "enter", "RunScreen", "loss"),
    ("", "enter escape", "RunScreen", "figures"),
    ("help", "question_mark", "HelpScreen", "Keys"),
    ("", "escape", "RunScreen", ""),
    ("export", "x", "ExportScreen", "HTML"),
    ("", "escape", "RunScreen", ""),
    ("try", "t", "TryPictureScreen", ""),
    ("drawn", "space down down down down down down down down space", "TryPictureScreen", "1 "),
    ("", "escape", "RunScreen", ""),
    ("", "f", "FormScreen", "Settings of"),
    ("setting", "slash b a t c h underscore s i z e enter enter backspace backspace 6 4 enter", "FormScreen", "64"),
    ("", "s", "RunScreen", "steps/s"),
    ("", "", "RunScreen", "Finished"),
    ("runs", "escape escape escape 2", "RunsScreen", "finished"),
    ("marked", "space down space", "RunsScreen", "◆"),
    ("compare", "c", "CompareScreen", "batch_size"),
    ("", "escape", "RunsScreen", ""),
    ("tag", "g", "RunsScreen", "tags"),
    ("", "escape", "RunsScreen", ""),
    ("data", "3", "DataScreen", "MNIST"),
    ("", "slash d i g i t s enter", "DataScreen", "digits"),
    ("look", "enter", "LookScreen", "Sizes"),
    ("finder", "escape ctrl+p", "Finder", ""),
    ("name", "escape 1 c", "NameScreen", "Copy"),
    ("", "escape escape slash p y t h o n enter", "RecipesScreen", "char-rnn-python"),
    ("", "enter", "RunScreen", "steps/s"),
    ("ask", "N", "AskScreen", "temperature"),
    ("", "escape", "RunScreen", ""),
    ("text", "s", "RunScreen", "Stopped"),
    ("", "t", "TryFormScreen", "prompt"),
    ("try-text", "d e f space enter", "TryFormScreen", "most probable next"),
    ("", "escape escape", "RunScreen", ""),
    ("", "escape escape escape slash t u m o u r enter", "RecipesScreen", "Tumours"),
    ("", "enter", "RunScreen", "Finished"),
    ("roc", "tab tab tab tab tab tab tab enter left left left left", "RunScreen", "sensitivity"),
    ("try-row", "t", "TryFormScreen", "weights of step"),
    ("", "escape escape", "RunScreen", ""),
    ("", "escape escape escape escape slash d e s c e n t enter", "RecipesScreen", "Gradient descent"),
    ("", "enter", "RunScreen", "Finished"),
    ("points", "tab tab tab tab enter", "RunScreen", "first feature"),
    ("", "enter escape escape escape slash p e r c e p enter", "RecipesScreen", "Perceptron"),
    ("perceptron", "enter", "RunScreen", "Finished"),
]


async def there(pilot: Any, screen: str, words: str, seconds: float = 120.0) -> None:
    """Wait for a screen with words on it, whatever their case."""
    end = time.monotonic() + seconds
    while type(pilot.app.screen).__name__ != screen or words.lower() not in text(pilot.app).lower():
        if time.monotonic() > end:
            raise SystemExit(f"{screen} with {words!r} never came, but {type(pilot.app.screen).__name__}:\n{text(pilot.app)}")
        await pilot.pause(0.2)
    await pilot.pause(0.8)


def text(app: Any) -> str:
    """What stands on the screen."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def walk(folder: Path, size: tuple[int, int], theme: str) -> None:
    """Type the keys, keep the pictures."""
    from workbench import preferences
    from workbench.tui.app import DlwbApp

    preferences.put("theme", theme)
    async with DlwbApp().run_test(size=size) as pilot:
        for name, keys, screen, words in TOUR:
            await pilot.press(*keys.split())
            await there(pilot, screen, words)
            if name:
                (folder / f"{name}.svg").write_text(pilot.app.export_screenshot(title=f"dlwb: {name}"), encoding="utf-8")
                print(folder / f"{name}.svg", flush=True)


def main() -> None:
    """Read the arguments and go."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--theme", default="dark", choices=["dark", "light", "sixteen"])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"DLWB_HOME": home, "TEXTUAL_COLOR_SYSTEM": "truecolor"}
        asyncio.run(walk(options.folder, (width, height), options.theme))


if __name__ == "__main__":
    main()
