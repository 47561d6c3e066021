"""What the recipe reader says: everything that is wrong, once, with its line; and nothing of a person's own runs untrusted."""

from pathlib import Path

import pytest
import yaml

from workbench.problems import Problem
from workbench.recipes import trust, yaml_reader
from workbench.recipes.find import shipped_projects
from workbench.recipes.load import RecipeProblem, load_recipe
from workbench.recipes.recipe import Train

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


def problems(text: str | bytes, *overrides: str) -> list[str]:
    """What `load` reports of a recipe."""
    with pytest.raises(Problem) as raised:
        load_recipe(write(text), overrides)
    assert str(raised.value)
    return list(raised.value.problems) if isinstance(raised.value, RecipeProblem) else [str(raised.value)]


def test_a_recipe_is_complete_with_every_default() -> None:
    loaded = load_recipe(write(GOOD))
    made = loaded.recipe
    assert (made.title, made.seed, made.train.epochs, made.train.patience, made.compute.device) == ("Digits", 1, 3, 0, "auto")
    assert loaded.schema is not None
    assert set(made.config) == set(loaded.schema.config["properties"])
    assert made.config["learning_rate"] == 0.002
    assert made.config["hidden"] == [64, 32]
    assert (loaded.stem, loaded.project_file, loaded.unchecked) == ("r", None, "")
    assert "learning_rate" in loaded.schema.live


def test_two_recipes_share_no_default() -> None:
    first, second = load_recipe(write(GOOD.replace("hidden: [64, 32], ", ""))), load_recipe(Path("r.yaml"))
    assert first.recipe.config["hidden"] == second.recipe.config["hidden"]
    assert first.recipe.config["hidden"] is not second.recipe.config["hidden"]


def test_everything_wrong_stands_in_one_report_with_its_line() -> None:
    text = """\
titel: Digits
project: image_classifier
config:
  learning_rat: 0.1
  hidden: [64, many]
  dropout: 2
  optimizer: Adam
train: {epochs: 0, batch_size: 20.5, stop_when_not_finite: yes}
compute: {device: gpu, threads: "4"}
seed: -1
seed: 2
watch: just text
reference:
  - {metric: test/accuracy, value: high}
bar:
  - {metric: test/accuracy}
  - metric: test/loss
    at_most: .nan
learning_rate: 0.1
"""
    assert problems(text, "config.momentum=-1", "train.epoch=3", "title=x", "seed") == [
        "r.yaml:1 title: is missing (what the list of recipes shows)",
        "r.yaml:1 titel: not a setting of a recipe; did you mean title?",
        "r.yaml:4 config.learning_rat: not a setting of image_classifier; did you mean learning_rate?",
        "r.yaml:5 config.hidden.1: must be a whole number, not 'many'",
        "r.yaml:6 config.dropout: must be less than 1, not 2",
        "r.yaml:7 config.optimizer: must be sgd or adam or adamw, not 'Adam'; did you mean adam?",
        "r.yaml:8 train.epochs: must be at least 1, not 0",
        "r.yaml:8 train.batch_size: must be a whole number, not 20.5",
        "r.yaml:8 train.stop_when_not_finite: must be true or false, not 'yes'; write true or false",
        "r.yaml:9 compute.device: cannot be 'gpu'; expected: one of auto, cpu, cuda and cuda:N",
        "r.yaml:9 compute.threads: must be a whole number, not '4'; write it without quotes, underscores or commas",
        "r.yaml:11 seed: is set here a second time; the first is on line 10",
        "r.yaml:12 watch: must be a list, not 'just text'; write [just text]",
        "r.yaml:14 reference.0.value: must be a number, not 'high'",
        "r.yaml:14 reference.0.source: is missing",
        "r.yaml:16 bar.0: needs at_least or at_most",
        "r.yaml:18 bar.1.at_most: .nan cannot be used: a setting must be a finite number",
        "r.yaml:19 learning_rate: not a setting of a recipe; it belongs under config",
        "--set title: only config.…, train.…, compute.… and seed can be set",
        "--set seed: is not of the form config.learning_rate=0.1",
        "--set train.epoch: not a setting of train; did you mean epochs?",
        "--set config.momentum: must be at least 0, not -1",
    ]


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("", "r.yaml:1 is empty"),
        ("# only a comment\n", "r.yaml:1 is empty"),
        ("- a\n- b\n", "r.yaml:1 is not a list of `key: value` lines"),
        ("just words\n", "r.yaml:1 is not a list of `key: value` lines"),
        ("title: a\nconfig:\n\tx: 1\n", "r.yaml:3 is indented with a tab; YAML wants spaces"),
        ("title: a\nconfig:\n  x: 1\n\ty: 2\n", "r.yaml:4 is indented with a tab; YAML wants spaces"),
        ("title: Digits: a start\n", 'r.yaml:1 has one colon too many; put text that contains ": " in quotes'),
        ("title: @home\n", "r.yaml:1 a value cannot begin with @; put it in quotes"),
        ('title: "Digits\nproject: x\n', "r.yaml:1 opens a quote that is not closed"),
        ("a: 1\nconfig: {x: 1,\nproject: y\n", "r.yaml:2 opens a bracket that is not closed, or lacks a comma"),
        ("a: [1, 2\nb: 3\n", "r.yaml:1 opens a bracket that is not closed, or lacks a comma"),
        ("a: 1\nbcd\ne: 2\n", 'r.yaml:2 is neither "key: value" nor indented under one'),
        ("a:\n    b: 1\n  c: 2\n", "r.yaml:3 is not indented like the lines around it"),
        ("title: a\n---\ntitle: b\n", "r.yaml:2 a second document begins here (---); a recipe is only one"),
        ("? [a]\n: 1\n", "r.yaml:1 a key must be a plain word"),
        ("title: a\x00b\n", "r.yaml:1 has a control character (U+0000), which no text has"),
        ("title: a\nabout: \x1b[31mred\n", "r.yaml:2 has a control character (U+001B), which no text has"),
        (b"title: a\nabout: caf\xe9\n", "r.yaml:2 is not UTF-8 text (byte 0xe9). Save it as UTF-8."),
        ("title: a".encode("utf-16"), "r.yaml:1 is not UTF-8 text (byte 0xff). Save it as UTF-8."),
        ("a: " + "[" * 900, "r.yaml:1 a.0.0: is nested deeper than 20 levels"),
        ("- " * 900, "r.yaml:1 0.0.0: is nested deeper than 20 levels"),
        ("{a: " * 900, "r.yaml:1 a.a.a: is nested deeper than 20 levels"),
        ("\n".join(f"k{i}: 1" for i in range(15_000)), "r.yaml:10000 has more than 20000 values"),
    ],
)
def test_text_that_cannot_be_read(text: str | bytes, report: str) -> None:
    assert problems(text) == [report]


