"""A person's tags and note on a run, in a small file of its directory. The shell and the list of runs show and search them."""

from collections.abc import Sequence

import msgspec

from workbench import files
from workbench.problems import Problem, one_line
from workbench.runs.run import Run

TAGS, TAG_LENGTH, NOTE_LENGTH = 12, 24, 1000


class Notes(msgspec.Struct, frozen=True):
    """Tags (single words) and a note (one line)."""

    tags: tuple[str, ...] = ()
    note: str = ""


def read(run: Run) -> Notes:
    """The run's tags and note; empty where the file is missing or damaged."""
    stored = files.read_object(run.path / "notes.json")
    tags, note = stored.get("tags"), stored.get("note")
    words = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    return Notes(
        tuple(dict.fromkeys(filter(None, (_word(word)[:TAG_LENGTH] for word in words))))[:TAGS],
        one_line(note, NOTE_LENGTH) if isinstance(note, str) else "",
    )


def tag(run: Run, words: Sequence[str]) -> Notes:
    """Add each word as a tag; a word with a `-` before it removes that tag. Raises Problem where a word cannot be a tag."""
    notes = read(run)
    # A dict, because it keeps the order in which tags were added.
    tags = dict.fromkeys(notes.tags)
    for word in words:
        name = _word(word.removeprefix("-"))
        if not name:
            raise Problem("A tag must be a word.")
        if len(name) > TAG_LENGTH:
            raise Problem(f"The tag {one_line(name, 40)} has more than {TAG_LENGTH} letters.", "Longer remarks are notes: `dlwb note`.")
        if not word.startswith("-"):
            tags[name] = None
        elif name in tags:
            del tags[name]
        else:
            raise Problem(f"{run.id} has no tag {name}.", f"Its tags: {' '.join(notes.tags)}." if notes.tags else "It has none.")
    if len(tags) > TAGS:
        raise Problem(f"{run.id} would have {len(tags)} tags, and {TAGS} are allowed at most.", "A - before a tag removes it.")
    return _keep(run, Notes(tuple(tags), notes.note))


def note(run: Run, text: str) -> Notes:
    """Write a note on the run, which replaces the previous one; an empty text removes it."""
    line = one_line(text, len(text) + 1)
    if len(line) > NOTE_LENGTH:
        raise Problem(f"The note has {len(line):,} letters, and {NOTE_LENGTH:,} are allowed at most.")
    return _keep(run, Notes(read(run).tags, line))


def _word(text: str) -> str:
    return one_line(text, len(text) + 1).replace(" ", "-").strip("-")


def _keep(run: Run, notes: Notes) -> Notes:
    try:
        files.write(run.path / "notes.json", msgspec.json.encode(notes), sync=False)
    except OSError as error:
        raise files.problem(f"The notes of {run.id}", "written", error) from error
    return notes
