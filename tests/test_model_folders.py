"""Model folders with damage: one sentence each, and no session; and the store of models."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests import served_models
from workbench import paths
from workbench.cli import commands
from workbench.encoding import model_folder, model_store
from workbench.problems import Problem
from workbench.serving.session import Session

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return served_models.houses(tmp_path / "houses" / "1").path


def _graph(folder: Path, change: Callable[[Any], None]) -> None:
    """Change the graph and seal it again, as a hostile sender would."""
    import onnx

    model = onnx.load_from_string((folder / "model.onnx").read_bytes())
    change(model.graph)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    _seal(folder, "model.onnx")


def _seal(folder: Path, file: str, **about: Any) -> None:
    import hashlib

    document = json.loads((folder / "model.json").read_bytes())
    data = (folder / file).read_bytes()
    document["files"][file] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "model.json").write_text(json.dumps({**document, **about}))


def _bit(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)


def _external(graph: Any) -> None:
    import onnx

    tensor = next(entry for entry in graph.initializer if entry.name == "w")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    tensor.external_data.add(key="length", value="8")


def _wide(graph: Any) -> None:
    from onnx import numpy_helper

    graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    tensor = next(entry for entry in graph.initializer if entry.name == "w")
    tensor.CopyFrom(numpy_helper.from_array(np.ones((3, 1), np.float32), "w"))


def _link(folder: Path) -> None:
    (folder / "model.onnx").rename(folder.parent / "elsewhere.onnx")
    (folder / "model.onnx").symlink_to(folder.parent / "elsewhere.onnx")


def _format(folder: Path) -> None:
    document = json.loads((folder / "model.json").read_bytes())
    (folder / "model.json").write_text(json.dumps({**document, "format": 99}))


def _pickle(folder: Path) -> None:
    (folder / "weights.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    _seal(folder, "weights.pkl")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit": (_bit, "model.onnx in .* is not the file that was exported"),
    "a missing file": (lambda folder: (folder / "model.onnx").unlink(), "model.onnx is missing"),
    "a newer format": (_format, "format 99, which a newer dlwb writes"),
    "external data": (lambda folder: _graph(folder, _external), "model.onnx of houses:1 is refused by ONNX Runtime"),
    "a link": (_link, "is not a plain file"),
    "a pickle": (_pickle, "names a file 'weights.pkl', which a model folder cannot have"),
    "an unnamed pickle": (lambda folder: (folder / "a.pkl").write_bytes(b"x"), "has a file that model.json does not name: a.pkl"),
    "another width": (lambda folder: _graph(folder, _wide), "takes 3, and its encoder gives 2"),
    "no graph": (lambda folder: (folder / "model.onnx").write_bytes(b"no graph") and _seal(folder, "model.onnx"), "refused by ONNX"),
    "no JSON": (lambda folder: (folder / "model.json").write_text("{"), "model.json of .* cannot be read"),
    "a number for a name": (lambda folder: _seal(folder, "model.onnx", name=7), "model.json of .* cannot be read"),
    "a path for a name": (lambda folder: _seal(folder, "model.onnx", name="../up"), "model.json of .* cannot be read"),
}


@pytest.mark.parametrize("damage", BAD)
def test_a_bad_folder_is_one_sentence_and_no_session(damage: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(Session(folder).answers([{"row": {"rooms": 6.0}}])[0], dict)
    change, says = BAD[damage]
    change(folder)
    monkeypatch.chdir(folder)
    with pytest.raises(Problem, match=says) as caught:
        Session(folder)
    assert "\n" not in caught.value.message and caught.value.cause == "data"


def test_labels_that_the_graph_does_not_give_are_refused(tmp_path: Path) -> None:
    folder = served_models.mlp(tmp_path / "digits" / "1").path
    (folder / "labels.txt").write_text("one\ntwo\n")
    _seal(folder, "labels.txt")
    with pytest.raises(Problem, match="gives 10, and 2 are named"):
        Session(folder)


# -- the store ------------------------------------------------------------------------------------------------------------------------


def test_models_are_found_by_version_and_alias(home: Path) -> None:
    for version in (1, 2, 10):
        served_models.houses(paths.models() / "houses" / str(version))
    assert model_store.names() == ["houses"] and model_store.versions("houses") == [1, 2, 10]
    assert model_store.find("houses").label == "houses:10" and model_store.find("houses:2").label == "houses:2"
    assert model_store.next_place("houses").name == "11" and model_store.next_place("new").name == "1"
    model_store.set_alias("houses:2", "champion")
    assert model_store.find("houses@champion").label == "houses:2"
    model_store.set_alias("houses:10", "champion")
    assert model_store.find("houses@champion").label == "houses:10"
    for reference, says in {
        "house": "no model 'house'; did you mean houses",
        "../houses": "There is no model",
        "houses:3": "no version '3'",
        "houses@best": "no alias 'best'",
        "houses:one": "no version 'one'",
    }.items():
        with pytest.raises(Problem, match=says):
            model_store.find(reference)
    model_store.set_alias("houses:10", "-champion")
    with pytest.raises(Problem, match="no alias"):
        model_store.find("houses@champion")
    with pytest.raises(Problem, match="cannot be an alias"):
        model_store.set_alias("houses", "3")


def test_a_model_comes_from_a_folder_or_an_archive(folder: Path, tmp_path: Path, home: Path) -> None:
    archive = tmp_path / "houses.tar.gz"
    model_folder.pack(model_folder.read(folder), archive)
    added, new = model_store.add(archive)
    assert new and added.digest == model_folder.read(folder).digest and added.path == paths.models() / "houses" / "1"
    assert model_store.add(folder) == (added, False) or not model_store.add(folder)[1]
    served_models.houses(tmp_path / "again" / "houses" / "1")
    document = json.loads((tmp_path / "again" / "houses" / "1" / "model.json").read_bytes())
    (tmp_path / "again" / "houses" / "1" / "model.json").write_text(json.dumps({**document, "seed": 7}))
    with pytest.raises(Problem, match="another houses:1 already"):
        model_store.add(tmp_path / "again" / "houses" / "1")
    assert not [name for name in os.listdir(paths.models()) if name.startswith(".new")]


@pytest.mark.parametrize("name", ["../model.json", "/etc/passwd", "a/b", ".hidden", "link", "device"])
def test_an_archive_with_odd_members_is_refused(name: str, tmp_path: Path, home: Path) -> None:
    archive = tmp_path / "odd.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 0 if name in ("link", "device") else 2
        member.type = {"link": tarfile.SYMTYPE, "device": tarfile.CHRTYPE}.get(name, tarfile.REGTYPE)
        member.linkname = "/etc/passwd" if name == "link" else ""
        tar.addfile(member, io.BytesIO(b"{}"))
    with pytest.raises(Problem, match="which a model cannot have"):
        model_store.add(archive)
    assert os.listdir(paths.models()) == []


def test_a_cut_archive_and_one_that_only_its_project_answers_are_refused(folder: Path, tmp_path: Path, home: Path) -> None:
    archive = tmp_path / "houses.tar.gz"
    model_folder.pack(model_folder.read(folder), archive)
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(Problem, match=r"no whole archive|is missing|has no model\.json"):
        model_store.add(archive)
    (folder / "recipe.yaml").write_text("title: x")
    _seal(folder, "recipe.yaml", kind="project")
    with pytest.raises(Problem, match="answered by its own project"):
        model_store.add(folder)
    with pytest.raises(Problem, match="There is no"):
        model_store.add(tmp_path / "none.tar")


def test_the_shell_shows_and_checks_models(folder: Path, home: Path) -> None:
    def ran(*words: str) -> str:
        result = CliRunner().invoke(commands.shell(), ["model", *words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    assert "houses:1" in ran("add", str(folder))
    assert "houses:1 is champion." in ran("alias", "houses", "champion")
    listed = json.loads(ran("list", "--json"))
    assert [(model["model"], model["aliases"], model["kind"]) for model in listed] == [("houses:1", ["champion"], "onnx")]
    assert "champion" in ran("list") and "2 columns" in ran("show", "houses@champion")
    assert json.loads(ran("show", "houses", "--json"))["identity"] == model_folder.read(folder).digest
    assert "answers 3 examples as its project did" in ran("verify", "houses")
    examples = paths.models() / "houses" / "1" / "examples.json"
    changed = json.loads(examples.read_bytes())
    changed[1]["answer"]["answer"] += 0.5
    examples.write_text(json.dumps(changed))
    with pytest.raises(Problem, match="is not the file that was exported"):
        ran("verify", "houses")
    _seal(examples.parent, "examples.json")
    with pytest.raises(Problem, match="answers its example 2 otherwise"):
        ran("verify", "houses")
    assert "is no longer champion" in ran("alias", "houses", "-champion")


# -- what somebody sent ---------------------------------------------------------------------------------------------------------------


def _no_output(graph: Any) -> None:
    del graph.output[:]


def _whole_numbers(graph: Any) -> None:
    graph.input[0].type.tensor_type.elem_type = 7
    graph.node[0].input[0] = "float row"
    import onnx

    graph.node.insert(0, onnx.helper.make_node("Cast", ["row"], ["float row"], to=onnx.TensorProto.FLOAT))


def _about(folder: Path, **about: Any) -> None:
    document = json.loads((folder / "model.json").read_bytes())
    for key, value in about.items():
        document[key] = {**document[key], **value} if isinstance(value, dict) else value
    (folder / "model.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: _graph(folder, _no_output), "takes or gives other kinds of arrays|refused by ONNX Runtime"),
        (lambda folder: _graph(folder, _whole_numbers), "takes or gives other kinds of arrays"),
        (lambda folder: _about(folder, name="houses\n"), "cannot be read"),
        (lambda folder: _about(folder, name=".."), "cannot be read"),
        (lambda folder: _about(folder, format=0), "cannot be read"),
        (lambda folder: _about(folder, encoder={"columns": [{"name": "a"}, {"name": "a"}]}), "two columns have the same name"),
        (lambda folder: _about(folder, encoder={"columns": [{"name": "a"}, {"name": "b", "scale": 0.0}]}), "the scale 0"),
        (lambda folder: _about(folder, decoder={"type": "classes", "name": None}), "cannot be read"),
    ],
)
def test_what_does_not_fit_together_is_refused_when_it_is_opened(folder: Path, change: Callable[[Path], None], says: str) -> None:
    change(folder)
    with pytest.raises(Problem, match=says):
        Session(folder)


@pytest.mark.parametrize(
    ("file", "data", "says"),
    [
        ("labels.txt", b"one\n", "has 1 labels and 2 are right"),
        ("labels.txt", b"one\ntwo\nthree\n", "has 3 labels and 2 are right"),
        ("labels.txt", b"bad\ngood", "does not end with the end of a line"),
        ("labels.txt", b"\xff\n\xfe\n", "is not UTF-8"),
        ("vocabulary.txt", b"\xff\n", "is not UTF-8"),
        ("vocabulary.txt", b"\n" * (model_folder.LINES + 1), "more than 2,000,000 lines"),
        ("vocabulary.txt", b"\n\n", "has no words"),
    ],
)
def test_words_and_labels_that_cannot_be_used_are_refused(tmp_path: Path, file: str, data: bytes, says: str) -> None:
    folder = served_models.reviews(tmp_path / "reviews" / "1").path
    (folder / file).write_bytes(data)
    _seal(folder, file)
    with pytest.raises(Problem, match=says):
        Session(folder)


@pytest.mark.parametrize("data", [b"{", b"{}", b"[" * 100_000, b'[{"input": ' + b"[" * 50_000, b'["\xff"]', b"[" + b"{}," * 1000 + b"{}]"])
def test_damaged_examples_are_one_sentence(folder: Path, data: bytes) -> None:
    (folder / "examples.json").write_bytes(data)
    _seal(folder, "examples.json")
    with pytest.raises(Problem, match=r"examples\.json of houses:1 (cannot be read|has 1,001 examples)"):
        model_folder.read(folder).examples()


def _batch_lost(graph: Any) -> None:
    from onnx import helper

    graph.node[0].output[0] = "sum"
    graph.node.append(helper.make_node("ReduceSum", ["sum"], ["output"], keepdims=1))
    graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1


def _out_of_bounds(graph: Any) -> None:
    from onnx import helper

    graph.node[0].output[0] = "sum"
    graph.node.append(helper.make_node("Gather", ["sum", "far"], ["output"], axis=1))
    graph.initializer.append(helper.make_tensor("far", 7, [1], [10**12]))


@pytest.mark.parametrize(("change", "says"), [(_batch_lost, "for each input"), (_out_of_bounds, "fails on this input|refused by ONNX")])
def test_a_graph_that_fails_when_it_is_asked_is_one_sentence(folder: Path, change: Callable[[Any], None], says: str) -> None:
    _graph(folder, change)
    with pytest.raises(Problem, match=says):
        Session(folder).answers([{"row": {"rooms": 6.0}}] * 2)


def test_an_answer_that_is_no_number_is_told_as_that(folder: Path) -> None:
    _about(folder, decoder={"scale": 1e308})
    (answer,) = Session(folder).answers([{"row": {"rooms": 6.0}}])
    assert isinstance(answer, Problem) and str(answer) == "The model's answer is not a number."


def test_a_graph_that_asks_for_all_memory_gets_none(folder: Path) -> None:
    import subprocess
    import sys

    def greedy(graph: Any) -> None:
        from onnx import helper

        graph.node[0].output[0] = "sum"
        one = helper.make_tensor("one", 1, [1], [1.0])
        graph.node.append(helper.make_node("ConstantOfShape", ["most"], ["much"], value=one))
        graph.node.append(helper.make_node("ReduceMax", ["much"], ["most of it"], keepdims=0))
        graph.node.append(helper.make_node("Mul", ["sum", "most of it"], ["output"]))
        graph.initializer.append(helper.make_tensor("most", 7, [1], [5 << 28]))  # 5 GiB

    _graph(folder, greedy)
    done = subprocess.run(
        [sys.executable, "-m", "workbench.cli", "model", "verify", str(folder)], capture_output=True, text=True, cwd=served_models.ROOT
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr and "houses:1" in done.stderr, done.stderr


def test_work_that_never_ends_is_left_with_a_sentence() -> None:
    import subprocess
    import sys

    program = "from workbench.serving import bounds; import time; bounds.interruptible(lambda: time.sleep(60), 'It', 0.2)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=served_models.ROOT, timeout=30)
    assert done.returncode == 1 and "It was not done after 0 seconds." in done.stderr


def test_long_headers_pipes_and_too_much_in_an_archive_are_refused(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "odd.tar"
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        header = tarfile.TarInfo("long")
        header.size, header.type = 2 << 20, kind
        archive.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + bytes(2 << 20))
        with pytest.raises(Problem, match="no whole archive"):
            model_store.add(archive)
    with tarfile.open(archive, "w") as tar:
        for name in ("a", "b"):
            member = tarfile.TarInfo(name)
            member.size = 600
            tar.addfile(member, io.BytesIO(bytes(600)))
    monkeypatch.setattr(model_store, "LARGEST", 1000)
    with pytest.raises(Problem, match="larger than a model can be"):
        model_store.add(archive)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Problem, match="neither a model folder nor a plain file"):
        model_store.add(tmp_path / "pipe")
    assert os.listdir(paths.models()) == []


def test_what_a_killed_addition_left_hides_no_model(folder: Path, home: Path) -> None:
    model_store.add(folder)
    (paths.models() / ".new-abc123").mkdir()
    assert model_store.names() == ["houses"]
    with pytest.raises(Problem, match="There is no model"):
        model_store.find(".new-abc123")
