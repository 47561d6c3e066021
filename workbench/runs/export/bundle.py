"""A run as a bundle: a folder, and a .tar.gz of it, from which another machine trains the run again and compares the figures bit for bit.

It has the recipe, the code that the run needs, the versions of all packages, hashes of the data (never the data), threads and processor,
what has to come out, and one command, `./reproduce`.
"""

import gzip
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec

from workbench import __version__, files, paths
from workbench.problems import Problem, one_line
from workbench.recipes import closure
from workbench.recipes.find import project_source
from workbench.recipes.processes import why_not_exact
from workbench.recipes.recipe import Recipe, dump_recipe
from workbench.runs import family, metric_stream, processor
from workbench.runs.bundle import EXPECTED, Change, Expected, names_alone
from workbench.runs.export import code_needed
from workbench.runs.export.portable import Places, portable_config, refuse
from workbench.runs.history import history_of
from workbench.runs.run import Run

REPRODUCE = """\
#!/bin/sh
# Trains this run again with the code in code/ and compares every figure. $PYTHON: a Python with the packages of requirements.txt.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd) || exit 1
PYTHONPATH="$here/code${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" -P -m workbench.training.reproduce "$here" "$@"
"""
README = """\
{title}

This folder trains the run {run} again and compares it, bit for bit: {figures} figures of {steps} steps, and the parameters.

1. A Python {python} on {system} with the packages of this folder, one of:
     python3 -m venv venv && venv/bin/pip install -r requirements.txt
     conda env create -f environment.yml
2. PYTHON=venv/bin/python ./reproduce

It ends with exit code 0 where the run was reproduced. What differs (a byte of the code, a version, the threads, the data) is named before
it trains; --anyway trains all the same.

Equal bits are promised on a processor of the same family with the same instructions ({processor}), and figures within {tolerance:g} on
another. The data is not part of this folder: {data}.
"""


def to_bundle(run: Run, folder: Path) -> Path:
    """Write the folder and the archive beside it; returns the folder. Problem where the run cannot be trained again as it was."""
    recipe = refuse(run, "bundle")
    if why := why_not_exact(recipe):
        raise Problem(
            f"{run.id} {why}",
            f"`dlwb run {run.stem} --device cpu` makes a run that can be bundled.",
        )
    code, places = _code(run, recipe), Places(run)
    recipe = msgspec.structs.replace(recipe, config=portable_config(recipe.config, places))
    archive = folder.with_name(f"{folder.name}.tar.gz")
    for there in (folder, archive):
        if os.path.lexists(there):
            raise Problem(f"{one_line(str(there), 200)} is there already.", "Remove it, or name another with -o.")
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _fill(part, run, recipe, code, places)
        with files.beside(archive) as packed:
            packed.write_bytes(_packed(part, folder.name))
            part.rename(folder)
            packed.rename(archive)
    except OSError as error:
        raise files.problem(one_line(str(folder), 200), "written", error, folder) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder.absolute()


def _code(run: Run, recipe: Recipe) -> closure.Closure:
    """The code as it is. Problem where it, or a version, is not what trained the run: the bundle would give other figures."""
    if changed := run.changed_code():
        raise Problem(
            f"The code has changed since {run.id} was trained ({', '.join(changed[:3])}), and a bundle holds the code as it is.",
            f"`dlwb run {run.stem}` trains it again.",
        )
    trained = run.about().get("versions")
    trained = {name: one_line(str(version), 40) for name, version in trained.items()} if isinstance(trained, dict) else {}
    python = trained.pop("python", platform.python_version())
    trained.pop("dlwb", "")  # its code is compared
    other = code_needed.differing(trained, python)
    if other:
        raise Problem(f"Versions have changed since {run.id} was trained: {', '.join(other)}.", "Export it where it was trained.")
    return closure.closure(project_source(recipe.project))


