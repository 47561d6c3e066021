"""Runs that were started when four sentiment lessons were one project: they are read as runs of today's lessons."""

from pathlib import Path

import pytest

from workbench.problems import Problem
from workbench.recipes import renamed_projects
from workbench.recipes.load import load_recipe
from workbench.runs.run import Run
from workbench.training.find_project import find_project, make_project

OLD = """\
title: Film reviews
project: sentiment
config: {{model: {model}, shares: [1.0, 1.0, 1.0], vocabulary: 300, length: 40, both_ends: true, embedding: 32, pretrained: 0,
  hidden: 96, layers: 1, dropout: 0.5, word_dropout: 0.2, vector_dropout: 0.1, learning_rate: 3e-3, schedule: one-cycle, weight_decay: 0.0,
  clip: 5.0}}
"""

SINCE = {"last_share", "drops", "l1"}
"""Settings that came after these runs."""


def old_run(folder: Path, model: str) -> Run:
    (folder / "recipe.yaml").write_text(OLD.format(model=model))
    return Run(folder)


@pytest.mark.parametrize("model", renamed_projects.SENTIMENT)
def test_an_old_run_is_one_of_today_s_lesson_with_its_settings(tmp_path: Path, model: str) -> None:
    run = old_run(tmp_path, model)
    recipe = run.recipe()
    assert recipe.project == f"sentiment_{model}" and recipe.config["learning_rate"] == 3e-3
    project = make_project(run, recipe)  # refuses a setting that the lesson does not have
    assert type(project) is find_project(recipe.project)
    # What was dropped is exactly what the lesson lacks: only settings that came since fall back to their defaults.
    assert set(type(project.config).model_fields) - set(recipe.config) <= SINCE and set(recipe.config) <= set(
        type(project.config).model_fields
    )


def test_what_it_cannot_tell_stays_as_it_is(tmp_path: Path) -> None:
    run = old_run(tmp_path, "transformer")
    assert run.recipe().project == "sentiment"
    with pytest.raises(Problem, match="sentiment cannot be imported"):
        make_project(run, run.recipe())
    for data in (None, [], {"project": "sentiment"}, {"project": "sentiment", "config": None}, {"project": "sentiment", "config": {}}):
        assert renamed_projects.current(data) is data
    other = {"project": "char_rnn", "config": {"model": "gru", "shares": 1}}
    assert renamed_projects.current(other) is other


def test_a_recipe_that_names_the_old_project_hears_of_today_s(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(OLD.format(model="gru"))
    with pytest.raises(Problem, match="there is no project sentiment; did you mean sentiment_"):
        load_recipe(tmp_path / "mine.yaml")
