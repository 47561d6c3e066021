"""Notes for a stage of the run: how they are written, what is wrong with a bad one, and when they apply."""

from pathlib import Path

import pytest

from workbench.recipes.find import shipped_and_own
from workbench.recipes.hints import applies, place, stage, written
from workbench.recipes.load import RecipeProblem, load_recipe
from workbench.recipes.recipe import Note, Recipe, dump_recipe


def load(folder: Path, watch: str) -> Recipe:
    file = folder / "noted.yaml"
    file.write_text(f"title: Noted\nproject: image_classifier\nconfig: {{data: digits}}\nwatch:\n{watch}")
    return load_recipe(file).recipe


def test_sentences_and_notes_stand_side_by_side_and_are_kept_in_the_run(tmp_path) -> None:
    notes = "  - A sentence.\n  - {from: 2 epochs, to: 50 %, text: Early.}\n  - {when: valid/loss > train/loss, text: Overfitting.}\n"
    made = load(tmp_path, notes)
    assert made.watch == [
        "A sentence.",
        Note(start="2 epochs", to="50 %", text="Early."),
        Note(when="valid/loss > train/loss", text="Overfitting."),
    ]
    (tmp_path / "again.yaml").write_text(dump_recipe(made))
    assert load_recipe(tmp_path / "again.yaml").recipe.watch == made.watch
    assert [written(note) for note in made.watch[1:]] == ["from 2 epochs to 50 %: Early.", "when valid/loss > train/loss: Overfitting."]
    assert stage(Note(text="x", to=400)) == "to step 400"


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("{from: 2 weeks, text: x}", "watch.0.from"),
        ("{from: -1, text: x}", "at least 0"),
        ("{when: valid/loss, text: x}", "a metric, < or >, and a number or another metric"),
        ("{when: loss < 1, text: x}", "watch.0.when"),
        ("{to: 3}", "watch.0.text: is missing (the sentence that is shown)"),
        ("{tex: x}", "did you mean text?"),
        ("[3]", "must be text or a section of settings"),
    ],
)
def test_a_bad_note_is_named_with_its_line(tmp_path, note, words) -> None:
    with pytest.raises(RecipeProblem) as caught:
        load(tmp_path, f"  - {note}\n")
    assert words in str(caught.value) and "noted.yaml:5" in str(caught.value)


@pytest.mark.parametrize(
    ("note", "step", "wanted"),
    [
        (Note(text="", to=400), 400, True),
        (Note(text="", to=400), 401, False),
        (Note(text="", start="2 epochs"), 199, False),
        (Note(text="", start="2epochs"), 200, True),
        (Note(text="", start="40 %", to="60%"), 500, True),
        (Note(text="", start="40 %", to="60%"), 700, False),
        (Note(text="", start="1.5 epochs", to="300 steps"), 250, True),
        (Note(text="", when="valid/loss > train/loss"), 1, True),
        (Note(text="", when="valid/loss<=0.5"), 1, False),
        (Note(text="", when="train/loss < 5e-1"), 1, True),
        (Note(text="", when="test/loss < 9"), 1, False),
        (Note(text="", start=10, when="train/loss < 1"), 9, False),
    ],
)
def test_a_note_applies_at_its_stage(note, step, wanted) -> None:
    values = {"train/loss": 0.3, "valid/loss": 0.6}
    assert applies(note, step, 1000, 100, values.get) is wanted


def test_where_the_length_is_not_known_a_share_of_it_is_nowhere() -> None:
    assert place("40 %", 0, 0) != place("40 %", 0, 0)
    assert not applies(Note(text="", start="40 %"), 10**6, 0, 0, lambda tag: None)


def test_every_shipped_recipe_s_notes_can_be_placed() -> None:
    for path in shipped_and_own():
        for note in load_recipe(path).recipe.watch:
            assert isinstance(note, str) or isinstance(applies(note, 10, 1000, 100, {"valid/loss": 1.0}.get), bool)
