"""Each recipe that bends the core is killed twice and resumed, and is then, bit by bit, the run that was never killed."""

import pytest
from killing import become_whole

pytestmark = pytest.mark.usefixtures("nothing_is_left")

SETTINGS = {
    "digits-mlp": ["train.epochs=40", "train.log_every=20", "train.checkpoint_every=90"],
    # The network, its one-cycle and its moved pictures are the recipe's; the pictures are small ones.
    "mnist-cnn": ["config.data=digits", "train.steps=400", "train.batch_size=32", "train.log_every=20", "train.checkpoint_every=50"],
    # Its memory goes from batch to batch; with batches this big an epoch has 109, so it is emptied once.
    "char-rnn-small": [
        "train.steps=120",
        "train.batch_size=256",
        "train.log_every=7",
        "train.checkpoint_every=9",
        "train.evaluate_every=50",
        "train.sample_every=40",
        "config.hidden=16",
    ],
    "mnist-gan": ["train.steps=100", "train.log_every=7", "train.checkpoint_every=9", "train.evaluate_every=25"],
    "style-transfer-squeezenet": [
        "train.steps=40",
        "train.log_every=2",
        "train.checkpoint_every=7",
        "train.sample_every=15",
        "config.size=64",
        "config.report_every=10",
    ],
}


@pytest.mark.parametrize("recipe", SETTINGS)
def test_killed_twice_it_becomes_the_run_that_was_never_killed(recipe: str, request: pytest.FixtureRequest) -> None:
    if recipe not in ("digits-mlp", "mnist-cnn"):
        request.getfixturevalue("mirror")
    become_whole(recipe, SETTINGS[recipe], ("saving", "evaluating"))
