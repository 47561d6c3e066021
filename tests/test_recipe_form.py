"""One settings form: what a choice hides, a line edited in place as Textual's Input does, choices turned, what is wrong under its row."""

import copy
from typing import Any, Literal

import msgspec
import pytest
from piloting import seen, settle
from pydantic import Field
from textual import events

from workbench.project import Settings, live
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.tui.app import DlwbApp
from workbench.tui.models.recipe_form import LONGEST, Form, RecipeForm
from workbench.tui.panels.form import Entry
from workbench.tui.screens.ask import AskScreen


class Config(Settings):
    model: Literal["mlp", "cnn"] = "mlp"
    """Which network"""
    channels: list[int] = Field([8, 16], json_schema_extra={"when": {"model": ["cnn"]}})
    """Feature maps of each convolution"""
    augment: bool = False
    """Whether pictures are changed at random"""
    rotation: int = Field(10, ge=0, le=90, json_schema_extra={"when": {"augment": [True], "model": ["cnn"]}})
    """Largest rotation, in degrees"""
    title: str = live("a")
    """Text of the figure"""


SCHEMA = Config.model_json_schema()


def names(form: Form, words: str = "") -> list[str]:
    return [field.name for _, fields in form.shown(words) for field in fields]


def test_a_setting_that_another_choice_makes_meaningless_is_hidden_and_keeps_its_value() -> None:
    form = Form(SCHEMA, {}, "it")
    assert names(form) == ["model", "augment", "title"]
    form.put("model", "cnn")
    assert names(form) == ["model", "channels", "augment", "title"]
    form.put("channels", "[4]")
    form.put("augment", "true")
    assert "rotation" in names(form), "both of its conditions hold"
    form.put("augment", "[")
    assert "rotation" in names(form), "while a value is half typed, nothing goes"
    form.put("augment", "true")
    form.turn("model", 1)
    assert names(form) == ["model", "augment", "title"] and names(form, "feature") == []
    assert form.values == {"model": "mlp", "channels": [4], "augment": True, "rotation": 10, "title": "a"}
    form.put("rotation", "100")
    assert "rotation" in names(form), "what is wrong is shown"


def test_a_text_that_looks_like_a_number_is_text_in_both_kinds_of_form() -> None:
    class Asked(Settings):
        words: list[str] = []
        prompt: str = ""

    form = Form(Asked.model_json_schema(), {}, "it")
    form.put("words", "[1, 007, red]")
    form.put("prompt", "1984")
    assert form.values == {"words": ["1", "007", "red"], "prompt": "1984"} and not form.problems
    recipe = RecipeForm(load_recipe(find_recipe("student-admissions")))
    recipe.put("config.target", "1")
    recipe.put("config.leave_out", "[2024]")
    assert not recipe.problems and recipe.loaded.recipe.config["target"] == "1" and recipe.loaded.recipe.config["leave_out"] == ["2024"]


@pytest.mark.parametrize(("around", "shown"), [({"config.model": "mlp"}, False), ({"config.model": "cnn"}, True), ({}, True)])
def test_a_rule_looks_at_values_that_are_no_fields(around: dict[str, Any], shown: bool) -> None:
    """A live form has only the settings that may change; the model is none of them."""
    schema = {"type": "object", "properties": {"config.channels": SCHEMA["properties"]["channels"]}}
    assert names(Form(schema, around, "it")) == ["config.channels"] * shown


@pytest.mark.parametrize("rule", ["x", ["model"], {"model": "cnn"}, {"nothing": [1]}])
def test_a_rule_that_cannot_be_read_hides_nothing(rule: Any) -> None:
    schema = {"properties": {"model": {"enum": ["mlp"], "default": "mlp"}, "size": {"type": "integer", "default": 1, "when": rule}}}
    assert names(Form(schema, {}, "it")) == ["model", "size"]


def test_the_start_form_hides_by_the_same_rule() -> None:
    loaded = load_recipe(find_recipe("digits-mlp"))
    assert loaded.schema
    config = copy.deepcopy(loaded.schema.config)
    config["properties"]["channels"]["when"] = {"model": ["cnn"]}
    form = RecipeForm(msgspec.structs.replace(loaded, schema=msgspec.structs.replace(loaded.schema, config=config)))
    assert "config.channels" not in names(form) and "config.hidden" in names(form)
    form.put("config.channels", "[[4, 4]]")
    form.put("config.model", "cnn")
    assert "config.channels" in names(form)
    form.take_back("config.model")
    assert "config.channels" not in names(form) and form.changes == {"config.channels": "[[4, 4]]"}


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_lines_are_typed_in_place_and_choices_turned(size: tuple[int, int]) -> None:
    async with DlwbApp().run_test(size=size) as pilot:
        answers: list[Any] = []
        screen = AskScreen("A form", "go", SCHEMA, {"title": "old words"}, "it")
        pilot.app.push_screen(screen, answers.append)
        await settle(pilot, lambda: "◂ mlp ▸" in seen(pilot.app) and "Which network." in seen(pilot.app))
        assert "channels" not in seen(pilot.app)
        await pilot.press("right", "down")
        assert "◂ cnn ▸" not in seen(pilot.app) and "Feature maps" in seen(pilot.app)
        assert isinstance(pilot.app.focused, Entry) and pilot.app.focused.value == "[8, 16]"
        await pilot.press("left", *", 0x")
        await settle(pilot, lambda: "must be a whole number, not '0x'" in seen(pilot.app))
        await pilot.press("enter")
        assert pilot.app.screen is screen, "nothing is sent while something is wrong"
        await pilot.press("backspace", "down", "down", "ctrl+left", *"fine ", "home", "delete", "O")
        assert screen.form.fields["title"].text == "Old fine words"
        screen.query_one(Entry).post_message(events.Paste("\x1b[2J two\n\tlines\n"))
        await pilot.pause()
        assert screen.form.fields["title"].text == "Otwo linesld fine words"
        screen.query_one(Entry).post_message(events.Paste("x" * 2 * LONGEST))
        await pilot.pause()
        assert len(screen.form.fields["title"].text) == LONGEST
        await pilot.press("ctrl+u", "end", "ctrl+u", *"new", "tab")
        assert screen.panel.key == "model", "tab goes round"
        await pilot.press("enter")
        await settle(pilot, lambda: answers)
        assert answers == [{"model": "cnn", "channels": [8, 16, 0], "augment": False, "rotation": 10, "title": "new"}]
