"""The list of recipes as a map: lessons that fold, pages, what is only read about, a teacher's course."""

from pathlib import Path

import msgspec
import pytest
from made_runs import finish, make_run
from piloting import SIZES, seen, settle, walk_to

from workbench import paths
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.tui.app import DlwbApp
from workbench.tui.models.library import Library
from workbench.tui.models.outline import MANY, outline
from workbench.tui.screens.lesson import LessonScreen

BIKES = "2. Neural networks / Project: bike sharing"
MORE = """\
title: Exercise {0}
part: 2. Neural networks
lesson: "{1}. Exercises, number {0}"
project: regression
"""


@pytest.fixture
def many(home: Path) -> None:
    """So many recipes that the list starts folded."""
    (home / "recipes").mkdir(parents=True)
    for number in range(MANY - 30):
        (home / "recipes" / f"exercise-{number}.yaml").write_text(MORE.format(number, 20 + number // 5))


def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the recipes that are started from now on; none really is."""
    stems: list[str] = []
    monkeypatch.setattr(DlwbApp, "start", lambda app, loaded: stems.append(loaded.stem))
    return stems


async def test_a_lesson_folds_shows_its_counts_and_stays_folded_at_the_next_start() -> None:
    finish(make_run("bike-sharing", load_recipe(find_recipe("bike-sharing")).recipe))
    async with DlwbApp().run_test(size=(120, 60)) as pilot:
        await settle(pilot, lambda: pilot.app.library.looked and "Handwritten digits" in seen(pilot.app))
        pilot.app.screen.rows.select(str(find_recipe("bike-sharing-torch")))
        await pilot.press("left")
        await settle(pilot, lambda: "▸ Project: bike sharing  4 recipes" in seen(pilot.app))
        assert pilot.app.screen.rows.key == BIKES and "0 of 4 ✓" in seen(pilot.app)
        assert "Bike sharing, gradients by hand" in seen(pilot.app)  # in the pane about the lesson
        await pilot.press("up")
        await settle(pilot, lambda: "Bike sharing, gradients by hand" not in seen(pilot.app))
        await pilot.press("down", "e")
        assert "no recipe here to edit" in " ".join(str(note.message) for note in pilot.app._notifications)
    async with DlwbApp().run_test(size=(120, 60)) as pilot:
        await settle(pilot, lambda: "▸ Project: bike sharing" in seen(pilot.app))
        assert pilot.app.screen.rows.key == BIKES  # where the cursor was
        await pilot.press("space")
        await settle(pilot, lambda: "▾ Project: bike sharing" in seen(pilot.app))
        await pilot.press("right")
        assert pilot.app.screen.rows.key == str(find_recipe("bike-sharing"))
        await pilot.press("home", "left")
        assert "no lesson that can be folded" in " ".join(str(note.message) for note in pilot.app._notifications)


@pytest.mark.usefixtures("many")
async def test_a_long_list_starts_folded_but_for_the_lesson_of_the_cursor_and_opens_what_is_looked_for() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: "▌   Handwritten digits" in seen(pilot.app))
        text = seen(pilot.app)
        assert "▾ 1. MNIST" in text and "▸ Project: bike sharing  4 recipes" in text and "▸ 20. Exercises  5 recipes" in text
        pilot.app.show_recipe(str(paths.home() / "recipes" / "exercise-7.yaml"))
        await settle(pilot, lambda: "▌   Exercise 7" in seen(pilot.app))
        assert "▾ 21. Exercises" in seen(pilot.app) and "▸ 20. Exercises" in seen(pilot.app)


@pytest.mark.usefixtures("many")
async def test_the_filter_shows_matches_whatever_is_folded() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: "▸ 20. Exercises  5 recipes" in seen(pilot.app))
        await pilot.press("slash", *"number", "space", "1", "enter")
        await settle(pilot, lambda: "▾ 22. Exercises" in seen(pilot.app) and "Exercise 13" in seen(pilot.app))
        assert "Exercise 25" not in seen(pilot.app)
        await pilot.press("space")
        assert "The filter shows every match" in " ".join(str(note.message) for note in pilot.app._notifications)
        await pilot.press("escape")
        await settle(pilot, lambda: "▸ 20. Exercises  5 recipes" in seen(pilot.app))


@pytest.mark.parametrize("size", SIZES)
async def test_a_lesson_s_page_says_what_to_try_and_shows_the_person_s_own_figure(size, monkeypatch: pytest.MonkeyPatch) -> None:
    stems = started(monkeypatch)
    recipe = load_recipe(find_recipe("digits-mlp")).recipe
    finish(make_run(made=recipe))
    async with DlwbApp().run_test(size=size) as pilot:
        await settle(pilot, lambda: "0.9780 ✓" in seen(pilot.app))
        await pilot.press("i")
        await settle(pilot, lambda: isinstance(pilot.app.screen, LessonScreen) and "What it teaches" in seen(pilot.app))
        assert "Passed ✓ test accuracy 0.9780" in seen(pilot.app) and "Try first" in seen(pilot.app)
        await pilot.press("end")
        await settle(pilot, lambda: "Read next" in seen(pilot.app))
        text = seen(pilot.app)
        assert "yours 0.9780 ✓ · to pass ≥ 0.97" in text and "CC BY 4.0" in text and "mnist-mlp-fast  MNIST" in text
        await pilot.press("escape")
        await settle(pilot, lambda: not isinstance(pilot.app.screen, LessonScreen))
        await pilot.press("i", "enter")
        await settle(pilot, lambda: stems == ["digits-mlp"])


async def test_what_is_only_read_about_is_in_the_list_and_never_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    stems = started(monkeypatch)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: pilot.app.library.looked and "Handwritten digits" in seen(pilot.app))
        pilot.app.screen.rows.select("flappy-bird")
        await settle(pilot, lambda: "Why it has no recipe" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, LessonScreen) and "reinforcement learning" in seen(pilot.app))
        assert "Nature 518" in seen(pilot.app)
        await pilot.press("enter")
        assert "nothing to start" in " ".join(str(note.message) for note in pilot.app._notifications)
        await pilot.press("escape")
        await settle(pilot, lambda: not isinstance(pilot.app.screen, LessonScreen))
        await pilot.press("f", "c", "e")
    assert not stems


async def test_a_teacher_s_course_is_a_part_of_its_own_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stems = started(monkeypatch)
    folder = tmp_path / "class" / "recipes"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder.parent)
    (folder / "zeta.yaml").write_text("title: Our own line\nproject: regression\n")
    (folder / "course.yaml").write_text(
        "title: Autumn [bold] class\norder: [zeta, digits-mlp, nowhere]\ndue: by 5 December\n"
        "bars: {digits-mlp: [{metric: test/accuracy, at_least: 0.99}]}\n"
    )
    finish(make_run(made=load_recipe(find_recipe("digits-mlp")).recipe))
    async with DlwbApp().run_test(size=(120, 160)) as pilot:
        await settle(pilot, lambda: "0 of 3 ✓" in seen(pilot.app))
        text = seen(pilot.app)
        assert "Autumn [bold] class  by 5 December" in text and "▌ Our own line" in text  # a newcomer's cursor
        lines = text.splitlines()
        zeta, digits, nowhere = (next(y for y, line in enumerate(lines) if words in line) for words in ("Our own", "Handw", "nowhere"))
        assert zeta < digits < nowhere < next(y for y, line in enumerate(lines) if "1. Introduction" in line)
        assert "0.9780 ✗" in lines[digits]  # by the course's bar
        pilot.app.screen.rows.select(str(find_recipe("digits-mlp")))
        await settle(pilot, lambda: "0.9780 ✓" in seen(pilot.app))  # by its own bar
        pilot.app.screen.rows.select(str(folder / "zeta.yaml"))
        await pilot.press("down", "enter")
        await settle(pilot, lambda: stems == ["digits-mlp"])
        await walk_to(pilot, "nowhere.yaml", "down")
        assert "there is no recipe nowhere" in pilot.app.screen.chosen.problems[0]


def test_a_broken_course_is_a_row_with_its_mistakes(home: Path) -> None:
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "course.yaml").write_text("title: x\norder: 3\n")
    library = Library()
    library.load_recipes()
    [broken] = [shelved for shelved in library.shelf if not shelved.loaded]
    assert broken.path.name == "course.yaml" and "order: must be a list" in broken.problems[0]


def test_parts_go_by_their_number_and_lessons_hold_what_is_read_about(home: Path) -> None:
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "mine.yaml").write_text(
        'title: Mine\npart: 2. Networks\nlesson: "Project: bike sharing, mine"\nproject: regression\n'
    )
    library = Library()
    library.load_recipes()
    parts = outline(library)
    assert [part.name[0] for part in parts] == list("1234567")
    [bikes] = [lesson for lesson in parts[1].lessons if lesson.name == "Project: bike sharing"]
    assert len(bikes.items) == 5
    [third] = [lesson for lesson in parts[1].lessons if lesson.name == "3. Implementing gradient descent"]
    assert third.recipes and third.items == [*third.recipes, *(topic for topic in library.read_about if topic.lesson.startswith("3. Impl"))]


@pytest.mark.parametrize("text", ["", "[1]", '{"cursor": 3, "folded": [1]}', '{"folded": {"x": 3}}', "\x00"])
async def test_a_damaged_memory_of_the_list_is_no_memory(text: str) -> None:
    paths.home().mkdir(parents=True, exist_ok=True)
    paths.list_of_recipes().write_text(text)
    library = Library()
    library.load_recipes()
    from workbench.tui.models.outline import Folding

    folding = Folding()
    assert folding.cursor == "" and not any(
        folding.is_folded(lesson) for part in outline(library) for lesson in part.lessons if lesson.recipes
    )
    folding.fold(next(lesson for lesson in outline(library)[1].lessons if lesson.is_headed), True)
    assert msgspec.json.decode(paths.list_of_recipes().read_bytes())["folded"]
