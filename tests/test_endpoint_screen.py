"""Screen 4 against a live server under load: what it shows at both sizes, what its keys do to the traffic, and what it survives."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_traffic import Traffic, linear
from hostile import PAYLOADS, check
from piloting import seen, settle
from short_runs import short_run

from tests.test_endpoint import free_port
from workbench import paths
from workbench.events import Mark, Scalars
from workbench.runs.log import EventLog, read_all
from workbench.serving import operate
from workbench.serving.endpoint import Endpoint, list_endpoints, state_of
from workbench.tui.app import DlwbApp
from workbench.tui.models.endpoint_feed import EndpointFeed, wilson
from workbench.tui.screens.endpoint import EndpointScreen
from workbench.tui.screens.endpoints import EndpointsScreen
from workbench.tui.screens.finder import commands
from workbench.tui.screens.help import HelpScreen

BOTH = [(120, 40), (80, 24)]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """End every endpoint that a test left running."""
    yield
    for endpoint in list_endpoints():
        operate.kill(endpoint)


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[..., Traffic]]:
    """Starts traffic, which ends with the test."""
    begun: list[Traffic] = []

    def begin(endpoint: Endpoint) -> Traffic:
        begun.append(Traffic(endpoint.about.port, tmp_path / f"seen{len(begun)}", connections=2, pause=0.02))
        return begun[-1]

    yield begin
    for traffic in begun:
        traffic.process.kill()
        traffic.process.wait()


def serve(*versions: int) -> Endpoint:
    """An endpoint that serves version 1 of `line`; the others are in the store."""
    for version in (1, *versions):
        linear(version)
    return operate.serve("line:1", port=free_port())


def notices(pilot: Any) -> str:
    """What stands in the corner."""
    return " ".join(str(note.message) for note in pilot.app._notifications)


async def open_list(pilot: Any, words: str = "InService") -> EndpointsScreen:
    await pilot.press("4")
    await settle(pilot, lambda: isinstance(pilot.app.screen, EndpointsScreen) and bool(pilot.app.screen.rows.key))
    await settle(pilot, lambda: words in seen(pilot.app) or "●" in seen(pilot.app))
    return pilot.app.screen


async def open_first(pilot: Any) -> EndpointScreen:
    await open_list(pilot)
    await pilot.press("enter")
    await settle(pilot, lambda: isinstance(pilot.app.screen, EndpointScreen) and bool(pilot.app.screen.board.rows.key))
    return pilot.app.screen


@pytest.mark.parametrize("size", BOTH)
async def test_it_shows_an_endpoint_under_load_and_a_key_moves_its_traffic(size: tuple[int, int], load: Callable[..., Traffic]) -> None:
    """Also: the list, help, finder and tabs know it; ten seconds bound what takes one."""
    endpoint = serve(2)
    operate.ask(endpoint, "update", {"variants": [["2", 0.5]]})
    operate.ask(endpoint, "weights", {"weights": {"1": 1.0, "2": 0.0}})
    traffic = load(endpoint)
    async with DlwbApp().run_test(size=size) as pilot:
        listed = await open_list(pilot)
        await settle(pilot, lambda: listed.chosen and listed.chosen.figures.get("rate", 0) > 0 and "█" in seen(pilot.app))
        text = seen(pilot.app)
        assert "4 Endpoints 1" in text and "1 100%" in text and f":{endpoint.about.port}" in text and "1 serving" in text
        assert any(action.name == "Endpoint: line" for action in commands(listed))
        await pilot.press("question_mark")
        await settle(pilot, lambda: isinstance(pilot.app.screen, HelpScreen) and "Serve a model of the store" in seen(pilot.app))
        await pilot.press("escape")

        screen = await open_first(pilot)
        await settle(pilot, lambda: "100.0 ± " in seen(pilot.app))
        text = seen(pilot.app)
        assert "● InService" in text and endpoint.url in text and ("configuration 2" in text or "config 2" in text)
        assert "requests/s" in text and "weights: 1 100%" in text and ("p99 ms" in text)
        assert ("latency of 1" in text) == (size == BOTH[0])
        assert not [one for one in traffic.seen() if one.variant == "2"]
        await pilot.press("down")
        pressed = time.time()
        await pilot.press("right_square_bracket")
        await settle(pilot, lambda: any(one.variant == "2" for one in traffic.seen()), 20)
        first = min(one.when + one.seconds for one in traffic.seen() if one.variant == "2")
        assert first - pressed < 10
        await pilot.press("right_square_bracket", "right_square_bracket", "right_square_bracket", "left_square_bracket")
        await settle(pilot, lambda: endpoint.current.weights == {"1": 0.85, "2": 0.15})
        await settle(pilot, lambda: "weights: 1 85%, 2 15%" in seen(pilot.app) and " 15%" in seen(pilot.app))
        # The load sees what the table says.
        moved = time.time()
        await settle(pilot, lambda: sum(one.when > moved for one in traffic.seen()) > 150, 30)
        later = [one.variant for one in traffic.seen() if one.when > moved]
        assert 0.03 < later.count("2") / len(later) < 0.35
        # Another watcher sees the same, and the endpoint does not notice that the first one leaves.
        other = EndpointFeed(endpoint)
        other.read(None)
        assert other.weights() == screen.feed.weights() == {"1": 0.85, "2": 0.15}
        await pilot.press("tab", "tab", "enter")
        await pilot.press("escape", "escape", "q")
    assert state_of(endpoint).state == "InService" and not [one for one in traffic.seen() if one.code != 200 or not one.right]


async def test_versions_shadows_and_roll_backs_are_asked_for_by_keys(load: Callable[..., Traffic]) -> None:
    endpoint = serve(2)
    load(endpoint)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_first(pilot)
        await pilot.press("right_square_bracket")
        await settle(pilot, lambda: "v adds another version" in notices(pilot))
        await pilot.press("v")
        await settle(pilot, lambda: "Add a version" in seen(pilot.app) and "line:2" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: endpoint.numbers() == [1, 2] and "configuration 2: 1 90%, 2 10%" in seen(pilot.app))
        await pilot.press("u")
        await settle(pilot, lambda: endpoint.numbers() == [1, 2, 3] and "configuration 3: 1 100%" in seen(pilot.app))
        await pilot.press("m")
        await settle(pilot, lambda: "Shadow" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: "configuration 4" in seen(pilot.app) and "of" in seen(pilot.app) and "differ" in seen(pilot.app))
        await pilot.press("down", "right_square_bracket")
        await settle(pilot, lambda: "is the shadow" in notices(pilot))
        await pilot.press("s")
        await settle(pilot, lambda: "Stop this endpoint?" in seen(pilot.app))
        assert state_of(endpoint).alive
        await pilot.press("y")
        await settle(pilot, lambda: not screen.feed.state.alive and "■ Stopped" in seen(pilot.app))
        await pilot.press("right_square_bracket")
        await settle(pilot, lambda: "r starts it" in notices(pilot))
        await pilot.press("r")
        await settle(pilot, lambda: state_of(endpoint).state == "InService" and "● InService" in seen(pilot.app))


async def test_a_request_is_shown_with_every_part_and_so_is_its_answer() -> None:
    endpoint = serve(2)
    operate.ask(endpoint, "update", {"variants": [["2", 0.5]]})
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_first(pilot)
        await pilot.press("down", "t")
        await settle(pilot, lambda: "X-Amzn-SageMaker-Target-Variant: 2" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: "200 OK" in seen(pilot.app))
        text = seen(pilot.app)
        assert f"POST {endpoint.url}/invocations" in text and '"answer": 12.0' in text
        assert "x-amzn-invoked-production-variant: 2" in text and "variant 2  →  line:2 in its worker" in text
        await pilot.press(*["backspace"] * 20, *'{"row": {"y": 1}}', "tab", "tab", "enter")
        await settle(pilot, lambda: "400 Bad Request" in seen(pilot.app) and "x-amzn-invoked-production-variant: 1" in seen(pilot.app))
        await pilot.press(*["backspace"] * 20, *'{"row', "enter")
        await settle(pilot, lambda: "This is no JSON" in seen(pilot.app))
        await pilot.press("escape", "x")
        await settle(pilot, lambda: f"curl {endpoint.url}/invocations" in seen(pilot.app) and "FROM python:" in seen(pilot.app))
        assert "runtime.invoke_endpoint" in seen(pilot.app)


async def test_a_file_is_answered_in_the_background(tmp_path: Path) -> None:
    endpoint = serve()
    (tmp_path / "in.csv").write_text("x\n1\n2\n40\n")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_first(pilot)
        await pilot.press("b")
        await settle(pilot, lambda: "Answer a file with line:1" in seen(pilot.app))
        form = pilot.app.screen
        form.query_one("Entry").value = str(tmp_path / "in.csv")
        await pilot.press("down")
        await settle(pilot, lambda: form.query_one("Entry").value == "answers.csv")
        form.query_one("Entry").value = str(tmp_path / "out.csv")
        await pilot.pause(0.1)
        await pilot.press("enter")
        await settle(pilot, lambda: screen.job is not None and not screen.job.running, 60)
        await settle(pilot, lambda: "3 rows" in notices(pilot))
        assert [line.split(",")[0] for line in (tmp_path / "out.csv").read_text().splitlines()] == ["answer", "11", "12", "50"]
        # One that cannot be done says why.
        await pilot.press("b")
        await settle(pilot, lambda: "Answer a file with line:1" in seen(pilot.app))
        pilot.app.screen.query_one("Entry").value = str(tmp_path / "nowhere.csv")
        await pilot.pause(0.1)
        await pilot.press("enter")
        await settle(pilot, lambda: screen.job.failed and "nowhere.csv" in notices(pilot), 60)
    assert state_of(endpoint).alive


@pytest.mark.parametrize("size", BOTH)
async def test_damaged_endpoints_are_listed_with_a_sentence_and_foreign_text_is_cleaned(size: tuple[int, int]) -> None:
    endpoint = serve()
    operate.stop(endpoint)
    log = EventLog(endpoint.path)
    for number, payload in enumerate(PAYLOADS):
        log.write(Mark(text=f"alarm: a{payload}z", settings={f"weight/{payload}": 1.0}, step=number))
        log.write(Scalars({f"rate/{payload}": 1.0, "rate": float("nan"), f"drift/{payload}": 1.0}, step=number))
    log.close()
    (endpoint.path / "exit.json").write_text(
        '{"attempt": 1, "state": "Failed", "message": "a\\u001b]52;c;ZXZpbA==\\u0007z [/]", "cause": "[/x"}'
    )
    for name, file, content in (
        ("empty", "endpoint.json", ""),
        ("cut", "current.json", "{"),
        ("odd", "configs/0001.yaml", "variants: [/]"),
    ):
        copy = paths.endpoints() / name
        (copy / "configs").mkdir(parents=True)
        for kept in ("endpoint.json", "current.json", "configs/0001.yaml"):
            (copy / kept).write_bytes((endpoint.path / kept).read_bytes())
        (copy / file).chmod(0o644)
        (copy / file).write_text(content)
    async with DlwbApp().run_test(size=size) as pilot:
        await pilot.press("4")
        await settle(pilot, lambda: isinstance(pilot.app.screen, EndpointsScreen) and len(pilot.app.library.endpoints) == 4)
        await settle(pilot, lambda: "odd" in seen(pilot.app))
        text = check(pilot.app)
        for damaged in ("endpoint.json of", "current.json of", "configs/0001.yaml of"):
            assert damaged in text
        for _ in range(4):
            await pilot.press("enter")
            await settle(pilot, lambda: isinstance(pilot.app.screen, EndpointScreen) and pilot.app.screen._drawn)
            check(pilot.app)
            for key in ("tab", "tab", "tab", "tab", "d", "d", "d", "u", "t", "x"):
                await pilot.press(key)
                check(pilot.app)
            while not isinstance(pilot.app.screen, EndpointsScreen):
                await pilot.press("escape")
            await pilot.press("down")


async def test_one_key_makes_an_endpoint_of_a_finished_run() -> None:
    """The run is exported and served by another process; the list shows how far it is, and the endpoint opens."""
    pytest.importorskip("onnxscript")
    run = short_run("tumour-mlp", "train.epochs=3")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: getattr(pilot.app.screen, "chosen", None) is not None)
        await pilot.press("v")
        await settle(pilot, lambda: isinstance(pilot.app.screen, EndpointsScreen) and f"◌ {run.stem}" in seen(pilot.app))
        await settle(pilot, lambda: isinstance(pilot.app.screen, EndpointScreen), 120)
        await settle(pilot, lambda: "InService" in seen(pilot.app) and f"{run.stem}:1" in seen(pilot.app))
        # The second press finds it.
        await pilot.press("escape", "2")
        await settle(pilot, lambda: getattr(pilot.app.screen, "chosen", None) is not None)
        await pilot.press("v")
        await settle(pilot, lambda: isinstance(pilot.app.screen, EndpointScreen))
    assert [endpoint.id for endpoint in list_endpoints()] == [run.stem] and state_of(list_endpoints()[0]).alive


def test_a_share_has_the_wilson_interval() -> None:
    """Newcombe (1998), table I: 81 of 263 has 0.2553 to 0.3662, and 0 of 20 has 0 to 0.1611."""
    share, half = wilson(81, 263)
    middle = (share + 1.959964**2 / (2 * 263)) / (1 + 1.959964**2 / 263)
    assert (middle - half, middle + half) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert 2 * wilson(0, 20)[1] == pytest.approx(0.1611, abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


def test_held_keys_become_few_commands_and_the_last_one_counts() -> None:
    endpoint = serve(2)
    operate.ask(endpoint, "update", {"variants": [["2", 0.5]]})
    feed = EndpointFeed(endpoint)
    feed.read(None)
    for _ in range(30):
        feed.shift("1", 0.05)
        feed.push()
    end = time.monotonic() + 20
    while (feed.awaits() or feed.wanted) and time.monotonic() < end:
        feed.read(None)
        feed.answers()
        feed.push()
        time.sleep(0.02)
    feed.read(None)
    assert feed.weights() == {"1": 1.0, "2": 0.0}
    assert len([mark for mark in read_all(endpoint.events)[0] if isinstance(mark, Mark) and mark.text.startswith("weights")]) == 2
