"""From a run to a model folder: its best weights as a graph, compared with the project on real test inputs, and what lies beside it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from workbench.encoding import baseline, booster, model_folder
from workbench.encoding.coding import Coding, Item
from workbench.encoding.kinds import NextToken, TextCodes
from workbench.encoding.model_folder import ModelFolder
from workbench.encoding.serving import Serving
from workbench.encoding.writing import written
from workbench.problems import Problem
from workbench.runs.run import Run
from workbench.runs.summary import summary_of
from workbench.torchkit.export import graph, papers, parity
from workbench.torchkit.export.parity import Parity
from workbench.training.project import Project
from workbench.training.trained import load_best, of_run

EXAMPLES = 16
"""Inputs in examples.json: what every version has to answer before it gets traffic."""
COMPARED = 192
"""Test inputs that the graph is compared with the network on."""
WATCHED = 500
"""Inputs of the baseline of a model that only its own project answers: it may take long over each."""


@dataclass(frozen=True)
class Exported:
    """A sealed model, and how near to its project it answers."""

    folder: ModelFolder
    parity: Parity


def export(run: Run, target: Path, doing: Callable[[str], None] = lambda what: None) -> Exported:
    """Seal the run's best weights as a model at `target`, NAME/VERSION. Raises Problem where the network cannot be asked elsewhere, or
    where the graph answers otherwise than the project."""
    project = of_run(run)
    project.build(doing)
    doing("loading its weights")
    load_best(project, run)
    with project.evaluating():
        return seal(project, run, target, doing)


def seal(project: Project, run: Run, target: Path, doing: Callable[[str], None] = lambda what: None) -> Exported:
    """As `export`, of a project that is built and has its weights."""
    serving = project.serving()
    recipe, summary = run.recipe(), summary_of(run)
    raws = list(serving.examples(COMPARED))
    if len(raws) < EXAMPLES:
        raise Problem(f"The test split has {len(raws)} inputs, and a model is compared on {EXAMPLES} at least.", "", "data")
    made = _computed(project, serving, raws, doing)
    doing("asking the project")
    examples = [{"input": raw, "answer": asked(project, raw)} for raw in raws[:EXAMPLES]]
    if made.answered:
        parity.same_answers(raws[:EXAMPLES], [example["answer"] for example in examples], made.answered)
    doing("answering the test split")
    most = EXAMPLES if isinstance(serving.coding.decoder, NextToken) else baseline.SAMPLE if made.outputs else WATCHED
    watched = list(serving.examples(most))
    answers = _answers(serving.coding, made.outputs, watched) if made.outputs else [asked(project, raw) for raw in watched]
    known = baseline.of(serving.coding, watched, answers, serving.truths(len(watched)))
    name, version = target.parent.name, int(target.name)

    def write(folder: Path) -> None:
        files = {
            **made.files,
            "examples.json": json.dumps(examples).encode(),
            "baseline.json": msgspec.json.encode(known, order="deterministic"),
            "recipe.yaml": papers.recipe_yaml(recipe),
            "MODEL_CARD.md": papers.card(name, recipe, project, serving, summary, raws[0], examples[0]["answer"]),
            **papers.mlflow(serving, run.id, made.example, made.output),
        }
        for label, texts in (("labels.txt", serving.coding.labels), ("vocabulary.txt", serving.coding.vocabulary)):
            if texts:
                files[label] = model_folder.lines(list(texts))
        for file, data in files.items():
            (folder / file).write_bytes(data)

    about = {
        "name": name,
        "version": version,
        "kind": serving.kind,
        "encoder": msgspec.to_builtins(serving.coding.encoder),
        "decoder": msgspec.to_builtins(serving.coding.decoder),
        "exporter": serving.exporter if serving.kind == "onnx" else "",
        "opset": graph.OPSET if serving.kind == "onnx" else 0,
        "libraries": papers.versions(serving.kind),
        "run": run.id,
        "recipe": run.stem,
        "seed": recipe.seed,
        "variant": project.variant,
        "figures": papers.figures(recipe, summary),
        "difference": made.parity.difference,
    }
    doing("writing the model")
    return Exported(model_folder.seal(target, about, write), made.parity)


def asked(project: Project, raw: Any) -> dict[str, Any]:
    """The project's own answer, without what it adds for people."""
    # Where the whole answer takes long, the first one is what it begins with.
    answer = project.first_answer(raw) or project.predict(raw)
    # A written text is what serving calls the answer.
    answer = {"answer": answer["text"], **answer} if "text" in answer else answer
    return {key: answer[key] for key in ("answer", "probabilities", "unit", "next") if key in answer}