@pytest.mark.parametrize(
    ("line", "report"),
    [
        ("config: &all {data: digits}", "r.yaml:3 config: anchors (&all) are not supported; leave it out"),
        ("watch: [*all]", "r.yaml:3 watch.0: aliases (*all) are not supported; write the value out"),
        ("watch: &loop [*loop]", "r.yaml:3 watch: anchors (&loop) are not supported; leave it out"),
        ("config: {<<: {data: digits}}", "r.yaml:3 config.<<: merge keys (<<) are not supported; write each setting out"),
        (
            "about: !!python/object/apply:os.system [touch ran]",
            "r.yaml:3 about: tags (tag:yaml.org,2002:python/object/apply:os.system) are not supported; leave it out",
        ),
        ("seed: !!int 3", "r.yaml:3 seed: tags (tag:yaml.org,2002:int) are not supported; leave it out"),
        ("seed: 1e999", "r.yaml:3 seed: 1e999 is too large a number"),
        ("seed: " + "9" * 5000, "r.yaml:3 seed: 99999999999999999999999999999… is too large a number"),
        ("config: {dropout: -.inf}", "r.yaml:3 config.dropout: -.inf cannot be used: a setting must be a finite number"),
        ("seed: true", "r.yaml:3 seed: must be a whole number, not true"),
        ("seed: 007", "r.yaml:3 seed: must be a whole number, not '007'; write it without quotes, underscores or commas"),
        ("seed: 1_000", "r.yaml:3 seed: must be a whole number, not '1_000'; write it without quotes, underscores or commas"),
        ("lesson: [2]", "r.yaml:3 lesson: must be text, not a list"),
        ("train: {keep_best: null}", "r.yaml:3 train.keep_best: must be text, not nothing"),
        ("config: [1]", "r.yaml:3 config: must be a section of settings, not a list"),
        ("train: 3", "r.yaml:3 train: must be a section of settings, not 3"),
        ("epochs: 3", "r.yaml:3 epochs: not a setting of a recipe; it belongs under train"),
        ('"\\e[31mseeds": 3', "r.yaml:3 seeds: not a setting of a recipe; did you mean seed?"),
        (
            "train: {keep_best: loss}",
            "r.yaml:3 train.keep_best: cannot be 'loss'; expected: metric whose best weights are kept and tested",
        ),
    ],
)
def test_one_bad_line(line: str, report: str) -> None:
    (found,) = problems(f"title: Digits\nproject: image_classifier\n{line}\n")
    assert found.startswith(report)
    assert not Path("ran").exists()


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "- " * 60_000, "{a: " * 30_000])
def test_nesting_without_end_is_refused(text: str) -> None:
    (found,) = problems(text)
    assert found.startswith("r.yaml:1 ") and found.endswith("is nested deeper than 20 levels")


