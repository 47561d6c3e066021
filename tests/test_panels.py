"""Panels made of text at the widths that they get: no figure runs into another, no word is cut that need not be."""

import pytest

from workbench.events import Scalars, Table
from workbench.recipes.find import find_recipe
from workbench.recipes.recipe import Bar, Note, Recipe, Reference, Train
from workbench.runs.history import History
from workbench.runs.summary import Summary
from workbench.tui.models.library import Library
from workbench.tui.panels.detail import recipe_lines
from workbench.tui.panels.figures import figure_lines
from workbench.tui.panels.sheet import sheet_lines

LAYERS = ["total", "0", "3"]
NETWORK = Table(
    tag="network",
    columns=["layer", "kind", "output shape", "parameters", "memory"],
    rows=[
        ["0", "Flatten", "32 x 64", 0.0, "0 B"],
        ["3", "Dropout", "32 x 128", 8320.0, "49.7 kB"],
        ["total", "8 layers", "", 17226.0, "119 kB"],
    ],
)


def test_a_network_stands_at_half_width_with_its_amounts_under_each_other() -> None:
    lines = [strip.text for strip in sheet_lines(NETWORK, 42)]
    assert all("…" not in line for line in lines[1:]), lines
    assert [line.rstrip()[-7:] for line in lines[1:]] == ["    0 B", "49.7 kB", " 119 kB"]
    ends = {line.rstrip()[: -len("49.7 kB")].rstrip().rjust(34)[-6:].strip() for line in lines[1:]}
    assert ends == {"0", "8,320", "17,226"}


def test_long_figures_keep_a_gap_and_long_names_their_last_word() -> None:
    tags = {"valid/accuracy/baseline": -1.2345e-5, "valid/accuracy": 0.5}
    known = [Reference(metric="valid/loss", value=0.2, source="a student's notebook")]
    known.append(Reference(metric="valid/accuracy", value=0.9, source="the course's notebook"))
    text = [
        strip.text
        for strip in figure_lines(Recipe(title="x", project="x", reference=known), Summary(size=1, last=tags, best=tags), History(), 31)
    ]
    assert "-1.23e-5  -1.23e-5" in text[1] or "-1.23e-5  -1.23e-5" in text[2]
    assert any("baseline" in line for line in text)
    assert any("others" in line and "0.2000" in line for line in text) and any("course" in line and "0.9000" in line for line in text)


@pytest.mark.parametrize(
    ("metric", "bar", "best"),
    [
        ("valid/loss", None, True),
        ("valid/rmse/ridge", None, True),
        ("train/accuracy", None, True),
        ("valid/line/slope", None, False),
        ("train/gradient_norm", None, False),
        ("train/learning_rate", None, False),
        ("test/nearest_distance", None, False),
        ("valid/gap", {"at_most": 0.1}, True),  # a bar gives a direction
        ("valid/kept", None, True),  # as does what the recipe keeps the best of
        ("valid/coverage", {"at_least": 0.9}, False),  # by its name the summary has kept the smallest
    ],
)
def test_only_a_metric_with_a_direction_has_a_best_value(metric: str, bar: dict[str, float] | None, best: bool) -> None:
    recipe = Recipe(title="x", project="x", bar=[Bar(metric=metric, **bar)] if bar else [], train=Train(keep_best="valid/kept"))
    lines = figure_lines(recipe, Summary(size=1, last={metric: 0.75}, best={metric: 0.25}), History(), 60)
    assert ("0.2500" in lines[1].text, "0.7500" in lines[1].text) == (best, True)


def test_series_whose_names_have_no_room_stand_below_what_they_are_of() -> None:
    tags = {f"{split}/accuracy/{name}": 0.5 for split in ("valid", "test") for name in ("last_layer", "cut_early")} | {
        "test/accuracy": 0.25
    }
    for width, wanted in (
        (36, ["valid accuracy", "  last_layer", "  cut_early", "test accuracy", "  last_layer", "  cut_early", "test accuracy"]),
        (
            60,
            [
                "valid accuracy last_layer",
                "valid accuracy cut_early",
                "test accuracy last_layer",
                "test accuracy cut_early",
                "test accuracy",
            ],
        ),
    ):
        lines = figure_lines(Recipe(title="x", project="x"), Summary(size=1, last=tags, best=tags), History(), width)
        text = [strip.text for strip in lines][1 : len(wanted) + 1]
        assert [line.split("  0.")[0].rstrip() for line in text] == wanted
        assert ["0." in line for line in text] == [(width > 40 or line.startswith(" ") or place == 6) for place, line in enumerate(wanted)]


def test_the_pane_names_data_that_the_recipe_does_not() -> None:
    library = Library()
    library.load_recipes()
    for stem, wanted in (
        ("bike-sharing", ["Bike sharing"]),
        ("style-transfer", ["Pictures for style", "VGG-19"]),
        ("digits-mlp", ["Optical"]),
    ):
        shelved = next(each for each in library.shelf if each.path == find_recipe(stem))
        text = "\n".join(strip.text for strip in recipe_lines(shelved, library, 70))
        assert all(f"{name}" in text for name in wanted) and text.count("licence") >= len(wanted), text


def test_a_long_text_in_a_table_is_wrapped_where_there_is_room_and_takes_nothing_from_the_headings() -> None:
    review = " ".join(f"word{number}" for number in range(40))
    table = Table(tag="wrong", columns=["truth", "positive", "review"], rows=[["negative", 0.5173, review], ["positive", 0.25, "short"]])
    short = [strip.text for strip in sheet_lines(table, 80)]
    assert len(short) == 3 and "positive" in short[0] and short[1].rstrip().endswith("…")
    tall = [strip.text for strip in sheet_lines(table, 80, 20)]
    assert all(f"word{number}" in " ".join(tall) for number in range(40)) and len(tall) < 12
    cut = [strip.text for strip in sheet_lines(table, 80, 7)]
    assert len(cut) == 5 and cut[3].rstrip().endswith("…")


def test_a_run_whose_loss_is_no_number_is_at_no_stage() -> None:
    staged = Recipe(title="x", project="x", watch=[Note(start=100, text="The loss is flat.")])
    for loss, sign in ((0.1, "▸ The loss is flat."), (float("nan"), "· from step 100: The")):
        history = History()
        history.fold([Scalars({"train/loss": loss}, step=200)])
        text = "\n".join(strip.text for strip in figure_lines(staged, Summary(size=1), history, 40))
        assert sign in text, text
