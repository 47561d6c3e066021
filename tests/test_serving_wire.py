"""Bodies to raw inputs and answers to bodies, without a server."""

import json
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest
from served_models import alphabet, encoded, houses, mlp, photograph, reviews

from workbench.encoding.kinds import Classes, Column, RowOfNumbers
from workbench.encoding.model_folder import ModelFolder
from workbench.serving import calls, headers, variant
from workbench.serving.messages import Ask, Frames, Reply, Request, packed
from workbench.serving.same import misfit
from workbench.serving.worker import Answerer


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answerer]:
    folder = tmp_path_factory.mktemp("models")
    makers = {"digits": mlp, "mood": reviews, "houses": houses}
    return {name: Answerer(make(folder / name / "1")) for name, make in makers.items()}


def ask(answerer: Answerer, body: Any, content: str = "application/json", accept: str = "", **more: str) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answerer.answer([Request("1", data, headers.content_type(content.encode()), accept, **more)])[0]


def value(reply: Reply) -> Any:
    assert reply.code == 200, reply.message
    return json.loads(reply.body)


def test_the_same_picture_in_every_form(models: dict[str, Answerer]) -> None:
    """As a file, in base64, and by MLflow's four forms: one answer."""
    digits, picture = models["digits"], photograph()
    right = value(ask(digits, encoded(picture)))
    assert value(ask(digits, picture, "image/png")) == right
    for body in (
        {"instances": [encoded(picture)]},
        {"inputs": [encoded(picture)]},
        {"inputs": encoded(picture)},
        {"dataframe_records": [encoded(picture)]},
        {"dataframe_split": {"columns": ["picture"], "data": [[encoded(picture)["picture"]]]}},
    ):
        assert value(ask(digits, body)) == {"predictions": [right]}, body.keys()
    infer = {"id": "7", "inputs": [{"name": "pixels", "shape": [1], "datatype": "BYTES", "data": [encoded(picture)["picture"]]}]}
    answer = value(ask(digits, infer, form="infer", model="digits:1"))
    assert answer["id"] == "7" and answer["outputs"][0]["data"] == [right["answer"]]
    assert answer["outputs"][1]["data"] == list(right["probabilities"].values())


def test_numbers_alone_and_many(models: dict[str, Answerer]) -> None:
    """784 numbers, 28x28, 1x28x28 are one picture; one more axis is a list of them."""
    digits = models["digits"]
    flat = [place / 784 for place in range(784)]
    square = [flat[row * 28 : row * 28 + 28] for row in range(28)]
    right = value(ask(digits, flat))
    assert value(ask(digits, square)) == value(ask(digits, [square])) == value(ask(digits, {"pixels": flat})) == right
    for many in ([flat, flat], [[square], [square]]):
        assert value(ask(digits, many)) == [right, right]
    assert value(ask(digits, b",".join(str(number).encode() for number in flat), "text/csv"))[0]["answer"] == right["answer"]


def test_texts(models: dict[str, Answerer]) -> None:
    """JSON, plain, CSV, JSON lines, with what the model reckons: words sum up to a logit."""
    mood = models["mood"]
    right = value(ask(mood, {"review": "great film"}))
    assert right["answer"] == "positive" and right["probabilities"]["positive"] == pytest.approx(1 / (1 + 2.718281828459045**-4.25))
    assert value(ask(mood, "great film")) == value(ask(mood, b"great film", "text/plain; charset=UTF-8")) == right
    assert value(ask(mood, ["great film", "bad"]))[0] == right
    lines = b'{"review": "great film"}\n\n"bad: dull"\n'
    reply = ask(mood, lines, "application/x-ndjson")
    assert [json.loads(line)["answer"] for line in reply.body.splitlines()] == ["positive", "negative"]
    assert reply.content == "application/jsonlines" and reply.answers == ["positive", "negative"] and reply.rows == 2
    assert ask(mood, b'great film\n"bad, bad"\n', "text/csv", "text/csv").body.split(b"\n")[1].startswith(b"negative,")
    assert value(ask(mood, [[5, 7]])) == [right]  # codes


