"""The list of recipes as parts and lessons, and which lessons are folded: remembered in the home, with the place of the cursor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from workbench import files, paths
from workbench.problems import one_line
from workbench.recipes.course import ReadAbout, lesson_name
from workbench.recipes.find import course_order
from workbench.tui.models.library import OWN, Library, Shelved

MANY = 60
"""A list of more recipes starts with its lessons folded: unfolded, it would be longer than two screens of a large terminal."""


class Lesson(NamedTuple):
    """The recipes of one lesson, and what is only read about in it. One that stands alone has no heading."""

    key: str
    name: str
    items: list[Shelved | ReadAbout]

    @property
    def recipes(self) -> list[Shelved]:
        """Without what is only read about."""
        return [item for item in self.items if isinstance(item, Shelved)]

    @property
    def is_headed(self) -> bool:
        """Whether it has a heading, so that it can be folded."""
        return len(self.items) > 1 and bool(self.name)


class Part(NamedTuple):
    """A part of the course, a teacher's course, or a person's own recipes."""

    name: str
    due: str
    lessons: list[Lesson]

    @property
    def recipes(self) -> list[Shelved]:
        return [shelved for lesson in self.lessons for shelved in lesson.recipes]


def outline(library: Library) -> list[Part]:
    """All recipes, and what is only read about, by part and lesson."""
    parts: dict[tuple[int, str], Part] = {}
    items: list[Shelved | ReadAbout] = [*library.shelf, *library.read_about]
    for item in sorted(items, key=_place):
        name = item.part if isinstance(item, Shelved) else one_line(item.part)
        is_course = isinstance(item, Shelved) and bool(item.course)
        # Parts go by their number: a recipe whose part is named a little differently stands beside the others.
        number = (-1, name) if is_course else course_order(name)
        part = parts.setdefault(number, Part(name, item.due if isinstance(item, Shelved) else "", []))
        lesson = "" if is_course or name == OWN else lesson_name(_lesson(item))
        known = next((other for other in part.lessons if lesson and other.name == lesson), None)
        if known:
            known.items.append(item)
        else:
            part.lessons.append(Lesson(f"{part.name} / {lesson}", lesson, [item]))
    return [part._replace(lessons=[_named(lesson) for lesson in part.lessons]) for part in parts.values()]


def _named(lesson: Lesson) -> Lesson:
    """Where all recipes name the same lesson, its heading is all of that name."""
    names = {_lesson(item) for item in lesson.items}
    return lesson._replace(name=one_line(names.pop())) if lesson.name and len(names) == 1 else lesson


def _lesson(item: Shelved | ReadAbout) -> str:
    return item.lesson if isinstance(item, ReadAbout) else item.loaded.recipe.lesson if item.loaded else ""


def _place(item: Shelved | ReadAbout) -> tuple[tuple[int, str], ...]:
    if isinstance(item, Shelved):
        return item.place
    part = course_order(item.part)
    # After the recipes of the same lesson.
    return part, part, course_order(item.lesson), (1, item.key)


class Folding:
    """Which lessons are folded."""

    def __init__(self) -> None:
        remembered = files.read_object(paths.list_of_recipes())
        cursor, folded = remembered.get("cursor"), remembered.get("folded")
        self.cursor = cursor if isinstance(cursor, str) else ""
        """The row that had the cursor last."""
        self._folded = {name: value for name, value in folded.items() if isinstance(value, bool)} if isinstance(folded, dict) else {}
        self._first = ""
        self._many = False
        self._saved = self._state()

    def begin(self, parts: Iterable[Part], first: str) -> None:
        """Once the recipes are read: the lesson of the first cursor's row starts unfolded."""
        parts = list(parts)
        self._many = sum(len(part.recipes) for part in parts) > MANY
        self._first = next((lesson.key for part in parts for lesson in part.lessons if first in row_keys(lesson.items)), "")

    def is_folded(self, lesson: Lesson) -> bool:
        """As the person left it; else in a long list, and where there is nothing to start."""
        if not lesson.is_headed:
            return False
        return self._folded.get(lesson.key, lesson.key != self._first and (self._many or not lesson.recipes))

    def fold(self, lesson: Lesson, folded: bool) -> None:
        """Fold or unfold a lesson, also for the next time."""
        self._folded[lesson.key] = folded
        self.save()

    def save(self) -> None:
        """Remember it. That it cannot be written does no harm."""
        if self._state() != self._saved:
            self._saved = self._state()
            with contextlib.suppress(OSError):
                paths.home().mkdir(parents=True, exist_ok=True)
                files.write(paths.list_of_recipes(), self._saved, sync=False)

    def _state(self) -> bytes:
        return msgspec.json.encode({"cursor": self.cursor, "folded": self._folded})


def row_keys(items: Sequence[Shelved | ReadAbout]) -> list[str]:
    """What the rows of these go by."""
    return [item.key for item in items]
