"""Projects that have another name now, for runs that were started under the old one: their recipe.yaml stays as it was written."""

from typing import Any

SENTIMENT = {
    "lstm": ("shares", "pretrained", "vector_dropout"),
    "gru": ("shares",),
    "bigrams": ("shares", "vocabulary", "length", "both_ends", "pretrained", "hidden", "layers", "vector_dropout"),
    "ensemble": (),
}
"""The methods of the former project `sentiment`, chosen by its setting `model`, each with the settings that it never used."""


def current(data: Any) -> Any:
    """A run's recipe as it was read, with the project's and the settings' names of today; what needs no change is given back as it is."""
    if not isinstance(data, dict) or data.get("project") != "sentiment" or not isinstance(data.get("config"), dict):
        return data
    model = data["config"].get("model")
    if model not in SENTIMENT:
        return data
    dropped = {"model", *SENTIMENT[model]}
    config = {name: value for name, value in data["config"].items() if name not in dropped}
    return {**data, "project": f"sentiment_{model}", "config": config}
