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
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from workbench import __version__, files
from workbench.formatting import count, duration
from workbench.problems import Problem, clean, one_line
from workbench.recipes import hints
from workbench.recipes.processes import why_not_exact
from workbench.recipes.project_schemas import describe
from workbench.recipes.recipe import Recipe
from workbench.runs import family, metric_stream
from workbench.runs.export import cells
from workbench.runs.export import notebook_code as code
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

METHODS = {"data": ("build_data", "batches"), "network": ("build_model",), "step": ("train_step",), "measures": ("evaluate",)}
"""What of the lesson's own code stands in which section."""


def to_notebook(run: Run, *, execute: bool = False) -> tuple[str, str]:
    """A finished run as a notebook, in its text, and where the outputs are from. Problem where that cannot be, or an execution differs."""
    nbformat = _library("nbformat")
    recipe = refuse(run, "notebook")
    if execute:
        for name in ("nbclient", "ipykernel"):
            _library(name)
        if why := why_not_exact(recipe):
            raise Problem(
                f"{run.id} {why}",
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
    origin = f"its outputs are from the log of run {run.id}"
    if execute:
        _execute(notebook, run, recipe, history, places)
        about = next(cell for cell in notebook.cells if cell.id == "run")
        about.source = about.source.replace(FROM_LOG, "The outputs below were computed again: every figure is the run's, bit for bit.")
        notebook.metadata["dlwb"]["outputs"] = "executed, with the figures of the run"
        origin = "executed in a clean kernel: every figure is the run's, bit for bit"
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n", origin


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise Problem(f"A notebook needs {name}, which is not installed.", INSTALL) from None


# -- the cells ---------------------------------------------------------------------------------------------------------------------------


def _cells(run: Run, recipe: Recipe, history: History, places: Places) -> list[Any]:
    """Every cell with an id of its own, which stays the same from export to export."""
    sections = {name: value for name, value in msgspec.to_builtins(recipe).items() if name in SECTIONS}
    sections["config"] = portable_config(recipe.config, places)
    changes = [{"step": mark.step, "settings": mark.settings} for mark in history.marks if mark.settings]
    own_code = _methods(run)
    expected = {tag: series[-1][1] for tag, series in metric_stream.figures(history).items() if series}
    schema = describe(recipe.project)
    takes = schema.takes if schema else ""

    def words(identity: str, slide: str, *parts: str) -> Any:
        cell = _library("nbformat").v4.new_markdown_cell("\n\n".join(filter(None, parts)), metadata={"slideshow": {"slide_type": slide}})
        cell.id = identity
        return cell

    def computed(identity: str, slide: str, source: str, *parts: Output | Iterable[Output]) -> Any:
        nbformat = _library("nbformat")
        outputs = [output for part in parts for output in ([part] if isinstance(part, dict) else part)]
        outputs = [cells.text(f"From the log of run {run.id}."), *outputs] if outputs else []
        shown = [nbformat.v4.new_output("display_data", data=places.portable(output)) for output in outputs]
        cell = nbformat.v4.new_code_cell(source, outputs=shown, metadata={"slideshow": {"slide_type": slide}})
        cell.id = identity
        return cell

    setup = code.SETUP.format(threads=recipe.compute.threads, live=code.LIVE if changes else "")
    loop = code.LOOP.format(
        start=code.CHANGES.format(changes=_literal(changes)) if changes else "",
        train="live.train" if changes else "recipe.train",
        changes=code.CHANGE if changes else "",
    )
    recipe_code = code.RECIPE.format(recipe=places.cleaned(_literal(sections)))
    course = [f"{known.whose.capitalize()}: {known.metric} {known.value:g}, {known.source}" for known in recipe.reference]
    return [
        words(
            "title",
            "slide",
            _text("h1", recipe.title),
            _text("p", f"{recipe.part} · {recipe.lesson}".strip(" ·")),
            _text("p", recipe.about),
        ),
        words("run", "fragment", *_about_run(run, recipe, history, places)),
        words("first", "notes", *(_text("p", sentence) for sentence in recipe.try_first or ["Nothing in particular to try first."])),
        computed("setup", "skip", setup),
        words(
            "recipe-title", "slide", "## Recipe", "All that decides what is computed: the same figures on the same processor, every time."
        ),
        computed("recipe", "subslide", recipe_code),
        words("data-title", "slide", "## Data", *own_code["data"]),
        computed("data", "subslide", code.DATA, cells.shown(run.path, history, ["data"])),
        words("network-title", "slide", "## Network", *own_code["network"]),
        computed("network", "subslide", code.NETWORK, cells.shown(run.path, history, ["model"])),
        words("training-title", "slide", "## Training", "A step of this lesson, as its file has it:", *own_code["step"]),
        computed("training", "subslide", loop, cells.figures(recipe, history, ("train", "valid"))),
        words("curves-title", "slide", "## Curves"),
        computed("curves", "subslide", code.CURVES, cells.curves(recipe, history)),
        *(words(f"watch-{place}", "fragment", _text("p", hints.written(note))) for place, note in enumerate(recipe.watch)),
        words("evaluation-title", "slide", "## Evaluation", "With the weights of the best evaluation:", *own_code["measures"]),
        computed("evaluation", "subslide", code.EVALUATION, cells.figures(recipe, history), cells.shown(run.path, history, ["test"])),
        words("try-title", "slide", "## Try it"),
        computed("try", "subslide", code.TRY, cells.shown(run.path, history, ["sample"])),
        *([computed("ask", "subslide", code.ASK[takes])] if takes in code.ASK else []),
        words("bars-title", "slide", "## Bars", "What counts as passing."),
        computed("bars", "fragment", code.BARS, cells.verdict(recipe, history)),
        *(words(f"reference-{place}", "fragment", _text("p", sentence)) for place, sentence in enumerate(course)),
        computed("check", "skip", code.CHECK.format(expected=_literal(_numbers(expected)))),
    ]


def _about_run(run: Run, recipe: Recipe, history: History, places: Places) -> Iterator[str]:
    facts = f"{count(history.step)} steps in {duration(history.seconds)} on {one_line(history.device, 60)}, seed {recipe.seed}"
    origin = f", {forked.words}" if (forked := family.forked(run)) else ""
    yield _text("p", f"Run {run.id}{origin}: {facts}. {FROM_LOG}")
    if history.demo or history.variant:
        yield _text("p", f"DEMO: {history.demo}." if history.demo else f"Data: {history.variant}.")
    if places.own:
        yield _text("p", f"Its author's own data is not part of it. Put it beside this notebook: {', '.join(places.own)}.")
    if changed := run.changed_code():
        yield _text("p", f"The code has changed since, so an execution may give other figures: {', '.join(changed[:4])}.")


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=110, sort_dicts=False)


def _numbers(values: Mapping[str, float]) -> dict[str, Any]:
    return {tag: value if value - value == 0 else str(value) for tag, value in values.items()}


def _source(run: Run) -> str:
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


def _fenced(source: str) -> str:
    # Longer than any row of backticks in it: else the code could end the fence and go on as markup.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", source)), default=0))
    return f"{fence}python\n{clean(source)}\n{fence}"


def _text(tag: str, words: str) -> str:
    """Foreign text as a block of HTML: Markdown leaves it as it is, and so does MathJax, by both of its names for that."""
    return f'<{tag} class="tex2jax_ignore mathjax_ignore">{escape(one_line(words, 4000))}</{tag}>' if words.strip() else ""


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
        raise Problem(f"The notebook does not compute what {run.id} did: {different[0]} ({metric_stream.summed_up(before, now)}).", hint)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of this machine
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = places.cleaned(output.text)
            if "data" in output:
                output.data = places.portable(output.data)
