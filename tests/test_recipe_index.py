"""The index of recipes: what stands in it is never older than the files."""

import os
import shutil
import time
from pathlib import Path
from zlib import crc32

import pytest

from workbench import files as atomic
from workbench import paths
from workbench.files import stamp
from workbench.problems import Problem
from workbench.recipes import index as recipe_index
from workbench.recipes import load as loading
from workbench.recipes import project_schemas, trust
from workbench.recipes.find import shipped_and_own
from workbench.recipes.index import Index
from workbench.recipes.load import Loaded, RecipeProblem, load_recipe

SHIPPED = paths.shipped("recipes") / "3-convolutional-networks" / "digits-mlp.yaml"
FILE = Path("cache") / "recipes.index"


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every file had been written some while ago."""
    monkeypatch.setattr(recipe_index.time, "time_ns", lambda now=time.time_ns: now() + 10 * 10**9)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of a person's own, which stands in the index."""
    settle(monkeypatch)
    path = paths.home() / "recipes" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("title: First\nproject: image_classifier\n")
    learn(path)
    return path


def learn(*files: Path) -> None:
    index = Index()
    for path in files:
        index.load(path)
    index.keep()


def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are really read from now on."""
    names: list[str] = []
    monkeypatch.setattr(loading, "load_recipe", lambda path, *rest, **more: (names.append(path.name), load_recipe(path, *rest, **more))[1])
    return names


def test_every_shipped_recipe_comes_out_of_the_index_as_it_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    files = [path for path in shipped_and_own() if path.is_relative_to(paths.shipped("recipes"))]
    fresh = [load_recipe(path, describe=False) for path in files]
    learn(*files)
    names = readings(monkeypatch)
    index = Index()
    assert [index.load(path) for path in files] == fresh
    assert not names
    assert len({id(loaded.schema) for loaded in map(index.load, files)}) == len({loaded.recipe.project for loaded in fresh})


@pytest.mark.parametrize("how", ["same size and time", "replaced by an older file", "longer", "touched"])
def test_a_changed_file_is_read_again(own: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = readings(monkeypatch)
    assert Index().load(own).recipe.title == "First"
    assert not names
    before = own.stat()
    if how == "same size and time":
        with own.open("r+") as file:
            file.write("title: Third")
        os.utime(own, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (own.stat().st_mtime_ns, own.stat().st_size) == (before.st_mtime_ns, before.st_size)
    elif how == "replaced by an older file":
        other = own.with_name("other")
        other.write_text(own.read_text().replace("First", "Third"))
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.rename(own)
    elif how == "longer":
        own.write_text(own.read_text().replace("First", "Third") + "seed: 3\n")
    else:
        os.utime(own)
    assert Index().load(own).recipe.title == ("First" if how == "touched" else "Third")
    assert names == ["mine.yaml"]


def test_a_comparison_is_read_again_when_a_recipe_that_it_names_changes(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = own.with_name("both.yaml")
    both.write_text("title: Both\nproject: image_classifier\ncompare: {variants: {a: {}, b: {recipe: mine}}, metric: test/accuracy}\n")
    learn(both)
    names = readings(monkeypatch)
    assert Index().load(both).recipe.compare and not names
    own.write_text("title: Second\nproject: image_classifier\nconfig: {hiden: [3]}\n")
    with pytest.raises(RecipeProblem, match="`dlwb check mine` lists them"):
        Index().load(both)


def test_a_deleted_file_and_a_new_one(own: Path) -> None:
    other = own.rename(own.with_name("other.yaml"))
    assert Index().load(other).path == other
    with pytest.raises(Problem, match="There is no file"):
        Index().load(own)


def test_what_was_written_just_now_is_not_kept() -> None:
    """Its times may stay the same although it is written once more within their clock's tick."""
    path = paths.home() / "recipes" / "young.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("title: Young\nproject: image_classifier\n")
    learn(SHIPPED, path)
    assert str(path) not in recipe_index._read().entries
    assert str(SHIPPED) in recipe_index._read().entries


