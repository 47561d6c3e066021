"""A tuning's folder with real logs, written by the log's own writer: its trials' losses follow from their settings, without a worker."""

import json
import math
import random
import time

import msgspec
from made_runs import RECIPE, ended, make_run

from workbench import paths
from workbench.events import Scalars, Status
from workbench.recipes.recipe import Dimension, Train, Tune, dump_recipe
from workbench.runs import tunings
from workbench.runs.log import EventLog
from workbench.runs.tunings import Asked, Ended, Judged, Plan, Started, Tuning, Turned

RATE, BATCH = "config.learning_rate", "train.batch_size"
SPACE = {RATE: Dimension(real=[0.001, 1.0], log=True), BATCH: Dimension(choose=[8, 16, 32, 64, 128])}
MORE = {**SPACE, "config.dropout": Dimension(real=[0.0, 0.6]), "config.hidden": Dimension(whole=[16, 512], log=True)}


def made_tuning(
    count: int, space: dict[str, Dimension] = SPACE, *, stem: str = "tune-made", points: int = 30, turn: str = "ended"
) -> Tuning:
    """A tuning whose trials have ended, every fifth pruned; the loss is least at a rate of 0.05 and batches of 32."""
    tuning, chance = Tuning(paths.tunings() / f"{stem}_2026-11-30_020000"), random.Random(1)
    (tuning.path / "base").mkdir(parents=True)
    tune = Tune(metric="valid/loss", goal="minimize", trials=count, parallel=2, pruner="median", space=space, seeds=5)
    plan = Plan(recipe=str(tuning.path / "base" / f"{stem}.yaml"), title="Learning rate and batch size, tuned", tune=tune, seed=1)
    recipe = msgspec.structs.replace(
        RECIPE,
        title=plan.title,
        config={"data": "digits", "learning_rate": 0.1},
        train=Train(epochs=3, batch_size=20, keep_best="valid/loss"),
    )
    for file in (tuning.path / "recipe.yaml", tuning.path / "base" / f"{stem}.yaml"):
        file.write_text(dump_recipe(recipe))
    (tuning.path / "tuning.json").write_bytes(msgspec.json.encode(plan))
    lines: list[tunings.AnyRecord] = [Turned(state="started", trials=count)]
    for number in range(count):
        params = {name: _drawn(dimension, chance) for name, dimension in space.items()}
        final = _loss(params) + chance.gauss(0, 0.01)
        pruned = number % 5 == 4
        run = make_run(stem, stamp=f"2026-11-30_{number // 3600 + 2:02}{number // 60 % 60:02}{number % 60:02}", made=recipe)
        (run.path / "run.json").write_text(json.dumps({**run.about(), "tuning": tuning.id, "trial": number, "created": time.time()}))
        log = EventLog(run.path)
        log.write(Status(state="running", steps=points * 10, device="cpu", attempt=1))
        made = points // 3 if pruned else points
        for place in range(made + 1):
            value = final + (2.3 - final) * math.exp(-5 * place / points) + chance.gauss(0, 0.01)
            log.write(
                Scalars(
                    {"train/loss": value - 0.02, "valid/loss": value, "valid/accuracy": 1 / (1 + value)}, step=place * 10, epoch=place / 10
                )
            )
        state, cause = ("stopped", "person") if pruned else ("finished", "steps")
        log.write(Status(state=state, cause=cause, step=made * 10, attempt=1))
        log.close()
        ended(run, state, cause)
        lines += [Asked(trial=number, params=params, seen=list(range(number))), Started(trial=number, run=run.id)]
        lines += [Judged(trial=number, evaluation=made, pruned=True)] * pruned
        seconds = 20.0 + 400 / params.get(BATCH, 32)
        lines.append(
            Ended(
                trial=number,
                state="pruned" if pruned else "finished",
                value=value,
                evaluations=made,
                planned=points,
                step=made * 10,
                seconds=seconds,
            )
        )
    if turn:
        lines.append(Turned(state=turn))
    for line in lines:
        tunings.append(tuning.events, line)
    if count >= tunings.ENOUGH:
        shares = dict(zip(space, (0.61, 0.24, 0.1, 0.05), strict=False))
        (tuning.path / "importance.json").write_text(json.dumps({"shares": shares, "trials": count - count // 5}))
    return tuning


def _drawn(dimension: Dimension, chance: random.Random) -> float:
    if dimension.choose is not None:
        return chance.choice(dimension.choose)
    low, high = dimension.range or (0, 1)
    value = math.exp(chance.uniform(math.log(low), math.log(high))) if dimension.log else chance.uniform(low, high)
    return round(value) if dimension.whole is not None else float(f"{value:.6g}")


def _loss(params: dict[str, float]) -> float:
    far = math.log10(params[RATE] / 0.05) ** 2 / 4 + math.log2(params[BATCH] / 32) ** 2 / 30
    return 0.2 + far + (params.get("config.dropout", 0.2) - 0.2) ** 2 + math.log2(params.get("config.hidden", 128) / 128) ** 2 / 100
