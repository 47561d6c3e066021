"""The small validator against pydantic itself: what one takes, so does the other."""

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from workbench.cli.arguments import request
from workbench.recipes.schema_check import complete
from workbench.recipes.yaml_reader import flow
from workbench.training.project import Settings, live


class Layer(Settings):
    size: int = Field(8, ge=1)
    kind: Literal["dense", "conv"] = "dense"


class Config(Settings):
    rate: float = live(0.1, gt=0, le=1)
    epochs: int = Field(3, ge=1, lt=100, multiple_of=3)
    name: str = Field("a", min_length=1, max_length=3, pattern="^[ab]+$")
    mode: Literal["fast", "slow", 3] = "fast"
    only: Literal["mlp"] = "mlp"
    flag: bool = False
    hidden: list[Annotated[int, Field(gt=0)]] = Field([4], min_length=1, max_length=3)
    pair: tuple[int, float] = (1, 2.0)
    limit: float | None = None
    size: int | str = 3
    both: int | float = 1
    weights: dict[str, float] = {}
    layer: Layer = Layer()
    layers: list[Layer] = []
    words: set[str] = set()


SCHEMA = Config.model_json_schema()
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, 2, 3, -1, 99, 100, 0.5, 1.0, 1.5, 3.0, 2e4, "", "a", "ab", "abab", "c", "fast", "slow", "mlp", "dense"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["size", "kind", "sizes", "x"]), inner, max_size=2),
    max_leaves=5,
)


class Texts(Settings):
    name: str = ""
    names: list[str] = []
    either: str | None = None
    place: int | str = 0
    swapped: str | int = 0
    size: Literal["1", "2", 3] = "1"
    rate: float = 0.1
    flag: bool = False
    by_name: dict[str, str] = {}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name=1", "1"),
        ("name=1.50", "1.50"),
        ("name=2E7", "2E7"),
        ("name=True", "True"),
        ("name=", ""),
        ("name='null'", "null"),
        ("names=[1, 02, 2e3, true, red]", ["1", "02", "2e3", "true", "red"]),
        ("names=['1']", ["1"]),
        ("either=1", "1"),
        ("either=null", None),
        ("place=1", 1),
        ("place=1.5", "1.5"),
        ("place='1'", "1"),
        ("swapped=1", 1),
        ("size=2", "2"),
        ("size=3", 3),
        ("rate=1", 1.0),
        ("flag=true", True),
        ("by_name={a: 1}", {"a": "1"}),
    ],
)
def test_what_is_typed_for_a_text_is_text_and_a_number_where_numbers_are_allowed(setting: str, value: Any) -> None:
    name, _, text = setting.partition("=")
    document = flow(text)
    spellings = {(name, *place): word for place, word in document.spellings.items()}
    completed, faults = complete({name: document.value}, Texts.model_json_schema(), "it", spellings)
    assert faults == [] and repr(completed[name]) == repr(value)
    assert getattr(Texts.model_validate_json(json.dumps(completed), strict=True), name) == value
    asked = request([setting], Texts.model_json_schema())
    assert repr(asked) == repr({name: value})


def test_null_is_no_text_and_a_quoted_number_no_number() -> None:
    for setting, says in (("name=null", "must be text, not nothing"), ("rate='1'", "must be a number, not '1'")):
        name, _, text = setting.partition("=")
        document = flow(text)
        _, faults = complete(
            {name: document.value}, Texts.model_json_schema(), "it", {(name, *where): word for where, word in document.spellings.items()}
        )
        assert faults[0].text.startswith(says)


def test_an_empty_config_is_every_default() -> None:
    made, faults = complete({}, SCHEMA, "it")
    assert faults == []
    assert set(made) == set(Config.model_fields)
    assert Config.model_validate(made) == Config()


@settings(max_examples=600, deadline=None)
@given(name=st.sampled_from([*Config.model_fields, "rats"]), value=VALUES)
def test_it_takes_what_pydantic_takes(name: str, value: Any) -> None:
    made, faults = complete({name: value}, SCHEMA, "it")
    try:
        theirs = Config.model_validate_json(json.dumps({name: value}), strict=True)
    except ValidationError:
        # A whole number may be written with a point or an exponent.
        assert faults or Config.model_validate(made)
        return
    assert not faults
    assert Config.model_validate(made) == theirs


@pytest.mark.parametrize(
    ("config", "where", "text"),
    [
        ({"rate": 0}, ("rate",), "must be more than 0, not 0"),
        ({"rate": 2}, ("rate",), "must be at most 1, not 2"),
        ({"epochs": 102}, ("epochs",), "must be less than 100, not 102"),
        ({"epochs": 4}, ("epochs",), "must be a multiple of 3, not 4"),
        ({"name": ""}, ("name",), "must not be empty"),
        ({"name": "aaaa"}, ("name",), "must have 3 characters or fewer"),
        ({"name": "c"}, ("name",), "cannot be 'c'; expected: as ^[ab]+$"),
        ({"mode": "fats"}, ("mode",), "must be fast or slow or 3, not 'fats'; did you mean fast?"),
        ({"only": "cnn"}, ("only",), "must be mlp, not 'cnn'"),
        ({"flag": "on"}, ("flag",), "must be true or false, not 'on'; write true or false"),
        ({"flag": 1}, ("flag",), "must be true or false, not 1"),
        ({"hidden": [1, 0]}, ("hidden", 1), "must be more than 0, not 0"),
        ({"hidden": 5}, ("hidden",), "must be a list, not 5; write [5]"),
        ({"hidden": [1, 2, 3, 4]}, ("hidden",), "must have 3 or fewer items, not 4"),
        ({"pair": [1]}, ("pair",), "must have 2 items, not 1"),
        ({"pair": [1, "x"]}, ("pair", 1), "must be a number, not 'x'"),
        ({"limit": "x"}, ("limit",), "must be a number, not 'x'"),
        ({"size": [1]}, ("size",), "must be a whole number or text, not a list"),
        ({"size": None}, ("size",), "must be a whole number or text, not nothing"),
        ({"weights": {"a": "b"}}, ("weights", "a"), "must be a number, not 'b'"),
        ({"layer": {"sise": 3}}, ("layer", "sise"), "not a setting of layer; did you mean size?"),
        ({"layers": [{}, {"kind": "dens"}]}, ("layers", 1, "kind"), "must be dense or conv, not 'dens'; did you mean dense?"),
        ({"layers": [{"size": 0}]}, ("layers", 0, "size"), "must be at least 1, not 0"),
        ({"RATE": 1}, ("RATE",), "not a setting of it; did you mean rate?"),
        ({"zzz": 1}, ("zzz",), "not a setting of it"),
    ],
)
def test_what_it_says(config: dict[str, Any], where: tuple[Any, ...], text: str) -> None:
    _, faults = complete(config, SCHEMA, "it")
    assert [(fault.where, fault.text) for fault in faults] == [(where, text)]


def test_a_setting_without_default_is_missed() -> None:
    class Needs(Settings):
        path: str
        """Where it lies."""

    _, faults = complete({}, Needs.model_json_schema(), "it")
    assert [(fault.where, fault.text) for fault in faults] == [(("path",), "is missing (Where it lies.)")]


def test_a_schema_that_refers_to_itself() -> None:
    class Tree(Settings):
        value: int = 0
        children: "list[Tree]" = []

    made, faults = complete({"children": [{"children": [{"value": "x"}]}]}, Tree.model_json_schema(), "it")
    assert [fault.where for fault in faults] == [("children", 0, "children", 0, "value")]
    assert made["children"][0]["value"] == 0
