"""The form before a start, as a person types into it; the pane's time, memory and data; a start taken back from the screen."""

import os
from pathlib import Path

import msgspec
import pytest
from lines import ended, start, until, write
from made_runs import finish, make_run
from piloting import seen, settle
from test_cancel import WAITING

from workbench import paths
from workbench.launch import devices
from workbench.launch.devices import Device, Holder
from workbench.launch.estimate import GIB
from workbench.problems import Problem
from workbench.recipes.find import find_recipe
from workbench.recipes.load import Loaded, load_recipe
from workbench.recipes.schema_check import choices, expected
from workbench.recipes.yaml_reader import flow_text, flow_value
from workbench.runs.run import list_runs
from workbench.runs.state import state_of
from workbench.tui.app import DlwbApp
from workbench.tui.models.preflight import Machine, outlook
from workbench.tui.models.recipe_form import RecipeForm, differences
from workbench.tui.screens.form import START, FormScreen
from workbench.tui.screens.recipes import RecipesScreen
from workbench.tui.screens.run import RunScreen

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def digits() -> Loaded:
    return load_recipe(find_recipe("digits-mlp"))


async def form(pilot, name: str = "digits-mlp") -> FormScreen:
    await settle(pilot, lambda: "Handwritten digits" in seen(pilot.app))
    pilot.app.screen.rows.select(str(find_recipe(name)))
    await pilot.press("f")
    await settle(pilot, lambda: isinstance(pilot.app.screen, FormScreen) and "▶ Start" in seen(pilot.app))
    return pilot.app.screen


async def to(pilot, name: str) -> None:
    pilot.app.screen.rows.select(name)
    await pilot.pause()


# -- the form ------------------------------------------------------------------------------------------------------------------------


def test_changes_are_checked_as_the_shell_checks_them() -> None:
    form = RecipeForm(digits())
    form.put("config.learning_rate", "-1")
    assert form.problems == {"config.learning_rate": "must be more than 0, not -1"}
    form.put("config.hidden", "[8, 0]")
    assert set(form.problems) == {"config.learning_rate", "config.hidden"}
    form.put("config.learning_rate", "0.5")
    form.put("config.hidden", "[8, 4]")
    assert not form.problems and form.loaded.recipe.config["hidden"] == [8, 4]
    form.put("config.learning_rate", form.fields["config.learning_rate"].first)
    assert set(form.changes) == {"config.hidden"}, "what is as in the recipe is no change"
    form.take_back("config.hidden")
    assert form.loaded.recipe == form.base.recipe
    form.turn("config.optimizer", 1)
    assert form.changes
    form.turn("config.optimizer", -1)
    assert not form.changes


@pytest.mark.parametrize(
    "value", [True, None, 3, 2e-4, "mnist", "1:30", "true", "7", "", "a, b", "[x", "ä #", [1, 2], ["a", "b c", "1"], {"a": [1]}]
)
def test_values_are_read_back_as_they_were_written(value: object) -> None:
    assert flow_value(flow_text(value)) == (value, "")


