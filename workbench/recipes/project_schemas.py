"""What a project's settings and requests may be, without importing it: from a committed file, a cache, or a process of its own."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from workbench import __version__, files, paths
from workbench.problems import Problem, one_line
from workbench.recipes import trust
from workbench.recipes.find import project_source, shipped_projects

PATIENCE = 120
"""Seconds that a project may take to describe itself: importing torch from a slow disk takes long."""


class ProjectSchema(msgspec.Struct, frozen=True, kw_only=True):
    """What a project says about itself."""

    config: dict[str, Any]
    """JSON schema of its Config; a field with `live: true` may change during a run."""
    request: dict[str, Any] = {}
    """JSON schema of a request to its `sample`."""
    devices: tuple[str, ...] = ("cpu",)
    trains: bool = True
    """Whether it has a training step; a project without one is only explored."""
    takes: str = ""
    """The input that "try it" asks for: picture, text, row."""
    datasets: tuple[tuple[str, dict[str, str]], ...] = ()
    """Sets of the catalogue that it reads besides `config.data`, each with the settings under which it does."""
    about: str = ""
    """First line of its docstring."""

    @property
    def live(self) -> list[str]:
        """Names of the settings that may change during a run."""
        return [name for name, field in self.config.get("properties", {}).items() if field.get("live")]


class _Shipped(msgspec.Struct):
    sha256: str
    schema: ProjectSchema


def shipped_file() -> Path:
    """The committed file with the schemas of the shipped projects, each with the hash of its source."""
    return paths.projects() / "schemas.json"


def describe(project: str | Path, *, may_run: bool = True) -> ProjectSchema | None:
    """The schema of a shipped project (by name) or a trusted file; None where it must be run for that and `may_run` is False.

    Raises Problem where the project cannot be described. The caller checks `trust.is_trusted`; it is checked again before code runs.
    """
    source = project if isinstance(project, Path) else project_source(project)
    digest = trust.sha256(source)
    if isinstance(project, str):
        shipped = _committed(shipped_file(), _stamp(shipped_file())).get(project)
        if shipped and shipped.sha256 == digest:
            return shipped.schema
    # The version is part of the key, because the base classes contribute to the schema.
    file = paths.cache_folder() / "schemas" / f"{digest}-{__version__}.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=ProjectSchema)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        pass
    if not may_run:
        return None
    schema = run_describe(project)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write(file, msgspec.json.encode(schema), sync=False)
    except OSError:
        pass  # it is only a cache
    return schema


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


@cache
def _committed(file: Path, stamp: tuple[int, int]) -> dict[str, _Shipped]:
    """The committed schemas; with `stamp` in the cache's key, a changed file is read again."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, _Shipped])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}


def run_describe(project: str | Path) -> ProjectSchema:
    """Ask the project itself, in a separate process."""
    name = project if isinstance(project, str) else str(project.absolute())
    if isinstance(project, Path) and not trust.is_trusted(project):
        raise Problem(f"{one_line(name)} is not trusted, so it was not run.", f"`dlwb trust {one_line(name)}` if you know what it does.")
    return _ask([name])[0]


def _ask(names: list[str]) -> list[ProjectSchema]:
    """The schemas of these projects, from one process: most of its time is the import of torch."""
    import subprocess  # rarely needed, and slow to import

    asked = one_line(names[0]) if len(names) == 1 else f"One of {len(names)} projects"
    command = [sys.executable, "-P", "-m", "workbench.training.describe", *names]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE * len(names),
            check=False,
            cwd=paths.working_folder(),
        )
    except subprocess.TimeoutExpired:
        raise Problem(f"{asked} did not describe itself within {PATIENCE} s.", "Does it do work when it is imported?") from None
    if done.returncode:
        lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        raise Problem(one_line(lines[-1], 500) if lines else f"{asked} ended with exit code {done.returncode} while it was described.")
    try:
        # Only the last lines: a project may have printed something at import.
        return [msgspec.json.decode(line, type=ProjectSchema) for line in done.stdout.strip().split(b"\n")[-len(names) :]]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(f"The description of {asked} cannot be read: {one_line(str(error))}.") from None


def described_anew() -> bytes:
    """What the committed file should hold: every shipped project is asked."""
    names = shipped_projects()
    shipped = {
        name: _Shipped(sha256=trust.sha256(project_source(name)), schema=schema) for name, schema in zip(names, _ask(names), strict=True)
    }
    return msgspec.json.format(msgspec.json.encode(shipped), indent=1) + b"\n"
