"""Recipes that compare: each mistake is named with its line, and each variant is a whole recipe."""

from pathlib import Path

import msgspec
import pytest
from lines import LINE, write
from test_cli import dlwb

from workbench.problems import Problem
from workbench.recipes.find import find_recipe, shipped_and_own
from workbench.recipes.index import Index
from workbench.recipes.load import RecipeProblem, load_recipe, variants
from workbench.runs import bars
from workbench.runs.compare import unfair

BASE = "title: X\nproject: table_classifier\nconfig: {data: breast-cancer, dropout: 0.1}\nseed: 3\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def recipe(compare: str, base: str = BASE, name: str = "x.yaml") -> Path:
    path = Path(name)
    path.write_text(base + "compare:\n" + compare)
    return path


def problems(compare: str, *overrides: str, base: str = BASE) -> list[str]:
    with pytest.raises(RecipeProblem) as raised:
        load_recipe(recipe(compare, base), overrides)
    return list(raised.value.problems)


NOT_FAIR = {
    "autoencoders": ["train.epochs"],
    "batch-or-stochastic": ["train.batch_size"],
    "letters-rates": ["train.epochs"],
    "regularisation": ["train.patience"],
    "sweep-batch-size": ["train.batch_size"],
    "sweep-epochs": ["train.epochs"],
}
"""Comparisons whose variants are meant to differ in how they are trained, and in what."""


@pytest.mark.parametrize("stem", [path.stem for path in shipped_and_own() if load_recipe(path, describe=False).recipe.compare])
def test_every_shipped_comparison_is_fair_but_for_what_it_asks(stem: str) -> None:
    loaded = load_recipe(find_recipe(stem))
    recipe, chosen = loaded.recipe, variants(loaded)
    assert recipe.compare and (recipe.compare.metric or recipe.bar), "what is compared is named"
    assert len({msgspec.json.encode((one.recipe.project, one.recipe.config, one.recipe.train)) for one in chosen.values()}) == len(chosen)
    remarks = unfair({name: one.recipe for name, one in chosen.items()})
    assert {words.split(" is trained otherwise")[1].split(": ")[1].split(" ")[0] for words in remarks} == set(NOT_FAIR.get(stem, []))


def test_capsules_a_cnn_and_the_course_s_routing_are_otherwise_capsules_fast() -> None:
    alone = load_recipe(find_recipe("capsules-fast")).recipe
    loaded = load_recipe(find_recipe("capsules-or-cnn"))
    changes = {"capsules": {}, "cnn": {"model": "cnn"}, "children": {"softmax": "children"}}
    found = variants(loaded)
    assert list(found) == list(changes) and loaded.recipe.compare and loaded.recipe.compare.metric == "test/affine_accuracy"
    for name, one in found.items():
        assert (one.recipe.config, one.recipe.train) == ({**alone.config, **changes[name]}, alone.train)
    assert bars.has_direction(alone, "test/affine_accuracy") and bars.is_higher_better(alone, "test/affine_accuracy")


def test_both_keras_networks_are_those_of_their_own_recipes() -> None:
    found = variants(load_recipe(find_recipe("keras-mlp-or-cnn")))
    for name in ("cnn", "mlp"):
        alone = load_recipe(find_recipe(f"keras-cifar-{name}")).recipe
        assert found[name].recipe.config == alone.config
        assert found[name].recipe.train == msgspec.structs.replace(alone.train, epochs=5)


def test_letters_are_compared_by_rate_and_by_epochs() -> None:
    found = variants(load_recipe(find_recipe("letters-rates"))).values()
    assert [(one.recipe.config["learning_rate"], one.recipe.train.epochs) for one in found] == [(0.1, 1), (0.2, 1), (0.1, 5), (0.2, 5)]
    assert list(found)[-1].recipe.config == load_recipe(find_recipe("letters")).recipe.config


