"""A run as a Jupyter notebook: its recipe, data, network, the training loop in a cell, curves, evaluation, try it, bars.

The outputs are what the log of the run says, and say so. `execute` computes them again in a clean kernel, and refuses other figures.
"""

import ast
import json
import os
import pprint
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from workbench import __version__
from workbench.formatting import count, duration
from workbench.problems import Problem, clean, one_line
from workbench.recipes import hints
from workbench.recipes.recipe import Recipe
from workbench.runs import metric_stream
from workbench.runs.export import cells
from workbench.runs.export.cells import Output
from workbench.runs.export.portable import Places, portable_config, refuse
from workbench.runs.history import History, history_of
from workbench.runs.run import Run

INSTALL = "pip install 'dlwb[notebook]'"
SECTIONS = ("title", "project", "config", "train", "compute", "seed", "bar", "reference")
"""What of a recipe a notebook needs."""
PROBE = """\
import json
print(json.dumps({tag: [[step, value.hex()] for step, value in points] for tag, points in figures(log.history).items()}))"""
"""Run behind the last cell of an execution, and not kept: every figure, by its bits."""

FROM_LOG = "The outputs below are from the log of this run."

SETUP = """\
import os

# NumPy's BLAS reads these once, when it is imported: 1 and 2 threads give different bits.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "{threads}"

import math
from pathlib import Path

import numpy as np

from workbench.runs.export import cells
from workbench.runs.metric_stream import figures
from workbench.training.batches import planned, stream
from workbench.training.by_hand import Log, build, open_project, open_recipe
from workbench.training.cadence import Cadence, Place
from workbench.training.early_stopping import EarlyStopping
from workbench.training.metric_window import MetricWindow{live}

HERE = Path()"""
RECIPE = "recipe = open_recipe(\n{recipe}\n)"
DATA = """\
project = open_project(recipe)
log = Log(project)
sources = build(project, log, doing=print)  # seeds every generator, reads the data, makes the network
cells.display(cells.shown(HERE, log.history, ["data"]))"""
NETWORK = """\
log.look("model", Place())
cells.display(cells.shown(HERE, log.history, ["model"]))"""
LOOP = """\
{start}place, window, stopping = Place(), MetricWindow(project), EarlyStopping(recipe.train.keep_best)
is_due = Cadence().due  # what is to be done after a step, by the recipe's cadences
best, over = None, False

log.look("valid", place)  # before the first step
while not over:
    # A seed of its own for each epoch, as in a run, which so may go on in the middle of any.
    batches = project.batches(place.epoch, np.random.default_rng([project.seed, place.epoch]))
    place.per_epoch = planned(batches) or place.per_epoch
    for batch, last in stream(batches):
        project.progress = place.step / (place.total({train}) or math.inf)
        window.add(project.train_step(batch))  # forward, backward, update
        place.advance(last)
        reached = place.reached({train})
        due = is_due({train}, place.step, last=last, reached=reached)
        if due.log:
            log.numbers(window.close(), place)
        if due.evaluate and stopping.judge(log.look("valid", place)):
            best = project.state(){changes}
        over = reached or stopping.is_over({train}.patience)
        if over:
            break

cells.display(cells.figures(recipe, log.history, ("train", "valid")))"""
CHANGES = """\
# What was changed while the run trained, by the step after which it was.
live = LiveSettings(project, recipe.train)
live.pending = {changes}

"""
CHANGE = """
        for change in live.due(place.step):
            live.change(change["settings"])
            if any(name.startswith("config.") for name in change["settings"]):
                project.changed(project.config)"""
