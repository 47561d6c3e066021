"""Real run directories for tests and benches, written with the same EventLog that the worker uses, but without training."""

import io
import json
import math
import os
import random
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from workbench import paths
from workbench.events import Curve, Images, Mark, Matrix, Scalars, Scatter, Status, Table, Text
from workbench.recipes.recipe import Bar, Recipe, Reference, dump_recipe
from workbench.runs import lock
from workbench.runs.log import EventLog
from workbench.runs.run import Run

RECIPE = Recipe(
    title="Handwritten digits, multilayer perceptron",
    part="3. Convolutional networks",
    lesson="1. MNIST, with validation",
    about="Two hidden layers learn to read digits.",
    project="image_classifier",
    config={"data": "digits"},
    watch=["2.30 is ln 10: at that loss it is guessing.", "Valid loss that rises while train loss falls is overfitting."],
    reference=[Reference(metric="test/accuracy", value=0.9831, source="course notebook, 50 epochs")],
    bar=[Bar(metric="test/accuracy", at_least=0.95)],
)
NAMES = [str(digit) for digit in range(10)]


def make_run(stem: str = "digits-mlp", made: Recipe = RECIPE, *, stamp: str = "2026-11-23_015358") -> Run:
    """A run directory that nothing ran in yet."""
    path = paths.runs() / f"{stamp}_{stem}"
    (path / "artifacts").mkdir(parents=True)
    (path / "control.jsonl").touch()
    (path / "recipe.yaml").write_text(dump_recipe(made))
    return Run(path)


def holder(state: str = "running", attempt: int = 1, **more: Any) -> dict[str, Any]:
    """What a supervisor writes into the lock."""
    me = {"pid": os.getpid(), "ticks": lock.start_ticks(os.getpid())}
    return {"host": lock.host(), "boot": lock.boot_id(), "attempt": attempt, "parent": me, "state": state, **more}


def alive(run: Run, state: str = "running", attempt: int = 1, **more: Any) -> lock.Lock:
    """Hold the run's lock as its supervisor does; release it to let the run die."""
    held = lock.Lock.take(run.lock)
    assert held
    held.write(holder(state, attempt, **more))
    return held


def ended(run: Run, state: str, cause: str = "", message: str = "", hint: str = "", attempt: int = 1) -> None:
    """Leave the run as a supervisor does that saw it end."""
    alive(run, attempt=attempt).release()
    (run.path / "exit.json").write_text(json.dumps({"state": state, "cause": cause, "message": message, "hint": hint, "attempt": attempt}))


def losses(step: int, steps: int, rng: random.Random) -> dict[str, float]:
    """A believable step of training."""
    share = step / steps
    loss = 2.1 * math.exp(-5 * share) + 0.15 + rng.gauss(0, 0.03 + 0.05 * (1 - share))
    return {"train/loss": loss, "train/accuracy": min(1.0, 1 - loss / 3)}


def confusion(share: float, rng: np.random.Generator) -> list[list[float]]:
    """Counts that gather on the diagonal."""
    values = rng.integers(0, max(1, int(20 * (1 - share)) + 2), (10, 10)).astype(float)
    return (values + np.eye(10) * int(36 * share)).tolist()


