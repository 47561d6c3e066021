"""`python -m workbench.training.reproduce BUNDLE [--anyway]`: trains the run of a bundle again and compares it, bit for bit.

Before that it names, in one sentence each, what differs from what the run was trained with: a byte of the bundle's files, the code, a
version, the threads, a setting, later the data. `--anyway` goes on in spite of it. `--parameters RUN` prints the hash of a run's weights.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from workbench import files
from workbench.events import Event, Mark, Scalars
from workbench.launch.surroundings import worker_environment
from workbench.preparation import Console
from workbench.problems import Problem, one_line
from workbench.recipes import closure, yaml_reader
from workbench.recipes.find import project_source
from workbench.recipes.recipe import Recipe
from workbench.runs import measured, metric_stream, processor
from workbench.runs.bundle import EXPECTED, Expected, names_alone, stream_of
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.export.code_needed import differing
from workbench.runs.history import History, history_of
from workbench.runs.log import EventLog
from workbench.runs.run import Run

EVERY = 2.0
"""Seconds between two lines that say how far the training is."""
NAMED = 3
"""How many differences of one kind a sentence names."""


def parameters(checkpoints: Path, decode: Any) -> str:
    """The SHA-256 of everything that the training changed, from the newest checkpoint: names, kinds, shapes, bits."""
    newest = Checkpoints(checkpoints).newest(decode)
    if newest is None:
        raise Problem("The run has no checkpoint, so its parameters are not known.", "Train it again.")
    digest = hashlib.sha256()
    _feed(digest, newest[1]["state"])
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            digest.update(f"{key!s}\0".encode())
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"[{len(value)}".encode())
        for item in value:
            _feed(digest, item)
    elif hasattr(value, "dtype"):
        digest.update(f"{value.dtype} {tuple(value.shape)}\0".encode())
        # NumPy has no bfloat16; in float32 it has the same value.
        array = value.detach().cpu() if hasattr(value, "detach") else value
        array = (array.float() if str(array.dtype) == "torch.bfloat16" else array).numpy() if hasattr(array, "numpy") else array
        digest.update(array.tobytes())
    else:
        digest.update(f"{value!r}\0".encode())


def read(bundle: Path) -> Expected:
    """What a bundle expects. Problem where it is damaged, or none."""
    file = bundle / EXPECTED
    try:
        expected = msgspec.json.decode(files.read_plain(file, follow=True), type=Expected)
        stream_of(expected)
        return expected
    except OSError as error:
        raise files.problem(one_line(str(file), 200), "read", error, file) from None
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise Problem(f"{EXPECTED} is damaged: {one_line(str(error), 160)}.", "Unpack the bundle again.") from None


def _recipe(bundle: Path) -> Recipe:
    document = yaml_reader.read(bundle / "recipe.yaml")
    try:
        if document.faults:
            raise msgspec.ValidationError(document.faults[0].text)
        return msgspec.convert(document.value, Recipe)
    except msgspec.ValidationError as error:
        raise Problem(f"recipe.yaml cannot be used: {one_line(str(error))}.") from None


def unlike(bundle: Path, expected: Expected) -> list[str]:
    """A sentence for each kind of difference between what the run was trained with and what is here."""
    recipe, sentences = _recipe(bundle), []

    def say(what: str, names: list[str]) -> None:
        if names:
            more = f" and {len(names) - NAMED} more" * (len(names) > NAMED)
            sentences.append(f"{what}: {', '.join(names[:NAMED])}{more}.")

    if recipe.compute.threads != expected.threads:
        sentences.append(f"The threads have changed: {recipe.compute.threads} here and {expected.threads} in the run.")
    settings = measured.differences(recipe, expected.recipe)
    settings += [name for name in ("seed", "project") if getattr(recipe, name) != getattr(expected.recipe, name)]
    compute, before = (msgspec.structs.asdict(one.compute) for one in (recipe, expected.recipe))
    settings += [f"compute.{name}" for name in compute if name != "threads" and compute[name] != before[name]]
    say("Settings have changed in recipe.yaml", settings)
    bytes_changed = [name for name, digest in expected.files.items() if _digest(bundle / name) != digest]
    code = closure.closure(project_source(expected.recipe.project))
    if code.hash != expected.code:
        say("The code has changed", bytes_changed or closure.changed(expected.code_files, code.files) or ["its imports"])
    else:
        say("Files of the bundle have changed, where no figure depends on them", bytes_changed)
    say("Versions differ", differing(expected.packages, expected.python))
    return sentences


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(files.read_plain(file)).hexdigest()
    except OSError:
        return ""


class _Told(EventLog):
    """A log that also tells whoever waits how far the training is, once in a while."""

    told = 0.0

    def write(self, event: Event) -> None:
        super().write(event)
        if isinstance(event, Scalars) and time.monotonic() > self.told + EVERY and event.values:
            self.told = time.monotonic()
            figures = ", ".join(f"{one_line(tag)} {value:.4g}" for tag, value in list(event.values.items())[:NAMED])
            print(f"step {event.step:,}: {figures}", file=sys.stderr, flush=True)


def train(bundle: Path, into: Path, *, anyway: bool) -> dict[str, str]:
    """Train the bundle's recipe again into a folder, what was changed while it ran changed again; returns the hashes."""
    from workbench.training.by_hand import build, open_project
    from workbench.training.loop import Loop

    expected, recipe = read(bundle), _recipe(bundle)
    project = open_project(recipe, bundle.absolute())
    sources = names_alone(build(project, advance=Console()))
    if (data := [name for name, digest in expected.data.items() if sources.get(name) != digest]) and not anyway:
        raise Problem(
            f"The data is not what the run was trained on: {', '.join(map(one_line, data[:NAMED]))}.", "--anyway goes on with it."
        )
    past = History()
    past.marks = [Mark(text=one_line(change.text), step=change.step, settings=change.settings) for change in expected.changes]
    log = _Told(into)
    (into / "checkpoints").mkdir()
    ending = Loop(project, recipe, log, Checkpoints(into / "checkpoints"), past=past, device=recipe.compute.device).fit()
    log.close()
    return {"state": ending.state, "parameters": parameters(into / "checkpoints", project.decode_state)}