def test_without_libyaml_the_reports_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["a: 1\na: 2\n", "title: a\nconfig:\n\tx: 1\n", "a: [1, 2\nb: 3\n", "a: b: c\n", GOOD + "seeds: 2\n", "a: " + "[" * 900]
    fast = [problems(text) for text in texts]
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert [problems(text) for text in texts] == fast


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2e-4", 2e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("-3", -3),
        ("+3", 3),
        ("0", 0),
        ("1:30", "1:30"),
        ("2026-11-23", "2026-11-23"),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("010", "010"),
        ("1e", "1e"),
        ("inf", "inf"),
        ("nan", "nan"),
        ("'2e-4'", "2e-4"),
        ('"true"', "true"),
        ("=", "="),
        ("a#b", "a#b"),
        ('"a\\e]0;x\\ab"', "ab"),
        ('"\\u202e"', "<U+202E>"),
    ],
)
def test_scalars_are_ours(written: str, value: object) -> None:
    document = yaml_reader.parse(f"a: {written}\n")
    assert document.faults == []
    assert document.value == {"a": value}
    assert type(document.value["a"]) is type(value)


def test_a_byte_order_mark_and_other_newlines_are_no_problem() -> None:
    assert load_recipe(write("\ufeff" + GOOD.replace("\n", "\r\n"))).recipe.title == "Digits"


def test_a_section_without_settings_is_all_defaults() -> None:
    loaded = load_recipe(write("title: a\nproject: image_classifier\nconfig:\n  # learning_rate: 1\ntrain:\nwatch:\n"))
    assert loaded.recipe.train == Train()
    assert loaded.recipe.config["learning_rate"] == 0.001


def test_whole_numbers_may_be_written_with_an_exponent_and_numbers_without_a_point() -> None:
    made = load_recipe(write("title: a\nproject: image_classifier\ntrain: {steps: 2e4}\nconfig: {learning_rate: 1}\n")).recipe
    assert (made.train.steps, type(made.train.steps)) == (20_000, int)
    assert type(made.config["learning_rate"]) is float


# -- --set -------------------------------------------------------------------------------------------------------------------------


def test_set_goes_over_the_file_and_is_checked_like_it() -> None:
    made = load_recipe(
        write(GOOD),
        ["config.learning_rate=0.5", "config.hidden=[8]", "config.data='digits'", "train.epochs=1e1", "seed=7", "compute.device=cpu"],
    ).recipe
    assert (made.config["learning_rate"], made.config["hidden"], made.config["data"]) == (0.5, [8], "digits")
    assert (made.train.epochs, made.train.batch_size, made.seed, made.compute.device) == (10, 32, 7, "cpu")


def test_a_text_that_looks_like_a_number_needs_no_quotes_in_a_file_or_after_set() -> None:
    text = "title: 1.10\nproject: table_classifier\nconfig: {target: 2024, leave_out: [1, 007], words: [rank]}\n"
    made = load_recipe(write(text), ["config.positive=1", "config.words=[3]", "config.missing=[true]", "config.hidden=[4]"]).recipe
    assert (made.title, made.config["target"], made.config["leave_out"]) == ("1.10", "2024", ["1", "007"])
    assert (made.config["positive"], made.config["words"], made.config["missing"], made.config["hidden"]) == ("1", ["3"], ["true"], [4])