def test_rows(models: dict[str, Answerer]) -> None:
    """CSV has measurements, MLflow names them in any order."""
    model = models["houses"]
    right = value(ask(model, {"row": {"rooms": 8.0, "distance": 5.0}}))
    assert right == {"answer": 10.0, "unit": "$1000"}  # 10 + 2 (8 - 6) / 2 - (5 - 3)
    assert value(ask(model, b"8,5\n", "text/csv")) == [right]
    split = {"dataframe_split": {"columns": ["distance", "rooms"], "data": [[5, 8]]}}
    assert value(ask(model, split)) == value(ask(model, {"inputs": {"distance": [5], "rooms": [8]}})) == {"predictions": [right]}


@pytest.mark.parametrize(
    ("model", "content", "body", "sentence"),
    [
        ("houses", "application/json", b"[1, 2, 3]", "3 numbers; this model takes 2."),
        ("houses", "text/csv", b"1,2\n1,2,3\n", "Row 2 has 3 numbers; this model takes 2."),
        ("houses", "text/csv", b"rooms,distance\n6,3", "Row 1 has 'rooms' where a number is right."),
        ("houses", "text/csv", b"1_0,2", "Row 1 has '1_0' where a number is right."),
        ("houses", "text/csv", b"nan,2", "not a number"),
        ("houses", "text/csv", b'"1,2', "The body is not CSV"),
        ("houses", "application/json", b'{"row": {"rooms": 1, "rooms": 2}}', "The key 'rooms' stands twice in one object."),
        ("houses", "application/json", b'{"row": {"rooms": 1, "room": 2}}', "did you mean rooms?"),
        ("houses", "application/json", b'{"row": {"rooms": true}}', "rooms is not a number."),
        ("houses", "application/json", b'{"row": {"rooms": 1e999}}', "not JSON"),
        ("mood", "application/json", b'[{"a": {"b:": 1, "b:": 2}}]', "The key 'b:' stands twice"),
        ("digits", "application/json", b"[NaN]", "The body is not JSON"),
        ("digits", "application/json", b"", "The body is not JSON"),
        ("digits", "application/json", b"[]", "The body has no input."),
        ("digits", "application/json", b"[" * 100_000, "nested too deeply"),
        ("digits", "application/json", b"[" * 500 + b"]" * 500, ""),
        ("digits", "application/json", b"[[1, 2], [3]]", "The picture is"),
        ("digits", "application/json", b'["a", "b"]', "Input 1: The input is no picture."),
        ("digits", "application/json", b'["0.5"]', "The input is no picture."),
        ("digits", "application/json", b"[2" + b",0" * 783 + b"]", "not from 0 to 1"),
        ("digits", "image/png", b"no picture", "picture"),
        ("mood", "text/plain", b"\xff\xfe", "Byte 1 of the body is not UTF-8."),
        ("mood", "application/json", b'"\xff"', "not JSON"),
        ("mood", "application/json", rb'"\ud800"', "not JSON"),
        ("mood", "application/json", b'"xyzzy"', "no word in it that the network knows"),
        ("mood", "application/jsonlines", b'"good"\n{"review"', "Line 2: The body is not JSON"),
        ("mood", "application/json", b'{"instances": ["good"], "inputs": ["bad"]}', "exactly one of"),
        ("mood", "application/json", b'{"instances": ["good"], "more": 1}', "'more' beside instances"),
        ("mood", "application/json", b'{"dataframe_split": {"columns": ["a", "b"], "data": [["good"]]}}', "Row 1 of dataframe_split"),
        ("mood", "application/json", b'{"dataframe_records": [1]}', "dataframe_records is no list of objects."),
    ],
)
def test_a_bad_body_costs_one_sentence(models: dict[str, Answerer], model: str, content: str, body: bytes, sentence: str) -> None:
    """400, what is wrong, and nothing of the inside."""
    reply = ask(models[model], body, content)
    assert reply.code == 400 and sentence in reply.message, reply
    assert "Traceback" not in reply.message and "\n" not in reply.message and len(reply.message) <= 300


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        ({"name": "x"}, "There is no input 'x'; this model takes pixels."),
        ({"shape": [1, 783]}, "The shape [1, 783] has 783 values and data has 784."),
        ({"shape": [-1, -784]}, "The shape has the length -1."),
        ({"shape": []}, "The shape [] has 0 values"),
        ({"datatype": "FP31"}, "The datatype 'FP31' is not read by this model."),
        ({"datatype": "INT8"}, "data has a value that is no INT8."),
        ({"datatype": "BYTES"}, "This model takes no texts of shape"),
        ({"data": [[0.5] * 783, 1]}, "lists and values side by side"),
        ({"data": "abc"}, "The body is no inference request"),
        ({"shape": [784]}, "no axis of inputs in front"),
    ],
)
def test_a_wrong_tensor(models: dict[str, Answerer], tensor: dict[str, Any], sentence: str) -> None:
    """The inference protocol's bodies."""
    right = {"name": "pixels", "shape": [1, 784], "datatype": "FP32", "data": [0.5] * 784}
    assert ask(models["digits"], {"inputs": [right]}, form="infer", model="digits:1").code == 200
    reply = ask(models["digits"], {"inputs": [right | tensor]}, form="infer", model="digits:1")
    assert reply.code == 400 and sentence in reply.message, reply