def _fill(folder: Path, run: Run, recipe: Recipe, code: closure.Closure, places: Places) -> None:
    package, project = paths.projects().parent, project_source(recipe.project)
    sources, foreign = code_needed.needed(project, package)
    versions = code_needed.pins(foreign)
    for source in [*sources, package / "projects" / "schemas.json"]:
        _copy(source, folder / "code" / source.relative_to(package.parent))
    _copy(paths.shipped("data") / "catalog.yaml", folder / "code" / "data" / "catalog.yaml")
    if closure.closure_hash(folder / "code" / project.relative_to(package.parent), folder / "code" / package.name) != code.hash:
        raise Problem(f"The code of {recipe.project} imports more than its files say, so it cannot be bundled.", "Import it by its name.")
    lines = code_needed.requirements(versions)
    history = history_of(run.events)
    stream, data = metric_stream.figures(history), names_alone(files.read_object(run.path / "sources.json"))
    machine = processor.described()
    (folder / "recipe.yaml").write_text(dump_recipe(recipe))
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n")
    (folder / "environment.yml").write_text(_environment(run.stem, lines))
    (folder / "reproduce").write_text(REPRODUCE)
    (folder / "reproduce").chmod(0o755)
    own = f" Its author's own data has to lie beside this file: {', '.join(places.own)}." if places.own else ""
    (folder / "README.txt").write_text(
        README.format(
            title=one_line(recipe.title),
            run=f"{run.id} ({forked.words})" if (forked := family.forked(run)) else run.id,
            figures=f"{sum(map(len, stream.values())):,}",
            steps=f"{history.step:,}",
            python=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}",
            processor=machine["name"],
            tolerance=metric_stream.TOLERANCE,
            data=("its hashes are in expected.json, and it is fetched" if data else "it comes with a package") + "." * bool(own) + own[:-1],
        )
    )
    written = {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "recipe.yaml"
    }
    expected = Expected(
        run=run.id,
        forked=forked.words if (forked := family.forked(run)) else "",
        dlwb=__version__,
        python=platform.python_version(),
        packages=versions,
        code=code.hash,
        code_files=code.files,
        files=written,
        recipe=recipe,
        changes=[Change(step=mark.step, settings=mark.settings, text=mark.text) for mark in history.marks if mark.settings],
        threads=recipe.compute.threads,
        processor=machine,
        switches=processor.switches(),
        data=data,
        parameters=_parameters(run),
        metrics=metric_stream.digest(stream),
        steps=history.step,
        stream={tag: [(step, value.hex()) for step, value in points] for tag, points in stream.items()},
    )
    (folder / EXPECTED).write_bytes(msgspec.json.format(msgspec.json.encode(expected), indent=1) + b"\n")


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(source.read_bytes())


def _parameters(run: Run) -> str:
    """The hash of the run's parameters, from a process that can read its checkpoint."""
    command = [sys.executable, "-P", "-m", "workbench.training.reproduce", "--parameters", str(run.path.absolute())]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=paths.working_folder())
    if done.returncode:
        raise Problem(one_line(done.stderr.strip().rpartition("\n")[2]) or f"The checkpoint of {run.id} cannot be read.")
    return done.stdout.strip()


def _environment(stem: str, lines: list[str]) -> str:
    """The same for conda: Python from it, the packages by pip, since PyTorch is published there."""
    import yaml

    environment = {
        "name": re.sub(r"[^a-z0-9-]", "-", f"dlwb-{stem}".lower()),
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": [f"python={platform.python_version()}", "pip", {"pip": lines}],
    }
    return str(yaml.safe_dump(environment, sort_keys=False, width=200))


def _packed(folder: Path, name: str) -> bytes:
    """The folder as .tar.gz: without owners and times, so that the same bundle has the same bytes."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0, filename="") as squeezed, tarfile.open(fileobj=squeezed, mode="w") as archive:
        for file in sorted(folder.rglob("*")):
            member = tarfile.TarInfo(f"{name}/{file.relative_to(folder).as_posix()}")
            member.mode = 0o755 if file.is_dir() or os.access(file, os.X_OK) else 0o644
            if file.is_dir():
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            else:
                data = file.read_bytes()
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()
