"""An endpoint as a Docker folder: what it holds, what hadolint and bash say, and that nothing claims to be built."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from endpoint_traffic import linear
from test_endpoint import free_port

from workbench.problems import Problem
from workbench.serving import image, operate
from workbench.serving.endpoint import Config, Endpoint, VariantPlan, list_endpoints

PINNED = "numpy==2.4.6 --hash=sha256:" + "0" * 64 + "\n"


@pytest.fixture
def endpoint(home: Path) -> Iterator[Endpoint]:
    linear(1)
    yield operate.serve("line:1", port=free_port())
    for left in list_endpoints():
        operate.kill(left)


def test_the_folder_is_whole_and_clean(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The packages' hashes come from an index; the long test asks it.
    monkeypatch.setattr(image, "pinned", lambda names: PINNED)
    out = image.to_docker(endpoint, tmp_path / "line-docker")
    for name in ("Dockerfile", "Dockerfile.nonroot"):
        done = subprocess.run([shutil.which("hadolint") or "hadolint", str(out / name)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    text = (out / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["python", "-m", "workbench.serving.container"]' in text and "--require-hashes" in text
    assert "USER" not in text and "USER 10001" in (out / "Dockerfile.nonroot").read_text()
    copied = re.findall(r"^COPY (\S+)", text, re.MULTILINE)
    assert all((out / name).exists() for name in copied)
    for name in (*copied, "Dockerfile"):
        for file in [out / name, *(out / name).rglob("*")]:
            assert not file.is_symlink() and (file.is_dir() or str(tmp_path) not in file.read_text(errors="replace"))
    rooms = {path.name for path in (out / "app" / "workbench").iterdir()}
    assert not rooms & {"projects", "torchkit", "training", "tui", "cli"}
    with pytest.raises(Problem, match="there already"):
        image.to_docker(endpoint, out)
    assert (out / "page" / "index.html").is_file() and (out / "function" / "review.py").is_file()


def test_the_commands_are_of_this_endpoint_and_delete_comes_last(endpoint: Endpoint, tmp_path: Path) -> None:
    folder = linear(2)
    plan = endpoint.config(1).variants[0]
    other = VariantPlan(name="b-2", model="line/2", digest=folder.digest, weight=1 / 9)
    config = Config(variants=[msgspec.structs.replace(plan, weight=1.0), other])
    text = image.commands("my.line", config, {plan.name: "line:1", "b-2": "line:2"})
    script = tmp_path / "commands.sh"
    script.write_text(text)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    # Without what it needs it stops at once, before any command.
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    assert done.returncode and "ACCOUNT" in done.stderr
    variants = json.loads(re.search(r"--production-variants '(.*)'", text).group(1))  # type: ignore[union-attr]
    assert [variant["InitialVariantWeight"] for variant in variants] == [1.0, pytest.approx(1 / 9, abs=1e-6)]
    names = {variant["ModelName"] for variant in variants}
    assert names == {"my-line-line-1", "my-line-line-2"} and all(f"--model-name {name}" in text for name in names)
    lines = text.splitlines()
    first_delete = min(number for number, line in enumerate(lines) if " delete-" in line)
    assert max(number for number, line in enumerate(lines) if " create-" in line) < first_delete
    for kind in ("endpoint", "endpoint-config", "model", "function", "api", "repository"):
        assert f"create-{kind}" in text and f"delete-{kind}" in text
    assert not re.search(r"\[\[|\]\]|\[%|built", text)