def digits(share: float, rng: np.random.Generator) -> bytes:
    """A PNG of 16 blurred squares that become sharper."""
    y, x = np.mgrid[0:28, 0:28] / 27.0 - 0.5
    tiles = []
    for tile in range(16):
        ring = np.exp(-((np.hypot(x + 0.02 * tile - 0.16, y * (1 + tile / 20)) - 0.28) ** 2) * 300)
        tiles.append(np.clip(share * ring + (1 - share) * rng.random((28, 28)), 0, 1))
    grid = np.vstack([np.hstack(tiles[row * 4 : row * 4 + 4]) for row in range(4)])
    buffer = io.BytesIO()
    Image.fromarray((grid * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def train(
    run: Run, steps: int = 1000, upto: int | None = None, *, log: EventLog | None = None, every: int = 10, rich: bool = True
) -> EventLog:
    """Write the log of a run that trains from step 0 to `upto`; the caller closes the log."""
    rng, noise = random.Random(1), np.random.default_rng(1)
    log = log or EventLog(run.path)
    upto = steps if upto is None else upto
    log.write(Status(state="running", steps=steps, steps_per_epoch=max(1, steps // 10), device="cpu Two slow cores", from_step=-1))
    for step in range(every, upto + 1, every):
        epoch = step / max(1, steps // 10)
        log.write(Scalars(losses(step, steps, rng), step=step, epoch=epoch))
        if step % max(every, steps // 20) == 0:
            loss = losses(step, steps, rng)["train/loss"] + 0.05
            log.write(Scalars({"valid/loss": loss, "valid/accuracy": min(1.0, 1 - loss / 3.2)}, step=step, epoch=epoch))
            log.write(Scalars({"system/cpu": 97.0, "system/memory": 0.6, "system/memory_free": 5.2}, step=step, epoch=epoch))
            if rich:
                samples(log, step, epoch, step / steps, noise)
        if step == 400 and rich:
            log.write(
                Mark(text="learning_rate 0.01 → 0.003", settings={"config.learning_rate": 0.003}, command="c1", step=step, epoch=epoch)
            )
    return log


def samples(log: EventLog, step: int, epoch: float, share: float, noise: np.random.Generator) -> None:
    """One of everything that can be shown."""
    at = {"step": step, "epoch": epoch}
    x = [float(hour) for hour in range(120)]
    log.write(Matrix(tag="valid/confusion", values=confusion(share, noise), rows=NAMES, columns=NAMES, **at))
    log.write(
        Images(tag="sample/digits", png=digits(share, noise), columns=4, captions=[f"{n % 10} → {n * 3 % 10}" for n in range(16)], **at)
    )
    log.write(Text(tag="sample/text", prompt="The old man", text="and the sea said nothing, as the sea does when it is asked. " * 3, **at))
    log.write(Curve(tag="sample/forecast/truth", x=x, y=[math.sin(hour / 9) for hour in x], labels=("hour", "riders"), **at))
    log.write(Curve(tag="sample/forecast/model", x=x, y=[share * math.sin(hour / 9 + 0.3) for hour in x], labels=("hour", "riders"), **at))
    points = noise.normal(size=(2, 60)) + np.repeat([[0, 4, 8], [0, 3, -2]], 20, axis=1)
    log.write(
        Scatter(tag="valid/embedding", x=points[0].tolist(), y=points[1].tolist(), labels=["cat"] * 20 + ["dog"] * 20 + ["bird"] * 20, **at)
    )
    rows: list[list[str | float]] = [["king", "queen", 0.71], ["man", "woman", 0.69], ["paris", "france", 0.64]]
    log.write(Table(tag="valid/neighbours", columns=["word", "nearest", "cosine"], rows=rows, **at))


def explained(log: EventLog, step: int, noise: np.random.Generator) -> None:
    """What a classifier says besides: a matrix's examples as pictures and as words, a ROC with thresholds, a decision line, its network."""
    values = confusion(0.9, noise)
    log.write(Matrix(tag="valid/confusion", values=values, rows=NAMES, columns=NAMES, step=step))
    cells = [(8, 1), (8, 1), (3, 5), *[(0, 0)] * 13]
    captions = ["1 0.97, 8 0.02", "1 0.81, 8 0.17", "5 0.66, 3 0.30", *["0 0.99"] * 13]
    log.write(Images(tag="valid/confusion/examples", png=digits(0.9, noise), columns=4, captions=captions, cells=cells, step=step))
    log.write(Matrix(tag="valid/verdict", values=[[40, 3], [5, 52]], rows=["bad", "good"], columns=["bad", "good"], step=step))
    review: list[str | float] = ["The plot is thin, but the sea is filmed as nobody filmed it before, and that is enough for me.", 0.12]
    log.write(Table(tag="valid/verdict/examples", columns=["review", "good"], rows=[review], cells=[(1, 0)], step=step))
    score = np.concatenate([noise.beta(2, 4, 300), noise.beta(4, 2, 200)])
    true = np.arange(500) >= 300
    at = np.sort(score)[::-1]
    x = [float((score[~true] >= each).mean()) for each in at]
    y = [float((score[true] >= each).mean()) for each in at]
    names = ("false positive rate", "true positive rate")
    log.write(Curve(tag="valid/roc", x=[0.0, *x], y=[0.0, *y], at=[math.inf, *at.tolist()], totals=(300, 200), labels=names, step=step))
    points = np.concatenate([noise.normal(0.3, 0.1, (40, 2)), noise.normal(0.7, 0.1, (40, 2))])
    labels = ["blue"] * 40 + ["red"] * 40
    log.write(Scatter(tag="sample/boundary/points", x=points[:, 0].tolist(), y=points[:, 1].tolist(), labels=labels, step=step))
    height = 0.5 + 200 / (step + 200)
    log.write(Curve(tag="sample/boundary/line", x=[-9.0, 9.0], y=[height + 9.5, height - 8.5], step=step))
    layers: list[list[str | float]] = [["Linear", "32 x 128", 8320, 0.03], ["ReLU", "32 x 128", 0, 0], ["Linear", "32 x 10", 1290, 0.005]]
    if not step:
        log.write(Table(tag="model/network", columns=["layer", "output", "parameters", "MiB"], rows=layers, step=0))


def touch_epoch(run: Run, seconds_ago: float) -> None:
    """Shift the whole log into the past, as if nothing had been written since."""
    lines = (run.path / "events.jsonl").read_bytes().splitlines()
    from workbench import events

    shifted = [events.version_line()]
    for line in lines[1:]:
        event = events.decode(events.whole(line) or b"")
        assert isinstance(event, events.Event)
        event.time -= seconds_ago
        shifted.append(events.encode(event))
    (run.path / "events.jsonl").write_bytes(b"".join(shifted))


def finish(run: Run, steps: int = 1000, *, accuracy: float = 0.978, **status: Any) -> None:
    """A whole run that ended well."""
    log = train(run, steps)
    log.write(Scalars({"test/loss": 0.21, "test/accuracy": accuracy}, step=steps, epoch=10.0))
    log.write(Status(state="finished", cause="steps", step=steps, epoch=10.0, **status))
    log.close()
    ended(run, "finished", "steps")


def printed(run: Run, text: str | bytes) -> None:
    """What the run printed."""
    data = text.encode() if isinstance(text, str) else text
    with run.output.open("ab") as file:
        file.write(data)


__all__ = ["RECIPE", "Path", "msgspec", "time"]
