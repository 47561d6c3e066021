"""The code cells of an exported notebook. A lesson's training loop stands in one of them, with the parts that runs use.

`{…}` is filled in by `notebook`; each is Python once that is done.
"""

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
LIVE = "\nfrom workbench.training.live_settings import LiveSettings"
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
