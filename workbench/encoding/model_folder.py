"""A model as a folder: model.json, sealed and written last, names every other file with its size and SHA-256. Read with distrust."""

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench import files
from workbench.encoding.kinds import SAFE, Decoder, Encoder
from workbench.problems import Problem, one_line

if TYPE_CHECKING:
    from workbench.encoding.coding import Coding

FORMAT = 1
LARGEST = 4 << 30
"""Most bytes of a file in a model folder."""
LINES = 2_000_000
"""Most lines of vocabulary.txt and labels.txt."""
SUFFIXES = {".onnx", ".ubj", ".txt", ".json", ".yaml", ".md", ".safetensors", ""}
"""Endings of the files that a model folder may have; nothing in it is ever executed or unpickled."""


class Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file as model.json names it."""

    size: Annotated[int, Meta(ge=0, le=LARGEST)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """model.json."""

    format: int
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    version: Annotated[int, Meta(ge=1, le=1_000_000)]
    kind: Literal["onnx", "xgboost", "project"]
    encoder: Encoder
    decoder: Decoder
    files: dict[str, Sealed]
    exporter: str = ""
    opset: int = 0
    libraries: dict[str, str] = {}
    run: str = ""
    recipe: str = ""
    seed: int = 0
    variant: str = ""
    """What the data is called where a stand-in was trained on."""
    figures: dict[str, float] = {}
    """Metrics with their split: `test/accuracy`."""
    difference: float = 0.0
    """Largest difference of an output between the graph and the project on real inputs, when it was exported."""


class ModelFolder:
    """A folder that was read and found whole."""

    def __init__(self, path: Path, model: Model, digest: str) -> None:
        self.path, self.model, self.digest = path, model, digest
        """`digest`: SHA-256 of model.json, the identity of the model."""

    @property
    def label(self) -> str:
        """`name:version`."""
        return f"{self.model.name}:{self.model.version}"

    def coding(self) -> "Coding":
        """How raw input and output are coded."""
        from workbench.encoding.coding import Coding  # NumPy, which a router does without

        words = self._lines("vocabulary.txt") if "vocabulary.txt" in self.model.files else []
        return Coding(self.model.encoder, self.model.decoder, self.labels(), words)

    def labels(self) -> list[str]:
        """The classes that it answers, by number; [] where it answers none."""
        return self._lines("labels.txt") if "labels.txt" in self.model.files else []

    def examples(self) -> list[dict[str, Any]]:
        """Real raw inputs with the answers of the project's `predict`: `{"input", "answer"}` each."""
        found = msgspec.json.decode(files.read_plain(self.path / "examples.json"), type=list[dict[str, Any]])
        return [example for example in found if "input" in example and "answer" in example]

    def _lines(self, name: str) -> list[str]:
        lines = files.read_plain(self.path / name).decode().split("\n")[:-1]
        return [re.sub(r"\\(.)", lambda escape: "\n" if escape[1] == "n" else escape[1], line) for line in lines[:LINES]]


def lines(values: list[str]) -> bytes:
    """Texts one a line, as vocabulary.txt and labels.txt hold them."""
    return "".join(value.replace("\\", "\\\\").replace("\n", "\\n") + "\n" for value in values).encode()


def seal(target: Path, about: dict[str, Any], write: Callable[[Path], None]) -> ModelFolder:
    """Make a model folder at `target`: `write` fills a hidden folder beside it, which is synced, sealed and renamed.

    Problem where there is one already: a version never changes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        write(hidden)
        sealed = {}
        for path in sorted(hidden.iterdir()):
            sealed[path.name] = Sealed(size=path.stat().st_size, sha256=_sha256(path))
            _sync(path)
        model = msgspec.convert({**about, "format": FORMAT, "files": {}}, Model)
        model = msgspec.structs.replace(model, files=sealed)
        data = msgspec.json.format(msgspec.json.encode(model, order="sorted"), indent=2)
        files.write(hidden / "model.json", data)
        hidden.chmod(0o755)
        try:
            hidden.rename(target)
        except OSError as error:
            raise Problem(f"{target.name} of {target.parent.name} is there already, and a version never changes.") from error
        _sync(target.parent)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return read(target)


def read(path: Path) -> ModelFolder:
    """The model in a folder, every file compared with its seal. Raises Problem, one sentence, where anything is not as it should be."""
    shown = one_line(str(path))
    try:
        data = files.read_plain(path / "model.json", 16 << 20)
        document = msgspec.json.decode(data)
        stated = document.get("format") if isinstance(document, dict) else None
        if isinstance(stated, int) and stated > FORMAT:
            raise _bad(f"{shown} has format {stated}, which a newer dlwb writes; this one reads {FORMAT}.", "Update dlwb.")
        model = msgspec.convert(document, Model)
    except FileNotFoundError:
        raise _bad(f"{shown} is no model folder: it has no model.json.") from None
    except (OSError, ValueError, RecursionError, AttributeError) as error:  # msgspec's errors are ValueErrors
        raise _bad(f"model.json of {shown} cannot be read: {one_line(str(error), 200)}.") from None
    needed = {"onnx": "model.onnx", "xgboost": "model.ubj", "project": "recipe.yaml"}[model.kind]
    if needed not in model.files:
        raise _bad(f"{shown} names no {needed}, which a model of kind {model.kind} has.")
    present = {entry.name for entry in os.scandir(path)} - {"model.json"}
    for name, sealed in sorted(model.files.items()):
        file = path / name
        if not SAFE.fullmatch(name) or file.suffix not in SUFFIXES:
            raise _bad(f"{shown} names a file {one_line(name, 80)!r}, which a model folder cannot have.")
        if name not in present:
            raise _bad(f"{name} is missing in {shown}.", "Export or copy the model again.")
        if file.is_symlink() or not file.is_file():
            raise _bad(f"{name} in {shown} is not a plain file.", "Put the file itself there, not a link.")
        if file.stat().st_size != sealed.size or _sha256(file) != sealed.sha256:
            raise _bad(f"{name} in {shown} is not the file that was exported.", "Export or copy the model again.")
    if extra := sorted(present - set(model.files)):
        raise _bad(f"{shown} has a file that model.json does not name: {one_line(extra[0], 80)}.", "Remove it.")
    return ModelFolder(path, model, hashlib.sha256(data).hexdigest())


def pack(folder: ModelFolder, target: Path) -> None:
    """The model as a .tar.gz, as SageMaker takes it; the same folder makes the same bytes."""
    import gzip

    with target.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name in sorted([*folder.model.files, "model.json"]):
            info = tarfile.TarInfo(name)
            info.size = (folder.path / name).stat().st_size
            with (folder.path / name).open("rb") as file:
                tar.addfile(info, file)


def _bad(text: str, hint: str = "") -> Problem:
    return Problem(text, hint, "data")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
