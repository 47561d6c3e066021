"""A run as a notebook: valid, the same each time, free of foreign markup and of paths; executed it has the run's figures, or fails."""

import html.parser
import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from made_runs import RECIPE, finish, make_run
from short_runs import changed_run, copied, in_home, nudged, paths_of_this_machine, short_run
from test_cli import dlwb

from workbench.events import Scalars, Status, Table, Text
from workbench.problems import Problem
from workbench.recipes.recipe import Reference, dump_recipe
from workbench.runs import metric_stream
from workbench.runs.export import cells, portable
from workbench.runs.export.notebook import to_notebook
from workbench.runs.history import history_of
from workbench.runs.log import EventLog
from workbench.runs.run import Run

nbformat = pytest.importorskip("nbformat")

HOSTILE = (
    '</svg></h1><script>alert(1)</script><img src=x onerror="alert(1)">\x1b]0;t\x07 ```\n```\n'
    "[a](javascript:alert(1)) $\\href{javascript:alert(1)}{x}$"
)
ELEMENTS = {"svg", "style", "text", "tspan", "g", "path", "circle", "title"}
"""All that a drawing of ours has."""


@pytest.fixture(scope="module")
def xor(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run, with a change by a person in it."""
    with in_home(tmp_path_factory.mktemp("home")):
        return changed_run()


def exported(run: Run, file: Path, **how: bool) -> Any:
    file.write_text(to_notebook(run, **how)[0])
    return nbformat.read(file, as_version=nbformat.NO_CONVERT)


def by_id(notebook: Any) -> dict[str, Any]:
    return {cell.id: cell for cell in notebook.cells}


def test_it_is_valid_and_the_same_each_time(xor: Run, tmp_path: Path) -> None:
    notebook = exported(xor, tmp_path / "a.ipynb")
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    exported(xor, tmp_path / "b.ipynb")
    assert (tmp_path / "a.ipynb").read_bytes() == (tmp_path / "b.ipynb").read_bytes()
    names = list(by_id(notebook))
    assert len(names) == len(notebook.cells) and "cell" not in " ".join(names)
    sections = ["recipe", "data", "network", "training", "curves", "evaluation", "try", "bars"]
    assert [name for name in names if name in sections] == sections
    assert {cell.metadata.slideshow.slide_type for cell in notebook.cells} == {"slide", "subslide", "fragment", "skip", "notes"}


def test_its_outputs_are_those_of_the_log_and_say_so(xor: Run, tmp_path: Path) -> None:
    notebook = by_id(exported(xor, tmp_path / "a.ipynb"))
    with_outputs = [cell for cell in notebook.values() if cell.get("outputs")]
    assert len(with_outputs) >= 5
    for cell in with_outputs:
        assert cell.execution_count is None and cell.outputs[0].data["text/plain"] == f"From the log of run {xor.id}."
    last = history_of(xor.events).last("valid/loss/all")
    assert last is not None and f"{last:.4f}"[:6] in notebook["evaluation"].outputs[1].data["text/plain"]
    assert all("<svg" in output.data["image/svg+xml"] for output in notebook["curves"].outputs[1:])
    assert "def train_step(self, batch" in notebook["training-title"].source and "project.train_step(batch)" in notebook["training"].source


def test_an_execution_in_a_clean_kernel_has_the_figures_of_the_run(xor: Run, tmp_path: Path) -> None:
    history = history_of(xor.events)
    changes = [(mark.step, mark.settings) for mark in history.marks if mark.settings]
    assert [list(settings) for _, settings in changes] == [["train.log_every"], ["config.learning_rate"]] and changes[1][0] == 121
    with in_home(xor.path.parent.parent):
        done = dlwb("export", xor.id, "--to", "ipynb", "--execute", "--out", str(tmp_path / "a.ipynb"))
    assert done.returncode == 0 and "every figure is the run's" in done.stderr, done.stderr
    text = (tmp_path / "a.ipynb").read_text()
    notebook = by_id(nbformat.reads(text, as_version=4))
    expected = len(metric_stream.figures(history))
    assert notebook["check"].outputs[0].text.startswith(f"{expected} of {expected} figures are the run's, bit for bit.")
    assert all(cell.execution_count for cell in notebook.values() if cell.cell_type == "code")
    assert "From the log" not in text and "computed again" in notebook["run"].source
    assert not [path for path in paths_of_this_machine(tmp_path, xor.path) if path in text]


def test_its_batches_are_drawn_as_the_run_s(mirror: Path, home: Path) -> None:
    run = short_run("perceptron", "train.epochs=2", "config.shuffle=true", "seed=5")
    assert to_notebook(run, execute=True)[1].startswith("executed in a clean kernel")


def test_a_changed_figure_makes_the_execution_fail(xor: Run, tmp_path: Path) -> None:
    other = copied(xor, tmp_path, nudged)
    with pytest.raises(
        Problem, match=r"does not compute what .* did: valid/loss/all at step 100 is 0\.\d+ here and 0\.\d+ in the run \(1 of "
    ):
        to_notebook(other, execute=True)


@pytest.fixture
def hostile() -> Run:
    title = dict.fromkeys(("title", "part", "lesson", "about"), HOSTILE)
    recipe = msgspec.structs.replace(
        RECIPE, **title, watch=[HOSTILE], try_first=[HOSTILE], reference=[Reference(metric="test/loss", value=1.0, source=HOSTILE)]
    )
    run = make_run(made=recipe)
    (run.path / "run.json").write_text("{}")
    (run.path / "project.py").write_text(f"class A:\n    def train_step(self):\n        r'''```\n```\n{HOSTILE}'''\n")
    finish(run, 100)
    log = EventLog(run.path)
    log.write(Scalars({f"valid/{HOSTILE}/{HOSTILE}": 1.0}, step=100))
    for tag in ("data/found", f"test/{HOSTILE}", "model/network"):
        log.write(Table(tag=tag, columns=[HOSTILE, HOSTILE], rows=[[HOSTILE, 1.0]], step=100))
    log.write(Text(tag=f"sample/{HOSTILE}", text=HOSTILE, prompt=HOSTILE, step=100))
    log.write(Status(state="finished", step=100, message=HOSTILE, device=HOSTILE))
    log.close()
    return run


class Elements(html.parser.HTMLParser):
    """Whatever in a page would do something."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.active += [f"{name}={value}" for name, value in attributes if name.startswith("on") or "alert" in (value or "")]

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in ("script", "style") and "alert(1)" in data:
            self.active.append(data)


def test_foreign_text_stays_text(hostile: Run, tmp_path: Path) -> None:
    nbconvert = pytest.importorskip("nbconvert")
    notebook = exported(hostile, tmp_path / "a.ipynb")
    assert "\x1b" not in (tmp_path / "a.ipynb").read_text() and "\\u001b" not in (tmp_path / "a.ipynb").read_text()
    kinds = {kind for cell in notebook.cells for output in cell.get("outputs", []) for kind in output.data}
    assert kinds == {"text/plain", "image/svg+xml", "image/png"}
    for output in by_id(notebook)["curves"].outputs[1:]:
        drawing = ElementTree.fromstring(output.data["image/svg+xml"])
        assert {element.tag.rpartition("}")[2] for element in drawing.iter()} <= ELEMENTS
    for exporter in (nbconvert.HTMLExporter, nbconvert.SlidesExporter):
        page, _ = exporter().from_notebook_node(notebook)
        assert page.count("alert(1)") > 20
        elements = Elements()
        elements.feed(page)
        assert not elements.active
        # MathJax reads what stands between dollars, in every element that does not forbid it.
        outside = [line for line in page.splitlines() if "\\href" in line and "mathjax_ignore" not in line and "<p" in line]
        assert not outside


def test_a_page_of_html_and_slides_are_made_of_it(xor: Run, tmp_path: Path) -> None:
    nbconvert = pytest.importorskip("nbconvert")
    notebook = exported(xor, tmp_path / "a.ipynb")
    page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    drawings = [output for cell in notebook.cells for output in cell.get("outputs", []) if "image/svg+xml" in output.data]
    shown = re.findall(r'<img[^>]+src="data:image/svg\+xml;base64', page)
    assert "<h1" in page and "From the log of run" in page and len(shown) == len(drawings) >= 3
    slides, _ = nbconvert.SlidesExporter().from_notebook_node(notebook)
    # reveal.js has a section for each slide, around one for each of its subslides; what is to be skipped is not there.
    assert slides.count("<section>") > 16 and "OMP_NUM_THREADS" not in slides and 'class="notes"' in slides


def test_own_data_is_named_without_its_place(home: Path) -> None:
    run = make_run(made=msgspec.structs.replace(RECIPE, config={"data": "/home/anna/pictures", "more": [{"x": "/mnt/pictures/"}, "./a"]}))
    places = portable.Places(run)
    assert portable.portable_config(run.recipe().config, places) == {"data": "./pictures", "more": [{"x": "./pictures-2"}, "./a"]}
    assert places.own == {"pictures": "/home/anna/pictures", "pictures-2": "/mnt/pictures/"}
    words = f"{run.path}/a.png, {home}/data, {Path.home()}, {sys.prefix}/lib, /home/anna/pictures/b, /home/anna/pictures2"
    cleaned = places.cleaned(words)
    assert str(home) not in cleaned and sys.prefix not in cleaned
    assert cleaned.startswith("RUN/a.png, $DLWB_HOME/data") and cleaned.endswith("./pictures/b, /home/anna/pictures2")


def refused(run: Run, says: str, **how: bool) -> None:
    with pytest.raises(Problem, match=says) as caught:
        to_notebook(run, **how)
    assert caught.value.message.count(". ") == 0


def test_what_cannot_be_a_notebook_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    refused(run, "has not finished, so there is no notebook of it")
    finish(run, 100)
    (run.path / "recipe.yaml").write_text(dump_recipe(msgspec.structs.replace(RECIPE, project="./project.py")))
    refused(run, "a person's own project file")
    on_gpu = msgspec.structs.replace(RECIPE, compute=msgspec.structs.replace(RECIPE.compute, device="cuda:0"))
    (run.path / "recipe.yaml").write_text(dump_recipe(on_gpu))
    (run.path / "run.json").write_text("{}")
    refused(run, "was trained on cuda:0, and equal figures are promised for the CPU alone", execute=True)
    assert exported(run, tmp_path / "a.ipynb").cells
    monkeypatch.setitem(sys.modules, "nbformat", None)
    with pytest.raises(Problem, match="needs nbformat, which is not installed") as caught:
        to_notebook(run)
    assert caught.value.hint == "pip install 'dlwb[notebook]'"
    for words, says in (
        (("tensors", "--to", "ipynb"), "tensors is a lesson to explore: nothing is trained, so there is no ipynb of it."),
        ((run.id, "--to", "html", "--execute"), "Only a notebook is executed, not html."),
        ((run.id, "--to", "pdf"), "pdf is not a format."),
    ):
        done = dlwb("export", *words)
        assert done.returncode == 1 and done.stderr.startswith(says), done.stderr


def test_tables_of_text() -> None:
    assert cells.table(["name", "loss"], [["a", 0.5], ["bb", 12.0]]).splitlines() == ["name    loss", "a     0.5000", "bb        12"]
    assert cells.table(["x"], [["a"]] * 50).splitlines()[-1] == "and 10 more rows"
    assert cells.table(["x", "y"], [["a"], ["b", "c", "d"]]).splitlines()[1] == "a"
    assert json.dumps(cells.text("a\x1b[31mb")) == '{"text/plain": "ab"}'
