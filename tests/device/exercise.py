"""What a recipe has to do on a device: build, train, evaluate, sample, save, go on on the CPU and back, answer. A report of each part.

Used with the pretended CUDA by test_recipes_on_cuda.py, and on a real GPU by all.py.
"""

import io
import math
import time
import traceback
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from workbench.events import encode
from workbench.recipes.recipe import Recipe
from workbench.training.find_project import find_project
from workbench.training.project import Project

Costs = Counter[tuple[str, str, str]]
"""How often, by kind, op and place, as `pretend_cuda` counts."""
STEPS = 5
TEXT = "aaa aab aac"
"""Words that every made text has."""
WRITTEN = 5
"""Characters or words that a language model writes."""


@dataclass
class Report:
    """What happened to a recipe on a device."""

    recipe: str
    device: str = ""
    errors: list[str] = field(default_factory=list)
    step_costs: dict[str, float] = field(default_factory=dict)
    """Waits and copies of a training step, by `kind op file:line`: times a step."""
    costs: dict[str, dict[str, int]] = field(default_factory=dict)
    """The same of every other part, in all."""
    numbers: list[dict[str, float]] = field(default_factory=list)
    """What each training step returned."""
    resumes: bool | None = None
    """Whether the same step after a resume on the device gave the same numbers."""
    cpu_seconds: float = 0.0


def made(recipe: Recipe, folder: Path) -> Project:
    """The recipe's project, built."""
    kind = find_project(recipe.project)
    project = kind(kind.Config.model_validate(recipe.config), recipe.train, recipe.compute, recipe.seed, folder)
    project.build()
    return project


def trains(recipe: Recipe) -> bool:
    """Whether its project has a training step."""
    return find_project(recipe.project).train_step is not Project.train_step


def batches(project: Project) -> Iterator[Any]:
    """Batches without end, as the loop takes them."""
    epoch = 0
    while True:
        yield from project.batches(epoch, np.random.default_rng([project.seed, epoch]))
        epoch += 1


def question(project: Project) -> Any:
    """Something to ask it, by what "try it" sends."""
    if project.takes == "row":
        return {"row": {part["name"]: part["value"] for part in project.form()["fields"]}}
    if project.takes == "picture":
        channels, height, width = project.form()["shape"]
        file = io.BytesIO()
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(file, "PNG")
        return {"picture": b64encode(file.getvalue()).decode()}
    return request(project)


def request(project: Project) -> dict[str, Any]:
    """A short request for a sample."""
    known = project.Request.model_fields
    return {"length": WRITTEN} if "length" in known else {"review": TEXT} if "review" in known else {}


class Exercise:
    """One recipe on one device. `take` gives and clears what was counted, where something counts."""

    def __init__(self, file: Path, recipe: Recipe, take: Callable[[], Costs] = Counter) -> None:
        self.file, self.recipe, self.take = file, recipe, take
        self.report = Report(file.stem, recipe.compute.device)
        self.saved = b""

    def run(self, steps: int = STEPS) -> Report:
        """Every part in turn; an error ends its own part, and what needs it."""
        began = time.process_time()
        self.steps = steps
        trained = (self.summary, self.train, self.evaluate, self.sample, self.checkpoint, self.to_the_cpu_and_back)
        # A lesson without a training step is only asked.
        parts = (self.build, *(trained if trains(self.recipe) else (self.sample,)), self.answer)
        for part in parts:
            self.take()
            try:
                part()
            except Exception as error:
                self.report.errors.append(f"{part.__name__}: {described(error)}")
                if part == self.build:
                    break
            if part != self.train:
                self.report.costs[part.__name__] = named(self.take())
        self.report.cpu_seconds = round(time.process_time() - began, 2)
        return self.report

    def build(self) -> None:
        self.project = made(self.recipe, self.file.parent)
        self.stream = batches(self.project)

    def looked(self, source: Callable[[], Iterable[Any]]) -> None:
        """Evaluations and samples as the loop asks for them, and as its log writes them."""
        with self.project.looking(1):
            for event in source():
                encode(event)

    def summary(self) -> None:
        self.looked(self.project.summary)

    def train(self) -> None:
        costs: Costs = Counter()
        for step in range(self.steps):
            self.project.progress = step / 100
            batch = next(self.stream)
            self.take()
            numbers = self.project.keep(self.project.train_step(batch))
            # The first step makes the optimizer's state.
            costs.update(self.take() if step else ())
            self.report.numbers.append(dict(zip(numbers, self.project.floats(list(numbers.values())), strict=True)))
        self.report.step_costs = {name: times / (self.steps - 1) for name, times in named(costs).items()}
        if not all(math.isfinite(value) for numbers in self.report.numbers for value in numbers.values()):
            raise ArithmeticError("a number is not finite")

    def evaluate(self) -> None:
        for split in ("valid", "test"):
            self.looked(lambda split=split: self.project.evaluate(split))

    def sample(self) -> None:
        asked = self.project.Request.model_validate({**self.recipe.explore, **request(self.project)})
        self.looked(lambda: self.project.sample(asked))

    def checkpoint(self) -> None:
        """Save, step, go back, and step again with the same batch: the same numbers."""
        self.saved = self.project.encode_state({"random": self.project.random_state(), "state": self.project.state()})
        batch = next(self.stream)
        first, second = (self.stepped(self.project, self.saved, batch) for _ in range(2))
        self.report.resumes = first == second

    @staticmethod
    def stepped(project: Project, saved: bytes, batch: Any) -> list[float]:
        tree = project.decode_state(saved)
        project.load_state(tree["state"])
        project.set_random_state(tree["random"])
        return project.floats(list(project.train_step(batch).values()))

    def to_the_cpu_and_back(self) -> None:
        """The checkpoint goes on on the CPU, and what that saves goes on here."""
        compute = msgspec.structs.replace(self.recipe.compute, device="cpu")
        other = made(msgspec.structs.replace(self.recipe, compute=compute), self.file.parent)
        self.stepped(other, self.saved, next(batches(other)))
        self.stepped(self.project, other.encode_state({"random": other.random_state(), "state": other.state()}), next(self.stream))

    def answer(self) -> None:
        if self.project.takes:
            with self.project.evaluating():
                msgspec.json.encode(self.project.predict(question(self.project)))


def named(costs: Costs) -> dict[str, int]:
    """Costs by `kind op file:line`."""
    return {" ".join(key): times for key, times in sorted(costs.items())}


def described(error: Exception) -> str:
    """An error with its innermost line in the workbench, and its innermost line."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "workbench" in frame.filename]
    places = " in ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in (frames[-1], *ours[-1:]))
    return f"{type(error).__name__} at {places}: {str(error)[:300]}"
