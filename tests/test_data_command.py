"""`dlwb data` as its users have it, against a real server; and a run that fetches says so."""

import fcntl
import hashlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from download_server import CONTENT, Server, offer_from, put_part, server
from lines import LINE, ended, start, until
from test_cli import dlwb

from workbench import paths
from workbench.datasets.store import fetch, stored
from workbench.problems import Problem
from workbench.runs.state import state_of

__all__ = ["server"]
pytestmark = pytest.mark.usefixtures("nothing_is_left")

WITH_A_SET = """
import sys
from workbench.datasets.store import catalog
file = catalog.File(bytes={bytes}, sha256="{sha256}", url="http://127.0.0.1:{port}/{name}")
entry = catalog.DataSet(title="Made", licence="none", source="here", files={{"it": file}})
catalog.catalog = lambda: {{"made": entry}}
from workbench.cli import main
main()
"""


def command(server: Server, name: str, *words: str) -> list[str]:
    """The shell's command, with a catalogue of one set that this server has."""
    code = WITH_A_SET.format(bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(), port=server.server_port, name=name)
    return [sys.executable, "-c", code, *words]


def test_fetch_prints_paths_and_tells_how_far_it_is(server: Server) -> None:
    done = subprocess.run(command(server, "good", "data", "fetch", "made"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    key, path = done.stdout.split()
    assert key == "it" and Path(path).read_bytes() == CONTENT
    assert done.stderr.splitlines()[-2:] == ["fetching made it: 100 %", "checking made it: 100 %"]
    done = subprocess.run(command(server, "good", "data", "list", "--json"), capture_output=True, text=True, timeout=60)
    [listed] = json.loads(done.stdout)
    assert (listed["state"], listed["missing"]) == ("here", 0) and listed["on_disk"] >= len(CONTENT)


def test_on_a_terminal_one_line_is_drawn_anew(server: Server) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(command(server, "good", "data", "fetch", "made"), stdout=subprocess.PIPE, stderr=theirs, timeout=60)
    os.close(theirs)
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert said.count("\n") == 1 and said.endswith("\x1b[Kfetching made it: 100 %\r\n")
    assert said.count("\r\x1b[K") >= 2


def test_a_fetch_that_fails_says_why(server: Server) -> None:
    done = subprocess.run(command(server, "cut-off", "data", "fetch", "made"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stdout == ""
    assert "300,000 of its 1,024,000 bytes are already here" in done.stderr and "Traceback" not in done.stderr
    listed = subprocess.run(command(server, "cut-off", "data", "list"), capture_output=True, text=True, timeout=60).stdout
    assert "to fetch, 724 kB of 1.0 MB" in listed


def test_a_fetch_of_which_nothing_came_leaves_no_folder(server: Server) -> None:
    done = subprocess.run(command(server, "missing", "data", "fetch", "made"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "answered 404" in done.stderr
    assert not (paths.data() / "made").exists()


def test_list_names_every_set_and_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DLWB_MIRROR", raising=False)
    states = {(each["name"], each["variant"]): each["state"] for each in json.loads(dlwb("data", "list", "--json").stdout)}
    assert states["digits", ""] == states["python-source", ""] == "package"
    assert states["mnist", ""] == states["vgg19-weights", ""] == "fetch"
    assert states["celeba", ""] == states["celeba", "lfw"] == "nowhere"
    assert "comes with scikit-learn" in dlwb("data", "list").stdout


def test_verify_and_remove_leave_the_mirror_alone(mirror: Path) -> None:
    paths.data().unlink()  # what other tests have unpacked must stay
    done = dlwb("data", "verify", "mnist", "dogs:21-breeds", "digits", "vgg19-weights")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        *(f"mnist {key}: correct" for key in ("train-images", "train-labels", "test-images", "test-labels")),
        "dogs:21-breeds pictures: correct",
    ]
    assert "digits: comes with scikit-learn" in done.stderr and "vgg19-weights: to fetch" in done.stderr
    assert dlwb("data", "fetch", "dogs", "--variant", "21-breeds").returncode == 0
    done = dlwb("data", "remove", "dogs:21-breeds")
    assert done.returncode == 0 and "freed" in done.stderr
    assert not (paths.data() / "dogs-21-breeds").exists()
    assert (mirror / "dogs" / "dogImages_20breeds_160px.tar.gz").exists()
    done = dlwb("data", "remove", "mnist")
    assert done.returncode == 1 and "What is in the mirror stays" in done.stderr
    assert dlwb("data", "fetch", "mnits").returncode == 1


def test_verify_finds_what_was_spoilt(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "good")
    path = fetch.fetch("made")["it"]
    assert list(stored.verify("made")) == [("it", "")]
    path.write_bytes(CONTENT[::-1])
    [(_, wrong)] = stored.verify("made")
    assert "is not made it" in wrong
    done = subprocess.run(command(server, "good", "data", "verify"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "is not made it" in done.stderr


def test_what_is_being_fetched_is_not_removed(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "rest")
    put_part(CONTENT[:500_000])
    assert stored.stored("made").words == "to fetch, 524 kB of 1.0 MB"
    with (paths.data() / "made" / ".rest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Problem, match="being fetched"):
            stored.remove("made")
    assert stored.remove("made") >= 500_000
    with pytest.raises(Problem, match="Nothing of made was downloaded"):
        stored.remove("made")


FETCHING = """
    def build_data(self):
        from workbench.datasets.store.catalog import File
        from workbench.datasets.store.download import download
        file = File(bytes={bytes}, sha256="{sha256}", url="http://127.0.0.1:{port}/slowly")
        download("made it", file, Path({path!r}))
        self.build_rest()

    def build_rest(self):
"""


def test_a_run_that_fetches_says_how_far_it_is(server: Server, tmp_path: Path) -> None:
    fetching = FETCHING.format(
        bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(), port=server.server_port, path=str(tmp_path / "it")
    )
    source = "from pathlib import Path\n" + LINE.replace("    def build_data(self):\n", fetching.lstrip("\n"), 1)
    assert "build_rest" in source
    run = start(tmp_path, source=source)
    until(lambda: state_of(run).message == "fetching made it: 29 %")
    server.patience.set()
    assert ended(run).state == "finished"
