"""Small forms over the screens of endpoints: which model to serve, to add with a share, to shadow; which file to answer."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.problems import Problem, one_line
from workbench.recipes.schema_check import Schema
from workbench.tui.models.background import Command
from workbench.tui.screens.ask import AskScreen

if TYPE_CHECKING:
    from workbench.tui.screens.key_screen import KeyScreen

Take = Callable[[dict[str, Any]], None]
NOTHING = "none"


def labels(served: Collection[str] = ()) -> list[str]:
    """The models of the store as NAME:VERSION without those that are `served`, newest versions first, other versions of theirs on top."""
    from workbench.encoding import model_store

    own = {label.partition(":")[0] for label in served}
    names = sorted(model_store.names(), key=lambda name: (name not in own, name))
    every = [f"{name}:{version}" for name in names for version in reversed(model_store.versions(name))]
    return [label for label in every if label not in served]


def _ask(screen: "KeyScreen", title: str, send: str, properties: Schema, take: Take) -> None:
    """Ask for these values, and hand over what a person sends."""
    schema: Schema = {"type": "object", "properties": properties, "required": list(properties)}
    values = {name: field["default"] for name, field in properties.items()}
    screen.app.push_screen(AskScreen(title, send, schema, values, "this form"), lambda values: take(values) if values is not None else None)


def _models(screen: "KeyScreen", served: Collection[str] = ()) -> list[str]:
    """The models to choose from; says so where there is none."""
    models = labels(served)
    if not models:
        text = "There is no other model yet" if served else "There is no model yet"
        screen.services.say(f"{text}: `dlwb export RUN --to model` makes one.", warning=True)
    return models


def _choice(models: list[str], text: str) -> Schema:
    return {"enum": models, "default": models[0], "description": text}


def new_endpoint(screen: "KeyScreen") -> None:
    """Serve a model of the store."""
    if models := _models(screen):
        text = "The model and its version; the endpoint gets the model's name"
        _ask(screen, "Serve a model", "serve", {"model": _choice(models, text)}, lambda values: screen.services.serve(values["model"]))


def add_version(screen: "KeyScreen", served: Collection[str], take: Take) -> None:
    """Give a model a share of the traffic; for a time, that makes it a canary."""
    if not (models := _models(screen, served)):
        return
    properties: Schema = {
        "model": _choice(models, "The model and its version; its answers are checked before it gets any request"),
        "share": {
            "type": "number",
            "minimum": 1,
            "maximum": 100,
            "default": 10.0,
            "description": "Percent of the traffic that it gets; the other variants share what is left",
        },
        "minutes": {
            "type": "number",
            "minimum": 0,
            "maximum": 10080,
            "default": 0.0,
            "description": "0: the share stays. Else it is a canary: after so many minutes it gets all, and where it errs it is taken back",
        },
    }

    def sent(values: dict[str, Any]) -> None:
        share = values["share"] / 100
        take({"variants": [[values["model"], None if share == 1 else share]], "seconds": 60.0 * values["minutes"]})

    _ask(screen, "Add a version", "add", properties, sent)


def choose_shadow(screen: "KeyScreen", served: Collection[str], shadowed: bool, take: Take) -> None:
    """Give a model copies of all requests, or end that."""
    choices = [NOTHING, *labels(served)] if shadowed else _models(screen, served)
    if not choices:
        return
    text = "It gets each request after it was answered; its errors reach nobody, and where it answers otherwise is listed"
    _ask(
        screen,
        "Shadow",
        "shadow",
        {"model": _choice(choices, text)},
        lambda values: take({"shadow": "" if values["model"] == NOTHING else values["model"]}),
    )


def answer_file(screen: "KeyScreen", label: str, begun: Callable[[Command], None]) -> None:
    """Answer every row of a file in the background: killed, the same command goes on where it was."""
    properties: Schema = {
        "input": {"type": "string", "minLength": 1, "default": "", "description": "A .csv, .jsonl or .txt file, or a folder of pictures"},
        "output": {"type": "string", "minLength": 1, "default": "answers.csv", "description": "Where the answers go: .csv or .jsonl"},
        "bad_rows": {
            "enum": ["stop", "row"],
            "default": "stop",
            "description": "What a row does that the model does not take: stop, or a row that says why",
        },
    }

    def sent(values: dict[str, Any]) -> None:
        source, target = (str(Path(values[name]).expanduser()) for name in ("input", "output"))
        try:
            begun(Command(f"batch {label}", ["predict", label, "--batch", source, "--to", target, "--on-error", values["bad_rows"]]))
        except (Problem, OSError) as problem:
            screen.services.say(one_line(str(problem), 400), warning=True)

    _ask(screen, f"Answer a file with {label}", "answer", properties, sent)