def verdict(expected: Expected, before: metric_stream.Stream, history: History, weights: str) -> tuple[bool, str]:
    """Whether the run was reproduced, and a sentence that says how far."""
    now = metric_stream.figures(history)
    number = sum(map(len, before.values()))
    different = list(metric_stream.differences(before, now))
    if not different and weights == expected.parameters:
        return True, f"Reproduced, bit for bit: {number:,} figures and the parameters ({weights[:12]}…) are those of {expected.run}."
    here = processor.other(expected.processor, processor.described())
    if here:
        promise = (
            f"The processor is of another family, {here}: figures within {metric_stream.TOLERANCE:g} are promised there, not equal bits."
        )
        far = [one for one in different if metric_stream.apart(one) > metric_stream.TOLERANCE]
        if not far:
            return True, f"Reproduced within {metric_stream.TOLERANCE:g}: {metric_stream.summed_up(before, now)}. {promise}"
        return False, f"Not reproduced: {far[0]} ({metric_stream.summed_up(before, now)}). {promise}"
    if different:
        return False, f"Not reproduced: {different[0]} ({metric_stream.summed_up(before, now)})."
    return (
        False,
        f"Not reproduced: every figure is equal, but the parameters are {weights[:12]}… here and {expected.parameters[:12]}… in the run.",
    )


def reproduce(bundle: Path, *, anyway: bool = False) -> int:
    """Look, train in a process of its own, compare; 0 where the run was reproduced."""
    expected = read(bundle)
    sentences = unlike(bundle, expected)
    for sentence in sentences:
        print(sentence, file=sys.stderr)
    if sentences and not anyway:
        print("So it was not trained again; --anyway does that.", file=sys.stderr)
        return 1
    same = not processor.other(expected.processor, processor.described())
    # What makes libraries choose other kernels is as it was; another processor might not have those.
    switches = {name: value for name, value in expected.switches.items() if same and name in processor.SWITCHES}
    others = {name: value for name, value in os.environ.items() if name not in processor.SWITCHES}
    environment = worker_environment({**others, **switches}, _recipe(bundle).compute.threads)
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-P", "-m", "workbench.training.reproduce", "--train", str(bundle.absolute()), folder]
        done = subprocess.run([*words, "anyway" if anyway else ""], env=environment, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            return 1
        hashes = json.loads(done.stdout.strip().rpartition(b"\n")[2])
        good, sentence = verdict(expected, stream_of(expected), history_of(Path(folder) / "events.jsonl"), hashes["parameters"])
    print(sentence)
    return 0 if good else 1


def main(words: list[str]) -> int:
    """What the command line asks for; a Problem is a sentence on stderr and exit code 1."""
    try:
        if words[:1] == ["--parameters"] and len(words) == 2:
            from workbench.training.trained import of_run

            run = Run(Path(words[1]))
            print(parameters(run.path / "checkpoints", of_run(run).decode_state))
            return 0
        if words[:1] == ["--train"] and len(words) == 4:
            print(json.dumps(train(Path(words[1]), Path(words[2]), anyway=bool(words[3]))))
            return 0
        places = [word for word in words if word != "--anyway"]
        if len(places) != 1 or places[0].startswith("-"):
            print(__doc__, file=sys.stderr)
            return 2
        return reproduce(Path(places[0]), anyway="--anyway" in words)
    except Problem as problem:
        print(f"{problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