def test_a_text_is_written_on(tmp_path: Path) -> None:
    """The loop around a model that makes one step: what it is asked for, and why not."""
    model = Answerer(alphabet(tmp_path / "alphabet" / "1"))
    assert value(ask(model, {"prompt": "ab", "length": 3}))["answer"] == "abcab"
    assert value(ask(model, ["a", {"prompt": "c", "length": 1}]))[1]["answer"] == "ca"
    for body in ({"prompt": "xyz"}, {"prompt": "a", "length": 21}, {"prompt": "a", "temper": 1}, [1.5], 7):
        reply = ask(model, body)
        assert reply.code == 400 and reply.message, body


def test_too_many_inputs(models: dict[str, Answerer]) -> None:
    """10,000 are answered, one more is 413."""
    assert ask(models["mood"], b'"good"\n' * 10_000, "application/jsonlines").rows == 10_000
    assert ask(models["mood"], b'"good"\n' * 10_001, "application/jsonlines").code == 413
    assert ask(models["mood"], b"good\n" * 10_001, "text/csv").code == 413


def test_a_bad_body_costs_its_neighbours_nothing(models: dict[str, Answerer]) -> None:
    """Of requests that are answered together each gets what it gets alone."""
    bodies = [b'"good"', b"nonsense", b'"bad"', b'"xyzzy"', b'["great", "dull film film"]']
    alone = [ask(models["mood"], body) for body in bodies]
    together = models["mood"].answer([Request(str(place), body) for place, body in enumerate(bodies)])
    assert [(reply.code, reply.body, reply.message) for reply in together] == [(reply.code, reply.body, reply.message) for reply in alone]
    assert [reply.code for reply in together] == [200, 400, 200, 400, 200] and {reply.batch for reply in together} == {5}


def test_frames_in_pieces() -> None:
    """Frames arrive whole however the bytes were cut."""
    sent = [Ask([Request(str(number), b"x" * number)]) for number in range(40)]
    data = b"".join(map(packed, sent))
    for step in (1, 3, 7, 1000):
        frames = Frames()
        assert [frame for start in range(0, len(data), step) for frame in frames.feed(data[start : start + step])] == sent
    with pytest.raises(ValueError):
        list(Frames().feed(b"\xff\xff\xff\xff"))
    with pytest.raises(ValueError):
        list(Frames().feed(b"\0\0\0\1\xc1"))


def test_the_same_answer_but_for_rounding() -> None:
    """What makes a variant healthy: a constant answer, another class or another number is not the example's."""
    right = {"answer": "a", "probabilities": {"a": 0.7, "b": 0.3}}
    assert variant.same({"answer": "a", "probabilities": {"a": 0.70005, "b": 0.29995}}, right)
    assert not variant.same({"answer": "a", "probabilities": {"a": 0.71, "b": 0.29}}, right)
    assert not variant.same({"answer": "b", "probabilities": {"a": 0.7, "b": 0.3}}, right)
    tie = {"answer": "a", "probabilities": {"a": 0.50001, "b": 0.49999}}
    assert variant.same({"answer": "b", "probabilities": {"a": 0.49999, "b": 0.50001}}, tie)
    assert variant.same({"answer": 2.00001, "unit": ""}, {"answer": 2.0}) and not variant.same({"answer": 2.1}, {"answer": 2.0})
    assert not variant.same({}, {}) and not variant.same([], right)