CURVES = "cells.display(cells.curves(recipe, log.history))"
EVALUATION = """\
log.look("sample", place)
if best:
    project.load_state(best)  # the weights of the best evaluation
log.look("test", place)
cells.display(cells.figures(recipe, log.history))
cells.display(cells.shown(HERE, log.history, ["test"]))"""
TRY = """\
cells.display(cells.shown(HERE, log.history, ["sample"]))"""
ASK = {
    "row": """\
row = {field["name"]: field["value"] for field in project.form()["fields"]}  # change a number, and ask again
with project.evaluating():
    answer = project.predict({"row": row})
answer""",
    "picture": """\
import base64, io
from PIL import Image, ImageDraw

picture = Image.new("L", (112, 112))
ImageDraw.Draw(picture).line([(56, 16), (56, 96)], fill=255, width=12)  # draw something else, or: picture = Image.open("yours.png")
file = io.BytesIO()
picture.save(file, "PNG")
with project.evaluating():
    answer = project.predict({"picture": base64.b64encode(file.getvalue()).decode()})
{name: value for name, value in answer.items() if name != "seen"}""",
    "text": """\
request = project.Request()  # project.Request(prompt="…") asks something else
with project.looking(project.seed):
    for event in project.sample(request):
        print(getattr(event, "tag", ""), getattr(event, "prompt", ""), getattr(event, "text", ""))""",
}
BARS = "cells.display(cells.verdict(recipe, log.history))"
CHECK = """\
expected = {expected}
last = {{tag: points[-1][1] for tag, points in figures(log.history).items()}}
different = {{tag: (value, last.get(tag)) for tag, value in expected.items() if str(value) != str(last.get(tag))}}
print(f"{{len(expected) - len(different)}} of {{len(expected)}} figures are the run's, bit for bit.", different or "")"""
METHODS = {"data": ("build_data", "batches"), "network": ("build_model",), "step": ("train_step",), "measures": ("evaluate",)}
"""What of the lesson's own code stands in which section."""


def to_notebook(run: Run, out: Path, *, execute: bool = False) -> str:
    """Write a finished run as a notebook; returns what was written. Problem where the run, or an execution, is not what it should be."""
    nbformat = _library("nbformat")
    recipe = refuse(run, "notebook")
    if execute:
        for name in ("nbclient", "ipykernel"):
            _library(name)
        if recipe.compute.device != "cpu":
            raise Problem(
                f"{run.id} was trained on {one_line(recipe.compute.device, 20)}, and equal figures are promised for the CPU alone.",
                "Without --execute its notebook has the figures of the log.",
            )
    history = history_of(run.events)
    places = Places(run)
    notebook = nbformat.v4.new_notebook(
        cells=_cells(run, recipe, history, places),
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
            "dlwb": {"version": __version__, "run": run.id, "outputs": f"from the log of run {run.id}"},
        },
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    said = f"its outputs are from the log of run {run.id}"
    if execute:
        _execute(notebook, run, recipe, history, places)
        about = next(cell for cell in notebook.cells if cell.id == "run")
        about.source = about.source.replace(FROM_LOG, "The outputs below were computed again: every figure is the run's, bit for bit.")
        notebook.metadata["dlwb"]["outputs"] = "executed, with the figures of the run"
        said = "executed in a clean kernel: every figure is the run's, bit for bit"
    nbformat.validate(notebook)
    from workbench.runs.export.formats import written  # the formats know this one

    written([nbformat.writes(notebook) + "\n"], out)
    return said


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise Problem(f"A notebook needs {name}, which is not installed.", INSTALL) from None


# -- the cells ---------------------------------------------------------------------------------------------------------------------------


