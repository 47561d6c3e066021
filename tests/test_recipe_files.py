"""Recipes as files: none hangs, crashes or eats memory; they are found by name, and written so that they read back the same."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from workbench import paths
from workbench.problems import Problem, clean
from workbench.recipes import yaml_reader
from workbench.recipes.find import find_recipe, shipped_and_own, shown_path
from workbench.recipes.load import Loaded, load_recipe
from workbench.recipes.recipe import Bar, Compute, Recipe, Reference, Train, dump_recipe

GOOD = """\
title: Digits
project: image_classifier
config: {data: digits, hidden: [64, 32], learning_rate: 2e-3}
train: {epochs: 3, batch_size: 32}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports name files from the working directory, whose recipes/ is looked in too."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def write(text: str | bytes, name: str = "r.yaml") -> Path:
    path = Path(name)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_missing_file_a_folder_and_a_big_file() -> None:
    with pytest.raises(Problem, match=r"There is no file none\.yaml"):
        load_recipe("none.yaml")
    Path("folder.yaml").mkdir()
    with pytest.raises(Problem, match=r"folder\.yaml is a folder, not a recipe"):
        load_recipe("folder.yaml")
    with Path("big.yaml").open("wb") as file:
        file.truncate(10_000_000)
    with pytest.raises(Problem, match=r"big\.yaml is larger than 256 KiB"):
        load_recipe("big.yaml")
    os.mkfifo("pipe.yaml")
    for name in ("pipe.yaml", "/dev/zero", "/dev/null"):
        with pytest.raises(Problem, match=f"{name} is not a plain file"):
            load_recipe(name)
    with pytest.raises(Problem, match="cannot be read: File name too long"):
        load_recipe("x" * 300 + ".yaml")
    with pytest.raises(Problem, match="cannot be read: embedded null byte"):
        load_recipe("x\0.yaml")
    Path("loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(Problem, match="cannot be read: Too many levels of symbolic links"):
        load_recipe("loop.yaml")


def test_nothing_hangs_or_eats_memory() -> None:
    """Each in one process with a limit on time and memory: were it read to its end, it would meet one of them."""
    os.mkfifo("pipe.yaml")
    Path("zero.yaml").symlink_to("/dev/zero")
    Path("stdin.yaml").symlink_to("/dev/stdin")
    write("a: &a [1, 1]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(24)), "bomb.yaml")
    write("a: &x [*x]\n", "cycle.yaml")
    write("a: " + "[" * 200_000, "deep.yaml")
    write("? " * 100_000, "keys.yaml")
    write("a: " + "9" * 200_000, "digits.yaml")
    write("a: '" + "''" * 100_000, "quotes.yaml")
    write("a" * 250_000, "word.yaml")
    with Path("sparse.yaml").open("wb") as file:
        file.truncate(1 << 36)
    script = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from workbench.problems import Problem
from workbench.recipes.load import load_recipe
for name in sys.argv[1:]:
    try:
        load_recipe(name)
    except Problem as problem:
        print(name)
"""
    names = sorted(str(each) for each in Path().glob("*.yaml"))
    assert len(names) == 11
    process = subprocess.Popen([sys.executable, "-c", script, *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        # Standard input stays open and empty: reading it would wait for ever.
        process.wait(timeout=60)
        assert process.stdout is not None
        assert process.stdout.read().split() == names
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab: -[]{},'\"\n\t#&*!|>%@`?~<=1.e\\") | st.characters(), max_size=60) | st.binary(max_size=40))
def test_any_text_is_a_recipe_or_a_problem(text: str | bytes) -> None:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    path = write(data)
    try:
        load_recipe(path, describe=False)
    except Problem as problem:
        assert clean(str(problem)) == str(problem)


def test_recipes_are_found_by_walking_the_folders(home: Path) -> None:
    for name in (
        "recipes/b/two.yaml",
        "recipes/a/one.yaml",
        "recipes/notes.txt",
        "recipes/.hidden/x.yaml",
        str(home / "recipes/mine.yaml"),
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("title: a\n")
    found = shipped_and_own()
    names = [path.name for path in found]
    assert names[-3:] == ["mine.yaml", "one.yaml", "two.yaml"]
    assert "digits-mlp.yaml" in names
    assert "x.yaml" not in names
    assert find_recipe("one") == find_recipe("recipes/a/one.yaml").absolute() == Path("recipes/a/one.yaml").absolute()
    assert find_recipe("digits-mlp").parent.name == "3-convolutional-networks"


def test_a_recipe_that_is_not_found_and_one_that_is_twice() -> None:
    with pytest.raises(Problem, match=r"There is no recipe digits-mpl; did you mean digits-mlp\?"):
        find_recipe("digits-mpl")
    with pytest.raises(Problem, match=r"There is no recipe zzz\. `dlwb list`"):
        find_recipe("zzz")
    Path("recipes").mkdir()
    Path("recipes/digits-mlp.yaml").write_text("title: a\n")
    with pytest.raises(Problem, match=r"digits-mlp may be any of .*digits-mlp\.yaml, recipes/digits-mlp\.yaml\.") as caught:
        find_recipe("digits-mlp")
    assert caught.value.hint == "Give one of these paths in place of the name: recipes/digits-mlp.yaml"
    assert find_recipe("recipes/digits-mlp.yaml") == Path("recipes/digits-mlp.yaml")
    with pytest.raises(Problem, match=r"There is no file recipes/digits-mpl\.yaml; did you mean digits-mlp\.yaml\?"):
        find_recipe("recipes/digits-mpl.yaml")


def test_a_second_checkout_lists_each_recipe_once() -> None:
    before = shipped_and_own()
    shutil.copytree(paths.shipped("recipes"), "recipes")
    assert shipped_and_own() == before and find_recipe("digits-mlp").is_relative_to(paths.shipped("recipes"))
    # One that was edited is another recipe.
    edited = next(Path("recipes").rglob("digits-mlp.yaml"))
    edited.write_text(edited.read_text() + "# mine\n")
    assert [path for path in shipped_and_own() if path not in before] == [edited.absolute()]


def test_two_copies_that_name_a_file_beside_them_are_two_recipes(home: Path) -> None:
    for folder in (home / "recipes", Path("recipes")):
        folder.mkdir(parents=True)
        (folder / "mine.yaml").write_text("title: a\nproject: ./mine.py\n")
    assert len([path for path in shipped_and_own() if path.stem == "mine"]) == 2


def test_every_shipped_recipe_is_good_and_stems_are_unique() -> None:
    found = [path for path in shipped_and_own() if path.is_relative_to(paths.shipped("recipes"))]
    assert len({path.stem for path in found}) == len(found) >= 4
    for path in found:
        loaded = load_recipe(path)
        assert not loaded.unchecked
        assert loaded.recipe.part and loaded.recipe.lesson and loaded.recipe.about, path


TEXT = st.text().map(clean)


NUMBER = st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)


PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


CONFIG = st.dictionaries(TEXT.filter(lambda key: bool(key) and key != "<<"), PLAIN, max_size=4)


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in _keys(item)}
    return {key for item in value for key in _keys(item)} if isinstance(value, list) else set()


@settings(max_examples=200, deadline=None)
@given(title=TEXT.filter(bool), watch=st.lists(TEXT, max_size=3), config=CONFIG, seed=st.integers(0, 2**32))
@example(
    title="2e-4",
    watch=["1:30", "yes", "null", "~", "0o7", "2026-11-23", "=", "<<", " a ", "a: b", "- a", "#", "\n\n a\n"],
    config={},
    seed=0,
)
def test_what_is_dumped_reads_back_the_same(title: str, watch: list[str], config: dict[str, object], seed: int) -> None:
    if _keys(config) & {"", "<<"}:
        return  # keys that the reader refuses
    made = Recipe(
        title=title,
        project="image_classifier",
        watch=watch,
        config=config,
        seed=seed,
        train=Train(epochs=3),
        compute=Compute(device="cuda:1"),
        reference=[Reference(metric="a/b", value=0.1, source=title)],
        bar=[Bar(metric="a/b", at_least=1e-5)],
    )
    text = dump_recipe(made)
    document = yaml_reader.parse(text)
    assert document.faults == []
    assert msgspec.convert(document.value, Recipe) == made
    assert msgspec.convert(yaml.safe_load(text), Recipe) == made, "and any other reader of YAML sees the same"


def test_a_list_that_stands_twice_is_written_twice() -> None:
    sizes = [64, 32]
    text = dump_recipe(Recipe(title="a", project="mnist_gan", config={"generator": sizes, "discriminator": sizes}))
    assert yaml_reader.parse(text).faults == []


def test_a_dumped_recipe_loads() -> None:
    loaded = load_recipe(write(GOOD))
    again = load_recipe(write(dump_recipe(loaded.recipe), "again.yaml"))
    assert isinstance(again, Loaded)
    assert again.recipe == loaded.recipe


def test_shown_is_short_below_the_working_directory() -> None:
    assert shown_path(Path("recipes/a.yaml").absolute()) == "recipes/a.yaml"
    assert shown_path(Path("/etc/\x1b[31mx.yaml")) == "/etc/x.yaml"