@dataclass(frozen=True)
class _Made:
    parity: Parity
    files: dict[str, bytes] = field(default_factory=dict)
    outputs: Callable[[np.ndarray], np.ndarray] | None = None
    answered: Callable[[Any], Any] | None = None
    example: np.ndarray | None = None
    output: np.ndarray | None = None


def _computed(project: Project, serving: Serving, raws: Sequence[Any], doing: Callable[[str], None]) -> _Made:
    """What computes the answers, as files, and how it is asked here."""
    if serving.kind == "project":
        return _Made(Parity(0.0, len(raws)))
    coding, module = serving.coding, serving.graph
    items = [coding.encode(raw) for raw in raws]
    if serving.kind == "xgboost":
        return _boosted(coding, module, items, doing)
    import torch
    from safetensors.torch import save

    example, free = _example(coding, items)
    doing("exporting the graph")
    data = graph.of_module(module, example, free, ["output", *(f"{name}_after" for name in list(example)[1:])], serving.exporter)
    session = graph.opened(data)
    doing(f"comparing {len(items)} answers")

    def network(*arrays: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            outputs = module(*(torch.from_numpy(array) for array in arrays))
        return [tensor.numpy() for tensor in (outputs if isinstance(outputs, tuple) else (outputs,))]

    weights = save({name: tensor.detach().contiguous().clone() for name, tensor in sorted(module.state_dict().items())})
    files = {"model.onnx": data, "weights.safetensors": weights}
    answered = _answering(coding, session)
    output = session(list(example.values()))[0]
    if isinstance(coding.decoder, NextToken):
        compared = parity.compare_steps(coding, items, lambda arrays: network(*arrays), session)
        return _Made(compared, files, None, answered, example[coding.name], output)

    def outputs(arrays: np.ndarray) -> np.ndarray:
        return session([arrays])[0]

    compared = parity.compare(coding, items, lambda arrays: network(arrays)[0], outputs)
    return _Made(compared, files, outputs, answered, example[coding.name], output)


def _answering(coding: Coding, session: graph.Outputs) -> Callable[[Any], Any]:
    """Raw input to final answer by an open graph, as serving does it."""

    def step(codes: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        logits, *after = session([codes, *state])
        return logits, after

    if isinstance(coding.decoder, NextToken):
        return lambda raw: written(coding, raw, step)
    return lambda raw: coding.decode(session([coding.batch([coding.encode(raw)])])[0][0])


def _example(coding: Coding, items: Sequence[Item]) -> tuple[dict[str, np.ndarray], dict[str, dict[int, str]]]:
    """Arrays that the graph is traced with, by name, and which of their axes may have any length."""
    batch = coding.batch(items[:2])
    decoder = coding.decoder
    if not isinstance(decoder, NextToken) or decoder.window:
        return {coding.name: batch}, {coding.name: _free(coding)}
    # One token of each text, and states that are not zeros, which a graph could take for constants.
    states = {name: np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype(np.float32) for name, shape in decoder.states.items()}
    return {coding.name: batch[:, :1], **states}, {name: {0: "batch"} for name in (coding.name, *states)}


def _boosted(coding: Coding, model: Any, items: Sequence[Item], doing: Callable[[str], None]) -> _Made:
    """A booster's file, read back and compared with the one in memory."""
    data = bytes(model.save_raw("ubj"))
    read, batch = booster.load(data), coding.batch(items[:2])
    doing(f"comparing {len(items)} answers")

    def outputs(arrays: np.ndarray) -> np.ndarray:
        return booster.outputs(read, arrays, coding.encoder)

    def answered(raw: Any) -> Any:
        return coding.decode(outputs(coding.batch([coding.encode(raw)]))[0])

    compared = parity.compare(coding, items, lambda arrays: booster.outputs(model, arrays, coding.encoder), outputs)
    return _Made(compared, {"model.ubj": data}, outputs, answered, batch, outputs(batch))


def _free(coding: Coding) -> dict[int, str]:
    """The axes of the encoder's array that may have any length."""
    is_ragged = isinstance(coding.encoder, TextCodes) and not coding.encoder.padded
    return {0: "batch", 1: "length"} if is_ragged else {0: "batch"}


def _answers(coding: Coding, outputs: Callable[[np.ndarray], np.ndarray], raws: Sequence[Any]) -> list[dict[str, Any]]:
    """The answers to many inputs, texts of similar length together."""
    items = [coding.encode(raw) for raw in raws]
    order = sorted(range(len(items)), key=lambda place: items[place].array.size)
    answers: list[dict[str, Any]] = [{}] * len(items)
    for start in range(0, len(order), max(parity.BATCHES)):
        places = order[start : start + max(parity.BATCHES)]
        for place, output in zip(places, outputs(coding.batch([items[place] for place in places])), strict=True):
            answers[place] = coding.decode(output)
    return answers