def _cells(run: Run, recipe: Recipe, history: History, places: Places) -> list[Any]:
    config = portable_config(recipe.config, places)
    sections = {name: value for name, value in msgspec.to_builtins(recipe).items() if name in SECTIONS}
    # The reference is trained with the figures of others beside it; an own folder is named from where the notebook lies.
    sections["config"] = config
    changes = [{"step": mark.step, "settings": mark.settings} for mark in history.marks if mark.settings]
    train = "live.train" if changes else "recipe.train"
    log = [cells.text(f"From the log of run {run.id}.")]
    source = _methods(run)
    settings = places.cleaned(pprint.pformat(sections, width=110, sort_dicts=False))
    expected = {tag: series[-1][1] for tag, series in metric_stream.figures(history).items() if series}

    def from_log(*outputs: Output | Iterable[Output]) -> list[Output]:
        listed = [output for part in outputs for output in ([part] if isinstance(part, dict) else part)]
        return [places.portable(output) for output in [*log, *listed]] if listed else []

    facts = f"{count(history.step)} steps in {duration(history.seconds)} on {one_line(history.device, 60)}, seed {recipe.seed}"
    own = f"\n\nIts author's own data is not part of it. Put it beside this notebook: {_code(', '.join(places.own))}" if places.own else ""
    loop = LOOP.format(
        start=CHANGES.format(changes=pprint.pformat(changes, width=110, sort_dicts=False)) if changes else "",
        train=train,
        changes=CHANGE if changes else "",
    )
    try_it = [_code_cell("ask", ASK[takes], "subslide")] if (takes := _takes(run)) in ASK else []
    setup = SETUP.format(
        threads=recipe.compute.threads,
        live="\nfrom workbench.training.live_settings import LiveSettings" if changes else "",
    )
    return [
        _words("title", "slide", _html("h1", recipe.title), _html("p", f"{recipe.part} · {recipe.lesson}".strip(" ·")), _html("p", recipe.about)),
        _words("run", "fragment", f"Run {_code(run.id)}: {facts}. {FROM_LOG}{own}"),
        _words("first", "notes", *(_html("p", sentence) for sentence in recipe.try_first or ["Nothing in particular to try first."])),
        _code_cell("setup", setup, "skip"),
        _words("recipe-title", "slide", "## Recipe", "All that decides what is computed; the same numbers on the same processor, every time."),
        _code_cell("recipe", RECIPE.format(recipe=settings), "subslide"),
        _words("data-title", "slide", "## Data", *source["data"]),
        _code_cell("data", DATA, "subslide", from_log(cells.shown(run.path, history, ["data"]))),
        _words("network-title", "slide", "## Network", *source["network"]),
        _code_cell("network", NETWORK, "subslide", from_log(cells.shown(run.path, history, ["model"]))),
        _words("training-title", "slide", "## Training", "A step of this lesson, as its file has it:", *source["step"]),
        _code_cell("training", loop, "subslide", from_log(cells.figures(recipe, history, ("train", "valid")))),
        *(_words(f"watch-{place}", "fragment", _html("p", hints.written(note))) for place, note in enumerate(recipe.watch)),
        _words("curves-title", "slide", "## Curves"),
        _code_cell("curves", CURVES, "subslide", from_log(cells.curves(recipe, history))),
        _words("evaluation-title", "slide", "## Evaluation", "What it measures, with the weights of the best evaluation:", *source["measures"]),
        _code_cell("evaluation", EVALUATION, "subslide", from_log(cells.figures(recipe, history), cells.shown(run.path, history, ["test"]))),
        _words("try-title", "slide", "## Try it"),
        _code_cell("try", TRY, "subslide", from_log(cells.shown(run.path, history, ["sample"]))),
        *try_it,
        _words("bars-title", "slide", "## Bars", "What counts as passing."),
        _code_cell("bars", BARS, "fragment", from_log(cells.verdict(recipe, history))),
        *(
            _words(f"reference-{place}", "fragment", _html("p", f"{known.whose.capitalize()}: {known.metric} {known.value:g}, {known.source}"))
            for place, known in enumerate(recipe.reference)
        ),
        _code_cell("check", CHECK.format(expected=pprint.pformat(_numbers(expected), width=110)), "skip"),
    ]  # fmt: skip


def _numbers(values: Mapping[str, float]) -> dict[str, Any]:
    return {tag: value if value - value == 0 else str(value) for tag, value in values.items()}


def _takes(run: Run) -> str:
    """What "try it" asks this lesson with, from its code."""
    word = re.search(r"^    takes(?:: [^=\n]+)? = \"(picture|text|row)\"", _source(run), re.MULTILINE)
    return word[1] if word else ""


def _source(run: Run) -> str:
    from workbench import files

    try:
        return files.read_plain(run.project_copy).decode("utf-8", "replace")
    except OSError:
        return ""


def _methods(run: Run) -> dict[str, list[str]]:
    """The lesson's own code by section, in fences: the copy that trained the run."""
    source = _source(run)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return {section: [] for section in METHODS}
    functions = {
        item.name: textwrap.dedent(ast.get_source_segment(source, item, padded=True) or "")
        for kind in tree.body
        if isinstance(kind, ast.ClassDef)
        for item in kind.body
        if isinstance(item, ast.FunctionDef)
    }
    return {section: [_fenced(functions[name]) for name in names if name in functions] for section, names in METHODS.items()}