def test_what_a_value_may_be_in_words() -> None:
    assert expected({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {}) == "a number, more than 0, at most 1"
    assert expected({"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}, {}) == "a or b or nothing"
    assert expected({"$ref": "#/$defs/Kind"}, {"Kind": {"type": "boolean"}}) == "true or false"
    assert choices({"anyOf": [{"enum": ["a", "b"]}, {"type": "string", "own": True}]}, {}) == ["a", "b"]
    assert choices({"type": "boolean"}, {}) == [False, True] and choices({"type": "integer"}, {}) == []


# -- the outlook ---------------------------------------------------------------------------------------------------------------------

CPU = Device("cpu", "CPU, 2 cores")
GPU = Device("cuda:0", "NVIDIA H100", 70 * GIB, False, 80 * GIB)


def test_the_device_and_what_speaks_against_it() -> None:
    loaded = digits()
    assert outlook(loaded, Machine((GPU, CPU)), []).device == GPU
    unusable = Problem("torch was built for CUDA 13.0, and the driver runs CUDA up to 12.4.", "Update the driver.", "device")
    found = outlook(loaded, Machine((GPU, CPU), torch=unusable), [])
    assert found.device == CPU and found.warnings[0][1] and "although the machine has NVIDIA H100" in found.warnings[0][0]
    full = Device("cuda:0", "NVIDIA H100", 0.1 * GIB, False, 80 * GIB, "", (Holder(7, "anna", 79 * GIB),))
    found = outlook(loaded, Machine((full, CPU)), [])
    assert "anna" in found.warnings[0][0] and found.warnings[0][1]
    busy = Device("cuda:0", "NVIDIA H100", 70 * GIB, True, 80 * GIB, "2026-11-23_010000_mnist-mlp")
    assert "would wait" in outlook(loaded, Machine((busy, CPU)), []).warnings[0][0]
    driver = devices.Driver(error="version mismatch")
    assert "does not answer" in outlook(loaded, Machine((CPU,), driver), []).warnings[0][0]
    assert outlook(loaded, Machine((CPU,)), []).warnings == ()
    larger = Device("cuda:1", "NVIDIA K80", 90 * GIB, False, 95 * GIB)
    assert outlook(loaded, Machine((GPU, larger, CPU)), []).device == larger
    assert outlook(loaded, Machine((GPU, larger, CPU), refused={"cuda:1": "no kernel image"}), []).device == GPU
    both = (busy, msgspec.structs.replace(larger, busy=True), CPU)
    assert "the first one that is free" in outlook(loaded, Machine(both), []).warnings[0][0]


# -- the screen ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_setting_is_typed_and_the_run_has_it(size) -> None:
    async with DlwbApp().run_test(size=size) as pilot:
        screen = await form(pilot)
        assert screen.rows.key == START
        await to(pilot, "config.learning_rate")
        await pilot.press("0", ".", "5", "enter")
        assert screen.form.changes == {"config.learning_rate": "0.5"}
        assert "recipe: " in seen(pilot.app) and "1 change" in seen(pilot.app)
        await to(pilot, "train.epochs")
        await pilot.press("enter", "2", "enter")
        await to(pilot, "config.optimizer")
        before = screen.form.fields["config.optimizer"].text
        await pilot.press("right")
        assert screen.form.fields["config.optimizer"].text != before
        await pilot.press("backspace")
        assert screen.form.fields["config.optimizer"].text == before and "config.optimizer" not in screen.form.changes
        await to(pilot, "compute.device")
        await pilot.press("right")
        assert screen.form.fields["compute.device"].text == "cpu"
        await pilot.press("s")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen), 30)
        run = list_runs()[0]
        assert run.recipe().config["learning_rate"] == 0.5 and run.recipe().train.epochs == 2
        await settle(pilot, lambda: state_of(run).state == "finished", 60)
        assert len(pilot.app.screen_stack) == 2, "the form is gone"


async def test_what_is_wrong_does_not_start_and_escape_leaves_nothing() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await form(pilot)
        await to(pilot, "config.learning_rate")
        await pilot.press("minus", "1")
        assert "must be more than 0, not -1" in seen(pilot.app)
        await pilot.press("enter", "s")
        assert pilot.app.screen is screen
        assert "config.learning_rate: must be more than 0" in " ".join(str(note.message) for note in pilot.app._notifications)
        assert "1 setting is wrong" in seen(pilot.app)
        await pilot.press("slash", *"momentum")
        await settle(pilot, lambda: "weight_decay" not in seen(pilot.app))
        assert "momentum" in seen(pilot.app)
        screen.rows.select(START)
        await pilot.press("enter")
        await settle(pilot, lambda: not screen.query("#filter.open"))
        assert screen.rows.key == "config.momentum", "Enter again changes it"
        await pilot.press("escape")
        await settle(pilot, lambda: "weight_decay" in seen(pilot.app))
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, RecipesScreen)
    assert not list_runs()


async def test_a_path_is_typed_where_there_are_choices_too() -> None:
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        screen = await form(pilot)
        await to(pilot, "config.data")
        await pilot.press(*"./none", "enter")
        assert screen.form.changes == {"config.data": "./none"} and "there is no" in screen.form.problems["config.data"]
        await pilot.press("right")
        assert not screen.form.problems
        await to(pilot, "config.learning_rate")
        await pilot.press("enter", "backspace", "enter")
        assert screen.form.fields["config.learning_rate"].text == "0.005", "an emptied setting is as in the recipe"


async def test_a_run_is_started_again_with_its_settings(tmp_path: Path) -> None:
    first = start(tmp_path, "{learning_rate: 0.02}")
    ended(first)
    text = (tmp_path / "line.yaml").read_text()
    (tmp_path / "line.yaml").write_text(text.replace("learning_rate: 0.02", "learning_rate: 0.04"))
    assert differences(load_recipe(tmp_path / "line.yaml"), first.recipe()) == {"config.learning_rate": "0.02"}
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "A line" in seen(pilot.app))
        await pilot.press("f")
        await settle(pilot, lambda: isinstance(pilot.app.screen, FormScreen))
        assert "recipe: 0.04" in seen(pilot.app)
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen), 30)
        second = list_runs()[0]
        await settle(pilot, lambda: state_of(second).state == "finished", 60)
        assert second.id != first.id and second.recipe().config == first.recipe().config


async def test_a_start_is_taken_back_from_its_screen(tmp_path: Path) -> None:
    write(paths.home() / "recipes", source=WAITING)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: "Handwritten digits" in seen(pilot.app))
        await pilot.press("home")
        await settle(pilot, lambda: "A line" in seen(pilot.app))
        pilot.app.screen.rows.select(str(paths.home() / "recipes" / "line.yaml"))
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen) and "reading its data" in seen(pilot.app), 30)
        await pilot.press("s")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RecipesScreen), 30)
        assert "nothing of the run is left" in " ".join(str(note.message) for note in pilot.app._notifications)
    until(lambda: not os.listdir(paths.runs()))


async def test_the_pane_says_what_a_recipe_needs_and_reached_here() -> None:
    finish(make_run())
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: "0.9780 ✓" in seen(pilot.app))
        pilot.app.screen.rows.select(str(find_recipe("digits-mlp")))
        await settle(pilot, lambda: "best here" in seen(pilot.app))
        screen = pilot.app.screen
        text = " ".join(" ".join(strip.text for strip in screen.pane_lines(60)).split())
        assert "best here test accuracy 0.9780" in text and "comes with scikit-learn" in text and "licence: CC BY 4.0" in text
        assert "(an estimate, from runs here with other settings)" in text
