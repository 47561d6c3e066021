"""A slip of the finger ends nothing: delete, stop, kill and clean take a run's whole name, or four characters of its id and more."""

import inspect
from pathlib import Path

import pytest
from made_runs import make_run
from test_cli import dlwb

from workbench.cli import machine, steer
from workbench.cli.arguments import Ended
from workbench.problems import Problem
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.run import find_run, list_runs

ENDING = [("delete", "--"), ("stop", "--"), ("kill", "--"), ("clean", "--yes", "--checkpoints")]
SHORT = ["2", "di", "358", "-ml", "_di", "lp"]
ENOUGH = ["digits-mlp", "last", "2026-11-23_015358_digits-mlp", "0153", "digi", "-mlp", "5358_"]


@pytest.mark.parametrize("words", ENDING)
def test_less_than_four_characters_end_nothing_and_the_way_is_said(words: tuple[str, ...]) -> None:
    run = make_run()
    (run.path / "checkpoints").mkdir()
    checkpoints = Checkpoints(run.path / "checkpoints")
    for step in (1, 2, 3):
        checkpoints.save(b"data", ".npz", step=step, best=True)
    before = checkpoints.generations()
    done = dlwb(*words, "-ml")
    assert done.returncode == 1 and "too little of a name" in done.stderr and run.id in done.stderr, done.stderr
    assert "at least 4 characters" in done.stderr and list_runs() == [run] and checkpoints.generations() == before


@pytest.mark.parametrize("reference", SHORT)
def test_so_it_is_with_each_part_of_an_id(reference: str) -> None:
    make_run()
    with pytest.raises(Problem, match="too little of a name to stop"):
        find_run(reference, ends="stop")


@pytest.mark.parametrize("reference", ENOUGH)
def test_four_characters_or_a_whole_name_do(reference: str) -> None:
    run = make_run()
    assert find_run(reference, ends="delete") == run


def test_a_whole_name_may_be_short() -> None:
    run = make_run(stem="ab")
    assert find_run("ab", ends="kill") == run
    with pytest.raises(Problem, match="too little of a name to kill"):
        find_run("a", ends="kill")


@pytest.mark.parametrize("reference", SHORT)
def test_looking_is_as_easy_as_before(reference: str) -> None:
    run = make_run()
    assert find_run(reference) == run


def test_what_is_not_unique_or_not_there_says_so_first() -> None:
    make_run()
    make_run(stamp="2026-11-22_000000")
    with pytest.raises(Problem, match="may be any of 2 runs"):
        find_run("m", ends="delete")
    with pytest.raises(Problem, match="There is no run xyz"):
        find_run("xyz", ends="delete")


def test_every_command_that_ends_something_takes_it_so() -> None:
    for command in (machine.delete, steer.stop, steer.kill):
        assert inspect.signature(command).parameters["run"].annotation == Ended
    assert 'find_run(reference, "clean")' in Path(machine.__file__).read_text()