def _fenced(code: str) -> str:
    # Longer than any row of backticks in it: else the code could end the fence and go on as markup.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    return f"{fence}python\n{clean(code)}\n{fence}"


def _code(words: str) -> str:
    return f"<code>{escape(one_line(words))}</code>"


def _html(tag: str, words: str) -> str:
    """Foreign text as a block of HTML: Markdown leaves it as it is, and so does MathJax, by both of its names for that."""
    return f'<{tag} class="tex2jax_ignore mathjax_ignore">{escape(one_line(words, 4000))}</{tag}>' if words.strip() else ""


def _words(identity: str, slide: str, *parts: str) -> Any:
    nbformat = _library("nbformat")
    cell = nbformat.v4.new_markdown_cell("\n\n".join(filter(None, parts)), metadata={"slideshow": {"slide_type": slide}})
    cell.id = identity
    return cell


def _code_cell(identity: str, source: str, slide: str, outputs: Sequence[Output] = ()) -> Any:
    nbformat = _library("nbformat")
    shown = [nbformat.v4.new_output("display_data", data=dict(output)) for output in outputs]
    cell = nbformat.v4.new_code_cell(source, outputs=shown, metadata={"slideshow": {"slide_type": slide}})
    cell.id = identity
    return cell


# -- the execution -----------------------------------------------------------------------------------------------------------------------


def _execute(notebook: Any, run: Run, recipe: Recipe, history: History, places: Places) -> None:
    """Execute every cell in a new kernel of this Python, and compare every figure with the log's."""
    import nbclient
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    nbformat = _library("nbformat")
    notebook.cells.append(nbformat.v4.new_code_cell(PROBE))
    with tempfile.TemporaryDirectory() as folder:
        for name, path in places.own.items():
            (Path(folder) / name).symlink_to(path)
        # Nothing of the person's own: what their profile runs at each start might change a figure.
        environment = {**os.environ, "IPYTHONDIR": f"{folder}/.ipython", "JUPYTER_CONFIG_DIR": f"{folder}/.jupyter", "MPLBACKEND": "agg"}

        class ThisPython(AsyncKernelManager):
            """The one kernel there is: a person's own list may name another Python's. It is spoken to through files, not the network."""

            def __init__(self, **settings: Any) -> None:
                super().__init__(**settings)
                self.transport, self.ip = "ipc", f"{folder}/.kernel"

            @property
            def kernel_spec(self) -> KernelSpec:
                argv = [sys.executable, "-P", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
                return KernelSpec(argv=argv, display_name="Python 3", language="python")

        where = {"metadata": {"path": folder}}
        client = nbclient.NotebookClient(notebook, timeout=None, kernel_manager_class=ThisPython, resources=where)
        try:
            client.execute(env=environment)
        except nbclient.exceptions.CellExecutionError as error:
            raise Problem(f"The notebook of {run.id} cannot be executed: {one_line(f'{error.ename}: {error.evalue}')}.") from None
        except nbclient.exceptions.DeadKernelError:
            raise Problem(f"The kernel died while it executed the notebook of {run.id}.", "Is there enough memory?") from None
    computed = "".join(output.text for output in notebook.cells.pop().outputs if output.output_type == "stream" and output.name == "stdout")
    now = {tag: [(step, float.fromhex(value)) for step, value in points] for tag, points in json.loads(computed).items()}
    before = metric_stream.figures(history)
    if different := list(metric_stream.differences(before, now)):
        changed = run.changed_code()
        hint = f"The code has changed since: {', '.join(changed[:4])}." if changed else "Is it another processor, or other versions?"
        number = sum(map(len, before.values()))
        raise Problem(
            f"The notebook does not compute what {run.id} did: {different[0]} ({metric_stream.summed_up(different, number)}).", hint
        )
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of this machine
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = places.cleaned(output.text)
            if "data" in output:
                output.data = places.portable(output.data)