def test_headers(tmp_path: Path) -> None:
    """Media types, hosts and tokens."""
    assert headers.accepted(b"text/html, text/csv;q=0.5, application/json;q=0.9") == "application/json"
    assert headers.accepted(b"text/*") == "text/csv" and headers.accepted(b"*/*") == headers.accepted(None) == ""
    for refused, code in ((b"image/png", 406), (b"application/json;q=0", 406)):
        with pytest.raises(headers.Refusal) as caught:
            headers.accepted(refused)
        assert caught.value.code == code
    for host in (b"localhost", b"LOCALHOST:8080", b"127.0.0.1:1", b"[::1]", b"[::1]:80"):
        headers.check_host(host, headers.OWN_HOSTS)
    for host in (b"evil.example", b"localhost.evil.example", b"127.0.0.1:80:evil", b"", b"::1", b"127.0.0.1.", b"localhost:x"):
        with pytest.raises(headers.Refusal) as caught:
            headers.check_host(host, headers.OWN_HOSTS)
        assert caught.value.code == 421
    assert headers.token_for("127.0.0.1", {}) == headers.token_for("localhost", {}) == headers.token_for("::1", {}) == ""
    with pytest.raises(headers.Problem, match="reached from other machines"):
        headers.token_for("0.0.0.0", {})
    file = tmp_path / "token"
    file.write_text("s" * 40 + "\n")
    file.chmod(0o644)
    with pytest.raises(headers.Problem, match="can be read by others"):
        headers.token_for("0.0.0.0", {"DLWB_TOKEN_FILE": str(file)})
    file.chmod(0o600)
    assert headers.token_for("0.0.0.0", {"DLWB_TOKEN_FILE": str(file)}) == "s" * 40
    with pytest.raises(headers.Problem, match="shorter than 16"):
        headers.token_for("127.0.0.1", {"DLWB_TOKEN": "short"})


def test_a_model_fits_in_the_place_of_one_with_the_same_requests_and_answers(tmp_path: Path) -> None:
    mood, digits, prices = reviews(tmp_path / "mood" / "1"), mlp(tmp_path / "digits" / "1"), houses(tmp_path / "prices" / "1")
    assert misfit(mood, mood) == misfit(digits, digits) == misfit(prices, prices) == ""
    assert misfit(mood, digits) == "takes pictures, and the requests have texts"
    assert misfit(prices, mood) == "takes texts, and the requests have rows of named numbers"

    def changed(folder: ModelFolder, **parts: Any) -> ModelFolder:
        return ModelFolder(folder.path, msgspec.structs.replace(folder.model, **parts), folder.digest)

    narrow = changed(prices, encoder=RowOfNumbers(columns=[Column(name="rooms")]))
    assert misfit(prices, narrow) == "does not know the column distance, which requests have"
    assert misfit(narrow, prices) == ""
    assert misfit(prices, changed(prices, decoder=Classes())) == "gives another kind of answer"
    (digits.path / "labels.txt").write_text("cat\ndog\n")
    assert misfit(mlp(tmp_path / "digits" / "2"), digits) == "answers other classes"


def test_the_first_curl_line_is_one_that_is_answered(tmp_path: Path) -> None:
    for folder in (reviews(tmp_path / "mood" / "1"), houses(tmp_path / "prices" / "1")):
        words = shlex.split(calls.curl(folder, "http://127.0.0.1:8080"))
        assert words[:2] == ["curl", "http://127.0.0.1:8080/invocations"] and words[2::2] == ["-H", "-d"]
        assert "answer" in value(ask(Answerer(folder), words[5].encode(), words[3].partition(": ")[2]))
    assert calls.curl(mlp(tmp_path / "digits" / "1"), "http://x").endswith("'Content-Type: image/png' --data-binary @picture.png")
