"""What projects say of themselves: the committed file, the cache, and the process that is asked."""

from pathlib import Path

import pytest

from workbench import paths
from workbench.problems import Problem
from workbench.recipes import project_schemas, trust
from workbench.recipes.find import shipped_projects

OWN = '''
"""A project of my own."""
import sys
from pathlib import Path
from workbench.training.project import Project, Settings, live

print("noise on standard output")
with Path(__file__).with_name("count").open("a") as file:
    file.write("x")

class Mine(Project):
    """Learns nothing.

    But slowly.
    """
    devices = ("cpu", "cuda")

    class Config(Settings):
        rate: float = live(0.1, gt=0)
        """How fast."""
        layers: list[int] = [3]
        """How deep."""
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


@pytest.mark.parametrize("project", shipped_projects())
def test_every_setting_is_described_and_has_a_default_that_a_recipe_can_show(project: str) -> None:
    schema = project_schemas.describe(project, may_run=False)
    assert schema is not None
    assert schema.about
    for name, setting in schema.config["properties"].items():
        assert setting.get("description"), name
        assert "default" in setting or name in schema.config.get("required", ()), f"{name}: default_factory hides it"


def test_a_trusted_file_is_asked_once_and_again_when_it_changes(own: Path) -> None:
    trust.trust(own)
    assert project_schemas.describe(own, may_run=False) is None
    first = project_schemas.describe(own)
    assert first is not None
    assert (first.devices, first.takes, first.about, first.live) == (("cpu", "cuda"), "", "Learns nothing.", ["rate"])
    assert first.config["properties"]["rate"]["description"] == "How fast."
    assert project_schemas.describe(own) == project_schemas.describe(own, may_run=False) == first
    assert own.with_name("count").read_text() == "x"
    own.write_text(OWN.replace("Learns nothing.", "Learns less."))
    trust.trust(own)
    again = project_schemas.describe(own)
    assert again is not None and again.about == "Learns less."
    assert own.with_name("count").read_text() == "xx"


def test_a_damaged_cache_is_made_anew(own: Path) -> None:
    trust.trust(own)
    first = project_schemas.describe(own)
    (kept,) = (paths.cache_folder() / "schemas").iterdir()
    for damage in (b"", b"{}", b'{"config": 3}', b"\xff"):
        kept.write_bytes(damage)
        assert project_schemas.describe(own) == first


def test_what_is_not_trusted_does_not_run(own: Path) -> None:
    with pytest.raises(Problem, match="is not trusted, so it was not run"):
        project_schemas.describe(own)
    assert not own.with_name("count").exists()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('on purpose')", "RuntimeError: on purpose"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(:", "SyntaxError"),
        ("x = 1", "must define one class derived from Project; it has none"),
        ("import os; os._exit(3)", "ended with exit code 3 while it was described"),
        ("import os; os.kill(os.getpid(), 9)", "ended with exit code -9 while it was described"),
        ("import os; print('{}'); os._exit(0)", "The description of"),
        ("import os; os._exit(0)", "The description of"),
    ],
)
def test_a_project_that_cannot_say(tmp_path: Path, source: str, said: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source)
    trust.trust(path)
    with pytest.raises(Problem) as raised:
        project_schemas.describe(path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_project_that_never_ends_its_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import time; time.sleep(1000)")
    trust.trust(path)
    monkeypatch.setattr(project_schemas, "PATIENCE", 2)
    with pytest.raises(Problem, match="did not describe itself within 2 s"):
        project_schemas.describe(path)
