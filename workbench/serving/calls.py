"""The line with which a person asks an endpoint for the first time."""

import json
import shlex

from workbench.encoding.kinds import BagOfWords, Picture, RowOfNumbers, TextCodes
from workbench.encoding.model_folder import ModelFolder

LONGEST = 300
"""Characters of a body that still looks like one in a terminal."""


def curl(folder: ModelFolder, url: str) -> str:
    """A command that this model answers: with a real input where that is short, else with a file's name."""
    encoder, raw = folder.model.encoder, folder.examples()[0]["input"]
    kind, body = "application/json", json.dumps(raw)
    if isinstance(encoder, Picture):
        kind, body = "image/png", "@picture.png"
    elif isinstance(encoder, TextCodes | BagOfWords) and "review" in raw:
        kind, body = "text/plain", "A fine film."
    elif isinstance(encoder, RowOfNumbers) and len(body) > LONGEST:
        kind, body = "text/csv", ",".join(f"{raw['row'].get(column.name, column.mean):g}" for column in encoder.columns)
    if len(body) > LONGEST:
        body = "@request.csv" if kind == "text/csv" else "@request.json"
    # -d would take the line ends out of a file.
    data = "--data-binary" if body.startswith("@") else "-d"
    return f"curl {url}/invocations -H 'Content-Type: {kind}' {data} {shlex.quote(body)}"