@pytest.mark.parametrize(
    ("override", "report"),
    [
        ("config.learning_rat=0.1", "--set config.learning_rat: not a setting of image_classifier; did you mean learning_rate?"),
        ("config.learning_rate=fast", "--set config.learning_rate: must be a number, not 'fast'"),
        ("config.learning_rate=.nan", "--set config.learning_rate: .nan cannot be used: a setting must be a finite number"),
        ("config.hidden=[1, 2", "--set config.hidden: opens a bracket that is not closed, or lacks a comma"),
        ("config.hidden=[1, *x]", "--set config.hidden: aliases (*x) are not supported; write the value out"),
        ("config.hidden.first=3", "--set config.hidden.first: hidden has no settings of its own"),
        ("config=3", "--set config: only config.…, train.…, compute.… and seed can be set"),
        ("project=./mine.py", "--set project: only config.…, train.…, compute.… and seed can be set"),
        ("config..x=3", "--set config..x=3: is not of the form config.learning_rate=0.1"),
        ("learning_rate 3", "--set learning_rate 3: is not of the form config.learning_rate=0.1"),
        (
            "config.data=\x1b]52;c;x\x07mars",
            "--set config.data: must be digits or mnist or fashion-mnist, not 'mars'; a path of your own begins with ./",
        ),
    ],
)
def test_a_bad_set_is_named_as_such(override: str, report: str) -> None:
    assert problems(GOOD, override) == [report]


def test_what_is_typed_after_set_is_one_value_as_it_stands() -> None:
    assert yaml_reader.flow_value(" He said: hello # there ") == ("He said: hello # there", "")
    assert yaml_reader.flow_value("./pictures/") == ("./pictures/", "")
    assert yaml_reader.flow_value("{a: [1, 2e3]}") == ({"a": [1, 2000.0]}, "")
    assert yaml_reader.flow_value("") == (None, "")


# -- projects ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("project", "report"),
    [
        ("image_clasifier", "there is no project image_clasifier; did you mean image_classifier?"),
        ("torchvision.models.resnet18", f"there is no project torchvision.models.resnet18; there are {shipped_projects()[0]}"),
        ("__init__", f"there is no project __init__; there are {shipped_projects()[0]}"),
        ("../projects/mnist_gan", "there is no project ../projects/mnist_gan"),
        ("mine.py", "for a file of your own write ./mine.py"),
        ("./mien.py", "there is no file ./mien.py beside the recipe; did you mean mine.py?"),
        ("/nowhere/mine.py", "there is no file /nowhere/mine.py beside the recipe"),
        ("./folder.py", "there is no file ./folder.py beside the recipe"),
    ],
)
def test_a_project_that_is_none(project: str, report: str) -> None:
    Path("mine.py").touch()
    Path("folder.py").mkdir()
    (found,) = problems(f"title: a\nproject: {project}\n")
    assert found.startswith(f"r.yaml:2 project: {report}")


OWN = '''
"""A project of my own."""
from pathlib import Path
from workbench.training.project import Project, Settings, live

Path(__file__).with_name("ran").touch()

class Mine(Project):
    """Mine."""
    class Config(Settings):
        rate: float = live(0.1, gt=0)
        """How fast."""
'''


def test_a_persons_own_project_runs_only_once_it_is_trusted() -> None:
    (Path("projects")).mkdir()
    source = Path("projects/mine.py")
    source.write_text(OWN)
    path = write("title: a\nproject: ./mine.py\nconfig: {rat: 1}\n", "projects/own.yaml")
    loaded = load_recipe(path)
    assert loaded.project_file is not None and loaded.project_file.samefile(source)
    assert loaded.unchecked == "its settings are unchecked until you trust ./mine.py"
    assert loaded.recipe.config == {"rat": 1}
    assert not Path("projects/ran").exists()

    trust.trust(source)
    listed = load_recipe(path, describe=False)
    assert listed.unchecked == "its settings are unchecked until ./mine.py is described: `dlwb check own`"
    assert not Path("projects/ran").exists(), "a list starts no process"
    with pytest.raises(RecipeProblem) as raised:
        load_recipe(path)
    assert raised.value.problems == ("projects/own.yaml:3 config.rat: not a setting of mine.py; did you mean rate?",)
    assert Path("projects/ran").exists()

    path.write_text("title: a\nproject: ./mine.py\n")
    assert load_recipe(path, describe=False).recipe.config == {"rate": 0.1}
    source.write_text(OWN + "\n")
    assert "until you trust" in load_recipe(path).unchecked


def test_a_trusted_project_that_cannot_be_imported_is_a_problem_of_the_recipe() -> None:
    Path("mine.py").write_text("print('noise')\nraise ValueError('on purpose')\n")
    trust.trust(Path("mine.py"))
    (found,) = problems("title: a\nproject: ./mine.py\n")
    assert found.startswith("r.yaml:2 project: ")
    assert "ValueError: on purpose" in found
