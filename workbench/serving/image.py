"""`dlwb export ENDPOINT --to docker`: a folder with what an image needs, and the commands that bring it to AWS and take it down again.

Nothing is built and nothing is sent here: the folder says what to type.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from workbench import paths
from workbench.encoding import model_folder
from workbench.problems import Problem, one_line
from workbench.serving.endpoint import Config, Endpoint
from workbench.serving.web import HANDLERS, STATIC

ROOMS = ("serving", "encoding", "datasets", "recipes", "runs", "launch")
"""Of the workbench, beside the ground: no torch, no project and no screen."""
NEEDED = {
    "onnx": ["onnxruntime"],
    "xgboost": ["xgboost-cpu", "snowballstemmer", "scipy"],
    "": ["starlette", "uvicorn[standard]", "prometheus-client", "msgspec", "numpy", "pillow", "pyyaml", "platformdirs", "scipy"],
}
"""Packages by kind of model; "" for any."""
ENTRYPOINT = ["python", "-m", "workbench.serving.container"]
_HEAD = """\
# An image for {label}, made by `dlwb export`. SageMaker calls it with the word `serve`.
FROM python:{python}-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/opt/program OMP_NUM_THREADS=1
WORKDIR /opt/program
COPY requirements.txt ./
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt
COPY app/ ./
COPY model/ /opt/ml/model/
"""
_TAIL = """\
EXPOSE 8080
ENTRYPOINT {entrypoint}
CMD ["serve"]
"""
_USER = "RUN useradd --create-home --uid 10001 dlwb\nUSER 10001\n"
_IGNORED = "*\n!requirements.txt\n!app\n!model\n**/__pycache__\n"


def to_docker(endpoint: Endpoint, out: Path) -> Path:
    """Write the folder `out`. Raises Problem where it is there already, a model needs its own project, or pip cannot name the packages."""
    if out.exists():
        raise Problem(f"{one_line(str(out))} is there already.", "Name another folder with --out.")
    config = endpoint.config(endpoint.current.config)
    shares = config.weights()
    first = max(config.variants, key=lambda variant: shares[variant.name])
    folders = {variant.name: model_folder.read(variant.folder) for variant in config.variants}
    own = next((folder for folder in folders.values() if folder.model.kind == "project"), None)
    if own:
        raise Problem(f"{own.label} is answered by its own project, so no image can hold it.", "Serve a model that exports as ONNX.")
    requirements = pinned(sorted({*NEEDED[""], *(name for folder in folders.values() for name in NEEDED[folder.model.kind])}))
    hidden = out.with_name(f".{out.name}.new")
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        hidden.mkdir(parents=True)
        (hidden / "requirements.txt").write_text(requirements)
        _copy_app(hidden / "app" / "workbench")
        shutil.copytree(folders[first.name].path, hidden / "model")
        (hidden / "models").mkdir()
        for folder in folders.values():
            model_folder.pack(folder, hidden / "models" / f"{_named(folder.label)}.tar.gz")
        (hidden / "Dockerfile").write_text(dockerfile(folders[first.name].label))
        (hidden / "Dockerfile.nonroot").write_text(dockerfile(folders[first.name].label, _USER))
        (hidden / ".dockerignore").write_text(_IGNORED)
        shutil.copytree(STATIC, hidden / "page", ignore=shutil.ignore_patterns("__pycache__"))
        (hidden / "function").mkdir()
        shutil.copy(HANDLERS / "review.py", hidden / "function")
        labels = {name: folder.label for name, folder in folders.items()}
        (hidden / "commands.sh").write_text(commands(endpoint.id, config, labels))
        hidden.rename(out)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return out


def dockerfile(label: str, user: str = "") -> str:
    """The Dockerfile of a model's image."""
    head = _HEAD.format(label=label, python=f"{sys.version_info.major}.{sys.version_info.minor}")
    return head + user + _TAIL.format(entrypoint=json.dumps(ENTRYPOINT))


def pinned(names: list[str]) -> str:
    """requirements.txt with the versions that pip would take here, for this version of Python and this platform, each with its SHA-256."""
    words = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--quiet",
        "--only-binary",
        ":all:",
        "--report",
        "-",
    ]
    done = subprocess.run([*words, *names], capture_output=True, text=True, check=False)
    if done.returncode:
        why = one_line(done.stderr.strip().rpartition("\n")[2], 200)
        raise Problem(f"pip cannot name the packages of the image: {why}", "It asks a package index; look whether that can be reached.")
    lines = []
    for package in json.loads(done.stdout)["install"]:
        hashes = package["download_info"]["archive_info"]["hashes"]
        about = package["metadata"]
        lines.append(f"{about['name']}=={about['version']} --hash=sha256:{hashes['sha256']}")
    return "\n".join(sorted(lines, key=str.lower)) + "\n"


def _copy_app(target: Path) -> None:
    package = paths.projects().parent
    skip = shutil.ignore_patterns("__pycache__", "*.pyc", "*.md")
    for room in ROOMS:
        shutil.copytree(package / room, target / room, ignore=skip)
    for file in package.glob("*.py"):
        shutil.copy(file, target / file.name)


def _named(label: str) -> str:
    """A name that AWS takes: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")


def commands(name: str, config: Config, labels: dict[str, str]) -> str:
    """The shell commands for image, models, configuration, endpoint, function, API and page; those that delete everything come last."""
    import jinja2

    aws, shares = _named(name), config.weights()
    models = {
        variant.name: {"name": f"{aws}-{_named(labels[variant.name])}", "file": _named(labels[variant.name])} for variant in config.variants
    }
    variants = [
        {
            "VariantName": _named(variant.name) or "main",
            "ModelName": models[variant.name]["name"],
            "InitialVariantWeight": round(shares[variant.name], 6),
            "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.large",
        }
        for variant in config.variants
        if variant.name != config.shadow
    ]
    # Brackets, as the shell has its own braces.
    environment = jinja2.Environment(
        variable_start_string="[[", variable_end_string="]]", block_start_string="[%", block_end_string="%]", trim_blocks=True,
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
    )  # fmt: skip
    text = (Path(__file__).parent / "templates" / "commands.sh").read_text()
    return environment.from_string(text).render(aws=aws, models=list(models.values()), variants=json.dumps(variants))