@pytest.mark.parametrize(
    ("compare", "report"),
    [
        (
            "  variants:\n    a: {}\n    b: {config.dropuot: 0.2}\n",
            "x.yaml:8 compare.variants.b.config.dropuot: not a setting of table_classifier; did you mean dropout?",
        ),
        (
            "  variants:\n    a: {}\n    b:\n      train.epochs: 3\n      config.dropout: 2\n",
            "x.yaml:10 compare.variants.b.config.dropout: must be less than 1, not 2",
        ),
        (
            "  variants:\n    a: {}\n    b: {config.hidden: [3, many]}\n",
            "x.yaml:8 compare.variants.b.config.hidden: config.hidden.1: must be a whole number, not 'many'",
        ),
        (
            "  variants:\n    a: {}\n    b: {seed: 4}\n",
            "x.yaml:8 compare.variants.b.seed: a variant has settings, as config.dropout, train.… and compute.…, and `recipe`",
        ),
        (
            "  variants:\n    a: {}\n    b: {recipe: mnist-cn}\n",
            "x.yaml:8 compare.variants.b.recipe: There is no recipe mnist-cn; did you mean mnist-cnn?",
        ),
        (
            "  variants:\n    a: {}\n    b: {recipe: ./x.yaml}\n",
            "x.yaml:8 compare.variants.b.recipe: x is a comparison itself; a variant is one recipe",
        ),
        (
            "  variants:\n    a: {}\n    b: {recipe: mnist-cnn, config.hiden: [4]}\n",
            "x.yaml:8 compare.variants.b.config.hiden: not a setting of image_classifier; did you mean hidden?",
        ),
        ("  variants: {}\n", "x.yaml:6 compare.variants: must have 1 or more entries, not 0"),
        (
            "  variants: {" + ", ".join(f"v{number}: {{}}" for number in range(13)) + "}\n",
            "x.yaml:6 compare.variants: must have 12 or fewer entries, not 13",
        ),
        ("  variants: {a: {}, b: {}}\n  seeds: 21\n", "x.yaml:7 compare.seeds: must be at most 20, not 21"),
        ("  variants: {a: {}, b: {}}\n  seeds: 0\n", "x.yaml:7 compare.seeds: must be at least 1, not 0"),
        ("  variants: {a: {}, b: {}}\n  seads: 2\n", "x.yaml:7 compare.seads: not a setting of compare; did you mean seeds?"),
        ("  variants: {a: {}, b: 3}\n", "x.yaml:6 compare.variants.b: must be a section of settings, not 3"),
        (
            "  variants: {a: {}, b c: {}}\n",
            "x.yaml:6 compare.variants.b c: the name of a variant is one word of at most 24 letters, digits, and . _ + -",
        ),
        ("  seeds: 3\n", "x.yaml:5 compare.variants: is missing"),
    ],
)
def test_each_mistake_has_its_line(compare: str, report: str) -> None:
    assert problems(compare) == [report]


def test_check_prints_them_and_a_mistake_of_the_base_stands_once() -> None:
    path = recipe("  variants:\n    a: {}\n    b: {config.dropuot: 0.2}\n", BASE.replace("dropout: 0.1", "dropout: 7"))
    done = dlwb("check", str(path))
    assert done.returncode == 1
    assert [line.split(" ")[0] for line in done.stderr.splitlines()] == ["x.yaml:3", "x.yaml:8"]


def test_a_recipe_that_a_variant_names_and_that_has_mistakes_is_named() -> None:
    Path("other.yaml").write_text("title: Y\nproject: table_classifier\nconfig: {dropout: 7}\n")
    assert problems("  variants:\n    a: {}\n    b: {recipe: ./other.yaml}\n") == [
        "x.yaml:8 compare.variants.b.recipe: has mistakes: `dlwb check ./other.yaml` lists them"
    ]


def test_what_is_only_explored_cannot_be_compared() -> None:
    write(Path(), source=LINE.replace("def train_step", "def no_step"))
    assert problems("  variants: {a: {}, b: {}}\n", base="title: X\nproject: ./line.py\n") == [
        "x.yaml:3 compare: line.py is only explored, so there is nothing to compare: leave the section out"
    ]


def test_each_variant_is_a_whole_recipe_with_its_own_base(tmp_path: Path) -> None:
    more = "more: {config.dropout: 0.4, train.batch_size: 8}"
    text = f"  variants:\n    none: {{}}\n    {more}\n    cnn: {{recipe: mnist-cnn, config.dropout: 0.3}}\n"
    loaded = load_recipe(recipe(text))
    found = variants(loaded)
    assert list(found) == ["none", "more", "cnn"]
    assert found["none"].recipe.config == loaded.recipe.config and found["none"].recipe.compare is None
    assert (found["more"].recipe.config["dropout"], found["more"].recipe.train.batch_size) == (0.4, 8)
    alone = load_recipe(found["cnn"].path).recipe
    assert found["cnn"].stem == "mnist-cnn" and found["cnn"].recipe.config == {**alone.config, "dropout": 0.3}
    assert found["cnn"].recipe.train == alone.train


def test_what_is_set_for_the_comparison_holds_for_all_variants_under_their_own_settings() -> None:
    words = ["train.epochs=2", "config.dropout=0.3", "seed=9", "compare.seeds=2"]
    loaded = load_recipe(recipe("  variants: {none: {}, more: {config.dropout: 0.4}}\n"), words)
    assert (loaded.recipe.seed, loaded.recipe.compare and loaded.recipe.compare.seeds) == (9, 2)
    found = variants(loaded)
    assert [(one.recipe.train.epochs, one.recipe.config["dropout"]) for one in found.values()] == [(2, 0.3), (2, 0.4)]
    with pytest.raises(Problem, match=r"^--set compare.seeds: only config"):
        load_recipe(write(Path("plain")), ["compare.seeds=2"])


def test_a_path_in_a_variant_starts_at_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own.csv").write_text("a,target\n1,x\n2,y\n")
    path = recipe("  variants: {a: {}, b: {config.data: ./own.csv}}\n").absolute()
    monkeypatch.chdir("/")
    assert variants(load_recipe(path))["b"].recipe.config["data"] == str(path.with_name("own.csv"))


def test_the_list_sees_when_a_recipe_that_a_variant_names_is_broken() -> None:
    other = Path("other.yaml")
    other.write_text(BASE)
    path = recipe("  variants: {a: {}, b: {recipe: ./other.yaml}}\n")
    index = Index()
    assert index.load(path).recipe.compare
    index.keep()
    other.write_text(BASE + "wrong: 1\n")
    with pytest.raises(RecipeProblem, match="has mistakes"):
        Index().load(path)