def test_a_file_that_changes_while_it_is_read_is_not_kept(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write_text("title: Second\nproject: image_classifier\n")

    def slow(path: Path, **more: bool) -> Loaded:
        loaded = load_recipe(path, **more)
        path.write_text("title: Meanwhile\nproject: image_classifier\n")
        return loaded

    monkeypatch.setattr(loading, "load_recipe", slow)
    learn(own)
    monkeypatch.setattr(loading, "load_recipe", load_recipe)
    assert Index().load(own).recipe.title == "Meanwhile"


def test_a_changed_schema_or_version_or_source_has_everything_read_again(
    own: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = readings(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(recipe_index, "__version__", "99")
        Index().load(own)
    assert names == ["mine.yaml"]
    folder = tmp_path / "projects"
    shutil.copytree(paths.projects(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(paths, "projects", lambda: folder)
    learn(own)
    assert len(names) == 2
    Index().load(own)
    assert len(names) == 2
    file = project_schemas.shipped_file()
    file.write_bytes(file.read_bytes().replace(b"hidden", b"hiding"))
    assert Index().load(own).recipe.config != recipe_index._read().entries[str(own)].recipe.config  # its defaults come from the schema
    learn(own)
    names.clear()
    with next(folder.rglob("image_classifier.py")).open("a") as source:
        source.write("# changed\n")
    Index().load(own)
    assert names == ["mine.yaml"]


def test_the_recipe_of_a_trusted_file_follows_the_file_and_the_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    path = paths.home() / "recipes" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("title: Mine\nproject: ./mine.py\n")
    source = path.with_name("mine.py")
    source.write_text("# nothing\n")
    kept = paths.cache_folder() / "schemas" / f"{trust.sha256(source)}-{project_schemas.__version__}.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"config": {}}')
    learn(path)
    assert Index().load(path).unchecked
    trust.trust(source)
    learn(path)
    names = readings(monkeypatch)
    loaded = Index().load(path)
    assert (loaded.unchecked, loaded.project_file, names) == ("", source, [])
    source.write_text("# changed\n")
    assert "until you trust" in Index().load(path).unchecked
    source.write_text("# nothing\n")
    learn(path)
    paths.trusted().unlink()
    assert "until you trust" in Index().load(path).unchecked


def test_a_wrong_recipe_is_read_each_time_and_says_why(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write_text("title: First\nproject: image_classifier\ntrain: {epoch: 3}\n")
    for _ in range(2):
        index = Index()
        with pytest.raises(RecipeProblem, match=r"mine.yaml:3 train.epoch: not a setting of .*did you mean epochs"):
            index.load(own)
        index.keep()
    own.write_text("title: First\nproject: image_classifier\ntrain: {epochs: 3}\n")
    assert Index().load(own).recipe.train.epochs == 3


def test_what_names_a_persons_own_files_is_looked_up_each_time(own: Path) -> None:
    folder = own.parent / "pictures"
    folder.mkdir()
    own.write_text("title: First\nproject: image_classifier\nconfig: {data: ./pictures}\n")
    learn(own)
    Index().load(own)
    folder.rmdir()
    with pytest.raises(RecipeProblem, match=r"there is no .*pictures"):
        Index().load(own)


@pytest.mark.parametrize("how", ["garbage", "empty", "cut", "one bit", "another's", "a folder", "too large"])
def test_a_damaged_index_is_made_anew(own: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = paths.home() / FILE
    data = bytearray(file.read_bytes())
    data[data.index(b"First")] ^= 1
    if how == "a folder":
        file.unlink()
        file.mkdir()
    elif how == "too large":
        monkeypatch.setattr(recipe_index, "MOST_BYTES", 100)
    else:
        foreign = crc32(b"\x93\x90\x90\x81\xa1a\x90").to_bytes(4, "big") + b"\x93\x90\x90\x81\xa1a\x90"
        changed = {"garbage": b"\x00\xff" * 99, "empty": b"", "cut": data[:-9], "one bit": bytes(data), "another's": foreign}
        file.write_bytes(changed[how])
    names = readings(monkeypatch)
    assert Index().load(own).recipe.title == "First"
    learn(own)  # where it cannot be written either, nothing happens
    assert names == ["mine.yaml"] * 2
    if how not in ("a folder", "too large"):
        Index().load(own)
        assert len(names) == 2


def test_only_so_many_are_kept_and_what_was_seen_goes_first(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_index, "MOST_RECIPES", 1)
    learn(SHIPPED)
    assert list(recipe_index._read().entries) == [str(SHIPPED)]


def test_the_largest_number_that_a_recipe_may_hold_is_kept(own: Path) -> None:
    own.write_text("title: First\nproject: image_classifier\nseed: 9999999999999999999\n")
    learn(own)
    assert recipe_index._read().entries[str(own)].recipe.seed == 9999999999999999999


def test_two_programs_that_write_at_once_leave_a_whole_index(own: Path) -> None:
    one, other = Index(), Index()
    own.write_text("title: Second\nproject: image_classifier\n")
    one.load(own)
    other.load(SHIPPED)
    one.keep()
    other.keep()
    assert Index().load(own).recipe.title == "Second"
    assert Index().load(SHIPPED) == load_recipe(SHIPPED, describe=False)


def test_a_stamp_of_nothing(tmp_path: Path) -> None:
    assert stamp(tmp_path / "none") == stamp(tmp_path / "\0") == atomic.Stamp()
